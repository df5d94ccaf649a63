//! The background hand: asks the engine what is due, has it done, sleeps until the next.
use crate::affinity::{Pin, Tended};
use crate::app::App;
use crate::engine::{Command, due};
use crate::model::{AccountId, AuditAction, Force, Snapshot, Time};
use crate::telemetry::SessionEvent;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The longest sleep: a laptop that was suspended is noticed within this.
const NAP: Duration = Duration::from_secs(30);
/// Who may be taken is found out anew no more often than this as time passes; until then every account is looked at.
const GLANCE: Duration = Duration::from_secs(1);
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
    let mut force = app.state.snapshot().force.clone();
    let mut heard = app.state.snapshot().audit.last();
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
        app.prober.tend(&due.probe);
        spread_anew(&app, &world, &mut force);
        tell(&app, &world, &mut heard);
        let sessions = tend_sessions(&app, &world, now);
        app.state.look_again();
        let looks = app.state.snapshot().index.until.max(now.after(GLANCE));
        let wake = [due.wake, sessions, Some(looks)].into_iter().flatten().fold(now.after(NAP), Time::min);
        tokio::select! {
            () = app.clock.sleep_until(wake) => {}
            () = app.affinity.sooner() => {}
            changed = marks.changed() => if changed.is_err() { return },
            Some(_) = flights.join_next() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// The log has every change of the audit trail; a force that ended by itself is also counted (FRC-2).
fn tell(app: &App, world: &Snapshot, heard: &mut u64) {
    for entry in world.audit.since(*heard) {
        let (actor, action, subject) = (entry.actor.as_str(), entry.action.as_str(), entry.target.as_str());
        let (before, after, reason) =
            (entry.before.as_deref(), entry.after.as_deref(), entry.reason.as_deref());
        if entry.action == AuditAction::ForceEnded {
            let strategy = world.settings.strategy.as_str();
            app.telemetry.force_ended(reason.unwrap_or_default());
            tracing::warn!(
                account = subject,
                reason,
                strategy,
                "the force has ended: the strategy decides again"
            );
        } else {
            tracing::info!(actor, action, subject, before, after, reason, "changed");
        }
    }
    *heard = world.audit.last();
}

/// A force that is new decides where its provider's sessions are: what they were on is forgotten, so that each finds its
/// place anew once it has ended.
fn spread_anew(app: &App, world: &Snapshot, known: &mut Option<Force>) {
    if *known == world.force {
        return;
    }
    known.clone_from(&world.force);
    let account = world.force.as_ref().and_then(|force| world.account(force.account));
    if let Some(account) = account {
        app.affinity.clear_provider(&account.provider);
    }
}

/// Tells which sessions lose their account, and which have lost it (PRX-5). Returns when to ask again.
fn tend_sessions(app: &App, world: &Snapshot, now: Time) -> Option<Time> {
    let Tended { warned, ended, wake } = app.affinity.tend(now);
    for (event, pins) in [(SessionEvent::Warned, warned), (SessionEvent::Ended, ended)] {
        for pin in pins {
            app.telemetry.session(event, &pin.provider);
            log(event, &pin, world);
        }
    }
    wake
}

/// The client's own id is nobody's business: the session is named as `GET /api/sessions` names it.
fn log(event: SessionEvent, pin: &Pin, world: &Snapshot) {
    let account = world.account(pin.account).map_or("(removed)", |account| account.alias.as_str());
    let Pin { provider, session, .. } = pin;
    let (key, kind) = (pin.key(), session.kind());
    match event {
        SessionEvent::Ended => {
            tracing::info!(%provider, kind, session = key, account, "the session has lost its account");
        }
        SessionEvent::Warned => {
            tracing::info!(%provider, kind, session = key, account, "the session loses its account soon");
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
    use crate::app::bench::{Bench, alias, guarded};
    use crate::model::Actor;
    use std::io::{self, Write};
    use std::sync::Mutex;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::util::SubscriberInitExt;

    /// PRX-5: told half a minute before, told when it has happened, in the log and on the metrics page; and use in
    /// between puts both off.
    #[tokio::test]
    async fn a_session_that_loses_its_account_is_told_before_and_after() {
        let lines = Lines::default();
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone());
        let _log = log.finish().set_default();
        let tending = Tending::new().await;
        tending.bench.keep("s-secret");
        tending.past(3570).await;
        tending.shows("rota_sessions_warned_total{provider=\"openai\"} 1").await;
        tending.bench.keep("s-secret");
        tending.past(3570).await;
        tending.shows("rota_sessions_warned_total{provider=\"openai\"} 2").await;
        assert!(!tending.page().contains("rota_sessions_ended_total{"), "it was used");
        tending.past(30).await;
        tending.shows("rota_sessions_ended_total{provider=\"openai\"} 1").await;
        assert!(tending.bench.app.affinity.is_empty());
        let log = lines.text();
        for told in ["the session loses its account soon", "the session has lost its account"] {
            let line = log.lines().find(|line| line.contains(told)).expect("the line");
            for word in ["provider=openai", "kind=\"session-id\"", "account=\"work\""] {
                assert!(line.contains(word), "{word} is not in {line}");
            }
        }
        assert!(!log.contains("s-secret"), "the client's own id is nobody's business");
    }

    /// SEL-3, FRC-2: a force that comes takes its provider's sessions off their accounts; one that ends takes none.
    #[tokio::test]
    async fn a_new_force_lets_its_providers_sessions_find_their_place_anew() {
        let tending = Tending::new().await;
        let Bench { app, .. } = &tending.bench;
        tending.bench.keep("s");
        app.state.apply(Command::Forced { alias: alias(), by: Actor::Admin }).expect("forced");
        guarded(|| app.affinity.is_empty()).await;
        tending.bench.keep("s");
        app.state.apply(Command::ForceCleared).expect("cleared");
        tending.past(1).await;
        assert_eq!(app.affinity.len(), 1);
    }

    /// The scheduler at work on a bench.
    struct Tending {
        bench: Bench,
        _stop: watch::Sender<bool>,
    }

    impl Tending {
        async fn new() -> Self {
            let bench = Bench::new().await;
            let (stop, stopped) = watch::channel(false);
            tokio::spawn(run(Arc::clone(&bench.app), stopped));
            bench.asleep().await;
            Self { bench, _stop: stop }
        }

        /// Lets the time pass in naps, as it does, and the scheduler look at each.
        async fn past(&self, secs: u64) {
            let clock = &self.bench.clock;
            let until = clock.now().after(Duration::from_secs(secs));
            while clock.now() < until {
                self.bench.asleep().await;
                clock.advance(clock.now().until(until).min(NAP));
            }
            self.bench.asleep().await;
        }

        fn page(&self) -> String {
            let Bench { app, clock, .. } = &self.bench;
            let world = app.state.snapshot();
            app.telemetry.page(&world, &app.scrape(&world), clock.now())
        }

        async fn shows(&self, text: &str) {
            guarded(|| self.page().contains(text)).await;
        }
    }

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().expect("the lock")).into_owned()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("the lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;
        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

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
