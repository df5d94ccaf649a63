//! Where finished requests are told: the counters, the log, the ring. A request leaves its record here and goes on; a
//! thread tells what has come in the meantime, many at a time, and whoever asks is told everything first.
use super::log::Batch;
use super::page::Page;
use super::series::{Series, SessionEvent};
use super::{DecisionRecord, LogSink, Report, Ring, Stats};
use crate::model::{ProviderId, Snapshot, Time};
use crate::sys;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;
use tokio::sync::broadcast;

/// Records that may wait to be told. Whoever comes when all places are taken tells them first.
const WAITING: usize = 1024;
/// Records that a listener may be late for.
const NEWS: usize = 256;
/// How long a record waits for others to be told together with: a busy proxy writes its log in this rhythm.
const GATHER: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Desk {
    inbox: SyncSender<Arc<DecisionRecord>>,
    back: Arc<Back>,
    thread: Thread,
}

/// What the thread has of it.
struct Back {
    told: Mutex<Told>,
    ring: Ring,
    news: broadcast::Sender<Arc<DecisionRecord>>,
    log: LogSink,
    /// The thread sleeps until somebody wakes it.
    asleep: AtomicBool,
    closed: AtomicBool,
}

struct Told {
    inbox: Receiver<Arc<DecisionRecord>>,
    series: Series,
    stats: Stats,
    batch: Batch,
}

impl Desk {
    pub(super) fn open(decisions: usize, log: LogSink) -> io::Result<Self> {
        let (inbox, waiting) = sync_channel(WAITING);
        let (series, stats, batch) = (Series::default(), Stats::default(), Batch::default());
        let told = Mutex::new(Told { inbox: waiting, series, stats, batch });
        let back = Arc::new(Back {
            told,
            ring: Ring::new(decisions),
            news: broadcast::Sender::new(NEWS),
            log,
            asleep: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let run = Arc::clone(&back);
        let thread = std::thread::Builder::new().name("telemetry".to_owned()).spawn(move || {
            sys::let_others_first();
            run.work();
        })?;
        Ok(Self { inbox, back, thread: thread.thread().clone() })
    }

    pub(super) fn take(&self, record: DecisionRecord) {
        let mut record = Arc::new(record);
        while let Err(TrySendError::Full(back)) = self.inbox.try_send(record) {
            record = back;
            self.back.tell();
        }
        // The record is there before the thread is looked for: it looks for records after it has said that it sleeps.
        fence(Ordering::SeqCst);
        if self.back.asleep.load(Ordering::Relaxed) && self.back.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    pub(super) fn count_force(&self, reason: &str) {
        self.back.told().series.force_ended(reason);
    }

    pub(super) fn count_session(&self, event: SessionEvent, provider: &ProviderId) {
        self.back.told().series.session(event, provider);
    }

    /// Tells all that waits.
    pub(super) fn tell(&self) {
        self.back.tell();
    }

    /// Every record that is told from now on.
    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        // Not while some are being told: whether anybody listens is asked once for them all.
        let _told = self.back.told();
        self.back.news.subscribe()
    }

    /// The latest that were told.
    pub(super) fn ring(&self) -> &Ring {
        &self.back.ring
    }

    pub(super) fn report(&self, hours: usize, now: Time) -> Report {
        self.back.tell();
        self.back.told().stats.report(hours, now)
    }

    pub(super) fn show(&self, page: &mut Page, world: &Snapshot) {
        self.back.tell();
        self.back.told().series.show(page, world);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.back.closed.store(true, Ordering::SeqCst);
        self.thread.unpark();
        self.back.tell();
    }
}

impl Back {
    fn work(&self) {
        while !self.closed.load(Ordering::SeqCst) {
            self.asleep.store(true, Ordering::SeqCst);
            if self.tell() == 0 {
                std::thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            std::thread::park_timeout(GATHER);
            self.tell();
        }
    }

    /// Tells what waits, and how many that were.
    fn tell(&self) -> usize {
        let mut told = self.told();
        let Told { inbox, series, stats, batch } = &mut *told;
        let heard = self.news.receiver_count() > 0;
        let mut count = 0;
        for record in inbox.try_iter().take(WAITING) {
            series.count(&record);
            stats.observe(&record);
            batch.add(&record, self.log.format());
            let news = heard.then(|| Arc::clone(&record));
            self.ring.push(record);
            if let Some(record) = news {
                // Whoever listened may have gone.
                let _ = self.news.send(record);
            }
            count += 1;
        }
        batch.send(&self.log);
        count
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
