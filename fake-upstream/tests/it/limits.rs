//! Limits, standing of accounts, and what the record keeps.

use fake_upstream::{Account, ClaudeUsage, Coding, FakeUpstream, Outcome, Script, Slot};
use http::Request;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::client::{bearer, send, turn, with};

const NOON: i64 = 1_800_000_000_000;

#[tokio::test]
async fn a_spent_quota_refuses_until_its_reset_and_every_reply_says_how_much_is_used() {
    let account = Account::new("a").access_token("at-a").quota(2).five_hour(0.0, 600);
    let fake = FakeUpstream::start(Script::new().account(account).clock_at(NOON)).await.expect("start");
    let ask = || bearer("/backend-api/codex/responses", "at-a", &turn());
    let mut used = Vec::new();
    for _ in 0..2 {
        used.push(send(&fake, ask()).await.header("x-codex-primary-used-percent").to_owned());
    }
    assert_eq!(used, ["50", "100"]);
    let refused = send(&fake, ask()).await;
    assert_eq!(refused.status, 429);
    let error = refused.json()["error"].clone();
    assert_eq!(
        (&error["type"], &error["resets_at"], &error["resets_in_seconds"]),
        (&json!("usage_limit_reached"), &json!(NOON / 1000 + 600), &json!(600))
    );
    let usage = send(&fake, bearer("/backend-api/wham/usage", "at-a", &Value::Null)).await.json();
    assert_eq!(usage["rate_limit"]["limit_reached"], true);
    let credit = || bearer("/backend-api/wham/rate-limit-reset-credits/consume", "at-a", &json!({}));
    assert_eq!(send(&fake, credit()).await.json()["code"], "no_credit");
    fake.account("a", |account| account.reset_credits = 1);
    assert_eq!(send(&fake, credit()).await.json()["code"], "reset");
    assert_eq!(send(&fake, credit()).await.json()["code"], "nothing_to_reset");
    fake.account("a", |account| account.five_hour.used_percent = 100.0);
    assert_eq!(send(&fake, ask()).await.status, 429);
    fake.clock().advance_ms(5 * 3_600_000);
    assert_eq!(send(&fake, ask()).await.status, 200);
}

#[tokio::test]
async fn a_refused_request_costs_nothing() {
    let fake = FakeUpstream::start(Script::new().account(Account::new("a").api_key("sk-a").quota(1)))
        .await
        .expect("start");
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a", &json!({"input": "no model"}))).await.status, 400);
    let served = send(&fake, bearer("/v1/responses", "sk-a", &turn())).await;
    assert_eq!((served.status.as_u16(), served.header("x-ratelimit-remaining-requests")), (200, "0"));
    let refused = send(&fake, bearer("/v1/responses", "sk-a", &turn())).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["error"]["code"].clone()),
        (429, json!("rate_limit_exceeded"))
    );
}

#[tokio::test]
async fn claude_limits_come_in_headers_and_on_the_usage_page() {
    let account =
        Account::new("a").access_token("at-a").api_key("sk-a").five_hour(85.0, 60).seven_day(100.0, 900);
    let fake = FakeUpstream::start(Script::new().account(account).clock_at(NOON)).await.expect("start");
    let headers = [
        ("authorization", "Bearer at-a"),
        ("anthropic-beta", "oauth-2025-04-20"),
        ("anthropic-version", "1"),
    ];
    let got =
        send(&fake, with("/v1/messages", &headers, &json!({"model": "m", "max_tokens": 1, "messages": []})))
            .await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (429, "900"));
    assert_eq!(got.header("anthropic-ratelimit-unified-7d-status"), "rejected");
    assert_eq!(got.header("anthropic-ratelimit-unified-5h-status"), "allowed_warning");
    let usage = send(&fake, with("/api/oauth/usage", &headers, &Value::Null)).await.json();
    assert_eq!(
        (&usage["seven_day"]["utilization"], &usage["limits"][1]["kind"]),
        (&json!(100.0), &json!("weekly_all"))
    );
    let profile = send(&fake, with("/api/oauth/profile", &headers, &Value::Null)).await.json();
    assert_eq!(profile["organization"]["uuid"], "org-a");
}

#[tokio::test]
async fn the_claude_usage_page_has_the_fields_asked_for_and_resets_that_jitter() {
    for (form, has_fields, has_limits) in [
        (ClaudeUsage::Both, true, true),
        (ClaudeUsage::Fields, true, false),
        (ClaudeUsage::Limits, false, true),
    ] {
        let account = Account::new("a").access_token("at-a").five_hour(1.0, 600);
        let fake = FakeUpstream::start(Script::new().account(account).clock_at(NOON).claude_usage(form))
            .await
            .expect("start");
        let headers = [("authorization", "Bearer at-a"), ("anthropic-beta", "oauth-2025-04-20")];
        let mut resets = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let page = send(&fake, with("/api/oauth/usage", &headers, &Value::Null)).await.json();
            assert_eq!((page["five_hour"].is_object(), page["limits"].is_array()), (has_fields, has_limits));
            resets.insert(page.to_string());
        }
        assert!(resets.len() > 1);
    }
}

#[tokio::test]
async fn an_account_in_bad_standing_is_refused_in_the_words_of_its_provider() {
    let fake = FakeUpstream::start(Script::new().account(Account::new("a").access_token("at-a")))
        .await
        .expect("start");
    let code = |got: &crate::client::Got| got.json()["error"]["code"].clone();
    let ask = || bearer("/v1/responses", "at-a", &turn());
    fake.account("a", |account| account.deactivated = true).expect("account");
    assert_eq!(code(&send(&fake, ask()).await), "account_deactivated");
    fake.account("a", |account| {
        account.deactivated = false;
        account.workspace_dead = true;
    });
    assert_eq!(send(&fake, ask()).await.status, 402);
    fake.account("a", |account| {
        account.workspace_dead = false;
        account.invalidate_access();
    });
    assert_eq!(code(&send(&fake, ask()).await), "token_invalidated");
    assert_eq!(fake.account("nobody", |_| ()), None);
}

#[tokio::test]
async fn a_workspace_header_of_another_account_is_refused_and_reported() {
    let script = Script::new()
        .account(Account::new("a").access_token("at-a"))
        .account(Account::new("b").access_token("at-b"));
    let fake = FakeUpstream::start(script).await.expect("start");
    let ask = |org: &str| {
        with("/v1/responses", &[("authorization", "Bearer at-a"), ("chatgpt-account-id", org)], &turn())
    };
    assert_eq!(send(&fake, ask("org-a")).await.status, 200);
    assert_eq!(send(&fake, ask("org-b")).await.status, 401);
    let both = with("/v1/responses", &[("authorization", "Bearer at-a"), ("x-api-key", "at-b")], &turn());
    send(&fake, both).await;
    assert_eq!(fake.violations().len(), 2, "{:?}", fake.violations());
}

#[tokio::test]
async fn tokens_tried_right_after_an_invalidated_one_are_lost_in_a_cascade() {
    let mut script = Script::new().cascade().clock_at(NOON);
    for id in ["a", "b", "c", "d", "e"] {
        script = script.account(Account::new(id).access_token(format!("at-{id}")));
    }
    let fake = FakeUpstream::start(script).await.expect("start");
    fake.account("a", Account::invalidate_access);
    let mut statuses = Vec::new();
    for id in ["a", "b", "c", "d"] {
        statuses
            .push(send(&fake, bearer("/v1/responses", &format!("at-{id}"), &turn())).await.status.as_u16());
    }
    assert_eq!(statuses, [401, 200, 200, 401]);
    assert_eq!(send(&fake, bearer("/v1/responses", "at-b", &turn())).await.status, 401);
    fake.clock().advance_ms(10_001);
    assert_eq!(send(&fake, bearer("/v1/responses", "at-e", &turn())).await.status, 200);
}

#[tokio::test]
async fn the_record_has_what_a_test_asks_and_no_credential_of_an_account() {
    let fake =
        FakeUpstream::start(Script::new().account(Account::new("a").api_key("sk-a"))).await.expect("start");
    let mut body = turn();
    body["prompt_cache_key"] = json!("key-1");
    let headers = [("authorization", "Bearer sk-a"), ("session-id", "s-1"), ("x-leak", "client-canary")];
    send(&fake, with("/v1/responses?x=1", &headers, &body)).await;
    let all = fake.requests();
    let [recorded] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((recorded.account.as_deref(), recorded.slot), (Some("a"), Some(Slot::Authorization)));
    assert_eq!((recorded.model.as_str(), recorded.path.as_str()), ("gpt-5.1", "/v1/responses?x=1"));
    assert_eq!((recorded.status, recorded.outcome), (Some(200), Outcome::Done));
    assert_eq!(
        (recorded.body_len, recorded.body_sha256.as_ref().map(String::len)),
        (body.to_string().len() as u64, Some(64))
    );
    let affinity: Vec<_> =
        recorded.affinity.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(affinity, [("prompt_cache_key", "key-1"), ("session-id", "s-1")]);
    let shown = serde_json::to_string(&all).expect("json");
    assert!(!shown.contains("sk-a") && shown.contains("client-canary"), "{shown}");
    assert!(fake.saw("client-canary") && fake.saw("key-1") && fake.saw("sk-a") && !fake.saw("other"));
    assert_eq!(fake.accounts_served("/v1/responses"), ["a"]);
}

#[tokio::test]
async fn coded_bodies_are_understood_and_searched() {
    let fake =
        FakeUpstream::start(Script::new().account(Account::new("a").api_key("sk-a"))).await.expect("start");
    for coding in [Coding::Zstd, Coding::Gzip] {
        let request = coded(coding, turn().to_string().as_bytes()).await;
        assert_eq!(send(&fake, request).await.status, 200, "{coding:?}");
    }
    assert!(fake.saw("Be short."));
    for (coding, code) in
        [("gzip", "request_body_encoding_invalid"), ("lzma", "request_body_encoding_unsupported")]
    {
        let request =
            with("/v1/responses", &[("authorization", "Bearer sk-a"), ("content-encoding", coding)], &turn());
        assert_eq!(send(&fake, request).await.json()["error"]["code"], code);
    }
}

async fn coded(coding: Coding, body: &[u8]) -> Request<bytes::Bytes> {
    let mut out = Vec::new();
    match coding {
        Coding::Zstd => {
            let mut encoder = async_compression::tokio::write::ZstdEncoder::new(&mut out);
            encoder.write_all(body).await.expect("write");
            encoder.shutdown().await.expect("end");
        }
        Coding::Brotli | Coding::Deflate | Coding::Gzip => {
            let mut encoder = async_compression::tokio::write::GzipEncoder::new(&mut out);
            encoder.write_all(body).await.expect("write");
            encoder.shutdown().await.expect("end");
        }
    }
    Request::builder()
        .method("POST")
        .uri("/v1/responses")
        .header("host", "fake")
        .header("authorization", "Bearer sk-a")
        .header("content-encoding", coding.name())
        .body(out.into())
        .expect("request")
}
