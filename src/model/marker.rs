//! What ties a body to the account that can read it: which keys of JSON hold such values.
use memchr::arch::all::packedpair::Pair;
use memchr::memmem::Finder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::sync::Arc;

/// A value of a JSON body that only the account whose reply held it can read or resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerField {
    /// The key whose string it is, of at most [`LONGEST_KEY`](Self::LONGEST_KEY) bytes.
    pub key: Arc<str>,
    /// What it begins with; empty for anything.
    pub prefix: Arc<str>,
    /// Shorter ones are none.
    pub least: u32,
    /// What may be done where the owner is lost.
    pub class: MarkerClass,
}

impl MarkerField {
    /// Bytes of a key: as many are kept where a body comes in pieces.
    pub const LONGEST_KEY: usize = 46;
}

/// See [`MarkerField::class`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MarkerClass {
    /// Another account drops it and answers all the same.
    Soft,
    /// It may be left out of the request: reasoning of the model's that only saved it thinking again.
    Reasoning,
    /// Nobody else can answer, but the provider has an error of its own that makes the client begin anew.
    Chain,
    /// Nobody else can answer.
    State,
}

/// The fields of one provider, and how their keys are found in a text. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct MarkerFields {
    fields: Arc<[MarkerField]>,
    endings: Arc<[MarkerEnding]>,
    pairs: Arc<[RarePair]>,
}

/// Keys of [`MarkerFields`] that end alike: a text is searched once for all of them.
#[derive(Debug)]
pub struct MarkerEnding {
    /// Finds how they end, with the closing quote.
    pub finder: Finder<'static>,
    /// Each of them once.
    pub keys: Vec<MarkerKey>,
}

/// Two bytes of a text that is sought, those that are rarest in other texts: where they are not, it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RarePair {
    /// Where in it the first one stands.
    pub at: usize,
    /// How far behind that the second one stands.
    pub apart: usize,
    /// The bytes.
    pub bytes: [u8; 2],
}

/// One key of [`MarkerFields`]: several fields may have the same.
#[derive(Debug)]
pub struct MarkerKey {
    /// The key between its quotes.
    pub quoted: String,
    /// The first field that has it.
    pub field: usize,
}

/// Keys that share fewer bytes at their end, the quote among them, are searched for apart: a shorter end is found too
/// often where it means nothing.
const ALIKE: usize = 3;

impl MarkerFields {
    /// All keys, each once, by how they end.
    pub fn endings(&self) -> &[MarkerEnding] {
        &self.endings
    }

    /// Two bytes of each of [`endings`](Self::endings).
    pub fn pairs(&self) -> &[RarePair] {
        &self.pairs
    }
}

impl FromIterator<MarkerField> for MarkerFields {
    fn from_iter<T: IntoIterator<Item = MarkerField>>(fields: T) -> Self {
        let fields: Arc<[MarkerField]> = fields.into_iter().collect();
        let is_first =
            |index: &usize| fields.iter().position(|it| it.key == fields[*index].key) == Some(*index);
        let mut endings: Vec<MarkerEnding> = Vec::new();
        for field in (0..fields.len()).filter(is_first) {
            let key = MarkerKey { quoted: format!("\"{}\"", fields[field].key), field };
            match endings.iter_mut().find(|ending| ending.shares(&key) >= ALIKE) {
                Some(ending) => ending.join(key),
                None => endings.push(MarkerEnding::of(key)),
            }
        }
        let pairs = endings.iter().map(|ending| RarePair::of(ending.finder.needle())).collect();
        Self { fields, endings: endings.into(), pairs }
    }
}

impl MarkerEnding {
    fn of(key: MarkerKey) -> Self {
        Self { finder: Finder::new(key.quoted.as_bytes()).into_owned(), keys: vec![key] }
    }

    /// How many bytes at its end `key` has in common with all of these.
    fn shares(&self, key: &MarkerKey) -> usize {
        let pairs = self.finder.needle().iter().rev().zip(key.quoted.bytes().rev());
        pairs.take_while(|(own, other)| **own == *other).count()
    }

    fn join(&mut self, key: MarkerKey) {
        let alike = &key.quoted.as_bytes()[key.quoted.len() - self.shares(&key)..];
        self.finder = Finder::new(alike).into_owned();
        self.keys.push(key);
    }
}

impl MarkerKey {
    /// Whether `text` ends with it. The quote before it tells most others apart without a look at the rest.
    pub fn ends(&self, text: &[u8]) -> bool {
        let begins = text.len().checked_sub(self.quoted.len());
        begins.is_some_and(|begins| text[begins] == b'"' && text.ends_with(self.quoted.as_bytes()))
    }
}

impl RarePair {
    /// Of `text`, which has two bytes at least.
    fn of(text: &[u8]) -> Self {
        let places = Pair::new(text).map_or((0, 1), |pair| (pair.index1(), pair.index2()));
        let (at, other) = (usize::from(places.0.min(places.1)), usize::from(places.0.max(places.1)));
        Self { at, apart: other - at, bytes: [text[at], text[other]] }
    }
}

impl Deref for MarkerFields {
    type Target = [MarkerField];

    fn deref(&self) -> &[MarkerField] {
        &self.fields
    }
}

impl PartialEq for MarkerFields {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for MarkerFields {}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEL-4
    #[test]
    fn keys_that_end_alike_are_searched_for_together_and_each_once() {
        let keys = ["sealed", "id", "previous_id", "id", "d", "name", "my_name"];
        let fields: MarkerFields = keys.into_iter().map(field).collect();
        let of = |ending: &MarkerEnding| {
            let keys = ending.keys.iter().map(|key| (key.quoted.clone(), key.field));
            (String::from_utf8_lossy(ending.finder.needle()).into_owned(), keys.collect::<Vec<_>>())
        };
        let expected: [(&str, Vec<(&str, usize)>); 4] = [
            ("\"sealed\"", vec![("\"sealed\"", 0)]),
            ("id\"", vec![("\"id\"", 1), ("\"previous_id\"", 2)]),
            ("\"d\"", vec![("\"d\"", 4)]),
            ("name\"", vec![("\"name\"", 5), ("\"my_name\"", 6)]),
        ];
        let expected = expected.map(|(end, keys)| {
            (end.to_owned(), keys.into_iter().map(|(key, field)| (key.to_owned(), field)).collect::<Vec<_>>())
        });
        assert_eq!(fields.endings().iter().map(of).collect::<Vec<_>>(), expected);
    }

    fn field(key: &str) -> MarkerField {
        MarkerField { key: key.into(), prefix: "".into(), least: 1, class: MarkerClass::State }
    }
}
