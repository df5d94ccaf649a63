//! Keeps the disk up with the state. A change that somebody waits for is written at once, any other within five
//! seconds; changes that come while one write is under way share the next. The request path never waits for this.
use super::error::StoreError;
use super::handle::Store;
use crate::clock::{Clock, Stopwatch};
use crate::model::{Snapshot, Time};
use crate::state::{Marks, SharedState};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a change that nobody waits for may stay in memory alone (STO-7).
const DEBOUNCE: Duration = Duration::from_secs(5);
/// The wait after the first of several failures in a row; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// No wait is longer.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// Tries of the last write before the process ends; nothing is waited for in between.
const LAST_TRIES: u32 = 3;

struct Writer {
    store: Arc<Store>,
    state: Arc<SharedState>,
    clock: Clock,
    durable: watch::Sender<u64>,
    /// What the disk holds.
    saved: Option<Arc<Snapshot>>,
    /// Since when it lacks something.
    dirty: Option<Time>,
    /// Failures in a row, and no try before this.
    failures: u32,
    not_before: Time,
}

/// Runs until `stop` is ready, then writes what is left and returns; an error says that the last changes are lost.
/// `durable` tells the newest generation that would survive a power cut, and moves only once it would.
pub async fn run(
    store: Arc<Store>,
    state: Arc<SharedState>,
    clock: Clock,
    durable: watch::Sender<u64>,
    stop: impl Future<Output = ()>,
) -> Result<(), StoreError> {
    let mut marks = state.marks();
    let mut stop = pin!(stop);
    let mut writer = Writer {
        store,
        state,
        clock: clock.clone(),
        durable,
        saved: None,
        dirty: None,
        failures: 0,
        not_before: Time::default(),
    };
    loop {
        let wanted = *marks.borrow_and_update();
        let wake = writer.wake(wanted);
        let due = async {
            match wake {
                Some(wake) => clock.sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            () = due => writer.pass().await.unwrap_or_default(),
            moved = marks.changed() => if moved.is_err() {
                break;
            },
        }
    }
    let wanted = *marks.borrow();
    writer.finish(wanted).await
}

impl Writer {
    /// When to write next; none while the disk has all that it should.
    fn wake(&mut self, wanted: Marks) -> Option<Time> {
        let durable = *self.durable.borrow();
        if wanted.debounced <= durable {
            return None;
        }
        let now = self.clock.now();
        // A clock that was put back must not put a write off.
        let dirty = self.dirty.map_or(now, |since| since.min(now));
        self.dirty = Some(dirty);
        self.store.note(|health| health.unsaved_since = Some(dirty));
        let wake = if wanted.required > durable { now } else { dirty.after(DEBOUNCE) };
        Some(wake.max(self.not_before.min(now.after(LONGEST_BACKOFF))))
    }

    /// Writes the state as it is now.
    async fn pass(&mut self) -> Result<(), StoreError> {
        let world = self.state.snapshot();
        let began = self.clock.now();
        let watch = Stopwatch::start();
        let (store, since, next) = (self.store.clone(), self.saved.clone(), world.clone());
        let saving = tokio::task::spawn_blocking(move || store.save(&next, since.as_deref()));
        let done = match saving.await {
            Ok(done) => done,
            Err(stopped) if stopped.is_panic() => std::panic::resume_unwind(stopped.into_panic()),
            // The runtime is going down: nothing can be written any more.
            Err(_) => return std::future::pending().await,
        };
        match &done {
            Ok(()) => self.landed(world, began, watch.elapsed()),
            Err(error) => self.failed(error),
        }
        done
    }

    fn landed(&mut self, world: Arc<Snapshot>, began: Time, spent: Duration) {
        let now = self.clock.now();
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the store is written again");
        }
        self.failures = 0;
        self.not_before = Time::default();
        // What came while the disk was busy has been waiting since it began, at most.
        let behind = self.state.marks().borrow().debounced > world.generation;
        self.dirty = behind.then_some(began);
        let dirty = self.dirty;
        self.store.note(|health| {
            health.saves += 1;
            health.spent += spent;
            health.last_saved = Some(now);
            health.last_error = None;
            health.unsaved_since = dirty;
        });
        self.durable.send_replace(world.generation);
        self.saved = Some(world);
    }

    fn failed(&mut self, error: &StoreError) {
        tracing::error!(%error, failures = self.failures + 1, "the store was not written; it will be tried again");
        let doubled = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(16));
        self.failures += 1;
        self.not_before = self.clock.now().after(doubled.min(LONGEST_BACKOFF));
        self.store.note(|health| {
            health.failures += 1;
            health.last_error = Some(error.to_string());
        });
    }

    async fn finish(mut self, wanted: Marks) -> Result<(), StoreError> {
        let mut tries = LAST_TRIES;
        loop {
            if wanted.debounced <= *self.durable.borrow() {
                return Ok(());
            }
            tries -= 1;
            match self.pass().await {
                Err(_) if tries > 0 => {}
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::{Command, LastEnabled};
    use crate::model::{AccountId, Actor, LimitSample, LimitSource, LimitWindow, Switch};
    use crate::store::fixture::{Dir, NOW, account, world};
    use crate::store::{Backend, Found, Guard, Journal, Key, Legacy, Remnant};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::oneshot;

    /// STO-7 I12
    #[tokio::test]
    async fn a_change_that_is_waited_for_is_durable_when_it_is_acknowledged() {
        let run = Run::start();
        let committed = run.state.commit(switch(1)).await.unwrap();
        assert_eq!(run.state.durable(), committed.generation);
        let there = run.dir.open().accounts;
        assert_eq!(there[0], *committed.accounts[0].as_ref());
        run.stop().await.unwrap();
    }

    /// STO-7
    #[tokio::test]
    async fn a_burst_is_one_write() {
        let run = Run::start();
        let gate = run.backend.gate.clone().lock_owned().await;
        run.state.apply(switch(1)).unwrap();
        run.backend.arrived.notified().await;
        for id in 2..=9 {
            run.state.apply(switch(id)).unwrap();
        }
        drop(gate);
        run.durable().await;
        assert_eq!(run.store.health().saves, 2, "the first, and all that came meanwhile");
        run.stop().await.unwrap();
    }

    /// STO-7
    #[tokio::test]
    async fn what_nobody_waits_for_is_written_within_five_seconds_and_not_at_once() {
        let run = Run::start();
        run.state.apply(limits(1, 70.0)).unwrap();
        yields().await;
        run.clock.advance(Duration::from_millis(4_999));
        yields().await;
        run.state.apply(limits(2, 60.0)).unwrap();
        yields().await;
        assert_eq!(run.store.health().unsaved_since, Some(NOW));
        run.clock.advance(Duration::from_millis(1));
        run.durable().await;
        let health = run.store.health();
        assert_eq!((health.saves, health.unsaved_since), (1, None));
        assert_eq!(health.last_saved, Some(NOW.after(DEBOUNCE)));
        run.stop().await.unwrap();
    }

    /// STO-7
    #[tokio::test]
    async fn a_disk_that_fails_is_tried_again_and_what_is_unsaved_is_shown() {
        let run = Run::start();
        run.backend.failures.store(2, Ordering::SeqCst);
        run.state.apply(switch(1)).unwrap();
        let before = run.state.durable();
        for failures in 1..=2 {
            run.until(|health| health.failures == failures).await;
            let health = run.store.health();
            assert_eq!(health.unsaved_since, Some(NOW));
            assert!(health.last_error.is_some_and(|error| error.contains("no space")));
            assert_eq!(run.state.durable(), before, "durable moves only once it is");
            run.clock.advance(Duration::from_millis(100 << (failures - 1)));
        }
        run.durable().await;
        let health = run.store.health();
        assert_eq!(
            (health.saves, health.failures, health.last_error, health.unsaved_since),
            (1, 2, None, None)
        );
        run.stop().await.unwrap();
    }

    #[tokio::test]
    async fn records_come_credential_first_and_go_last() {
        let run = Run::start();
        let mut accounts: Vec<_> =
            run.first.accounts.iter().map(|account| account.as_ref().clone()).collect();
        let gone = accounts.remove(1).id;
        accounts.push(account(10));
        run.backend.log.lock().unwrap().clear();
        let (store, first) = (run.store.clone(), run.first.clone());
        let save = move || store.save(&world(accounts), Some(&first));
        tokio::task::spawn_blocking(save).await.unwrap().unwrap();
        let log = run.backend.log.lock().unwrap().clone();
        let new = AccountId(10);
        let order = [
            ("put", Key::Credential(new)),
            ("put", Key::State),
            ("put", Key::Runtime(new)),
            ("remove", Key::Credential(gone)),
            ("remove", Key::Runtime(gone)),
        ];
        assert_eq!(log, order);
        run.stop().await.unwrap();
    }

    /// STO-7
    #[tokio::test]
    async fn the_last_changes_are_written_before_the_end() {
        let run = Run::start();
        run.backend.failures.store(2, Ordering::SeqCst);
        run.state.apply(limits(1, 12.5)).unwrap();
        let dir = run.stop().await.unwrap();
        assert_eq!(dir.open().accounts[0].limits.remaining(NOW), Some(12.5));
    }

    #[tokio::test]
    async fn changes_that_are_lost_at_the_end_are_not_kept_secret() {
        let run = Run::start();
        run.backend.failures.store(LAST_TRIES, Ordering::SeqCst);
        run.state.apply(limits(1, 12.5)).unwrap();
        assert!(run.stop().await.is_err_and(|error| error.code() == "STORE_IO"));
    }

    struct Run {
        dir: Dir,
        backend: Arc<Faulty>,
        store: Arc<Store>,
        state: Arc<SharedState>,
        first: Snapshot,
        clock: ManualClock,
        durable: watch::Receiver<u64>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<Result<(), StoreError>>,
    }

    impl Run {
        /// Nine accounts, on the disk already.
        fn start() -> Self {
            let dir = Dir::new();
            let first = world((1..=9).map(account).collect());
            dir.open().store.save(&first, None).unwrap();
            let backend = Arc::new(Faulty::over(dir.backend()));
            let providers = ["p".try_into().unwrap()].into();
            let store = Store::open(backend.clone(), &providers, NOW).unwrap().store;
            let clock = ManualClock::new(NOW);
            let (confirmed, durable) = watch::channel(first.generation);
            let door = Clock::Manual(clock.clone());
            let state = Arc::new(SharedState::new(first.clone(), door.clone(), durable.clone()));
            let (stop, stopped) = oneshot::channel();
            let stopped = async move { stopped.await.unwrap_or_default() };
            let task = tokio::spawn(run(store.clone(), state.clone(), door, confirmed, stopped));
            Self { dir, backend, store, state, first, clock, durable, stop, task }
        }

        async fn durable(&self) {
            let newest = self.state.snapshot().generation;
            let mut durable = self.durable.clone();
            durable.wait_for(|generation| *generation >= newest).await.unwrap();
        }

        async fn until(&self, reached: impl Fn(&crate::store::StoreHealth) -> bool) {
            while !reached(&self.store.health()) {
                tokio::task::yield_now().await;
            }
        }

        async fn stop(self) -> Result<Dir, StoreError> {
            self.stop.send(()).unwrap();
            self.task.await.unwrap().map(|()| self.dir)
        }
    }

    /// Lets the writer come to rest; it waits for nothing but the clock and the disk.
    async fn yields() {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }

    fn switch(id: u32) -> Command {
        Command::Switched {
            alias: format!("a{id}").try_into().unwrap(),
            to: Switch::Off { at: NOW, by: Actor::Admin, reason: None },
            last: LastEnabled::Override,
        }
    }

    fn limits(id: u32, remaining: f64) -> Command {
        let window = LimitWindow { name: "5h".into(), remaining, resets: None };
        let (at, source) = (NOW, LimitSource::Usage { endpoint: None });
        let sample = LimitSample { at, source, windows: vec![window] };
        Command::LimitsSeen { account: AccountId(id), sample }
    }

    /// A backend whose writes can be held up, fail, and are noted.
    struct Faulty {
        inner: Arc<dyn Backend>,
        failures: AtomicU32,
        gate: Arc<tokio::sync::Mutex<()>>,
        arrived: tokio::sync::Notify,
        log: Mutex<Vec<(&'static str, Key)>>,
    }

    impl Faulty {
        fn over(inner: Arc<dyn Backend>) -> Self {
            Self {
                inner,
                failures: AtomicU32::new(0),
                gate: Arc::default(),
                arrived: tokio::sync::Notify::new(),
                log: Mutex::default(),
            }
        }
    }

    impl Backend for Faulty {
        fn load(&self) -> Result<BTreeMap<Key, Found>, StoreError> {
            self.inner.load()
        }
        fn read(&self, key: Key) -> Result<Found, StoreError> {
            self.inner.read(key)
        }
        fn put(&self, key: Key, expected: u64, body: &[u8]) -> Result<u64, StoreError> {
            self.arrived.notify_one();
            drop(self.gate.blocking_lock());
            let left =
                self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() {
                return Err(StoreError::Io {
                    action: "write",
                    path: "state.json".into(),
                    problem: "no space".to_owned(),
                    errno: None,
                });
            }
            self.log.lock().unwrap().push(("put", key));
            self.inner.put(key, expected, body)
        }
        fn remove(&self, key: Key, expected: u64) -> Result<(), StoreError> {
            self.log.lock().unwrap().push(("remove", key));
            self.inner.remove(key, expected)
        }
        fn prune(&self, keep: &dyn Fn(Key, Remnant<'_>) -> bool) -> Result<usize, StoreError> {
            self.inner.prune(keep)
        }
        fn own(&self) -> Result<Box<dyn Guard>, StoreError> {
            self.inner.own()
        }
        fn lock(&self, account: AccountId) -> Result<Box<dyn Guard>, StoreError> {
            self.inner.lock(account)
        }
        fn try_lock(&self, account: AccountId) -> Result<Option<Box<dyn Guard>>, StoreError> {
            self.inner.try_lock(account)
        }
        fn journal(&self, account: AccountId) -> Box<dyn Journal + '_> {
            self.inner.journal(account)
        }
        fn preflight(&self, account: AccountId) -> Result<(), StoreError> {
            self.inner.preflight(account)
        }
        fn legacy(&self) -> Result<Option<Legacy>, StoreError> {
            self.inner.legacy()
        }
        fn retire(&self, legacy: &Legacy) -> Result<(), StoreError> {
            self.inner.retire(legacy)
        }
    }
}
