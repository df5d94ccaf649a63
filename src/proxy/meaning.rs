//! What an event of a reply's stream means for rotation: whether it is only the beginning's courtesy, the first word,
//! or a refusal that came with a 200. Which
//! events are which, the provider's preset says.
use super::events::Event;
use crate::model::EventRules;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The answer has begun: there is no way back.
    Content,
    /// Nothing of the answer yet.
    Handshake,
    /// The stream's last event: it has ended whole.
    Last,
    /// The upstream turns the request down, in its body.
    Refusal,
    /// A bare chunk of an answer that says nothing yet.
    Silent,
}

/// What is read of an event whose data may be large.
#[derive(Debug, Default, Deserialize)]
struct Head {
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

/// See [`Meaning`]. What is not understood is content: unknown means pass through (I6).
pub(super) fn meaning(rules: &EventRules, event: &Event) -> Meaning {
    // An event too long to be kept is no courtesy, and nothing can be read of why it would refuse.
    if event.cut {
        let ends = among(&rules.last, &event.name) || among(&rules.refusal, &event.name);
        return if ends { Meaning::Last } else { Meaning::Content };
    }
    let kind = kind(event);
    if among(&rules.refusal, &kind) {
        return Meaning::Refusal;
    }
    if among(&rules.handshake, &kind) {
        return Meaning::Handshake;
    }
    if among(&rules.last, &kind) {
        return Meaning::Last;
    }
    if kind.is_empty() { bare(event) } else { Meaning::Content }
}

/// Whether `kind` is one of these types of events.
pub(super) fn among(names: &[Arc<str>], kind: &str) -> bool {
    names.iter().any(|name| **name == *kind)
}

/// The event's type: in its data, else its name.
fn kind(event: &Event) -> String {
    let told: Option<Head> = serde_json::from_slice(&event.data).ok();
    told.and_then(|head| head.kind).unwrap_or_else(|| event.name.clone())
}

/// Of a stream whose events are bare JSON objects: one with an `error` is a refusal.
fn bare(event: &Event) -> Meaning {
    match serde_json::from_slice::<Value>(&event.data) {
        Ok(value) if value.get("error").is_some_and(|error| !error.is_null()) => Meaning::Refusal,
        Ok(value) => chunk(&value),
        Err(_) => Meaning::Content,
    }
}

/// A chunk of a chat completion: the first names the role only.
fn chunk(value: &Value) -> Meaning {
    let silent = |choice: &Value| {
        let delta = choice.get("delta").and_then(Value::as_object);
        let empty = |value: &Value| value.is_null() || value.as_str().is_some_and(str::is_empty);
        let says_nothing =
            delta.is_some_and(|delta| delta.iter().all(|(name, value)| name == "role" || empty(value)));
        says_nothing && choice.get("finish_reason").is_none_or(Value::is_null)
    };
    match value.get("choices").and_then(Value::as_array) {
        Some(choices) if choices.iter().all(silent) && value.get("usage").is_none_or(Value::is_null) => {
            Meaning::Silent
        }
        Some(_) | None => Meaning::Content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Meaning::{Content, Handshake, Last, Refusal, Silent};

    /// FLO-9
    #[test]
    fn only_what_comes_before_the_first_word_is_held_back() {
        let rules = EventRules {
            handshake: ["begun", "ping"].map(Arc::from).into(),
            refusal: ["failed", "error"].map(Arc::from).into(),
            last: ["done", "failed"].map(Arc::from).into(),
            ..EventRules::default()
        };
        for (name, data, expected) in [
            ("begun", r#"{"type":"begun"}"#, Handshake),
            ("", r#"{"type":"begun"}"#, Handshake),
            ("ping", "not json", Handshake),
            ("begun", r#"{"type":"failed"}"#, Refusal),
            ("failed", "{}", Refusal),
            ("error", r#"{"type":"error","error":{}}"#, Refusal),
            ("done", r#"{"type":"done"}"#, Last),
            ("said", r#"{"type":"said"}"#, Content),
            ("something.new", "{}", Content),
            ("", r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, Silent),
            (
                "",
                r#"{"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}"#,
                Silent,
            ),
            ("", r#"{"choices":[{"delta":{"content":"hi"}}]}"#, Content),
            ("", r#"{"choices":[{"delta":{"tool_calls":[{}]}}]}"#, Content),
            ("", r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, Content),
            ("", r#"{"choices":[],"usage":{"total_tokens":1}}"#, Content),
            ("", r#"{"error":{"code":429}}"#, Refusal),
            ("", r#"{"error":null,"choices":[]}"#, Silent),
            ("", r#"{"candidates":[]}"#, Content),
            ("", "[DONE]", Content),
            ("", "<html>", Content),
        ] {
            let event = Event { name: name.to_owned(), data: data.as_bytes().into(), cut: false };
            assert_eq!(meaning(&rules, &event), expected, "{name} {data}");
            let cut = Event { cut: true, ..event };
            let expected = if matches!(name, "done" | "failed" | "error") { Last } else { Content };
            assert_eq!(meaning(&rules, &cut), expected, "of what is cut only the name says something");
        }
    }
}
