//! Renewals ahead of their time: what the scheduler is told to do while clocks jump, authorities are down, and a
//! thousand tokens end together.
use crate::engine::{Command, RenewalFailure, due};
use crate::model::{AccountId, FaultClass, Snapshot, Time};
use crate::sim::{End, Renews, Say, Sim};
use crate::world::{LIFE, START, account, done, oauth, provider, request, subscription, world_of};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const TEN_YEARS: i64 = 10 * 365 * 24 * 3600;

/// T5 P9: the wall clock jumps, and half an hour later it is right again. Nobody notices, no token is shown more than
/// once after its end, and each jump costs an account one renewal at most.
#[test]
fn a_clock_that_jumps_costs_an_account_one_renewal_and_nobody_a_request() {
    let steady = Keeper::new(20).run(6 * HOUR, |_| 0);
    assert!(steady.refused.is_empty(), "{:?}", steady.refused);
    let to_1970 = -i64::try_from(START.as_secs()).expect("a small number");
    for jump in [3600, -3600, TEN_YEARS, to_1970] {
        let there = 20 * MINUTE..50 * MINUTE;
        let jumped = Keeper::new(20).run(6 * HOUR, |real| if there.contains(&real) { jump } else { 0 });
        for (id, refreshes) in &jumped.refreshes {
            let refused = jumped.refused.get(id).copied().unwrap_or(0);
            assert!(*refreshes <= steady.refreshes[id] + 2, "{jump}: {refreshes} of {id}");
            assert!(refused <= 2, "{jump}: {id} was refused {refused} times");
        }
    }
}

/// T5: a laptop that slept finds its tokens ended: each is renewed once, for the request that wants it.
#[test]
fn a_suspended_machine_renews_each_token_once() {
    let slept = Keeper::new(20).run_with_sleep(4 * HOUR, 10 * MINUTE, 2 * HOUR);
    assert!(slept.refused.is_empty(), "{:?}", slept.refused);
    assert!(slept.refreshes.values().all(|count| *count <= 3), "{:?}", slept.refreshes);
}

/// T5: what was noted under a clock that ran ahead does not hold once it is right.
#[test]
fn a_failure_under_a_clock_that_ran_ahead_does_not_keep_an_account_from_renewing() {
    let ahead = START.after(Duration::from_secs(TEN_YEARS.unsigned_abs()));
    let world = world_of(subscription(), 3, |_| oauth(1, START));
    let mut sim = Sim::new(world);
    sim.now = ahead;
    for id in 1..=2 {
        sim.apply(Command::RenewalFailed {
            account: AccountId(id),
            version: 1,
            failure: RenewalFailure::Transient { detail: "no answer".to_owned() },
        });
    }
    sim.now = START.after(LIFE).before(Duration::from_secs(1));
    let ids: Vec<u32> = due(&sim.world, sim.now).renew.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ids, [1, 2, 3]);
    sim.now = START.after(LIFE);
    for _ in 0..3 {
        assert_eq!(sim.run(request(), |_| Say::Ok).end, End::Passed(Say::Ok));
    }
    let versions: Vec<u64> = (1..=3).map(|id| account(&sim.world, id).credential.version()).collect();
    assert_eq!(versions, [2, 2, 2]);
}

/// T13 P9 REN-1
#[test]
fn an_authority_that_is_down_is_asked_once_a_minute_and_costs_nobody_a_request() {
    const ACCOUNTS: u32 = 20;
    let begin = START.after(LIFE).before(Duration::from_secs(14 * MINUTE));
    let mut sim = Sim::new(world_of(subscription(), ACCOUNTS, |_| oauth(1, START)));
    let mut asked: BTreeMap<AccountId, Vec<Time>> = BTreeMap::new();
    for second in 0..2 * HOUR {
        sim.now = begin.after(Duration::from_secs(second));
        sim.renews = if second < 10 * MINUTE { Renews::Fails } else { Renews::Works };
        for (id, version) in due(&sim.world, sim.now).renew {
            asked.entry(id).or_default().push(sim.now);
            sim.renew(id, version);
        }
        let served = sim.run(request(), |_| Say::Ok);
        assert_eq!(served.end, End::Passed(Say::Ok), "second {second}");
        assert!(served.refreshes == 0 || second >= 10 * MINUTE, "second {second}: the old token lives");
    }
    assert_eq!(asked.len(), usize::try_from(ACCOUNTS).expect("a small number"));
    for (id, times) in &asked {
        let gaps = times.windows(2).map(|pair| pair[0].until(pair[1]));
        let shortest = gaps.min().expect("more than one attempt");
        assert!(shortest >= Duration::from_secs(MINUTE), "{id}: {shortest:?}");
        let outage = times.iter().filter(|at| begin.until(**at) < Duration::from_secs(10 * MINUTE)).count();
        assert_eq!(outage, 3, "{id}: three in a row, and then only when asked");
    }
    assert!(sim.world.accounts.iter().all(|account| account.credential.version() > 1));
}

/// T13 T14 P9 REN-1: the times are as good as uniform over their minute (Kolmogorov-Smirnov, p > 0.01), for few accounts
/// and for many, and for a token's successors.
#[test]
fn renewals_of_tokens_that_end_together_are_spread_evenly_over_a_minute() {
    for (accounts, version) in [(20, 1), (1000, 1), (1000, 2), (1000, 17)] {
        let world = world_of(provider(), accounts, |_| oauth(version, START));
        let latest = START.after(LIFE * 4 / 5);
        let mut early: Vec<f64> = ripe(&world).map(|at| at.until(latest).as_secs_f64() / 60.0).collect();
        early.sort_by(f64::total_cmp);
        let count = early.len() as f64;
        let apart = early.iter().enumerate().map(|(at, early)| {
            let (below, above) = (at as f64 / count, (at as f64 + 1.0) / count);
            (early - below).abs().max((above - early).abs())
        });
        let distance = apart.fold(0.0, f64::max);
        assert!(distance < 1.63 / count.sqrt(), "{accounts} accounts, version {version}: {distance}");
    }
}

/// T14 P9: with two exchanges at a time of a quarter of a second each, nobody's token ends before its turn.
#[test]
fn a_thousand_tokens_that_end_together_are_all_renewed_in_time() {
    const ACCOUNTS: u32 = 1000;
    let mut world = world_of(provider(), ACCOUNTS, |_| oauth(1, START));
    let mut now = START;
    let mut places = [START; 2];
    let mut waiting = BTreeSet::new();
    let mut begun = BTreeSet::new();
    while now < START.after(LIFE) {
        for (id, version) in due(&world, now).renew {
            if version == 1 && !begun.contains(&id) {
                waiting.insert(id);
            }
        }
        for free in places.iter_mut().filter(|free| **free <= now) {
            let Some(id) = waiting.pop_first() else { break };
            begun.insert(id);
            *free = now.after(Duration::from_millis(250));
            let command = Command::Refreshed { account: id, version: 1, credential: oauth(2, now) };
            world = done(&world, command, now);
        }
        let next = due(&world, now).wake.unwrap_or(START.after(LIFE));
        let freed = places.iter().copied().filter(|free| *free > now).min();
        now = match (waiting.is_empty(), freed) {
            (false, Some(freed)) => freed,
            _ => next,
        };
    }
    assert_eq!(begun.len(), usize::try_from(ACCOUNTS).expect("a small number"));
}

/// REN-1: an authority that hands out the same token again and again is asked less and less.
#[test]
fn a_token_that_does_not_move_is_asked_for_less_and_less() {
    let mut world = world_of(provider(), 1, |_| oauth(1, START));
    let mut asked = 0;
    for second in 0..LIFE.as_secs() {
        let now = START.after(Duration::from_secs(second));
        for (id, version) in due(&world, now).renew {
            asked += 1;
            let same = crate::model::Credential { issued: now, ..oauth(version + 1, START) };
            world = done(&world, Command::Refreshed { account: id, version, credential: same }, now);
        }
    }
    assert_eq!(asked, 3);
}

/// REN-1 FLO-5: two logins of one family are dead; the others are not shown to the authority until the cut is over, and
/// then they are.
#[test]
fn a_provider_that_is_cut_off_gets_no_scheduled_renewals() {
    let ripe = START.after(LIFE).before(Duration::from_secs(11 * MINUTE));
    let mut sim = Sim::new(world_of(subscription(), 5, |_| oauth(1, START)));
    sim.now = ripe;
    for id in [1, 2] {
        let failure = RenewalFailure::Permanent { detail: "refresh_token_reused".to_owned() };
        sim.apply(Command::RenewalFailed { account: AccountId(id), version: 1, failure });
    }
    for second in 0..10 * MINUTE {
        assert_eq!(due(&sim.world, ripe.after(Duration::from_secs(second))).renew, [], "second {second}");
    }
    let over = due(&sim.world, ripe.after(Duration::from_secs(10 * MINUTE)));
    assert_eq!(over.renew.len(), 3);
}

/// Twenty accounts of an authority whose tokens live for an hour of real time, whatever the wall clock says, and the
/// hand that renews them every half minute.
struct Keeper {
    sim: Sim,
    ends: BTreeMap<u32, u64>,
    refreshes: BTreeMap<u32, u32>,
    refused: BTreeMap<u32, u32>,
}

impl Keeper {
    fn new(accounts: u32) -> Self {
        let world = world_of(subscription(), accounts, |_| oauth(1, START));
        Self {
            sim: Sim::new(world),
            ends: (1..=accounts).map(|id| (id, LIFE.as_secs())).collect(),
            refreshes: (1..=accounts).map(|id| (id, 0)).collect(),
            refused: BTreeMap::new(),
        }
    }

    /// `wrong` is by how much the wall clock is wrong at a second of real time.
    fn run(mut self, seconds: u64, wrong: impl Fn(u64) -> i64) -> Self {
        for real in (0..seconds).step_by(30) {
            self.step(real, START.as_secs().saturating_add_signed(wrong(real)) + real);
        }
        self
    }

    fn run_with_sleep(mut self, seconds: u64, at: u64, length: u64) -> Self {
        for real in (0..seconds).step_by(30).filter(|real| !(at..at + length).contains(real)) {
            self.step(real, START.as_secs() + real);
        }
        self
    }

    fn step(&mut self, real: u64, wall: u64) {
        self.sim.now = Time::from_secs(wall);
        for (id, version) in due(&self.sim.world, self.sim.now).renew {
            self.sim.renew(id, version);
        }
        self.book(real);
        for _ in 0..self.ends.len() {
            let (ends, world) = (&self.ends, self.sim.world.clone());
            let refused = &mut self.refused;
            let served = self.sim.run(request(), |decision| {
                let id = decision.account.0;
                let fresh = decision.version > account(&world, id).credential.version();
                if fresh || real < ends[&id] {
                    return Say::Ok;
                }
                *refused.entry(id).or_default() += 1;
                Say::Fault(FaultClass::AuthExpired, None)
            });
            assert_eq!(served.end, End::Passed(Say::Ok), "at {real} s");
            self.book(real);
        }
    }

    /// Notes what was renewed.
    fn book(&mut self, real: u64) {
        for account in &self.sim.world.accounts {
            let renewals = u32::try_from(account.credential.version() - 1).expect("few");
            if self.refreshes.insert(account.id.0, renewals) != Some(renewals) {
                self.ends.insert(account.id.0, real + LIFE.as_secs());
            }
        }
    }
}

/// When each account's renewal is due.
fn ripe(world: &Snapshot) -> impl Iterator<Item = Time> {
    world.accounts.iter().map(|only| {
        let mut alone = world.clone();
        alone.accounts.retain(|account| account.id == only.id);
        due(&alone, START).wake.expect("it is due some day")
    })
}
