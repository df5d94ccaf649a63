//! Values that only one account's owner can read or resolve (ciphertext, signatures, ids), found in JSON as it passes:
//! in requests, in replies, in the events of a stream. It is a lexer of strings, not a parser: it needs no whole
//! document, holds a few hundred bytes, and is never fooled by what a text says.
use crate::affinity::Mark;
use crate::model::MarkerField;
use memchr::{memchr, memchr3};
use std::sync::Arc;

/// Longer keys are none that anybody looks for.
const LONGEST_KEY: usize = 48;
/// Bytes at a value's beginning that tell it from others: ciphertexts begin with a version, a time and a random vector.
const FIRST: usize = 96;
/// Bytes at its end.
const LAST: usize = 32;

/// A marker that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Which of the fields it was looked for by.
    pub(super) field: usize,
    /// Its value's mark.
    pub(super) mark: Mark,
}

/// Reads JSON, or events of JSON, piece by piece.
#[derive(Debug)]
pub(super) struct Markers {
    fields: Arc<[MarkerField]>,
    at: At,
    /// The string being read, or read last: as much of it as could be a key.
    key: Vec<u8>,
    value: Value,
}

/// Where in the text the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Between tokens; the last one was no key.
    Between,
    /// A string has ended; a colon makes it a key.
    AfterString,
    /// A wanted key and its colon: a string that begins now is its value.
    AfterKey(usize),
    /// In a string that may be a key; `true` after a backslash.
    String(bool),
    /// In a wanted value; the same.
    Value(usize, bool),
}

#[derive(Debug, Default)]
struct Value {
    first: Vec<u8>,
    last: Vec<u8>,
    length: u64,
}

impl Markers {
    /// Looks for values of `fields`.
    pub(super) fn of(fields: Arc<[MarkerField]>) -> Self {
        Self { fields, at: At::Between, key: Vec::with_capacity(LONGEST_KEY), value: Value::default() }
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut piece: &[u8], mut found: impl FnMut(Found)) {
        if self.fields.is_empty() {
            return;
        }
        while let Some(&first) = piece.first() {
            piece = match self.at {
                At::Between => self.seek(piece),
                At::AfterString => self.after_string(first, piece),
                At::AfterKey(field) => self.after_key(field, first, piece),
                At::String(true) => {
                    self.at = At::String(false);
                    self.more_key(&piece[..1]);
                    &piece[1..]
                }
                At::Value(field, true) => {
                    self.at = At::Value(field, false);
                    self.value.more(&piece[..1]);
                    &piece[1..]
                }
                At::String(false) => self.string(piece),
                At::Value(field, false) => self.valued(field, piece, &mut found),
            };
        }
    }

    /// Strings that are whole and no wanted keys are passed over where they lie.
    fn seek<'a>(&mut self, mut piece: &'a [u8]) -> &'a [u8] {
        while let Some(quote) = memchr(b'"', piece) {
            piece = &piece[quote + 1..];
            let end = memchr3(b'"', b'\\', b'\n', piece).filter(|end| piece[*end] == b'"');
            let Some((string, behind)) = end.map(|end| (&piece[..end], &piece[end + 1..])) else {
                self.begin_string();
                return piece;
            };
            match behind.first() {
                Some(b':') => {
                    piece = &behind[1..];
                    if let Some(field) = self.wanted(string) {
                        self.at = At::AfterKey(field);
                        return piece;
                    }
                }
                Some(b' ' | b'\t' | b'\r') | None => {
                    self.begin_string();
                    self.more_key(string);
                    self.at = At::AfterString;
                    return behind;
                }
                Some(_) => piece = behind,
            }
        }
        &[]
    }

    fn wanted(&self, key: &[u8]) -> Option<usize> {
        self.fields.iter().position(|field| field.key.as_bytes() == key)
    }

    fn begin_string(&mut self) {
        self.key.clear();
        self.at = At::String(false);
    }

    fn after_string<'a>(&mut self, first: u8, piece: &'a [u8]) -> &'a [u8] {
        match first {
            b' ' | b'\t' | b'\r' => &piece[1..],
            b':' => {
                self.at = self.wanted(&self.key).map_or(At::Between, At::AfterKey);
                &piece[1..]
            }
            _ => {
                self.at = At::Between;
                piece
            }
        }
    }

    fn after_key<'a>(&mut self, field: usize, first: u8, piece: &'a [u8]) -> &'a [u8] {
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => &piece[1..],
            b'"' => {
                self.value = Value::default();
                self.at = At::Value(field, false);
                &piece[1..]
            }
            _ => {
                self.at = At::Between;
                piece
            }
        }
    }

    /// No string of JSON holds a line break: where one stands, this was no string, and the next line begins anew.
    fn string<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr3(b'"', b'\\', b'\n', piece) else {
            self.more_key(piece);
            return &[];
        };
        self.more_key(&piece[..end]);
        self.at = match piece[end] {
            b'"' => At::AfterString,
            b'\\' => At::String(true),
            _ => At::Between,
        };
        &piece[end + 1..]
    }

    fn valued<'a>(&mut self, field: usize, piece: &'a [u8], found: &mut impl FnMut(Found)) -> &'a [u8] {
        let Some(end) = memchr3(b'"', b'\\', b'\n', piece) else {
            self.value.more(piece);
            return &[];
        };
        self.value.more(&piece[..end]);
        self.at = match piece[end] {
            b'\\' => At::Value(field, true),
            _ => At::Between,
        };
        let begins = |field: &MarkerField| self.value.first.starts_with(field.prefix.as_bytes());
        let fields = &self.fields;
        if piece[end] == b'"'
            && let Some(key) = fields.get(field).map(|field| &field.key)
            && let Some(field) = fields.iter().position(|field| field.key == *key && begins(field))
            && self.value.length >= fields.get(field).map_or(0, |field| u64::from(field.least))
        {
            found(Found { field, mark: self.value.mark() });
        }
        &piece[end + 1..]
    }

    fn more_key(&mut self, part: &[u8]) {
        // One byte more than any key, so that a longer string is none.
        let room = (LONGEST_KEY + 1).saturating_sub(self.key.len());
        self.key.extend_from_slice(&part[..part.len().min(room)]);
    }
}

impl Value {
    fn more(&mut self, part: &[u8]) {
        self.length += part.len() as u64;
        let room = FIRST.saturating_sub(self.first.len());
        let (first, rest) = part.split_at(part.len().min(room));
        self.first.extend_from_slice(first);
        if rest.len() >= LAST {
            self.last.clear();
            self.last.extend_from_slice(&rest[rest.len() - LAST..]);
        } else {
            self.last.extend_from_slice(rest);
            let surplus = self.last.len().saturating_sub(LAST);
            self.last.drain(..surplus);
        }
    }

    fn mark(&self) -> Mark {
        Mark::of(&[&self.length.to_be_bytes(), &self.first, &self.last])
    }
}

/// The mark of a value that is at hand whole: a header's.
pub(super) fn mark(value: &[u8]) -> Mark {
    let mut whole = Value::default();
    whole.more(value);
    whole.mark()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MarkerClass;
    use proptest::prelude::*;
    use serde_json::json;

    /// SEL-4
    #[test]
    fn only_values_of_wanted_keys_count_and_no_text_about_them() {
        let long = "x".repeat(5000);
        for (text, expected) in [
            (r#"{"secret":"abc"}"#.to_owned(), vec![(0, "abc")]),
            ("{ \"secret\" : \n \"abc\" }".to_owned(), vec![(0, "abc")]),
            (r#"{"text":"\"secret\":\"abc\""}"#.to_owned(), vec![]),
            (r#"{"text":"secret","secret":"a\\b"}"#.to_owned(), vec![(0, "a\\b")]),
            (r#"{"secret":7,"secret":null,"secret":["abc"]}"#.to_owned(), vec![]),
            (r#"{"secrets":"abc","secre":"abc","":"abc"}"#.to_owned(), vec![]),
            (r#"["secret","abc"]"#.to_owned(), vec![]),
            (r#"{"id":"msg_1","x":{"id":"resp_1"}}"#.to_owned(), vec![(1, "resp_1")]),
            (r#"{"secret":"ab"}"#.to_owned(), vec![]),
            (format!(r#"{{"{long}":"abc","secret":"{long}"}}"#), vec![(0, &long[..])]),
            ("data: {\"a\":\"b\nevent: x\ndata: {\"secret\":\"abc\"}\n\n".to_owned(), vec![(0, "abc")]),
            (": it's 5\" tall\ndata: {\"secret\":\"abc\"}\n\n".to_owned(), vec![(0, "abc")]),
        ] {
            let expected: Vec<Found> = expected
                .into_iter()
                .map(|(field, value)| Found { field, mark: mark(value.as_bytes()) })
                .collect();
            assert_eq!(all(&[text.as_bytes()]), expected, "{text}");
        }
    }

    #[test]
    fn values_that_differ_anywhere_but_in_the_middle_have_different_marks() {
        let value = "a".repeat(1000);
        let other = |at: usize| format!("{}b{}", &value[..at], &value[at + 1..]);
        for at in [0, 95, 970, 999] {
            assert_ne!(mark(value.as_bytes()), mark(other(at).as_bytes()), "{at}");
        }
        assert_ne!(mark(value.as_bytes()), mark(&value.as_bytes()[1..]));
    }

    proptest! {
        /// SEL-4
        #[test]
        fn any_chunking_finds_the_same_and_whatever_stands_around_it(
            texts in prop::collection::vec("[a-z\"\\\\\n\u{e9}:{}]{0,12}", 1..6),
            values in prop::collection::vec("[a-zA-Z0-9+/=]{3,300}", 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let items: Vec<_> = texts.iter().zip(&values)
                .map(|(text, value)| json!({"note": text, "secret": value, "more": [text, {"k": text}]}))
                .collect();
            let whole = serde_json::to_vec(&items).unwrap();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let expected: Vec<Mark> = texts.iter().zip(&values).map(|(_, value)| mark(value.as_bytes())).collect();
            let got: Vec<Mark> = all(&pieces).into_iter().map(|found| found.mark).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn no_bytes_are_too_odd_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = all(&[&bytes]);
        }
    }

    fn all(pieces: &[&[u8]]) -> Vec<Found> {
        let field = |key: &str, prefix: &str| MarkerField {
            key: key.into(),
            prefix: prefix.into(),
            least: 3,
            class: MarkerClass::State,
        };
        let mut markers = Markers::of([field("secret", ""), field("id", "resp_")].into());
        let mut seen = Vec::new();
        for piece in pieces {
            markers.read(piece, |found| seen.push(found));
        }
        seen
    }
}
