//! What is done to a store while it is being killed, and what must hold afterwards. The test binary runs itself under
//! `strace` with `ROTA_CRASH_DRIVER=<scenario>:<directory>`; everything then happens on one thread.
use crate::orders::{BEGIN, END, orders};
use rota::model::{
    Account, AccountId, Credential, CredentialKind, CredentialState, Identity, ProviderId, Secret, Time,
};
use rota::store::{
    Answer, Backend, FileBackend, Found, Key, Opened, Pending, Round, Sealer, Store, StoreError, StoreKey,
    backup, import, restore,
};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const DOCUMENT: &str = include_str!("../fixtures/store/v1.json");
const NOW: Time = Time::from_secs(1_800_000_000);
const WRITES: u64 = 3;

/// One thing that can be interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Records written in place: the control, which must not survive.
    Careless,
    /// Records put one after the other.
    Commit,
    /// Accounts taken in from a document, beside one that is there.
    Import,
    /// A document of version 1 in the state directory becomes records.
    Migrate,
    /// Settings, a renewed credential, a removed one.
    Store,
    /// A backup brought back.
    Restore,
    /// Encryption turned on, over copies, damaged files and a document that was taken in.
    Seal,
    /// Encryption turned off again.
    Unseal,
}

impl Scenario {
    /// Those that must survive.
    pub(crate) const ALL: [Self; 7] =
        [Self::Commit, Self::Import, Self::Migrate, Self::Store, Self::Restore, Self::Seal, Self::Unseal];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Careless => "careless",
            Self::Commit => "commit",
            Self::Import => "import",
            Self::Migrate => "migrate",
            Self::Store => "store",
            Self::Restore => "restore",
            Self::Seal => "seal",
            Self::Unseal => "unseal",
        }
    }

    /// How the store is opened.
    fn sealer(self) -> Sealer {
        let key = StoreKey::new([7; 32]);
        match self {
            Self::Careless | Self::Commit | Self::Import | Self::Migrate | Self::Store | Self::Restore => {
                Sealer::Clear
            }
            Self::Seal => Sealer::Seals(key),
            Self::Unseal => Sealer::Opens(key),
        }
    }

    /// Makes the directory as it is before.
    pub(crate) fn prepare(self, dir: &Path) {
        let backend = FileBackend::create(dir).unwrap();
        match self {
            Self::Careless | Self::Commit => {
                backend.put(Key::State, 0, b"{\"n\":0}").unwrap();
            }
            Self::Import | Self::Store | Self::Restore => {
                import(&backend, one("first").as_bytes(), &Sealer::Clear).unwrap();
            }
            Self::Seal => live_in(dir, &backend, &Sealer::Clear),
            Self::Unseal => live_in(dir, &backend, &Self::Seal.sealer()),
            Self::Migrate => {
                let path = dir.join("accounts.json");
                write_private(&path, DOCUMENT);
            }
        }
        if self == Self::Restore {
            backup(&backend, &dir.join("../backup")).unwrap();
            import(&backend, one("second").as_bytes(), &Sealer::Clear).unwrap();
        }
        if self == Self::Store {
            backend.put(Key::Credential(AccountId(9)), 0, b"{}").unwrap();
        }
    }

    /// Does it, telling every step. An error is told and the next step taken.
    pub(crate) fn act(self, dir: &Path, tell: &mut dyn FnMut(String)) -> Result<(), StoreError> {
        let backend = Arc::new(FileBackend::create(dir)?);
        let mut step = |name: String, done: Result<(), StoreError>| {
            tell(match &done {
                Ok(()) => format!("done {name}"),
                Err(error) => format!("failed {name} {}", error.code()),
            });
            done
        };
        match self {
            Self::Careless => {
                let record = fs::read(dir.join("state.json")).unwrap();
                fs::write(dir.join("state.json"), record).unwrap();
                step("0".to_owned(), Ok(()))
            }
            Self::Commit => (1..=WRITES).try_for_each(|n| {
                let put = backend.read(Key::State).and_then(|found| {
                    let version = found.record().map_or(0, |record| record.version);
                    backend.put(Key::State, version, format!("{{\"n\":{n}}}").as_bytes())
                });
                // The next write follows also after an error.
                let _ = step(n.to_string(), put.map(|_| ()));
                Ok(())
            }),
            Self::Import => {
                let done = import(backend.as_ref(), DOCUMENT.as_bytes(), &Sealer::Clear);
                step(String::new(), done.map(|_| ()))
            }
            Self::Migrate => step(String::new(), open(dir).map(|_| ())),
            Self::Restore => {
                let done = restore(backend.as_ref(), &dir.join("../backup"), &Sealer::Clear);
                step(String::new(), done.map(|_| ()))
            }
            Self::Seal | Self::Unseal => {
                let owned = backend.own();
                let opened =
                    owned.and_then(|owner| reopen(dir, &self.sealer()).map(|opened| (owner, opened)));
                step(String::new(), opened.map(|_| ()))
            }
            Self::Store => {
                let store = open(dir)?;
                let settings = "[rotation]\nlow = 40".parse().unwrap();
                let done = [
                    step("settings".to_owned(), store.set_settings(&settings)),
                    step("credential".to_owned(), store.save_credential(AccountId(1), &renewed())),
                    step("removal".to_owned(), store.remove_credential(AccountId(9))),
                ];
                done.into_iter().collect()
            }
        }
    }

    /// What is wrong with the store after `told` was all that came.
    pub(crate) fn judge(self, dir: &Path, told: &[String]) -> Vec<String> {
        let mut verdict = Verdict::default();
        if matches!(self, Self::Careless | Self::Commit) {
            verdict.on_record(dir, told);
        } else {
            self.judge_store(dir, told, &mut verdict);
        }
        verdict.wrong
    }

    fn judge_store(self, dir: &Path, told: &[String], verdict: &mut Verdict) {
        if is_done(told, "") {
            verdict.on_form(self, dir);
        }
        let _owner = FileBackend::create(dir).and_then(|backend| backend.own());
        let opened = match reopen(dir, &self.sealer()) {
            Ok(opened) => opened,
            Err(error) => return verdict.must(false, format!("the store does not open: {error}")),
        };
        let accounts = &opened.accounts;
        let aliases: Vec<&str> = accounts.iter().map(|account| account.alias.as_str()).collect();
        for account in accounts {
            let missing = matches!(account.credential, CredentialState::Missing { .. });
            verdict.must(!missing, format!("{} has no credential", account.alias));
        }
        let taken_in = ["dead", "work-example.com", "work-example.com-2"];
        let expected = match self {
            Self::Careless | Self::Commit => return,
            Self::Import if aliases == ["first"] && !is_done(told, "") => vec!["first"],
            Self::Import => [&["first"], &taken_in[..]].concat(),
            Self::Migrate => taken_in.to_vec(),
            Self::Restore => vec!["first", "second"],
            Self::Store => {
                verdict.on_store(dir, told, &opened);
                vec!["first"]
            }
            Self::Seal | Self::Unseal => {
                // Whatever was there when it was cut off, the next start has finished it.
                verdict.on_form(self, dir);
                let tokens: Vec<String> = accounts.iter().map(refresh_token).collect();
                let expected = ["canary-refresh-3", "canary-refresh-2", "renewed-canary"];
                verdict.must(tokens == expected, format!("the refresh tokens are {tokens:?}"));
                let renewed = accounts.last().and_then(|account| account.credential.credential());
                let rotation = opened.store.rotation(AccountId(3)).unwrap().unwrap();
                let pending = renewed.map(|credential| rotation.pending(credential));
                let kept = Some(Ok(Pending::Answered(Round::First, answer())));
                verdict.must(pending == kept, format!("{pending:?} is noted"));
                taken_in.to_vec()
            }
        };
        verdict.must(aliases == expected, format!("{aliases:?} are there"));
    }
}

#[derive(Default)]
struct Verdict {
    wrong: Vec<String>,
}

impl Verdict {
    fn must(&mut self, holds: bool, what: String) {
        if !holds {
            self.wrong.push(what);
        }
    }

    /// The state record holds what was acknowledged last or what was tried after it, and nothing that was refused.
    fn on_record(&mut self, dir: &Path, told: &[String]) {
        let found = FileBackend::create(dir).and_then(|backend| backend.read(Key::State));
        let Ok(Found::Good(record)) = &found else {
            return self.must(false, format!("the record is not whole: {found:?}"));
        };
        let n = (0..=WRITES).find(|n| record.body == format!("{{\"n\":{n}}}").as_bytes());
        let done = (1..=WRITES).rev().find(|n| is_done(told, &n.to_string()));
        let done = done.unwrap_or(0);
        let is_refused = |n: &u64| {
            let mut lines = told.iter();
            lines.any(|line| line.starts_with(&format!("failed {n} ")) && !line.ends_with("UNSURE"))
        };
        let holds = n.is_some_and(|n| n >= done && n <= told.len() as u64 + 1 && !is_refused(&n));
        self.must(holds, format!("{n:?} is there; {done} was acknowledged"));
    }

    /// Every file is in the form that was asked for: no token can be read, or nothing is sealed.
    fn on_form(&mut self, scenario: Scenario, dir: &Path) {
        let unwanted = match scenario {
            Scenario::Seal => "canary",
            Scenario::Unseal => "\"sealed\"",
            Scenario::Careless
            | Scenario::Commit
            | Scenario::Import
            | Scenario::Migrate
            | Scenario::Store
            | Scenario::Restore => return,
        };
        for path in crate::walk(dir).into_iter().filter(|path| path.is_file()) {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(unwanted.len()).any(|part| part == unwanted.as_bytes());
            self.must(!found, format!("{} holds {unwanted}", path.display()));
        }
    }

    /// What was told to be done is done.
    fn on_store(&mut self, dir: &Path, told: &[String], opened: &Opened) {
        let kept = opened.settings.contains_key("rotation");
        self.must(kept || !is_done(told, "settings"), "settings are lost".to_owned());
        let version = opened.accounts.first().map(|account| account.credential.version());
        let renewed = version == Some(2) || (version == Some(1) && !is_done(told, "credential"));
        self.must(renewed, format!("the credential is at {version:?}"));
        let removed =
            FileBackend::create(dir).and_then(|backend| backend.read(Key::Credential(AccountId(9))));
        let gone = removed == Ok(Found::Absent);
        self.must(gone || !is_done(told, "removal"), format!("removed, but {removed:?}"));
    }
}

fn is_done(told: &[String], step: &str) -> bool {
    told.iter().any(|line| *line == format!("done {step}"))
}

/// The scenarios do what they are named for, on a healthy disk; under `strace` this is what is killed.
#[test]
fn every_scenario_comes_to_its_end_on_a_healthy_disk() {
    if let Some((name, dir)) = orders() {
        if name == "own" {
            return own(Path::new(&dir));
        }
        if name == "renew" {
            return crate::killed::renew(&dir);
        }
        let mut known = Scenario::ALL.into_iter().chain([Scenario::Careless]);
        let scenario = known.find(|scenario| scenario.name() == name).unwrap();
        warm_up();
        let _ = fs::metadata(BEGIN);
        let done = scenario.act(Path::new(&dir), &mut |line| println!("\n@{line}"));
        let _ = fs::metadata(END);
        println!("\n@end {}", done.err().map_or("ok", |error| error.code()));
        return;
    }
    for scenario in Scenario::ALL {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("rota");
        scenario.prepare(&dir);
        let mut told = Vec::new();
        assert_eq!(scenario.act(&dir, &mut |line| told.push(line)), Ok(()), "{scenario:?}");
        assert_eq!(scenario.judge(&dir, &told), Vec::<String>::new(), "{scenario:?}");
        assert!(told.iter().all(|line| line.starts_with("done")), "{told:?}");
        let nothing: Vec<_> = scenario.judge(&dir, &["done 2".to_owned(), "done 3".to_owned()]);
        assert_eq!(nothing, Vec::<String>::new(), "{scenario:?}");
    }
}

/// Becomes the store's owner, starts a child, and holds on until its input ends.
fn own(dir: &Path) {
    let backend = FileBackend::create(dir).unwrap();
    match backend.own() {
        Ok(owner) => {
            owner.announce("http://127.0.0.1:7682").unwrap();
            let child = Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            println!("\n@owner {}", child.unwrap().id());
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
        }
        Err(StoreError::Locked { pid, detail, .. }) => println!("\n@locked {pid:?} {detail}"),
        Err(error) => println!("\n@failed {error}"),
    }
}

/// Makes more of each common call than the rest of the process does before and after: `strace` counts calls by thread, and
/// the nth of this thread must not be the nth of another one as well.
fn warm_up() {
    for _ in 0..24 {
        let mut null = fs::File::options().read(true).write(true).open("/dev/null").unwrap();
        let _ = null.read(&mut [0]);
        let _ = null.write(&[0]);
        let _ = fs::metadata("/dev/null");
    }
    // The source of randomness looks around once, before it gives any.
    assert!(StoreKey::random().is_some());
}

fn open(dir: &Path) -> Result<Arc<Store>, StoreError> {
    Ok(reopen(dir, &Sealer::Clear)?.store)
}

fn reopen(dir: &Path, sealer: &Sealer) -> Result<Opened, StoreError> {
    let backend = FileBackend::create(dir)?;
    Store::open_sealed(Arc::new(backend), &providers(), sealer, NOW)
}

/// A store with a history, in the form of `sealer`: three accounts with tokens, a copy, a damaged file, and in the clear
/// the document that it was made of.
fn live_in(dir: &Path, backend: &FileBackend, sealer: &Sealer) {
    let damaged = dir.join("credentials/2.json.corrupt-1");
    write_private(&dir.join("accounts.json"), DOCUMENT);
    let opened = reopen(dir, sealer).unwrap();
    let renewed = Credential { refresh: Some(Secret::new("renewed-canary")), ..renewed() };
    opened.store.save_credential(AccountId(3), &renewed).unwrap();
    let rotation = opened.store.rotation(AccountId(3)).unwrap().unwrap();
    let ticket = rotation.intent(Round::First, &renewed, NOW).unwrap();
    rotation.result(&ticket, &answer()).unwrap();
    if *sealer == Sealer::Clear {
        write_private(&damaged, "{\"accessToken\":\"canary");
    }
    assert!(backend.read(Key::Credential(AccountId(3))).unwrap().record().is_some());
}

fn answer() -> Answer {
    Answer { status: 200, body: b"{\"refresh_token\":\"canary\"}".to_vec() }
}

fn refresh_token(account: &Account) -> String {
    let refresh = account.credential.credential().and_then(|credential| credential.refresh.as_ref());
    refresh.map(|token| token.expose().to_owned()).unwrap_or_default()
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn providers() -> BTreeSet<ProviderId> {
    ["codex".try_into().unwrap()].into()
}

fn one(alias: &str) -> String {
    format!(r#"{{"accounts":{{"{alias}":{{"accessToken":"t","refreshToken":"r","expiresAt":1}}}}}}"#)
}

fn renewed() -> Credential {
    Credential {
        version: 2,
        kind: CredentialKind::ApiKey,
        access: Secret::new("renewed"),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: NOW,
        expires: None,
    }
}
