//! Connections: HTTP/1.1 over anything, HTTP/2 over anything, and the TCP
//! listener's loop.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::handler;
use crate::hub::Hub;
use crate::socket;
use crate::wire::{self, Farewell, Link, Takeover};

/// Most headers of a request; real services take about as many.
const MAX_HEADERS: usize = 1_000;

/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Serves single connections of a fake, so that a test can put TLS or anything
/// else before it.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) hub: Arc<Hub>,
}

impl Server {
    /// Serves one HTTP/1.1 connection until it ends. A reset, which needs a
    /// TCP socket, becomes a plain drop of `io`.
    pub async fn serve_http1<IO>(self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        http1(self.hub, io, drop).await;
    }

    /// Serves one HTTP/2 connection until it ends. Faults that count the bytes
    /// of a whole reply reset the stream instead.
    pub async fn serve_http2<IO>(self, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let hub = Arc::clone(&self.hub);
        let service = service_fn(move |request| handler::answer(Arc::clone(&hub), request, None));
        let connection =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = self.hub.stopping() => connection.as_mut().graceful_shutdown(),
        }
        // A client that breaks the protocol ends its own connection only.
        let _ended = connection.await;
    }
}

/// Accepts until told to stop, then lets the connections finish.
pub(crate) async fn listen(hub: Arc<Hub>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = hub.stopping() => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(tcp(Arc::clone(&hub), stream));
                }
                // Out of descriptors, or the client is gone: others may end first.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn tcp(hub: Arc<Hub>, stream: TcpStream) {
    // Without it small writes wait for each other; a failure only costs time.
    let _set = stream.set_nodelay(true);
    http1(hub, stream, reset).await;
}

fn reset(stream: TcpStream) {
    // If the socket is already gone there is nothing left to reset.
    let _set = stream.set_zero_linger();
}

async fn http1<IO>(hub: Arc<Hub>, io: IO, reset: fn(IO))
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let link = Arc::new(Link::default());
    let for_requests = (Arc::clone(&hub), Arc::clone(&link));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (hub, link) = for_requests.clone();
        Box::pin(handler::answer(hub, request, Some(link)))
    });
    let mut builder = http1::Builder::new();
    builder.max_headers(MAX_HEADERS);
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let mut stopping = std::pin::pin!(hub.stopping());
    let mut told = false;
    let takeover = loop {
        tokio::select! {
            _ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break None,
            takeover = link.taken() => break Some(takeover),
            () = &mut stopping, if !told => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let mut io = parts.io.into_inner();
    let ended = match takeover {
        None => {
            // The client may have left already, which is as good.
            let _shut = io.shutdown().await;
            return;
        }
        Some(Takeover::Reply(spoilt)) => wire::perform(io, *spoilt).await,
        Some(Takeover::Socket(opening)) => {
            socket::serve(Arc::clone(&hub), io, parts.read_buf, *opening).await
        }
    };
    match ended {
        (io, Farewell::Drop) => drop(io),
        (io, Farewell::Reset) => reset(io),
    }
}
