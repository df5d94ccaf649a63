//! The wire against real sockets: servers that lie, stall, cut and refuse.
mod http1;
mod http2;
mod pool;
mod tls;
mod upload;

use super::{
    OutboundBody, OutboundRequest, ProxyValues, Reply, ReplyBody, ReplyError, Sent, Trust, Upstream,
    UpstreamConfig,
};
use crate::model::{
    Credential, CredentialKind, Dialect, HeaderField, HeaderTemplate, Identity, Injection, Origin, Provider,
    ProviderId, Secret, Time,
};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Body;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const TOKEN: &str = "canary-4711";

/// A server of raw bytes.
struct Peer {
    port: u16,
    seen: Seen,
}

/// What a server saw.
#[derive(Clone, Default)]
struct Seen {
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Seen {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn note(&self, request: String) {
        self.requests.lock().unwrap().push(request);
    }
}

impl Peer {
    /// Hands every connection to `serve`.
    async fn start<F, S>(serve: F) -> Self
    where
        F: Fn(TcpStream, Seen) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let noting = seen.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                noting.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(socket, noting.clone()));
            }
        });
        Self { port, seen }
    }

    fn http(&self) -> Provider {
        provider(&format!("http://127.0.0.1:{}", self.port))
    }

    fn https(&self) -> Provider {
        provider(&format!("https://localhost:{}", self.port))
    }
}

fn provider(origin: &str) -> Provider {
    let bearer = HeaderTemplate {
        before: "Bearer ".to_owned(),
        field: Some(HeaderField::Access),
        after: String::new(),
    };
    let injection = Injection { set: vec![(header::AUTHORIZATION, bearer)], ..Injection::default() };
    Provider {
        id: ProviderId::try_from("test").unwrap(),
        name: "Test".to_owned(),
        origin: Origin::parse(origin).unwrap(),
        base: String::new(),
        maps: Vec::new(),
        routes: Vec::new(),
        dialect: Dialect::Responses,
        subscription: false,
        session_headers: Vec::new(),
        replay_safe: Vec::new(),
        strip: Vec::new(),
        strip_query: Vec::new(),
        inject: BTreeMap::from([(CredentialKind::ApiKey, injection)]),
        token: None,
        login: None,
        conversation: Arc::default(),
        rules: Vec::new(),
        limits: Vec::new(),
        usage: None,
        probe: None,
    }
}

fn credential() -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new(TOKEN),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: Time::default(),
        expires: None,
    }
}

fn config() -> UpstreamConfig {
    UpstreamConfig {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(30),
        stream_idle: Duration::from_secs(30),
        trust: Trust { roots: super::Roots::Bundled, ..Trust::default() },
        proxies: ProxyValues::default(),
    }
}

fn upstream() -> Upstream {
    Upstream::new(&config()).unwrap()
}

fn get() -> OutboundRequest {
    outbound(Method::GET, OutboundBody::new(Empty::<Bytes>::new()))
}

fn post(body: impl Into<Bytes>) -> OutboundRequest {
    outbound(Method::POST, OutboundBody::new(Full::new(body.into())))
}

fn outbound(method: Method, body: OutboundBody) -> OutboundRequest {
    OutboundRequest {
        method,
        path_and_query: "/v1/responses?stream=true".parse().unwrap(),
        headers: HeaderMap::new(),
        body,
    }
}

async fn replied(upstream: &Upstream, provider: &Provider, request: OutboundRequest) -> Reply {
    let sent = upstream.send(provider, &credential(), request).await;
    let Sent::Replied(reply) = sent else {
        panic!("no reply: {sent:?}");
    };
    reply
}

async fn whole(reply: Reply) -> Result<Bytes, ReplyError> {
    Ok(reply.body.collect().await?.to_bytes())
}

/// The outcome without its text.
fn kind(sent: &Sent) -> String {
    match sent {
        Sent::BodyBroke => "BodyBroke".to_owned(),
        Sent::Lost(phase, _) => format!("Lost {phase:?}"),
        Sent::NotSent(phase, _) => format!("NotSent {phase:?}"),
        Sent::Replied(reply) => format!("Replied {}", reply.head.status.as_u16()),
        Sent::Unprocessed(_) => "Unprocessed".to_owned(),
    }
}

/// One request: its head and as many bytes of body as that names. None at the end of the connection.
/// Takes the first piece of a body, and the second only when it has long been there: as a client that reads slowly makes
/// hyper do. The peer goes on at `go`, and tells what it did by `done`.
async fn two_looks(mut body: ReplyBody, go: &Notify, done: &Notify) -> Vec<Bytes> {
    let told = Arc::new(Told::default());
    let waker = Waker::from(told.clone());
    let mut look = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
    let first = loop {
        match look() {
            Poll::Ready(frame) => break frame,
            Poll::Pending => told.0.notified().await,
        }
    };
    go.notify_one();
    done.notified().await;
    news().await;
    news().await;
    let Poll::Ready(second) = look() else { panic!("what came is not there") };
    [first, second].map(|frame| frame.unwrap().unwrap().into_data().unwrap()).into()
}

#[derive(Default)]
struct Told(Notify);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

async fn request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = read_head(socket).await?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    head.push_str(&String::from_utf8_lossy(&body));
    Some(head)
}

async fn read_head(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Returns when the other side has closed.
async fn closed(socket: &mut (impl AsyncRead + Unpin)) {
    let mut rest = [0; 4096];
    while socket.read(&mut rest).await.is_ok_and(|read| read > 0) {}
}

/// Returns once the runtime has seen all that had happened to its sockets by now: what comes over a new one comes later.
async fn news() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut one = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut other, _) = listener.accept().await.unwrap();
    one.write_all(b"x").await.unwrap();
    other.read_u8().await.unwrap();
}
