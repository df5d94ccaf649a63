use crate::harness::{key, rota};
use fake_upstream::{Account, FakeUpstream, Fault, Script};
use http_body_util::BodyExt;
use rota::model::{AccountId, SessionKey};

const STREAM: &str = r#"{"model":"gpt-5","input":"hello","stream":true}"#;
const ASK: &str = r#"{"model":"gpt-5","input":"hello"}"#;

/// FLO-2: the first account is spent, the second serves, and the client sees one reply that says who.
#[tokio::test]
async fn a_spent_account_is_passed_over_and_the_client_never_notices() {
    let fake = two_accounts().await;
    fake.set_fault(Fault::reply(429, r#"{"error":{"code":"insufficient_quota"}}"#).account("a"));
    let rota = pair(&fake).start().await;
    let answer = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(fake.accounts_served("/v1/responses"), ["a", "b"]);
    let told = ["x-rota-account", "x-rota-attempts", "x-rota-why"].map(|name| answer.header(name));
    assert_eq!(told, [Some("home"), Some("2"), Some("rotated")]);
    let again = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    assert_eq!(again.header("x-rota-attempts"), Some("1"));
    assert_eq!(fake.accounts_served("/v1/responses"), ["a", "b", "b"]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// FLO-8: nobody is left, and the client is told so that it asks once.
#[tokio::test]
async fn a_spent_pool_is_one_429_without_a_retry_after() {
    let fake = two_accounts().await;
    fake.set_fault(
        Fault::reply(429, r#"{"error":{"code":"insufficient_quota"}}"#).header("retry-after", "900"),
    );
    let rota = pair(&fake).start().await;
    let answer = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert_eq!(answer.header("retry-after"), None);
    let body = answer.json();
    assert_eq!(body["error"]["code"], "ALL_ACCOUNTS_EXHAUSTED");
    assert_eq!(body["error"]["attempted"], serde_json::json!(["work", "home"]));
    assert!(body["error"]["resets_in_seconds"].is_u64(), "{body}");
    assert_eq!(fake.recorder().total(), 2);
    // SEL-10: the next one is refused without a call.
    let next = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    assert_eq!(next.json()["error"]["code"], "NO_ELIGIBLE_ACCOUNTS");
    assert_eq!(fake.recorder().total(), 2);
}

/// ROU-3
#[tokio::test]
async fn a_provider_without_accounts_says_how_to_add_one() {
    let fake = two_accounts().await;
    let rota = pair(&fake).start().await;
    let answer = rota.call("POST", "/openrouter/v1/responses").json(ASK).send().await;
    assert_eq!((answer.status.as_u16(), fake.recorder().total()), (404, 0));
    assert_eq!(answer.json()["error"]["code"], "NO_ELIGIBLE_ACCOUNTS");
    assert!(answer.text().contains("rota accounts add"));
    let lost = rota.call("GET", "/nowhere").send().await;
    assert_eq!((lost.status.as_u16(), &lost.json()["error"]["code"]), (404, &"NO_ROUTE".into()));
}

/// FLO-2: an error that no rule knows belongs to the client and costs nobody anything (I6).
#[tokio::test]
async fn an_unknown_error_passes_byte_for_byte_and_benches_nobody() {
    let fake = two_accounts().await;
    let body = "{\"error\": {\"message\" :  \"you said \\u00e9\" }}\n";
    fake.set_fault(Fault::reply(400, body));
    let rota = pair(&fake).start().await;
    let before = rota.app.state.snapshot();
    let answer = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    assert_eq!((answer.status.as_u16(), answer.text()), (400, body));
    assert_eq!(fake.recorder().total(), 1);
    assert_eq!(rota.app.state.snapshot(), before);
}

/// SEL-3: a conversation stays with its account, one without a name rotates.
#[tokio::test]
async fn a_session_stays_with_its_account_and_others_rotate() {
    let fake = two_accounts().await;
    let rota = pair(&fake).start().await;
    for _ in 0..4 {
        let call = rota.call("POST", "/openai/v1/responses").header("session-id", "s1");
        assert_eq!(call.json(ASK).send().await.status, 200);
    }
    assert_eq!(fake.accounts_served("/v1/responses"), ["a"; 4]);
    fake.recorder().clear();
    for _ in 0..4 {
        rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    }
    let mut served = fake.accounts_served("/v1/responses");
    served.sort();
    assert_eq!(served, ["a", "a", "b", "b"]);
}

/// SEL-3: the session follows when its account is spent, and the entry is written after the success.
#[tokio::test]
async fn a_session_moves_when_its_account_is_spent() {
    let fake = two_accounts().await;
    let rota = pair(&fake).start().await;
    let call = || rota.call("POST", "/openai/v1/responses").header("session-id", "s1").json(ASK);
    assert_eq!(call().send().await.header("x-rota-account"), Some("work"));
    fake.set_fault(Fault::reply(429, r#"{"error":{"code":"insufficient_quota"}}"#).account("a"));
    assert_eq!(call().send().await.header("x-rota-account"), Some("home"));
    let session = SessionKey::new("session-id".parse().expect("a name"), "s1").expect("a key");
    let provider = rota.account("work").provider.clone();
    let found = rota.app.affinity.find(&provider, &session, rota.app.clock.now());
    assert_eq!(found, Some(AccountId(2)));
    assert_eq!(call().send().await.header("x-rota-why"), Some("session"));
}

/// SEL-11: a crowded account sends a request on, and keeps its conversation.
#[tokio::test]
async fn a_request_that_spills_does_not_take_its_session_along() {
    let fake = two_accounts().await;
    let rota = pair(&fake).set("ROTATION__IN_FLIGHT_CAP", "1").start().await;
    let call = |body: &str| rota.call("POST", "/openai/v1/responses").header("session-id", "s1").json(body);
    assert_eq!(call(ASK).send().await.header("x-rota-account"), Some("work"));
    rota.decisions(1).await;
    fake.set_fault(Fault::none().stall_after(2, "middle").once());
    let gate = fake.gate("middle");
    let mut main = call(STREAM).open().await.expect("a head").into_body();
    assert!(main.frame().await.is_some_and(|frame| frame.is_ok()));
    let title = call(ASK).send().await;
    let told = ["x-rota-account", "x-rota-why"].map(|name| title.header(name));
    assert_eq!(told, [Some("home"), Some("spilled")]);
    gate.release();
    while main.frame().await.is_some() {}
    rota.decisions(3).await;
    let next = call(ASK).send().await;
    assert_eq!((next.header("x-rota-account"), next.header("x-rota-why")), (Some("work"), Some("session")));
}

/// SEL-3: sub-agents and title calls follow their conversation, by the headers that clients send; new ones rotate.
#[tokio::test]
async fn whatever_belongs_to_a_conversation_goes_where_it_is() {
    let fake = two_accounts().await;
    let rota = pair(&fake).start().await;
    let families: [[&[(&str, &str)]; 2]; 3] = [
        [
            &[("session-id", "c"), ("thread-id", "c")],
            &[("session-id", "c"), ("thread-id", "sub"), ("x-codex-parent-thread-id", "c")],
        ],
        [&[("x-claude-code-session-id", "c")], &[("x-claude-code-session-id", "c"), ("x-session-id", "sub")]],
        [&[("x-session-affinity", "c"), ("x-session-id", "c")], &[("x-session-affinity", "c")]],
    ];
    let mut mains = Vec::new();
    for [main, sub] in families {
        let with = |headers: &[(&str, &str)]| {
            let call = rota.call("POST", "/openai/v1/responses");
            headers.iter().fold(call, |call, (name, value)| call.header(name, value)).json(ASK)
        };
        let first = with(main).send().await;
        mains.push(first.header("x-rota-account").expect("an account").to_owned());
        let told = with(sub).send().await;
        assert_eq!(told.header("x-rota-why"), Some("session"), "{sub:?}");
        assert_eq!(told.header("x-rota-account"), mains.last().map(String::as_str));
    }
    assert_eq!(mains, ["work", "home", "work"]);
}

/// LIM-1: the limits come from the headers of a reply that completed.
#[tokio::test]
async fn limits_are_learned_when_a_reply_has_completed() {
    let script = Script::new().account(Account::new("a").api_key("sk-a").quota(5));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let ask = || rota.call("POST", "/openai/v1/responses").json(STREAM);
    fake.set_fault(Fault::none().stall_after(2, "middle").once());
    let mut half = ask().open().await.expect("a head").into_body();
    assert!(half.frame().await.is_some_and(|frame| frame.is_ok()));
    assert_eq!(rota.account("work").limits.latest, None);
    drop(half);
    rota.decisions(1).await;
    assert_eq!(
        rota.account("work").limits.latest,
        None,
        "a reply that was not read to its end tells nothing"
    );
    ask().send().await;
    rota.decisions(2).await;
    let latest = rota.account("work").limits.latest.clone().expect("an observation");
    let requests = latest.windows.iter().find(|window| &*window.name == "requests").expect("the window");
    assert_eq!(requests.remaining, 60.0);
}

/// FLO-11: an account that may not use one model still serves the others.
#[tokio::test]
async fn a_refused_model_rests_alone() {
    let fake = two_accounts().await;
    let refused = r#"{"error":{"code":"model_not_found","type":"invalid_request_error","message":"The model `m-1` does not exist or you do not have access to it."}}"#;
    fake.set_fault(Fault::reply(404, refused).account("a").model("m-1"));
    let rota = pair(&fake).start().await;
    let ask = |model: &str| {
        let body = format!("{{\"input\":\"say \\\"model\\\"\",\"model\":\"{model}\"}}");
        rota.call("POST", "/openai/v1/responses").json(&body)
    };
    assert_eq!(ask("m-1").send().await.header("x-rota-account"), Some("home"));
    let resting = rota.account("work").health.clone();
    let models: Vec<&str> = resting.models.keys().map(|model| model.as_str()).collect();
    assert_eq!((models, resting.cooling), (vec!["m-1"], None));
    let record = &rota.decisions(1).await[0];
    assert_eq!(record.model.as_ref().map(|model| model.as_str()), Some("m-1"));
    let next = [ask("m-1").send().await, ask("m-1").send().await];
    assert!(next.iter().all(|answer| answer.header("x-rota-account") == Some("home")));
    let served = [ask("m-2").send().await, ask("m-2").send().await];
    assert!(served.iter().any(|answer| answer.header("x-rota-account") == Some("work")));
}

async fn two_accounts() -> FakeUpstream {
    let script =
        Script::new().account(Account::new("a").api_key("sk-a")).account(Account::new("b").api_key("sk-b"));
    FakeUpstream::start(script).await.expect("a fake upstream")
}

fn pair(fake: &FakeUpstream) -> crate::harness::RotaBuilder {
    rota(fake.origin()).account("work", "openai", key("sk-a")).account("home", "openai", key("sk-b"))
}
