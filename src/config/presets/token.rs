//! Where tokens come from: `[token]` as it is written, one layer over another, and as it is meant.
use super::address::RequestUrl;
use super::error::Wrong;
use super::leaf::{Headers, Text, Wait};
use super::param::{Argv, Params};
use crate::model::{Grant, TokenCommand, TokenEndpoint, TokenFormat, TokenSource};
use http::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;
use toml::Spanned;

/// How long a program may take to print a token where a preset does not say.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest a preset may allow it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a program's token lasts where neither it nor the preset says.
const LIFETIME: Duration = Duration::from_secs(600);

/// `[token]`, of which another layer may tell the rest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with url, format and client_id, or with exec")]
pub(super) struct RawToken {
    url: Option<Text<RequestUrl>>,
    format: Option<TokenFormat>,
    code_format: Option<TokenFormat>,
    client_id: Option<String>,
    grant: Option<Grant>,
    headers: Option<Headers<HeaderValue>>,
    params: Option<Params>,
    exec: Option<Argv>,
    #[schemars(with = "Option<Text<Wait>>")]
    timeout: Option<Spanned<Text<Wait>>>,
    #[schemars(with = "Option<Text<Wait>>")]
    lifetime: Option<Spanned<Text<Wait>>>,
}

/// What a layer says of where tokens come from.
#[derive(Debug)]
pub(super) enum TokenLayer {
    /// A program prints them.
    Command { exec: Option<Argv>, timeout: Option<Duration>, lifetime: Option<Duration> },
    /// An endpoint grants them.
    Endpoint(Box<EndpointLayer>),
}

/// The keys of a token endpoint.
#[derive(Debug)]
pub(super) struct EndpointLayer {
    url: Option<RequestUrl>,
    format: Option<TokenFormat>,
    code_format: Option<TokenFormat>,
    client_id: Option<String>,
    grant: Option<Grant>,
    headers: Option<Headers<HeaderValue>>,
    params: Option<Params>,
}

/// A key that no layer sets, and an example of it.
pub(super) struct Missing {
    pub(super) key: &'static str,
    pub(super) example: &'static str,
}

impl RawToken {
    /// The layer that is meant.
    pub(super) fn meant(raw: Spanned<Self>) -> Result<TokenLayer, Wrong> {
        let span = raw.span();
        let raw = raw.into_inner();
        let command = raw.exec.is_some() || raw.timeout.is_some() || raw.lifetime.is_some();
        let (timeout, lifetime) = (wait(raw.timeout, LONGEST_TIMEOUT)?, wait(raw.lifetime, Duration::MAX)?);
        let endpoint = EndpointLayer {
            url: raw.url.map(|Text(url)| url),
            format: raw.format,
            code_format: raw.code_format,
            client_id: raw.client_id,
            grant: raw.grant,
            headers: raw.headers,
            params: raw.params,
        };
        match (command, endpoint.is_silent()) {
            (false, _) => Ok(TokenLayer::Endpoint(Box::new(endpoint))),
            (true, true) => Ok(TokenLayer::Command { exec: raw.exec, timeout, lifetime }),
            (true, false) => {
                let message = "a token comes from an endpoint (url, format, client_id) or from a program \
                               (exec, timeout, lifetime); leave one of the two out";
                Err(Wrong::at(span, message))
            }
        }
    }
}

fn wait(written: Option<Spanned<Text<Wait>>>, longest: Duration) -> Result<Option<Duration>, Wrong> {
    let Some(written) = written else {
        return Ok(None);
    };
    let Text(Wait(wait)) = *written.get_ref();
    if wait.is_zero() || wait > longest {
        let most = match longest {
            Duration::MAX => String::new(),
            _ => format!(", at most {}s", longest.as_secs()),
        };
        return Err(Wrong::at(written.span(), format!("this is at least 1s{most}")));
    }
    Ok(Some(wait))
}

impl EndpointLayer {
    fn is_silent(&self) -> bool {
        let Self { url, format, code_format, client_id, grant, headers, params } = self;
        url.is_none()
            && format.is_none()
            && code_format.is_none()
            && client_id.is_none()
            && grant.is_none()
            && headers.is_none()
            && params.is_none()
    }

    fn over(self, base: Self) -> Self {
        Self {
            url: self.url.or(base.url),
            format: self.format.or(base.format),
            code_format: self.code_format.or(base.code_format),
            client_id: self.client_id.or(base.client_id),
            grant: self.grant.or(base.grant),
            headers: self.headers.or(base.headers),
            params: self.params.or(base.params),
        }
    }

    fn finish(self) -> Result<TokenEndpoint, &'static str> {
        let grant = self.grant.unwrap_or_default();
        let RequestUrl(url) = self.url.ok_or("token.url")?;
        let format = self.format.ok_or("token.format")?;
        let client_id = match (self.client_id, grant) {
            (Some(id), _) => id,
            (None, Grant::RefreshToken) => return Err("token.client_id"),
            (None, Grant::ClientCredentials | Grant::JwtBearer | Grant::TokenExchange) => String::new(),
        };
        Ok(TokenEndpoint {
            origin: url.origin,
            path: url.path,
            format,
            code_format: self.code_format,
            client_id,
            grant,
            headers: self.headers.unwrap_or_default().0,
            params: self.params.map(|Params(list)| list).unwrap_or_default(),
        })
    }
}

impl TokenLayer {
    /// This layer over `base`, key by key. A program takes the place of an endpoint beneath it, and the other way round.
    pub(super) fn over(self, base: Self) -> Self {
        match (self, base) {
            (
                Self::Command { exec, timeout, lifetime },
                Self::Command { exec: other, timeout: their, lifetime: old },
            ) => {
                Self::Command { exec: exec.or(other), timeout: timeout.or(their), lifetime: lifetime.or(old) }
            }
            (Self::Endpoint(own), Self::Endpoint(base)) => Self::Endpoint(Box::new(own.over(*base))),
            (own @ Self::Command { .. }, Self::Endpoint(_))
            | (own @ Self::Endpoint(_), Self::Command { .. }) => own,
        }
    }

    /// True where a program prints the tokens, so that a login would have nowhere to trade its code.
    pub(super) fn is_command(&self) -> bool {
        matches!(self, Self::Command { .. })
    }

    /// The source, once nothing is left to extend. A layer of a template's that only says how endpoints are spoken to
    /// is none by itself.
    pub(super) fn finish(self) -> Result<TokenSource, Missing> {
        match self {
            Self::Endpoint(layer) => layer
                .finish()
                .map(TokenSource::Endpoint)
                .map_err(|key| Missing { key, example: "[token] with url, format and client_id" }),
            Self::Command { exec, timeout, lifetime } => {
                let Argv(argv) = exec.ok_or(Missing {
                    key: "token.exec",
                    example: "token = { exec = [\"/usr/local/bin/print-token\", \"{alias}\"] }",
                })?;
                Ok(TokenSource::Command(TokenCommand {
                    argv,
                    timeout: timeout.unwrap_or(TIMEOUT),
                    lifetime: lifetime.unwrap_or(LIFETIME),
                }))
            }
        }
    }
}
