//! Chat completions and embeddings.

use serde_json::{Value, json};

use crate::conversation::Turn;
use crate::errors;
use crate::event::Event;
use crate::reply::Reply;

/// Numbers in one embedding.
const DIMENSIONS: usize = 8;

/// Answers `/chat/completions`.
pub(crate) fn create(turn: Turn<'_>) -> Reply {
    let has_messages = turn.ask.json.get("messages").is_some_and(Value::is_array);
    if !turn.ask.oversize && (turn.ask.text("model").is_empty() || !has_messages) {
        return errors::openai(
            400,
            "missing_required_parameter",
            "Missing required parameter: 'model' or 'messages'.",
        );
    }
    let id = format!("chatcmpl-{}", turn.world.serial());
    let pieces = turn.pieces();
    let answer = answer(turn.world.serial(), &turn, &pieces.concat());
    let (input, output) = (turn.input_tokens(), pieces.len() as u64);
    let usage = json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output});
    if turn.streams() {
        return Reply::events(stream(&turn, &id, &pieces, &answer, &usage));
    }
    let choice =
        json!({"index": 0, "message": answer.message, "logprobs": null, "finish_reason": answer.finish});
    Reply::json(
        200,
        &json!({"id": id, "object": "chat.completion", "created": turn.now, "model": turn.model(),
            "choices": [choice], "usage": usage}),
    )
}

/// Answers `/embeddings` with numbers that depend on nothing but their place.
pub(crate) fn embeddings(turn: Turn<'_>) -> Reply {
    let inputs = match turn.ask.json.get("input") {
        Some(Value::Array(inputs)) => inputs.len(),
        Some(_) => 1,
        None if turn.ask.oversize => 1,
        None => {
            return errors::openai(400, "missing_required_parameter", "Missing required parameter: 'input'.");
        }
    };
    let numbers: Vec<f64> =
        (1..=DIMENSIONS).map(|place| 1.0 / f64::from(u32::try_from(place).unwrap_or(1))).collect();
    let data: Vec<Value> = (0..inputs)
        .map(|index| json!({"object": "embedding", "index": index, "embedding": numbers}))
        .collect();
    let tokens = turn.input_tokens();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Reply::json(200, &json!({"object": "list", "data": data, "model": turn.model(), "usage": usage}))
}

struct Answer {
    message: Value,
    finish: &'static str,
}

fn answer(number: u64, turn: &Turn<'_>, text: &str) -> Answer {
    let messages = turn.ask.json.get("messages").and_then(Value::as_array);
    let roles = messages.into_iter().flatten().rev();
    let roles = roles.map(|message| message.get("role").and_then(Value::as_str).unwrap_or_default());
    // Results of tools since the last message of the user.
    let results = roles.take_while(|role| *role != "user").filter(|role| *role == "tool").count();
    match turn.tool("/function/name", results) {
        Some(tool) => {
            let call = json!({"id": format!("call_{number}"), "type": "function", "function": {"name": tool.name, "arguments": tool.arguments}});
            Answer {
                message: json!({"role": "assistant", "content": null, "tool_calls": [call]}),
                finish: "tool_calls",
            }
        }
        None => {
            Answer { message: json!({"role": "assistant", "content": text, "refusal": null}), finish: "stop" }
        }
    }
}

fn stream(turn: &Turn<'_>, id: &str, pieces: &[String], answer: &Answer, usage: &Value) -> Vec<Event> {
    let chunk = |choices: Value, usage: &Value| {
        let mut chunk = json!({"id": id, "object": "chat.completion.chunk", "created": turn.now,
            "model": turn.model(), "choices": choices});
        if let (Some(fields), false) = (chunk.as_object_mut(), usage.is_null()) {
            fields.insert("usage".into(), usage.clone());
        }
        Event::bare(chunk.to_string())
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), &Value::Null)
    };
    let mut events = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    match answer.message.get("tool_calls").and_then(Value::as_array) {
        Some(calls) => {
            let calls: Vec<Value> = calls
                .iter()
                .enumerate()
                .map(|(index, call)| {
                    let mut call = call.clone();
                    if let Some(fields) = call.as_object_mut() {
                        fields.insert("index".into(), index.into());
                    }
                    call
                })
                .collect();
            events.push(delta(json!({"tool_calls": calls}), Value::Null));
        }
        None => events.extend(pieces.iter().map(|piece| delta(json!({"content": piece}), Value::Null))),
    }
    events.push(delta(json!({}), answer.finish.into()));
    if turn.ask.json.pointer("/stream_options/include_usage") == Some(&Value::Bool(true)) {
        events.push(chunk(json!([]), usage));
    }
    events.push(Event::bare("[DONE]"));
    events
}
