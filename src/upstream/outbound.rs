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
pub struct OutboundBody(Arc<Shared>);

/// What the sender of a request knows of its body while the connection has it.
pub(super) struct Progress(Arc<Shared>);

/// In one piece of memory: the body is its connection's, how far it got is its sender's, too.
struct Shared<B: ?Sized = dyn Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send + Unpin> {
    upload: Upload,
    body: Mutex<B>,
}

impl OutboundBody {
    /// Sends `body`. An exact size hint becomes `Content-Length`; without one the body goes out in chunks.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let upload = Upload::default();
        if body.is_end_stream() {
            upload.reach(Stage::Sent);
        }
        let into: fn(B::Error) -> Box<dyn Error + Send + Sync> = Into::into;
        Self(Arc::new(Shared { upload, body: Mutex::new(body.map_err(into)) }))
    }

    pub(super) fn progress(&self) -> Progress {
        Progress(self.0.clone())
    }
}

impl std::ops::Deref for Progress {
    type Target = Upload;

    fn deref(&self) -> &Upload {
        &self.0.upload
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
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Shared { upload, body } = &*self.0;
        match upload.flow(cx) {
            Flow::Go => {}
            Flow::Pause => return Poll::Pending,
            Flow::Stop => return Poll::Ready(Some(Err("the reply came first".into()))),
        }
        let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
        let polled = Pin::new(&mut *body).poll_frame(cx);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                upload.moved.store(true, Ordering::Relaxed);
                if body.is_end_stream() || body.size_hint().exact() == Some(0) {
                    upload.reach(Stage::Sent);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Ok(_)) | None) => {
                upload.reach(Stage::Sent);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                upload.reach(Stage::Broken);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
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

/// How far it got, and whether it goes on.
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
