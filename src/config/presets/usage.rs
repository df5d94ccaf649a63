//! How limits can be asked for: `[limits.usage]` and `[limits.probe]` as they are written and as they are meant.
use super::error::Wrong;
use super::leaf::{Headers, Leaf, Path, Text, Wait};
use crate::model::{
    CredentialKind, ModelName, ModelProbe, ResetFormat, UsageEndpoint, UsageMeasure, UsageWindow,
};
use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// An account is asked about at most this often where the preset says nothing.
const LEAST: Duration = Duration::from_secs(600);
/// Bytes of a probe's body, at most.
const LONGEST_BODY: usize = 4096;

/// `[limits]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with usage and probe")]
pub(super) struct RawLimits {
    #[schemars(with = "Option<RawUsage>")]
    usage: Option<Spanned<RawUsage>>,
    #[schemars(with = "Option<RawProbe>")]
    probe: Option<Spanned<RawProbe>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with path, kinds, least, headers and windows")]
struct RawUsage {
    path: Text<Path>,
    kinds: Vec<CredentialKind>,
    least: Option<Text<Wait>>,
    #[serde(default)]
    headers: Headers<HeaderValue>,
    #[schemars(with = "Vec<RawWindow>")]
    window: Vec<Spanned<RawWindow>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a window: a table with window, at, only, seconds, used_percent and resets"
)]
struct RawWindow {
    window: String,
    at: Text<Pointer>,
    #[serde(default)]
    only: BTreeMap<String, String>,
    seconds: Option<String>,
    remaining: Option<String>,
    limit: Option<String>,
    used_percent: Option<String>,
    used_ratio: Option<String>,
    resets: Option<RawReset>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { field = \"reset_at\", format = \"epoch-seconds\" }"
)]
struct RawReset {
    field: String,
    format: ResetFormat,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table with path, kinds, models, body, headers and effort_refused"
)]
struct RawProbe {
    path: Text<Path>,
    kinds: Vec<CredentialKind>,
    models: Vec<ModelName>,
    body: String,
    #[serde(default)]
    headers: Headers<HeaderValue>,
    #[serde(default)]
    effort_refused: Vec<String>,
}

/// The ways to ask, one layer over another.
#[derive(Debug, Default)]
pub(super) struct Inquiries {
    pub(super) usage: Option<UsageEndpoint>,
    pub(super) probe: Option<ModelProbe>,
}

impl Inquiries {
    /// Each of this layer's replaces that of `base`.
    pub(super) fn over(self, base: Self) -> Self {
        Self { usage: self.usage.or(base.usage), probe: self.probe.or(base.probe) }
    }
}

impl RawLimits {
    pub(super) fn meant(self) -> Result<Inquiries, Wrong> {
        Ok(Inquiries {
            usage: self.usage.map(usage_of).transpose()?,
            probe: self.probe.map(probe_of).transpose()?,
        })
    }
}

fn usage_of(raw: Spanned<RawUsage>) -> Result<UsageEndpoint, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let Text(Path(path)) = raw.path;
    some_kinds(&raw.kinds, &span)?;
    if path.is_empty() {
        return Err(Wrong::at(span, "path is empty; it is the usage endpoint's, such as \"/usage\""));
    }
    if !(1..=UsageEndpoint::WINDOWS).contains(&raw.window.len()) {
        let message = format!("a usage endpoint tells of 1 to {} windows", UsageEndpoint::WINDOWS);
        return Err(Wrong::at(span, message));
    }
    Ok(UsageEndpoint {
        path,
        kinds: raw.kinds,
        least: raw.least.map_or(LEAST, |Text(Wait(wait))| wait),
        headers: raw.headers.0,
        windows: raw.window.into_iter().map(window_of).collect::<Result<_, _>>()?,
    })
}

fn window_of(raw: Spanned<RawWindow>) -> Result<UsageWindow, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let field = |name: String| -> Arc<str> { name.into() };
    let measure = match (raw.remaining, raw.limit, raw.used_percent, raw.used_ratio) {
        (Some(remaining), Some(limit), None, None) => {
            UsageMeasure::Remaining { remaining: field(remaining), limit: field(limit) }
        }
        (None, None, Some(used), None) => UsageMeasure::UsedPercent(field(used)),
        (None, None, None, Some(used)) => UsageMeasure::UsedRatio(field(used)),
        (_, _, _, _) => {
            let message = "a window is measured in one way: remaining and limit, used_percent, or used_ratio";
            return Err(Wrong::at(span, message));
        }
    };
    let Text(Pointer(at)) = raw.at;
    Ok(UsageWindow {
        name: field(raw.window),
        at,
        only: raw.only.into_iter().map(|(name, text)| (field(name), field(text))).collect(),
        seconds: raw.seconds.map(field),
        measure,
        resets: raw.resets.map(|resets| (field(resets.field), resets.format)),
    })
}

fn probe_of(raw: Spanned<RawProbe>) -> Result<ModelProbe, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    some_kinds(&raw.kinds, &span)?;
    if !(1..=ModelProbe::MODELS).contains(&raw.models.len()) {
        return Err(Wrong::at(span, format!("a probe asks 1 to {} models", ModelProbe::MODELS)));
    }
    let is_object = serde_json::from_str(&raw.body).is_ok_and(|json: serde_json::Value| json.is_object());
    if !is_object || !raw.body.contains("\"{model}\"") || raw.body.len() > LONGEST_BODY {
        let message = format!(
            "body is a JSON object as a string of at most {LONGEST_BODY} bytes, with \"{{model}}\" where the model stands"
        );
        return Err(Wrong::at(span, message));
    }
    let Text(Path(path)) = raw.path;
    Ok(ModelProbe {
        path,
        kinds: raw.kinds,
        models: raw.models,
        body: raw.body.into(),
        headers: raw.headers.0,
        effort_refused: raw.effort_refused.into_iter().map(|word| word.to_lowercase().into()).collect(),
    })
}

fn some_kinds(kinds: &[CredentialKind], span: &Range<usize>) -> Result<(), Wrong> {
    match kinds.is_empty() {
        true => Err(Wrong::at(span.clone(), "kinds is empty; it names api-key, bearer or oauth")),
        false => Ok(()),
    }
}

/// A place in a JSON document (RFC 6901).
#[derive(Debug)]
struct Pointer(Arc<str>);

impl Leaf for Pointer {
    const EXPECTED: &'static str = "a JSON pointer such as \"/rate_limit/primary_window\"";
    const PATTERN: &'static str = "^/";
    fn read(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self(text.into()));
        }
        Err(format!("{text:?} is not {}", Self::EXPECTED))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::presets::parse;

    const BASE: &str = "id = \"x\"\norigin = \"https://x.test\"\ndialect = \"responses\"\n\
                        [inject.api-key]\nset = { authorization = \"Bearer {access}\" }\n";

    #[test]
    fn a_way_to_ask_for_limits_that_cannot_work_is_refused_with_its_line() {
        for (text, told) in [
            ("[limits.usage]\npath = \"/u\"\nkinds = []\nwindow = []", "kinds is empty"),
            ("[limits.usage]\npath = \"\"\nkinds = [\"oauth\"]\nwindow = []", "path is empty"),
            ("[limits.usage]\npath = \"/u\"\nkinds = [\"oauth\"]\nwindow = []", "1 to 16 windows"),
            (
                "[limits.usage]\npath = \"/u\"\nkinds = [\"oauth\"]\nwindow = [{ window = \"w\", at = \"u\" }]",
                "is not a JSON pointer",
            ),
            (
                "[limits.usage]\npath = \"/u\"\nkinds = [\"oauth\"]\nwindow = [{ window = \"w\", at = \"/u\" }]",
                "measured in one way",
            ),
            ("[limits.usage]\npath = \"/u\"\nkinds = [\"cookie\"]\nwindow = []", "cookie"),
            (
                "[limits.probe]\npath = \"/u\"\nkinds = [\"oauth\"]\nmodels = []\nbody = \"{}\"",
                "asks 1 to 8 models",
            ),
            (
                "[limits.probe]\npath = \"/u\"\nkinds = [\"oauth\"]\nmodels = [\"m\"]\nbody = \"{}\"",
                "with \"{model}\"",
            ),
            ("[limits]\nprobes = 1", "probes"),
        ] {
            let error = parse("x.toml", &format!("{BASE}{text}")).expect_err(text).to_string();
            assert!(error.contains(told), "{error}");
            assert!(error.contains("x.toml"), "{error}");
        }
    }
}
