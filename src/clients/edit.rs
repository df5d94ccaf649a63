//! What is set in a program's file, and how it is taken back: only what rota has set, also where the file was edited since.
use super::BASE;
use super::document::{Document, Format, Malformed, NotATable};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;

/// A program's own file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// How it is written.
    pub format: Format,
    places: Vec<String>,
    set: Vec<Setting>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    key: Vec<String>,
    value: Value,
}

/// Why a file cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditError {
    /// It is not what its format says.
    Malformed(Malformed),
    /// Something in it is of another kind than the program's documentation says.
    NotATable {
        /// The key that holds a value where a table is needed.
        key: String,
    },
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NotATable { key } => write!(f, "`{key}` holds a value where a table is expected"),
        }
    }
}

impl From<Malformed> for EditError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<NotATable> for EditError {
    fn from(NotATable { key }: NotATable) -> Self {
        Self::NotATable { key }
    }
}

/// A file without what rota set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The file; none where nothing is left that was not rota's, and there was no file before.
    pub text: Option<String>,
    /// Keys that rota set and somebody has changed since: they are left alone.
    pub kept: Vec<String>,
}

impl ConfigFile {
    /// Where it may be, by `variable`, which gives the value of a variable that is set and not empty: the places of the
    /// first variable that is set, the likeliest first. The last is where it is made if none exists. Empty where no
    /// variable is set.
    pub fn places<'a>(&self, variable: impl Fn(&str) -> Option<&'a str>) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut chosen = None;
        for place in &self.places {
            let (name, below) =
                place.strip_prefix('$').and_then(|it| it.split_once('/')).unwrap_or((place, ""));
            let name = name.trim_start_matches('$');
            let Some(value) = variable(name).filter(|_| chosen.is_none_or(|chosen| chosen == name)) else {
                continue;
            };
            chosen = Some(name);
            let path = PathBuf::from(value);
            found.push(if below.is_empty() { path } else { path.join(below) });
        }
        found
    }

    /// `text` with rota at `base`.
    ///
    /// # Errors
    /// `text` is not of the format, or a value stands where a table is needed. Nothing is changed then.
    pub fn connected(&self, text: &str, base: &str) -> Result<String, EditError> {
        let mut document = Document::parse(self.format, text)?;
        for (key, value) in self.set_at(base) {
            document.set(&key, &value)?;
        }
        Ok(document.text())
    }

    /// `text` without what rota set, by what was there `before`, if there was a file. One that nobody has edited since
    /// becomes what it was, byte for byte.
    ///
    /// # Errors
    /// `text` or `before` is not of the format.
    pub fn undone(&self, text: &str, before: Option<&str>, base: &str) -> Result<Undone, EditError> {
        if let Some(before) = before
            && self.connected(before, base)? == text
        {
            return Ok(Undone { text: Some(before.to_owned()), kept: Vec::new() });
        }
        let mut document = Document::parse(self.format, text)?;
        let old = Document::parse(self.format, before.unwrap_or_default())?;
        let mut kept = Vec::new();
        for Setting { key, value } in &self.set {
            let Some(now) = document.get(key) else {
                continue;
            };
            if !is_ours(value, &now) {
                if old.get(key).as_ref() != Some(&now) {
                    kept.push(key.join("."));
                }
                continue;
            }
            take_back(&mut document, &old, key, value);
        }
        let gone = before.is_none() && document.is_empty();
        Ok(Undone { text: (!gone).then(|| document.text()), kept })
    }

    /// True where anything in `text` is what rota sets, at whatever port.
    ///
    /// # Errors
    /// `text` is not of the format.
    pub fn is_connected(&self, text: &str) -> Result<bool, EditError> {
        let document = Document::parse(self.format, text)?;
        let ours =
            |Setting { key, value }: &Setting| document.get(key).is_some_and(|now| is_ours(value, &now));
        Ok(self.set.iter().any(ours))
    }

    /// True where everything in `text` is what rota sets at `base`.
    ///
    /// # Errors
    /// `text` is not of the format.
    pub fn points_at(&self, text: &str, base: &str) -> Result<bool, EditError> {
        let document = Document::parse(self.format, text)?;
        let holds =
            |(key, value): &(Vec<String>, Value)| document.get(key).is_some_and(|now| holds_all(value, &now));
        Ok(self.set_at(base).iter().all(holds))
    }

    pub(super) fn set_at(&self, base: &str) -> Vec<(Vec<String>, Value)> {
        self.set.iter().map(|Setting { key, value }| (key.clone(), filled(value, base))).collect()
    }

    /// Every value by itself, its key with dots, as TOML.
    pub(super) fn leaves(&self, base: &str) -> Vec<(String, String)> {
        let mut leaves = Vec::new();
        for (key, value) in self.set_at(base) {
            spread(&key.join("."), &value, &mut leaves);
        }
        leaves
    }
}

/// What `value` has set at `key` becomes what it was, each member by itself where a table was there before: what else is in
/// it is not rota's.
fn take_back(document: &mut Document, old: &Document, key: &[String], value: &Value) {
    match (value, old.get(key)) {
        (Value::Object(members), Some(Value::Object(_))) => {
            for (name, value) in members {
                take_back(document, old, &[key, std::slice::from_ref(name)].concat(), value);
            }
        }
        (_, Some(_)) => document.restore(key, old),
        (_, None) => {
            document.remove(key);
            prune(document, old, key);
        }
    }
}

/// Tables on the way to `key` that are empty now and were not there before.
fn prune(document: &mut Document, old: &Document, key: &[String]) {
    for end in (1..key.len()).rev() {
        let Some(way) = key.get(..end) else {
            return;
        };
        let empty = document.get(way).is_some_and(|it| it.as_object().is_some_and(serde_json::Map::is_empty));
        if !empty || old.get(way).is_some() {
            return;
        }
        document.remove(way);
    }
}

fn filled(value: &Value, base: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(BASE, base)),
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), filled(value, base))).collect()
        }
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) => value.clone(),
    }
}

/// True where `now` is what rota sets for `value`, at any address of this machine. A table may have more.
fn is_ours(value: &Value, now: &Value) -> bool {
    match (value, now) {
        (Value::Object(members), Value::Object(now)) => {
            members.iter().all(|(key, value)| now.get(key).is_some_and(|now| is_ours(value, now)))
        }
        (Value::String(text), Value::String(now)) => match text.split_once(BASE) {
            Some((before, after)) => {
                let address = now.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                address.is_some_and(is_loopback)
            }
            None => text == now,
        },
        (value, now) => value == now,
    }
}

fn is_loopback(address: &str) -> bool {
    let rest = address.strip_prefix("http://").unwrap_or_default();
    ["127.0.0.1:", "[::1]:", "localhost:"].iter().any(|host| {
        let port = rest.strip_prefix(host);
        port.is_some_and(|port| port.parse::<u16>().is_ok())
    })
}

fn holds_all(value: &Value, now: &Value) -> bool {
    match (value, now) {
        (Value::Object(members), Value::Object(now)) => {
            members.iter().all(|(key, value)| now.get(key).is_some_and(|now| holds_all(value, now)))
        }
        (value, now) => value == now,
    }
}

fn spread(key: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| spread(&format!("{key}.{name}"), value, leaves));
        }
        // TOML's basic strings are JSON's, for what the table holds.
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {
            leaves.push((key.to_owned(), value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients;
    use super::*;
    use proptest::prelude::*;

    const AT: &str = "http://127.0.0.1:7682";
    const ELSEWHERE: &str = "http://127.0.0.1:9";

    fn files() -> Vec<(String, ConfigFile)> {
        let all = clients().expect("the table");
        all.into_iter().filter_map(|client| Some((client.id, client.config?))).collect()
    }

    /// Files as their owners may have them, by format.
    fn samples(format: Format) -> Vec<&'static str> {
        match format {
            Format::Toml => vec![
                "",
                "# mine\nmodel = \"m\"\n",
                "model_provider = 'corp' # work\n\n[model_providers.corp]\nname = \"corp\"\n",
                "[projects.\"/home/x\"]\ntrust_level = \"trusted\"\n\n[tools] # all\nweb = true",
            ],
            Format::Jsonc => vec![
                "{}\n",
                "// mine\n{\n  \"model\": \"m\", // the best\n}\n",
                "{\"env\":{\"FOO\":\"1\",\"ANTHROPIC_AUTH_TOKEN\":\"x\"},\"provider\":{\"openai\":{\"options\":{\"baseURL\":\"https://corp.example\"}}}}",
                "{\n\t\"env\": {},\n\t\"provider\": {\n\t\t\"openai\": {} // here\n\t}\n}\n",
            ],
        }
    }

    #[test]
    fn undo_gives_back_every_byte_of_a_file_that_nobody_edited() {
        for (id, file) in files() {
            for before in samples(file.format) {
                let connected = file.connected(before, AT).expect(before);
                assert!(file.points_at(&connected, AT).expect("well-formed"), "{id}: {connected}");
                assert!(!file.points_at(&connected, ELSEWHERE).expect("well-formed"));
                assert!(file.is_connected(&connected).expect("well-formed"));
                assert!(!file.is_connected(before).expect("well-formed"), "{id}: {before}");
                assert_eq!(file.connected(&connected, AT).expect("again"), connected, "{id}: twice is once");
                let undone = file.undone(&connected, Some(before), AT).expect("well-formed");
                assert_eq!(undone, Undone { text: Some(before.to_owned()), kept: Vec::new() }, "{id}");
            }
        }
    }

    #[test]
    fn a_file_that_rota_made_is_gone_after_undo() {
        for (id, file) in files() {
            let made = file.connected("", AT).expect("an empty file");
            let undone = file.undone(&made, None, AT).expect("well-formed");
            assert_eq!(undone, Undone { text: None, kept: Vec::new() }, "{id}: {made}");
        }
    }

    #[test]
    fn undo_takes_back_only_what_rota_set_where_the_file_was_edited_since() {
        for (id, file) in files() {
            for before in samples(file.format) {
                let connected = file.connected(before, AT).expect(before);
                let (edited, expected) = match file.format {
                    Format::Toml => (format!("# later\n{connected}"), format!("# later\n{before}")),
                    Format::Jsonc => (format!("// later\n{connected}"), format!("// later\n{before}")),
                };
                // It was written for another port since, and it is told so.
                let undone = file.undone(&edited, Some(before), ELSEWHERE).expect("well-formed");
                assert_eq!(undone.kept, [""; 0], "{id}");
                let text = undone.text.expect("a file");
                assert!(text.contains("later"), "{id}");
                let (left, wanted) =
                    (Document::parse(file.format, &text), Document::parse(file.format, &expected));
                let (left, wanted) = (left.expect("well-formed"), wanted.expect("well-formed"));
                assert_eq!(left.get(&[]), wanted.get(&[]), "{id}\n{before}\n{text}");
                for comment in ["# mine", "// mine", "// the best", "# all", "// here", "# work"] {
                    assert_eq!(text.contains(comment), before.contains(comment), "{id}: {comment}\n{text}");
                }
            }
        }
    }

    #[test]
    fn a_table_that_was_there_gets_back_what_rota_set_in_it_as_it_was_written() {
        let toml = files().into_iter().map(|(_, file)| file).find(|file| file.format == Format::Toml);
        let before = "model_provider = ['a', 0x10] # odd\n\n[model_providers.rota] # mine\nname = ''' r '''\n\
                      wire_api = [ 1.50, # one\n  2024-01-01 ]\nenv_key = \"K\"\n";
        let file = toml.expect("one");
        let connected = file.connected(before, AT).expect("well-formed");
        let edited = connected.replace("env_key = \"K\"", "env_key = \"L\"");
        let undone = file.undone(&edited, Some(before), AT).expect("well-formed");
        let expected = before.replace("env_key = \"K\"", "env_key = \"L\"");
        assert_eq!(undone, Undone { text: Some(expected), kept: Vec::new() });
    }

    /// A TOML document of the keys that rota sets, of their neighbours, and of others.
    fn any_toml() -> impl Strategy<Value = String> {
        let value = prop::sample::select(vec![
            "\"rota\"",
            "'x y'",
            "3",
            "0x1F",
            "1.50",
            "true",
            "1979-05-27",
            "[ 1, 'two', [3] ]",
            "{ a = 1, b = [] }",
            "[\n  1, # one\n]",
        ]);
        let line = (prop::sample::select(vec!["name", "wire_api", "env_key", "\"a b\""]), value.clone());
        let lines = prop::collection::btree_map(line.0, line.1, 0..4);
        let root = prop::collection::btree_map(
            prop::sample::select(vec!["model", "model_provider", "z"]),
            value,
            0..3,
        );
        let table = prop::sample::select(vec![
            "tools",
            "model_providers",
            "model_providers.rota",
            "model_providers.corp",
            "projects.\"/x y\"",
        ]);
        let comment = prop::sample::select(vec!["", "# of mine\n", "\n"]);
        let tables = prop::collection::btree_map(table, (comment, lines), 0..4);
        (root, tables).prop_map(|(root, tables)| {
            let line = |(key, value): (&str, &str)| format!("{key} = {value} # {key}\n");
            let mut text: String = root.into_iter().map(line).collect();
            for (name, (comment, lines)) in tables {
                text.push_str(&format!("{comment}[{name}]\n"));
                text.extend(lines.into_iter().map(line));
            }
            text
        })
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec!["1.50", "\"x\"", "[1, /* one */ 2]", "null", "{ \"a\": 1e3 }"]);
        let key = prop::sample::select(vec![
            "env",
            "ANTHROPIC_BASE_URL",
            "ANTHROPIC_AUTH_TOKEN",
            "provider",
            "openai",
            "anthropic",
            "options",
            "baseURL",
            "apiKey",
            "other",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(5, 40, 4, move |inner| {
            prop::collection::btree_map(key.clone(), inner, 0..4).prop_map(|members| {
                let members = members.iter().map(|(key, value)| format!("\n\"{key}\": {value}"));
                format!("{{{}\n}}", members.collect::<Vec<_>>().join(", // c"))
            })
        })
    }

    proptest! {
        /// Whatever a file holds: by bytes where nobody edited it, by values where rota was elsewhere then.
        #[test]
        fn undo_gives_back_any_document(toml in any_toml(), json in any_json()) {
            for (id, file) in files() {
                let before = if file.format == Format::Toml { &toml } else { &json };
                let Ok(connected) = file.connected(before, AT) else {
                    continue;
                };
                let undone = file.undone(&connected, Some(before), AT).expect("well-formed");
                prop_assert_eq!(undone, Undone { text: Some(before.clone()), kept: Vec::new() }, "{}", id);
                let undone = file.undone(&connected, Some(before), ELSEWHERE).expect("well-formed");
                prop_assert_eq!(&undone.kept, &[""; 0], "{}", id);
                let text = undone.text.expect("a file");
                let values = |text| Document::parse(file.format, text).expect(text).get(&[]);
                prop_assert_eq!(values(&text), values(before), "{}\n{}\n{}", id, before, text);
                if file.format == Format::Toml {
                    prop_assert_eq!(&text, before, "{}", id);
                }
            }
        }
    }

    #[test]
    fn what_somebody_changed_since_is_theirs() {
        for (id, file) in files() {
            let connected = file.connected("", AT).expect("an empty file");
            let edited = connected.replace(AT, "https://corp.example");
            let undone = file.undone(&edited, None, AT).expect("well-formed");
            assert_eq!(undone.kept.len(), 1, "{id}: {undone:?}");
            assert!(undone.text.expect("a file").contains("https://corp.example"), "{id}");
        }
    }

    #[test]
    fn a_file_is_where_the_first_variable_that_is_set_says() {
        let file = ConfigFile {
            format: Format::Jsonc,
            places: ["$FILE", "$DIR/a.jsonc", "$DIR/a.json", "$HOME/.a.json"].map(str::to_owned).to_vec(),
            set: Vec::new(),
        };
        let places = |set: &[(&str, &'static str)]| {
            let set = set.to_vec();
            let found =
                file.places(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| *value));
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(places(&[("HOME", "/h")]), ["/h/.a.json"]);
        assert_eq!(places(&[("HOME", "/h"), ("DIR", "/d")]), ["/d/a.jsonc", "/d/a.json"]);
        assert_eq!(places(&[("HOME", "/h"), ("DIR", "/d"), ("FILE", "/f")]), ["/f"]);
        assert_eq!(places(&[]), [""; 0]);
    }
}
