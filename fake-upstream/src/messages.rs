//! Anthropic Messages: events and JSON, thinking, tool use, threads, and
//! token counts.

use serde_json::{Value, json};

use crate::conversation::Turn;
use crate::errors;
use crate::event::Event;
use crate::reply::Reply;
use crate::thinking;

/// Largest body of `/v1/messages`.
pub(crate) const MAX_BODY: u64 = 32 * 1024 * 1024;

/// Answers `/v1/messages`.
pub(crate) fn create(turn: Turn<'_>) -> Reply {
    if let Err(refused) = check(&turn) {
        return refused;
    }
    let drops = match thinking::check(&turn) {
        Ok(drops) => drops,
        Err(refused) => return refused,
    };
    let id = format!("msg_{}", turn.world.serial());
    turn.world.own(&id, &turn.caller.org);
    let pieces = turn.pieces();
    let blocks = blocks(&turn, &pieces);
    let stop = match blocks.last().and_then(|block| block.get("type")).and_then(Value::as_str) {
        Some("tool_use") => "tool_use",
        _ => "end_turn",
    };
    let mut message = json!({
        "id": id, "type": "message", "role": "assistant", "model": turn.model(), "content": blocks,
        "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": turn.input_tokens(), "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": pieces.len()},
    });
    if let (Some(fields), false) = (message.as_object_mut(), drops.is_empty()) {
        fields.insert("input_transformations".into(), drops.clone().into());
    }
    let reply = if turn.streams() {
        Reply::events(stream(&message, &pieces, &drops))
    } else {
        Reply::json(200, &message)
    };
    reply.with("anthropic-organization-id", &turn.caller.org)
}

/// Answers `/v1/messages/count_tokens`.
pub(crate) fn count(turn: Turn<'_>) -> Reply {
    if turn.ask.text("model").is_empty() {
        return errors::anthropic(400, "model: Field required");
    }
    Reply::json(200, &json!({"input_tokens": turn.input_tokens()}))
}

fn check(turn: &Turn<'_>) -> Result<(), Reply> {
    if turn.ask.head.header("anthropic-version").is_empty() {
        return Err(errors::anthropic(400, "anthropic-version: header is required"));
    }
    if turn.ask.oversize {
        return Ok(());
    }
    for field in ["model", "max_tokens", "messages"] {
        if turn.ask.json.get(field).is_none() {
            return Err(errors::anthropic(400, &format!("{field}: Field required")));
        }
    }
    check_thread(turn)
}

/// A continued thread is known only to the organisation that has it.
fn check_thread(turn: &Turn<'_>) -> Result<(), Reply> {
    let thread = turn.ask.json.get("thread");
    let text =
        |field: &str| thread.and_then(|thread| thread.get(field)).and_then(Value::as_str).unwrap_or_default();
    if text("type") != "continue" || turn.world.owns(text("previous_message_id"), &turn.caller.org) {
        return Ok(());
    }
    Err(errors::anthropic_coded(404, "thread_not_found", "Thread not found."))
}

fn blocks(turn: &Turn<'_>, pieces: &[String]) -> Vec<Value> {
    let mut blocks = Vec::new();
    if thinking::is_on(&turn.ask.json) {
        blocks.push(json!({"type": "thinking", "thinking": "Thinking of an answer.", "signature": thinking::sign(turn)}));
    }
    blocks.push(match turn.tool("/name", has_result(&turn.ask.json)) {
        Some(tool) => {
            let input: Value = serde_json::from_str(&tool.arguments).unwrap_or_else(|_| json!({}));
            json!({"type": "tool_use", "id": "toolu_1", "name": tool.name, "input": input})
        }
        None => json!({"type": "text", "text": pieces.concat()}),
    });
    blocks
}

fn has_result(body: &Value) -> bool {
    let last = body.get("messages").and_then(Value::as_array).and_then(|messages| messages.last());
    let blocks = last.and_then(|message| message.get("content")).and_then(Value::as_array);
    blocks.is_some_and(|blocks| {
        blocks.iter().any(|block| block.get("type").and_then(Value::as_str) == Some("tool_result"))
    })
}

fn stream(message: &Value, pieces: &[String], drops: &[Value]) -> Vec<Event> {
    let mut begun = message.clone();
    if let Some(fields) = begun.as_object_mut() {
        fields.insert("content".into(), json!([]));
        fields.insert("stop_reason".into(), Value::Null);
        fields.remove("input_transformations");
    }
    let mut events = vec![Event::typed(&json!({"type": "message_start", "message": begun}))];
    let blocks = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (index, block) in blocks.iter().enumerate() {
        block_events(&mut events, index, block, pieces);
    }
    let mut end = json!({
        "type": "message_delta",
        "delta": {"stop_reason": message.get("stop_reason"), "stop_sequence": null},
        "usage": {"output_tokens": pieces.len()},
    });
    if let (Some(fields), false) = (end.as_object_mut(), drops.is_empty()) {
        fields.insert("input_transformations".into(), drops.to_vec().into());
    }
    events.push(Event::typed(&end));
    events.push(Event::typed(&json!({"type": "message_stop"})));
    events
}

fn block_events(events: &mut Vec<Event>, index: usize, block: &Value, pieces: &[String]) {
    let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
    let text = |field: &str| block.get(field).cloned().unwrap_or_default();
    let (begun, deltas) = match kind {
        "thinking" => (
            json!({"type": "thinking", "thinking": "", "signature": ""}),
            vec![
                json!({"type": "thinking_delta", "thinking": text("thinking")}),
                json!({"type": "signature_delta", "signature": text("signature")}),
            ],
        ),
        "tool_use" => (
            json!({"type": "tool_use", "id": text("id"), "name": text("name"), "input": {}}),
            vec![json!({"type": "input_json_delta", "partial_json": text("input").to_string()})],
        ),
        _ => (
            json!({"type": "text", "text": ""}),
            pieces.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
        ),
    };
    events
        .push(Event::typed(&json!({"type": "content_block_start", "index": index, "content_block": begun})));
    if index == 0 {
        events.push(Event::typed(&json!({"type": "ping"})));
    }
    for delta in deltas {
        events.push(Event::typed(&json!({"type": "content_block_delta", "index": index, "delta": delta})));
    }
    events.push(Event::typed(&json!({"type": "content_block_stop", "index": index})));
}
