use super::*;
use crate::engine::apply::Command;
use crate::engine::world::{
    START, alias, done, edit, health, key, left, model, oauth, provider, request, set, switch_off, world,
    world_of,
};
use crate::model::{Actor, Affinity, Cooling, CoolingSource, CredentialState, FaultClass, Reason, Strategy};
use proptest::prelude::*;

/// FRC-2, SEL-3, SEL-4, FLO-7
#[test]
fn the_owner_goes_before_the_force_and_the_force_before_the_session() {
    let mut all = done(&world(4), pin(2), START);
    let asked = RoutingRequest { owner: Some(AccountId(1)), pinned: Some(AccountId(3)), ..request() };
    let of = |world: &Snapshot, asked: &RoutingRequest| taken(world, asked, &[]);
    assert_eq!(of(&all, &asked), Some((1, Why::Owner)));
    let asked = RoutingRequest { owner: None, ..asked };
    assert_eq!(of(&all, &asked), Some((2, Why::Forced)));
    all.force = None;
    assert_eq!(of(&all, &asked), Some((3, Why::Session)));
    set(&mut all, |settings| settings.affinity = Affinity::None);
    assert_eq!(of(&all, &asked), Some((1, Why::Rotated)));
}

/// What `rota run --account` asks for goes before a force for all, and before an owner that another could stand in for.
#[test]
fn an_account_that_was_chosen_for_a_command_serves_it_alone() {
    let forced = done(&world(4), pin(2), START);
    let chosen = RoutingRequest { only: Some(AccountId(4)), pinned: Some(AccountId(3)), ..request() };
    assert_eq!(taken(&forced, &chosen, &[]), Some((4, Why::Chosen)));
    let loose = RoutingRequest { owner: Some(AccountId(1)), bond: Bond::Loose, ..chosen.clone() };
    assert_eq!(taken(&forced, &loose, &[]), Some((4, Why::Chosen)));
    let fast = RoutingRequest { bond: Bond::Fast, ..loose };
    assert_eq!(taken(&forced, &fast, &[]), Some((1, Why::Owner)), "nobody else can read it");
    let off = switch_off(&forced, 4);
    assert_eq!(taken(&off, &chosen, &[]), None);
    let gone = RoutingRequest { only: Some(AccountId(9)), ..request() };
    assert_eq!(taken(&off, &gone, &[]), None, "one that was removed is not replaced");
    assert_eq!(taken(&world(4), &chosen, &[AccountId(4)]), None, "nor is one that has failed");
}

/// SEL-3, SEL-12
#[test]
fn why_a_session_left_its_account_is_told_by_the_account_it_was_with() {
    let mut world = world(2);
    let asked = RoutingRequest { pinned: Some(AccountId(1)), ..request() };
    edit(&mut world, 1, |account| account.limits.latest = Some(left(10.0, START, None)));
    assert_eq!(taken(&world, &asked, &[]), Some((2, Why::Rotated)));
    let told = why_left(&world, &asked, &Still(0), START).map(|(alias, why)| (alias, why.reason));
    assert_eq!(told, Some((alias(1), Reason::Critical)));
    assert_eq!(why_left(&world, &request(), &Still(0), START), None, "it was with nobody");
}

/// SEL-2, SEL-5, SEL-8, SEL-9, FLO-11
#[test]
fn a_session_leaves_an_account_only_when_that_cannot_serve_it() {
    for (name, change, stays) in states() {
        let mut world = world(2);
        edit(&mut world, 1, change);
        let asked = RoutingRequest { pinned: Some(AccountId(1)), ..request() };
        let expected = if stays { (1, Why::Session) } else { (2, Why::Rotated) };
        assert_eq!(taken(&world, &asked, &[]), Some(expected), "{name}");
    }
}

/// SEL-11: where the session's account has no place the request goes on alone; where it cannot serve, the session does.
#[test]
fn a_crowded_account_spills_the_request_and_keeps_the_session() {
    let mut world = world(2);
    set(&mut world, |settings| settings.in_flight_cap = Some(1));
    let asked = RoutingRequest { pinned: Some(AccountId(1)), ..request() };
    let of = |world: &Snapshot, tried: &[AccountId]| match select(world, &asked, tried, &mut Full(1), START) {
        Selection::Take(decision) => Some((decision.account.0, decision.why)),
        Selection::Wait { .. } | Selection::Nobody { .. } => None,
    };
    assert_eq!(of(&world, &[]), Some((2, Why::Spilled)));
    assert_eq!(of(&world, &[AccountId(1)]), Some((2, Why::Rotated)), "it has failed");
    let off = switch_off(&world, 1);
    assert_eq!(of(&off, &[]), Some((2, Why::Rotated)));
    set(&mut world, |settings| settings.affinity = Affinity::None);
    assert_eq!(of(&world, &[]), Some((2, Why::Rotated)));
}

/// SEL-5
#[test]
fn a_draining_account_takes_new_sessions_only_when_no_other_is_eligible() {
    let mut world = world(2);
    drain(&mut world, 1);
    for turn in 0..10 {
        assert_eq!(at_turn(&world, turn), Some(2));
    }
    let alone = switch_off(&world, 2);
    assert_eq!(at_turn(&alone, 0), Some(1));
}

/// SEL-5
#[test]
fn a_critical_account_serves_its_own_state_and_a_force_and_nothing_else() {
    let mut critical = world(1);
    edit(&mut critical, 1, |account| account.limits.latest = Some(left(10.0, START, None)));
    assert_eq!(taken(&critical, &request(), &[]), None);
    let owned = RoutingRequest { owner: Some(AccountId(1)), ..request() };
    assert_eq!(taken(&critical, &owned, &[]), Some((1, Why::Owner)));
    let forced = done(&critical, pin(1), START);
    assert_eq!(taken(&forced, &request(), &[]), Some((1, Why::Forced)));
}

/// FRC-2, SEL-4
#[test]
fn a_short_rest_of_the_only_possible_account_is_waited_for_and_a_long_one_is_not() {
    for (secs, waits) in [(1, true), (60, true), (61, false), (9000, false)] {
        let until = START.after(Duration::from_secs(secs));
        let mut world = world(2);
        edit(&mut world, 1, |a| a.health.cooling = Some(stated(FaultClass::RateShort, secs)));
        let owned = RoutingRequest { owner: Some(AccountId(1)), ..request() };
        let selection = select(&world, &owned, &[], &mut Still(0), START);
        let wait = Selection::Wait { account: AccountId(1), until };
        assert_eq!(selection == wait, waits, "{secs} s: {selection:?}");
        if !waits {
            assert!(matches!(selection, Selection::Nobody { soonest, .. } if soonest == Some(until)));
        }
    }
}

/// FRC-2, FLO-11
#[test]
fn a_model_that_the_forced_account_may_not_use_is_served_by_the_strategy() {
    let mut world = done(&world(2), pin(1), START);
    edit(&mut world, 1, |account| {
        let rest = stated(FaultClass::ModelUnentitled, 6 * 3600);
        account.health.models.insert(model(), rest);
    });
    assert_eq!(taken(&world, &request(), &[]), Some((2, Why::Rotated)));
    let other = RoutingRequest { model: None, ..request() };
    assert_eq!(taken(&world, &other, &[]), Some((1, Why::Forced)));
}

/// SEL-10, FLO-7
#[test]
fn nobody_comes_with_every_accounts_reason_and_the_earliest_recovery() {
    let mut world = switch_off(&world_of(provider(), 7, |_| key()), 1);
    edit(&mut world, 2, |a| a.health.cooling = Some(stated(FaultClass::QuotaWindow, 900)));
    edit(&mut world, 3, |a| a.health.cooling = Some(stated(FaultClass::Payment, 800)));
    edit(&mut world, 4, |a| {
        a.credential = CredentialState::Missing { detail: "no key".to_owned() };
    });
    edit(&mut world, 5, |a| {
        a.health.models.insert(model(), stated(FaultClass::ModelUnentitled, 700));
    });
    edit(&mut world, 6, |a| {
        let resets = START.after(Duration::from_secs(600));
        a.limits.latest = Some(left(0.0, START, Some(resets)));
    });
    let Selection::Nobody { soonest, reasons } =
        select(&world, &request(), &[AccountId(7)], &mut Still(0), START)
    else {
        panic!("somebody was found");
    };
    let words: Vec<Reason> = reasons.values().map(|why| why.reason).collect();
    assert_eq!(
        words,
        [
            Reason::Disabled,
            Reason::QuotaExhausted,
            Reason::PaymentRequired,
            Reason::NoToken,
            Reason::ModelUnsupported,
            Reason::Critical,
            Reason::Skipped,
        ]
    );
    assert_eq!(soonest, Some(START.after(Duration::from_secs(600))));
}

/// SEL-9
#[test]
fn of_accounts_that_only_inference_keeps_away_the_one_nearest_recovery_is_tried() {
    let mut world = world(4);
    let guess = |secs| Cooling { source: CoolingSource::Default, ..stated(FaultClass::RateShort, secs) };
    edit(&mut world, 1, |a| a.health.cooling = Some(guess(50)));
    edit(&mut world, 2, |a| a.health.cooling = Some(guess(40)));
    edit(&mut world, 3, |a| a.health.cooling = Some(stated(FaultClass::RateShort, 10)));
    edit(&mut world, 4, |a| {
        let class = FaultClass::QuotaWindow;
        a.health.cooling = Some(Cooling { class, ..guess(5) });
    });
    assert_eq!(taken(&world, &request(), &[]), Some((2, Why::Rotated)));
    assert_eq!(taken(&world, &request(), &[AccountId(2)]), Some((1, Why::Rotated)));
    assert_eq!(taken(&world, &request(), &[AccountId(1), AccountId(2)]), None);
    let busy = select(&world, &request(), &[], &mut Crowded(1), START);
    assert!(matches!(busy, Selection::Nobody { .. }), "one request at a time");
}

/// SEL-1
#[test]
fn each_strategy_picks_by_its_own_measure() {
    let mut world = world(3);
    for (id, percent, resets) in [(1, 50.0, 300), (2, 80.0, 200), (3, 60.0, 100)] {
        let resets = Some(START.after(Duration::from_secs(resets)));
        edit(&mut world, id, |a| a.limits.latest = Some(left(percent, START, resets)));
    }
    for (strategy, expected) in [
        (Strategy::FillFirst, [1, 1, 1, 1]),
        (Strategy::LeastUsed, [2, 2, 2, 2]),
        (Strategy::ResetFirst, [3, 3, 3, 3]),
        (Strategy::RoundRobin, [1, 2, 3, 1]),
        (Strategy::WeightedRoundRobin, [1, 2, 3, 1]),
    ] {
        set(&mut world, |settings| settings.strategy = strategy);
        let picks = [0, 1, 2, 3].map(|turn| at_turn(&world, turn).expect("somebody"));
        assert_eq!(picks, expected, "{strategy:?}");
    }
}

/// SEL-1
#[test]
fn unknown_limits_count_as_unspent_and_equal_ones_take_turns() {
    let mut world = world(3);
    set(&mut world, |settings| settings.strategy = Strategy::LeastUsed);
    edit(&mut world, 1, |a| a.limits.latest = Some(left(99.0, START, None)));
    let picks = [0, 1, 2].map(|turn| at_turn(&world, turn));
    assert_eq!(picks, [Some(2), Some(3), Some(2)]);
}

proptest! {
    /// SEL-2, SEL-10
    #[test]
    fn whoever_is_taken_may_be_taken_and_nobody_means_nobody(
        marks in prop::collection::vec(0usize..8, 1..9),
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
        turn in any::<u64>(),
    ) {
        let mut world = world(u32::try_from(marks.len()).expect("few"));
        set(&mut world, |settings| settings.strategy = strategy);
        let states = states();
        for (at, mark) in marks.iter().enumerate() {
            if let Some((_, change, _)) = states.get(*mark) {
                edit(&mut world, at as u32 + 1, change);
            }
        }
        let may = |account: &crate::model::Account| crate::engine::eligibility(
            account, Some(&model()), &world.settings, START,
        );
        let serving: Vec<u32> = world.accounts.iter()
            .filter(|a| matches!(may(a), Eligibility::Eligible | Eligibility::Probation | Eligibility::Draining))
            .map(|a| a.id.0)
            .collect();
        match select(&world, &request(), &[], &mut Still(turn), START) {
            Selection::Take(decision) => prop_assert!(serving.contains(&decision.account.0)),
            Selection::Nobody { reasons, .. } => {
                prop_assert!(serving.is_empty());
                prop_assert_eq!(reasons.len(), marks.len());
            }
            Selection::Wait { .. } => prop_assert!(false, "nobody is pinned"),
        }
    }

    /// SEL-1
    #[test]
    fn least_used_has_the_most_left_and_reset_first_the_nearest_reset(
        known in prop::collection::vec((31.0f64..=100.0, 1u64..1000), 1..9), turn in any::<u64>(),
    ) {
        let mut world = world(u32::try_from(known.len()).expect("few"));
        for (at, (percent, secs)) in known.iter().enumerate() {
            let resets = START.after(Duration::from_secs(*secs));
            edit(&mut world, at as u32 + 1, |a| a.limits.latest = Some(left(*percent, START, Some(resets))));
        }
        let most = known.iter().map(|(percent, _)| *percent).fold(0.0, f64::max);
        let nearest = known.iter().map(|(_, secs)| *secs).min();
        set(&mut world, |settings| settings.strategy = Strategy::LeastUsed);
        let least = at_turn(&world, turn).expect("somebody") as usize - 1;
        prop_assert!(most - known[least].0 < 1e-5);
        set(&mut world, |settings| settings.strategy = Strategy::ResetFirst);
        let first = at_turn(&world, turn).expect("somebody") as usize - 1;
        prop_assert_eq!(Some(known[first].1), nearest);
    }

    /// PRX-3: what a client's key does not name it is not given: not by force, affinity, state it holds, nor in need.
    #[test]
    fn no_request_goes_to_an_account_that_its_client_may_not_use(
        state in prop::collection::vec(0usize..8, 4),
        permitted in prop::collection::btree_set(1u32..5, 0..4),
        (forced, pinned, owner) in (prop::option::of(1u32..5), prop::option::of(1u32..5), prop::option::of(1u32..5)),
        bond in prop::sample::select(vec![Bond::Fast, Bond::Loose]),
        turn in any::<u64>(),
    ) {
        let mut world = world(4);
        for (id, state) in (1..).zip(state) {
            edit(&mut world, id, states()[state].1);
        }
        if let Some(forced) = forced {
            let until = START.after(Duration::from_secs(60));
            let by = Actor::Admin;
            world.force = Some(crate::model::Force { account: AccountId(forced), since: START, until, by });
        }
        let permitted: Vec<AccountId> = permitted.into_iter().map(AccountId).collect();
        let (pinned, owner) = (pinned.map(AccountId), owner.map(AccountId));
        let asked = RoutingRequest { pinned, owner, bond, permitted: Some(permitted.clone().into()), ..request() };
        match select(&world, &asked, &[], &mut Still(turn), START) {
            Selection::Take(Decision { account, .. }) | Selection::Wait { account, .. } => {
                prop_assert!(permitted.contains(&account));
            }
            Selection::Nobody { reasons, .. } => {
                for account in world.accounts.iter().filter(|account| !permitted.contains(&account.id)) {
                    prop_assert_eq!(reasons[&account.alias].reason, Reason::NotPermitted);
                    prop_assert_eq!(reasons[&account.alias].until, None);
                }
            }
        }
        let all: Vec<AccountId> = world.accounts.iter().map(|account| account.id).collect();
        let everybody = RoutingRequest { permitted: Some(all.into()), ..asked.clone() };
        let unasked = RoutingRequest { permitted: None, ..asked };
        let of = |asked| select(&world, asked, &[], &mut Still(turn), START);
        prop_assert_eq!(of(&everybody), of(&unasked));
    }

    /// SEL-9, SEL-10
    #[test]
    fn inference_never_empties_a_pool_and_statements_may(
        rests in prop::collection::vec((any::<bool>(), 1u64..4000), 1..9),
    ) {
        let mut world = world(u32::try_from(rests.len()).expect("few"));
        for (at, (guessed, secs)) in rests.iter().enumerate() {
            let mut rest = stated(FaultClass::RateShort, *secs);
            if *guessed {
                rest.source = CoolingSource::Default;
            }
            edit(&mut world, at as u32 + 1, |a| a.health.cooling = Some(rest));
        }
        let nearest = (1u32..)
            .zip(&rests)
            .filter(|(_, (guessed, _))| *guessed)
            .min_by_key(|(id, (_, secs))| (*secs, *id))
            .map(|(id, _)| (id, Why::Rotated));
        prop_assert_eq!(taken(&world, &request(), &[]), nearest);
    }

    /// SEL-12, I4
    #[test]
    fn the_same_question_has_the_same_answer_and_a_pin_draws_no_turn(
        turn in any::<u64>(), pin in prop::option::of(1u32..5),
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
    ) {
        let mut world = world(4);
        set(&mut world, |settings| settings.strategy = strategy);
        let asked = RoutingRequest { pinned: pin.map(AccountId), ..request() };
        let mut live = Drawn(0, turn);
        let first = select(&world, &asked, &[], &mut live, START);
        prop_assert_eq!(live.0, u32::from(pin.is_none() && strategy != Strategy::FillFirst));
        prop_assert_eq!(select(&world, &asked, &[], &mut Still(turn), START), first);
    }

    /// SEL-8
    #[test]
    fn a_full_probation_place_sends_rotation_elsewhere(turn in any::<u64>(), load in 0u32..3) {
        let mut world = world(2);
        edit(&mut world, 1, |a| {
            let over = START.before(Duration::from_secs(1));
            a.health.cooling = Some(Cooling { until: over, ..stated(FaultClass::RateShort, 0) });
        });
        prop_assert!(!health(&world, 1).is_clean());
        struct On(u32, u64);
        impl Live for On {
            fn turn(&mut self, _: &ProviderId) -> Turn { Turn(self.1) }
            fn in_flight(&self, account: AccountId) -> u32 { if account.0 == 1 { self.0 } else { 0 } }
        }
        let Selection::Take(decision) = select(&world, &request(), &[], &mut On(load, turn), START) else {
            panic!("nobody");
        };
        match decision.account.0 {
            1 => prop_assert_eq!((load, decision.admission), (0, Admission::Cap(1))),
            _ => prop_assert_eq!(decision.admission, Admission::Free),
        }
    }
}

/// Every state an account of key `a1` can be in, how it gets there, and whether a session stays with it.
#[expect(clippy::type_complexity, reason = "a table")]
fn states() -> Vec<(&'static str, fn(&mut crate::model::Account), bool)> {
    vec![
        ("eligible", |_| {}, true),
        ("draining", |a| a.limits.latest = Some(left(30.0, START, None)), true),
        (
            "probation",
            |a| {
                let until = START.before(Duration::from_secs(1));
                a.health.cooling = Some(Cooling { until, ..stated(FaultClass::Payment, 0) });
            },
            true,
        ),
        ("critical", |a| a.limits.latest = Some(left(10.0, START, None)), false),
        ("cooling", |a| a.health.cooling = Some(stated(FaultClass::RateShort, 5)), false),
        (
            "model refused",
            |a| {
                let rest = stated(FaultClass::ModelUnentitled, 5);
                a.health.models.insert(model(), rest);
            },
            false,
        ),
        (
            "needs re-auth",
            |a| {
                let mut lapsed = oauth(1, START.before(crate::engine::world::LIFE));
                lapsed.refresh = None;
                a.credential = CredentialState::Usable(lapsed.into());
            },
            false,
        ),
        (
            "disabled",
            |a| {
                a.switch = crate::model::Switch::Off { at: START, by: Actor::Admin, reason: None };
            },
            false,
        ),
    ]
}

fn stated(class: FaultClass, secs: u64) -> Cooling {
    Cooling {
        until: START.after(Duration::from_secs(secs)),
        class,
        source: CoolingSource::RetryAfter,
        since: START,
    }
}

fn drain(world: &mut Snapshot, id: u32) {
    edit(world, id, |account| account.limits.latest = Some(left(20.0, START, None)));
}

fn pin(id: u32) -> Command {
    Command::Forced { alias: alias(id), by: Actor::Admin }
}

fn taken(world: &Snapshot, asked: &RoutingRequest, tried: &[AccountId]) -> Option<(u32, Why)> {
    match select(world, asked, tried, &mut Still(0), START) {
        Selection::Take(decision) => Some((decision.account.0, decision.why)),
        Selection::Wait { .. } | Selection::Nobody { .. } => None,
    }
}

fn at_turn(world: &Snapshot, turn: u64) -> Option<u32> {
    match select(world, &request(), &[], &mut Still(turn), START) {
        Selection::Take(decision) => Some(decision.account.0),
        Selection::Wait { .. } | Selection::Nobody { .. } => None,
    }
}

/// A turn that does not move, and nobody at work.
struct Still(u64);

impl Live for Still {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(self.0)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}

/// So many requests on every account.
struct Crowded(u32);

impl Live for Crowded {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(0)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        self.0
    }
}

/// One account has a request, the others have none.
struct Full(u32);

impl Live for Full {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(0)
    }
    fn in_flight(&self, account: AccountId) -> u32 {
        u32::from(account.0 == self.0)
    }
}

/// Counts the draws of one turn.
struct Drawn(u32, u64);

impl Live for Drawn {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        self.0 += 1;
        Turn(self.1)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}
