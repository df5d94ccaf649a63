//! Who is at work right now: in-flight counts by account and the one probe per half-open provider. A lease is a guard;
//! there is no other way to give one back, so no early return and no hang-up can leak one.
use crate::engine::Admission;
use crate::model::{AccountId, ProviderId, Time};
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// All leases. Bounded by the accounts and providers there are.
#[derive(Clone, Debug, Default)]
pub struct Leases {
    accounts: Arc<DashMap<AccountId, Slot>>,
    probes: Arc<DashMap<ProviderId, Arc<AtomicU32>>>,
}

/// What is known of one account.
#[derive(Clone, Debug, Default)]
struct Slot {
    held: Arc<AtomicU32>,
    /// Milliseconds since the epoch; 0 is never.
    last: Arc<AtomicU64>,
}

/// One request on one account. Dropping it gives the place back.
#[derive(Debug)]
pub struct Lease {
    account: Arc<AtomicU32>,
    probe: Option<Arc<AtomicU32>>,
}

impl Leases {
    /// Takes a place on `account` under the decision's admission; none where it is full.
    pub fn take(
        &self,
        account: AccountId,
        provider: &ProviderId,
        admission: Admission,
        now: Time,
    ) -> Option<Lease> {
        let most = match admission {
            Admission::Cap(most) => most,
            Admission::Free | Admission::ProviderProbe => u32::MAX,
        };
        let probe = match admission {
            Admission::ProviderProbe => {
                let probe = self.probes.entry(provider.clone()).or_default().clone();
                Some(Place::take(probe, 1)?)
            }
            Admission::Cap(_) | Admission::Free => None,
        };
        let Slot { held, last } = self.accounts.entry(account).or_default().clone();
        let place = Place::take(held, most)?;
        last.store(now.as_millis(), Ordering::Relaxed);
        Some(Lease { account: place.keep(), probe: probe.map(Place::keep) })
    }

    /// Requests on the account now.
    pub fn on_account(&self, account: AccountId) -> u32 {
        self.accounts.get(&account).map_or(0, |slot| slot.held.load(Ordering::Relaxed))
    }

    /// When a request was last given to the account, since this process started.
    pub fn last_used(&self, account: AccountId) -> Option<Time> {
        let millis = self.accounts.get(&account)?.last.load(Ordering::Relaxed);
        (millis > 0).then(|| Time::from_millis(millis))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.account.fetch_sub(1, Ordering::AcqRel);
        if let Some(probe) = &self.probe {
            probe.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// A counter raised by one, lowered again unless it is kept.
struct Place(Option<Arc<AtomicU32>>);

impl Place {
    fn take(counter: Arc<AtomicU32>, most: u32) -> Option<Self> {
        let raised = counter
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |held| (held < most).then_some(held + 1));
        raised.ok().map(|_| Self(Some(counter)))
    }

    fn keep(mut self) -> Arc<AtomicU32> {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(counter) = self.0.take() {
            counter.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(7);

    /// SEL-11
    #[test]
    fn a_cap_holds_and_a_dropped_lease_makes_room() {
        let leases = Leases::default();
        let one = leases.take(AccountId(1), &provider(), Admission::Cap(1), NOW);
        assert!(one.is_some());
        assert!(leases.take(AccountId(1), &provider(), Admission::Cap(1), NOW).is_none());
        drop(one);
        assert_eq!(leases.on_account(AccountId(1)), 0);
        assert_eq!((leases.last_used(AccountId(1)), leases.last_used(AccountId(2))), (Some(NOW), None));
        assert!(leases.take(AccountId(1), &provider(), Admission::Cap(1), NOW).is_some());
    }

    /// FLO-10
    #[test]
    fn a_provider_has_one_probe_at_a_time_whatever_the_account() {
        let leases = Leases::default();
        let probe = leases.take(AccountId(1), &provider(), Admission::ProviderProbe, NOW);
        assert!(probe.is_some());
        assert!(leases.take(AccountId(2), &provider(), Admission::ProviderProbe, NOW).is_none());
        assert_eq!(leases.on_account(AccountId(2)), 0, "a place not taken leaves no trace");
        drop(probe);
        assert!(leases.take(AccountId(2), &provider(), Admission::ProviderProbe, NOW).is_some());
    }

    fn provider() -> ProviderId {
        ProviderId::try_from("p").expect("a provider id")
    }
}
