//! The one edit of a body that rota makes, and only where a provider's preset allows it (`on_owner_lost = "sanitize"`):
//! reasoning that only a lost account could read is left out, so that another one can go on with the conversation.
//! Whole items go, and the ids by which later items refer to them; every other byte stays as the client wrote it.
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// A body without its reasoning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sanitized {
    /// What is left.
    pub(super) body: Vec<u8>,
    /// Items that were left out.
    pub(super) dropped: usize,
}

/// `body` without those reasoning items of its `input` whose ciphertext `keeps` does not keep; none where it is not such
/// a body or nothing is left out. Items that came from the model lose their `id`: the provider refuses one whose
/// reasoning is gone.
pub(super) fn sanitize(body: &[u8], keeps: impl Fn(&str) -> bool) -> Option<Sanitized> {
    let whole: Object<'_> = serde_json::from_slice(body).ok()?;
    let input = whole.get("input")?;
    let items: Vec<&RawValue> = serde_json::from_str(input.get()).ok()?;
    let mut kept = Vec::with_capacity(items.len());
    for item in &items {
        match Item::of(item) {
            Item::Other => kept.push(item.get().to_owned()),
            Item::Reasoning(ciphertext) if ciphertext.as_deref().is_some_and(&keeps) => {
                kept.push(item.get().to_owned());
            }
            Item::Reasoning(_) => {}
            Item::Said(fields) => kept.push(fields.without("id").text()),
        }
    }
    let dropped = items.len() - kept.len();
    if dropped == 0 {
        return None;
    }
    let input = format!("[{}]", kept.join(","));
    Some(Sanitized { body: whole.with("input", &input).into_bytes(), dropped })
}

/// `body` without those texts in an object at its top that `drops` drops, by name and value; none where there is none.
pub(super) fn without_texts(body: &[u8], drops: impl Fn(&str, &str) -> bool) -> Option<Vec<u8>> {
    let whole: Object<'_> = serde_json::from_slice(body).ok()?;
    let mut text = None;
    for (field, value) in &whole.0 {
        let Ok(inner) = serde_json::from_str::<Object<'_>>(value.get()) else {
            continue;
        };
        let dropped = |(name, value): &(String, &RawValue)| {
            serde_json::from_str::<String>(value.get()).is_ok_and(|value| drops(name, &value))
        };
        let kept: Vec<_> = inner.0.iter().filter(|entry| !dropped(entry)).cloned().collect();
        if kept.len() < inner.0.len() {
            text = Some(whole.with(field, &Object(kept).text()));
        }
    }
    text.map(String::into_bytes)
}

enum Item<'a> {
    /// The client's own, or nothing that is known.
    Other,
    /// What the model thought, with its ciphertext where it has one.
    Reasoning(Option<String>),
    /// The model's: a message, a call.
    Said(Object<'a>),
}

impl<'a> Item<'a> {
    fn of(item: &'a RawValue) -> Self {
        let Ok(fields) = serde_json::from_str::<Object<'a>>(item.get()) else {
            return Self::Other;
        };
        let text =
            |name: &str| fields.get(name).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        let kind = text("type");
        match kind.as_deref() {
            Some("reasoning") => Self::Reasoning(text("encrypted_content")),
            Some("function_call" | "custom_tool_call" | "local_shell_call" | "web_search_call") => {
                Self::Said(fields)
            }
            Some("message") | None if text("role").as_deref() == Some("assistant") => Self::Said(fields),
            Some(_) | None => Self::Other,
        }
    }
}

/// A JSON object as it is written: its fields in their order, each value untouched.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(field, _)| field != name);
        self
    }

    fn text(&self) -> String {
        self.write(None)
    }

    /// The object with another value for one field.
    fn with(&self, name: &str, value: &str) -> String {
        self.write(Some((name, value)))
    }

    fn write(&self, other: Option<(&str, &str)>) -> String {
        let fields = self.0.iter().map(|(field, value)| {
            let value = match other {
                Some((name, other)) if name == field => other,
                Some(_) | None => value.get(),
            };
            format!("{}:{value}", serde_json::Value::from(field.as_str()))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields).map(Self)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            fields.push(entry);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// SEL-4
    #[test]
    fn reasoning_goes_with_the_ids_that_point_to_it_and_nothing_else_changes() {
        let body = r#"{ "model":"m", "n": 1.50, "input":[
            {"type":"message","role":"user","content":"caf\u00e9","id":"mine"},
            {"type":"reasoning","id":"rs_1","encrypted_content":"gAAA"},
            {"id":"fc_1","type":"function_call","call_id":"c1","name":"shell","arguments":"{\"id\":\"x\"}"},
            {"type":"function_call_output","call_id":"c1","output":"id"},
            {"role":"assistant","id":"msg_1","content":[{"type":"output_text","text":"done"}]},
            {"type":"compaction","id":"cmp_1","encrypted_content":"gBBB"},
            "odd"], "store":false}"#;
        let sanitized = sanitize(body.as_bytes(), |_| false).unwrap();
        assert_eq!(sanitized.dropped, 1);
        let text = String::from_utf8(sanitized.body).unwrap();
        let expected = concat!(
            r#"{"model":"m","n":1.50,"input":[{"type":"message","role":"user","content":"caf\u00e9","id":"mine"},"#,
            r#"{"type":"function_call","call_id":"c1","name":"shell","arguments":"{\"id\":\"x\"}"},"#,
            r#"{"type":"function_call_output","call_id":"c1","output":"id"},"#,
            r#"{"role":"assistant","content":[{"type":"output_text","text":"done"}]},"#,
            r#"{"type":"compaction","id":"cmp_1","encrypted_content":"gBBB"},"odd"],"store":false}"#
        );
        assert_eq!(text, expected);
        assert_eq!(sanitize(text.as_bytes(), |_| false), None, "once is enough");
    }

    /// SEL-4
    #[test]
    fn what_the_account_can_read_itself_stays() {
        let body = r#"{"input":[{"type":"reasoning","encrypted_content":"mine"},{"type":"reasoning","encrypted_content":"theirs"}]}"#;
        let sanitized = sanitize(body.as_bytes(), |text| text == "mine").unwrap();
        assert_eq!(sanitized.body, br#"{"input":[{"type":"reasoning","encrypted_content":"mine"}]}"#);
        assert_eq!(sanitize(body.as_bytes(), |_| true), None);
    }

    /// SEL-4
    #[test]
    fn a_text_inside_an_object_of_the_top_can_be_left_out_alone() {
        let body =
            r#"{"a":{"state":"theirs","n": 1.0},"state":"theirs","b":{"state":"ours"},"c":{"state":7}}"#;
        let drops = |name: &str, value: &str| name == "state" && value == "theirs";
        let left = without_texts(body.as_bytes(), drops).unwrap();
        let expected = r#"{"a":{"n":1.0},"state":"theirs","b":{"state":"ours"},"c":{"state":7}}"#;
        assert_eq!(String::from_utf8(left).unwrap(), expected);
        assert_eq!(without_texts(expected.as_bytes(), drops), None);
        assert_eq!(without_texts(b"[", drops), None);
    }

    #[test]
    fn what_is_no_such_body_is_left_alone() {
        for body in
            ["", "{}", "[]", "null", r#"{"input":"text"}"#, r#"{"input":[{"type":"reasoning"}"#, "\u{0}"]
        {
            assert_eq!(sanitize(body.as_bytes(), |_| false), None, "{body}");
        }
    }

    proptest! {
        /// SEL-4
        #[test]
        fn the_clients_own_items_survive_byte_for_byte(
            texts in prop::collection::vec("[a-z\"\\\\\n\u{e9}{}]{0,20}", 0..8),
            reasoning in prop::collection::vec(any::<bool>(), 8),
        ) {
            let mut input = Vec::new();
            for (text, reasons) in texts.iter().zip(reasoning) {
                input.push(json!({"type": "message", "role": "user", "content": text, "id": text}));
                if reasons {
                    input.push(json!({"type": "reasoning", "encrypted_content": text}));
                }
            }
            let expected: Vec<Value> = input.iter().filter(|item| item["type"] == "message").cloned().collect();
            let body = json!({"input": input, "model": "m"}).to_string();
            match sanitize(body.as_bytes(), |_| false) {
                None => prop_assert_eq!(input, expected),
                Some(sanitized) => {
                    let after: Value = serde_json::from_slice(&sanitized.body).unwrap();
                    prop_assert_eq!(after, json!({"input": expected, "model": "m"}));
                    prop_assert_eq!(sanitized.dropped, input.len() - texts.len());
                }
            }
        }
    }
}
