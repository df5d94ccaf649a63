//! Bringing the disk up with a snapshot, record by record, in an order that leaves a whole store wherever it is cut off.
use super::backend::{Found, Key};
use super::digest::Fingerprint;
use super::error::StoreError;
use super::handle::Store;
use super::schema::audit;
use super::schema::fields::Fields;
use super::schema::runtime::Runtime;
use super::schema::state::State;
use crate::model::{Account, AuditTrail, Snapshot};
use serde_json::Map;
use std::sync::Arc;

/// Changes that stand in the state record, beside which they were made: a few more to write each time, and seldom the
/// whole trail of them.
const RECENT: usize = 32;

impl Store {
    /// Brings the records up with `world`: new credentials first, so that no account is durable without its own; then
    /// the state, with the newest entries of the audit trail; now and then the trail; then what was learnt of accounts that
    /// are not as in `since`; then what is left of removed accounts. After an error the records written so far stay, and
    /// the next call writes the others.
    pub(super) fn save(&self, world: &Snapshot, since: Option<&Snapshot>) -> Result<(), StoreError> {
        let changed = |account: &Arc<Account>| {
            let before = since.and_then(|since| since.account(account.id));
            before.is_none_or(|before| !Arc::ptr_eq(before, account))
        };
        for account in world.accounts.iter().filter(|account| changed(account)) {
            self.save_account_credential(account)?;
        }
        self.save_state(world)?;
        self.save_audit(&world.audit)?;
        for account in world.accounts.iter().filter(|account| changed(account)) {
            self.save_runtime(account)?;
        }
        self.remove_gone(world)
    }

    fn save_account_credential(&self, account: &Account) -> Result<(), StoreError> {
        let Some(credential) = account.credential.credential() else {
            return Ok(());
        };
        let there = self.known().credentials.get(&account.id).copied();
        if there.is_some_and(|there| there >= credential.version) {
            return Ok(());
        }
        self.known().providers.insert(account.id, account.provider.clone());
        match self.save_credential(account.id, credential) {
            // A renewal of another process is newer than the snapshot: it stays.
            Err(StoreError::Conflict { .. }) => Ok(()),
            done => done,
        }
    }

    fn save_state(&self, world: &Snapshot) -> Result<(), StoreError> {
        let ids = world.accounts.iter().map(|account| account.id);
        self.known().live.extend(ids);
        let audited = self.known().audit.last;
        self.rewrite_state(|carried| {
            let state = State::of(world, carried.clone(), audited);
            Ok((state.text(), state.carried))
        })
    }

    /// Moves the newest changes from the state record, where they are durable, to their own, once there are some.
    fn save_audit(&self, trail: &AuditTrail) -> Result<(), StoreError> {
        let known = self.known().audit;
        let waiting = trail.since(known.last).count();
        if waiting == 0 || (known.version.is_some() && waiting <= RECENT) {
            return Ok(());
        }
        let version = match known.version {
            Some(version) => version,
            None => self.backend.read(Key::Audit)?.record().map_or(0, |record| record.version),
        };
        let text = audit::text(trail);
        let text = text.map_err(|bad| StoreError::Damaged { key: Key::Audit, problem: bad.to_string() })?;
        let put = self.backend.put(Key::Audit, version, &text);
        let mut known = self.known();
        known.audit.version = put.as_ref().ok().copied();
        if put.is_ok() {
            known.audit.last = trail.last();
        }
        put.map(|_| ())
    }

    fn save_runtime(&self, account: &Account) -> Result<(), StoreError> {
        let key = Key::Runtime(account.id);
        let runtime = Runtime::of(account);
        let fingerprint = Fingerprint::of(&runtime.give(&Map::new()).text());
        if self.known().runtime.get(&account.id) == Some(&fingerprint) {
            return Ok(());
        }
        let (version, extra) = match self.backend.read(key)? {
            Found::Good(record) | Found::Restored { record, .. } => {
                let rest = Fields::parse(&record.body).and_then(|mut fields| {
                    Runtime::take(&mut fields)?;
                    Ok(fields.rest())
                });
                (record.version, rest.unwrap_or_default())
            }
            Found::Absent | Found::Damaged { .. } => (0, Map::new()),
        };
        self.put(key, version, &runtime.give(&extra).text())?;
        self.known().runtime.insert(account.id, fingerprint);
        Ok(())
    }

    fn remove_gone(&self, world: &Snapshot) -> Result<(), StoreError> {
        let live = self.known().live.clone();
        for id in live.into_iter().filter(|id| world.account(*id).is_none()) {
            self.remove_credential(id)?;
            self.remove(Key::Runtime(id))?;
            let mut known = self.known();
            known.runtime.remove(&id);
            known.live.remove(&id);
            known.providers.remove(&id);
        }
        Ok(())
    }
}
