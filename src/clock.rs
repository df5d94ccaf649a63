//! The one door through which time enters (I2). Everything else is told the time as a parameter.
#![expect(clippy::disallowed_methods, reason = "this is the door")]
use crate::model::Time;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// No sleep is longer than this without reading the clock again: a laptop that slept wakes up late, not never.
const NAP: Duration = Duration::from_secs(30);

/// Where time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// Moved by hand, for tests: nobody waits for it but those who ask it.
    Manual(ManualClock),
    /// The machine's wall clock.
    System,
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> Time {
        match self {
            Self::Manual(clock) => clock.now(),
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }

    /// Returns once it is `wake` or later.
    pub async fn sleep_until(&self, wake: Time) {
        match self {
            Self::Manual(clock) => clock.reach(wake).await,
            Self::System => loop {
                let left = self.now().until(wake);
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(NAP)).await;
            },
        }
    }
}

/// A clock that stands still until it is told to move. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<AtomicU64>,
    moved: watch::Sender<()>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Time) -> Self {
        Self { millis: Arc::new(AtomicU64::new(start.as_millis())), moved: watch::Sender::new(()) }
    }

    /// What it shows.
    pub fn now(&self) -> Time {
        Time::from_millis(self.millis.load(Ordering::SeqCst))
    }

    /// Moves it and wakes whoever waits for a time that has come.
    pub fn set(&self, now: Time) {
        self.millis.store(now.as_millis(), Ordering::SeqCst);
        self.moved.send_replace(());
    }

    /// Moves it forward by `span`.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().after(span));
    }

    /// How many wait for it to be moved.
    pub fn sleepers(&self) -> usize {
        self.moved.receiver_count()
    }

    async fn reach(&self, wake: Time) {
        let mut moved = self.moved.subscribe();
        while self.now() < wake {
            if moved.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A span measured by the monotonic clock: for durations that are reported, never for decisions.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
