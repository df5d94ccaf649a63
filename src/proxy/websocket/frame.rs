//! What is read of a message: its type, and of a refusal what its headers say. Messages are not changed, and what is not
//! understood passes.
use super::super::meaning::Meaning;
use crate::engine::Refusal;
use crate::model::{Dialect, EventRules, LimitEvent, ModelName, Time};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// Headers of a refusal that are looked at, at most.
const MOST_HEADERS: usize = 64;

/// The beginning of every message of an API of JSON events.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
}

/// Where a refusal may carry what would have been the reply's own.
#[derive(Debug, Default, Deserialize)]
struct Told {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    status_code: Option<u16>,
    #[serde(default)]
    headers: Map<String, Value>,
}

impl<'a> Frame<'a> {
    /// Reads a message; one that is no JSON object has no type.
    pub(super) fn read(text: &'a str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// True where a client asks for an answer by it.
    pub(super) fn asks(&self, rules: &EventRules) -> bool {
        self.is(&rules.asks)
    }

    /// True where nothing follows it for the same turn.
    pub(super) fn ends(&self, rules: &EventRules) -> bool {
        self.is(&rules.last) || self.is(&rules.refusal)
    }

    /// What an upstream's message means.
    pub(super) fn meaning(&self, rules: &EventRules) -> Meaning {
        if self.is(&rules.refusal) {
            Meaning::Refusal
        } else if self.is(&rules.handshake) {
            Meaning::Handshake
        } else {
            Meaning::Content
        }
    }

    /// The model that is asked for.
    pub(super) fn model(&self) -> Option<ModelName> {
        ModelName::try_from(self.model.as_deref()?).ok()
    }

    /// True for one that tells what has been used.
    pub(super) fn tells_limits(&self, rules: &EventRules) -> bool {
        rules.limits.as_ref().is_some_and(|limits| self.kind.as_deref() == Some(&*limits.kind))
    }

    fn is(&self, names: &[Arc<str>]) -> bool {
        self.kind.as_ref().is_some_and(|kind| names.iter().any(|name| **name == **kind))
    }
}

/// The headers that a refusal carries, and the status.
pub(super) fn told(text: &str) -> (HeaderMap, Option<StatusCode>) {
    let told: Told = serde_json::from_str(text).unwrap_or_default();
    let status = told.status.or(told.status_code).and_then(|status| StatusCode::from_u16(status).ok());
    let header =
        |(name, told): (&String, &Value)| Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value(told)?));
    (told.headers.iter().take(MOST_HEADERS).filter_map(header).collect(), status)
}

/// The limit headers that say what a message does.
pub(super) fn limits(text: &str, event: &LimitEvent) -> HeaderMap {
    let message: Value = serde_json::from_str(text).unwrap_or_default();
    let found = event.headers.iter().filter_map(|(name, path)| {
        let told = path.iter().try_fold(&message, |told, key| told.get(&**key))?;
        Some((name.clone(), value(told)?))
    });
    found.collect()
}

/// A scalar as a header would have it.
fn value(told: &Value) -> Option<HeaderValue> {
    let text = match told {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => told.to_string(),
        Value::Array(_) | Value::Null | Value::Object(_) => return None,
    };
    HeaderValue::from_str(&text).ok()
}

/// rotation's refusal as a message: the body of the reply that would have been, with its status.
pub(super) fn refused(refusal: &Refusal, dialect: Dialect, now: Time) -> String {
    let (status, body) = super::super::refusal::word(refusal, dialect, now);
    worded(status, &body)
}

/// An error's body as a message.
pub(super) fn worded(status: StatusCode, body: &Value) -> String {
    let error = body.get("error").or_else(|| body.get("detail")).unwrap_or(body);
    json!({ "type": "error", "status": status.as_u16(), "error": error }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_message_is_what_its_type_says_and_an_unknown_one_is_content() {
        let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let rules = EventRules {
            handshake: names(&["begun"]),
            refusal: names(&["error"]),
            last: names(&["done"]),
            asks: names(&["ask"]),
            ..EventRules::default()
        };
        for (text, meaning, asks, ends) in [
            (r#"{"type":"begun"}"#, Meaning::Handshake, false, false),
            (r#"{"x":{"type":"begun"},"type":"error"}"#, Meaning::Refusal, false, true),
            (r#"{"type":"done","response":{}}"#, Meaning::Content, false, true),
            (r#"{"type":"ask","model":"m"}"#, Meaning::Content, true, false),
            (r#"{"type":"\u0061sk"}"#, Meaning::Content, true, false),
            (r#"{"type":7}"#, Meaning::Content, false, false),
            ("[]", Meaning::Content, false, false),
            ("", Meaning::Content, false, false),
        ] {
            let frame = Frame::read(text);
            assert_eq!(
                (frame.meaning(&rules), frame.asks(&rules), frame.ends(&rules)),
                (meaning, asks, ends),
                "{text}"
            );
        }
        let model = Frame::read(r#"{"input":[{"model":"inner"}],"model":"outer"}"#).model();
        assert_eq!(model.as_ref().map(ModelName::as_str), Some("outer"));
    }

    /// FLO-9
    #[test]
    fn a_refusal_tells_its_status_and_headers() {
        let text = r#"{"type":"error","status_code":429,"headers":{"retry-after":"7","x-n":5,"bad name":"x","x-l":[]}}"#;
        let (headers, status) = told(text);
        assert_eq!(status, Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(
            (headers.len(), &headers["retry-after"], &headers["x-n"]),
            (2, &"7".parse().expect("a value"), &"5".parse().expect("a value"))
        );
        assert_eq!(told("{"), (HeaderMap::new(), None));
    }

    /// LIM-1
    #[test]
    fn a_message_of_limits_reads_like_the_headers_of_a_reply() {
        let path = |text: &str| text.split('.').map(Arc::from).collect();
        let event = LimitEvent {
            kind: "limits".into(),
            headers: vec![
                (HeaderName::from_static("x-used"), path("windows.first.used")),
                (HeaderName::from_static("x-plan"), path("plan")),
                (HeaderName::from_static("x-none"), path("windows.second.used")),
                (HeaderName::from_static("x-odd"), path("windows")),
            ],
        };
        let text = r#"{"type":"limits","plan":"plus","windows":{"first":{"used":12.5},"second":null}}"#;
        let expected = [("x-used", "12.5"), ("x-plan", "plus")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        assert_eq!(limits(text, &event), expected.into_iter().collect());
        let rules = EventRules { limits: Some(event.clone()), ..EventRules::default() };
        assert!(Frame::read(text).tells_limits(&rules));
        assert!(!Frame::read("{}").tells_limits(&rules));
        assert_eq!(limits("[", &event), HeaderMap::new());
    }

    #[test]
    fn an_errors_body_becomes_a_message_with_its_status() {
        let told = |body: Value| worded(StatusCode::TOO_MANY_REQUESTS, &body);
        let whole = told(json!({"error": {"code": "x"}}));
        assert_eq!(whole, r#"{"error":{"code":"x"},"status":429,"type":"error"}"#);
        assert_eq!(told(json!({"detail": "x"})), r#"{"error":"x","status":429,"type":"error"}"#);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            Frame::read(&text);
            told(&text);
        }
    }
}
