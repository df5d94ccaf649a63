//! Whose limits are due to be asked for. Never those of an account that is off, never two of one provider at a time,
//! and at moments that a hash spreads: a provider that sees a whole pool asked about at once sees a pool (LIM-4).
use super::backoff::spread;
use super::breaker::{self, Passage, passage};
use super::eligibility::renewable;
use crate::model::{
    Account, AccountId, CredentialKind, LimitSource, LimitStatus, Limits, ModelProbe, ModelProbes, Provider,
    Snapshot, Time, UsageEndpoint,
};
use std::sync::Arc;
use std::time::Duration;

/// The least between two probes of one provider that nobody asked for.
const GAP: Duration = Duration::from_secs(60);
/// A new account is asked about within this.
const SOON: Duration = Duration::from_secs(30);

/// How an account's limits can be asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Inquiry<'a> {
    /// At the usage endpoint; where that turns the account away, by a model probe if that is allowed.
    Usage(&'a UsageEndpoint),
    /// By a model probe, which costs quota.
    Model(&'a ModelProbe),
}

/// How the limits of a credential of this kind can be asked for; none where only replies tell them.
pub fn inquiry<'a>(
    provider: &'a Provider,
    kind: CredentialKind,
    allowed: ModelProbes,
) -> Option<Inquiry<'a>> {
    let usage = provider.usage.as_ref().filter(|usage| usage.kinds.contains(&kind));
    usage.map(Inquiry::Usage).or_else(|| model_inquiry(provider, kind, allowed).map(Inquiry::Model))
}

/// The model probe of a credential of this kind, where there is one and it is allowed.
pub fn model_inquiry(provider: &Provider, kind: CredentialKind, allowed: ModelProbes) -> Option<&ModelProbe> {
    match allowed {
        ModelProbes::Allowed => provider.probe.as_ref().filter(|probe| probe.kinds.contains(&kind)),
        ModelProbes::Never => None,
    }
}

/// True where a probe may send the account's token, or renew it first.
pub fn can_be_asked(account: &Account, provider: &Provider, now: Time) -> bool {
    let Some(credential) = account.credential.usable() else {
        return false;
    };
    let renews = provider.token.is_some() && renewable(credential);
    account.is_on() && (renews || credential.expires.is_none_or(|expires| now < expires))
}

/// The accounts that are due, ripest first, and when the next ones are. One of each provider is to be asked about: then
/// its others are due a while later.
pub(super) fn probing(world: &Snapshot, now: Time) -> (Vec<AccountId>, Option<Time>) {
    let Some(every) = world.settings.probing.every else {
        return (Vec::new(), None);
    };
    let mut due = Vec::new();
    let mut wake: Option<Time> = None;
    for provider in world.providers.iter() {
        let accounts = || world.accounts_of(&provider.id);
        let ripe = |account: &Arc<Account>| Some((ripe(account, world, provider, every, now)?, account.id));
        let mut ripe: Vec<_> = accounts().filter_map(ripe).collect();
        ripe.sort();
        let Some((first, id)) = ripe.first().copied() else {
            continue;
        };
        let last = accounts().filter_map(|account| asked(&account.limits, now)).max();
        let gap = |last: Time| GAP + GAP.mul_f64(spread(u64::from(id.0), last.as_secs()));
        let free = last.map_or(first, |last| last.after(gap(last)));
        let at = left_alone(world, provider, now).map_or(free, |open| free.max(open)).max(first);
        if at <= now {
            due.extend(ripe.into_iter().take_while(|(at, _)| *at <= now).map(|(_, account)| account));
        } else {
            wake = Some(wake.map_or(at, |wake| wake.min(at)));
        }
    }
    (due, wake)
}

/// Until when the provider is asked nothing: its breaker is open, or two of its logins were refused for good (FLO-5).
fn left_alone(world: &Snapshot, provider: &Provider, now: Time) -> Option<Time> {
    let deaths = world.deaths.get(&provider.id);
    let cut_off = deaths.and_then(|deaths| breaker::cut_off(deaths, now));
    match passage(world.breaker(&provider.id), now) {
        Passage::Shut { until } => Some(cut_off.map_or(until, |other| other.max(until))),
        Passage::Free | Passage::Probe => cut_off,
    }
}

/// When the account's limits are old enough to be asked for; none where that cannot be.
fn ripe(
    account: &Account,
    world: &Snapshot,
    provider: &Provider,
    every: Duration,
    now: Time,
) -> Option<Time> {
    let credential = account.credential.usable()?;
    let how = inquiry(provider, credential.kind, world.settings.probing.models)?;
    if !can_be_asked(account, provider, now) {
        return None;
    }
    let least = match how {
        Inquiry::Usage(usage) => usage.least.max(every),
        Inquiry::Model(_) => every,
    };
    let seed = |at: Time| spread(u64::from(account.id.0), at.as_secs());
    let seen = account.limits.latest.as_ref().map(|sample| sample.at);
    let tried = seen.into_iter().chain(account.limits.failed).filter(|at| *at <= now).max();
    Some(match tried {
        Some(at) => at.after(least + least.mul_f64(seed(at) / 4.0)),
        None => credential.issued.min(now).after(SOON.mul_f64(seed(credential.issued))),
    })
}

/// When the account was last asked about, whatever came of it. What was noted in the future was noted by a clock that
/// ran ahead.
fn asked(limits: &Limits, now: Time) -> Option<Time> {
    let seen = limits.latest.as_ref().filter(|sample| match sample.source {
        LimitSource::Headers { .. } => false,
        LimitSource::Probe { .. } | LimitSource::Usage { .. } => true,
    });
    let failed = limits.failed.filter(|_| limits.status == LimitStatus::Error);
    seen.map(|sample| sample.at).into_iter().chain(failed).filter(|at| *at <= now).max()
}

#[cfg(test)]
mod tests;
