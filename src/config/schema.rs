//! JSON Schema of `rota.toml` and of presets, for editors: made of the table of settings and of the types that presets
//! are read into. What one value may be is all in it; what only several together can tell is the loader's to say.
use super::file::{OVERRIDES, ROUTE_KEYS};
use super::setting::Described;
use super::table::{ALL, SECTIONS};
use super::{presets, reference};
use serde_json::{Map, Value, json};

/// What editors of TOML read (Even Better TOML, taplo).
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
/// Keys that every route has.
const ROUTE_NEEDS: [&str; 2] = ["prefix", "provider"];

/// Of `rota.toml`.
pub fn config_schema() -> Value {
    let mut properties = section("");
    for (name, about) in SECTIONS.iter().filter(|(name, _)| !name.is_empty()) {
        properties.insert((*name).to_owned(), closed(about, section(name)));
    }
    let texts =
        |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), json!({"type": "string"}))).collect();
    properties.insert(
        "providers".to_owned(),
        json!({
            "description": "A provider's address can be changed, for a gateway or a test.",
            "type": "object",
            "additionalProperties": closed("One provider, by its id.", texts(&OVERRIDES)),
        }),
    );
    let mut route = closed("A path without a provider's prefix, given to a provider.", texts(&ROUTE_KEYS));
    route["required"] = json!(ROUTE_NEEDS);
    properties.insert("route".to_owned(), json!({"type": "array", "items": route}));
    let mut schema = closed(reference::HEAD, properties);
    schema["$schema"] = DRAFT.into();
    schema["title"] = "rota.toml".into();
    schema
}

/// Of a preset: an embedded one, or a user's own.
pub fn preset_schema() -> Value {
    let mut schema = presets::schema();
    without_null(&mut schema);
    schema["$schema"] = DRAFT.into();
    schema["title"] = "A preset of rota's".into();
    schema
}

/// The settings of one section.
fn section(name: &str) -> Map<String, Value> {
    let settings = ALL.iter().filter(|setting| setting.about().section() == name);
    settings.map(|setting| (setting.about().name().to_owned(), described(*setting))).collect()
}

fn described(setting: &dyn Described) -> Value {
    let about = setting.about();
    let mut schema = setting.refusal().map(|bad| bad.form).unwrap_or_default().schema();
    schema["description"] = about.doc.into();
    schema["default"] = serde_json::to_value(about.default_value()).unwrap_or_default();
    schema
}

/// A table with these keys and no others.
fn closed(about: &str, properties: Map<String, Value>) -> Value {
    json!({"description": about, "type": "object", "properties": properties, "additionalProperties": false})
}

/// TOML has no null: a key that may be missing is left out.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(entries) => {
            entries.retain(|entry| !entry.is_null() && *entry != "null" && *entry != json!({"type": "null"}));
            entries.iter_mut().for_each(without_null);
        }
        Value::Object(fields) => {
            fields.retain(|name, value| name != "default" || !value.is_null());
            fields.values_mut().for_each(without_null);
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests;
