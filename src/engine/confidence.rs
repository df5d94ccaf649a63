use crate::model::{Limits, Time};
use std::time::Duration;

const FRESH: Duration = Duration::from_secs(5 * 60);
const STALE: Duration = Duration::from_secs(60 * 60);

/// How far shown limits can be trusted (LIM-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Younger than an hour, but a later attempt to learn them failed.
    Error,
    /// Younger than five minutes.
    Fresh,
    /// Younger than an hour.
    Stale,
    /// Older, never seen, or noted by a clock that ran ahead.
    Unknown,
}

impl Confidence {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Unknown => "unknown",
        }
    }
}

/// See [`Confidence`]. Computed when asked, from the age of the last success; never stored.
pub fn confidence(limits: &Limits, now: Time) -> Confidence {
    let Some(seen) = limits.latest.as_ref().map(|sample| sample.at) else {
        return Confidence::Unknown;
    };
    let age = seen.until(now);
    if age >= STALE || now.until(seen) >= FRESH {
        return Confidence::Unknown;
    }
    if limits.failed.is_some_and(|failed| failed > seen) {
        return Confidence::Error;
    }
    if age < FRESH { Confidence::Fresh } else { Confidence::Stale }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::world::{START, left};
    use proptest::prelude::*;

    proptest! {
        /// LIM-3
        #[test]
        fn without_failures_trust_only_falls(age in 0u64..10_000_000, more in 0u64..10_000_000) {
            let limits = seen_at(START, None);
            let at = |millis| confidence(&limits, START.after(Duration::from_millis(millis)));
            prop_assert!(at(age) <= at(age + more));
            prop_assert!(at(age) != Confidence::Error);
        }
    }

    /// LIM-3
    #[test]
    fn trust_in_limits_falls_with_age_and_with_a_later_failure() {
        let seen = 10_000u64;
        for (age, failed_after, expected) in [
            (0, None, Confidence::Fresh),
            (299_999, None, Confidence::Fresh),
            (300_000, None, Confidence::Stale),
            (3_599_999, None, Confidence::Stale),
            (3_600_000, None, Confidence::Unknown),
            (1000, Some(500), Confidence::Error),
            (400_000, Some(500), Confidence::Error),
            (1000, Some(-500), Confidence::Fresh),
            (3_600_000, Some(500), Confidence::Unknown),
        ] {
            let failed =
                failed_after.and_then(|offset| seen.checked_add_signed(offset)).map(Time::from_millis);
            let limits = seen_at(Time::from_millis(seen), failed);
            let shown = confidence(&limits, Time::from_millis(seen + age));
            assert_eq!(shown, expected, "{age} ms old, failed {failed_after:?} ms later");
        }
        for (ahead, expected) in [
            (1, Confidence::Fresh),
            (299_999, Confidence::Fresh),
            (300_000, Confidence::Unknown),
            (u64::MAX / 2, Confidence::Unknown),
        ] {
            let limits = seen_at(Time::from_millis(seen + ahead), None);
            let shown = confidence(&limits, Time::from_millis(seen));
            assert_eq!(shown, expected, "noted {ahead} ms ahead");
        }
        assert_eq!(
            confidence(&Limits::default(), Time::from_secs(1)),
            Confidence::Unknown,
            "never seen is unknown, not zero"
        );
    }

    fn seen_at(at: Time, failed: Option<Time>) -> Limits {
        Limits { latest: Some(left(50.0, at, None)), failed, ..Limits::default() }
    }
}
