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

    /// Returns once it is `wake` or later, or as much time has passed as there was left until then: a wall clock that is
    /// put back keeps nobody waiting. Who must not be early looks at the time again.
    pub async fn sleep_until(&self, wake: Time) {
        match self {
            Self::Manual(clock) => clock.reach(wake).await,
            Self::System => {
                let (asked, span) = (Stopwatch::start(), self.now().until(wake));
                loop {
                    let left = self.now().until(wake).min(span.saturating_sub(asked.elapsed()));
                    if left.is_zero() {
                        return;
                    }
                    tokio::time::sleep(left.min(NAP)).await;
                }
            }
        }
    }
}

/// A clock that stands still until it is told to move. Clones share the time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<AtomicU64>,
    /// What a monotonic clock would show.
    passed: Arc<AtomicU64>,
    moved: watch::Sender<()>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Time) -> Self {
        let moved = watch::Sender::new(());
        Self { millis: Arc::new(AtomicU64::new(start.as_millis())), passed: Arc::default(), moved }
    }

    /// What it shows.
    pub fn now(&self) -> Time {
        Time::from_millis(self.millis.load(Ordering::SeqCst))
    }

    /// Sets the wall clock, forward or back, while no time passes, and wakes whoever waits for a time that has come.
    pub fn set(&self, now: Time) {
        self.millis.store(now.as_millis(), Ordering::SeqCst);
        self.moved.send_replace(());
    }

    /// Lets `span` pass.
    pub fn advance(&self, span: Duration) {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        self.passed.fetch_add(millis, Ordering::SeqCst);
        self.set(self.now().after(span));
    }

    /// How many wait for it to be moved.
    pub fn sleepers(&self) -> usize {
        self.moved.receiver_count()
    }

    async fn reach(&self, wake: Time) {
        let mut moved = self.moved.subscribe();
        let passed = || Time::from_millis(self.passed.load(Ordering::SeqCst));
        let latest = passed().after(self.now().until(wake));
        while self.now() < wake && passed() < latest {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    /// T5
    #[tokio::test]
    async fn a_sleeper_is_woken_by_the_wall_clock_or_by_the_time_that_passed() {
        let forward = ManualClock::new(NOW);
        let sleeping = asleep(&forward);
        forward.set(NOW.after(MINUTE));
        sleeping.await.unwrap();
        let back = ManualClock::new(NOW);
        let sleeping = asleep(&back);
        back.set(Time::default());
        tokio::task::yield_now().await;
        assert!(!sleeping.is_finished(), "a clock that is put back wakes nobody");
        back.advance(MINUTE);
        sleeping.await.unwrap();
        assert_eq!(back.now(), Time::default().after(MINUTE));
    }

    /// Sleeps until a minute from now, and has begun to.
    fn asleep(clock: &ManualClock) -> tokio::task::JoinHandle<()> {
        let mut sleep = Box::pin({
            let clock = Clock::Manual(clock.clone());
            async move { clock.sleep_until(NOW.after(MINUTE)).await }
        });
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sleep.as_mut().poll(&mut context).is_pending());
        tokio::spawn(sleep)
    }
}
