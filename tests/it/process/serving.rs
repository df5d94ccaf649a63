use super::place::{Fake, Place, STREAM};
use fake_upstream::{Account, Fault, Script};
use serde_json::json;

/// Issue's point 3: the client has no credential, the upstream sees the account's, and the next one takes over.
#[test]
fn a_client_without_a_credential_is_served_and_failed_over() {
    let fake = Fake::keys(&["a", "b"]);
    fake.upstream.set_fault(Fault::named("insufficient_quota").account("a").skip(1));
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    for path in ["/openai/v1/responses", "/v1/responses", "/openai/v1/responses", "/v1/chat/completions"] {
        let body = if path.ends_with("completions") {
            json!({"model": "gpt-5.1", "stream": true, "messages": [{"role": "user", "content": "hi"}]})
                .to_string()
        } else {
            STREAM.to_owned()
        };
        let reply = daemon.call("POST", path).header("authorization", "Bearer client-own").json(body).send();
        assert_eq!((reply.status, reply.cut), (200, false), "{reply:?}");
        assert!(reply.body.contains("data: ") && reply.body.contains("NG"), "{}", reply.body);
    }
    let order: Vec<_> = fake.upstream.requests().iter().filter_map(|seen| seen.account.clone()).collect();
    assert_eq!(order, ["a", "b", "a", "b", "b"]);
    assert!(!fake.upstream.saw("client-own"));
    assert_eq!(fake.upstream.violations(), Vec::<String>::new());
}

/// ROU: messages go to the provider of messages, ChatGPT's own paths to the logins.
#[test]
fn each_path_finds_its_provider_and_its_credential() {
    let script = Script::new()
        .account(Account::new("key").api_key("sk-ant"))
        .account(Account::new("login").access_token("at-1").refresh_token("rt-1").org("acc-1"));
    let fake = Fake::start(script);
    let place = Place::before(&fake);
    place.add("claude", "anthropic", "sk-ant");
    let login = json!({"kind": "oauth", "accessToken": "at-1", "refreshToken": "rt-1", "accountId": "acc-1",
        "expiresAt": "2126-01-01T00:00:00Z"});
    place.add_login("team", "codex", &login);
    let daemon = place.serve();
    let message = json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    for path in ["/v1/messages", "/anthropic/v1/messages"] {
        let call = daemon.call("POST", path).header("anthropic-version", "2023-06-01").json(&message);
        let reply = call.send();
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.body.contains("message_stop"), "{}", reply.body);
    }
    // Codex' own path, and the bare one while no key account exists.
    for path in ["/backend-api/codex/responses", "/v1/responses", "/codex/v1/responses"] {
        let reply = daemon.ask(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert!(reply.body.contains("response.completed"), "{}", reply.body);
    }
    let seen = fake.upstream.requests();
    let paths: Vec<_> = seen.iter().map(|seen| (seen.account.as_deref(), seen.path.as_str())).collect();
    let codex = (Some("login"), "/backend-api/codex/responses");
    let messages = (Some("key"), "/v1/messages");
    assert_eq!(paths, [messages, messages, codex, codex, codex]);
    assert_eq!(fake.upstream.violations(), Vec::<String>::new());
}

#[test]
fn status_tells_how_it_is_in_words_and_in_json() {
    let fake = Fake::keys(&["a", "b"]);
    fake.upstream.set_fault(Fault::named("insufficient_quota").account("a"));
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    assert!(place.rota(&["status"]).out.contains("not running"));
    let alone = place.json(&["status"]);
    assert!(alone["day"].is_null() && alone["capacity"].is_null(), "nobody has counted: {alone}");
    let daemon = place.serve();
    let reply = daemon.ask("/v1/responses");
    daemon.wrote(reply.header("x-rota-request-id").expect("an id"));
    assert_eq!(place.rota(&["disable", "home", "--force", "--reason", "on holiday"]).code, Some(0));
    let status = place.rota(&["status"]);
    let proxy = daemon.proxy().to_string();
    for words in [
        proxy.as_str(),
        " · dashboard http://127.0.0.1:",
        "round-robin",
        "store intact",
        "◐ cooling, ",
        " (payment)",
        "○ off, by you ",
        ": on holiday",
    ] {
        assert!(status.out.contains(words), "{words:?} is not in\n{}", status.out);
    }
    let body = place.json(&["status"]);
    let states: Vec<_> = body["accounts"]
        .as_array()
        .expect("accounts")
        .iter()
        .map(|it| it["eligibility"]["state"].clone())
        .collect();
    assert_eq!(states, ["cooling", "disabled"]);
    let served = daemon_counts(&body);
    assert_eq!(served, (1, 1, 1), "requests, answered, saved: {body}");
    assert_eq!(body["day"]["byAccount"], serde_json::json!([{"alias": "home", "requests": 1, "share": 1.0}]));
    assert!(
        status.out.contains("1 request of the last 24 h would have failed and did not."),
        "{}",
        status.out
    );
    assert_eq!(body["proxy"][0], proxy);
    assert_eq!(body["store"]["saved"], true);
}

fn daemon_counts(status: &serde_json::Value) -> (u64, u64, u64) {
    let count = |name: &str| status["day"][name].as_u64().expect("a number");
    (count("requests"), count("answered"), count("saved"))
}

/// OBS-2
#[test]
fn the_metrics_page_needs_no_token_and_is_well_formed() {
    let fake = Fake::keys(&["a", "b"]);
    fake.upstream.set_fault(Fault::named("insufficient_quota").account("a"));
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    let reply = daemon.ask("/v1/responses");
    daemon.wrote(reply.header("x-rota-request-id").expect("an id"));
    let page = super::talk::Talk::to(daemon.admin(), "GET", "/metrics").send();
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    well_formed(&page.body);
    daemon.counted(&[
        r#"rota_requests_total{provider="openai",outcome="served"} 1"#,
        r#"rota_failovers_total{provider="openai",reason="payment-required"} 1"#,
        r#"rota_account_eligible{account="home"} 1"#,
        r#"rota_account_eligible{account="work"} 0"#,
        "rota_panics 0",
    ]);
}

/// ADM-7
#[test]
fn readiness_is_the_selectors_own_word() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    let daemon = place.serve();
    let ready = || super::talk::Talk::to(daemon.admin(), "GET", "/readyz").send();
    assert_eq!(ready().status, 503);
    place.add("work", "openai", "sk-a");
    assert_eq!(
        (ready().status, ready().json()),
        (200, json!({"ready": true, "providers": {"openai": true}}))
    );
    fake.upstream.set_fault(Fault::named("insufficient_quota"));
    assert_eq!(daemon.ask("/v1/responses").status, 429);
    assert_eq!(
        (ready().status, ready().json()),
        (503, json!({"ready": false, "providers": {"openai": false}}))
    );
}

/// What `promtool check metrics` asks of a page, and the format's own rules: every series has one TYPE and one HELP before
/// it, all of a name stand together, no series comes twice, counters end in `_total`, no value is missing.
fn well_formed(page: &str) {
    let mut families: Vec<(String, String)> = Vec::new();
    let mut helped = std::collections::BTreeSet::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(families.iter().all(|(there, _)| there != name), "{name} comes twice");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            assert!(kind == "counter" || !name.ends_with("_total"), "{line}");
            families.push((name.to_owned(), kind.to_owned()));
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            assert!(value.parse::<f64>().is_ok_and(|value| !value.is_nan()), "{line}");
            assert!(seen.insert(series.to_owned()), "{series} comes twice");
            let (family, kind) = families.last().expect("a type comes first");
            let name = series.split('{').next().unwrap_or_default();
            let fits = match kind.as_str() {
                "histogram" => {
                    ["_bucket", "_sum", "_count"].iter().any(|end| name == format!("{family}{end}"))
                }
                _ => name == family,
            };
            assert!(fits && helped.contains(family), "{line} stands below {family}");
        }
    }
    assert!(families.len() > 10, "{page}");
}
