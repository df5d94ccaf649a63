//! One end of a tunnel: messages in, messages out, and whether anybody is still there. It reads no message before it is
//! told that there is room for one, so nothing piles up.
use futures_util::{Sink, Stream};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

/// A message at most, in bytes: what a provider takes of one request, with room.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;
/// Bytes read at a time.
const READ: usize = 16 * 1024;
/// How long a goodbye is waited for.
const GOODBYE: Duration = Duration::from_secs(2);
/// Parts a patience is cut into, so that a message that comes costs no timer.
const PARTS: u32 = 16;

/// What happens at one end.
#[derive(Debug)]
pub(super) enum Event {
    /// It said goodbye.
    Closed(Option<CloseFrame>),
    /// It is gone without a word, or has broken the protocol.
    Lost,
    /// A text or a binary message.
    Message(Message),
    /// A message longer than [`LONGEST`].
    TooLong,
    /// All that was to be written is.
    Written,
}

/// How long an end may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Before it is asked.
    pub(super) ping: Duration,
    /// Before its answer.
    pub(super) pong: Duration,
    /// For taking one message.
    pub(super) stall: Duration,
}

/// See the module.
pub(super) struct Side<S> {
    ws: WebSocketStream<S>,
    queue: VecDeque<Message>,
    flushing: bool,
    pulse: Pulse,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    /// An end after its handshake; `early` was read of it already.
    pub(super) async fn new(io: S, early: Bytes, role: Role, pace: Pace) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ)
            .max_message_size(Some(LONGEST))
            .max_frame_size(Some(LONGEST));
        let ws = WebSocketStream::from_partially_read(io, early.to_vec(), role, Some(config)).await;
        Self { ws, queue: VecDeque::new(), flushing: false, pulse: Pulse::new(pace) }
    }

    /// True when all was written: there is room for one more.
    pub(super) fn is_free(&self) -> bool {
        self.queue.is_empty() && !self.flushing
    }

    /// Writes a message as soon as may be.
    pub(super) fn say(&mut self, message: Message) {
        self.queue.push_back(message);
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, code: CloseCode, reason: &'static str) {
        self.say(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
    }

    /// What happens next. Safe to drop at any moment.
    pub(super) async fn next(&mut self, room: Room) -> Event {
        poll_fn(|cx| self.poll(cx, room)).await
    }

    /// Writes what is left and waits for the other end's goodbye, for a moment.
    pub(super) async fn part(mut self) {
        let parting = async { while !matches!(self.next(Room::Free).await, Event::Lost) {} };
        let _ = tokio::time::timeout(GOODBYE, parting).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, room: Room) -> Poll<Event> {
        loop {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Written),
                Poll::Ready(Err(_)) => return Poll::Ready(Event::Lost),
                Poll::Pending => {}
            }
            if room == Room::None {
                self.pulse.heard = true;
            } else if let Poll::Ready(heard) = Pin::new(&mut self.ws).poll_next(cx) {
                self.pulse.heard = true;
                match heard {
                    Some(Ok(Message::Close(frame))) => return Poll::Ready(Event::Closed(frame)),
                    Some(Ok(message @ (Message::Binary(_) | Message::Text(_)))) => {
                        return Poll::Ready(Event::Message(message));
                    }
                    // The answer to a ping is written by itself.
                    Some(Ok(Message::Frame(_) | Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Err(Error::Capacity(_))) => return Poll::Ready(Event::TooLong),
                    Some(Err(_)) | None => return Poll::Ready(Event::Lost),
                }
            }
            let busy = self.flushing;
            match self.pulse.poll(cx, busy) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Beat::Dead) => return Poll::Ready(Event::Lost),
                Poll::Ready(Beat::Ask) => self.say(Message::Ping(Bytes::new())),
            }
        }
    }

    /// Ready when something was written out; pending as well where nothing is to be.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut ws = Pin::new(&mut self.ws);
        while !self.queue.is_empty() {
            std::task::ready!(ws.as_mut().poll_ready(cx))?;
            if let Some(message) = self.queue.pop_front() {
                ws.as_mut().start_send(message)?;
                self.flushing = true;
            }
        }
        if !self.flushing {
            return Poll::Pending;
        }
        std::task::ready!(ws.poll_flush(cx))?;
        self.flushing = false;
        Poll::Ready(Ok(()))
    }
}

/// Whether a message that comes could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    None,
}

impl Room {
    /// Of the other end.
    pub(super) fn at<S: AsyncRead + AsyncWrite + Unpin>(other: &Side<S>) -> Self {
        if other.is_free() { Self::Free } else { Self::None }
    }
}

/// Tells when an end has been silent for too long.
struct Pulse {
    pace: Pace,
    heard: bool,
    quiet: u32,
    asked: bool,
    tick: Pin<Box<Sleep>>,
}

enum Beat {
    Ask,
    Dead,
}

impl Pulse {
    fn new(pace: Pace) -> Self {
        let tick = Box::pin(tokio::time::sleep(pace.ping / PARTS));
        Self { pace, heard: false, quiet: 0, asked: false, tick }
    }

    /// An end that is taking a message is not silent: that takes as long as it may.
    fn poll(&mut self, cx: &mut Context<'_>, taking: bool) -> Poll<Beat> {
        loop {
            std::task::ready!(self.tick.as_mut().poll(cx));
            if std::mem::take(&mut self.heard) {
                self.quiet = 0;
                self.asked = false;
            } else {
                self.quiet += 1;
            }
            let patience = match (taking, self.asked) {
                (true, _) => self.pace.stall,
                (false, true) => self.pace.pong,
                (false, false) => self.pace.ping,
            };
            self.tick.set(tokio::time::sleep(patience / PARTS));
            if self.quiet >= PARTS {
                self.quiet = 0;
                if taking || std::mem::replace(&mut self.asked, true) {
                    return Poll::Ready(Beat::Dead);
                }
                self.tick.set(tokio::time::sleep(self.pace.pong / PARTS));
                return Poll::Ready(Beat::Ask);
            }
        }
    }
}
