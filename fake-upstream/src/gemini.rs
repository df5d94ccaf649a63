//! Gemini: `generateContent`, `streamGenerateContent` and `countTokens`.
//! Thought signatures are bound to the project, here the organisation.

use serde_json::{Value, json};

use crate::assertions::Rule;
use crate::conversation::Turn;
use crate::errors;
use crate::event::Event;
use crate::reply::Reply;
use crate::routes::Verb;
use crate::seal::{Purpose, open, seal};

/// Value by which clients say that a signature was dropped on purpose.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Answers `/v1beta/models/{model}:{verb}`.
pub(crate) fn create(mut turn: Turn<'_>, model: &str, verb: Verb) -> Reply {
    let ask = turn.ask;
    let contents = ask.json.get("contents").and_then(Value::as_array);
    if contents.is_none() && !turn.ask.oversize {
        let words = "* GenerateContentRequest.contents: contents is not specified";
        return errors::google(400, "INVALID_ARGUMENT", words, json!([]));
    }
    if verb == Verb::Count {
        return Reply::json(200, &json!({"totalTokens": turn.input_tokens()}));
    }
    if !contents.is_none_or(|contents| contents.iter().all(|content| signatures_hold(&mut turn, content))) {
        return errors::google(400, "INVALID_ARGUMENT", "Thought signature is not valid.", json!([]));
    }
    let chunks = chunks(&turn, model);
    match verb {
        Verb::Stream if turn.ask.head.query("alt").as_deref() == Some("sse") => {
            Reply::events(chunks.iter().map(|chunk| Event::bare(chunk.to_string())).collect())
        }
        Verb::Stream => Reply::json(200, &Value::Array(chunks)),
        Verb::Count | Verb::Generate => Reply::json(200, &whole(&turn, model)),
    }
}

fn signatures_hold(turn: &mut Turn<'_>, content: &Value) -> bool {
    let parts = content.get("parts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut signatures = parts.iter().filter_map(|part| part.get("thoughtSignature").and_then(Value::as_str));
    signatures.all(|signature| {
        let org = open(Purpose::Thought, signature).and_then(|fields| fields.into_iter().next());
        if let Some(foreign) = org.as_ref().filter(|org| **org != turn.caller.org) {
            let words = format!(
                "a thought signature of organisation {foreign:?} came to account {:?}",
                turn.caller.id
            );
            turn.violation(Rule::ThoughtSignature, words);
        }
        signature == NO_SIGNATURE || org.as_deref() == Some(turn.caller.org.as_str())
    })
}

fn whole(turn: &Turn<'_>, model: &str) -> Value {
    let text = turn.pieces().concat();
    chunk(turn, model, json!({"text": text, "thoughtSignature": signature(turn)}), Some("STOP"))
}

fn chunks(turn: &Turn<'_>, model: &str) -> Vec<Value> {
    let pieces = turn.pieces();
    let mut chunks: Vec<Value> =
        pieces.iter().map(|piece| chunk(turn, model, json!({"text": piece}), None)).collect();
    chunks.push(chunk(turn, model, json!({"text": "", "thoughtSignature": signature(turn)}), Some("STOP")));
    chunks
}

fn signature(turn: &Turn<'_>) -> String {
    seal(Purpose::Thought, &[&turn.caller.org, &turn.now.to_string()])
}

fn chunk(turn: &Turn<'_>, model: &str, part: Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": [part], "role": "model"}, "index": 0});
    if let (Some(fields), Some(finish)) = (candidate.as_object_mut(), finish) {
        fields.insert("finishReason".into(), finish.into());
    }
    let (input, output) = (turn.input_tokens(), turn.world.script.deltas);
    json!({
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": input, "candidatesTokenCount": output,
            "totalTokenCount": input + u64::from(output)},
        "modelVersion": model,
        "responseId": format!("fake-{}", turn.now),
    })
}
