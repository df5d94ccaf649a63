//! What is remembered of conversations, kept over a restart: two files of the state directory, each written whole when
//! there is news, beside the old one and then in its place. Nothing is synced and nobody waits: what a crash loses costs
//! a prompt cache or one recoverable error, never an account. A file that cannot be read is left out with one line in
//! the log; it never stops a start.
use super::App;
use crate::affinity::{Owned, Pin, Unkept};
use crate::model::{AccountId, Snapshot};
use crate::store::{OsFs, StoreFs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The largest file that is read: a million sessions with long ids.
const LARGEST: u64 = 512 * 1024 * 1024;

/// What is kept in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shelf {
    Owners,
    Sessions,
}

impl Shelf {
    fn file(self) -> &'static str {
        match self {
            Self::Owners => "owners",
            Self::Sessions => "sessions",
        }
    }

    /// Between two writes, at least. News after a quiet time are written at once.
    fn pause(self) -> Duration {
        match self {
            Self::Owners => Duration::from_secs(60),
            Self::Sessions => Duration::from_secs(10),
        }
    }

    async fn news(self, app: &App) {
        match self {
            Self::Owners => app.owners.news().await,
            Self::Sessions => app.affinity.news().await,
        }
    }

    fn writes(self, app: &App) -> u64 {
        match self {
            Self::Owners => app.owners.writes(),
            Self::Sessions => app.affinity.writes(),
        }
    }

    fn bytes(self, app: &App) -> Vec<u8> {
        match self {
            Self::Owners => Owned::pack(&app.owners.all()),
            Self::Sessions => Pin::pack(&app.affinity.pins(app.clock.now())),
        }
    }

    /// Takes in what was kept, but for accounts that are gone, and sessions of accounts that are off.
    fn restore(self, bytes: &[u8], app: &App) -> Result<(), Unkept> {
        let (world, now) = (app.state.snapshot(), app.clock.now());
        match self {
            Self::Owners => {
                let kept = Owned::unpack(bytes)?.into_iter();
                app.owners.restore(kept.filter(|owned| world.account(owned.account).is_some()), now);
            }
            Self::Sessions => {
                let kept = Pin::unpack(bytes)?.into_iter();
                app.affinity.restore(kept.filter(|pin| holds(&world, pin.account, pin)), now);
            }
        }
        Ok(())
    }
}

fn holds(world: &Snapshot, account: AccountId, pin: &Pin) -> bool {
    world.account(account).is_some_and(|account| account.is_on() && account.provider == pin.provider)
}

/// Takes in what an earlier process has kept.
pub(super) fn recall(app: &App) {
    let dir = &app.config.load().state_dir;
    for shelf in [Shelf::Owners, Shelf::Sessions] {
        let path = dir.join(shelf.file());
        let problem = match OsFs.read(&path, LARGEST) {
            Ok((bytes, _)) => shelf.restore(&bytes, app).err().map(|unkept| unkept.to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            tracing::warn!(path = %path.display(), problem, "conversations begin anew: what was kept of them is left out");
        }
    }
}

/// Keeps both files up with what is remembered.
pub(super) struct Memory {
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Memory {
    pub(super) fn start(app: &Arc<App>, control: &Handle) -> Self {
        let (stop, stopped) = watch::channel(false);
        let tasks = [Shelf::Owners, Shelf::Sessions]
            .map(|shelf| control.spawn(Keeper::new(shelf, Arc::clone(app)).run(stopped.clone())));
        Self { stop, tasks }
    }

    /// Writes what is left, and ends.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

struct Keeper {
    shelf: Shelf,
    app: Arc<App>,
    path: PathBuf,
    /// What the file has, as the number of the last write in it.
    kept: u64,
    failing: bool,
}

impl Keeper {
    fn new(shelf: Shelf, app: Arc<App>) -> Self {
        let path = app.config.load().state_dir.join(shelf.file());
        Self { shelf, kept: shelf.writes(&app), app, path, failing: false }
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.shelf.news(&self.app) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            if self.shelf.writes(&self.app) == self.kept {
                continue;
            }
            self.keep().await;
            let (clock, pause) = (&self.app.clock, self.shelf.pause());
            tokio::select! {
                () = clock.sleep_until(clock.now().after(pause)) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.keep().await;
    }

    /// Writes the file, unless it has everything.
    async fn keep(&mut self) {
        let writes = self.shelf.writes(&self.app);
        if writes == self.kept {
            return;
        }
        let (shelf, app, path) = (self.shelf, Arc::clone(&self.app), self.path.clone());
        let written = tokio::task::spawn_blocking(move || replace(&path, &shelf.bytes(&app))).await;
        let error = match written {
            Ok(Ok(())) => {
                self.kept = writes;
                if std::mem::take(&mut self.failing) {
                    tracing::info!(path = %self.path.display(), "conversations are kept again");
                }
                tracing::debug!(path = %self.path.display(), "what is remembered of conversations was written");
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(ended) => ended.to_string(),
        };
        if !std::mem::replace(&mut self.failing, true) {
            let path = self.path.display();
            tracing::warn!(%path, error, "conversations are not kept over a restart until this can be written");
        }
    }
}

/// Puts `bytes` in the place of what `path` holds. There is one writer, so its temporary name is its own.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match OsFs.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OsFs.create(&new)?.write(bytes)?;
    OsFs.rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affinity::Mark;
    use crate::app::bench::{Bench, guarded};
    use crate::model::AccountId;

    /// SEL-3, SEL-4: news are written at once after a quiet time, then at most every ten seconds, and at the end.
    #[tokio::test]
    async fn news_are_written_at_once_and_then_in_their_time_and_at_the_end() {
        let bench = Bench::new().await;
        let kept = || {
            std::fs::read(bench.file("sessions"))
                .map_or(0, |bytes| Pin::unpack(&bytes).map_or(0, |pins| pins.len()))
        };
        let memory = Memory::start(&bench.app, &Handle::current());
        bench.keep("one");
        guarded(|| kept() == 1).await;
        bench.keep("two");
        bench.asleep().await;
        assert_eq!(kept(), 1, "not yet");
        bench.clock.advance(Duration::from_secs(10));
        guarded(|| kept() == 2).await;
        bench.keep("three");
        bench.app.owners.learn(Mark::of(&[b"x"]), AccountId(1), bench.clock.now());
        bench.app.owners.learn(Mark::of(&[b"y"]), AccountId(9), bench.clock.now());
        memory.stop().await;
        assert_eq!(kept(), 3);
        let pins = bench.app.affinity.pins(bench.clock.now());
        pins.iter().for_each(|pin| assert!(bench.app.affinity.forget(&pin.provider, &pin.session)));
        recall(&bench.app);
        assert_eq!(bench.app.affinity.pins(bench.clock.now()), pins);
    }

    /// SEL-4: what only an account that is gone could read is nobody's.
    #[tokio::test]
    async fn marks_of_accounts_that_are_gone_are_left_out() {
        let bench = Bench::new().await;
        let world = bench.app.state.snapshot();
        let there = world.accounts.first().expect("the account").id;
        let met = bench.clock.now();
        let marks = [there, AccountId(9)].map(|account| Owned { mark: Mark::of(&[b"x"]), account, met });
        std::fs::write(bench.file("owners"), Owned::pack(&marks)).expect("written");
        recall(&bench.app);
        assert_eq!(bench.app.owners.all(), marks[..1]);
    }

    /// A directory in the way, or bytes of another program, cost what was kept and nothing else.
    #[tokio::test]
    async fn what_cannot_be_read_or_written_stops_nothing() {
        let bench = Bench::new().await;
        std::fs::write(bench.file("owners"), b"{}").expect("written");
        std::fs::create_dir(bench.file("sessions")).expect("a directory");
        recall(&bench.app);
        assert!(bench.app.owners.is_empty() && bench.app.affinity.is_empty());
        let memory = Memory::start(&bench.app, &Handle::current());
        bench.keep("one");
        memory.stop().await;
        assert!(bench.file("sessions").is_dir());
    }
}
