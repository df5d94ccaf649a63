//! One generation after the other: the write protocol.
use super::envelope;
use super::place::Place;
use super::scan::{Look, Scan};
use super::{Commits, FileBackend, Stamp};
use crate::store::SCHEMA;
use crate::store::backend::Key;
use crate::store::error::StoreError;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

/// Damaged files kept per record.
const CORRUPT_KEPT: usize = 3;
/// Further generations tried when the disk does not confirm one.
const RECOMMITS: u32 = 2;
/// Names tried for a temporary file.
const NAMES: u32 = 64;
/// What file systems without hard links say.
const NO_LINKS: [Errno; 4] = [Errno::PERM, Errno::NOTSUP, Errno::NOSYS, Errno::MLINK];

/// Why a generation was not confirmed.
pub(super) enum Setback {
    /// It is not in place, and trying again is pointless.
    Failed(StoreError),
    /// Its bytes were not confirmed; it is not in place.
    Unsynced(StoreError),
    /// It is in place, but perhaps not durably.
    Unsure(String),
}

impl Setback {
    pub(super) fn into_error(self, key: Key) -> StoreError {
        match self {
            Self::Failed(error) | Self::Unsynced(error) => error,
            Self::Unsure(problem) => StoreError::Unsure { key, problem },
        }
    }
}

/// A record that is to be replaced, and by what.
pub(super) struct Replacement<'a> {
    pub(super) key: Key,
    /// What is there.
    pub(super) scan: Scan,
    /// The first generation to write.
    pub(super) generation: u64,
    pub(super) body: &'a [u8],
}

impl FileBackend {
    /// Writes the replacement and returns the generation that the disk confirmed.
    pub(super) fn replace(&self, with: &Replacement<'_>, commits: &mut Commits) -> Result<u64, StoreError> {
        let key = with.key;
        let place = self.place(key);
        self.put_aside(&place, &with.scan)?;
        let mut generation = with.generation;
        let mut left = RECOMMITS;
        let mut doubt = None;
        loop {
            let (text, checksum) = envelope::seal(key, SCHEMA, generation, with.body);
            // Once a later generation is in place, the copy is good as it is.
            let replaced = doubt.is_none().then_some(with);
            match self.write(&place, &text, replaced, commits) {
                Ok(()) => {
                    commits.seen.insert(key, Stamp { generation, checksum });
                    return Ok(generation);
                }
                Err(Setback::Unsure(problem)) => doubt = Some(StoreError::Unsure { key, problem }),
                Err(Setback::Failed(error)) => return Err(doubt.unwrap_or(error)),
                Err(Setback::Unsynced(error)) if left == 0 => return Err(doubt.unwrap_or(error)),
                Err(Setback::Unsynced(_)) => {}
            }
            match doubt {
                Some(error) if left == 0 => return Err(error),
                Some(_) | None => {}
            }
            left -= 1;
            generation += 1;
        }
    }

    /// Writes and removes as many bytes as a record may need, beside the record.
    pub(super) fn rehearse(&self, key: Key, bytes: usize) -> Result<(), StoreError> {
        let text = vec![b' '; bytes];
        let path = self
            .write_new(&self.place(key), &text, &mut self.commits())
            .map_err(|setback| setback.into_error(key))?;
        self.fs.remove(&path).map_err(|error| StoreError::io("remove", &path, &error))
    }

    /// tmp, fsync, keep the copy, rename, fsync(dir).
    fn write(
        &self,
        place: &Place,
        text: &[u8],
        replaced: Option<&Replacement<'_>>,
        commits: &mut Commits,
    ) -> Result<(), Setback> {
        let tmp = self.write_new(place, text, commits)?;
        let main = place.main();
        let kept = match replaced {
            Some(replaced) => self.keep_copy(place, replaced, commits),
            None => Ok(()),
        };
        let renamed = kept.and_then(|()| {
            let renamed = self.fs.rename(&tmp, &main);
            renamed.map_err(|error| Setback::Failed(StoreError::io("replace", &main, &error)))
        });
        if let Err(setback) = renamed {
            // It never was a record: at worst it stays for the next owner to clear away.
            let _ = self.fs.remove(&tmp);
            return Err(setback);
        }
        let synced = self.fs.sync_dir(&place.dir);
        synced.map_err(|error| Setback::Unsure(error.to_string()))
    }

    /// Writes `text` to a new name beside the record and has its bytes confirmed.
    pub(super) fn write_new(
        &self,
        place: &Place,
        text: &[u8],
        commits: &mut Commits,
    ) -> Result<PathBuf, Setback> {
        let (path, mut file) = self.create_new(place, commits)?;
        let failed = |error: &io::Error| {
            let _ = self.fs.remove(&path);
            StoreError::io("write", &path, error)
        };
        file.write(text).map_err(|error| Setback::Failed(failed(&error)))?;
        file.sync().map_err(|error| Setback::Unsynced(failed(&error)))?;
        Ok(path)
    }

    fn create_new(
        &self,
        place: &Place,
        commits: &mut Commits,
    ) -> Result<(PathBuf, Box<dyn super::NewFile>), Setback> {
        let mut names = NAMES;
        loop {
            let path = commits.temporary(place);
            names -= 1;
            match self.fs.create(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && names > 0 => {}
                Err(error) => return Err(Setback::Failed(StoreError::io("create", &path, &error))),
            }
        }
    }

    /// Makes the copy a further name of what is about to be replaced. A damaged record is never copied.
    fn keep_copy(
        &self,
        place: &Place,
        replaced: &Replacement<'_>,
        commits: &mut Commits,
    ) -> Result<(), Setback> {
        let Scan::Main(sealed, meta) = &replaced.scan else {
            return Ok(());
        };
        let (main, copy) = (place.main(), place.copy());
        if self.fs.meta(&copy).is_ok_and(|copy| copy.ino == meta.ino) {
            return Ok(());
        }
        let mut link = commits.temporary(place);
        let mut names = NAMES;
        let mut linked = self.fs.link(&main, &link);
        // A process that was killed may have left this very name, and had this very number.
        while names > 0 && linked.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            names -= 1;
            link = commits.temporary(place);
            linked = self.fs.link(&main, &link);
        }
        match linked {
            Ok(()) => {}
            Err(error) if has_no_links(&error) => {
                let (text, _) = envelope::seal(replaced.key, sealed.schema, sealed.generation, &sealed.body);
                link = self.write_new(place, &text, commits)?;
            }
            Err(error) => {
                return Err(Setback::Failed(StoreError::io("keep a copy of", &main, &error)));
            }
        }
        self.fs.rename(&link, &copy).map_err(|error| {
            let _ = self.fs.remove(&link);
            Setback::Failed(StoreError::io("keep a copy of", &main, &error))
        })
    }

    /// Gives what is damaged a further name, so that it can be looked at later; the newest few are kept. Its own name
    /// stays until the new generation takes it: at no moment is there less than there was.
    fn put_aside(&self, place: &Place, scan: &Scan) -> Result<(), StoreError> {
        let Scan::NoMain { problem, copy } = scan else {
            return Ok(());
        };
        if problem.is_some() {
            self.put_file_aside(place, &place.main())?;
        }
        match copy {
            Look::Damaged(_) => self.put_file_aside(place, &place.copy()),
            Look::Absent | Look::Whole(..) => Ok(()),
        }
    }

    fn put_file_aside(&self, place: &Place, path: &Path) -> Result<(), StoreError> {
        let failed = |error: &io::Error| StoreError::io("put aside", path, error);
        let damaged = match self.fs.meta(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        let numbers = place.corrupt_among(&self.list(&place.dir)?);
        let is_aside = |number: &u64| {
            let aside = self.fs.meta(&place.corrupt(*number));
            aside.is_ok_and(|aside| aside.ino == damaged.ino)
        };
        if numbers.iter().any(is_aside) {
            return Ok(());
        }
        let surplus = (numbers.len() + 1).saturating_sub(CORRUPT_KEPT);
        for number in numbers.iter().take(surplus) {
            self.remove_file(&place.corrupt(*number))?;
        }
        let aside = place.corrupt(numbers.last().map_or(1, |last| last + 1));
        match self.fs.link(path, &aside) {
            Err(error) if has_no_links(&error) => self.fs.rename(path, &aside),
            done => done,
        }
        .map_err(|error| failed(&error))
    }

    /// Removes a file that may be gone already.
    pub(super) fn remove_file(&self, path: &Path) -> Result<(), StoreError> {
        match self.fs.remove(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("remove", path, &error)),
        }
    }
}

fn has_no_links(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    NO_LINKS.iter().any(|no| number == Some(no.raw_os_error()))
}
