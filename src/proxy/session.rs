//! Which conversation a request belongs to, by its body: asked only where no header told. The keys that name one are
//! the provider's preset's. The body is read as it comes, once, and nothing of it is kept but a key or a wanted value
//! that goes on in the next piece.
use crate::model::{SessionField, SessionKey};
use memchr::memchr2;
use serde_json::Value;
use std::borrow::Cow;

/// Seeks the first of some fields that names a session in a JSON object, piece by piece.
#[derive(Debug)]
pub(super) struct Seeker<'a> {
    fields: &'a [SessionField],
    at: At,
    /// The byte before the next one was a backslash in a string.
    escaped: bool,
    /// What came in earlier pieces of the key or the wanted value that is read.
    kept: Vec<u8>,
    /// Which field it was, and the session it named.
    found: Option<(usize, SessionKey)>,
}

/// Where in the object the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before its brace.
    Outside,
    /// Before a key.
    Between,
    /// In a key, behind its first quote.
    Key,
    /// Between a key and its value; of a wanted key, the first field that begins with it.
    AfterKey(Option<usize>),
    /// In a value.
    Value(Inside),
    /// Nothing more is asked, or it is no such object.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Inside {
    /// The first field that begins with its key, where one does.
    field: Option<usize>,
    /// Objects and lists around the next byte.
    depth: usize,
    /// It is a string's.
    text: bool,
}

impl<'a> Seeker<'a> {
    /// Seeks `fields`, the most telling first.
    pub(super) fn of(fields: &'a [SessionField]) -> Self {
        let at = if fields.is_empty() { At::Done } else { At::Outside };
        Self { fields, at, escaped: false, kept: Vec::new(), found: None }
    }

    /// What was found. What was seen before a mistake counts: the provider will say what is wrong with the rest.
    pub(super) fn found(self) -> Option<SessionKey> {
        self.found.map(|(_, key)| key)
    }

    /// Reads on.
    pub(super) fn read(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(byte) = rest.first() {
            let read = match self.at {
                At::Done => return,
                At::Key => self.key(rest),
                At::Value(inside) => self.value(inside, rest),
                At::Outside | At::Between | At::AfterKey(_) => {
                    self.step(*byte);
                    1
                }
            };
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    /// Over one byte between strings and values.
    fn step(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (at, b' ' | b'\t' | b'\r' | b'\n') => at,
            (At::Outside, b'{') | (At::Between, b',') => At::Between,
            (At::Between, b'"') => At::Key,
            (At::AfterKey(field), b':') => At::Value(Inside { field, depth: 0, text: false }),
            (At::Outside | At::Between | At::Key | At::AfterKey(_) | At::Value(_) | At::Done, _) => At::Done,
        };
    }

    /// How much of `rest` is the key's.
    fn key(&mut self, rest: &[u8]) -> usize {
        let Some(end) = closes(rest, &mut self.escaped) else {
            self.kept.extend_from_slice(rest);
            return rest.len();
        };
        let whole = joined(&mut self.kept, &rest[..end - 1]);
        let name = plain(&whole);
        let begins = |field: &SessionField| {
            field.path.first().is_some_and(|first| name.as_deref().is_some_and(|name| **first == *name))
        };
        self.at = At::AfterKey(self.fields.iter().position(begins));
        end
    }

    /// How much of `rest` is the value's.
    fn value(&mut self, mut inside: Inside, rest: &[u8]) -> usize {
        let end = inside.ends(rest, &mut self.escaped);
        let Some(end) = end else {
            if inside.field.is_some() {
                self.kept.extend_from_slice(rest);
            }
            self.at = At::Value(inside);
            return rest.len();
        };
        self.at = At::Between;
        if let Some(first) = inside.field {
            let whole = joined(&mut self.kept, &rest[..end]);
            self.note(first, whole.trim_ascii());
        }
        end
    }

    /// The first in order is the best there can be.
    fn note(&mut self, first: usize, value: &[u8]) {
        let begins = self.fields[first].path.first();
        let better = self.found.as_ref().map_or(self.fields.len(), |(index, _)| index + 1);
        let like = self.fields.iter().enumerate().take(better).filter(|(_, it)| it.path.first() == begins);
        let named = like.into_iter().find_map(|(index, field)| Some((index, session(field, value)?)));
        self.found = named.or(self.found.take());
        if self.found.as_ref().is_some_and(|(index, _)| *index == 0) {
            self.at = At::Done;
        }
    }
}

impl Inside {
    /// Where in `rest` the value ends; none where it goes on behind it.
    fn ends(&mut self, rest: &[u8], escaped: &mut bool) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.text {
                at += closes(&rest[at..], escaped)?;
                self.text = false;
            }
            match *rest.get(at)? {
                b'"' => self.text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' | b',' if self.depth == 0 => return Some(at),
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            at += 1;
        }
    }
}

/// Behind the closing quote of a string that `text` goes on with; none where it closes later. A quote behind a backslash
/// is text, and so is a backslash behind one.
fn closes(text: &[u8], escaped: &mut bool) -> Option<usize> {
    let mut at = usize::from(std::mem::take(escaped));
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
        *escaped = at > text.len();
    }
}

/// What was kept, and its end.
fn joined<'p>(kept: &mut Vec<u8>, end: &'p [u8]) -> Cow<'p, [u8]> {
    if kept.is_empty() {
        return Cow::Borrowed(end);
    }
    let mut whole = std::mem::take(kept);
    whole.extend_from_slice(end);
    Cow::Owned(whole)
}

/// The text of a string that stands between quotes as `inner`.
fn plain(inner: &[u8]) -> Option<Cow<'_, str>> {
    if !inner.contains(&b'\\') {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let quoted = [b"\"", inner, b"\""].concat();
    serde_json::from_slice(&quoted).ok().map(Cow::Owned)
}

/// The session that `field` names in `value`, its first key's.
fn session(field: &SessionField, value: &[u8]) -> Option<SessionKey> {
    if let [_, deeper @ ..] = &field.path[..]
        && !deeper.is_empty()
    {
        let value: Value = serde_json::from_slice(value).ok()?;
        let value = deeper.iter().try_fold(&value, |value, name| value.get(&**name))?;
        return key(field, value.as_str()?);
    }
    key(field, &plain(value.strip_prefix(b"\"")?.strip_suffix(b"\"")?)?)
}

fn key(field: &SessionField, text: &str) -> Option<SessionKey> {
    match &field.inner {
        None => SessionKey::new(field.kind.clone(), text),
        Some(inner) => SessionKey::new(field.kind.clone(), &inner_of(text, &inner.key, &inner.after)?),
    }
}

/// A session's id inside a text: a field of the JSON object that the text is, else what stands behind a word in it.
fn inner_of(text: &str, key: &str, after: &str) -> Option<String> {
    if let Ok(Value::Object(object)) = serde_json::from_str(text) {
        return object.get(key)?.as_str().map(str::to_owned);
    }
    text.split_once(after).map(|(_, id)| id.to_owned())
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
        let escaped = br#" {"\u0070rompt_cache_key" : "c\u002d1" }"#;
        assert_eq!(in_body(escaped, &fields()).as_ref().map(SessionKey::value), Some("c-1"));
        let cut = br#"{"prompt_cache_key":"c-1","input":[{"#;
        assert!(in_body(cut, &fields()).is_some(), "what was seen counts");
    }

    proptest! {
        /// SEL-3
        #[test]
        fn any_chunking_finds_what_a_json_parser_finds(
            (before, after) in (value(), value()),
            (first, second) in (prop::option::of("[a-z\"\\\\]{1,6}"), prop::option::of("[a-z]{1,6}")),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let user = second.as_ref().map(|id| json!({"user_id": format!("_session_{id}")}));
            let members = [
                Some(("before", before)),
                user.map(|user| ("metadata", user)),
                Some(("after", after)),
                first.as_ref().map(|id| ("prompt_cache_key", Value::from(id.as_str()))),
            ];
            let members = members.into_iter().flatten();
            let text = members.map(|(name, value)| format!("{name:?}: {value}")).collect::<Vec<_>>().join(" ,");
            let whole = format!("{{{text}}}");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let fields = fields();
            let mut seeker = Seeker::of(&fields);
            for pair in cuts.windows(2) {
                seeker.read(&whole.as_bytes()[pair[0]..pair[1]]);
            }
            let found = seeker.found();
            prop_assert_eq!(found.as_ref().map(SessionKey::value), first.as_deref().or(second.as_deref()), "{}", whole);
        }

        #[test]
        fn no_body_is_too_odd(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = in_body(&body, &fields());
        }
    }

    fn in_body(body: &[u8], fields: &[SessionField]) -> Option<SessionKey> {
        let mut seeker = Seeker::of(fields);
        seeker.read(body);
        seeker.found()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],: é]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                inner.prop_map(|value| json!({"prompt_cache_key": value, "metadata": "x"})),
            ]
        })
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
