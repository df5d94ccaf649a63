use crate::model::{AccountId, Credential, ProviderId, Time};
use crate::store::{
    Backend, FileBackend, Found, Guard, Journal, Key, Legacy, Noted, Remnant, Store, StoreError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A store directory of the test's own.
pub(super) struct Records {
    dir: Arc<TempDir>,
    disk: Arc<Disk>,
    pub(super) store: Arc<Store>,
}

impl Records {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The same directory, as another process sees it.
    pub(super) fn opened_again(&self) -> Self {
        Self::over(self.dir.clone())
    }

    fn over(dir: Arc<TempDir>) -> Self {
        let disk = Arc::new(Disk {
            files: FileBackend::create(&dir.path().join("store")).unwrap(),
            full: AtomicBool::new(false),
            look: Mutex::default(),
            seen: Mutex::default(),
            meddle: Mutex::new(Box::new(|| {})),
        });
        let providers = BTreeSet::<ProviderId>::new();
        let opened = Store::open(disk.clone(), &providers, Time::default()).unwrap();
        Self { dir, disk, store: opened.store }
    }

    /// A file of the test's own beside the store.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Notes what `look` says whenever something is written.
    pub(super) fn while_saving(&self, look: impl Fn() -> u64 + Send + 'static) {
        *self.disk.look.lock().unwrap() = Some(Box::new(look));
    }

    pub(super) fn seen_while_saving(&self) -> Vec<u64> {
        self.disk.seen.lock().unwrap().clone()
    }

    /// What is noted of the account.
    pub(super) fn noted(&self, id: AccountId) -> Noted {
        self.disk.files.journal(id).read().unwrap()
    }

    /// The file at `path` below the store.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join("store").join(path)
    }

    /// From now on nothing can be written.
    pub(super) fn fill_up(&self) {
        self.disk.full.store(true, Ordering::SeqCst);
    }

    pub(super) fn make_room(&self) {
        self.disk.full.store(false, Ordering::SeqCst);
    }

    /// Does `meddle` after the lock was taken, right before an intent would be noted.
    pub(super) fn before_intent(&self, meddle: impl Fn() + Send + 'static) {
        *self.disk.meddle.lock().unwrap() = Box::new(meddle);
    }

    pub(super) fn write(&self, id: AccountId, credential: &Credential) {
        self.store.save_credential(id, credential).unwrap();
    }

    pub(super) fn read(&self, id: AccountId) -> Option<Credential> {
        self.store.credential(id).unwrap()
    }
}

/// The file backend on a disk that can be full.
struct Disk {
    files: FileBackend,
    full: AtomicBool,
    look: Mutex<Option<Box<dyn Fn() -> u64 + Send>>>,
    seen: Mutex<Vec<u64>>,
    meddle: Mutex<Box<dyn Fn() + Send>>,
}

impl Disk {
    fn room(&self) -> Result<(), StoreError> {
        if !self.full.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(StoreError::Io {
            action: "write",
            path: PathBuf::from("record"),
            problem: "no space left on device".to_owned(),
            errno: Some(28),
        })
    }
}

impl Backend for Disk {
    fn load(&self) -> Result<BTreeMap<Key, Found>, StoreError> {
        self.files.load()
    }

    fn read(&self, key: Key) -> Result<Found, StoreError> {
        self.files.read(key)
    }

    fn put(&self, key: Key, expected: u64, body: &[u8]) -> Result<u64, StoreError> {
        if let Some(look) = self.look.lock().unwrap().as_ref() {
            self.seen.lock().unwrap().push(look());
        }
        self.room()?;
        self.files.put(key, expected, body)
    }

    fn remove(&self, key: Key, expected: u64) -> Result<(), StoreError> {
        self.files.remove(key, expected)
    }

    fn prune(&self, keep: &dyn Fn(Key, Remnant<'_>) -> bool) -> Result<usize, StoreError> {
        self.files.prune(keep)
    }

    fn own(&self) -> Result<Box<dyn Guard>, StoreError> {
        self.files.own()
    }

    fn lock(&self, account: AccountId) -> Result<Box<dyn Guard>, StoreError> {
        self.files.lock(account)
    }

    fn try_lock(&self, account: AccountId) -> Result<Option<Box<dyn Guard>>, StoreError> {
        self.files.try_lock(account)
    }

    /// Its room was taken beforehand: it can be written also where nothing else can.
    fn journal(&self, account: AccountId) -> Box<dyn Journal + '_> {
        self.files.journal(account)
    }

    fn preflight(&self, account: AccountId) -> Result<(), StoreError> {
        self.room()?;
        (self.meddle.lock().unwrap())();
        self.files.preflight(account)
    }

    fn legacy(&self) -> Result<Option<Legacy>, StoreError> {
        self.files.legacy()
    }

    fn retire(&self, legacy: &Legacy) -> Result<(), StoreError> {
        self.files.retire(legacy)
    }
}
