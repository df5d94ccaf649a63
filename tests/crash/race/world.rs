//! A state directory with two accounts, one that everybody renews and one that only a daemon does, and the authority
//! that grants their tokens: each refresh token once, without a grace, and with its whole family revoked when one comes
//! again.
use super::driver::{Lock, Orders, RACED, state_of};
use super::ledger::Presented;
use super::victim::Dead;
use fake_upstream::{Account, FakeUpstream, Script, TokenPolicy, Vendor};
use rota::clock::Clock;
use rota::model::{Credential, CredentialKind, Identity, Secret};
use rota::store::{Backend, FileBackend, Sealer, Store, StoreError, import};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// How long a granted access token lives: a daemon finds it ended at nearly every request.
const LIFETIME: i64 = 1;

/// See the module.
pub(crate) struct World {
    pub(crate) fake: FakeUpstream,
    _runtime: Runtime,
    home: TempDir,
}

impl World {
    pub(crate) fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let world = Self::around(home);
        world.take_in(&state_of(world.home()));
        world
    }

    /// The authority alone; the state directory is somewhere else.
    pub(crate) fn around(home: TempDir) -> Self {
        let policy =
            TokenPolicy { expires_in: LIFETIME, revoke_family_on_reuse: true, ..TokenPolicy::default() };
        let account = |id: &str| {
            let account = Account::new(id).tokens(policy.clone());
            account.access_token_for(format!("at-{id}"), -1).refresh_token(format!("rt-{id}"))
        };
        let script = Script::new().account(account("a")).account(account("b"));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fake = runtime.block_on(FakeUpstream::start(script)).unwrap();
        Self { fake, _runtime: runtime, home }
    }

    /// Makes a store at `state` with both accounts.
    pub(crate) fn take_in(&self, state: &Path) {
        let login = |id: &str| {
            format!(r#""{id}":{{"accessToken":"at-{id}","refreshToken":"rt-{id}","expiresAt":1}}"#)
        };
        let document = format!(r#"{{"accounts":{{{},{}}}}}"#, login("a"), login("b"));
        import(&FileBackend::create(state).unwrap(), document.as_bytes(), &Sealer::Clear).unwrap();
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        state_of(self.home())
    }

    pub(crate) fn orders(&self, sender: &str, lock: Lock, rounds: Option<u64>) -> Orders {
        Orders { dir: self.state(), origin: self.fake.origin(), sender: sender.to_owned(), lock, rounds }
    }

    /// What was presented to the token endpoint, in order.
    pub(crate) fn presented(&self) -> Vec<Presented> {
        self.fake.requests().iter().filter_map(Presented::of).collect()
    }
}

/// A person signs in again, if `dead` is still what is on record. True where that was done. Drivers with their lock out
/// may write between that look and the sign-in's own write: then it is no longer what is on record.
pub(crate) fn sign_in(fake: &FakeUpstream, state: &Path, dead: Dead, drivers: Lock) -> bool {
    let Dead { account, version } = dead;
    let name = if account == RACED { "a" } else { "b" };
    let backend = Arc::new(FileBackend::create(state).unwrap());
    let _lock = backend.lock(account).unwrap();
    let providers = BTreeSet::from(["codex".try_into().unwrap()]);
    let now = Clock::System.now();
    let store = Store::open(backend.clone(), &providers, now).unwrap().store;
    if store.credential(account).unwrap().is_none_or(|kept| kept.version != version) {
        return false;
    }
    let login = fake.login(name, Vendor::OpenAi).unwrap();
    let credential = Credential {
        version: version + 1,
        kind: CredentialKind::Oauth,
        access: Secret::new(&login.access_token),
        refresh: Some(Secret::new(&login.refresh_token)),
        self_granted: false,
        id_token: None,
        identity: Identity { account: Some(format!("org-{name}")), ..Identity::default() },
        issued: now,
        expires: Some(now.after(Duration::from_secs(login.expires_in.unsigned_abs()))),
    };
    match store.save_credential(account, &credential) {
        Err(StoreError::Conflict { .. }) if drivers == Lock::Out => false,
        saved => saved.map(|_| true).unwrap(),
    }
}
