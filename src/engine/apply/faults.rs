use super::credentials::{die, is_of_token};
use super::{Durability, Rejection};
use crate::engine::backoff;
use crate::engine::breaker;
use crate::engine::classify::Fault;
use crate::engine::eligibility::SETTLING;
use crate::model::{
    Account, AccountId, Cooling, CoolingSource, FaultClass, Health, ModelName, ProviderId, Scope, Snapshot,
    Time,
};
use std::sync::Arc;

/// Successes in a row that make an account clean (SEL-8).
const CLEAN: u32 = 2;

/// Whom a fault touches. It takes both the scope and the class to touch an account: a rule that calls an overload the
/// account's fault still benches nobody (FLO-2, FLO-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Touches {
    /// The account rests.
    Account,
    /// The credential is dead.
    Credential,
    /// Every account of the organisation rests.
    Group,
    /// The account rests for one model.
    Model,
    /// Nobody.
    Nothing,
    /// The provider's circuit breaker counts it.
    Provider,
}

/// See [`Touches`].
pub(in crate::engine) fn touches(fault: &Fault) -> Touches {
    match (fault.class, fault.scope) {
        (_, Scope::Affinity | Scope::Policy | Scope::Request) => Touches::Nothing,
        (
            FaultClass::EdgeBlock
            | FaultClass::Unreachable
            | FaultClass::UpstreamError
            | FaultClass::UpstreamLost,
            _,
        ) => Touches::Provider,
        (
            FaultClass::AffinityFault
            | FaultClass::ModelCapacity
            | FaultClass::PolicyBlock
            | FaultClass::RateBare
            | FaultClass::RequestFault,
            _,
        )
        | (_, Scope::Network | Scope::Provider) => Touches::Nothing,
        (FaultClass::AuthDead, Scope::Account | Scope::AccountModel | Scope::QuotaGroup) => {
            Touches::Credential
        }
        (
            FaultClass::AuthExpired
            | FaultClass::Forbidden
            | FaultClass::ModelUnentitled
            | FaultClass::Payment
            | FaultClass::QuotaWindow
            | FaultClass::RateShort,
            scope,
        ) => match scope {
            Scope::AccountModel => Touches::Model,
            Scope::QuotaGroup => Touches::Group,
            Scope::Account
            | Scope::Affinity
            | Scope::Network
            | Scope::Policy
            | Scope::Provider
            | Scope::Request => Touches::Account,
        },
    }
}

pub(super) fn faulted(
    next: &mut Snapshot,
    (id, version): (AccountId, u64),
    model: Option<ModelName>,
    fault: &Fault,
    now: Time,
) -> Result<Durability, Rejection> {
    let account = next.account(id).ok_or(Rejection::UnknownAccount)?;
    let provider = account.provider.clone();
    if is_of_token(fault.class) && account.credential.version() != version {
        return Err(Rejection::Outdated);
    }
    match touches(fault) {
        Touches::Nothing => return Ok(Durability::None),
        Touches::Provider => {
            let failed = breaker::failed(next.breaker(&provider), now);
            next.breakers.insert(provider, failed);
            return Ok(Durability::None);
        }
        Touches::Credential => {
            answered(next, &provider);
            return die(next, id, version, detail(fault), now);
        }
        Touches::Account => rest(super::find(next, id)?, fault, now),
        Touches::Group => {
            let account = super::find(next, id)?;
            rest(account, fault, now);
            let group = account.quota_group.clone();
            let resting = account.health.cooling;
            rest_group(next, &provider, group, resting);
        }
        Touches::Model => match model {
            Some(model) => rest_model(super::find(next, id)?, model, fault, now),
            None if fault.class == FaultClass::ModelUnentitled => return Ok(Durability::None),
            None => rest(super::find(next, id)?, fault, now),
        },
    }
    answered(next, &provider);
    Ok(Durability::Debounced)
}

/// A success closes the provider's breaker. It counts for the account once its rest is over; two in a row, and not
/// before probation has lasted [`SETTLING`], make it clean.
pub(super) fn served(next: &mut Snapshot, id: AccountId, now: Time) -> Result<Durability, Rejection> {
    let account = next.account(id).ok_or(Rejection::UnknownAccount)?;
    let provider = account.provider.clone();
    let counts = !account.health.is_clean() && account.health.cools_until(now).is_none();
    if counts {
        let health = &mut super::find(next, id)?.health;
        health.streak = health.streak.saturating_add(1);
        let settled = health.cooling.is_none_or(|rest| rest.until.after(SETTLING) <= now);
        if health.streak >= CLEAN && settled {
            *health = Health { models: std::mem::take(&mut health.models), ..Health::default() };
        }
    }
    answered(next, &provider);
    Ok(if counts { Durability::Debounced } else { Durability::None })
}

/// The provider answered for itself: whatever its breaker held is over.
fn answered(next: &mut Snapshot, provider: &ProviderId) {
    next.breakers.remove(provider);
}

/// One strike and a rest. What arrives while the account rests is the same burst: no further strike, and the rest ends
/// at the later of what was known and what is now said (FLO-4).
fn rest(account: &mut Account, fault: &Fault, now: Time) {
    let id = account.id;
    let health = &mut account.health;
    health.streak = 0;
    let burst = health.cools_until(now).is_some();
    if burst && fault.resets.is_none() {
        return;
    }
    if !burst {
        health.strikes = health.strikes.saturating_add(1);
    }
    let (until, source) = fault.resets.unwrap_or_else(|| {
        let wait = backoff::rest(id, health.strikes);
        (now.after(wait), CoolingSource::Default)
    });
    let said = Cooling { until: until.max(now.after(SETTLING)), class: fault.class, source, since: now };
    lengthen(health, said, now);
}

/// Never shortens a rest that is still on.
fn lengthen(health: &mut Health, said: Cooling, now: Time) {
    let resting = health.cooling.filter(|rest| rest.until > now);
    health.cooling = Some(match resting {
        Some(rest) if rest.until >= said.until => rest,
        Some(rest) => Cooling { since: rest.since, ..said },
        None => said,
    });
}

/// The others of the organisation rest as long as the one that was told, without a strike of their own.
fn rest_group(next: &mut Snapshot, provider: &ProviderId, group: Option<Arc<str>>, resting: Option<Cooling>) {
    let (Some(group), Some(rest)) = (group, resting) else {
        return;
    };
    for account in &mut next.accounts {
        if account.provider == *provider && account.quota_group.as_ref() == Some(&group) {
            let health = &mut Arc::make_mut(account).health;
            lengthen(health, rest, rest.since);
        }
    }
}

/// A rest from one model. There is no count of strikes per model: without a word from the upstream, the next rest is
/// twice the last one, if that has not long been over.
fn rest_model(account: &mut Account, model: ModelName, fault: &Fault, now: Time) {
    let id = account.id;
    let models = &mut account.health.models;
    let last = models.get(&model).copied();
    let burst = last.is_some_and(|rest| rest.until > now);
    if burst && fault.resets.is_none() {
        return;
    }
    let (until, source) = fault.resets.unwrap_or_else(|| {
        let recent = last.map(|rest| (rest.since.until(rest.until), rest.until));
        let wait = match recent {
            Some((span, ended)) if ended.until(now) <= span => backoff::longer(span),
            Some(_) | None => backoff::rest(id, 1),
        };
        (now.after(wait), CoolingSource::Default)
    });
    let until = last.map_or(until, |rest| rest.until.max(until));
    let since = last.filter(|_| burst).map_or(now, |rest| rest.since);
    models.insert(model, Cooling { until, class: fault.class, source, since });
    while models.len() > Health::MODELS {
        let first = models.iter().min_by_key(|(_, rest)| rest.until);
        let Some(first) = first.map(|(model, _)| model.clone()) else {
            return;
        };
        models.remove(&first);
    }
}

fn detail(fault: &Fault) -> String {
    let rule = fault.rule.as_deref();
    rule.unwrap_or(fault.class.as_str()).to_owned()
}
