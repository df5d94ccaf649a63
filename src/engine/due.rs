use super::apply::has_fallen;
use super::backoff::{spread, waits};
use super::breaker;
use super::eligibility::renewable;
use super::probing::probing;
use crate::model::{Account, AccountId, Credential, Provider, Snapshot, Time};
use std::time::Duration;

/// Tokens that live shorter are renewed when a request needs them, not ahead.
const LEAST_LIFE: Duration = Duration::from_secs(300);
/// A token is renewed at least this long before it ends, unless it lives too short for that.
const LEAD: Duration = Duration::from_secs(300);
/// Renewals are spread over this span.
const JITTER: Duration = Duration::from_secs(60);
/// Failures in a row after which only a request or a human asks again.
const FAILURES: u32 = 3;

/// What background work is due, and when to ask again. Derived from the snapshot, never scheduled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Credentials to renew: whose, and which version (REN-1).
    pub renew: Vec<(AccountId, u64)>,
    /// Accounts whose limits are old, ripest first: the first of each provider is to be asked about (LIM-4).
    pub probe: Vec<AccountId>,
    /// True when `Command::TimePassed` would change something.
    pub expire: bool,
    /// When to ask again, if anything is ever due.
    pub wake: Option<Time>,
}

/// See [`Due`]. What is due stays due until a command changes the snapshot; `wake` is always later than `now`.
pub fn due(world: &Snapshot, now: Time) -> Due {
    let mut due = Due::default();
    let mut note = |at: Time| due.wake = Some(due.wake.map_or(at, |wake: Time| wake.min(at)));
    let (probe, later) = probing(world, now);
    later.into_iter().for_each(&mut note);
    due.expire = has_fallen(world, now);
    if let Some(force) = world.force.as_ref().filter(|_| !due.expire) {
        note(force.until);
    }
    for account in &world.accounts {
        let Some(provider) = world.provider(&account.provider) else {
            continue;
        };
        let deaths = world.deaths.get(&account.provider);
        let cut_off = deaths.and_then(|deaths| breaker::cut_off(deaths, now));
        let Some((version, at, expires)) = renewal(account, provider, now) else {
            continue;
        };
        let at = cut_off.map_or(at, |until| at.max(until));
        if at >= expires || now >= expires {
            continue;
        }
        if at <= now {
            due.renew.push((account.id, version));
        } else {
            note(at);
        }
    }
    Due { probe, ..due }
}

/// Which version is to be renewed, when, and when it ends; none for what is never renewed ahead.
fn renewal(account: &Account, provider: &Provider, now: Time) -> Option<(u64, Time, Time)> {
    let credential = account.credential.usable()?;
    let renews = account.is_on()
        && provider.token.is_some()
        && renewable(credential)
        && account.renewal.failures < FAILURES;
    let (at, expires) = ahead(account.id, credential)?;
    let at = waits(&account.renewal, now).map_or(at, |wait| at.max(wait));
    renews.then_some((credential.version, at, expires))
}

/// The greater of five minutes and a fifth of the lifetime before the end, but never before half of it has passed; up to
/// a minute, and at most a tenth of the lifetime, earlier still (REN-1).
fn ahead(id: AccountId, credential: &Credential) -> Option<(Time, Time)> {
    let expires = credential.expires?;
    let life = credential.issued.until(expires);
    if life < LEAST_LIFE {
        return None;
    }
    let lead = LEAD.max(life / 5).min(life / 2);
    let jitter = JITTER.min(life / 10).mul_f64(spread(u64::from(id.0), credential.version));
    Some((expires.before(lead + jitter), expires))
}

#[cfg(test)]
mod tests;
