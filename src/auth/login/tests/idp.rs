use crate::auth::login::query;
use crate::clock::ManualClock;
use crate::model::Time;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// An identity provider: it grants a code once, to whoever holds the verifier, and every refresh token once.
pub(super) struct Idp {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    clock: ManualClock,
    book: Mutex<Book>,
    asked: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

#[derive(Default)]
struct Book {
    codes: BTreeMap<String, Code>,
    /// Refresh tokens that are good, and whose.
    families: BTreeMap<String, String>,
    scripts: BTreeMap<String, VecDeque<(u16, Value)>>,
    asked: Vec<Asked>,
    serial: u32,
    reuses: usize,
}

struct Code {
    challenge: String,
    redirect: String,
    person: String,
}

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) at: Time,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) is_json: bool,
}

/// While it lives, no renewal is answered.
pub(super) struct Hold(Arc<Shared>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.held.send_replace(false);
    }
}

impl Idp {
    pub(super) async fn start(clock: ManualClock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            clock,
            book: Mutex::default(),
            asked: watch::Sender::default(),
            held: watch::Sender::default(),
        });
        let serving = shared.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        Self { port, shared }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A browser opens the page, and its person agrees: the address it is sent to.
    pub(super) fn visit(&self, url: &str, person: &str) -> String {
        let (page, asked) = url.split_once('?').unwrap();
        assert_eq!(page, format!("{}/authorize", self.origin()));
        let asked: BTreeMap<String, String> = query::fields(asked).unwrap().into_iter().collect();
        assert_eq!((&*asked["response_type"], &*asked["code_challenge_method"]), ("code", "S256"));
        let mut book = self.shared.book.lock().unwrap();
        book.serial += 1;
        let code = format!("canary-code-{}", book.serial);
        let redirect = asked["redirect_uri"].clone();
        let granted = Code {
            challenge: asked["code_challenge"].clone(),
            redirect: redirect.clone(),
            person: person.to_owned(),
        };
        book.codes.insert(code.clone(), granted);
        format!("{redirect}?code={code}&state={}", asked["state"])
    }

    /// The next answers to what is asked at `path`, or for a grant.
    pub(super) fn script(&self, what: &str, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.shared.book.lock().unwrap().scripts.entry(what.to_owned()).or_default().extend(answers);
    }

    /// A refresh token for `person`, as from an earlier login.
    pub(super) fn knows(&self, token: &str, person: &str) {
        self.shared.book.lock().unwrap().families.insert(token.to_owned(), person.to_owned());
    }

    pub(super) fn hold_renewals(&self) -> Hold {
        self.shared.held.send_replace(true);
        Hold(self.shared.clone())
    }

    /// Returns once it was asked so often.
    pub(super) async fn asked(&self, times: usize) {
        self.shared.asked.subscribe().wait_for(|asked| *asked >= times).await.unwrap();
    }

    pub(super) fn requests(&self) -> Vec<Asked> {
        self.shared.book.lock().unwrap().asked.clone()
    }

    pub(super) fn reuses(&self) -> usize {
        self.shared.book.lock().unwrap().reuses
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        let (path, is_json, body) = read(&mut socket).await;
        let fields: BTreeMap<String, String> = match is_json {
            true => serde_json::from_str(&body).unwrap(),
            false => query::fields(&body).unwrap().into_iter().collect(),
        };
        let grant = fields.get("grant_type").cloned().unwrap_or_default();
        let asked = Asked { path: path.clone(), at: self.clock.now(), fields: fields.clone(), is_json };
        self.book.lock().unwrap().asked.push(asked);
        self.asked.send_modify(|asked| *asked += 1);
        if grant == "refresh_token" {
            self.held.subscribe().wait_for(|held| !held).await.unwrap();
        }
        let (status, body) = self.book.lock().unwrap().answer(&path, &grant, &fields);
        let body = body.to_string();
        let reply = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // A job that was called off has gone.
        let _ = socket.write_all(reply.as_bytes()).await;
    }
}

impl Book {
    fn answer(&mut self, path: &str, grant: &str, fields: &BTreeMap<String, String>) -> (u16, Value) {
        let what = if path == "/token" { grant } else { path };
        if let Some(answer) = self.scripts.get_mut(what).and_then(VecDeque::pop_front) {
            return answer;
        }
        match grant {
            "authorization_code" => {
                let redeemed = self.codes.remove(&fields["code"]).filter(|code| {
                    let digest = digest(&SHA256, fields["code_verifier"].as_bytes());
                    code.redirect == fields["redirect_uri"]
                        && code.challenge == URL_SAFE_NO_PAD.encode(digest)
                });
                redeemed.map_or_else(
                    || (400, json!({ "error": "invalid_grant" })),
                    |code| self.grant(&code.person),
                )
            }
            "refresh_token" => match self.families.remove(&fields["refresh_token"]) {
                Some(person) => self.grant(&person),
                None => {
                    self.reuses += 1;
                    (400, json!({ "error": "invalid_grant" }))
                }
            },
            _ => self.grant("device-person"),
        }
    }

    fn grant(&mut self, person: &str) -> (u16, Value) {
        self.serial += 1;
        let refresh = format!("canary-rt-{person}-{}", self.serial);
        self.families.insert(refresh.clone(), person.to_owned());
        let granted = json!({
            "access_token": format!("canary-at-{person}-{}", self.serial), "refresh_token": refresh,
            "expires_in": 3600, "account": { "uuid": person, "email_address": format!("{person}@example.com") },
        });
        (200, granted)
    }
}

async fn read(socket: &mut TcpStream) -> (String, bool, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    socket.read_exact(&mut body).await.unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    (path, head.contains("application/json\r\naccept"), String::from_utf8(body).unwrap())
}
