use crate::engine::breaker::{self, Passage};
use crate::model::{Breaker, BreakerState, Origin, Time};
use std::collections::BTreeMap;
use std::mem;
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
        let new = || Arc::new(Endpoint::new(origin.clone()));
        known.entry(origin.clone()).or_insert_with(new).clone()
    }

    /// Those whose last exchanges have failed, and whether nobody may ask them now.
    pub(super) fn failing(&self, now: Time) -> BTreeMap<String, bool> {
        let known = lock(&self.0);
        let states = known.iter().map(|(origin, endpoint)| (origin.to_string(), *lock(&endpoint.breaker)));
        let failing = states.filter(|(_, breaker)| *breaker != Breaker::default());
        failing.map(|(origin, breaker)| (origin, is_shut(&breaker, now))).collect()
    }
}

/// How one token endpoint does (FLO-10).
#[derive(Debug)]
pub(super) struct Endpoint {
    origin: Origin,
    places: Semaphore,
    breaker: Mutex<Breaker>,
    probing: AtomicBool,
}

/// Leave to ask an endpoint.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    endpoint: &'a Endpoint,
    probe: bool,
    _place: Option<SemaphorePermit<'a>>,
}

impl Endpoint {
    fn new(origin: Origin) -> Self {
        Self {
            origin,
            places: Semaphore::new(EXCHANGES),
            breaker: Mutex::default(),
            probing: AtomicBool::new(false),
        }
    }

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
        let before = mem::take(&mut *lock(&self.endpoint.breaker));
        if before.state != BreakerState::Closed {
            tracing::info!(endpoint = %self.endpoint.origin, "the token endpoint answers again");
        }
    }

    /// It did not.
    pub(super) fn failed(&self, now: Time) {
        let mut breaker = lock(&self.endpoint.breaker);
        let before = *breaker;
        *breaker = breaker::failed(&before, now);
        let (opened, until) = (breaker.opened > before.opened, breaker.state);
        drop(breaker);
        if let (true, BreakerState::Open { until }) = (opened, until) {
            let seconds = now.until(until).as_secs();
            tracing::warn!(endpoint = %self.endpoint.origin, seconds, "the token endpoint fails and is left alone");
        }
    }

    /// Whether another exchange may follow under this leave: not once the endpoint is to be left alone, so that the one
    /// probe is one exchange (FLO-10).
    pub(super) fn may_go_on(&self, now: Time) -> bool {
        !is_shut(&lock(&self.endpoint.breaker), now)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.endpoint.probing.store(false, Ordering::Release);
        }
    }
}

fn is_shut(breaker: &Breaker, now: Time) -> bool {
    match breaker::passage(breaker, now) {
        Passage::Free | Passage::Probe => false,
        Passage::Shut { .. } => true,
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
        let endpoint = endpoint();
        for _ in 0..breaker::FAILURES {
            let leave = endpoint.enter(|| NOW).await.unwrap();
            assert!(leave.may_go_on(NOW));
            leave.failed(NOW);
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

    /// FLO-10
    #[tokio::test]
    async fn a_probe_that_fails_is_one_exchange_and_doubles_the_wait_to_five_minutes() {
        let endpoints = Endpoints::default();
        let origin = Origin::parse("https://id.example.com").unwrap();
        let endpoint = endpoints.of(&origin);
        assert_eq!(endpoints.failing(NOW), BTreeMap::new());
        for _ in 0..breaker::FAILURES {
            endpoint.enter(|| NOW).await.unwrap().failed(NOW);
        }
        let mut now = NOW;
        for wait in [30, 60, 120, 240, 300, 300] {
            assert_eq!(endpoints.failing(now), BTreeMap::from([(origin.to_string(), true)]));
            now = now.after(Duration::from_millis(wait * 1000 - 1));
            assert!(endpoint.enter(|| now).await.is_none(), "{wait} s are not over");
            now = now.after(Duration::from_millis(1));
            assert_eq!(endpoints.failing(now), BTreeMap::from([(origin.to_string(), false)]));
            let probe = endpoint.enter(|| now).await.unwrap();
            probe.failed(now);
            assert!(!probe.may_go_on(now), "the probe is one exchange");
        }
        let later = now.after(Duration::from_secs(300));
        endpoint.enter(|| later).await.unwrap().answered();
        assert_eq!(endpoints.failing(later), BTreeMap::new());
    }

    fn endpoint() -> Endpoint {
        Endpoint::new(Origin::parse("https://id.example.com").unwrap())
    }
}
