use crate::clock::Clock;
use crate::engine::spread;
use crate::model::{AccountId, Time};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between two questions to one provider, also where a person has asked for both; as long again at most.
const CALM: Duration = Duration::from_secs(1);

/// The way to one provider: one question at a time, with a moment between two, whomever they are about.
pub(super) struct Lane {
    place: Arc<Semaphore>,
    /// When the next question may be put.
    free: Arc<Mutex<Option<Time>>>,
}

/// The right to ask now. Dropping it gives the way to the next, a moment later.
pub(super) struct Turn {
    free: Arc<Mutex<Option<Time>>>,
    clock: Clock,
    account: AccountId,
    _place: OwnedSemaphorePermit,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), free: Arc::default() }
    }

    /// Waits for a turn; none once the process ends.
    pub(super) async fn enter(&self, account: AccountId, clock: &Clock) -> Option<Turn> {
        let place = Arc::clone(&self.place).acquire_owned().await.ok()?;
        let free = *self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free) = free {
            // A moment that lies further ahead was set by a clock that ran ahead.
            clock.sleep_until(free.min(clock.now().after(CALM * 2))).await;
        }
        Some(Turn { free: Arc::clone(&self.free), clock: clock.clone(), account, _place: place })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let now = self.clock.now();
        let calm = CALM + CALM.mul_f64(spread(u64::from(self.account.0), now.as_secs()));
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.after(calm));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::pin::pin;
    use std::task::{Context, Waker};

    const NOW: Time = Time::from_secs(1_800_000_000);
    const ONE: AccountId = AccountId(1);

    /// LIM-4: also where the same account is asked about again, and where the clock was put back meanwhile.
    #[tokio::test]
    async fn a_moment_passes_between_any_two_questions() {
        for (next, put_back) in [(ONE, 0), (AccountId(2), 0), (ONE, 86_400), (AccountId(2), 86_400)] {
            let (lane, manual) = (Lane::new(), ManualClock::new(NOW));
            let clock = Clock::Manual(manual.clone());
            drop(lane.enter(ONE, &clock).await);
            manual.set(NOW.before(Duration::from_secs(put_back)));
            let mut second = pin!(lane.enter(next, &clock));
            let mut context = Context::from_waker(Waker::noop());
            assert!(second.as_mut().poll(&mut context).is_pending(), "{next:?}, {put_back} s back");
            manual.advance(CALM.mul_f64(0.9));
            assert!(second.as_mut().poll(&mut context).is_pending(), "{next:?}, {put_back} s back");
            manual.advance(CALM * 2);
            assert!(second.await.is_some(), "{next:?}, {put_back} s back");
        }
    }
}
