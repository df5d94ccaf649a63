//! Names and permissions: where each record's files lie, and what they must look like to be trusted.
use crate::model::AccountId;
use crate::store::backend::Key;
use crate::store::error::StoreError;
use crate::store::fs::{Kind, Meta, StoreFs};
use std::io;
use std::path::{Path, PathBuf};

pub(super) const CREDENTIALS: &str = "credentials";
pub(super) const RUNTIME: &str = "runtime";
pub(super) const LOCKS: &str = "locks";
pub(super) const JOURNAL: &str = "journal";
const AUDIT: &str = "audit.json";
const STATE: &str = "state.json";
const EXTENSION: &str = ".json";
const COPY: &str = ".lkg";
const CORRUPT: &str = ".corrupt-";
const TEMPORARY: &str = ".tmp-";

/// A record's files: its directory and its name there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    name: String,
}

impl Place {
    pub(super) fn of(root: &Path, key: Key) -> Self {
        let (dir, name) = match key {
            Key::Audit => (root.to_owned(), AUDIT.to_owned()),
            Key::State => (root.to_owned(), STATE.to_owned()),
            Key::Credential(id) => (root.join(CREDENTIALS), format!("{id}{EXTENSION}")),
            Key::Runtime(id) => (root.join(RUNTIME), format!("{id}{EXTENSION}")),
        };
        Self { dir, name }
    }

    /// An account's journal, which is no record.
    pub(super) fn journal(root: &Path, account: AccountId) -> Self {
        Self { dir: root.join(JOURNAL), name: account.to_string() }
    }

    /// The record itself.
    pub(super) fn main(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Its last-known-good copy: a hard link to the previous generation.
    pub(super) fn copy(&self) -> PathBuf {
        self.dir.join(format!("{}{COPY}", self.name))
    }

    /// A generation that is being written; `tag` is unlike that of any other writer.
    pub(super) fn temporary(&self, tag: &str) -> PathBuf {
        self.dir.join(format!("{}{TEMPORARY}{tag}", self.name))
    }

    /// A damaged file that was put aside.
    pub(super) fn corrupt(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{}{CORRUPT}{number}", self.name))
    }

    /// The numbers of the damaged files of this record among the names of its directory, ascending.
    pub(super) fn corrupt_among(&self, names: &[String]) -> Vec<u64> {
        let numbers = names.iter().filter_map(|name| {
            let number = name.strip_prefix(&self.name)?.strip_prefix(CORRUPT)?;
            number.parse().ok()
        });
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The record that the file `name` of a directory of records belongs to: itself, its copy or what is left of it.
pub(super) fn account_of(name: &str) -> Option<AccountId> {
    let (id, rest) = name.split_once(EXTENSION)?;
    let known = rest.is_empty() || rest == COPY || rest.starts_with(CORRUPT);
    let id: u32 = id.parse().ok().filter(|_| known && !id.starts_with(['+', '0']))?;
    Some(AccountId(id))
}

/// The process that made `name`, if it is the name of a generation that is being written; 0 where it is not told.
pub(super) fn writer_of(name: &str) -> Option<i32> {
    let (_, tag) = name.split_once(TEMPORARY)?;
    let pid = tag.split_once('-').and_then(|(pid, _)| pid.parse().ok());
    Some(pid.unwrap_or(0))
}

/// Refuses what others could read or replace (STO-4).
pub(super) fn check(fs: &dyn StoreFs, path: &Path, meta: Meta, kind: Kind) -> Result<(), StoreError> {
    let shown = path.display();
    let insecure =
        |problem: String, fix: String| Err(StoreError::Insecure { path: path.to_owned(), problem, fix });
    if meta.kind == Kind::Symlink {
        let fix = format!(
            "put what it points to in its place, or name the real directory as state_dir: readlink -f '{shown}'"
        );
        return insecure("it is a symbolic link, which could be turned elsewhere".to_owned(), fix);
    }
    if meta.kind != kind {
        let wanted = if kind == Kind::Dir { "directory" } else { "regular file" };
        return insecure(format!("it is no {wanted}"), format!("mv '{shown}' '{shown}.aside'"));
    }
    if meta.uid != fs.user() {
        let (owner, user) = (meta.uid, fs.user());
        return insecure(
            format!("it belongs to user {owner}, but rota runs as user {user}"),
            format!("chown {user} '{shown}'"),
        );
    }
    if meta.mode & 0o077 != 0 {
        let wanted = if kind == Kind::Dir { "700" } else { "600" };
        return insecure(
            format!("others may use it (mode {:03o})", meta.mode),
            format!("chmod {wanted} '{shown}'"),
        );
    }
    Ok(())
}

/// Makes the directory `path` and what is missing above it, durably, and checks it.
pub(super) fn make_dir(fs: &dyn StoreFs, path: &Path) -> Result<(), StoreError> {
    match fs.meta(path) {
        Ok(meta) => return check(fs, path, meta, Kind::Dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io("look at", path, &error)),
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above
        && fs.meta(above).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    {
        make_dir(fs, above)?;
    }
    match fs.make_dir(path) {
        Ok(()) => {}
        // Another process was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(StoreError::io("create", path, &error)),
    }
    let above = above.unwrap_or(Path::new("."));
    fs.sync_dir(above).map_err(|error| StoreError::io("sync", above, &error))?;
    let meta = fs.meta(path).map_err(|error| StoreError::io("look at", path, &error))?;
    check(fs, path, meta, Kind::Dir)
}
