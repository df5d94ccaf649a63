//! Connections that are open and wait for a request, by origin. It hands out what is open as far as anybody knows, and
//! never sends a request twice: whoever meets a connection that closes just then is told so.
use super::http1::Line;
use super::outbound::OutboundBody;
use crate::model::Origin;
use hyper::client::conn::http2;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

/// An idle connection is closed after this, before the servers we know of close it: a request that meets a closing
/// connection is lost for good.
pub(super) const IDLE: Duration = Duration::from_secs(20);
/// How often it is looked at meanwhile. It ends at most one part early.
pub(super) const PARTS: u32 = 8;
/// Idle connections kept to one origin.
pub(super) const IDLE_CONNECTIONS: usize = 256;

/// Clones share the connections.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Shelves>>);

#[derive(Default)]
struct Shelves {
    by_origin: BTreeMap<Origin, Shelf>,
    /// Somebody closes what is idle for too long.
    tended: bool,
}

/// What is open to one origin.
#[derive(Default)]
struct Shelf {
    /// The one used last is at the end.
    lines: Vec<Idle<Line>>,
    /// Over HTTP/2 one connection serves all.
    shared: Option<Idle<http2::SendRequest<OutboundBody>>>,
}

struct Idle<T> {
    open: T,
    /// Looks at it since it was used.
    looks: u32,
}

/// A connection to send a request over.
pub(super) enum Way {
    Line(Line),
    Shared(http2::SendRequest<OutboundBody>),
}

impl Pool {
    /// An open connection to `origin`, if there is one: the one that was used last.
    pub(super) fn take(&self, origin: &Origin) -> Option<Way> {
        let mut shelves = self.lock();
        let shelf = shelves.by_origin.get_mut(origin)?;
        if let Some(shared) = &mut shelf.shared {
            if !shared.open.is_closed() {
                shared.looks = 0;
                return Some(Way::Shared(shared.open.clone()));
            }
            shelf.shared = None;
        }
        let mut cx = Context::from_waker(Waker::noop());
        while let Some(Idle { mut open, .. }) = shelf.lines.pop() {
            if open.is_still_free(&mut cx) {
                return Some(Way::Line(open));
            }
        }
        None
    }

    /// Keeps a line that is free for the next request. Where too many wait already it is closed.
    pub(super) fn give(&self, origin: Origin, line: Line) {
        let mut shelves = self.lock();
        let shelf = shelves.by_origin.entry(origin).or_default();
        if shelf.lines.len() < IDLE_CONNECTIONS {
            shelf.lines.push(Idle { open: line, looks: 0 });
            self.see_to_it(&mut shelves);
        }
    }

    /// Lets all requests to `origin` share this connection from now on.
    pub(super) fn share(&self, origin: Origin, sender: http2::SendRequest<OutboundBody>) {
        let mut shelves = self.lock();
        shelves.by_origin.entry(origin).or_default().shared = Some(Idle { open: sender, looks: 0 });
        self.see_to_it(&mut shelves);
    }

    /// Somebody tends it as long as there is something to tend.
    fn see_to_it(&self, shelves: &mut Shelves) {
        if !std::mem::replace(&mut shelves.tended, true) {
            tokio::spawn(tend(Arc::downgrade(&self.0)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what is idle for too long, or was closed by the upstream, until nothing is left.
async fn tend(shelves: Weak<Mutex<Shelves>>) {
    loop {
        tokio::time::sleep(IDLE / PARTS).await;
        let Some(shelves) = shelves.upgrade() else { return };
        if !Pool(shelves).look() {
            return;
        }
    }
}

impl Pool {
    /// One look at all that is idle. False once there is nothing.
    fn look(&self) -> bool {
        let mut shelves = self.lock();
        // An idle connection's waker may be a finished request's: from here on it is nobody's.
        let mut cx = Context::from_waker(Waker::noop());
        for shelf in shelves.by_origin.values_mut() {
            shelf.lines.retain_mut(|line| line.is_young() && line.open.is_still_free(&mut cx));
            shelf.shared.take_if(|shared| !shared.is_young() || shared.open.is_closed());
        }
        shelves.by_origin.retain(|_, shelf| !shelf.lines.is_empty() || shelf.shared.is_some());
        shelves.tended = !shelves.by_origin.is_empty();
        shelves.tended
    }
}

impl<T> Idle<T> {
    /// Counts a look; false where that was one too many.
    fn is_young(&mut self) -> bool {
        self.looks += 1;
        self.looks < PARTS
    }
}
