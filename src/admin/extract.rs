//! What a request holds, parsed: a body, a query, a name in the path. What does not parse is answered as every other
//! error is, and the answer never repeats a value, because the value in the wrong place may be a secret.
use super::ApiError;
use crate::model::Actor;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::HeaderName;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::convert::Infallible;

/// A JSON body.
pub(super) struct Given<T>(pub(super) T);

/// A JSON body that may be left out.
pub(super) struct GivenOr<T>(pub(super) T);

/// The query.
pub(super) struct Asked<T>(pub(super) T);

/// The one name in the path.
pub(super) struct Named(pub(super) String);

/// Who asks, for the audit trail. It is what the client says of itself; whoever has the token may say anything.
pub(super) struct Asker(pub(super) Actor);

/// In which a client of rota's own names itself: `cli` or `dashboard`.
pub const ACTOR: HeaderName = HeaderName::from_static("x-rota-actor");

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let said = parts.headers.get(ACTOR).and_then(|name| name.to_str().ok());
        let page = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
        Ok(Self(match said {
            Some("cli") => Actor::Cli,
            Some("dashboard") => Actor::Dashboard,
            Some(_) | None if page => Actor::Dashboard,
            Some(_) | None => Actor::Admin,
        }))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Given<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        parse(&body(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for GivenOr<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = body(request, state).await?;
        if body.is_empty() { Ok(Self(T::default())) } else { parse(&body).map(Self) }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(ApiError::invalid("query", rejection.body_text())),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(name) = path.map_err(|_| ApiError::invalid("path", "is not UTF-8"))?;
        Ok(Self(name))
    }
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection| ApiError::unread(rejection.status()))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::invalid("body", worded(&error)))
}

/// What is wrong, without the value that is: a message names fields, what was expected, line and column.
fn worded(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match error.classify() {
        Category::Eof | Category::Io | Category::Syntax => text,
        Category::Data if text.starts_with("missing field") || text.starts_with("unknown field") => text,
        Category::Data => match text.rsplit_once(", expected ") {
            Some((_, expected)) => format!("expected {}", expected.replace("f64", "a number")),
            None => format!("does not fit, at line {} column {}", error.line(), error.column()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its errors are looked at")]
    struct Wanted {
        alias: String,
        kind: Option<Kind>,
        weight: Option<f64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        ApiKey,
        Bearer,
    }

    /// ADM-2, OBS-3
    #[test]
    fn an_error_names_the_field_and_never_repeats_a_value() {
        for (body, told) in [
            (
                r#"{"alias":"a","colour":1}"#,
                "unknown field `colour`, expected one of `alias`, `kind`, `weight`",
            ),
            (r#"{"kind":"bearer"}"#, "missing field `alias`"),
            (r#"{"alias":["sk-canary"]}"#, "expected a string"),
            (r#"{"alias":"a","kind":"sk-canary, expected x"}"#, "expected `api-key` or `bearer`"),
            (r#"{"alias":"a","weight":"sk-canary"}"#, "expected a number"),
            (r#""sk-canary""#, "expected struct Wanted"),
            ("sk-canary", "expected value at line 1 column 1"),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            let error = parse::<Wanted>(body.as_bytes()).expect_err(body);
            let ApiError { message, .. } = &error;
            assert!(message.starts_with(&format!("body: {told}")), "{message}");
            assert!(!message.contains("canary"), "{message}");
        }
    }

    /// D7
    #[test]
    fn a_deep_body_is_refused() {
        let deep = "[".repeat(100_000);
        assert!(parse::<serde_json::Value>(deep.as_bytes()).is_err());
    }
}
