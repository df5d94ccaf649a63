use super::story::{Event, HelloEvent, LaggedEvent, LimitsEvent, SessionsEvent, between};
use crate::app::App;
use crate::auth::JobReport;
use crate::model::{AccountId, JobState, Snapshot};
use crate::state::Marks;
use crate::telemetry::DecisionRecord;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

/// Readers at once, at most: pages and programs of one person.
const MOST: usize = 32;
/// After a look at the state, until the next: what happens meanwhile is told as one.
const REST: Duration = Duration::from_millis(100);
/// Between two looks at how many conversations there are.
const SESSIONS: Duration = Duration::from_secs(1);
/// A silent stream says that it is alive this often.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a client is told to wait before it connects again.
const RETRY: &str = "retry: 5000\n";

/// The readers there are.
#[derive(Debug)]
pub struct Readers {
    places: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

impl Default for Readers {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MOST)), ended: watch::Sender::new(false) }
    }
}

impl Readers {
    /// Ends all of them: rota stops.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }
}

/// One that listens, and where it is.
pub(super) struct Reader {
    app: Arc<App>,
    decisions: broadcast::Receiver<Arc<DecisionRecord>>,
    logins: broadcast::Receiver<JobReport>,
    marks: watch::Receiver<Marks>,
    probes: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    /// What it knows of the state.
    world: Arc<Snapshot>,
    /// And of the refreshes of limits: one an account, at most.
    refreshes: BTreeMap<AccountId, JobState>,
    /// The word that was told last of each account's limits.
    told: BTreeMap<AccountId, &'static str>,
    rest: Pin<Box<Sleep>>,
    /// Writes of the book of conversations.
    written: u64,
    looks: Interval,
    heartbeat: Pin<Box<Sleep>>,
    /// To be told, one after the other.
    ready: VecDeque<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// What woke it.
enum Woken {
    Decision(Result<Arc<DecisionRecord>, RecvError>),
    Ended,
    Heartbeat,
    Login(Result<Box<JobReport>, RecvError>),
    Sessions,
    State,
}

impl Reader {
    /// One more, if there is a place.
    pub(super) fn new(app: Arc<App>) -> Option<Self> {
        let place = Arc::clone(&app.readers.places).try_acquire_owned().ok()?;
        let mut looks = interval(SESSIONS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (decisions, logins) = (app.telemetry.follow(), app.logins.news());
        let (marks, ended) = (app.state.marks(), app.readers.ended.subscribe());
        let (probes, world) = (app.prober.changes(), app.state.snapshot());
        let hello = HelloEvent { version: env!("CARGO_PKG_VERSION"), generation: world.generation };
        let first = [Bytes::from_static(RETRY.as_bytes()), Event::Hello(hello).frame()].concat();
        Some(Self {
            decisions,
            logins,
            marks,
            probes,
            ended,
            world,
            refreshes: refreshes(&app),
            told: BTreeMap::new(),
            rest: Box::pin(sleep(Duration::ZERO)),
            written: app.affinity.writes(),
            looks,
            heartbeat: Box::pin(sleep(HEARTBEAT)),
            ready: VecDeque::from([first.into()]),
            _place: place,
            app,
        })
    }

    /// The next piece of the stream; none once rota stops.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                self.heartbeat = Box::pin(sleep(HEARTBEAT));
                return Some(piece);
            }
            let woken = self.woken().await;
            self.take(woken)?;
        }
    }

    async fn woken(&mut self) -> Woken {
        let known = self.world.generation;
        let news = async {
            self.rest.as_mut().await;
            // State and prober outlive every reader.
            tokio::select! {
                _ = self.marks.wait_for(|marks| marks.newest != known) => {}
                _ = self.probes.changed() => {}
            }
        };
        tokio::select! {
            biased;
            _ = self.ended.wait_for(|ended| *ended) => Woken::Ended,
            () = news => Woken::State,
            job = self.logins.recv() => Woken::Login(job.map(Box::new)),
            _ = self.looks.tick() => Woken::Sessions,
            record = self.decisions.recv() => Woken::Decision(record),
            () = self.heartbeat.as_mut() => Woken::Heartbeat,
        }
    }

    fn take(&mut self, woken: Woken) -> Option<()> {
        match woken {
            Woken::Decision(Ok(record)) => self.tell(&Event::Decision(record)),
            Woken::Decision(Err(RecvError::Lagged(missed))) => {
                self.tell(&Event::Lagged(LaggedEvent { of: "decision", missed }));
            }
            Woken::Login(Ok(job)) => self.tell(&Event::Login(Box::new((*job).into()))),
            Woken::Login(Err(RecvError::Lagged(missed))) => {
                self.tell(&Event::Lagged(LaggedEvent { of: "login", missed }));
            }
            Woken::Decision(Err(RecvError::Closed)) | Woken::Login(Err(RecvError::Closed)) | Woken::Ended => {
                return None;
            }
            Woken::Heartbeat => self.ready.push_back(Bytes::from_static(b":\n\n")),
            Woken::Sessions => self.look_at_sessions(),
            Woken::State => self.look_at_state(),
        }
        Some(())
    }

    fn tell(&mut self, event: &Event) {
        self.ready.push_back(event.frame());
    }

    fn look_at_state(&mut self) {
        let world = self.app.state.snapshot();
        for event in between(&self.world, &world, self.app.clock.now()) {
            self.tell(&event);
            if let Event::Limits(limits) = event {
                self.told.insert(limits.account, limits.state);
            }
        }
        self.told.retain(|account, _| world.account(*account).is_some());
        self.world = world;
        self.look_at_refreshes();
        self.rest = Box::pin(sleep(REST));
    }

    /// A step of a refresh is told by its own word, also where nothing was learnt that would change the state.
    fn look_at_refreshes(&mut self) {
        let refreshes = refreshes(&self.app);
        for (account, state) in &refreshes {
            let Some(known) = self.world.account(*account) else {
                continue;
            };
            let word = state.shown_refresh();
            // What was learnt, or was not, is told of the state already, a moment before its job has ended.
            if self.refreshes.get(account) != Some(state) && self.told.insert(*account, word) != Some(word) {
                self.ready.push_back(Event::Limits(LimitsEvent::new(known, word)).frame());
            }
        }
        self.refreshes = refreshes;
    }

    fn look_at_sessions(&mut self) {
        let written = self.app.affinity.writes();
        if written == self.written {
            return;
        }
        let total = self.app.affinity.len();
        self.written = written;
        self.tell(&Event::Sessions(SessionsEvent { total }));
    }
}

fn refreshes(app: &App) -> BTreeMap<AccountId, JobState> {
    app.prober.reports().into_iter().map(|report| (report.account, report.state)).collect()
}
