use super::*;
use fake_upstream::Fault;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::RecvTimeoutError;

const PATH: &str = "/chat/responses";
const CODES: &str = "/api/accounts/deviceauth/usercode";

/// FLO-6, FLO-7, FLO-8: nobody can serve, so a login is begun, people are told, once, and the client reads what to do.
#[test]
fn a_pool_that_only_a_person_can_mend_begins_a_login_and_tells_people_once() {
    let stage = Stage::new("");
    let daemon = stage.place.serve();
    let reply = daemon.ask(PATH);
    assert_eq!(reply.status, 400, "{reply:?}");
    let error = &body(&reply)["error"];
    assert_eq!(error["reasons"]["team"]["reason"], "reauth-failed");
    let message = error["message"].as_str().expect("a text");
    assert!(message.ends_with("To sign in, run: rota login team"), "{message}");

    let needed = stage.hook.heard("sign-in-needed");
    let begun = stage.hook.heard("sign-in-begun");
    assert_eq!(needed["command"], "rota login team");
    assert_eq!(needed["reason"], "reauth-failed");
    let page = format!("{}/codex/device", stage.fake.upstream.origin());
    assert_eq!(begun["verificationUrl"], page.as_str());
    for _ in 0..5 {
        assert_eq!(daemon.ask(PATH).status, 400);
    }
    assert_eq!(stage.codes(), 1, "one login for all of them");
    let view = stage.place.json(&["accounts"])["accounts"][0]["eligibility"].clone();
    assert_eq!((&view["reason"], &view["fix"]), (&json!("reauth-failed"), &json!("rota login team")));

    stage.approve(&begun);
    let done = stage.hook.heard("sign-in-done");
    assert_eq!((&done["account"], &done["provider"]), (&json!("team"), &json!("chat")));
    served(&stage.fake, &daemon, PATH, &["a"]);
    daemon.counted(&[
        r#"rota_logins_total{by="engine",outcome="begun"} 1"#,
        r#"rota_logins_total{by="engine",outcome="succeeded"} 1"#,
        r#"rota_notifications_total{sink="webhook",outcome="sent"} 3"#,
        r#"rota_notifications_total{sink="command",outcome="sent"} 3"#,
    ]);
    // The program was told the same, and each of the two of nothing twice.
    let told = |events: Vec<Value>| {
        let mut names: Vec<String> = events.iter().map(|event| event["event"].to_string()).collect();
        names.sort();
        names
    };
    let expected = ["\"sign-in-begun\"", "\"sign-in-done\"", "\"sign-in-needed\""];
    assert_eq!(told(stage.hook.all()), expected);
    let log = stage.place.path("told.jsonl");
    let text = std::fs::read_to_string(&log).expect("the program's file");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    assert_eq!(told(lines.collect()), expected);
}

/// FLO-6: the request waits for the person, and whoever hangs up meanwhile ends no login.
#[test]
fn a_held_request_is_served_once_somebody_has_signed_in() {
    let stage = Stage::new("[reauth]\nwait = \"240s\"\n");
    let daemon = stage.place.serve();
    let gone = daemon.call("POST", PATH).json(super::super::place::STREAM).open();
    let begun = stage.hook.heard("sign-in-begun");
    drop(gone);
    let held = daemon.call("POST", PATH).json(super::super::place::STREAM).open();
    stage.approve(&begun);
    let reply = read(held);
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.contains("x-rota-why: signed-in\r\n"), "{reply}");
    assert_eq!(stage.codes(), 1);
    let why = stage.place.rota(&["why"]);
    assert!(why.out.contains("asked for a sign-in to team, and somebody did"), "{why:?}");
}

/// FLO-6, FLO-7
#[test]
fn a_held_request_that_nobody_signs_in_for_is_refused_with_a_word_of_its_own() {
    let stage = Stage::new("[reauth]\nwait = \"1s\"\n");
    let daemon = stage.place.serve();
    let reply = daemon.ask(PATH);
    assert_eq!(
        (reply.status, &body(&reply)["error"]["reasons"]["team"]["reason"]),
        (400, &"reauth-timeout".into())
    );
    assert!(stage.place.rota(&["why"]).out.contains("and nobody did in time"));
    // Who says no ends the waiting of everybody else.
    stage.place.file("config/rota/rota.toml", 0o600, &stage.config.replace("\"1s\"", "\"240s\""));
    daemon.signal("HUP");
    daemon.wrote("was reloaded");
    let held = daemon.call("POST", PATH).json(super::super::place::STREAM).open();
    let code = stage.hook.heard("sign-in-begun")["userCode"].as_str().expect("a code").to_owned();
    assert!(stage.fake.upstream.deny_device(&code));
    let reply = read(held);
    assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("\"reauth-failed\""), "{reply}");
    assert_eq!(stage.hook.heard("sign-in-failed")["account"], "team");
}

/// FLO-6: by the login that rota began or by another, a person who signs in releases whoever waits.
#[test]
fn a_person_who_signs_in_by_hand_releases_the_requests_that_wait() {
    for another_way in [false, true] {
        let stage = Stage::new("[reauth]\nwait = \"240s\"\n");
        let daemon = stage.place.serve();
        let held = daemon.call("POST", PATH).json(super::super::place::STREAM).open();
        stage.hook.heard("sign-in-begun");
        let args: &[&str] = if another_way { &["team", "--no-browser"] } else { &["team"] };
        let mut signing = Signing::start(&stage.place, args);
        if another_way {
            let back = visit(&signing.address("/oauth/authorize?"), "a");
            signing.types(&back);
        } else {
            assert!(stage.fake.upstream.approve_device(&signing.code(), "a"));
        }
        assert_eq!(signing.ended().code, Some(0));
        let reply = read(held);
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
}

/// FLO-6: however many wait, one login is begun, and its end serves them all.
#[test]
fn a_thousand_held_requests_make_one_login() {
    let stage = Stage::new("[reauth]\nwait = \"240s\"\n[limits]\nconnections = 2048\n");
    let daemon = stage.place.serve();
    let ask = || daemon.call("POST", PATH).json(super::super::place::STREAM).open();
    let held: Vec<_> = (0..1000).map(|_| ask()).collect();
    stage.approve(&stage.hook.heard("sign-in-begun"));
    for stream in held {
        let reply = read(stream);
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    }
    assert_eq!(stage.codes(), 1);
    assert_eq!(stage.fake.upstream.ledger().reuses, 0);
}

/// FLO-5: the provider signs out whoever is tried after the first: two are lost, then rota answers itself and says so.
#[test]
fn a_cascade_costs_two_accounts_and_is_told_to_people() {
    let names: Vec<String> = (1..=8).map(|n| format!("a{n}")).collect();
    let script = names.iter().fold(Script::new().cascade(), |script, name| {
        script.account(
            Account::new(name).access_token(format!("at-{name}")).refresh_token(format!("rt-{name}")),
        )
    });
    let stage = Stage::of(Fake::start(script), "");
    for name in &names {
        stage.place.add_login(name, "chat", &credential(name, "2099-01-01T00:00:00Z"));
    }
    for name in ["a1", "a2", "a3"] {
        stage.fake.upstream.account(name, |account| {
            account.invalidate_access();
            account.refresh_tokens.clear();
        });
    }
    let daemon = stage.place.serve();
    for _ in 0..20 {
        assert_ne!(daemon.ask(PATH).status, 401);
    }
    let told = stage.hook.heard("provider-cut-off");
    assert_eq!((&told["provider"], told["account"].is_null()), (&json!("chat"), true));
    let asked = stage.fake.upstream.accounts_served("/backend-api/codex/responses").len();
    assert_eq!(daemon.ask(PATH).status, 429);
    let now = stage.fake.upstream.accounts_served("/backend-api/codex/responses").len();
    assert_eq!(now, asked, "answered here");
    let accounts = stage.place.json(&["accounts"])["accounts"].clone();
    let dead = |account: &&Value| account["credential"]["state"] == "needs-reauth";
    assert_eq!(accounts.as_array().expect("accounts").iter().filter(dead).count(), 2);
    daemon.wrote("\"level\":\"ERROR\"");
    daemon.counted(&[r#"rota_auth_breaker_open{provider="chat"} 1"#]);
    let status = stage.place.rota(&["status"]).out;
    assert!(status.contains("two logins of chat were refused for good"), "{status}");
}

/// FLO-10: a token endpoint that fails is left alone, and no request whose token is good notices.
#[test]
fn a_failing_token_endpoint_is_left_alone_and_valid_tokens_serve_on() {
    let names = ["good", "b", "c", "d", "e"];
    let script = names.iter().fold(Script::new(), |script, name| {
        script.account(
            Account::new(*name).access_token(format!("at-{name}")).refresh_token(format!("rt-{name}")),
        )
    });
    let stage = Stage::of(Fake::start(script), "");
    stage.place.add_login("good", "chat", &credential("good", "2099-01-01T00:00:00Z"));
    for name in &names[1..] {
        stage.place.add_login(name, "chat", &credential(name, "2020-01-01T00:00:00Z"));
    }
    stage.fake.upstream.set_fault(Fault::reply(503, "").path("/oauth/token"));
    let daemon = stage.place.serve();
    for _ in 0..20 {
        assert_eq!(daemon.ask(PATH).status, 200);
    }
    let requests = stage.fake.upstream.requests();
    let exchanges = requests.iter().filter(|request| request.path == "/oauth/token").count();
    assert!((5..=6).contains(&exchanges), "{exchanges} exchanges before it is left alone");
    let series = format!(r#"rota_token_endpoint_open{{origin="{}"}} 1"#, stage.fake.upstream.origin());
    daemon.counted(&[&series]);
    daemon.wrote("the token endpoint fails and is left alone");
}

/// A home with one account of `chat` whose login is dead, a web hook, and a program that writes what it is told.
struct Stage {
    fake: Fake,
    place: Place,
    hook: Hook,
    config: String,
}

impl Stage {
    fn new(settings: &str) -> Self {
        let fake = provider();
        let stage = Self::of(fake, settings);
        stage.place.add_login("team", "chat", &credential("a", "2020-01-01T00:00:00Z"));
        stage
    }

    fn of(fake: Fake, settings: &str) -> Self {
        let mut place = home(&fake);
        // The program's, who finds its tools there.
        place.set("PATH", "/usr/bin:/bin");
        let hook = Hook::start();
        let file = place.path("config/rota/rota.toml");
        let before = std::fs::read_to_string(file).expect("a configuration");
        let told = place.path("told.jsonl");
        // One write for each event: two may be told at once.
        let script = format!("event=$(tr -d '\\n'); printf '%s\\n' \"$event\" >> {}", told.display());
        let config = format!(
            "{before}\n{settings}[notify]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\nwebhooks = [{:?}]\n",
            hook.url
        );
        place.config(&config);
        Self { fake, place, hook, config }
    }

    fn approve(&self, begun: &Value) {
        let code = begun["userCode"].as_str().expect("a code");
        assert!(self.fake.upstream.approve_device(code, "a"));
    }

    /// How many logins of a device were begun.
    fn codes(&self) -> usize {
        self.fake.upstream.requests().iter().filter(|request| request.path == CODES).count()
    }
}

/// Where events are posted.
struct Hook {
    url: String,
    events: Receiver<Value>,
    heard: std::cell::RefCell<Vec<Value>>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/hook?key=canary-7f3a", listener.local_addr().expect("an address"));
        let (told, events) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(event) = posted(&mut stream) else { continue };
                // The test may be over.
                if told.send(event).is_err() {
                    return;
                }
            }
        });
        Self { url, events, heard: std::cell::RefCell::default() }
    }

    /// Waits for the event of that name.
    fn heard(&self, name: &str) -> Value {
        let known = |events: &[Value]| events.iter().find(|event| event["event"] == name).cloned();
        loop {
            if let Some(event) = known(&self.heard.borrow()) {
                return event;
            }
            let event = match self.events.recv_timeout(GUARD) {
                Ok(event) => event,
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                    panic!("{name} was not told; told was {:?}", self.heard.borrow())
                }
            };
            self.heard.borrow_mut().push(event);
        }
    }

    /// All that was told so far.
    fn all(&self) -> Vec<Value> {
        let mut heard = self.heard.borrow_mut();
        heard.extend(self.events.try_iter());
        heard.clone()
    }
}

fn posted(stream: &mut std::net::TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    serde_json::from_slice(&body).ok()
}

fn credential(name: &str, expires: &str) -> Value {
    json!({
        "kind": "oauth", "accessToken": format!("at-{name}"), "refreshToken": format!("rt-{name}"),
        "accountId": format!("org-{name}"), "expiresAt": expires,
    })
}

fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|error| panic!("{error}: {reply:?}"))
}

/// All that comes until the end.
fn read(mut stream: std::net::TcpStream) -> String {
    stream.set_read_timeout(Some(GUARD)).expect("a socket");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("a reply");
    String::from_utf8_lossy(&bytes).into_owned()
}
