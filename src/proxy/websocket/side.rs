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
/// Messages that wait to be written before no more is read of an end that does not take them.
const ANSWERS: usize = 8;
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

    /// True while few of the answers that rota gave itself wait to be taken.
    pub(super) fn takes_answers(&self) -> bool {
        self.queue.len() < ANSWERS
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
            let doing = if self.flushing { Doing::Taking } else { Doing::Nothing };
            match self.pulse.poll(cx, doing) {
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
    /// When it was last looked at.
    doing: Doing,
    tick: Pin<Box<Sleep>>,
}

/// What an end does while it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Nothing,
    /// It takes a message.
    Taking,
}

enum Beat {
    Ask,
    Dead,
}

impl Pulse {
    fn new(pace: Pace) -> Self {
        let tick = Box::pin(tokio::time::sleep(pace.ping / PARTS));
        Self { pace, heard: false, quiet: 0, asked: false, doing: Doing::Nothing, tick }
    }

    /// An end that is taking a message is not silent: that takes as long as it may.
    fn poll(&mut self, cx: &mut Context<'_>, doing: Doing) -> Poll<Beat> {
        loop {
            std::task::ready!(self.tick.as_mut().poll(cx));
            if std::mem::take(&mut self.heard) {
                self.quiet = 0;
                self.asked = false;
            } else if std::mem::replace(&mut self.doing, doing) != doing {
                // Another patience begins; what was waited of the one before says nothing of it.
                self.quiet = 0;
            } else {
                self.quiet += 1;
            }
            let patience = match (doing, self.asked) {
                (Doing::Taking, _) => self.pace.stall,
                (Doing::Nothing, true) => self.pace.pong,
                (Doing::Nothing, false) => self.pace.ping,
            };
            self.tick.set(tokio::time::sleep(patience / PARTS));
            if self.quiet >= PARTS {
                self.quiet = 0;
                if doing == Doing::Taking || std::mem::replace(&mut self.asked, true) {
                    return Poll::Ready(Beat::Dead);
                }
                self.tick.set(tokio::time::sleep(self.pace.pong / PARTS));
                return Poll::Ready(Beat::Ask);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{DuplexStream, duplex};

    const PACE: Pace = Pace {
        ping: Duration::from_secs(30),
        pong: Duration::from_secs(10),
        stall: Duration::from_secs(300),
    };

    /// PRX-5
    #[tokio::test(start_paused = true)]
    async fn an_end_is_asked_after_its_silence_and_cut_where_it_does_not_answer() {
        let (mut side, other) = pair().await;
        quiet_for(&mut side, 29).await;
        assert!(matches!(within(&mut side, 2).await, Event::Written), "a ping");
        quiet_for(&mut side, 8).await;
        assert!(matches!(within(&mut side, 2).await, Event::Lost));
        drop(other);
    }

    /// PRX-5
    #[tokio::test(start_paused = true)]
    async fn an_end_that_answers_is_kept_and_asked_again() {
        let (mut side, other) = pair().await;
        let mut other = client(other).await;
        // Reading answers pings.
        tokio::spawn(async move { while !matches!(other.next(Room::Free).await, Event::Lost) {} });
        for _ in 0..20 {
            quiet_for(&mut side, 28).await;
            assert!(matches!(within(&mut side, 6).await, Event::Written), "a ping, and another");
        }
    }

    /// PRX-5
    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_taking_a_message_has_longer() {
        let (mut side, other) = pair().await;
        side.say(Message::binary(vec![0; 1 << 20]));
        quiet_for(&mut side, 299).await;
        assert!(matches!(within(&mut side, 10).await, Event::Lost));
        drop(other);
    }

    /// PRX-5
    #[tokio::test(start_paused = true)]
    async fn a_message_after_a_long_silence_is_not_held_against_the_end() {
        let (mut side, other) = pair().await;
        assert!(tokio::time::timeout(PACE.ping - PACE.ping / 20, side.next(Room::Free)).await.is_err());
        side.say(Message::binary(vec![0; 1 << 20]));
        assert!(
            tokio::time::timeout(PACE.ping, side.next(Room::Free)).await.is_err(),
            "it is still taking it"
        );
        drop(other);
        assert!(matches!(side.next(Room::Free).await, Event::Lost));
    }

    /// PRX-4
    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_is_answered_a_few_times() {
        let (mut side, other) = pair().await;
        // The 128 KiB that the library keeps to write, and the message that is being written.
        let written = (128 * 1024) / 8192 + 1;
        let mut said = 0;
        while side.takes_answers() && said < 1000 {
            side.say(Message::binary(vec![0; 8192]));
            said += 1;
            quiet_for(&mut side, 1).await;
        }
        assert!(said <= ANSWERS + written, "{said}");
        drop(other);
    }

    /// PRX-4: nothing is read before there is room for it.
    #[tokio::test(start_paused = true)]
    async fn a_message_waits_where_there_is_no_room_and_comes_whole_where_there_is() {
        let (mut side, other) = pair().await;
        let mut other = client(other).await;
        other.say(Message::text("hello"));
        assert!(matches!(other.next(Room::Free).await, Event::Written));
        let waiting = tokio::time::timeout(PACE.ping * 9, side.next(Room::None)).await;
        assert!(waiting.is_err(), "{waiting:?}");
        assert!(
            matches!(side.next(Room::Free).await, Event::Message(text) if text == Message::text("hello"))
        );
    }

    async fn pair() -> (Side<DuplexStream>, DuplexStream) {
        let (near, far) = duplex(4096);
        (Side::new(near, Bytes::new(), Role::Server, PACE).await, far)
    }

    async fn client(far: DuplexStream) -> Side<DuplexStream> {
        let patient = Pace { ping: PACE.ping * 1000, ..PACE };
        Side::new(far, Bytes::new(), Role::Client, patient).await
    }

    async fn quiet_for(side: &mut Side<DuplexStream>, secs: u64) {
        let waited = tokio::time::timeout(Duration::from_secs(secs), side.next(Room::Free)).await;
        assert!(waited.is_err(), "{waited:?}");
    }

    async fn within(side: &mut Side<DuplexStream>, secs: u64) -> Event {
        let waited = tokio::time::timeout(Duration::from_secs(secs), side.next(Room::Free)).await;
        waited.expect("something happens")
    }
}
