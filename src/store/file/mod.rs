//! The file backend: one file a record. A write goes tmp -> fsync -> last-known-good link -> rename -> fsync(dir); a
//! record is never changed in place, so that a name always means one whole generation; a journal always is, so that it
//! needs no room when it matters. Rules that are easy to break:
//! a descriptor whose fsync failed is never synced again (the kernel may have marked the lost pages clean), and a
//! directory whose fsync failed after the rename leaves the record in doubt until a further generation is confirmed.
mod commit;
mod envelope;
mod journal;
mod lock;
mod place;
mod scan;

use super::backend::{Backend, Found, Guard, Journal, Key, Legacy, Remnant};
use super::error::StoreError;
use super::fs::{Kind, NewFile, OsFs, Patience, StoreFs};
use crate::model::AccountId;
use commit::Replacement;
use journal::FileJournal;
use lock::Held;
use place::{CREDENTIALS, JOURNAL, LOCKS, Place, RUNTIME};
use scan::{Bytes, Look, Scan};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A larger file is no record of ours.
const LARGEST: u64 = 100 << 20;
/// What a renewed credential may need on the disk, at most.
const RESERVE: usize = 64 << 10;
/// What is read of a lock file to name its holder.
const NOTE: u64 = 4 << 10;
const DAEMON_LOCK: &str = "lock";
/// Single-document stores of earlier versions, in order of preference.
const LEGACY: [&str; 2] = ["accounts.json", "store.json"];

/// What follows the name of one that was taken in.
const MIGRATED: &str = ".migrated";

/// Records as files of one directory.
pub struct FileBackend {
    dir: PathBuf,
    fs: Arc<dyn StoreFs>,
    commits: Mutex<Commits>,
}

/// Held through a commit, disk and all: commits of one process go one after the other. Nothing but commits waits for
/// it, and they run on threads that may block.
#[derive(Default)]
struct Commits {
    tags: u64,
    seen: BTreeMap<Key, Stamp>,
}

/// What a record was when this process last read or wrote it.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    generation: u64,
    checksum: String,
}

impl FileBackend {
    /// The store in `dir`, made if it is missing, on the operating system's file system.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        Self::create_on(Arc::new(OsFs), dir)
    }

    /// The same on any file system.
    pub fn create_on(fs: Arc<dyn StoreFs>, dir: &Path) -> Result<Self, StoreError> {
        for dir in [dir, &dir.join(CREDENTIALS), &dir.join(RUNTIME), &dir.join(LOCKS), &dir.join(JOURNAL)] {
            place::make_dir(fs.as_ref(), dir)?;
        }
        Ok(Self::at(fs, dir))
    }

    /// The store in `dir`, which must be there; nothing is made or changed by opening it.
    pub fn existing(dir: &Path) -> Result<Self, StoreError> {
        let fs = Arc::new(OsFs);
        let meta = fs.meta(dir).map_err(|error| StoreError::io("open", dir, &error))?;
        place::check(fs.as_ref(), dir, meta, Kind::Dir)?;
        Ok(Self::at(fs, dir))
    }

    fn at(fs: Arc<dyn StoreFs>, dir: &Path) -> Self {
        Self { dir: dir.to_owned(), fs, commits: Mutex::default() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn held(&self, lock: Box<dyn super::fs::LockFile>, path: PathBuf) -> Box<dyn Guard> {
        Box::new(Held { fs: Arc::clone(&self.fs), lock, path })
    }

    fn account_lock(&self, account: AccountId) -> PathBuf {
        self.dir.join(LOCKS).join(format!("{account}.lock"))
    }

    fn place(&self, key: Key) -> Place {
        Place::of(&self.dir, key)
    }

    /// The generation to write over what is there, or why nothing may be written.
    fn next(&self, key: Key, scan: &Scan, expected: u64, commits: &Commits) -> Result<u64, StoreError> {
        let seen = commits.seen.get(&key);
        // What this process knew the record to be, before it was damaged.
        let known = seen.is_some_and(|seen| seen.generation == expected);
        let (there, fits) = match scan {
            Scan::Main(sealed, _) => {
                let ours = !known || seen.is_some_and(|seen| seen.checksum == sealed.checksum);
                (sealed.generation, ours && sealed.generation == expected)
            }
            Scan::NoMain { problem, copy } => match copy {
                Look::Whole(sealed, _) => (sealed.generation, known || sealed.generation == expected),
                Look::Damaged(_) => (0, known || expected == 0),
                Look::Absent => (0, expected == 0 || (problem.is_some() && known)),
            },
        };
        if !fits {
            let found = there;
            return Err(StoreError::Conflict { key, expected, found });
        }
        Ok(match scan {
            Scan::Main(..) => expected + 1,
            Scan::NoMain { problem: None, copy: Look::Absent } => 1,
            // A damaged generation came after the copy: its number is not given twice.
            Scan::NoMain { .. } => expected.max(there) + 2,
        })
    }

    fn commits(&self) -> MutexGuard<'_, Commits> {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for FileBackend {
    fn load(&self) -> Result<BTreeMap<Key, Found>, StoreError> {
        let mut keys = BTreeSet::from([Key::State]);
        let accounts = |names: Vec<String>| names.into_iter().filter_map(|name| place::account_of(&name));
        keys.extend(accounts(self.list(&self.dir.join(CREDENTIALS))?).map(Key::Credential));
        keys.extend(accounts(self.list(&self.dir.join(RUNTIME))?).map(Key::Runtime));
        let mut found: BTreeMap<Key, Found> =
            keys.into_iter().map(|key| Ok((key, self.read(key)?))).collect::<Result<_, StoreError>>()?;
        // There is none before the first change.
        if let found_audit @ (Found::Good(_) | Found::Restored { .. } | Found::Damaged { .. }) =
            self.read(Key::Audit)?
        {
            found.insert(Key::Audit, found_audit);
        }
        Ok(found)
    }

    fn read(&self, key: Key) -> Result<Found, StoreError> {
        let scan = self.scan(key, &self.place(key))?;
        if let Scan::Main(sealed, _) = &scan {
            let (generation, checksum) = (sealed.generation, sealed.checksum.clone());
            self.commits().seen.insert(key, Stamp { generation, checksum });
        }
        Ok(scan.into())
    }

    fn put(&self, key: Key, expected: u64, body: &[u8]) -> Result<u64, StoreError> {
        let mut commits = self.commits();
        let scan = self.scan(key, &self.place(key))?;
        let generation = self.next(key, &scan, expected, &commits)?;
        let replacement = Replacement { key, scan, generation, body };
        self.replace(&replacement, &mut commits)
    }

    fn remove(&self, key: Key, expected: u64) -> Result<(), StoreError> {
        let place = self.place(key);
        let mut commits = self.commits();
        match self.scan(key, &place)?.into() {
            Found::Absent => {
                return match key {
                    Key::Credential(account) => self.remove_journal(account),
                    Key::Audit | Key::State | Key::Runtime(_) => Ok(()),
                };
            }
            Found::Good(record) | Found::Restored { record, .. } if record.version != expected => {
                let found = record.version;
                return Err(StoreError::Conflict { key, expected, found });
            }
            Found::Good(_) | Found::Restored { .. } | Found::Damaged { .. } => {}
        }
        if let Key::Credential(account) = key {
            self.remove_journal(account)?;
        }
        let names = self.list(&place.dir)?;
        let corrupt = place.corrupt_among(&names).into_iter().map(|number| place.corrupt(number));
        // What could stand in for the record goes before it does, or a power cut could bring it back.
        for batch in [corrupt.chain([place.copy()]).collect(), vec![place.main()]] {
            for path in batch {
                self.remove_file(&path)?;
            }
            self.fs.sync_dir(&place.dir).map_err(|error| StoreError::io("sync", &place.dir, &error))?;
        }
        commits.seen.remove(&key);
        Ok(())
    }

    fn prune(&self, keep: &dyn Fn(Key, Remnant<'_>) -> bool) -> Result<usize, StoreError> {
        let _commits = self.commits();
        let remnants = self.credential_remnants(keep)?;
        let mut documents = Vec::new();
        for path in LEGACY.map(|name| self.dir.join(format!("{name}{MIGRATED}"))) {
            match self.fs.meta(&path) {
                Ok(_) if keep(Key::State, Remnant::Document) => {}
                Ok(_) => documents.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("look at", &path, &error)),
            }
        }
        for (dir, files) in [(self.dir.join(CREDENTIALS), &remnants), (self.dir.clone(), &documents)] {
            for path in files {
                self.remove_file(path)?;
            }
            if !files.is_empty() {
                self.fs.sync_dir(&dir).map_err(|error| StoreError::io("sync", &dir, &error))?;
            }
        }
        Ok(remnants.len() + documents.len())
    }

    fn own(&self) -> Result<Box<dyn Guard>, StoreError> {
        let path = self.dir.join(DAEMON_LOCK);
        let Some(lock) = self.take(&path, Patience::Try)? else {
            return Err(self.locked(&path));
        };
        let guard = self.held(lock, path);
        guard.announce("")?;
        self.clear_away()?;
        Ok(guard)
    }

    fn lock(&self, account: AccountId) -> Result<Box<dyn Guard>, StoreError> {
        let path = self.account_lock(account);
        match self.take(&path, Patience::Wait)? {
            Some(lock) => Ok(self.held(lock, path)),
            None => Err(self.locked(&path)),
        }
    }

    fn try_lock(&self, account: AccountId) -> Result<Option<Box<dyn Guard>>, StoreError> {
        let path = self.account_lock(account);
        Ok(self.take(&path, Patience::Try)?.map(|lock| self.held(lock, path)))
    }

    fn journal(&self, account: AccountId) -> Box<dyn Journal + '_> {
        Box::new(FileJournal { backend: self, account })
    }

    fn preflight(&self, account: AccountId) -> Result<(), StoreError> {
        self.rehearse(Key::Credential(account), RESERVE)
    }

    fn legacy(&self) -> Result<Option<Legacy>, StoreError> {
        for name in LEGACY {
            let path = self.dir.join(name);
            match self.bytes(&path)? {
                Bytes::Absent => {}
                Bytes::Read(bytes, _) => {
                    let name = name.to_owned();
                    return Ok(Some(Legacy { name, bytes }));
                }
                Bytes::Damaged(problem) => {
                    return Err(StoreError::BadDocument(format!("{}: {problem}", path.display())));
                }
            }
        }
        Ok(None)
    }

    fn retire(&self, legacy: &Legacy) -> Result<(), StoreError> {
        let path = self.dir.join(&legacy.name);
        let aside = self.dir.join(format!("{}{MIGRATED}", legacy.name));
        self.fs
            .rename(&path, &aside)
            .and_then(|()| self.fs.sync_dir(&self.dir))
            .map_err(|error| StoreError::io("put aside", &path, &error))
    }
}

impl Commits {
    fn temporary(&mut self, place: &Place) -> PathBuf {
        self.tags += 1;
        place.temporary(&format!("{}-{}", std::process::id(), self.tags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tempfile::TempDir;

    const ID: AccountId = AccountId(7);
    const KEY: Key = Key::Credential(ID);

    #[test]
    fn a_record_is_read_back_as_it_was_put_and_only_by_its_version_replaced() {
        let (_dir, store) = store();
        assert_eq!(store.put(KEY, 0, b"{\"n\":1}"), Ok(1));
        assert_eq!(store.put(KEY, 1, b"{\"n\":2}"), Ok(2));
        for expected in [0, 1, 3] {
            let conflict = StoreError::Conflict { key: KEY, expected, found: 2 };
            assert_eq!(store.put(KEY, expected, b"{}"), Err(conflict.clone()));
            assert_eq!(store.remove(KEY, expected), Err(conflict));
        }
        assert_eq!(store.read(KEY), Ok(Found::Good(record(2, "{\"n\":2}"))));
    }

    /// STO-4
    #[test]
    fn the_copy_is_the_previous_good_generation_also_after_a_restore() {
        let (_dir, store) = store();
        let place = store.place(KEY);
        for n in 0..4 {
            put(&store, n);
        }
        assert_eq!(generation(&place.copy()), 3);
        fs::write(place.main(), "damaged").unwrap();
        let Ok(Found::Restored { record, .. }) = store.read(KEY) else {
            panic!("the copy stands in");
        };
        assert_eq!(record.version, 3);
        assert_eq!(store.put(KEY, 3, b"{}"), Ok(5), "the damaged generation's number is not given twice");
        assert_eq!(generation(&place.copy()), 3, "what is damaged is never copied");
        assert_eq!(fs::read(place.corrupt(1)).unwrap(), b"damaged");
        for n in 5..9 {
            put(&store, n);
            assert_eq!(generation(&place.copy()), n);
        }
    }

    /// STO-5
    #[test]
    fn no_damage_to_a_file_is_taken_for_another_content_or_for_emptiness() {
        let (_dir, store) = store();
        put(&store, 0);
        put(&store, 1);
        let main = store.place(KEY).main();
        let whole = fs::read(&main).unwrap();
        let (old, new) = (record(1, "{\"n\":0}"), record(2, "{\"n\":1}"));
        let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|cut| whole[..cut].to_vec()).collect();
        damaged.extend((0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        }));
        let wrong: [&[u8]; 7] = [b"", b"{}", b"[]", b"null", b"\0\0\0", b"\xef\xbb\xbf", b"NaN"];
        damaged.extend(wrong.map(<[u8]>::to_vec));
        for bytes in damaged {
            fs::write(&main, &bytes).unwrap();
            match store.read(KEY).unwrap() {
                Found::Restored { record, .. } => assert_eq!(record, old),
                Found::Good(record) => assert_eq!(record, new, "only the last line break may go"),
                found @ (Found::Absent | Found::Damaged { .. }) => panic!("{found:?}"),
            }
        }
        fs::remove_file(&main).unwrap();
        assert!(matches!(store.read(KEY), Ok(Found::Restored { .. })), "a lost file is a damaged one");
    }

    /// STO-5
    #[test]
    fn a_record_damaged_with_its_copy_is_named_kept_and_may_be_put_anew() {
        let (_dir, store) = store();
        let place = store.place(KEY);
        for round in 0..5 {
            let version = store.read(KEY).unwrap().record().map_or(0, |record| record.version);
            let version = store.put(KEY, version, b"{}").unwrap();
            store.put(KEY, version, b"{}").unwrap();
            for file in [place.main(), place.copy()] {
                fs::write(file, format!("round {round}")).unwrap();
            }
            assert!(matches!(store.read(KEY), Ok(Found::Damaged { .. })));
            assert_eq!(store.load().unwrap().len(), 2, "the state and this one");
        }
        store.put(KEY, 0, b"{}").unwrap();
        let kept = place.corrupt_among(&store.list(&place.dir).unwrap());
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert_eq!(fs::read(place.corrupt(kept[2])).unwrap(), b"round 4", "the newest stay");
    }

    /// STO-5
    #[test]
    fn a_record_of_which_only_damaged_files_are_left_is_not_absent() {
        let (_dir, store) = store();
        let place = store.place(KEY);
        fs::write(place.corrupt(1), "x").unwrap();
        assert!(matches!(store.read(KEY), Ok(Found::Damaged { .. })));
        assert!(store.load().unwrap().contains_key(&KEY));
    }

    /// STO-1
    #[test]
    fn a_newer_schema_is_refused_untouched() {
        let (_dir, store) = store();
        let main = store.place(KEY).main();
        let (text, _) = envelope::seal(KEY, 3, 9, b"{\"later\":true}");
        write_private(&main, &text);
        let newer = StoreError::NewerSchema { key: KEY, found: 3, known: 2 };
        assert_eq!(store.read(KEY), Err(newer.clone()));
        assert_eq!(store.load(), Err(newer.clone()));
        assert_eq!(store.put(KEY, 9, b"{}"), Err(newer.clone()));
        assert_eq!(store.remove(KEY, 9), Err(newer));
        assert_eq!(fs::read(main).unwrap(), text);
    }

    /// STO-4
    #[test]
    fn what_others_could_read_or_replace_is_refused_with_the_command_that_fixes_it() {
        let (_dir, store) = store();
        put(&store, 0);
        let main = store.place(KEY).main();
        fs::set_permissions(&main, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = store.read(KEY).unwrap_err();
        assert_eq!(refused.code(), "STORE_INSECURE");
        assert!(refused.to_string().contains(&format!("chmod 600 '{}'", main.display())), "{refused}");
        assert!(store.put(KEY, 1, b"{}").is_err_and(|error| error == refused));

        fs::remove_file(&main).unwrap();
        write_private(&store.dir().join("elsewhere"), b"{}");
        symlink(store.dir().join("elsewhere"), &main).unwrap();
        let refused = store.read(KEY).unwrap_err().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");

        fs::set_permissions(store.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = FileBackend::create(store.dir()).err().unwrap().to_string();
        assert!(refused.contains(&format!("chmod 700 '{}'", store.dir().display())), "{refused}");
        assert!(FileBackend::existing(store.dir()).is_err());
    }

    /// STO-4
    #[test]
    fn files_and_directories_are_for_their_owner_only() {
        let (_dir, store) = store();
        let _owner = store.own().unwrap();
        let _lock = store.lock(ID).unwrap();
        for n in 0..20 {
            put(&store, n);
        }
        let mut dirs = vec![store.dir().to_owned()];
        while let Some(dir) = dirs.pop() {
            assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
            for entry in fs::read_dir(dir).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    dirs.push(entry.path());
                } else {
                    assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
                }
            }
        }
    }

    /// STO-6
    #[test]
    fn a_second_owner_is_told_who_the_first_one_is() {
        let (_dir, store) = store();
        let owner = store.own().unwrap();
        owner.announce("http://127.0.0.1:1\nhttp://[::1]:1").unwrap();
        let second = FileBackend::create(store.dir()).unwrap();
        let locked = StoreError::Locked {
            pid: Some(std::process::id()),
            dir: store.dir().to_owned(),
            detail: "http://127.0.0.1:1\nhttp://[::1]:1".to_owned(),
        };
        assert_eq!(second.own().err(), Some(locked));
        drop(owner);
        assert!(second.own().is_ok());
        assert!(store.dir().join(DAEMON_LOCK).exists(), "the lock file is never unlinked");
    }

    /// STO-6: between the lock and the owner's first word the file speaks of the owner before.
    #[test]
    fn an_owner_that_is_no_more_is_not_named_in_the_place_of_the_next() {
        let (_dir, store) = store();
        let mut before = std::process::Command::new("true").spawn().unwrap();
        before.wait().unwrap();
        let _owner = store.own().unwrap();
        let text = format!("{}\nhttp://127.0.0.1:1\n", before.id());
        std::fs::write(store.dir().join(DAEMON_LOCK), text).unwrap();
        let unknown = StoreError::Locked { pid: None, dir: store.dir().to_owned(), detail: String::new() };
        assert_eq!(FileBackend::create(store.dir()).unwrap().own().err(), Some(unknown));
    }

    /// STO-4
    #[test]
    fn what_a_killed_writer_left_is_cleared_away_and_restarts_leave_nothing() {
        let (_dir, store) = store();
        put(&store, 0);
        for n in 1..50 {
            let place = store.place(KEY);
            write_private(&place.temporary(&format!("{}-{n}", i32::MAX)), b"half");
            let again = FileBackend::create(store.dir()).unwrap();
            let _owner = again.own().unwrap();
            put(&again, n);
            assert_eq!(again.list(&place.dir).unwrap(), ["7.json", "7.json.lkg"]);
        }
    }

    /// STO-4
    #[test]
    fn names_that_a_killed_writer_of_the_same_number_left_are_passed_over() {
        let (_dir, store) = store();
        put(&store, 0);
        let place = store.place(KEY);
        for n in 1..20 {
            write_private(&place.temporary(&format!("{}-{n}", std::process::id())), b"half");
        }
        let again = FileBackend::create(store.dir()).unwrap();
        put(&again, 1);
        put(&again, 2);
        assert_eq!(generation(&place.copy()), 2);
    }

    #[test]
    fn what_a_living_process_is_writing_is_left_to_it() {
        let (_dir, store) = store();
        let mut other =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let theirs = store.place(KEY).temporary(&format!("{}-1", other.id()));
        write_private(&theirs, b"half");
        drop(store.own().unwrap());
        assert!(theirs.exists());
        other.kill().unwrap();
        other.wait().unwrap();
        drop(store.own().unwrap());
        assert!(!theirs.exists());
    }

    #[test]
    fn a_removed_record_leaves_no_file_behind() {
        let (_dir, store) = store();
        put(&store, 0);
        put(&store, 1);
        let place = store.place(KEY);
        write_private(&place.corrupt(4), b"secret");
        assert_eq!(store.remove(KEY, 2), Ok(()));
        assert_eq!(store.list(&place.dir).unwrap(), Vec::<String>::new());
        assert_eq!(store.read(KEY), Ok(Found::Absent));
        assert_eq!(store.remove(KEY, 2), Ok(()), "gone is gone");
    }

    #[test]
    fn a_record_that_another_program_rewrote_is_not_overwritten() {
        let (_dir, store) = store();
        put(&store, 0);
        let other = FileBackend::create(store.dir()).unwrap();
        let (text, _) = envelope::seal(KEY, 2, 1, b"{\"n\":\"theirs\"}");
        fs::write(store.place(KEY).main(), text).unwrap();
        assert!(matches!(store.put(KEY, 1, b"{}"), Err(StoreError::Conflict { .. })), "same generation");
        other.read(KEY).unwrap();
        assert_eq!(other.put(KEY, 1, b"{}"), Ok(2), "who read it may");
        assert!(matches!(store.put(KEY, 1, b"{}"), Err(StoreError::Conflict { found: 2, .. })));
    }

    /// STO-5
    #[test]
    fn two_records_whose_files_were_swapped_are_found_out() {
        let (_dir, store) = store();
        let other = Key::Credential(AccountId(8));
        store.put(KEY, 0, b"{}").unwrap();
        store.put(other, 0, b"{}").unwrap();
        fs::rename(store.place(other).main(), store.place(KEY).main()).unwrap();
        assert!(matches!(store.read(KEY), Ok(Found::Damaged { .. })));
    }

    /// STO-5
    #[test]
    fn a_file_that_is_far_too_large_is_a_damaged_one() {
        let (_dir, store) = store();
        put(&store, 0);
        put(&store, 1);
        let main = fs::File::options().write(true).open(store.place(KEY).main());
        main.unwrap().set_len(LARGEST + 1).unwrap();
        let Ok(Found::Restored { problem, .. }) = store.read(KEY) else {
            panic!("the copy stands in");
        };
        assert_eq!(problem, "it is larger than 100 MiB");
    }

    #[test]
    fn the_generation_and_no_clock_says_which_record_is_newer() {
        let (_dir, store) = store();
        put(&store, 0);
        put(&store, 1);
        let place = store.place(KEY);
        for (path, year) in [(place.main(), 10), (place.copy(), 60)] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(year * 31_556_952);
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        }
        assert_eq!(store.read(KEY), Ok(Found::Good(record(2, "{\"n\":1}"))));
    }

    #[test]
    fn a_preflight_leaves_nothing_and_fails_where_nothing_can_be_written() {
        let (_dir, store) = store();
        assert_eq!(store.preflight(ID), Ok(()));
        assert_eq!(store.list(&store.dir().join(CREDENTIALS)).unwrap(), Vec::<String>::new());
        fs::remove_dir(store.dir().join(CREDENTIALS)).unwrap();
        assert!(matches!(store.preflight(ID), Err(StoreError::Io { .. })));
    }

    /// REN-2
    #[test]
    fn an_account_is_locked_by_one_at_a_time_whoever_waits() {
        let (_dir, store) = store();
        let held = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let threads = (0..4).map(|_| {
            let (dir, held) = (store.dir().to_owned(), held.clone());
            std::thread::spawn(move || {
                let store = FileBackend::create(&dir).unwrap();
                for _ in 0..50 {
                    let _lock = store.lock(ID).unwrap();
                    let before = held.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    assert_eq!(before, 0);
                    held.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(store.lock(ID).is_ok());
    }

    fn store() -> (TempDir, FileBackend) {
        let dir = tempfile::tempdir().unwrap();
        let store = FileBackend::create(&dir.path().join("rota")).unwrap();
        (dir, store)
    }

    fn put(store: &FileBackend, expected: u64) {
        let body = format!("{{\"n\":{expected}}}");
        store.put(KEY, expected, body.as_bytes()).unwrap();
    }

    fn record(version: u64, body: &str) -> Record {
        Record { version, schema: 2, body: body.as_bytes().to_vec() }
    }

    fn generation(path: &Path) -> u64 {
        envelope::open(KEY, &fs::read(path).unwrap()).unwrap().generation
    }

    fn write_private(path: &Path, bytes: &[u8]) {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
