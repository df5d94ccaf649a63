use super::ApiError;
use super::accounts::{named, one};
use super::extract::{GivenOr, Named};
use super::reply::Accepted;
use super::view::{AccountView, SourceView, Stamp, WindowView};
use crate::app::App;
use crate::engine::Rejection;
use crate::limits::{ProbeFailure, ProbeReport};
use crate::model::{Account, AccountId, Alias, CredentialState, LimitSample, Limits, Snapshot};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object, optionally with aliases")]
pub(super) struct Refresh {
    #[schemars(with = "Option<Vec<Alias>>")]
    aliases: Option<Vec<String>>,
}

/// `/api/limits/refresh`
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct RefreshesView {
    jobs: Vec<RefreshView>,
}

/// How far the refresh of one account's limits is.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RefreshView {
    alias: String,
    /// `queued`, `running`, `success`, `error` or `stopped` (REN-7).
    state: &'static str,
    queued_at: Stamp,
    started_at: Option<Stamp>,
    finished_at: Option<Stamp>,
    error: Option<String>,
}

/// `POST /api/limits/refresh`: 202 with a job for each account that is named, or for all whose limits can be asked for.
/// One that is under way already is that job. All are taken or none.
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    GivenOr(refresh): GivenOr<Refresh>,
) -> Result<Accepted<RefreshesView>, ApiError> {
    let world = app.state.snapshot();
    let accounts = match refresh.aliases {
        None => all(&app, &world),
        Some(aliases) => {
            aliases.iter().map(|alias| askable(&app, &world, alias)).collect::<Result<Vec<_>, _>>()?
        }
    };
    app.prober.ask(&accounts);
    let reports = accounts.iter().filter_map(|account| app.prober.report(*account));
    Ok(Accepted(RefreshesView::of(&world, reports)))
}

/// `GET /api/limits/refresh`: the latest job of every account that had one.
pub(super) async fn latest(State(app): State<Arc<App>>) -> Json<RefreshesView> {
    Json(RefreshesView::of(&app.state.snapshot(), app.prober.reports().into_iter()))
}

/// `DELETE /api/limits/refresh`: calls off what has not begun; 200 with all jobs.
pub(super) async fn stop(State(app): State<Arc<App>>) -> Json<RefreshesView> {
    app.prober.stop();
    latest(State(app)).await
}

fn all(app: &App, world: &Snapshot) -> Vec<AccountId> {
    let askable = world.accounts.iter().filter(|account| app.prober.can_ask(account, world).is_ok());
    askable.map(|account| account.id).collect()
}

fn askable(app: &App, world: &Snapshot, alias: &str) -> Result<AccountId, ApiError> {
    let alias = named(world, alias)?;
    let account = world.by_alias(&alias).ok_or(Rejection::UnknownAccount)?;
    if !account.is_on() {
        return Err(Rejection::AccountDisabled(alias).into());
    }
    match (app.prober.can_ask(account, world), &account.credential) {
        (Ok(()), _) => Ok(account.id),
        (
            Err(ProbeFailure::SignIn),
            CredentialState::Missing { detail } | CredentialState::NeedsReauth { detail, .. },
        ) => Err(ApiError::needs_reauth(&alias, detail)),
        (Err(ProbeFailure::SignIn), CredentialState::Usable(_)) => {
            Err(ApiError::needs_reauth(&alias, "its token has ended, and nothing renews it"))
        }
        (Err(failure), _) => Err(ApiError::limits_not_told(&alias, &failure)),
    }
}

impl RefreshesView {
    fn of(world: &Snapshot, reports: impl Iterator<Item = ProbeReport>) -> Self {
        let view = |report: ProbeReport| {
            let account = world.account(report.account)?;
            Some(RefreshView {
                alias: account.alias.to_string(),
                state: report.state.shown_refresh(),
                queued_at: report.queued.into(),
                started_at: report.started.map(Stamp::from),
                finished_at: report.finished.map(Stamp::from),
                error: report.error,
            })
        };
        Self { jobs: reports.filter_map(view).collect() }
    }
}

/// `GET /api/accounts/{alias}`
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct AccountWithHistory {
    #[serde(flatten)]
    account: AccountView,
    /// What was observed of its limits, newest first (LIM-4).
    history: Vec<SampleView>,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct SampleView {
    at: Stamp,
    source: SourceView,
    windows: Vec<WindowView>,
}

/// `GET /api/accounts/{alias}`: the account as in the list, and what was observed of its limits.
pub(super) async fn account(
    State(app): State<Arc<App>>,
    Named(alias): Named,
) -> Result<Json<AccountWithHistory>, ApiError> {
    let world = app.state.snapshot();
    let alias = named(&world, &alias)?;
    let account = world.by_alias(&alias).ok_or(Rejection::UnknownAccount)?;
    Ok(Json(AccountWithHistory { account: one(&app, &world, &alias)?, history: history(account) }))
}

fn history(account: &Account) -> Vec<SampleView> {
    let samples = account.limits.history.iter().chain(&account.limits.latest).rev();
    samples.take(Limits::HISTORY).map(SampleView::of).collect()
}

impl SampleView {
    fn of(sample: &LimitSample) -> Self {
        Self {
            at: sample.at.into(),
            source: SourceView::of(&sample.source),
            windows: sample.windows.iter().map(WindowView::of).collect(),
        }
    }
}
