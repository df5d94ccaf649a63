//! Model lists, in the shape of each provider, holding what the account may use.

use serde_json::{Value, json};

use crate::conversation::Turn;
use crate::reply::Reply;
use crate::routes::Provider;
use crate::seal::sha256_hex;

/// Answers a model list.
pub(crate) fn list(turn: Turn<'_>, provider: Provider) -> Reply {
    let text = body(&turn, provider).to_string();
    let tag = tag(&text);
    if turn.ask.head.header("if-none-match") == tag {
        return Reply::bytes(304, "application/json", "").with("etag", tag);
    }
    Reply::bytes(200, "application/json", text).with("etag", tag)
}

/// The tag of the list that the ChatGPT backend shows the caller.
pub(crate) fn etag(turn: &Turn<'_>) -> String {
    tag(&body(turn, Provider::ChatGpt).to_string())
}

fn tag(text: &str) -> String {
    let digest = sha256_hex(text.as_bytes());
    format!("\"{}\"", digest.get(..16).unwrap_or_default())
}

fn body(turn: &Turn<'_>, provider: Provider) -> Value {
    let account = turn.world.accounts.get(turn.caller.place);
    let shown: Vec<&String> = turn
        .world
        .script
        .models
        .iter()
        .filter(|model| account.is_none_or(|account| account.may_use(model)))
        .collect();
    match provider {
        Provider::Anthropic => anthropic(&shown),
        Provider::ChatGpt => json!({"models": shown.iter().map(|model| codex(model)).collect::<Vec<_>>()}),
        Provider::Gemini => json!({"models": shown.iter().map(|model| gemini(model)).collect::<Vec<_>>()}),
        Provider::OpenAi => {
            let data: Vec<Value> = shown.iter().map(|model| openai(model)).collect();
            json!({"object": "list", "data": data})
        }
    }
}

fn anthropic(models: &[&String]) -> Value {
    let data: Vec<Value> = models
        .iter()
        .map(|model| json!({"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"}))
        .collect();
    json!({"data": data, "has_more": false, "first_id": models.first(), "last_id": models.last()})
}

fn codex(model: &str) -> Value {
    json!({"slug": model, "display_name": model, "description": "A fake model.", "visibility": "list",
        "supported_in_api": true, "priority": 0})
}

fn gemini(model: &str) -> Value {
    json!({"name": format!("models/{model}"), "displayName": model,
        "supportedGenerationMethods": ["generateContent", "countTokens"]})
}

fn openai(model: &str) -> Value {
    json!({"id": model, "object": "model", "created": 1_767_225_600, "owned_by": "fake"})
}
