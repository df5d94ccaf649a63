//! A file of another program: read whole, replaced at once or not at all, where a link leads to and not in its place.
use crate::cli::CliError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Nobody's configuration is larger.
const LARGEST: u64 = 4 * 1024 * 1024;
/// What a copy's name ends in.
const COPY: &str = ".before-rota";
/// So many older ones are kept.
const COPIES: u32 = 99;
/// Of a file that is new; keys may come to stand in it.
const PRIVATE: u32 = 0o600;

/// A file as it was read.
pub(super) struct ForeignFile {
    /// As the program names it.
    pub(super) path: PathBuf,
    /// Where that leads.
    real: PathBuf,
    found: Option<Found>,
}

struct Found {
    text: String,
    mode: u32,
}

impl ForeignFile {
    /// One that does not exist is empty.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let bad = |error: &io::Error| CliError::failed(format!("{} cannot be read: {error}", path.display()));
        let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match fs::symlink_metadata(path) {
            Err(error) if absent(&error) => {
                return Ok(Self { path: path.to_owned(), real: path.to_owned(), found: None });
            }
            Err(error) => return Err(bad(&error)),
            Ok(_) => {}
        }
        let real = fs::canonicalize(path).map_err(|error| match absent(&error) {
            true => CliError::failed(format!("{} is a link that leads nowhere", path.display())),
            false => bad(&error),
        })?;
        let about = fs::metadata(&real).map_err(|error| bad(&error))?;
        if !about.is_file() {
            return Err(CliError::failed(format!("{} is not a file", path.display())));
        }
        let mut bytes = Vec::new();
        let file = File::open(&real).map_err(|error| bad(&error))?;
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| bad(&error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(CliError::failed(format!("{} is larger than any configuration", path.display())));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| CliError::failed(format!("{} is not UTF-8; nothing was changed", path.display())))?;
        let mode = about.permissions().mode() & 0o7777;
        Ok(Self { path: path.to_owned(), real, found: Some(Found { text, mode }) })
    }

    pub(super) fn exists(&self) -> bool {
        self.found.is_some()
    }

    pub(super) fn text(&self) -> &str {
        self.found.as_ref().map_or("", |found| found.text.as_str())
    }

    /// Where its copy is, or would be: beside the name that the program knows.
    pub(super) fn backup(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(COPY);
        PathBuf::from(name)
    }

    /// Keeps what was read.
    pub(super) fn keep_copy(&self) -> Result<(), CliError> {
        let copy = self.backup();
        write(&copy, self.text(), self.mode()).map_err(|error| {
            let copy = copy.display();
            CliError::failed(format!("the copy {copy} cannot be written: {error}\n  nothing was changed"))
        })
    }

    /// Gives the copy that is there another name: it may be all that is left of an older file.
    pub(super) fn put_copy_aside(&self) -> Result<(), CliError> {
        let copy = self.backup();
        let there = Self::read(&copy)?;
        if !there.exists() || there.text() == self.text() {
            return Ok(());
        }
        for number in 1..=COPIES {
            let mut aside = copy.as_os_str().to_owned();
            aside.push(format!(".{number}"));
            // A name that is taken is never taken away.
            match fs::hard_link(&copy, &aside) {
                Ok(()) => return self.drop_copy(),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let what = format!("the older copy {} cannot be put aside", copy.display());
                    return Err(CliError::io(what, &error));
                }
            }
        }
        Err(CliError::failed(format!(
            "{} and {COPIES} older copies are there; look which you need, remove the others, then try again",
            copy.display()
        )))
    }

    /// Forgets the copy, if there is one.
    pub(super) fn drop_copy(&self) -> Result<(), CliError> {
        let copy = self.backup();
        match fs::remove_file(&copy) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CliError::io(format!("the copy {} cannot be removed", copy.display()), &error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Puts `text` in its place, whole or not at all.
    pub(super) fn replace(&self, text: &str) -> Result<(), CliError> {
        self.unchanged()?;
        if self.found.as_ref().is_some_and(|found| found.mode & 0o200 == 0) {
            return Err(self.unwritten("it is read-only"));
        }
        if let Some(dir) = self.real.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(|error| self.unwritten(error))?;
        }
        write(&self.real, text, self.mode()).map_err(|error| self.unwritten(error))
    }

    pub(super) fn remove(&self) -> Result<(), CliError> {
        self.unchanged()?;
        fs::remove_file(&self.path).map_err(|error| self.unwritten(error))
    }

    fn mode(&self) -> u32 {
        self.found.as_ref().map_or(PRIVATE, |found| found.mode)
    }

    /// The program, or a person, may have written it since it was read.
    fn unchanged(&self) -> Result<(), CliError> {
        let now = Self::read(&self.path)?;
        match now.exists() == self.exists() && now.text() == self.text() {
            true => Ok(()),
            false => Err(self.unwritten("somebody has changed it just now; try again")),
        }
    }

    fn unwritten(&self, why: impl std::fmt::Display) -> CliError {
        CliError::failed(format!("{} cannot be written: {why}\n  nothing was changed", self.path.display()))
    }
}

/// Beside it, synced, and then in its place.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let half = path.with_file_name(name);
    let written = fill(&half, text, mode).and_then(|()| fs::rename(&half, path));
    if written.is_err() {
        let _ = fs::remove_file(&half);
    }
    written
}

fn fill(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
