//! The one place here that reads a clock or waits for it. The monotonic clock is the same in every process of a machine,
//! so that an upstream can stamp an event and a client can say how old it is.
use std::time::Duration;

/// A moment, in nanoseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    /// What lies between `earlier` and this, in nanoseconds; 0 where it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This and `span` more.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Stops this thread until `until`; not at all where that has passed.
#[expect(clippy::disallowed_methods, reason = "a load at a fixed rate is made by waiting")]
pub fn sleep_until(until: Moment) {
    let left = until.since(Moment::now());
    if left > 0 {
        std::thread::sleep(Duration::from_nanos(left));
    }
}
