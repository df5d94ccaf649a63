//! The bare floor: a hyper pass-through that replaces the authorization header and does nothing else. One runtime of one
//! thread, a pool of its own. What a proxy of this kind costs at least.
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Connections to the upstream that nobody uses at the moment.
#[derive(Clone, Default)]
struct Pool(Rc<RefCell<Vec<SendRequest<Incoming>>>>);

impl Pool {
    async fn take(&self, to: SocketAddr) -> Result<SendRequest<Incoming>, FloorError> {
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
    sender: Option<SendRequest<Incoming>>,
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

/// Passes on what comes to `listener`, until it is dropped. To be polled inside a [`LocalSet`].
pub async fn serve(listener: TcpListener, to: SocketAddr, bearer: HeaderValue) -> io::Result<()> {
    let pool = Pool::default();
    let host = HeaderValue::try_from(to.to_string()).map_err(io::Error::other)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, bearer, host) = (pool.clone(), bearer.clone(), host.clone());
        let passed = service_fn(move |request| {
            let (pool, bearer, host) = (pool.clone(), bearer.clone(), host.clone());
            async move { pass(request, &pool, to, [bearer, host]).await }
        });
        spawn_local(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            // A client that hangs up is none of the floor's business.
            let _ = server.writev(false).serve_connection(TokioIo::new(stream), passed).await;
        });
    }
}

/// [`serve`] on a set of its own.
pub async fn serve_locally(listener: TcpListener, to: SocketAddr, bearer: HeaderValue) -> io::Result<()> {
    LocalSet::new().run_until(serve(listener, to, bearer)).await
}

async fn pass(
    mut request: Request<Incoming>,
    pool: &Pool,
    to: SocketAddr,
    [bearer, host]: [HeaderValue; 2],
) -> Result<Response<Passing>, FloorError> {
    let mut sender = pool.take(to).await?;
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.insert(AUTHORIZATION, bearer);
    headers.insert(HOST, host);
    let (mut head, body) = sender.send_request(request).await?.into_parts();
    head.headers.remove(CONNECTION);
    let ended = body.is_end_stream();
    let mut passing = Passing { body, sender: Some(sender), pool: pool.clone() };
    if ended {
        pool.0.borrow_mut().extend(passing.sender.take());
    }
    debug_assert_ne!(head.status, StatusCode::SWITCHING_PROTOCOLS);
    Ok(Response::from_parts(head, passing))
}
