//! A driver is stopped exactly after one system call of its renewal, and its peers ask for the same renewal: they wait
//! and adopt, or go first and are adopted. `strace` sends the signal.
use super::chance::Bell;
use super::door::{self, Door};
use super::driver::{Lock, Renewer};
use super::ledger::{Ledger, Witness};
use super::world::World;
use crate::orders::{BEGIN, END};
use rota::store::FileBackend;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;
use tokio::runtime::Builder;

/// The calls that touch a file or the network; `?` lets a machine lack one.
const CALLS: &str = "?close,?connect,?fallocate,?fchmod,?fdatasync,?flock,?fstat,?fsync,?ftruncate,?getdents64,\
                     ?getsockopt,?link,?linkat,?lseek,?mkdir,?mkdirat,?newfstatat,?open,?openat,?pread64,?pwrite64,\
                     ?read,?recvfrom,?rename,?renameat,?renameat2,?sendto,?setsockopt,?shutdown,?socket,?statx,?unlink,\
                     ?unlinkat,?write,?writev";
/// The short form stops after the first and the last of these: the lock taken and given back, before and after sending,
/// after the answer, while it is noted and kept.
const SHORT: [&str; 8] = ["connect", "fdatasync", "flock", "fsync", "linkat", "recvfrom", "rename", "writev"];
const PEERS: usize = 2;
const LOOK: Duration = Duration::from_millis(2);
/// Looks before something has gone wrong: a minute.
const LOOKS: u32 = 30_000;

/// One system call of one thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    call: String,
    nth: u64,
}

/// T4 REN-2
#[test]
fn stopped_after_any_call_of_a_renewal_its_peers_wait_and_adopt() {
    let points = points();
    let chosen: Vec<&Point> = match crate::full() {
        true => points.iter().collect(),
        false => SHORT.iter().flat_map(|call| ends(&points, call)).collect(),
    };
    let reached = |call: &&str| chosen.iter().any(|point| point.call == *call);
    assert!(SHORT.iter().all(reached), "{points:?}");
    let mut waited = 0;
    for point in &chosen {
        waited += stop_at(point);
    }
    assert!(waited > 0, "nobody ever waited for the stopped one");
    println!(
        "stops: after {} of {} system calls; the peers waited at {waited}; 0 reuses",
        chosen.len(),
        points.len()
    );
}

/// The first and the last point of that call.
fn ends<'a>(points: &'a [Point], call: &str) -> BTreeSet<&'a Point> {
    let of_it: Vec<&Point> = points.iter().filter(|point| point.call == call).collect();
    [of_it.first(), of_it.last()].into_iter().flatten().copied().collect()
}

/// Stops it there, lets the peers come, and goes on. 1 where a peer had to wait.
fn stop_at(point: &Point) -> usize {
    let world = World::start();
    let mut driver = Driver::start(&world, Some(point));
    assert!(driver.stops(), "{point:?} was not reached: {}", driver.log());
    let waited = std::thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS).map(|number| Peer::start(scope, &world, number)).collect();
        // It has asked for the lock in vain, or is done.
        let settled =
            look(|| peers.iter().all(|peer| peer.has_waited() || peer.run.is_finished()).then_some(()));
        settled.unwrap_or_else(|| panic!("{point:?}: the peers neither ended nor waited"));
        let waited = peers.iter().any(Peer::has_waited);
        driver.goes_on();
        for peer in peers {
            assert_eq!(peer.run.join().unwrap(), Some(2), "{point:?}");
        }
        usize::from(waited)
    });
    let presented = world.presented();
    let verdict = Ledger::of(&presented).judge(&Witness::default());
    assert_eq!((verdict.rotations, verdict.recoveries), (1, 0), "{point:?}: {presented:?}");
    assert_eq!(verdict.reuses, Vec::<String>::new(), "{point:?}");
    let ledger = world.fake.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses, ledger.unknown), (1, 0, 0), "{point:?}");
    waited
}

/// Asks for the renewal that the driver is at, as another process would.
struct Peer<'scope> {
    run: ScopedJoinHandle<'scope, Option<u64>>,
    /// How often it found the lock taken.
    taken: Arc<AtomicU64>,
}

impl<'scope> Peer<'scope> {
    fn start<'env>(scope: &'scope Scope<'scope, 'env>, world: &'env World, number: usize) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let lock = door::Lock::Watched(taken.clone());
        let run = scope.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let orders = world.orders(&format!("peer{number}"), Lock::Held, None);
            let store = Arc::new(FileBackend::create(&orders.dir).unwrap());
            let renewer = Renewer::on(Arc::new(Door { store, lock }), &orders, &runtime);
            match renewer.version() {
                Some(1) => runtime.block_on(renewer.renew(1)),
                newer => newer,
            }
        });
        Self { run, taken }
    }

    fn has_waited(&self) -> bool {
        self.taken.load(Ordering::Acquire) > 0
    }
}

/// Every call of a renewal between its markers.
fn points() -> Vec<Point> {
    let world = World::start();
    let mut driver = Driver::start(&world, None);
    driver.ends();
    let log = driver.log();
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut points = Vec::new();
    let mut inside = false;
    for line in log.lines() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((call, arguments)) = rest.trim_start().split_once('(') else {
            continue;
        };
        if !call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            continue;
        }
        let count = counts.entry((pid.to_owned(), call.to_owned())).or_default();
        *count += 1;
        if arguments.contains(END) {
            break;
        }
        if inside {
            points.push(Point { call: call.to_owned(), nth: *count });
        }
        inside |= arguments.contains(BEGIN);
    }
    points
}

/// A driver of one renewal, under `strace`.
struct Driver {
    strace: Child,
    log: PathBuf,
    /// Stops that were seen.
    seen: usize,
}

impl Driver {
    fn start(world: &World, point: Option<&Point>) -> Self {
        let log = world.home().join("strace.log");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(&log).arg(format!("--trace={CALLS}"));
        let inject = |point: &Point| format!("--inject={}:signal=SIGSTOP:when={}", point.call, point.nth);
        strace.args(point.map(inject));
        let strace = world.orders("stopped", Lock::Held, Some(1)).below(strace).spawn();
        let strace = strace.unwrap_or_else(|error| {
            panic!("strace cannot be run ({error}); it is needed here: apt-get install strace")
        });
        Self { strace, log, seen: 0 }
    }

    fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until it has stopped inside its renewal. A thread that comes to as many calls of that kind earlier is let
    /// go on.
    fn stops(&mut self) -> bool {
        let stopped = look(|| {
            let log = self.log();
            let stops = log.matches("stopped by SIGSTOP").count();
            let is_inside = log.contains(BEGIN);
            if stops > self.seen && !is_inside {
                self.go_on(&log, stops);
            }
            let ended = self.strace.try_wait().unwrap().is_some();
            (ended || (stops > self.seen && is_inside)).then_some(!ended)
        });
        stopped.unwrap_or_else(|| panic!("it neither stopped nor ended: {}", self.log()))
    }

    /// Lets it go on, however often it stops, until it ends.
    fn goes_on(&mut self) {
        self.go_on(&self.log(), 0);
        self.ends();
    }

    fn ends(&mut self) {
        let ended = look(|| {
            let log = self.log();
            let stops = log.matches("stopped by SIGSTOP").count();
            if stops > self.seen {
                self.go_on(&log, stops);
            }
            self.strace.try_wait().unwrap()
        });
        let ended = ended.unwrap_or_else(|| panic!("it did not end: {}", self.log()));
        assert!(ended.success(), "{ended}: {}", self.log());
    }

    fn go_on(&mut self, log: &str, stops: usize) {
        self.seen = self.seen.max(stops);
        // The first line is of the process' first thread.
        let pid = log.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let _ = kill_process(pid.and_then(Pid::from_raw).unwrap(), Signal::CONT);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let pid = self.log().split_whitespace().next().and_then(|pid| pid.parse().ok());
        if let (Ok(None), Some(pid)) = (self.strace.try_wait(), pid.and_then(Pid::from_raw)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn look<T>(mut at: impl FnMut() -> Option<T>) -> Option<T> {
    let bell = Bell::default();
    (0..LOOKS).find_map(|_| at().or_else(|| bell.rings_within(LOOK).then_some(None)?))
}
