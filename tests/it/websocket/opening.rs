use super::{handshakes, in_flight, pair, script, upstream};
use crate::harness::{Ended, RESPONSES, Socket, create, key};
use fake_upstream::{Fault, SocketPolicy};
use rota::engine::Why;
use rota::telemetry::Outcome;
use serde_json::json;

const KEY: &str = "a-key-of-sixteen-or-more";

/// PRX-1, SEL-3: two turns on one account, told as what they are.
#[tokio::test]
async fn a_conversation_is_one_connection_to_one_account() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    assert_eq!(socket.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(socket.header("sec-websocket-extensions"), None, "nothing is compressed");
    assert!(socket.header("x-codex-turn-state").is_some(), "the upstream's own headers pass");
    assert_eq!(socket.header("x-rota-account"), Some("work"));
    for _ in 0..2 {
        let kinds = socket.ask(&create()).await;
        assert_eq!(kinds.first().map(String::as_str), Some("codex.rate_limits"));
        assert_eq!(kinds.last().map(String::as_str), Some("response.completed"));
    }
    assert_eq!(super::turns(&fake), ["a", "a"]);
    let records = rota.decisions(3).await;
    let told: Vec<_> = (records.iter())
        .map(|one| (one.method.as_str(), one.why, one.outcome, one.status, one.attempts.len()))
        .collect();
    assert_eq!(
        told,
        [
            ("GET", Some(Why::Rotated), Outcome::Served, Some(101), 1),
            ("WS", Some(Why::Session), Outcome::Served, Some(200), 1),
            ("WS", Some(Why::Session), Outcome::Served, Some(200), 1),
        ]
    );
    assert_eq!(records[1].model.as_ref().map(|model| model.as_str()), Some("gpt-5.1"));
    assert!(records[1].bytes_in > 0 && records[1].bytes_out > 0);
    assert_eq!(in_flight(&rota), 0);
    assert!(rota.account("work").limits.latest.is_some(), "the handshake's headers tell of limits");
    let page = rota.app.scrape(&rota.app.state.snapshot());
    assert_eq!((page.websockets, page.websocket_turns), (1, 2));
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// FLO-2, FLO-3
#[tokio::test]
async fn a_refused_handshake_goes_to_the_next_account_unseen() {
    for fault in [
        Fault::named("token_invalidated"),
        Fault::named("usage_limit_reached"),
        Fault::reply(503, r#"{"error":{}}"#),
    ] {
        let fake = upstream().await;
        fake.set_fault(fault.handshake().account("a"));
        let rota = pair(&fake).start().await;
        let mut socket = Socket::of(&rota, "s-1").await;
        assert_eq!(socket.header("x-rota-account"), Some("home"));
        assert_eq!(socket.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
        assert_eq!(handshakes(&fake).last().map(String::as_str), Some("b"));
    }
}

#[tokio::test]
async fn an_upstream_without_websockets_is_told_as_it_is() {
    let none = SocketPolicy { offered: false, ..SocketPolicy::default() };
    let fake = fake_upstream::FakeUpstream::start(script().socket(none)).await.expect("a fake upstream");
    let rota = pair(&fake).start().await;
    let refused = Socket::open(&rota, RESPONSES, &[]).await.err().expect("refused");
    assert_eq!(refused.status, 426);
    assert_eq!(fake.recorder().total(), 1, "once is enough");
}

#[tokio::test]
async fn a_path_that_speaks_no_websocket_is_left_at_once() {
    let fake = upstream().await;
    let rota = pair(&fake).account("key", "anthropic", key("sk-a")).start().await;
    for path in ["/codex/models", "/codex/responses/compact", "/anthropic/v1/messages", "/nowhere"] {
        let refused = Socket::open(&rota, path, &[]).await.err().expect("refused");
        assert_eq!((refused.status.as_u16(), refused.header("upgrade")), (426, Some("HTTP/1.1")), "{path}");
        assert_eq!(refused.json()["error"]["code"], "UPGRADE_NOT_OFFERED");
    }
    assert_eq!(fake.recorder().total(), 0);
}

/// PRX-3, L5
#[tokio::test]
async fn an_upgrade_meets_the_gate_and_a_bad_one_is_told_why() {
    let fake = upstream().await;
    let rota = pair(&fake).set("CLIENT_KEYS", KEY).start().await;
    for (line, status, code) in [
        (("origin", "http://evil.com"), 403, "ORIGIN_NOT_ALLOWED"),
        (("origin", "null"), 403, "ORIGIN_NOT_ALLOWED"),
        (("host", "evil.com"), 421, "HOST_NOT_ALLOWED"),
        (("sec-fetch-site", "cross-site"), 403, "CROSS_SITE"),
        (("x-rota-key", "wrong"), 401, "UNAUTHORIZED"),
        (("sec-websocket-version", "8"), 426, "BAD_HANDSHAKE_VERSION"),
        (("sec-websocket-key", "short"), 400, "BAD_HANDSHAKE"),
    ] {
        let key = ("x-rota-key", KEY);
        let lines = if line.0 == key.0 { vec![line] } else { vec![key, line] };
        let refused = Socket::open(&rota, RESPONSES, &lines).await.err().expect("refused");
        assert_eq!((refused.status.as_u16(), refused.json()["error"]["code"].as_str()), (status, Some(code)));
        let version = (status == 426).then_some("13");
        assert_eq!(refused.header("sec-websocket-version"), version);
    }
    assert_eq!(fake.recorder().total(), 0);
    assert!(Socket::open(&rota, RESPONSES, &[("x-rota-key", KEY)]).await.is_ok());
}

/// FLO-8: a 429 to the handshake would end the client's turn for good.
#[tokio::test]
async fn a_spent_pool_is_told_by_a_message_with_the_reset() {
    let fake = upstream().await;
    fake.set_fault(Fault::named("usage_limit_reached").handshake());
    let rota = pair(&fake).start().await;
    for tried in [2, 0] {
        let mut socket = Socket::of(&rota, "s-1").await;
        socket.say(&create()).await;
        let (messages, ended) = socket.rest().await;
        let [told] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((&told["type"], &told["status"]), (&json!("error"), &json!(429)));
        assert_eq!(told["error"]["type"], "usage_limit_reached");
        assert!(told["error"]["resets_in_seconds"].as_u64().is_some_and(|wait| wait > 0), "{told}");
        assert_eq!(told["error"]["attempted"].as_array().map(Vec::len), Some(tried));
        assert_eq!(ended, Ended::Closed(1013));
    }
    let records = rota.decisions(2).await;
    assert!(records.iter().all(|one| one.outcome == Outcome::Refused && one.status == Some(101)));
    assert_eq!(fake.recorder().total(), 2, "no account is asked again");
}

/// PRX-2
#[tokio::test]
async fn nothing_of_the_clients_credentials_goes_upstream() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let own = [
        ("authorization", "Bearer canary-1"),
        ("cookie", "canary-2"),
        ("x-api-key", "canary-3"),
        ("chatgpt-account-id", "canary-4"),
        ("sec-websocket-key", "Y2FuYXJ5LWNhbmFyeS0xNg=="),
        ("x-codex-turn-state", "canary-5"),
    ];
    let opened = Socket::open(&rota, RESPONSES, &own).await;
    let mut socket = opened.unwrap_or_else(|answer| panic!("{}: {}", answer.status, answer.text()));
    socket.ask(&create()).await;
    for secret in ["canary", "Y2FuYXJ5"] {
        assert!(!fake.saw(secret), "{secret}");
    }
    let handshake = fake.requests().remove(0);
    let sent = |name: &str| handshake.headers.iter().filter(|(other, _)| other == name).count();
    assert_eq!((sent("openai-beta"), sent("chatgpt-account-id")), (1, 1));
    assert_eq!(fake.violations(), Vec::<String>::new());
    assert_eq!(rota.app.affinity.len(), 0, "no session was named");
}

/// PRX-1: one that rota's own rotation setting leaves without sessions stays where it is all the same.
#[tokio::test]
async fn without_affinity_connections_rotate_and_turns_do_not() {
    let fake = upstream().await;
    let rota = pair(&fake).set("ROTATION__AFFINITY", "none").start().await;
    for expected in ["a", "b"] {
        let mut socket = Socket::of(&rota, "s-1").await;
        for _ in 0..2 {
            assert_eq!(socket.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
        }
        assert_eq!(super::turns(&fake).last().map(String::as_str), Some(expected));
    }
    assert_eq!(super::turns(&fake), ["a", "a", "b", "b"]);
}
