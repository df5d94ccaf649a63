use super::{
    Conversation, CredentialKind, Grant, LoginFlows, ModelProbe, ProviderId, Rule, TokenEndpoint,
    TokenSource, UsageEndpoint,
};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A provider is data: everything rota knows of one, read from its preset. Adding one adds a TOML file, not code.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// Its name, which is also its path prefix: `/<id>/...` always means this provider (ROU-1).
    pub id: ProviderId,
    /// The name shown to people.
    pub name: String,
    /// Where its requests go; from the preset or the configuration only, never from the client (I13).
    pub origin: Origin,
    /// Put before every mapped path: empty, or starts with `/` and does not end with one.
    pub base: String,
    /// Rewrites of the path that follows the provider's prefix, or of a bare path; the first that fits is taken.
    pub maps: Vec<PathMap>,
    /// Bare paths that mean this provider (ROU-2).
    pub routes: Vec<Route>,
    /// How refusals are worded for this provider's clients (FLO-8).
    pub dialect: Dialect,
    /// True for logins that a family of tokens stands behind: the auth-failure breaker applies (FLO-5).
    pub subscription: bool,
    /// Headers that name a session, in order of preference, after rota's own.
    pub session_headers: Vec<HeaderName>,
    /// Mapped paths that may be sent to another account after a complete 5xx head: inference, which leaves nothing
    /// behind at the provider. See [`replays`](Self::replays).
    pub replay_safe: Vec<String>,
    /// Request headers removed beyond the common list, because they name an account.
    pub strip: Vec<HeaderName>,
    /// Query parameters removed from the client's request, because they carry a credential.
    pub strip_query: Vec<String>,
    /// How each kind of credential goes into a request. A kind that is not here cannot be added to the provider.
    pub inject: BTreeMap<CredentialKind, Injection>,
    /// Where OAuth tokens come from and are renewed.
    pub token: Option<TokenSource>,
    /// How a person signs in; none where there is nothing to sign in to.
    pub login: Option<LoginFlows>,
    /// What ties a conversation to an account, and how its streams are read.
    pub conversation: Arc<Conversation>,
    /// Failure rules; the first that matches speaks.
    pub rules: Vec<Rule>,
    /// Reply headers that tell what is left.
    pub limits: Vec<LimitHeaders>,
    /// Where an account's use of its limits can be asked for; none where there is no such endpoint.
    pub usage: Option<UsageEndpoint>,
    /// A small request whose reply tells the limits, for those who allow it (LIM-5).
    pub probe: Option<ModelProbe>,
}

impl Provider {
    /// True when `path`, mapped, without base and query, is marked as safe to send to another account after a complete
    /// 5xx head. An entry is a whole path; one that ends with `/` is a prefix; one `*` stands for any text without a `/`.
    pub fn replays(&self, path: &str) -> bool {
        self.replay_safe.iter().any(|safe| fits(safe, path))
    }

    /// True when `path`, mapped, without base and query, speaks WebSocket. Entries are written as for
    /// [`replays`](Self::replays).
    pub fn speaks_websocket(&self, path: &str) -> bool {
        self.conversation.websocket.iter().any(|known| fits(known, path))
    }

    /// The token endpoint, where tokens come from one.
    pub fn endpoint(&self) -> Option<&TokenEndpoint> {
        match self.token.as_ref()? {
            TokenSource::Endpoint(endpoint) => Some(endpoint),
            TokenSource::Command(_) => None,
        }
    }

    /// True when a new token can be had without a refresh token and without a human: a program prints it, or the
    /// endpoint grants it for what the preset's parameters say.
    pub fn grants_by_itself(&self) -> bool {
        match &self.token {
            Some(TokenSource::Command(_)) => true,
            Some(TokenSource::Endpoint(endpoint)) => endpoint.grant != Grant::RefreshToken,
            None => false,
        }
    }

    /// True when a rule names this status, so that the reply's first bytes are worth reading.
    pub fn judges(&self, status: u16) -> bool {
        self.rules.iter().any(|rule| rule.status.contains(status))
    }
}

fn fits(safe: &str, path: &str) -> bool {
    if safe.ends_with('/') {
        return path.starts_with(safe);
    }
    let Some((before, after)) = safe.split_once('*') else {
        return path == safe;
    };
    path.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .is_some_and(|middle| !middle.is_empty() && !middle.contains('/'))
}

/// Scheme, host and port. `http` is for loopback hosts only: a credential leaves this machine over TLS or not at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    tls: bool,
    host: Arc<str>,
    port: u16,
    /// Made of the others, once.
    header: HeaderValue,
}

impl Origin {
    /// `https://host[:port]`, or `http://` and a loopback host. The error is a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: http::Uri =
            text.parse().map_err(|_| format!("{text:?} is not a URL such as https://api.example.com"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => {
                return Err(format!("{text:?} must start with https:// (or http:// for a loopback host)"));
            }
        };
        let Some(authority) = uri.authority() else {
            return Err(format!("{text:?} has no host"));
        };
        if authority.as_str().contains('@') {
            return Err(
                "a user name or password in a URL is refused; add the credential as an account".to_owned()
            );
        }
        if uri.path() != "/" || uri.query().is_some() || text.ends_with('/') {
            return Err(format!("{text:?} must end after the host and port; paths go into `base`"));
        }
        let host = authority.host();
        if !tls && !is_loopback(host) {
            return Err(format!("http:// to {host:?} would send credentials in the clear; use https://"));
        }
        let port = authority.port_u16().unwrap_or(if tls { HTTPS } else { HTTP });
        let host = host.to_ascii_lowercase();
        let header = HeaderValue::from_maybe_shared(bytes::Bytes::from(authority_of(
            &host,
            port,
            if tls { HTTPS } else { HTTP },
        )))
        .map_err(|_| format!("{text:?} has a host that no header can name"))?;
        Ok(Self { tls, host: host.into(), port, header })
    }

    /// True for `https`.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host, an IPv6 address with its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also when it is the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host`, or `host:port` where the port is not the scheme's own: what goes into `Host`.
    pub fn authority(&self) -> String {
        authority_of(&self.host, self.port, if self.tls { HTTPS } else { HTTP })
    }

    /// [`authority`](Self::authority) as the `Host` header's value.
    pub fn host_header(&self) -> &HeaderValue {
        &self.header
    }
}

/// The ports that are left out of an authority: those of the schemes (RFC 9110 §4.2).
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

fn authority_of(host: &str, port: u16, standard: u16) -> String {
    if port == standard { host.to_owned() } else { format!("{host}:{port}") }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A path that begins with `from`, at a segment's end, continues after `to` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathMap {
    /// Starts with `/`, does not end with one.
    pub from: String,
    /// Empty, or of the same form.
    pub to: String,
}

/// A bare path prefix that means a provider, so that a client can have the plain origin as its base URL (ROU-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Matched at a segment's end; the longest that fits is taken.
    pub prefix: String,
    /// Only for requests that carry this header; goes before an equally long prefix without one.
    pub header: Option<HeaderName>,
    /// Only while this other provider has no account and the route's own has one; goes before an equally long prefix
    /// without it.
    pub unless: Option<ProviderId>,
}

/// The wording of refusals that makes a provider's clients stop retrying (FLO-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED",…}}`.
    GenerateContent,
    /// `{"type":"error","error":{"type":"rate_limit_error",…}}`.
    Messages,
    /// `{"error":{"type":"usage_limit_reached",…}}`.
    Responses,
}

/// How one kind of credential goes into a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Injection {
    /// Set, after the client's own values are gone. A template whose field is unknown for an account sets nothing.
    pub set: Vec<(HeaderName, HeaderTemplate)>,
    /// Added to a comma-separated list unless it is an exact member already.
    pub append: Vec<(HeaderName, HeaderValue)>,
    /// Removed for this kind, beyond the provider's own list.
    pub strip: Vec<HeaderName>,
}

/// A header value with the account's fields in it: `Bearer {access}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderTemplate {
    /// Before the field.
    pub before: String,
    /// Which field; none is a fixed value, all of it in `before`.
    pub field: Option<HeaderField>,
    /// After the field.
    pub after: String,
}

/// What a header template may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderField {
    /// `{access}`: the key, bearer or access token.
    Access,
    /// `{account}`: the organisation or workspace at the provider.
    Account,
}

/// Reply headers that tell one window's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitHeaders {
    /// The window's name where no header tells its length.
    pub window: Arc<str>,
    /// Minutes the window lasts; 300 is named `5h`, 10080 `weekly`. Zero or empty is no data.
    pub minutes: Option<HeaderName>,
    /// What is left, in one of three ways.
    pub measure: Measure,
    /// When it fills up.
    pub resets: Option<(HeaderName, ResetFormat)>,
    /// A header and the value of it that says the window is spent, whatever the measure says.
    pub spent: Option<(HeaderName, String)>,
}

/// How a provider tells what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Left and the whole, as counts.
    Remaining {
        /// Left.
        remaining: HeaderName,
        /// The whole.
        limit: HeaderName,
    },
    /// Used, 0 to 100.
    UsedPercent(HeaderName),
    /// Used, 0 to 1.
    UsedRatio(HeaderName),
}

/// How a provider writes a time or a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResetFormat {
    /// `6m0s`, `1h2m3s`, `250ms`, `34.07s`.
    Duration,
    /// Milliseconds since the epoch.
    EpochMillis,
    /// Seconds since the epoch.
    EpochSeconds,
    /// Milliseconds to wait.
    Millis,
    /// A date of RFC 3339.
    Rfc3339,
    /// Seconds to wait.
    Seconds,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I13
    #[test]
    fn an_origin_is_https_or_this_machine_and_nothing_else() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.Example.com:8443", "https://api.example.com:8443"),
            ("https://api.example.com:443", "https://api.example.com"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9"),
            ("http://localhost:80", "http://localhost"),
            ("http://[::1]:7000", "http://[::1]:7000"),
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for text in [
            "",
            "api.example.com",
            "ftp://api.example.com",
            "http://api.example.com",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "https://api.example.com/",
            "https://api.example.com/v1",
            "https://api.example.com?x=1",
            "https://",
        ] {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
    }

    /// OBS-3
    #[test]
    fn a_password_in_an_origin_is_refused_and_not_repeated() {
        let error = Origin::parse("https://user:hunter2@api.example.com").expect_err("refused");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
