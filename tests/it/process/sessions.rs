//! Which conversation is on which account, over the ends of the process and by hand.
use super::place::{Daemon, Fake, Place, STREAM};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// SEL-3: an end in order and a start again cost no conversation its account.
#[test]
fn a_conversation_stays_where_it_is_over_a_restart() {
    let fake = Fake::keys(&["a", "b"]);
    let place = with_two(&fake);
    let daemon = place.serve();
    let homes = ["one", "two", "three"].map(|session| served(&daemon, session).0);
    assert_eq!(homes, ["work", "home", "work"]);
    let mode = |name: &str| {
        let file = fs::metadata(place.state().join(name)).expect("the file");
        file.permissions().mode() & 0o777
    };
    daemon.stop();
    assert_eq!(mode("sessions"), 0o600);
    let daemon = place.serve();
    for (session, home) in ["three", "two", "one"].into_iter().zip(["work", "home", "work"]) {
        assert_eq!(served(&daemon, session), (home.to_owned(), "session".to_owned()));
    }
}

/// SEL-3: what was written before a crash is there after it. The first news after a quiet time are written at once.
#[test]
fn a_conversation_stays_where_it_is_over_a_crash() {
    let fake = Fake::keys(&["a", "b"]);
    let mut place = with_two(&fake);
    place.set("ROTA_LOG__LEVEL", "debug");
    let daemon = place.serve();
    served(&daemon, "");
    assert_eq!(served(&daemon, "one").0, "home");
    // The other file is written in its own time.
    let is_kept = |line: &str| line.contains("conversations was written") && line.contains("/sessions\"");
    daemon.wrote_what(|log| log.lines().any(is_kept));
    daemon.kill();
    let daemon = place.serve();
    assert_eq!(served(&daemon, "one"), ("home".to_owned(), "session".to_owned()));
}

/// SEL-3, SEL-4: a file that cannot be read costs its content and one line, never a start.
#[test]
fn a_damaged_file_is_left_out_and_stops_nothing() {
    let fake = Fake::keys(&["a", "b"]);
    let place = with_two(&fake);
    let daemon = place.serve();
    served(&daemon, "one");
    daemon.stop();
    let path = place.state().join("sessions");
    let whole = fs::read(&path).expect("the file");
    let mut changed = whole.clone();
    *changed.last_mut().expect("a byte") ^= 1;
    for bytes in [&whole[..whole.len() - 1], &changed, b"{}", b""] {
        fs::write(&path, bytes).expect("written");
        fs::write(place.state().join("owners"), bytes).expect("written");
        let daemon = place.serve();
        assert_eq!(daemon.log().matches("conversations begin anew").count(), 2);
        assert_eq!(served(&daemon, "two").1, "rotated");
        daemon.kill();
    }
    fs::write(&path, &whole).expect("written");
    let daemon = place.serve();
    assert_eq!(served(&daemon, "one").1, "session");
}

/// SEL-3: an account that was disabled or removed has no conversations, also if that happened while rota was not there.
#[test]
fn a_disabled_account_has_no_conversations() {
    let fake = Fake::keys(&["a", "b"]);
    let place = with_two(&fake);
    let daemon = place.serve();
    let flip = |args: &[&str]| assert_eq!(place.rota(args).code, Some(0), "{args:?}");
    assert_eq!(served(&daemon, "one").0, "work");
    flip(&["disable", "work"]);
    flip(&["enable", "work"]);
    assert_eq!(served(&daemon, "one"), ("home".to_owned(), "rotated".to_owned()));
    daemon.stop();
    flip(&["disable", "home"]);
    let daemon = place.serve();
    flip(&["enable", "home"]);
    assert_eq!(served(&daemon, "one").1, "rotated");
}

/// SEL-3: a person sees where conversations are, and takes one away.
#[test]
fn a_conversation_is_shown_and_taken_off_its_account_by_its_key() {
    let fake = Fake::keys(&["a", "b"]);
    let place = with_two(&fake);
    let daemon = place.serve();
    assert_eq!(place.rota(&["sessions"]).out, "No conversation has an account.\n");
    for session in ["one", "two"] {
        served(&daemon, session);
    }
    let shown = place.json(&["sessions"]);
    let of = |field: &str| -> Vec<Value> {
        let sessions = shown["sessions"].as_array().expect("a list");
        sessions.iter().map(|session| session[field].clone()).collect()
    };
    assert_eq!(
        (of("id"), of("account")),
        (vec!["two".into(), "one".into()], vec!["home".into(), "work".into()])
    );
    assert_eq!(
        (&of("kind")[0], &of("provider")[0], &shown["total"]),
        (&"session-id".into(), &"openai".into(), &2.into())
    );
    let ties = shown["ties"].as_array().expect("a list");
    let tied: Vec<_> = ties.iter().map(|tie| (&tie["account"], tie["held"].as_u64())).collect();
    assert_eq!(tied, [(&"home".into(), Some(1)), (&"work".into(), Some(1))], "each has a reply's id");
    let key = of("key")[1].as_str().expect("a key").to_owned();
    let table = place.rota(&["sessions"]).out;
    assert!(table.contains(&key) && table.contains("in 59 min"), "{table}");
    let path = format!("/api/sessions/{key}");
    assert_eq!(place.admin(&daemon, "DELETE", &path).send().status, 204);
    let again = place.admin(&daemon, "DELETE", &path).send();
    assert_eq!((again.status, again.code().as_str()), (404, "SESSION_NOT_FOUND"));
    assert_eq!(served(&daemon, "one").1, "rotated");
    assert_eq!(served(&daemon, "two").1, "session");
    let cleared = place.rota(&["sessions", "--clear", &key]);
    assert_eq!((cleared.code, cleared.out), (Some(0), format!("session {key} is on no account any more\n")));
    assert_eq!(served(&daemon, "one").1, "rotated");
    let missing = place.rota(&["sessions", "--clear", "nothing"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("SESSION_NOT_FOUND"), "{missing:?}");
}

fn with_two(fake: &Fake) -> Place {
    let place = Place::before(fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    place
}

/// Who served one request of the session, and why. An empty name is none.
fn served(daemon: &Daemon, session: &str) -> (String, String) {
    let call = daemon.call("POST", "/openai/v1/responses").json(STREAM);
    let call = if session.is_empty() { call } else { call.header("session-id", session) };
    let reply = call.send();
    assert_eq!(reply.status, 200, "{reply:?}");
    let of = |name: &str| reply.header(name).unwrap_or_default().to_owned();
    (of("x-rota-account"), of("x-rota-why"))
}
