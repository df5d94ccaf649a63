//! rota as a whole, in one process with the fake upstream: real sockets, real HTTP, the real engine. Every test has its
//! own directory, its own ports and its own accounts, and waits for events, never for time.
mod bodies;
mod control;
mod edge;
mod events;
mod failover;
mod hangup;
mod harness;
mod headers;
mod limits;
mod login;
mod owners;
mod process;
mod renewal;
mod replies;
mod runs;
mod streams;
mod websocket;
