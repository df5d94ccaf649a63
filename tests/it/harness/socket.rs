use super::client::Answer;
use super::rota::Rota;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Where the Codex dialect speaks WebSocket.
pub(crate) const RESPONSES: &str = "/codex/responses";

/// A client's WebSocket.
pub(crate) struct Socket {
    pub(crate) headers: HeaderMap,
    pub(crate) ws: WebSocketStream<TokioIo<Upgraded>>,
}

/// How a WebSocket ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With a goodbye of this code; 1005 is one without.
    Closed(u16),
    /// Without.
    Torn,
}

impl Socket {
    /// Opens one as real clients do, with more headers.
    pub(crate) async fn open(rota: &Rota, path: &str, headers: &[(&str, &str)]) -> Result<Self, Answer> {
        let stream = TcpStream::connect(rota.address).await.expect("rota listens");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection.with_upgrades());
        let host = rota.address.to_string();
        let usual = [
            ("host", &*host),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
            ("openai-beta", "responses_websockets=2026-02-06"),
        ];
        let usual = usual.iter().filter(|(name, _)| headers.iter().all(|(other, _)| other != name));
        let mut request = Request::get(path);
        for (name, value) in usual.chain(headers) {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let mut response = sender.send_request(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        if status != 101 {
            let body = response.into_body().collect().await.expect("a whole body").to_bytes();
            return Err(Answer { status, headers, body });
        }
        let io = TokioIo::new(hyper::upgrade::on(&mut response).await.expect("an upgrade"));
        let config = WebSocketConfig::default().max_frame_size(None).max_message_size(None);
        let ws = WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await;
        Ok(Self { headers, ws })
    }

    /// Opens one for a conversation.
    pub(crate) async fn of(rota: &Rota, session: &str) -> Self {
        let opened = Self::open(rota, RESPONSES, &[("session-id", session)]).await;
        opened.unwrap_or_else(|answer| panic!("{}: {}", answer.status, answer.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) async fn say(&mut self, message: &Value) {
        self.ws.send(Message::text(message.to_string())).await.expect("it is sent");
    }

    /// The next message as JSON, or how it ended.
    pub(crate) async fn next(&mut self) -> Result<Value, Ended> {
        let message = self.data().await?;
        let text = message.to_text().expect("a message of text");
        Ok(serde_json::from_str(text).expect("JSON"))
    }

    /// The next message that is no control frame.
    pub(crate) async fn data(&mut self) -> Result<Message, Ended> {
        loop {
            match self.ws.next().await {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => return Ok(message),
                Some(Ok(Message::Close(frame))) => {
                    return Err(Ended::Closed(frame.map_or(1005, |frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) => return Err(Ended::Closed(0)),
                Some(Err(_)) | None => return Err(Ended::Torn),
            }
        }
    }

    /// Asks, and the types of what answers, to the turn's end.
    pub(crate) async fn ask(&mut self, message: &Value) -> Vec<String> {
        self.say(message).await;
        self.answer().await
    }

    /// The types of the messages up to the turn's end.
    pub(crate) async fn answer(&mut self) -> Vec<String> {
        let mut kinds = Vec::new();
        loop {
            let message = self.next().await.expect("a message");
            kinds.push(message["type"].as_str().unwrap_or_default().to_owned());
            if kinds.last().is_some_and(|kind| ["response.completed", "error"].contains(&&**kind)) {
                return kinds;
            }
        }
    }

    /// All messages until it ends, and how it did.
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

/// A message that asks for an answer.
pub(crate) fn create() -> Value {
    json!({"type": "response.create", "model": "gpt-5.1", "instructions": "Be short.", "input": [],
        "store": false})
}
