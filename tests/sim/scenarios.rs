//! Stories: what happens when many requests meet the same trouble.
use crate::engine::{Admission, Command, Eligibility, Held, RefusalCode, Why, eligibility};
use crate::model::{Actor, CredentialState, FaultClass, Reason, Snapshot, Strategy, Weight};
use crate::sim::{End, Flight, Renews, Say, Sim};
use crate::world::{
    START, account, alias, edit, health, key, oauth, provider, request, set, subscription, switch_off, world,
    world_of,
};
use std::time::Duration;

/// FLO-4
#[test]
fn thirty_two_parallel_429s_are_one_strike() {
    for wait in [None, Some(60)] {
        let mut sim = Sim::new(world(1));
        let flights = fly(&mut sim, 32);
        for flight in flights {
            sim.land(flight, Say::Fault(FaultClass::RateShort, wait)).done();
            sim.now = sim.now.after(Duration::from_millis(7));
        }
        assert_eq!(health(&sim.world, 1).strikes, 1, "Retry-After {wait:?}");
    }
}

/// FLO-2, FLO-3
#[test]
fn a_storm_of_overloads_benches_nobody_and_reaches_the_client_after_one_other_attempt() {
    let before = world(5);
    let mut sim = Sim::new(before.clone());
    for _ in 0..100 {
        let done = sim.run(request(), |_| Say::Fault(FaultClass::ModelCapacity, Some(9)));
        assert_eq!(done.end, End::Passed(Say::Fault(FaultClass::ModelCapacity, Some(9))));
        assert_eq!(done.sent.len(), 2);
    }
    assert_eq!(sim.world, before);
}

/// FLO-5
#[test]
fn a_cascade_of_dead_credentials_loses_two_accounts_and_stops_for_ten_minutes() {
    let mut sim = Sim::new(world_of(subscription(), 8, |_| oauth(1, START)));
    let dead = |_| Say::Fault(FaultClass::AuthDead, None);
    let first = sim.run(request(), dead);
    assert_eq!(first.sent.len(), 2, "one more account for that request");
    assert_eq!(first.refusal().code, RefusalCode::AllAccountsExhausted);
    for minute in 0..10 {
        sim.now = START.after(Duration::from_secs(60 * minute));
        let later = sim.run(request(), dead);
        assert_eq!(later.accounts(), [0u32; 0], "answered here, minute {minute}");
        let refusal = later.refusal();
        assert_eq!(refusal.code, RefusalCode::UpstreamUnavailable);
        assert_eq!(refusal.soonest, Some(START.after(Duration::from_secs(600))));
    }
    assert_eq!(lost(&sim.world), 2);
    sim.now = START.after(Duration::from_secs(600));
    assert_eq!(sim.run(request(), |_| Say::Ok).end, End::Passed(Say::Ok));
}

/// FLO-5
#[test]
fn after_a_dead_subscription_one_more_account_is_tried_whatever_becomes_of_it() {
    let mut sim = Sim::new(world_of(subscription(), 8, |_| oauth(1, START)));
    let mut says = [FaultClass::AuthDead, FaultClass::QuotaWindow].into_iter();
    let done = sim.run(request(), |_| says.next().map_or(Say::Ok, |class| Say::Fault(class, None)));
    assert_eq!(done.sent.len(), 2);
    assert_eq!(done.refusal().code, RefusalCode::AllAccountsExhausted);
    let next = sim.run(request(), |_| Say::Ok);
    assert_eq!(next.end, End::Passed(Say::Ok), "one death stops nobody else");
}

/// FLO-5
#[test]
fn keys_are_not_a_family_and_a_dead_one_costs_only_itself() {
    let mut sim = Sim::new(world(3));
    set(&mut sim.world, |settings| settings.strategy = Strategy::FillFirst);
    let done = sim.run(request(), |decision| match decision.account.0 {
        1 | 2 => Say::Fault(FaultClass::AuthExpired, None),
        _ => Say::Ok,
    });
    assert_eq!(done.accounts(), [1, 2, 3]);
    assert_eq!((done.refreshes, lost(&sim.world)), (0, 2));
}

/// REN-2
#[test]
fn fifty_401s_on_one_token_make_one_renewal_and_fifty_second_sends() {
    let mut sim = Sim::new(world_of(subscription(), 1, |_| oauth(1, START)));
    let mut renewals = 0;
    let again: Vec<Flight> = fly(&mut sim, 50)
        .into_iter()
        .map(|flight| {
            let before = account(&sim.world, 1).credential.version();
            let flight = sim.land(flight, Say::Fault(FaultClass::AuthExpired, None)).flying();
            renewals += account(&sim.world, 1).credential.version() - before;
            flight
        })
        .collect();
    assert_eq!(renewals, 1);
    for flight in again {
        assert_eq!((flight.decision.version, flight.decision.why), (2, Why::Refreshed));
        assert_eq!(sim.land(flight, Say::Ok).done().end, End::Passed(Say::Ok));
    }
    assert!(health(&sim.world, 1).is_clean());
}

/// REN-3
#[test]
fn fifty_401s_on_a_token_whose_family_is_dead_ask_for_one_renewal() {
    let mut sim = Sim::new(world_of(subscription(), 1, |_| oauth(1, START)));
    sim.renews = Renews::Dies;
    let refreshes: usize = fly(&mut sim, 50)
        .into_iter()
        .map(|flight| sim.land(flight, Say::Fault(FaultClass::AuthExpired, None)).done())
        .map(|done| {
            assert!(done.refusal().needs_human());
            done.refreshes
        })
        .sum();
    assert_eq!((refreshes, lost(&sim.world)), (1, 1));
    assert_eq!(sim.world.deaths.values().flatten().count(), 1);
}

/// FLO-2
#[test]
fn a_token_that_is_refused_after_its_renewal_is_the_accounts_fault() {
    let mut sim = Sim::new(world_of(subscription(), 2, |_| oauth(1, START)));
    let done = sim.run(request(), |decision| match decision.account.0 {
        1 => Say::Fault(FaultClass::AuthExpired, None),
        _ => Say::Ok,
    });
    assert_eq!(done.accounts(), [1, 1, 2]);
    assert_eq!(done.refreshes, 1);
    assert_eq!(health(&sim.world, 1).strikes, 1);
    assert_eq!(lost(&sim.world), 0);
}

/// REN-1
#[test]
fn a_token_that_cannot_be_renewed_now_is_tried_again_only_when_its_wait_is_over() {
    let mut sim = Sim::new(world_of(provider(), 2, |_| oauth(1, START)));
    sim.renews = Renews::Fails;
    let expired = |decision: crate::engine::Decision| match decision.account.0 {
        1 => Say::Fault(FaultClass::AuthExpired, None),
        _ => Say::Ok,
    };
    let first = sim.run(request(), expired);
    assert_eq!((first.accounts(), first.refreshes), (vec![1, 2], 1));
    let mut renewals = 0;
    for _ in 0..10 {
        renewals += sim.run(request(), expired).refreshes;
    }
    assert_eq!(renewals, 0, "the account rests instead");
    assert_eq!(health(&sim.world, 1).strikes, 1);
}

/// REN-3
#[test]
fn a_lapsed_token_is_renewed_before_it_is_sent() {
    let mut sim = Sim::new(world_of(provider(), 2, |_| oauth(1, START)));
    sim.now = START.after(Duration::from_secs(3600));
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!((done.accounts(), done.refreshes), (vec![1], 1));
    assert_eq!((done.sent[0].version, done.sent[0].why), (2, Why::Rotated));

    let mut sim = Sim::new(world_of(provider(), 2, |id| match id {
        1 => oauth(1, START),
        _ => oauth(1, START.after(Duration::from_secs(60))),
    }));
    sim.now = START.after(Duration::from_secs(3600));
    sim.renews = Renews::Dies;
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!(done.accounts(), [2], "the dead one was never sent");
    assert_eq!(lost(&sim.world), 1);
}

/// FRC-1, FRC-2, FRC-3, I9
#[test]
fn a_force_takes_every_request_waits_out_a_short_rest_and_ends_with_its_quota() {
    let mut sim = Sim::new(world(3));
    set(&mut sim.world, |settings| settings.strategy = Strategy::Random);
    force(&mut sim, 2);
    for _ in 0..5 {
        let done = sim.run(request(), |_| Say::Ok);
        assert_eq!((done.accounts(), done.sent[0].why), (vec![2], Why::Forced));
    }
    assert_eq!(sim.live.turns, 0, "pinned traffic draws no turns");

    let limited = sim.run(request(), |_| Say::Fault(FaultClass::RateShort, Some(20)));
    assert_eq!(limited.accounts(), [2], "an honest answer and nobody else");
    assert_eq!(limited.refusal().soonest, Some(sim.now.after(Duration::from_secs(20))));
    let asked = sim.now;
    let waited = sim.run(request(), |_| Say::Ok);
    assert_eq!((waited.accounts(), asked.until(sim.now)), (vec![2], Duration::from_secs(20)));

    let spent = sim.run(request(), |decision| match decision.account.0 {
        2 => Say::Fault(FaultClass::QuotaWindow, Some(7200)),
        _ => Say::Ok,
    });
    assert_eq!(spent.sent.len(), 2, "the strategy beneath takes over within the request");
    assert_eq!(sim.world.force, None);
    assert_eq!(sim.world.settings.strategy, Strategy::Random);
}

/// FRC-1, FRC-3
#[test]
fn a_force_ends_after_a_day_however_often_it_is_asked_for() {
    let mut sim = Sim::new(world(2));
    force(&mut sim, 1);
    let until = START.after(Duration::from_secs(24 * 3600));
    sim.now = START.after(Duration::from_secs(3600));
    force(&mut sim, 1);
    assert_eq!(sim.world.force.as_ref().map(|force| force.until), Some(until));
    sim.now = until;
    assert_eq!(sim.run(request(), |_| Say::Ok).sent[0].why, Why::Rotated);
    sim.apply(Command::TimePassed);
    assert_eq!(sim.world.force, None);
}

/// FLO-10, SEL-9
#[test]
fn a_breaker_opens_lets_exactly_one_probe_through_and_closes_with_its_success() {
    let mut sim = Sim::new(world(3));
    for _ in 0..2 {
        let done = sim.run(request(), |_| Say::Fault(FaultClass::UpstreamError, None));
        assert_eq!(done.sent.len(), 2, "one other account, nobody blamed");
    }
    sim.run(request(), |_| Say::Lost);
    assert_eq!(sim.world.breakers.len(), 1);
    assert!((1..=3).all(|id| health(&sim.world, id).is_clean()));

    sim.now = sim.now.after(Duration::from_secs(30));
    let probe = sim.start(request()).flying();
    assert_eq!(probe.decision.admission, Admission::ProviderProbe);
    for _ in 0..20 {
        let other = sim.start(request()).done();
        assert_eq!(other.refusal().code, RefusalCode::UpstreamUnavailable);
        assert!(other.sent.is_empty(), "exactly one probe");
    }
    sim.land(probe, Say::Ok).done();
    assert!(sim.world.breakers.is_empty());
    assert_eq!(fly(&mut sim, 20).len(), 20);
}

/// FLO-10, SEL-9
#[test]
fn an_open_breaker_empties_no_pool_it_admits_one_request_at_a_time() {
    let mut sim = Sim::new(world(3));
    for _ in 0..5 {
        sim.run(request(), |_| Say::Lost);
    }
    let escape = sim.start(request()).flying();
    assert_eq!(escape.decision.admission, Admission::ProviderProbe);
    assert!(sim.start(request()).done().sent.is_empty());
    sim.land(escape, Say::Lost).done();
    let next = sim.run(request(), |_| Say::Ok);
    assert_eq!(next.end, End::Passed(Say::Ok));
}

/// SEL-8
#[test]
fn a_burst_at_the_end_of_a_rest_puts_one_request_on_the_returning_account() {
    let mut sim = Sim::new(world(3));
    sim.run(request(), |decision| match decision.account.0 {
        1 => Say::Fault(FaultClass::RateShort, Some(30)),
        _ => Say::Ok,
    });
    sim.now = sim.now.after(Duration::from_secs(30));
    let flights = fly(&mut sim, 100);
    let on = |id| flights.iter().filter(|flight| flight.decision.account.0 == id).count();
    assert_eq!(on(1), 1);
    assert_eq!(on(2) + on(3), 99);
}

/// SEL-8
#[test]
fn two_successes_after_a_rest_make_an_account_clean_and_one_does_not() {
    let mut sim = Sim::new(world(1));
    sim.run(request(), |_| Say::Fault(FaultClass::QuotaWindow, Some(60)));
    sim.now = sim.now.after(Duration::from_secs(75));
    sim.run(request(), |_| Say::Ok);
    assert_eq!(state(&sim, 1), Eligibility::Probation);
    sim.run(request(), |_| Say::Ok);
    assert_eq!(state(&sim, 1), Eligibility::Eligible);
    let generation = sim.world.generation;
    sim.run(request(), |_| Say::Ok);
    assert_eq!(sim.world.generation, generation, "I4: a success writes nothing shared");
}

/// SEL-9
#[test]
fn our_own_guesses_leave_no_request_without_an_account() {
    let mut sim = Sim::new(world(2));
    for _ in 0..2 {
        sim.run(request(), |_| Say::Fault(FaultClass::RateShort, None));
    }
    let escape = sim.start(request()).flying();
    assert_eq!(escape.decision.admission, Admission::Cap(1));
    sim.land(escape, Say::Ok).done();
}

/// SEL-9, SEL-10
#[test]
fn what_the_upstream_states_may_empty_the_pool() {
    let mut sim = Sim::new(world(2));
    let until = sim.now.after(Duration::from_secs(40));
    sim.run(request(), |_| Say::Fault(FaultClass::RateShort, Some(40)));
    let done = sim.run(request(), |_| Say::Ok);
    assert!(done.sent.is_empty());
    let refusal = done.refusal();
    assert_eq!(refusal.code, RefusalCode::NoEligibleAccounts);
    assert_eq!(refusal.soonest, Some(until));
    let words: Vec<Reason> = refusal.reasons.values().map(|why| why.reason).collect();
    assert_eq!(words, [Reason::RateLimited; 2]);
}

/// SEL-11
#[test]
fn requests_over_the_cap_spill_to_the_next_account_and_then_are_refused_as_busy() {
    let mut sim = Sim::new(world(2));
    set(&mut sim.world, |settings| {
        settings.in_flight_cap = Some(2);
        settings.strategy = Strategy::FillFirst;
    });
    let on: Vec<u32> = fly(&mut sim, 4).iter().map(|f| f.decision.account.0).collect();
    assert_eq!(on, [1, 1, 2, 2]);
    let over = sim.start(request()).done();
    assert!(over.refusal().reasons.values().all(|why| why.reason == Reason::Busy));
    assert!(!over.refusal().needs_human());
}

/// FLO-3
#[test]
fn a_client_that_hangs_up_costs_the_account_nothing() {
    let before = world(1);
    let mut sim = Sim::new(before.clone());
    for flight in fly(&mut sim, 10) {
        sim.hang_up(flight);
    }
    assert_eq!(sim.world, before);
    assert_eq!(sim.run(request(), |_| Say::Ok).end, End::Passed(Say::Ok));
}

/// FLO-2, I5
#[test]
fn only_what_was_provably_not_processed_is_sent_to_the_same_account_again() {
    for (say, sends) in [(Say::Unprocessed, 2), (Say::NotSent, 2), (Say::Lost, 1)] {
        let mut sim = Sim::new(world(3));
        let done = sim.run(request(), |_| say);
        assert_eq!(done.accounts(), vec![1; sends], "{say:?}");
        assert_eq!(done.end, End::Passed(say));
    }
}

/// FLO-1
#[test]
fn a_body_that_is_no_longer_whole_is_sent_once_whatever_comes_back() {
    for class in FaultClass::ALL {
        let mut sim = Sim::new(world_of(provider(), 3, |_| oauth(1, START)));
        sim.held = Held::Gone;
        let done = sim.run(request(), |_| Say::Fault(class, None));
        assert_eq!(done.sent.len(), 1, "{class:?}");
        assert_eq!(done.end, End::Passed(Say::Fault(class, None)));
    }
}

/// FLO-2
#[test]
fn a_complete_5xx_goes_to_one_other_account_on_safe_routes_only() {
    for (replay_safe, sends) in [(true, 2), (false, 1)] {
        let mut sim = Sim::new(world(4));
        let asked = crate::engine::RoutingRequest { replay_safe, ..request() };
        let done = sim.run(asked, |_| Say::Fault(FaultClass::UpstreamError, None));
        assert_eq!(done.sent.len(), sends);
        assert_eq!(done.end, End::Passed(Say::Fault(FaultClass::UpstreamError, None)));
    }
}

/// SEL-4
#[test]
fn an_owned_request_goes_to_its_owner_or_nowhere() {
    let owned =
        |owner| crate::engine::RoutingRequest { owner: Some(crate::model::AccountId(owner)), ..request() };
    let mut sim = Sim::new(world(3));
    assert_eq!(sim.run(owned(2), |_| Say::Ok).sent[0].why, Why::Owner);
    let spent = sim.run(owned(2), |_| Say::Fault(FaultClass::QuotaWindow, Some(900)));
    assert_eq!(spent.accounts(), [2]);
    let later = sim.run(owned(2), |_| Say::Ok);
    assert!(later.sent.is_empty());
    assert_eq!(later.refusal().soonest, Some(START.after(Duration::from_secs(900))));
    assert!(sim.run(owned(9), |_| Say::Ok).sent.is_empty(), "an owner that is gone");
}

/// SEL-4
#[test]
fn a_loose_bond_holds_while_its_owner_serves_and_gives_way_when_it_cannot() {
    let loose = |owner| crate::engine::RoutingRequest {
        owner: Some(crate::model::AccountId(owner)),
        bond: crate::engine::Bond::Loose,
        ..request()
    };
    let mut sim = Sim::new(world(3));
    assert_eq!(sim.run(loose(2), |_| Say::Ok).sent[0].why, Why::Owner);
    let spent = sim.run(loose(2), |decision| match decision.account.0 {
        2 => Say::Fault(FaultClass::QuotaWindow, Some(900)),
        _ => Say::Ok,
    });
    assert_eq!((spent.accounts()[0], spent.sent.len()), (2, 2), "the same request goes on elsewhere");
    let later = sim.run(loose(2), |_| Say::Ok);
    assert_eq!(later.sent[0].why, Why::Rotated);
    assert!(!sim.run(loose(9), |_| Say::Ok).sent.is_empty(), "an owner that is gone");
}

/// SEL-4, I5
#[test]
fn what_its_own_account_cannot_read_is_left_out_once() {
    let bound = |bond| crate::engine::RoutingRequest { bond, ..request() };
    let mut sim = Sim::new(world(2));
    let unread = || Say::Fault(FaultClass::AffinityFault, None);
    let done = sim.run(bound(crate::engine::Bond::Loose), |_| unread());
    assert_eq!((done.sent.len(), done.stripped), (2, true));
    assert_eq!(done.sent[0].account, done.sent[1].account);
    let done = sim.run(bound(crate::engine::Bond::Fast), |_| unread());
    assert_eq!((done.sent.len(), done.stripped), (1, false));
    assert_eq!(done.end, End::Passed(unread()));
}

/// SEL-6, SEL-12
#[test]
fn shares_stay_fair_while_the_pool_is_rebuilt() {
    let mut sim = Sim::new(world(4));
    set(&mut sim.world, |settings| settings.strategy = Strategy::WeightedRoundRobin);
    for (id, share) in [(1, 1.0), (2, 0.5), (3, 0.25), (4, 0.25)] {
        edit(&mut sim.world, id, |account| {
            account.weight = Weight::new(share).expect("a weight");
        });
    }
    assert_shares(&mut sim, &[(1, 0.5), (2, 0.25), (3, 0.125), (4, 0.125)]);
    sim.world = switch_off(&sim.world, 1);
    assert_shares(&mut sim, &[(2, 0.5), (3, 0.25), (4, 0.25)]);
    let new = crate::world::new_account(5, key());
    sim.apply(Command::AccountAdded(Box::new(new)));
    assert_shares(&mut sim, &[(2, 0.25), (3, 0.125), (4, 0.125), (5, 0.5)]);
}

fn assert_shares(sim: &mut Sim, expected: &[(u32, f64)]) {
    let picks: Vec<u32> = (0..1000).map(|_| sim.run(request(), |_| Say::Ok).accounts()[0]).collect();
    for (id, share) in expected {
        let got = picks.iter().filter(|pick| *pick == id).count() as f64 / 1000.0;
        assert!((got - share).abs() <= 0.01, "a{id} got {got} instead of {share}");
    }
}

/// So many requests, each up to its first send.
fn fly(sim: &mut Sim, count: usize) -> Vec<Flight> {
    (0..count).map(|_| sim.start(request()).flying()).collect()
}

fn force(sim: &mut Sim, id: u32) {
    sim.apply(Command::Forced { alias: alias(id), by: Actor::Admin });
}

fn lost(world: &Snapshot) -> usize {
    let dead = |state: &CredentialState| matches!(state, CredentialState::NeedsReauth { .. });
    world.accounts.iter().filter(|a| dead(&a.credential)).count()
}

fn state(sim: &Sim, id: u32) -> Eligibility {
    eligibility(account(&sim.world, id), None, &sim.world.settings, sim.now)
}
