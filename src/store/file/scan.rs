//! Looking without touching: what the files of a record hold, and whether they may be trusted.
use super::envelope::{self, Sealed};
use super::place::{self, CREDENTIALS, Place};
use super::{FileBackend, LARGEST};
use crate::store::SCHEMA;
use crate::store::backend::{Found, Key, Record, Remnant};
use crate::store::error::StoreError;
use crate::store::fs::{Kind, Meta};
use std::io;
use std::path::{Path, PathBuf};

/// What one file holds.
pub(super) enum Look {
    Absent,
    Damaged(String),
    Whole(Sealed, Meta),
}

/// What the files of a record hold. The copy is looked at only where the record itself cannot be read.
pub(super) enum Scan {
    Main(Sealed, Meta),
    NoMain {
        /// What is wrong with it; none where it is gone.
        problem: Option<String>,
        copy: Look,
    },
}

/// A file's bytes, or why there are none.
pub(super) enum Bytes {
    Absent,
    Damaged(String),
    Read(Vec<u8>, Meta),
}

impl FileBackend {
    /// The names in `dir`; none where it is missing.
    pub(super) fn list(&self, dir: &Path) -> Result<Vec<String>, StoreError> {
        match self.fs.list(dir) {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(StoreError::io("list", dir, &error)),
        }
    }

    /// The file's bytes, if it is ours alone.
    pub(super) fn bytes(&self, path: &Path) -> Result<Bytes, StoreError> {
        let error = match self.fs.read(path, LARGEST) {
            Ok((bytes, meta)) => {
                place::check(self.fs.as_ref(), path, meta, Kind::File)?;
                return Ok(Bytes::Read(bytes, meta));
            }
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::NotFound {
            return Ok(Bytes::Absent);
        }
        if error.kind() == io::ErrorKind::FileTooLarge {
            let problem = format!("it is larger than {} MiB", LARGEST >> 20);
            return Ok(Bytes::Damaged(problem));
        }
        if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
            return Ok(Bytes::Damaged(format!("it cannot be read: {error}")));
        }
        if let Ok(meta) = self.fs.meta(path) {
            place::check(self.fs.as_ref(), path, meta, Kind::File)?;
        }
        Err(StoreError::io("read", path, &error))
    }

    fn look_once(&self, key: Key, path: &Path) -> Result<Look, StoreError> {
        let (bytes, meta) = match self.bytes(path)? {
            Bytes::Read(bytes, meta) => (bytes, meta),
            Bytes::Absent => return Ok(Look::Absent),
            Bytes::Damaged(problem) => return Ok(Look::Damaged(problem)),
        };
        match envelope::open(key, &bytes) {
            Ok(sealed) if sealed.schema > SCHEMA => {
                Err(StoreError::NewerSchema { key, found: sealed.schema, known: SCHEMA })
            }
            Ok(sealed) => Ok(Look::Whole(sealed, meta)),
            Err(problem) => Ok(Look::Damaged(problem)),
        }
    }

    /// Damage is believed when it is seen twice: a read that went wrong once must not cost a generation.
    fn look(&self, key: Key, path: &Path) -> Result<Look, StoreError> {
        match self.look_once(key, path)? {
            Look::Damaged(_) => self.look_once(key, path),
            look @ (Look::Absent | Look::Whole(..)) => Ok(look),
        }
    }

    /// Files of credential records that are neither the record nor a generation being written, and that nobody keeps.
    pub(super) fn credential_remnants(
        &self,
        keep: &dyn Fn(Key, Remnant<'_>) -> bool,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.dir.join(CREDENTIALS);
        let mut found = Vec::new();
        for name in self.list(&dir)? {
            let Some(key) = place::account_of(&name).map(Key::Credential) else {
                continue;
            };
            let path = dir.join(&name);
            if path == self.place(key).main() {
                continue;
            }
            let bytes = match self.bytes(&path)? {
                // Damage is believed when it is seen twice.
                Bytes::Damaged(_) => self.bytes(&path)?,
                bytes @ (Bytes::Absent | Bytes::Read(..)) => bytes,
            };
            let kept = match bytes {
                Bytes::Absent => true,
                Bytes::Damaged(_) => keep(key, Remnant::Damaged(&[])),
                Bytes::Read(bytes, _) => match envelope::open(key, &bytes) {
                    Ok(sealed) => keep(key, Remnant::Copy(&sealed.body)),
                    Err(_) => keep(key, Remnant::Damaged(&bytes)),
                },
            };
            found.extend((!kept).then_some(path));
        }
        Ok(found)
    }

    pub(super) fn scan(&self, key: Key, place: &Place) -> Result<Scan, StoreError> {
        let problem = match self.look(key, &place.main())? {
            Look::Whole(sealed, meta) => return Ok(Scan::Main(sealed, meta)),
            Look::Absent => None,
            Look::Damaged(problem) => Some(problem),
        };
        let copy = match (self.look(key, &place.copy())?, &problem) {
            (Look::Absent, None) if !place.corrupt_among(&self.list(&place.dir)?).is_empty() => {
                Look::Damaged("only damaged files of the record are left".to_owned())
            }
            (copy, _) => copy,
        };
        Ok(Scan::NoMain { problem, copy })
    }
}

impl From<Scan> for Found {
    fn from(scan: Scan) -> Self {
        let (problem, copy) = match scan {
            Scan::Main(sealed, _) => return Self::Good(record(sealed)),
            Scan::NoMain { problem, copy } => (problem, copy),
        };
        let gone = "it is gone".to_owned();
        match (problem, copy) {
            (None, Look::Absent) => Self::Absent,
            (Some(problem), Look::Absent) => {
                Self::Damaged { problem: format!("{problem}, and it has no copy") }
            }
            (problem, Look::Damaged(copy)) => {
                Self::Damaged { problem: format!("{}; its copy: {copy}", problem.unwrap_or(gone)) }
            }
            (problem, Look::Whole(sealed, _)) => {
                Self::Restored { record: record(sealed), problem: problem.unwrap_or(gone) }
            }
        }
    }
}

fn record(sealed: Sealed) -> Record {
    Record { version: sealed.generation, schema: sealed.schema, body: sealed.body }
}
