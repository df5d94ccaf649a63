//! A `[[rule]]` of a preset: what it matches, what that means, and the bounds that a class sets to both.
use super::error::Wrong;
use super::leaf::{Statuses, Text, Wait, plain};
use crate::model::{
    Clamp, CooldownSource, FaultClass, HeaderMatch, HeaderTest, PrefixMatch, Rule, Scope, StatusSet,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Statuses that blame a credential by themselves. Any other error is the client's unless a rule recognises it.
const BLAMING: [u16; 3] = [401, 402, 429];

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a rule: a table that begins with [[rule]]")]
pub(super) struct RawRule {
    #[schemars(with = "String")]
    name: Spanned<String>,
    status: Statuses,
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    codes: Vec<Spanned<String>>,
    #[serde(default)]
    #[schemars(with = "Vec<RawHeader>")]
    headers: Vec<Spanned<RawHeader>>,
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    body: Vec<Spanned<String>>,
    #[schemars(with = "FaultClass", extend("enum" = classes()))]
    class: Spanned<FaultClass>,
    #[schemars(with = "Scope")]
    scope: Spanned<Scope>,
    #[serde(default)]
    cooldown: Vec<Text<CooldownSource>>,
    otherwise: Option<Text<Wait>>,
    at_least: Option<Text<Wait>>,
    #[schemars(with = "Option<Text<Wait>>")]
    at_most: Option<Spanned<Text<Wait>>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a header test such as { name = \"retry-after\", is = \"absent\" }")]
struct RawHeader {
    name: String,
    is: Option<Presence>,
    one_of: Option<Vec<String>>,
    contains: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Presence {
    Absent,
    Present,
}

impl RawRule {
    /// The rule that is meant.
    pub(super) fn meant(self) -> Result<Rule, Wrong> {
        let name = self.name.get_ref();
        if !is_name(name) {
            let message = format!("{name:?} is not a rule's name: 1 to 64 of a-z 0-9 -");
            return Err(Wrong::at(self.name.span(), message));
        }
        let clamp = self.clamp()?;
        self.blames_fairly()?;
        let headers: Result<Vec<_>, _> = self.headers.into_iter().map(header).collect();
        Ok(Rule {
            name: self.name.into_inner().into(),
            status: self.status.0,
            codes: patterns(self.codes, is_code)?,
            headers: headers?,
            body: patterns(self.body, |text| !text.is_empty())?,
            class: self.class.into_inner(),
            scope: self.scope.into_inner(),
            cooldown: plain(self.cooldown),
            otherwise: self.otherwise.map(|Text(Wait(wait))| wait),
            clamp,
        })
    }

    fn clamp(&self) -> Result<Clamp, Wrong> {
        let class = *self.class.get_ref();
        let Some(terms) = terms(class) else {
            let message = format!("{} is what a broken connection means, no reply", class.as_str());
            return Err(Wrong::at(self.class.span(), message));
        };
        let scope = *self.scope.get_ref();
        if !terms.scopes.contains(&scope) {
            let allowed: Vec<_> = terms.scopes.iter().map(|scope| scope.as_str()).collect();
            let message = format!(
                "{} cannot blame {:?}; allowed: {}",
                class.as_str(),
                scope.as_str(),
                allowed.join(", ")
            );
            return Err(Wrong::at(self.scope.span(), message));
        }
        let given = |wait: &Text<Wait>| wait.0.0;
        let least = self.at_least.as_ref().map_or(terms.least, given);
        let most = self.at_most.as_ref();
        let bounds = Clamp { least, most: most.map_or(terms.most.max(least), |most| given(most.get_ref())) };
        match most {
            Some(most) if bounds.most < bounds.least => {
                let message = format!("at_most is shorter than at_least, {} s", least.as_secs());
                Err(Wrong::at(most.span(), message))
            }
            Some(_) | None => Ok(bounds),
        }
    }

    /// A reply that a rule does not recognise belongs to the client: what blames an account says how it is recognised.
    fn blames_fairly(&self) -> Result<(), Wrong> {
        let blames = matches!(self.scope.get_ref(), Scope::Account | Scope::AccountModel | Scope::QuotaGroup);
        let bare = self.codes.is_empty() && self.headers.is_empty() && self.body.is_empty();
        let StatusSet(ranges) = &self.status.0;
        let fair = ranges.iter().all(|(first, last)| first == last && BLAMING.contains(first));
        if !blames || !bare || fair {
            return Ok(());
        }
        let message = "a status other than 401, 402 or 429 does not blame an account by itself; \
                       add codes, headers or body";
        Err(Wrong::at(self.scope.span(), message))
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A code whose `*`, if any, are at its ends.
fn is_code(text: &str) -> bool {
    let middle = text.strip_prefix('*').unwrap_or(text);
    let middle = middle.strip_suffix('*').unwrap_or(middle);
    !middle.is_empty() && !middle.contains('*')
}

fn patterns(list: Vec<Spanned<String>>, fits: fn(&str) -> bool) -> Result<Vec<Arc<str>>, Wrong> {
    let read = |text: Spanned<String>| match fits(text.get_ref()) {
        true => Ok(text.get_ref().to_lowercase().into()),
        false => {
            let message = format!(
                "{:?} matches too much or nothing: some text, and in codes a * only at an end",
                text.get_ref()
            );
            Err(Wrong::at(text.span(), message))
        }
    };
    list.into_iter().map(read).collect()
}

fn texts(list: &[String]) -> Vec<Arc<str>> {
    list.iter().map(|text| text.to_lowercase().into()).collect()
}

fn header(raw: Spanned<RawHeader>) -> Result<HeaderMatch, Wrong> {
    let span = raw.span();
    let raw = raw.into_inner();
    let test = match (raw.is, raw.one_of, raw.contains) {
        (Some(Presence::Absent), None, None) => HeaderTest::Absent,
        (Some(Presence::Present), None, None) => HeaderTest::Present,
        (None, Some(values), None) if !values.is_empty() => HeaderTest::OneOf(texts(&values)),
        (None, None, Some(part)) if !part.is_empty() => HeaderTest::Contains(part.to_lowercase().into()),
        (_, _, _) => {
            let message = "a header test has one of: is = \"absent\" or \"present\", one_of = [...], contains = \"...\"";
            return Err(Wrong::at(span, message));
        }
    };
    let name = raw.name.to_ascii_lowercase();
    let (name, prefix) = match name.strip_suffix('*') {
        Some(beginning) => (beginning, PrefixMatch::Prefix),
        None => (name.as_str(), PrefixMatch::Exact),
    };
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        let message = format!("{:?} is not a header name, nor the beginning of one and a *", raw.name);
        return Err(Wrong::at(span, message));
    }
    Ok(HeaderMatch { name: name.into(), prefix, test })
}

/// What a reply can mean, for the schema: all but what a broken connection means.
fn classes() -> Vec<&'static str> {
    let told = FaultClass::ALL.into_iter().filter(|class| terms(*class).is_some());
    told.map(FaultClass::as_str).collect()
}

struct Terms {
    scopes: &'static [Scope],
    least: Duration,
    most: Duration,
}

/// Whom a class may blame, and the shortest and longest rest where a rule does not say.
fn terms(class: FaultClass) -> Option<Terms> {
    let (scopes, least, most): (&'static [Scope], u64, u64) = match class {
        FaultClass::AffinityFault => (&[Scope::Affinity], 1, HOUR),
        FaultClass::AuthDead | FaultClass::AuthExpired => (&[Scope::Account], 1, HOUR),
        FaultClass::EdgeBlock => (&[Scope::Network, Scope::Provider], 10, 30 * MINUTE),
        FaultClass::Forbidden => (&[Scope::Account, Scope::AccountModel], MINUTE, DAY),
        FaultClass::ModelCapacity => (&[Scope::Provider], 1, MINUTE),
        FaultClass::ModelUnentitled => (&[Scope::AccountModel], MINUTE, DAY),
        FaultClass::Payment => (&[Scope::Account, Scope::AccountModel, Scope::QuotaGroup], MINUTE, 31 * DAY),
        FaultClass::PolicyBlock => (&[Scope::Policy], 1, HOUR),
        FaultClass::QuotaWindow => {
            (&[Scope::Account, Scope::AccountModel, Scope::QuotaGroup], MINUTE, 8 * DAY)
        }
        FaultClass::RateBare | FaultClass::RequestFault => (&[Scope::Request], 1, HOUR),
        FaultClass::RateShort => (&[Scope::Account, Scope::AccountModel, Scope::QuotaGroup], 1, HOUR),
        FaultClass::UpstreamError => (&[Scope::Network, Scope::Provider], 1, MINUTE),
        FaultClass::Unreachable | FaultClass::UpstreamLost => return None,
    };
    Some(Terms { scopes, least: Duration::from_secs(least), most: Duration::from_secs(most) })
}
