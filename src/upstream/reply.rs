use super::decode;
use super::outbound::Progress;
use super::source::Source;
use super::stall::Stall;
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header, response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long a look at an error's body may hold its head back.
const PEEK_PATIENCE: Duration = Duration::from_secs(2);

/// A complete reply head, and the body to come.
#[derive(Debug)]
pub struct Reply {
    /// As the upstream sent it: what may reach the client is the proxy's to decide.
    pub head: response::Parts,
    /// Untouched, from its beginning.
    pub body: ReplyBody,
}

impl Reply {
    pub(super) fn new(head: response::Parts, body: ReplyBody) -> Self {
        Self { head, body }
    }

    /// True for an answer that sends the client elsewhere: it is neither followed nor passed on, for the credential
    /// goes to the provider's origin only.
    pub fn is_redirect(&self) -> bool {
        self.head.status.is_redirection() && self.head.status != StatusCode::NOT_MODIFIED
    }

    /// The beginning of the body, decoded, for the failure rules: at most `most` bytes, and what comes within two
    /// seconds. A body that cannot be decoded shows as it is. The body itself still passes whole.
    pub async fn peek(&mut self, most: usize) -> Bytes {
        let raw = self.body.fill(most).await;
        match self.head.headers.get(header::CONTENT_ENCODING) {
            None => raw,
            Some(coding) => decode::beginning(coding, raw, most).await,
        }
    }
}

/// A reply's body. It fails where nothing comes for the stream-idle time-out and where the upstream breaks off: what
/// is cut never looks complete. Dropping it cancels the request upstream at once.
pub struct ReplyBody {
    kept: VecDeque<Frame<Bytes>>,
    inner: Inner,
    stall: Stall,
    moved: bool,
    upload: Progress,
}

enum Inner {
    Ended,
    Failed(ReplyError),
    Open(Source),
}

/// Why a reply's body ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The upstream broke off.
    #[error("the reply was cut: {0}")]
    Cut(&'static str),
    /// Nothing came for the stream-idle time-out.
    #[error("the reply stalled")]
    Stalled,
    /// The upstream ended it in good form, and its own dialect says that it is not whole.
    #[error("the reply's stream ended before its last event")]
    Unfinished,
}

impl ReplyBody {
    pub(super) fn new(body: Source, stall: Stall, upload: Progress) -> Self {
        let mut reply = Self { kept: VecDeque::new(), inner: Inner::Open(body), stall, moved: false, upload };
        if reply.is_end_stream() {
            reply.end(Inner::Ended);
        }
        reply
    }

    /// Puts a frame that was read back before everything that was not.
    pub fn put_back(&mut self, frame: Frame<Bytes>) {
        self.kept.push_front(frame);
    }

    /// Reads ahead until `most` bytes are kept, the body ends or the patience does, and returns a copy of the first
    /// `most` bytes.
    async fn fill(&mut self, most: usize) -> Bytes {
        let mut held = 0;
        let mut ahead = VecDeque::new();
        let reading = async {
            while held < most
                && let Some(Ok(frame)) = self.frame().await
            {
                held += frame.data_ref().map_or(0, Bytes::len);
                ahead.push_back(frame);
            }
        };
        // Whatever was read in time is enough: the head decides where the body stalls.
        let _ = tokio::time::timeout(PEEK_PATIENCE, reading).await;
        let first = join(&ahead, most);
        self.kept = ahead;
        first
    }

    fn end(&mut self, how: Inner) {
        self.inner = how;
        // An upstream that has answered whole does not need the rest of the request.
        self.upload.stop();
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let body = match &mut self.inner {
            Inner::Ended => return Poll::Ready(None),
            Inner::Failed(error) => return Poll::Ready(Some(Err(*error))),
            Inner::Open(body) => body,
        };
        let error = match body.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.moved = true;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => {
                self.end(Inner::Ended);
                return Poll::Ready(None);
            }
            Poll::Ready(Some(Err(why))) => ReplyError::Cut(why),
            Poll::Pending => {
                let moved = &mut self.moved;
                if self.stall.poll(cx, || mem::take(moved)).is_pending() {
                    return Poll::Pending;
                }
                ReplyError::Stalled
            }
        };
        self.end(Inner::Failed(error));
        Poll::Ready(Some(Err(error)))
    }
}

fn join(frames: &VecDeque<Frame<Bytes>>, most: usize) -> Bytes {
    let mut data = frames.iter().filter_map(Frame::data_ref);
    let Some(first) = data.next() else {
        return Bytes::new();
    };
    let mut rest = data.peekable();
    if rest.peek().is_none() {
        return first.slice(..first.len().min(most));
    }
    let mut joined = BytesMut::from(first.as_ref());
    rest.for_each(|piece| joined.extend_from_slice(piece));
    joined.truncate(most);
    joined.freeze()
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        self.upload.stop();
    }
}

impl std::fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplyBody")
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let Some(frame) = self.kept.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        self.poll_inner(cx)
    }

    fn is_end_stream(&self) -> bool {
        let ended = match &self.inner {
            Inner::Ended => true,
            Inner::Failed(_) => false,
            Inner::Open(body) => body.is_end_stream(),
        };
        ended && self.kept.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.iter().filter_map(Frame::data_ref);
        let kept: u64 = kept.map(|piece| piece.len() as u64).sum();
        let rest = match &self.inner {
            Inner::Ended => SizeHint::with_exact(0),
            Inner::Failed(_) => SizeHint::new(),
            Inner::Open(body) => body.size_hint(),
        };
        let mut whole = SizeHint::new();
        whole.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper() {
            whole.set_upper(upper.saturating_add(kept));
        }
        whole
    }
}
