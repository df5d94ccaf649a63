use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One request of a client, on a connection of its own.
pub(crate) struct Call {
    address: SocketAddr,
    request: http::request::Builder,
    body: BoxBody<Bytes, Box<dyn Error + Send + Sync>>,
}

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).header("host", address.to_string());
        Self { address, request, body: boxed(Full::default()) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn json(self, text: &str) -> Self {
        let text = text.to_owned();
        self.header("content-type", "application/json").body(Full::from(text))
    }

    pub(crate) fn body<B>(mut self, body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.body = boxed(body);
        self
    }

    /// The reply's head; its body streams. Dropping it hangs up.
    pub(crate) async fn open(self) -> hyper::Result<http::Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.expect("rota listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(self.request.body(self.body).expect("a request")).await
    }

    pub(crate) async fn send(self) -> Answer {
        let (head, body) = self.open().await.expect("a reply").into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// A client that keeps its connection.
pub(crate) struct Client {
    address: SocketAddr,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("rota listens");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Self { address, sender }
    }

    /// The whole reply.
    pub(crate) async fn post(&mut self, path: &str, json: &str) -> Answer {
        self.exchange(self.request("POST", path), json.to_owned()).await
    }

    /// The same of the admin API; without a body where there is none.
    pub(crate) async fn ask(&mut self, method: &str, path: &str, token: &str, json: String) -> Answer {
        let request = self.request(method, path).header("authorization", format!("Bearer {token}"));
        self.exchange(request, json).await
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        request.header("host", self.address.to_string()).header("content-type", "application/json")
    }

    async fn exchange(&mut self, request: http::request::Builder, body: String) -> Answer {
        let request = request.body(Full::from(body));
        self.sender.ready().await.expect("a connection that was kept");
        let reply = self.sender.send_request(request.expect("a request")).await.expect("a reply");
        let (head, body) = reply.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }
}

fn boxed<B>(body: B) -> BoxBody<Bytes, Box<dyn Error + Send + Sync>>
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    body.map_err(Into::into).boxed()
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        self.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

/// Sends `bytes` and returns all that comes back until rota closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("rota listens");
    stream.write_all(bytes).await.expect("rota reads");
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}
