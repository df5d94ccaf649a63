//! The composition root: what there is once per process, in which order it starts and in which it stops. Handlers take
//! `&App`; there are no globals.
#[cfg(test)]
pub(crate) mod bench;
mod handed;
mod harden;
mod info;
mod key;
mod memory;
mod reload;
mod running;
mod serve;
mod start;
mod supervisor;

pub use handed::Handed;
pub use harden::harden;
pub use info::{Addresses, ServerInfo, token_file};
pub use key::{KeyError, sealer};
pub use running::Running;
pub use serve::{ServeOptions, Until, serve};
pub use start::{StartError, Writer, log_sink};

use crate::admin::Readers;
use crate::affinity::{Affinity, Owners};
use crate::auth::import::Home;
use crate::auth::{Logins, Refresher, Tally};
use crate::clock::Clock;
use crate::config::{Config, Problem, Tuning};
use crate::limits::{ProbeTally, Prober};
use crate::model::{Snapshot, Time};
use crate::notify::Notifier;
use crate::proxy::{ReplayBudget, RequestIds, SocketCounts};
use crate::runs::Runs;
use crate::state::SharedState;
use crate::store::{Guard, Store};
use crate::telemetry::{Probes, Renewals, Scrape, StoreFigures, Telemetry};
use crate::upstream::Upstream;
use arc_swap::ArcSwap;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Everything there is once per process.
pub struct App {
    /// Where time comes from.
    pub clock: Clock,
    /// The configuration in force; a reload replaces it.
    pub config: ArcSwap<Config>,
    /// What of it may change while rota runs, and which layers say what.
    pub tuning: ArcSwap<Tuning>,
    /// Whose turn it is to change settings: a person's call or a reload, one at a time.
    pub retuning: Semaphore,
    /// What is odd about it.
    pub warnings: ArcSwap<Vec<Problem>>,
    /// Where the user who started it keeps other programs' logins.
    pub home: Home,
    /// The one writer.
    pub state: Arc<SharedState>,
    /// Which session is on which account.
    pub affinity: Affinity,
    /// Which account can read what.
    pub owners: Owners,
    /// Renews tokens.
    pub refresher: Refresher,
    /// People signing in.
    pub logins: Logins,
    /// Asks providers for limits.
    pub prober: Prober,
    /// Sends requests to providers.
    pub upstream: Upstream,
    /// Tells people what they must act on.
    pub notifier: Notifier,
    /// Who is told what happens, as it happens.
    pub readers: Readers,
    /// Tells what was decided.
    pub telemetry: Telemetry,
    /// Bytes of request bodies that are held for replay, in all.
    pub replay: Arc<ReplayBudget>,
    /// Commands that `rota run` has started.
    pub runs: Runs,
    /// How many WebSockets there are.
    pub sockets: SocketCounts,
    /// Numbers for requests.
    pub ids: RequestIds,
    /// Where records live.
    pub store: Arc<Store>,
    /// When this process started.
    pub started: Time,
    addresses: OnceLock<Addresses>,
    owner: Box<dyn Guard>,
}

impl App {
    /// Where it listens; nowhere until [`Running::start`] has bound.
    pub fn addresses(&self) -> Addresses {
        self.addresses.get().cloned().unwrap_or_default()
    }

    /// What the metrics page shows besides the snapshot.
    pub fn scrape(&self, world: &Snapshot) -> Scrape {
        let in_flight =
            world.accounts.iter().map(|account| (account.id, self.state.leases().on_account(account.id)));
        let tallies = self.refresher.tallies().into_iter();
        let renewals = tallies.map(|(account, tally)| {
            let Tally { renewed, transient, permanent } = tally;
            (account, Renewals { renewed, transient, permanent })
        });
        let probes = (self.prober.tallies().into_iter()).map(|(account, tally)| {
            let ProbeTally { succeeded, failed, stopped } = tally;
            (account, Probes { succeeded, failed, stopped })
        });
        let notifications = (self.notifier.tally().into_iter())
            .map(|(sent, count)| ((sent.sink.as_str(), sent.outcome.as_str()), count));
        let logins = (self.notifier.logins().into_iter())
            .map(|(login, count)| ((login.by.as_str(), login.outcome.as_str()), count));
        Scrape {
            in_flight: in_flight.collect(),
            pins: self.affinity.counts(),
            renewals: renewals.collect(),
            probes: probes.collect(),
            store: self.store_figures(),
            token_endpoints: self.refresher.endpoints(),
            notifications: notifications.collect(),
            logins: logins.collect(),
            websockets: self.sockets.open(),
            websocket_turns: self.sockets.turns(),
        }
    }

    /// How saving goes.
    pub fn store_figures(&self) -> StoreFigures {
        let health = self.store.health();
        StoreFigures {
            saves: health.saves,
            failures: health.failures,
            restores: health.restores,
            unsaved_since: health.unsaved_since,
        }
    }
}
