use super::api::runtime;
use super::confirm::confirm;
use super::{CliError, Exit, Setup};
use crate::app;
use crate::config::Config;
use crate::model::Alias;
use crate::store::{self, Backend, FileBackend, Sealer, Secrets, StoreKey};
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The largest document that is read for import.
const DOCUMENT: u64 = 100 * 1024 * 1024;

#[derive(Args)]
pub(super) struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    OnStore(OnStore),
    /// Write a new key for `[encryption]` to a file that is not there yet
    NewKey {
        /// Where to; keep a copy where the store's backups are not
        file: PathBuf,
    },
}

#[derive(Subcommand)]
enum OnStore {
    /// Copy the whole store to an empty directory; it is a store itself
    Backup {
        /// Where to
        dir: PathBuf,
    },
    /// Print the whole store as one document, without secrets unless asked
    Export {
        /// Print tokens and keys too
        #[arg(long)]
        secrets: bool,
    },
    /// Take in a document that `export --secrets` printed, or one of an earlier version; rota must not be running
    Import {
        /// The document; - is standard input
        file: PathBuf,
    },
    /// Bring a backup's accounts back; newer credentials and later accounts stay. rota must not be running
    Restore {
        /// The backup
        dir: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Read every record and say what is wrong with it; changes nothing
    Verify,
}

impl Store {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        match self.command {
            Command::OnStore(command) => command.run(setup, out),
            Command::NewKey { file } => new_key(&file, setup, out),
        }
    }
}

impl OnStore {
    fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let config = Config::load(&setup.sources)?.config;
        let place = || existing(&config.state_dir);
        let sealer = || Ok::<_, CliError>(runtime()?.block_on(app::sealer(&config.encryption))?);
        match self {
            Self::Backup { dir } => backup(&place()?, &dir, setup, out),
            Self::Export { secrets: true } => {
                writeln!(out, "{:#}", store::export(&place()?, Secrets::Include, &sealer()?)?)?;
                Ok(Exit::Done)
            }
            Self::Export { secrets: false } => {
                let sealer = sealer().unwrap_or_else(without_key);
                writeln!(out, "{:#}", store::export(&place()?, Secrets::Omit, &sealer)?)?;
                Ok(Exit::Done)
            }
            Self::Import { file } => {
                let sealer = sealer()?;
                import(&FileBackend::create(&config.state_dir)?, &file, &sealer, setup, out)
            }
            Self::Restore { dir, yes } => {
                let backend = FileBackend::create(&config.state_dir)?;
                if !yes && !confirm(&format!("Bring back the accounts of {}?", dir.display()))? {
                    return Err(CliError::failed("nothing was restored"));
                }
                restore(&backend, &dir, &sealer()?, setup, out)
            }
            Self::Verify => verify(&place()?, &sealer().unwrap_or_else(without_key), setup, out),
        }
    }
}

/// What can be done without the key is done without it.
fn without_key(error: CliError) -> Sealer {
    eprintln!("warning: {error}; sealed records are not opened");
    Sealer::Clear
}

fn new_key(file: &Path, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let key = StoreKey::random().ok_or_else(|| CliError::failed("the system gives no randomness"))?;
    write_key(file, &key).map_err(|error| CliError::io(file.display(), &error))?;
    let path = std::path::absolute(file)?;
    if setup.json {
        writeln!(out, "{}", json!({"file": path, "key": key.name()}))?;
        return Ok(Exit::Done);
    }
    writeln!(out, "key {} is in {}", key.name(), path.display())?;
    writeln!(
        out,
        "keep a copy elsewhere: without it every account must sign in again. To use it, in rota.toml:"
    )?;
    writeln!(out, "[encryption]\nmode = \"on\"\nkey_file = {}", json!(path))?;
    Ok(Exit::Done)
}

/// A new file for its owner only, durable before anything is sealed with what is in it.
fn write_key(file: &Path, key: &StoreKey) -> std::io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    opened.set_permissions(Permissions::from_mode(0o600))?;
    opened.write_all(key.to_hex().as_bytes())?;
    opened.write_all(b"\n")?;
    opened.sync_all()?;
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

/// A store that is only read is not made.
fn existing(dir: &Path) -> Result<FileBackend, CliError> {
    if !dir.exists() {
        let problem =
            format!("there is no store yet: {} does not exist; the first account makes it", dir.display());
        return Err(CliError::failed(problem));
    }
    Ok(FileBackend::existing(dir)?)
}

fn verify(
    backend: &dyn Backend,
    sealer: &Sealer,
    setup: &Setup,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let report = store::verify(backend, sealer)?;
    if setup.json {
        let lines: Vec<_> = report
            .lines
            .iter()
            .map(|line| {
                let (record, key) = (line.key.to_string(), &line.sealed_with);
                json!({"record": record, "version": line.version, "sealedWith": key, "problem": line.problem})
            })
            .collect();
        writeln!(out, "{}", json!({"intact": report.intact(), "records": lines}))?;
    } else {
        for line in &report.lines {
            let version = line.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
            let problem = line.problem.as_deref().unwrap_or("intact");
            let sealed = line.sealed_with.as_ref().map(|key| format!(", sealed with key {key}"));
            let sealed = sealed.unwrap_or_default();
            writeln!(out, "{:<20} {version:>8}  {problem}{sealed}", line.key.to_string())?;
        }
    }
    Ok(if report.intact() { Exit::Done } else { Exit::Failed })
}

fn backup(backend: &dyn Backend, to: &Path, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let report = store::backup(backend, to)?;
    if setup.json {
        let damaged: Vec<String> = report.damaged.iter().map(ToString::to_string).collect();
        writeln!(out, "{}", json!({"directory": report.dir, "records": report.records, "damaged": damaged}))?;
    } else {
        writeln!(out, "{} records copied to {}", report.records, report.dir.display())?;
        for key in &report.damaged {
            writeln!(out, "{key} could not be copied: neither it nor its copy can be read")?;
        }
    }
    Ok(Exit::Done)
}

fn import(
    backend: &dyn Backend,
    file: &Path,
    sealer: &Sealer,
    setup: &Setup,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let _owner = backend.own()?;
    let mut document = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(DOCUMENT).read_to_end(&mut document)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(DOCUMENT).read_to_end(&mut document))
    };
    read.map_err(|error| CliError::io(file.display(), &error))?;
    let report = store::import(backend, &document, sealer)?;
    if setup.json {
        let flawed: Vec<_> =
            report.flawed.iter().map(|(name, why)| json!({"name": name, "problem": why})).collect();
        let (added, skipped) = (names(&report.added), names(&report.skipped));
        writeln!(out, "{}", json!({"added": added, "skipped": skipped, "flawed": flawed}))?;
        return Ok(Exit::Done);
    }
    writeln!(out, "added: {}", listed(&report.added))?;
    if !report.skipped.is_empty() {
        writeln!(out, "left out, because the alias is taken: {}", listed(&report.skipped))?;
    }
    for (name, problem) in &report.flawed {
        writeln!(out, "{name}: {problem}")?;
    }
    Ok(Exit::Done)
}

fn restore(
    backend: &dyn Backend,
    from: &Path,
    sealer: &Sealer,
    setup: &Setup,
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    let _owner = backend.own()?;
    let report = store::restore(backend, from, sealer)?;
    if setup.json {
        let view = json!({
            "restored": names(&report.restored),
            "keptCredentials": names(&report.kept_credentials),
            "keptAccounts": report.kept_accounts,
        });
        writeln!(out, "{view}")?;
        return Ok(Exit::Done);
    }
    writeln!(out, "as in the backup: {}", listed(&report.restored))?;
    if !report.kept_credentials.is_empty() {
        writeln!(out, "their newer credentials stay: {}", listed(&report.kept_credentials))?;
    }
    if !report.kept_accounts.is_empty() {
        writeln!(out, "added since the backup, they stay: {}", report.kept_accounts.join(", "))?;
    }
    Ok(Exit::Done)
}

fn names(aliases: &[Alias]) -> Vec<&str> {
    aliases.iter().map(Alias::as_str).collect()
}

fn listed(aliases: &[Alias]) -> String {
    if aliases.is_empty() { "nobody".to_owned() } else { names(aliases).join(", ") }
}
