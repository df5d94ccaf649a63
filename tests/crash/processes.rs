//! Several processes on one directory: one owner, whoever comes first, and nobody keeps the store by accident.
use rota::store::{Backend, FileBackend};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const DRIVER: &str = "driver::every_scenario_comes_to_its_end_on_a_healthy_disk";

/// STO-6
#[test]
fn of_many_daemons_exactly_one_owns_the_store_and_the_others_name_it() {
    let rounds = if crate::full() { 25 } else { 3 };
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("rota");
    for _ in 0..rounds {
        let mut daemons: Vec<Daemon> = (0..4).map(|_| Daemon::start(&dir)).collect();
        let said: Vec<String> = daemons.iter_mut().map(Daemon::says).collect();
        let owners: Vec<usize> = (0..4).filter(|at| said[*at].starts_with("owner ")).collect();
        assert_eq!(owners.len(), 1, "{said:?}");
        let owner = daemons[owners[0]].process.id();
        for (at, line) in said.iter().enumerate().filter(|(at, _)| *at != owners[0]) {
            // One that came before the owner had written its number may not know it.
            let named = *line == format!("locked Some({owner}) http://127.0.0.1:7682");
            let early = line.starts_with("locked ") && !line.contains("http");
            assert!(named || early, "{at}: {line}, but the owner is {owner}");
        }
        let mut late = Daemon::start(&dir);
        assert_eq!(late.says(), format!("locked Some({owner}) http://127.0.0.1:7682"));
    }
}

/// STO-6
#[test]
fn a_killed_owner_leaves_the_store_free_even_while_its_child_lives_on() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("rota");
    let mut owner = Daemon::start(&dir);
    assert!(owner.says().starts_with("owner "));
    let backend = FileBackend::create(&dir).unwrap();
    assert!(backend.own().is_err_and(|error| error.code() == "STORE_LOCKED"));
    owner.process.kill().unwrap();
    owner.process.wait().unwrap();
    assert!(backend.own().is_ok(), "the child did not inherit the lock");
}

struct Daemon {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
    child: Option<Pid>,
}

impl Daemon {
    fn start(dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([DRIVER, "--exact", "--nocapture", "--test-threads=1"])
            .env("ROTA_CRASH_DRIVER", format!("own:{}", dir.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let child = None;
        Self { process, output, child }
    }

    fn says(&mut self) -> String {
        let mut lines = std::io::Read::by_ref(&mut self.output).lines().map_while(Result::ok);
        let said = lines.find_map(|line| line.strip_prefix('@').map(str::to_owned)).unwrap();
        let child = said.strip_prefix("owner ").and_then(|child| child.parse().ok());
        self.child = child.and_then(Pid::from_raw);
        said
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(child) = self.child {
            let _ = kill_process(child, Signal::KILL);
        }
    }
}
