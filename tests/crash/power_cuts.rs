//! The power goes while a token is renewed over and over: a file system on a loop device is shut down without its log
//! being written (`FS_IOC_SHUTDOWN`), mounted again, and judged. It needs root and loop devices, so `cargo test` does not
//! run it: `make power-cuts` does, and fails where it cannot.
#![expect(clippy::unwrap_used, reason = "all of this is a test, helpers too")]
mod disk;
mod orders;
mod race;

use disk::{Disk, Kind};
use fake_upstream::RefreshState;
use race::chance::{Bell, Chance};
use race::driver::{Lock, Orders, RACED};
use race::ledger::Ledger;
use race::victim::{Dead, Record};
use race::world::{World, sign_in};
use rota::clock::Clock;
use rota::model::{Credential, Secret};
use rota::store::{FileBackend, Pending, Round, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// The longest wait from a driver's first word to the cut.
const LONGEST_LIFE: u64 = 200;

/// The rest of the suite is in its short form here.
fn full() -> bool {
    false
}

/// How a cut left the renewal that was under way, as rota finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Nothing was sent: the token on record is the one the round began with.
    NotSent,
    /// A token that this round was granted is on record.
    Durable,
    /// It is not on record yet, but the answer is in the journal.
    Noted,
    /// It may have been sent: one recovery attempt will tell.
    Indeterminate,
    /// That attempt was made, in this round or before, and in vain: a person must sign in.
    Refused,
}

/// What many cuts came to.
#[derive(Debug, Default)]
struct Tally {
    classes: BTreeMap<Class, u64>,
    sign_ins: u64,
    wrong: Vec<String>,
}

/// T9 REN-2 STO-4
#[test]
fn no_power_cut_during_a_renewal_leaves_it_in_a_class_of_its_own() {
    let cuts = asked("ROTA_CUTS", 500);
    for kind in Kind::there() {
        let (tally, rotations, recoveries) = cut(kind, cuts, Sync::Real);
        println!(
            "power cuts on {}: {cuts} during {rotations} rotations: {:?}; {recoveries} recovery attempts that found the \
             token spent, {} sign-ins; {} wrong",
            kind.name(),
            tally.classes,
            tally.sign_ins,
            tally.wrong.len()
        );
        assert_eq!(tally.wrong, Vec::<String>::new(), "{kind:?}");
    }
}

/// The control of T9: where nothing is ever synced, acknowledged renewals are lost, and the cuts show it.
#[test]
fn without_syncs_power_cuts_lose_renewals_that_were_acknowledged() {
    let (tally, ..) = cut(Kind::Ext4, 10, Sync::Faked);
    println!("power cuts without syncs: {} wrong in 10 cuts", tally.wrong.len());
    assert!(!tally.wrong.is_empty(), "the cuts would not notice a lost renewal");
}

/// What fsync(2) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    /// Nothing, and says that it was done.
    Faked,
    /// Its work.
    Real,
}

/// So many rounds on one disk: how they ended, rotations, and recovery attempts.
fn cut(kind: Kind, cuts: u64, sync: Sync) -> (Tally, u64, u64) {
    let world = World::around(tempfile::tempdir().unwrap());
    let mut disk = Disk::make(kind, &world.home().join("disk"));
    let state = disk.path().join("rota");
    world.take_in(&state);
    let (dead, deaths) = channel();
    let record = Record::new(dead, world.fake.recorder());
    let mut chance = Chance::new(asked("ROTA_RACE_SEED", 1));
    let mut tally = Tally::default();
    for number in 0..cuts {
        let began = found(&state).map_or(0, |(credential, _)| credential.version);
        let sender = format!("life.{number}");
        let orders = Orders { dir: state.clone(), ..world.orders(&sender, Lock::Held, None) };
        let mut life = Life::start(&orders, sync, &record);
        let _ = Bell::default().rings_within(chance.span(0, LONGEST_LIFE));
        // Only what was acknowledged before the cut counts: some file systems say yes to a sync after it.
        let acknowledged = life.acknowledged.load(Ordering::Acquire);
        record.kills(&sender);
        disk.cut();
        life.gone();
        disk.mount_again();
        match class(&world, &state, began, acknowledged) {
            Ok(class) => *tally.classes.entry(class).or_default() += 1,
            Err(wrong) => tally.wrong.push(format!("cut {number}: {wrong}")),
        }
        tally.sign_ins += mend(&world, &state, &deaths);
    }
    let verdict = Ledger::of(&world.presented()).judge(&record.witness());
    tally.wrong.extend(verdict.reuses);
    (tally, verdict.rotations, verdict.recoveries)
}

/// What rota finds, held against what the authority knows.
fn class(world: &World, state: &Path, began: u64, acknowledged: u64) -> Result<Class, String> {
    let (kept, pending) = found(state)?;
    let version = kept.version;
    if version < acknowledged {
        return Err(format!("version {acknowledged} was acknowledged, {version} is on record"));
    }
    let truth = world.fake.account("a", |account| {
        let is_kept = |token: &str| kept.refresh.as_ref() == Some(&Secret::new(token));
        account.refresh_tokens.iter().find(|held| is_kept(&held.token)).map(|held| held.state.clone())
    });
    let Some(truth) = truth.flatten() else {
        return Err("the token on record was never granted".to_owned());
    };
    match (&pending, &truth) {
        (Pending::Nothing, RefreshState::Fresh) if version == began => Ok(Class::NotSent),
        (Pending::Nothing, RefreshState::Fresh) => Ok(Class::Durable),
        (Pending::Answered(Round::First, _), RefreshState::Spent { .. }) => Ok(Class::Noted),
        (Pending::Unanswered(Round::First), RefreshState::Fresh | RefreshState::Spent { .. }) => {
            Ok(Class::Indeterminate)
        }
        // The recovery attempt: it was the first to arrive, and granted; or noted, and did not arrive.
        (Pending::Answered(Round::Recovery, _), RefreshState::Spent { .. }) => Ok(Class::Noted),
        (Pending::Unanswered(Round::Recovery), RefreshState::Fresh | RefreshState::Spent { .. })
        | (Pending::Answered(..) | Pending::Unanswered(Round::Recovery), RefreshState::Revoked) => {
            Ok(Class::Refused)
        }
        (
            Pending::Nothing | Pending::Answered(..) | Pending::Unanswered(Round::First),
            RefreshState::Expired | RefreshState::Fresh | RefreshState::Revoked | RefreshState::Spent { .. },
        )
        | (Pending::Unanswered(Round::Recovery), RefreshState::Expired) => {
            Err(format!("rota finds {pending:?}, but the token is {truth:?}"))
        }
    }
}

/// The credential on record, and what the journal says of it.
fn found(state: &Path) -> Result<(Credential, Pending), String> {
    let told = |error: StoreError| error.to_string();
    let backend = FileBackend::create(state).map_err(told)?;
    let providers = BTreeSet::from(["codex".try_into().unwrap()]);
    let opened = Store::open(Arc::new(backend), &providers, Clock::System.now()).map_err(told)?;
    let rotation = opened.store.rotation(RACED).map_err(told)?.ok_or("the lock is taken")?;
    let credential = opened.store.credential(RACED).map_err(told)?;
    let credential =
        credential.ok_or_else(|| format!("no credential is on record: {:?}", opened.findings))?;
    let pending = rotation.pending(&credential).map_err(told)?;
    Ok((credential, pending))
}

/// Signs in for every credential that was found dead, if it is still on record.
fn mend(world: &World, state: &Path, deaths: &Receiver<Dead>) -> u64 {
    deaths.try_iter().map(|dead| u64::from(sign_in(&world.fake, state, dead, Lock::Held))).sum()
}

/// One driver, from power to power.
struct Life {
    child: Child,
    /// The driver itself, where something runs it.
    pid: u32,
    acknowledged: Arc<AtomicU64>,
    heard: Option<JoinHandle<()>>,
}

impl Life {
    /// Returns at its first word.
    fn start(orders: &Orders, sync: Sync, record: &Arc<Record>) -> Self {
        let mut command = match sync {
            Sync::Real => orders.command(),
            Sync::Faked => {
                let mut strace = Command::new("strace");
                let calls = ["--trace=fsync,fdatasync", "--inject=fsync,fdatasync:retval=0"];
                strace.args(["-f", "-qq", "-o", "/dev/null"]).args(calls);
                orders.below(strace)
            }
        };
        // On a disk without power it has nothing to say but that.
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let pid = lines.find_map(|line| line.strip_prefix("@pid ")?.parse().ok()).unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (record, sender, told) = (record.clone(), orders.sender.clone(), acknowledged.clone());
        let heard = std::thread::spawn(move || {
            for line in lines {
                if let Some(version) = line.strip_prefix("@at ").and_then(|version| version.parse().ok()) {
                    told.fetch_max(version, Ordering::Release);
                }
                record.note(&sender, &line);
            }
        });
        Self { child, pid, acknowledged, heard: Some(heard) }
    }

    fn gone(&mut self) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
        self.heard.take().into_iter().for_each(|heard| heard.join().unwrap());
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.heard.is_some() {
            self.gone();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a switch of the harness, not of the program")]
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}
