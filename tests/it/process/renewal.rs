use super::place::{Fake, Place};
use fake_upstream::{Account, Fault, Script};
use serde_json::{Value, json};
use std::fs;

/// Rounds of a revoked token, a renewal, and a SIGKILL while the new token is in use.
const ROUNDS: usize = 100;

/// REN-1, REN-2: many clients meet an expired token; it is renewed once, and kept before it is used.
#[test]
fn an_expired_token_is_renewed_once_and_kept_before_it_is_used() {
    let fake = login(-60);
    let place = Place::before(&fake);
    place.add_login("team", "codex", &credential(&json!("2020-01-01T00:00:00Z")));
    let daemon = place.serve();
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            (0..20).map(|_| scope.spawn(|| daemon.ask("/backend-api/codex/responses").status)).collect();
        for run in runs {
            assert_eq!(run.join().expect("a run"), 200);
        }
    });
    daemon.kill();
    let ledger = fake.upstream.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses), (1, 0));
    assert!(is_kept(&place, &newest(&fake)), "the new refresh token is on disk");
    let daemon = place.serve();
    assert_eq!(daemon.ask("/backend-api/codex/responses").status, 200);
    let page = super::talk::Talk::to(daemon.admin(), "GET", "/metrics").send().body;
    assert!(!page.contains("rota_renewals_total{"), "none since the start: {page}");
    assert_eq!(fake.upstream.ledger().exchanges, 1);
}

/// REN-2, I7: killed while the new token is in use, over and over: no refresh token is ever spent twice.
#[test]
fn killed_after_every_renewal_no_refresh_token_is_spent_twice() {
    let fake = login(3600);
    let place = Place::before(&fake);
    // Not later than what a renewal gives, or it would count as one that moved nothing.
    place.add_login("team", "codex", &credential(&json!(fake.upstream.clock().now_ms() + 1_800_000)));
    for round in 0..ROUNDS {
        let gate = format!("g{round}");
        let path = "/backend-api/codex/responses";
        fake.upstream.set_fault(Fault::named("token_expired").account("a").path(path).once());
        fake.upstream.set_fault(Fault::none().account("a").path(path).stall_head(&gate));
        let held = fake.upstream.gate(&gate);
        let daemon = place.serve();
        let client = daemon.call("POST", path).json(super::place::STREAM).open();
        fake.wait(held.arrived(1));
        daemon.kill();
        drop(client);
        assert!(is_kept(&place, &newest(&fake)), "round {round}: it was used before it was kept");
        fake.upstream.clear_faults();
    }
    let ledger = fake.upstream.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses, ledger.unknown), (ROUNDS as u64, 0, 0));
    let daemon = place.serve();
    assert_eq!(daemon.ask("/backend-api/codex/responses").status, 200);
    assert_eq!(fake.upstream.ledger().reuses, 0);
}

/// P8: neither the client that leaves nor SIGTERM cuts a renewal under way.
#[test]
fn a_renewal_under_way_outlives_its_client_and_sigterm() {
    let fake = login(-60);
    let place = Place::before(&fake);
    place.add_login("team", "codex", &credential(&json!("2020-01-01T00:00:00Z")));
    fake.upstream.set_fault(Fault::none().path("/oauth/token").stall_head("token"));
    let gate = fake.upstream.gate("token");
    let daemon = place.serve();
    let client = daemon.call("POST", "/backend-api/codex/responses").json(super::place::STREAM).open();
    fake.wait(gate.arrived(1));
    drop(client);
    daemon.signal("TERM");
    daemon.wrote("stopping");
    gate.release();
    assert_eq!(daemon.ended().0, Some(0));
    assert!(is_kept(&place, &newest(&fake)));
}

/// REN: a dead login is told, with what to do, and the renewals are counted.
#[test]
fn a_refused_renewal_is_told_and_counted() {
    let fake = login(-60);
    let place = Place::before(&fake);
    place.add_login("team", "codex", &credential(&json!("2020-01-01T00:00:00Z")));
    fake.upstream.set_fault(Fault::reply(400, r#"{"error":"invalid_grant"}"#).path("/oauth/token"));
    let daemon = place.serve();
    let reply = daemon.ask("/backend-api/codex/responses");
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.body.contains("rota status"), "{reply:?}");
    daemon.counted(&[r#"rota_renewals_total{account="team",outcome="permanent"} 1"#]);
    let status = place.rota(&["status"]).out;
    assert!(status.contains("needs-reauth"), "{status}");
    assert_eq!(place.rota(&["why", "--next", "--provider", "codex"]).code, Some(4));
}

/// One login whose access token lasts so many seconds.
fn login(seconds: i64) -> Fake {
    let account = Account::new("a").access_token_for("at-0", seconds).refresh_token("rt-0").org("acc-1");
    Fake::start(Script::new().account(account))
}

fn credential(expires: &Value) -> Value {
    json!({"kind": "oauth", "accessToken": "at-0", "refreshToken": "rt-0", "accountId": "acc-1", "expiresAt": expires})
}

fn newest(fake: &Fake) -> String {
    let newest = fake.upstream.account("a", |account| account.newest_refresh().map(str::to_owned));
    newest.flatten().expect("a refresh token")
}

/// The record itself holds the token, not only its copy.
fn is_kept(place: &Place, token: &str) -> bool {
    let records = fs::read_dir(place.state().join("credentials")).expect("a directory");
    let paths = records.map(|record| record.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains(token)))
}
