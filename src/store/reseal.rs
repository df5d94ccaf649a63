//! Turning encryption on and off: when the store is opened, every credential record is rewritten the way the settings
//! want it, and what is left of earlier generations in the other way is removed. Each record is whole at every moment,
//! in the one way or the other, and reading decides record by record: cut off anywhere, the next start goes on.
use super::backend::{Backend, Found, Key, Noted, Record, Remnant};
use super::error::StoreError;
use super::finding::Finding;
use super::schema::credential::SECRETS;
use super::seal::{Form, SEALED, Sealer, Unopened, Whose};
use crate::model::{AccountId, ProviderId};
use std::collections::{BTreeMap, BTreeSet};

/// The records of a store that is being opened, by its owner.
pub(super) struct Resealing<'a> {
    pub(super) backend: &'a dyn Backend,
    pub(super) sealer: &'a Sealer,
    /// What every account is one of.
    pub(super) providers: &'a BTreeMap<AccountId, ProviderId>,
    pub(super) found: &'a mut BTreeMap<Key, Found>,
    pub(super) findings: &'a mut Vec<Finding>,
}

impl Resealing<'_> {
    /// Brings all records into the form that is wanted. Sealed ones without a key are an error, before anything is done.
    pub(super) fn run(mut self) -> Result<(), StoreError> {
        if *self.sealer == Sealer::Clear {
            return self.must_be_clear();
        }
        let mut stuck = BTreeSet::new();
        let mut rewritten = 0;
        for (key, record) in self.others() {
            match self.redressed(key, &record) {
                Ok(body) => {
                    self.rewrite(key, record, body)?;
                    rewritten += 1;
                }
                Err(finding) => {
                    stuck.insert(key);
                    self.findings.extend(finding);
                }
            }
        }
        for id in self.accounts() {
            rewritten += self.reseal_journal(id)?;
        }
        let removed = self.backend.prune(&|key, remnant| stuck.contains(&key) || self.may_stay(remnant))?;
        let records = rewritten;
        match self.sealer {
            Sealer::Seals(_) if records + removed > 0 => {
                self.findings.push(Finding::Sealed { records, removed })
            }
            Sealer::Opens(_) if records > 0 => self.findings.push(Finding::Opened { records }),
            Sealer::Clear | Sealer::Opens(_) | Sealer::Seals(_) => {}
        }
        Ok(())
    }

    fn must_be_clear(&self) -> Result<(), StoreError> {
        let keys = self.others().into_iter().filter_map(|(_, record)| match Form::of(&record.body) {
            Form::Clear => None,
            Form::Sealed(key) => Some(key),
        });
        let keys: Vec<String> = keys.collect();
        match keys.first() {
            None => Ok(()),
            Some(key) => Err(StoreError::KeyMissing { records: keys.len(), sealed_with: key.clone() }),
        }
    }

    /// Credential records that are not in the form that is wanted.
    fn others(&self) -> Vec<(Key, Record)> {
        let credentials = self.found.iter().filter(|(key, _)| matches!(key, Key::Credential(_)));
        let records = credentials.filter_map(|(key, found)| Some((*key, found.record()?.clone())));
        records.filter(|(_, record)| !self.sealer.writes(&Form::of(&record.body))).collect()
    }

    /// The record's body in the other form, or what to tell about one that stays as it is: nothing about one that does
    /// not open, since its account tells.
    fn redressed(&self, key: Key, record: &Record) -> Result<Vec<u8>, Option<Finding>> {
        let Some(id) = key.account() else {
            return Err(None);
        };
        let whose = Whose { id, provider: self.providers.get(&id) };
        let clear = self.sealer.open(whose, &record.body).map_err(|_: Unopened| None)?;
        let dressed = self.sealer.dress(whose, &clear);
        let problem = |error: StoreError| Some(Finding::InTheClear { key, problem: error.to_string() });
        Ok(dressed.map_err(problem)?.into_owned())
    }

    /// Twice, so that the last-known-good copy is in the same form and the record is never without one.
    fn rewrite(&mut self, key: Key, record: Record, body: Vec<u8>) -> Result<(), StoreError> {
        let first = self.backend.put(key, record.version, &body)?;
        let version = self.backend.put(key, first, &body)?;
        self.found.insert(key, Found::Good(Record { version, body, ..record }));
        Ok(())
    }

    fn accounts(&self) -> BTreeSet<AccountId> {
        self.found.keys().filter_map(|key| key.account()).collect()
    }

    /// The answer in an account's journal in the other form, and how many that were. One that somebody is at work on,
    /// or that does not open, stays. What is torn proves nothing; under encryption it goes, for it may hold a token.
    fn reseal_journal(&self, id: AccountId) -> Result<usize, StoreError> {
        let noted = self.backend.journal(id).read()?;
        let torn = noted.torn && matches!(self.sealer, Sealer::Seals(_));
        let is_other = |entry: &Vec<u8>| !self.sealer.notes(entry);
        if !torn && !noted.result.as_ref().is_some_and(is_other) {
            return Ok(0);
        }
        let Some(_lock) = self.backend.try_lock(id)? else {
            return Ok(0);
        };
        let journal = self.backend.journal(id);
        let noted = journal.read()?;
        let result = match noted.result.as_deref().map(|entry| self.sealer.open_entry(id, entry)) {
            Some(Ok(clear)) => Some(self.sealer.dress_entry(id, &clear)?.into_owned()),
            Some(Err(_)) if !torn => return Ok(0),
            Some(Err(_)) => noted.result,
            None => None,
        };
        journal.rewrite(&Noted { result, torn: false, ..noted })?;
        Ok(1)
    }

    /// What is damaged may be looked at later, unless it could hold a token in the clear.
    fn may_stay(&self, remnant: Remnant<'_>) -> bool {
        let has = |bytes: &[u8], name: &str| {
            let quoted = format!("\"{name}\"");
            bytes.windows(quoted.len()).any(|part| part == quoted.as_bytes())
        };
        match (self.sealer, remnant) {
            (_, Remnant::Copy(body)) => self.sealer.writes(&Form::of(body)),
            (Sealer::Seals(_), Remnant::Damaged(bytes)) => {
                has(bytes, SEALED) && !SECRETS.iter().any(|name| has(bytes, name))
            }
            (Sealer::Seals(_), Remnant::Document) => false,
            (Sealer::Clear | Sealer::Opens(_), Remnant::Damaged(_) | Remnant::Document) => true,
        }
    }
}
