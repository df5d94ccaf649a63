//! Limits that a person asks for: by the command line and by the admin API.
use super::place::{Daemon, Fake, Lines, Place};
use fake_upstream::{Account, Fault, Script};
use serde_json::{Value, json};
use std::sync::Arc;

const USAGE: &str = "/backend-api/wham/usage";

/// LIM-3 LIM-6, UX: `rota probe` says a line an account, `rota status` shows each window, and what is not known is so called.
#[test]
fn a_probe_tells_what_is_left_and_status_shows_it() {
    let (fake, place) = logins(&["work", "home"]);
    let daemon = place.serve();
    let before = place.rota(&["status"]);
    assert!(before.out.contains("unknown") && !before.out.contains('%'), "{}", before.out);
    let probe = place.rota(&["probe", "work"]);
    assert_eq!(probe.code, Some(0), "{probe:?}");
    assert!(
        probe.out.starts_with("work  5h 62 %  in ") && probe.out.contains(" · weekly 12 %  in "),
        "{}",
        probe.out
    );
    assert!(probe.err.contains("asking about 1 of the accounts"), "{}", probe.err);
    let after = place.rota(&["status"]);
    assert!(after.out.contains("5-HOUR LEFT") && after.out.contains("WEEKLY LEFT"), "{}", after.out);
    let row = |alias: &str| {
        after.out.lines().find(|line| line.trim_start().starts_with(alias)).expect("a row").to_owned()
    };
    assert!(row("work").contains("62 %  in ") && row("home").contains("unknown"), "{}", after.out);
    let jobs = place.json(&["probe", "work"]);
    assert_eq!((&jobs["jobs"][0]["alias"], &jobs["jobs"][0]["state"]), (&json!("work"), &json!("success")));
    daemon.stop();
    fake.upstream.account("home", |account| account.five_hour.used_percent = 1.0);
    let alone = place.rota(&["probe", "home"]);
    assert_eq!((alone.code, alone.out.starts_with("home  5h 99 %")), (Some(0), true), "{alone:?}");
}

/// LIM-2, UX: what fails says why, and that nothing known was lost; exit code 1, or 5 where a person must sign in.
#[test]
fn a_probe_that_fails_says_why_and_ends_with_the_right_code() {
    let (fake, place) = logins(&["work"]);
    place.add("key", "openai", "sk-key");
    let _daemon = place.serve();
    assert_eq!(place.rota(&["probe"]).code, Some(0));
    let known = place.json(&["status"])["accounts"][0]["limits"]["windows"].clone();
    fake.upstream.set_fault(Fault::reply(500, "{}").path(USAGE));
    let failed = place.rota(&["probe"]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!(failed.out, "work  not learnt: the provider answered 500; what was known stays\n");
    let limits = place.json(&["status"])["accounts"][0]["limits"].clone();
    assert_eq!((&limits["windows"], &limits["limitsConfidence"]), (&known, &json!("error")));
    assert_eq!((&limits["limitStatus"], &limits["refresh"]), (&json!("error"), &json!("error")));
    for (args, told) in [
        (&["probe", "wrok"][..], "did you mean: rota probe work "),
        (&["probe", "key"], "[LIMITS_NOT_TOLD]"),
        (&["probe", "work", "key"], "[LIMITS_NOT_TOLD]"),
    ] {
        let ran = place.rota(args);
        assert_eq!((ran.code, ran.err.contains(told)), (Some(1), true), "{args:?}: {ran:?}");
    }
    place.rota(&["disable", "work", "--force"]);
    let off = place.rota(&["probe", "work"]);
    assert_eq!((off.code, off.err.contains("[ACCOUNT_DISABLED]")), (Some(1), true), "{off:?}");
    let none = place.rota(&["probe"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""), "{none:?}");
}

/// LIM-4 LIM-6 REN-7: the jobs, the account with its history and source, and the metrics, which show nothing unknown.
#[test]
fn the_admin_api_shows_jobs_history_and_sources() {
    let (fake, place) = logins(&["work", "home"]);
    let daemon = place.serve();
    let metrics = || place.admin(&daemon, "GET", "/metrics").send().body;
    assert!(!metrics().contains("rota_limit_remaining_ratio{") && !metrics().contains("rota_probes_total{"));
    assert_eq!(call(&place, &daemon, "GET", "/api/limits/refresh", 200), json!({"jobs": []}));
    let idle = call(&place, &daemon, "GET", "/api/accounts/work", 200);
    assert_eq!((&idle["history"], &idle["limits"]["refresh"]), (&json!([]), &json!("idle")));
    assert_eq!(idle["limits"]["source"], Value::Null);
    fake.upstream.set_fault(Fault::none().path(USAGE).stall_head("question"));
    let asked =
        place.admin(&daemon, "POST", "/api/limits/refresh").json(json!({"aliases": ["work", "home"]})).send();
    assert_eq!(asked.status, 202, "{asked:?}");
    fake.wait(fake.upstream.gate("question").arrived(1));
    let states = states(&call(&place, &daemon, "GET", "/api/limits/refresh", 200));
    assert!(states.contains(&"running".to_owned()) && states.contains(&"queued".to_owned()), "{states:?}");
    let stopped = call(&place, &daemon, "DELETE", "/api/limits/refresh", 200);
    assert!(self::states(&stopped).contains(&"stopped".to_owned()), "{stopped}");
    fake.upstream.gate("question").release();
    let begun = stopped["jobs"].as_array().into_iter().flatten().find(|job| job["state"] == "running");
    let begun = begun.and_then(|job| job["alias"].as_str()).expect("one had begun").to_owned();
    assert_eq!(place.rota(&["probe", &begun]).code, Some(0));
    let account = call(&place, &daemon, "GET", &format!("/api/accounts/{begun}"), 200);
    let source = json!({"kind": "usage", "endpoint": USAGE});
    assert_eq!((&account["limits"]["source"], &account["history"][0]["source"]), (&source, &source));
    assert_eq!(account["history"][0]["windows"], account["limits"]["windows"]);
    let page = metrics();
    assert!(
        page.contains(&format!("rota_limit_remaining_ratio{{account=\"{begun}\",window=\"5h\"}} 0.62")),
        "{page}"
    );
    assert!(
        page.contains(&format!("rota_probes_total{{account=\"{begun}\",outcome=\"succeeded\"}}")),
        "{page}"
    );
    for (body, status, code) in [
        (json!({"aliases": ["nobody"]}), 404, "ACCOUNT_NOT_FOUND"),
        (json!({"alias": "work"}), 400, "INVALID_REQUEST"),
        (json!({"aliases": "work"}), 400, "INVALID_REQUEST"),
    ] {
        let reply = place.admin(&daemon, "POST", "/api/limits/refresh").json(&body).send();
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}");
    }
    let none = place.admin(&daemon, "GET", "/api/accounts/nobody").send();
    assert_eq!((none.status, none.code().as_str()), (404, "ACCOUNT_NOT_FOUND"));
}

/// ADM-1 REN-7: each step of a refresh is told on the stream of events, by the word that the account's view has for it.
#[test]
fn the_stream_of_events_tells_how_far_a_refresh_is() {
    let (fake, place) = logins(&["work", "home"]);
    let daemon = place.serve();
    let stream = place.admin(&daemon, "GET", "/api/events").open();
    let events = Arc::new(Lines::default());
    let reader = Arc::clone(&events);
    std::thread::spawn(move || reader.read(stream));
    events.wait(|text| text.contains("event: hello"));
    let told = |alias: &str, state: &str| {
        let data = json!({"alias": alias, "state": state});
        events.wait(|text| text.contains(&format!("event: limits\ndata: {data}\n")));
    };
    let refresh = |aliases: &[&str]| {
        let asked = place.admin(&daemon, "POST", "/api/limits/refresh").json(json!({"aliases": aliases}));
        assert_eq!(asked.send().status, 202);
    };
    fake.upstream.set_fault(Fault::none().path(USAGE).stall_head("question"));
    refresh(&["work", "home"]);
    fake.wait(fake.upstream.gate("question").arrived(1));
    let jobs = call(&place, &daemon, "GET", "/api/limits/refresh", 200);
    let first = jobs["jobs"].as_array().into_iter().flatten().find(|job| job["state"] == "running");
    let first = first.and_then(|job| job["alias"].as_str()).expect("one has begun");
    let second = if first == "work" { "home" } else { "work" };
    told(first, "running");
    told(second, "queued");
    call(&place, &daemon, "DELETE", "/api/limits/refresh", 200);
    told(second, "stopped");
    fake.upstream.gate("question").release();
    told(first, "success");
    fake.upstream.clear_faults();
    fake.upstream.set_fault(Fault::reply(500, "{}").path(USAGE));
    refresh(&[first]);
    told(first, "error");
}

fn call(place: &Place, daemon: &Daemon, method: &str, path: &str, status: u16) -> Value {
    let reply = place.admin(daemon, method, path).send();
    assert_eq!(reply.status, status, "{method} {path}: {reply:?}");
    reply.json()
}

fn states(jobs: &Value) -> Vec<String> {
    let jobs = jobs["jobs"].as_array().into_iter().flatten();
    jobs.filter_map(|job| job["state"].as_str()).map(str::to_owned).collect()
}

/// A fake that tells these logins their use, and a place that has them.
fn logins(names: &[&str]) -> (Fake, Place) {
    let script = names.iter().fold(Script::new(), |script, name| {
        let account =
            Account::new(*name).access_token(format!("at-{name}")).refresh_token(format!("rt-{name}"));
        script.account(account.five_hour(38.0, 3600).seven_day(88.0, 86_400))
    });
    let fake = Fake::start(script);
    let place = Place::before(&fake);
    for name in names {
        let credential = json!({
            "kind": "oauth", "accessToken": format!("at-{name}"), "refreshToken": format!("rt-{name}"),
            "expiresAt": "2099-01-01T00:00:00Z", "accountId": format!("org-{name}"),
        });
        place.add_login(name, "codex", &credential);
    }
    (fake, place)
}
