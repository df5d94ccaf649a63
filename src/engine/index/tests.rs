use super::*;
use crate::engine::select::{Live, RoutingRequest, Selection, Turn, select, takeable};
use crate::engine::world::{LIFE, START, edit, left, model, oauth, request, world};
use crate::model::{
    AccountId, Cooling, CoolingSource, CredentialState, FaultClass, Health, Strategy, Weight,
};
use proptest::prelude::*;
use std::time::Duration;

/// SEL-2: what the index says is what a look at every account would find, whoever asks and whenever.
#[test]
fn an_index_tells_of_its_time_only_and_of_nobody_else() {
    let mut world = world(3);
    edit(&mut world, 1, |account| account.health.cooling = Some(rest(5)));
    edit(&mut world, 3, |account| account.limits.latest = Some(left(20.0, START, None)));
    world.index = Arc::new(index(&world, &world, START));
    let provider = &world.providers[0].id;
    let roster = world.index.roster(provider, START).expect("it is known");
    assert_eq!((&roster.always[..], &roster.ask[..]), (&[1][..], &[][..]));
    let over = START.after(Duration::from_secs(5));
    assert_eq!(world.index.until, over);
    assert_eq!(world.index.roster(provider, over), None);
    assert_eq!(world.index.roster(provider, START.before(Duration::from_millis(1))), None);
}

proptest! {
    /// SEL-1, SEL-2, SEL-8: with the index or without it, the same account is taken and the same turns are drawn.
    #[test]
    fn the_index_answers_as_a_look_at_every_account_does(
        accounts in prop::collection::vec((0usize..9, 0u64..40, 1u32..4), 1..12),
        strategy in prop::sample::select(Strategy::ALL.to_vec()),
        tried in prop::collection::btree_set(1u32..12, 0..4),
        later in prop::collection::vec(0u64..30_000, 1..4),
        turn in any::<u64>(),
        busy in any::<u16>(),
        asks_a_model in any::<bool>(),
        pinned in prop::option::of(1u32..12),
        permitted in prop::option::of(prop::collection::btree_set(1u32..12, 0..12)),
    ) {
        let mut bare = world(u32::try_from(accounts.len()).expect("few"));
        bare.settings = Arc::new(crate::model::Settings { strategy, ..(*bare.settings).clone() });
        for (id, (state, secs, weight)) in (1u32..).zip(&accounts) {
            edit(&mut bare, id, |account| become_(account, *state, *secs, *weight));
        }
        let tried: Vec<AccountId> = tried.into_iter().map(AccountId).collect();
        let asked = RoutingRequest {
            model: asks_a_model.then(model),
            pinned: pinned.map(AccountId),
            permitted: permitted.map(|ids| ids.into_iter().map(AccountId).collect()),
            ..request()
        };
        let mut known = bare.clone();
        let mut now = START;
        for millis in later {
            // Found out before, of a world in which one account was different, and taken on from there.
            known.index = Arc::new(index(&known, &known, now));
            let mut next = bare.clone();
            next.index = Arc::new(index(&next, &known, now));
            known = next;
            for at in [now, now.after(Duration::from_millis(millis))] {
                let (mut one, mut other) = (Busy(busy, turn, 0), Busy(busy, turn, 0));
                let by_index = select(&known, &asked, &tried, &mut one, at);
                let by_look = select(&bare, &asked, &tried, &mut other, at);
                prop_assert_eq!((by_index, one.2), (by_look, other.2));
                let most = usize::from(busy % 4);
                prop_assert_eq!(takeable(&known, &asked, most, at), takeable(&bare, &asked, 99, at).min(most));
                prop_assert_eq!(known.census_of(&asked.provider), bare.census_of(&asked.provider));
            }
            now = now.after(Duration::from_millis(millis));
        }
    }

    /// SEL-1: where nothing is odd the index is what answers.
    #[test]
    fn a_pool_that_is_well_is_never_looked_through(
        count in 1u32..20, strategy in prop::sample::select(Strategy::ALL.to_vec()), turn in any::<u64>(),
    ) {
        let mut world = world(count);
        world.settings = Arc::new(crate::model::Settings { strategy, ..(*world.settings).clone() });
        world.index = Arc::new(index(&world, &world, START));
        let honest = select(&world, &request(), &[], &mut Busy(0, turn, 0), START);
        // An index that lies is believed: so nobody has looked.
        let mut lie = (*world.index).clone();
        lie.rosters[0].1.always.truncate(1);
        lie.rosters[0].1.best.truncate(1);
        lie.rosters[0].1.sums.clear();
        world.index = Arc::new(lie);
        let taken = |selection: Selection| match selection {
            Selection::Take(decision) => decision.account.0,
            Selection::Wait { .. } | Selection::Nobody { .. } => 0,
        };
        prop_assert!((1..=count).contains(&taken(honest)));
        prop_assert_eq!(taken(select(&world, &request(), &[], &mut Busy(0, turn, 0), START)), 1);
    }
}

fn become_(account: &mut Account, state: usize, secs: u64, weight: u32) {
    account.weight = Weight::new(f64::from(weight) / 4.0).expect("a weight");
    let at = START.after(Duration::from_secs(secs));
    match state {
        0 => {}
        1 => account.health.cooling = Some(rest(secs)),
        2 => account.limits.latest = Some(left(20.0, START, Some(at))),
        3 => account.limits.latest = Some(left(60.0, START, Some(at))),
        4 => {
            account.health.models.insert(model(), rest(secs));
        }
        5 => {
            account.limits.history.push_back(left(5.0, START.before(Duration::from_secs(secs % 12)), None));
            account.limits.latest = Some(left(50.0, START, None));
        }
        6 => {
            let mut lapsing = oauth(1, START.before(LIFE).after(Duration::from_secs(secs)));
            lapsing.refresh = None;
            account.credential = CredentialState::Usable(lapsing.into());
        }
        7 => {
            account.credential = CredentialState::Usable(oauth(1, START.before(LIFE)).into());
            account.renewal.not_before = Some(at);
        }
        _ => {
            account.health =
                Health { cooling: Some(Cooling { until: START, ..rest(0) }), ..Health::default() }
        }
    }
}

fn rest(secs: u64) -> Cooling {
    Cooling {
        until: START.after(Duration::from_secs(secs)),
        class: FaultClass::RateShort,
        source: CoolingSource::RetryAfter,
        since: START,
    }
}

/// Who has a request under way, by bits; the turn; how often it was drawn.
struct Busy(u16, u64, u32);

impl Live for Busy {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        self.2 += 1;
        Turn(self.1)
    }
    fn in_flight(&self, account: AccountId) -> u32 {
        u32::from(self.0 >> (account.0 % 16) & 1)
    }
}
