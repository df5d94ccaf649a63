//! A client's body on its way upstream, kept meanwhile so that it can be sent again. Chunks are shared, never copied.
//!
//! An attempt sends what is held and then goes on with what the client still sends. So a second attempt may begin before
//! the client has finished: everything so far is held from the first byte on, which is all the replay rule asks. A body
//! beyond its cap, or beyond what all requests together may hold, is sent once and forgotten.
use super::error::Turned;
use super::talk::ClientBody;
use crate::model::Few;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// What a held chunk costs beyond its bytes, so that a body of tiny chunks cannot cheat the cap.
const CHUNK_OVERHEAD: usize = 64;
/// Pieces of a body's beginning that are looked at: each look reads all of them again, and a client may send single
/// bytes.
const LOOKS: usize = 64;
/// The idle time is looked at this often while it runs.
const TICKS: u32 = 4;

/// Bytes that all requests together may hold for replay.
#[derive(Debug)]
pub struct ReplayBudget {
    cap: usize,
    used: AtomicUsize,
}

impl ReplayBudget {
    /// At most `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self { cap, used: AtomicUsize::new(0) }
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let raised = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.cap)
        });
        raised.is_ok()
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bounds of one upload.
#[derive(Clone, Debug)]
pub(super) struct UploadBounds {
    /// Held for replay, at most.
    pub(super) held: usize,
    /// No byte from the client for this long ends it.
    pub(super) idle: Duration,
    /// Shared with all other requests.
    pub(super) budget: Arc<ReplayBudget>,
}

/// One client's body. The handler keeps this; each attempt gets an [`UploadBody`].
#[derive(Clone, Debug)]
pub(super) struct Upload(Option<Arc<Mutex<Flow>>>);

/// Why an attempt's body ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadError {
    /// The client broke it; see [`Upload::fault`].
    #[error("the client's body broke off")]
    Client,
    /// A later attempt has taken over.
    #[error("another attempt sends this body now")]
    Superseded,
}

#[derive(Debug)]
struct Flow {
    source: ClientBody,
    bounds: UploadBounds,
    total: Option<u64>,
    received: u64,
    held: Few<Bytes>,
    cost: usize,
    stage: Stage,
    attempt: u32,
    /// Held chunks that this attempt has taken.
    at: usize,
    timer: Option<Pin<Box<Sleep>>>,
    quiet: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Arriving, and all of it is held.
    Held,
    /// Arriving, and what is held goes once the attempt has sent it.
    Passing,
    /// All is here.
    Ended {
        whole: bool,
    },
    Broken(Break),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Idle,
    Malformed,
}

impl Upload {
    /// Takes the client's body in, unread.
    pub(super) fn new(source: ClientBody, bounds: UploadBounds) -> Self {
        if source.is_end_stream() {
            return Self(None);
        }
        let total = source.size_hint().exact();
        let fits = total.is_none_or(|total| total <= bounds.held as u64);
        Self(Some(Arc::new(Mutex::new(Flow {
            source,
            bounds,
            total,
            received: 0,
            held: Few::None,
            cost: 0,
            stage: if fits { Stage::Held } else { Stage::Passing },
            attempt: 0,
            at: 0,
            timer: None,
            quiet: 0,
        }))))
    }

    /// The body for the next attempt; an earlier attempt's gets no more.
    pub(super) fn attempt(&self) -> UploadBody {
        let attempt = self.flow().map_or(0, |mut flow| {
            flow.attempt += 1;
            flow.at = 0;
            flow.attempt
        });
        UploadBody { flow: self.0.clone(), attempt, sent: 0 }
    }

    /// The beginning of the body, as soon as `enough` says so, `most` bytes or [`LOOKS`] pieces are here, or it ends. What is read stays the
    /// first attempt's to send. Nothing is read of a body that cannot be held.
    ///
    /// # Errors
    /// The client broke the body.
    pub(super) async fn begin(&self, most: usize, enough: impl Fn(&[u8]) -> bool) -> Result<Bytes, Turned> {
        let mut begun = Bytes::new();
        for _ in 0..LOOKS {
            if begun.len() >= most || !begun.is_empty() && enough(&begun) {
                break;
            }
            let next = poll_fn(|cx| match self.flow() {
                Some(mut flow) if flow.stage == Stage::Held => flow.pull(cx),
                Some(_) | None => Poll::Ready(None),
            });
            match next.await {
                Some(Ok(chunk)) if begun.is_empty() => begun = chunk,
                Some(Ok(chunk)) => begun = [begun, chunk].concat().into(),
                Some(Err(_)) => return Err(self.fault().unwrap_or(Turned::BodyMalformed)),
                None => break,
            }
        }
        Ok(begun)
    }

    /// The length that was told. A body that has one comes as fast as it can, and not as it is made.
    pub(super) fn told(&self) -> Option<u64> {
        self.flow()?.total
    }

    /// Reads on while everything is held, at most `most` bytes in all, and shows each piece. What is read stays the
    /// first attempt's to send.
    ///
    /// # Errors
    /// The client broke the body.
    pub(super) async fn look(&self, most: u64, mut seen: impl FnMut(&Bytes)) -> Result<(), Turned> {
        if let Some(flow) = self.flow() {
            flow.held.iter().for_each(&mut seen);
        }
        while self.received() < most {
            let next = poll_fn(|cx| match self.flow() {
                Some(mut flow) if flow.stage == Stage::Held => flow.pull(cx),
                Some(_) | None => Poll::Ready(None),
            });
            match next.await {
                Some(Ok(chunk)) => seen(&chunk),
                Some(Err(_)) => return Err(self.fault().unwrap_or(Turned::BodyMalformed)),
                None => break,
            }
        }
        Ok(())
    }

    /// The whole body, where all of it is here and held.
    pub(super) fn whole(&self) -> Option<Vec<Bytes>> {
        let flow = self.flow()?;
        (flow.stage == Stage::Ended { whole: true }).then(|| flow.held.to_vec())
    }

    /// True while every byte that came is held, so that another attempt can send them all.
    pub(super) fn is_held(&self) -> bool {
        self.flow().is_none_or(|flow| match flow.stage {
            Stage::Held => true,
            Stage::Ended { whole } => whole,
            Stage::Passing | Stage::Broken(_) => false,
        })
    }

    /// What the client did wrong, if it did.
    pub(super) fn fault(&self) -> Option<Turned> {
        match self.flow()?.stage {
            Stage::Broken(Break::Idle) => Some(Turned::BodyTooSlow),
            Stage::Broken(Break::Malformed) => Some(Turned::BodyMalformed),
            Stage::Held | Stage::Passing | Stage::Ended { .. } => None,
        }
    }

    /// Bytes that came from the client.
    pub(super) fn received(&self) -> u64 {
        self.flow().map_or(0, |flow| flow.received)
    }

    /// A reply is the client's now: nothing will be sent again, so nothing more is held, and what is held goes with its last
    /// chunk. A reply may go on for hours.
    pub(super) fn let_go(&self) {
        if let Some(mut flow) = self.flow() {
            flow.forget();
        }
    }

    fn flow(&self) -> Option<MutexGuard<'_, Flow>> {
        self.0.as_ref().map(|flow| lock(flow))
    }
}

fn lock(flow: &Mutex<Flow>) -> MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Flow {
    /// The next chunk from the client, held if that is still possible.
    fn pull(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        match self.stage {
            Stage::Ended { .. } => return Poll::Ready(None),
            Stage::Broken(_) => return Poll::Ready(Some(Err(UploadError::Client))),
            Stage::Held | Stage::Passing => {}
        }
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.source).poll_frame(cx) else {
                return self.wait(cx);
            };
            self.quiet = 0;
            match next {
                None => {
                    let whole = self.stage == Stage::Held;
                    self.stage = Stage::Ended { whole };
                    self.timer = None;
                    return Poll::Ready(None);
                }
                Some(Err(_)) => {
                    self.stage = Stage::Broken(Break::Malformed);
                    return Poll::Ready(Some(Err(UploadError::Client)));
                }
                // Trailers are dropped: they could carry what the head may not.
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.keep(&chunk);
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                }
            }
        }
    }

    /// A chunk without room is kept all the same until the attempt has sent it, and with it ends the holding.
    fn keep(&mut self, chunk: &Bytes) {
        self.received += chunk.len() as u64;
        if self.stage != Stage::Held {
            return;
        }
        let cost = chunk.len() + CHUNK_OVERHEAD;
        let room = self.cost + chunk.len() <= self.bounds.held;
        if room && self.bounds.budget.take(cost) {
            self.cost += cost;
        } else {
            self.stage = Stage::Passing;
        }
        self.held.push(chunk.clone());
    }

    /// The timer runs only while the client is waited for, and is looked at a few times per idle time: a body that
    /// flows never sets it anew.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadError>>> {
        let step = self.bounds.idle / TICKS;
        loop {
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(step)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            self.quiet += 1;
            if self.quiet >= TICKS {
                self.stage = Stage::Broken(Break::Idle);
                return Poll::Ready(Some(Err(UploadError::Client)));
            }
        }
    }

    fn forget(&mut self) {
        match self.stage {
            Stage::Held => self.stage = Stage::Passing,
            Stage::Ended { whole: true } => self.stage = Stage::Ended { whole: false },
            Stage::Passing | Stage::Ended { whole: false } | Stage::Broken(_) => {}
        }
        if self.at >= self.held.len() {
            self.release();
        }
    }

    fn release(&mut self) {
        self.held = Few::None;
        self.bounds.budget.give(self.cost);
        self.cost = 0;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.bounds.budget.give(self.cost);
    }
}

/// The body as one attempt sends it: what is held, then what still comes.
#[derive(Debug)]
pub(super) struct UploadBody {
    flow: Option<Arc<Mutex<Flow>>>,
    attempt: u32,
    sent: u64,
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let this = self.get_mut();
        let Some(flow) = &this.flow else {
            return Poll::Ready(None);
        };
        let mut flow = lock(flow);
        if flow.attempt != this.attempt {
            return Poll::Ready(Some(Err(UploadError::Superseded)));
        }
        let chunk = if let Some(chunk) = flow.held.get(flow.at) {
            chunk.clone()
        } else {
            if matches!(flow.stage, Stage::Passing | Stage::Ended { whole: false }) {
                flow.release();
            }
            match ready!(flow.pull(cx)) {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        };
        flow.at += 1;
        this.sent += chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.flow.as_ref().is_none_or(|flow| {
            let flow = lock(flow);
            matches!(flow.stage, Stage::Ended { .. }) && self.sent == flow.received
        })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.flow {
            None => SizeHint::with_exact(0),
            Some(flow) => lock(flow).total.map_or_else(SizeHint::default, |total| {
                SizeHint::with_exact(total.saturating_sub(self.sent))
            }),
        }
    }
}
