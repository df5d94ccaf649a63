//! The two circuit breakers as values: the one that counts failures of an endpoint (FLO-10; providers here, token
//! endpoints in the refresher), and the one that stops a cascade of dead credentials (FLO-5). Nothing here holds
//! state: the caller keeps the value that comes back.
use super::backoff::doubled;
use crate::model::{Breaker, BreakerState, Time};
use std::time::Duration;

/// Failures in a row that open a closed breaker.
pub const FAILURES: u32 = 5;
/// How long it stays open the first time; doubled by every failed probe.
pub const OPEN_FIRST: Duration = Duration::from_secs(30);
/// How long it stays open at most.
pub const OPEN_LONGEST: Duration = Duration::from_secs(300);
/// Dead credentials of one subscription provider within [`DEATH_WINDOW`] before it is left alone.
pub const DEATHS: usize = 2;
/// See [`DEATHS`].
pub const DEATH_WINDOW: Duration = Duration::from_secs(600);

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// Everything.
    Free,
    /// One request at a time, to see whether the endpoint is back: the breaker is half-open.
    Probe,
    /// Nothing should pass before this time. Among a provider's accounts one request at a time passes all the same,
    /// because inference may leave no request without one (SEL-9); a token endpoint can wait.
    Shut {
        /// When it is half-open.
        until: Time,
    },
}

/// See [`Passage`].
pub fn passage(breaker: &Breaker, now: Time) -> Passage {
    match breaker.state {
        BreakerState::Closed => Passage::Free,
        // An end further away than it is ever open for was set by a clock that ran ahead.
        BreakerState::Open { until } if until > now && until <= now.after(OPEN_LONGEST) => {
            Passage::Shut { until }
        }
        BreakerState::Open { .. } => Passage::Probe,
    }
}

/// The breaker after one more failure. While it is open, late answers and escapes change nothing: only the failure of
/// a half-open probe opens it again, for twice as long.
pub fn failed(breaker: &Breaker, now: Time) -> Breaker {
    match passage(breaker, now) {
        Passage::Free if breaker.failures + 1 < FAILURES => {
            Breaker { failures: breaker.failures + 1, ..*breaker }
        }
        Passage::Free | Passage::Probe => open(breaker.opened.saturating_add(1), now),
        Passage::Shut { .. } => *breaker,
    }
}

fn open(opened: u32, now: Time) -> Breaker {
    let until = now.after(doubled(OPEN_FIRST, opened, OPEN_LONGEST));
    Breaker { state: BreakerState::Open { until }, failures: 0, opened }
}

/// Until when a provider is left alone because of the `deaths` of its credentials (newest last): two within ten
/// minutes, and no token of it is shown upstream until the first of them is ten minutes old.
pub fn cut_off(deaths: &[Time], now: Time) -> Option<Time> {
    let first = deaths.len().checked_sub(DEATHS)?;
    let until = deaths.get(first)?.after(DEATH_WINDOW);
    // A death that lies further ahead than clocks of two threads differ was noted by a clock that ran ahead.
    (until > now && until <= now.after(DEATH_WINDOW * 2)).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// FLO-10
    #[test]
    fn five_failures_open_it_and_every_failed_probe_doubles_the_wait_to_five_minutes() {
        let mut now = Time::from_secs(1000);
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker = failed(&breaker, now);
            assert_eq!(passage(&breaker, now), Passage::Free);
        }
        let mut waits = Vec::new();
        for _ in 0..6 {
            breaker = failed(&breaker, now);
            let Passage::Shut { until } = passage(&breaker, now) else {
                panic!("open after {waits:?}");
            };
            assert_eq!(failed(&breaker, now), breaker, "late answers change nothing");
            waits.push(now.until(until).as_secs());
            now = until;
            assert_eq!(passage(&breaker, now), Passage::Probe);
        }
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
    }

    /// FLO-5
    #[test]
    fn two_deaths_in_ten_minutes_cut_a_provider_off_until_the_first_is_ten_minutes_old() {
        let at = Time::from_secs;
        for (deaths, now, expected) in [
            (vec![], 1000, None),
            (vec![1000], 1000, None),
            (vec![1000, 1300], 1300, Some(1600)),
            (vec![1000, 1300], 1599, Some(1600)),
            (vec![1000, 1300], 1600, None),
            (vec![1000, 1900], 1900, None),
        ] {
            let deaths: Vec<Time> = deaths.into_iter().map(at).collect();
            assert_eq!(cut_off(&deaths, at(now)), expected.map(at), "{deaths:?} at {now}");
        }
    }

    proptest! {
        /// FLO-10
        #[test]
        fn whatever_fails_when_it_is_never_shut_for_longer_than_five_minutes(steps in prop::collection::vec(0u64..400_000, 0..60)) {
            let mut now = Time::from_secs(1000);
            let mut breaker = Breaker::default();
            for step in steps {
                now = now.after(Duration::from_millis(step));
                breaker = failed(&breaker, now);
                prop_assert!(breaker.failures < FAILURES);
                if let Passage::Shut { until } = passage(&breaker, now) {
                    prop_assert!(now.until(until) <= OPEN_LONGEST);
                }
            }
        }
    }
}
