//! What all connections share.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::gate::Gates;
use crate::recorder::Recorder;
use crate::script::Script;
use crate::serve::Here;
use crate::world::World;

/// Shared by every connection of one fake.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) clock: Clock,
    pub(crate) recorder: Recorder,
    pub(crate) gates: Gates,
    /// `http://127.0.0.1:PORT`, set once the listener is bound.
    pub(crate) origin: OnceLock<String>,
    stop: watch::Sender<bool>,
    world: Mutex<World>,
}

impl Hub {
    pub(crate) fn new(script: Script) -> Self {
        let clock = Clock::new(script.clock_ms);
        let world = World::new(script, clock.now());
        Self {
            clock,
            recorder: Recorder::new(),
            gates: Gates::default(),
            origin: OnceLock::new(),
            stop: watch::Sender::new(false),
            world: Mutex::new(world),
        }
    }

    /// The state. Never hold it across an await.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where and when a request is answered.
    pub(crate) fn here(&self) -> Here<'_> {
        Here { origin: self.origin.get().map(String::as_str).unwrap_or_default(), now: self.clock.now() }
    }

    /// Starts again from the script; the clock, the gates and the record too.
    pub(crate) fn reset(&self) {
        let script = self.world().script.clone();
        *self.world() = World::new(script, self.clock.now());
        self.gates.clear();
        self.recorder.clear();
    }

    pub(crate) fn begin_stop(&self) {
        self.stop.send_replace(true);
        self.gates.clear();
    }

    /// Waits until the fake is told to stop.
    pub(crate) async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives in `self`, so waiting ends only when it is true.
        let _stopped = stop.wait_for(|stopped| *stopped).await;
    }
}
