//! A client of the WebSocket transport: handshake by hand, then messages.

use fake_upstream::FakeUpstream;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Empty};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{Got, turn};

/// What the key of the RFC's example is answered.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const PATH: &str = "/backend-api/codex/responses";

/// An open WebSocket.
pub(crate) struct Socket {
    pub(crate) headers: HeaderMap,
    pub(crate) ws: WebSocketStream<TokioIo<Upgraded>>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Closed(u16),
    /// In the middle of things, by FIN or RST.
    Torn,
}

/// Opens a WebSocket as Codex does, with more headers.
pub(crate) async fn open_with(
    fake: &FakeUpstream,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Socket, Got> {
    let stream = TcpStream::connect(fake.addr()).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::get(path)
        .header("host", "fake")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY)
        .header("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
        .header("openai-beta", "responses_websockets=2026-02-06");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<bytes::Bytes>::new()).expect("request");
    let mut response = sender.send_request(request).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    if status != 101 {
        let body = response.into_body().collect().await.expect("body").to_bytes();
        return Err(Got { status, headers, body });
    }
    let io = TokioIo::new(hyper::upgrade::on(&mut response).await.expect("upgrade"));
    Ok(Socket { headers, ws: WebSocketStream::from_raw_socket(io, Role::Client, None).await })
}

/// Opens a WebSocket with a credential.
pub(crate) async fn open(fake: &FakeUpstream, credential: &str) -> Socket {
    let bearer = format!("Bearer {credential}");
    open_with(fake, PATH, &[("authorization", &bearer)]).await.unwrap_or_else(|got| panic!("{}", got.status))
}

impl Socket {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.ws.send(Message::text(message.to_string())).await.expect("send");
    }

    /// The next text message as JSON, or how the connection ended.
    pub(crate) async fn next(&mut self) -> Result<Value, Ended> {
        loop {
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("json")),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Ended::Closed(frame.map_or(1005, |frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) => return Err(Ended::Closed(0)),
                Some(Err(_)) | None => return Err(Ended::Torn),
            }
        }
    }

    /// Messages up to the one that ends a response.
    pub(crate) async fn answer(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            let message = self.next().await.expect("a message");
            let kind = message["type"].as_str().unwrap_or_default().to_owned();
            messages.push(message);
            if ["response.completed", "response.failed", "error"].contains(&kind.as_str()) {
                return messages;
            }
        }
    }

    /// Asks and reads the answer.
    pub(crate) async fn ask(&mut self, message: &Value) -> Vec<Value> {
        self.say(message).await;
        self.answer().await
    }

    /// Messages until the connection ends, and how it did.
    pub(crate) async fn rest(&mut self) -> (Vec<Value>, Ended) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Ok(message) => messages.push(message),
                Err(ended) => return (messages, ended),
            }
        }
    }
}

/// A `response.create` that every endpoint takes.
pub(crate) fn create() -> Value {
    let mut message = turn();
    message["type"] = json!("response.create");
    message
}

/// The types of messages in their order.
pub(crate) fn types(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap_or("-")).collect()
}
