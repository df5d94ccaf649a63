//! The body of a reply as the HTTP library pulls it, counted while it goes.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use crate::recorder::{Entry, Outcome};
use crate::reply::flood_chunk;
use crate::shape::{Pace, Step};

/// A reply under way. Memory does not grow with the bytes it sends.
pub(crate) struct PlayBody {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pace: Pace,
    /// A pause is due before the next byte, so that the last one is flushed.
    paused: bool,
    /// Bytes left before the body breaks off with an error.
    left: Option<u64>,
    chunk: Bytes,
    entry: Option<Entry>,
}

/// The fake broke the reply off on purpose.
#[derive(Debug)]
pub(crate) struct BrokenOff {
    /// What an HTTP/2 client is told.
    reason: h2::Error,
}

impl BrokenOff {
    /// In the middle of things.
    pub(crate) fn midway() -> Self {
        Self { reason: h2::Reason::INTERNAL_ERROR.into() }
    }

    /// Before anything was done.
    pub(crate) fn refused() -> Self {
        Self { reason: h2::Reason::REFUSED_STREAM.into() }
    }
}

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the fake upstream broke the reply off as it was told")
    }
}

impl std::error::Error for BrokenOff {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.reason)
    }
}

impl PlayBody {
    pub(crate) fn new(steps: VecDeque<Step>, pace: Pace, entry: Option<Entry>) -> Self {
        let mut body =
            Self { steps, waiting: None, pace, paused: false, left: None, chunk: flood_chunk(), entry };
        body.note_end();
        body
    }

    /// Breaks off with an error after so many bytes.
    pub(crate) fn broken_after(mut self, bytes: u64) -> Self {
        self.left = Some(bytes);
        self
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Bytes(bytes)) => return Poll::Ready(Some(bytes)),
                Some(Step::Endless) => {
                    self.steps.push_front(Step::Endless);
                    return Poll::Ready(Some(self.chunk.clone()));
                }
                Some(Step::Flood(0)) => {}
                Some(Step::Flood(bytes)) => {
                    let chunk = self
                        .chunk
                        .slice(..usize::try_from(bytes).unwrap_or(usize::MAX).min(self.chunk.len()));
                    self.steps.push_front(Step::Flood(bytes - chunk.len() as u64));
                    return Poll::Ready(Some(chunk));
                }
                Some(Step::Gate(gate)) => self.waiting = Some(Box::pin(gate.pass())),
                // The connection notices that the client leaves and drops the body.
                Some(Step::Hold) => self.waiting = Some(Box::pin(std::future::pending())),
            }
        }
    }

    /// Gives back what is more than one byte, and asks for a pause after it.
    fn paced(&mut self, mut bytes: Bytes) -> Bytes {
        if self.pace == Pace::Whole || bytes.len() < 2 {
            self.paused = self.pace == Pace::ByteByByte;
            return bytes;
        }
        let first = bytes.split_to(1);
        self.steps.push_front(Step::Bytes(bytes));
        self.paused = true;
        first
    }

    fn count(&self, bytes: &Bytes) {
        if let Some(entry) = &self.entry {
            entry.quiet_update(|recorded| recorded.sent += bytes.len() as u64);
        }
    }

    /// The last byte has been handed over: the library does not always come
    /// back for the end.
    fn note_end(&mut self) {
        let over = self.steps.iter().all(|step| matches!(step, Step::Flood(0)));
        if over && self.waiting.is_none() {
            self.end(Outcome::Done);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(mut entry) = self.entry.take() {
            entry.end(outcome);
        }
    }
}

impl Body for PlayBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.left == Some(0) {
            this.end(Outcome::Broken);
            return Poll::Ready(Some(Err(BrokenOff::midway())));
        }
        let Some(bytes) = ready!(this.next(cx)) else {
            this.end(Outcome::Done);
            return Poll::Ready(None);
        };
        let mut bytes = this.paced(bytes);
        if let Some(left) = &mut this.left {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
            // A pause before the error lets the bytes out first.
            this.paused |= *left == 0;
        }
        this.count(&bytes);
        if this.left.is_none() {
            this.note_end();
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
