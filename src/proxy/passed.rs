//! An upstream's reply on its way to the client: every byte of it and no other, but for the keep-alives that the preset
//! words and the user wants. What it tells goes to the request's accounting. Where it is cut, it is cut here too.
use super::flight::{Ending, Flight};
use super::watch::{Seen, Watch};
use crate::model::Provider;
use crate::upstream::{Reply, ReplyBody, ReplyError, Stall};
use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// See the module. Dropping it ends the request's accounting.
#[derive(Debug)]
pub(super) struct Passed {
    body: ReplyBody,
    flight: Flight,
    sight: Option<Sight>,
}

/// What looks at a reply.
#[derive(Debug)]
pub(super) struct Sight {
    watch: Watch,
    /// As the upstream sent them: rules read them beside a refusing event. None of a body that has no events.
    headers: HeaderMap,
    /// The client is told how many bytes come.
    counted: bool,
    alive: Option<KeepAlive>,
}

impl Sight {
    /// None for a reply whose body tells nothing.
    pub(super) fn of(reply: &Reply, provider: &Arc<Provider>, keep_alive: Option<Duration>) -> Option<Self> {
        let headers = &reply.head.headers;
        let watch = Watch::of(provider, headers)?;
        let counted = reply.body.size_hint().exact().is_some_and(|length| length > 0);
        let alive = keep_alive.filter(|_| !counted && watch.keep_alive().is_some());
        let alive = alive.map(|every| KeepAlive { every, stall: Stall::new(every), moved: false });
        let headers = if watch.is_of_stream() { headers.clone() } else { HeaderMap::new() };
        Some(Self { watch, headers, counted, alive })
    }

    /// True for a reply that is a stream of events.
    pub(super) fn is_of_stream(&self) -> bool {
        self.watch.is_of_stream()
    }

    fn read(&mut self, piece: &[u8], flight: &mut Flight) {
        let Self { watch, headers, alive, .. } = self;
        watch.read(piece, |seen| match seen {
            Seen::Mark(mark) => flight.learnt(mark),
            Seen::Refusal(event) => flight.refused_late(headers, &event),
        });
        if let Some(alive) = alive {
            alive.moved = true;
        }
    }

    /// Ready with what keeps a waiting client, when it is time for it.
    fn keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let (Some(alive), Some(event)) = (&mut self.alive, self.watch.keep_alive()) else {
            return Poll::Pending;
        };
        let KeepAlive { every, stall, moved } = alive;
        ready!(stall.poll(cx, || std::mem::take(moved)));
        stall.restart(*every);
        Poll::Ready(Bytes::copy_from_slice(event.as_bytes()))
    }
}

/// When the next one is due.
struct KeepAlive {
    every: Duration,
    stall: Stall,
    moved: bool,
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeepAlive({:?})", self.every)
    }
}

impl Passed {
    /// The head is gone; this is what follows.
    pub(super) fn new(body: ReplyBody, flight: Flight, sight: Option<Sight>) -> Self {
        let mut passed = Self { body, flight, sight };
        if passed.is_end_stream() {
            passed.flight.end(Ending::Complete);
        }
        passed
    }

    /// True where the client has all of it.
    pub(super) fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !self.is_unfinished()
    }

    /// What is known of its length. An unfinished stream that was not counted has none: what there is of it is cut.
    pub(super) fn size_hint(&self) -> SizeHint {
        let counted = self.sight.as_ref().is_none_or(|sight| sight.counted);
        if counted || !self.is_unfinished() { self.body.size_hint() } else { SizeHint::new() }
    }

    /// The next piece. Trailers are dropped: the head that would announce them is gone.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        loop {
            return match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    let Some(sight) = &mut self.sight else {
                        return Poll::Pending;
                    };
                    sight.keep_alive(cx).map(|event| Some(Ok(Frame::data(event))))
                }
                Poll::Ready(None) if self.is_unfinished() => self.cut(ReplyError::Unfinished),
                Poll::Ready(None) => {
                    self.flight.end(Ending::Complete);
                    Poll::Ready(None)
                }
                Poll::Ready(Some(Err(error))) => self.cut(error),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => self.piece(piece),
                    Err(_) => continue,
                },
            };
        }
    }

    fn piece(&mut self, piece: Bytes) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let Some(sight) = &mut self.sight {
            sight.read(&piece, &mut self.flight);
        }
        // A body of known length is not polled to its end.
        if self.body.is_end_stream() {
            if !self.is_unfinished() {
                self.flight.end(Ending::Complete);
            } else if self.sight.as_ref().is_some_and(|sight| sight.counted) {
                // Who counts bytes must not get the last of them.
                return self.cut(ReplyError::Unfinished);
            }
        }
        self.flight.sent(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// What came before has gone to the client; it never looks complete.
    fn cut(&mut self, why: ReplyError) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        self.flight.end(Ending::Cut);
        Poll::Ready(Some(Err(why)))
    }

    fn is_unfinished(&self) -> bool {
        self.sight.as_ref().is_some_and(|sight| sight.watch.is_unfinished())
    }
}
