//! `GET /api/events`: what happens, as it happens, as server-sent events. A reader costs whoever is served nothing:
//! decisions are put where readers find them and never wait for one; a reader that is too slow is told how much it has
//! missed. What the state is now is looked at when the reader is ready for it, so that changes pile up nowhere.
mod reader;
mod story;

pub use reader::Readers;

use super::ApiError;
use super::described::{Reply, Signature};
use crate::app::App;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use reader::Reader;
use std::convert::Infallible;
use std::sync::Arc;
use story::Event;

const MEDIA: &str = "text/event-stream";

/// `GET /api/events`
pub(super) async fn follow(State(app): State<Arc<App>>) -> Result<Followed, ApiError> {
    Ok(Followed(Reader::new(app).ok_or_else(ApiError::too_many_readers)?))
}

/// A reader that has come.
pub(super) struct Followed(Reader);

impl IntoResponse for Followed {
    fn into_response(self) -> Response {
        let pieces = stream::unfold(self.0, |mut reader| async move {
            let piece = reader.next().await?;
            Some((Ok::<_, Infallible>(piece), reader))
        });
        let head = [(CONTENT_TYPE, MEDIA), (CACHE_CONTROL, "no-store")];
        (head, Body::from_stream(pieces)).into_response()
    }
}

impl Reply for Followed {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers_events::<Event>("200", MEDIA);
    }
}

#[cfg(test)]
mod tests;
