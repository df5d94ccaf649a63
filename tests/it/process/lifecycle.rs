//! What people do to accounts: each change is its account's alone, is durable, is told, and is made once.
use super::place::{Daemon, Fake, Place};
use super::talk::Reply;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// ADM-1, ADM-4: a new name and all else at once; what belongs to the account stays with it, under the new name.
#[test]
fn an_account_keeps_everything_under_another_name() {
    let (_fake, place, daemon) = two_accounts();
    assert_eq!(place.rota(&["force", "home"]).code, Some(0));
    let session = |daemon: &Daemon| {
        let reply = daemon
            .call("POST", "/openai/v1/responses")
            .header("x-rota-session", "s")
            .json(super::place::STREAM);
        let reply = reply.send();
        (reply.status, reply.header("x-rota-account").unwrap_or_default().to_owned())
    };
    assert_eq!(session(&daemon), (200, "home".to_owned()));
    let before = view(&place, "home");
    let body = json!({"alias": "house", "weight": 0.25, "tags": ["x"], "notes": "n", "quotaGroup": "org"});
    let reply = place.admin(&daemon, "PATCH", "/api/accounts/home").json(body).send();
    assert_eq!(reply.status, 200, "{reply:?}");
    let mut expected = before;
    for (name, value) in [
        ("alias", json!("house")),
        ("weight", json!(0.25)),
        ("tags", json!(["x"])),
        ("notes", json!("n")),
        ("quotaGroup", json!("org")),
    ] {
        expected[name] = value;
    }
    assert_eq!(reply.json(), expected);
    assert_eq!(place.json(&["force"])["force"]["alias"], "house");
    assert_eq!(place.rota(&["force", "--clear"]).code, Some(0));
    assert_eq!(session(&daemon), (200, "house".to_owned()), "its conversations are with it");
    let page = place.admin(&daemon, "GET", "/metrics").send().body;
    assert!(page.contains("account=\"house\"") && !page.contains("account=\"home\""), "{page}");
    daemon.kill();
    assert_eq!(view(&place, "house")["quotaGroup"], "org");
    let removed = json!({"quotaGroup": null});
    let daemon = place.serve();
    let reply = place.admin(&daemon, "PATCH", "/api/accounts/house").json(removed).send();
    assert_eq!((reply.status, &reply.json()["quotaGroup"]), (200, &Value::Null));
}

/// ADM-2: all or nothing, each mistake with its field.
#[test]
fn an_edit_that_does_not_fit_changes_nothing() {
    let (_fake, place, daemon) = two_accounts();
    let before = place.json(&["accounts"]);
    let long = "x".repeat(1025);
    for (body, status, code, told) in [
        (json!({}), 400, "INVALID_REQUEST", "at least one of"),
        (json!({"colour": 1}), 400, "INVALID_REQUEST", "unknown field `colour`"),
        (json!({"weight": 0}), 400, "INVALID_REQUEST", "weight: must be above 0"),
        (json!({"weight": 0.5, "alias": "No!"}), 400, "INVALID_REQUEST", "alias: "),
        (json!({"weight": 0.5, "tags": [""]}), 400, "INVALID_REQUEST", "tags: at most 16"),
        (json!({"weight": 0.5, "notes": long}), 400, "INVALID_REQUEST", "notes: at most"),
        (json!({"weight": 0.5, "quotaGroup": ""}), 400, "INVALID_REQUEST", "quotaGroup: 1 to 64"),
        (json!({"weight": 0.5, "alias": "work"}), 409, "ALIAS_TAKEN", "work"),
        (json!({"weight": 1.0, "alias": "home"}), 409, "ALREADY_IN_STATE", "home"),
    ] {
        let reply = place.admin(&daemon, "PATCH", "/api/accounts/home").json(&body).send();
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{body}: {reply:?}");
        assert!(reply.body.contains(told), "{body}: {reply:?}");
    }
    let unknown = place.admin(&daemon, "PATCH", "/api/accounts/hmoe").json(json!({"weight": 0.5})).send();
    assert_eq!(unknown.code(), "ACCOUNT_NOT_FOUND");
    assert_eq!(place.json(&["accounts"]), before);
}

/// ADM-4: of many that send the same form at once, one wins; the others are told so, and nothing is made twice.
#[test]
fn of_many_that_change_one_account_at_once_one_wins() {
    let (_fake, place, daemon) = two_accounts();
    let many = |ask: &(dyn Fn() -> Reply + Sync)| -> Vec<(u16, String)> {
        let mut told: Vec<(u16, String)> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            runs.into_iter()
                .map(|run| run.join().expect("a run"))
                .map(|reply| (reply.status, if reply.status < 300 { String::new() } else { reply.code() }))
                .collect()
        });
        told.sort();
        told
    };
    let known = ["ALREADY_IN_STATE", "UPDATE_IN_PROGRESS"];
    for share in [0.5, 0.25] {
        let ask =
            || place.admin(&daemon, "PATCH", "/api/accounts/home").json(json!({"weight": share})).send();
        let told = many(&ask);
        assert_eq!(told[0].0, 200, "{told:?}");
        assert!(
            told[1..].iter().all(|(status, code)| *status == 409 && known.contains(&&**code)),
            "{told:?}"
        );
    }
    let changes = audit(&place).into_iter().filter(|entry| entry["action"] == "account.weight").count();
    assert_eq!(changes, 2);
    let told = many(&|| place.admin(&daemon, "DELETE", "/api/accounts/home").send());
    assert_eq!(told[0].0, 204, "{told:?}");
    let known = ["ACCOUNT_NOT_FOUND", "UPDATE_IN_PROGRESS"];
    assert!(told[1..].iter().all(|(_, code)| known.contains(&&**code)), "{told:?}");
}

/// ADM-5, ADM-2: who changed what, newest first, durable before it is acknowledged; the last of its provider goes by
/// force only, and that is told. Never a secret.
#[test]
fn every_change_is_told_with_who_asked_and_survives_a_kill() {
    let (_fake, place, daemon) = two_accounts();
    place.rota(&["rename", "home", "house"]);
    place.rota(&["weight", "house", "0.5"]);
    place.rota(&["accounts", "set", "house", "--tag", "x", "--note", "hush", "--quota-group", "org"]);
    place.rota(&["disable", "house", "--reason", "holiday"]);
    let off = json!({"enabled": false, "force": true});
    let page = place.admin(&daemon, "PUT", "/api/accounts/work/enabled").header("x-rota-actor", "dashboard");
    assert_eq!(page.json(off).send().status, 200);
    place.rota(&["enable", "house"]);
    assert_eq!(place.rota(&["remove", "work", "--yes"]).code, Some(0));
    daemon.wrote("account.removed");
    daemon.kill();
    let told: Vec<[String; 5]> = audit(&place)
        .iter()
        .map(|entry| ["actor", "action", "target", "after", "reason"].map(|name| word(&entry[name])))
        .collect();
    let last = "off, though the last of its provider";
    let expected = [
        ["cli", "account.removed", "work", "", ""],
        ["cli", "account.enabled", "house", "on", ""],
        ["dashboard", "account.disabled", "work", last, ""],
        ["cli", "account.disabled", "house", "off", "holiday"],
        ["cli", "account.notes", "house", "", ""],
        ["cli", "account.quota-group", "house", "org", ""],
        ["cli", "account.tags", "house", "x", ""],
        ["cli", "account.weight", "house", "0.5", ""],
        ["cli", "account.renamed", "house", "house", ""],
        ["cli", "account.added", "home", "provider openai", ""],
        ["cli", "account.added", "work", "provider openai", ""],
    ];
    assert_eq!(told, expected.map(|line| line.map(str::to_owned)));
    let state = std::fs::read(place.state().join("state.json")).expect("the record");
    let state: Value = serde_json::from_slice(&state).expect("JSON");
    let kept = state["body"]["recentChanges"].to_string();
    assert!(kept.contains("holiday") && !kept.contains("sk-") && !kept.contains("hush"), "{kept}");
    let shown = place.rota(&["audit", "-n", "2"]).out;
    assert!(shown.lines().count() == 3 && shown.contains("account.removed"), "{shown}");
}

/// ADM-5: a trail that cannot be read costs what it told, and nothing else; the newest changes stand beside the accounts.
#[test]
fn a_damaged_audit_trail_begins_anew_and_stops_nothing() {
    let (_fake, place, daemon) = two_accounts();
    daemon.stop();
    let file = place.state().join("audit.json");
    std::fs::write(&file, "{").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("ours alone");
    let daemon = place.serve();
    assert!(daemon.log().contains("the audit trail cannot be read"), "{}", daemon.log());
    assert_eq!(audit(&place).len(), 2);
    assert_eq!(place.rota(&["disable", "home"]).code, Some(0));
    let told: Vec<String> = audit(&place).iter().map(|entry| word(&entry["action"])).collect();
    assert_eq!(told, ["account.disabled", "account.added", "account.added"]);
    daemon.stop();
    let daemon = place.serve();
    assert!(!daemon.log().contains("the audit trail cannot be read"), "{}", daemon.log());
}

fn two_accounts() -> (Fake, Place, Daemon) {
    let fake = Fake::keys(&["a", "b"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    (fake, place, daemon)
}

fn view(place: &Place, alias: &str) -> Value {
    let all = place.json(&["accounts"])["accounts"].as_array().expect("a list").clone();
    all.into_iter().find(|account| account["alias"] == alias).expect("the account")
}

fn audit(place: &Place) -> Vec<Value> {
    place.json(&["audit", "-n", "100"])["entries"].as_array().expect("a list").clone()
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
