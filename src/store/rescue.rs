//! What is done by hand, and works on a store that does not open: look at every record, copy all, bring a copy back.
use super::backend::{Backend, Found, Key, Record, Round};
use super::document::{self, overwrite, overwrite_credential};
use super::error::StoreError;
use super::file::FileBackend;
use super::journal;
use super::schema::fields::Fields;
use super::schema::runtime::Runtime;
use super::schema::state;
use super::schema::{audit, credential};
use super::seal::{self, Form, Sealer, Whose};
use crate::model::{AccountId, Alias};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What every record is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One a record, in order of keys.
    pub lines: Vec<ReportLine>,
}

/// What one record is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportLine {
    /// Which.
    pub key: Key,
    /// Its version; none if neither it nor its copy can be read.
    pub version: Option<u64>,
    /// The name of the key that it is sealed with, if it is.
    pub sealed_with: Option<String>,
    /// What is wrong; none if it is whole and means something. Of a sealed record without its key only the frame is
    /// looked at.
    pub problem: Option<String>,
}

impl Report {
    /// True if there is a state record and nothing is wrong with any record.
    pub fn intact(&self) -> bool {
        let state = self.lines.iter().any(|line| line.key == Key::State);
        state && self.lines.iter().all(|line| line.problem.is_none())
    }
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// Where it is.
    pub dir: PathBuf,
    /// Records copied.
    pub records: usize,
    /// Records that could not be copied, because neither they nor their copies can be read.
    pub damaged: Vec<Key>,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Accounts that are as in the backup.
    pub restored: Vec<Alias>,
    /// Of these, accounts whose stored credential is newer than the backup's: it stays, for a token renewed since then
    /// is the only one that still works.
    pub kept_credentials: Vec<Alias>,
    /// Accounts that came after the backup: they stay.
    pub kept_accounts: Vec<String>,
}

/// What every record is like. Changes nothing, and fails only where the store may not be looked at.
pub fn verify(backend: &dyn Backend, sealer: &Sealer) -> Result<Report, StoreError> {
    let lines = backend.load()?.into_iter().filter_map(|(key, found)| {
        let sealed_with = match found.record().map(|record| Form::of(&record.body)) {
            Some(Form::Sealed(name)) if matches!(key, Key::Credential(_)) => Some(name),
            Some(Form::Sealed(_) | Form::Clear) | None => None,
        };
        let (version, problem) = match found {
            Found::Absent if key == Key::State => (None, Some("it is gone".to_owned())),
            Found::Absent => return None,
            Found::Damaged { problem } => (None, Some(problem)),
            Found::Good(record) => (Some(record.version), meaning(backend, sealer, key, &record)),
            Found::Restored { record, problem } => {
                let problem = format!("{problem}; its last-known-good copy is whole");
                (Some(record.version), Some(problem))
            }
        };
        Some(ReportLine { key, version, sealed_with, problem })
    });
    Ok(Report { lines: lines.collect() })
}

/// What is wrong with a whole record's content.
fn meaning(backend: &dyn Backend, sealer: &Sealer, key: Key, record: &Record) -> Option<String> {
    let read = match key {
        Key::Audit => audit::parse(&record.body).map(|_| None),
        Key::State => state::parse(&record.body, |_| true).map(|state| {
            let first = state.carried.quarantined.first();
            first.map(|one| format!("account \"{}\" cannot be used: {}", one.name(), one.problem))
        }),
        Key::Credential(id) => match sealer.open(Whose { id, provider: None }, &record.body) {
            Ok(body) => Fields::parse(&body)
                .and_then(|mut fields| credential::take(&mut fields))
                .map(|credential| journal::problem(backend, sealer, id, &credential)),
            Err(_) if *sealer == Sealer::Clear => seal::check(&record.body).map(|()| None),
            Err(why) => return Some(why.to_string()),
        },
        Key::Runtime(_) => {
            Fields::parse(&record.body).and_then(|mut fields| Runtime::take(&mut fields)).map(|_| None)
        }
    };
    read.unwrap_or_else(|bad| Some(bad.to_string()))
}

/// Copies every whole record to the directory `to`, which must be missing or without records, and is a store itself
/// afterwards. The state goes last: a backup that was cut off is none. Rotation journals stay behind: they are worth
/// something beside the record they belong to only.
pub fn backup(backend: &dyn Backend, to: &Path) -> Result<BackupReport, StoreError> {
    let target = FileBackend::create(to)?;
    let there = target.load()?;
    if there.values().any(|found| *found != Found::Absent) {
        let problem = format!("{} holds records already; name an empty directory", to.display());
        return Err(StoreError::BadDocument(problem));
    }
    let mut report = BackupReport { dir: to.to_owned(), records: 0, damaged: Vec::new() };
    for (key, found) in backend.load()?.into_iter().rev() {
        match found {
            Found::Absent => {}
            Found::Damaged { .. } => report.damaged.push(key),
            Found::Good(record) | Found::Restored { record, .. } => {
                target.put(key, 0, &record.body)?;
                report.records += 1;
            }
        }
    }
    Ok(report)
}

/// Brings the backup in `from` back into the store, whose owner the caller must be. Accounts, switches, settings and
/// the force become those of the backup. Nothing else is lost: accounts that came later stay, and so does a credential
/// that was renewed since, and what is known of limits and health. Where a credential is brought back, the account's
/// rotation journal is wiped. Works on a store whose state cannot be read; damaged files are put aside. What is in the
/// clear is sealed if `sealer` does; what is sealed needs no key and stays so.
pub fn restore(backend: &dyn Backend, from: &Path, sealer: &Sealer) -> Result<RestoreReport, StoreError> {
    let source = FileBackend::existing(from)?.load()?;
    let body = document::state_body(source.get(&Key::State))?;
    let mut wanted = state::parse(body, |_| true).map_err(document::broken)?;
    let there = backend.load()?;
    let mut report = RestoreReport::default();
    for listed in &wanted.accounts {
        let key = Key::Credential(listed.id);
        let (old, new) = (version(&there, key), version(&source, key));
        if old > new {
            report.kept_credentials.push(listed.alias.clone());
        } else if let Some(record) = source.get(&key).and_then(Found::record) {
            let whose = Whose { id: listed.id, provider: Some(&listed.provider) };
            let current = there.get(&key).and_then(Found::record);
            if current.is_none_or(|current| !sealer.same(whose, &current.body, &record.body)) {
                // What was noted of a token that was replaced since must not be taken for news of it.
                let _lock = backend.lock(listed.id)?;
                backend.journal(listed.id).clear(Round::First)?;
                match Form::of(&record.body) {
                    Form::Clear => overwrite_credential(backend, sealer, whose, &record.body)?,
                    Form::Sealed(_) => overwrite(backend, key, &record.body)?,
                }
            }
        }
        let key = Key::Runtime(listed.id);
        let there = there.get(&key).and_then(Found::record);
        if let (None, Some(record)) = (there, source.get(&key).and_then(Found::record)) {
            overwrite(backend, key, &record.body)?;
        }
        report.restored.push(listed.alias.clone());
    }
    let current = there.get(&Key::State).and_then(Found::record);
    let current = current.and_then(|record| state::parse(&record.body, |_| true).ok());
    if let Some(current) = current {
        let taken = |id: AccountId| wanted.accounts.iter().any(|account| account.id == id);
        let later = current.accounts.iter().filter(|account| !taken(account.id));
        let later: Vec<_> = later.cloned().collect();
        report.kept_accounts = later.iter().map(|account| account.alias.to_string()).collect();
        for account in later {
            if let Some(extra) = current.carried.accounts.get(&account.id) {
                wanted.carried.accounts.insert(account.id, extra.clone());
            }
            wanted.accounts.push(account);
        }
        wanted.next_account = wanted.next_account.max(current.next_account);
        // A key that was taken back since must open nothing, and one that was made since must not be all that is missing.
        wanted.keys = current.keys;
        // The trail tells what was done, and it was not undone by this.
        wanted.changes = current.changes;
    }
    overwrite(backend, Key::State, &wanted.text())?;
    Ok(report)
}

/// The credential version in a record; 0 where there is none.
fn version(records: &BTreeMap<Key, Found>, key: Key) -> u64 {
    let record = records.get(&key).and_then(Found::record);
    let fields = record.and_then(|record| serde_json::from_slice::<Value>(&record.body).ok());
    let version = fields.and_then(|fields| fields.get("credentialVersion")?.as_u64());
    version.unwrap_or(0)
}
