//! What a setting is: its key, its default, its documentation and how its value is read. The settings themselves are
//! in `table.rs`; where their values come from is in `layers.rs`.
use super::value::{Bad, NEVER};
use toml::Value;

/// How a setting is written, so that the text of an environment variable can be read as the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `true` or `false`.
    Flag,
    /// A list of texts; in the environment, separated by commas.
    List,
    /// A whole number.
    Number,
    /// A list of secrets: as `List`, never shown, and also read from the file that `<VARIABLE>_FILE` names.
    Secrets,
    /// A text, also where it says a time or a size.
    Text,
}

/// All that is known of a setting but its type.
#[derive(Debug)]
pub(super) struct About {
    /// Its name in the file, with its section: `timeouts.connect`.
    pub(super) key: &'static str,
    /// How it is written.
    pub(super) shape: Shape,
    /// Its default, as TOML.
    pub(super) default: &'static str,
    /// What it does, for the reference.
    pub(super) doc: &'static str,
}

impl About {
    /// Its section; empty at the top of the file.
    pub(super) fn section(&self) -> &'static str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its name in its section.
    pub(super) fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Its environment variable: `ROTA_TIMEOUTS__CONNECT`.
    pub(super) fn variable(&self) -> String {
        format!("ROTA_{}", self.key.replace('.', "__").to_ascii_uppercase())
    }

    /// Its default as a value.
    pub(super) fn default_value(&self) -> Value {
        toml::from_str::<toml::Table>(&format!("value = {}", self.default))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(self.default.to_owned()))
    }
}

/// A setting whose value is a `T`.
pub(super) struct Setting<T> {
    /// What it is.
    pub(super) about: About,
    /// Reads it.
    pub(super) read: fn(&Value) -> Result<T, Bad>,
}

/// A setting, whatever its type: what the table of all settings holds.
pub(super) trait Described: Sync {
    /// What it is.
    fn about(&self) -> &About;
    /// Whether `value` can be read.
    fn check(&self, value: &Value) -> Result<(), Bad>;

    /// What its reader says to a value that cannot be one: so words and schema cannot drift from what it takes.
    fn refusal(&self) -> Option<Bad> {
        let never = match self.about().shape {
            Shape::Number => Value::Integer(-1),
            Shape::Flag | Shape::List | Shape::Secrets | Shape::Text => Value::String(NEVER.to_owned()),
        };
        self.check(&never).err()
    }
}

impl<T> Described for Setting<T> {
    fn about(&self) -> &About {
        &self.about
    }

    fn check(&self, value: &Value) -> Result<(), Bad> {
        (self.read)(value).map(drop)
    }
}
