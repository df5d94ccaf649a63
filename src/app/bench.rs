//! For tests: an app with one account, whose clock stands still until it is told to move.
use super::App;
use crate::clock::{Clock, ManualClock};
use crate::config::Sources;
use crate::engine::{Command, NewAccount};
use crate::model::{
    Alias, Credential, CredentialKind, Identity, ProviderId, Secret, SessionKey, Time, Weight,
};
use crate::telemetry::{LogFormat, LogSink};
use http::HeaderName;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// See the module.
pub(crate) struct Bench {
    pub(crate) app: Arc<App>,
    pub(crate) clock: ManualClock,
    home: TempDir,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let env = BTreeMap::from([("HOME".to_owned(), home.path().display().to_string())]);
        let log = LogSink::start(LogFormat::Json, io::sink()).expect("a thread");
        let sources = Sources { env, ..Sources::default() };
        let (mut app, _writer) = App::open(&sources, log, &Handle::current()).await.expect("an app");
        let clock = ManualClock::new(app.clock.now());
        Arc::get_mut(&mut app).expect("nobody else has it").clock = Clock::Manual(clock.clone());
        app.state.apply(Command::AccountAdded(Box::new(account()))).expect("added");
        Self { app, clock, home }
    }

    /// The account has served the session.
    pub(crate) fn keep(&self, value: &str) {
        let session = SessionKey::new(HeaderName::from_static("session-id"), value).expect("a key");
        let world = self.app.state.snapshot();
        let account = world.by_alias(&alias()).expect("the account");
        self.app.affinity.keep(&account.provider, &session, account.id, self.clock.now());
    }

    /// What it was started with.
    pub(crate) fn sources(&self) -> Sources {
        let env = BTreeMap::from([("HOME".to_owned(), self.home.path().display().to_string())]);
        Sources { env, ..Sources::default() }
    }

    /// A file of the state directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.app.config.load().state_dir.join(name)
    }

    /// Lets the others run until all they wait for is the clock.
    pub(crate) async fn asleep(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        guarded(|| self.clock.sleepers() > 0).await;
    }
}

/// Lets the others run until `holds`, which fails the test if that never comes.
pub(crate) async fn guarded(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it comes");
}

/// The account's name.
pub(crate) fn alias() -> Alias {
    Alias::try_from("work").expect("an alias")
}

fn account() -> NewAccount {
    let credential = Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new("sk-1"),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: Time::default(),
        expires: None,
    };
    NewAccount {
        alias: alias(),
        provider: ProviderId::try_from("openai").expect("a provider id"),
        credential,
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: String::new(),
    }
}
