//! The layer of the environment and of the command line above it: every `ROTA_*` variable means something, or is
//! refused.
use super::file::{OVERRIDES, read_text};
use super::problem::{Place, Problem};
use super::setting::{About, Shape};
use super::sources::Sources;
use super::table::ALL;
use super::value::{Bad, nearest};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Value;

/// Variables that are no settings, with what they do.
pub(super) const OTHERS: [(&str, &str); 4] = [
    ("ROTA_ALLOW_NON_LOOPBACK", "1: allow `container_bind` outside a container"),
    ("ROTA_AUTH_FILE", "the `auth.json` that `rota import` and `rota doctor` look at (docs/IMPORT.md)"),
    ("ROTA_CONFIG", "the configuration file, which must exist then"),
    (
        "ROTA_RUN_KEY",
        "set by `rota run` for its program where keys are asked for: its key; rota itself reads it nowhere",
    ),
];
/// How every variable of rota begins.
const PREFIX: &str = "ROTA_";
/// Short names of settings, with their keys.
pub(super) const SHORT: [(&str, &str); 2] =
    [("ROTA_LOG", "log.level"), ("ROTA_PROBE_EFFORT", "probe.effort")];
/// A variable of another program that means a setting, with its key; it counts where none of rota's says anything.
pub(super) const BORROWED: (&str, &str) = ("OPENCODE_MULTI_AUTH_PROBE_EFFORT", "probe.effort");

/// A value and the variable or option it came from.
#[derive(Clone, Debug)]
pub(super) struct FromEnv {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// Reads every variable and option. What is wrong goes to `problems`; the rest holds.
pub(super) fn read(sources: &Sources, problems: &mut Vec<Problem>) -> BTreeMap<String, FromEnv> {
    let mut layer = BTreeMap::new();
    for name in sources.env.keys().filter(|name| name.starts_with(PREFIX)) {
        let Some(text) = sources.variable(name) else {
            continue;
        };
        if OTHERS.iter().any(|(other, _)| other == name) {
            continue;
        }
        let found = match meaning(name) {
            Some((key, read)) => read.value(text).map(|value| (key, value)),
            None => Err(unknown(name)),
        };
        let (key, value) = match found {
            Ok(found) => found,
            Err(bad) => {
                problems.push(Problem::error(name, bad, Place::Nowhere));
                continue;
            }
        };
        let place = Place::Variable(name.clone());
        let before = layer.insert(key, FromEnv { value, place });
        if let Some(Place::Variable(other)) = before.map(|before| before.place) {
            let bad = Bad::new(format!("{other} says the same thing"), "set one of the two");
            problems.push(Problem::error(name, bad, Place::Nowhere));
        }
    }
    borrowed(sources, &mut layer);
    layer.extend(sources.flags.iter().map(|(key, text)| option(key, text)));
    layer
}

fn borrowed(sources: &Sources, layer: &mut BTreeMap<String, FromEnv>) {
    let (name, key) = BORROWED;
    if let (Some(text), false) = (sources.variable(name), layer.contains_key(key)) {
        let place = Place::Variable(name.to_owned());
        layer.insert(key.to_owned(), FromEnv { value: Value::String(text.to_owned()), place });
    }
}

fn option(key: &str, text: &str) -> (String, FromEnv) {
    let value = Value::String(text.to_owned());
    let place = Place::Option(format!("--{}", key.replace('_', "-")));
    (key.to_owned(), FromEnv { value, place })
}

/// How a variable's text becomes a value.
enum Read {
    As(Shape),
    /// The text is a path; the value is in that file, one entry a line.
    File,
}

impl Read {
    fn value(&self, text: &str) -> Result<Value, Bad> {
        match self {
            Self::As(shape) => Ok(value(*shape, text)),
            Self::File => lines(Path::new(text)),
        }
    }
}

fn meaning(name: &str) -> Option<(String, Read)> {
    let setting = |name: &str| {
        let abouts = ALL.iter().map(|setting| setting.about());
        abouts.into_iter().find(|about| about.variable() == name)
    };
    let owned = |about: &About, read| Some((about.key.to_owned(), read));
    if let Some((_, key)) = SHORT.iter().find(|(short, _)| *short == name) {
        return Some(((*key).to_owned(), Read::As(Shape::Text)));
    }
    if let Some(about) = setting(name) {
        return owned(about, Read::As(about.shape));
    }
    let in_file = name.strip_suffix("_FILE").and_then(setting);
    if let Some(about) = in_file.filter(|about| about.shape == Shape::Secrets) {
        return owned(about, Read::File);
    }
    let (id, field) = name.strip_prefix("ROTA_PROVIDERS__")?.rsplit_once("__")?;
    let field = field.to_ascii_lowercase();
    let id = id.to_ascii_lowercase().replace('_', "-");
    OVERRIDES.contains(&field.as_str()).then(|| (format!("providers.{id}.{field}"), Read::As(Shape::Text)))
}

/// The text as a value. What cannot be a number or a flag stays a text, which its reader refuses.
fn value(shape: Shape, text: &str) -> Value {
    let as_text = || Value::String(text.to_owned());
    match shape {
        Shape::Flag => text.parse().map_or_else(|_| as_text(), Value::Boolean),
        Shape::List | Shape::Secrets => Value::Array(entries(text.split(','))),
        Shape::Number => text.parse().map_or_else(|_| as_text(), Value::Integer),
        Shape::Text => as_text(),
    }
}

fn entries<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<Value> {
    parts.map(str::trim).filter(|part| !part.is_empty()).map(|part| Value::String(part.to_owned())).collect()
}

fn lines(path: &Path) -> Result<Value, Bad> {
    let shown = path.display();
    match read_text(path) {
        Ok(Some(text)) => Ok(Value::Array(entries(text.lines()))),
        Ok(None) => Err(Bad::new(format!("there is no file {shown}"), "name a file with one key a line")),
        Err(bad) => Err(Bad { what: format!("{shown}: {}", bad.what), ..bad }),
    }
}

fn unknown(name: &str) -> Bad {
    let abouts = || ALL.iter().map(|setting| setting.about());
    let tail = name.strip_prefix(PREFIX).unwrap_or(name);
    let variables: Vec<String> = abouts().map(About::variable).collect();
    let others = OTHERS.iter().map(|(other, _)| *other).chain(SHORT.map(|(name, _)| name));
    let all = variables.iter().map(String::as_str).chain(others);
    let same_name = abouts().find(|about| about.name().eq_ignore_ascii_case(tail));
    let alike = || nearest(tail, all.filter_map(|name| name.strip_prefix(PREFIX)));
    let near = match same_name {
        Some(about) => Some(about.variable()),
        None => alike().map(|tail| format!("{PREFIX}{tail}")),
    };
    let allowed = match near {
        Some(_) => "",
        None => "unset it, or see docs/CONFIGURATION.md for all variables",
    };
    Bad { near, ..Bad::new("there is no such variable", allowed) }
}
