//! The token endpoints: what is spent, what is refused, and what is counted.

use fake_upstream::{Account, Ending, FakeUpstream, Fault, Script, TokenPolicy, Vendor};
use http::Request;
use serde_json::{Value, json};

use crate::client::{bearer, send, try_send, turn, with};

const NOON: i64 = 1_800_000_000_000;

async fn start(policy: TokenPolicy) -> FakeUpstream {
    let account = Account::new("a").access_token_for("at-0", 60).refresh_token("rt-0").tokens(policy);
    FakeUpstream::start(Script::new().account(account).clock_at(NOON)).await.expect("start")
}

fn refresh(path: &str, token: &str) -> Request<bytes::Bytes> {
    with(path, &[], &json!({"grant_type": "refresh_token", "refresh_token": token, "client_id": "c"}))
}

#[tokio::test]
async fn a_refresh_token_is_spent_by_its_first_use_and_a_second_is_a_reuse() {
    let fake = start(TokenPolicy::default()).await;
    assert_eq!(send(&fake, bearer("/v1/responses", "at-0", &turn())).await.status, 200);
    fake.clock().advance_ms(60_000);
    let expired = send(&fake, bearer("/v1/responses", "at-0", &turn())).await;
    assert_eq!(
        (expired.status.as_u16(), expired.json()["error"]["code"].clone()),
        (401, json!("token_expired"))
    );

    let got = send(&fake, refresh("/oauth/token", "rt-0")).await.json();
    let (access, next) =
        (got["access_token"].as_str().expect("access"), got["refresh_token"].as_str().expect("refresh"));
    assert_eq!(access.split('.').count(), 3);
    assert_eq!(send(&fake, bearer("/backend-api/codex/responses", access, &turn())).await.status, 200);
    let reused = send(&fake, refresh("/oauth/token", "rt-0")).await;
    assert_eq!(
        (reused.status.as_u16(), reused.json()["error"]["code"].clone()),
        (401, json!("refresh_token_reused"))
    );
    assert_eq!(send(&fake, refresh("/oauth/token", next)).await.status, 200);
    let unknown = send(&fake, refresh("/oauth/token", "rt-x")).await;
    assert_eq!(unknown.status, 401);

    let ledger = fake.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses, ledger.unknown), (2, 1, 1));
    assert_eq!(ledger.by_token.get("rt-0").map(|used| (used.exchanges, used.reuses)), Some((1, 1)));
    assert_eq!(fake.accounts_served("/oauth/token"), ["a", "a", "a", "-"]);
}

#[tokio::test]
async fn a_reuse_may_cost_the_whole_chain_and_no_other() {
    let fake = start(TokenPolicy { revoke_family_on_reuse: true, ..TokenPolicy::default() }).await;
    let other = fake.login("a", Vendor::OpenAi).expect("login");
    let got = send(&fake, refresh("/oauth/token", "rt-0")).await.json();
    let minted = |field: &str| got[field].as_str().expect("token").to_owned();
    assert_eq!(send(&fake, refresh("/oauth/token", "rt-0")).await.status, 401);
    let gone = send(&fake, refresh("/oauth/token", &minted("refresh_token"))).await;
    assert_eq!(gone.json()["error"]["code"], "refresh_token_invalidated");
    let out = send(&fake, bearer("/v1/responses", &minted("access_token"), &turn())).await;
    assert_eq!(out.json()["error"]["code"], "token_invalidated");
    assert_eq!(send(&fake, refresh("/oauth/token", &other.refresh_token)).await.status, 200);
}

#[tokio::test]
async fn a_spent_token_gets_the_same_answer_within_its_grace() {
    let fake = start(TokenPolicy { grace_seconds: 10, ..TokenPolicy::default() }).await;
    let first = send(&fake, refresh("/oauth/token", "rt-0")).await.json();
    fake.clock().advance_ms(9_000);
    let again = send(&fake, refresh("/oauth/token", "rt-0")).await.json();
    for field in ["access_token", "refresh_token"] {
        assert_eq!(first[field], again[field]);
    }
    fake.clock().advance_ms(1_000);
    assert_eq!(send(&fake, refresh("/oauth/token", "rt-0")).await.status, 401);
    let ledger = fake.ledger();
    assert_eq!((ledger.exchanges, ledger.graces, ledger.reuses), (1, 1, 1));
}

#[tokio::test]
async fn a_reply_without_a_refresh_token_leaves_the_old_one_alive() {
    let policy = TokenPolicy { send_refresh_token: false, send_expires_in: false, ..TokenPolicy::default() };
    let fake = start(policy).await;
    for _ in 0..2 {
        let got = send(&fake, refresh("/oauth/token", "rt-0")).await;
        assert_eq!(got.status, 200);
        assert_eq!((&got.json()["refresh_token"], &got.json()["expires_in"]), (&Value::Null, &Value::Null));
    }
}

#[tokio::test]
async fn anthropic_speaks_its_own_shape_and_takes_forms_too() {
    let fake = start(TokenPolicy::default()).await;
    let form = Request::post("/v1/oauth/token")
        .header("host", "fake")
        .body("grant_type=refresh_token&refresh_token=rt-0".into())
        .expect("request");
    let got = send(&fake, form).await.json();
    assert!(got["access_token"].as_str().is_some_and(|token| token.starts_with("sk-ant-oat01-")));
    assert_eq!((&got["expires_in"], &got["organization"]["uuid"]), (&json!(3600), &json!("org-a")));
    let reused = send(&fake, refresh("/v1/oauth/token", "rt-0")).await;
    assert_eq!((reused.status.as_u16(), reused.json()["error"].clone()), (400, json!("invalid_grant")));
    let odd = send(&fake, with("/token", &[], &json!({"grant_type": "password"}))).await;
    assert_eq!(odd.json()["error"], "unsupported_grant_type");
}

#[tokio::test]
async fn a_dropped_reply_of_a_token_endpoint_has_spent_the_token() {
    let fake = start(TokenPolicy::default()).await;
    fake.set_fault(Fault::none().path("/oauth/token").account("a").cut(0, Ending::Reset).once());
    assert!(try_send(fake.addr(), refresh("/oauth/token", "rt-0")).await.is_err());
    let reused = send(&fake, refresh("/oauth/token", "rt-0")).await;
    assert_eq!(reused.json()["error"]["code"], "refresh_token_reused");

    let next =
        fake.account("a", |account| account.newest_refresh().map(String::from)).flatten().expect("token");
    fake.set_fault(Fault::reply(500, "<html>oops</html>").path("/oauth/token").once());
    let before = send(&fake, refresh("/oauth/token", &next)).await;
    assert_eq!((before.status.as_u16(), before.header("content-type")), (500, "text/html; charset=utf-8"));
    fake.set_fault(
        Fault::reply(429, "{}").header("retry-after", "7").path("/oauth/token").committed().once(),
    );
    assert_eq!(send(&fake, refresh("/oauth/token", &next)).await.header("retry-after"), "7");
    assert_eq!(fake.ledger().by_token.get(&next).map(|used| used.exchanges), Some(1));
    assert_eq!(send(&fake, refresh("/oauth/token", &next)).await.status, 401);
}

#[tokio::test]
async fn a_revoked_chain_is_signed_out() {
    let fake = start(TokenPolicy::default()).await;
    assert_eq!(send(&fake, with("/oauth/revoke", &[], &json!({"token": "rt-0"}))).await.status, 200);
    assert_eq!(send(&fake, refresh("/oauth/token", "rt-0")).await.status, 401);
    assert_eq!(send(&fake, bearer("/v1/responses", "at-0", &turn())).await.status, 401);
}
