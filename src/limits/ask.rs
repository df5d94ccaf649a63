//! One question to a provider, from the request to a whole answer.
use super::ProbeFailure;
use super::pauses::LONGEST_PAUSE;
use crate::engine::{
    Inquiry, ProbeAsk, ProbePlan, ProbeRefusal, inquiry, model_inquiry, observe, probe_body, probe_refusal,
    retry_after, usage,
};
use crate::model::{Credential, LimitSample, ModelProbe, Probing, Provider, Time, UsageEndpoint};
use crate::proxy::{Seen, Watch};
use crate::upstream::{OutboundBody, OutboundRequest, Reply, ReplyBody, Sent, Upstream};
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a usage endpoint's answer, at most; the real ones are a few KiB.
const LONGEST_USAGE: usize = 256 * 1024;
/// Bytes of a model's answer of one word, at most.
const LONGEST_ANSWER: usize = 1024 * 1024;
/// Bytes of a refusal that are looked at.
const PEEK: usize = 64 * 1024;
/// A provider that asks to be left alone is left alone for at least this long.
const SHORTEST_PAUSE: Duration = Duration::from_secs(60);

/// Whom to ask, and as whom.
pub(super) struct Question<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) provider: &'a Arc<Provider>,
    pub(super) credential: &'a Credential,
    pub(super) probing: Probing,
    /// For one answer, from start to end.
    pub(super) patience: Duration,
    pub(super) now: Time,
}

/// What came of one request to a model.
enum Turned {
    Answered(LimitSample),
    Down(ProbeRefusal),
}

impl Question<'_> {
    /// Asks the usage endpoint; where there is none, or it does not serve this account, a model, if that is allowed.
    pub(super) async fn put(&self) -> Result<LimitSample, ProbeFailure> {
        let (kind, allowed) = (self.credential.kind, self.probing.models);
        let refused = match inquiry(self.provider, kind, allowed) {
            None => return Err(ProbeFailure::NotTold),
            Some(Inquiry::Model(probe)) => return self.model(probe).await,
            Some(Inquiry::Usage(endpoint)) => match self.within(self.patience, self.usage(endpoint)).await {
                Err(refused @ ProbeFailure::TurnedAway(_)) => refused,
                answered => return answered,
            },
        };
        match model_inquiry(self.provider, kind, allowed) {
            Some(probe) => self.model(probe).await,
            None => Err(refused),
        }
    }

    async fn usage(&self, endpoint: &UsageEndpoint) -> Result<LimitSample, ProbeFailure> {
        let request = request(Method::GET, &endpoint.path, &endpoint.headers, Bytes::new())?;
        let reply = self.send(request).await?;
        match reply.head.status {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                return Err(ProbeFailure::TurnedAway(reply.head.status.as_u16()));
            }
            _ => return Err(self.refused(&reply, endpoint.least)),
        }
        if is_coded(&reply.head.headers) {
            return Err(ProbeFailure::Coded);
        }
        let body = whole(reply.body, LONGEST_USAGE).await?;
        Ok(usage(endpoint, &body, self.now)?)
    }

    /// One model after the other, until one answers or nothing is left to ask.
    async fn model(&self, probe: &ModelProbe) -> Result<LimitSample, ProbeFailure> {
        let mut plan = ProbePlan::new(probe, self.probing.effort);
        while let Some(ask) = plan.ask() {
            // A model thinks before it answers.
            let patience = self.patience.saturating_mul(6);
            match self.within(patience, self.model_once(probe, &ask)).await? {
                Turned::Answered(sample) => return Ok(sample),
                Turned::Down(why) => plan = plan.refused(why),
            }
        }
        Err(ProbeFailure::ModelsRefused)
    }

    async fn model_once(&self, probe: &ModelProbe, ask: &ProbeAsk) -> Result<Turned, ProbeFailure> {
        let path = format!("{}{}", self.provider.base, probe.path);
        let body = probe_body(probe, ask).into();
        let mut reply = self.send(request(Method::POST, &path, &probe.headers, body)?).await?;
        let status = reply.head.status;
        if !status.is_success() {
            let peek = reply.peek(PEEK).await;
            let told = (status, &reply.head.headers, peek.as_ref());
            let refusal = probe_refusal(self.provider, probe, told, self.now);
            return refusal.map(Turned::Down).ok_or_else(|| self.refused(&reply, SHORTEST_PAUSE));
        }
        let glimpse = observe(self.provider, &reply.head.headers, Some(&ask.model), self.now);
        answered(self.provider, reply).await?;
        glimpse
            .map(|glimpse| Turned::Answered(glimpse.completed_probe(&ask.model)))
            .ok_or(ProbeFailure::Silent)
    }

    async fn send(&self, request: OutboundRequest) -> Result<Reply, ProbeFailure> {
        match self.upstream.send(self.provider, self.credential, request).await {
            Sent::Replied(reply) => Ok(reply),
            Sent::NotSent(_, why) => Err(ProbeFailure::NotSent(why)),
            Sent::Lost(_, why) | Sent::Unprocessed(why) => Err(ProbeFailure::Lost(why)),
            Sent::BodyBroke => Err(ProbeFailure::Lost("the request could not be written".to_owned())),
        }
    }

    /// What a status other than success comes to; `pause` is how long the provider is left alone if it does not say.
    fn refused(&self, reply: &Reply, pause: Duration) -> ProbeFailure {
        match reply.head.status {
            StatusCode::UNAUTHORIZED => ProbeFailure::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => {
                let told = retry_after(&reply.head.headers, self.now).map(|until| self.now.until(until));
                let pause = told.unwrap_or(pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                ProbeFailure::TooOften { until: self.now.after(pause) }
            }
            status => ProbeFailure::Refused(status.as_u16()),
        }
    }

    async fn within<T>(
        &self,
        patience: Duration,
        asking: impl Future<Output = Result<T, ProbeFailure>>,
    ) -> Result<T, ProbeFailure> {
        tokio::time::timeout(patience, asking).await.unwrap_or(Err(ProbeFailure::TooSlow))
    }
}

fn request(
    method: Method,
    path: &str,
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
) -> Result<OutboundRequest, ProbeFailure> {
    let path_and_query: PathAndQuery =
        path.parse().map_err(|_| ProbeFailure::NotSent("the preset's path is none".to_owned()))?;
    let mut all = HeaderMap::new();
    all.insert(USER_AGENT, HeaderValue::from_static(concat!("rota/", env!("CARGO_PKG_VERSION"))));
    all.insert(ACCEPT, HeaderValue::from_static("application/json"));
    all.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    for (name, value) in headers {
        all.insert(name, value.clone());
    }
    Ok(OutboundRequest { method, path_and_query, headers: all, body: OutboundBody::new(Full::new(body)) })
}

/// The whole body, or why there is none.
async fn whole(body: ReplyBody, most: usize) -> Result<Bytes, ProbeFailure> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ProbeFailure::TooLarge),
        Err(_) => Err(ProbeFailure::Cut),
    }
}

/// Returns when the model has answered to the end. A stream ends with the event that says so; JSON is whole and no error.
async fn answered(provider: &Arc<Provider>, reply: Reply) -> Result<(), ProbeFailure> {
    if is_coded(&reply.head.headers) {
        return Err(ProbeFailure::Coded);
    }
    let watch = Watch::of_stream(provider, &reply.head.headers);
    let body = whole(reply.body, LONGEST_ANSWER).await?;
    let fits = match watch {
        Some(mut watch) => {
            let mut refused = false;
            watch.read(&body, |seen| refused |= matches!(seen, Seen::Refusal(_)));
            !refused && watch.is_whole()
        }
        None => match serde_json::from_slice(&body) {
            Ok(Value::Object(json)) => {
                json.get("error").is_none_or(Value::is_null)
                    && json.get("type").is_none_or(|kind| kind != "error")
            }
            Ok(_) | Err(_) => false,
        },
    };
    fits.then_some(()).ok_or(ProbeFailure::InBand)
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
