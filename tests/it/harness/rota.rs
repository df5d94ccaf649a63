use super::client::Call;
use rota::app::{App, Running};
use rota::clock::Clock;
use rota::config::Sources;
use rota::engine::{Command, LastEnabled, NewAccount};
use rota::model::{Account, Alias, Credential, CredentialKind, Identity, ProviderId, Secret, Time, Weight};
use rota::telemetry::{DecisionRecord, LogFormat, LogSink};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A rota that serves.
pub(crate) struct Rota {
    pub(crate) app: Arc<App>,
    pub(crate) address: SocketAddr,
    running: Running,
    _home: TempDir,
}

/// What a rota is made of.
pub(crate) struct RotaBuilder {
    origin: String,
    env: BTreeMap<String, String>,
    accounts: Vec<NewAccount>,
}

/// A rota whose providers all live at `origin`.
pub(crate) fn rota(origin: impl Into<String>) -> RotaBuilder {
    RotaBuilder { origin: origin.into(), env: BTreeMap::new(), accounts: Vec::new() }
}

/// An API key's credential.
pub(crate) fn key(secret: &str) -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new(secret),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: Time::from_secs(0),
        expires: None,
    }
}

/// A login of `org`, good for an hour.
pub(crate) fn login(access: &str, refresh: &str, org: &str) -> Credential {
    let now = Clock::System.now();
    Credential {
        kind: CredentialKind::Oauth,
        refresh: Some(Secret::new(refresh)),
        identity: Identity { account: Some(org.to_owned()), ..Identity::default() },
        issued: now,
        expires: Some(now.after(Duration::from_secs(3600))),
        ..key(access)
    }
}

impl RotaBuilder {
    /// One more account.
    pub(crate) fn account(mut self, alias: &str, provider: &str, credential: Credential) -> Self {
        self.accounts.push(new_account(alias, provider, credential));
        self
    }

    /// `ROTA_<name>`.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.env.insert(format!("ROTA_{name}"), value.to_owned());
        self
    }

    pub(crate) async fn start(self) -> Rota {
        let home = tempfile::tempdir().expect("a directory");
        let sources = self.sources(&home);
        let log = LogSink::start(LogFormat::Json, io::sink()).expect("a thread");
        let running = Running::start(&sources, log, &Handle::current()).await.expect("rota starts");
        for account in self.accounts {
            let added = Command::AccountAdded(Box::new(account));
            running.app.state.commit(added).await.expect("a new account");
        }
        let app = running.app.clone();
        let address = *app.addresses().proxy.first().expect("an address");
        Rota { app, address, running, _home: home }
    }

    fn sources(&self, home: &TempDir) -> Sources {
        let dir = home.path().join(".config/rota/providers");
        fs::create_dir_all(&dir).expect("a directory");
        for id in ["anthropic", "codex", "gemini", "openai", "openrouter"] {
            let mut text = format!("id = \"{id}\"\nextends = \"{id}\"\norigin = \"{}\"\n", self.origin);
            if id == "codex" {
                text += &format!("[token]\nurl = \"{}/oauth/token\"\n", self.origin);
            }
            fs::write(dir.join(format!("{id}.toml")), text).expect("a preset");
        }
        let mut env = self.env.clone();
        env.insert("HOME".to_owned(), home.path().display().to_string());
        env.insert("ROTA_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
        env.insert("ROTA_ADMIN_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
        // Nobody asks the fake about limits but the tests of that.
        env.entry("ROTA_PROBE__EVERY".to_owned()).or_insert_with(|| "0s".to_owned());
        Sources { env, ..Sources::default() }
    }
}

fn new_account(alias: &str, provider: &str, credential: Credential) -> NewAccount {
    NewAccount {
        alias: Alias::try_from(alias).expect("an alias"),
        provider: ProviderId::try_from(provider).expect("a provider id"),
        credential,
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: String::new(),
    }
}

impl Rota {
    /// One more account, durably.
    pub(crate) async fn add(&self, alias: &str, provider: &str, credential: Credential) {
        let added = Command::AccountAdded(Box::new(new_account(alias, provider, credential)));
        self.app.state.commit(added).await.expect("a new account");
    }

    /// One less, be it the last.
    pub(crate) async fn remove(&self, alias: &str) {
        let alias = Alias::try_from(alias).expect("an alias");
        let removed = Command::AccountRemoved { alias, last: LastEnabled::Override };
        self.app.state.commit(removed).await.expect("it is gone");
    }

    /// A request to it.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.address, method, path)
    }

    /// How many hold the app: each request under way does, at least once.
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.app)
    }

    /// The account as it is now.
    pub(crate) fn account(&self, alias: &str) -> Arc<Account> {
        let alias = Alias::try_from(alias).expect("an alias");
        self.app.state.snapshot().by_alias(&alias).expect("the account").clone()
    }

    /// The first `count` decision records, oldest first, once they are there.
    pub(crate) async fn decisions(&self, count: usize) -> Vec<Arc<DecisionRecord>> {
        loop {
            let mut latest = self.app.telemetry.decisions().latest(count);
            if latest.len() == count {
                latest.reverse();
                return latest;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Accepts no more, and returns when it has ended.
    pub(crate) async fn stop(self) {
        self.running.stop(std::future::pending()).await.expect("it ends in order");
    }
}
