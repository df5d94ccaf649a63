//! One preset file: its keys as they are written, and a layer of meant values that can lie over another file's.
use super::conversation::RawConversation;
use super::error::{Place, PresetError, Wrong};
use super::leaf::{Path, SafePath, Text, plain};
use super::login::{LoginLayer, RawLogin};
use super::rule::RawRule;
use super::table::{RawInjection, RawLimit, RawMap, RawRoute, injection_of, limit_of, map_of, route_of};
use super::token::{Missing, RawToken, TokenLayer};
use super::usage::{Inquiries, RawLimits};
use crate::model::{
    CredentialKind, Dialect, Injection, LimitHeaders, Origin, PathMap, Provider, ProviderId, Route, Rule,
    TokenSource,
};
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use toml::Spanned;

/// Bytes of a preset file, at most.
const LONGEST: usize = 256 * 1024;
/// Rules of a provider, at most.
const MOST_RULES: usize = 256;

/// A preset file as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a preset: keys and values")]
pub(super) struct RawFile {
    id: Option<ProviderId>,
    name: Option<String>,
    #[schemars(with = "Option<String>")]
    extends: Option<Spanned<String>>,
    origin: Option<Text<Origin>>,
    base: Option<Text<Path>>,
    dialect: Option<Dialect>,
    subscription: Option<bool>,
    session_headers: Option<Vec<Text<HeaderName>>>,
    replay_safe: Option<Vec<Text<SafePath>>>,
    #[serde(default)]
    strip: Vec<Text<HeaderName>>,
    #[serde(default)]
    strip_query: Vec<String>,
    #[serde(default)]
    #[schemars(
        with = "BTreeMap<CredentialKind, RawInjection>",
        extend("propertyNames" = {"$ref": "#/definitions/CredentialKind"})
    )]
    inject: BTreeMap<CredentialKind, Spanned<RawInjection>>,
    #[schemars(with = "Option<RawToken>")]
    token: Option<Spanned<RawToken>>,
    #[schemars(with = "Option<RawLogin>")]
    login: Option<Spanned<RawLogin>>,
    #[serde(default)]
    conversation: RawConversation,
    map: Option<Vec<RawMap>>,
    route: Option<Vec<RawRoute>>,
    #[serde(default)]
    rule: Vec<RawRule>,
    #[serde(default)]
    #[schemars(with = "Vec<RawLimit>")]
    limit: Vec<Spanned<RawLimit>>,
    #[serde(default)]
    limits: RawLimits,
}

/// A file's meant values; what it does not say is left to the file it extends.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) file: String,
    pub(super) id: Option<ProviderId>,
    pub(super) extends: Option<(String, Place)>,
    name: Option<String>,
    origin: Option<Origin>,
    base: Option<String>,
    dialect: Option<Dialect>,
    subscription: Option<bool>,
    session_headers: Option<Vec<HeaderName>>,
    replay_safe: Option<Vec<String>>,
    strip: Vec<HeaderName>,
    strip_query: Vec<String>,
    inject: BTreeMap<CredentialKind, Injection>,
    token: Option<TokenLayer>,
    login: LoginLayer,
    conversation: RawConversation,
    /// True once a layer had a program print the tokens: endpoints and logins of the layers beneath it are gone.
    programmed: bool,
    maps: Option<Vec<PathMap>>,
    routes: Option<Vec<Route>>,
    rules: Vec<Rule>,
    limits: Vec<LimitHeaders>,
    inquiries: Inquiries,
}

impl Layer {
    /// Reads one file.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, PresetError> {
        if text.len() > LONGEST {
            let message = format!("a preset has at most {LONGEST} bytes");
            return Err(PresetError::new(file, None, message));
        }
        toml::from_str(text)
            .map_err(Wrong::from)
            .and_then(|raw| Self::meant(file, text, raw))
            .map_err(|wrong| wrong.within(file, text))
    }

    fn meant(file: &str, text: &str, raw: RawFile) -> Result<Self, Wrong> {
        let inject: Result<_, Wrong> =
            raw.inject.into_iter().map(|(kind, injection)| Ok((kind, injection_of(injection)?))).collect();
        let rules: Result<Vec<_>, Wrong> = raw.rule.into_iter().map(RawRule::meant).collect();
        let limits: Result<Vec<_>, Wrong> = raw.limit.into_iter().map(limit_of).collect();
        let token = raw.token.map(RawToken::meant).transpose()?;
        let login = login_of(raw.login, token.as_ref())?;
        let extends = raw.extends.map(|base| {
            let place = Place::of(text, &base.span());
            (base.into_inner(), place)
        });
        Ok(Self {
            file: file.to_owned(),
            id: raw.id,
            extends,
            name: raw.name,
            origin: raw.origin.map(|Text(origin)| origin),
            base: raw.base.map(|Text(Path(path))| path),
            dialect: raw.dialect,
            subscription: raw.subscription,
            session_headers: raw.session_headers.map(plain),
            replay_safe: raw.replay_safe.map(|list| {
                let paths = plain(list).into_iter();
                paths.map(|SafePath(path)| path).collect()
            }),
            strip: plain(raw.strip),
            strip_query: raw.strip_query,
            inject: inject?,
            programmed: token.as_ref().is_some_and(TokenLayer::is_command),
            token,
            login,
            conversation: raw.conversation,
            maps: raw.map.map(|list| list.into_iter().map(map_of).collect()),
            routes: raw.route.map(|list| list.into_iter().map(route_of).collect()),
            rules: rules?,
            limits: limits?,
            inquiries: raw.limits.meant()?,
        })
    }

    /// This layer over `base`: its own keys replace the base's; its rules and limits go before the base's; what either
    /// strips is stripped. Bare routes belong to one provider, so they pass on only within the same id.
    pub(super) fn over(mut self, base: Self) -> Self {
        self.rules.extend(base.rules);
        self.limits.extend(base.limits);
        self.strip.extend(base.strip);
        self.strip_query.extend(base.strip_query);
        let mut inject = base.inject;
        inject.extend(self.inject);
        let same = base.id.is_some() && base.id == self.id;
        let beneath = base.token.filter(|token| !self.programmed || token.is_command());
        let logins = if self.programmed { LoginLayer::default() } else { base.login };
        Self {
            file: self.file,
            name: self.name.or(base.name.filter(|_| same)),
            id: self.id,
            extends: base.extends,
            origin: self.origin.or(base.origin),
            base: self.base.or(base.base),
            dialect: self.dialect.or(base.dialect),
            subscription: self.subscription.or(base.subscription),
            session_headers: self.session_headers.or(base.session_headers),
            replay_safe: self.replay_safe.or(base.replay_safe),
            strip: self.strip,
            strip_query: self.strip_query,
            inject,
            programmed: self.programmed || base.programmed,
            token: match (self.token, beneath) {
                (Some(own), Some(base)) => Some(own.over(base)),
                (own, base) => own.or(base),
            },
            login: self.login.over(logins),
            conversation: self.conversation.over(base.conversation),
            maps: self.maps.or(base.maps),
            routes: self.routes.or(base.routes.filter(|_| same)),
            rules: self.rules,
            limits: self.limits,
            inquiries: self.inquiries.over(base.inquiries),
        }
    }

    /// The provider, once nothing is left to extend; `around` are the rules asked before and after its own.
    pub(super) fn finish(mut self, around: &Common) -> Result<Provider, PresetError> {
        let file = std::mem::take(&mut self.file);
        let missing = |key: &str, example: &str| {
            PresetError::new(&file, None, format!("{key} is missing; for example {example}"))
        };
        let id = self.id.ok_or_else(|| missing("id", "id = \"example\""))?;
        let origin = self.origin.ok_or_else(|| missing("origin", "origin = \"https://api.example.com\""))?;
        let dialect = self.dialect.ok_or_else(|| missing("dialect", "dialect = \"responses\""))?;
        if self.inject.is_empty() {
            let example = "[inject.api-key] with set = { authorization = \"Bearer {access}\" }";
            return Err(missing("inject", example));
        }
        let nowhere = |gap: Missing| missing(gap.key, gap.example);
        let token = self.token.map(TokenLayer::finish).transpose().map_err(nowhere)?;
        let login = self.login.finish().map_err(nowhere)?;
        let anonymous =
            |source: &TokenSource| matches!(source, TokenSource::Endpoint(to) if to.client_id.is_empty());
        if login.is_some() && token.as_ref().is_some_and(anonymous) {
            return Err(missing("token.client_id", "client_id = \"the-public-client-id\", for the login"));
        }
        if login.is_some() && token.is_none() {
            return Err(missing(
                "token",
                "[token] with url, format and client_id, where a login's code is traded",
            ));
        }
        if self.inject.contains_key(&CredentialKind::Oauth) && token.is_none() {
            return Err(missing("token", "[token] with url, format and client_id, or no [inject.oauth]"));
        }
        let mut rules = around.before.clone();
        rules.append(&mut self.rules);
        rules.extend(around.after.iter().cloned());
        check_rules(&rules).map_err(|message| PresetError::new(&file, None, message))?;
        Ok(Provider {
            name: self.name.unwrap_or_else(|| id.as_str().to_owned()),
            id,
            origin,
            base: self.base.unwrap_or_default(),
            maps: self.maps.unwrap_or_default(),
            routes: self.routes.unwrap_or_default(),
            dialect,
            subscription: self.subscription.unwrap_or_default(),
            session_headers: self.session_headers.unwrap_or_else(|| around.session_headers.clone()),
            replay_safe: self.replay_safe.unwrap_or_default(),
            strip: once(self.strip),
            strip_query: self.strip_query,
            inject: self.inject,
            token,
            login,
            conversation: Arc::new(self.conversation.finish()),
            rules,
            limits: self.limits,
            usage: self.inquiries.usage,
            probe: self.inquiries.probe,
        })
    }
}

/// A login ends at a token endpoint; where a program prints the tokens there is none.
fn login_of(raw: Option<Spanned<RawLogin>>, token: Option<&TokenLayer>) -> Result<LoginLayer, Wrong> {
    let Some(raw) = raw else {
        return Ok(LoginLayer::default());
    };
    let span = raw.span();
    let login = raw.into_inner().meant()?;
    if token.is_some_and(TokenLayer::is_command) && !login.is_silent() {
        let message = "a program prints this provider's tokens, so that nobody signs in; leave [login] or token.exec out";
        return Err(Wrong::at(span, message));
    }
    Ok(login)
}

/// Names are how rules are shown and found, so each stands for one rule.
fn check_rules(rules: &[Rule]) -> Result<(), String> {
    if rules.len() > MOST_RULES {
        return Err(format!("a provider has at most {MOST_RULES} rules, inherited ones included"));
    }
    let mut names = BTreeSet::new();
    match rules.iter().find(|rule| !names.insert(&rule.name)) {
        Some(rule) => Err(format!("two rules are named {:?}; an inherited one counts too", rule.name)),
        None => Ok(()),
    }
}

fn once(mut list: Vec<HeaderName>) -> Vec<HeaderName> {
    list.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    list.dedup();
    list
}

/// What every provider shares.
#[derive(Debug)]
pub(super) struct Common {
    session_headers: Vec<HeaderName>,
    before: Vec<Rule>,
    after: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the common keys: session_headers, before, after")]
struct RawCommon {
    session_headers: Vec<Text<HeaderName>>,
    before: Vec<RawRule>,
    after: Vec<RawRule>,
}

impl Common {
    /// Reads the file that is wrapped around every preset.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, PresetError> {
        let rules = |list: Vec<RawRule>| -> Result<Vec<Rule>, Wrong> {
            list.into_iter().map(RawRule::meant).collect()
        };
        toml::from_str::<RawCommon>(text)
            .map_err(Wrong::from)
            .and_then(|raw| {
                Ok(Self {
                    session_headers: plain(raw.session_headers),
                    before: rules(raw.before)?,
                    after: rules(raw.after)?,
                })
            })
            .map_err(|wrong| wrong.within(file, text))
    }
}
