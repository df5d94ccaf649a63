use super::ApiError;
use super::accounts::named;
use super::extract::{Asker, Given};
use super::view::Stamp;
use crate::app::App;
use crate::engine::Command;
use crate::model::{Alias, AuditAction, Snapshot, Time};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// How long a page tells that a force ended by itself, unless something else is done about forces first.
const NEWS: Duration = Duration::from_secs(24 * 3600);

/// `GET /api/force`, and the answer of every call that changes it (FRC).
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForceState {
    /// The server's time, so that a reader can say "in 6 min".
    now: Stamp,
    /// The pin, if any.
    force: Option<ForceView>,
    /// What decides where no force does, also once this one has ended.
    strategy: &'static str,
    /// The last force, where it ended because its account could not serve and nobody has done anything about it since.
    ended: Option<ForceEnded>,
}

/// A pin.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForceView {
    /// Which account.
    pub alias: String,
    /// Since when.
    pub since: Stamp,
    /// Until when.
    pub until: Stamp,
    /// By whom.
    pub by: &'static str,
}

/// A pin that ended before its time.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForceEnded {
    /// Which account it was.
    pub alias: String,
    /// When it ended.
    pub at: Stamp,
    /// Why, in the words of FLO-7; `removed` where the account is gone.
    pub reason: String,
}

impl ForceState {
    pub(super) fn of(world: &Snapshot, now: Time) -> Self {
        Self {
            now: now.into(),
            force: ForceView::of(world, now),
            strategy: world.settings.strategy.as_str(),
            ended: ForceEnded::of(world, now),
        }
    }
}

impl ForceView {
    /// The pin that is on.
    pub(super) fn of(world: &Snapshot, now: Time) -> Option<Self> {
        let force = world.force.as_ref().filter(|force| now < force.until)?;
        let account = world.account(force.account)?;
        Some(Self {
            alias: account.alias.to_string(),
            since: force.since.into(),
            until: force.until.into(),
            by: force.by.as_str(),
        })
    }
}

impl ForceEnded {
    /// What a page should tell of the last pin (FRC-2).
    pub(super) fn of(world: &Snapshot, now: Time) -> Option<Self> {
        let last = world.audit.entries().rev().find(|entry| match entry.action {
            AuditAction::ForceCleared
            | AuditAction::ForceEnded
            | AuditAction::ForceExpired
            | AuditAction::ForceSet => true,
            AuditAction::AccountAdded
            | AuditAction::AccountDisabled
            | AuditAction::AccountEnabled
            | AuditAction::AccountLost
            | AuditAction::AccountNotes
            | AuditAction::AccountQuotaGroup
            | AuditAction::AccountRemoved
            | AuditAction::AccountRenamed
            | AuditAction::AccountSignedIn
            | AuditAction::AccountTags
            | AuditAction::AccountWeight
            | AuditAction::ConfigReloaded
            | AuditAction::KeyAdded
            | AuditAction::KeyRemoved
            | AuditAction::SettingChanged => false,
        })?;
        (last.action == AuditAction::ForceEnded && now < last.at.after(NEWS)).then(|| Self {
            alias: last.target.clone(),
            at: last.at.into(),
            reason: last.reason.clone().unwrap_or_default(),
        })
    }
}

/// `GET /api/force`
pub(super) async fn show(State(app): State<Arc<App>>) -> Json<ForceState> {
    Json(ForceState::of(&app.state.snapshot(), app.clock.now()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with alias")]
pub(super) struct SetForce {
    #[schemars(with = "Alias")]
    alias: String,
}

/// `POST /api/force`: pins an account for a day. Asking again for the same one changes nothing (FRC-1).
pub(super) async fn set(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Given(set): Given<SetForce>,
) -> Result<Json<ForceState>, ApiError> {
    let alias = named(&app.state.snapshot(), &set.alias)?;
    let world = app.state.commit_by(Command::Forced { alias, by }, by).await?;
    Ok(Json(ForceState::of(&world, app.clock.now())))
}

/// `POST /api/force/clear`
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
) -> Result<Json<ForceState>, ApiError> {
    let world = app.state.commit_by(Command::ForceCleared, by).await?;
    Ok(Json(ForceState::of(&world, app.clock.now())))
}
