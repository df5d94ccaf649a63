use super::fault;
use super::http1::Received;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Small chunks that are here are handed on together, up to so many bytes and one chunk more: what a flood of events
/// costs is mostly what each piece costs on its way.
const TOGETHER: usize = 16 * 1024;
/// A chunk from this size on is handed on as it lies.
const LARGE: usize = 4 * 1024;

/// A reply's body as it comes over its connection. Its errors are a word on what cut it.
pub(super) enum Source {
    /// Over HTTP/1.1.
    Line(Received),
    /// Over a connection that many share, or that may leave HTTP.
    Stream(Streamed),
}

impl Source {
    /// The request, where it is still being sent, must not wait for whoever reads the reply.
    pub(super) fn go_on(&mut self) {
        match self {
            Self::Line(received) => received.go_on(),
            // It has a task of its own.
            Self::Stream(_) => {}
        }
    }

    /// The next frame, with the small ones that are here already. Nothing is waited for, and nothing read that is not asked
    /// for.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self {
            Self::Line(received) => received.poll_frame(cx),
            Self::Stream(streamed) => streamed.poll_frame(cx),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        match self {
            Self::Line(received) => received.is_end_stream(),
            Self::Stream(streamed) => streamed.is_end_stream(),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Line(received) => received.size_hint(),
            Self::Stream(streamed) => streamed.body.size_hint(),
        }
    }
}

/// A body that comes a frame at a time.
pub(super) struct Streamed {
    body: Incoming,
    /// What came behind chunks that were handed on together, and is none or a large one.
    behind: Option<Box<Given>>,
}

/// What a body gave.
struct Given(Option<hyper::Result<Frame<Bytes>>>);

impl From<Incoming> for Source {
    fn from(body: Incoming) -> Self {
        Self::Stream(Streamed { body, behind: None })
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let given = ready!(self.poll_given(cx));
        Poll::Ready(given.map(|frame| frame.map_err(|error| fault::explain(&error))))
    }

    fn poll_given(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        if let Some(behind) = self.behind.take() {
            return Poll::Ready(behind.0);
        }
        let first = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
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
            let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx) else { break };
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

    fn is_end_stream(&self) -> bool {
        self.behind.is_none() && self.body.is_end_stream()
    }
}
