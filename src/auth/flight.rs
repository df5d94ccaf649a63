use super::attempts::Attempts;
use super::endpoint::Endpoints;
use super::grant::Grant as Granted;
use super::granted;
use super::logbook::{self, Logbook};
use super::renewed::renewed;
use super::token::{TokenClient, Trade, known};
use crate::clock::Clock;
use crate::engine::{Command, RenewalFailure, breaker};
use crate::model::{AccountId, Alias, Credential, Grant, TokenEndpoint, TokenSource};
use crate::state::SharedState;
use crate::store::{Round, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The wait before what was granted is stored again; it doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest of them.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a renewal works with.
pub(super) struct Tools {
    pub(super) state: Arc<SharedState>,
    pub(super) store: Arc<Store>,
    pub(super) tokens: TokenClient,
    /// Of one exchange. A short one makes unclear ends out of slow ones.
    pub(super) deadline: Duration,
    pub(super) clock: Clock,
    pub(super) endpoints: Endpoints,
    pub(super) tallies: Mutex<BTreeMap<AccountId, Tally>>,
}

/// How an account's renewals went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// A new token came.
    pub renewed: u64,
    /// They may work later.
    pub transient: u64,
    /// The authority refused for good.
    pub permanent: u64,
}

impl Tools {
    fn note(&self, account: AccountId, note: impl FnOnce(&mut Tally)) {
        note(self.tallies.lock().unwrap_or_else(PoisonError::into_inner).entry(account).or_default());
    }
}

/// What is left to do after the waiters were let go.
#[must_use]
pub(super) enum Landed {
    /// Nothing.
    Done,
    /// The new credential serves, but the store did not take it.
    Unsaved(Box<Unsaved>),
}

/// A granted credential that is not durable. The account's lock is kept until it is: whoever took the old record for
/// the newest would spend a dead token.
pub(super) struct Unsaved {
    account: AccountId,
    credential: Credential,
    log: Logbook,
}

/// One renewal of `version`, or of whatever the record says when its lock is ours. Nothing is sent that could not be
/// recorded.
pub(super) async fn fly(tools: &Tools, account: AccountId, version: u64) -> Landed {
    match renew(tools, account, version).await {
        Ok(landed) => landed,
        Err(failure) => {
            fail(tools, account, version, failure);
            Landed::Done
        }
    }
}

async fn renew(tools: &Tools, account: AccountId, version: u64) -> Result<Landed, RenewalFailure> {
    let Some(Plan { credential, source, alias }) = plan(tools, account, version)? else {
        return Ok(Landed::Done);
    };
    match source {
        TokenSource::Command(command) => granted::renew(tools, account, credential, &command, &alias).await,
        TokenSource::Endpoint(endpoint) => {
            let traded = trade(tools, account, &credential, &endpoint, &alias).await;
            if credential.self_granted { traded.map_err(granted::softened) } else { traded }
        }
    }
}

async fn trade(
    tools: &Tools,
    account: AccountId,
    credential: &Arc<Credential>,
    endpoint: &TokenEndpoint,
    alias: &Alias,
) -> Result<Landed, RenewalFailure> {
    let version = credential.version;
    let trade = match &credential.refresh {
        Some(refresh) => Trade::Refresh(refresh),
        None if endpoint.grant != Grant::RefreshToken => Trade::Parameters,
        None => return Err(later("there is no refresh token")),
    };
    let params = tools.tokens.params(&endpoint.params, alias).await.map_err(|why| later(&why))?;
    let entrance = tools.endpoints.of(&endpoint.origin);
    let Some(leave) = entrance.enter(|| tools.clock.now()).await else {
        return Err(later("the token endpoint has failed too often and is left alone for now"));
    };
    if is_cut_off(tools, account) {
        return Err(later("two logins of the provider were refused for good, and it is left alone for now"));
    }
    let log = Logbook::new(logbook::lock(tools, account).await?, account, Arc::clone(credential));
    if adopt(tools, account, version).await? || current(tools, account) != Some(version) {
        return Ok(Landed::Done);
    }
    let attempts = Attempts { tools, leave: &leave, endpoint, trade, params: &params, log: &log };
    match attempts.run().await? {
        Some(grant) => commit(tools, log, grant).await,
        None => Ok(Landed::Done),
    }
}

/// Makes the next credential of what was granted, and keeps it.
pub(super) async fn commit(tools: &Tools, log: Logbook, grant: Granted) -> Result<Landed, RenewalFailure> {
    let old = log.credential();
    let new = renewed(old, &known(old), grant, tools.clock.now())
        .map_err(|other| RenewalFailure::Permanent { detail: other.to_string() })?;
    Ok(keep(tools, new, log).await)
}

/// What is to be renewed, and by what.
struct Plan {
    credential: Arc<Credential>,
    source: TokenSource,
    alias: Alias,
}

/// See [`Plan`]; none where it was replaced meanwhile.
fn plan(tools: &Tools, account: AccountId, version: u64) -> Result<Option<Plan>, RenewalFailure> {
    let world = tools.state.snapshot();
    let Some(known) = world.account(account) else {
        return Ok(None);
    };
    let Some(credential) = known.credential.usable().filter(|held| held.version == version) else {
        return Ok(None);
    };
    let source = world.provider(&known.provider).and_then(|preset| preset.token.clone());
    let source = source.ok_or_else(|| later("the provider's preset names no source of tokens"))?;
    Ok(Some(Plan { credential: credential.clone(), source, alias: known.alias.clone() }))
}

/// Too many logins of the account's provider died lately, perhaps while this renewal waited for its place (FLO-5).
fn is_cut_off(tools: &Tools, account: AccountId) -> bool {
    let world = tools.state.snapshot();
    let deaths = world.account(account).and_then(|account| world.deaths.get(&account.provider));
    deaths.is_some_and(|deaths| breaker::cut_off(deaths, tools.clock.now()).is_some())
}

pub(super) fn current(tools: &Tools, account: AccountId) -> Option<u64> {
    let world = tools.state.snapshot();
    let credential = world.account(account)?.credential.usable()?;
    Some(credential.version)
}

/// Takes over what another process or a re-auth wrote since. True where there was something.
pub(super) async fn adopt(tools: &Tools, account: AccountId, version: u64) -> Result<bool, RenewalFailure> {
    let record = blocking(tools, move |store| store.credential(account)).await;
    let record = record.map_err(|error| later(&format!("the record cannot be read: {error}")))?;
    let Some(newer) = record.filter(|record| record.version > version) else {
        return Ok(false);
    };
    tracing::info!(account = account.0, version = newer.version, "adopted a newer credential");
    publish(tools, account, version, newer);
    Ok(true)
}

/// Durable first, then in force (REN-2). Where the store fails now, the old refresh token is spent already and nothing
/// is won by waiting: the new credential serves from memory until the store takes it. After a crash the journal still
/// has the answer; it is wiped once it is not needed any more.
pub(super) async fn keep(tools: &Tools, new: Credential, log: Logbook) -> Landed {
    let (account, version) = (log.account(), log.credential().version);
    let saved = save(tools, account, &new).await;
    tools.note(account, |tally| tally.renewed += 1);
    match saved {
        Ok(()) => {
            tracing::info!(account = account.0, version = new.version, "renewed the credential");
            publish(tools, account, version, new);
            log.clear(tools, Round::First).await;
            Landed::Done
        }
        Err(error) if error.is_outdated() => {
            tracing::warn!(account = account.0, "the record was replaced during a renewal");
            if !matches!(adopt(tools, account, version).await, Ok(true)) {
                publish(tools, account, version, new);
            }
            Landed::Done
        }
        Err(error) => {
            tracing::error!(account = account.0, %error, "a renewed credential is in memory only");
            publish(tools, account, version, new.clone());
            Landed::Unsaved(Box::new(Unsaved { account, credential: new, log }))
        }
    }
}

impl Unsaved {
    /// Tries until the store takes it, somebody else has replaced it, or the account is gone.
    pub(super) async fn settle(self, tools: &Tools) {
        let mut wait = FIRST_WAIT;
        loop {
            tools.clock.sleep_until(tools.clock.now().after(wait)).await;
            if current(tools, self.account) != Some(self.credential.version) {
                return;
            }
            match save(tools, self.account, &self.credential).await {
                Ok(()) => {
                    tracing::info!(account = self.account.0, "the renewed credential is stored");
                    return self.log.clear(tools, Round::First).await;
                }
                Err(error) if error.is_outdated() => return,
                Err(_) => wait = (wait * 2).min(LONGEST_WAIT),
            }
        }
    }
}

async fn save(tools: &Tools, account: AccountId, new: &Credential) -> Result<(), Unkept> {
    let new = new.clone();
    blocking(tools, move |store| store.save_credential(account, &new)).await
}

fn publish(tools: &Tools, account: AccountId, version: u64, credential: Credential) {
    let refreshed = Command::Refreshed { account, version, credential };
    if let Err(rejection) = tools.state.apply(refreshed) {
        tracing::debug!(account = account.0, %rejection, "a renewal came too late");
    }
}

pub(super) fn fail(tools: &Tools, account: AccountId, version: u64, failure: RenewalFailure) {
    match &failure {
        RenewalFailure::Permanent { detail } => {
            tools.note(account, |tally| tally.permanent += 1);
            tracing::warn!(account = account.0, version, detail, "the account must sign in again");
        }
        RenewalFailure::Transient { detail } => {
            tools.note(account, |tally| tally.transient += 1);
            tracing::warn!(account = account.0, version, detail, "a renewal failed");
        }
    }
    let failed = Command::RenewalFailed { account, version, failure };
    if let Err(rejection) = tools.state.apply(failed) {
        tracing::debug!(account = account.0, %rejection, "a failed renewal came too late");
    }
}

/// Runs `work` where blocking is allowed. A thread that failed did not do it.
pub(super) async fn blocking<T: Send + 'static>(
    tools: &Tools,
    work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Unkept> {
    let store = tools.store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    Ok(done.map_err(|_| Unkept::Died)??)
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unkept {
    #[error("the store's thread failed")]
    Died,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Unkept {
    /// True where a record is as new as what was to be written, and says something else.
    fn is_outdated(&self) -> bool {
        matches!(self, Self::Store(StoreError::Conflict { .. }))
    }
}

pub(super) fn later(detail: &str) -> RenewalFailure {
    RenewalFailure::Transient { detail: detail.to_owned() }
}
