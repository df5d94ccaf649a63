use super::claims::Claims;
use super::grant::{self, Exchange, Then};
use super::params;
use super::program::Programs;
use super::renewed::Known;
use crate::config::Variables;
use crate::model::{Alias, Credential, Endpoint, Origin, Param, Secret, TokenEndpoint, TokenFormat};
use crate::upstream::{BuildError, Connector, Failure, Proxies, Upstream, UpstreamConfig, failure, target};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A token endpoint's answer at most.
const ANSWER_BYTES: usize = 1 << 20;
/// An exchange's time is measured in so many parts; a stop of the process counts for one of them at most.
const NAPS: u32 = 20;

/// Speaks to token endpoints. Every exchange has a connection of its own: on one that was used before, nobody could
/// tell a lost request from one that was never sent.
#[derive(Clone, Debug)]
pub struct TokenClient {
    client: Client<Connector, Full<Bytes>>,
    programs: Arc<Programs>,
}

impl TokenClient {
    /// Trusts and connects as requests do.
    pub fn new(config: &UpstreamConfig) -> Result<Self, BuildError> {
        let proxies = Proxies::new(&config.proxies)?;
        Ok(Self::over(Connector::new(&config.trust, proxies, config.connect)?))
    }

    /// Connects as `upstream` does: the root certificates are read once.
    pub fn like(upstream: &Upstream) -> Self {
        Self::over(upstream.connector())
    }

    fn over(connector: Connector) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_max_idle_per_host(0)
            .build(connector);
        Self { client, programs: Arc::new(Programs::new(Variables::default())) }
    }

    /// With the environment that parameters may come from and programs are found by; there is none otherwise.
    #[must_use]
    pub fn with_variables(self, variables: Variables) -> Self {
        Self { programs: Arc::new(Programs::new(variables)), ..self }
    }

    /// The values of an endpoint's own parameters for one account, read now.
    ///
    /// # Errors
    /// A sentence that names the parameter and holds no value.
    pub(super) async fn params(
        &self,
        params: &[(String, Param)],
        alias: &Alias,
    ) -> Result<Vec<(String, String)>, String> {
        params::resolve(params, alias, &self.programs).await
    }

    /// What runs the user's programs.
    pub(super) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Makes one trade for new tokens, within `patience`. `params` are the endpoint's own, read for this account.
    pub(super) async fn exchange(
        &self,
        endpoint: &TokenEndpoint,
        trade: &Trade<'_>,
        params: &[(String, String)],
        patience: Duration,
    ) -> Exchange {
        match self.ask(endpoint, trade, params, patience).await {
            Ok(answer) => answer.exchange(),
            Err(exchange) => exchange,
        }
    }

    /// The endpoint's own words on a trade. The error is what became of it where there are none.
    pub(super) async fn ask(
        &self,
        endpoint: &TokenEndpoint,
        trade: &Trade<'_>,
        params: &[(String, String)],
        patience: Duration,
    ) -> Result<Answer, Exchange> {
        self.send(request(endpoint, trade, params), patience).await
    }

    /// Asks an endpoint that grants no tokens.
    pub(super) async fn post(&self, post: &Post<'_>, patience: Duration) -> Result<Answer, Exchange> {
        self.send(post.request(), patience).await
    }

    async fn send(
        &self,
        request: Result<Request<Full<Bytes>>, String>,
        patience: Duration,
    ) -> Result<Answer, Exchange> {
        let answered = running(patience, self.answer(request.map_err(unreached)?)).await;
        answered.unwrap_or_else(|| Err(Exchange::Unclear("it did not answer in time".to_owned())))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Answer, Exchange> {
        let response = self.client.request(request).await.map_err(|error| match failure(&error) {
            Failure::Lost(why) => Exchange::Unclear(why),
            Failure::NotSent(_, why) | Failure::Unprocessed(why) => unreached(why),
        })?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, ANSWER_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            // The head alone says this much.
            Err(_) if head.status == StatusCode::TOO_MANY_REQUESTS => Bytes::new(),
            Err(_) => return Err(Exchange::Unclear("its answer was cut or too large".to_owned())),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// A complete answer. It may hold tokens: it is never shown.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// Taken as the answer to a trade.
    pub(super) fn exchange(&self) -> Exchange {
        grant::read(self.status, &self.headers, &self.body)
    }

    /// The code by which it names an error, if it does.
    pub(super) fn code(&self) -> Option<String> {
        grant::code(&self.json())
    }

    /// Its body; null where it is not JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A request to an endpoint that grants no tokens.
pub(super) struct Post<'a> {
    /// Where.
    pub(super) to: &'a Endpoint,
    /// How it is written.
    pub(super) format: TokenFormat,
    /// Headers beyond `Content-Type` and `Accept`.
    pub(super) headers: &'a [(HeaderName, HeaderValue)],
    /// What it says.
    pub(super) fields: Vec<(&'a str, Field<'a>)>,
}

/// A value of a [`Post`].
#[derive(Clone, Copy)]
pub(super) enum Field<'a> {
    /// Nobody else's business.
    Secret(&'a Secret),
    /// Anybody may know it.
    Shown(&'a str),
}

impl Post<'_> {
    fn request(&self) -> Result<Request<Full<Bytes>>, String> {
        let fields = self.fields.iter().map(|(name, value)| match value {
            Field::Secret(secret) => (*name, secret.expose()),
            Field::Shown(text) => (*name, *text),
        });
        let wire = Wire { origin: &self.to.origin, path: &self.to.path, format: self.format };
        wire.request(self.headers, fields)
    }
}

/// What comes of `work` within `patience` of the time in which this process runs; none where that is too short. While it
/// is stopped, or the machine asleep, an answer may have come: it lies there unread, and is not lost.
async fn running<T>(patience: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..NAPS {
        if let Ok(done) = tokio::time::timeout(patience / NAPS, &mut work).await {
            return Some(done);
        }
    }
    None
}

/// What a credential's tokens say of themselves.
pub(super) fn known(credential: &Credential) -> Known {
    let claims = |token: &Secret| Claims::of(token.expose());
    Known { access: claims(&credential.access), id: credential.id_token.as_ref().and_then(claims) }
}

fn unreached(why: String) -> Exchange {
    Exchange::Unspent { why, then: Then::Unreached }
}

/// What is traded for tokens.
#[derive(Clone, Copy)]
pub(super) enum Trade<'a> {
    /// What a login through a browser gave (RFC 6749 §4.1.3, RFC 7636 §4.5).
    Code {
        /// Single-use.
        code: &'a Secret,
        /// The redirection it was given to.
        redirect: &'a str,
        /// Of which the challenge was made.
        verifier: &'a Secret,
        /// Where the endpoint wants it repeated.
        state: Option<&'a Secret>,
    },
    /// What a device's login is known by (RFC 8628 §3.4).
    Device {
        /// Its code.
        code: &'a Secret,
        /// Where a challenge was sent.
        verifier: Option<&'a Secret>,
    },
    /// Nothing but what the endpoint's own parameters say.
    Parameters,
    /// A refresh token (RFC 6749 §6).
    Refresh(&'a Secret),
}

impl<'a> Trade<'a> {
    fn params(&self, endpoint: &TokenEndpoint) -> Vec<(&'static str, &'a str)> {
        match *self {
            Self::Code { code, redirect, verifier, state } => {
                let fixed = [
                    ("grant_type", "authorization_code"),
                    ("code", code.expose()),
                    ("redirect_uri", redirect),
                    ("code_verifier", verifier.expose()),
                ];
                fixed.into_iter().chain(state.map(|state| ("state", state.expose()))).collect()
            }
            Self::Device { code, verifier } => {
                let fixed = [
                    ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                    ("device_code", code.expose()),
                ];
                fixed
                    .into_iter()
                    .chain(verifier.map(|verifier| ("code_verifier", verifier.expose())))
                    .collect()
            }
            Self::Parameters => vec![("grant_type", endpoint.grant.wire())],
            Self::Refresh(token) => vec![("grant_type", "refresh_token"), ("refresh_token", token.expose())],
        }
    }

    fn format(&self, endpoint: &TokenEndpoint) -> TokenFormat {
        match self {
            Self::Code { .. } => endpoint.code_format.unwrap_or(endpoint.format),
            Self::Device { .. } | Self::Parameters | Self::Refresh(_) => endpoint.format,
        }
    }
}

fn request(
    endpoint: &TokenEndpoint,
    trade: &Trade<'_>,
    params: &[(String, String)],
) -> Result<Request<Full<Bytes>>, String> {
    let client = Some(("client_id", endpoint.client_id.as_str())).filter(|(_, id)| !id.is_empty());
    let fixed = trade.params(endpoint).into_iter().chain(client);
    let more = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let wire = Wire { origin: &endpoint.origin, path: &endpoint.path, format: trade.format(endpoint) };
    wire.request(&endpoint.headers, fixed.chain(more))
}

/// Where a request goes, and how it is written.
struct Wire<'a> {
    origin: &'a Origin,
    path: &'a str,
    format: TokenFormat,
}

impl Wire<'_> {
    fn request<'f>(
        &self,
        headers: &[(HeaderName, HeaderValue)],
        fields: impl Iterator<Item = (&'f str, &'f str)>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let (kind, body) = match self.format {
            TokenFormat::Form => ("application/x-www-form-urlencoded", form(fields)),
            TokenFormat::Json => {
                let fields = fields.map(|(name, value)| (name.to_owned(), value.into()));
                let body = serde_json::Value::Object(fields.collect());
                ("application/json", body.to_string())
            }
        };
        let path = self.path.parse().map_err(|_| "its path is not one that can be requested")?;
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target(self.origin, path)?;
        let sent = request.headers_mut();
        sent.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        sent.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            sent.insert(name, value.clone());
        }
        Ok(request)
    }
}

/// The encoding of HTML forms (RFC 6749 appendix B).
fn form<'a>(params: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut form = String::new();
    for (name, value) in params {
        if !form.is_empty() {
            form.push('&');
        }
        escape(name, &mut form);
        form.push('=');
        escape(value, &mut form);
    }
    form
}

fn escape(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => {
                into.push(byte.into());
            }
            b' ' => into.push('+'),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                into.extend(['%', digits[0].into(), digits[1].into()]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_escaped_byte_by_byte() {
        let params = [("a b", "1&2=3"), ("t", "x-._*~/+é")];
        assert_eq!(form(params.into_iter()), "a+b=1%262%3D3&t=x-._*%7E%2F%2B%C3%A9");
    }
}
