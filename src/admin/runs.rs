//! `PUT /api/runs/{id}`: a command that `rota run` starts. The answer is a stream that tells where the command stands, and
//! the command lasts as long as somebody reads it.
use super::ApiError;
use super::described::{Reply, Signature};
use super::extract::{Given, Named};
use super::reply::NoContent;
use super::view::Stamp;
use crate::app::App;
use crate::model::{KeyDigest, Time};
use crate::runs::{Belongings, Bounds, NotOpened, Phase, RunGuard, RunId};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often a stream says something even if there is nothing to say, so that a reader who is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// No bound is longer than this; an hour is usual.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// What the command itself may be given at most (PRX-5).
const LONGEST_COMMAND: Duration = Duration::from_secs(1800);

/// What a command asks for.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wanted {
    /// The one account that serves it.
    account: Option<String>,
    /// Milliseconds of silence after which it ends.
    idle_ms: Option<u64>,
    /// Milliseconds after which its session ends.
    lifetime_ms: Option<u64>,
    /// Milliseconds that the command may take from its start, at most 1,800,000.
    command_ms: Option<u64>,
    /// SHA-256, in hexadecimal, of a key that opens the command's own path where keys are asked for.
    key_digest: Option<String>,
}

/// An event of the stream, named `run`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RunView {
    id: String,
    state: &'static str,
    /// By which bound it has ended.
    ended_by: Option<&'static str>,
    ends_at: Option<Stamp>,
}

/// The stream.
pub(super) struct RunStream(Body);

impl IntoResponse for RunStream {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], self.0).into_response()
    }
}

impl Reply for RunStream {
    fn describe(signature: &mut Signature<'_>) {
        signature.answers_text("200", "text/event-stream");
    }
}

/// See the module.
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Named(id): Named,
    Given(wanted): Given<Wanted>,
) -> Result<RunStream, ApiError> {
    let id = RunId::new(&id).ok_or_else(|| ApiError::invalid("id", "must be 32 hexadecimal digits"))?;
    let account = match &wanted.account {
        None => None,
        Some(alias) => {
            let world = app.state.snapshot();
            let found = world.accounts.iter().find(|account| account.alias.as_str() == alias);
            let known = || world.accounts.iter().map(|account| account.alias.as_str()).collect::<Vec<_>>();
            Some(found.ok_or_else(|| ApiError::no_account(alias, &known()))?.id)
        }
    };
    let digest = |text: &String| {
        let digest = KeyDigest::from_hex(text);
        digest.ok_or_else(|| ApiError::invalid("keyDigest", "must be the 64 hexadecimal digits of a SHA-256"))
    };
    let key = wanted.key_digest.as_ref().map(digest).transpose()?;
    let belongings = Belongings { account, key };
    let bounds = Bounds {
        idle: bound("idleMs", wanted.idle_ms, LONGEST)?,
        lifetime: bound("lifetimeMs", wanted.lifetime_ms, LONGEST)?,
        command: bound("commandMs", wanted.command_ms, LONGEST_COMMAND)?,
    };
    let guard = app.runs.open(id, belongings, bounds, app.clock.now()).map_err(|why| match why {
        NotOpened::Closing => ApiError::stopping(),
        NotOpened::Full => ApiError::too_many_runs(),
        NotOpened::Taken => ApiError::run_taken(),
    })?;
    let watch = Watch { app, guard, told: None };
    let events = stream::unfold(Some(watch), |watch| async {
        let (event, next) = watch?.next().await?;
        Some((Ok::<Bytes, Infallible>(event), next))
    });
    Ok(RunStream(Body::from_stream(events)))
}

/// `POST /api/runs/{id}/ready`: the command has been started.
pub(super) async fn ready(State(app): State<Arc<App>>, Named(id): Named) -> Result<NoContent, ApiError> {
    let now = app.clock.now();
    let run = app.runs.find(&id, now).ok_or_else(ApiError::no_run)?;
    run.start(now);
    Ok(NoContent)
}

fn bound(field: &str, millis: Option<u64>, most: Duration) -> Result<Option<Duration>, ApiError> {
    let Some(millis) = millis else {
        return Ok(None);
    };
    let span = Duration::from_millis(millis);
    match !span.is_zero() && span <= most {
        true => Ok(Some(span)),
        false => Err(ApiError::invalid(field, format!("must be 1 to {}", most.as_millis()))),
    }
}

/// What the stream still has to tell.
struct Watch {
    app: Arc<App>,
    guard: RunGuard,
    told: Option<Phase>,
}

impl Watch {
    /// The next event, and who tells the one after it; none once rota stops.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        let quiet = self.app.clock.now().after(HEARTBEAT);
        loop {
            let now = self.app.clock.now();
            let phase = self.guard.run().phase(now);
            if self.told != Some(phase) {
                self.told = Some(phase);
                let event = self.event(phase);
                return Some((event, (!matches!(phase, Phase::Ended(_))).then_some(self)));
            }
            if now >= quiet {
                return Some((Bytes::from_static(b":\n\n"), Some(self)));
            }
            let wake = self.guard.run().wake(now).map_or(quiet, |wake| wake.min(quiet));
            tokio::select! {
                () = self.guard.run().moved() => {}
                () = self.app.clock.sleep_until(wake) => {}
                () = self.app.runs.closing() => return None,
            }
        }
    }

    fn event(&self, phase: Phase) -> Bytes {
        let ends: Option<Time> = self.guard.run().ends();
        let view = RunView {
            id: self.guard.id().to_string(),
            state: phase.as_str(),
            ended_by: match phase {
                Phase::Ended(bound) => Some(bound.as_str()),
                Phase::Created | Phase::Ready | Phase::Running | Phase::Warned(_) => None,
            },
            ends_at: ends.map(Stamp::from),
        };
        let data = serde_json::to_string(&view).unwrap_or_default();
        Bytes::from(format!("event: run\ndata: {data}\n\n"))
    }
}
