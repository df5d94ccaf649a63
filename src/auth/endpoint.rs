use crate::engine::breaker::{self, Passage};
use crate::model::{Breaker, Origin, Time};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Exchanges under way at one token endpoint: a thousand accounts that expire together are no storm.
const EXCHANGES: usize = 2;

/// Token endpoints that were asked, by origin; as many as presets name.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<BTreeMap<Origin, Arc<Endpoint>>>);

impl Endpoints {
    pub(super) fn of(&self, origin: &Origin) -> Arc<Endpoint> {
        let mut known = lock(&self.0);
        known.entry(origin.clone()).or_default().clone()
    }
}

/// How one token endpoint does (FLO-10).
#[derive(Debug)]
pub(super) struct Endpoint {
    places: Semaphore,
    breaker: Mutex<Breaker>,
    probing: AtomicBool,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { places: Semaphore::new(EXCHANGES), breaker: Mutex::default(), probing: AtomicBool::new(false) }
    }
}

/// Leave to ask an endpoint.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    endpoint: &'a Endpoint,
    probe: bool,
    _place: Option<SemaphorePermit<'a>>,
}

impl Endpoint {
    /// Waits for a place. None while the endpoint's breaker is open, or its probe is under way.
    pub(super) async fn enter(&self, now: impl Fn() -> Time) -> Option<Leave<'_>> {
        // The semaphore is never closed.
        let place = self.places.acquire().await.ok();
        let probe = match breaker::passage(&lock(&self.breaker), now()) {
            Passage::Free => false,
            Passage::Probe if !self.probing.swap(true, Ordering::AcqRel) => true,
            Passage::Probe | Passage::Shut { .. } => return None,
        };
        Some(Leave { endpoint: self, probe, _place: place })
    }
}

impl Leave<'_> {
    /// The endpoint gave a clear answer.
    pub(super) fn answered(&self) {
        *lock(&self.endpoint.breaker) = Breaker::default();
    }

    /// It did not.
    pub(super) fn failed(&self, now: Time) {
        let mut breaker = lock(&self.endpoint.breaker);
        *breaker = breaker::failed(&breaker, now);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.endpoint.probing.store(false, Ordering::Release);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Time = Time::from_secs(1000);

    /// FLO-10
    #[tokio::test]
    async fn a_failing_endpoint_is_left_alone_and_then_asked_by_one() {
        let endpoint = Endpoint::default();
        for _ in 0..breaker::FAILURES {
            endpoint.enter(|| NOW).await.unwrap().failed(NOW);
        }
        assert!(endpoint.enter(|| NOW).await.is_none());
        let later = NOW.after(Duration::from_secs(30));
        let probe = endpoint.enter(|| later).await.unwrap();
        assert!(endpoint.enter(|| later).await.is_none(), "one probe at a time");
        drop(probe);
        endpoint.enter(|| later).await.unwrap().answered();
        let (one, two) = (endpoint.enter(|| later).await, endpoint.enter(|| later).await);
        assert!(one.is_some() && two.is_some());
    }
}
