//! Where a value comes from: every layer of one setting, and which is in force.
use super::Loaded;
use super::env::SHORT;
use super::file::meant;
use super::problem::Place;
use super::setting::{About, Described, Shape};
use super::table::ALL;
use serde::Serialize;
use std::fmt;
use toml::Value;

/// All layers of one setting, highest first. Its `Display` is what `rota config explain KEY` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The setting.
    pub key: String,
    /// The value in force, as TOML; of secrets only how many there are.
    pub value: String,
    /// What the setting does.
    pub doc: &'static str,
    /// The layers, highest first.
    pub rows: Vec<Row>,
}

/// One layer's say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `option`, `env`, `file`, `settings` or `default`.
    pub layer: &'static str,
    /// The option, the variable or the file.
    pub place: String,
    /// What it says, as TOML; none is "not set".
    pub value: Option<String>,
    /// Whether this is the one that counts.
    pub in_force: bool,
}

/// There is no such setting. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSetting {
    key: String,
    near: Option<String>,
}

impl fmt::Display for UnknownSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: there is no setting {:?}", self.key)?;
        match &self.near {
            Some(near) => write!(f, "\n  did you mean {near}?"),
            None => f.write_str("\n  `rota config explain` lists all settings"),
        }
    }
}

impl std::error::Error for UnknownSetting {}

impl Loaded {
    /// Explains one setting, by its key or by its name alone where only one setting has it.
    pub fn explain(&self, key: &str) -> Result<Explanation, UnknownSetting> {
        let whole = ALL.iter().find(|setting| setting.about().key == key);
        let mut named = ALL.iter().filter(|setting| setting.about().name() == key);
        let found = whole.or_else(|| named.next().filter(|_| named.next().is_none()));
        match found {
            Some(setting) => Ok(self.explanation(*setting)),
            None => Err(UnknownSetting { key: key.to_owned(), near: meant(key) }),
        }
    }

    /// Explains every setting, in the order of the file.
    pub fn explain_all(&self) -> Vec<Explanation> {
        ALL.iter().map(|setting| self.explanation(*setting)).collect()
    }

    fn explanation(&self, setting: &dyn Described) -> Explanation {
        let about = setting.about();
        let key = about.key;
        let layers = &self.layers;
        let env = layers.env.get(key);
        let (layer, place) = match env.map(|found| &found.place) {
            Some(Place::Option(name)) => ("option", name.clone()),
            Some(Place::Variable(name)) => ("env", name.clone()),
            Some(Place::File(_) | Place::Line(_) | Place::Nowhere | Place::Saved) | None => {
                ("env", variable(about))
            }
        };
        let file = layers.file.leaves.get(key).map(|leaf| &leaf.value);
        let default = about.default_value();
        let says = [
            (layer, place, env.map(|found| &found.value)),
            ("file", layers.file.path.display().to_string(), file),
            ("settings", "(in the store)".to_owned(), layers.saved.get(key)),
            ("default", String::new(), Some(&default)),
        ];
        let first = says.iter().position(|(_, _, value)| value.is_some());
        let rows = says.into_iter().enumerate().map(|(at, (layer, place, value))| Row {
            layer,
            place,
            value: value.map(|value| shown(about.shape, value)),
            in_force: Some(at) == first,
        });
        let rows: Vec<Row> = rows.collect();
        let in_force = rows.iter().find(|row| row.in_force);
        Explanation {
            key: key.to_owned(),
            value: in_force.and_then(|row| row.value.clone()).unwrap_or_default(),
            doc: about.doc,
            rows,
        }
    }
}

fn variable(about: &About) -> String {
    let short = SHORT.iter().find(|(_, key)| *key == about.key);
    short.map_or_else(|| about.variable(), |(name, _)| (*name).to_owned())
}

fn shown(shape: Shape, value: &Value) -> String {
    match (shape, value) {
        (Shape::Secrets, Value::Array(keys)) if keys.is_empty() => "[]".to_owned(),
        (Shape::Secrets, Value::Array(keys)) => format!("[REDACTED] ({})", keys.len()),
        (Shape::Secrets, _) => "[REDACTED]".to_owned(),
        (Shape::Flag | Shape::List | Shape::Number | Shape::Text, value) => value.to_string(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)?;
        let places = self.rows.iter().map(|row| row.place.chars().count());
        let wide = places.max().unwrap_or(0);
        for row in &self.rows {
            let value = row.value.as_deref().unwrap_or("not set");
            let mark = if row.in_force { "   ← in force" } else { "" };
            write!(f, "\n  {:8}  {:wide$}  {value}{mark}", row.layer, row.place)?;
        }
        Ok(())
    }
}
