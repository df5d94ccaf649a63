//! Processes that are paused and killed, and what is heard of them.
use super::chance::{Bell, Chance};
use super::driver::{DEADLINE, Orders};
use super::ledger::Witness;
use fake_upstream::Recorder;
use rota::model::AccountId;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than any time-out of a renewal: a peer waits a minute for the account's lock.
const LONGEST: Duration = Duration::from_secs(65);
/// Lines of trouble that are kept for a failure's message.
const TROUBLE: usize = 40;

/// What is heard and done, by all together.
pub(crate) struct Record {
    pub(crate) pauses: AtomicU64,
    /// Those of them that were longer than an exchange may take.
    pub(crate) long_pauses: AtomicU64,
    pub(crate) kills: AtomicU64,
    witness: Mutex<Witness>,
    trouble: Mutex<VecDeque<String>>,
    dead: Sender<Dead>,
    arrived: Recorder,
}

/// A credential that needs a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dead {
    pub(crate) account: AccountId,
    pub(crate) version: u64,
}

impl Record {
    /// `dead` is told of every credential that needs a person; `arrived` is what reached the authority.
    pub(crate) fn new(dead: Sender<Dead>, arrived: Recorder) -> Arc<Self> {
        Arc::new(Self {
            pauses: AtomicU64::new(0),
            long_pauses: AtomicU64::new(0),
            kills: AtomicU64::new(0),
            witness: Mutex::default(),
            trouble: Mutex::default(),
            dead,
            arrived,
        })
    }

    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn trouble(&self) -> String {
        let lines = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Hears a process until it ends.
    pub(crate) fn hear(self: &Arc<Self>, sender: &str, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let (record, sender) = (self.clone(), sender.to_owned());
        std::thread::spawn(move || {
            let lines = BufReader::new(from).lines().map_while(Result::ok);
            lines.for_each(|line| record.note(&sender, &line));
        })
    }

    pub(crate) fn note(&self, sender: &str, line: &str) {
        if says_recovery(line) {
            *self.witness().recoveries.entry(sender.to_owned()).or_default() += 1;
        }
        if let Some(dead) = Dead::told(line) {
            // Nobody listens any more once the run is over.
            let _ = self.dead.send(dead);
        }
        if line.contains("WARN") || line.contains("ERROR") || line.contains("panicked") {
            let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.push_back(format!("{sender}: {line}"));
            if trouble.len() > TROUBLE {
                trouble.pop_front();
            }
        }
    }

    /// Stops `process` for a while. True where the bell rang meanwhile; the process then goes on.
    pub(crate) fn pause(&self, process: Pid, span: Duration, bell: &Bell) -> bool {
        self.pauses.fetch_add(1, Ordering::Relaxed);
        if span > DEADLINE {
            self.long_pauses.fetch_add(1, Ordering::Relaxed);
        }
        let _ = kill_process(process, Signal::STOP);
        let rung = bell.rings_within(span);
        let _ = kill_process(process, Signal::CONT);
        rung
    }

    /// To be called before SIGKILL is sent: whoever asks once more does it later.
    pub(crate) fn kills(&self, sender: &str) {
        self.kills.fetch_add(1, Ordering::Relaxed);
        self.witness().killed.insert(sender.to_owned(), self.arrived.total());
    }
}

/// rota's own word for it: the one attempt to make out what became of a token.
fn says_recovery(line: &str) -> bool {
    line.contains("the end of a renewal is unclear")
}

impl Dead {
    /// What rota says of an account that must sign in.
    fn told(line: &str) -> Option<Self> {
        if !line.contains("the account must sign in again") {
            return None;
        }
        let number = |name: &str| {
            let (_, rest) = line.split_once(&format!("\"{name}\":"))?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        };
        let account = AccountId(u32::try_from(number("account")?).ok()?);
        Some(Self { account, version: number("version")? })
    }
}

/// How long a pause is: mostly short, some longer than an exchange may take, and where it is the turn of one of them,
/// longer than anything waits.
pub(crate) fn pause(chance: &mut Chance, is_longest: bool) -> Duration {
    if is_longest {
        return LONGEST;
    }
    match chance.below(100) {
        0..75 => chance.span(1, 120),
        75..96 => chance.span(120, 700),
        _ => chance.span(DEADLINE.as_millis() as u64 + 200, DEADLINE.as_millis() as u64 + 2000),
    }
}

/// A driver, started anew after each kill.
pub(crate) struct Victim {
    orders: Orders,
    record: Arc<Record>,
    life: u32,
    child: Child,
    heard: Option<JoinHandle<()>>,
}

impl Victim {
    pub(crate) fn start(orders: Orders, record: Arc<Record>) -> Self {
        let (child, heard) = Self::spawn(&orders, 0, &record);
        Self { orders, record, life: 0, child, heard: Some(heard) }
    }

    fn spawn(orders: &Orders, life: u32, record: &Arc<Record>) -> (Child, JoinHandle<()>) {
        let sender = format!("{}.{life}", orders.sender);
        let mut child = Orders { sender: sender.clone(), ..orders.clone() }.command().spawn().unwrap();
        let output = child.stdout.take().unwrap();
        (child, record.hear(&sender, output))
    }

    pub(crate) fn process(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it, waits until all it said is heard, and starts its next life.
    pub(crate) fn kill(&mut self) {
        self.record.kills(&format!("{}.{}", self.orders.sender, self.life));
        self.gone();
        self.life += 1;
        let (child, heard) = Self::spawn(&self.orders, self.life, &self.record);
        (self.child, self.heard) = (child, Some(heard));
    }

    /// Lets it end by itself, after what it is doing.
    pub(crate) fn end(mut self) {
        drop(self.child.stdin.take());
        self.heard.take().into_iter().for_each(|heard| heard.join().unwrap());
        assert!(self.child.wait().unwrap().success(), "{}: {}", self.orders.sender, self.record.trouble());
    }

    fn gone(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.heard.take().into_iter().for_each(|heard| heard.join().unwrap());
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.gone();
    }
}
