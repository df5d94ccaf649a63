//! Worlds and directories for the tests of this room.
use super::{Backend, FileBackend, Opened, Store};
use crate::model::{
    Account, AccountId, Actor, Cooling, CoolingSource, Credential, CredentialKind, CredentialState,
    FaultClass, Health, Identity, LimitSample, LimitSource, LimitStatus, LimitWindow, Limits, Renewal,
    Secret, Settings, Snapshot, Switch, Time, Weight,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(super) const NOW: Time = Time::from_secs(1_800_000_000);

pub(super) struct Dir {
    _temp: TempDir,
    pub(super) path: PathBuf,
}

impl Dir {
    pub(super) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("rota");
        Self { _temp: temp, path }
    }

    pub(super) fn backend(&self) -> Arc<dyn Backend> {
        Arc::new(FileBackend::create(&self.path).unwrap())
    }

    pub(super) fn open(&self) -> Opened {
        self.open_with(&["p", "codex"])
    }

    pub(super) fn open_with(&self, providers: &[&str]) -> Opened {
        let providers: BTreeSet<_> = providers.iter().map(|id| (*id).try_into().unwrap()).collect();
        Store::open(self.backend(), &providers, NOW).unwrap()
    }

    /// Every file's bytes, by path below the directory.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for dir in ["", "credentials", "runtime"] {
            for entry in std::fs::read_dir(self.path.join(dir)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(&self.path).unwrap().display().to_string();
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

pub(super) fn world(accounts: Vec<Account>) -> Snapshot {
    let mut world = Snapshot::empty(Settings::default(), Vec::new());
    let next = accounts.last().map_or(1, |account| account.id.0 + 1);
    world.next_account = AccountId(next);
    world.accounts = accounts.into_iter().map(Arc::new).collect();
    world
}

pub(super) fn reopened(world: &Snapshot, opened: &Opened) -> Snapshot {
    Snapshot {
        accounts: opened.accounts.iter().cloned().map(Arc::new).collect(),
        next_account: opened.next_account,
        force: opened.force.clone(),
        ..world.clone()
    }
}

pub(super) fn account(id: u32) -> Account {
    Account {
        id: AccountId(id),
        alias: format!("a{id}").try_into().unwrap(),
        provider: "p".try_into().unwrap(),
        tags: Vec::new(),
        notes: String::new(),
        switch: Switch::On,
        weight: Weight::FULL,
        quota_group: None,
        credential: CredentialState::Usable(Arc::new(key(1))),
        renewal: Renewal::default(),
        limits: Limits::default(),
        health: Health::default(),
    }
}

/// With every field at something that is not its default.
pub(super) fn full_account(id: u32) -> Account {
    let sample = |at: u64, source: LimitSource| LimitSample {
        at: Time::from_millis(at),
        source,
        windows: vec![
            LimitWindow { name: "weekly".into(), remaining: 62.5, resets: Some(Time::from_millis(5)) },
            LimitWindow { name: "5h".into(), remaining: 0.0, resets: None },
        ],
    };
    let rest = |class| Cooling {
        until: Time::from_millis(99),
        class,
        source: CoolingSource::RetryAfter,
        since: Time::from_millis(11),
    };
    Account {
        tags: vec!["work".to_owned(), "é\"\\".to_owned()],
        notes: "two\nlines".to_owned(),
        switch: Switch::Off {
            at: Time::from_millis(7),
            by: Actor::Config,
            reason: Some("holiday".to_owned()),
        },
        weight: Weight::new(0.333_333).unwrap(),
        quota_group: Some("org".into()),
        credential: CredentialState::NeedsReauth {
            since: Time::from_millis(8),
            detail: "invalid_grant".to_owned(),
            refused: Arc::new(login(4)),
        },
        renewal: Renewal { failures: 2, not_before: Some(Time::from_millis(12)) },
        limits: Limits {
            latest: Some(sample(3, LimitSource::Usage { endpoint: Some("/usage".to_owned()) })),
            history: [
                sample(0, LimitSource::Usage { endpoint: None }),
                sample(1, LimitSource::Headers { model: Some("m".to_owned()), response: None }),
                sample(2, LimitSource::Probe { model: "m".to_owned(), response: Some("req-1".to_owned()) }),
            ]
            .into(),
            status: LimitStatus::Error,
            error: Some("503".to_owned()),
            failed: Some(Time::from_millis(4)),
        },
        health: Health {
            strikes: 3,
            streak: 1,
            cooling: Some(rest(FaultClass::QuotaWindow)),
            models: BTreeMap::from([("m-1".try_into().unwrap(), rest(FaultClass::ModelUnentitled))]),
        },
        ..account(id)
    }
}

pub(super) fn key(version: u64) -> Credential {
    Credential {
        version,
        kind: CredentialKind::ApiKey,
        access: Secret::new(format!("canary-key-{version}")),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: Time::from_millis(1),
        expires: None,
    }
}

pub(super) fn login(version: u64) -> Credential {
    let text = |text: &str| Some(format!("{text}-{version}"));
    Credential {
        version,
        kind: CredentialKind::Oauth,
        access: Secret::new(format!("canary-access-{version}")),
        refresh: text("canary-refresh").map(Secret::new),
        self_granted: false,
        id_token: text("canary-id").map(Secret::new),
        identity: Identity {
            account: text("org"),
            user: text("user"),
            plan: text("plan"),
            email: text("a@example.com"),
        },
        issued: Time::from_millis(100),
        expires: Some(Time::from_millis(9_999)),
    }
}
