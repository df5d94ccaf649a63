//! How people sign in: `[login]` as it is written, one layer over another, and as it is meant.
use super::address::{ExactUrl, PageUrl, RequestUrl};
use super::error::Wrong;
use super::leaf::{Leaf, Path, Text};
use super::token::Missing;
use crate::model::{BrowserFlow, DeviceFlow, LoginFlows, Loopback, TokenFormat};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use toml::Spanned;

/// Ports that are tried for the callback, at most.
const MOST_PORTS: usize = 16;
/// Parameters of a page or a request, at most.
const MOST_PARAMS: usize = 32;
/// The host of the callback where a preset does not say.
const HOST: &str = "localhost";
/// Its path where a preset does not say.
const CALLBACK: &str = "/callback";
/// Parameters that are part of a flow: rota writes them.
const OWN: [&str; 7] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
];

/// `[login]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with scope, browser and device")]
pub(super) struct RawLogin {
    scope: Option<String>,
    browser: Option<RawBrowser>,
    #[schemars(with = "Option<RawDevice>")]
    device: Option<Spanned<RawDevice>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with authorize_url, host, ports, path and paste")]
struct RawBrowser {
    authorize_url: Option<Text<PageUrl>>,
    scope: Option<String>,
    params: Option<Texts>,
    host: Option<Text<Host>>,
    #[schemars(with = "Option<Vec<Port>>", length(max = MOST_PORTS))]
    ports: Option<Spanned<Vec<Port>>>,
    path: Option<Text<CallbackPath>>,
    paste: Option<Text<ExactUrl>>,
    state_in_exchange: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with kind and the URLs of that kind")]
struct RawDevice {
    kind: Option<Kind>,
    url: Option<Text<RequestUrl>>,
    scope: Option<String>,
    format: Option<TokenFormat>,
    pkce: Option<bool>,
    params: Option<Texts>,
    start_url: Option<Text<RequestUrl>>,
    poll_url: Option<Text<RequestUrl>>,
    page: Option<Text<PageUrl>>,
    redirect: Option<Text<ExactUrl>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Code,
    Standard,
}

/// What a layer says of logins.
#[derive(Debug, Default)]
pub(super) struct LoginLayer {
    scope: Option<String>,
    browser: Option<BrowserLayer>,
    device: Option<DeviceLayer>,
}

#[derive(Debug)]
struct BrowserLayer {
    authorize: Option<PageUrl>,
    scope: Option<String>,
    params: Option<Texts>,
    host: Option<Host>,
    ports: Option<Vec<Port>>,
    path: Option<CallbackPath>,
    paste: Option<ExactUrl>,
    state_in_exchange: Option<bool>,
}

#[derive(Debug)]
enum DeviceLayer {
    Code {
        start: Option<RequestUrl>,
        poll: Option<RequestUrl>,
        page: Option<PageUrl>,
        redirect: Option<ExactUrl>,
    },
    Standard {
        url: Option<RequestUrl>,
        scope: Option<String>,
        format: Option<TokenFormat>,
        pkce: Option<bool>,
        params: Option<Texts>,
    },
}

impl RawLogin {
    /// The layer that is meant.
    pub(super) fn meant(self) -> Result<LoginLayer, Wrong> {
        Ok(LoginLayer {
            scope: self.scope,
            browser: self.browser.map(RawBrowser::meant).transpose()?,
            device: self.device.map(RawDevice::meant).transpose()?,
        })
    }
}

impl RawBrowser {
    fn meant(self) -> Result<BrowserLayer, Wrong> {
        let many = self.ports.as_ref().filter(|ports| ports.get_ref().len() > MOST_PORTS);
        if let Some(ports) = many {
            let message = format!("there are at most {MOST_PORTS} ports; [] means any free one");
            return Err(Wrong::at(ports.span(), message));
        }
        Ok(BrowserLayer {
            authorize: self.authorize_url.map(|Text(url)| url),
            scope: self.scope,
            params: self.params,
            host: self.host.map(|Text(host)| host),
            ports: self.ports.map(Spanned::into_inner),
            path: self.path.map(|Text(path)| path),
            paste: self.paste.map(|Text(url)| url),
            state_in_exchange: self.state_in_exchange,
        })
    }
}

impl RawDevice {
    fn meant(raw: Spanned<Self>) -> Result<DeviceLayer, Wrong> {
        let span = raw.span();
        let raw = raw.into_inner();
        let of_code =
            raw.start_url.is_some() || raw.poll_url.is_some() || raw.page.is_some() || raw.redirect.is_some();
        let of_standard = raw.url.is_some()
            || raw.scope.is_some()
            || raw.format.is_some()
            || raw.pkce.is_some()
            || raw.params.is_some();
        let kind = raw.kind.unwrap_or(if of_code { Kind::Code } else { Kind::Standard });
        match kind {
            Kind::Code if !of_standard => Ok(DeviceLayer::Code {
                start: raw.start_url.map(|Text(url)| url),
                poll: raw.poll_url.map(|Text(url)| url),
                page: raw.page.map(|Text(url)| url),
                redirect: raw.redirect.map(|Text(url)| url),
            }),
            Kind::Standard if !of_code => Ok(DeviceLayer::Standard {
                url: raw.url.map(|Text(url)| url),
                scope: raw.scope,
                format: raw.format,
                pkce: raw.pkce,
                params: raw.params,
            }),
            Kind::Code | Kind::Standard => {
                let message = "kind = \"standard\" has url, scope, format, pkce and params; kind = \"code\" has \
                               start_url, poll_url, page and redirect";
                Err(Wrong::at(span, message))
            }
        }
    }
}

impl LoginLayer {
    /// This layer over `base`, key by key. Another kind of device flow takes the place of the one beneath it.
    pub(super) fn over(self, base: Self) -> Self {
        Self {
            scope: self.scope.or(base.scope),
            browser: match (self.browser, base.browser) {
                (Some(own), Some(base)) => Some(own.over(base)),
                (own, base) => own.or(base),
            },
            device: match (self.device, base.device) {
                (Some(own), Some(base)) => Some(own.over(base)),
                (own, base) => own.or(base),
            },
        }
    }

    /// True where nothing is said.
    pub(super) fn is_silent(&self) -> bool {
        self.scope.is_none() && self.browser.is_none() && self.device.is_none()
    }

    /// The flows, once nothing is left to extend; none where no layer says anything.
    pub(super) fn finish(self) -> Result<Option<LoginFlows>, Missing> {
        if self.is_silent() {
            return Ok(None);
        }
        if self.browser.is_none() && self.device.is_none() {
            let example = "[login.browser] with authorize_url, or [login.device] with url";
            return Err(Missing { key: "login.browser", example });
        }
        let scope = self.scope.unwrap_or_default();
        Ok(Some(LoginFlows {
            browser: self.browser.map(|layer| layer.finish(&scope)).transpose()?,
            device: self.device.map(|layer| layer.finish(&scope)).transpose()?,
        }))
    }
}

impl BrowserLayer {
    fn over(self, base: Self) -> Self {
        Self {
            authorize: self.authorize.or(base.authorize),
            scope: self.scope.or(base.scope),
            params: self.params.or(base.params),
            host: self.host.or(base.host),
            ports: self.ports.or(base.ports),
            path: self.path.or(base.path),
            paste: self.paste.or(base.paste),
            state_in_exchange: self.state_in_exchange.or(base.state_in_exchange),
        }
    }

    fn finish(self, scope: &str) -> Result<BrowserFlow, Missing> {
        let PageUrl(authorize) = self.authorize.ok_or(Missing {
            key: "login.browser.authorize_url",
            example: "authorize_url = \"https://auth.example.com/oauth/authorize\"",
        })?;
        let paste_only =
            self.host.is_none() && self.ports.is_none() && self.path.is_none() && self.paste.is_some();
        let loopback = || Loopback {
            host: self.host.map_or_else(|| HOST.to_owned(), |Host(host)| host),
            ports: self.ports.unwrap_or_default().into_iter().map(|Port(port)| port).collect(),
            path: self.path.map_or_else(|| CALLBACK.to_owned(), |CallbackPath(path)| path),
        };
        Ok(BrowserFlow {
            authorize,
            scope: self.scope.unwrap_or_else(|| scope.to_owned()),
            params: texts(self.params),
            loopback: (!paste_only).then(loopback),
            paste: self.paste.map(|ExactUrl(url)| url),
            state_in_exchange: self.state_in_exchange.unwrap_or_default(),
        })
    }
}

impl DeviceLayer {
    fn over(self, base: Self) -> Self {
        match (self, base) {
            (
                Self::Code { start, poll, page, redirect },
                Self::Code { start: base_start, poll: base_poll, page: base_page, redirect: base_redirect },
            ) => Self::Code {
                start: start.or(base_start),
                poll: poll.or(base_poll),
                page: page.or(base_page),
                redirect: redirect.or(base_redirect),
            },
            (
                Self::Standard { url, scope, format, pkce, params },
                Self::Standard {
                    url: base_url,
                    scope: base_scope,
                    format: base_format,
                    pkce: base_pkce,
                    params: base_params,
                },
            ) => Self::Standard {
                url: url.or(base_url),
                scope: scope.or(base_scope),
                format: format.or(base_format),
                pkce: pkce.or(base_pkce),
                params: params.or(base_params),
            },
            (own @ Self::Code { .. }, Self::Standard { .. })
            | (own @ Self::Standard { .. }, Self::Code { .. }) => own,
        }
    }

    fn finish(self, shared_scope: &str) -> Result<DeviceFlow, Missing> {
        let missing = |key, example| Missing { key, example };
        match self {
            Self::Code { start, poll, page, redirect } => {
                const EXAMPLE: &str = "[login.device] with start_url, poll_url, page and redirect";
                let RequestUrl(start) = start.ok_or(missing("login.device.start_url", EXAMPLE))?;
                let RequestUrl(poll) = poll.ok_or(missing("login.device.poll_url", EXAMPLE))?;
                let PageUrl(page) = page.ok_or(missing("login.device.page", EXAMPLE))?;
                let ExactUrl(redirect) = redirect.ok_or(missing("login.device.redirect", EXAMPLE))?;
                Ok(DeviceFlow::Code { start, poll, page: page.to_string(), redirect })
            }
            Self::Standard { url, scope, format, pkce, params } => {
                const EXAMPLE: &str = "url = \"https://auth.example.com/device/code\"";
                let RequestUrl(start) = url.ok_or(missing("login.device.url", EXAMPLE))?;
                Ok(DeviceFlow::Standard {
                    start,
                    scope: scope.unwrap_or_else(|| shared_scope.to_owned()),
                    format: format.unwrap_or(TokenFormat::Form),
                    pkce: pkce.unwrap_or_default(),
                    params: texts(params),
                })
            }
        }
    }
}

fn texts(written: Option<Texts>) -> Vec<(String, String)> {
    written.map(|Texts(list)| list).unwrap_or_default()
}

/// A host under which a browser on this machine finds a listener on loopback.
#[derive(Debug)]
struct Host(String);

impl Leaf for Host {
    const EXPECTED: &'static str = "\"localhost\" or \"127.0.0.1\"";
    const PATTERN: &'static str = r"^(localhost|127\.0\.0\.1)$";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "localhost" | "127.0.0.1" => Ok(Self(text.to_owned())),
            _ => Err(format!("{text:?} is not {}, as the provider has it registered", Self::EXPECTED)),
        }
    }
}

#[derive(Debug)]
struct Port(u16);

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Port;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port: 1 to 65535")
            }
            fn visit_i64<E: Error>(self, port: i64) -> Result<Port, E> {
                let port = u16::try_from(port).ok().filter(|port| *port != 0);
                port.map(Port).ok_or_else(|| E::custom("a port is a number of 1 to 65535"))
            }
        }
        deserializer.deserialize_i64(Reader)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": u16::MAX})
    }
}

#[derive(Debug)]
struct CallbackPath(String);

impl Leaf for CallbackPath {
    const EXPECTED: &'static str = "a path such as \"/auth/callback\"";
    const PATTERN: &'static str = "^/";
    fn read(text: &str) -> Result<Self, String> {
        match Path::read(text) {
            Ok(Path(path)) if !path.is_empty() => Ok(Self(path)),
            Ok(_) | Err(_) => Err(format!("{text:?} is not {}", Self::EXPECTED)),
        }
    }
}

struct ParamName(String);

impl Leaf for ParamName {
    const EXPECTED: &'static str = "the name of a parameter";
    const PATTERN: &'static str = "";
    fn read(text: &str) -> Result<Self, String> {
        match OWN.contains(&text) {
            true => Err(format!("rota itself sets {text}; leave it out")),
            false => Ok(Self(text.to_owned())),
        }
    }
}

/// Parameters by name, in the order of the file.
#[derive(Debug)]
struct Texts(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of parameters, such as { prompt = \"login\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Texts, A::Error> {
                let mut list = Vec::new();
                while let Some((Text(ParamName(name)), value)) = table.next_entry()? {
                    list.push((name, value));
                }
                if list.len() > MOST_PARAMS {
                    return Err(A::Error::custom(format!("there are at most {MOST_PARAMS} parameters")));
                }
                Ok(Texts(list))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "propertyNames": {"not": {"enum": OWN}},
            "maxProperties": MOST_PARAMS,
            "additionalProperties": generator.subschema_for::<String>(),
        })
    }
}
