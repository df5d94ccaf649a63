//! The one writer. Readers load a snapshot; writers queue for microseconds; the disk is waited for elsewhere.
use crate::clock::Clock;
use crate::engine::{Applied, Command, Durability, Live, Rejection, Turn, apply_by, index};
use crate::lease::Leases;
use crate::model::{AccountId, Actor, ProviderId, Snapshot, Time};
use arc_swap::ArcSwap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long an acknowledged change may take to become durable before the admin call fails (503).
const PATIENCE: Duration = Duration::from_secs(5);

/// The snapshot in force, and the only way to replace it (I3).
pub struct SharedState {
    now: ArcSwap<Snapshot>,
    writing: Mutex<Marks>,
    turns: ArcSwap<BTreeMap<ProviderId, AtomicU64>>,
    leases: Leases,
    marks: watch::Sender<Marks>,
    durable: watch::Receiver<u64>,
    changing: Arc<Mutex<BTreeSet<AccountId>>>,
    clock: Clock,
}

/// A person's change of one account, from its beginning until it is durable: there is one at a time (ADM-4).
pub struct Change {
    account: AccountId,
    changing: Arc<Mutex<BTreeSet<AccountId>>>,
}

impl Drop for Change {
    fn drop(&mut self) {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.account);
    }
}

/// Which generations the store should know of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The newest generation.
    pub newest: u64,
    /// The newest generation that somebody waits to see durable.
    pub required: u64,
    /// The newest generation that is to be stored at all.
    pub debounced: u64,
}

/// Why a change was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It is in force, but the store has not confirmed it in time; it may be lost in a crash.
    #[error("the change is in force but could not be made durable within {} s", PATIENCE.as_secs())]
    NotDurable,
    /// It was turned down; nothing changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

impl SharedState {
    /// Starts from `first`. `durable` tells the newest generation the store has confirmed.
    pub fn new(first: Snapshot, clock: Clock, durable: watch::Receiver<u64>) -> Self {
        let marks =
            Marks { newest: first.generation, required: first.generation, debounced: first.generation };
        let turns = cursors(&first, &BTreeMap::new());
        let first = indexed(first, clock.now());
        Self {
            now: ArcSwap::from_pointee(first),
            writing: Mutex::new(marks),
            turns: ArcSwap::from_pointee(turns),
            leases: Leases::default(),
            marks: watch::Sender::new(marks),
            durable,
            changing: Arc::default(),
            clock,
        }
    }

    /// Begins a person's change of `account`; none while another one is under way.
    pub fn change(&self, account: AccountId) -> Option<Change> {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = changing.insert(account);
        alone.then(|| Change { account, changing: Arc::clone(&self.changing) })
    }

    /// The state now, for as long as it is held.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.now.load_full()
    }

    /// The same for a short look: nothing is written that another thread reads. Not to be held over an `.await`.
    pub fn peek(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.now.load()
    }

    /// Applies and publishes. In force at once, durable soon.
    pub fn apply(&self, command: Command) -> Result<Arc<Snapshot>, Rejection> {
        let by = command.author();
        self.apply_by(command, by)
    }

    /// The same, asked for by somebody.
    pub fn apply_by(&self, command: Command, by: Actor) -> Result<Arc<Snapshot>, Rejection> {
        let mut marks = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let world = self.now.load_full();
        let now = self.clock.now();
        let Applied { mut snapshot, durability } = apply_by(&world, command, by, now)?;
        snapshot.index = Arc::new(index(&snapshot, &world, now));
        let next = Arc::new(snapshot);
        if !Arc::ptr_eq(&world.providers, &next.providers) {
            self.turns.store(Arc::new(cursors(&next, &self.turns.load())));
        }
        self.now.store(next.clone());
        marks.newest = next.generation;
        match durability {
            Durability::None => {}
            Durability::Debounced => marks.debounced = next.generation,
            Durability::Required => {
                marks.debounced = next.generation;
                marks.required = next.generation;
            }
        }
        self.marks.send_replace(*marks);
        Ok(next)
    }

    /// Finds out anew who may be taken, where time has passed over what was found out before. The same generation: nothing
    /// has changed.
    pub fn look_again(&self) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (world, now) = (self.now.load_full(), self.clock.now());
        if !world.index.covers(now) {
            self.now.store(Arc::new(indexed(Snapshot::clone(&world), now)));
        }
    }

    /// Applies, publishes, and returns when the change would survive a power cut (STO-7).
    pub async fn commit(&self, command: Command) -> Result<Arc<Snapshot>, CommitError> {
        let by = command.author();
        self.commit_by(command, by).await
    }

    /// The same, asked for by somebody.
    pub async fn commit_by(&self, command: Command, by: Actor) -> Result<Arc<Snapshot>, CommitError> {
        let next = self.apply_by(command, by)?;
        self.confirm(next.generation).await?;
        Ok(next)
    }

    /// Returns when this generation would survive a power cut.
    pub async fn confirm(&self, generation: u64) -> Result<(), CommitError> {
        let mut durable = self.durable.clone();
        let confirmed = durable.wait_for(|there| *there >= generation);
        match tokio::time::timeout(PATIENCE, confirmed).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CommitError::NotDurable),
        }
    }

    /// Tells of every published generation, and which of them the store must have.
    pub fn marks(&self) -> watch::Receiver<Marks> {
        self.marks.subscribe()
    }

    /// The newest generation that is durable.
    pub fn durable(&self) -> u64 {
        *self.durable.borrow()
    }

    /// Requests under way, by account.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// What decisions need beyond the snapshot.
    pub fn live(&self) -> LiveState<'_> {
        LiveState { state: self }
    }

    /// The same without drawing a turn: for dry runs (SEL-12).
    pub fn dry(&self) -> DryState<'_> {
        DryState { state: self }
    }

    /// The time now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    fn turn(&self, provider: &ProviderId, step: u64) -> Turn {
        Turn(self.turns.load().get(provider).map_or(0, |turn| turn.fetch_add(step, Ordering::Relaxed)))
    }
}

fn indexed(world: Snapshot, now: Time) -> Snapshot {
    let index = Arc::new(index(&world, &world, now));
    Snapshot { index, ..world }
}

fn cursors(world: &Snapshot, known: &BTreeMap<ProviderId, AtomicU64>) -> BTreeMap<ProviderId, AtomicU64> {
    let ids = world.providers.iter().map(|provider| provider.id.clone());
    ids.map(|id| {
        let at = known.get(&id).map_or(0, |turn| turn.load(Ordering::Relaxed));
        (id, AtomicU64::new(at))
    })
    .collect()
}

/// See [`SharedState::live`].
pub struct LiveState<'a> {
    state: &'a SharedState,
}

impl Live for LiveState<'_> {
    fn turn(&mut self, provider: &ProviderId) -> Turn {
        self.state.turn(provider, 1)
    }
    fn in_flight(&self, account: AccountId) -> u32 {
        self.state.leases.on_account(account)
    }
}

/// See [`SharedState::dry`].
pub struct DryState<'a> {
    state: &'a SharedState,
}

impl Live for DryState<'_> {
    fn turn(&mut self, provider: &ProviderId) -> Turn {
        self.state.turn(provider, 0)
    }
    fn in_flight(&self, account: AccountId) -> u32 {
        self.state.leases.on_account(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::model::Settings;
    use std::sync::mpsc;

    /// STO-7, I12
    #[tokio::test(start_paused = true)]
    async fn a_change_is_in_force_at_once_and_acknowledged_when_durable() {
        let (state, durable) = state();
        let committing = tokio::spawn({
            let state = Arc::clone(&state);
            async move { state.commit(reconfigured(7)).await }
        });
        state.marks().wait_for(|marks| marks.required == 1).await.expect("published");
        assert_eq!(state.snapshot().settings.max_attempts, 7);
        assert!(!committing.is_finished(), "nobody has said that it is durable");
        durable.send_replace(1);
        let world = committing.await.expect("no panic").expect("durable");
        assert_eq!((world.generation, state.durable()), (1, 1));
    }

    /// I12
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_does_not_confirm_ends_in_an_error_and_the_change_stays_in_force() {
        let (state, _durable) = state();
        assert_eq!(state.commit(reconfigured(7)).await, Err(CommitError::NotDurable));
        assert_eq!(state.snapshot().settings.max_attempts, 7);
    }

    #[tokio::test]
    async fn a_rejected_command_publishes_nothing() {
        let (state, _durable) = state();
        let before = state.snapshot();
        assert_eq!(state.commit(Command::ForceCleared).await, Err(Rejection::NoForceActive.into()));
        assert_eq!((state.snapshot(), *state.marks().borrow()), (before, Marks::default()));
    }

    /// I3
    #[test]
    fn no_change_of_many_writers_is_lost() {
        let (state, _durable) = state();
        let (done, wait) = mpsc::channel();
        for _ in 0..8 {
            let (state, done) = (Arc::clone(&state), done.clone());
            std::thread::spawn(move || {
                for attempts in 1..=50 {
                    let _ = state.apply(reconfigured(attempts % 16 + 1));
                }
                done.send(()).expect("a listener");
            });
        }
        (0..8).for_each(|_| wait.recv().expect("a writer that ends"));
        assert_eq!(state.snapshot().generation, 8 * 50);
    }

    /// SEL-2
    #[test]
    fn who_may_be_taken_is_known_beforehand_and_found_out_again_as_time_passes() {
        let (durable, confirmed) = watch::channel(0);
        let manual = ManualClock::new(crate::engine::world::START);
        let mut world = crate::engine::world::world(2);
        crate::engine::world::edit(&mut world, 1, |account| {
            let until = crate::engine::world::START.after(Duration::from_secs(5));
            account.health.cooling = Some(crate::model::Cooling {
                until,
                class: crate::model::FaultClass::RateShort,
                source: crate::model::CoolingSource::RetryAfter,
                since: crate::engine::world::START,
            });
        });
        let generation = world.generation;
        let state = SharedState::new(world, Clock::Manual(manual.clone()), confirmed);
        let known = |state: &SharedState| {
            let world = state.snapshot();
            let roster = world.index.roster(&crate::engine::world::provider_id(), state.now()).cloned();
            roster.map(|roster| (roster.always, roster.ask))
        };
        assert_eq!(known(&state), Some((vec![1], vec![])));
        manual.advance(Duration::from_secs(6));
        assert_eq!(known(&state), None, "time has passed over it");
        state.look_again();
        assert_eq!(known(&state), Some((vec![1], vec![0])), "back, on probation");
        assert_eq!(state.snapshot().generation, generation, "nothing has changed");
        drop(durable);
    }

    /// SEL-12
    #[test]
    fn a_turn_is_drawn_once_outlives_new_presets_and_is_not_moved_by_a_dry_run() {
        let (state, _durable) = state();
        let presets =
            || crate::config::presets::load(&[]).expect("presets").into_iter().map(Arc::new).collect();
        let reload = || Command::Reconfigured { settings: Settings::default(), providers: presets() };
        state.apply(reload()).expect("applied");
        let id = state.snapshot().providers[0].id.clone();
        let draw = || state.live().turn(&id).0;
        assert_eq!([draw(), draw()], [0, 1]);
        assert_eq!((state.dry().turn(&id), state.dry().turn(&id)), (Turn(2), Turn(2)));
        state.apply(reload()).expect("applied");
        assert_eq!(draw(), 2);
    }

    fn state() -> (Arc<SharedState>, watch::Sender<u64>) {
        let (durable, confirmed) = watch::channel(0);
        let clock = Clock::Manual(ManualClock::new(Time::from_secs(1)));
        let world = Snapshot::empty(Settings::default(), Vec::new());
        (Arc::new(SharedState::new(world, clock, confirmed)), durable)
    }

    fn reconfigured(max_attempts: u8) -> Command {
        let settings = Settings { max_attempts, ..Settings::default() };
        Command::Reconfigured { settings, providers: Vec::new() }
    }
}
