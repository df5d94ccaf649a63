//! Keys that people make for their clients: what each opens, who is told what, and that none comes out of anything.
use super::place::{Daemon, Fake, Place, Ran, STREAM};
use super::secrets::{Out, files, leaks, said};
use super::talk::{Reply, Talk};
use serde_json::json;

const ASK: &str = r#"{"model":"m","input":"hi"}"#;
const RESPONSES: &str = "/openai/v1/responses";

/// PRX-3, OBS-1
#[test]
fn a_key_opens_what_it_is_for_and_names_its_client_in_the_decision() {
    let (fake, place) = two_accounts();
    let daemon = place.serve();
    assert_eq!(ask(&daemon, RESPONSES, None).status, 200, "there is no key yet");
    let key = made(&place, &["editor", "--provider", "openai", "--account", "work"]);
    for _ in 0..6 {
        let reply = ask(&daemon, RESPONSES, Some(("authorization", &format!("Bearer {key}"))));
        assert_eq!((reply.status, reply.header("x-rota-account")), (200, Some("work")), "{reply:?}");
    }
    for name in ["x-api-key", "x-goog-api-key", "api-key", "x-rota-key"] {
        assert_eq!(ask(&daemon, RESPONSES, Some((name, &key))).status, 200, "{name}");
    }
    assert!(!fake.upstream.saw(&key), "it is for rota, not for the provider");
    let decisions = place.admin(&daemon, "GET", "/api/decisions?limit=1").send().json();
    assert_eq!(decisions["decisions"][0]["client"], "editor");

    let wrong = format!("{key}x");
    for sent in [None, Some(("authorization", wrong.as_str())), Some(("x-api-key", wrong.as_str()))] {
        let reply = ask(&daemon, RESPONSES, sent);
        assert_eq!((reply.status, reply.header("x-should-retry")), (401, Some("false")), "{reply:?}");
        let error = &reply.json()["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("invalid_request_error"), &json!("UNAUTHORIZED"))
        );
    }
    let claude = ask(&daemon, "/anthropic/v1/messages", None).json();
    assert_eq!(
        (&claude["type"], &claude["error"]["type"]),
        (&json!("error"), &json!("authentication_error"))
    );
    let gemini = ask(&daemon, "/gemini/v1beta/models/m:generateContent", None).json();
    assert_eq!(
        (&gemini["error"]["code"], &gemini["error"]["status"]),
        (&json!(401), &json!("UNAUTHENTICATED"))
    );
    let beyond = ask(&daemon, "/anthropic/v1/messages", Some(("x-api-key", &key)));
    assert_eq!((beyond.status, beyond.header("x-should-retry")), (403, Some("false")));
    assert_eq!(beyond.json()["error"]["type"], "permission_error");
    assert!(beyond.body.contains("editor") && beyond.body.contains("provider"), "{beyond:?}");
}

/// PRX-3
#[test]
fn a_key_for_some_methods_and_paths_opens_nothing_else() {
    let (_fake, place) = two_accounts();
    let daemon = place.serve();
    let key = made(&place, &["reader", "--method", "get", "--path", "/openai/v1/models"]);
    let talk = |method: &str, path: &str| Talk::to(daemon.proxy(), method, path).header("x-rota-key", &key);
    for (method, path, permitted) in [
        ("GET", "/openai/v1/models", true),
        ("GET", "/openai/v1/models/m", true),
        ("GET", "/openai/v1/models?x=/other", true),
        ("POST", "/openai/v1/models", false),
        ("GET", "/openai/v1/modelsx", false),
        ("GET", "/openai/v1/files", false),
        ("GET", RESPONSES, false),
    ] {
        let reply = talk(method, path).send();
        assert_eq!(reply.status != 403, permitted, "{method} {path}: {reply:?}");
        assert!(permitted || reply.code() == "NOT_PERMITTED", "{reply:?}");
    }
    // A handshake is a request like any other.
    let socket = talk("GET", RESPONSES)
        .header("connection", "close, upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(socket.send().status, 403);
}

/// PRX-3, STO-3: keys survive; a key whose account is gone is for nobody; the last key gone, none is asked for.
#[test]
fn a_key_lives_as_long_as_it_is_wanted() {
    let (_fake, place) = two_accounts();
    let daemon = place.serve();
    let key = made(&place, &["editor", "--account", "work"]);
    let again = place.rota(&["keys", "add", "editor"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    daemon.stop();
    let daemon = place.serve();
    let with = Some(("x-rota-key", key.as_str()));
    assert_eq!(ask(&daemon, RESPONSES, with).status, 200);
    assert_eq!(ask(&daemon, RESPONSES, None).status, 401);
    let ran = place.rota(&["accounts", "rm", "work", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shut = ask(&daemon, RESPONSES, with);
    assert!(shut.status >= 400, "home is not for it: {shut:?}");
    assert!(shut.body.contains("not-permitted"), "{shut:?}");
    let shown = place.json(&["keys"]);
    assert_eq!((&shown["keys"][0]["name"], &shown["keys"][0]["accounts"]), (&json!("editor"), &json!([])));
    assert_eq!(place.rota(&["keys", "rm", "editor"]).code, Some(0));
    let unknown = place.admin(&daemon, "DELETE", "/api/keys/editor").send();
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "KEY_NOT_FOUND"));
    assert_eq!(ask(&daemon, RESPONSES, None).status, 200);
}

/// PRX-3
#[test]
fn where_a_key_is_required_there_is_no_way_in_before_the_first() {
    let (_fake, mut place) = two_accounts();
    place.set("ROTA_REQUIRE_CLIENT_KEY", "true");
    let daemon = place.serve();
    assert_eq!(ask(&daemon, RESPONSES, None).status, 401);
    let key = made(&place, &["editor"]);
    assert_eq!(ask(&daemon, RESPONSES, Some(("x-api-key", &key))).status, 200);
    for (body, told) in [
        (json!({"name": "A B"}), "name"),
        (json!({"name": "x", "accounts": ["wrk"]}), "did you mean"),
        (json!({"name": "x", "providers": ["opanai"]}), "there are"),
        (json!({"name": "x", "methods": ["BREW"]}), "methods"),
        (json!({"name": "x", "paths": ["/a/../b"]}), "paths"),
        (json!({"name": "x", "paths": vec!["/a"; 65]}), "at most 64"),
    ] {
        let reply = place.admin(&daemon, "POST", "/api/keys").json(&body).send();
        assert!([400, 404].contains(&reply.status) && reply.body.contains(told), "{body}: {reply:?}");
    }
}

/// OBS-3, PRX-3
#[test]
fn no_key_comes_out_of_anything() {
    let (_fake, mut place) = two_accounts();
    place.set("ROTA_LOG", "trace");
    let daemon = place.serve();
    let key = made(&place, &["editor", "--provider", "openai"]);
    let mut out = Out::new();
    let mut told =
        |name: &str, ran: Ran| drop(out.insert(name.to_owned(), [ran.out, ran.err].concat().into()));
    for (name, sent) in [("served", Some(("x-api-key", key.as_str()))), ("refused", None)] {
        told(name, said(format!("{:?}", ask(&daemon, RESPONSES, sent)).into_bytes()));
    }
    let beyond = ask(&daemon, "/anthropic/v1/messages", Some(("authorization", &format!("Bearer {key}"))));
    told("beyond", said(format!("{beyond:?}").into_bytes()));
    for args in [
        &["keys"][..],
        &["keys", "--json"],
        &["why", "-n", "9", "--json"],
        &["status", "--json"],
        &["store", "export"],
        &["store", "export", "--include-secrets"],
        &["doctor"],
    ] {
        told(&args.join(" "), place.rota(args));
    }
    let metrics = Talk::to(daemon.admin(), "GET", "/metrics").send().body;
    told("metrics", said(metrics.into_bytes()));
    told("log", said(daemon.stop().into_bytes()));
    files(&place, &mut out);
    assert!(out.contains_key("file state/rota/state.json"), "{:?}", out.keys());
    assert_eq!(leaks(&out, &[key]), Vec::<String>::new());
}

fn two_accounts() -> (Fake, Place) {
    let fake = Fake::keys(&["a", "b"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    (fake, place)
}

/// The key that `rota keys add` prints.
fn made(place: &Place, args: &[&str]) -> String {
    let ran = place.rota(&[&["keys", "add"], args].concat());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let key = ran.out.trim().to_owned();
    assert!(key.starts_with("rota-") && key.len() == 48, "{key:?}");
    key
}

fn ask(daemon: &Daemon, path: &str, sent: Option<(&str, &str)>) -> Reply {
    let body = if path.starts_with("/openai") { ASK } else { STREAM };
    let talk = Talk::to(daemon.proxy(), "POST", path).json(body);
    match sent {
        Some((name, value)) => talk.header(name, value),
        None => talk,
    }
    .send()
}
