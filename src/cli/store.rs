use super::confirm::confirm;
use super::{CliError, Exit, Setup};
use crate::config::Config;
use crate::model::Alias;
use crate::store::{self, Backend, FileBackend, Secrets};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{Read, Write};
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
        let config = Config::load(&setup.sources)?.config;
        let backend = match &self.command {
            Command::Import { .. } | Command::Restore { .. } => FileBackend::create(&config.state_dir)?,
            Command::Backup { .. } | Command::Export { .. } | Command::Verify => existing(&config.state_dir)?,
        };
        match self.command {
            Command::Backup { dir } => backup(&backend, &dir, setup, out),
            Command::Export { secrets } => {
                let secrets = if secrets { Secrets::Include } else { Secrets::Omit };
                writeln!(out, "{:#}", store::export(&backend, secrets)?)?;
                Ok(Exit::Done)
            }
            Command::Import { file } => import(&backend, &file, setup, out),
            Command::Restore { dir, yes } => {
                if !yes && !confirm(&format!("Bring back the accounts of {}?", dir.display()))? {
                    return Err(CliError::failed("nothing was restored"));
                }
                restore(&backend, &dir, setup, out)
            }
            Command::Verify => verify(&backend, setup, out),
        }
    }
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

fn verify(backend: &dyn Backend, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let report = store::verify(backend)?;
    if setup.json {
        let lines: Vec<_> = report
            .lines
            .iter()
            .map(|line| json!({"record": line.key.to_string(), "version": line.version, "problem": line.problem}))
            .collect();
        writeln!(out, "{}", json!({"intact": report.intact(), "records": lines}))?;
    } else {
        for line in &report.lines {
            let version = line.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
            writeln!(
                out,
                "{:<20} {version:>8}  {}",
                line.key.to_string(),
                line.problem.as_deref().unwrap_or("intact")
            )?;
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

fn import(backend: &dyn Backend, file: &Path, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let _owner = backend.own()?;
    let mut document = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(DOCUMENT).read_to_end(&mut document)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(DOCUMENT).read_to_end(&mut document))
    };
    read.map_err(|error| CliError::io(file.display(), &error))?;
    let report = store::import(backend, &document)?;
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

fn restore(backend: &dyn Backend, from: &Path, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let _owner = backend.own()?;
    let report = store::restore(backend, from)?;
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
