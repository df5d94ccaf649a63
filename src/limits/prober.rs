use super::ask::Question;
use super::jobs::{Jobs, Ticket};
use super::lane::Lane;
use super::pauses::Pauses;
use super::{ProbeFailure, ProbeReport};
use crate::auth::Refresher;
use crate::clock::Clock;
use crate::engine::{Command, breaker, can_be_asked, inquiry};
use crate::model::{
    Account, AccountId, Credential, JobState, LimitSample, Probing, Provider, ProviderId, Snapshot, Time,
};
use crate::state::SharedState;
use crate::upstream::Upstream;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

/// Questions under way at once, whomever they go to.
const AT_ONCE: usize = 2;

/// Asks for limits, each account's once at a time, whoever wants to know. Clones share what is under way.
#[derive(Clone)]
pub struct Prober {
    inner: Arc<Inner>,
}

/// What a prober is made of.
pub struct ProberParts {
    /// Where what was learnt is published.
    pub state: Arc<SharedState>,
    /// The way to providers.
    pub upstream: Upstream,
    /// Renews a token that was refused.
    pub refresher: Refresher,
    /// For one answer of a usage endpoint, from start to end.
    pub patience: Duration,
    /// The time.
    pub clock: Clock,
    /// Where questions run.
    pub runtime: Handle,
}

struct Inner {
    parts: ProberParts,
    jobs: Arc<Jobs>,
    places: Semaphore,
    lanes: Mutex<BTreeMap<ProviderId, Arc<Lane>>>,
    pauses: Mutex<Pauses>,
    tallies: Mutex<BTreeMap<AccountId, ProbeTally>>,
}

/// How an account's probes went since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeTally {
    /// The limits were learnt.
    pub succeeded: u64,
    /// They were not.
    pub failed: u64,
    /// It was called off before it began.
    pub stopped: u64,
}

impl Prober {
    /// A prober with nothing under way.
    pub fn new(parts: ProberParts) -> Self {
        Self {
            inner: Arc::new(Inner {
                parts,
                jobs: Jobs::new(),
                places: Semaphore::new(AT_ONCE),
                lanes: Mutex::default(),
                pauses: Mutex::default(),
                tallies: Mutex::default(),
            }),
        }
    }

    /// Whether the account's limits can be asked for: it is on, it has a credential, and its provider tells them.
    pub fn can_ask(&self, account: &Account, world: &Snapshot) -> Result<(), ProbeFailure> {
        let provider = world.provider(&account.provider);
        let (Some(provider), Some(credential)) = (provider, account.credential.usable()) else {
            return Err(ProbeFailure::SignIn);
        };
        if inquiry(provider, credential.kind, world.settings.probing.models).is_none() {
            return Err(ProbeFailure::NotTold);
        }
        match can_be_asked(account, provider, self.inner.parts.clock.now()) {
            true => Ok(()),
            false => Err(ProbeFailure::SignIn),
        }
    }

    /// Of accounts whose limits are old, ripest first, begins with the first of each provider, unless one of that
    /// provider's is under way or it asked to be left alone.
    pub fn tend(&self, ripe: &[AccountId]) {
        let inner = &self.inner;
        let world = inner.parts.state.snapshot();
        inner.forget(&world);
        let of = |account: AccountId| world.account(account).map(|account| account.provider.clone());
        let active = inner.jobs.reports().into_iter().filter(|job| job.state.is_active());
        let mut busy: BTreeSet<ProviderId> = active.filter_map(|job| of(job.account)).collect();
        for account in ripe {
            let Some(provider) = of(*account) else {
                continue;
            };
            if inner.paused(*account).is_none() && busy.insert(provider) {
                self.start(*account);
            }
        }
    }

    /// Asks for the limits of these accounts as soon as may be; who is being asked about already, is asked once.
    pub fn ask(&self, accounts: &[AccountId]) {
        for account in accounts {
            match self.inner.paused(*account) {
                None => self.start(*account),
                Some(until) => self.inner.turn_down(*account, ProbeFailure::TooOften { until }),
            }
        }
    }

    /// Calls off all that has not begun.
    pub fn stop(&self) {
        for account in self.inner.jobs.stop_queued(self.inner.parts.clock.now()) {
            self.inner.count(account, JobState::Cancelled);
        }
    }

    /// The latest refresh of every account that had one, by account.
    pub fn reports(&self) -> Vec<ProbeReport> {
        self.inner.jobs.reports()
    }

    /// The latest refresh of one account.
    pub fn report(&self, account: AccountId) -> Option<ProbeReport> {
        self.inner.jobs.report(account)
    }

    /// A number that grows whenever a report changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.jobs.changes()
    }

    /// How probes went since the start, for those accounts that had one.
    pub fn tallies(&self) -> BTreeMap<AccountId, ProbeTally> {
        lock(&self.inner.tallies).clone()
    }

    fn start(&self, account: AccountId) {
        let inner = Arc::clone(&self.inner);
        if let Some(ticket) = inner.jobs.open(account, inner.parts.clock.now()) {
            let task = self.inner.parts.runtime.spawn(async move { inner.run(ticket, account).await });
            self.inner.jobs.works(account, task.abort_handle());
        }
    }
}

impl Inner {
    async fn run(&self, ticket: Ticket, account: AccountId) {
        let clock = &self.parts.clock;
        let Some(provider) = self.provider_of(account) else {
            return self.end(ticket, account, Err(Gone::Removed));
        };
        let lane = Arc::clone(lock(&self.lanes).entry(provider).or_insert_with(|| Arc::new(Lane::new())));
        let Some(_turn) = lane.enter(account, clock).await else {
            return;
        };
        let Ok(_place) = self.places.acquire().await else {
            return;
        };
        // It may have been switched off, or removed, while this waited (SEL-2).
        let now = self.parts.state.snapshot();
        if !now.account(account).is_some_and(|account| account.is_on()) {
            return self.end(ticket, account, Err(Gone::Off));
        }
        if !ticket.begin(clock.now()) {
            return;
        }
        let learnt = self.inquire(account).await;
        self.publish(account, &learnt);
        self.end(ticket, account, Ok(learnt.err()));
    }

    /// One question, and one more with a new token where the old one was refused or has ended.
    async fn inquire(&self, account: AccountId) -> Result<LimitSample, ProbeFailure> {
        let subject = self.subject(account)?;
        let ended = subject.credential.expires.is_some_and(|expires| expires <= self.parts.clock.now());
        let answer = if ended { Err(ProbeFailure::Unauthorized) } else { self.put(&subject).await };
        let renews = subject.credential.refresh.is_some() || subject.credential.self_granted;
        if !renews || answer != Err(ProbeFailure::Unauthorized) {
            return answer;
        }
        let version = subject.credential.version;
        self.parts.refresher.refresh(account, version).await;
        let renewed = self.subject(account)?;
        if renewed.credential.version <= version { answer } else { self.put(&renewed).await }
    }

    async fn put(&self, subject: &Subject) -> Result<LimitSample, ProbeFailure> {
        let question = Question {
            upstream: &self.parts.upstream,
            provider: &subject.provider,
            credential: &subject.credential,
            probing: subject.probing,
            patience: self.parts.patience,
            now: self.parts.clock.now(),
        };
        question.put().await
    }

    fn subject(&self, account: AccountId) -> Result<Subject, ProbeFailure> {
        let world = self.parts.state.snapshot();
        let known = world.account(account).filter(|account| account.is_on()).ok_or(ProbeFailure::SignIn)?;
        let deaths = world.deaths.get(&known.provider);
        if deaths.is_some_and(|deaths| breaker::cut_off(deaths, self.parts.clock.now()).is_some()) {
            return Err(ProbeFailure::CutOff);
        }
        Ok(Subject {
            provider: Arc::clone(world.provider(&known.provider).ok_or(ProbeFailure::SignIn)?),
            credential: Arc::clone(known.credential.usable().ok_or(ProbeFailure::SignIn)?),
            probing: world.settings.probing,
        })
    }

    fn publish(&self, account: AccountId, learnt: &Result<LimitSample, ProbeFailure>) {
        let command = match learnt {
            Ok(sample) => {
                lock(&self.pauses).end(account);
                Command::LimitsSeen { account, sample: sample.clone() }
            }
            Err(failure) => {
                if let ProbeFailure::TooOften { until } = failure {
                    lock(&self.pauses).begin(account, *until);
                }
                tracing::warn!(account = account.0, %failure, "the limits could not be learnt");
                Command::ProbeFailed { account, error: failure.to_string() }
            }
        };
        // Turned down where the account is gone: then nobody wants to know.
        let _ = self.parts.state.apply(command);
    }

    fn end(&self, ticket: Ticket, account: AccountId, how: Result<Option<ProbeFailure>, Gone>) {
        let (state, error) = match how {
            Ok(None) => (JobState::Succeeded, None),
            Ok(Some(failure)) => (JobState::Failed, Some(failure.to_string())),
            Err(gone) => (JobState::Cancelled, Some(gone.to_string())),
        };
        self.count(account, state);
        ticket.end(state, error, self.parts.clock.now());
    }

    fn count(&self, account: AccountId, state: JobState) {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(account).or_default();
        match state {
            JobState::Succeeded => tally.succeeded += 1,
            JobState::Failed => tally.failed += 1,
            JobState::Cancelled | JobState::Pending | JobState::Running => tally.stopped += 1,
        }
    }

    /// A job that ends before anybody was asked.
    fn turn_down(&self, account: AccountId, failure: ProbeFailure) {
        if let Some(ticket) = self.jobs.open(account, self.parts.clock.now()) {
            self.end(ticket, account, Ok(Some(failure)));
        }
    }

    fn provider_of(&self, account: AccountId) -> Option<ProviderId> {
        Some(self.parts.state.snapshot().account(account)?.provider.clone())
    }

    /// Until when the account's provider is left alone.
    fn paused(&self, account: AccountId) -> Option<Time> {
        lock(&self.pauses).until(account, self.parts.clock.now())
    }

    fn forget(&self, world: &Snapshot) {
        let there_is = |account: AccountId| world.account(account).is_some();
        self.jobs.retain(there_is);
        lock(&self.pauses).retain(there_is);
        lock(&self.tallies).retain(|account, _| there_is(*account));
        lock(&self.lanes).retain(|provider, _| world.provider(provider).is_some());
    }
}

/// Why a job was called off without anybody asking for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Gone {
    #[error("the account was disabled meanwhile")]
    Off,
    #[error("the account was removed meanwhile")]
    Removed,
}

/// Whom a question is about.
struct Subject {
    provider: Arc<Provider>,
    credential: Arc<Credential>,
    probing: Probing,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
