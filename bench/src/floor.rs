//! The bare floor: a hyper pass-through that replaces the authorization header and does nothing else. One runtime of one
//! thread, a pool of its own. What a proxy of this kind costs at least. With a second bearer it keeps a request's body,
//! and sends the request once more with that where the first was answered 429.
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Connections to the upstream that nobody uses at the moment.
#[derive(Clone, Default)]
struct Pool(Rc<RefCell<Vec<SendRequest<Sent>>>>);

impl Pool {
    async fn take(&self, to: SocketAddr) -> Result<SendRequest<Sent>, FloorError> {
        loop {
            let kept = self.0.borrow_mut().pop();
            let Some(mut sender) = kept else {
                break;
            };
            if sender.is_ready() || sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::Builder::new().writev(false).handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        Ok(sender)
    }
}

/// Why a request was not passed on.
#[derive(Debug, thiserror::Error)]
enum FloorError {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A reply's body, whose connection goes back to the pool at its end.
struct Passing {
    body: Incoming,
    sender: Option<SendRequest<Sent>>,
    pool: Pool,
}

impl Body for Passing {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            let pool = self.pool.clone();
            pool.0.borrow_mut().extend(self.sender.take());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What goes to the upstream as a body.
enum Sent {
    /// As it comes.
    Passing(Incoming),
    /// All of it, kept.
    Whole(Option<Bytes>),
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Passing(body) => Pin::new(body).poll_frame(context),
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passing(body) => body.is_end_stream(),
            Self::Whole(bytes) => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passing(body) => body.size_hint(),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

/// What is put into the authorization header.
#[derive(Clone, Debug)]
pub struct Bearers {
    /// At first.
    pub first: HeaderValue,
    /// Once more, where the first is answered 429; none: that is passed on.
    pub then: Option<HeaderValue>,
}

/// Passes on what comes to `listener`, until it is dropped. To be polled inside a [`LocalSet`].
pub async fn serve(listener: TcpListener, to: SocketAddr, bearers: Bearers) -> io::Result<()> {
    let pool = Pool::default();
    let host = HeaderValue::try_from(to.to_string()).map_err(io::Error::other)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, bearers, host) = (pool.clone(), bearers.clone(), host.clone());
        let passed = service_fn(move |request| {
            let (pool, Bearers { first, then }, host) = (pool.clone(), bearers.clone(), host.clone());
            async move {
                match then {
                    None => pass(request, &pool, to, [first, host]).await,
                    Some(then) => pass_or_again(request, &pool, to, [first, then, host]).await,
                }
            }
        });
        spawn_local(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            // A client that hangs up is none of the floor's business.
            let _ = server.writev(false).serve_connection(TokioIo::new(stream), passed).await;
        });
    }
}

/// [`serve`] on a set of its own.
pub async fn serve_locally(listener: TcpListener, to: SocketAddr, bearers: Bearers) -> io::Result<()> {
    LocalSet::new().run_until(serve(listener, to, bearers)).await
}

async fn pass(
    mut request: Request<Incoming>,
    pool: &Pool,
    to: SocketAddr,
    [bearer, host]: [HeaderValue; 2],
) -> Result<Response<Passing>, FloorError> {
    let mut sender = pool.take(to).await?;
    prepare(request.headers_mut(), bearer, host);
    let reply = sender.send_request(request.map(Sent::Passing)).await?;
    Ok(answer(reply, sender, pool))
}

/// With the first bearer, and where that is answered 429 with the second.
async fn pass_or_again(
    request: Request<Incoming>,
    pool: &Pool,
    to: SocketAddr,
    [first, then, host]: [HeaderValue; 3],
) -> Result<Response<Passing>, FloorError> {
    let (mut head, body) = request.into_parts();
    let whole = collected(body).await?;
    prepare(&mut head.headers, first, host);
    let mut sender = pool.take(to).await?;
    let sent = Request::from_parts(head.clone(), Sent::Whole(Some(whole.clone())));
    let reply = sender.send_request(sent).await?;
    if reply.status() != StatusCode::TOO_MANY_REQUESTS {
        return Ok(answer(reply, sender, pool));
    }
    collected(reply.into_body()).await?;
    pool.0.borrow_mut().push(sender);
    head.headers.insert(AUTHORIZATION, then);
    let mut sender = pool.take(to).await?;
    let reply = sender.send_request(Request::from_parts(head, Sent::Whole(Some(whole)))).await?;
    Ok(answer(reply, sender, pool))
}

fn prepare(headers: &mut HeaderMap, bearer: HeaderValue, host: HeaderValue) {
    headers.remove(CONNECTION);
    headers.insert(AUTHORIZATION, bearer);
    headers.insert(HOST, host);
}

/// The reply as it goes to the client; its connection goes back to the pool at its end.
fn answer(reply: Response<Incoming>, sender: SendRequest<Sent>, pool: &Pool) -> Response<Passing> {
    let (mut head, body) = reply.into_parts();
    head.headers.remove(CONNECTION);
    let ended = body.is_end_stream();
    let mut passing = Passing { body, sender: Some(sender), pool: pool.clone() };
    if ended {
        pool.0.borrow_mut().extend(passing.sender.take());
    }
    debug_assert_ne!(head.status, StatusCode::SWITCHING_PROTOCOLS);
    Response::from_parts(head, passing)
}

/// The whole body.
async fn collected(mut body: Incoming) -> Result<Bytes, FloorError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame?.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}
