use super::attempts::{INDETERMINATE, read, unknown};
use super::flight::{Landed, Tools, adopt, blocking, commit, current, fail};
use super::grant::Exchange;
use super::logbook::{Logbook, try_lock};
use crate::engine::RenewalFailure;
use crate::model::{AccountId, Credential};
use crate::store::{Pending, Round};
use std::sync::Arc;

/// Accounts whose journal holds something, with their credentials.
pub(super) async fn left_over(tools: &Tools) -> Vec<(AccountId, Arc<Credential>)> {
    let world = tools.state.snapshot();
    let held = world.accounts.iter().filter_map(|account| {
        let credential = account.credential.usable().filter(|held| held.refresh.is_some())?;
        Some((account.id, Arc::clone(credential)))
    });
    let mut held: Vec<(AccountId, Arc<Credential>)> = held.collect();
    let looked = blocking(tools, move |store| {
        held.retain(|(account, _)| {
            store.has_noted(*account).unwrap_or_else(|error| {
                tracing::error!(account = account.0, %error, "the rotation journal cannot be read");
                false
            })
        });
        Ok(held)
    });
    looked.await.unwrap_or_default()
}

/// Finishes what the account's journal tells of, as far as that needs no word to the endpoint.
pub(super) async fn finish(tools: &Tools, account: AccountId, credential: Arc<Credential>) -> Landed {
    let version = credential.version;
    match settle(tools, account, credential).await {
        Ok(landed) => landed,
        Err(failure @ RenewalFailure::Permanent { .. }) => {
            fail(tools, account, version, failure);
            Landed::Done
        }
        Err(RenewalFailure::Transient { detail }) => {
            tracing::warn!(
                account = account.0,
                version,
                detail,
                "a renewal that was cut off is not finished"
            );
            Landed::Done
        }
    }
}

async fn settle(
    tools: &Tools,
    account: AccountId,
    credential: Arc<Credential>,
) -> Result<Landed, RenewalFailure> {
    let Some(rotation) = try_lock(tools, account).await? else {
        return Ok(Landed::Done);
    };
    let version = credential.version;
    let log = Logbook::new(rotation, account, Arc::clone(&credential));
    if adopt(tools, account, version).await? || current(tools, account) != Some(version) {
        log.clear(tools, Round::First).await;
        return Ok(Landed::Done);
    }
    match log.pending(tools).await? {
        Pending::Nothing => log.clear(tools, Round::First).await,
        Pending::Answered(round, answer) => return answered(tools, log, round, read(&answer)).await,
        Pending::Unanswered(Round::First) => {
            let class = INDETERMINATE;
            tracing::warn!(
                account = account.0,
                version,
                class,
                "a renewal was cut off: what became of the refresh token is not known; the next renewal sends it once more"
            );
        }
        Pending::Unanswered(Round::Recovery) => {
            return Err(unknown(&credential, "no answer is known", tools.clock.now()));
        }
    }
    Ok(Landed::Done)
}

async fn answered(
    tools: &Tools,
    log: Logbook,
    round: Round,
    exchange: Exchange,
) -> Result<Landed, RenewalFailure> {
    let (account, version) = (log.account().0, log.credential().version);
    match exchange {
        Exchange::Granted(grant) => {
            tracing::info!(
                account,
                version,
                "a renewal was cut off after its answer was noted: it is finished now"
            );
            return commit(tools, log, *grant).await;
        }
        Exchange::Refused(detail) => return Err(RenewalFailure::Permanent { detail }),
        // Not spent: it was as good as not sent.
        Exchange::Unspent { .. } => log.clear(tools, round).await,
        Exchange::Unclear(why) => {
            tracing::warn!(
                account,
                version,
                why,
                "the end of a renewal is unclear; the next one goes on from there"
            );
        }
    }
    Ok(Landed::Done)
}
