//! The time-out of a connection's next head. It is set anew with every request, and nearly never runs out: so all of a
//! connection's share one timer, which is left as it is when a time-out is given up, and moved only when it rings too
//! soon.
use hyper::rt::{Sleep, Timer};
use hyper_util::rt::TokioTimer;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// One connection's timer; it waits for one thing at a time.
#[derive(Debug, Default)]
pub(super) struct Alarm(Bell);

/// None before it is first needed.
#[derive(Clone, Debug, Default)]
struct Bell(Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>);

/// Waits until `deadline`.
struct Wait {
    bell: Bell,
    deadline: tokio::time::Instant,
}

impl Timer for Alarm {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Wait { bell: self.0.clone(), deadline: deadline.into() })
    }

    fn now(&self) -> Instant {
        TokioTimer::new().now()
    }
}

impl Sleep for Wait {}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut bell = self.bell.0.lock().unwrap_or_else(PoisonError::into_inner);
        let timer = bell.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.deadline)));
        if timer.deadline() > self.deadline {
            timer.as_mut().reset(self.deadline);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// PRX-5
    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_when_it_should_whatever_was_waited_for_before() {
        let alarm = Alarm::default();
        let start = alarm.now();
        let given_up = |seconds: u64| {
            let mut wait = alarm.sleep_until(start + Duration::from_secs(seconds));
            assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        };
        for (before, until) in [(10, 30), (60, 40), (20, 20), (90, 70)] {
            // A wait that is in the past already ends at once.
            if start + Duration::from_secs(before) > alarm.now() {
                given_up(before);
            }
            let end = alarm.now().max(start + Duration::from_secs(until));
            alarm.sleep_until(start + Duration::from_secs(until)).await;
            assert_eq!(alarm.now(), end, "{until}");
        }
        alarm.sleep(Duration::from_secs(5)).await;
        assert_eq!(alarm.now(), start + Duration::from_secs(75));
    }
}
