//! The log of what must never happen, and which accounts served a conversation.

use fake_upstream::{Account, FakeUpstream, Fault, Rule, Script, fingerprint};
use serde_json::{Value, json};

use crate::client::{bearer, send, turn, with};
use crate::websocket::{PATH, create, open_with};

fn three() -> Script {
    Script::new()
        .account(Account::new("a").api_key("sk-a").access_token("at-a"))
        .account(Account::new("b").api_key("sk-b").access_token("at-b"))
        .account(Account::new("a2").api_key("sk-a2").org("org-a"))
}

async fn start(script: Script) -> FakeUpstream {
    FakeUpstream::start(script).await.expect("start")
}

fn rules(fake: &FakeUpstream) -> Vec<Rule> {
    fake.assertions().violations.iter().map(|one| one.rule).collect()
}

/// `account requests/refused` of each stay.
fn stays(fake: &FakeUpstream, conversation: &str) -> Vec<String> {
    let stays = fake.assertions().conversations.remove(conversation).unwrap_or_default();
    stays.iter().map(|stay| format!("{} {}/{}", stay.account, stay.requests, stay.refused)).collect()
}

#[tokio::test]
async fn ciphertext_and_compaction_of_others_are_reported() {
    let fake = start(three()).await;
    let mut first = turn();
    first["include"] = json!(["reasoning.encrypted_content"]);
    let got = send(&fake, bearer("/v1/responses", "sk-a", &first)).await;
    let mut next = turn();
    next["input"] = got.event("response.completed")["response"]["output"].clone();
    send(&fake, bearer("/v1/responses", "sk-a2", &next)).await;
    assert_eq!(rules(&fake), []);
    send(&fake, bearer("/v1/responses", "sk-b", &next)).await;
    let compact = send(&fake, bearer("/v1/responses/compact", "sk-a", &turn())).await;
    next["input"] = compact.json()["output"].clone();
    send(&fake, bearer("/v1/responses", "sk-a", &next)).await;
    send(&fake, bearer("/v1/responses", "sk-b", &next)).await;
    next["input"][0]["id"] = json!("cmp_other");
    send(&fake, bearer("/v1/responses", "sk-a", &next)).await;
    assert_eq!(rules(&fake), [Rule::Ciphertext, Rule::Compaction, Rule::Compaction]);
    assert_eq!(fake.assertions().violations[0].account, "b");
}

#[tokio::test]
async fn a_thinking_block_may_travel_once_its_organisation_has_refused_something() {
    let fake = start(three()).await;
    let user = json!({"role": "user", "content": "hi"});
    let ask = |messages: Value| json!({"model": "m", "max_tokens": 9, "thinking": {"type": "adaptive"}, "messages": messages});
    let answer = send(&fake, claude("sk-a", &ask(json!([user])))).await.json();
    let said = json!({"role": "assistant", "content": answer["content"]});
    let next = ask(json!([user, said, user]));
    let edited = ask(json!([{"role": "user", "content": "ho"}, said, user]));
    send(&fake, claude("sk-a2", &next)).await;
    assert_eq!(rules(&fake), []);
    send(&fake, claude("sk-b", &next)).await;
    send(&fake, claude("sk-a", &edited)).await;
    assert_eq!(rules(&fake), [Rule::Thinking, Rule::Thinking]);
    fake.set_fault(Fault::named("claude_five_hour_rejected").account("a").once());
    send(&fake, claude("sk-a", &next)).await;
    send(&fake, claude("sk-b", &next)).await;
    assert_eq!(rules(&fake).len(), 2, "{:?}", fake.violations());
}

#[tokio::test]
async fn ids_of_others_are_reported_wherever_they_are_named() {
    let fake = start(three()).await;
    let file = send(&fake, bearer("/v1/files", "sk-a", &json!({}))).await.json()["id"].clone();
    let container =
        send(&fake, bearer("/v1/containers", "sk-a", &json!({"name": "c"}))).await.json()["id"].clone();
    let stored =
        send(&fake, bearer("/v1/responses", "sk-a", &json!({"model": "m", "input": "hi"}))).await.json();
    let thread =
        send(&fake, claude("sk-a", &json!({"model": "m", "max_tokens": 1, "messages": []}))).await.json();
    let rows = [
        ("input", json!([{"role": "user", "content": [{"type": "input_file", "file_id": file}]}])),
        ("tools", json!([{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file]}}])),
        ("tools", json!([{"type": "code_interpreter", "container": container}])),
        ("previous_response_id", stored["id"].clone()),
    ];
    for (field, value) in rows {
        let mut body = json!({"model": "m", "input": "hi"});
        body[field] = value;
        assert_eq!(send(&fake, bearer("/v1/responses", "sk-a2", &body)).await.status, 200, "{body}");
        assert_ne!(send(&fake, bearer("/v1/responses", "sk-b", &body)).await.status, 200, "{body}");
    }
    let go_on = json!({"model": "m", "max_tokens": 1, "messages": [],
        "thread": {"type": "continue", "previous_message_id": thread["id"]}});
    send(&fake, claude("sk-b", &go_on)).await;
    let path = format!("/v1/files/{}", file.as_str().expect("id"));
    send(&fake, bearer(&path, "sk-b", &Value::Null)).await;
    send(&fake, bearer("/v1/files/file-nobody", "sk-b", &Value::Null)).await;
    let gemini =
        |key, body: &Value| with("/v1beta/models/g:generateContent", &[("x-goog-api-key", key)], body);
    let thought = send(&fake, gemini("sk-a", &json!({"contents": []}))).await.json();
    send(&fake, gemini("sk-b", &json!({"contents": [thought["candidates"][0]["content"]]}))).await;
    let expected = [
        Rule::File,
        Rule::File,
        Rule::File,
        Rule::PreviousResponse,
        Rule::Thread,
        Rule::File,
        Rule::ThoughtSignature,
    ];
    assert_eq!(rules(&fake), expected, "{:?}", fake.violations());
}

#[tokio::test]
async fn cookies_and_canaries_are_reported_wherever_they_come() {
    let fake = start(three().canary("canary-head")).await;
    fake.watch_for("canary-body");
    let cookie = [("authorization", "Bearer sk-a"), ("cookie", "client=1")];
    send(&fake, with("/v1/responses", &cookie, &turn())).await;
    let head = [("authorization", "Bearer sk-a"), ("x-leak", "xcanary-headx")];
    send(&fake, with("/v1/responses", &head, &turn())).await;
    let mut body = turn();
    body["instructions"] = json!("canary-body");
    send(&fake, bearer("/v1/responses", "sk-b", &body)).await;
    let mut socket = open_with(&fake, PATH, &[("authorization", "Bearer at-a")]).await.ok().expect("open");
    let mut message = create();
    message["instructions"] = json!("canary-body");
    socket.ask(&message).await;
    assert_eq!(rules(&fake), [Rule::Cookie, Rule::Canary, Rule::Canary, Rule::Canary]);
    let told = send(&fake, with("/__fake/canaries", &[], &json!({"text": "another"}))).await;
    assert_eq!(told.status, 200);
    body["instructions"] = json!("another");
    send(&fake, bearer("/v1/responses", "sk-b", &body)).await;
    let seen = send(&fake, with("/__fake/assertions", &[], &Value::Null)).await.json();
    let words = format!("the canary {} arrived", fingerprint("another"));
    assert_eq!(seen["violations"][4], json!({"rule": "canary", "account": "b", "words": words}));
}

#[tokio::test]
async fn a_conversation_is_listed_with_its_accounts_and_why_it_left_them() {
    let fake = start(three()).await;
    let ask = |key: &str| {
        let bearer = format!("Bearer {key}");
        with("/v1/responses", &[("authorization", &bearer), ("session-id", "s-1")], &turn())
    };
    for _ in 0..2 {
        send(&fake, ask("sk-a")).await;
    }
    fake.set_fault(Fault::named("usage_limit_reached").account("a").once());
    send(&fake, ask("sk-a")).await;
    fake.set_fault(Fault::none().failed(1, "rate_limit_exceeded", "slow").account("b").once());
    send(&fake, ask("sk-b")).await;
    fake.account("b", Account::invalidate_access);
    send(&fake, ask("at-b")).await;
    send(&fake, ask("sk-a")).await;
    assert_eq!(stays(&fake, "s-1"), ["a 2/1", "b 0/2", "a 1/0"]);

    let mut socket = open_with(&fake, PATH, &[("authorization", "Bearer at-a"), ("session-id", "s-2")])
        .await
        .ok()
        .expect("open");
    let mut warm = create();
    warm["generate"] = json!(false);
    socket.ask(&warm).await;
    socket.ask(&create()).await;
    assert_eq!(stays(&fake, "s-2"), ["a 1/0"]);
    let shown = send(&fake, with("/__fake/assertions", &[], &Value::Null)).await.json();
    assert_eq!(shown["conversations"]["s-2"], json!([{"account": "a", "requests": 1, "refused": 0}]));
    fake.reset();
    assert!(fake.assertions().conversations.is_empty());
}

fn claude(key: &str, body: &Value) -> http::Request<bytes::Bytes> {
    with("/v1/messages", &[("x-api-key", key), ("anthropic-version", "2023-06-01")], body)
}
