use super::extract::Asked;
use super::view::Stamp;
use crate::app::App;
use crate::model::AuditEntry;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entries in one answer, unless more are asked for.
const PAGE: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Latest {
    limit: Option<usize>,
}

/// `GET /api/audit`
#[derive(Serialize, JsonSchema)]
pub(super) struct AuditView {
    now: Stamp,
    entries: Vec<EntryView>,
}

/// One change.
#[derive(Serialize, JsonSchema)]
struct EntryView {
    at: Stamp,
    /// Who asked: `cli`, `dashboard`, `admin` (another program), `config`, `engine`.
    actor: &'static str,
    /// Such as `account.disabled`, `force.set`, `setting.changed`.
    action: &'static str,
    /// An alias, the key of a setting, or `config`.
    target: String,
    before: Option<String>,
    after: Option<String>,
    reason: Option<String>,
}

/// `GET /api/audit?limit=N`: who changed what, newest first.
pub(super) async fn latest(State(app): State<Arc<App>>, Asked(query): Asked<Latest>) -> Json<AuditView> {
    let world = app.state.snapshot();
    let entries = world.audit.entries().rev().take(query.limit.unwrap_or(PAGE));
    let entries = entries.map(|entry| EntryView::of(entry)).collect();
    Json(AuditView { now: app.clock.now().into(), entries })
}

impl EntryView {
    fn of(entry: &AuditEntry) -> Self {
        Self {
            at: entry.at.into(),
            actor: entry.actor.as_str(),
            action: entry.action.as_str(),
            target: entry.target.clone(),
            before: entry.before.clone(),
            after: entry.after.clone(),
            reason: entry.reason.clone(),
        }
    }
}
