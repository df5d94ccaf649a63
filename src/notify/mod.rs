//! Tells a person that they must act: that an account needs a sign-in, that one was asked for, how it ended, that a
//! provider is left alone. It watches the state, so that it hears of background work, too, and is told by requests what
//! no state holds. It decides nothing, keeps nobody waiting, and sends no secret and no e-mail address.
mod command;
mod event;
mod logins;
mod news;
mod once;
#[cfg(test)]
mod tests;
mod webhook;

pub use event::{Event, Invitation, Kind, remedy};
pub use logins::{Login, LoginOutcome};
pub use news::needed;

use crate::app::App;
use crate::auth::JobReport;
use crate::model::Time;
use crate::upstream::Upstream;
use news::Known;
use once::Once;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use webhook::WebhookClient;

/// Events that wait to be sent; what comes on top is dropped and counted.
const QUEUE: usize = 64;
/// Events that are being sent at once.
const SENDING: usize = 4;
/// The longest time between two looks at the state: a suspended machine is noticed within this.
const NAP: Duration = Duration::from_secs(30);

/// Where events go in. Telling one takes no time and never fails.
pub struct Notifier {
    queue: mpsc::Sender<Event>,
    waiting: Mutex<Option<mpsc::Receiver<Event>>>,
    once: Mutex<Once>,
    webhooks: WebhookClient,
    tally: Mutex<BTreeMap<Sent, u64>>,
    logins: Mutex<BTreeMap<Login, u64>>,
    failing: BTreeMap<Sink, AtomicBool>,
}

/// What is counted of events that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    /// Over which way.
    pub sink: Sink,
    /// With what result.
    pub outcome: Outcome,
}

/// A way to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// A program.
    Command,
    /// A web address.
    Webhook,
}

impl Sink {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Webhook => "webhook",
        }
    }
}

/// What came of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Too many waited already.
    Dropped,
    /// It was not taken.
    Failed,
    /// It was.
    Sent,
}

impl Outcome {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::Sent => "sent",
        }
    }
}

impl Notifier {
    /// Trusts and connects as requests do.
    pub fn like(upstream: &Upstream) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            queue,
            waiting: Mutex::new(Some(waiting)),
            once: Mutex::default(),
            webhooks: WebhookClient::like(upstream),
            tally: Mutex::default(),
            logins: Mutex::default(),
            failing: [Sink::Command, Sink::Webhook].map(|sink| (sink, AtomicBool::new(false))).into(),
        }
    }

    /// Has the event sent, unless its like was sent within the hour.
    pub fn tell(&self, event: Event, now: Time) {
        if lock(&self.once).is_news(&event, now) && self.queue.try_send(event).is_err() {
            for sink in [Sink::Command, Sink::Webhook] {
                self.count(sink, Outcome::Dropped);
            }
        }
    }

    /// What was sent since the start.
    pub fn tally(&self) -> BTreeMap<Sent, u64> {
        lock(&self.tally).clone()
    }

    /// Logins since the start.
    pub fn logins(&self) -> BTreeMap<Login, u64> {
        lock(&self.logins).clone()
    }

    /// A login has begun or ended.
    fn hear(&self, report: &JobReport, now: Time) {
        let Some(outcome) = logins::outcome(report.state) else {
            return;
        };
        *lock(&self.logins).entry(Login { by: report.by, outcome }).or_default() += 1;
        if let Some(event) = logins::event(report, now) {
            event.log();
            self.tell(event, now);
        }
    }

    fn count(&self, sink: Sink, outcome: Outcome) {
        *lock(&self.tally).entry(Sent { sink, outcome }).or_default() += 1;
    }

    /// Counts, and logs the first failure after a success.
    fn note(&self, sink: Sink, sent: Result<(), String>) {
        let failed = sent.is_err();
        let before = self.failing.get(&sink).map(|failing| failing.swap(failed, Ordering::Relaxed));
        match sent {
            Ok(()) => self.count(sink, Outcome::Sent),
            Err(why) => {
                self.count(sink, Outcome::Failed);
                if before == Some(false) {
                    tracing::warn!(sink = sink.as_str(), why, "a notification was not taken");
                }
            }
        }
    }
}

/// Watches and sends until `stop` turns true; what is being sent then is cut.
pub async fn run(app: Arc<App>, mut stop: watch::Receiver<bool>) {
    let Some(mut waiting) = lock(&app.notifier.waiting).take() else {
        return;
    };
    let mut marks = app.state.marks();
    let mut logins = app.logins.news();
    let mut known = Known::of(&app.state.snapshot(), app.clock.now());
    let mut sending = JoinSet::new();
    loop {
        let seen = marks.borrow_and_update().required;
        let now = app.clock.now();
        for event in known.hear(&app.state.snapshot(), now) {
            event.log();
            app.notifier.tell(event, now);
        }
        let wake = known.wake(now).min(now.after(NAP));
        tokio::select! {
            () = app.clock.sleep_until(wake) => {}
            // What a person must act on is always stored; the rest is not looked at.
            changed = marks.wait_for(|marks| marks.required > seen) => if changed.is_err() { return },
            // Whoever is late misses a login or two: the state still tells how they ended.
            heard = logins.recv() => if let Ok(report) = heard { app.notifier.hear(&report, app.clock.now()) },
            Some(event) = waiting.recv(), if sending.len() < SENDING => {
                let app = Arc::clone(&app);
                sending.spawn(async move { send(&app, &event).await });
            }
            Some(_) = sending.join_next(), if !sending.is_empty() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn send(app: &App, event: &Event) {
    let config = app.config.load_full();
    let to = &config.notify;
    let body = event.json();
    if !to.command.is_empty() {
        let ran = command::run(&to.command, &to.env, event, &body).await;
        app.notifier.note(Sink::Command, ran);
    }
    for webhook in &to.webhooks {
        let posted = app.notifier.webhooks.post(webhook, body.clone()).await;
        app.notifier.note(Sink::Webhook, posted);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
