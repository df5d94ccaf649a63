use crate::clock::Clock;
use crate::engine::spread;
use crate::model::{AccountId, Time};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between questions about two accounts of one provider, also where a person has asked for both; as long again at most.
const CALM: Duration = Duration::from_secs(1);

/// The way to one provider: one question at a time, with a moment between two accounts.
pub(super) struct Lane {
    place: Arc<Semaphore>,
    last: Arc<Mutex<Option<Last>>>,
}

/// Who was asked about last, and when the next account may be.
#[derive(Clone, Copy)]
struct Last {
    account: AccountId,
    free: Time,
}

/// The right to ask now. Dropping it gives the way to the next, a moment later.
pub(super) struct Turn {
    last: Arc<Mutex<Option<Last>>>,
    clock: Clock,
    account: AccountId,
    _place: OwnedSemaphorePermit,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), last: Arc::default() }
    }

    /// Waits for a turn; none once the process ends.
    pub(super) async fn enter(&self, account: AccountId, clock: &Clock) -> Option<Turn> {
        let place = Arc::clone(&self.place).acquire_owned().await.ok()?;
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = last.filter(|last| last.account != account) {
            // A moment that lies further ahead was set by a clock that ran ahead.
            clock.sleep_until(last.free.min(clock.now().after(CALM * 2))).await;
        }
        Some(Turn { last: Arc::clone(&self.last), clock: clock.clone(), account, _place: place })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = self.clock.now();
        let account = self.account;
        let calm = CALM + CALM.mul_f64(spread(u64::from(account.0), now.as_secs()));
        let last = Last { account, free: now.after(calm) };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}
