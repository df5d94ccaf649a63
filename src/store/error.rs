use super::backend::Key;
use std::io;
use std::path::{Path, PathBuf};

/// Why the store could not do it. Every text says what to do next; none holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A document given for import is not one.
    #[error("the document cannot be imported: {0}; nothing was changed")]
    BadDocument(String),
    /// Somebody else wrote the record since it was read; it was left as it is.
    #[error(
        "record {key} is not the one that was read (version {found}, expected {expected}): another program changed it; nothing was overwritten"
    )]
    Conflict {
        /// Which.
        key: Key,
        /// What was expected.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Neither the record nor its last-known-good copy can be read.
    #[error("record {key} cannot be read: {problem}; `rota store verify` shows what is there")]
    Damaged {
        /// Which.
        key: Key,
        /// What is wrong with it.
        problem: String,
    },
    /// Others could read or replace the files.
    #[error("{}: {problem}; to fix it: {fix}", path.display())]
    Insecure {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// A command that puts it right.
        fix: String,
    },
    /// The operating system said no; what was stored before is intact.
    #[error("cannot {action} {}: {problem}", path.display())]
    Io {
        /// What was tried: "write", "sync", …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// In the system's words, and what to do.
        problem: String,
        /// The system's number of it, if it has one.
        errno: Option<i32>,
    },
    /// The account's lock is not what it was: others may hold another one.
    #[error(
        "the lock file {} was removed or replaced while it was held; nothing was sent. Leave the files in that directory alone, also when rota is stopped",
        path.display()
    )]
    LockLost {
        /// The file.
        path: PathBuf,
    },
    /// Another process owns the store (exit code 75).
    #[error("another rota{} owns {}; stop it first, or talk to it{}", owner(*pid), dir.display(), at(detail))]
    Locked {
        /// The process, if it said so.
        pid: Option<u32>,
        /// The store.
        dir: PathBuf,
        /// Where it listens, one address a line; empty if it has not said.
        detail: String,
    },
    /// Credential records are sealed, and no key is given (exit code 78). Nothing was changed.
    #[error(
        "{records} credential records are sealed with key {sealed_with}, and no key is given; name it with `encryption.key_file`, `encryption.key_credential` or `encryption.key_command`. Nothing was changed"
    )]
    KeyMissing {
        /// How many.
        records: usize,
        /// The name of the key that one of them wants.
        sealed_with: String,
    },
    /// A newer rota wrote it; it was left untouched.
    #[error(
        "record {key} has schema {found}, but this rota knows {known}; install the newer rota, nothing was changed"
    )]
    NewerSchema {
        /// Which.
        key: Key,
        /// Its schema.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// What is sealed does not open, or could not be sealed; the record was left as it is.
    #[error("record {key} is sealed: {problem}")]
    Sealed {
        /// Which.
        key: Key,
        /// Why, and what to do.
        problem: String,
    },
    /// The state can be read neither from the main record nor from its copy: rota does not start (STO-5).
    #[error(
        "STORE_UNRECOVERABLE: {0}. Nothing was overwritten. `rota store verify` shows what is there, `rota store restore DIR` brings a backup back"
    )]
    Unrecoverable(String),
    /// It was written, but whether it would survive a power cut is unknown.
    #[error("record {key} was written, but the disk did not confirm it: {problem}")]
    Unsure {
        /// Which.
        key: Key,
        /// In the system's words.
        problem: String,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

fn at(detail: &str) -> String {
    match detail.is_empty() {
        true => String::new(),
        false => format!(" at {}", detail.replace('\n', ", ")),
    }
}

impl StoreError {
    /// The stable code shown in logs and in `--json` output.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadDocument(_) => "STORE_BAD_DOCUMENT",
            Self::Conflict { .. } => "STORE_CONFLICT",
            Self::Damaged { .. } => "STORE_DAMAGED",
            Self::Insecure { .. } => "STORE_INSECURE",
            Self::Io { .. } => "STORE_IO",
            Self::KeyMissing { .. } => "STORE_KEY_MISSING",
            Self::LockLost { .. } => "STORE_LOCK_LOST",
            Self::Locked { .. } => "STORE_LOCKED",
            Self::NewerSchema { .. } => "STORE_NEWER_SCHEMA",
            Self::Sealed { .. } => "STORE_SEALED",
            Self::Unrecoverable(_) => "STORE_UNRECOVERABLE",
            Self::Unsure { .. } => "STORE_UNSURE",
        }
    }

    /// `error`, met while trying to `action` the file at `path`.
    pub(super) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        let kind = error.kind();
        let is_full = kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded;
        let hint = if is_full {
            "; free some space"
        } else if kind == io::ErrorKind::ReadOnlyFilesystem {
            "; the file system must be writable"
        } else if kind == io::ErrorKind::PermissionDenied {
            "; it must belong to the user that runs rota"
        } else {
            ""
        };
        Self::Io {
            action,
            path: path.to_owned(),
            problem: format!("{error}{hint}"),
            errno: error.raw_os_error(),
        }
    }
}
