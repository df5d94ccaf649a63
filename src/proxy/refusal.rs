//! Nobody can serve: said so that the client stops asking, and the person in front of it knows what to do and when to
//! come back (FLO-8). The status never depends on what an upstream said last, and a refusal never invents a wait.
use super::error::Turned;
use super::flight::Flight;
use super::reply::{ReplyStream, SHOULD_RETRY, ours};
use crate::engine::{Refusal, RefusalCode};
use crate::model::{Dialect, LostReply, Time};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

/// How the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// No account was ever added: a mistake of set-up, not of the pool's.
    Absent,
    /// Only a human can mend it.
    Human,
    /// It mends itself.
    Rests,
    /// The provider is down, for everybody.
    Down,
}

/// The refusal in the client's dialect, and its accounting.
pub(super) fn answer(refusal: &Refusal, mut flight: Flight) -> Response<ReplyStream> {
    let world = flight.app.state.snapshot();
    let dialect = world.provider(&refusal.provider).map_or(Dialect::Responses, |provider| provider.dialect);
    let now = flight.app.clock.now();
    let (status, mut body) = match flight.lost.as_ref().and_then(provider_words) {
        Some(words) => words,
        None => word(refusal, dialect, now),
    };
    if dialect == Dialect::Messages
        && let Some(body) = body.as_object_mut()
    {
        body.insert("request_id".to_owned(), flight.id.to_string().into());
    }
    let mut response = ours(status, &body);
    let headers = response.headers_mut();
    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    flight.sign(headers);
    flight.head_sent(status);
    flight.refused(refusal);
    response
}

/// A key that does not open what was asked for, in the client's dialect where it is known: each has an error of its own
/// for a credential that is wrong, which clients do not try again.
pub(super) fn keyed(why: &Turned, flight: &Flight) -> Value {
    let world = flight.app.state.snapshot();
    let provider = flight.provider.as_ref().and_then(|id| world.provider(id));
    let (code, message) = (why.code(), why.to_string());
    let known = *why != Turned::ClientKey;
    match provider.map_or(Dialect::Responses, |provider| provider.dialect) {
        Dialect::GenerateContent => {
            let status = if known { "PERMISSION_DENIED" } else { "UNAUTHENTICATED" };
            let number = why.status().as_u16();
            json!({"error": {"code": number, "status": status, "reason": code, "message": message}})
        }
        Dialect::Messages => {
            let kind = if known { "permission_error" } else { "authentication_error" };
            let error = json!({"type": kind, "code": code, "message": message});
            json!({"type": "error", "error": error, "request_id": flight.id.to_string()})
        }
        Dialect::Responses => {
            json!({"error": {"type": "invalid_request_error", "code": code, "message": message}})
        }
    }
}

/// The provider's own error for state that is gone: its clients know what to do about it.
fn provider_words(lost: &LostReply) -> Option<(StatusCode, Value)> {
    Some((StatusCode::from_u16(lost.status).ok()?, serde_json::from_str(&lost.body).ok()?))
}

/// The status and the body that say so.
pub(super) fn word(refusal: &Refusal, dialect: Dialect, now: Time) -> (StatusCode, Value) {
    let manner = manner(refusal);
    let status = status(manner, dialect);
    let message = message(refusal, manner, now);
    let mut error = Map::new();
    match dialect {
        Dialect::GenerateContent => {
            error.insert("code".to_owned(), status.as_u16().into());
            error.insert("status".to_owned(), generate_status(status).into());
            error.insert("reason".to_owned(), refusal.code.as_str().into());
        }
        Dialect::Messages | Dialect::Responses => {
            error.insert("type".to_owned(), kind(manner, dialect).into());
            error.insert("code".to_owned(), refusal.code.as_str().into());
        }
    }
    error.insert("message".to_owned(), message.into());
    error.insert("provider".to_owned(), refusal.provider.as_str().into());
    error.insert("attempted".to_owned(), json!(refusal.tried));
    error.insert("reasons".to_owned(), reasons(refusal, now));
    if let Some(last) = refusal.last_status {
        error.insert("last_status".to_owned(), last.into());
    }
    if let Some(soonest) = refusal.soonest {
        error.insert("resets_at".to_owned(), seconds_up(soonest).into());
        error.insert("resets_in_seconds".to_owned(), wait(now, soonest).into());
    }
    let body = match dialect {
        Dialect::GenerateContent | Dialect::Responses => json!({ "error": error }),
        Dialect::Messages => json!({ "type": "error", "error": error }),
    };
    (status, body)
}

fn manner(refusal: &Refusal) -> Manner {
    match refusal.code {
        RefusalCode::UpstreamUnavailable if refusal.needs_human() => Manner::Human,
        RefusalCode::UpstreamUnavailable => Manner::Down,
        RefusalCode::AllAccountsExhausted | RefusalCode::NoEligibleAccounts => {
            if refusal.reasons.is_empty() && refusal.tried.is_empty() {
                Manner::Absent
            } else if refusal.needs_human() {
                Manner::Human
            } else {
                Manner::Rests
            }
        }
    }
}

/// 429 stops most clients at once; where a human must act, a 400 is the one that a Responses client prints as it is.
fn status(manner: Manner, dialect: Dialect) -> StatusCode {
    match (manner, dialect) {
        (Manner::Absent, _) => StatusCode::NOT_FOUND,
        (Manner::Human, Dialect::GenerateContent | Dialect::Responses) => StatusCode::BAD_REQUEST,
        (Manner::Human, Dialect::Messages) | (Manner::Down | Manner::Rests, _) => {
            StatusCode::TOO_MANY_REQUESTS
        }
    }
}

fn kind(manner: Manner, dialect: Dialect) -> &'static str {
    match (dialect, manner) {
        (Dialect::Messages, Manner::Absent) => "not_found_error",
        (Dialect::Messages, _) => "rate_limit_error",
        (_, Manner::Absent | Manner::Human) => "invalid_request_error",
        (_, Manner::Down) => "upstream_unavailable",
        (_, Manner::Rests) => "usage_limit_reached",
    }
}

fn generate_status(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "FAILED_PRECONDITION",
        StatusCode::NOT_FOUND => "NOT_FOUND",
        _ => "RESOURCE_EXHAUSTED",
    }
}

fn message(refusal: &Refusal, manner: Manner, now: Time) -> String {
    let provider = &refusal.provider;
    let back =
        refusal.soonest.map_or_else(String::new, |at| format!(" The first is back {}.", when(now, at)));
    let sign_in = (refusal.sign_in.as_ref())
        .map_or_else(String::new, |alias| format!(" To sign in, run: rota login {alias}"));
    let stop = if sign_in.is_empty() { "" } else { "." };
    match manner {
        Manner::Absent => format!(
            "rota has no account of {provider}. Add one: rota accounts add NAME --provider {provider}"
        ),
        Manner::Down | Manner::Rests if refusal.cut_off.is_some() => format!(
            "Two logins of {provider} were refused for good within ten minutes, so rota shows it no other for now: \
             {}.{back}{sign_in}",
            list(refusal)
        ),
        Manner::Down => format!(
            "{provider} does not answer, so rota asks it less often for now.{}",
            refusal
                .soonest
                .map_or_else(String::new, |at| { format!(" It is asked again {}.", when(now, at)) })
        ),
        Manner::Human => format!(
            "No account of {provider} can serve until somebody acts: {}. See: rota status{stop}{sign_in}",
            list(refusal)
        ),
        Manner::Rests => {
            format!("No account of {provider} can serve right now: {}.{back}{sign_in}", list(refusal))
        }
    }
}

/// The first few accounts and why not they; the body has them all.
fn list(refusal: &Refusal) -> String {
    const SHOWN: usize = 5;
    let mut shown: Vec<String> = (refusal.reasons.iter().take(SHOWN))
        .map(|(alias, why)| format!("{alias} ({})", why.reason.as_str()))
        .collect();
    let more = refusal.reasons.len().saturating_sub(SHOWN);
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

fn reasons(refusal: &Refusal, now: Time) -> Value {
    let each = refusal.reasons.iter().map(|(alias, why)| {
        let mut told = json!({ "reason": why.reason.as_str() });
        if let (Some(until), Some(told)) = (why.until, told.as_object_mut()) {
            told.insert("until".to_owned(), seconds_up(until).into());
            told.insert("in_seconds".to_owned(), wait(now, until).into());
        }
        (alias.as_str().to_owned(), told)
    });
    Value::Object(each.collect())
}

/// Whole seconds since the epoch, rounded up: nobody comes back too early.
fn seconds_up(at: Time) -> u64 {
    at.as_millis().div_ceil(1000)
}

fn wait(now: Time, at: Time) -> u64 {
    seconds_up(at).saturating_sub(now.as_secs())
}

/// `at 2026-11-20T10:54:00Z (in 12 min)`.
fn when(now: Time, at: Time) -> String {
    let wait = wait(now, at);
    let span = match wait {
        0..=119 => format!("{wait} s"),
        120..=7199 => format!("{} min", wait.div_ceil(60)),
        7200..=172_799 => format!("{} h", wait.div_ceil(3600)),
        _ => format!("{} days", wait.div_ceil(86_400)),
    };
    let second = i64::try_from(seconds_up(at)).ok();
    match second.and_then(|second| jiff::Timestamp::from_second(second).ok()) {
        Some(stamp) => format!("at {stamp} (in {span})"),
        None => format!("in {span}"),
    }
}

#[cfg(test)]
mod tests;
