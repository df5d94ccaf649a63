//! Waits that grow, and the hash that stands in for chance. Nothing here remembers anything.
use crate::model::{AccountId, Renewal, Time};
use std::time::Duration;

/// The default rest after the first strike; it doubles with each further one.
const FIRST: Duration = Duration::from_secs(30);
/// The longest default rest.
const LONGEST: Duration = Duration::from_secs(300);
/// The wait after the first failed renewal: an authority that is down is asked once a minute and account at most.
const RENEWAL_FIRST: Duration = Duration::from_secs(60);
/// The longest wait between renewals (REN-1).
const RENEWAL_LONGEST: Duration = Duration::from_secs(1800);

/// The rest of an account after its `strikes`-th fault in a row, where the upstream named none: 30 s doubling to five
/// minutes, shortened by up to a fifth so that accounts do not return in step. Never longer than the longest.
pub(super) fn rest(account: AccountId, strikes: u32) -> Duration {
    let whole = doubled(FIRST, strikes, LONGEST);
    whole.mul_f64(1.0 - 0.2 * spread(u64::from(account.0), u64::from(strikes)))
}

/// The rest that follows one of `last`, where an account keeps no count: twice as long, within the same bounds.
pub(super) fn longer(last: Duration) -> Duration {
    last.saturating_mul(2).clamp(FIRST, LONGEST)
}

/// The wait after the `failures`-th failed renewal in a row: 30 s · 2ⁿ up to half an hour (REN-1).
pub(super) fn renewal(failures: u32) -> Duration {
    doubled(RENEWAL_FIRST, failures, RENEWAL_LONGEST)
}

/// Until when renewing is left alone. An end that lies further away than any wait was set by a clock that ran ahead, and
/// is none.
pub(super) fn waits(renewal: &Renewal, now: Time) -> Option<Time> {
    renewal.not_before.filter(|until| *until > now && *until <= now.after(RENEWAL_LONGEST))
}

/// `first` for step 1, twice as much for each further step, `longest` at most. Step 0 counts as 1.
pub(super) fn doubled(first: Duration, step: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << step.saturating_sub(1).min(30)).min(longest)
}

/// A number in [0, 1) that looks random and is a function of its arguments.
pub fn spread(a: u64, b: u64) -> f64 {
    (hash(a, b) >> 11) as f64 / (1u64 << 53) as f64
}

/// Sixty-four well-mixed bits of two numbers (the finalizer of splitmix64 over both).
pub(super) fn hash(a: u64, b: u64) -> u64 {
    mix(mix(a.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_add(b))
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// REN-1
    #[test]
    fn renewals_back_off_from_a_minute_to_half_an_hour() {
        let waits: Vec<u64> = (1..=8).map(|n| renewal(n).as_secs()).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 1800, 1800]);
    }

    /// T5
    #[test]
    fn a_wait_ends_with_the_clock_that_set_it() {
        let now = Time::from_secs(1_000_000);
        for (until, waiting) in
            [(-1, false), (0, false), (1, true), (1800, true), (1801, false), (315_000_000, false)]
        {
            let until = Time::from_secs(now.as_secs().saturating_add_signed(until));
            let renewal = Renewal { failures: 1, not_before: Some(until) };
            assert_eq!(waits(&renewal, now), waiting.then_some(until), "{until:?}");
        }
        assert_eq!(waits(&Renewal::default(), now), None);
    }

    proptest! {
        /// FLO-4
        #[test]
        fn a_default_rest_grows_and_keeps_its_bounds_jitter_included(id in any::<u32>(), strikes in any::<u32>()) {
            let wait = rest(AccountId(id), strikes);
            prop_assert!(wait >= FIRST.mul_f64(0.8) && wait <= LONGEST);
            prop_assert!(rest(AccountId(id), strikes.saturating_add(1)) >= wait.mul_f64(0.8));
            prop_assert_eq!(rest(AccountId(id), strikes), wait, "chance is a hash");
        }

        /// FLO-4
        #[test]
        fn a_longer_rest_is_longer_until_the_longest(millis in 0u64..1_000_000) {
            let last = Duration::from_millis(millis);
            prop_assert!(longer(last) == LONGEST || longer(last) >= last);
            prop_assert!(longer(last) >= FIRST && longer(last) <= LONGEST);
        }

        #[test]
        fn the_spread_stays_below_one(a in any::<u64>(), b in any::<u64>()) {
            prop_assert!((0.0..1.0).contains(&spread(a, b)));
        }
    }
}
