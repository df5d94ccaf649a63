//! What the store promises when the machine does not play along: power cuts on a simulated file system, SIGKILL and
//! every error number at every system call of a real one, several processes at once. A short form runs with
//! `cargo test`; `ROTA_CRASH=full` runs all of it.
#![expect(clippy::unwrap_used, reason = "all of this is a test, helpers too")]
use std::path::{Path, PathBuf};

mod changes;
mod cuts;
mod driver;
mod killed;
mod orders;
mod processes;
mod race;
mod renewal;
mod rotations;
mod sim;
mod syscalls;

/// True for the long form.
#[expect(clippy::disallowed_methods, reason = "a switch of the harness, not of the program")]
fn full() -> bool {
    std::env::var("ROTA_CRASH").is_ok_and(|form| form == "full")
}

/// The directory and all that is below it.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(walk(&path)),
            false => found.push(path),
        }
    }
    found
}
