//! One account for every request, by hand: what is asked of a running rota and of one that is started again.
use super::place::{Daemon, Fake, Place};
use super::talk::Reply;
use fake_upstream::Fault;
use serde_json::{Value, json};

const SPENT: &str = r#"{"error":{"code":"insufficient_quota"}}"#;
const SHORT: &str = r#"{"error":{"code":"rate_limit_exceeded"}}"#;

/// FRC-1, FRC-2: every request is the forced account's; asking again does not extend it; another account replaces it;
/// taken back, the strategy decides.
#[test]
fn a_forced_account_serves_every_request_until_it_is_taken_back() {
    let (_fake, place, daemon) = two_accounts();
    let first = forced(&place, &daemon, "home");
    let (since, until) = (&first["force"]["since"], &first["force"]["until"]);
    assert_eq!(seconds(until) - seconds(since), 24 * 3600);
    assert_eq!((&first["force"]["by"], &first["strategy"]), (&json!("admin"), &json!("round-robin")));
    for _ in 0..4 {
        assert_eq!(served(&daemon), ["home", "forced", "home"]);
    }
    assert_eq!(forced(&place, &daemon, "home")["force"], first["force"], "asking again does not extend it");
    let other = forced(&place, &daemon, "work");
    assert_eq!(other["force"]["alias"], "work");
    assert_eq!(served(&daemon), ["work", "forced", "work"]);
    let cleared = place.admin(&daemon, "POST", "/api/force/clear").send();
    assert_eq!((cleared.status, &cleared.json()["force"]), (200, &Value::Null));
    assert_eq!(served(&daemon)[1..], ["rotated", ""]);
    assert_eq!(place.json(&["force"])["force"], Value::Null);
}

/// FRC-3, ADM-2
#[test]
fn what_cannot_be_forced_is_told_with_a_code() {
    let (fake, place, daemon) = two_accounts();
    let post = |path: &str, body: Value| place.admin(&daemon, "POST", path).json(body).send();
    let refused = |reply: Reply| (reply.status, reply.code());
    let none = post("/api/force/clear", Value::Null);
    assert_eq!(refused(none), (409, "NO_FORCE_ACTIVE".to_owned()));
    let unknown = post("/api/force", json!({"alias": "hmoe"}));
    assert!(unknown.body.contains("did you mean"), "{unknown:?}");
    assert_eq!(refused(unknown), (404, "ACCOUNT_NOT_FOUND".to_owned()));
    assert_eq!(refused(post("/api/force", json!({}))), (400, "INVALID_REQUEST".to_owned()));
    assert_eq!(place.rota(&["disable", "home"]).code, Some(0));
    let off = post("/api/force", json!({"alias": "home"}));
    assert!(off.body.contains("rota enable home"), "{off:?}");
    assert_eq!(refused(off), (409, "ACCOUNT_DISABLED".to_owned()));
    fake.upstream.set_fault(Fault::reply(429, SPENT).account("a").header("retry-after", "900"));
    assert_eq!(daemon.ask("/openai/v1/responses").status, 429);
    let spent = post("/api/force", json!({"alias": "work"}));
    assert_eq!(refused(spent), (409, "ACCOUNT_UNABLE".to_owned()));
    let wrong = place.rota(&["force", "--clear"]);
    assert_eq!(wrong.code, Some(1));
    assert!(wrong.err.contains("NO_FORCE_ACTIVE"), "{wrong:?}");
}

/// FRC-2: a force whose account is spent ends at once, and the request goes on by the strategy; header, log, metric,
/// decision record and status tell.
#[test]
fn a_force_on_a_spent_account_ends_at_once_and_everybody_is_told() {
    let (fake, place, daemon) = two_accounts();
    forced(&place, &daemon, "home");
    fake.upstream.set_fault(Fault::reply(429, SPENT).account("b").header("retry-after", "900"));
    let reply = daemon.ask("/openai/v1/responses");
    assert_eq!(reply.status, 200, "{reply:?}");
    let told = ["x-rota-account", "x-rota-why", "x-rota-force"].map(|name| header(&reply, name));
    assert_eq!(told, ["work", "rotated", "ended"]);
    daemon.wrote("the force has ended: the strategy decides again");
    let ended = place.json(&["status"])["forceEnded"].clone();
    assert_eq!((&ended["alias"], &ended["reason"]), (&json!("home"), &json!("payment-required")));
    assert_eq!(place.json(&["force"])["ended"], ended);
    let page = daemon.counted(&[r#"rota_forces_ended_total{reason="payment-required"} 1"#]);
    assert!(!page.contains("rota_force_until_timestamp_seconds{"), "{page}");
    let words = place.rota(&["status"]).out;
    assert!(words.contains("! the force on home ended"), "{words}");
    // Whoever forces again has read it.
    forced(&place, &daemon, "work");
    assert_eq!(place.json(&["status"])["forceEnded"], Value::Null);
}

/// FRC-2: a short rest does not end it. Who would have to wait for longer than rota waits is told the truth.
#[test]
fn a_force_outlives_a_short_rest_and_no_other_account_is_asked() {
    let (fake, mut place) = two_accounts_at_rest();
    place.set("ROTA_ROTATION__PATIENCE", "1s");
    let daemon = place.serve();
    forced(&place, &daemon, "home");
    fake.upstream.set_fault(Fault::reply(429, SHORT).account("b").header("retry-after", "30"));
    let reply = daemon.ask("/openai/v1/responses");
    assert_eq!((reply.status, header(&reply, "x-rota-force")), (429, "home".to_owned()), "{reply:?}");
    let again = daemon.ask("/openai/v1/responses");
    assert_eq!(again.status, 429, "{again:?}");
    assert_eq!(fake.upstream.accounts_served("/v1/responses"), ["b"], "nobody else was asked");
    assert_eq!(place.json(&["force"])["force"]["alias"], "home");
}

/// FRC-3, STO-3: a restart, in order or not, keeps the force with its times; what it hides goes on beneath.
#[test]
fn a_force_survives_the_end_of_the_process_and_shows_in_an_export() {
    let (_fake, place, daemon) = two_accounts();
    let before = forced(&place, &daemon, "home");
    daemon.kill();
    let daemon = place.serve();
    assert_eq!(place.json(&["force"])["force"], before["force"]);
    assert_eq!(served(&daemon), ["home", "forced", "home"]);
    daemon.stop();
    assert_eq!(place.json(&["force"])["force"], before["force"]);
    let export = place.rota(&["store", "export"]);
    let export: Value = serde_json::from_str(&export.out).expect("a document");
    let force = &export["force"];
    assert_eq!(
        (&force["forcedAlias"], &force["forcedBy"], &force["previousRotationStrategy"]),
        (&json!("home"), &json!("admin"), &json!("round-robin"))
    );
    assert!(force["forcedUntil"].is_u64(), "{export}");
}

/// FRC-2, SEL-2: switched off or removed, a forced account has no force any more, whoever asks.
#[test]
fn a_force_goes_with_its_account() {
    let (_fake, place, daemon) = two_accounts();
    for (command, reason) in
        [(vec!["disable", "home"], "disabled"), (vec!["accounts", "rm", "home", "--yes"], "removed")]
    {
        assert_eq!(place.rota(&["force", "home"]).code, Some(0));
        assert_eq!(place.json(&["force"])["force"]["by"], "cli");
        assert_eq!(place.rota(&command).code, Some(0));
        let state = place.json(&["force"]);
        assert_eq!((&state["force"], &state["ended"]["reason"]), (&Value::Null, &json!(reason)));
        assert_eq!(served(&daemon)[..2], ["work", "rotated"]);
        place.rota(&["enable", "home"]);
    }
}

fn two_accounts() -> (Fake, Place, Daemon) {
    let (fake, place) = two_accounts_at_rest();
    let daemon = place.serve();
    (fake, place, daemon)
}

fn two_accounts_at_rest() -> (Fake, Place) {
    let fake = Fake::keys(&["a", "b"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    (fake, place)
}

fn forced(place: &Place, daemon: &Daemon, alias: &str) -> Value {
    let reply = place.admin(daemon, "POST", "/api/force").json(json!({"alias": alias})).send();
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

/// Who served the next request, why, and which force its reply tells of.
fn served(daemon: &Daemon) -> [String; 3] {
    let reply = daemon.ask("/openai/v1/responses");
    assert_eq!(reply.status, 200, "{reply:?}");
    ["x-rota-account", "x-rota-why", "x-rota-force"].map(|name| header(&reply, name))
}

fn header(reply: &Reply, name: &str) -> String {
    reply.header(name).unwrap_or_default().to_owned()
}

fn seconds(at: &Value) -> i64 {
    let at: jiff::Timestamp = at.as_str().and_then(|at| at.parse().ok()).expect("a time");
    at.as_second()
}
