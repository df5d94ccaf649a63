//! Values that only one account's owner can read or resolve (ciphertext, signatures, ids), found in JSON as it passes:
//! in requests, in replies, in the events of a stream. It looks for the keys between their quotes, which no text can
//! counterfeit: a quote inside a string has a backslash before it (RFC 8259 §7). It is no parser: it needs no whole
//! document, and holds a few hundred bytes.
use super::sieve;
use crate::affinity::Mark;
use crate::model::{MarkerEnding, MarkerField, MarkerFields, MarkerKey};
use memchr::{memchr3, memmem};

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

/// The longest key with its quotes.
const LONGEST: usize = MarkerField::LONGEST_KEY + 2;

/// Reads JSON, or events of JSON, piece by piece.
#[derive(Debug)]
pub(super) struct Markers {
    fields: MarkerFields,
    at: At,
    /// The end of what was read: a key may have begun there.
    tail: Seam,
    value: Value,
}

/// The end of one piece, and while a key over it is looked for, the beginning of the next.
#[derive(Debug)]
struct Seam {
    text: [u8; 2 * LONGEST],
    long: usize,
}

/// Where in the text the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Anywhere but behind a wanted key.
    Between,
    /// Behind a wanted string; a colon makes it a key.
    AfterString(usize),
    /// A wanted key and its colon: a string that begins now is its value.
    AfterKey(usize),
    /// In a wanted value; `true` after a backslash.
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
    pub(super) fn of(fields: MarkerFields) -> Self {
        Self { fields, at: At::Between, tail: Seam::default(), value: Value::default() }
    }

    /// Reads on.
    pub(super) fn read(&mut self, piece: &[u8], mut found: impl FnMut(Found)) {
        if self.fields.is_empty() || piece.is_empty() {
            return;
        }
        let mut at = match self.at {
            At::Between => self.over_the_seam(piece),
            At::AfterString(_) | At::AfterKey(_) | At::Value(..) => 0,
        };
        while let Some(&byte) = piece.get(at) {
            at = match self.at {
                At::Between => self.seek(at, piece),
                At::AfterString(field) => self.after_string(field, byte, at),
                At::AfterKey(field) => self.after_key(field, byte, at),
                At::Value(field, true) => {
                    self.at = At::Value(field, false);
                    self.value.more(&piece[at..=at]);
                    at + 1
                }
                At::Value(field, false) => at + self.valued(field, &piece[at..], &mut found),
            };
        }
        self.tail.keep(piece);
    }

    /// A key that began in what was read before ends in this piece: how much of the piece is read then.
    fn over_the_seam(&mut self, piece: &[u8]) -> usize {
        let before = self.tail.long;
        if before == 0 {
            return 0;
        }
        self.tail.add(&piece[..piece.len().min(LONGEST)]);
        let text = self.tail.text();
        let over = keys(&self.fields).find_map(|key| {
            // Such as end before the seam were found before, and such as begin behind it will be.
            let long = key.quoted.len();
            let from = before.saturating_sub(long - 1);
            let window = &text[from..text.len().min(before + long - 1)];
            let begins = from + memmem::find(window, key.quoted.as_bytes())?;
            (!is_escaped(&text[..begins])).then_some((key.field, begins + long - before))
        });
        self.tail.long = before;
        let (field, read) = over.unzip();
        if let Some(field) = field {
            self.at = At::AfterString(field);
        }
        read.unwrap_or_default()
    }

    /// Goes behind the next wanted string, or to the end.
    fn seek(&mut self, from: usize, piece: &[u8]) -> usize {
        let mut read = from;
        while let Some(left) = sieve::next(piece, read, self.fields.pairs()) {
            read = left.places.end;
            let mut first: Option<(usize, usize)> = None;
            for (index, pair) in self.fields.pairs().iter().enumerate() {
                if !left.may_hold(index) {
                    continue;
                }
                let ending = &self.fields.endings()[index];
                let begins = left.places.start.saturating_sub(pair.at).max(from);
                let ends = (left.places.end - 1 + ending.finder.needle().len() - pair.at).min(piece.len());
                if let Some(wanted) = self.wanted(ending, from, &piece[..ends], begins)
                    && first.is_none_or(|first| wanted < first)
                {
                    first = Some(wanted);
                }
            }
            if let Some((end, field)) = first {
                self.at = At::AfterString(field);
                return end;
            }
        }
        piece.len()
    }

    /// Where the first wanted string ends whose end begins at `begins` or later, and its field. Nothing of it stands
    /// before `from`.
    fn wanted(
        &self,
        ending: &MarkerEnding,
        from: usize,
        text: &[u8],
        begins: usize,
    ) -> Option<(usize, usize)> {
        let mut begins = begins;
        loop {
            begins += ending.finder.find(text.get(begins..)?)?;
            let end = begins + ending.finder.needle().len();
            let read = &text[from..end];
            if let Some(key) = ending.keys.iter().find(|key| key.ends(read)) {
                let key_begins = end - key.quoted.len();
                let before = if key_begins == 0 { self.tail.text() } else { &text[..key_begins] };
                if !is_escaped(before) {
                    return Some((end, key.field));
                }
            }
            begins += 1;
        }
    }

    fn after_string(&mut self, field: usize, byte: u8, at: usize) -> usize {
        match byte {
            b' ' | b'\t' | b'\r' => at + 1,
            b':' => {
                self.at = At::AfterKey(field);
                at + 1
            }
            _ => {
                self.at = At::Between;
                at
            }
        }
    }

    fn after_key(&mut self, field: usize, byte: u8, at: usize) -> usize {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at + 1,
            b'"' => {
                self.value = Value::default();
                self.at = At::Value(field, false);
                at + 1
            }
            _ => {
                self.at = At::Between;
                at
            }
        }
    }

    /// No string of JSON holds a line break: where one stands, this was no string, and the next line begins anew.
    fn valued(&mut self, field: usize, piece: &[u8], found: &mut impl FnMut(Found)) -> usize {
        let Some(end) = memchr3(b'"', b'\\', b'\n', piece) else {
            self.value.more(piece);
            return piece.len();
        };
        self.at = match piece[end] {
            b'\\' => At::Value(field, true),
            _ => At::Between,
        };
        if piece[end] != b'"' || self.value.length > 0 {
            self.value.more(&piece[..end]);
        }
        if piece[end] == b'"' {
            let value = if self.value.length > 0 { self.value.ends() } else { Ends::of(&piece[..end]) };
            let begins = |field: &MarkerField| value.first.starts_with(field.prefix.as_bytes());
            let fields = &self.fields;
            if let Some(key) = fields.get(field).map(|field| &field.key)
                && let Some(field) = fields.iter().position(|field| field.key == *key && begins(field))
                && value.length >= fields.get(field).map_or(0, |field| u64::from(field.least))
            {
                found(Found { field, mark: value.mark() });
            }
        }
        end + 1
    }
}

impl Default for Seam {
    fn default() -> Self {
        Self { text: [0; 2 * LONGEST], long: 0 }
    }
}

impl Seam {
    fn text(&self) -> &[u8] {
        &self.text[..self.long]
    }

    fn add(&mut self, more: &[u8]) {
        let end = self.long + more.len();
        self.text[self.long..end].copy_from_slice(more);
        self.long = end;
    }

    /// As much of the end of `piece` as could be the beginning of a key, and the byte before it.
    fn keep(&mut self, piece: &[u8]) {
        // No key goes on in the next line, and events are lines.
        if piece.ends_with(b"\n") {
            self.long = 0;
            return;
        }
        let more = &piece[piece.len().saturating_sub(LONGEST)..];
        let surplus = (self.long + more.len()).saturating_sub(LONGEST).min(self.long);
        self.text.copy_within(surplus..self.long, 0);
        self.long -= surplus;
        self.add(more);
    }
}

/// A backslash before a quote makes it a part of a string's text.
fn is_escaped(before: &[u8]) -> bool {
    before.last() == Some(&b'\\')
}

fn keys(fields: &MarkerFields) -> impl Iterator<Item = &MarkerKey> {
    fields.endings().iter().flat_map(|ending| &ending.keys)
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

    fn ends(&self) -> Ends<'_> {
        Ends { first: &self.first, last: &self.last, length: self.length }
    }
}

/// What is looked at of a value.
struct Ends<'a> {
    first: &'a [u8],
    last: &'a [u8],
    length: u64,
}

impl<'a> Ends<'a> {
    /// Of one that is at hand whole.
    fn of(value: &'a [u8]) -> Self {
        let (first, rest) = value.split_at(value.len().min(FIRST));
        Self { first, last: &rest[rest.len().saturating_sub(LAST)..], length: value.len() as u64 }
    }

    fn mark(&self) -> Mark {
        Mark::of(&[&self.length.to_be_bytes(), self.first, self.last])
    }
}

/// The mark of a value that is at hand whole: a header's.
pub(super) fn mark(value: &[u8]) -> Mark {
    Ends::of(value).mark()
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
            (r#"{"call_id":"file-1","file_id":"file-1","xid":"id"}"#.to_owned(), vec![(2, "file-1")]),
            (r#"{"a":"my id","b":"\"id","id":"resp_1","file_id":"f"}"#.to_owned(), vec![(1, "resp_1")]),
            (
                r#"{"file_id":"file-1","secret":"abc","id":"resp_1"}"#.to_owned(),
                vec![(2, "file-1"), (0, "abc"), (1, "resp_1")],
            ),
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

    /// SEL-4
    #[test]
    fn a_long_text_hides_no_key_wherever_it_stands() {
        let keys = ["secret", "id", "signature", "sealed", "content", "blob"];
        for wanted in 1..=keys.len() {
            let fields = || keys[..wanted].iter().map(|key| field(key, ""));
            for (before, key) in (0..700).flat_map(|before| keys.map(|key| (before, key))) {
                let (before, behind) = ("a".repeat(before), "b".repeat(700 - before));
                let text = format!("{{\"c\":\"{before}\",\"{key}\":\"value\",\"d\":\"{behind}\"}}");
                let expected = keys[..wanted].iter().position(|wanted| *wanted == key);
                let found = found(fields(), &[text.as_bytes()]);
                assert_eq!(found.first().map(|found| found.field), expected, "{text}");
            }
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
            texts in prop::collection::vec(text(), 1..6),
            values in prop::collection::vec("[a-zA-Z0-9+/=]{3,300}", 1..6),
            between in 0..700_usize,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let items: Vec<_> = texts.iter().zip(&values)
                .map(|(text, value)| {
                    let (file, much) = (format!("file-{value}"), "a".repeat(between));
                    json!({"note": text, "secret": value, "much": much, "file_id": file, "more": [text, {"k_id": text}]})
                })
                .collect();
            let whole = serde_json::to_vec(&items).unwrap();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let found = all(&pieces);
            for (field, before) in [(0, ""), (2, "file-")] {
                let values = texts.iter().zip(&values).map(|(_, value)| format!("{before}{value}"));
                let expected: Vec<Mark> = values.map(|value| mark(value.as_bytes())).collect();
                let got = found.iter().filter(|found| found.field == field).map(|found| found.mark);
                prop_assert_eq!(got.collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn no_bytes_are_too_odd_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = all(&[&bytes]);
        }
    }

    /// Some of them look like what is looked for.
    fn text() -> impl Strategy<Value = String> {
        let like = r#"secret|"secret"|"secret":"abcdef"|\\"secret":"abcdef"|"id": "resp_1"|\\\\"secret"|e_id"|"file_id":"#;
        prop_oneof!["[a-z\"\\\\\n\u{e9}:{}]{0,12}", like]
    }

    fn all(pieces: &[&[u8]]) -> Vec<Found> {
        found([field("secret", ""), field("id", "resp_"), field("file_id", "file-")], pieces)
    }

    fn found(fields: impl IntoIterator<Item = MarkerField>, pieces: &[&[u8]]) -> Vec<Found> {
        let mut markers = Markers::of(fields.into_iter().collect());
        let mut seen = Vec::new();
        for piece in pieces {
            markers.read(piece, |found| seen.push(found));
        }
        seen
    }

    fn field(key: &str, prefix: &str) -> MarkerField {
        MarkerField { key: key.into(), prefix: prefix.into(), least: 3, class: MarkerClass::State }
    }
}
