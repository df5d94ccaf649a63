//! Forces, beside a model that says in a few lines what FRC-1 to FRC-3 ask for: any order of what people and upstreams
//! do, with restarts through the store in between.
use super::fixture::{Dir, NOW};
use crate::engine::world::{alias, key, left, model, new_account, provider, world};
use crate::engine::{Command, Edit, Fault, LastEnabled, RoutingRequest, apply, select};
use crate::engine::{Live, Selection, Turn, Why};
use crate::model::{
    AccountId, Actor, Alias, CoolingSource, FaultClass, ProviderId, Scope, Settings, Snapshot, Strategy,
    Switch, Time,
};
use proptest::prelude::{
    Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_assert_ne, prop_oneof, proptest,
};
use proptest::strategy::Strategy as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
const SHORT: Duration = Duration::from_secs(60);
/// A rest is no shorter.
const LEAST: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
enum Step {
    Add,
    Clear,
    Force(usize),
    /// What is left of its quota.
    Left(usize, bool),
    Passes(u64),
    /// It is refused: for a spent quota, or for a rate limit.
    Refused(usize, bool, u64),
    Remove(usize),
    Rename(usize),
    Restart,
    Strategy(usize),
    Switch(usize),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let which = 0usize..4;
    prop_oneof![
        1 => Just(Step::Add),
        2 => Just(Step::Clear),
        6 => which.clone().prop_map(Step::Force),
        2 => (which.clone(), any::<bool>()).prop_map(|(at, spent)| Step::Left(at, spent)),
        3 => prop_oneof![1u64..120, 1u64..90_000].prop_map(Step::Passes),
        3 => (which.clone(), any::<bool>(), 1u64..130).prop_map(|(at, quota, wait)| Step::Refused(at, quota, wait)),
        1 => which.clone().prop_map(Step::Remove),
        2 => which.clone().prop_map(Step::Rename),
        1 => Just(Step::Restart),
        1 => (0usize..Strategy::ALL.len()).prop_map(Step::Strategy),
        3 => which.prop_map(Step::Switch),
    ]
}

/// What matters of an account.
#[derive(Clone, Debug)]
struct Known {
    alias: Alias,
    on: bool,
    empty: bool,
    /// Until when it rests, and whether for its quota.
    rest: Option<(Time, bool)>,
}

/// What must be so.
#[derive(Clone, Debug)]
struct Model {
    accounts: BTreeMap<u32, Known>,
    force: Option<(u32, Time)>,
    strategy: Strategy,
    now: Time,
    /// Accounts ever, and names given.
    added: u32,
    names: u32,
}

impl Model {
    fn holds(&self, id: u32) -> bool {
        self.accounts.get(&id).is_some_and(|known| {
            let rest = known.rest.filter(|(until, _)| *until > self.now);
            let able = rest.is_none_or(|(until, quota)| !quota && until <= self.now.after(SHORT));
            known.on && !known.empty && able
        })
    }

    /// A force lasts a day, and no longer than its account can carry it.
    fn settle(&mut self) {
        let stands = self.force.is_some_and(|(id, since)| self.now < since.after(DAY) && self.holds(id));
        if !stands {
            self.force = None;
        }
    }

    fn id(&self, at: usize) -> Option<u32> {
        let ids: Vec<u32> = self.accounts.keys().copied().collect();
        ids.get(at % ids.len().max(1)).copied()
    }

    /// Does the step, and says which command it is; none where time alone passes or nobody is there.
    fn take(&mut self, step: &Step) -> Option<(Command, bool)> {
        match *step {
            Step::Add => {
                self.added += 1;
                let id = self.added;
                let known = Known { alias: alias(id), on: true, empty: false, rest: None };
                self.accounts.insert(id, known);
                Some((Command::AccountAdded(Box::new(new_account(id, key()))), true))
            }
            Step::Clear => {
                let taken = self.force.take().is_some();
                Some((Command::ForceCleared, taken))
            }
            Step::Force(at) => {
                let id = self.id(at)?;
                let holds = self.holds(id);
                if holds && self.force.is_none_or(|(forced, _)| forced != id) {
                    self.force = Some((id, self.now));
                }
                let alias = self.accounts.get(&id)?.alias.clone();
                Some((Command::Forced { alias, by: Actor::Cli }, holds))
            }
            Step::Left(at, spent) => {
                let id = self.id(at)?;
                self.accounts.get_mut(&id)?.empty = spent;
                let sample = left(if spent { 0.0 } else { 50.0 }, self.now, None);
                Some((Command::LimitsSeen { account: AccountId(id), sample }, true))
            }
            Step::Passes(secs) => {
                self.now = self.now.after(Duration::from_secs(secs));
                Some((Command::TimePassed, true))
            }
            Step::Refused(at, quota, wait) => self.refused(self.id(at)?, quota, wait),
            Step::Remove(at) => {
                let id = self.id(at)?;
                let alias = self.accounts.remove(&id)?.alias;
                Some((Command::AccountRemoved { alias, last: LastEnabled::Override }, true))
            }
            Step::Rename(at) => {
                let id = self.id(at)?;
                self.names += 1;
                let new: Alias = format!("renamed-{}", self.names).parse().ok()?;
                let old = std::mem::replace(&mut self.accounts.get_mut(&id)?.alias, new.clone());
                let edit = Box::new(Edit { alias: Some(new), ..Edit::default() });
                Some((Command::AccountEdited { alias: old, edit }, true))
            }
            Step::Restart => None,
            Step::Strategy(at) => {
                self.strategy = Strategy::ALL[at];
                let settings = Settings { strategy: self.strategy, ..Settings::default() };
                let providers = vec![Arc::new(provider())];
                Some((Command::Reconfigured { settings, providers }, true))
            }
            Step::Switch(at) => {
                let id = self.id(at)?;
                let known = self.accounts.get_mut(&id)?;
                known.on = !known.on;
                let off = Switch::Off { at: self.now, by: Actor::Cli, reason: None };
                let to = if known.on { Switch::On } else { off };
                let alias = known.alias.clone();
                Some((Command::Switched { alias, to, last: LastEnabled::Override }, true))
            }
        }
    }

    fn refused(&mut self, id: u32, quota: bool, wait: u64) -> Option<(Command, bool)> {
        let resets = self.now.after(Duration::from_secs(wait));
        let known = self.accounts.get_mut(&id)?;
        let said = resets.max(self.now.after(LEAST));
        if known.rest.is_none_or(|(until, _)| until <= self.now || until < said) {
            known.rest = Some((said, quota));
        }
        let class = if quota { FaultClass::QuotaWindow } else { FaultClass::RateShort };
        let resets = Some((resets, CoolingSource::RetryAfter));
        let fault = Fault { class, scope: Scope::Account, rule: None, resets };
        Some((Command::Faulted { account: AccountId(id), version: 1, model: None, fault }, true))
    }
}

/// The world beside the model, with the store it lives in.
struct Real {
    dir: Dir,
    world: Snapshot,
}

impl Real {
    /// What a restart makes of it: all that is kept, and nothing else.
    fn restart(&mut self, now: Time) {
        let open = || super::Store::open(self.dir.backend(), &[provider().id].into(), now).expect("a store");
        open().store.save(&self.world, None).expect("saved");
        let opened = open();
        self.world = Snapshot {
            generation: self.world.generation,
            accounts: opened.accounts.into_iter().map(Arc::new).collect(),
            next_account: opened.next_account,
            force: opened.force,
            ..Snapshot::empty(Settings::clone(&self.world.settings), vec![provider()])
        };
        self.world = apply(&self.world, Command::TimePassed, now).expect("applied").snapshot;
    }

    fn forced(&self) -> Option<(u32, Time, Time)> {
        self.world.force.as_ref().map(|force| (force.account.0, force.since, force.until))
    }
}

/// Who serves a request of no conversation.
fn served(world: &Snapshot, now: Time) -> Option<(u32, Why)> {
    let request = RoutingRequest {
        provider: provider().id,
        model: Some(model()),
        session: None,
        pinned: None,
        owner: None,
        only: None,
        bond: Default::default(),
        permitted: None,
        replay_safe: false,
    };
    match select(world, &request, &[], &mut Idle, now) {
        Selection::Take(decision) => Some((decision.account.0, decision.why)),
        Selection::Nobody { .. } | Selection::Wait { .. } => None,
    }
}

struct Idle;

impl Live for Idle {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(0)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// FRC-1, FRC-2, FRC-3, I9, STO-3, SEL-2: whatever happens, a force is on exactly while the model says so, from its
    /// first activation and for no more than a day; it takes every request it can; the strategy beneath is what was last
    /// asked for; and a restart changes none of it.
    #[test]
    fn a_force_is_what_the_model_says_whatever_happens(steps in prop::collection::vec(step(), 1..60)) {
        let mut real = Real { dir: Dir::new(), world: world(3) };
        let accounts = (1..=3).map(|id| (id, Known { alias: alias(id), on: true, empty: false, rest: None }));
        let mut model =
            Model { accounts: accounts.collect(), force: None, strategy: Strategy::RoundRobin, now: NOW, added: 3,
 names: 0 };
        for step in steps {
            let taken = model.take(&step);
            model.settle();
            match taken {
                None if matches!(step, Step::Restart) => real.restart(model.now),
                None => {}
                Some((command, accepted)) => {
                    let applied = apply(&real.world, command, model.now);
                    prop_assert_eq!(applied.is_ok(), accepted, "{:?}: {:?}", step, applied.err());
                    if let Ok(next) = applied {
                        real.world = next.snapshot;
                    }
                }
            }
            let expected = model.force.map(|(id, since)| (id, since, since.after(DAY)));
            prop_assert_eq!(real.forced(), expected, "{:?}", step);
            prop_assert_eq!(real.world.settings.strategy, model.strategy);
            let served = served(&real.world, model.now);
            match model.force {
                Some((id, _)) => {
                    let resting = model.accounts[&id].rest.is_some_and(|(until, _)| until > model.now);
                    let forced = (!resting).then_some((id, Why::Forced));
                    prop_assert_eq!(served, forced, "all or none of the requests are the forced account's");
                }
                None => prop_assert!(served.is_none_or(|(_, why)| why == Why::Rotated), "{:?}", served),
            }
            for (_, known) in model.accounts.iter().filter(|(_, known)| !known.on) {
                let id = real.world.by_alias(&known.alias).map(|account| account.id.0);
                prop_assert_ne!(served.map(|(id, _)| id), id);
            }
        }
    }
}
