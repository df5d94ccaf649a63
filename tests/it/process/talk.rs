//! A client that says exactly what it is told to and reads until the server has said all.
use super::described;
use super::place::GUARD;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A request.
pub(super) struct Talk {
    to: SocketAddr,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    described: bool,
}

/// What was answered: the head as it came, and the body without its chunks.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
    /// The body was cut before its end.
    pub(super) cut: bool,
}

impl Talk {
    pub(super) fn to(to: SocketAddr, method: &str, path: &str) -> Self {
        let headers =
            vec![("host".to_owned(), to.to_string()), ("connection".to_owned(), "close".to_owned())];
        Self {
            to,
            method: method.to_owned(),
            path: path.to_owned(),
            headers,
            body: Vec::new(),
            described: false,
        }
    }

    /// Its answer must be what the OpenAPI document of the admin API says.
    pub(super) fn described(self) -> Self {
        Self { described: true, ..self }
    }

    /// With a header, in place of one of the same name.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(there, _)| there != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn json(self, body: impl ToString) -> Self {
        let mut talk = self.header("content-type", "application/json");
        talk.body = body.to_string().into_bytes();
        talk
    }

    /// Sends it and returns the connection, on which the reply comes.
    pub(super) fn open(self) -> TcpStream {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.to).expect("a connection");
        stream.set_read_timeout(Some(GUARD)).expect("a socket");
        stream.write_all(head.as_bytes()).expect("the head is taken");
        // A server that has refused the head may not read the body.
        let _ = stream.write_all(&self.body);
        stream
    }

    pub(super) fn send(self) -> Reply {
        let (method, path, described) = (self.method.clone(), self.path.clone(), self.described);
        let reply = Reply::read(self.open());
        if described {
            described::check(&method, &path, &reply);
        }
        reply
    }
}

impl Reply {
    /// All that comes until the server closes.
    pub(super) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer ends it as well.
        let _ = stream.read_to_end(&mut bytes);
        Self::of(&String::from_utf8_lossy(&bytes))
    }

    pub(super) fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let (body, cut) = if chunked { unchunked(body) } else { (body.to_owned(), false) };
        Self { status, head: head.to_owned(), body, cut }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(there, _)| there.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `error.code` of a JSON answer.
    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The body of RFC 9112 §7.1, and whether its last chunk is missing.
fn unchunked(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            return (body, false);
        }
        let Some(chunk) = after.get(..size) else {
            body.push_str(after);
            return (body, true);
        };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (body, true)
}
