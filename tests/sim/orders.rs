//! Every order of faults: what holds of a request whatever happens to it.
use crate::engine::{
    Bond, Decision, Eligibility, Live, RefusalCode, RoutingRequest, Verdict, Why, eligibility,
};
use crate::model::{Account, AccountId, Actor, FaultClass, ModelName, Scope, Strategy};
use crate::sim::{Done, End, Flight, Now, Renews, Say, Signs, Sim};
use crate::world::{
    START, alias, key, model, oauth, provider, request, set, subscription, switch_off, with_login, world_of,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;
use std::collections::BTreeSet;
use std::sync::Arc;

/// R7 of the fault catalogue: 401, 402, 403 and 429 in every order over one to five accounts.
///
/// FLO-1, FLO-3, I5, I6
#[test]
fn every_order_of_four_faults_over_up_to_five_accounts_keeps_the_promises() {
    let faults =
        [FaultClass::AuthExpired, FaultClass::Payment, FaultClass::Forbidden, FaultClass::QuotaWindow];
    for strategy in Strategy::ALL {
        for count in 1..=5u32 {
            for order in 0..4usize.pow(count) {
                let mut sim = Sim::new(world_of(provider(), count, |_| oauth(1, START)));
                set(&mut sim.world, |settings| settings.strategy = strategy);
                let before = sim.clone();
                let mut at = 0;
                let done = sim.run(request(), |_| {
                    at += 1;
                    Say::Fault(faults[order / 4usize.pow(at - 1) % 4], Some(600))
                });
                keeps_its_promises(&before, &sim, &done, &request());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// I5, I6, I9, SEL-3, SEL-10, FLO-1, FLO-3
    #[test]
    fn any_order_of_faults_over_one_to_eight_accounts_keeps_the_promises(
        pool in pool(),
        requests in prop::collection::vec((asked(), prop::collection::vec(say(), 1..20), 0u64..90), 1..6),
    ) {
        let mut sim = pool;
        for (asked, says, later) in requests {
            let before = sim.clone();
            let mut says = says.into_iter().cycle();
            let done = sim.run(asked.clone(), |_| says.next().expect("a cycle"));
            keeps_its_promises(&before, &sim, &done, &asked);
            sim.now = sim.now.after(std::time::Duration::from_secs(later));
        }
    }

    /// I5, I9, FLO-1, SEL-11: the same of many requests at once, whatever order they land in and whoever hangs up.
    #[test]
    fn requests_that_cross_each_other_keep_the_promises_and_give_every_place_back(
        pool in pool(),
        cap in prop::option::of(1u32..4),
        steps in prop::collection::vec((0u8..4, any::<prop::sample::Index>(), say(), 0u64..3000), 1..60),
    ) {
        let mut sim = pool;
        set(&mut sim.world, |settings| settings.in_flight_cap = cap);
        let mut flying: Vec<Flight> = Vec::new();
        for (kind, which, say, later) in steps {
            let landed = match kind {
                0 => Some(sim.start(request())),
                _ if flying.is_empty() => None,
                1 => {
                    sim.hang_up(flying.swap_remove(which.index(flying.len())));
                    None
                }
                _ => {
                    let flight = flying.swap_remove(which.index(flying.len()));
                    Some(sim.land(flight, say))
                }
            };
            match landed {
                Some(Now::Flying(flight)) => {
                    let forced = sim.world.force.is_some();
                    let on = sim.live.in_flight(flight.decision.account);
                    prop_assert!(forced || cap.is_none_or(|cap| on <= cap.max(1)), "SEL-11");
                    flying.push(flight);
                }
                Some(Now::Done(done)) => {
                    takes_no_account_twice(&done.sent, &done);
                    ends_with_its_last_reply(&done);
                    let taken: BTreeSet<u32> = done.accounts().into_iter().collect();
                    let signed_in = done.sent.iter().any(|decision| decision.why == Why::SignedIn);
                    let most = usize::from(sim.world.settings.max_attempts) + usize::from(signed_in);
                    prop_assert!(taken.len() <= most);
                }
                None => {}
            }
            sim.now = sim.now.after(std::time::Duration::from_millis(later));
        }
        for flight in flying {
            sim.hang_up(flight);
        }
        prop_assert!(sim.world.accounts.iter().all(|a| sim.live.in_flight(a.id) == 0));
    }

    /// SEL-8
    #[test]
    fn no_account_changes_its_state_more_than_twice_in_ten_seconds(
        events in prop::collection::vec(
            (prop::bool::weighted(0.4), prop::option::of(1u64..40), 0u64..3000),
            1..120,
        ),
    ) {
        let mut sim = Sim::new(world_of(provider(), 1, |_| key()));
        let mut known = state(&sim.world.accounts[0], None, &sim);
        let mut changes = Vec::new();
        for (well, wait, step) in events {
            let said = if well { Say::Ok } else { Say::Fault(FaultClass::RateShort, wait) };
            sim.run(request(), |_| said);
            for _ in 0..2 {
                let now = state(&sim.world.accounts[0], None, &sim);
                if std::mem::discriminant(&now) != std::mem::discriminant(&known) {
                    let since = if let Eligibility::Cooling(rest) = known {
                        rest.until.min(sim.now)
                    } else {
                        sim.now
                    };
                    changes.push(since.as_millis());
                    known = now;
                }
                sim.now = sim.now.after(std::time::Duration::from_millis(step / 2));
            }
        }
        for three in changes.windows(3) {
            prop_assert!(three[2] - three[0] >= 10_000, "{changes:?}");
        }
    }
}

/// What holds of every request.
fn keeps_its_promises(before: &Sim, after: &Sim, done: &Done, asked: &RoutingRequest) {
    takes_no_account_twice(&done.sent, done);
    spends_no_more_than_its_budget(before, done, asked);
    ends_with_its_last_reply(done);
    blames_only_whom_the_scope_names(before, after, done);
    keeps_sessions(before, done, asked);
    refuses_an_empty_pool_at_once(before, done, asked);
}

/// I5: an account that was left is come back to only if somebody has signed in to it meanwhile.
fn takes_no_account_twice(sent: &[Decision], done: &Done) {
    let taken: BTreeSet<AccountId> = sent.iter().map(|decision| decision.account).collect();
    for account in taken {
        let mut sends = sent.iter().enumerate().filter(|(_, decision)| decision.account == account);
        let (Some((first, one)), second) = (sends.next(), sends.next()) else {
            panic!("no send");
        };
        assert!(sends.next().is_none(), "I5: sent to at most twice: {sent:?}");
        let Some((at, two)) = second else {
            continue;
        };
        assert!(at == first + 1 || two.why == Why::SignedIn, "I5: taken once: {sent:?}");
        let unprocessed = matches!(
            &done.trail[first].verdict,
            Verdict::Fault(fault) if fault.class == FaultClass::Unreachable && done.trail[first].status.is_none()
        );
        let stripped = done.stripped
            && matches!(&done.trail[first].verdict, Verdict::Fault(fault) if fault.class == FaultClass::AffinityFault);
        assert!(unprocessed || stripped || two.version > one.version, "I5: {sent:?}");
    }
}

/// FLO-1
fn spends_no_more_than_its_budget(before: &Sim, done: &Done, asked: &RoutingRequest) {
    let able = before
        .world
        .accounts
        .iter()
        .filter(|account| takeable(state(account, asked.model.as_ref(), before)))
        .count();
    let most = usize::from(before.world.settings.max_attempts).min(able).max(1);
    let taken: BTreeSet<u32> = done.accounts().into_iter().collect();
    let signed_in: BTreeSet<AccountId> = (done.sent.iter())
        .filter(|decision| decision.why == Why::SignedIn)
        .map(|decision| decision.account)
        .collect();
    let signed_in = signed_in.len();
    assert!(signed_in <= 1, "FLO-6: {:?}", done.sent);
    assert!(taken.len() <= most + signed_in, "FLO-1: {taken:?} of {most}");
    let held = done.asked.as_ref().and_then(|asked| Some(asked.began.until(asked.until?)));
    let patience = before.world.settings.patience + held.unwrap_or_default();
    let deadline = before.now.after(patience);
    assert!(done.trail.iter().all(|attempt| attempt.started <= deadline));
}

/// I6: the reply that passes is the last; nothing is sent after it.
fn ends_with_its_last_reply(done: &Done) {
    assert_eq!(done.trail.len(), done.sent.len(), "every send is in the trail");
    match &done.end {
        End::Passed(_) => assert!(!done.sent.is_empty()),
        End::Refused(refusal) => {
            let tried: Vec<_> = done.trail.iter().map(|attempt| attempt.alias.clone()).collect();
            assert!(refusal.tried.iter().all(|alias| tried.contains(alias)));
            assert!(!done.trail.iter().any(|attempt| attempt.verdict == Verdict::Pass));
        }
    }
}

/// FLO-3
fn blames_only_whom_the_scope_names(before: &Sim, after: &Sim, done: &Done) {
    for (was, is) in before.world.accounts.iter().zip(&after.world.accounts) {
        if Arc::ptr_eq(was, is) {
            continue;
        }
        let own = |scope| matches!(scope, Scope::Account | Scope::AccountModel | Scope::QuotaGroup);
        let blamed = done.trail.iter().any(|attempt| {
            attempt.decision.account == is.id
                && matches!(&attempt.verdict, Verdict::Fault(fault) if own(fault.scope))
        });
        let served = done
            .trail
            .iter()
            .any(|attempt| attempt.decision.account == is.id && attempt.verdict == Verdict::Pass);
        let renewed = was.credential != is.credential || was.renewal != is.renewal;
        assert!(blamed || served || renewed, "FLO-3: {} was touched", is.alias);
        if !blamed && !served {
            assert_eq!(was.health, is.health, "FLO-3: {}", is.alias);
        }
    }
}

/// SEL-3
fn keeps_sessions(before: &Sim, done: &Done, asked: &RoutingRequest) {
    let (Some(pin), Some(first)) = (asked.pinned, done.sent.first()) else {
        return;
    };
    let Some(account) = before.world.account(pin) else {
        return;
    };
    let free = asked.owner.is_none() && before.world.forced(before.now).is_none();
    if free && takeable(state(account, asked.model.as_ref(), before)) && done.refreshes == 0 {
        assert_eq!(first.account, pin, "SEL-3");
    }
}

/// SEL-10
fn refuses_an_empty_pool_at_once(before: &Sim, done: &Done, asked: &RoutingRequest) {
    let hopeless = |account: &Arc<Account>| {
        matches!(
            state(account, asked.model.as_ref(), before),
            Eligibility::Disabled | Eligibility::NeedsReauth
        )
    };
    if !before.world.accounts.iter().all(hopeless) {
        return;
    }
    if done.sent.first().is_some_and(|decision| decision.why == Why::SignedIn) {
        return;
    }
    assert!(done.sent.is_empty(), "SEL-10: zero upstream calls");
    let refusal = done.refusal();
    assert_eq!(refusal.reasons.len(), before.world.accounts.len());
    assert!(refusal.code != RefusalCode::AllAccountsExhausted);
}

fn takeable(state: Eligibility) -> bool {
    matches!(state, Eligibility::Draining | Eligibility::Eligible | Eligibility::Probation)
}

fn state(account: &Account, model: Option<&ModelName>, sim: &Sim) -> Eligibility {
    eligibility(account, model, &sim.world.settings, sim.now)
}

fn say() -> impl Generator<Value = Say> {
    prop_oneof![
        6 => (prop::sample::select(FaultClass::ALL.to_vec()), prop::option::of(1u64..7200))
            .prop_map(|(class, wait)| Say::Fault(class, wait)),
        2 => Just(Say::Ok),
        1 => Just(Say::Lost),
        1 => Just(Say::NotSent),
        1 => Just(Say::Unprocessed),
        1 => prop::sample::select(vec![Say::Status(crate::world::MODEL_RATE), Say::Status(404)]),
    ]
}

fn asked() -> impl Generator<Value = RoutingRequest> {
    let id = || prop::option::weighted(0.3, (1u32..9).prop_map(AccountId));
    let bond = prop::sample::select(vec![Bond::Fast, Bond::Loose]);
    (id(), prop::option::weighted(0.2, 1u32..9), bond, any::<bool>(), any::<bool>()).prop_map(
        |(pinned, owner, bond, replay_safe, named)| RoutingRequest {
            pinned,
            owner: owner.map(AccountId),
            bond,
            permitted: None,
            replay_safe,
            model: named.then(model),
            ..request()
        },
    )
}

fn signs() -> impl Generator<Value = Signs> {
    let wait = (0u64..300).prop_map(std::time::Duration::from_secs);
    prop_oneof![
        1 => Just(Signs::Never),
        2 => wait.clone().prop_map(Signs::After),
        1 => wait.prop_map(Signs::Denies),
    ]
}

fn pool() -> impl Generator<Value = Sim> {
    (
        1u32..9,
        prop::sample::select(Strategy::ALL.to_vec()),
        any::<bool>(),
        prop::collection::vec((any::<bool>(), prop::bool::weighted(0.15)), 8),
        prop::option::weighted(0.3, 1u32..9),
        1u8..6,
        prop::sample::select(vec![Renews::Works, Renews::Fails, Renews::Dies]),
        (prop::sample::select(vec![0u64, 30, 240]), signs()),
    )
        .prop_map(|(count, strategy, family, kinds, forced, most, renews, (wait, signs))| {
            let preset = with_login(if family { subscription() } else { provider() });
            let credential = |id: u32| {
                if kinds[id as usize - 1].0 { oauth(1, START) } else { key() }
            };
            let mut sim = Sim::new(world_of(preset, count, credential));
            set(&mut sim.world, |settings| {
                settings.strategy = strategy;
                settings.max_attempts = most;
                settings.reauth_wait = std::time::Duration::from_secs(wait);
            });
            for id in (1..=count).filter(|id| kinds[*id as usize - 1].1) {
                sim.world = switch_off(&sim.world, id);
            }
            if let Some(id) = forced {
                let by = Actor::Admin;
                sim.apply(crate::engine::Command::Forced { alias: alias(id), by });
            }
            sim.renews = renews;
            sim.signs = signs;
            sim
        })
}
