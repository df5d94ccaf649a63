use super::super::error::Turned;
use super::super::handler::Framing;
use super::body::{ClientBody, UNWANTED_BYTES};
use super::head::{self, Head};
use crate::http1::{Decoder, Flaw, Length, Names};
use bytes::{Bytes, BytesMut};
use http::Request;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Sleep;

/// Read at a time where a head is awaited: what it holds of a long body is copied.
const HEAD_READ: usize = 8 * 1024;
/// Of a body in chunks read at a time.
pub(super) const READ: usize = 16 * 1024;
/// The time for a head is looked at this often while it runs.
const TICKS: u32 = 4;
/// What a client waits for that asked before it sends (RFC 9110 §15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

thread_local! {
    /// What was read is looked at here: a connection that waits keeps no buffer.
    pub(super) static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
    static NAMES: RefCell<Names> = RefCell::default();
}

/// What a client says over its connection.
pub(in super::super) struct Hearing {
    pub(super) ear: Arc<Mutex<Ear>>,
    /// Bytes of a head at most.
    most: usize,
    /// For the next head; the timer is set anew only once it has rung.
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What came next.
#[expect(clippy::large_enum_variant, reason = "nearly all are requests; a box would be an allocation each")]
pub(in super::super) enum Said {
    /// No request that could be answered by who it is for. The connection ends with the answer.
    Bad(Turned),
    /// The client is gone, or was silent for too long, or rota stops.
    End,
    Request(Asked),
}

/// A request.
pub(in super::super) struct Asked {
    pub(in super::super) request: Request<ClientBody>,
    pub(in super::super) framing: Framing,
    /// The connection ends with it.
    pub(in super::super) last: bool,
}

/// Shared with the body that is heard: that may be waited for by another task.
pub(super) struct Ear {
    /// None once the conversation is over, whoever still has a body of it.
    pub(super) half: Option<OwnedReadHalf>,
    /// What was read and not looked at, or is a part of a head.
    pub(super) kept: Vec<u8>,
    /// `kept` may hold a whole head.
    fresh: bool,
    pub(super) decoder: Decoder,
    /// Of the body: was read with its head, or comes in chunks.
    pub(super) ready: Bytes,
    /// Of a body of a length: what was read, and room for more.
    pub(super) room: BytesMut,
    /// Which of the connection's bodies is heard.
    pub(super) nth: u64,
    /// Its head tells how long it is.
    pub(super) is_counted: bool,
    pub(super) word: Word,
    /// Who is told that the body has been heard to its end.
    pub(super) waiting: Option<Waker>,
}

/// The word that a client may wait for before it sends its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// So much of it is said.
    Due(usize),
    /// It was due, and then the answer began.
    Missed,
    NotAsked,
}

impl Hearing {
    /// Heads have at most `most` bytes, and come within `patience`.
    pub(in super::super) fn new(
        stream: TcpStream,
        most: usize,
        patience: Duration,
    ) -> (Self, OwnedWriteHalf) {
        let (from, to) = stream.into_split();
        let ear = Ear {
            half: Some(from),
            kept: Vec::new(),
            fresh: false,
            decoder: Decoder::Over,
            ready: Bytes::new(),
            room: BytesMut::new(),
            nth: 0,
            is_counted: false,
            word: Word::NotAsked,
            waiting: None,
        };
        (Self { ear: Arc::new(Mutex::new(ear)), most, patience, timer: None }, to)
    }

    /// The next request. `stopped` is ready when rota stops: a request that has begun to come is served all the same.
    pub(in super::super) async fn next(&mut self, mut stopped: Pin<&mut impl Future<Output = ()>>) -> Said {
        let mut quiet = 0;
        poll_fn(|cx| {
            let mut ear = lock(&self.ear);
            if let Poll::Ready(heard) = ear.poll_head(cx, self.most, &self.ear) {
                return Poll::Ready(heard);
            }
            if ear.kept.is_empty() && stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Said::End);
            }
            drop(ear);
            loop {
                let step = self.patience / TICKS;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(step)));
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
                quiet += 1;
                // The first of them had begun before.
                if quiet > TICKS {
                    return Poll::Ready(Said::End);
                }
            }
        })
        .await
    }

    /// Ready when the client has closed its side: it wants no answer any more. What it says early is kept.
    pub(in super::super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        lock(&self.ear).poll_gone(cx)
    }

    /// An answer begins: what must be written before it.
    pub(in super::super) fn answered(&self) -> &'static [u8] {
        let mut ear = lock(&self.ear);
        let Word::Due(said) = ear.word else {
            return &[];
        };
        ear.word = Word::Missed;
        if said == 0 { &[] } else { &CONTINUE[said..] }
    }

    /// True where no request can follow the one that is answered: nobody could tell where its body ends, or more of it is to
    /// come than is passed over for a request that nobody reads.
    pub(in super::super) fn is_last(&self) -> bool {
        let is_read = Arc::strong_count(&self.ear) > 1;
        let ear = lock(&self.ear);
        let is_endless = match ear.decoder {
            Decoder::Length(left) => !is_read && left > UNWANTED_BYTES,
            Decoder::Broken(_) => true,
            Decoder::Chunked(_) | Decoder::Close | Decoder::Over => false,
        };
        ear.word == Word::Missed || is_endless
    }

    /// The answer is written. True where the next request can be read: a body that nobody wanted stands in its way, but for
    /// a little of it.
    pub(in super::super) fn goes_on(&self) -> bool {
        lock(&self.ear).pass_over()
    }

    /// The connection, and what was read of it for nobody yet. None where it is broken.
    pub(in super::super) fn over(self, to: OwnedWriteHalf) -> Option<(TcpStream, Bytes)> {
        let (half, kept) = {
            let mut ear = lock(&self.ear);
            (ear.half.take()?, std::mem::take(&mut ear.kept))
        };
        half.reunite(to).ok().map(|stream| (stream, kept.into()))
    }
}

pub(super) fn lock(ear: &Mutex<Ear>) -> MutexGuard<'_, Ear> {
    ear.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ear {
    fn poll_head(&mut self, cx: &mut Context<'_>, most: usize, whole: &Arc<Mutex<Self>>) -> Poll<Said> {
        if std::mem::take(&mut self.fresh) {
            let kept = std::mem::take(&mut self.kept);
            if let Some(heard) = self.look(&kept, most, whole) {
                return Poll::Ready(heard);
            }
        }
        loop {
            let come = SCRATCH.with_borrow_mut(|scratch| {
                let come = ready!(self.poll_scratch(cx, &mut scratch[..HEAD_READ]));
                Poll::Ready(match come {
                    Ok([]) | Err(_) => Some(Said::End),
                    Ok(come) => self.come(come, most, whole),
                })
            });
            if let Some(heard) = ready!(come) {
                return Poll::Ready(heard);
            }
        }
    }

    /// `come` goes on where `kept` ends.
    fn come(&mut self, come: &[u8], most: usize, whole: &Arc<Mutex<Self>>) -> Option<Said> {
        if self.kept.is_empty() {
            return self.look(come, most, whole);
        }
        self.kept.extend_from_slice(come);
        // A line that is not at its end is not read again for each byte of it.
        if self.kept.len() < most && !come.contains(&b'\n') {
            return None;
        }
        let kept = std::mem::take(&mut self.kept);
        self.look(&kept, most, whole)
    }

    /// Looks for a head; what is none yet is kept.
    fn look(&mut self, bytes: &[u8], most: usize, whole: &Arc<Mutex<Self>>) -> Option<Said> {
        // Empty lines before a request are passed over (RFC 9112 §2.2).
        let begins = bytes.iter().position(|byte| !b"\r\n".contains(byte))?;
        let bytes = &bytes[begins..];
        match NAMES.with_borrow_mut(|names| head::read(bytes, most, names)) {
            Ok(Some((length, head))) => Some(self.hear(head, &bytes[length..], whole)),
            Ok(None) => {
                self.kept = bytes.to_vec();
                None
            }
            Err(why) => Some(Said::Bad(why)),
        }
    }

    /// A request begins, with a head and `behind` it.
    fn hear(&mut self, head: Head, behind: &[u8], whole: &Arc<Mutex<Self>>) -> Said {
        let Head { parts, body, short, framing, last, expects } = head;
        self.nth += 1;
        self.is_counted = matches!(body, Length::Known(_));
        self.decoder = Decoder::new(body);
        let is_awaited = expects && behind.is_empty() && self.decoder != Decoder::Over;
        self.word = if is_awaited { Word::Due(0) } else { Word::NotAsked };
        let taken = match (short, body) {
            (Some(short), _) => {
                let taken = short.len();
                self.decoder.passed(taken);
                self.ready = short;
                taken
            }
            (None, Length::Known(length)) => {
                let here = usize::try_from(length).map_or(behind.len(), |length| length.min(behind.len()));
                if here > 0 {
                    self.make_room(length);
                    self.room.extend_from_slice(&behind[..here]);
                    self.decoder.passed(here);
                }
                here
            }
            (None, Length::Chunked | Length::Close) if behind.is_empty() => 0,
            (None, Length::Chunked | Length::Close) => {
                let (taken, ready) = self.decoder.read(behind);
                self.ready = ready;
                taken
            }
        };
        self.keep(&behind[taken..]);
        let is_over = self.decoder == Decoder::Over && self.ready.is_empty() && self.room.is_empty();
        let body = (!is_over).then(|| (whole.clone(), self.nth));
        let request = Request::from_parts(parts, ClientBody::of(body));
        Said::Request(Asked { request, framing, last })
    }

    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        self.fresh = !self.kept.is_empty();
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.decoder {
            Decoder::Over if self.kept.is_empty() => {}
            Decoder::Broken(Flaw::Cut) => return Poll::Ready(()),
            // What comes is the next request's, or nobody's: it is read after the answer.
            Decoder::Over | Decoder::Broken(Flaw::Invalid) => return Poll::Pending,
            Decoder::Chunked(_) | Decoder::Close | Decoder::Length(_) => {
                if self.waiting.as_ref().is_none_or(|waiting| !waiting.will_wake(cx.waker())) {
                    self.waiting = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                match ready!(self.poll_scratch(cx, &mut scratch[..HEAD_READ])) {
                    Ok([]) | Err(_) => return Poll::Ready(()),
                    // Empty lines belong to no request: some clients send one behind a body (RFC 9112 §2.2).
                    Ok(early) if early.iter().all(|byte| b"\r\n".contains(byte)) => {}
                    Ok(early) => {
                        self.keep(early);
                        return Poll::Pending;
                    }
                }
            }
        })
    }

    pub(super) fn poll_scratch<'s>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &'s mut [u8],
    ) -> Poll<io::Result<&'s [u8]>> {
        let Some(half) = &mut self.half else {
            return Poll::Ready(Ok(&[]));
        };
        let mut into = ReadBuf::new(scratch);
        ready!(Pin::new(half).poll_read(cx, &mut into))?;
        let come = into.filled().len();
        Poll::Ready(Ok(&scratch[..come]))
    }
}
