use super::Brief;
use crate::engine::{Attempt, SignIn, SignInEnd, Verdict, Why, WhyNot};
use crate::model::{Alias, Few, KeyName, ModelName, ProviderId, Reason, RequestId, Strategy, Time};
use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One request's whole story (OBS-1): the JSON log line, the `/api/decisions` entry and the words of `rota why`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionRecord {
    /// 16 hex digits, also in the `x-rota-request-id` header.
    #[schemars(with = "String")]
    pub request_id: RequestId,
    /// When it came.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Time,
    /// Its method.
    #[serde(serialize_with = "method")]
    #[schemars(with = "String")]
    pub method: Method,
    /// Its path, without the query (which may hold a key).
    #[schemars(with = "String")]
    pub path: Brief,
    /// Whose key it named, where that is a client's own.
    #[schemars(with = "Option<String>")]
    pub client: Option<KeyName>,
    /// The provider its path means; none where no route fits.
    #[schemars(with = "Option<String>")]
    pub provider: Option<ProviderId>,
    /// The model, where it is known.
    #[schemars(with = "Option<String>")]
    pub model: Option<ModelName>,
    /// The strategy in force.
    #[serde(serialize_with = "strategy")]
    #[schemars(with = "String")]
    pub strategy: Strategy,
    /// The kind of session key it had.
    #[serde(serialize_with = "header")]
    #[schemars(with = "Option<String>")]
    pub session: Option<HeaderName>,
    /// Who served it, or failed last.
    #[schemars(with = "Option<String>")]
    pub selected_alias: Option<Alias>,
    /// Why that account.
    #[serde(serialize_with = "why")]
    #[schemars(with = "Option<String>")]
    pub why: Option<Why>,
    /// Why not the first one taken.
    #[serde(serialize_with = "reason")]
    #[schemars(with = "Option<String>")]
    pub fallback_reason: Option<Reason>,
    /// The account a force pins, if one is on.
    #[schemars(with = "Option<String>")]
    pub force_state: Option<Alias>,
    /// Accounts of the provider that are switched on, of all it has.
    pub enabled_state: (usize, usize),
    /// Every attempt, in order.
    pub attempts: Few<AttemptRecord>,
    /// The sign-in that was asked for because nobody could serve (FLO-6).
    pub sign_in: Option<SignInRecord>,
    /// What the refusal meant that passed to the client inside a reply with a status of success. Such a reply is
    /// `passed`, not `served`, and teaches no limits (LIM-1).
    pub in_band: Option<InBandRecord>,
    /// How it ended.
    pub outcome: Outcome,
    /// The status the client saw, if it saw one.
    pub status: Option<u16>,
    /// The code of rota's own answer, if it was one: rotation's, or the gate's, the router's and the like.
    pub refusal: Option<&'static str>,
    /// Where rotation found nobody: every account of the provider, and why not it. Where the conversation could not stay
    /// where it was: that account.
    #[schemars(with = "BTreeMap<String, SkipRecord>")]
    pub reasons: BTreeMap<Alias, SkipRecord>,
    /// From the request's arrival to the reply's head, in milliseconds.
    pub first_byte_ms: Option<f64>,
    /// From the request's arrival to the end of the reply, in milliseconds.
    pub duration_ms: f64,
    /// Spent in rota itself, in milliseconds.
    pub overhead_ms: f64,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
}

// A thousand are kept: half a megabyte, and each new one is written over the oldest.
const _: () = assert!(size_of::<DecisionRecord>() <= 512);

/// Why an account could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkipRecord {
    /// In the words of FLO-7.
    #[serde(serialize_with = "some_reason")]
    #[schemars(with = "String")]
    pub reason: Reason,
    /// When that ends, if it ends by itself.
    #[serde(serialize_with = "some_rfc3339")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Time>,
}

impl From<&WhyNot> for SkipRecord {
    fn from(why: &WhyNot) -> Self {
        Self { reason: why.reason, until: why.until }
    }
}

/// A sign-in that a request asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignInRecord {
    /// The account.
    #[schemars(with = "String")]
    pub alias: Alias,
    /// Whether the request was held for it, and until when at most.
    #[serde(serialize_with = "some_rfc3339")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub held_until: Option<Time>,
    /// What came of it while the request waited: `raised` where it did not wait, `signed-in`, `failed`, `timed-out`;
    /// none where the client left first.
    pub end: Option<&'static str>,
}

impl From<&SignIn> for SignInRecord {
    fn from(sign_in: &SignIn) -> Self {
        Self {
            alias: sign_in.alias.clone(),
            held_until: sign_in.until,
            end: sign_in.end.map(SignInEnd::as_str),
        }
    }
}

/// A refusal inside a reply that passed: before its first word where no account was left, else after it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InBandRecord {
    /// `pass` where no rule knows it, or the fault's class.
    pub verdict: &'static str,
    /// Who is to blame, for a fault.
    pub scope: Option<&'static str>,
    /// The preset's rule that said so.
    #[serde(serialize_with = "rule")]
    #[schemars(with = "Option<String>")]
    pub rule: Option<Arc<str>>,
    /// In the words of FLO-7, for a fault.
    #[serde(serialize_with = "reason")]
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
}

impl From<&Verdict> for InBandRecord {
    fn from(verdict: &Verdict) -> Self {
        let fault = match verdict {
            Verdict::Fault(fault) => Some(fault),
            Verdict::Pass => None,
        };
        Self {
            verdict: fault.map_or("pass", |fault| fault.class.as_str()),
            scope: fault.map(|fault| fault.scope.as_str()),
            rule: fault.and_then(|fault| fault.rule.clone()),
            reason: fault.map(|fault| Reason::from(fault.class)),
        }
    }
}

/// One attempt of a [`DecisionRecord`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// The account.
    #[schemars(with = "String")]
    pub alias: Alias,
    /// Why it was taken.
    #[serde(serialize_with = "some_why")]
    #[schemars(with = "String")]
    pub why: Why,
    /// `pass`, or the fault's class.
    pub verdict: &'static str,
    /// Who is to blame, for a fault.
    pub scope: Option<&'static str>,
    /// The preset's rule that said so.
    #[serde(serialize_with = "rule")]
    #[schemars(with = "Option<String>")]
    pub rule: Option<Arc<str>>,
    /// Why the account did not serve, in the words of FLO-7; none for a success.
    #[serde(serialize_with = "reason")]
    #[schemars(with = "Option<String>")]
    pub reason: Option<Reason>,
    /// The upstream's status, if there was a head.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

impl From<Attempt> for AttemptRecord {
    fn from(attempt: Attempt) -> Self {
        let fault = match attempt.verdict {
            Verdict::Fault(fault) => Some(fault),
            Verdict::Pass => None,
        };
        Self {
            alias: attempt.alias,
            why: attempt.decision.why,
            verdict: fault.as_ref().map_or("pass", |fault| fault.class.as_str()),
            scope: fault.as_ref().map(|fault| fault.scope.as_str()),
            reason: fault.as_ref().map(|fault| Reason::from(fault.class)),
            rule: fault.and_then(|fault| fault.rule),
            status: attempt.status,
            ms: u64::try_from(attempt.started.until(attempt.ended).as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The client went away first.
    Abandoned,
    /// An upstream's own error was handed on, by its status or inside its body, or its reply was cut.
    Passed,
    /// Nobody could serve it, or rota would not.
    Refused,
    /// An account's success.
    Served,
}

impl Outcome {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Served => "served",
        }
    }
}

pub(super) fn rfc3339<S: Serializer>(at: &Time, to: S) -> Result<S::Ok, S::Error> {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(stamp) => to.collect_str(&stamp),
        Err(_) => to.serialize_none(),
    }
}

fn method<S: Serializer>(method: &Method, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(method.as_str())
}

fn header<S: Serializer>(name: &Option<HeaderName>, to: S) -> Result<S::Ok, S::Error> {
    name.as_ref().map(HeaderName::as_str).serialize(to)
}

fn rule<S: Serializer>(name: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    name.as_deref().serialize(to)
}

fn strategy<S: Serializer>(strategy: &Strategy, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(strategy.as_str())
}

fn why<S: Serializer>(why: &Option<Why>, to: S) -> Result<S::Ok, S::Error> {
    match why {
        Some(why) => some_why(why, to),
        None => to.serialize_none(),
    }
}

fn some_why<S: Serializer>(why: &Why, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(why.as_str())
}

fn reason<S: Serializer>(reason: &Option<Reason>, to: S) -> Result<S::Ok, S::Error> {
    match reason {
        Some(reason) => to.serialize_str(reason.as_str()),
        None => to.serialize_none(),
    }
}

fn some_reason<S: Serializer>(reason: &Reason, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(reason.as_str())
}

fn some_rfc3339<S: Serializer>(at: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, to),
        None => to.serialize_none(),
    }
}
