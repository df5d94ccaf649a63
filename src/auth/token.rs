use super::claims::Claims;
use super::grant::{self, Exchange, Then};
use super::renewed::Known;
use crate::model::{Credential, Secret, TokenEndpoint, TokenFormat};
use crate::upstream::{BuildError, Connector, Failure, Proxies, UpstreamConfig, failure, target};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// A token endpoint's answer at most.
const ANSWER_BYTES: usize = 1 << 20;

/// Speaks to token endpoints. Every exchange has a connection of its own: on one that was used before, nobody could
/// tell a lost request from one that was never sent.
#[derive(Clone, Debug)]
pub struct TokenClient {
    client: Client<Connector, Full<Bytes>>,
}

impl TokenClient {
    /// Trusts and connects as requests do.
    pub fn new(config: &UpstreamConfig) -> Result<Self, BuildError> {
        let proxies = Proxies::new(&config.proxies)?;
        let connector = Connector::new(&config.trust, proxies, config.connect)?;
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(Self { client })
    }

    /// Makes one trade for new tokens, within `patience`. `params` are the endpoint's own, read for this account.
    pub(super) async fn exchange(
        &self,
        endpoint: &TokenEndpoint,
        trade: &Trade<'_>,
        params: &[(String, String)],
        patience: Duration,
    ) -> Exchange {
        let request = match request(endpoint, trade, params) {
            Ok(request) => request,
            Err(why) => return unreached(why),
        };
        let answering = tokio::time::timeout(patience, self.answer(request));
        match answering.await {
            Ok(exchange) => exchange,
            Err(_) => Exchange::Unclear("it did not answer in time".to_owned()),
        }
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Exchange {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => {
                return match failure(&error) {
                    Failure::Lost(why) => Exchange::Unclear(why),
                    Failure::NotSent(_, why) | Failure::Unprocessed(why) => unreached(why),
                };
            }
        };
        let (head, body) = response.into_parts();
        match Limited::new(body, ANSWER_BYTES).collect().await {
            Ok(body) => grant::read(head.status, &head.headers, &body.to_bytes()),
            // The head alone says this much.
            Err(_) if head.status == StatusCode::TOO_MANY_REQUESTS => {
                grant::read(head.status, &head.headers, b"")
            }
            Err(_) => Exchange::Unclear("its answer was cut or too large".to_owned()),
        }
    }
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
        code: &'a str,
        /// The redirection it was given to.
        redirect: &'a str,
        /// Of which the challenge was made.
        verifier: &'a str,
        /// Where the endpoint wants it repeated.
        state: Option<&'a str>,
    },
    /// What a device's login is known by (RFC 8628 §3.4).
    Device {
        /// Its code.
        code: &'a str,
        /// Where a challenge was sent.
        verifier: Option<&'a str>,
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
                    ("code", code),
                    ("redirect_uri", redirect),
                    ("code_verifier", verifier),
                ];
                fixed.into_iter().chain(state.map(|state| ("state", state))).collect()
            }
            Self::Device { code, verifier } => {
                let fixed =
                    [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code)];
                fixed.into_iter().chain(verifier.map(|verifier| ("code_verifier", verifier))).collect()
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
    let fixed = trade.params(endpoint).into_iter().chain([("client_id", endpoint.client_id.as_str())]);
    let more = params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let params = fixed.chain(more);
    let (kind, body) = match trade.format(endpoint) {
        TokenFormat::Form => ("application/x-www-form-urlencoded", form(params)),
        TokenFormat::Json => {
            let params = params.map(|(name, value)| (name.to_owned(), value.into()));
            let body = serde_json::Value::Object(params.collect());
            ("application/json", body.to_string())
        }
    };
    let path = endpoint.path.parse().map_err(|_| "its path is not one that can be requested")?;
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target(&endpoint.origin, path)?;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    for (name, value) in &endpoint.headers {
        headers.insert(name, value.clone());
    }
    Ok(request)
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
