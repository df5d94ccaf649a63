use super::hearing::{CONTINUE, Ear, READ, SCRATCH, Word, lock};
use crate::http1::Decoder;
use bytes::buf::BufMut;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::AsyncReadExt;

/// Of a long body read at a time at most: each piece that goes on wakes the upstream.
pub(super) const LONG_READ: usize = 128 * 1024;
/// Pieces of a body nobody wanted that are passed over when its reply is written, before the connection is given up.
const UNWANTED: usize = 4;
/// They hold no more than this.
pub(super) const UNWANTED_BYTES: u64 = (UNWANTED * LONG_READ) as u64;

/// A request's body, as it comes; none of a request without one. Trailers are dropped.
#[derive(Default)]
pub(in super::super) struct ClientBody(Option<(Arc<Mutex<Ear>>, u64)>);

/// A body that is not framed as its head says, or is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's body is malformed or was cut short")]
pub(in super::super) struct Broken;

impl std::fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientBody")
    }
}

impl ClientBody {
    /// The `nth` body that is heard; none of a request without one.
    pub(super) fn of(body: Option<(Arc<Mutex<Ear>>, u64)>) -> Self {
        Self(body)
    }

    fn ear(&self) -> Option<MutexGuard<'_, Ear>> {
        let (ear, nth) = self.0.as_ref()?;
        Some(lock(ear)).filter(|ear| ear.nth == *nth)
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.0.is_none() {
            return Poll::Ready(None);
        }
        // The answer to another request is being written: this one's has been.
        let Some(mut ear) = self.ear() else {
            return Poll::Ready(Some(Err(Broken)));
        };
        let piece = ready!(ear.poll_body(cx));
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ear()
            .is_none_or(|ear| ear.decoder == Decoder::Over && ear.ready.is_empty() && ear.room.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self.ear() {
            None => SizeHint::with_exact(0),
            // What came in chunks goes on in chunks, however much of it is here.
            Some(ear) if !ear.is_counted => SizeHint::new(),
            Some(ear) => ear.decoder.size_hint((ear.ready.len() + ear.room.len()) as u64),
        }
    }
}

impl Ear {
    /// The body's next piece.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.ready))));
            }
            let left = match self.decoder {
                Decoder::Broken(_) if self.room.is_empty() => return Poll::Ready(Some(Err(Broken))),
                Decoder::Over if self.room.is_empty() => return Poll::Ready(None),
                Decoder::Broken(_) | Decoder::Over => None,
                Decoder::Length(left) => Some(left),
                Decoder::Chunked(_) | Decoder::Close => {
                    ready!(self.poll_chunks(cx));
                    continue;
                }
            };
            // What is here goes on together.
            let is_full = !self.room.is_empty() && self.left_in_room() == 0;
            if let Some(left) = left.filter(|_| !is_full)
                && self.poll_more(cx, left).is_ready()
            {
                continue;
            }
            if self.room.is_empty() {
                return Poll::Pending;
            }
            // What is full, or at its end, would only be kept longer than whoever takes it needs it.
            let is_done = is_full || left.is_none();
            let piece = if is_done { std::mem::take(&mut self.room) } else { self.room.split() };
            self.ready = piece.freeze();
        }
    }

    /// Ready once something has come of a body of a length, into `room`.
    fn poll_more(&mut self, cx: &mut Context<'_>, left: u64) -> Poll<()> {
        ready!(self.poll_word(cx));
        if self.room.is_empty() {
            self.make_room(left);
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.left_in_room());
        let Some(half) = &mut self.half else {
            return self.come_of(0);
        };
        let mut into = (&mut self.room).limit(most);
        let read = ready!(pin!(half.read_buf(&mut into)).poll(cx));
        self.come_of(read.unwrap_or(0))
    }

    fn come_of(&mut self, bytes: usize) -> Poll<()> {
        self.decoder.passed(bytes);
        self.tell();
        Poll::Ready(())
    }

    /// Ready once something has come of a body in chunks, into `ready`.
    fn poll_chunks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_word(cx));
        SCRATCH.with_borrow_mut(|scratch| {
            let come = match ready!(self.poll_scratch(cx, scratch)) {
                Ok(come) => come,
                Err(_) => &[],
            };
            let (taken, data) = self.decoder.read(come);
            self.ready = data;
            if self.decoder == Decoder::Over {
                self.keep(&come[taken..]);
            }
            self.tell();
            Poll::Ready(())
        })
    }

    /// Who waits for the body's end to look for the client's own learns that it has come.
    fn tell(&mut self) {
        if matches!(self.decoder, Decoder::Over | Decoder::Broken(_))
            && let Some(waiting) = self.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Ready once a client that waits for a word has it.
    fn poll_word(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let (Word::Due(said), Some(half)) = (self.word, &self.half) {
            match half.as_ref().try_write(&CONTINUE[said..]) {
                Ok(more) if said + more < CONTINUE.len() => self.word = Word::Due(said + more),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // An error shows when the body is read.
                    let _ = ready!(half.as_ref().poll_write_ready(cx));
                }
                Ok(_) | Err(_) => self.word = Word::NotAsked,
            }
        }
        Poll::Ready(())
    }

    pub(super) fn pass_over(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..UNWANTED {
            (self.ready, self.room) = (Bytes::new(), BytesMut::new());
            match self.decoder {
                Decoder::Over => return true,
                Decoder::Broken(_) => return false,
                Decoder::Chunked(_) | Decoder::Close | Decoder::Length(_) => {}
            }
            // A client that waits for a word may send its body or not.
            if self.word == Word::Missed || self.poll_body(&mut cx).is_pending() {
                return false;
            }
        }
        false
    }

    /// Of a body of which `left` bytes are to come; what is left of earlier room will do where it is not little.
    pub(super) fn make_room(&mut self, left: u64) {
        let wanted = usize::try_from(left).map_or(LONG_READ, |left| left.min(LONG_READ));
        if self.room.capacity() < wanted.min(READ) {
            self.room.reserve(wanted);
        }
    }

    /// How many more bytes one piece may have.
    fn left_in_room(&self) -> usize {
        self.room.capacity().min(LONG_READ).saturating_sub(self.room.len())
    }
}
