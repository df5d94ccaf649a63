//! The store as the rest of rota sees it: credentials in and out, settings, and the one call by which the writer brings
//! the disk up with the state. Every call blocks until the disk is done.
use super::backend::{Backend, Found, Guard, Key};
use super::digest::Fingerprint;
use super::document::{self, Secrets};
use super::error::StoreError;
use super::finding::Finding;
use super::rescue::{self, BackupReport, Report};
use super::schema::credential;
use super::schema::fields::{BadField, Fields, Object};
use super::schema::state::Carried;
use super::seal::{Sealer, Whose};
use crate::model::{AccountId, Credential, ProviderId, Time};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An opened store. Shared by all threads.
pub struct Store {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) sealer: Sealer,
    known: Mutex<Known>,
    /// Whose turn it is to replace the state record.
    turn: Mutex<()>,
    health: Mutex<StoreHealth>,
    findings: Vec<Finding>,
}

/// What the disk is known to hold, so that what is there already is not written again.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) state: (u64, Option<Fingerprint>),
    pub(super) carried: Arc<Carried>,
    /// Credential versions.
    pub(super) credentials: BTreeMap<AccountId, u64>,
    /// Whose tokens the accounts hold: a sealed record is bound to it.
    pub(super) providers: BTreeMap<AccountId, ProviderId>,
    pub(super) runtime: BTreeMap<AccountId, Fingerprint>,
    /// Accounts whose records go when the account goes.
    pub(super) live: BTreeSet<AccountId>,
    pub(super) restores: u64,
    pub(super) audit: Audited,
}

/// What is known of the audit record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Audited {
    /// Its newest entry; those after it stand in the state record.
    pub(super) last: u64,
    /// Its version; none where it is not known, or the record cannot be read: it is written with the next change.
    pub(super) version: Option<u64>,
}

/// How keeping goes, for status and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Saves that succeeded.
    pub saves: u64,
    /// Saves that failed; each was or will be tried again.
    pub failures: u64,
    /// Records that were brought back from their last-known-good copy.
    pub restores: u64,
    /// When a save last succeeded.
    pub last_saved: Option<Time>,
    /// Since when there are changes that are not on the disk.
    pub unsaved_since: Option<Time>,
    /// Why the last save failed; none once one succeeds.
    pub last_error: Option<String>,
    /// Time spent in saves that succeeded, all together.
    pub spent: Duration,
}

impl Store {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        sealer: Sealer,
        known: Known,
        findings: Vec<Finding>,
    ) -> Self {
        let health = StoreHealth { restores: known.restores, ..StoreHealth::default() };
        Self {
            backend,
            sealer,
            known: Mutex::new(known),
            turn: Mutex::default(),
            health: Mutex::new(health),
            findings,
        }
    }

    /// The account's credential, fresh from where it lives: another process may have renewed it. One that is sealed and
    /// does not open is [`StoreError::Sealed`], never none.
    pub fn credential(&self, id: AccountId) -> Result<Option<Credential>, StoreError> {
        Ok(self.stored_credential(id)?.credential)
    }

    /// Makes `credential` the account's, durably. One that is there already is left as it is. If the record holds the
    /// same or a newer version with other content, nothing is written: [`StoreError::Conflict`] with credential
    /// versions, so that a late writer reads again and adopts what is there. A sealed record that does not open is
    /// replaced only where it never did: that is a sign-in over what is lost.
    pub fn save_credential(&self, id: AccountId, credential: &Credential) -> Result<(), StoreError> {
        let key = Key::Credential(id);
        let stored = match self.stored_credential(id) {
            Err(StoreError::Sealed { .. }) if !self.known().credentials.contains_key(&id) => {
                let version = self.backend.read(key)?.record().map_or(0, |record| record.version);
                StoredCredential { version, ..StoredCredential::default() }
            }
            stored => stored?,
        };
        if let Some(there) = &stored.credential {
            self.known().credentials.insert(id, there.version);
            if there == credential {
                return Ok(());
            }
            if there.version >= credential.version {
                return Err(StoreError::Conflict { key, expected: credential.version, found: there.version });
            }
        }
        let body = credential::give(credential, &stored.extra).text();
        let provider = self.known().providers.get(&id).cloned();
        let body = self.sealer.dress(Whose { id, provider: provider.as_ref() }, &body)?;
        self.put(key, stored.version, &body)?;
        self.known().credentials.insert(id, credential.version);
        Ok(())
    }

    /// Removes the account's credential, with every copy of it, durably.
    pub fn remove_credential(&self, id: AccountId) -> Result<(), StoreError> {
        self.remove(Key::Credential(id))?;
        self.known().credentials.remove(&id);
        Ok(())
    }

    /// Waits for the account's lock, which holds across processes. Whoever renews a token holds it.
    pub fn lock(&self, id: AccountId) -> Result<Box<dyn Guard>, StoreError> {
        self.backend.lock(id)
    }

    /// Proves that the account's credential could be made durable now: what cannot be kept is not asked for.
    pub fn preflight(&self, id: AccountId) -> Result<(), StoreError> {
        self.backend.preflight(id)
    }

    /// Settings that a human changed while rota ran.
    pub fn settings(&self) -> toml::Table {
        document::to_toml(&self.known().carried.settings)
    }

    /// Replaces those settings, durably. Where the disk does not say that it has them, and they are in place, they hold,
    /// too: a start would find them. The next save of the state writes them again, and says when they are durable.
    pub fn set_settings(&self, settings: &toml::Table) -> Result<(), StoreError> {
        let settings = document::from_toml(settings);
        let replaced = self.rewrite_state(|carried| {
            let found = self.backend.read(Key::State)?;
            let there = found.record().map(|record| record.body.as_slice());
            let body = with_settings(there.unwrap_or(EMPTY), &settings).map_err(damaged)?;
            let settings = settings.clone();
            Ok((body, Carried { settings, ..carried.clone() }))
        });
        match replaced {
            Err(StoreError::Unsure { .. }) if self.known().carried.settings == settings => Ok(()),
            replaced => replaced,
        }
    }

    /// How keeping goes.
    pub fn health(&self) -> StoreHealth {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was not as it should be when the store was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What every record is like now; see [`verify`](super::verify).
    pub fn verify(&self) -> Result<Report, StoreError> {
        rescue::verify(self.backend.as_ref(), &self.sealer)
    }

    /// Copies every whole record to the directory `to`; see [`backup`](super::backup).
    pub fn backup(&self, to: &Path) -> Result<BackupReport, StoreError> {
        rescue::backup(self.backend.as_ref(), to)
    }

    /// The whole store as one document; see [`export`](super::export).
    pub fn export(&self, secrets: Secrets) -> Result<Value, StoreError> {
        document::export(self.backend.as_ref(), secrets, &self.sealer)
    }

    /// Replaces the state record by what `next` makes of what it carries.
    pub(super) fn rewrite_state(
        &self,
        next: impl FnOnce(&Carried) -> Result<(Vec<u8>, Carried), StoreError>,
    ) -> Result<(), StoreError> {
        // Held while the disk works: what one thread writes, the next one starts from. Only threads that may block
        // come here.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let ((version, there), carried) = {
            let known = self.known();
            (known.state.clone(), known.carried.clone())
        };
        let (body, carried) = next(&carried)?;
        if there == Some(Fingerprint::of(&body)) {
            return Ok(());
        }
        self.put_state(version, &body, carried)
    }

    fn put_state(&self, version: u64, body: &[u8], carried: Carried) -> Result<(), StoreError> {
        let put = self.backend.put(Key::State, version, body);
        let (version, confirmed) = match put {
            Ok(version) => (version, Some(Fingerprint::of(body))),
            // In place or not, it has to be written again; where it is in place, over this version.
            Err(StoreError::Unsure { .. }) => match self.in_place(Key::State, body) {
                Some(version) => (version, None),
                None => return put.map(|_| ()),
            },
            Err(error) => return Err(error),
        };
        let mut known = self.known();
        known.state = (version, confirmed);
        known.carried = Arc::new(carried);
        drop(known);
        put.map(|_| ())
    }

    pub(super) fn remove(&self, key: Key) -> Result<(), StoreError> {
        let version = self.backend.read(key)?.record().map_or(0, |record| record.version);
        self.backend.remove(key, version)
    }

    pub(super) fn put(&self, key: Key, version: u64, body: &[u8]) -> Result<(), StoreError> {
        self.backend.put(key, version, body).map(|_| ())
    }

    /// The version of the record, if it holds `body`.
    fn in_place(&self, key: Key, body: &[u8]) -> Option<u64> {
        let found = self.backend.read(key).ok()?;
        let record = found.record()?;
        (record.body == body.trim_ascii()).then_some(record.version)
    }

    fn stored_credential(&self, id: AccountId) -> Result<StoredCredential, StoreError> {
        let record = match self.backend.read(Key::Credential(id))? {
            Found::Good(record) | Found::Restored { record, .. } => record,
            Found::Absent | Found::Damaged { .. } => return Ok(StoredCredential::default()),
        };
        let provider = self.known().providers.get(&id).cloned();
        let body = self
            .sealer
            .open(Whose { id, provider: provider.as_ref() }, &record.body)
            .map_err(|why| StoreError::Sealed { key: Key::Credential(id), problem: why.to_string() })?;
        let read = Fields::parse(&body).and_then(|mut fields| {
            let credential = credential::take(&mut fields)?;
            Ok((credential, fields.rest()))
        });
        let (credential, extra) = match read {
            Ok((credential, extra)) => (Some(credential), extra),
            // A whole record without a usable credential is one to sign in over.
            Err(_) => (None, Map::new()),
        };
        Ok(StoredCredential { version: record.version, credential, extra })
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut StoreHealth)) {
        note(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[derive(Default)]
struct StoredCredential {
    version: u64,
    credential: Option<Credential>,
    extra: Map<String, Value>,
}

/// A state of which nothing was saved yet. Without the list it would be taken for a damaged one.
const EMPTY: &[u8] = br#"{"accounts":[]}"#;

fn with_settings(body: &[u8], settings: &Map<String, Value>) -> Result<Vec<u8>, BadField> {
    let state = Fields::parse(body)?.rest();
    let object = Object::over(&state).set("settings", settings.clone());
    Ok(object.text())
}

fn damaged(bad: BadField) -> StoreError {
    StoreError::Damaged { key: Key::State, problem: bad.to_string() }
}
