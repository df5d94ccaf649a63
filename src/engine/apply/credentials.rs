use super::{Durability, Rejection, RenewalFailure};
use crate::engine::backoff;
use crate::engine::breaker::DEATHS;
use crate::model::{Account, AccountId, Credential, CredentialState, FaultClass, Renewal, Snapshot, Time};
use std::sync::Arc;

/// A renewed token takes the old one's place, also where the old one was found dead while the renewal was under way. A
/// rest for the old token's sake ends. A renewal that did not move the expiry forward backs off (REN-1).
pub(super) fn refreshed(
    account: &mut Account,
    version: u64,
    credential: Credential,
    now: Time,
) -> Result<Durability, Rejection> {
    let Some(old) = account.credential.credential() else {
        return Err(Rejection::Outdated);
    };
    if old.version != version || credential.version <= version {
        return Err(Rejection::Outdated);
    }
    let moved = match (old.expires, credential.expires) {
        // What was issued in the future was issued under a clock that ran ahead, and so was its end.
        (Some(_), Some(_)) if old.issued > credential.issued => true,
        (Some(old), Some(new)) => new > old,
        (None, _) | (_, None) => true,
    };
    account.renewal = if moved { Renewal::default() } else { backed_off(account.renewal, now) };
    account.credential = CredentialState::Usable(Arc::new(credential));
    Ok(Durability::Required)
}

/// A human signed in again. What was held against the old login goes with it: that it was dead, that renewing it failed,
/// a rest for its sake. The provider's deaths go, too (FLO-5): an authority that has just granted a login is not one that
/// is signing everybody out, and who signs in to be served must not wait ten minutes. Rests for quota or money stay.
pub(super) fn reauthenticated(
    next: &mut Snapshot,
    id: AccountId,
    credential: Credential,
) -> Result<Durability, Rejection> {
    let account = super::find(next, id)?;
    if credential.version <= account.credential.version() {
        return Err(Rejection::Outdated);
    }
    account.credential = CredentialState::Usable(Arc::new(credential));
    account.renewal = Renewal::default();
    account.health.cooling = account.health.cooling.filter(|rest| !is_of_token(rest.class));
    let provider = account.provider.clone();
    next.deaths.remove(&provider);
    Ok(Durability::Required)
}

pub(super) fn renewal_failed(
    next: &mut Snapshot,
    id: AccountId,
    version: u64,
    failure: RenewalFailure,
    now: Time,
) -> Result<Durability, Rejection> {
    let account = super::find(next, id)?;
    let current = account.credential.usable().map(|current| current.version);
    if current != Some(version) {
        return Err(Rejection::Outdated);
    }
    match failure {
        RenewalFailure::Permanent { detail } => die(next, id, version, detail, now),
        RenewalFailure::Transient { .. } => {
            account.renewal = backed_off(account.renewal, now);
            Ok(Durability::Debounced)
        }
    }
}

/// The credential is dead: a human must sign in again. Once only, and only if it is still the one that was refused
/// (REN-3). Of subscription providers the time is kept, for the breaker that stops a cascade (FLO-5).
pub(super) fn die(
    next: &mut Snapshot,
    id: AccountId,
    version: u64,
    detail: String,
    now: Time,
) -> Result<Durability, Rejection> {
    let account = super::find(next, id)?;
    let provider = account.provider.clone();
    let refused = match account.credential.usable() {
        Some(refused) if refused.version == version => refused.clone(),
        Some(_) | None => return Err(Rejection::Outdated),
    };
    account.credential = CredentialState::NeedsReauth { since: now, detail, refused };
    account.renewal = Renewal::default();
    if next.provider(&provider).is_some_and(|preset| preset.subscription) {
        let deaths = next.deaths.entry(provider).or_default();
        deaths.push(now);
        let surplus = deaths.len().saturating_sub(DEATHS);
        deaths.drain(..surplus);
    }
    Ok(Durability::Required)
}

/// True for classes that speak of one credential and not of the account behind it.
pub(super) fn is_of_token(class: FaultClass) -> bool {
    matches!(class, FaultClass::AuthDead | FaultClass::AuthExpired)
}

fn backed_off(renewal: Renewal, now: Time) -> Renewal {
    let failures = renewal.failures.saturating_add(1);
    Renewal { failures, not_before: Some(now.after(backoff::renewal(failures))) }
}
