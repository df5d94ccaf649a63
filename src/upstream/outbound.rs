use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A request on its way to a provider, with no credential in it yet.
#[derive(Debug)]
pub struct OutboundRequest {
    /// As the client sent it.
    pub method: Method,
    /// The mapped path, base included, and the query.
    pub path_and_query: PathAndQuery,
    /// The client's, without what names a client, a connection or an account.
    pub headers: HeaderMap,
    /// Streamed as it comes.
    pub body: OutboundBody,
}

/// A request body that tells how far it got and can be stopped. Trailers are dropped.
pub struct OutboundBody {
    inner: Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send>>,
    upload: Arc<Upload>,
}

impl OutboundBody {
    /// Sends `body`. An exact size hint becomes `Content-Length`; without one the body goes out in chunks.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let upload = Upload::default();
        if body.is_end_stream() {
            upload.reach(Stage::Sent);
        }
        Self { inner: Box::pin(body.map_err(Into::into)), upload: Arc::new(upload) }
    }

    pub(super) fn upload(&self) -> Arc<Upload> {
        self.upload.clone()
    }
}

impl std::fmt::Debug for OutboundBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OutboundBody")
    }
}

impl Body for OutboundBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.upload.flow(cx) {
            Flow::Go => {}
            Flow::Pause => return Poll::Pending,
            Flow::Stop => return Poll::Ready(Some(Err("the reply came first".into()))),
        }
        let polled = self.inner.as_mut().poll_frame(cx);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.upload.moved.store(true, Ordering::Relaxed);
                if self.inner.is_end_stream() || self.inner.size_hint().exact() == Some(0) {
                    self.upload.reach(Stage::Sent);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Ok(_)) | None) => {
                self.upload.reach(Stage::Sent);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.upload.reach(Stage::Broken);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// How far a request body got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// Not all of it is handed to the connection.
    Sending,
    /// All of it is.
    Sent,
    /// It ended in an error of its own: the client's doing.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Flow {
    Go,
    Pause,
    Stop,
}

/// What the sender of a request knows of its body while the connection's task has it.
#[derive(Debug, Default)]
pub(super) struct Upload {
    stage: AtomicU8,
    flow: AtomicU8,
    moved: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

impl Upload {
    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Sending,
            1 => Stage::Sent,
            _ => Stage::Broken,
        }
    }

    /// Whether anything was sent since this was last asked.
    pub(super) fn take_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed) && self.moved.swap(false, Ordering::Relaxed)
    }

    /// Sends no more for now: the upstream has answered without wanting the rest.
    pub(super) fn pause(&self) {
        self.flow.store(Flow::Pause as u8, Ordering::Release);
    }

    /// Sends no more at all; a connection with half a request on it is closed.
    pub(super) fn stop(&self) {
        if self.stage() != Stage::Sending {
            return;
        }
        self.flow.store(Flow::Stop as u8, Ordering::Release);
        let waiting = self.lock().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn reach(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    fn flow(&self, cx: &Context<'_>) -> Flow {
        if self.flow.load(Ordering::Acquire) == Flow::Go as u8 {
            return Flow::Go;
        }
        *self.lock() = Some(cx.waker().clone());
        match self.flow.load(Ordering::Acquire) {
            0 => Flow::Go,
            1 => Flow::Pause,
            _ => Flow::Stop,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
