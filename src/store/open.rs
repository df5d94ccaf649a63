//! Opening a store: every record read and judged, what is damaged restored from its copy or named, nothing dropped.
use super::backend::{Backend, Found, Key, Record};
use super::digest::Fingerprint;
use super::document;
use super::error::StoreError;
use super::finding::Finding;
use super::handle::{Audited, Known, Store};
use super::journal;
use super::reseal::Resealing;
use super::schema::fields::Fields;
use super::schema::runtime::Runtime;
use super::schema::state::{self, State};
use super::schema::{audit, credential};
use super::seal::{Sealer, Whose};
use crate::model::{
    Account, AccountId, AuditEntry, AuditTrail, ClientKey, Credential, CredentialState, Force, ProviderId,
    Time,
};
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An opened store and what was in it.
pub struct Opened {
    /// The store.
    pub store: Arc<Store>,
    /// The accounts, ascending by id.
    pub accounts: Vec<Account>,
    /// The id the next account gets: above that of every record there is, also of damaged and orphaned ones.
    pub next_account: AccountId,
    /// The pin, if it has not run out.
    pub force: Option<Force>,
    /// What was changed lately.
    pub audit: AuditTrail,
    /// Keys of clients.
    pub keys: Vec<ClientKey>,
    /// Settings that a human changed while rota ran.
    pub settings: toml::Table,
    /// What was not as it should be.
    pub findings: Vec<Finding>,
}

/// A store that is being opened.
struct Opening<'a> {
    backend: &'a dyn Backend,
    found: BTreeMap<Key, Found>,
    findings: Vec<Finding>,
    known: Known,
    sealer: &'a Sealer,
}

/// What an account is left without a credential for.
enum Lack {
    /// There is none, or none that can be read.
    Lost(String),
    /// It is sealed and does not open.
    Sealed(String),
}

impl Store {
    /// Opens a store whose credentials are in the clear; see [`open_sealed`](Self::open_sealed).
    pub fn open(
        backend: Arc<dyn Backend>,
        providers: &BTreeSet<ProviderId>,
        now: Time,
    ) -> Result<Opened, StoreError> {
        Self::open_sealed(backend, providers, &Sealer::Clear, now)
    }

    /// Opens the store behind `backend`, whose owner the caller must be. An account of a provider that is not among
    /// `providers` is quarantined. Damaged records are replaced by their copies; an empty store is initialised.
    /// Credential records are rewritten the way `sealer` wants them; sealed ones without any key are
    /// [`StoreError::KeyMissing`].
    pub fn open_sealed(
        backend: Arc<dyn Backend>,
        providers: &BTreeSet<ProviderId>,
        sealer: &Sealer,
        now: Time,
    ) -> Result<Opened, StoreError> {
        let mut opening = Opening {
            sealer,
            found: backend.load()?,
            backend: backend.as_ref(),
            findings: Vec::new(),
            known: Known::default(),
        };
        opening.initialise()?;
        opening.restore_copies()?;
        let state = opening.state(providers)?;
        opening.reseal(&state)?;
        let accounts: Vec<Account> = state.accounts.iter().map(|listed| opening.account(listed)).collect();
        opening.report_orphans(&state);
        let force = opening.force(&state, now);
        let next_account = opening.next_account(&state);
        let audit = opening.audit(&state);
        let settings = document::to_toml(&state.carried.settings);
        let Opening { findings, mut known, .. } = opening;
        known.live = accounts.iter().map(|account| account.id).collect();
        known.carried = Arc::new(state.carried);
        Ok(Opened {
            store: Arc::new(Store::new(backend, sealer.clone(), known, findings.clone())),
            accounts,
            next_account,
            force,
            audit,
            keys: state.keys,
            settings,
            findings,
        })
    }
}

impl Opening<'_> {
    /// Makes sure that there is a state record, unless one should be there.
    fn initialise(&mut self) -> Result<(), StoreError> {
        let is_there = |found: &Found| *found != Found::Absent;
        let state = self.found.get(&Key::State).is_some_and(is_there);
        let others = self.found.iter().any(|(key, found)| *key != Key::State && is_there(found));
        let legacy = self.backend.legacy()?;
        match (state, legacy) {
            (true, None) => return Ok(()),
            (true, Some(legacy)) => {
                // A migration that was cut off after its last record left the document; any other one is a stranger.
                match document::came_from(self.found.get(&Key::State), &legacy) {
                    true => self.backend.retire(&legacy)?,
                    false => self.findings.push(Finding::LegacyIgnored { name: legacy.name }),
                }
                return Ok(());
            }
            (false, Some(legacy)) => {
                let accounts = document::take_in(self.backend, &legacy, self.sealer)?;
                let name = legacy.name;
                self.findings.push(Finding::Migrated { name, accounts });
            }
            (false, None) if others => {
                return Err(StoreError::Unrecoverable(
                    "there are records of accounts, but the state record is gone".to_owned(),
                ));
            }
            (false, None) => {
                self.backend.put(Key::State, 0, &State::default().text())?;
            }
        }
        self.found = self.backend.load()?;
        Ok(())
    }

    /// Makes the copies of damaged records whole records again, and says so.
    fn restore_copies(&mut self) -> Result<(), StoreError> {
        let restored = |(key, found): (&Key, &Found)| match found {
            Found::Restored { record, problem } => Some((*key, record.clone(), problem.clone())),
            Found::Absent | Found::Damaged { .. } | Found::Good(_) => None,
        };
        let restored: Vec<(Key, Record, String)> = self.found.iter().filter_map(restored).collect();
        for (key, record, problem) in restored {
            let version = self.backend.put(key, record.version, &record.body)?;
            self.found.insert(key, Found::Good(Record { version, ..record }));
            self.findings.push(Finding::Restored { key, problem });
            self.known.restores += 1;
        }
        Ok(())
    }

    fn state(&mut self, providers: &BTreeSet<ProviderId>) -> Result<State, StoreError> {
        let record = match self.found.get(&Key::State) {
            Some(Found::Good(record) | Found::Restored { record, .. }) => record,
            Some(Found::Damaged { problem }) => {
                return Err(StoreError::Unrecoverable(format!("the state record: {problem}")));
            }
            Some(Found::Absent) | None => {
                return Err(StoreError::Unrecoverable("the state record is gone".to_owned()));
            }
        };
        let state = state::parse(&record.body, |provider| providers.contains(provider))
            .map_err(|bad| StoreError::Unrecoverable(format!("the state record: {bad}")))?;
        self.known.state = (record.version, Some(Fingerprint::of(&record.body)));
        let quarantined = state.carried.quarantined.iter();
        self.findings.extend(
            quarantined.map(|one| Finding::Quarantined { name: one.name(), problem: one.problem.clone() }),
        );
        Ok(state)
    }

    /// Brings the credential records into the form that is wanted, once it is known whose they are.
    fn reseal(&mut self, state: &State) -> Result<(), StoreError> {
        let providers = &mut self.known.providers;
        providers.extend(state.accounts.iter().map(|listed| (listed.id, listed.provider.clone())));
        providers.extend(state.carried.quarantined.iter().filter_map(state::Quarantined::owner));
        let (backend, sealer) = (self.backend, self.sealer);
        let (found, findings) = (&mut self.found, &mut self.findings);
        Resealing { backend, sealer, providers, found, findings }.run()
    }

    fn account(&mut self, listed: &state::Listed) -> Account {
        let runtime = self.runtime(listed);
        let alias = listed.alias.clone();
        let credential = match self.credential(listed) {
            Ok(credential) => {
                if let Some(problem) = journal::problem(self.backend, self.sealer, listed.id, &credential) {
                    self.findings.push(Finding::Unsettled { alias, problem });
                }
                held(credential, &runtime)
            }
            Err(Lack::Lost(detail)) => {
                self.findings.push(Finding::CredentialLost { alias, problem: detail.clone() });
                CredentialState::Missing { detail }
            }
            Err(Lack::Sealed(detail)) => {
                self.findings.push(Finding::CredentialSealed { alias, problem: detail.clone() });
                CredentialState::Missing { detail }
            }
        };
        Account {
            id: listed.id,
            alias: listed.alias.clone(),
            provider: listed.provider.clone(),
            tags: listed.tags.clone(),
            notes: listed.notes.clone(),
            switch: listed.switch.clone(),
            weight: listed.weight,
            quota_group: listed.quota_group.clone(),
            credential,
            renewal: runtime.renewal,
            limits: runtime.limits,
            health: runtime.health,
        }
    }

    fn credential(&mut self, listed: &state::Listed) -> Result<Credential, Lack> {
        let key = Key::Credential(listed.id);
        let record = match self.found.get(&key) {
            Some(Found::Good(record) | Found::Restored { record, .. }) => record,
            Some(Found::Damaged { problem }) => return Err(Lack::Lost(format!("record {key}: {problem}"))),
            Some(Found::Absent) | None => return Err(Lack::Lost("none is stored".to_owned())),
        };
        let whose = Whose { id: listed.id, provider: Some(&listed.provider) };
        let body = self.sealer.open(whose, &record.body);
        let body = body.map_err(|unopened| Lack::Sealed(format!("record {key}: {unopened}")))?;
        let credential = Fields::parse(&body)
            .and_then(|mut fields| credential::take(&mut fields))
            .map_err(|bad| Lack::Lost(format!("record {key}: {bad}")))?;
        self.known.credentials.insert(listed.id, credential.version);
        Ok(credential)
    }

    fn runtime(&mut self, listed: &state::Listed) -> Runtime {
        let key = Key::Runtime(listed.id);
        let (body, problem) = match self.found.get(&key) {
            Some(Found::Good(record) | Found::Restored { record, .. }) => (&record.body, None),
            Some(Found::Damaged { problem }) => (&Vec::new(), Some(problem.clone())),
            Some(Found::Absent) | None => return Runtime::default(),
        };
        let problem = match (problem, Fields::parse(body).and_then(|mut fields| Runtime::take(&mut fields))) {
            (None, Ok(runtime)) => {
                let known = Fingerprint::of(&runtime.give(&Map::new()).text());
                self.known.runtime.insert(listed.id, known);
                return runtime;
            }
            (Some(problem), _) => problem,
            (None, Err(bad)) => bad.to_string(),
        };
        self.findings.push(Finding::RuntimeLost {
            alias: listed.alias.clone(),
            problem: format!("record {key}: {problem}"),
        });
        Runtime::default()
    }

    /// What cannot be read of it is gone, and that is told: nothing else depends on it. The newest changes are in `state`.
    fn audit(&mut self, state: &State) -> AuditTrail {
        let (trail, version, problem) = match self.found.get(&Key::Audit) {
            Some(Found::Good(record) | Found::Restored { record, .. }) => match audit::parse(&record.body) {
                Ok(trail) => (trail, Some(record.version), None),
                Err(bad) => (AuditTrail::default(), None, Some(bad.to_string())),
            },
            Some(Found::Damaged { problem }) => (AuditTrail::default(), None, Some(problem.clone())),
            Some(Found::Absent) | None => (AuditTrail::default(), Some(0), None),
        };
        self.findings.extend(problem.map(|problem| Finding::AuditLost { problem }));
        self.known.audit = Audited { last: trail.last(), version };
        trail.followed_by(state.changes.iter().map(|entry| AuditEntry::clone(entry)))
    }

    fn report_orphans(&mut self, state: &State) {
        let accounts = state.accounts.iter().map(|account| account.id);
        let quarantined = state.carried.quarantined.iter().filter_map(state::Quarantined::id);
        let owners: BTreeSet<AccountId> = accounts.chain(quarantined).collect();
        let orphans = self.found.iter().filter_map(|(key, found)| match key {
            Key::Credential(id) if !owners.contains(id) && *found != Found::Absent => Some(*key),
            Key::Audit | Key::Credential(_) | Key::Runtime(_) | Key::State => None,
        });
        self.findings.extend(orphans.map(|key| Finding::Orphaned { key }));
    }

    fn force(&mut self, state: &State, now: Time) -> Option<Force> {
        let pinned = state.force.as_ref().filter(|pinned| now < pinned.until)?;
        let account = state.accounts.iter().find(|account| account.alias == pinned.alias);
        let Some(account) = account else {
            let alias = pinned.alias.clone();
            self.findings.push(Finding::ForceEnded { alias });
            return None;
        };
        Some(Force { account: account.id, since: pinned.since, until: pinned.until, by: pinned.by })
    }

    fn next_account(&self, state: &State) -> AccountId {
        let records = self.found.keys().filter_map(|key| match key {
            Key::Credential(id) | Key::Runtime(id) => Some(*id),
            Key::Audit | Key::State => None,
        });
        document::next_account(state, records)
    }
}

/// Dead or alive: what the provider said of exactly this credential.
fn held(credential: Credential, runtime: &Runtime) -> CredentialState {
    match &runtime.refused {
        Some(refused) if refused.version == credential.version => CredentialState::NeedsReauth {
            since: refused.since,
            detail: refused.detail.clone(),
            refused: Arc::new(credential),
        },
        Some(_) | None => CredentialState::Usable(Arc::new(credential)),
    }
}
