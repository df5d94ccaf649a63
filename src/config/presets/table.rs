//! The tables of a preset file, as they are written and as they are meant.
use super::error::Wrong;
use super::leaf::{Headers, Path, Text, plain};
use crate::model::{
    HeaderField, HeaderTemplate, Injection, LimitHeaders, Measure, PathMap, ProviderId, ResetFormat, Route,
};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

/// How one kind of credential goes into a request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an injection: a table with set, append and strip")]
pub(super) struct RawInjection {
    #[serde(default)]
    set: Headers<HeaderTemplate>,
    #[serde(default)]
    append: Headers<HeaderValue>,
    #[serde(default)]
    strip: Vec<Text<HeaderName>>,
}

/// A path rewrite.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a path map: a table with from and to")]
pub(super) struct RawMap {
    from: Text<Path>,
    to: Text<Path>,
}

/// A bare path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a route: a table with prefix, header and unless")]
pub(super) struct RawRoute {
    prefix: Text<Path>,
    header: Option<Text<HeaderName>>,
    unless: Option<ProviderId>,
}

/// One limit window.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a limit window: a table that begins with [[limit]]")]
pub(super) struct RawLimit {
    window: String,
    minutes: Option<Text<HeaderName>>,
    remaining: Option<Text<HeaderName>>,
    limit: Option<Text<HeaderName>>,
    used_percent: Option<Text<HeaderName>>,
    used_ratio: Option<Text<HeaderName>>,
    resets: Option<RawReset>,
    spent: Option<RawSpent>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a table such as { header = \"x-reset\", format = \"epoch-seconds\" }"
)]
struct RawReset {
    header: Text<HeaderName>,
    format: ResetFormat,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { header = \"x-status\", is = \"rejected\" }")]
struct RawSpent {
    header: Text<HeaderName>,
    is: String,
}

pub(super) fn map_of(raw: RawMap) -> PathMap {
    PathMap { from: raw.from.0.0, to: raw.to.0.0 }
}

pub(super) fn route_of(raw: RawRoute) -> Route {
    Route { prefix: raw.prefix.0.0, header: raw.header.map(|Text(name)| name), unless: raw.unless }
}

pub(super) fn injection_of(raw: Spanned<RawInjection>) -> Result<Injection, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let mut templates = raw.set.0.iter();
    if !templates.any(|(_, template)| template.field == Some(HeaderField::Access)) {
        let message = "no header of set holds {access}: the credential would go nowhere";
        return Err(Wrong::at(span, message));
    }
    Ok(Injection { set: raw.set.0, append: raw.append.0, strip: plain(raw.strip) })
}

pub(super) fn limit_of(raw: Spanned<RawLimit>) -> Result<LimitHeaders, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let measure = match (raw.remaining, raw.limit, raw.used_percent, raw.used_ratio) {
        (Some(Text(remaining)), Some(Text(limit)), None, None) => Measure::Remaining { remaining, limit },
        (None, None, Some(Text(used)), None) => Measure::UsedPercent(used),
        (None, None, None, Some(Text(used))) => Measure::UsedRatio(used),
        (_, _, _, _) => {
            let message = "a limit is measured in one way: remaining and limit, used_percent, or used_ratio";
            return Err(Wrong::at(span, message));
        }
    };
    Ok(LimitHeaders {
        window: raw.window.into(),
        minutes: raw.minutes.map(|Text(name)| name),
        measure,
        resets: raw.resets.map(|resets| (resets.header.0, resets.format)),
        spent: raw.spent.map(|spent| (spent.header.0, spent.is)),
    })
}
