//! What the Responses API checks of its input: ciphertext belongs to the
//! organisation, compaction also to its id, items that followed a reasoning
//! item need it, and earlier responses are known only to their owner.

use serde_json::{Value, json};

use crate::ask::Via;
use crate::assertions::Rule;
use crate::conversation::Turn;
use crate::errors;
use crate::files;
use crate::reply::Reply;
use crate::routes::Provider;
use crate::seal::{Purpose, open, seal};

/// What ciphertext of this API begins with.
const CIPHERTEXT: &str = "gAAAA";
const UNREADABLE: &str = "Encrypted content could not be decrypted or parsed.";
/// Marks the number of items that were minted beside a reasoning item.
pub(crate) const BESIDE_REASONING: char = 'r';

/// Mints ciphertext for the organisation of the caller.
pub(crate) fn reasoning_ciphertext(turn: &mut Turn<'_>) -> String {
    let serial = turn.world.serial().to_string();
    format!("{CIPHERTEXT}{}", seal(Purpose::Content, &[&turn.caller.org, &serial]))
}

/// Mints the ciphertext of a compaction item, which holds its id.
pub(crate) fn compaction_ciphertext(turn: &Turn<'_>, id: &str) -> String {
    format!("{CIPHERTEXT}{}", seal(Purpose::Compaction, &[&turn.caller.org, id]))
}

/// Refuses what the real service refuses.
pub(crate) fn check(turn: &mut Turn<'_>, provider: Provider) -> Result<(), Reply> {
    if turn.ask.oversize {
        return Ok(());
    }
    if turn.ask.text("model").is_empty() {
        return Err(errors::openai(
            400,
            "missing_required_parameter",
            "Missing required parameter: 'model'.",
        ));
    }
    if provider == Provider::ChatGpt && turn.world.script.strict_codex {
        check_codex(turn)?;
    }
    files::check(turn)?;
    check_previous(turn)?;
    let ask = turn.ask;
    let items = ask.json.get("input").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().try_for_each(|item| check_item(turn, item, items))
}

/// An earlier response is known to its organisation when it was stored, and
/// else only over the WebSocket that it was given over.
fn check_previous(turn: &mut Turn<'_>) -> Result<(), Reply> {
    let ask = turn.ask;
    let previous = ask.text("previous_response_id");
    let socket = match ask.via {
        Via::Socket { continues: true, .. } => return Ok(()),
        Via::Socket { id, .. } => Some(id),
        Via::Http => None,
    };
    if previous.is_empty() || turn.world.owns(previous, &turn.caller.org) {
        return Ok(());
    }
    let foreign = turn
        .world
        .minted(previous)
        .filter(|mint| mint.org != turn.caller.org || (mint.socket.is_some() && mint.socket != socket));
    if let Some(owner) = foreign.map(|mint| mint.account.clone()) {
        let words = format!(
            "previous_response_id {previous:?} of account {owner:?} came to account {:?}, or not over its own WebSocket",
            turn.caller.id
        );
        turn.violation(Rule::PreviousResponse, words);
    }
    let words = format!("Previous response with id '{previous}' not found.");
    Err(errors::openai(400, "previous_response_not_found", &words))
}

fn check_codex(turn: &Turn<'_>) -> Result<(), Reply> {
    if turn.ask.text("instructions").is_empty() && !has_instructing_message(turn) {
        return Err(errors::detail(400, "Instructions are required"));
    }
    if turn.ask.flag("store") != Some(false) {
        return Err(errors::detail(400, "Store must be set to false"));
    }
    if turn.ask.flag("stream") != Some(true) {
        return Err(errors::detail(400, "Stream must be set to true"));
    }
    for parameter in ["max_output_tokens", "temperature"] {
        if turn.ask.json.get(parameter).is_some() {
            return Err(errors::detail(400, format!("Unsupported parameter: {parameter}")));
        }
    }
    Ok(())
}

/// Codex sends its instructions as a message of the developer where the provider is not the built-in one.
fn has_instructing_message(turn: &Turn<'_>) -> bool {
    let items = turn.ask.json.get("input").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().any(|item| matches!(item.get("role").and_then(Value::as_str), Some("developer" | "system")))
}

fn check_item(turn: &mut Turn<'_>, item: &Value, items: &[Value]) -> Result<(), Reply> {
    let text = |field: &str| item.get(field).and_then(Value::as_str).unwrap_or_default();
    let ciphertext = text("encrypted_content");
    match text("type") {
        "reasoning" if !ciphertext.is_empty() => check_ciphertext(turn, Purpose::Content, ciphertext, None),
        "compaction" => check_ciphertext(turn, Purpose::Compaction, ciphertext, Some(text("id"))),
        "function_call" | "message" => check_company(text("type"), text("id"), items),
        _ => Ok(()),
    }
}

fn check_ciphertext(
    turn: &mut Turn<'_>,
    purpose: Purpose,
    ciphertext: &str,
    id: Option<&str>,
) -> Result<(), Reply> {
    let org = &turn.caller.org;
    let rule = if purpose == Purpose::Compaction { Rule::Compaction } else { Rule::Ciphertext };
    let opened = ciphertext.strip_prefix(CIPHERTEXT).and_then(|sealed| open(purpose, sealed));
    let why = match opened.as_deref() {
        Some([bound_org, ..]) if bound_org != org => {
            let words =
                format!("ciphertext of organisation {bound_org:?} came to account {:?}", turn.caller.id);
            turn.violation(rule, words);
            "Encrypted content organization_id did not match the target organization."
        }
        Some([_, bound_id]) if id.is_none_or(|id| id == bound_id) => return Ok(()),
        Some([_, bound_id]) => {
            turn.violation(rule, format!("compaction item {bound_id:?} came with another id"));
            UNREADABLE
        }
        _ => UNREADABLE,
    };
    let shown: String = ciphertext.chars().take(4).collect();
    let message = format!("The encrypted content {shown}... could not be verified. Reason: {why}");
    let error = json!({"message": message, "type": "invalid_request_error", "param": null, "code": "invalid_encrypted_content"});
    Err(Reply::json(400, &json!({ "error": error })))
}

/// An item that was minted beside a reasoning item needs it in the input.
fn check_company(kind: &str, id: &str, items: &[Value]) -> Result<(), Reply> {
    let Some((_, number)) = id.split_once('_').filter(|(_, number)| number.starts_with(BESIDE_REASONING))
    else {
        return Ok(());
    };
    let wanted = format!("rs_{number}");
    let there = items
        .iter()
        .filter(|item| item.get("type").and_then(Value::as_str) == Some("reasoning"))
        .any(|item| {
            // Clients that drop the ids of reasoning items are not told apart.
            item.get("id").and_then(Value::as_str).is_none_or(|id| id == wanted)
        });
    if there {
        return Ok(());
    }
    let words = format!(
        "Item '{id}' of type '{kind}' was provided without its required 'reasoning' item: '{wanted}'."
    );
    Err(errors::openai(400, "invalid_value", &words))
}
