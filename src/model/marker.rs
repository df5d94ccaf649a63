//! What ties a body to the account that can read it: which keys of JSON hold such values.
use memchr::memmem::Finder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::sync::Arc;

/// A value of a JSON body that only the account whose reply held it can read or resolve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerField {
    /// The key whose string it is.
    pub key: Arc<str>,
    /// What it begins with; empty for anything.
    pub prefix: Arc<str>,
    /// Shorter ones are none.
    pub least: u32,
    /// What may be done where the owner is lost.
    pub class: MarkerClass,
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
    keys: Arc<[MarkerKey]>,
}

/// One key of [`MarkerFields`]: several fields may have the same.
#[derive(Debug)]
pub struct MarkerKey {
    /// Finds it between its quotes.
    pub quoted: Finder<'static>,
    /// The first field that has it.
    pub field: usize,
}

impl MarkerFields {
    /// Each key once.
    pub fn keys(&self) -> &[MarkerKey] {
        &self.keys
    }
}

impl FromIterator<MarkerField> for MarkerFields {
    fn from_iter<T: IntoIterator<Item = MarkerField>>(fields: T) -> Self {
        let fields: Arc<[MarkerField]> = fields.into_iter().collect();
        let is_first =
            |index: &usize| fields.iter().position(|it| it.key == fields[*index].key) == Some(*index);
        let firsts = (0..fields.len()).filter(is_first);
        let keys = firsts
            .map(|field| {
                let quoted = Finder::new(format!("\"{}\"", fields[field].key).as_bytes()).into_owned();
                MarkerKey { quoted, field }
            })
            .collect();
        Self { fields, keys }
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
