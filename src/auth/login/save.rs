use super::error::LoginError;
use super::fresh::{again, fresh};
use super::job::Job;
use super::logins::Work;
use crate::auth::grant::Grant;
use crate::auth::token::known;
use crate::engine::{Command, NewAccount, Rejection};
use crate::model::{AccountId, Credential, Weight};
use crate::state::CommitError;
use crate::store::{Store, StoreError};
use std::time::Duration;

/// How long a renewal may hold the account's lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// Makes what a sign-in gave the account's: all of it, durable, or nothing (REN-6).
pub(super) async fn save(work: &Work, job: &Job, grant: Grant) -> Result<(), LoginError> {
    match job.account {
        None => add(work, job, grant).await,
        Some(account) => replace(work, account, grant).await,
    }
}

async fn add(work: &Work, job: &Job, grant: Grant) -> Result<(), LoginError> {
    let new = NewAccount {
        alias: job.alias.clone(),
        provider: job.provider.clone(),
        credential: fresh(grant, 1, work.clock.now()),
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: String::new(),
    };
    let added = work.state.commit(Command::AccountAdded(Box::new(new))).await;
    added.map(|_| ()).map_err(|error| match error {
        CommitError::Rejected(Rejection::AliasTaken(alias)) => LoginError::AliasTaken(alias),
        CommitError::Rejected(rejection) => LoginError::Rejected(rejection),
        CommitError::NotDurable => LoginError::Store(error.to_string()),
    })
}

/// Under the account's lock, as a renewal does it: one that is under way ends first, and one that waits finds a newer
/// record and adopts it. Durable first, then in force.
async fn replace(work: &Work, account: AccountId, grant: Grant) -> Result<(), LoginError> {
    let lock = tokio::time::timeout(LOCK_PATIENCE, blocking(work, move |store| store.lock(account))).await;
    let _lock = lock.map_err(|_| LoginError::Store("a renewal holds the account's lock".to_owned()))??;
    let record = blocking(work, move |store| store.credential(account)).await?;
    let world = work.state.snapshot();
    let there = world.account(account).ok_or(LoginError::AccountGone)?;
    if !there.is_on() {
        return Err(LoginError::Disabled(there.alias.clone()));
    }
    let in_force = there.credential.credential().map(|credential| Credential::clone(credential));
    let old = [record, in_force].into_iter().flatten().max_by_key(|credential| credential.version);
    let now = work.clock.now();
    let new = match &old {
        None => fresh(grant, 1, now),
        Some(old) => again(old, &known(old), grant, old.version + 1, now)
            .ok_or_else(|| LoginError::IdentityMismatch(there.alias.clone()))?,
    };
    let kept = new.clone();
    blocking(work, move |store| store.save_credential(account, &kept)).await?;
    match work.state.commit(Command::Reauthenticated { account, credential: new }).await {
        Ok(_) => Ok(()),
        Err(CommitError::NotDurable) => {
            // The credential is; what else this generation holds is written as soon as the store takes it.
            tracing::warn!(account = account.0, "a sign-in is stored, but the state record is not yet");
            Ok(())
        }
        Err(CommitError::Rejected(Rejection::UnknownAccount)) => {
            blocking(work, move |store| store.remove_credential(account)).await?;
            Err(LoginError::AccountGone)
        }
        Err(CommitError::Rejected(rejection)) => Err(LoginError::Rejected(rejection)),
    }
}

/// Runs `doing` where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: &Work,
    doing: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, LoginError> {
    let store = work.store.clone();
    let done = tokio::task::spawn_blocking(move || doing(&store)).await;
    let done = done.map_err(|_| LoginError::Store("the store's thread failed".to_owned()))?;
    done.map_err(|error| LoginError::Store(error.to_string()))
}
