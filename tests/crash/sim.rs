//! A file system in memory that keeps apart what is written and what is durable. The power can be cut before or during
//! any operation; what was not synced is then there, not there, or there in part, as the seed decides. Any operation
//! can fail with any error, and a read can go wrong once.
use rota::store::{InPlace, Kind, LockFile, Meta, NewFile, Patience, StoreFs};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk writes sectors whole or not at all.
const SECTOR: usize = 512;

/// What is wrong with the file system, and so with any protocol on it: the harness must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Nothing.
    None,
    /// Files are never synced.
    NoFileSync,
    /// Directories are never synced.
    NoDirSync,
    /// Files that are written in place are never synced.
    NoInPlaceSync,
    /// A rename truncates the old file and writes it anew.
    InPlace,
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The system says this error number; a write got half of its way.
    Error(i32),
    /// The power is cut before the operation.
    CutBefore,
    /// The power is cut after the operation, before it returns.
    CutAfter,
    /// A read gives one wrong byte, this once.
    Misread,
}

/// The file system; clones are the same one.
#[derive(Clone)]
pub(crate) struct SimFs(Arc<Mutex<Disk>>);

struct Disk {
    dirs: BTreeMap<PathBuf, Dir>,
    files: BTreeMap<u64, File>,
    inodes: u64,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    dead: bool,
    defect: Defect,
    chance: u64,
    resyncs: u32,
    /// Errors since the last start.
    errors: u32,
    /// Who holds the lock of which file.
    locks: BTreeMap<u64, u64>,
    lockings: u64,
}

#[derive(Default)]
struct Dir {
    now: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

/// A change of one directory that happens at once or not at all.
#[derive(Clone)]
enum Change {
    Set(String, u64),
    Unset(String),
    Move(String, String, u64),
}

#[derive(Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// The kernel holds the bytes for clean although they are not durable.
    lost: bool,
    mode: u32,
}

impl SimFs {
    /// An empty disk; equal seeds behave alike.
    pub(crate) fn new(defect: Defect, seed: u64) -> Self {
        let mut dirs = BTreeMap::new();
        dirs.insert(PathBuf::from("/"), Dir::default());
        Self(Arc::new(Mutex::new(Disk {
            dirs,
            files: BTreeMap::new(),
            inodes: 0,
            operations: 0,
            faults: BTreeMap::new(),
            dead: false,
            defect,
            chance: seed,
            resyncs: 0,
            errors: 0,
            locks: BTreeMap::new(),
            lockings: 0,
        })))
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Makes the `nth` operation from now go wrong.
    pub(crate) fn plan(&self, nth: u64, fault: Fault) {
        let mut disk = self.disk();
        let at = disk.operations + nth;
        disk.faults.insert(at, fault);
    }

    /// True once the power is cut.
    pub(crate) fn is_dead(&self) -> bool {
        self.disk().dead
    }

    /// Times that a file was synced again after a sync of it had failed.
    pub(crate) fn resyncs(&self) -> u32 {
        self.disk().resyncs
    }

    /// Planned errors that were met since the last start.
    pub(crate) fn errors(&self) -> u32 {
        self.disk().errors
    }

    /// A number below `below`, by the seed.
    pub(crate) fn chance(&self, below: u64) -> u64 {
        self.disk().roll(below)
    }

    /// The names in a directory, with no fault.
    pub(crate) fn names(&self, dir: &str) -> Vec<String> {
        let disk = self.disk();
        let dir = disk.dirs.get(Path::new(dir));
        dir.map(|dir| dir.now.keys().cloned().collect()).unwrap_or_default()
    }

    /// Cuts the power (if it is not cut yet) and starts again with what is durable.
    pub(crate) fn reboot(&self) {
        let mut disk = self.disk();
        disk.lose();
        disk.dead = false;
        disk.errors = 0;
        disk.locks.clear();
        disk.faults.clear();
    }

    /// Takes back every fault that was planned.
    pub(crate) fn heal(&self) {
        self.disk().faults.clear();
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One operation: counted, and gone wrong where that is planned.
    fn operate<T>(&self, operation: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        let mut disk = self.disk();
        let fault = disk.step()?;
        match fault {
            Some(Fault::Error(number)) => {
                disk.errors += 1;
                return Err(io::Error::from_raw_os_error(number));
            }
            Some(Fault::CutBefore) => return Err(disk.cut()),
            Some(Fault::CutAfter | Fault::Misread) | None => {}
        }
        let done = operation(&mut disk)?;
        match fault {
            Some(Fault::CutAfter) => Err(disk.cut()),
            Some(Fault::Error(_) | Fault::CutBefore | Fault::Misread) | None => Ok(done),
        }
    }
}

impl Disk {
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(no_power());
        }
        self.operations += 1;
        Ok(self.faults.remove(&self.operations))
    }

    fn cut(&mut self) -> io::Error {
        self.dead = true;
        no_power()
    }

    /// SplitMix64.
    fn roll(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    /// What is left when the power goes: of each directory any of the changes since its last sync, of each file its
    /// synced bytes, its newest, or a torn mixture.
    fn lose(&mut self) {
        let mut dirs = std::mem::take(&mut self.dirs);
        for dir in dirs.values_mut() {
            for change in std::mem::take(&mut dir.pending) {
                if self.roll(2) == 0 {
                    change.apply(&mut dir.durable);
                }
            }
            dir.now = dir.durable.clone();
        }
        self.dirs = dirs;
        let mut files = std::mem::take(&mut self.files);
        for file in files.values_mut() {
            if file.now != file.durable {
                file.durable = match self.roll(4) {
                    0 => file.durable.clone(),
                    1 if !file.lost => file.now.clone(),
                    _ => self.torn(file),
                };
            }
            file.now = file.durable.clone();
            file.lost = false;
        }
        self.files = files;
    }

    fn torn(&mut self, file: &File) -> Vec<u8> {
        let mut torn = file.now.clone();
        for (number, sector) in torn.chunks_mut(SECTOR).enumerate() {
            if self.roll(2) == 0 {
                let old = file.durable.iter().skip(number * SECTOR).copied();
                sector.iter_mut().zip(old.chain(std::iter::repeat(0))).for_each(|(byte, old)| *byte = old);
            }
        }
        // A file that was only written in place has the length it had.
        let least = file.durable.len().min(torn.len());
        let keep = least + self.roll((torn.len() - least) as u64 + 1) as usize;
        if self.roll(2) == 0 {
            torn.truncate(keep);
        }
        torn
    }

    fn dir(&mut self, path: &Path) -> io::Result<(&mut Dir, String)> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let name = name.to_string_lossy().into_owned();
        let dir = self.dirs.get_mut(above).ok_or(io::ErrorKind::NotFound)?;
        Ok((dir, name))
    }

    fn inode(&mut self, path: &Path) -> io::Result<u64> {
        let (dir, name) = self.dir(path)?;
        dir.now.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(String) -> Change) -> io::Result<()> {
        let (dir, name) = self.dir(path)?;
        let change = change(name);
        change.apply(&mut dir.now);
        dir.pending.push(change);
        Ok(())
    }

    fn new_file(&mut self, path: &Path) -> io::Result<u64> {
        self.inodes += 1;
        let inode = self.inodes;
        self.change(path, |name| Change::Set(name, inode))?;
        let file = File { mode: 0o600, ..File::default() };
        self.files.insert(inode, file);
        Ok(inode)
    }

    fn file(&mut self, inode: u64) -> io::Result<&mut File> {
        self.files.get_mut(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Truncates what `to` names and writes the bytes of `from` into it: three moments at which the power can go.
    fn overwrite(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_inode, to_inode) = (self.inode(from)?, self.inode(to)?);
        let bytes = self.file(from_inode)?.now.clone();
        for moment in 0..3 {
            match (moment, self.file(to_inode)?) {
                (0, file) => {
                    file.now.clear();
                    file.durable.clear();
                }
                (1, file) => file.now = bytes.clone(),
                (_, file) => file.durable = file.now.clone(),
            }
            if let Some(Fault::CutBefore | Fault::CutAfter) = self.step()? {
                return Err(self.cut());
            }
        }
        self.change(from, Change::Unset)
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Set(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Unset(name) => drop(names.remove(name)),
            Self::Move(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl StoreFs for SimFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let inode = self.operate(|disk| match disk.inode(path) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => disk.new_file(path),
        })?;
        let (fs, failed) = (self.clone(), false);
        Ok(Box::new(SimFile { fs, inode, failed }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn InPlace>> {
        let inode = self.operate(|disk| disk.inode(path))?;
        let (fs, failed) = (self.clone(), false);
        Ok(Box::new(SimFile { fs, inode, failed }))
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<(Vec<u8>, Meta)> {
        let misread = {
            let disk = self.disk();
            disk.faults.get(&(disk.operations + 1)) == Some(&Fault::Misread)
        };
        let (mut bytes, meta) = self.operate(|disk| {
            let inode = disk.inode(path)?;
            let file = disk.file(inode)?;
            Ok((file.now.clone(), meta(inode, file)))
        })?;
        if misread && !bytes.is_empty() {
            let at = self.chance(bytes.len() as u64) as usize;
            bytes[at] ^= 0x20;
        }
        match bytes.len() as u64 > most {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok((bytes, meta)),
        }
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        self.operate(|disk| {
            if disk.dirs.contains_key(path) {
                let (kind, mode, uid, ino) = (Kind::Dir, 0o700, USER, 0);
                return Ok(Meta { kind, mode, uid, ino });
            }
            let inode = disk.inode(path)?;
            Ok(meta(inode, disk.file(inode)?))
        })
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|disk| {
            let inode = disk.inode(from)?;
            match disk.inode(to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => disk.change(to, |name| Change::Set(name, inode)),
            }
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(|disk| {
            let inode = disk.inode(from)?;
            if disk.defect == Defect::InPlace && disk.inode(to).is_ok() {
                return disk.overwrite(from, to);
            }
            let (_, target) = disk.dir(to)?;
            disk.change(from, |name| Change::Move(name, target, inode))
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.operate(|disk| {
            disk.inode(path)?;
            disk.change(path, Change::Unset)
        })
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.operate(|disk| {
            disk.dirs.entry(path.to_owned()).or_default();
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.operate(|disk| {
            if disk.defect == Defect::NoDirSync {
                return Ok(());
            }
            let dir = disk.dirs.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
            dir.pending.clear();
            dir.durable = dir.now.clone();
            Ok(())
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.operate(|disk| {
            let dir = disk.dirs.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(dir.now.keys().cloned().collect())
        })
    }

    /// Nobody can be waited for: all of this happens on one thread.
    fn lock(&self, path: &Path, _: Patience) -> io::Result<Box<dyn LockFile>> {
        let (inode, number) = self.operate(|disk| {
            let inode = match disk.inode(path) {
                Ok(inode) => inode,
                Err(_) => disk.new_file(path)?,
            };
            if disk.locks.contains_key(&inode) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            disk.lockings += 1;
            let number = disk.lockings;
            disk.locks.insert(inode, number);
            Ok((inode, number))
        })?;
        Ok(Box::new(SimLock { fs: self.clone(), inode, number }))
    }

    fn user(&self) -> u32 {
        USER
    }
}

const USER: u32 = 1000;

struct SimFile {
    fs: SimFs,
    inode: u64,
    failed: bool,
}

impl SimFile {
    /// True where the next operation is to fail: a write gets half of its way first.
    fn fails_next(&self) -> bool {
        let disk = self.fs.disk();
        matches!(disk.faults.get(&(disk.operations + 1)), Some(Fault::Error(_)))
    }

    fn confirm(&mut self) -> io::Result<()> {
        if self.failed {
            self.fs.disk().resyncs += 1;
        }
        let done = self.fs.operate(|disk| {
            if disk.defect == Defect::NoFileSync {
                return Ok(());
            }
            let file = disk.file(self.inode)?;
            if !file.lost {
                file.durable = file.now.clone();
            }
            Ok(())
        });
        if done.is_err() {
            self.failed = true;
            if let Ok(file) = self.fs.disk().file(self.inode) {
                file.lost = true;
            }
        }
        done
    }
}

impl NewFile for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.fails_next()
            && let Ok(file) = self.fs.disk().file(self.inode)
        {
            file.now.extend_from_slice(&bytes[..bytes.len() / 2]);
        }
        self.fs.operate(|disk| {
            disk.file(self.inode)?.now.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.confirm()
    }
}

impl InPlace for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.fails_next()
            && let Ok(file) = self.fs.disk().file(self.inode)
        {
            file.overlay(offset, &bytes[..bytes.len() / 2]);
        }
        self.fs.operate(|disk| {
            disk.file(self.inode)?.overlay(offset, bytes);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.fs.disk().defect == Defect::NoInPlaceSync {
            return self.fs.operate(|_| Ok(()));
        }
        self.confirm()
    }
}

impl File {
    fn overlay(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset as usize + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset as usize..end].copy_from_slice(bytes);
    }
}

struct SimLock {
    fs: SimFs,
    inode: u64,
    number: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.fs.disk();
        if disk.locks.get(&self.inode) == Some(&self.number) {
            disk.locks.remove(&self.inode);
        }
    }
}

impl LockFile for SimLock {
    fn ino(&self) -> u64 {
        self.inode
    }
    fn note(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

fn meta(ino: u64, file: &File) -> Meta {
    let (kind, uid) = (Kind::File, USER);
    Meta { kind, mode: file.mode, uid, ino }
}

fn no_power() -> io::Error {
    io::Error::other("no power")
}
