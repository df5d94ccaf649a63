//! The file system as the file backend sees it: few operations, each one system call or nearly so, so that a test can
//! fail, tear or cut the power at every one of them. No policy here.
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What a name in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// Anything else.
    Other,
    /// A symbolic link.
    Symlink,
}

/// What the file system says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// The file itself, whatever its names.
    pub ino: u64,
}

/// Whether to wait for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Fail with `WouldBlock` when it is taken.
    Try,
    /// Wait until it is free, however long.
    Wait,
}

/// The operations. Nothing follows a symbolic link at the end of a path, nothing is inherited by a child process.
pub trait StoreFs: Send + Sync {
    /// A new, empty file, mode 0600 whatever the umask; `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;
    /// A file that is there, to be written in place.
    fn open(&self, path: &Path) -> io::Result<Box<dyn InPlace>>;
    /// The whole file and what it is; `FileTooLarge` above `most` bytes. What is no regular file has no bytes.
    fn read(&self, path: &Path, most: u64) -> io::Result<(Vec<u8>, Meta)>;
    /// What the name is.
    fn meta(&self, path: &Path) -> io::Result<Meta>;
    /// A second name for a file; `AlreadyExists` if it is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Moves a name, replacing what is there, at once.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// A new directory, mode 0700 whatever the umask.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Opens (or creates) a lock file and takes its lock.
    fn lock(&self, path: &Path, patience: Patience) -> io::Result<Box<dyn LockFile>>;
    /// The user that files must belong to.
    fn user(&self) -> u32;
}

/// A file that is being written. Dropping it closes it; only [`sync`](Self::sync) makes its bytes durable.
pub trait NewFile {
    /// Appends all bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the bytes durable. After an error they are lost for good: the kernel may call them clean next time.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is written where it is: its length stays. Dropping it closes it; only [`sync`](Self::sync) makes its
/// bytes durable. Until then a power cut leaves any mixture of old and new ones.
pub trait InPlace {
    /// Writes all bytes at `offset`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes the bytes durable. After an error they are lost for good: the kernel may call them clean next time.
    fn sync(&mut self) -> io::Result<()>;
}

/// A lock file whose lock is held. Dropping it gives the lock back; the file stays.
pub trait LockFile: Send + Sync {
    /// The locked file itself.
    fn ino(&self) -> u64;
    /// Replaces the file's text, which is a note and no record.
    fn note(&self, text: &str) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFs;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

impl StoreFs for OsFs {
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(FILE_MODE))?;
        Ok(Box::new(OsFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn InPlace>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        Ok(Box::new(OsFile(file)))
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<(Vec<u8>, Meta)> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        let told = file.metadata()?;
        let meta = meta_of(&told);
        let mut bytes = Vec::new();
        if meta.kind == Kind::File {
            // Room for one byte more: a read that fills all of it would be followed by others.
            let length = usize::try_from(told.len().min(most)).unwrap_or(0);
            bytes.reserve_exact(length.saturating_add(1));
            file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        }
        if bytes.len() as u64 > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok((bytes, meta))
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        Ok(meta_of(&std::fs::symlink_metadata(path)?))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(DIR_MODE).create(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(DIR_MODE))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(rustix::fs::fsync(dir)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        // Not `std::fs::read_dir`: it panics when closing the directory fails.
        let dir = rustix::fs::Dir::new(rustix::fs::open(path, flags, Mode::empty())?)?;
        let mut names = Vec::new();
        for entry in dir {
            // A name that is no text is not one of ours.
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        names.retain(|name| name != "." && name != "..");
        names.sort_unstable();
        Ok(names)
    }

    fn lock(&self, path: &Path, patience: Patience) -> io::Result<Box<dyn LockFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        let how = match patience {
            Patience::Try => FlockOperation::NonBlockingLockExclusive,
            Patience::Wait => FlockOperation::LockExclusive,
        };
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, how))?;
        let ino = file.metadata()?.ino();
        Ok(Box::new(OsLock { file, ino }))
    }

    fn user(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }
}

fn meta_of(meta: &std::fs::Metadata) -> Meta {
    let kind = match meta.file_type() {
        kind if kind.is_symlink() => Kind::Symlink,
        kind if kind.is_dir() => Kind::Dir,
        kind if kind.is_file() => Kind::File,
        _ => Kind::Other,
    };
    Meta { kind, mode: meta.mode() & 0o7777, uid: meta.uid(), ino: meta.ino() }
}

struct OsFile(File);

impl NewFile for OsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        // Not `File::sync_all`: it would ask the same descriptor again after an interruption.
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

impl InPlace for OsFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(rustix::fs::fdatasync(&self.0)?)
    }
}

struct OsLock {
    file: File,
    ino: u64,
}

impl Drop for OsLock {
    /// Closing is not enough: a child that is being started has a copy of the descriptor until it runs its program.
    fn drop(&mut self) {
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

impl LockFile for OsLock {
    fn ino(&self) -> u64 {
        self.ino
    }

    fn note(&self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(text.as_bytes(), 0)
    }
}
