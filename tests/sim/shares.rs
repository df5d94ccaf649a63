//! Who gets how much: the strategies over many requests.
use crate::engine::RoutingRequest;
use crate::model::{AccountId, Strategy, Weight};
use crate::sim::{Say, Sim};
use crate::world::{edit, request, set, switch_off, world};
use proptest::prelude::*;

/// One share may be off by this much over a thousand picks (SEL-6).
const SLACK: f64 = 0.01;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// SEL-6, SEL-2
    #[test]
    fn a_thousand_weighted_picks_give_every_enabled_account_its_share(
        shares in prop::collection::vec(0.01f64..=1.0, 1..9),
        off in prop::collection::vec(any::<bool>(), 8),
        first in any::<u64>(),
    ) {
        let mut sim = pool(Strategy::WeightedRoundRobin, shares.len());
        sim.live.turns = first >> 1;
        for (at, share) in shares.iter().enumerate() {
            edit(&mut sim.world, at as u32 + 1, |account| {
                account.weight = Weight::new(*share).expect("a weight");
            });
        }
        let on: Vec<usize> = (0..shares.len()).filter(|at| *at == 0 || !off[*at]).collect();
        for at in (0..shares.len()).filter(|at| !on.contains(at)) {
            sim.world = switch_off(&sim.world, at as u32 + 1);
        }
        let counts = picks(&mut sim, 1000);
        let total: f64 = on.iter().map(|at| shares[*at]).sum();
        for at in 0..shares.len() {
            let due = if on.contains(&at) { shares[at] / total } else { 0.0 };
            let got = f64::from(counts[at]) / 1000.0;
            prop_assert!((got - due).abs() <= SLACK, "a{} got {got} instead of {due}", at + 1);
            prop_assert!(due < 0.002 || counts[at] > 0, "nobody starves");
        }
    }

    /// SEL-6
    #[test]
    fn equal_weights_and_round_robin_are_uniform_in_every_window(
        count in 1usize..9,
        first in any::<u64>(),
        strategy in prop::sample::select(vec![Strategy::RoundRobin, Strategy::WeightedRoundRobin]),
    ) {
        let mut sim = pool(strategy, count);
        sim.live.turns = first >> 1;
        let counts = picks(&mut sim, 10 * count);
        prop_assert_eq!(&counts[..count], &vec![10; count][..]);
    }

    /// SEL-1, SEL-6
    #[test]
    fn strategies_that_know_nothing_yet_use_every_account(
        count in 1usize..9,
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
    ) {
        let mut sim = pool(strategy, count);
        let counts = picks(&mut sim, 64 * count);
        let used = counts.iter().filter(|count| **count > 0).count();
        prop_assert_eq!(used, if strategy == Strategy::FillFirst { 1 } else { count });
    }

    /// SEL-3
    #[test]
    fn sessions_stay_while_their_account_can_serve_and_leave_the_others_their_turns(
        count in 1usize..9,
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
        pins in prop::collection::vec(1u32..9, 1..40),
    ) {
        let mut sim = pool(strategy, count);
        for pin in pins.into_iter().filter(|pin| *pin as usize <= count) {
            let pinned = RoutingRequest { pinned: Some(AccountId(pin)), ..request() };
            prop_assert_eq!(sim.run(pinned, |_| Say::Ok).accounts(), [pin]);
        }
        prop_assert_eq!(sim.live.turns, 0);
    }
}

fn pool(strategy: Strategy, count: usize) -> Sim {
    let mut sim = Sim::new(world(u32::try_from(count).expect("few")));
    set(&mut sim.world, |settings| settings.strategy = strategy);
    sim
}

/// How often each of eight accounts was picked.
fn picks(sim: &mut Sim, count: usize) -> [u32; 8] {
    let mut counts = [0; 8];
    for _ in 0..count {
        let picked = sim.run(request(), |_| Say::Ok).accounts()[0];
        counts[picked as usize - 1] += 1;
    }
    counts
}
