//! Starts rota and its upstreams, and talks to rota as a client does.
mod client;
mod echo;
mod memory;
mod pipe;
mod rota;
mod sink;
mod socket;

pub(crate) use client::{Answer, Call, Client, raw};
pub(crate) use echo::Echo;
pub(crate) use memory::Memory;
pub(crate) use pipe::Pipe;
pub(crate) use rota::{Rota, RotaBuilder, key, login, rota};
pub(crate) use sink::Sink;
pub(crate) use socket::{Ended, RESPONSES, Socket, create};
