//! The engine in virtual time: whole requests, one after the other or many at once, against an upstream that says what
//! the test wants, with leases of its own and a clock that stands still until somebody waits.
mod orders;
mod renewals;
mod scenarios;
mod shares;
mod sign_ins;
mod sim;
mod words;
mod world;

// The worlds are written against the library's own paths, so that the engine's tests share them.
use rota::{engine, model};
