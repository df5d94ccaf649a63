//! Named points at which a reply waits until a test lets it go, so that no
//! test has to sleep.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// Most gates that are kept by name.
const MAX_GATES: usize = 1_000;

/// A point at which replies wait. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    open: bool,
    arrived: u64,
}

/// All gates by name.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    named: Mutex<BTreeMap<String, Gate>>,
}

impl Gate {
    fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::default())) }
    }

    /// Lets everybody through, those who wait and those who come.
    pub fn release(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Makes those who come from now on wait.
    pub fn close(&self) {
        self.state.send_modify(|state| state.open = false);
    }

    /// Replies that have come to the gate so far.
    pub fn arrivals(&self) -> u64 {
        self.state.borrow().arrived
    }

    /// Waits until `count` replies have come to the gate.
    pub async fn arrived(&self, count: u64) {
        let mut seen = self.state.subscribe();
        // The sender lives in `self`, so waiting ends only when it is true.
        let _reached = seen.wait_for(|state| state.arrived >= count).await;
    }

    /// Waits at the gate until it is open.
    pub(crate) async fn pass(self) {
        let mut seen = self.state.subscribe();
        self.state.send_modify(|state| state.arrived += 1);
        let _opened = seen.wait_for(|state| state.open).await;
    }
}

impl Gates {
    /// The gate of that name, closed when it is new. Beyond the cap it is a
    /// gate of its own that is open, so that nothing waits for ever.
    pub(crate) fn named(&self, name: &str) -> Gate {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = named.get(name) {
            return gate.clone();
        }
        let gate = Gate::new();
        if named.len() >= MAX_GATES {
            gate.release();
            return gate;
        }
        named.insert(name.to_owned(), gate.clone());
        gate
    }

    /// Opens every gate and forgets it.
    pub(crate) fn clear(&self) {
        let named = std::mem::take(&mut *self.named.lock().unwrap_or_else(PoisonError::into_inner));
        named.values().for_each(Gate::release);
    }
}
