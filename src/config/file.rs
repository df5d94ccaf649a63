//! The file's layer: every value with its place in the text, and every key that means nothing refused.
use super::problem::{Excerpt, Place, Problem, Show};
use super::setting::Shape;
use super::table::{ALL, SECTIONS};
use super::value::{ALIKE, Bad, likeness, nearest};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeArray, DeTable, DeValue};
use toml::{Spanned, Value};

/// A larger file is not a configuration.
pub(super) const MOST_FILE_BYTES: u64 = 1024 * 1024;
/// What may be overridden of a provider, in the file and in the environment.
pub(super) const OVERRIDES: [&str; 4] = ["auth_origin", "base", "origin", "token_url"];
/// What a route consists of.
pub(super) const ROUTE_KEYS: [&str; 4] = ["prefix", "provider", "header", "unless"];

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

/// What the file says.
#[derive(Clone, Default)]
pub(super) struct FileLayer {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Settings and overrides of providers, by their whole key.
    pub(super) leaves: BTreeMap<String, Leaf>,
    /// `[[route]]`, in the order of the file.
    pub(super) routes: Vec<RouteTable>,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub(super) struct RouteTable {
    pub(super) span: Range<usize>,
    pub(super) fields: BTreeMap<String, Leaf>,
}

/// Reads a file of text that has a limit. No file is none.
pub(super) fn read_text(path: &Path) -> Result<Option<String>, Bad> {
    let why = |error: std::io::Error| {
        Bad::new(format!("it cannot be read: {error}"), "check that it is a file and that you may read it")
    };
    match std::fs::metadata(path) {
        Ok(found) if found.len() > MOST_FILE_BYTES => Err(Bad::new(
            format!("it has {} bytes", found.len()),
            format!("allowed: at most {MOST_FILE_BYTES} bytes"),
        )),
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(why),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(why(error)),
    }
}

impl FileLayer {
    /// Takes `text` apart. What is wrong with it goes to `problems`; the rest holds.
    pub(super) fn parse(path: &Path, text: String, problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self { path: path.to_owned(), text, ..Self::default() };
        let text = std::mem::take(&mut layer.text);
        match DeTable::parse(&text) {
            Ok(table) => {
                let mut walk = Walk { layer: &mut layer, text: &text, problems };
                walk.table(table.get_ref(), "");
            }
            Err(error) => problems.push(syntax(path, &text, &error)),
        }
        layer.text = text;
        layer
    }

    /// The place of `span`, with as much text as may be shown.
    pub(super) fn place(&self, span: &Range<usize>, show: Show) -> Place {
        Place::Line(Excerpt::new(&self.path, &self.text, span, show))
    }
}

/// A text that is no TOML. The line is shown only where the file cannot hold a key: it may lack its quotes.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let show =
        if lines.any(|line| line.to_ascii_lowercase().contains("key")) { Show::Nothing } else { Show::Line };
    let span = error.span().unwrap_or(0..0);
    let bad = Bad::new(error.message().replace('\n', "; "), "");
    Problem::error(&file_name(path), bad, Place::Line(Excerpt::new(path, text, &span, show)))
}

/// The last part of a path, for the head of a message.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

struct Walk<'a> {
    layer: &'a mut FileLayer,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table.iter() {
            let path = match prefix {
                "" => key.get_ref().to_string(),
                _ => format!("{prefix}.{}", key.get_ref()),
            };
            match kind(prefix, key.get_ref(), &path) {
                Kind::Provider | Kind::Section => match value.get_ref().as_table() {
                    Some(inner) => self.table(inner, &path),
                    None => self.wrong(&path, &value.span(), not_a_table(&path)),
                },
                Kind::Routes => match value.get_ref().as_array() {
                    Some(routes) => self.routes(routes),
                    None => self.wrong(
                        &path,
                        &value.span(),
                        Bad::new("this is not a list of routes", "write it as [[route]]"),
                    ),
                },
                Kind::Value => {
                    let leaf = leaf(value);
                    self.layer.leaves.insert(path, leaf);
                }
                Kind::Unknown => self.wrong(&path, &key.span(), unknown(prefix, &path)),
            }
        }
    }

    fn routes(&mut self, routes: &DeArray<'_>) {
        for route in routes.iter() {
            let Some(table) = route.get_ref().as_table() else {
                let bad = Bad::new("this is not a route", "write it as [[route]]");
                self.wrong("route", &route.span(), bad);
                continue;
            };
            let mut fields = BTreeMap::new();
            for (key, value) in table.iter() {
                if ROUTE_KEYS.contains(&key.get_ref().as_ref()) {
                    fields.insert(key.get_ref().to_string(), leaf(value));
                } else {
                    let near = nearest(key.get_ref(), ROUTE_KEYS);
                    let bad =
                        Bad::new("a route has no such key", format!("allowed: {}", ROUTE_KEYS.join(", ")));
                    let path = format!("route.{}", key.get_ref());
                    self.wrong(&path, &key.span(), bad.near(near));
                }
            }
            let span = route.span();
            self.layer.routes.push(RouteTable { span, fields });
        }
    }

    fn wrong(&mut self, path: &str, span: &Range<usize>, bad: Bad) {
        let excerpt = Excerpt::new(&self.layer.path, self.text, span, Show::Spot);
        self.problems.push(Problem::error(path, bad, Place::Line(excerpt)));
    }
}

enum Kind {
    Provider,
    Routes,
    Section,
    Unknown,
    Value,
}

fn kind(prefix: &str, key: &str, path: &str) -> Kind {
    match prefix {
        "" if key == "route" => Kind::Routes,
        "" if key == "providers" => Kind::Section,
        "providers" => Kind::Provider,
        "" if SECTIONS.iter().any(|(name, _)| *name == key) => Kind::Section,
        _ if prefix.starts_with("providers.") && OVERRIDES.contains(&key) => Kind::Value,
        _ if ALL.iter().any(|setting| setting.about().key == path) => Kind::Value,
        _ => Kind::Unknown,
    }
}

fn leaf(value: &Spanned<DeValue<'_>>) -> Leaf {
    Leaf { value: owned(value.get_ref()), span: value.span() }
}

/// The value without its places. A number that does not fit stays a text, which no reader of numbers takes.
fn owned(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.to_string()), Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::String(number.as_str().to_owned()), Value::Float)
        }
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Array(entries) => Value::Array(entries.iter().map(|entry| owned(entry.get_ref())).collect()),
        DeValue::Table(table) => Value::Table(
            table.iter().map(|(key, value)| (key.get_ref().to_string(), owned(value.get_ref()))).collect(),
        ),
    }
}

fn not_a_table(path: &str) -> Bad {
    Bad::new("this is a section", format!("write it as [{path}]"))
}

fn unknown(prefix: &str, path: &str) -> Bad {
    if prefix.starts_with("providers.") {
        let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
        return Bad::new(
            "a provider has no such key here",
            format!("allowed: {}; anything else goes into a preset of your own", OVERRIDES.join(", ")),
        )
        .near(nearest(name, OVERRIDES));
    }
    let bad = Bad::new("there is no such setting", "");
    match meant(path) {
        Some(near) => Bad { near: Some(near), ..bad },
        None => Bad { allowed: "`rota config explain` lists all settings".to_owned(), ..bad },
    }
}

/// The setting that `path` was probably meant to be, with its section where that is what is missing.
pub(super) fn meant(path: &str) -> Option<String> {
    let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
    let elsewhere = ALL.iter().map(|setting| setting.about());
    if let Some(about) = elsewhere.clone().find(|about| about.name() == name) {
        return Some(match about.section() {
            "" => format!("`{name}` at the top of the file, before any section"),
            section => format!("`{name}` in the section [{section}]"),
        });
    }
    let settings = elsewhere.map(|about| (likeness(name, about.name()), about.key));
    let sections = SECTIONS.iter().map(|(section, _)| *section);
    let others = sections.chain(["providers", "route"]);
    let near = settings
        .chain(others.map(|other| (likeness(path, other), other)))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    near.map(|(_, near)| format!("`{near}`"))
}

/// How much of a setting's value an error may show.
pub(super) fn show(shape: Shape) -> Show {
    match shape {
        Shape::Secrets => Show::Nothing,
        Shape::Flag | Shape::List | Shape::Number | Shape::Text => Show::Spot,
    }
}
