//! Providers are data: the embedded presets, the user's own files over them, and the parser of both. The list of
//! embedded files is the only place in this crate that names a provider.
mod address;
mod conversation;
mod error;
mod layer;
mod leaf;
mod login;
mod param;
mod rule;
mod table;
mod token;
mod usage;

#[cfg(test)]
mod reply_tests;
#[cfg(test)]
mod sign_in_tests;
#[cfg(test)]
mod tests;

pub use error::PresetError;

use crate::model::{Provider, ProviderId};
use layer::{Common, Layer, RawFile};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::collections::BTreeMap;

/// A file may extend one that extends another, this deep: templates need two, people rarely three.
const DEEPEST: usize = 8;

/// The embedded presets, as (id, text).
const PRESETS: &[(&str, &str)] = &[
    ("anthropic", include_str!("../../config/providers/anthropic.toml")),
    ("codex", include_str!("../../config/providers/codex.toml")),
    ("gemini", include_str!("../../config/providers/gemini.toml")),
    ("openai", include_str!("../../config/providers/openai.toml")),
    ("openrouter", include_str!("../../config/providers/openrouter.toml")),
];

/// What a preset may extend besides another preset, as (name, text): no providers, as they have no origin.
const TEMPLATES: &[(&str, &str)] = &[
    ("anthropic-compatible", include_str!("../../config/providers/templates/anthropic-compatible.toml")),
    ("bearer", include_str!("../../config/providers/templates/bearer.toml")),
    ("oauth2", include_str!("../../config/providers/templates/oauth2.toml")),
    ("openai-compatible", include_str!("../../config/providers/templates/openai-compatible.toml")),
];

const COMMON: &str = include_str!("../../config/providers/_common.toml");

/// The embedded presets, as (id, text).
pub fn embedded() -> &'static [(&'static str, &'static str)] {
    PRESETS
}

/// The embedded templates, as (name, text): what a user's preset may extend.
pub fn templates() -> &'static [(&'static str, &'static str)] {
    TEMPLATES
}

/// JSON Schema of a preset, of the types that one is read into.
pub(super) fn schema() -> Value {
    let settings = SchemaSettings::draft07().for_deserialize();
    settings.into_generator().into_root_schema_for::<RawFile>().into()
}

/// The provider that `text` describes; `file` is how errors name it. It may extend an embedded preset or a template.
///
/// # Errors
/// The text is no preset: the error names the line, the value and what is allowed.
pub fn parse(file: &str, text: &str) -> Result<Provider, PresetError> {
    let common = common()?;
    provider(Layer::read(file, text)?, &BTreeMap::new(), &common)
}

/// Variables in which programs whose files rota imports keep a secret.
pub(super) const FOREIGN_SECRETS: [&str; 1] = ["CODEX_SOFT_STORE_PASSPHRASE"];

/// Every provider, by id: the embedded ones and the user's files, as (file name, text). A file with the id of an
/// embedded preset replaces it; to change only some of it, the file extends that id.
///
/// # Errors
/// A file is no preset, two files have one id, or two providers claim one bare path.
pub fn load(files: &[(String, String)]) -> Result<Vec<Provider>, PresetError> {
    let common = common()?;
    let mut own: BTreeMap<ProviderId, &(String, String)> = BTreeMap::new();
    let mut providers = BTreeMap::new();
    for entry @ (file, text) in files {
        let Some(id) = Layer::read(file, text)?.id else {
            let message = "id is missing; for example id = \"example\"";
            return Err(PresetError::new(file, None, message));
        };
        if let Some((other, _)) = own.insert(id.clone(), entry) {
            let message = format!("the id \"{id}\" is that of {other} already");
            return Err(PresetError::new(file, None, message));
        }
    }
    for (id, text) in PRESETS {
        if !own.keys().any(|own| own.as_str() == *id) {
            let provider = provider(Layer::read(&file_of(id), text)?, &own, &common)?;
            providers.insert(provider.id.clone(), (file_of(id), provider));
        }
    }
    for (id, (file, text)) in &own {
        let provider = provider(Layer::read(file, text)?, &own, &common)?;
        providers.insert(id.clone(), (file.clone(), provider));
    }
    check_routes(&providers)?;
    Ok(providers.into_values().map(|(_, provider)| provider).collect())
}

fn common() -> Result<Common, PresetError> {
    Common::read(&file_of("_common"), COMMON)
}

fn file_of(name: &str) -> String {
    format!("{name}.toml (embedded)")
}

/// `layer` over all that it extends.
fn provider(
    mut layer: Layer,
    own: &BTreeMap<ProviderId, &(String, String)>,
    common: &Common,
) -> Result<Provider, PresetError> {
    let mut from = layer.id.as_ref().map(|id| id.as_str().to_owned());
    for _ in 0..DEEPEST {
        let Some((name, place)) = layer.extends.take() else {
            return layer.finish(common);
        };
        // A file that extends its own id means the embedded preset beneath it.
        let theirs = own.iter().find(|(id, _)| id.as_str() == name && from.as_ref() != Some(&name));
        let embedded = || PRESETS.iter().chain(TEMPLATES).find(|(id, _)| *id == name);
        let base = match (theirs, embedded()) {
            (Some((_, (file, text))), _) => Layer::read(file, text)?,
            (None, Some((id, text))) => Layer::read(&file_of(id), text)?,
            (None, None) => {
                let names: Vec<_> = PRESETS.iter().chain(TEMPLATES).map(|(id, _)| *id).collect();
                let message = format!("{name:?} is nothing to extend; there are {}", names.join(", "));
                return Err(PresetError::new(&layer.file, Some(place), message));
            }
        };
        from = base.id.as_ref().map(|id| id.as_str().to_owned());
        layer = layer.over(base);
    }
    let message = format!("extends goes round in a circle, or deeper than {DEEPEST} files");
    Err(PresetError::new(&layer.file, None, message))
}

/// A bare path means one provider under one condition, and a condition names a provider that there is.
fn check_routes(providers: &BTreeMap<ProviderId, (String, Provider)>) -> Result<(), PresetError> {
    let mut taken = Vec::new();
    for (file, provider) in providers.values() {
        for route in &provider.routes {
            if let Some(other) = route.unless.as_ref().filter(|id| !providers.contains_key(id)) {
                let message = format!("route {:?}: there is no provider \"{other}\"", route.prefix);
                return Err(PresetError::new(file, None, message));
            }
            if let Some((id, _)) = taken.iter().find(|(_, other)| *other == route) {
                let message = format!("the bare path {:?} belongs to \"{id}\" already", route.prefix);
                return Err(PresetError::new(file, None, message));
            }
            taken.push((&provider.id, route));
        }
    }
    Ok(())
}
