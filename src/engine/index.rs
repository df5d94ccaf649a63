use super::eligibility::{Eligibility, SETTLING, eligibility};
use super::strategy;
use crate::model::{Account, Index, May, ProviderId, Roster, Snapshot, Standing, Strategy, Time};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What `world` looks like at `now`, written down for those who ask later (SEL-2). Of accounts that are the same in
/// `before`, whatever its index still holds true is taken from there.
pub fn index(world: &Snapshot, before: &Snapshot, now: Time) -> Index {
    let same_rules = Arc::ptr_eq(&world.settings, &before.settings) && before.index.from <= now;
    let standings = world.accounts.iter().enumerate().map(|(at, account)| {
        let known = || {
            let same = before.accounts.get(at).is_some_and(|it| Arc::ptr_eq(it, account));
            before.index.standings.get(at).filter(|known| same && now < known.until).copied()
        };
        same_rules.then(known).flatten().unwrap_or_else(|| standing(account, world, now))
    });
    let standings: Vec<Standing> = standings.collect();
    let until = standings.iter().map(|standing| standing.until).fold(FOREVER, Time::min);
    let rosters = rosters(world, &standings, now);
    Index { from: now, until, standings, rosters, census: census(world) }
}

fn census(world: &Snapshot) -> Vec<(ProviderId, (usize, usize))> {
    let mut census: BTreeMap<&ProviderId, (usize, usize)> = BTreeMap::new();
    for account in &world.accounts {
        let (on, all) = census.entry(&account.provider).or_default();
        *on += usize::from(account.is_on());
        *all += 1;
    }
    census.into_iter().map(|(provider, counts)| (provider.clone(), counts)).collect()
}

const FOREVER: Time = Time::from_millis(u64::MAX);

fn standing(account: &Account, world: &Snapshot, now: Time) -> Standing {
    let may = match eligibility(account, None, &world.settings, now) {
        Eligibility::Eligible if account.health.models.is_empty() => May::Always,
        Eligibility::Eligible | Eligibility::Probation => May::Ask,
        Eligibility::Cooling(_)
        | Eligibility::Critical
        | Eligibility::Disabled
        | Eligibility::Draining
        | Eligibility::ModelRefused(_)
        | Eligibility::NeedsReauth => May::Never,
    };
    Standing { may, until: until(account, now) }
}

/// The next time at which anything that eligibility looks at may change by itself.
fn until(account: &Account, now: Time) -> Time {
    let credential = account.credential.usable().and_then(|credential| credential.expires);
    let rest = account.health.cooling.map(|rest| rest.until);
    let renewal = account.renewal.not_before;
    // Beyond a bound such a time counts as none, and comes into the bound as time goes by: it is looked at again soon.
    let odd = renewal.map(|_| now.after(SETTLING));
    let samples = account.limits.history.iter().chain(&account.limits.latest);
    let windows = samples.flat_map(|sample| {
        let resets = sample.windows.iter().filter_map(|window| window.resets);
        resets.chain([sample.at.after(SETTLING)])
    });
    let times = [credential, rest, renewal, odd].into_iter().flatten().chain(windows);
    times.filter(|at| *at > now).fold(FOREVER, Time::min)
}

fn rosters(world: &Snapshot, standings: &[Standing], now: Time) -> Vec<(ProviderId, Roster)> {
    let mut rosters: BTreeMap<&ProviderId, Roster> = BTreeMap::new();
    for ((at, account), standing) in (0u32..).zip(&world.accounts).zip(standings) {
        let roster = match standing.may {
            May::Never => continue,
            May::Always | May::Ask => rosters.entry(&account.provider).or_default(),
        };
        match standing.may {
            May::Always => roster.always.push(at),
            May::Ask => roster.ask.push(at),
            May::Never => {}
        }
    }
    let rosters = rosters.into_iter().map(|(provider, mut roster)| {
        prefer(&mut roster, world, now);
        (provider.clone(), roster)
    });
    rosters.collect()
}

/// What the strategy in force makes of them.
fn prefer(roster: &mut Roster, world: &Snapshot, now: Time) {
    let account = |at: &u32| world.accounts.get(*at as usize);
    let key: fn(&Account, Time) -> u64 = match world.settings.strategy {
        Strategy::LeastUsed => strategy::spent,
        Strategy::ResetFirst => strategy::reset,
        Strategy::FillFirst | Strategy::Random | Strategy::RoundRobin | Strategy::WeightedRoundRobin => {
            |_, _| 0
        }
    };
    let keyed = |at: &u32| account(at).map_or(u64::MAX, |account| key(account, now));
    let least = roster.always.iter().map(keyed).min();
    roster.best = roster.always.iter().copied().filter(|at| Some(keyed(at)) == least).collect();
    if world.settings.strategy != Strategy::WeightedRoundRobin {
        return;
    }
    let weights = roster.always.iter().filter_map(account).map(|it| u64::from(it.weight.millionths()));
    let mut sum = 0u64;
    let sums: Vec<u64> = weights
        .map(|weight| {
            sum = sum.saturating_add(weight);
            sum
        })
        .collect();
    let first = sums.first().copied().unwrap_or(0);
    let equal = sums.windows(2).all(|pair| matches!(pair, [a, b] if b - a == first));
    if !equal {
        roster.sums = sums;
    }
}

#[cfg(test)]
mod tests;
