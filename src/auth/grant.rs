use super::claims::Claims;
use crate::model::{Identity, Secret};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::time::Duration;

/// Codes by which a token endpoint says that the refresh token will never work again (RFC 6749 §5.2 and what the
/// providers' own clients take for it).
const DEAD: [&str; 13] = [
    "account_auth_invalidated",
    "account_deactivated",
    "account_deleted",
    "account_session_expired",
    "account_suspended",
    "app_session_terminated",
    "bad_refresh_token",
    "invalid_grant",
    "refresh_token_expired",
    "refresh_token_invalidated",
    "refresh_token_reused",
    "token_expired",
    "token_invalidated",
];
/// Codes that blame the preset, not the token (RFC 6749 §5.2).
const OURS: [&str; 2] = ["invalid_client", "unauthorized_client"];
/// A code longer than this is not shown.
const CODE_BYTES: usize = 64;

/// What came of one exchange.
#[derive(Debug)]
pub(super) enum Exchange {
    /// New tokens.
    Granted(Box<Grant>),
    /// The refresh token is dead; the code says how.
    Refused(String),
    /// It was sent, and what came back does not say what became of it.
    Unclear(String),
    /// Not sent, or turned down without being spent.
    Unspent {
        /// Why.
        why: String,
        /// What may be done about it.
        then: Then,
    },
}

/// What may be done about a token that was not spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing for now: the same question gets the same answer.
    Later,
    /// Ask again, after as long as the endpoint wants.
    Soon(Duration),
    /// Ask again: nobody was reached.
    Unreached,
}

/// Tokens as an endpoint grants them.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) access: Secret,
    pub(super) access_claims: Option<Claims>,
    pub(super) refresh: Option<Secret>,
    pub(super) id_token: Option<Secret>,
    pub(super) id_claims: Option<Claims>,
    /// Seconds; may be any number.
    pub(super) expires_in: Option<i64>,
    /// Whom the reply names beside its tokens.
    pub(super) named: Identity,
}

/// Reads a complete reply.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Exchange {
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let code = code(&body);
    if status.is_success() && code.is_none() {
        return match grant(&body) {
            Some(grant) => Exchange::Granted(Box::new(grant)),
            None => Exchange::Unclear("its answer holds no usable access token".to_owned()),
        };
    }
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        return Exchange::Unclear(format!("it answered {}", status.as_u16()));
    }
    match code {
        Some(code) if is_dead(status, &code) => Exchange::Refused(code),
        code => Exchange::Unspent {
            why: match code {
                Some(code) => format!("it answered {}, {code}", status.as_u16()),
                None => format!("it answered {}", status.as_u16()),
            },
            then: if status == StatusCode::TOO_MANY_REQUESTS {
                Then::Soon(wait(headers))
            } else {
                Then::Later
            },
        },
    }
}

fn is_dead(status: StatusCode, code: &str) -> bool {
    let unauthorized = status == StatusCode::UNAUTHORIZED && !OURS.contains(&code);
    unauthorized || (status != StatusCode::TOO_MANY_REQUESTS && DEAD.contains(&code))
}

/// `error.code`, else `error` where it is a string, else `code`; in lower case, as no client trusts their case. What is
/// not a short word is left out: it goes into logs and views.
pub(super) fn code(body: &Value) -> Option<String> {
    let error = body.get("error");
    let named = error.and_then(|error| error.get("code")).and_then(Value::as_str);
    let plain = || error.and_then(Value::as_str);
    Some(word(named.or_else(plain).or_else(|| body.get("code")?.as_str())?))
}

/// A code as it may be shown.
pub(super) fn word(code: &str) -> String {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let shown = (1..=CODE_BYTES).contains(&code.len()) && code.bytes().all(word);
    if shown { code.to_ascii_lowercase() } else { "an error without a plain code".to_owned() }
}

/// A date in place of seconds counts as nothing: the waits grow by themselves.
fn wait(headers: &HeaderMap) -> Duration {
    let wait = headers.get(header::RETRY_AFTER);
    let seconds = wait.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

fn grant(body: &Value) -> Option<Grant> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let access = text("access_token").filter(|token| is_token(token))?;
    let id_token = text("id_token");
    Some(Grant {
        access: Secret::new(access),
        access_claims: Claims::of(access),
        refresh: text("refresh_token").map(Secret::new),
        id_token: id_token.map(Secret::new),
        id_claims: id_token.and_then(Claims::of),
        expires_in: body.get("expires_in").and_then(whole_number),
        named: Identity {
            account: named(body, "/organization/uuid"),
            user: named(body, "/account/uuid"),
            plan: None,
            email: named(body, "/account/email_address"),
        },
    })
}

/// A token that cannot be a header's value is no use (REN-4).
pub(super) fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(super) fn whole_number(value: &Value) -> Option<i64> {
    let text = || value.as_str()?.trim().parse().ok();
    value.as_i64().or_else(|| Some(value.as_f64()? as i64)).or_else(text)
}

fn named(body: &Value, pointer: &str) -> Option<String> {
    let name = body.pointer(pointer)?.as_str().filter(|name| !name.is_empty())?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a token endpoint may say, and what it is taken for.
    const ANSWERS: &[(u16, &str, &str)] = &[
        (200, r#"{"access_token":"at"}"#, "granted"),
        (200, r#"{"access_token":"at","error":null}"#, "granted"),
        (200, r#"{"error":"bad_refresh_token"}"#, "refused bad_refresh_token"),
        (200, r#"{"access_token":""}"#, "unclear"),
        (200, r#"{"access_token":"a b"}"#, "unclear"),
        (200, r#"{"access_token":7}"#, "unclear"),
        (200, "<html>", "unclear"),
        (200, "", "unclear"),
        (204, "", "unclear"),
        (400, r#"{"error":"invalid_grant","error_description":"x"}"#, "refused invalid_grant"),
        (401, r#"{"error":{"code":"refresh_token_reused"}}"#, "refused refresh_token_reused"),
        (401, r#"{"error":{"code":"Refresh_Token_Expired"}}"#, "refused refresh_token_expired"),
        (403, r#"{"code":"account_deactivated"}"#, "refused account_deactivated"),
        (401, r#"{"error":{"code":"something_new"}}"#, "refused something_new"),
        (401, r#"{"error":"invalid_client"}"#, "unspent: it answered 401, invalid_client"),
        (401, "<html>", "unspent: it answered 401"),
        (400, r#"{"error":"invalid_request"}"#, "unspent: it answered 400, invalid_request"),
        (403, "<html>blocked</html>", "unspent: it answered 403"),
        (404, "", "unspent: it answered 404"),
        (302, "", "unspent: it answered 302"),
        (429, r#"{"error":"invalid_grant"}"#, "unspent: it answered 429, invalid_grant"),
        (408, "", "unclear"),
        (500, r#"{"error":"invalid_grant"}"#, "unclear"),
        (503, "", "unclear"),
        (401, "{\"error\":\"eyJh\\nbGci.secret token\"}", "refused an error without a plain code"),
    ];

    /// REN-3
    #[test]
    fn only_a_clear_word_is_taken_for_one() {
        for (status, body, expected) in ANSWERS {
            let status = StatusCode::from_u16(*status).unwrap();
            let got = match read(status, &HeaderMap::new(), body.as_bytes()) {
                Exchange::Granted(_) => "granted".to_owned(),
                Exchange::Refused(code) => format!("refused {code}"),
                Exchange::Unclear(_) => "unclear".to_owned(),
                Exchange::Unspent { why, .. } => format!("unspent: {why}"),
            };
            assert_eq!(got, *expected, "{status} {body}");
        }
    }

    /// REN-3
    #[test]
    fn the_wait_an_endpoint_asks_for_is_heard() {
        for (value, seconds) in [("7", 7), (" 30 ", 30), ("-1", 0), ("soon", 0)] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            let Exchange::Unspent { then, .. } = read(StatusCode::TOO_MANY_REQUESTS, &headers, b"") else {
                panic!("not a refusal");
            };
            assert_eq!(then, Then::Soon(Duration::from_secs(seconds)), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd_to_be_read(status in 100u16..=599, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &body);
        }
    }
}
