use super::endpoint::Endpoints;
use super::flight::{Landed, Tally, Tools, fly};
use super::recovery;
use super::token::TokenClient;
use crate::clock::Clock;
use crate::model::AccountId;
use crate::state::SharedState;
use crate::store::Store;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Renews credentials, each once at a time, whoever asks. A renewal runs in a task of its own: a client that hangs up
/// cannot cut the line on which a single-use token is traded (I7). Clones share the renewals under way.
#[derive(Clone)]
pub struct Refresher {
    inner: Arc<Inner>,
}

struct Inner {
    tools: Tools,
    runtime: Handle,
    flights: Mutex<BTreeMap<AccountId, Flight>>,
    /// Tasks that are not done, those included that only wait for the store.
    tasks: watch::Sender<usize>,
}

/// A renewal under way. Nothing is ever sent: the channel closes when it has landed.
#[derive(Clone)]
struct Flight {
    version: u64,
    landed: watch::Receiver<()>,
}

/// What a refresher is made of.
pub struct RefresherParts {
    /// Where renewals are published.
    pub state: Arc<SharedState>,
    /// Where they are kept.
    pub store: Arc<Store>,
    /// How they are made.
    pub tokens: TokenClient,
    /// How long one exchange may take.
    pub deadline: Duration,
    /// The time.
    pub clock: Clock,
    /// Where renewals run.
    pub runtime: Handle,
}

impl Refresher {
    /// A refresher with nothing under way.
    pub fn new(parts: RefresherParts) -> Self {
        let tools = Tools {
            state: parts.state,
            store: parts.store,
            tokens: parts.tokens,
            deadline: parts.deadline,
            clock: parts.clock,
            endpoints: Endpoints::default(),
            tallies: Mutex::default(),
        };
        Self {
            inner: Arc::new(Inner {
                tools,
                runtime: parts.runtime,
                flights: Mutex::default(),
                tasks: watch::Sender::new(0),
            }),
        }
    }

    /// Returns when the account's credential is newer than `version`, or when trying to make it so has failed. Many
    /// callers make one renewal, and a failure is shared by those only who waited for it: the next one tries anew.
    pub async fn refresh(&self, account: AccountId, version: u64) {
        loop {
            if self.version(account) != Some(version) {
                return;
            }
            let mut flight = self.join(account, version);
            while flight.landed.changed().await.is_ok() {}
            if flight.version == version {
                return;
            }
        }
    }

    /// Finishes what a process that ended left in the journals, before anybody asks: answers that were noted become
    /// credentials without a word to the endpoint. What cannot be finished so is logged. Accounts whose lock somebody
    /// else holds are left to that process.
    pub async fn recover(&self) {
        let tools = &self.inner.tools;
        for (account, credential) in recovery::left_over(tools).await {
            if let Landed::Unsaved(unsaved) = recovery::finish(tools, account, credential).await {
                let task = Task::begin(self.inner.clone());
                self.inner.runtime.spawn(async move { unsaved.settle(&task.0.tools).await });
            }
        }
    }

    /// Returns when no renewal is under way and every granted credential is stored. A store that never takes one keeps
    /// it waiting: the caller sets the limit.
    pub async fn idle(&self) {
        let mut tasks = self.inner.tasks.subscribe();
        // It lives as long as the sender, which is ours.
        let _ = tasks.wait_for(|tasks| *tasks == 0).await;
    }

    /// How renewals went since the start, for those accounts that had one.
    pub fn tallies(&self) -> BTreeMap<AccountId, Tally> {
        self.inner.tools.tallies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn tools(&self) -> &Tools {
        &self.inner.tools
    }

    /// Origins of token endpoints that have failed lately, and whether each is left alone now (FLO-10).
    pub fn endpoints(&self) -> BTreeMap<String, bool> {
        let tools = &self.inner.tools;
        tools.endpoints.failing(tools.clock.now())
    }

    fn version(&self, account: AccountId) -> Option<u64> {
        let world = self.inner.tools.state.snapshot();
        let credential = world.account(account)?.credential.usable()?;
        Some(credential.version)
    }

    fn join(&self, account: AccountId, version: u64) -> Flight {
        let (landing, landed) = watch::channel(());
        let flight = Flight { version, landed };
        match self.inner.flights().entry(account) {
            Entry::Occupied(under_way) => return under_way.get().clone(),
            Entry::Vacant(free) => free.insert(flight.clone()),
        };
        // Nothing is locked from here on: a runtime that is shutting down drops the task, and with it the place, at
        // once.
        let task = Task::begin(self.inner.clone());
        let place = Place { inner: self.inner.clone(), account, _landing: landing };
        self.inner.runtime.spawn(async move {
            let landed = fly(&task.0.tools, account, version).await;
            drop(place);
            if let Landed::Unsaved(unsaved) = landed {
                unsaved.settle(&task.0.tools).await;
            }
        });
        flight
    }
}

impl Inner {
    fn flights(&self) -> MutexGuard<'_, BTreeMap<AccountId, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place a flight holds; given back also where its task is torn down.
struct Place {
    inner: Arc<Inner>,
    account: AccountId,
    _landing: watch::Sender<()>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.account);
    }
}

/// A task that counts.
struct Task(Arc<Inner>);

impl Task {
    fn begin(inner: Arc<Inner>) -> Self {
        inner.tasks.send_modify(|tasks| *tasks += 1);
        Self(inner)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.tasks.send_modify(|tasks| *tasks -= 1);
    }
}
