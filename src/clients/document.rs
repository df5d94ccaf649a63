//! A program's file as a document of values, kept as its owner wrote it: comments, order and blanks stay.
use super::jsonc::Jsonc;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fmt;
use toml_edit::{DocumentMut, Item, Table, TableLike};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, where comments and a last comma are fine.
    Jsonc,
    /// TOML.
    Toml,
}

impl Format {
    /// As Markdown and editors call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonc => "jsonc",
            Self::Toml => "toml",
        }
    }
}

/// A file that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What was met; never the text itself.
    pub what: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

/// Something on the way to a key is a value, not a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotATable {
    pub(super) key: String,
}

/// A parsed file.
#[derive(Clone, Debug)]
pub(super) enum Document {
    Jsonc(Jsonc),
    Toml(Box<DocumentMut>),
}

impl Document {
    /// An empty text is an empty document.
    pub(super) fn parse(format: Format, text: &str) -> Result<Self, Malformed> {
        match format {
            Format::Jsonc => Jsonc::parse(text).map(Self::Jsonc),
            Format::Toml => text.parse().map(|document| Self::Toml(Box::new(document))).map_err(
                |error: toml_edit::TomlError| {
                    let (line, column) = place(text, error.span().map_or(0, |span| span.start));
                    Malformed { line, column, what: error.message().to_owned() }
                },
            ),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Jsonc(document) => document.text().to_owned(),
            Self::Toml(document) => document.to_string(),
        }
    }

    pub(super) fn get(&self, key: &[String]) -> Option<Value> {
        match self {
            Self::Jsonc(document) => document.get(key),
            Self::Toml(document) => value_of(item(document, key)?),
        }
    }

    pub(super) fn set(&mut self, key: &[String], value: &Value) -> Result<(), NotATable> {
        match self {
            Self::Jsonc(document) => document.set(key, value),
            Self::Toml(document) => set(document.as_table_mut(), key, value),
        }
    }

    /// Puts back what `key` names in `old` as it is written there, in place of what it names here.
    pub(super) fn restore(&mut self, key: &[String], old: &Self) {
        match (self, old) {
            (Self::Jsonc(document), Self::Jsonc(old)) => document.restore(key, old),
            (Self::Toml(document), Self::Toml(old)) => {
                if let (Some(now), Some(was)) = (item_mut(document, key), item(old, key)) {
                    *now = was.clone();
                }
            }
            // Both are of the file's format.
            (Self::Jsonc(_), Self::Toml(_)) | (Self::Toml(_), Self::Jsonc(_)) => {}
        }
    }

    pub(super) fn remove(&mut self, key: &[String]) {
        match self {
            Self::Jsonc(document) => document.remove(key),
            Self::Toml(document) => {
                let comments = comments_before(document.as_table(), key);
                remove(document.as_table_mut(), key);
                if !comments.is_empty() {
                    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
                    document.set_trailing(format!("{comments}{trailing}"));
                }
            }
        }
    }

    /// Nothing is in it but blanks.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Jsonc(document) => document.is_empty(),
            Self::Toml(document) => document.to_string().trim().is_empty(),
        }
    }
}

fn item<'a>(document: &'a DocumentMut, key: &[String]) -> Option<&'a Item> {
    key.iter().try_fold(document.as_item(), |at, part| at.as_table_like()?.get(part))
}

fn item_mut<'a>(document: &'a mut DocumentMut, key: &[String]) -> Option<&'a mut Item> {
    key.iter().try_fold(document.as_item_mut(), |at, part| at.as_table_like_mut()?.get_mut(part))
}

/// Line and column of a byte, both from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

fn set(table: &mut dyn TableLike, key: &[String], value: &Value) -> Result<(), NotATable> {
    let Some((first, rest)) = key.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        put(table, first, value);
        return Ok(());
    }
    let item = table.entry(first).or_insert_with(|| {
        let mut between = Table::new();
        between.set_implicit(true);
        Item::Table(between)
    });
    let inner = item.as_table_like_mut().ok_or_else(|| NotATable { key: first.clone() })?;
    set(inner, rest, value)
}

/// Replaces a value and keeps what is written around it; a table keeps what it has besides.
fn put(table: &mut dyn TableLike, key: &str, value: &Value) {
    if let Value::Object(members) = value {
        let inner = table.entry(key).or_insert_with(|| Item::Table(Table::new()));
        if let Some(inner) = inner.as_table_like_mut() {
            members.iter().for_each(|(key, value)| put(inner, key, value));
            return;
        }
    }
    let mut new = item_of(value);
    let Some(old) = table.get_mut(key) else {
        table.insert(key, new);
        return;
    };
    if let (Some(old), Some(new)) = (old.as_value(), new.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    *old = new;
}

/// The comments that stand above what `key` names: they are its owner's, and stay when it goes.
fn comments_before(table: &dyn TableLike, key: &[String]) -> String {
    let Some((first, rest)) = key.split_first() else {
        return String::new();
    };
    let Some((name, item)) = table.get_key_value(first) else {
        return String::new();
    };
    if let (Some(inner), false) = (item.as_table_like(), rest.is_empty()) {
        return comments_before(inner, rest);
    }
    let decor = item.as_table().map_or_else(|| name.leaf_decor(), Table::decor);
    let prefix = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let comments = prefix.lines().filter(|line| line.trim_start().starts_with('#'));
    comments.map(|line| format!("{line}\n")).collect()
}

fn remove(table: &mut dyn TableLike, key: &[String]) {
    match key {
        [] => {}
        [last] => {
            table.remove(last);
        }
        [first, rest @ ..] => {
            if let Some(inner) = table.get_mut(first).and_then(Item::as_table_like_mut) {
                remove(inner, rest);
            }
        }
    }
}

/// The kinds of value that the table of clients knows. TOML has no null.
fn item_of(value: &Value) -> Item {
    match value {
        Value::Array(items) => {
            let values = items.iter().filter_map(|value| item_of(value).into_value().ok());
            toml_edit::value(values.collect::<toml_edit::Array>())
        }
        Value::Bool(flag) => toml_edit::value(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => toml_edit::value(whole),
            None => toml_edit::value(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => toml_edit::value(text.as_str()),
        Value::Object(members) => {
            let mut table = Table::new();
            members.iter().for_each(|(key, value)| put(&mut table, key, value));
            Item::Table(table)
        }
        Value::Null => Item::None,
    }
}

fn value_of(item: &Item) -> Option<Value> {
    if let Some(table) = item.as_table_like() {
        let members = table.iter().filter_map(|(key, item)| Some((key.to_owned(), value_of(item)?)));
        return Some(Value::Object(members.collect::<Map<_, _>>()));
    }
    if let Some(tables) = item.as_array_of_tables() {
        let tables = tables.iter().map(|table| value_of(&Item::Table(table.clone())).unwrap_or_default());
        return Some(tables.collect());
    }
    Some(match item.as_value()? {
        toml_edit::Value::Array(items) => {
            items.iter().filter_map(|value| value_of(&Item::Value(value.clone()))).collect()
        }
        toml_edit::Value::Boolean(flag) => Value::from(*flag.value()),
        toml_edit::Value::Datetime(time) => Value::from(time.value().to_string()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        // Told apart above.
        toml_edit::Value::InlineTable(_) => Value::Null,
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(path: &str) -> Vec<String> {
        path.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_toml_file_keeps_comments_order_and_blanks() {
        let text =
            "# mine\nmodel = \"x\" # the best\nprovider=  'old'  # why\n\n[tools]  # all\nweb = true\n";
        let mut document = Document::parse(Format::Toml, text).expect("TOML");
        document.set(&key("provider"), &json!("new")).expect("a table");
        document.set(&key("providers.rota"), &json!({"name": "rota", "on": true})).expect("a table");
        let expected = "# mine\nmodel = \"x\" # the best\nprovider=  \"new\"  # why\n\n[tools]  # all\nweb = true\n\n\
                        [providers.rota]\nname = \"rota\"\non = true\n";
        assert_eq!(document.text(), expected);
        assert_eq!(document.get(&key("providers.rota.name")), Some(json!("rota")));
        document.remove(&key("providers"));
        document.set(&key("provider"), &json!("old")).expect("a table");
        assert_eq!(document.text(), text.replace("'old'", "\"old\""));
    }

    #[test]
    fn what_is_a_value_is_not_made_a_table() {
        let mut document = Document::parse(Format::Toml, "providers = 3\n").expect("TOML");
        let refused = document.set(&key("providers.rota"), &json!({}));
        assert_eq!(refused, Err(NotATable { key: "providers".to_owned() }));
        assert_eq!(document.text(), "providers = 3\n");
    }

    #[test]
    fn a_mistake_is_told_by_its_place() {
        let error = Document::parse(Format::Toml, "a = 1\nb = = 2\n").expect_err("no TOML");
        assert_eq!((error.line, error.column), (2, 5));
        let error = Document::parse(Format::Jsonc, "{\n  \"a\": 1\n  \"b\": 2\n}").expect_err("no JSON");
        assert_eq!((error.line, error.column), (3, 3));
    }
}
