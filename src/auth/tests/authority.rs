use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A token endpoint. Refresh token `n.k` is account n's k-th; the newest alone is good, and once.
pub(super) struct Authority {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    book: Mutex<Book>,
    asked: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Book {
    newest: BTreeMap<String, u64>,
    requests: Vec<String>,
    script: VecDeque<Act>,
    exchanges: usize,
    reuses: usize,
    grace: bool,
    at_once: usize,
    most_at_once: usize,
}

/// What an authority does instead of what it should.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Spends nothing, and answers so: status, body, `Retry-After`.
    Answer(u16, Value, &'static str),
    /// Spends the token and answers so.
    CommitThen(u16, Value),
    /// Spends the token and closes.
    CommitThenDrop,
    /// Spends the token and answers with more than anybody should read.
    CommitThenFlood,
}

/// While it lives, nobody is answered.
pub(super) struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}

impl Authority {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let serving = shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        Self { port, shared, serving }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) async fn stop(&self) {
        self.serving.abort();
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {}
    }

    pub(super) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.shared.book.lock().unwrap().script.extend(acts);
    }

    /// From now on the token before the newest gets the newest again.
    pub(super) fn grace(&self) {
        self.shared.book.lock().unwrap().grace = true;
    }

    /// Spends a token for somebody whom the answer does not reach.
    pub(super) fn spend(&self, token: &str) {
        let (status, _) = self.shared.book.lock().unwrap().exchange(token);
        assert_eq!(status, 200);
    }

    pub(super) fn hold(&self) -> Hold {
        self.shared.held.send_replace(true);
        Hold(self.shared.clone())
    }

    /// Returns once it was asked `times`.
    pub(super) async fn asked(&self, times: usize) {
        let mut asked = self.shared.asked.subscribe();
        asked.wait_for(|asked| *asked >= times).await.unwrap();
    }

    pub(super) fn asked_so_far(&self) -> usize {
        *self.shared.asked.borrow()
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.shared.book.lock().unwrap().requests.clone()
    }

    /// Tokens that were traded for others.
    pub(super) fn exchanges(&self) -> usize {
        self.shared.book.lock().unwrap().exchanges
    }

    /// Tokens that were shown after they had been spent.
    pub(super) fn reuses(&self) -> usize {
        self.shared.book.lock().unwrap().reuses
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.shared.book.lock().unwrap().most_at_once
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        let request = read(&mut socket).await;
        let token = token_of(&request);
        let act = {
            let mut book = self.book.lock().unwrap();
            book.requests.push(request);
            book.at_once += 1;
            book.most_at_once = book.most_at_once.max(book.at_once);
            book.script.pop_front()
        };
        self.asked.send_modify(|asked| *asked += 1);
        let mut held = self.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
        let reply = {
            let mut book = self.book.lock().unwrap();
            book.at_once -= 1;
            book.act(act, &token)
        };
        if let Some(reply) = reply {
            // A client that has heard enough closes first.
            let _ = socket.write_all(reply.as_bytes()).await;
        }
    }
}

impl Book {
    fn act(&mut self, act: Option<Act>, token: &str) -> Option<String> {
        match act {
            None => {
                let (status, body) = self.exchange(token);
                Some(reply(status, &body.to_string(), ""))
            }
            Some(Act::Answer(status, body, wait)) => Some(reply(status, &body.to_string(), wait)),
            Some(Act::CommitThen(status, body)) => {
                self.exchange(token);
                Some(reply(status, &body.to_string(), ""))
            }
            Some(Act::CommitThenDrop) => {
                self.exchange(token);
                None
            }
            Some(Act::CommitThenFlood) => {
                self.exchange(token);
                Some(reply(200, &"x".repeat(3 << 20), ""))
            }
        }
    }

    fn exchange(&mut self, token: &str) -> (u16, Value) {
        let (account, number) = token.split_once('.').unwrap();
        let number: u64 = number.parse().unwrap();
        let newest = self.newest.entry(account.to_owned()).or_insert(1);
        if number == *newest {
            *newest += 1;
            self.exchanges += 1;
        } else if !(self.grace && number + 1 == *newest) {
            self.reuses += 1;
            return (400, json!({ "error": "invalid_grant" }));
        }
        let next = format!("{account}.{newest}");
        let granted = json!({
            "access_token": format!("access-{next}"), "refresh_token": next,
            "expires_in": 3600, "token_type": "Bearer",
        });
        (200, granted)
    }
}

async fn read(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let mut request = String::from_utf8(head).unwrap();
    let length = request.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    request.push_str(&String::from_utf8(body).unwrap());
    request
}

/// The refresh token shown; empty where none is.
fn token_of(request: &str) -> String {
    let body = request.split_once("\r\n\r\n").unwrap().1;
    if let Ok(body) = serde_json::from_str::<Value>(body) {
        return body["refresh_token"].as_str().unwrap().to_owned();
    }
    let mut fields = body.split('&').filter_map(|field| field.split_once('='));
    fields.find(|(name, _)| *name == "refresh_token").map_or_else(String::new, |(_, token)| token.to_owned())
}

fn reply(status: u16, body: &str, wait: &str) -> String {
    let wait = if wait.is_empty() { String::new() } else { format!("retry-after: {wait}\r\n") };
    format!("HTTP/1.1 {status} X\r\n{wait}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}
