//! Commands that `rota run` has started: who they are, which account they chose, and when they end. Each lasts as long as
//! its guard, which the connection of its `rota run` holds; nothing of it is kept and nothing is left behind.
mod lease;

pub use lease::{Bound, Bounds, Lease, Phase, WARNING};

use crate::model::{AccountId, KeyDigest, Time};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// Commands at once, at most.
pub const MOST_RUNS: usize = 4096;
/// What a path begins with that belongs to one: `/~ID/...`.
const MARK: &str = "/~";
/// Digits of an id.
const DIGITS: usize = 32;

/// What a command is called: 32 hexadecimal digits, chosen by its `rota run`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

impl RunId {
    /// `text`, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (text.len() == DIGITS && digits).then(|| Self(text.to_owned()))
    }

    /// One of these bytes.
    pub fn of(bytes: [u8; DIGITS / 2]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The way to it: what goes between an address and a path.
    pub fn prefix(&self) -> String {
        format!("{MARK}{}", self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The command that `path` belongs to, if it says one, and the path without that.
pub fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(MARK)?;
    let end = rest.find('/').unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// All commands. Clones share them.
#[derive(Clone, Debug)]
pub struct Runs {
    all: Arc<DashMap<RunId, Arc<Run>>>,
    census: watch::Sender<Census>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default)]
struct Census {
    open: usize,
    ever: u64,
    closing: bool,
}

/// What a command has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Belongings {
    /// The account that it chose.
    pub account: Option<AccountId>,
    /// What its key comes to, which opens its own path where keys are asked for.
    pub key: Option<KeyDigest>,
}

/// One command, as requests of it see it.
#[derive(Debug)]
pub struct Run {
    belongings: Belongings,
    lease: Mutex<Lease>,
    moved: Notify,
}

/// Why a command is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// rota stops.
    Closing,
    /// There are [`MOST_RUNS`].
    Full,
    /// There is one of this id.
    Taken,
}

/// A command's place. Dropping it ends the command.
#[derive(Debug)]
pub struct RunGuard {
    runs: Runs,
    id: RunId,
    run: Arc<Run>,
}

impl Default for Runs {
    fn default() -> Self {
        Self { all: Arc::default(), census: watch::Sender::new(Census::default()) }
    }
}

impl Runs {
    /// Takes one in.
    ///
    /// # Errors
    /// There are too many, or one of this id, or rota stops.
    pub fn open(
        &self,
        id: RunId,
        belongings: Belongings,
        bounds: Bounds,
        now: Time,
    ) -> Result<RunGuard, NotOpened> {
        self.count()?;
        let opened = self.enter(id, belongings, bounds, now);
        if opened.is_err() {
            self.uncount();
        }
        opened
    }

    /// It is counted before it is there, so that a daemon that ends unused cannot take one in at its last moment.
    fn count(&self) -> Result<(), NotOpened> {
        let mut counted = Ok(());
        self.census.send_if_modified(|census| {
            counted = match census {
                Census { closing: true, .. } => Err(NotOpened::Closing),
                Census { open, .. } if *open >= MOST_RUNS => Err(NotOpened::Full),
                Census { .. } => Ok(()),
            };
            if counted.is_ok() {
                census.open += 1;
                census.ever += 1;
            }
            counted.is_ok()
        });
        counted
    }

    fn uncount(&self) {
        self.census.send_modify(|census| census.open -= 1);
    }

    fn enter(
        &self,
        id: RunId,
        belongings: Belongings,
        bounds: Bounds,
        now: Time,
    ) -> Result<RunGuard, NotOpened> {
        let lease = Mutex::new(Lease::new(bounds, now));
        let run = Arc::new(Run { belongings, lease, moved: Notify::new() });
        match self.all.entry(id.clone()) {
            Entry::Occupied(_) => return Err(NotOpened::Taken),
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&run));
            }
        }
        Ok(RunGuard { runs: self.clone(), id, run })
    }

    /// The command of this id, unless it has ended.
    pub fn find(&self, id: &str, now: Time) -> Option<Arc<Run>> {
        let run = Arc::clone(self.all.get(&RunId::new(id)?)?.value());
        match run.phase(now) {
            Phase::Ended(_) => None,
            Phase::Created | Phase::Ready | Phase::Running | Phase::Warned(_) => Some(run),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns once there was one and none is left.
    pub async fn gone(&self) {
        let mut census = self.census.subscribe();
        let _ = census.wait_for(|census| census.ever > 0 && census.open == 0).await;
    }

    /// Closes if there is no command, and tells whether there is none: none comes any more then.
    pub fn close_unused(&self) -> bool {
        self.census.send_if_modified(|census| {
            census.closing |= census.open == 0;
            census.open == 0
        })
    }

    /// rota stops: no command is taken in any more, and whoever watches one is told so.
    pub fn close(&self) {
        self.census.send_modify(|census| census.closing = true);
    }

    /// Returns once rota stops.
    pub async fn closing(&self) {
        let mut census = self.census.subscribe();
        let _ = census.wait_for(|census| census.closing).await;
    }
}

impl Run {
    /// The account that it chose.
    pub fn account(&self) -> Option<AccountId> {
        self.belongings.account
    }

    /// What its key comes to.
    pub fn key(&self) -> Option<KeyDigest> {
        self.belongings.key
    }

    /// A request of it has come, or a piece of a reply has gone.
    pub fn touch(&self, now: Time) {
        self.lease().touch(now);
        self.moved.notify_one();
    }

    /// Its command has been started.
    pub fn start(&self, now: Time) {
        self.lease().start(now);
        self.moved.notify_one();
    }

    /// Where it stands.
    pub fn phase(&self, now: Time) -> Phase {
        self.lease().phase(now)
    }

    /// When it ends unless it is used.
    pub fn ends(&self) -> Option<Time> {
        self.lease().ends().map(|(at, _)| at)
    }

    /// When its phase changes next by itself.
    pub fn wake(&self, now: Time) -> Option<Time> {
        self.lease().wake(now)
    }

    /// Returns once something has happened to it since this was last asked.
    pub async fn moved(&self) {
        self.moved.notified().await;
    }

    fn lease(&self) -> std::sync::MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunGuard {
    /// What it is called.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// The command.
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.runs.all.remove(&self.id);
        self.runs.uncount();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: Time = Time::from_secs(1_000_000);

    fn id(number: u8) -> RunId {
        RunId::of([number; 16])
    }

    #[test]
    fn a_path_tells_the_command_it_belongs_to() {
        let run = id(10);
        assert_eq!(run.prefix(), "/~0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a");
        for (path, expected) in [
            ("/~abc/v1/responses", Some(("abc", "/v1/responses"))),
            ("/~abc", Some(("abc", ""))),
            ("/~", Some(("", ""))),
            ("/v1/~abc", None),
        ] {
            assert_eq!(split(path), expected, "{path}");
        }
        for bad in ["", "0a", "0A0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a", "../a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0"] {
            assert_eq!(RunId::new(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_command_lasts_as_long_as_its_guard() {
        let runs = Runs::default();
        let guard = runs
            .open(id(1), Belongings { account: Some(AccountId(7)), key: None }, Bounds::default(), NOW)
            .expect("a place");
        assert_eq!(
            runs.open(id(1), Belongings::default(), Bounds::default(), NOW).err(),
            Some(NotOpened::Taken)
        );
        let run = runs.find(&id(1).to_string(), NOW).expect("it is there");
        assert_eq!(run.account(), Some(AccountId(7)));
        drop(guard);
        assert!(runs.find(&id(1).to_string(), NOW).is_none() && runs.is_empty());
        runs.gone().await;
    }

    #[test]
    fn whoever_stops_takes_no_command_in() {
        let runs = Runs::default();
        let open = |number| runs.open(id(number), Belongings::default(), Bounds::default(), NOW);
        let guard = open(1).expect("a place");
        assert!(!runs.close_unused(), "somebody needs it");
        drop(guard);
        assert!(open(2).is_ok(), "and it was not closed by asking");
        assert!(runs.close_unused());
        assert_eq!(open(3).err(), Some(NotOpened::Closing));
        let told = Runs::default();
        let guard = told.open(id(1), Belongings::default(), Bounds::default(), NOW).expect("a place");
        told.close();
        assert_eq!(
            told.open(id(2), Belongings::default(), Bounds::default(), NOW).err(),
            Some(NotOpened::Closing)
        );
        drop(guard);
    }

    /// PRX-5: an ended session is refused, and leaves nothing behind, a thousand times.
    #[test]
    fn an_ended_session_is_found_no_more_and_leaves_nothing() {
        let runs = Runs::default();
        let bounds = Bounds { idle: Some(Duration::from_secs(300)), ..Bounds::default() };
        for round in 0..1000_u64 {
            let now = NOW.after(Duration::from_secs(round));
            let guard = runs.open(id(1), Belongings::default(), bounds, now).expect("a place");
            assert!(runs.find(&id(1).to_string(), now).is_some());
            assert!(runs.find(&id(1).to_string(), now.after(Duration::from_secs(300))).is_none());
            drop(guard);
        }
        assert!(runs.is_empty());
        assert_eq!(runs.census.borrow().open, 0);
    }

    #[test]
    fn there_is_a_bound() {
        let runs = Runs::default();
        let name = |number: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            RunId::of(bytes)
        };
        let open = |number| runs.open(name(number), Belongings::default(), Bounds::default(), NOW);
        let guards: Vec<RunGuard> = (0..MOST_RUNS).map(|number| open(number).expect("a place")).collect();
        assert_eq!(open(MOST_RUNS).err(), Some(NotOpened::Full));
        drop(guards);
        assert!(open(0).is_ok());
    }
}
