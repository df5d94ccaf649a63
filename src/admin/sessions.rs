use super::ApiError;
use super::extract::{Asked, Named};
use super::reply::NoContent;
use super::view::Stamp;
use crate::affinity::{Holding, Pin};
use crate::app::App;
use crate::model::{AccountId, Snapshot};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sessions in one answer, unless more are asked for.
const PAGE: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Latest {
    limit: Option<usize>,
}

/// `GET /api/sessions`
#[derive(Serialize, JsonSchema)]
pub(super) struct SessionsView {
    now: Stamp,
    sessions: Vec<SessionView>,
    /// How many there are.
    total: usize,
    /// What is hard: accounts that hold state of conversations which nobody else can read, by alias.
    ties: Vec<TieView>,
}

/// One account and what it holds.
#[derive(Serialize, JsonSchema)]
struct TieView {
    account: String,
    /// Ciphertexts, signatures and ids of its replies that are remembered.
    held: usize,
    /// When the last of them is forgotten, unless one is met before.
    until: Stamp,
}

/// One session and the account it is on.
#[derive(Serialize, JsonSchema)]
struct SessionView {
    key: String,
    provider: String,
    kind: String,
    id: String,
    account: Option<String>,
    since: Stamp,
    used: Stamp,
    until: Stamp,
}

/// `GET /api/sessions?limit=N`: the sessions that have an account, the one used last first; and what is tied harder.
pub(super) async fn list(State(app): State<Arc<App>>, Asked(query): Asked<Latest>) -> Json<SessionsView> {
    let (world, now) = (app.state.snapshot(), app.clock.now());
    let pins = app.affinity.pins(now);
    let shown = pins.iter().rev().take(query.limit.unwrap_or(PAGE));
    let sessions = shown.map(|pin| SessionView::of(pin, &world)).collect();
    let ties = ties(&world, app.owners.holdings(now));
    Json(SessionsView { now: now.into(), sessions, total: pins.len(), ties })
}

fn ties(world: &Snapshot, holdings: BTreeMap<AccountId, Holding>) -> Vec<TieView> {
    let named = |(account, held): (AccountId, Holding)| {
        let account = world.account(account)?.alias.to_string();
        Some(TieView { account, held: held.marks, until: held.until.into() })
    };
    let mut ties: Vec<TieView> = holdings.into_iter().filter_map(named).collect();
    ties.sort_by(|one, other| one.account.cmp(&other.account));
    ties
}

/// `DELETE /api/sessions/{key}`: 204; its next request is given an account as a new session's is.
pub(super) async fn forget(State(app): State<Arc<App>>, Named(key): Named) -> Result<NoContent, ApiError> {
    let pin = app.affinity.pins(app.clock.now()).into_iter().find(|pin| pin.key() == key);
    let gone = pin.is_some_and(|pin| app.affinity.forget(&pin.provider, &pin.session));
    if gone { Ok(NoContent) } else { Err(ApiError::no_session(&key)) }
}

impl SessionView {
    fn of(pin: &Pin, world: &Snapshot) -> Self {
        Self {
            key: pin.key(),
            provider: pin.provider.to_string(),
            kind: pin.session.kind().to_owned(),
            id: pin.session.value().to_owned(),
            account: world.account(pin.account).map(|account| account.alias.to_string()),
            since: pin.since.into(),
            used: pin.used.into(),
            until: pin.until.into(),
        }
    }
}
