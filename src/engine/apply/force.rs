use super::{Durability, Rejection};
use crate::engine::eligibility::{Eligibility, eligibility};
use crate::engine::select::SHORT_REST;
use crate::model::{Account, Actor, Alias, FaultClass, Force, Settings, Snapshot, Time};
use std::time::Duration;

/// How long a force lasts from its first activation (FRC-1).
const LASTS: Duration = Duration::from_secs(24 * 3600);

/// Pins an account. Asking again for the same one changes nothing, and so does not extend it.
pub(super) fn forced(
    next: &mut Snapshot,
    alias: Alias,
    by: Actor,
    now: Time,
) -> Result<Durability, Rejection> {
    let account = next.by_alias(&alias).ok_or(Rejection::UnknownAccount)?;
    if !account.is_on() {
        return Err(Rejection::AccountDisabled(alias));
    }
    if !can_hold(account, &next.settings, now) {
        return Err(Rejection::AccountUnable(alias));
    }
    if next.forced(now) != Some(account.id) {
        next.force = Some(Force { account: account.id, since: now, until: now.after(LASTS), by });
    }
    Ok(Durability::Required)
}

pub(super) fn cleared(next: &mut Snapshot, now: Time) -> Result<Durability, Rejection> {
    next.forced(now).ok_or(Rejection::NoForceActive)?;
    next.force = None;
    Ok(Durability::Required)
}

/// The last step of every change (I9): a force that ran out, or whose account is durably unable, goes.
pub(super) fn heal(next: &mut Snapshot, now: Time) {
    if has_fallen(next, now) {
        next.force = None;
    }
}

/// True when there is a force and healing would take it away. One that was set more than its own length ahead of now was
/// set by a clock that ran ahead; a clock that is put back by less ends none.
pub(in crate::engine) fn has_fallen(world: &Snapshot, now: Time) -> bool {
    let stands = world
        .forced(now)
        .and_then(|id| world.account(id))
        .is_some_and(|account| can_hold(account, &world.settings, now));
    world.force.as_ref().is_some_and(|force| !stands || now.until(force.since) > LASTS)
}

/// Can this account carry a force? A short rest does not end one, and neither does a window that fills up within a
/// minute; a longer rest, missing payment and a spent quota do (FRC-2).
fn can_hold(account: &Account, settings: &Settings, now: Time) -> bool {
    let soon = now.after(SHORT_REST);
    // Also behind a short rest: when that is over, there is still nothing left.
    if account.limits.remaining(soon).is_some_and(|left| left <= 0.0) {
        return false;
    }
    match eligibility(account, None, settings, now) {
        Eligibility::Cooling(rest) => {
            let spent = matches!(rest.class, FaultClass::Payment | FaultClass::QuotaWindow);
            !spent && rest.until <= soon
        }
        Eligibility::Disabled | Eligibility::NeedsReauth => false,
        Eligibility::Critical
        | Eligibility::Draining
        | Eligibility::Eligible
        | Eligibility::ModelRefused(_)
        | Eligibility::Probation => true,
    }
}
