//! Endpoints that are there only while somebody wants them (ADM-6). While a feature is off, its path is a path like any
//! other that nobody knows: same answer, whatever the method, with a token or without.
use super::{Door, auth, error};
use crate::app::App;
use crate::config::Antigravity;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use std::sync::Arc;

/// Something that is off unless it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feature {
    /// The quota of the Antigravity plugin's accounts.
    Antigravity,
}

impl Feature {
    /// Whether it is on now.
    pub(super) fn is_on(self, app: &App) -> bool {
        match self {
            Self::Antigravity => app.config.load().features.antigravity != Antigravity::Off,
        }
    }

    /// The route, for whoever shows the token, while the feature is on.
    pub(super) fn hide(
        self,
        route: MethodRouter<Arc<App>>,
        app: &Arc<App>,
        door: &Door,
    ) -> MethodRouter<Arc<App>> {
        route
            .route_layer(from_fn_with_state(door.clone(), auth::token))
            .fallback(error::no_method)
            .layer(from_fn_with_state((self, Arc::clone(app)), pass))
    }
}

async fn pass(State((feature, app)): State<(Feature, Arc<App>)>, request: Request, next: Next) -> Response {
    if feature.is_on(&app) {
        return next.run(request).await;
    }
    error::no_endpoint(request.uri().clone()).await.into_response()
}
