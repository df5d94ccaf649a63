//! OBS-3, C7, C11: a whole life of the process at the most talkative log level, and then
//! a search for every secret that took part, in all that came out of it.
use super::place::{Daemon, Fake, Place, Ran, STREAM, gather};
use super::talk::{Reply, Talk};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use fake_upstream::{Account, Fault, Script};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;

/// Secrets that are somebody's. Each has characters that encodings change, and is unlike the others from its beginning.
const KEY: &str = r#"KEYcanary-4f1c9a/+"=%{}pool-key-of-work"#;
const SPENT: &str = r#"SPENTcanary-77ab/+"=%{}pool-key-of-home"#;
const ACCESS: &str = r#"ACCESScanary-b02/+"=%{}access-of-team"#;
const REFRESH: &str = r#"REFRESHcanary-9e/+"=%{}refresh-of-team"#;
const IDENTITY: &str = r#"IDcanary-55d0e1c7/+"=%{}id-token-of-team"#;
const CLIENT: &str = r#"CLIENTcanary-13c8/+"=%{}the-clients-own"#;
const WRONG: &str = r#"WRONGcanary-a2f6/+"=%{}a-guess-at-the-admin-token"#;
const GATE: &str = "GATEcanary-c81e0f-client-key";
const PROMPT: &str = "PROMPTcanary-0d9b-what-the-user-asked";

/// What came out, by where.
pub(super) type Out = BTreeMap<String, Vec<u8>>;

/// OBS-3, C7, C11
#[test]
fn no_secret_comes_out_of_anything() {
    for format in ["json", "text"] {
        let fake = upstream();
        let mut place = Place::before(&fake);
        place.set("ROTA_LOG", "trace");
        place.set("ROTA_LOG__FORMAT", format);
        let (mut out, replies) = life(&place, &fake);
        let mut secrets: Vec<String> =
            [KEY, SPENT, ACCESS, REFRESH, IDENTITY, CLIENT, WRONG, GATE, PROMPT].map(str::to_owned).to_vec();
        secrets.push(place.token());
        fake.upstream.account("team", |account| {
            secrets.extend(
                [account.newest_access(), account.newest_refresh()].into_iter().flatten().map(str::to_owned),
            );
        });
        assert_eq!(secrets.len(), 12);
        files(&place, &mut out);
        for name in ["file state/rota/state.json", "file info.json"] {
            assert!(out.contains_key(name), "{name} is searched");
        }
        assert_eq!(leaks(&out, &secrets), Vec::<String>::new(), "{format}");
        // What the pool owns does not reach clients either.
        let pool: Vec<String> = secrets.iter().filter(|secret| *secret != PROMPT).cloned().collect();
        assert_eq!(leaks(&replies, &pool), Vec::<String>::new(), "{format}");
        let bytes: usize = out.values().map(Vec::len).sum();
        assert!(bytes > 50_000, "there is something to search: {bytes}");
        seeded(&out, &secrets);
    }
}

/// C10: what is in memory stays there.
#[test]
fn no_core_dump_and_no_look_into_the_memory() {
    let place = Place::new();
    let daemon = place.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("the limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // Root may read everything; anybody else, the same user included, may not.
    let readable = fs::read(format!("/proc/{}/environ", daemon.pid())).is_ok();
    assert_eq!(readable, rustix::process::geteuid().is_root());
    assert!(
        Talk::to(daemon.admin(), "GET", "/metrics").send().body.contains("process_resident_memory_bytes ")
    );
}

/// The search itself: a secret seeded anywhere, in any of the forms, is found.
fn seeded(out: &Out, secrets: &[String]) {
    for secret in secrets {
        for form in forms(secret) {
            let mut seeded = out.clone();
            seeded.entry("daemon: log".to_owned()).or_default().extend(format!("x{form}y").bytes());
            assert!(
                !leaks(&seeded, std::slice::from_ref(secret)).is_empty(),
                "{form} of {secret} is not found"
            );
        }
    }
}

fn upstream() -> Fake {
    let team = Account::new("team").access_token_for(ACCESS, -60).refresh_token(REFRESH).org("acc-1");
    let script = Script::new()
        .account(Account::new("work").api_key(KEY))
        .account(Account::new("home").api_key(SPENT))
        .account(team);
    Fake::start(script)
}

/// Everything that a process of this kind meets. Returns what came out, and what clients were answered.
fn life(place: &Place, fake: &Fake) -> (Out, Out) {
    let mut out = Out::new();
    let mut told = |name: &str, ran: Ran| {
        let text = format!("{}{}", ran.out, ran.err);
        out.entry(name.to_owned()).or_default().extend(text.into_bytes());
    };
    let add = |alias: &str, source: &[&str], input: &str| {
        place.rota_given(&[&["accounts", "add", alias, "--provider"], source].concat(), input)
    };
    told("add", add("home", &["openai", "--key-stdin"], SPENT));
    told("add", add("work", &["openai", "--key-stdin"], KEY));
    let login = json!({"kind": "oauth", "accessToken": ACCESS, "refreshToken": REFRESH, "idToken": IDENTITY,
        "accountId": "acc-1", "expiresAt": "2020-01-01T00:00:00Z"});
    let file = place.file("keys/login.json", 0o600, &login.to_string()).display().to_string();
    told("add", add("team", &["codex", "--credential-file", &file], ""));
    told("add again", add("work", &["openai", "--key-stdin"], KEY));
    told("add wrongly", add("bad", &["nowhere", "--key-stdin"], KEY));
    told("add wrongly", add("bad", &["openai", "--key-stdin"], &format!("{KEY} {KEY}")));
    let wrong = place.file("keys/wrong.json", 0o600, &json!({"kind": KEY, "accessToken": [KEY]}).to_string());
    told("add wrongly", add("bad", &["codex", "--credential-file", &wrong.display().to_string()], ""));
    let keys = place.file("keys/client", 0o600, GATE).display().to_string();
    fake.upstream.set_fault(Fault::named("insufficient_quota").account("home").skip(1));

    // The first process meets clients, upstreams that lie, and wrong guesses.
    let daemon = place.serve();
    let replies = traffic(place, fake, &daemon);
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["accounts", "--json"],
        &["why", "-n", "50"],
        &["why", "-n", "50", "--json"],
        &["why", "--next", "--provider", "codex", "--json"],
        &["config", "explain"],
        &["store", "verify"],
        &["store", "export"],
        &["why", "aaaa"],
    ] {
        told(&args.join(" "), place.rota(args));
    }
    told("metrics", page(&daemon));
    told("cmdline", said(fs::read(format!("/proc/{}/cmdline", daemon.pid())).expect("its arguments")));
    told("first log", said(daemon.stop().into_bytes()));

    // The second has client keys, is asked without one and with a wrong one, and is killed.
    let mut command = place.command(&["serve", "--server-info", "info.json"]);
    command.env("ROTA_CLIENT_KEYS_FILE", keys);
    let daemon = Daemon::start(command);
    let log = daemon.wrote("listening");
    told("second log", said(log.into_bytes()));
    let info: serde_json::Value =
        serde_json::from_slice(&fs::read(place.path("info.json")).expect("a file")).expect("JSON");
    let proxy = info["proxy"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    for key in [CLIENT, GATE] {
        Talk::to(proxy, "POST", "/v1/responses")
            .header("authorization", &format!("Bearer {key}"))
            .json(STREAM)
            .send();
    }
    told("status", place.rota(&["status"]));
    let log = daemon.log();
    daemon.kill();
    told("second log", said(log.into_bytes()));
    (out, replies)
}

fn traffic(place: &Place, fake: &Fake, daemon: &Daemon) -> Out {
    let prompt = STREAM.replace("hello", PROMPT);
    let mut replies = Out::new();
    let mut answered = |name: &str, reply: Reply| {
        replies
            .entry(name.to_owned())
            .or_default()
            .extend(format!("{}\n{}", reply.head, reply.body).into_bytes());
        reply.status
    };
    let own = |talk: Talk| {
        talk.header("authorization", &format!("Bearer {CLIENT}"))
            .header("x-api-key", CLIENT)
            .header("cookie", &format!("session={CLIENT}"))
            .header("x-goog-api-key", CLIENT)
            .json(&prompt)
    };
    for path in ["/v1/responses", "/v1/responses", "/openai/v1/responses", "/backend-api/codex/responses"] {
        assert_eq!(answered("served", own(daemon.call("POST", path)).send()), 200, "{path}");
    }
    let query = format!("/gemini/v1beta/models/m:generateContent?key={}", percent(CLIENT));
    answered("no account", own(daemon.call("POST", &query)).send());
    answered("foreign host", own(daemon.call("POST", "/v1/responses")).header("host", "evil.example").send());
    answered(
        "no route",
        own(daemon.call("POST", &format!("/nowhere?access_token={}", percent(CLIENT)))).send(),
    );
    // The authority's and the upstream's errors repeat what they were sent.
    let echo =
        json!({"error": {"message": format!("refused {ACCESS} and {REFRESH} and {KEY}"), "code": "x"}})
            .to_string();
    fake.upstream.account("team", Account::invalidate_access);
    fake.upstream.set_fault(Fault::reply(500, echo.clone()).path("/oauth/token").once());
    fake.upstream.set_fault(Fault::reply(401, echo).path("/v1/responses").times(2));
    own(daemon.call("POST", "/backend-api/codex/responses")).send();
    own(daemon.call("POST", "/v1/responses")).send();
    for (path, token) in [("/api/accounts", WRONG), ("/api/status", CLIENT)] {
        let reply =
            Talk::to(daemon.admin(), "GET", path).header("authorization", &format!("Bearer {token}")).send();
        answered("admin", reply);
    }
    for body in [
        json!(KEY),
        json!({"alias": "x", "provider": "openai", "secret": {"value": KEY}}),
        json!({"alias": "x", "provider": "openai", "secret": KEY, "kind": KEY}),
    ] {
        answered("admin", place.admin(daemon, "POST", "/api/accounts").json(body).send());
    }
    answered("admin", place.admin(daemon, "GET", "/api/accounts").send());
    answered("admin", place.admin(daemon, "GET", "/api/decisions").send());
    replies
}

fn page(daemon: &Daemon) -> Ran {
    said(Talk::to(daemon.admin(), "GET", "/metrics").send().body.into_bytes())
}

pub(super) fn said(bytes: Vec<u8>) -> Ran {
    Ran { code: None, out: String::from_utf8_lossy(&bytes).into_owned(), err: String::new() }
}

/// All files but those that are made to hold secrets: credential records, the admin token, what the user wrote.
pub(super) fn files(place: &Place, out: &mut Out) {
    let mut all = BTreeMap::new();
    gather(place.root(), place.root(), &mut all);
    let secret = ["state/rota/credentials/", "state/rota/admin-token", "keys/", "team.json"];
    for (name, bytes) in all {
        if !secret.iter().any(|start| name.starts_with(start)) {
            out.insert(format!("file {name}"), bytes);
        }
    }
}

/// Where a secret is found, and in which form.
pub(super) fn leaks(out: &Out, secrets: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, bytes) in out {
        let text = String::from_utf8_lossy(bytes);
        for secret in secrets {
            for form in forms(secret) {
                if let Some(at) = text.find(&form) {
                    let around: String =
                        text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
                    found.push(format!("{name}: {form}, after …{around}"));
                }
            }
        }
    }
    found
}

/// A secret as it is, shortened to 16 characters, and in the encodings that programs write.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = serde_json::to_string(secret).expect("JSON");
    let start: String = secret.chars().take(16).collect();
    let mut forms = vec![
        secret.to_owned(),
        start,
        hex.to_uppercase(),
        hex,
        percent(secret),
        json.trim_matches('"').to_owned(),
    ];
    // A secret inside a longer text: three ways to fall on base64's groups.
    for lead in 0..3 {
        let mut padded = vec![b'x'; lead];
        padded.extend(bytes);
        let cut = |text: String| text[4..text.len() - 4].to_owned();
        forms.extend([cut(STANDARD.encode(&padded)), cut(URL_SAFE.encode(&padded))]);
    }
    forms
}

fn percent(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
