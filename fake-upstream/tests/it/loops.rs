//! Long prompts: a tool is called again and again, and an account runs out in
//! the middle.

use fake_upstream::{FakeUpstream, Script};
use serde_json::{Value, json};

use crate::client::{bearer, send, turn, with};

/// Requests of one prompt: so many calls, then the answer.
const REQUESTS: u32 = 20;
/// Requests the account serves.
const QUOTA: u32 = 10;

async fn start() -> FakeUpstream {
    let script = format!(
        r#"
        text = "DONE"
        [[tools]]
        name = "shell"
        arguments = '{{"command":["echo","{{n}}"]}}'
        times = {calls}
        [[accounts]]
        id = "a"
        api_keys = ["sk-a"]
        access_tokens = [{{ token = "at-a" }}]
        quota = {{ limit = {QUOTA}, left = {QUOTA} }}
        [[accounts]]
        id = "b"
        api_keys = ["sk-b"]
        access_tokens = [{{ token = "at-b" }}]
        "#,
        calls = REQUESTS - 1
    );
    FakeUpstream::start(Script::parse(&script).expect("script")).await.expect("start")
}

#[tokio::test]
async fn responses_call_a_tool_in_every_request_but_the_last() {
    let fake = start().await;
    let mut body = turn();
    body["include"] = json!(["reasoning.encrypted_content"]);
    body["tools"] = json!([{"type": "function", "name": "shell"}]);
    body["input"] = json!([{"type": "message", "role": "user", "content": "go"}]);
    let mut said = Vec::new();
    for number in 1..=REQUESTS {
        let mut got = send(&fake, bearer("/backend-api/codex/responses", "at-a", &body)).await;
        if number > QUOTA {
            assert_eq!(got.json()["error"]["type"], "usage_limit_reached", "{number}");
            // What moves is what the other organisation can read.
            let readable = |item: &Value| item["type"] != "reasoning";
            let mut moved = body.clone();
            moved["input"] = body["input"]
                .as_array()
                .expect("input")
                .iter()
                .filter(|item| readable(item))
                .map(|item| {
                    let mut item = item.clone();
                    item.as_object_mut().expect("item").remove("id");
                    item
                })
                .collect();
            got = send(&fake, bearer("/backend-api/codex/responses", "at-b", &moved)).await;
        }
        let output = got.event("response.completed")["response"]["output"].clone();
        let items = body["input"].as_array_mut().expect("input");
        items.extend(output.as_array().expect("output").iter().cloned());
        items.push(json!({"type": "function_call_output", "call_id": output[1]["call_id"], "output": "ok"}));
        said.push(output[1]["arguments"].as_str().unwrap_or("text").to_owned());
    }
    let expected: Vec<String> = (1..REQUESTS)
        .map(|n| json!({"command": ["echo", n.to_string()]}).to_string())
        .chain(["text".into()])
        .collect();
    assert_eq!(said, expected);
    assert!(fake.assertions().violations.is_empty(), "{:?}", fake.violations());
}

#[tokio::test]
async fn messages_call_a_tool_in_every_request_but_the_last() {
    let fake = start().await;
    let ask = |credential: &str, messages: &[Value]| {
        let bearer = format!("Bearer {credential}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "oauth-2025-04-20"),
            ("x-claude-code-session-id", "s"),
        ];
        let body = json!({"model": "m", "max_tokens": 9, "thinking": {"type": "adaptive"},
            "tools": [{"name": "shell"}], "messages": messages});
        with("/v1/messages", &headers, &body)
    };
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    let (mut stops, mut ids) = (Vec::new(), Vec::new());
    for number in 1..=REQUESTS {
        let mut got = send(&fake, ask("at-a", &messages)).await;
        if number > QUOTA {
            assert_eq!(got.header("anthropic-ratelimit-unified-status"), "rejected", "{number}");
            assert_eq!((got.status.as_u16(), got.header("retry-after").is_empty()), (429, false));
            got = send(&fake, ask("at-b", &messages)).await;
        }
        let answer = got.json();
        stops.push(answer["stop_reason"].clone());
        let id = answer["content"][1]["id"].clone();
        messages.push(json!({"role": "assistant", "content": answer["content"]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": id, "content": "ok"},
            {"type": "text", "text": "<system-reminder>be nice</system-reminder>"}]}));
        ids.push(id.to_string());
    }
    let mut expected = vec![json!("tool_use"); REQUESTS as usize];
    expected[REQUESTS as usize - 1] = json!("end_turn");
    assert_eq!(stops, expected);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), REQUESTS as usize);
    let seen = fake.assertions();
    assert!(seen.violations.is_empty(), "{:?}", seen.violations);
    let accounts: Vec<&str> = seen.conversations["s"].iter().map(|stay| stay.account.as_str()).collect();
    assert_eq!(accounts[..2], ["a", "b"]);
}

#[tokio::test]
async fn chat_calls_a_tool_in_every_request_but_the_last_and_again_for_the_next_prompt() {
    let fake = start().await;
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    for prompt in 0..2 {
        for number in 1..=REQUESTS {
            let body = json!({"model": "m", "messages": messages,
                "tools": [{"type": "function", "function": {"name": "shell"}}]});
            let choice =
                send(&fake, bearer("/v1/chat/completions", "sk-b", &body)).await.json()["choices"][0].clone();
            let last = number == REQUESTS;
            assert_eq!(
                choice["finish_reason"],
                if last { "stop" } else { "tool_calls" },
                "{prompt} {number}"
            );
            messages.push(choice["message"].clone());
            messages.push(match last {
                true => json!({"role": "user", "content": "more"}),
                false => json!({"role": "tool", "tool_call_id": choice["message"]["tool_calls"][0]["id"], "content": "ok"}),
            });
        }
    }
}
