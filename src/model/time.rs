use std::time::Duration;

/// Milliseconds since the Unix epoch: the only time the core knows. Wall time, because resets come as wall times and
/// cooldowns outlive the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The time `secs` seconds after the epoch; saturates.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// This time plus `delay`; saturates at the end of time.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(millis(delay)))
    }

    /// This time less `lead`; saturates at the epoch.
    #[must_use]
    pub fn before(self, lead: Duration) -> Self {
        Self(self.0.saturating_sub(millis(lead)))
    }

    /// The span from here to `later`; zero when `later` has passed.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// I2
        #[test]
        fn no_span_however_long_overflows(at: u64, secs: u64) {
            let (at, span) = (Time::from_millis(at), Duration::from_secs(secs));
            prop_assert!(at.after(span) >= at);
            prop_assert!(at.before(span) <= at);
            prop_assert_eq!(at.until(at.before(span)), Duration::ZERO);
        }

        #[test]
        fn the_span_until_a_later_time_leads_there(at in 0..u64::MAX / 2, millis in 0..u64::MAX / 4) {
            let at = Time::from_millis(at);
            let later = at.after(Duration::from_millis(millis));
            prop_assert_eq!(at.after(at.until(later)), later);
            prop_assert_eq!(later.before(at.until(later)), at);
        }
    }
}
