//! The fake over real sockets, as a proxy or a client meets it.

mod assertions;
mod client;
mod control;
mod dialects;
mod faults;
mod limits;
mod logins;
mod loops;
mod sockets;
mod tokens;
mod websocket;
mod wire;
