//! Locks: one owner of the directory, one renewer of an account. Lock files are never unlinked.
use super::place::{self, CREDENTIALS, JOURNAL, RUNTIME};
use super::{FileBackend, NOTE};
use crate::store::backend::Guard;
use crate::store::error::StoreError;
use crate::store::fs::{LockFile, Patience, StoreFs};
use rustix::io::Errno;
use rustix::process::Pid;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl FileBackend {
    /// Takes the lock at `path`; none where it is taken and `patience` is short.
    pub(super) fn take(
        &self,
        path: &Path,
        patience: Patience,
    ) -> Result<Option<Box<dyn LockFile>>, StoreError> {
        loop {
            let lock = match self.fs.lock(path, patience) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(StoreError::io("lock", path, &error)),
            };
            // Whoever removed the file while we waited left us a lock that nobody else will ever meet.
            match self.fs.meta(path) {
                Ok(meta) if meta.ino == lock.ino() => return Ok(Some(lock)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("look at", path, &error)),
            }
        }
    }

    /// Who holds the lock at `path`, as far as its text says so. An owner that has only just taken it finds the text of
    /// the one before: what a process left that is no more says nothing of who holds it now.
    pub(super) fn locked(&self, path: &Path) -> StoreError {
        let text = self.fs.read(path, NOTE).map(|(bytes, _)| bytes).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let (pid, addresses) = text.split_once('\n').unwrap_or((&text, ""));
        let printable = |c: &char| c.is_ascii_graphic() || *c == '\n';
        let pid = pid.trim().parse().ok().filter(|pid| is_alive(*pid));
        StoreError::Locked {
            pid: pid.map(i32::cast_unsigned),
            dir: self.dir.clone(),
            detail: pid.map_or_else(String::new, |_| addresses.trim().chars().filter(printable).collect()),
        }
    }

    /// Removes the half-written generations of writers that are no more. Another process may be renewing a token right
    /// now, under the account's lock alone: what a living one writes is left to it.
    pub(super) fn clear_away(&self) -> Result<(), StoreError> {
        let dirs = [CREDENTIALS, RUNTIME, JOURNAL].map(|name| self.dir.join(name));
        for dir in dirs.iter().chain([&self.dir]) {
            for name in self.list(dir)? {
                if place::writer_of(&name).is_some_and(|pid| !is_another_alive(pid)) {
                    self.remove_file(&dir.join(name))?;
                }
            }
        }
        Ok(())
    }
}

fn is_another_alive(pid: i32) -> bool {
    is_alive(pid) && pid.cast_unsigned() != std::process::id()
}

fn is_alive(pid: i32) -> bool {
    let process = Pid::from_raw(pid).filter(|_| pid > 0);
    process.is_some_and(|process| rustix::process::test_kill_process(process) != Err(Errno::SRCH))
}

/// A lock of ours; the file's text says who holds it.
pub(super) struct Held {
    pub(super) fs: Arc<dyn StoreFs>,
    pub(super) lock: Box<dyn LockFile>,
    pub(super) path: PathBuf,
}

impl Guard for Held {
    fn announce(&self, addresses: &str) -> Result<(), StoreError> {
        self.lock
            .note(&format!("{}\n{addresses}\n", std::process::id()))
            .map_err(|error| StoreError::io("write", &self.path, &error))
    }

    fn holds(&self) -> Result<(), StoreError> {
        match self.fs.meta(&self.path) {
            Ok(meta) if meta.ino == self.lock.ino() => Ok(()),
            Ok(_) => Err(StoreError::LockLost { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::LockLost { path: self.path.clone() })
            }
            Err(error) => Err(StoreError::io("look at", &self.path, &error)),
        }
    }
}
