use super::described::{Reply, Signature};
use super::force::{ForceEnded, ForceView};
use super::stats::DayView;
use super::view::{AccountsView, StatusView, StoreView};
use crate::app::App;
use crate::engine::{RoutingRequest, Selection, breaker, outlook, select};
use crate::model::{BreakerState, ProviderId, Snapshot};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// `GET /healthz`
#[derive(Serialize, JsonSchema)]
pub(super) struct AliveView {
    status: &'static str,
    version: &'static str,
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> Json<AliveView> {
    Json(AliveView { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// `GET /readyz`: 200 if it is ready, else 503.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReadyView {
    ready: bool,
    /// Each provider that has accounts, and whether a request to it would be sent.
    providers: BTreeMap<String, bool>,
}

impl IntoResponse for ReadyView {
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, Json(self)).into_response()
    }
}

impl Reply for ReadyView {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers::<Self>("200");
        signature.answers::<Self>("503");
    }
}

/// `GET /metrics`.
pub(super) struct Page(String);

impl Page {
    /// The text format of Prometheus.
    const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, Self::MEDIA)], self.0).into_response()
    }
}

impl Reply for Page {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers_text("200", "text/plain");
    }
}

/// `GET /readyz`: 200 if a request to some provider would be sent now, by the selector's own word (ADM-7).
pub(super) async fn ready(State(app): State<Arc<App>>) -> ReadyView {
    let world = app.state.snapshot();
    let with_accounts =
        world.providers.iter().filter(|preset| world.accounts_of(&preset.id).next().is_some());
    let providers: BTreeMap<String, bool> =
        with_accounts.map(|preset| (preset.id.to_string(), would_send(&app, &world, &preset.id))).collect();
    let ready = providers.values().any(|ready| *ready);
    ReadyView { ready, providers }
}

fn would_send(app: &App, world: &Snapshot, provider: &ProviderId) -> bool {
    let request = RoutingRequest {
        provider: provider.clone(),
        model: None,
        session: None,
        pinned: None,
        owner: None,
        permitted: None,
        only: None,
        bond: Default::default(),
        replay_safe: false,
    };
    let selection = select(world, &request, &[], &mut app.state.dry(), app.clock.now());
    matches!(selection, Selection::Take(_))
}

/// `GET /metrics`
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Page {
    let world = app.state.snapshot();
    Page(app.telemetry.page(&world, &app.scrape(&world), app.clock.now()))
}

/// `GET /api/status`
pub(super) async fn status(State(app): State<Arc<App>>) -> Json<StatusView> {
    let world = app.state.snapshot();
    let now = app.clock.now();
    let open = world.breakers.iter().filter_map(|(provider, breaker)| match breaker.state {
        BreakerState::Open { until } if now < until => Some((provider.to_string(), until.into())),
        BreakerState::Closed | BreakerState::Open { .. } => None,
    });
    let cut_off = world
        .deaths
        .iter()
        .filter_map(|(provider, deaths)| Some((provider.to_string(), breaker::cut_off(deaths, now)?.into())));
    let figures = app.store_figures();
    let AccountsView { accounts } = AccountsView::of(&app, &world);
    let addresses = app.addresses();
    // A command that answers itself has counted nothing.
    let serves = addresses.admin.is_some();
    Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        started_at: app.started.into(),
        now: now.into(),
        proxy: addresses.proxy.iter().map(ToString::to_string).collect(),
        admin: addresses.admin.map(|address| address.to_string()),
        strategy: world.settings.strategy.as_str(),
        force: ForceView::of(&world, now),
        force_ended: ForceEnded::of(&world, now),
        store: StoreView {
            directory: app.config.load().state_dir.display().to_string(),
            saved: figures.unsaved_since.is_none(),
            unsaved_since: figures.unsaved_since.map(Into::into),
            last_error: app.store.health().last_error,
            findings: app.store.findings().iter().map(ToString::to_string).collect(),
        },
        accounts,
        day: serves.then(|| DayView::of(&app, now)),
        capacity: serves.then(|| outlook(&world, now).into()),
        open_breakers: open.collect(),
        cut_off: cut_off.collect(),
    })
}
