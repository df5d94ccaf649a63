//! Starts rota and its upstreams, and talks to rota as a client does.
mod client;
mod memory;
mod pipe;
mod rota;
mod sink;

pub(crate) use client::{Answer, Call, Client, raw};
pub(crate) use memory::Memory;
pub(crate) use pipe::Pipe;
pub(crate) use rota::{Rota, RotaBuilder, key, login, rota};
pub(crate) use sink::Sink;
