//! The WebSocket transport of the Responses API.

use fake_upstream::{
    Account, Action, Ending, FakeUpstream, Fault, Outcome, Recorded, Rule, Script, SocketPolicy,
};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{bearer, send, turn};
use crate::websocket::{Ended, PATH, create, open, open_with, types};

fn accounts() -> Script {
    Script::new()
        .account(Account::new("a").access_token("at-a").api_key("sk-a"))
        .account(Account::new("b").access_token("at-b"))
}

async fn start(script: Script) -> FakeUpstream {
    FakeUpstream::start(script).await.expect("start")
}

/// Waits until the record of the first request satisfies a condition.
async fn first(fake: &FakeUpstream, enough: impl Fn(&Recorded) -> bool) -> Recorded {
    fake.recorder().wait_until(|all| all.first().is_some_and(&enough)).await.remove(0)
}

#[tokio::test]
async fn a_turn_over_a_websocket_has_the_events_of_the_stream() {
    let fake = start(accounts()).await;
    let streamed = send(&fake, bearer(PATH, "at-a", &turn())).await.types();
    let mut socket = open(&fake, "at-a").await;
    assert_eq!(socket.header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(socket.header("sec-websocket-extensions"), "");
    for name in ["x-codex-turn-state", "x-models-etag", "x-codex-primary-used-percent", "x-request-id"] {
        assert!(!socket.header(name).is_empty(), "{name}");
    }
    for _ in 0..2 {
        let messages = socket.ask(&create()).await;
        assert_eq!(types(&messages)[0], "codex.rate_limits");
        assert_eq!(messages[0]["rate_limits"]["allowed"], true);
        assert_eq!(types(&messages[1..]), streamed);
    }
    drop(socket);
    let handshake = fake.recorder().wait_until(|all| all[1].outcome == Outcome::ClientLeft).await.remove(1);
    assert_eq!((handshake.status, handshake.socket.map(|seen| seen.messages)), (Some(101), Some(2)));
    let turns: Vec<_> = fake.requests().into_iter().filter(|one| one.method == "WS").collect();
    assert!(turns.iter().all(|one| one.on_socket == Some(handshake.seq) && one.outcome == Outcome::Done));
    assert_eq!(fake.accounts_served(PATH), ["a"; 4]);
}

#[tokio::test]
async fn an_api_key_gets_a_websocket_too_and_no_limits_of_a_login() {
    let fake = start(accounts()).await;
    let mut socket =
        open_with(&fake, "/v1/responses", &[("authorization", "Bearer sk-a")]).await.ok().expect("open");
    assert_eq!(socket.header("x-codex-turn-state"), "");
    assert_eq!(types(&socket.ask(&create()).await)[0], "response.created");
}

#[tokio::test]
async fn a_prewarm_is_free_and_what_follows_continues_it_on_that_connection_only() {
    let fake = start(accounts().account(Account::new("c").access_token("at-c").quota(1))).await;
    let mut socket = open(&fake, "at-c").await;
    let mut warm = create();
    warm["generate"] = json!(false);
    warm["input"] = json!([{"type": "message", "role": "user", "content": "hi"}]);
    let warmed = socket.ask(&warm).await;
    assert_eq!(types(&warmed), ["codex.rate_limits", "response.created", "response.completed"]);
    assert_eq!(warmed[2]["response"]["output"], json!([]));
    let mut next = create();
    next["previous_response_id"] = warmed[2]["response"]["id"].clone();
    for (credential, rules) in [("at-c", 1), ("at-a", 2)] {
        let elsewhere = open(&fake, credential).await.ask(&next).await;
        assert_eq!(types(&elsewhere), ["error"]);
        assert_eq!(
            (&elsewhere[0]["status"], &elsewhere[0]["error"]["code"]),
            (&json!(400), &json!("previous_response_not_found"))
        );
        let found: Vec<Rule> = fake.assertions().violations.iter().map(|one| one.rule).collect();
        assert_eq!(found, vec![Rule::PreviousResponse; rules]);
    }
    assert_eq!(types(&socket.ask(&next).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn an_increment_stands_on_everything_said_before_it() {
    let fake = start(accounts().tool_calls("shell", "{\"n\":{n}}", 2)).await;
    let mut socket = open(&fake, "at-a").await;
    let mut message = create();
    message["include"] = json!(["reasoning.encrypted_content"]);
    message["tools"] = json!([{"type": "function", "name": "shell"}]);
    message["input"] = json!([{"type": "message", "role": "user", "content": "go"}]);
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let answer = socket.ask(&message).await;
        let response = answer.last().expect("an end")["response"].clone();
        let item = response["output"][1].clone();
        kinds.push(item["arguments"].as_str().unwrap_or("text").to_owned());
        message["previous_response_id"] = response["id"].clone();
        message["input"] =
            json!([{"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}]);
    }
    assert_eq!(kinds, ["{\"n\":1}", "{\"n\":2}", "text"]);
    assert!(fake.assertions().violations.is_empty());
}

#[tokio::test]
async fn an_exhausted_account_says_so_in_a_message_and_serves_again_after_its_reset() {
    let fake =
        start(accounts().account(Account::new("c").access_token("at-c").quota(1)).clock_at(1_000_000)).await;
    let mut socket = open(&fake, "at-c").await;
    let last = socket.ask(&create()).await;
    assert_eq!((&last[0]["rate_limits"]["limit_reached"], last.len()), (&json!(true), 11));
    let refused = socket.ask(&create()).await;
    assert_eq!(types(&refused), ["error"]);
    let error = &refused[0];
    assert_eq!((&error["status"], &error["error"]["type"]), (&json!(429), &json!("usage_limit_reached")));
    assert_eq!(error["headers"]["x-codex-primary-used-percent"], "100");
    assert!(error["error"]["resets_at"].is_u64());
    fake.clock().advance_ms(5 * 3_600 * 1_000);
    // An hour is also the age of a connection.
    assert_eq!(socket.ask(&create()).await[0]["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!(open(&fake, "at-c").await.ask(&create()).await.len(), 11);
}

#[tokio::test]
async fn a_handshake_is_refused_as_the_gate_or_a_fault_says() {
    let fake = start(accounts()).await;
    let refused = async |headers: &[(&str, &str)]| match open_with(&fake, PATH, headers).await {
        Ok(_) => panic!("open"),
        Err(got) => got,
    };
    assert_eq!(refused(&[]).await.status, 401);
    assert_eq!(refused(&[("authorization", "Bearer sk-a")]).await.status, 401);
    let foreign = [("authorization", "Bearer at-a"), ("chatgpt-account-id", "org-b")];
    assert_eq!(refused(&foreign).await.status, 401);
    assert_eq!(
        fake.assertions().violations.iter().map(|one| one.rule).collect::<Vec<_>>(),
        [Rule::AccountHeader]
    );
    for status in [401, 403, 426, 429, 503] {
        fake.set_fault(Fault::reply(status, "{\"error\":{}}").handshake().account("a").once());
        assert_eq!(refused(&[("authorization", "Bearer at-a")]).await.status, status);
    }
    fake.set_fault(Fault::named("cloudflare_challenge").handshake().once());
    let got = refused(&[("authorization", "Bearer at-a")]).await;
    assert!(got.status == 403 && got.header("content-type").starts_with("text/html"));
    assert_eq!(types(&open(&fake, "at-a").await.ask(&create()).await).last(), Some(&"response.completed"));

    let none = SocketPolicy { offered: false, ..SocketPolicy::default() };
    let fake = start(accounts().socket(none)).await;
    let got = open_with(&fake, PATH, &[("authorization", "Bearer at-a")]).await.err().expect("refused");
    assert_eq!(got.status, 426);
}

#[tokio::test]
async fn a_connection_ends_at_its_number_of_turns_and_prewarms_do_not_count() {
    let few = SocketPolicy { max_turns: Some(1), rate_limits: false, ..SocketPolicy::default() };
    let fake = start(accounts().socket(few)).await;
    let mut socket = open(&fake, "at-a").await;
    let mut warm = create();
    warm["generate"] = json!(false);
    socket.ask(&warm).await;
    assert_eq!(types(&socket.ask(&create()).await)[0], "response.created");
    socket.say(&create()).await;
    let (messages, ended) = socket.rest().await;
    assert_eq!((&messages[0]["status"], ended), (&json!(400), Ended::Closed(1000)));
    assert_eq!(messages[0]["error"]["code"], "websocket_connection_limit_reached");
}

#[tokio::test]
async fn what_is_no_message_of_the_api_is_refused() {
    let fake = start(accounts()).await;
    let mut socket = open(&fake, "at-a").await;
    for (sent, words) in [("{\"type\":\"response.dance\"}", "response.dance"), ("not json", "Unknown type")] {
        socket.ws.send(Message::text(sent)).await.expect("send");
        let error = socket.next().await.expect("an error");
        assert_eq!((&error["type"], &error["status"]), (&json!("error"), &json!(400)));
        assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains(words)), "{error}");
    }
    socket.ws.send(Message::binary(&b"{}"[..])).await.expect("send");
    assert_eq!(socket.next().await, Err(Ended::Closed(1003)));
}

#[tokio::test]
async fn pings_go_both_ways_even_while_an_answer_waits() {
    let fake = start(accounts()).await;
    fake.set_fault(Fault::none().message().ping().stall_after(3, "middle"));
    let mut socket = open(&fake, "at-a").await;
    socket.say(&create()).await;
    for kind in ["codex.rate_limits", "response.created", "response.in_progress"] {
        assert_eq!(socket.next().await.expect("a message")["type"], kind);
    }
    socket.ws.send(Message::Ping("x".into())).await.expect("ping");
    let seen = first(&fake, |one| one.socket.is_some_and(|seen| seen.pings == 1 && seen.pongs == 1)).await;
    assert_eq!(seen.outcome, Outcome::Open);
    fake.gate("middle").release();
    assert_eq!(types(&socket.answer().await).last(), Some(&"response.completed"));
    socket.ws.close(None).await.expect("close");
    let seen = first(&fake, |one| one.outcome != Outcome::Open).await;
    assert_eq!((seen.outcome, seen.socket.and_then(|seen| seen.closed)), (Outcome::Done, Some(1005)));
}

#[tokio::test]
async fn a_connection_breaks_before_after_and_within_messages() {
    let fake = start(accounts()).await;
    for ending in [Ending::Close, Ending::Reset] {
        for (fault, whole) in [
            (Fault::none().cut_after(0, ending), 0),
            (Fault::none().cut_after(3, ending), 3),
            (Fault::none().cut_within(3, 7, ending), 3),
            (Fault::none().cut(1, ending), 0),
            (Fault::none().finish(ending), 11),
        ] {
            fake.set_fault(fault.message().once());
            let mut socket = open(&fake, "at-a").await;
            socket.say(&create()).await;
            let (messages, ended) = socket.rest().await;
            // A reset may overtake what was sent before it.
            assert!(ending == Ending::Reset || messages.len() == whole, "{whole}: {messages:?}");
            assert_eq!(ended, Ended::Torn);
        }
    }
    let turns: Vec<_> = fake.requests().into_iter().filter(|one| one.method == "WS").collect();
    assert!(turns.iter().all(|one| one.outcome == Outcome::Broken && one.faulted), "{turns:?}");
    fake.set_fault(Fault::none().message().stop_after(2).close_frame(1011, "boom").once());
    let mut socket = open(&fake, "at-a").await;
    socket.say(&create()).await;
    let (messages, ended) = socket.rest().await;
    assert_eq!((messages.len(), ended), (2, Ended::Closed(1011)));
    fake.set_fault(Fault::none().handshake().finish(Ending::Close).once());
    assert_eq!(open(&fake, "at-a").await.rest().await, (Vec::new(), Ended::Torn));
}

#[tokio::test]
async fn a_failure_comes_in_band_at_any_place_and_the_connection_goes_on() {
    let fake = start(accounts()).await;
    let mut socket = open(&fake, "at-a").await;
    let limit = json!({"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}});
    for (fault, kinds) in [
        (Fault::named("usage_limit_reached"), vec!["error"]),
        (Fault::none().in_band(0, limit.clone()), vec!["error"]),
        (Fault::none().in_band(2, limit), vec!["codex.rate_limits", "response.created", "error"]),
        (
            Fault::none().failed(1, "rate_limit_exceeded", "slow"),
            vec!["codex.rate_limits", "response.failed"],
        ),
    ] {
        fake.set_fault(fault.message().once());
        assert_eq!(types(&socket.ask(&create()).await), kinds);
    }
    assert_eq!(types(&socket.ask(&create()).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn a_message_is_large_or_in_fragments_and_is_one_message_all_the_same() {
    let fake = start(accounts()).await;
    fake.set_fault(Fault::none().message().fragments(1000).and(Action::GiantEvent(1 << 20)));
    let mut socket = open(&fake, "at-a").await;
    let messages = socket.ask(&create()).await;
    assert_eq!(messages[0]["padding"].as_str().map(str::len), Some(1 << 20));
    assert_eq!(types(&messages).last(), Some(&"response.completed"));
    fake.clear_faults();
    fake.set_fault(Fault::endless().message());
    socket.say(&create()).await;
    for _ in 0..20 {
        assert_eq!(socket.next().await.expect("more")["type"], "response.output_text.delta");
    }
}

#[tokio::test]
async fn a_silent_connection_answers_nothing_not_even_a_ping() {
    let fake = start(accounts()).await;
    fake.set_fault(Fault::none().handshake().hold().once());
    fake.set_fault(Fault::none().message().stop_after(1).hold().once());
    let mut silent = open(&fake, "at-a").await;
    silent.ws.send(Message::Ping("x".into())).await.expect("ping");
    silent.say(&create()).await;
    drop(silent);
    let seen = first(&fake, |one| one.outcome != Outcome::Open).await;
    assert_eq!(
        (seen.outcome, seen.socket.map(|seen| (seen.messages, seen.pings))),
        (Outcome::ClientLeft, Some((0, 0)))
    );
    let mut socket = open(&fake, "at-a").await;
    socket.say(&create()).await;
    assert_eq!(socket.next().await.expect("one")["type"], "codex.rate_limits");
    socket.ws.send(Message::Ping("x".into())).await.expect("ping");
    drop(socket);
    let all = fake.recorder().wait_until(|all| all.len() == 3 && all[2].outcome != Outcome::Open).await;
    assert_eq!((all[1].socket.map(|seen| seen.pings), all[2].outcome), (Some(0), Outcome::Broken));
}

#[tokio::test]
async fn a_turn_state_of_another_account_is_reported_from_header_and_metadata() {
    let fake = start(accounts()).await;
    let state = open(&fake, "at-a").await.header("x-codex-turn-state").to_owned();
    let headers = |bearer| [("authorization", bearer), ("x-codex-turn-state", state.as_str())];
    let mut own = open_with(&fake, PATH, &headers("Bearer at-a")).await.ok().expect("open");
    assert_eq!(own.header("x-codex-turn-state"), state);
    let mut message = create();
    message["client_metadata"] = json!({"x-codex-turn-state": state});
    own.ask(&message).await;
    assert!(fake.assertions().violations.is_empty());
    let mut foreign = open_with(&fake, PATH, &headers("Bearer at-b")).await.ok().expect("open");
    foreign.ask(&message).await;
    let rules: Vec<Rule> = fake.assertions().violations.iter().map(|one| one.rule).collect();
    assert_eq!(rules, [Rule::TurnState, Rule::TurnState]);
    assert_eq!(types(&foreign.ask(&create()).await).last(), Some(&"response.completed"));
}

#[tokio::test]
async fn a_fake_that_is_shut_down_says_goodbye() {
    let fake = start(accounts()).await;
    let mut socket = open(&fake, "at-a").await;
    socket.ask(&create()).await;
    let (_, (messages, ended)) = tokio::join!(fake.shutdown(), socket.rest());
    assert_eq!((messages, ended), (Vec::<Value>::new(), Ended::Closed(1001)));
}
