//! A process that renews one account's token over and over, on a store that it does not own: the account's lock is all
//! that stands between it and its peers. The test binary runs itself with `ROTA_CRASH_DRIVER=refresh:<orders>`.
use super::chance::Chance;
use super::door::{self, Door};
use crate::orders::{BEGIN, END, orders};
use rota::auth::{Refresher, RefresherParts, TokenClient};
use rota::clock::Clock;
use rota::config::presets;
use rota::model::{AccountId, Provider, Settings, Snapshot};
use rota::state::SharedState;
use rota::store::{Backend, FileBackend, Store};
use rota::upstream::{ProxyValues, Roots, Trust, UpstreamConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// The account that all renew.
pub(crate) const RACED: AccountId = AccountId(1);
/// The header of a token request that names the process it comes from.
pub(crate) const SENDER: &str = "x-sender";
/// How long an exchange may take. The tormentor's longer pauses are longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3);
/// Between two looks at a record that only a person can mend.
const LOOK: Duration = Duration::from_millis(10);
/// The longest rest between two renewals, in milliseconds.
const REST: u64 = 15;
const SELF: &str = "race::driver::a_driver_alone_renews_as_often_as_it_is_told";

/// What a driver does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The state directory.
    pub(crate) dir: PathBuf,
    /// The token endpoint's.
    pub(crate) origin: String,
    /// Its own name.
    pub(crate) sender: String,
    /// What it holds while it renews.
    pub(crate) lock: Lock,
    /// Renewals before it ends; none, and its input's end ends it.
    pub(crate) rounds: Option<u64>,
}

/// What keeps two drivers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lock {
    /// The account's lock.
    Held,
    /// Nothing: the control.
    Out,
}

impl Orders {
    /// The test binary as this driver.
    pub(crate) fn command(&self) -> Command {
        self.command_of(Command::new(std::env::current_exe().unwrap()))
    }

    /// The same below `tool`, which is given the binary as its next argument.
    pub(crate) fn below(&self, mut tool: Command) -> Command {
        tool.arg(std::env::current_exe().unwrap());
        self.command_of(tool)
    }

    fn command_of(&self, mut command: Command) -> Command {
        command
            .args([SELF, "--exact", "--nocapture", "--test-threads=1"])
            .env("ROTA_CRASH_DRIVER", format!("refresh:{}", serde_json::to_string(self).unwrap()))
            .env("RUST_BACKTRACE", "0")
            .env_remove("LD_LIBRARY_PATH")
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }
}

/// One process' view of the world, and its refresher. The store is shared with whoever else has opened it.
pub(crate) struct Renewer {
    state: Arc<SharedState>,
    store: Arc<Store>,
    refresher: Refresher,
}

impl Renewer {
    pub(crate) fn open(orders: &Orders, runtime: &Runtime) -> Self {
        let files: Arc<dyn Backend> = Arc::new(FileBackend::create(&orders.dir).unwrap());
        match orders.lock {
            Lock::Held => Self::on(files, orders, runtime),
            Lock::Out => Self::on(Arc::new(Door { store: files, lock: door::Lock::Gone }), orders, runtime),
        }
    }

    /// On a store that is there.
    pub(crate) fn on(backend: Arc<dyn Backend>, orders: &Orders, runtime: &Runtime) -> Self {
        let provider = provider(orders);
        let clock = Clock::System;
        let opened = Store::open(backend, &BTreeSet::from([provider.id.clone()]), clock.now()).unwrap();
        let world = Snapshot {
            accounts: opened.accounts.into_iter().map(Arc::new).collect(),
            next_account: opened.next_account,
            ..Snapshot::empty(Settings::default(), vec![provider])
        };
        let (_, durable) = watch::channel(0);
        let state = Arc::new(SharedState::new(world, clock.clone(), durable));
        let refresher = Refresher::new(RefresherParts {
            state: state.clone(),
            store: opened.store.clone(),
            tokens: TokenClient::new(&wire()).unwrap(),
            deadline: DEADLINE,
            clock,
            runtime: runtime.handle().clone(),
        });
        Self { state, store: opened.store, refresher }
    }

    /// The version in force; none where a person must sign in.
    pub(crate) fn version(&self) -> Option<u64> {
        let world = self.state.snapshot();
        Some(world.account(RACED).unwrap().credential.usable()?.version)
    }

    /// The version on record.
    pub(crate) fn kept(&self) -> u64 {
        self.store.credential(RACED).unwrap().map_or(0, |kept| kept.version)
    }

    /// Asks for a newer version than `version`; the version in force afterwards.
    pub(crate) async fn renew(&self, version: u64) -> Option<u64> {
        self.refresher.refresh(RACED, version).await;
        self.version()
    }

    pub(crate) async fn idle(&self) {
        self.refresher.idle().await;
    }
}

fn provider(orders: &Orders) -> Provider {
    let text = preset(&orders.origin, &orders.sender);
    presets::parse("codex.toml", &text).unwrap()
}

/// The codex preset at the fake, whose token requests say who sends them.
pub(crate) fn preset(origin: &str, sender: &str) -> String {
    format!(
        "id = \"codex\"\nextends = \"codex\"\norigin = \"{origin}\"\n\
         [token]\nurl = \"{origin}/oauth/token\"\nheaders = {{ {SENDER} = \"{sender}\" }}\n"
    )
}

fn wire() -> UpstreamConfig {
    let patience = Duration::from_secs(60);
    UpstreamConfig {
        connect: patience,
        first_byte: patience,
        stream_idle: patience,
        trust: Trust { roots: Roots::Bundled, cert_file: None, cert_dir: None },
        proxies: ProxyValues::default(),
    }
}

/// Does what it was told. Every line it says begins with `@`; those of rota's own log are JSON.
fn drive(orders: &Orders) {
    println!("\n@pid {}", std::process::id());
    tracing_subscriber::fmt().json().with_writer(std::io::stdout).init();
    // One thread for the network and one for the disk: what happens is the same every time.
    let runtime = Builder::new_current_thread().max_blocking_threads(1).enable_all().build().unwrap();
    let end = end_of_input(orders.rounds);
    let mut left = orders.rounds;
    let mut chance = Chance::new(u64::from(std::process::id()));
    loop {
        let renewer = Renewer::open(orders, &runtime);
        let mut seen = renewer.version();
        println!("@at {}", renewer.kept());
        let _ = std::fs::metadata(BEGIN);
        while let Some(version) = seen.filter(|_| left != Some(0)) {
            seen = runtime.block_on(renewer.renew(version));
            println!("@at {}", seen.unwrap_or(version));
            left = left.map(|left| left - 1);
            // The peers shall have their turn: each comes between two renewals of the others.
            if is_over(&end, chance.span(0, REST)) {
                break;
            }
        }
        let _ = std::fs::metadata(END);
        let dead = renewer.kept();
        while seen.is_none() && left.is_none() && renewer.kept() <= dead && !is_over(&end, LOOK) {}
        if left.is_some() || is_over(&end, Duration::ZERO) {
            runtime.block_on(renewer.idle());
            println!("@end");
            return;
        }
    }
}

/// Disconnected at the end of the input; whoever has counted rounds does not listen for it.
fn end_of_input(rounds: Option<u64>) -> Receiver<()> {
    let (end, ended) = channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        if rounds.is_some() {
            std::thread::park();
        }
        drop(end);
    });
    ended
}

fn is_over(end: &Receiver<()>, patience: Duration) -> bool {
    end.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
}

/// REN-2
#[test]
fn a_driver_alone_renews_as_often_as_it_is_told() {
    if let Some((_, told)) = orders() {
        return drive(&serde_json::from_str(&told).unwrap());
    }
    let world = super::world::World::start();
    let orders = world.orders("alone", Lock::Held, Some(3));
    let output = orders.command().stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let told: Vec<&str> = said.lines().filter(|line| line.starts_with("@at ") || *line == "@end").collect();
    assert_eq!(told, ["@at 1", "@at 2", "@at 3", "@at 4", "@end"], "{said}");
    let ledger = world.fake.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses, ledger.unknown), (3, 0, 0));
}

/// Where a driver's own directory is.
pub(crate) fn state_of(home: &Path) -> PathBuf {
    home.join("state/rota")
}
