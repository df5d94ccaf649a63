//! The fake over real sockets, as a proxy or a client meets it.

mod client;
mod control;
mod dialects;
mod faults;
mod limits;
mod logins;
mod tokens;
mod wire;
