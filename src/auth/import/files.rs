//! Other programs' files: found and read, never written, never locked. Each has a bound, and what is no plain file is not
//! opened for long: a pipe would hold rota up for ever.
use super::seal::{Keys, Machine, MachineSecret, Passphrase};
use super::{Client, File, ImportError, Left, Reading};
use crate::clock::Clock;
use crate::model::Time;
use rustix::fs::OFlags;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file at most: a store with the history of many accounts.
const MOST_BYTES: u64 = 8 << 20;
/// Files of one directory.
const MOST_FILES: usize = 256;
/// How often a file is read that was being written just then, and the pause between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(50);
/// From a file of llxprt-code's up to the directory that holds its key.
const UP_TO_KEY: usize = 3;

/// Why nothing was read. The message names the file, what is wrong and what to do, never what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The file is there, and of no use.
    #[error("{} {error}", file.display())]
    Content {
        /// Which.
        file: PathBuf,
        /// Why.
        error: ImportError,
    },
    /// The operating system said no.
    #[error("{} cannot be read: {error}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Its reason.
        error: io::Error,
    },
    /// There is none.
    #[error(
        "{} does not exist: {client} is not signed in here, or keeps its login elsewhere (another directory, the \
         system's keyring); name the file with --path, or sign in with `rota login`", file.display()
    )]
    Missing {
        /// Which.
        file: PathBuf,
        /// Whose.
        client: Client,
    },
    /// A directory, a pipe or a device.
    #[error("{} is not a file; name the file itself", file.display())]
    NotAFile {
        /// Which.
        file: PathBuf,
    },
    /// More than anybody keeps logins in.
    #[error("{} is larger than {} MiB; is it the right file?", file.display(), MOST_BYTES >> 20)]
    TooLarge {
        /// Which.
        file: PathBuf,
    },
    /// More files than logins anybody has.
    #[error("{} holds more than {MOST_FILES} files; is it the right directory?", dir.display())]
    TooMany {
        /// Which.
        dir: PathBuf,
    },
}

/// What was read, and where.
#[derive(Debug)]
pub struct Gathered {
    /// The logins.
    pub reading: Reading,
    /// The files they are from.
    pub files: Vec<PathBuf>,
}

/// Reads the logins that `client` keeps in `place`, a file or, for some, a directory. A file that is no JSON is read
/// again a few times: some programs write in place.
///
/// # Errors
/// The file, or the only file there is, is of no use. Of several files in a directory the bad ones are left out and
/// named in the reading.
pub async fn gather(
    client: Client,
    place: &Path,
    passphrase: Option<Passphrase>,
    clock: &Clock,
) -> Result<Gathered, Unread> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        let (there, passphrase, now) = (place.to_owned(), passphrase.clone(), clock.now());
        let reading = tokio::task::spawn_blocking(move || all(client, &there, passphrase, now));
        let lost = |error| Unread::Io { file: place.to_owned(), error: io::Error::other(error) };
        match reading.await.map_err(lost)? {
            Err(Unread::Content { error: ImportError::NotJson { .. }, .. }) if tries > 0 => {
                clock.sleep_until(clock.now().after(PAUSE)).await;
            }
            read => return read,
        }
    }
}

fn all(client: Client, place: &Path, passphrase: Option<Passphrase>, now: Time) -> Result<Gathered, Unread> {
    let files = listed(client, place)?;
    let alone = files.first().is_some_and(|file| file == place);
    let machine = files.first().and_then(|file| machine(client, file));
    let keys = Keys { passphrase, machine };
    let mut reading = Reading::default();
    for file in &files {
        match read(client, file, &keys, now) {
            Ok(mut more) => {
                reading.found.append(&mut more.found);
                reading.left.append(&mut more.left);
            }
            Err(error) if alone => return Err(error),
            Err(error) => reading.left.push(Left { name: name(file), why: error.to_string() }),
        }
    }
    Ok(Gathered { reading, files })
}

fn read(client: Client, file: &Path, keys: &Keys, now: Time) -> Result<Reading, Unread> {
    let bytes = bytes(client, file)?;
    let read = client.read(&File { name: &name(file), bytes: &bytes }, keys, now);
    read.map_err(|error| Unread::Content { file: file.to_owned(), error })
}

/// The files of `place`, in the order of their names.
fn listed(client: Client, place: &Path) -> Result<Vec<PathBuf>, Unread> {
    let endings = client.endings();
    if endings.is_empty() || !place.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let unread = |error| Unread::Io { file: place.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(place).map_err(unread)? {
        let file = entry.map_err(unread)?.path();
        let fits = endings.iter().any(|ending| name(&file).ends_with(ending));
        if fits && file.is_file() {
            files.push(file);
        }
        if files.len() > MOST_FILES {
            return Err(Unread::TooMany { dir: place.to_owned() });
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Unread::Missing { file: place.join(format!("*{}", endings[0])), client });
    }
    Ok(files)
}

fn bytes(client: Client, file: &Path) -> Result<Vec<u8>, Unread> {
    let unread = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Unread::Missing { file: file.to_owned(), client };
        }
        Unread::Io { file: file.to_owned(), error }
    };
    // A pipe without a writer would not open otherwise.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened =
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(file).map_err(unread)?;
    if !opened.metadata().map_err(unread)?.is_file() {
        return Err(Unread::NotAFile { file: file.to_owned() });
    }
    let mut bytes = Vec::new();
    opened.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Unread::TooLarge { file: file.to_owned() });
    }
    Ok(bytes)
}

/// What llxprt-code makes its keys of.
fn machine(client: Client, file: &Path) -> Option<Machine> {
    if client != Client::Llxprt {
        return None;
    }
    let host = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    let key = file.ancestors().nth(UP_TO_KEY).map(|dir| dir.join("machine_secret"))?;
    let secret =
        bytes(client, &key).ok().and_then(|bytes| MachineSecret::parse(std::str::from_utf8(&bytes).ok()?));
    Some(Machine { host, user: user(), secret })
}

/// The user's name as the system has it, else the number.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut rows = users.lines().map(|line| line.split(':'));
    let named = rows.find_map(|mut row| {
        let name = row.next()?;
        (row.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    });
    named.unwrap_or(uid)
}

fn name(file: &Path) -> String {
    file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
