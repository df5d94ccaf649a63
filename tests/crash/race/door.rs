//! The store with an eye on the account's lock, or without that lock: the control. All else is the real one.
use rota::model::AccountId;
use rota::store::{Backend, Found, Guard, Journal, Key, Legacy, Remnant, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store whose account lock is watched or gone.
pub(crate) struct Door {
    pub(crate) store: Arc<dyn Backend>,
    pub(crate) lock: Lock,
}

/// What becomes of a wish for the account's lock.
pub(crate) enum Lock {
    /// It is always granted, and holds nobody back.
    Gone,
    /// It is counted here where the lock was taken already.
    Watched(Arc<AtomicU64>),
}

struct Nothing;

impl Guard for Nothing {
    fn announce(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    fn holds(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Backend for Door {
    fn load(&self) -> Result<BTreeMap<Key, Found>, StoreError> {
        self.store.load()
    }

    fn read(&self, key: Key) -> Result<Found, StoreError> {
        self.store.read(key)
    }

    fn put(&self, key: Key, expected: u64, body: &[u8]) -> Result<u64, StoreError> {
        self.store.put(key, expected, body)
    }

    fn remove(&self, key: Key, expected: u64) -> Result<(), StoreError> {
        self.store.remove(key, expected)
    }

    fn prune(&self, keep: &dyn Fn(Key, Remnant<'_>) -> bool) -> Result<usize, StoreError> {
        self.store.prune(keep)
    }

    fn own(&self) -> Result<Box<dyn Guard>, StoreError> {
        self.store.own()
    }

    fn lock(&self, account: AccountId) -> Result<Box<dyn Guard>, StoreError> {
        match self.lock {
            Lock::Gone => Ok(Box::new(Nothing)),
            Lock::Watched(_) => self.store.lock(account),
        }
    }

    fn try_lock(&self, account: AccountId) -> Result<Option<Box<dyn Guard>>, StoreError> {
        let taken = match &self.lock {
            Lock::Gone => return Ok(Some(Box::new(Nothing))),
            Lock::Watched(taken) => taken,
        };
        let lock = self.store.try_lock(account)?;
        taken.fetch_add(u64::from(lock.is_none()), Ordering::Release);
        Ok(lock)
    }

    fn journal(&self, account: AccountId) -> Box<dyn Journal + '_> {
        self.store.journal(account)
    }

    fn preflight(&self, account: AccountId) -> Result<(), StoreError> {
        self.store.preflight(account)
    }

    fn legacy(&self) -> Result<Option<Legacy>, StoreError> {
        self.store.legacy()
    }

    fn retire(&self, legacy: &Legacy) -> Result<(), StoreError> {
        self.store.retire(legacy)
    }
}
