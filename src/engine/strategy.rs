use super::backoff::hash;
use super::select::Turn;
use crate::model::{Account, Strategy, Time};
use std::sync::Arc;

/// 2⁶⁴ divided by the golden ratio: multiples of it, read as fractions, cover [0, 1) more evenly than any other
/// fixed step.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// True for strategies that look at the turn.
pub(super) fn draws(strategy: Strategy) -> bool {
    strategy != Strategy::FillFirst
}

/// Which of the candidates, given ascending by id, goes next. One arm per strategy; none only if there is no candidate.
/// The candidates are walked more than once instead of collected: nothing is allocated.
pub(super) fn pick<'a>(
    strategy: Strategy,
    candidates: impl Iterator<Item = &'a Arc<Account>> + Clone,
    turn: Turn,
    now: Time,
) -> Option<&'a Arc<Account>> {
    match strategy {
        Strategy::FillFirst => candidates.clone().next(),
        Strategy::LeastUsed => least(candidates, turn, |account| spent(account, now)),
        Strategy::Random => at(candidates, hash(turn.0, 0)),
        Strategy::ResetFirst => least(candidates, turn, |account| reset(account, now)),
        Strategy::RoundRobin => at(candidates, turn.0),
        Strategy::WeightedRoundRobin => weighted(candidates, turn),
    }
}

/// How much of its quota is spent, in millionths of a percent. Unknown counts as unspent: it is so after every reset,
/// and the first reply tells better.
pub(super) fn spent(account: &Account, now: Time) -> u64 {
    let left = account.limits.remaining(now).unwrap_or(100.0);
    ((100.0 - left).clamp(0.0, 100.0) * 1e6) as u64
}

/// When its quota fills up next, in milliseconds; what never does comes last.
pub(super) fn reset(account: &Account, now: Time) -> u64 {
    account.limits.next_reset(now).map_or(u64::MAX, Time::as_millis)
}

/// The place among `count` candidates that the turn means, for strategies that take their candidates round and round.
pub(super) fn position(strategy: Strategy, turn: Turn, count: u64) -> Option<u64> {
    let turn = match strategy {
        Strategy::FillFirst => 0,
        Strategy::Random => hash(turn.0, 0),
        Strategy::LeastUsed | Strategy::ResetFirst | Strategy::RoundRobin | Strategy::WeightedRoundRobin => {
            turn.0
        }
    };
    turn.checked_rem(count)
}

/// The point in the candidates' weights, laid end to end, that the turn means.
pub(super) fn point(turn: Turn, total: u64) -> u128 {
    (u128::from(turn.0.wrapping_mul(GOLDEN)) * u128::from(total)) >> 64
}

/// The candidate at `position`, counted round and round. Should the field have shrunk between the two walks (leases
/// move while we look), the first one left.
fn at<'a>(
    candidates: impl Iterator<Item = &'a Arc<Account>> + Clone,
    position: u64,
) -> Option<&'a Arc<Account>> {
    let count = candidates.clone().count() as u64;
    let position = position.checked_rem(count)?;
    let found = candidates.clone().nth(usize::try_from(position).ok()?);
    found.or_else(|| candidates.clone().next())
}

/// The candidate with the least `key`; those that share it take turns.
fn least<'a>(
    candidates: impl Iterator<Item = &'a Arc<Account>> + Clone,
    turn: Turn,
    key: impl Fn(&Account) -> u64,
) -> Option<&'a Arc<Account>> {
    let least = candidates.clone().map(|account| key(account)).min()?;
    let key = &key;
    at(candidates.filter(move |account| key(account) == least), turn.0)
}

/// Shares as a pure function of the turn: the turn's multiple of the golden ratio falls into the stretch of [0, 1)
/// that is the account's share. Over any run of turns each share is met within a few picks, small shares come round
/// regularly, and no state has to survive a change of the pool. Equal shares are plain round-robin, which is exact.
fn weighted<'a>(
    candidates: impl Iterator<Item = &'a Arc<Account>> + Clone,
    turn: Turn,
) -> Option<&'a Arc<Account>> {
    let weights = candidates.clone().map(|account| u64::from(account.weight.millionths()));
    let (mut total, mut lightest, mut heaviest) = (0u64, u64::MAX, 0);
    for weight in weights {
        total = total.saturating_add(weight);
        lightest = lightest.min(weight);
        heaviest = heaviest.max(weight);
    }
    if lightest >= heaviest {
        return at(candidates, turn.0);
    }
    let point = point(turn, total);
    let mut passed = 0u128;
    let found = candidates.clone().find(|account| {
        passed += u128::from(account.weight.millionths());
        passed > point
    });
    found.or_else(|| candidates.clone().next())
}
