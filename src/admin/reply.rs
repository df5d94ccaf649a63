//! What handlers answer with besides a view at 200: each status is a type, so that the document of the API knows it.
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// 201: it is there now, and durable.
pub(super) struct Created<T>(pub(super) T);

/// 202: it is under way.
pub(super) struct Accepted<T>(pub(super) T);

/// 204: done, and nothing to tell.
pub(super) struct NoContent;

/// Every error (ADM-2).
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ErrorView {
    pub(super) error: ErrorBody,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ErrorBody {
    /// Stable.
    #[schemars(regex(pattern = "^[A-Z_]+$"))]
    pub(super) code: &'static str,
    /// What to do about it, for a person.
    pub(super) message: String,
    /// The same for a program, where there is more to say: field and constraint, names that are known, and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Value>,
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}
