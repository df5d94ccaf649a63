//! The key to the store, from where the settings say it is. It is read when a store is opened and kept by that store.
use crate::config::{Encryption, KeySource};
use crate::store::{Sealer, StoreKey};
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

/// What is longer holds more than a key.
const MOST_BYTES: u64 = 4096;
/// How long a program may take to print the key.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no key although one is named. No text holds any of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file of `encryption.key_file` or `encryption.key_credential` cannot be read.
    #[error("`{setting}`: {}: {error}", path.display())]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What is there is no key.
    #[error(
        "`{setting}`: {place} gives no key; a key is 64 hexadecimal digits, base64 of 32 bytes, or 32 bytes; `rota store new-key FILE` makes one"
    )]
    NoKey {
        /// The setting that names it.
        setting: &'static str,
        /// The file or the program.
        place: String,
    },
    /// `encryption.key_credential` is set, but systemd handed nothing over.
    #[error(
        "`encryption.key_credential`: CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with LoadCredential={0}:FILE"
    )]
    NoCredentials(String),
    /// The program of `encryption.key_command` printed no key.
    #[error("`encryption.key_command`: {program} {problem}; run it by hand to see why")]
    Program {
        /// Which.
        program: String,
        /// What it did instead.
        problem: String,
    },
}

const FILE: &str = "encryption.key_file";
const CREDENTIAL: &str = "encryption.key_credential";
const COMMAND: &str = "encryption.key_command";

/// How the store is to be opened. A program is run for 10 s at most.
pub async fn sealer(encryption: &Encryption) -> Result<Sealer, KeyError> {
    match encryption {
        Encryption::Off { key: None } => Ok(Sealer::Clear),
        Encryption::Off { key: Some(source) } => read(source).await.map(Sealer::Opens),
        Encryption::On { key } => read(key).await.map(Sealer::Seals),
    }
}

async fn read(source: &KeySource) -> Result<StoreKey, KeyError> {
    let (setting, place, bytes) = match source {
        KeySource::File(path) => (FILE, path.display().to_string(), of_file(FILE, path, Guard::Mode)?),
        KeySource::Credential { name, dir } => {
            let dir = dir.as_ref().ok_or_else(|| KeyError::NoCredentials(name.clone()))?;
            let path = dir.join(name);
            (CREDENTIAL, path.display().to_string(), of_file(CREDENTIAL, &path, Guard::Systemd)?)
        }
        KeySource::Command(argv) => {
            let program = argv.first().cloned().unwrap_or_default();
            let failed = |problem| KeyError::Program { program: program.clone(), problem };
            let bytes = of_program(argv).await.map_err(failed)?;
            (COMMAND, format!("the output of {program}"), bytes)
        }
    };
    StoreKey::read(&bytes).ok_or(KeyError::NoKey { setting, place })
}

/// What keeps others from a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Its owner and its mode.
    Mode,
    /// The directory, which systemd made for this service; the mode of a file there may show an access list.
    Systemd,
}

fn of_file(setting: &'static str, path: &Path, guard: Guard) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let read = || {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if guard == Guard::Mode {
            for_its_owner_only(&meta, path)?;
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| KeyError::File { setting, path: path.to_owned(), error })
}

fn for_its_owner_only(meta: &std::fs::Metadata, path: &Path) -> io::Result<()> {
    let (owner, user, path) = (meta.uid(), geteuid().as_raw(), path.display());
    let problem = if owner != user && owner != 0 {
        format!("it belongs to user {owner}, but rota runs as user {user}; run: chown {user} {path}")
    } else if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o7777;
        format!("other users can read or change it (mode {mode:04o}); run: chmod 600 {path}")
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

async fn of_program(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = argv.split_first().ok_or("has no name")?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let started = command.process_group(0).kill_on_drop(true).spawn();
    let mut running = Running(started.map_err(|error| format!("cannot be started: {error}"))?);
    match tokio::time::timeout(PATIENCE, running.output()).await {
        Ok(Ok((bytes, status))) if status.success() => Ok(bytes),
        Ok(Ok((_, status))) => Err(format!("failed ({status})")),
        Ok(Err(error)) => Err(format!("could not be heard: {error}")),
        Err(_) => Err(format!("took more than {} s", PATIENCE.as_secs())),
    }
}

/// A program that runs, in a process group of its own. Where this goes before the program has ended, it is killed with
/// all that it started.
struct Running(Child);

impl Running {
    async fn output(&mut self) -> io::Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(stdout) = self.0.stdout.take() {
            stdout.take(MOST_BYTES).read_to_end(&mut bytes).await?;
        }
        // What it would still write is nobody's: the pipe is closed.
        Ok((bytes, self.0.wait().await?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once it has been waited for, its number may be another's, and is not told any more.
        let group = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// STO-4
    #[tokio::test]
    async fn a_key_is_read_in_every_form_and_from_every_place() {
        let dir = tempfile::tempdir().unwrap();
        let key = StoreKey::random().unwrap();
        let hex = key.to_hex();
        let path = file(&dir, "key", 0o400, &format!("{}\n", hex.as_str()));
        let credential = KeySource::Credential { name: "key".to_owned(), dir: Some(dir.path().to_owned()) };
        let command = ["cat".to_owned(), path.display().to_string()];
        for source in [KeySource::File(path), credential, KeySource::Command(command.to_vec())] {
            assert_eq!(read(&source).await.unwrap(), key, "{source:?}");
            let off = Encryption::Off { key: Some(source.clone()) };
            assert_eq!(sealer(&off).await.unwrap(), Sealer::Opens(key.clone()));
            assert_eq!(sealer(&Encryption::On { key: source }).await.unwrap(), Sealer::Seals(key.clone()));
        }
        assert_eq!(sealer(&Encryption::Off { key: None }).await.unwrap(), Sealer::Clear);
    }

    /// STO-4, OBS-3
    #[tokio::test]
    async fn what_is_no_key_is_refused_with_its_setting_and_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let hex = StoreKey::random().unwrap().to_hex();
        let open = file(&dir, "open", 0o640, &hex);
        let wrong = file(&dir, "wrong", 0o600, "canary");
        let missing = dir.path().join("missing");
        let program = |argv: &[&str]| KeySource::Command(argv.iter().map(|arg| (*arg).to_owned()).collect());
        let cases = [
            (KeySource::File(open), "`encryption.key_file`", "chmod 600"),
            (KeySource::File(wrong), "`encryption.key_file`", "gives no key"),
            (KeySource::File(missing), "`encryption.key_file`", "No such file"),
            (
                KeySource::Credential { name: "key".to_owned(), dir: None },
                "`encryption.key_credential`",
                "LoadCredential=key:FILE",
            ),
            (
                KeySource::Credential { name: "wrong".to_owned(), dir: Some(dir.path().to_owned()) },
                "`encryption.key_credential`",
                "gives no key",
            ),
            (program(&["echo", "canary"]), "`encryption.key_command`", "gives no key"),
            (program(&["sh", "-c", "echo canary; exit 3"]), "`encryption.key_command`", "exit status: 3"),
            (program(&["yes", "canary"]), "`encryption.key_command`", "SIGPIPE"),
            (program(&["/nowhere/canary"]), "`encryption.key_command`", "cannot be started"),
        ];
        for (source, setting, why) in cases {
            let error = read(&source).await.unwrap_err().to_string();
            assert!(error.starts_with(setting) && error.contains(why), "{error}");
            let shown = error.replace("/nowhere/canary", "");
            assert!(!shown.contains("canary") && !shown.contains(hex.as_str()), "{error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        // Both the shell and the program that it waits for have the pipe open.
        let argv = ["sh", "-c", "exec 9> \"$0\"; sleep 600 & echo up >&9; wait"].map(str::to_owned);
        let argv = [&argv[..], &[pipe.display().to_string()]].concat();
        let (up, is_up) = tokio::sync::oneshot::channel();
        let (end, has_ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut pipe = File::open(pipe).unwrap();
            let _ = up.send(pipe.read(&mut [0; 8]).unwrap());
            end.send(pipe.read(&mut [0; 8]).unwrap())
        });
        let reading = tokio::spawn(async move { read(&KeySource::Command(argv)).await });
        is_up.await.unwrap();
        tokio::time::pause();
        tokio::time::advance(PATIENCE).await;
        let error = reading.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("took more than 10 s"), "{error}");
        assert_eq!(has_ended.recv_timeout(Duration::from_secs(60)), Ok(0), "nobody has it open any more");
    }

    fn file(dir: &TempDir, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = dir.path().join(name);
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}
