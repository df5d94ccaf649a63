//! Anthropic Messages: events and JSON, thinking, tool use, threads, and
//! token counts.

use serde_json::{Value, json};

use crate::assertions::Rule;
use crate::conversation::{Kept, Turn};
use crate::errors;
use crate::event::Event;
use crate::reply::Reply;
use crate::thinking;

/// Largest body of `/v1/messages`.
pub(crate) const MAX_BODY: u64 = 32 * 1024 * 1024;

/// Answers `/v1/messages`.
pub(crate) fn create(mut turn: Turn<'_>) -> Reply {
    if let Err(refused) = check(&mut turn) {
        return refused;
    }
    let drops = match thinking::check(&mut turn) {
        Ok(drops) => drops,
        Err(refused) => return refused,
    };
    let id = format!("msg_{}", turn.world.serial());
    turn.mint(&id, Kept::ByOrganisation);
    let pieces = turn.pieces();
    let blocks = blocks(&mut turn, &pieces);
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

fn check(turn: &mut Turn<'_>) -> Result<(), Reply> {
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
fn check_thread(turn: &mut Turn<'_>) -> Result<(), Reply> {
    let thread = turn.ask.json.get("thread");
    let text =
        |field: &str| thread.and_then(|thread| thread.get(field)).and_then(Value::as_str).unwrap_or_default();
    let previous = text("previous_message_id");
    if text("type") != "continue" || turn.world.owns(previous, &turn.caller.org) {
        return Ok(());
    }
    if let Some(owner) = turn.world.minted(previous).map(|mint| mint.account.clone()) {
        let words =
            format!("the thread of {previous:?} of account {owner:?} came to account {:?}", turn.caller.id);
        turn.violation(Rule::Thread, words);
    }
    Err(errors::anthropic_coded(404, "thread_not_found", "Thread not found."))
}

fn blocks(turn: &mut Turn<'_>, pieces: &[String]) -> Vec<Value> {
    let mut blocks = Vec::new();
    if thinking::is_on(&turn.ask.json) {
        blocks.push(json!({"type": "thinking", "thinking": "Thinking of an answer.", "signature": thinking::sign(turn)}));
    }
    blocks.push(match turn.tool("/name", results(&turn.ask.json)) {
        Some(tool) => {
            let input: Value = serde_json::from_str(&tool.arguments).unwrap_or_else(|_| json!({}));
            let id = format!("toolu_{}", turn.world.serial());
            json!({"type": "tool_use", "id": id, "name": tool.name, "input": input})
        }
        None => json!({"type": "text", "text": pieces.concat()}),
    });
    blocks
}

/// Messages with results of tools since the last prompt.
fn results(body: &Value) -> usize {
    let messages = body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of_user = messages
        .iter()
        .rev()
        .filter(|message| message.get("role").and_then(Value::as_str) == Some("user"))
        .map(said);
    of_user.take_while(|said| *said != Said::Prompt).filter(|said| *said == Said::Result).count()
}

/// What a message of the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Words that clients put in beside what the person says.
    Aside,
    Prompt,
    Result,
}

fn said(message: &Value) -> Said {
    let content = message.get("content").unwrap_or(&Value::Null);
    let lone = content.as_str().map(|text| json!({"type": "text", "text": text}));
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let kinds: Vec<Said> = blocks.iter().chain(&lone).map(said_by).collect();
    [Said::Result, Said::Prompt].into_iter().find(|kind| kinds.contains(kind)).unwrap_or(Said::Aside)
}

fn said_by(block: &Value) -> Said {
    let text = |field: &str| block.get(field).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "tool_result" => Said::Result,
        "text" if text("text").trim_start().starts_with("<system-reminder>") => Said::Aside,
        _ => Said::Prompt,
    }
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
