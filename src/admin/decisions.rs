use super::ApiError;
use super::extract::{Asked, Named};
use super::shape::Session;
use super::view::Stamp;
use crate::app::App;
use crate::engine::{Bond, RoutingRequest, Selection, WhyNot, select};
use crate::model::{Affinity, Alias, ModelName, ProviderId, SessionKey};
use crate::telemetry::DecisionRecord;
use axum::Json;
use axum::extract::State;
use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Decisions in one answer.
const PAGE: usize = 50;
const MOST: usize = 1000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Latest {
    limit: Option<usize>,
}

/// `GET /api/decisions`
#[derive(Serialize, JsonSchema)]
pub(super) struct DecisionsView {
    decisions: Vec<Arc<DecisionRecord>>,
}

/// `GET /api/decisions?limit=N`: the latest, newest first.
pub(super) async fn latest(State(app): State<Arc<App>>, Asked(query): Asked<Latest>) -> Json<DecisionsView> {
    let most = query.limit.unwrap_or(PAGE).min(MOST);
    Json(DecisionsView { decisions: app.telemetry.decisions().latest(most) })
}

/// `GET /api/decisions/{id}`: one, by its id or the beginning of it.
pub(super) async fn one(
    State(app): State<Arc<App>>,
    Named(id): Named,
) -> Result<Json<Arc<DecisionRecord>>, ApiError> {
    let found = app.telemetry.decisions().find(&id).filter(|_| id.len() >= 4);
    found.map(Json).ok_or_else(|| ApiError::no_decision(&id))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Next {
    #[schemars(with = "ProviderId")]
    provider: String,
    #[schemars(with = "Option<ModelName>")]
    model: Option<String>,
    /// The value of an `x-rota-session` header.
    #[schemars(with = "Option<Session>")]
    session: Option<String>,
}

/// `GET /api/decisions/next`: who would be taken now, by the very function the router asks (SEL-12).
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NextView {
    provider: String,
    alias: Option<String>,
    why: Option<&'static str>,
    wait_until: Option<Stamp>,
    soonest: Option<Stamp>,
    reasons: BTreeMap<String, WhyNotView>,
}

#[derive(Serialize, JsonSchema)]
struct WhyNotView {
    reason: &'static str,
    until: Option<Stamp>,
}

/// See [`NextView`].
pub(super) async fn next(
    State(app): State<Arc<App>>,
    Asked(query): Asked<Next>,
) -> Result<Json<NextView>, ApiError> {
    let provider = ProviderId::try_from(query.provider).map_err(|bad| ApiError::invalid("provider", bad))?;
    let model =
        query.model.map(ModelName::try_from).transpose().map_err(|bad| ApiError::invalid("model", bad))?;
    let world = app.state.snapshot();
    if world.provider(&provider).is_none() {
        return Err(ApiError::invalid("provider", format!("there is no provider {:?}", provider.as_str())));
    }
    let session = query.session.map(|value| session(&value)).transpose()?;
    let session = session.filter(|_| world.settings.affinity == Affinity::Session);
    let pinned = session.as_ref().and_then(|session| app.affinity.find(&provider, session, app.clock.now()));
    let request = RoutingRequest {
        provider,
        model,
        session,
        pinned,
        owner: None,
        permitted: None,
        only: None,
        bond: Bond::Fast,
        replay_safe: false,
    };
    let selection = select(&world, &request, &[], &mut app.state.dry(), app.clock.now());
    let name = |id| world.account(id).map(|account| account.alias.to_string());
    let mut view = NextView {
        provider: request.provider.to_string(),
        alias: None,
        why: None,
        wait_until: None,
        soonest: None,
        reasons: BTreeMap::new(),
    };
    match selection {
        Selection::Nobody { soonest, reasons } => {
            view.soonest = soonest.map(Stamp::from);
            view.reasons = reasons.into_iter().map(shown).collect();
        }
        Selection::Take(decision) => {
            view.alias = name(decision.account);
            view.why = Some(decision.why.as_str());
        }
        Selection::Wait { account, until } => {
            view.alias = name(account);
            view.wait_until = Some(until.into());
        }
    }
    Ok(Json(view))
}

fn session(value: &str) -> Result<SessionKey, ApiError> {
    SessionKey::new(HeaderName::from_static("x-rota-session"), value).ok_or_else(|| {
        ApiError::invalid(
            "session",
            format!("must be 1 to {} printable characters of ASCII", SessionKey::LONGEST),
        )
    })
}

fn shown((alias, why): (Alias, WhyNot)) -> (String, WhyNotView) {
    (alias.to_string(), WhyNotView { reason: why.reason.as_str(), until: why.until.map(Stamp::from) })
}
