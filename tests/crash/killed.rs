//! SIGKILL at every system call of a renewal, and an error at each of those that touch a file: the test binary renews a
//! token in a process of its own, at an identity provider that lives here, and `strace` is attached to one of its two
//! threads (the one that speaks to the network, the one that may block) once everything is ready. What is left is dealt
//! with by the next process and falls into one of the known classes.
use crate::renewal::{Authority, Class, ID, Process, prepare};
use rota::store::FileBackend;
use rustix::process::{PTracer, set_ptracer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const DRIVER: &str = "driver::every_scenario_comes_to_its_end_on_a_healthy_disk";
/// The calls of which it must be heard when they fail.
const FILE_CALLS: [&str; 13] = [
    "fchmod",
    "fdatasync",
    "flock",
    "fsync",
    "link",
    "linkat",
    "open",
    "openat",
    "pwrite64",
    "rename",
    "renameat",
    "unlink",
    "unlinkat",
];

/// Waiting for another thread: how often differs from run to run, and nothing happens meanwhile.
const WAITS: [&str; 2] = ["futex", "restart_syscall"];

/// T8 REN-2 REN-3
#[test]
fn a_renewal_may_be_killed_at_every_system_call() {
    let step = if crate::full() { 1 } else { 3 };
    let world = World::new();
    let mut classes: BTreeMap<Class, u64> = BTreeMap::new();
    let mut calls = BTreeSet::new();
    let mut missed = 0;
    for thread in [Thread::Network, Thread::Blocking] {
        for (call, nth) in world.points(thread).into_iter().step_by(step) {
            let run = world.run(thread, &format!("{call}:signal=KILL:when={nth}"));
            let class = world.deal(&run.dir);
            let class = class.unwrap_or_else(|wrong| {
                panic!("{thread:?} killed at {call} {nth}: {wrong}\n{}", run.log);
            });
            if run.ended {
                // Threads wake each other now more, now less often.
                missed += 1;
                assert_eq!(class, Class::Durable, "nothing was cut off");
                continue;
            }
            *classes.entry(class).or_default() += 1;
            calls.insert(call);
        }
    }
    let kills: u64 = classes.values().sum();
    assert!(kills >= 40 && missed * 4 <= kills, "{kills} kills, {missed} points were not reached");
    assert!(classes.contains_key(&Class::NotSent) && classes.contains_key(&Class::Durable), "{classes:?}");
    assert!(!classes.contains_key(&Class::LeftAlone), "nothing was shown twice: {classes:?}");
    if crate::full() {
        assert!(classes.contains_key(&Class::RecoveredSpent), "{classes:?}");
        assert!(classes.contains_key(&Class::RecoveredUnspent), "{classes:?}");
        for call in ["connect", "fdatasync", "fsync", "openat", "pwrite64", "recvfrom", "rename"] {
            assert!(calls.contains(call), "no kill at {call}: {calls:?}");
        }
    }
}

/// T7 REN-2: what cannot be noted is not sent.
#[test]
fn an_error_at_every_file_call_before_the_note_is_durable_keeps_the_token_at_home() {
    let errors =
        if crate::full() { &["EIO", "ENOSPC", "EROFS", "EDQUOT", "EACCES"][..] } else { &["EIO"][..] };
    let world = World::new();
    let mut points = world.points(Thread::Blocking);
    points.retain(|(call, _)| FILE_CALLS.contains(&call.as_str()));
    for error in errors {
        let (mut kept, mut sent) = (0, 0);
        for (call, nth) in &points {
            let run = world.run(Thread::Blocking, &format!("{call}:error={error}:when={nth}"));
            let what = format!("{error} at {call} {nth}: {}", run.log);
            assert!(run.ended && run.log.contains("(INJECTED)"), "{what}");
            let exchanges = world.authority.ledger().exchanges;
            // A record that cannot be read is read again after some errors, and then there was none.
            if !run.failed_to_read_a_record() {
                assert_eq!(exchanges, u64::from(!run.failed_before_the_note()), "{what}");
            }
            match exchanges {
                0 => kept += 1,
                _ => sent += 1,
            }
            let class = world.deal(&run.dir);
            assert!(class.is_ok(), "{class:?} after {what}");
        }
        assert!(kept >= 10 && sent >= 5, "{error}: {kept} kept, {sent} sent");
    }
}

/// Of the driver's two threads.
#[derive(Clone, Copy, Debug)]
enum Thread {
    Network,
    Blocking,
}

struct World {
    runtime: Runtime,
    authority: Authority,
    temp: tempfile::TempDir,
}

/// What became of one driver.
struct Run {
    dir: PathBuf,
    ended: bool,
    log: String,
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let authority = runtime.block_on(Authority::start());
        Self { runtime, authority, temp: tempfile::tempdir().unwrap() }
    }

    /// Has a fresh account renewed by a process one of whose threads meets `injection`.
    fn run(&self, thread: Thread, injection: &str) -> Run {
        let dir = self.temp.path().join("rota");
        let _ = fs::remove_dir_all(&dir);
        self.authority.reset();
        prepare(&FileBackend::create(&dir).unwrap());
        let mut driver = Driver::start(&dir, &self.authority.origin());
        let log = self.temp.path().join("log");
        let mut tracer = attach(driver.thread(thread), injection, &log);
        driver.go();
        let ended = driver.rest().iter().any(|line| line == "end");
        let _ = driver.process.wait();
        tracer.wait().unwrap();
        let log = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
        Run { dir, ended, log }
    }

    /// The calls of one thread of an undisturbed driver, each with its number among those of its name.
    fn points(&self, thread: Thread) -> Vec<(String, u64)> {
        let run = self.run(thread, "getuid:delay_enter=0");
        assert!(run.ended, "{}", run.log);
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let calls = run.log.lines().filter_map(|line| line.split_once('(').map(|(call, _)| call));
        let is_call =
            |call: &&str| call.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let number = |call: &str| {
            let count = counts.entry(call.to_owned()).or_default();
            *count += 1;
            (call.to_owned(), *count)
        };
        let calls = calls.filter(is_call).filter(|call| !WAITS.contains(call));
        let points: Vec<(String, u64)> = calls.map(number).collect();
        assert!(points.len() >= 20, "{thread:?}: {}", run.log);
        points
    }

    /// The next process.
    fn deal(&self, dir: &Path) -> Result<Class, String> {
        self.runtime.block_on(async {
            let backend = FileBackend::create(dir).map_err(|error| error.to_string())?;
            let process = Process::open(Arc::new(backend), &self.authority.origin());
            let process = process.map_err(|error| error.to_string())?;
            let found = process.version();
            let class = process.deal(&self.authority, || false).await?;
            let class = class.ok_or("it did not come to its end")?;
            // The record was written; what was renewed now is the token after it.
            Ok(if found == 2 && class == Class::NotSent && self.authority.ledger().exchanges == 2 {
                Class::Durable
            } else {
                class
            })
        })
    }
}

impl Run {
    fn failed_to_read_a_record(&self) -> bool {
        let is_read = |line: &str| line.contains("O_RDONLY") && line.contains("/credentials/");
        self.log.lines().any(|line| line.contains("(INJECTED)") && is_read(line))
    }

    /// True where the error came before the intent's own sync had succeeded.
    fn failed_before_the_note(&self) -> bool {
        let position = |is: &dyn Fn(&str) -> bool| self.log.lines().position(is);
        let failed = position(&|line| line.contains("(INJECTED)"));
        let noted = position(&|line| line.contains("fdatasync(") && line.contains("= 0"));
        match (failed, noted) {
            (Some(failed), Some(noted)) => failed < noted,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// The process that renews.
struct Driver {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    network: u32,
    blocking: u32,
}

impl Driver {
    fn start(dir: &Path, origin: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([DRIVER, "--exact", "--nocapture", "--test-threads=1"])
            .env("ROTA_CRASH_DRIVER", format!("renew:{} {origin}", dir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut driver = Self { process, output, network: 0, blocking: 0 };
        let ready = driver.says().unwrap();
        let mut ids = ready.split(' ').filter_map(|word| word.parse().ok());
        driver.network = ids.next().unwrap();
        driver.blocking = ids.next().unwrap();
        driver
    }

    fn thread(&self, thread: Thread) -> u32 {
        match thread {
            Thread::Network => self.network,
            Thread::Blocking => self.blocking,
        }
    }

    fn go(&mut self) {
        self.process.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    fn says(&mut self) -> Option<String> {
        let mut lines = std::io::Read::by_ref(&mut self.output).lines().map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix('@').map(str::to_owned))
    }

    fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.says()).collect()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Attaches `strace` to one thread; returns once it is attached.
fn attach(thread: u32, injection: &str, log: &Path) -> Child {
    let tracer = Command::new("strace")
        .args(["-p", &thread.to_string(), "-e", "signal=none", "-o"])
        .arg(log)
        .args(["-e", &format!("inject={injection}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut tracer = tracer.unwrap_or_else(|error| {
        panic!("strace cannot be run ({error}); it is needed here: apt-get install strace")
    });
    let mut said = String::new();
    let mut words = BufReader::new(tracer.stderr.take().unwrap());
    while !said.contains("attached") {
        let read = words.read_line(&mut said).unwrap();
        assert!(read > 0, "strace did not attach: {said}");
    }
    // Whatever else it says is read, so that it never waits for a reader.
    std::thread::spawn(move || std::io::copy(&mut words, &mut std::io::sink()));
    tracer
}

/// The driver: gets everything ready, waits for its orders, renews once.
pub(crate) fn renew(orders: &str) {
    let (dir, origin) = orders.split_once(' ').unwrap();
    // Where the kernel lets only ancestors trace. An older one that knows no such rule says no.
    let _ = set_ptracer(PTracer::Any);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_secs(3600))
        .build()
        .unwrap();
    runtime.block_on(async {
        let backend = Arc::new(FileBackend::create(Path::new(dir)).unwrap());
        let process = Process::open(backend, origin).unwrap();
        process.refresher.recover().await;
        let blocking = tokio::task::spawn_blocking(thread_id).await.unwrap();
        println!("\n@ready {} {blocking}", thread_id());
        std::io::stdin().lock().read_line(&mut String::new()).unwrap();
        process.refresher.refresh(ID, 1).await;
        println!("\n@end");
    });
}

fn thread_id() -> u32 {
    let path = fs::read_link("/proc/thread-self").unwrap();
    path.file_name().unwrap().to_str().unwrap().parse().unwrap()
}
