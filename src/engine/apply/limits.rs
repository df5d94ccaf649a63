use super::{Durability, Rejection};
use crate::model::{Account, LimitSample, LimitStatus, Limits, Time};

/// A newer observation takes the place of the newest, which moves into the history. An older one, of a reply that took
/// long, changes nothing. What lies in the future was noted by a clock that ran ahead, and goes first: else nothing
/// could be learnt until that future has come.
pub(super) fn seen(account: &mut Account, sample: LimitSample, now: Time) -> Result<Durability, Rejection> {
    let limits = &mut account.limits;
    limits.latest.take_if(|latest| latest.at > now);
    limits.history.retain(|older| older.at <= now);
    limits.failed.take_if(|failed| *failed > now);
    if limits.latest.as_ref().is_some_and(|latest| latest.at > sample.at) {
        return Ok(Durability::None);
    }
    if let Some(older) = limits.latest.replace(sample) {
        limits.history.push_back(older);
    }
    while limits.history.len() > Limits::HISTORY {
        limits.history.pop_front();
    }
    limits.status = LimitStatus::Success;
    limits.error = None;
    Ok(Durability::Debounced)
}

/// A failed probe touches these three and nothing else: what was seen before stays as it was (LIM-2).
pub(super) fn unseen(account: &mut Account, error: String, now: Time) -> Result<Durability, Rejection> {
    let limits = &mut account.limits;
    limits.status = LimitStatus::Error;
    limits.error = Some(error);
    limits.failed = Some(now);
    Ok(Durability::Debounced)
}
