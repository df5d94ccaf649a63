//! `rota doctor` looks around: ports, an upstream, the clock, the programs' own files.
use super::place::{Fake, Place};
use serde_json::Value;

/// The check of this name: its state, message and fix.
fn check<'a>(told: &'a Value, name: &str) -> (&'a str, &'a str, &'a str) {
    let all = told["checks"].as_array().expect("checks");
    let found =
        all.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {told}"));
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    (text("state"), text("message"), text("fix"))
}

#[test]
fn the_doctor_looks_at_ports_and_says_who_holds_them() {
    let fake = Fake::keys(&["a"]);
    let mut place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    let (state, message, fix) = check(&place.json(&["doctor", "--offline"]), "listening").to_owned_parts();
    assert_eq!((state.as_str(), fix.as_str()), ("ok", "rota serve"), "{message}");
    let daemon = place.serve();
    let told = place.json(&["doctor", "--offline"]);
    let (state, message, _) = check(&told, "listening");
    assert!(message.starts_with(&format!("{} (proxy)", daemon.proxy())), "{message}");
    assert!(state == "ok" && message.ends_with("not reachable from other machines"), "{message}");
    // Another rota, with a store of its own, wants the same port.
    place.set("ROTA_LISTEN", daemon.proxy());
    place.set("ROTA_STATE_DIR", place.path("other").display());
    let ran = place.rota(&["doctor", "--offline", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.out).expect("JSON");
    let (state, message, fix) = check(&told, "listening");
    assert!(state == "bad" && message.contains("is taken by"), "{message}");
    if cfg!(target_os = "linux") {
        assert!(message.contains(&format!("rota (process {})", daemon.pid())), "{message}");
    }
    assert_eq!(fix, "rota config explain listen");
}

/// A check's texts, without the document they came in.
trait Owned {
    fn to_owned_parts(self) -> (String, String, String);
}

impl Owned for (&str, &str, &str) {
    fn to_owned_parts(self) -> (String, String, String) {
        (self.0.to_owned(), self.1.to_owned(), self.2.to_owned())
    }
}

#[test]
fn the_doctor_asks_an_upstream_what_time_it_is_and_lives_without_one() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    let told = place.json(&["doctor"]);
    assert_eq!(check(&told, "upstream").0, "ok", "{told}");
    let (state, message, _) = check(&told, "TLS");
    let count = message.split_once(" roots, ").and_then(|(count, _)| count.parse::<usize>().ok());
    assert!(state == "ok" && count.is_some_and(|count| count > 0), "{told}");
    assert_eq!(check(&told, "clock"), ("ok", "agrees with the upstream's", ""));
    assert!(
        place.json(&["doctor", "--offline"])["checks"]
            .as_array()
            .is_some_and(|all| all.len() < told["checks"].as_array().map_or(0, Vec::len))
    );
    place.config("[providers.openai]\norigin = \"http://127.0.0.1:9\"\n");
    let told = place.json(&["doctor"]);
    let (state, message, _) = check(&told, "upstream");
    assert!(state == "warn" && message.starts_with("http://127.0.0.1:9 cannot be reached: "), "{told}");
    assert_eq!(told["bad"], 0, "a machine without a network is not ill");
}

#[test]
fn the_doctor_sees_whether_programs_are_pointed_here() {
    let mut place = Place::new();
    place.set("ROTA_LISTEN", "127.0.0.1:7682");
    for id in ["codex", "claude", "opencode"] {
        assert_eq!(place.rota(&["connect", id, "--write"]).code, Some(0));
    }
    let told = place.json(&["doctor", "--offline"]);
    for id in ["codex", "claude", "opencode"] {
        let (state, message, _) = check(&told, &format!("{id} set-up"));
        assert!(state == "ok" && message.ends_with("points at http://127.0.0.1:7682"), "{message}");
    }
    place.set("ROTA_LISTEN", "127.0.0.1:7690");
    let told = place.json(&["doctor", "--offline"]);
    let (state, message, fix) = check(&told, "codex set-up");
    assert!(state == "warn" && message.contains("http://127.0.0.1:7690"), "{message}");
    assert_eq!(fix, "rota connect codex --write");
    assert_eq!(place.rota(&["connect", "codex", "--write"]).code, Some(0));
    let told = place.json(&["doctor", "--offline"]);
    assert_eq!(check(&told, "codex set-up").0, "ok", "the command that was named puts it right");
    place.file("home/.claude/settings.json", 0o600, "{ broken");
    let told = place.json(&["doctor", "--offline"]);
    let (state, message, _) = check(&told, "claude set-up");
    assert!(state == "warn" && message.contains("line 1"), "{message}");
}
