//! The WebSocket transport of an API that has one: a handshake that fails over like a request, and then messages, passed
//! both ways as they are. The connection belongs to one account; a message that asks for an answer is a turn, with a
//! lease and a record of its own. What may move to another account moves by making the client connect again.
mod frame;
mod handshake;
mod open;
mod pump;
mod side;
mod turn;

pub(super) use handshake::{Offer, offered};
pub(super) use open::open;
pub(super) use pump::Takeover;

use std::sync::atomic::{AtomicU64, Ordering};

/// How many WebSockets there are, and how many turns there have been.
#[derive(Debug, Default)]
pub struct SocketCounts {
    open: AtomicU64,
    turns: AtomicU64,
}

impl SocketCounts {
    /// Open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Turns since the start.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self) -> Counted<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }
}

/// One open WebSocket.
#[derive(Debug)]
struct Counted<'a>(&'a SocketCounts);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
