//! Signatures of thinking blocks: bound to the organisation, the model and the
//! messages before them. A foreign block is dropped and reported; a changed
//! prefix is an error, unless the request asks for the drop.

use serde_json::{Value, json};

use crate::account::Window;
use crate::assertions::Rule;
use crate::conversation::Turn;
use crate::errors;
use crate::reply::Reply;
use crate::seal::{Purpose, open, seal, sha256_hex};

/// Whether the request turns thinking on.
pub(crate) fn is_on(body: &Value) -> bool {
    matches!(body.pointer("/thinking/type").and_then(Value::as_str), Some("enabled" | "adaptive"))
}

/// The signature of a thinking block that answers this request.
pub(crate) fn sign(turn: &Turn<'_>) -> String {
    let messages = messages(&turn.ask.json);
    let prefix = prefix_hash(&turn.ask.json, messages);
    seal(Purpose::Thinking, &[&turn.caller.org, &turn.model(), &prefix])
}

/// Checks every thinking block of the request; the drops are what the reply
/// reports as `input_transformations`.
pub(crate) fn check(turn: &mut Turn<'_>) -> Result<Vec<Value>, Reply> {
    let ask = turn.ask;
    let body = &ask.json;
    let messages = messages(body);
    let mut drops = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let blocks = message.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (place, block) in blocks.iter().enumerate() {
            if block.get("type").and_then(Value::as_str) != Some("thinking") {
                continue;
            }
            let path = format!("messages.{at}.content.{place}");
            let before = messages.get(..at).unwrap_or_default();
            if let Some(reason) = mismatch(turn, block, before, &path)? {
                drops.push(json!({"type": "thinking_dropped", "path": path, "reason": reason}));
            }
        }
    }
    Ok(drops)
}

fn mismatch(
    turn: &mut Turn<'_>,
    block: &Value,
    before: &[Value],
    path: &str,
) -> Result<Option<&'static str>, Reply> {
    let signature = block.get("signature").and_then(Value::as_str).unwrap_or_default();
    let opened = open(Purpose::Thinking, signature);
    let Some([org, model, prefix]) = opened.as_deref() else {
        let words = format!("{path}: Invalid `signature` in `thinking` block");
        return Err(errors::anthropic(400, &words));
    };
    if *org != turn.caller.org {
        // The provider forgives the move, so it is wrong only without a reason.
        if !turn.world.watch.has_refused(org) && !is_spent(turn, org) {
            let words = format!(
                "{path}: a thinking block of organisation {org:?}, which could serve, came to account {:?}",
                turn.caller.id
            );
            turn.violation(Rule::Thinking, words);
        }
        return Ok(Some("organization_binding_mismatch"));
    }
    if *model != turn.model() {
        return Ok(Some("model_binding_mismatch"));
    }
    if *prefix == prefix_hash(&turn.ask.json, before) {
        return Ok(None);
    }
    turn.violation(Rule::Thinking, format!("{path}: what stands before the thinking block was changed"));
    let behaviour = turn.ask.json.pointer("/thinking/block_binding/prefix_mismatch_behavior");
    if behaviour.and_then(Value::as_str) == Some("drop") {
        return Ok(Some("prefix_binding_mismatch"));
    }
    let words =
        format!("{path}: the messages before this `thinking` block have changed since it was created");
    Err(errors::anthropic(400, &words))
}

/// Whether an account of the organisation has told that nothing is left: it need not be asked once more.
fn is_spent(turn: &Turn<'_>, org: &str) -> bool {
    let full = |window: &Window| window.is_full(turn.now);
    let mut accounts = turn.world.accounts.iter().filter(|account| account.org_id == org);
    accounts.any(|account| full(&account.five_hour) || full(&account.seven_day))
}

fn messages(body: &Value) -> &[Value] {
    body.get("messages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Hash of the system prompt and the messages. Cache marks are left out and a
/// lone text is the same as a list of one text block, as clients change both.
fn prefix_hash(body: &Value, before: &[Value]) -> String {
    let system = body.get("system").map(plain).unwrap_or_default();
    let before: Vec<Value> = before.iter().map(plain).collect();
    sha256_hex(json!([system, before]).to_string().as_bytes())
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Array(entries) => entries.iter().map(plain).collect(),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "cache_control")
            .map(|(name, value)| match (name.as_str(), value) {
                ("content", Value::String(text)) => (name.clone(), json!([{"type": "text", "text": text}])),
                _ => (name.clone(), plain(value)),
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
