//! Each API in its own shape, and what it binds to an organisation.

use fake_upstream::{Account, FakeUpstream, Script};
use serde_json::{Value, json};

use crate::client::{bearer, send, turn, with};

fn two_orgs() -> Script {
    Script::new()
        .account(Account::new("a").api_key("sk-a").access_token("at-a"))
        .account(Account::new("b").api_key("sk-b").access_token("at-b"))
        .account(Account::new("a2").api_key("sk-a2").org("org-a"))
}

async fn start(script: Script) -> FakeUpstream {
    FakeUpstream::start(script).await.expect("start")
}

#[tokio::test]
async fn a_responses_stream_has_the_events_of_the_real_one_in_order() {
    let fake = start(two_orgs()).await;
    let got = send(&fake, bearer("/v1/responses", "sk-a", &turn())).await;
    assert_eq!(got.header("content-type"), "text/event-stream; charset=utf-8");
    let types = got.types();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(types, expected);
    let done = got.event("response.output_item.done");
    assert_eq!(done["item"]["content"][0]["text"], "PONG");
    assert_eq!(got.event("response.completed")["response"]["output"][0]["content"][0]["text"], "PONG");
    let numbers: Vec<u64> =
        got.events().iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn ciphertext_opens_only_for_its_organisation_and_undamaged() {
    let fake = start(two_orgs()).await;
    let mut first = turn();
    first["include"] = json!(["reasoning.encrypted_content"]);
    let got = send(&fake, bearer("/v1/responses", "sk-a", &first)).await;
    let output = got.event("response.completed")["response"]["output"].clone();
    assert_eq!(output[0]["type"], "reasoning");
    let mut second = turn();
    second["input"] = output.clone();
    for key in ["sk-a", "sk-a2"] {
        assert_eq!(send(&fake, bearer("/v1/responses", key, &second)).await.status, 200, "{key}");
    }
    let foreign = send(&fake, bearer("/v1/responses", "sk-b", &second)).await;
    assert_eq!(
        (foreign.status.as_u16(), &foreign.json()["error"]["code"]),
        (400, &json!("invalid_encrypted_content"))
    );
    assert!(
        foreign.json()["error"]["message"]
            .as_str()
            .is_some_and(|words| words.contains("did not match the target organization"))
    );

    let mut damaged = second.clone();
    damaged["input"][0]["encrypted_content"] = json!("gAAAAxxxx");
    let got = send(&fake, bearer("/v1/responses", "sk-a", &damaged)).await;
    assert!(
        got.json()["error"]["message"]
            .as_str()
            .is_some_and(|words| words.contains("could not be decrypted or parsed"))
    );

    let mut alone = turn();
    alone["input"] = json!([output[1]]);
    let got = send(&fake, bearer("/v1/responses", "sk-a", &alone)).await;
    assert!(
        got.json()["error"]["message"]
            .as_str()
            .is_some_and(|words| words.contains("without its required 'reasoning' item"))
    );
}

#[tokio::test]
async fn a_compaction_item_is_bound_to_its_id_too() {
    let fake = start(two_orgs()).await;
    let got = send(&fake, bearer("/backend-api/codex/responses/compact", "at-a", &turn())).await;
    let mut next = turn();
    next["input"] = got.json()["output"].clone();
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a", &next)).await.status, 200);
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-b", &next)).await.status, 400);
    next["input"][0]["id"] = json!("cmp_other");
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a", &next)).await.status, 400);
}

#[tokio::test]
async fn the_codex_backend_takes_what_the_real_one_takes() {
    let fake = start(two_orgs()).await;
    let ask = |body: Value| bearer("/backend-api/codex/responses", "at-a", &body);
    assert_eq!(send(&fake, ask(turn())).await.status, 200);
    for (field, value, words) in [
        ("store", json!(true), "Store must be set to false"),
        ("stream", json!(false), "Stream must be set to true"),
        ("instructions", json!(""), "Instructions are required"),
        ("temperature", json!(1), "Unsupported parameter: temperature"),
    ] {
        let mut body = turn();
        body[field] = value;
        let got = send(&fake, ask(body)).await;
        assert_eq!((got.status.as_u16(), got.json()["detail"].clone()), (400, json!(words)));
    }
    let mut as_a_message = turn();
    as_a_message["instructions"] = json!("");
    as_a_message["input"] = json!([{"type": "message", "role": "developer", "content": "Be short."}]);
    assert_eq!(send(&fake, ask(as_a_message)).await.status, 200);
    let key = send(&fake, bearer("/backend-api/codex/responses", "sk-a", &turn())).await;
    assert_eq!((key.status.as_u16(), key.json()), (401, json!({"detail": "Unauthorized"})));
}

#[tokio::test]
async fn a_turn_state_of_another_account_is_reported() {
    let fake = start(two_orgs().cookies()).await;
    let first = send(&fake, bearer("/backend-api/codex/responses", "at-a", &turn())).await;
    let state = first.header("x-codex-turn-state").to_owned();
    let cookie = first.header("set-cookie").split(';').next().expect("cookie").to_owned();
    let follow = |credential: &str| {
        let bearer = format!("Bearer {credential}");
        let headers =
            [("authorization", bearer.as_str()), ("x-codex-turn-state", &state), ("cookie", &cookie)];
        with("/backend-api/codex/responses", &headers, &turn())
    };
    assert_eq!(send(&fake, follow("at-a")).await.header("x-codex-turn-state"), state);
    assert_eq!(fake.violations(), Vec::<String>::new());
    send(&fake, follow("at-b")).await;
    assert_eq!(fake.violations().len(), 2, "{:?}", fake.violations());
}

#[tokio::test]
async fn an_earlier_response_is_known_only_to_its_organisation() {
    let fake = start(two_orgs()).await;
    let stored =
        send(&fake, bearer("/v1/responses", "sk-a", &json!({"model": "m", "input": "hi"}))).await.json();
    assert_eq!((&stored["object"], &stored["status"]), (&json!("response"), &json!("completed")));
    let next = json!({"model": "m", "input": "more", "previous_response_id": stored["id"]});
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a2", &next)).await.status, 200);
    let foreign = send(&fake, bearer("/v1/responses", "sk-b", &next)).await;
    assert_eq!(foreign.json()["error"]["code"], "previous_response_not_found");
}

#[tokio::test]
async fn a_file_is_known_only_to_its_organisation() {
    let fake = start(two_orgs()).await;
    let id = send(&fake, bearer("/v1/files", "sk-a", &json!({}))).await.json()["id"].clone();
    let path = format!("/v1/files/{}", id.as_str().expect("id"));
    let mut body = turn();
    body["input"] = json!([{"role": "user", "content": [{"type": "input_file", "file_id": id}]}]);
    for (key, status) in [("sk-a", 200), ("sk-a2", 200), ("sk-b", 404)] {
        assert_eq!(send(&fake, bearer(&path, key, &Value::Null)).await.status, status, "{key}");
        assert_eq!(send(&fake, bearer("/v1/responses", key, &body)).await.status, status, "{key}");
    }
    let delete = http::Request::delete(&path).header("host", "fake").header("authorization", "Bearer sk-a");
    assert_eq!(send(&fake, delete.body(bytes::Bytes::new()).expect("request")).await.status, 200);
    assert_eq!(send(&fake, bearer(&path, "sk-a", &Value::Null)).await.status, 404);
}

#[tokio::test]
async fn a_tool_is_called_once_and_then_answered_in_every_dialect() {
    let fake = start(two_orgs().tool("shell", "{\"cmd\":\"ls\"}")).await;
    let mut body = turn();
    body["tools"] = json!([{"type": "function", "name": "shell"}]);
    let got = send(&fake, bearer("/v1/responses", "sk-a", &body)).await;
    assert_eq!(got.event("response.output_item.done")["item"]["name"], "shell");
    body["input"] = json!([{"type": "function_call_output", "call_id": "call_1", "output": "x"}]);
    let got = send(&fake, bearer("/v1/responses", "sk-a", &body)).await;
    assert_eq!(got.event("response.output_item.done")["item"]["type"], "message");

    let chat =
        json!({"model": "m", "messages": [], "tools": [{"type": "function", "function": {"name": "shell"}}]});
    let got = send(&fake, bearer("/v1/chat/completions", "sk-a", &chat)).await.json();
    assert_eq!(got["choices"][0]["finish_reason"], "tool_calls");

    let body = json!({"model": "m", "max_tokens": 1, "messages": [], "tools": [{"name": "shell"}]});
    let got = send(&fake, claude("sk-a", &body)).await.json();
    assert_eq!((&got["stop_reason"], &got["content"][0]["input"]["cmd"]), (&json!("tool_use"), &json!("ls")));
}

#[tokio::test]
async fn chat_streams_end_with_done_and_carry_usage_when_asked() {
    let fake = start(two_orgs()).await;
    let body =
        json!({"model": "m", "messages": [], "stream": true, "stream_options": {"include_usage": true}});
    let events = send(&fake, bearer("/v1/chat/completions", "sk-a", &body)).await.events();
    let text: String =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "PONG");
    assert_eq!(events.last(), Some(&json!("[DONE]")));
    assert!(events[events.len() - 2]["usage"]["total_tokens"].is_u64());
    let whole =
        send(&fake, bearer("/api/v1/chat/completions", "sk-a", &json!({"model": "m", "messages": []}))).await;
    assert_eq!(whole.json()["choices"][0]["message"]["content"], "PONG");
    let vectors =
        send(&fake, bearer("/v1/embeddings", "sk-a", &json!({"model": "m", "input": ["x", "y"]}))).await;
    assert_eq!(vectors.json()["data"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn messages_stream_has_the_events_of_the_real_one() {
    let fake = start(two_orgs()).await;
    let body = json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": true});
    let got = send(&fake, claude("sk-a", &body)).await;
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(got.types(), expected);
    let count = send(&fake, claude_at("/v1/messages/count_tokens", "sk-a", &body)).await;
    assert!(count.json()["input_tokens"].is_u64());
}

#[tokio::test]
async fn a_thinking_block_is_bound_to_organisation_model_and_prefix() {
    let fake = start(two_orgs()).await;
    let user = json!({"role": "user", "content": "hi"});
    let thinking = json!({"type": "enabled", "budget_tokens": 1024});
    let first = json!({"model": "m", "max_tokens": 9, "thinking": thinking, "messages": [user]});
    let answer = send(&fake, claude("sk-a", &first)).await.json();
    let next = |model: &str, first: Value| {
        json!({"model": model, "max_tokens": 9, "thinking": thinking, "messages": [
            first, {"role": "assistant", "content": answer["content"]}, {"role": "user", "content": "more"}]})
    };
    let reasons = |got: &Value| got["input_transformations"][0]["reason"].clone();
    let same = json!({"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]});
    for (key, model, expected) in [
        ("sk-a", "m", Value::Null),
        ("sk-a2", "m", Value::Null),
        ("sk-b", "m", json!("organization_binding_mismatch")),
        ("sk-a", "n", json!("model_binding_mismatch")),
    ] {
        let got = send(&fake, claude(key, &next(model, same.clone()))).await;
        assert_eq!((got.status.as_u16(), reasons(&got.json())), (200, expected), "{key} {model}");
    }
    let edited = send(&fake, claude("sk-a", &next("m", json!({"role": "user", "content": "ho"})))).await;
    assert_eq!(edited.status, 400);
    let mut forged = next("m", user.clone());
    forged["messages"][1]["content"][0]["signature"] = json!("zzz");
    let got = send(&fake, claude("sk-a", &forged)).await.json();
    assert!(
        got["error"]["message"]
            .as_str()
            .is_some_and(|words| words.contains("Invalid `signature` in `thinking` block"))
    );
}

#[tokio::test]
async fn a_thread_is_continued_only_where_it_lives() {
    let fake = start(two_orgs()).await;
    let create = json!({"model": "m", "max_tokens": 9, "messages": [], "thread": {"type": "create"}});
    let id = send(&fake, claude("sk-a", &create)).await.json()["id"].clone();
    let go_on = json!({"model": "m", "max_tokens": 9, "messages": [], "thread": {"type": "continue", "previous_message_id": id}});
    assert_eq!(send(&fake, claude("sk-a", &go_on)).await.status, 200);
    let foreign = send(&fake, claude("sk-b", &go_on)).await;
    assert_eq!(foreign.json()["error"]["details"]["error_code"], "thread_not_found");
}

#[tokio::test]
async fn anthropic_wants_the_credential_in_its_slot_and_the_beta_with_a_token() {
    let fake = start(two_orgs()).await;
    let body = json!({"model": "m", "max_tokens": 1, "messages": []});
    let version = ("anthropic-version", "2023-06-01");
    let beta = ("anthropic-beta", "claude-code-20250219,oauth-2025-04-20");
    let rows: [(&[(&str, &str)], u16); 6] = [
        (&[version, ("x-api-key", "sk-a")], 200),
        (&[version, ("authorization", "Bearer at-a"), beta], 200),
        (&[version, ("authorization", "Bearer at-a")], 401),
        (&[version, ("authorization", "Bearer sk-a"), beta], 401),
        (&[version, ("x-api-key", "at-a")], 401),
        (&[version], 401),
    ];
    for (headers, status) in rows {
        let got = send(&fake, with("/v1/messages", headers, &body)).await;
        assert_eq!(got.status, status, "{headers:?}");
        let id = got.json()["request_id"].clone();
        assert!(status == 200 || id == got.header("request-id"), "{id}");
    }
}

#[tokio::test]
async fn gemini_answers_whole_streamed_and_as_a_list() {
    let fake = start(two_orgs()).await;
    let body = json!({"contents": [{"parts": [{"text": "hi"}]}]});
    let ask = |verb: &str, body: &Value| {
        with(&format!("/v1beta/models/gemini-2.5-pro:{verb}"), &[("x-goog-api-key", "sk-a")], body)
    };
    let whole = send(&fake, ask("generateContent", &body)).await.json();
    assert_eq!(whole["candidates"][0]["content"]["parts"][0]["text"], "PONG");
    let streamed = send(&fake, ask("streamGenerateContent?alt=sse", &body)).await;
    assert_eq!(streamed.events().len(), 3);
    assert_eq!(
        send(&fake, ask("streamGenerateContent", &body)).await.json().as_array().map(Vec::len),
        Some(3)
    );
    let signed = json!({"contents": [{"parts": whole["candidates"][0]["content"]["parts"]}]});
    assert_eq!(send(&fake, ask("generateContent", &signed)).await.status, 200);
    let foreign = with("/v1beta/models/gemini-2.5-pro:generateContent?key=sk-b", &[], &signed);
    assert_eq!(send(&fake, foreign).await.status, 400);
    let recorded = fake.requests().pop().expect("recorded");
    assert_eq!((recorded.account.as_deref(), recorded.path.contains("sk-b")), (Some("b"), false));
}

#[tokio::test]
async fn a_model_list_holds_what_the_account_may_use_and_has_an_etag() {
    let fake =
        start(Script::new().account(Account::new("a").api_key("sk-a").access_token("at-a").model("gpt-5.1")))
            .await;
    let got = send(&fake, bearer("/v1/models", "sk-a", &Value::Null)).await;
    assert_eq!(got.json()["data"].as_array().map(Vec::len), Some(1));
    let again = with(
        "/v1/models",
        &[("authorization", "Bearer sk-a"), ("if-none-match", got.header("etag"))],
        &Value::Null,
    );
    assert_eq!(send(&fake, again).await.status, 304);
    let codex = send(&fake, bearer("/backend-api/codex/models?client_version=1", "at-a", &Value::Null)).await;
    assert_eq!(codex.json()["models"][0]["slug"], "gpt-5.1");
    let mut body = turn();
    body["model"] = json!("gpt-5.1-codex");
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a", &body)).await.status, 404);
    let detail = send(&fake, bearer("/backend-api/codex/responses", "at-a", &body)).await.json();
    assert!(detail["detail"].as_str().is_some_and(|words| words.contains("not supported when using Codex")));
}

#[tokio::test]
async fn unknown_paths_upgrades_and_probes_are_answered_as_such() {
    let fake = start(two_orgs()).await;
    assert_eq!(send(&fake, bearer("/v1/v1/responses", "sk-a", &turn())).await.status, 404);
    assert_eq!(send(&fake, with("/", &[], &Value::Null)).await.status, 200);
    let upgrade = |path| {
        let headers = [("connection", "upgrade"), ("upgrade", "websocket"), ("authorization", "Bearer sk-a")];
        with(path, &headers, &Value::Null)
    };
    // Without a version at the one, without a WebSocket at the other.
    let versionless = send(&fake, upgrade("/v1/responses")).await;
    assert_eq!((versionless.status.as_u16(), versionless.header("sec-websocket-version")), (426, "13"));
    assert_eq!(send(&fake, upgrade("/v1/messages")).await.status, 426);
}

fn claude(key: &str, body: &Value) -> http::Request<bytes::Bytes> {
    claude_at("/v1/messages?beta=true", key, body)
}

fn claude_at(path: &str, key: &str, body: &Value) -> http::Request<bytes::Bytes> {
    with(path, &[("x-api-key", key), ("anthropic-version", "2023-06-01")], body)
}
