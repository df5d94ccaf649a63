//! docs/ADMIN_API.md shows a request and a reply for each endpoint. Here each request is made, in the order of the page,
//! and each reply compared with the one that the page shows: its status, and its shape. `UPDATE=1` writes the replies anew.
use super::place::{Daemon, Fake, Place};
use super::talk::{Reply, Talk};
use fake_upstream::{Account, Script};
use rota::clock::Clock;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

const START: &str = "<!-- examples -->\n";
const END: &str = "<!-- end of examples -->";
const FENCE: &str = "```";
/// Stands for what is left out of a reply.
const MORE: &str = "…";
const LONGEST_TEXT: usize = 160;
/// A name is shorter, a secret longer.
const SHORT_NAME: usize = 24;
/// Milliseconds that are others each time.
const SPANS: [&str; 7] = ["durationMs", "firstByteMs", "ms", "overheadMs", "p50", "p95", "p99"];

/// One request of the page and its reply.
struct Example {
    request: String,
    status: u16,
    reply: String,
}

/// ADM-1
#[test]
fn every_endpoint_has_a_request_and_the_reply_that_the_page_shows() {
    let page = fs::read_to_string(page_file()).expect("the page");
    let (before, rest) = page.split_once(START).expect("the start of the examples");
    let (section, after) = rest.split_once(END).expect("their end");
    let mut world = World::new();
    let (mut written, mut asked) = (String::new(), BTreeSet::new());
    for part in parts(section) {
        let Part::Example(example) = part else {
            let Part::Text(text) = part else { continue };
            written.push_str(text);
            continue;
        };
        let (status, shown, media) = world.ask(&example);
        asked.insert(world.endpoint(&example));
        if updating() {
            written.push_str(&format!(
                "{FENCE}http\n{}\n\n{status}\n{}\n{FENCE}\n",
                example.request,
                short(&example, &world.shown(&shown))
            ));
        } else {
            let what = example.request.lines().next().unwrap_or_default();
            assert_eq!(status, example.status, "{what}: {shown}");
            world.compare(what, &example.reply, &shown, &media);
        }
    }
    let document = rota::admin::openapi();
    let paths = document["paths"].as_object().expect("paths");
    let all: BTreeSet<String> = (paths.iter())
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flat_map(Map::keys);
            methods.map(move |method| format!("{} {path}", method.to_ascii_uppercase()))
        })
        .collect();
    let missing: Vec<&String> = all.difference(&asked).collect();
    assert!(
        missing.is_empty(),
        "docs/ADMIN_API.md has no example of {missing:?}; add the request, then UPDATE=1 this test"
    );
    if updating() {
        fs::write(page_file(), format!("{before}{START}{written}{END}{after}")).expect("the page is written");
    }
}

/// A rota with accounts and some traffic.
struct World {
    _fake: Fake,
    place: Place,
    daemon: Daemon,
    /// What stands on the page, and what it is here.
    places: BTreeMap<String, String>,
    /// `{id}` in a request is the field `id` of the latest reply that had one.
    fields: BTreeMap<String, String>,
    streams: Vec<TcpStream>,
}

impl World {
    fn new() -> Self {
        let team =
            Account::new("team").access_token_for("at-team", 3600).refresh_token("rt-team").org("acc-1");
        let script = Script::new().account(Account::new("work").api_key("sk-work")).account(team);
        let fake = Fake::start(script);
        let place = Place::before(&fake);
        place.add("work", "openai", "sk-work");
        let ends = Clock::System.now().after(Duration::from_secs(1800)).as_millis();
        let login = json!({"kind": "oauth", "accessToken": "at-team", "refreshToken": "rt-team", "accountId": "acc-1",
            "expiresAt": ends});
        place.add_login("team", "codex", &login);
        let auth = json!({"OPENAI_API_KEY": "sk-of-codex"}).to_string();
        let file = place.file("home/.codex/auth.json", 0o600, &auth);
        let daemon = place.serve();
        let served = Talk::to(daemon.proxy(), "POST", "/openai/v1/responses")
            .header("x-rota-session", "session-of-the-page")
            .json(r#"{"model":"gpt-5.1","input":"hi"}"#)
            .send();
        assert_eq!(served.status, 200, "{served:?}");
        let places = BTreeMap::from([
            ("/home/me/.codex/auth.json".to_owned(), file.display().to_string()),
            ("/home/me/.config".to_owned(), place.path("config").display().to_string()),
            ("http://127.0.0.1:7683".to_owned(), format!("http://{}", daemon.admin())),
        ]);
        Self { _fake: fake, place, daemon, places, fields: BTreeMap::new(), streams: Vec::new() }
    }

    /// Status, body and media type of the answer.
    fn ask(&mut self, example: &Example) -> (u16, String, String) {
        let request = self.named(&example.request);
        let (head, body) = request.split_once('\n').unwrap_or((&request, ""));
        let (method, path) = head.split_once(' ').expect("a method and a path");
        let mut talk = self.place.admin(&self.daemon, method, path);
        let (headers, body): (Vec<&str>, Vec<&str>) =
            body.lines().partition(|line| !line.starts_with(['{', ' ', '}']) && line.contains(": "));
        for (name, value) in headers.iter().filter_map(|line| line.split_once(": ")) {
            talk = talk.header(name, value);
        }
        let body = body.join("\n");
        if !body.trim().is_empty() {
            talk = talk.json(body);
        }
        if path == "/api/events" || method == "PUT" && path.starts_with("/api/runs/") {
            let (answer, stream) = first_event(talk);
            // What it is about lasts as long as somebody reads.
            self.streams.push(stream);
            return answer;
        }
        let reply = talk.send();
        if let Ok(body) = serde_json::from_str(&reply.body) {
            learn(&body, &mut self.fields);
        }
        let media = reply.header("content-type").unwrap_or_default().to_owned();
        (reply.status, reply.body, media)
    }

    /// The request as it is made here.
    fn named(&self, text: &str) -> String {
        let placed =
            self.places.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here));
        let known = self.fields.iter();
        known.fold(placed, |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The reply as the page shows it.
    fn shown(&self, text: &str) -> String {
        let root = self.place.root().display().to_string();
        let places = self.places.iter();
        let text = places.fold(text.to_owned(), |text, (there, here)| text.replace(here, there));
        let (proxy, admin) = (self.daemon.proxy().to_string(), self.daemon.admin().to_string());
        text.replace(&root, "/home/me").replace(&proxy, "127.0.0.1:7682").replace(&admin, "127.0.0.1:7683")
    }

    /// The path's template and the method, as the table has them.
    fn endpoint(&self, example: &Example) -> String {
        let (method, path) =
            example.request.lines().next().and_then(|line| line.split_once(' ')).expect("a request");
        let path = path.split('?').next().unwrap_or(path);
        let document = rota::admin::openapi();
        let fits = |template: &&String| {
            let (parts, asked): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
            let same = |(part, asked): (&&str, &&str)| part.starts_with('{') || part == asked;
            parts.len() == asked.len() && parts.iter().zip(&asked).all(same)
        };
        let paths = document["paths"].as_object().expect("paths");
        let exact = paths.keys().find(|template| *template == path);
        let template =
            exact.or_else(|| paths.keys().find(fits)).unwrap_or_else(|| panic!("{path} is no endpoint"));
        format!("{method} {template}")
    }

    fn compare(&self, what: &str, shown: &str, is: &str, media: &str) {
        if !media.starts_with("application/json") {
            let line = |text: &str| text.lines().next().unwrap_or_default().to_owned();
            assert_eq!(line(shown).is_empty(), line(is).is_empty(), "{what}: {is}");
            return;
        }
        let read = |text: &str| {
            serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{what}: {e}: {text}"))
        };
        shape(what, &read(shown), &read(is));
    }
}

/// The same keys, the same types; null stands for what may be there or not.
fn shape(at: &str, shown: &Value, is: &Value) {
    match (shown, is) {
        (Value::Object(shown), Value::Object(is)) => {
            let open = shown.contains_key(MORE);
            for (key, value) in shown.iter().filter(|(key, _)| *key != MORE) {
                let found = is.get(key).unwrap_or_else(|| panic!("{at}.{key} is in the page only"));
                shape(&format!("{at}.{key}"), value, found);
            }
            let extra: Vec<&String> = is.keys().filter(|key| !shown.contains_key(*key)).collect();
            assert!(open || extra.is_empty(), "{at}: the page does not show {extra:?}; UPDATE=1 this test");
        }
        (Value::Array(shown), Value::Array(is)) => {
            assert!(is.len() >= shown.len(), "{at} has {} entries in the page", shown.len());
            for (number, (shown, is)) in shown.iter().zip(is).enumerate() {
                shape(&format!("{at}[{number}]"), shown, is);
            }
        }
        (Value::Null, _)
        | (_, Value::Null)
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_)) => {}
        (shown, is) => panic!("{at} is {shown} in the page, and {is} in the answer"),
    }
}

fn learn(value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Value::String(text) = value {
                    into.insert(name.clone(), text.clone());
                }
                learn(value, into);
            }
        }
        Value::Array(list) => list.iter().for_each(|one| learn(one, into)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// The beginning of a stream that has no end.
fn first_event(talk: Talk) -> ((u16, String, String), TcpStream) {
    let mut stream = talk.open();
    let (mut text, mut piece) = (String::new(), [0; 1024]);
    while !text.contains("data: ") || !text.ends_with("\n\n\r\n") {
        let taken = stream.read(&mut piece).expect("it goes on");
        assert_ne!(taken, 0, "it goes on");
        text.push_str(&String::from_utf8_lossy(&piece[..taken]));
    }
    let reply = Reply::of(&text);
    let media = reply.header("content-type").unwrap_or_default().to_owned();
    ((reply.status, reply.body, media), stream)
}

enum Part<'a> {
    Example(Example),
    Text(&'a str),
}

/// Text and examples, in order. An example is a block of a request, an empty line, a status and a body.
fn parts(section: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = section;
    let open = format!("{FENCE}http\n");
    let close = format!("\n{FENCE}\n");
    while let Some((text, more)) = rest.split_once(&open) {
        let (block, after) = more.split_once(&close).expect("the end of a block");
        parts.push(Part::Text(text));
        let (request, reply) = block.split_once("\n\n").unwrap_or((block, "0"));
        let (status, reply) = reply.split_once('\n').unwrap_or((reply, ""));
        let status = status.trim().parse().expect("a status");
        parts.push(Part::Example(Example { request: request.to_owned(), status, reply: reply.to_owned() }));
        rest = after;
    }
    parts.push(Part::Text(rest));
    parts
}

/// What the page shows of an answer.
fn short(example: &Example, body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return body.lines().take(4).collect::<Vec<_>>().join("\n");
    };
    let value = match example.request.as_str() {
        "GET /openapi.json" => json!({"openapi": value["openapi"], MORE: MORE}),
        _ => shortened(value),
    };
    folded(&value, 0)
}

/// The first of each list, texts cut, no secret, and nothing that is another each time.
fn shortened(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().take(1).map(shortened).collect(),
        Value::Object(fields) => {
            let field = |(key, value): (String, Value)| match (key.as_str(), &value) {
                ("key" | "ticket" | "token", Value::String(text)) if text.len() > SHORT_NAME => {
                    (key, MORE.into())
                }
                (name, Value::Number(_)) if SPANS.contains(&name) => (key, json!(5.2)),
                ("port", Value::Number(_)) => (key, json!(7683)),
                _ => (key, shortened(value)),
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        Value::String(text) => settled(&text).into(),
        Value::Bool(_) | Value::Null | Value::Number(_) => value,
    }
}

fn settled(text: &str) -> String {
    let is_hex = |text: &str| text.len() >= 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_time = |text: &str| text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z');
    match text {
        _ if is_time(text) => "2026-12-01T10:00:00Z".to_owned(),
        _ if is_hex(text) => "5f0c".repeat(text.len() / 4),
        _ if text.chars().count() > LONGEST_TEXT => {
            text.chars().take(LONGEST_TEXT).chain(MORE.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

/// JSON that a line has room for is one line.
fn folded(value: &Value, indent: usize) -> String {
    let line = value.to_string();
    if indent + line.len() <= 100 {
        return line;
    }
    let pad = " ".repeat(indent + 2);
    let end = " ".repeat(indent);
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{pad}{}: {}", json!(key), folded(value, indent + 2)))
                .collect();
            format!("{{\n{}\n{end}}}", fields.join(",\n"))
        }
        Value::Array(list) => {
            let list: Vec<String> =
                list.iter().map(|one| format!("{pad}{}", folded(one, indent + 2))).collect();
            format!("[\n{}\n{end}]", list.join(",\n"))
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => line,
    }
}

fn page_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/ADMIN_API.md")
}

#[expect(clippy::disallowed_methods, reason = "how the developer asks for it")]
fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}
