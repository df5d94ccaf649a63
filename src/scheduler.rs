//! The background hand: asks the engine what is due, has it done, sleeps until the next.
use crate::app::App;
use crate::engine::{Command, due};
use crate::model::{AccountId, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The longest sleep: a laptop that was suspended is noticed within this.
const NAP: Duration = Duration::from_secs(30);
/// The shortest span between two scheduled renewals of one account, whatever the engine says: a renewal that could not
/// even be tried (a lock that cannot be had, a disk that is full) must not become a loop.
const BREATH: Duration = Duration::from_secs(30);

/// Runs until `stop` turns true. Renewals under way go on in tasks of the refresher's own. A round that panics is
/// followed by another: accounts must not grow stale because one of them is odd.
pub async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let tended = tokio::spawn(tend(Arc::clone(&app), stop.clone())).await;
        if tended.is_ok() {
            return;
        }
        tokio::select! {
            () = app.clock.sleep_until(app.clock.now().after(BREATH)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn tend(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let mut marks = app.state.marks();
    let mut started: BTreeMap<AccountId, Time> = BTreeMap::new();
    let mut flights = JoinSet::new();
    loop {
        marks.mark_unchanged();
        let now = app.clock.now();
        let world = app.state.snapshot();
        let due = due(&world, now);
        if due.expire {
            // The only way this is turned down is that somebody else did it first.
            let _ = app.state.apply(Command::TimePassed);
        }
        started.retain(|_, at| is_recent(*at, now));
        for (account, version) in due.renew {
            if started.contains_key(&account) {
                continue;
            }
            started.insert(account, now);
            let app = Arc::clone(&app);
            flights.spawn(async move { app.refresher.refresh(account, version).await });
        }
        let wake = due.wake.unwrap_or(now.after(NAP)).min(now.after(NAP));
        tokio::select! {
            () = app.clock.sleep_until(wake) => {}
            changed = marks.changed() => if changed.is_err() { return },
            Some(_) = flights.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// True within a breath of `at`. What was started in the future was started before the clock was put back.
fn is_recent(at: Time, now: Time) -> bool {
    at <= now && now < at.after(BREATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T5
    #[test]
    fn a_clock_that_was_put_back_does_not_put_renewals_off() {
        let at = Time::from_secs(1_000_000);
        for (now, recent) in
            [(999_999, false), (1_000_000, true), (1_000_029, true), (1_000_030, false), (0, false)]
        {
            assert_eq!(is_recent(at, Time::from_secs(now)), recent, "{now}");
        }
    }
}
