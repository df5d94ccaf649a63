use crate::harness::{Rota, login, rota};
use fake_upstream::{Account, FakeUpstream, Fault, Script};
use rota::clock::Clock;
use rota::model::Credential;
use std::time::Duration;
use tokio::task::JoinSet;

const TURN: &str = r#"{"model":"gpt-5","instructions":"be brief","input":[],"store":false,"stream":true}"#;

/// REN-2, I7: however many requests meet the dead token, one refresh replaces it, and each is sent once more.
#[tokio::test]
async fn fifty_refusals_of_one_token_make_one_refresh() {
    let (fake, rota) = stage().await;
    // Nobody is told before all fifty have been sent with the dead token.
    fake.set_fault(Fault::none().path("/backend-api/codex/*").times(50).stall_head("refusals"));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        asking.spawn(rota.call("POST", "/codex/responses").json(TURN).send());
    }
    fake.gate("refusals").arrived(50).await;
    fake.gate("refusals").release();
    while let Some(answer) = asking.join_next().await {
        let answer = answer.expect("a reply");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let ledger = fake.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses), (1, 0));
    assert_eq!(rota.account("work").credential.version(), 2);
    let statuses = fake.requests().into_iter().filter_map(|request| request.status);
    let refused = statuses.filter(|status| *status == 401).count();
    assert_eq!(refused, 50);
}

/// FLO-2: the one request whose token is refused is sent again with the new one, on the same account.
#[tokio::test]
async fn a_refused_token_is_renewed_and_the_request_sent_once_more() {
    let (fake, rota) = stage().await;
    let answer = rota.call("POST", "/codex/responses").json(TURN).send().await;
    let told = ["x-rota-account", "x-rota-attempts", "x-rota-why"].map(|name| answer.header(name));
    assert_eq!(told, [Some("work"), Some("2"), Some("refreshed")]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// FLO-8: a login that only a person can mend is told in a text that this client prints.
#[tokio::test]
async fn a_login_that_is_gone_for_good_is_a_readable_400() {
    let (fake, rota) = stage().await;
    fake.account("a", |account| account.refresh_tokens.clear());
    let answer = rota.call("POST", "/codex/responses").json(TURN).send().await;
    assert_eq!(answer.status, 400);
    let body = answer.json();
    assert_eq!(body["error"]["reasons"]["work"]["reason"], "reauth-failed");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("rota status")), "{body}");
}

/// I7: a client that hangs up does not cut the refresh it asked for.
#[tokio::test]
async fn a_refresh_outlives_the_client_that_asked_for_it() {
    let (fake, rota) = stage().await;
    fake.set_fault(Fault::none().path("/oauth/token").stall_head("exchange"));
    let asking = tokio::spawn(rota.call("POST", "/codex/responses").json(TURN).open());
    fake.gate("exchange").arrived(1).await;
    asking.abort();
    rota.decisions(1).await;
    fake.gate("exchange").release();
    while rota.account("work").credential.version() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.ledger().exchanges, 1);
}

/// REN-1: nobody asks, and a token near its end is renewed all the same; one with time left is left alone.
#[tokio::test]
async fn a_token_near_its_end_is_renewed_before_anybody_asks() {
    let script = Script::new()
        .account(Account::new("a").access_token("at-1").refresh_token("rt-1"))
        .account(Account::new("b").access_token("at-2").refresh_token("rt-2"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let now = Clock::System.now();
    let ending = Credential {
        issued: now.before(Duration::from_secs(3500)),
        expires: Some(now.after(Duration::from_secs(100))),
        ..login("at-1", "rt-1", "org-a")
    };
    let rota = rota(fake.origin())
        .account("fresh", "codex", login("at-2", "rt-2", "org-b"))
        .account("ending", "codex", ending)
        .start()
        .await;
    while rota.account("ending").credential.version() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.ledger().exchanges, 1);
    assert_eq!(rota.account("fresh").credential.version(), 1);
}

async fn stage() -> (FakeUpstream, Rota) {
    // Sooner over than it said: rota finds out by the refusal.
    let script = Script::new().account(Account::new("a").access_token_for("at-1", -5).refresh_token("rt-1"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "codex", login("at-1", "rt-1", "org-a")).start().await;
    (fake, rota)
}
