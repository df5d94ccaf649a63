use super::place::{Daemon, Fake, Place};
use super::talk::{Reply, Talk};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

const OPEN: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/", "/ui/main.js"];
const GUARDED: [&str; 7] = [
    "/api/accounts",
    "/api/providers",
    "/api/stats",
    "/api/status",
    "/api/decisions",
    "/api/decisions/next?provider=openai",
    "/api/decisions/0123",
];

/// PRX-3, L2: no web page gets anything, with the token or without, and no answer ever allows one.
#[test]
fn no_web_page_gets_through_the_gate() {
    let (place, daemon) = one_account();
    let port = daemon.admin().port();
    let own = format!("http://127.0.0.1:{port}");
    let cases = [
        ("host", "evil.example", 421),
        ("host", "127.0.0.1", 421),
        ("host", "127.0.0.1.evil.example", 421),
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", "http://127.0.0.1:1", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
    ];
    for path in OPEN.iter().chain(&GUARDED) {
        for (name, value, status) in cases {
            let reply = place.admin(&daemon, "GET", path).header(name, value).send();
            assert_eq!(reply.status, status, "{path} {name}: {value}: {reply:?}");
            assert!(!reply.head.to_ascii_lowercase().contains("access-control-"), "{}", reply.head);
        }
        let preflight = Talk::to(daemon.admin(), "OPTIONS", path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "PUT")
            .send();
        assert_eq!(preflight.status, 403, "{preflight:?}");
        assert!(!preflight.head.to_ascii_lowercase().contains("access-control-"), "{}", preflight.head);
        // A page of its own, and tools that name themselves.
        for (name, value) in
            [("origin", own.as_str()), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
        {
            let reply = place.admin(&daemon, "GET", path).header(name, value).send();
            assert!(![403, 421].contains(&reply.status), "{path} {name}: {value}: {reply:?}");
        }
    }
}

/// PRX-3: the token for every view but health, metrics and the dashboard's own files, which hold nothing, and for every
/// change.
#[test]
fn without_the_token_there_is_health_and_nothing_else() {
    let (place, daemon) = one_account();
    let token = place.token();
    let before = place.json(&["accounts"]);
    let wrong = [
        String::new(),
        "Bearer ".into(),
        "Bearer wrong".into(),
        format!("Basic {token}"),
        format!("Bearer {token}x"),
        token[1..].into(),
    ];
    for header in &wrong {
        let ask = |method, path: &str| {
            let talk = Talk::to(daemon.admin(), method, path);
            if header.is_empty() { talk } else { talk.header("authorization", header) }
        };
        for path in GUARDED {
            let reply = ask("GET", path).send();
            assert_eq!((reply.status, reply.code().as_str()), (401, "UNAUTHORIZED"), "{path} {header}");
        }
        for (method, path) in [
            ("POST", "/api/accounts"),
            ("DELETE", "/api/accounts/work"),
            ("PUT", "/api/accounts/work/enabled"),
        ] {
            let reply = ask(method, path).json(json!({"enabled": false, "force": true})).send();
            assert_eq!(reply.status, 401, "{method} {path}");
        }
        for path in OPEN {
            assert_ne!(ask("GET", path).send().status, 401, "{path}");
        }
    }
    assert_eq!(place.json(&["accounts"]), before);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(place.state().join("admin-token")).expect("a file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

/// PRX-3: other users of this machine are closed before a byte is read. Only root can be another user.
#[test]
fn another_user_of_this_machine_is_not_heard() {
    let place = Place::new();
    let daemon = place.serve();
    let healthy = |user: Option<u32>| {
        let port = daemon.admin().port();
        let ask = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /healthz HTTP/1.1\\r\\nhost: 127.0.0.1:{port}\\r\\nconnection: close\\r\\n\\r\\n' >&3; cat <&3"
        );
        let mut command = Command::new("bash");
        command.args(["-c", &ask]).current_dir("/");
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let output = command.output().expect("bash");
        String::from_utf8_lossy(&output.stdout).starts_with("HTTP/1.1 200")
    };
    assert!(healthy(None));
    if rustix::process::geteuid().is_root() {
        assert!(!healthy(Some(65534)));
    }
}

/// ADM-2: every answer that is no view has a stable code, and says which field.
#[test]
fn what_does_not_fit_is_answered_with_a_code_and_the_field() {
    let (place, daemon) = one_account();
    let large = json!({"alias": "x", "provider": "openai", "secret": "x".repeat(300 * 1024)});
    let tags: Vec<String> = (0..17).map(|tag| format!("t{tag}")).collect();
    let add = |more: Value| {
        let mut body = json!({"alias": "x", "provider": "openai", "secret": "sk-canary"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let accounts = "/api/accounts";
    for (body, status, code, told) in [
        (add(json!({"colour": 1})), 400, "INVALID_REQUEST", "unknown field `colour`"),
        (json!({"alias": "x"}), 400, "INVALID_REQUEST", "missing field `provider`"),
        (json!("sk-canary"), 400, "INVALID_REQUEST", "expected an object with alias"),
        (add(json!({"kind": "sk-canary"})), 400, "INVALID_REQUEST", "expected one of"),
        (add(json!({"weight": "sk-canary"})), 400, "INVALID_REQUEST", "expected a number"),
        (add(json!({"weight": 1.5})), 400, "INVALID_REQUEST", "weight: must be above 0"),
        (add(json!({"tags": tags})), 400, "INVALID_REQUEST", "tags: at most 16"),
        (
            add(json!({"credential": {"kind": "bearer", "accessToken": "sk-canary"}})),
            400,
            "INVALID_REQUEST",
            "not both",
        ),
        (add(json!({"alias": "../x"})), 400, "INVALID_REQUEST", "alias"),
        (add(json!({"alias": "work"})), 409, "ALIAS_TAKEN", "work"),
        (add(json!({"provider": "opanai"})), 400, "INVALID_REQUEST", "there are anthropic"),
        (large, 413, "BODY_TOO_LARGE", "256 KiB"),
    ] {
        refused(place.admin(&daemon, "POST", accounts).json(&body).send(), (status, code, told));
    }
    let broken = place.admin(&daemon, "POST", accounts).json("{\"alias\": ").send();
    assert_eq!((broken.status, broken.code().as_str()), (400, "INVALID_REQUEST"));
    assert_eq!(names(&place.json(&["accounts"])), ["work"]);
}

/// ADM-2
#[test]
fn what_cannot_be_done_is_answered_with_a_code_and_a_way_out() {
    let (place, daemon) = one_account();
    let accounts = "/api/accounts";
    let enabled = "/api/accounts/work/enabled";
    for (method, path, body, status, code, told) in [
        ("PUT", enabled, json!({"enabled": "yes"}), 400, "INVALID_REQUEST", "expected a boolean"),
        ("PUT", enabled, json!({"enabled": true, "by": "me"}), 400, "INVALID_REQUEST", "unknown field `by`"),
        ("PUT", enabled, json!({"enabled": true}), 409, "ALREADY_IN_STATE", "work"),
        ("PUT", enabled, json!({"enabled": false}), 409, "LAST_ENABLED", "\"force\": true"),
        ("DELETE", "/api/accounts/work", json!({}), 409, "LAST_ENABLED", "\"force\": true"),
        (
            "PUT",
            "/api/accounts/wrok/enabled",
            json!({"enabled": true}),
            404,
            "ACCOUNT_NOT_FOUND",
            "did you mean \"work\"?",
        ),
        ("DELETE", "/api/accounts/nobody", json!({}), 404, "ACCOUNT_NOT_FOUND", "there are work"),
        ("PATCH", accounts, json!({}), 405, "METHOD_NOT_ALLOWED", "/api/accounts"),
        ("GET", "/api/nothing", json!({}), 404, "NOT_FOUND", "docs/ADMIN_API.md"),
        ("GET", "/api/decisions?limit=many", json!({}), 400, "INVALID_REQUEST", "limit"),
        ("GET", "/api/decisions?offset=1", json!({}), 400, "INVALID_REQUEST", "offset"),
        ("GET", "/api/decisions/next", json!({}), 400, "INVALID_REQUEST", "provider"),
        ("GET", "/api/decisions/next?provider=nobody", json!({}), 400, "INVALID_REQUEST", "nobody"),
        (
            "GET",
            "/api/decisions/next?provider=openai&session=%20",
            json!({}),
            400,
            "INVALID_REQUEST",
            "session",
        ),
        ("GET", "/api/decisions/012345", json!({}), 404, "DECISION_NOT_FOUND", "rota why"),
    ] {
        refused(place.admin(&daemon, method, path).json(&body).send(), (status, code, told));
    }
    let path = place.admin(&daemon, "DELETE", "/api/accounts/%ff").send();
    assert_eq!(path.status, 400, "{path:?}");
    assert_eq!(names(&place.json(&["accounts"])), ["work"]);
}

/// An answer with that status and code, whose message has those words and no secret.
fn refused(reply: Reply, (status, code, told): (u16, &str, &str)) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{told}: {reply:?}");
    let message = reply.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains(told), "{told:?}: {reply:?}");
    assert!(!reply.body.contains("canary"), "{}", reply.body);
}

/// ADM-2: the last enabled account goes only if it is meant, and that is told in the log.
#[test]
fn the_last_enabled_account_goes_only_by_force() {
    let (place, daemon) = one_account();
    let off = |body: Value| place.admin(&daemon, "PUT", "/api/accounts/work/enabled").json(body).send();
    assert_eq!(off(json!({"enabled": false})).code(), "LAST_ENABLED");
    let reply = off(json!({"enabled": false, "force": true, "reason": "for good"}));
    assert_eq!(reply.status, 200, "{reply:?}");
    let view = reply.json();
    assert_eq!(
        (&view["enabled"], &view["disableReason"], &view["disabledBy"]),
        (&json!(false), &json!("for good"), &json!("admin"))
    );
    assert_eq!(off(json!({"enabled": true})).status, 200);
    assert_eq!(off(json!({"enabled": true})).code(), "ALREADY_IN_STATE");
}

/// ADM-4: of many that flip one switch at once, one does.
#[test]
fn of_many_toggles_at_once_one_wins() {
    let (place, daemon) = one_account();
    place.add("home", "openai", "sk-b");
    for enabled in [false, true, false, true] {
        let flip = || {
            place
                .admin(&daemon, "PUT", "/api/accounts/home/enabled")
                .json(json!({"enabled": enabled}))
                .send()
                .status
        };
        let mut statuses: Vec<u16> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(flip)).collect();
            runs.into_iter().map(|run| run.join().expect("a run")).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
    }
}

/// ADM-4: a change of one account leaves every byte of the others as it was.
#[test]
fn a_change_touches_its_own_account_only() {
    let (place, daemon) = one_account();
    place.add("home", "openai", "sk-b");
    let files = |place: &Place| -> Vec<(String, Vec<u8>)> {
        let stored = place.stored().into_iter();
        stored.filter(|(name, _)| name.starts_with("credentials/") || name.starts_with("runtime/")).collect()
    };
    let others = |place: &Place| -> Vec<Value> {
        let all = place.json(&["accounts"])["accounts"].as_array().expect("a list").clone();
        all.into_iter().filter(|account| account["alias"] != "home").collect()
    };
    let (before, shown) = (files(&place), others(&place));
    let change = |method, path: &str, body: Value| {
        let reply = place.admin(&daemon, method, path).json(body).send();
        assert!((200..300).contains(&reply.status), "{reply:?}");
    };
    change("PUT", "/api/accounts/home/enabled", json!({"enabled": false, "reason": "x"}));
    change("PUT", "/api/accounts/home/enabled", json!({"enabled": true}));
    change(
        "PATCH",
        "/api/accounts/home",
        json!({"weight": 0.5, "tags": ["x"], "notes": "n", "quotaGroup": "g"}),
    );
    assert_eq!(files(&place), before, "neither a switch nor an edit writes a credential");
    assert_eq!(others(&place), shown);
    change("POST", "/api/accounts", json!({"alias": "third", "provider": "gemini", "secret": "sk-c"}));
    change("DELETE", "/api/accounts/third", json!({"force": true}));
    let kept: Vec<_> = files(&place).into_iter().filter(|file| before.contains(file)).collect();
    assert_eq!(kept, before);
    assert_eq!(others(&place), shown);
}

/// ADM-2, STO-7: what is not on disk is not acknowledged; once the disk is back it gets there.
#[test]
fn a_store_that_cannot_be_written_is_a_503_and_catches_up() {
    let (place, daemon) = one_account();
    place.add("home", "openai", "sk-b");
    let away = place.path("away");
    fs::rename(place.state(), &away).expect("moved");
    let token = fs::read_to_string(away.join("admin-token")).expect("the token");
    let ask = |method, path: &str| {
        Talk::to(daemon.admin(), method, path).header("authorization", &format!("Bearer {token}"))
    };
    let reply: Reply = ask("PUT", "/api/accounts/home/enabled").json(json!({"enabled": false})).send();
    assert_eq!((reply.status, reply.code().as_str()), (503, "STORE_UNAVAILABLE"), "{reply:?}");
    let status = ask("GET", "/api/status").send().json();
    assert_eq!(status["store"]["saved"], false, "{status}");
    assert!(
        status["store"]["lastError"].is_string() && status["store"]["unsavedSince"].is_string(),
        "{status}"
    );
    fs::rename(&away, place.state()).expect("moved back");
    daemon.wrote("the store is written again");
    assert_eq!(ask("GET", "/api/status").send().json()["store"]["saved"], true);
    daemon.kill();
    assert!(
        place.rota(&["accounts"]).out.lines().any(|line| line.contains("home") && line.contains("disabled"))
    );
}

/// OBS-3, UX: rota's own views, with all they may show.
#[test]
fn a_view_has_no_secret_in_any_field() {
    let (place, daemon) = one_account();
    let login = json!({"kind": "oauth", "accessToken": "at-canary", "refreshToken": "rt-canary", "idToken": "id-canary",
        "expiresAt": 4_102_444_800_000_u64, "email": "a@example.com", "planType": "plus"});
    let body = json!({"alias": "team", "provider": "codex", "credential": login, "tags": ["x"], "notes": "n", "weight": 0.5});
    let added = place.admin(&daemon, "POST", "/api/accounts").json(body).send();
    assert_eq!(added.status, 201, "{added:?}");
    let view = added.json();
    assert_eq!(view["credential"]["email"], "a@example.com");
    assert_eq!(view["credential"]["expiresAt"], "2100-01-01T00:00:00Z");
    for path in ["/api/accounts", "/api/status"] {
        let body = place.admin(&daemon, "GET", path).send().body;
        assert!(
            body.contains("a@example.com") && !body.contains("canary") && !body.contains("sk-a"),
            "{body}"
        );
    }
}

fn one_account() -> (Place, Daemon) {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    let daemon = place.serve();
    (place, daemon)
}

fn names(accounts: &Value) -> Vec<String> {
    let all = accounts["accounts"].as_array().expect("a list");
    all.iter().filter_map(|account| account["alias"].as_str().map(str::to_owned)).collect()
}
