//! The fake itself, for programs that run it inside themselves.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::account::Account;
use crate::assertions::Assertions;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::ledger::Ledger;
use crate::login::{Login, Vendor, sign_in};
use crate::recorder::{Recorded, Recorder};
use crate::script::Script;
use crate::server::{Server, listen};

/// How long replies under way may take after [`FakeUpstream::shutdown`].
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// A fake of the upstream APIs on a port of its own. It stops when dropped.
#[derive(Debug)]
pub struct FakeUpstream {
    hub: Arc<Hub>,
    addr: SocketAddr,
    listening: JoinHandle<()>,
}

impl FakeUpstream {
    /// Starts on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The port cannot be bound, or the script contradicts itself
    /// ([`io::ErrorKind::InvalidInput`]).
    pub async fn start(script: Script) -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script).await
    }

    /// Starts on a given address.
    ///
    /// # Errors
    /// As [`FakeUpstream::start`].
    pub async fn start_on(addr: SocketAddr, script: Script) -> io::Result<Self> {
        script.check().map_err(|bad| io::Error::new(io::ErrorKind::InvalidInput, bad))?;
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let hub = Arc::new(Hub::new(script));
        // A new cell is empty, so this sets it.
        let _set = hub.origin.set(format!("http://{addr}"));
        let listening = tokio::spawn(listen(Arc::clone(&hub), listener));
        Ok(Self { hub, addr, listening })
    }

    /// `http://127.0.0.1:PORT`
    pub fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves connections that come another way.
    pub fn server(&self) -> Server {
        Server { hub: Arc::clone(&self.hub) }
    }

    /// The record of what arrived.
    pub fn recorder(&self) -> Recorder {
        self.hub.recorder.clone()
    }

    /// Everything that arrived, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.hub.recorder.requests()
    }

    /// Account ids of the requests to `path`, in order; requests without a
    /// known credential are `"-"`. A WebSocket is one request for its handshake
    /// and one for each message.
    pub fn accounts_served(&self, path: &str) -> Vec<String> {
        let at = |recorded: &Recorded| recorded.path.split('?').next() == Some(path);
        self.requests()
            .into_iter()
            .filter(at)
            .map(|recorded| recorded.account.unwrap_or_else(|| "-".into()))
            .collect()
    }

    /// Whether any head or body that arrived held `needle`.
    pub fn saw(&self, needle: &str) -> bool {
        self.hub.recorder.saw(needle)
    }

    /// What a proxy did that it must never do, and which accounts served which
    /// conversation.
    pub fn assertions(&self) -> Assertions {
        self.hub.world().assertions().clone()
    }

    /// Watches for a secret that must never arrive from now on.
    pub fn watch_for(&self, secret: &str) {
        self.hub.world().watch.watch_for(secret);
    }

    /// What a proxy did that it must never do, in words; see
    /// [`FakeUpstream::assertions`].
    pub fn violations(&self) -> Vec<String> {
        self.hub.world().violations()
    }

    /// Sets a fault behind those already set.
    pub fn set_fault(&self, fault: Fault) {
        self.hub.world().faults.set(fault);
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.hub.world().faults.clear();
    }

    /// Reads or changes an account; `None` when there is none of that id.
    pub fn account<R>(&self, id: &str, change: impl FnOnce(&mut Account) -> R) -> Option<R> {
        let now = self.hub.clock.now();
        let mut world = self.hub.world();
        let place = world.place_of(id)?;
        let result = world.accounts.get_mut(place).map(change);
        world.settle(now);
        result
    }

    /// Adds an account, or replaces the one of its id.
    pub fn put_account(&self, account: Account) {
        let now = self.hub.clock.now();
        self.hub.world().put(account, now);
    }

    /// Signs the account in: tokens of a new chain, as a person gets them.
    pub fn login(&self, id: &str, vendor: Vendor) -> Option<Login> {
        let now = self.hub.clock.now();
        let mut world = self.hub.world();
        let place = world.place_of(id)?;
        sign_in(&mut world, place, vendor, now)
    }

    /// Types a device code as the user of the account; `false` when no login
    /// waits for it.
    pub fn approve_device(&self, user_code: &str, id: &str) -> bool {
        self.hub.world().devices.approve(user_code, id)
    }

    /// Refuses a device code; `false` when no login waits for it.
    pub fn deny_device(&self, user_code: &str) -> bool {
        self.hub.world().devices.deny(user_code)
    }

    /// What the token endpoints have done, by refresh token.
    pub fn ledger(&self) -> Ledger {
        self.hub.world().ledger.clone()
    }

    /// The gate of that name, at which stalled replies wait.
    pub fn gate(&self, name: &str) -> Gate {
        self.hub.gates.named(name)
    }

    /// The clock by which tokens expire and windows reset.
    pub fn clock(&self) -> Clock {
        self.hub.clock.clone()
    }

    /// Starts again from the script, with an empty record and no faults.
    pub fn reset(&self) {
        self.hub.reset();
    }

    /// Stops accepting, opens every gate, lets replies under way end for a
    /// second and drops the rest.
    pub async fn shutdown(mut self) {
        self.hub.begin_stop();
        // Whatever is left after the grace is ended by the drop.
        let _ended = tokio::time::timeout(SHUTDOWN_GRACE, &mut self.listening).await;
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
