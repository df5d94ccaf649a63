//! A client that sends one request per connection and reads all of the reply.

use std::net::SocketAddr;

use bytes::Bytes;
use fake_upstream::FakeUpstream;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A whole reply.
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The data of each event, `[DONE]` as a string.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).expect("utf-8");
        text.split("\n\n")
            .filter_map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")))
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::from(data)))
            .collect()
    }

    /// The types of the events in their order.
    pub(crate) fn types(&self) -> Vec<String> {
        self.events().iter().map(|event| event["type"].as_str().unwrap_or("-").to_owned()).collect()
    }

    pub(crate) fn event(&self, kind: &str) -> Value {
        self.events().into_iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    }
}

/// Sends a request and reads the whole reply.
pub(crate) async fn send(fake: &FakeUpstream, request: Request<Bytes>) -> Got {
    try_send(fake.addr(), request).await.expect("a whole reply")
}

pub(crate) async fn try_send(addr: SocketAddr, request: Request<Bytes>) -> Result<Got, hyper::Error> {
    let stream = TcpStream::connect(addr).await.expect("connect");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request.map(Full::new)).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Got { status: parts.status, headers: parts.headers, body })
}

/// A request with a bearer credential and a JSON body.
pub(crate) fn bearer(path: &str, credential: &str, body: &Value) -> Request<Bytes> {
    with(path, &[("authorization", &format!("Bearer {credential}"))], body)
}

/// A POST, or a GET when the body is null.
pub(crate) fn with(path: &str, headers: &[(&str, &str)], body: &Value) -> Request<Bytes> {
    let method = if body.is_null() { "GET" } else { "POST" };
    let mut request = Request::builder().method(method).uri(path).header("host", "fake");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    request.body(body).expect("request")
}

/// A body that every Responses endpoint takes.
pub(crate) fn turn() -> Value {
    json!({"model": "gpt-5.1", "instructions": "Be short.", "input": [], "store": false, "stream": true})
}

/// Writes bytes and reads all that comes until the end of the connection.
pub(crate) async fn raw(addr: SocketAddr, bytes: &[u8]) -> (Vec<u8>, Option<std::io::ErrorKind>) {
    let mut stream = TcpStream::connect(addr).await.expect("connect");
    stream.write_all(bytes).await.expect("write");
    let mut got = Vec::new();
    let end = stream.read_to_end(&mut got).await;
    (got, end.err().map(|error| error.kind()))
}

/// The bytes of a Responses request with a key.
pub(crate) fn raw_turn(key: &str) -> Vec<u8> {
    let body = turn().to_string();
    format!(
        "POST /v1/responses HTTP/1.1\r\nhost: fake\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
