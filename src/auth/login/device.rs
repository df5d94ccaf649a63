use super::error::LoginError;
use super::job::{Job, Offer, OwnersEyes, Progress};
use super::logins::Work;
use super::pkce::Pkce;
use super::trade;
use crate::auth::grant::{self, Exchange, Grant};
use crate::auth::token::{Answer, Field, Post, Trade};
use crate::model::{DeviceFlow, Endpoint, Secret, Time, TokenEndpoint, TokenFormat};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// How long a code is good for where nobody says, and the longest that is believed.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Between two polls where nobody says (RFC 8628 §3.2).
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest that is believed.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// Added by `slow_down`, and by an endpoint that does not answer (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// A code to type at most.
const CODE_CHARS: usize = 64;
/// An address to open at most.
const URL_BYTES: usize = 2048;

/// Signs in by a code that the person types in anywhere.
pub(super) async fn by_code(
    work: &Work,
    job: &Job,
    flow: &DeviceFlow,
    endpoint: &TokenEndpoint,
) -> Result<Grant, LoginError> {
    let desk = Desk { work, job, endpoint };
    match flow {
        DeviceFlow::Code { start, poll, page, redirect } => {
            desk.own_kind((start, poll), page, redirect).await
        }
        DeviceFlow::Standard { start, scope, format, pkce, params } => {
            let pkce = pkce.then(Pkce::new).transpose()?;
            desk.standard((start, *format), scope, params, pkce).await
        }
    }
}

struct Desk<'a> {
    work: &'a Work,
    job: &'a Job,
    endpoint: &'a TokenEndpoint,
}

impl Desk<'_> {
    /// The grant comes as an authorization code with its own verifier; 403 and 404 mean that the person is not done.
    async fn own_kind(
        &self,
        (start, poll): (&Endpoint, &Endpoint),
        page: &str,
        redirect: &str,
    ) -> Result<Grant, LoginError> {
        let client = ("client_id", Field::Shown(&self.endpoint.client_id));
        let begun = self.ask(start, TokenFormat::Json, vec![client]).await?;
        let begun = self.begun(begun)?;
        let id = text(&begun, &["device_auth_id"]).map(Secret::new).ok_or_else(odd)?;
        let code = code(&begun, &["user_code", "usercode"])?;
        let mut rounds = Rounds::begin(self.work, interval(&begun), LIFETIME);
        let offer = Offer {
            verification_url: Some(page.to_owned()),
            user_code: Some(OwnersEyes::new(code.clone())),
            ..Offer::default()
        };
        self.job.show(offer, Progress::WaitingForCodeEntry, rounds.expires);
        loop {
            rounds.wait(self.work).await?;
            let fields = vec![("device_auth_id", Field::Secret(&id)), ("user_code", Field::Shown(&code))];
            let answer = match self.ask(poll, TokenFormat::Json, fields).await {
                Ok(answer) => answer,
                Err(_) => {
                    rounds.slow_down();
                    continue;
                }
            };
            if answer.status.is_success() {
                return self.trade_code(&answer.json(), redirect).await;
            }
            match answer.code().as_deref() {
                Some("access_denied") => return Err(LoginError::Denied),
                Some("expired_token") => return Err(LoginError::Expired),
                _ if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) => {}
                _ if is_busy(answer.status) => rounds.slow_down(),
                _ => return Err(refused(&answer)),
            }
        }
    }

    async fn trade_code(&self, granted: &Value, redirect: &str) -> Result<Grant, LoginError> {
        let code = text(granted, &["authorization_code"]).map(Secret::new).ok_or_else(odd)?;
        let verifier = text(granted, &["code_verifier"]).map(Secret::new).ok_or_else(odd)?;
        let trade = Trade::Code { code: &code, redirect, verifier: &verifier, state: None };
        trade::exchange(self.work, self.job, self.endpoint, &trade).await
    }

    /// RFC 8628.
    async fn standard(
        &self,
        (start, format): (&Endpoint, TokenFormat),
        scope: &str,
        params: &[(String, String)],
        pkce: Option<Pkce>,
    ) -> Result<Grant, LoginError> {
        let mut fields = vec![("client_id", Field::Shown(self.endpoint.client_id.as_str()))];
        if !scope.is_empty() {
            fields.push(("scope", Field::Shown(scope)));
        }
        if let Some(Pkce { challenge, .. }) = &pkce {
            fields.push(("code_challenge", Field::Shown(challenge)));
            fields.push(("code_challenge_method", Field::Shown("S256")));
        }
        fields.extend(params.iter().map(|(name, value)| (name.as_str(), Field::Shown(value))));
        let begun = self.ask(start, format, fields).await?;
        let begun = self.begun(begun)?;
        let device = text(&begun, &["device_code"]).map(Secret::new).ok_or_else(odd)?;
        let lifetime = seconds(&begun, "expires_in").map_or(LIFETIME, |told| told.min(LIFETIME));
        let rounds = Rounds::begin(self.work, interval(&begun), lifetime);
        let complete = text(&begun, &["verification_uri_complete", "verification_url_complete"]);
        let offer = Offer {
            verification_url: Some(address(
                text(&begun, &["verification_uri", "verification_url"]).ok_or_else(odd)?,
            )?),
            verification_url_complete: complete.map(address).transpose()?.map(OwnersEyes::new),
            user_code: Some(OwnersEyes::new(code(&begun, &["user_code"])?)),
            ..Offer::default()
        };
        self.job.show(offer, Progress::WaitingForCodeEntry, rounds.expires);
        let verifier = pkce.as_ref().map(|pkce| &pkce.verifier);
        self.poll(rounds, &Trade::Device { code: &device, verifier }).await
    }

    async fn poll(&self, mut rounds: Rounds, trade: &Trade<'_>) -> Result<Grant, LoginError> {
        let params = self.work.tokens.params(&self.endpoint.params, &self.job.alias).await;
        let params = params.map_err(LoginError::ExchangeFailed)?;
        loop {
            rounds.wait(self.work).await?;
            let asked = self.work.tokens.ask(self.endpoint, trade, &params, self.work.deadline).await;
            let Ok(answer) = asked else {
                rounds.slow_down();
                continue;
            };
            if let Exchange::Granted(grant) = answer.exchange() {
                return Ok(*grant);
            }
            match answer.code().as_deref() {
                Some("authorization_pending") => {}
                Some("slow_down") => rounds.slow_down(),
                Some("access_denied") => return Err(LoginError::Denied),
                Some("expired_token") => return Err(LoginError::Expired),
                // Some endpoints answer 200 while they wait.
                None if answer.status.is_success() => {}
                _ if is_busy(answer.status) => rounds.slow_down(),
                _ => return Err(refused(&answer)),
            }
        }
    }

    async fn ask(
        &self,
        to: &Endpoint,
        format: TokenFormat,
        fields: Vec<(&str, Field<'_>)>,
    ) -> Result<Answer, LoginError> {
        let post = Post { to, format, headers: self.headers_for(to), fields };
        let asked = self.work.tokens.post(&post, self.work.deadline).await;
        asked.map_err(|silence| {
            LoginError::ExchangeFailed(match silence {
                Exchange::Unclear(why) | Exchange::Unspent { why, .. } => why,
                Exchange::Granted(_) | Exchange::Refused(_) => "it gave no answer".to_owned(),
            })
        })
    }

    /// The headers that the token endpoint wants are wanted by its neighbours as well, and are nobody else's business.
    fn headers_for(&self, to: &Endpoint) -> &[(HeaderName, HeaderValue)] {
        if to.origin == self.endpoint.origin { &self.endpoint.headers } else { &[] }
    }

    fn begun(&self, answer: Answer) -> Result<Value, LoginError> {
        match answer.status {
            status if status.is_success() && answer.code().is_none() => Ok(answer.json()),
            StatusCode::NOT_FOUND => Err(LoginError::DeviceUnavailable(self.job.provider.clone())),
            _ => Err(refused(&answer)),
        }
    }
}

/// When it is asked whether the person is done.
struct Rounds {
    next: Time,
    interval: Duration,
    expires: Time,
}

impl Rounds {
    fn begin(work: &Work, interval: Duration, lifetime: Duration) -> Self {
        let now = work.clock.now();
        Self { next: now.after(interval), interval, expires: now.after(lifetime) }
    }

    /// Returns when it is time to ask. The interval counts from one question to the next.
    async fn wait(&mut self, work: &Work) -> Result<(), LoginError> {
        work.clock.sleep_until(self.next.min(self.expires)).await;
        let now = work.clock.now();
        if now >= self.expires {
            return Err(LoginError::Expired);
        }
        self.next = now.after(self.interval);
        Ok(())
    }

    fn slow_down(&mut self) {
        self.interval = (self.interval + SLOWER).min(LONGEST_INTERVAL);
        self.next = self.next.after(SLOWER);
    }
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

fn refused(answer: &Answer) -> LoginError {
    let status = answer.status.as_u16();
    LoginError::Refused(match answer.code() {
        Some(code) => format!("it answered {status}, {code}"),
        None => format!("it answered {status}"),
    })
}

fn odd() -> LoginError {
    LoginError::Refused("its answer lacks what a sign-in needs".to_owned())
}

fn text<'a>(body: &'a Value, names: &[&str]) -> Option<&'a str> {
    let texts = names.iter().filter_map(|name| body.get(name)?.as_str());
    texts.map(str::trim).find(|text| !text.is_empty())
}

/// What the person types: shown on a terminal, so it holds nothing that a terminal would obey.
fn code(body: &Value, names: &[&str]) -> Result<String, LoginError> {
    let code = text(body, names).ok_or_else(odd)?;
    let is_plain = code.chars().all(|char| char.is_ascii_graphic() || char == ' ');
    if is_plain && code.len() <= CODE_CHARS { Ok(code.to_owned()) } else { Err(odd()) }
}

/// What the person opens: an address of the web's, or of this machine's.
fn address(text: &str) -> Result<String, LoginError> {
    let is_web = text.starts_with("https://")
        || text.starts_with("http://127.0.0.1:")
        || text.starts_with("http://localhost:");
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_web && is_plain && text.len() <= URL_BYTES { Ok(text.to_owned()) } else { Err(odd()) }
}

fn interval(body: &Value) -> Duration {
    seconds(body, "interval").map_or(INTERVAL, |told| told.clamp(Duration::from_secs(1), LONGEST_INTERVAL))
}

/// Seconds, as a number or as a text.
fn seconds(body: &Value, name: &str) -> Option<Duration> {
    let seconds = grant::whole_number(body.get(name)?)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// REN-5
    #[test]
    fn an_interval_is_a_number_or_a_text_and_neither_none_nor_endless() {
        for (told, expected) in [
            (json!({}), 5),
            (json!({ "interval": "5" }), 5),
            (json!({ "interval": 7 }), 7),
            (json!({ "interval": 0 }), 1),
            (json!({ "interval": -3 }), 5),
            (json!({ "interval": "soon" }), 5),
            (json!({ "interval": 1e12 }), 60),
        ] {
            assert_eq!(interval(&told).as_secs(), expected, "{told}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_neither_a_code_nor_an_address() {
        for (told, good) in [
            ("ABCD-1234", true),
            ("AB CD", true),
            ("", false),
            ("\u{1b}[2J", false),
            ("A\nB", false),
            (&"A".repeat(65), false),
        ] {
            assert_eq!(code(&json!({ "user_code": told }), &["user_code"]).is_ok(), good, "{told:?}");
        }
        for (told, good) in [
            ("https://id.example.com/device?code=A", true),
            ("http://localhost:9/device", true),
            ("http://id.example.com/device", false),
            ("http://localhost.example.com/", false),
            ("javascript:alert(1)", false),
            ("file:///etc/passwd", false),
            ("https://id.example.com/\u{7}", false),
        ] {
            assert_eq!(address(told).is_ok(), good, "{told:?}");
        }
    }
}
