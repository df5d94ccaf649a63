//! Which conversation a request belongs to, by its body: asked only where no header told. The keys that name one are
//! the provider's preset's.
use crate::model::{SessionField, SessionKey};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// The first of `fields` that names a session in `body`, a JSON object.
pub(super) fn in_body(body: &[u8], fields: &[SessionField]) -> Option<SessionKey> {
    if fields.is_empty() {
        return None;
    }
    let mut values = vec![None; fields.len()];
    let mut json = serde_json::Deserializer::from_slice(body);
    // What was seen before a mistake counts: the provider will say what is wrong with the rest.
    let _ = Top { fields, values: &mut values }.deserialize(&mut json);
    fields.iter().zip(values).find_map(|(field, value)| key(field, &value?))
}

fn key(field: &SessionField, value: &Value) -> Option<SessionKey> {
    let text = value.as_str()?;
    let named = match &field.inner {
        None => text.to_owned(),
        Some(inner) => inner_of(text, &inner.key, &inner.after)?,
    };
    SessionKey::new(field.kind.clone(), &named)
}

/// A session's id inside a text: a field of the JSON object that the text is, else what stands behind a word in it.
fn inner_of(text: &str, key: &str, after: &str) -> Option<String> {
    if let Ok(Value::Object(object)) = serde_json::from_str(text) {
        return object.get(key)?.as_str().map(str::to_owned);
    }
    text.split_once(after).map(|(_, id)| id.to_owned())
}

/// The top of the body: only what leads to a field is read, the rest is skipped.
struct Top<'a> {
    fields: &'a [SessionField],
    values: &'a mut [Option<Value>],
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while let Some(name) = entries.next_key::<String>()? {
            let begins = |field: &SessionField| field.path.first().is_some_and(|first| **first == *name);
            if !self.fields.iter().any(begins) {
                entries.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: Value = entries.next_value()?;
            for (field, place) in self.fields.iter().zip(self.values.iter_mut()) {
                if begins(field) {
                    *place =
                        field.path[1..].iter().try_fold(&value, |value, name| value.get(&**name)).cloned();
                }
            }
            // The first in order is the best there can be.
            if self.values.first().is_some_and(Option::is_some) {
                return Err(A::Error::custom("enough"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InnerField;
    use http::HeaderName;
    use proptest::prelude::*;
    use serde_json::json;

    /// SEL-3
    #[test]
    fn the_first_field_that_names_a_session_wins_wherever_it_stands() {
        let claude = r#"{"device_id":"d","account_uuid":"","session_id":"s-1"}"#;
        for (body, expected) in [
            (
                json!({"prompt_cache_key": "c-1", "metadata": {"user_id": "u"}}),
                Some("body.prompt_cache_key=c-1"),
            ),
            (
                json!({"messages": [{"prompt_cache_key": "x"}], "metadata": {"user_id": claude}}),
                Some("body.metadata.user_id=s-1"),
            ),
            (
                json!({"metadata": {"user_id": "user_ab_account__session_s-2"}}),
                Some("body.metadata.user_id=s-2"),
            ),
            (json!({"metadata": {"user_id": "somebody"}}), None),
            (json!({"metadata": {"user_id": r#"{"device_id":"d"}"#}}), None),
            (json!({"metadata": "x", "prompt_cache_key": 7}), None),
            (json!({"prompt_cache_key": "with blank"}), None),
            (json!([]), None),
        ] {
            let key = in_body(body.to_string().as_bytes(), &fields());
            assert_eq!(key.map(|key| format!("{key:?}")).as_deref(), expected, "{body}");
        }
        let cut = br#"{"prompt_cache_key":"c-1","input":[{"#;
        assert!(in_body(cut, &fields()).is_some(), "what was seen counts");
    }

    proptest! {
        #[test]
        fn no_body_is_too_odd(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = in_body(&body, &fields());
        }
    }

    fn fields() -> Vec<SessionField> {
        let inner = InnerField { key: "session_id".into(), after: "_session_".into() };
        vec![
            SessionField {
                path: vec!["prompt_cache_key".into()],
                inner: None,
                kind: HeaderName::from_static("body.prompt_cache_key"),
            },
            SessionField {
                path: vec!["metadata".into(), "user_id".into()],
                inner: Some(inner),
                kind: HeaderName::from_static("body.metadata.user_id"),
            },
        ]
    }
}
