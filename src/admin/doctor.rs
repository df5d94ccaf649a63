mod around;

use super::ApiError;
use super::extract::Asked;
use super::view::Stamp;
use crate::app::App;
use crate::auth::import::{Client, Found, Unread, gather};
use crate::config::Problem;
use crate::model::{Account, CredentialKind, CredentialState, Snapshot, Time};
use around::SetUp;
use axum::Json;
use axum::extract::State;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of other programs that are looked at.
const MOST_FILES: usize = 32;
/// Renewals that failed in a row before a human should look (REN-1).
const MANY_FAILURES: u32 = 3;

/// `GET /api/doctor`
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoctorView {
    checks: Vec<Check>,
    /// How many are bad.
    bad: usize,
    /// How many are a warning.
    warnings: usize,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Check {
    /// What: a part of rota, an account's alias, or a program.
    name: String,
    state: Mark,
    /// What was found; whole sentences.
    message: String,
    /// The command that puts it right.
    fix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mark {
    Ok,
    Warn,
    Bad,
}

/// The query: `file`, any number of times.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Files(Vec<(String, String)>);

impl JsonSchema for Files {
    fn schema_name() -> Cow<'static, str> {
        "Files".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let file = r"^[a-z-]+:/.*$";
        json_schema!({
            "type": "object",
            "properties": {
                "file": {"type": "array", "maxItems": MOST_FILES, "items": {"type": "string", "pattern": file}},
            },
        })
    }
}

/// `GET /api/doctor?file=PROGRAM:PATH&config=CLIENT:PATH`: what is wrong, and how to put it right. `file`, which may be given
/// more than once, says where the caller's programs keep their logins; else those of rota's own user are looked at.
/// `config` says where they keep their settings; they are looked at only if it is given. With `upstream=true` one upstream is
/// asked, too, without a credential.
pub(super) async fn examine(
    State(app): State<Arc<App>>,
    Asked(Files(asked)): Asked<Files>,
) -> Result<Json<DoctorView>, ApiError> {
    let set_ups = set_ups(&asked)?;
    let files = if asked.iter().any(|(name, _)| name == "file") { named(&asked)? } else { own(&app) };
    let world = app.state.snapshot();
    let mut checks = configuration(&app.config.load().config_file, &app.warnings.load());
    checks.extend(store(&app));
    checks.extend(around::ports(&app));
    checks.push(around::roots(&app).await);
    if asked.iter().any(|(name, value)| name == "upstream" && value == "true") {
        checks.extend(around::upstream(&app).await);
    }
    checks.extend(accounts(&world, app.clock.now()));
    checks.extend(set_ups.iter().filter_map(|set_up| around::set_up(&app, set_up)));
    for (client, file) in files {
        match gather(client, &file, None, &app.clock).await {
            Ok(gathered) => checks.extend(shared(&world, client, &file, &gathered.reading.found)),
            Err(Unread::Missing { .. }) => {}
            Err(error) => {
                let message = format!("it cannot be seen whether {client} has a login of rota's: {error}");
                checks.push(Check::new(client.as_str(), Mark::Warn, message));
            }
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let (bad, warnings) = (count(Mark::Bad), count(Mark::Warn));
    Ok(Json(DoctorView { checks, bad, warnings }))
}

fn own(app: &App) -> Vec<(Client, PathBuf)> {
    let places = |client| app.home.places(client).into_iter().map(move |place| (client, place));
    Client::ALL.into_iter().flat_map(places).collect()
}

/// The files that `config` names.
fn set_ups(asked: &[(String, String)]) -> Result<Vec<SetUp>, ApiError> {
    if asked.len() > MOST_FILES {
        return Err(ApiError::invalid("query", format!("at most {MOST_FILES} files")));
    }
    if asked.iter().any(|(name, _)| !["config", "file", "upstream"].contains(&name.as_str())) {
        let constraint = "takes file=PROGRAM:PATH, config=CLIENT:PATH and upstream=true, and nothing else";
        return Err(ApiError::invalid("query", constraint));
    }
    let wanted = asked.iter().filter(|(name, _)| name == "config");
    let set_up = |(_, value): &(String, String)| {
        let constraint =
            "must be CLIENT:PATH with an absolute path, of a client that has a file: see GET /api/clients";
        SetUp::parse(value).ok_or_else(|| ApiError::invalid("config", constraint))
    };
    wanted.map(set_up).collect()
}

/// The files that `file` names.
fn named(asked: &[(String, String)]) -> Result<Vec<(Client, PathBuf)>, ApiError> {
    let file = |(_, value): &(String, String)| {
        let parts =
            value.split_once(':').and_then(|(client, path)| Some((Client::named(client)?, path.into())));
        parts.filter(|(_, path): &(Client, PathBuf)| path.is_absolute()).ok_or_else(|| {
            let known = Client::ALL.map(Client::as_str).join(", ");
            ApiError::invalid(
                "file",
                format!("must be PROGRAM:PATH with an absolute path; programs are {known}"),
            )
        })
    };
    asked.iter().filter(|(name, _)| name == "file").map(file).collect()
}

fn configuration(file: &Path, warnings: &[Problem]) -> Vec<Check> {
    if warnings.is_empty() {
        let there = if file.exists() { "" } else { ": it does not exist, and every setting has its default" };
        return vec![Check::new("config", Mark::Ok, format!("{}, no problems{there}", file.display()))];
    }
    let check = |problem: &Problem| {
        let help: String = problem.help.iter().map(|line| format!("; {line}")).collect();
        let message = format!("{}: {}{help}", problem.key, problem.what);
        Check::new("config", Mark::Warn, message).fix("rota config check")
    };
    warnings.iter().map(check).collect()
}

fn store(app: &App) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(error) = app.store.health().last_error {
        let message = format!("the last change is not saved: {error}");
        checks.push(Check::new("store", Mark::Bad, message));
    }
    for finding in app.store.findings() {
        checks.push(Check::new("store", Mark::Warn, finding.to_string()).fix("rota store verify"));
    }
    if checks.is_empty() {
        let saved = app.store.health().last_saved;
        let saved = saved.map_or_else(String::new, |at| format!(", last saved {}", ago(at, app.clock.now())));
        checks.push(Check::new("store", Mark::Ok, format!("intact{saved}")));
    }
    checks
}

fn ago(then: Time, now: Time) -> String {
    match then.until(now).as_secs() {
        seconds @ 0..=119 => format!("{seconds} s ago"),
        seconds @ 120..=7199 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
}

fn accounts(world: &Snapshot, now: Time) -> Vec<Check> {
    if world.accounts.is_empty() {
        return vec![
            Check::new("accounts", Mark::Warn, "there are none yet").fix("rota accounts add --help"),
        ];
    }
    let mut checks: Vec<Check> =
        world.accounts.iter().filter_map(|account| credential(account, now)).collect();
    for (at, account) in world.accounts.iter().enumerate() {
        let twins = world.accounts.iter().take(at).find(|other| both_spend(account, other));
        checks.extend(twins.map(|other| {
            let message = format!(
                "it holds the same login as \"{}\"; two owners of one refresh token sign each other out",
                other.alias
            );
            let alias = account.alias.as_str();
            Check::new(alias, Mark::Bad, message).fix(format!("rota accounts rm {alias}"))
        }));
    }
    if checks.is_empty() {
        let message = match world.accounts.len() {
            1 => "one, and its credential is in order".to_owned(),
            count => format!("{count}, and their credentials are in order"),
        };
        checks.push(Check::new("accounts", Mark::Ok, message));
    }
    checks
}

fn both_spend(one: &Account, other: &Account) -> bool {
    match (one.credential.credential(), other.credential.credential()) {
        (Some(one), Some(other)) => one.same_refresh(other),
        (Some(_) | None, _) => false,
    }
}

/// What is wrong with an account's credential. An account that is off waits for nobody.
fn credential(account: &Account, now: Time) -> Option<Check> {
    let broken = if account.is_on() { Mark::Bad } else { Mark::Warn };
    let check = |state, message: String| Some(Check::new(account.alias.as_str(), state, message));
    let kind = account.credential.credential().map(|credential| credential.kind);
    let sign_in = |check: Check| match kind {
        Some(CredentialKind::ApiKey) => check.fix(format!("rota accounts rm {}", account.alias)),
        Some(CredentialKind::Bearer | CredentialKind::Oauth) | None => {
            check.fix(format!("rota login {}", account.alias))
        }
    };
    match &account.credential {
        CredentialState::NeedsReauth { since, detail, .. } => {
            let since = Stamp::from(*since);
            check(broken, format!("its credential was refused at {since} ({detail})")).map(sign_in)
        }
        CredentialState::Missing { detail } => {
            check(broken, format!("it has no credential: {detail}")).map(sign_in)
        }
        CredentialState::Usable(credential) if credential.lapsed(now) && credential.refresh.is_none() => {
            let renewed = credential.self_granted;
            if renewed {
                return None;
            }
            check(broken, "its token has ended, and nothing can renew it".to_owned()).map(sign_in)
        }
        CredentialState::Usable(_) if account.renewal.failures >= MANY_FAILURES => {
            let failures = account.renewal.failures;
            check(Mark::Warn, format!("its token could not be renewed, {failures} times in a row"))
                .map(sign_in)
        }
        CredentialState::Usable(_) => None,
    }
}

/// Accounts whose refresh token `client` holds, too.
fn shared(world: &Snapshot, client: Client, file: &Path, found: &[Found]) -> Vec<Check> {
    let holds = |account: &&Arc<Account>| {
        let own = account.credential.usable();
        own.is_some_and(|own| found.iter().any(|found| own.same_refresh(&found.credential)))
    };
    let check = |account: &Arc<Account>| {
        let alias = &account.alias;
        let message = format!(
            "{} holds the same login as \"{alias}\"; two owners of one refresh token will sign each other out. Give \
             rota one of its own, or move that file away",
            file.display()
        );
        Check::new(client.as_str(), Mark::Warn, message).fix(format!("rota login {alias}"))
    };
    world.accounts.iter().filter(holds).map(check).collect()
}

impl Check {
    fn new(name: &str, state: Mark, message: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, message: message.into(), fix: None }
    }

    fn fix(self, command: impl Into<String>) -> Self {
        Self { fix: Some(command.into()), ..self }
    }
}
