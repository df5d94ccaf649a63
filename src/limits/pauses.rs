use crate::model::{AccountId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// A provider that asks to be left alone is left alone for at most this long, whatever it says.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2 * 3600);

/// Accounts whose provider asked to be left alone, and until when.
#[derive(Default)]
pub(super) struct Pauses(BTreeMap<AccountId, Time>);

impl Pauses {
    pub(super) fn begin(&mut self, account: AccountId, until: Time) {
        self.0.insert(account, until);
    }

    pub(super) fn end(&mut self, account: AccountId) {
        self.0.remove(&account);
    }

    /// Until when the account's provider is left alone. An end that is further off than any pause is long was noted by
    /// a clock that ran ahead: it comes after the longest pause from now.
    pub(super) fn until(&mut self, account: AccountId, now: Time) -> Option<Time> {
        let until = self.0.get_mut(&account)?;
        *until = (*until).min(now.after(LONGEST_PAUSE));
        (*until > now).then_some(*until)
    }

    /// Forgets those of accounts that are gone.
    pub(super) fn retain(&mut self, there_is: impl Fn(AccountId) -> bool) {
        self.0.retain(|account, _| there_is(*account));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);
    const ONE: AccountId = AccountId(1);

    /// LIM-4
    #[test]
    fn a_pause_ends_when_it_was_to_end_and_none_outlives_a_clock_that_ran_ahead() {
        let minute = Duration::from_secs(60);
        for (noted, left) in
            [(minute, minute), (LONGEST_PAUSE, LONGEST_PAUSE), (LONGEST_PAUSE * 1000, LONGEST_PAUSE)]
        {
            let mut pauses = Pauses::default();
            pauses.begin(ONE, NOW.after(noted));
            let end = NOW.after(left);
            assert_eq!(pauses.until(ONE, NOW), Some(end), "{noted:?}");
            assert_eq!(pauses.until(ONE, end.before(Duration::from_millis(1))), Some(end), "{noted:?}");
            assert_eq!(pauses.until(ONE, end), None, "{noted:?}");
        }
    }

    #[test]
    fn a_pause_is_its_accounts_own_and_goes_with_it() {
        let mut pauses = Pauses::default();
        pauses.begin(ONE, NOW.after(LONGEST_PAUSE));
        pauses.begin(AccountId(2), NOW.after(LONGEST_PAUSE));
        pauses.end(AccountId(2));
        assert_eq!(pauses.until(AccountId(2), NOW), None);
        assert!(pauses.until(ONE, NOW).is_some());
        pauses.retain(|account| account != ONE);
        assert_eq!(pauses.until(ONE, NOW), None);
    }
}
