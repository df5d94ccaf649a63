//! A handler that panics fails its own request and no other (ADM-2). The panic itself is counted and told by the hook
//! of `telemetry::log_panics`.
use super::ApiError;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::future::Future;

/// Answers with a 500 of our own where the handler panics. The handler runs in a task of its own, so that a client that
/// hangs up does not stop a change half-way.
pub(super) async fn contain(request: Request, next: Next) -> Response {
    contained(next.run(request)).await
}

async fn contained(answer: impl Future<Output = Response> + Send + 'static) -> Response {
    match tokio::spawn(answer).await {
        Ok(response) => response,
        Err(_) => ApiError::internal().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// ADM-2
    #[tokio::test]
    async fn a_panic_is_a_typed_500_for_that_request_only() {
        let broken = async { panic!("sk-canary") };
        let response = contained(broken).await;
        assert_eq!(response.status(), 500);
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["error"]["code"], "INTERNAL");
        assert!(!body.to_string().contains("canary"), "{body}");
        let next = contained(async { "fine".into_response() }).await;
        assert_eq!(next.status(), 200);
    }
}
