//! One connection to an upstream, driven by whoever has it: an HTTP/1.1 connection has no task of its own. So a chunk of
//! a reply costs no hand-over between tasks, all that has come is read in one go, and to drop a request is to close its
//! connection.
use super::connect::Stream;
use super::outbound::OutboundBody;
use super::pool::{Load, Pool};
use crate::model::Origin;
use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

/// An HTTP/1.1 connection. It is large, and changes hands with every request.
pub(super) struct Line(Box<Ends>);

struct Ends {
    load: Load,
    /// What the connection is polled with.
    waker: Waker,
    bell: Arc<Bell>,
    sender: SendRequest<OutboundBody>,
    /// None once it has ended.
    connection: Option<Connection<Stream, OutboundBody>>,
}

/// Wakes whoever drives a line, but for what they do themselves: to take a chunk of the body tells the connection that
/// there is room, and whoever takes it looks at the connection next.
struct Bell {
    task: AtomicWaker,
    state: AtomicU8,
    /// It was rung since the connection was polled last: without that, nothing can have happened on it.
    rung: AtomicBool,
}

/// It rings.
const OPEN: u8 = 0;
/// It does not.
const MUFFLED: u8 = 1;
/// It did not, and was rung meanwhile, maybe by somebody else.
const MISSED: u8 = 2;

impl Default for Bell {
    fn default() -> Self {
        Self { task: AtomicWaker::new(), state: AtomicU8::new(OPEN), rung: AtomicBool::new(true) }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        if self.state.compare_exchange(MUFFLED, MISSED, Ordering::AcqRel, Ordering::Acquire) == Err(OPEN) {
            self.task.wake();
        }
    }
}

/// Whether anything can have happened on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    Some,
}

impl Ends {
    /// Reads and writes what can be, where there is news.
    fn drive(&mut self, cx: &Context<'_>) -> News {
        self.bell.task.register(cx.waker());
        if !self.bell.rung.swap(false, Ordering::AcqRel) {
            return News::None;
        }
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(&mut Context::from_waker(&self.waker)).is_ready()
        {
            self.connection = None;
        }
        News::Some
    }
}

impl Line {
    /// HTTP/1.1 over `stream`.
    pub(super) async fn open(stream: Stream, load: Load) -> hyper::Result<Self> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(load.buffer()).writev(load == Load::Heavy);
        let (sender, connection) = builder.handshake(stream).await?;
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(Arc::clone(&bell));
        Ok(Self(Box::new(Ends { load, waker, bell, sender, connection: Some(connection) })))
    }

    /// What it is for.
    pub(super) fn load(&self) -> Load {
        self.0.load
    }

    fn has_ended(&self) -> bool {
        self.0.connection.is_none()
    }

    /// True where it takes a request now: both messages of the last exchange are whole.
    pub(super) fn is_free(&self) -> bool {
        !self.has_ended() && self.0.sender.is_ready()
    }

    /// As [`is_free`](Self::is_free), with a look at what the upstream did meanwhile. `cx` is woken by what it does next.
    pub(super) fn is_still_free(&mut self, cx: &Context<'_>) -> bool {
        self.0.drive(cx);
        self.is_free()
    }

    /// Sends `request` and returns the reply's head. Dropping the future leaves half an exchange: the line must go, too.
    pub(super) async fn exchange(
        &mut self,
        request: Request<OutboundBody>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut answer = pin!(self.0.sender.send_request(request));
        poll_fn(|cx| {
            self.0.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// What is here of the reply's body. The connection is looked at before or after, and wakes; this needs no waker.
    fn chunk(&self, body: &mut Incoming) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let bell = &self.0.bell;
        bell.state.store(MUFFLED, Ordering::Release);
        let chunk = Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        // Whoever got a chunk asks again.
        if bell.state.swap(OPEN, Ordering::AcqRel) == MISSED && chunk.is_pending() {
            bell.task.wake();
        }
        chunk
    }

    /// Lets it go on by itself: the request is still being sent though its reply has come, and must not wait for whoever
    /// reads the reply.
    pub(super) fn detach(self) {
        let Ends { sender, connection, .. } = *self.0;
        if let Some(connection) = connection {
            tokio::spawn(async move {
                // What goes wrong shows in the reply's body.
                let _ = connection.await;
                drop(sender);
            });
        }
    }
}

/// A line that goes back to its pool when it is free.
pub(super) struct Loan {
    pub(super) line: Line,
    pub(super) pool: Pool,
    pub(super) origin: Origin,
}

/// Small chunks that are here are handed on together, up to so many bytes and one chunk more: what a flood of events
/// costs is mostly what each piece costs on its way.
const TOGETHER: usize = 16 * 1024;
/// A chunk from this size on is handed on as it lies.
const LARGE: usize = 4 * 1024;

/// What a body gave.
struct Given(Option<hyper::Result<Frame<Bytes>>>);

/// A reply's body, and the line it comes over, unless that has a task of its own.
pub(super) struct Source {
    body: Incoming,
    loan: Option<Loan>,
    /// What came behind chunks that were handed on together, and is none or a large one.
    behind: Option<Box<Given>>,
}

impl Source {
    pub(super) fn new(body: Incoming, loan: Option<Loan>) -> Self {
        let mut source = Self { body, loan, behind: None };
        source.settle();
        source
    }

    /// Gives the line back once the exchange is over; a line that has ended, or whose reply nobody reads any more, goes.
    fn settle(&mut self) {
        let over = |loan: &Loan| loan.line.has_ended() || loan.line.is_free();
        let Some(Loan { line, pool, origin }) = self.loan.take_if(|loan| over(loan)) else {
            return;
        };
        if line.is_free() {
            pool.give(origin, line);
        }
    }

    /// The next frame, with the small ones that are here already. Nothing is waited for, and nothing read that is not asked
    /// for.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind.0);
        }
        let first = match ready!(self.poll_one(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            },
            end => return Poll::Ready(end),
        };
        Poll::Ready(Some(Ok(Frame::data(self.gather(first, cx)))))
    }

    fn gather(&mut self, first: Bytes, cx: &mut Context<'_>) -> Bytes {
        if first.len() >= LARGE {
            return first;
        }
        let mut together = BytesMut::new();
        while together.len() < TOGETHER && self.behind.is_none() && !self.body.is_end_stream() {
            let Poll::Ready(next) = self.poll_one(cx) else { break };
            let data = match next {
                Some(Ok(frame)) => frame.into_data().map_err(|other| Some(Ok(other))),
                end => Err(end),
            };
            match data {
                Ok(data) if data.len() >= LARGE => {
                    self.behind = Some(Box::new(Given(Some(Ok(Frame::data(data))))));
                }
                Ok(data) if together.is_empty() => {
                    together.reserve(2 * LARGE);
                    together.extend_from_slice(&first);
                    together.extend_from_slice(&data);
                }
                Ok(data) => together.extend_from_slice(&data),
                Err(behind) => self.behind = Some(Box::new(Given(behind))),
            }
        }
        if together.is_empty() { first } else { together.freeze() }
    }

    fn poll_one(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(loan) = &mut self.loan else {
            return Pin::new(&mut self.body).poll_frame(cx);
        };
        if let Poll::Ready(frame) = loan.line.chunk(&mut self.body) {
            return Poll::Ready(frame);
        }
        if loan.line.0.drive(cx) == News::None {
            return Poll::Pending;
        }
        let polled = loan.line.chunk(&mut self.body);
        self.settle();
        if polled.is_pending() && self.loan.is_none() {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        polled
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.behind.is_none() && self.body.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
