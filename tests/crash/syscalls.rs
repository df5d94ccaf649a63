//! SIGKILL and every error number at every system call between a scenario's first and last: `strace` injects them into
//! the scenario's own process. `strace` must be there; a machine without it cannot say that the store is safe.
use crate::driver::Scenario;
use crate::orders::{BEGIN, END};
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

/// The calls that can touch a file; `?` lets a machine lack one.
const CALLS: &str = "?chmod,?close,?fchmod,?fchmodat,?flock,?fstat,?fsync,?ftruncate,?getdents64,?link,?linkat,?lseek,\
                     ?mkdir,?mkdirat,?newfstatat,?open,?openat,?pread64,?pwrite64,?read,?rename,?renameat,?renameat2,\
                     ?statx,?unlink,?unlinkat,?write";
const ERRORS: [&str; 7] = ["ENOSPC", "EIO", "EROFS", "EDQUOT", "EINTR", "EMFILE", "EACCES"];
const DRIVER: &str = "driver::every_scenario_comes_to_its_end_on_a_healthy_disk";

/// STO-4
#[test]
fn a_commit_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Commit);
}

/// STO-8
#[test]
fn an_import_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Import);
}

/// STO-1
#[test]
fn a_migration_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Migrate);
}

/// STO-8
#[test]
fn a_restore_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Restore);
}

/// STO-4 STO-7
#[test]
fn settings_credentials_and_removals_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Store);
}

/// STO-4
#[test]
fn turning_encryption_on_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Seal);
}

/// STO-4
#[test]
fn turning_encryption_off_may_be_killed_at_every_system_call() {
    kill_everywhere(Scenario::Unseal);
}

/// A store that truncates its file in place: the harness must notice.
#[test]
fn a_careless_store_is_noticed() {
    let noticed = points(Scenario::Careless).iter().any(|point| {
        let run = Run::of(Scenario::Careless, &Injection::Kill(point), None);
        !Scenario::Careless.judge(&run.dir(), &run.told).is_empty()
    });
    assert!(noticed);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_a_commit_leaves_the_old_generation_and_is_told() {
    fail_everywhere(Scenario::Commit);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_an_import_leaves_a_store_that_opens() {
    fail_everywhere(Scenario::Import);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_a_migration_leaves_a_store_that_opens() {
    fail_everywhere(Scenario::Migrate);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_a_restore_leaves_a_store_that_opens() {
    fail_everywhere(Scenario::Restore);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_settings_credentials_and_removals_leaves_a_store_that_opens() {
    fail_everywhere(Scenario::Store);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_turning_encryption_on_leaves_a_store_that_opens() {
    fail_everywhere(Scenario::Seal);
}

/// STO-4
#[test]
fn every_error_at_every_system_call_of_turning_encryption_off_leaves_a_store_that_opens() {
    fail_everywhere(Scenario::Unseal);
}

/// STO-4
#[test]
fn every_file_is_made_for_its_owner_only_whatever_the_umask() {
    for umask in ["000", "077", "777"] {
        let run = Run::of(Scenario::Commit, &Injection::None, Some(umask));
        run.must_end();
        let made: Vec<&str> = run.log.lines().filter(|line| line.contains("O_CREAT")).collect();
        assert!(!made.is_empty());
        for line in made {
            assert!(line.contains("O_EXCL") && line.contains("0600"), "{line}");
        }
        for entry in crate::walk(&run.dir()) {
            let wanted = if entry.is_dir() { 0o700 } else { 0o600 };
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&entry).unwrap().permissions());
            assert_eq!(mode & 0o7777, wanted, "{} under umask {umask}", entry.display());
        }
    }
}

/// A point of a scenario: the nth call of this name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Point {
    call: String,
    nth: u64,
    /// It writes to the driver's own output, not to a file.
    speaks: bool,
}

enum Injection<'a> {
    None,
    Error(&'a Point, &'a str),
    Kill(&'a Point),
}

impl Injection<'_> {
    fn argument(&self) -> Option<String> {
        let (point, what) = match self {
            Self::None => return None,
            Self::Error(point, error) => (point, format!("error={error}")),
            Self::Kill(point) => (point, "signal=KILL".to_owned()),
        };
        Some(format!("--inject={}:{what}:when={}", point.call, point.nth))
    }
}

fn strace(umask: Option<&str>) -> Command {
    let Some(umask) = umask else {
        return Command::new("strace");
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\""), "strace"]);
    shell
}

struct Run {
    _temp: tempfile::TempDir,
    root: std::path::PathBuf,
    told: Vec<String>,
    output: String,
    log: String,
}

/// Kills at every call of a commit; of the longer scenarios the short form takes every third.
fn kill_everywhere(scenario: Scenario) {
    let step = if crate::full() || scenario == Scenario::Commit { 1 } else { 3 };
    for point in points(scenario).iter().step_by(step) {
        let run = Run::of(scenario, &Injection::Kill(point), None);
        assert!(!run.ended(), "{scenario:?}: {point:?} was not reached");
        run.judge(scenario, &format!("killed at {point:?}"));
    }
}

/// Every call fails; in the short form with one error each, in turn, and of the longer scenarios every third.
fn fail_everywhere(scenario: Scenario) {
    let step = if crate::full() || scenario == Scenario::Commit { 1 } else { 3 };
    let points = points(scenario);
    let points = points.iter().filter(|point| !point.speaks);
    for (turn, point) in points.enumerate().step_by(step) {
        let errors = match crate::full() {
            true => &ERRORS[..],
            false => std::slice::from_ref(&ERRORS[turn % ERRORS.len()]),
        };
        for error in errors {
            let run = Run::of(scenario, &Injection::Error(point, error), None);
            run.must_end();
            let reached = run.log.contains("(INJECTED)");
            assert!(reached, "{scenario:?}: {point:?} was not reached");
            run.judge(scenario, &format!("{error} at {point:?}"));
        }
    }
}

/// Every call of the scenario between its markers.
fn points(scenario: Scenario) -> Vec<Point> {
    let run = Run::of(scenario, &Injection::None, None);
    run.must_end();
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut points = Vec::new();
    let mut inside = false;
    for line in run.log.lines() {
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
            points.push(Point {
                call: call.to_owned(),
                nth: *count,
                speaks: call == "write" && arguments.starts_with("1,"),
            });
        }
        inside |= arguments.contains(BEGIN);
    }
    assert!(points.len() >= 8, "{scenario:?} has {} points: {}", points.len(), run.log);
    points
}

impl Run {
    fn of(scenario: Scenario, injection: &Injection<'_>, umask: Option<&str>) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_owned();
        scenario.prepare(&root.join("rota"));
        let log = root.join("log");
        let output = strace(umask)
            .args(["-f", "-qq", "-e", "signal=none", "-o"])
            .arg(&log)
            .arg(format!("--trace={CALLS}"))
            .args(injection.argument())
            .arg(std::env::current_exe().unwrap())
            .args([DRIVER, "--exact", "--nocapture", "--test-threads=1"])
            .env("ROTA_CRASH_DRIVER", format!("{}:{}", scenario.name(), root.join("rota").display()))
            .env("RUST_BACKTRACE", "0")
            // What cargo and a terminal would have the loader and the test harness look up.
            .env_remove("LD_LIBRARY_PATH")
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .output();
        let output = output.unwrap_or_else(|error| {
            panic!("strace cannot be run ({error}); it is needed here: apt-get install strace")
        });
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        let told = said.lines().filter_map(|line| line.strip_prefix('@'));
        let told = told.map(str::to_owned).collect();
        let log = fs::read(&log).map(|bytes| text(&bytes));
        let log = log.unwrap_or_else(|error| panic!("strace left no log ({error}): {complained}"));
        assert!(log.contains(BEGIN), "{scenario:?} did not begin: {said} {complained}");
        let output = format!("{said}\n{complained}");
        Self { _temp: temp, root, told, output, log }
    }

    fn dir(&self) -> std::path::PathBuf {
        self.root.join("rota")
    }

    fn ended(&self) -> bool {
        self.told.iter().any(|line| line.starts_with("end "))
    }

    fn must_end(&self) {
        assert!(self.ended(), "the driver did not come to its end: {}", self.output);
    }

    /// The store is as it must be, and doing it again, undisturbed, succeeds.
    fn judge(&self, scenario: Scenario, what: &str) {
        let steps = self.told.iter().filter(|line| !line.starts_with("end "));
        let told: Vec<String> = steps.cloned().collect();
        let wrong = scenario.judge(&self.dir(), &told);
        assert_eq!(wrong, Vec::<String>::new(), "{scenario:?} {what}; told {told:?}; {}", self.log);
        let mut again = Vec::new();
        let done = scenario.act(&self.dir(), &mut |line| again.push(line));
        assert_eq!(done, Ok(()), "{scenario:?} {what}, then again");
        let wrong = scenario.judge(&self.dir(), &again);
        assert_eq!(wrong, Vec::<String>::new(), "{scenario:?} {what}, then again: {again:?}");
    }
}
