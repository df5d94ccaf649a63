//! From a configuration to an [`App`]: the store's owner first, then the store, then what works on it.
use super::App;
use crate::admin::{Readers, SocketError};
use crate::affinity::{Affinity, AffinityBounds, OwnerBounds, Owners};
use crate::auth::import::Home;
use crate::auth::{Logins, LoginsParts, Refresher, RefresherParts, TokenClient};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Loaded, LogFormat as Wanted, Sources, TlsRoots, Variables};
use crate::limits::{Prober, ProberParts};
use crate::model::{ProviderId, Snapshot};
use crate::notify::Notifier;
use crate::proxy::{PeerError, ReplayBudget, RequestIds, SocketCounts};
use crate::runs::Runs;
use crate::state::SharedState;
use crate::store::{Backend, FileBackend, Guard, Opened, Store, StoreError, writer};
use crate::telemetry::{LogFormat, LogSink, Telemetry};
use crate::upstream::{ProxyValues, Roots, Trust, Upstream, UpstreamConfig};
use arc_swap::ArcSwap;
use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;

/// How long an owner of the store that listens nowhere is waited for: a command takes milliseconds, or as long as a
/// slow disk.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at its lock.
const OWNER_PAUSE: Duration = Duration::from_millis(20);
/// Marks of what only one account can read: a week of them, some 20 MiB at most.
const OWNERS: OwnerBounds = OwnerBounds { age: Duration::from_secs(7 * 86_400), marks: 200_000 };

/// Why rota did not start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address is taken.
    #[error("{address} is in use by another program; stop it, or choose another address with `{setting}`")]
    AddressInUse {
        /// Which.
        address: SocketAddr,
        /// The setting that chooses it.
        setting: &'static str,
    },
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A service manager hands over a socket that is not configured.
    #[error(
        "the service manager listens on {address} for rota, which neither `listen` nor `admin_listen` names; run `rota service \
         install` again, which writes its socket unit by the configuration"
    )]
    Handed {
        /// Where.
        address: SocketAddr,
    },
    /// The operating system said no.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// Its reason.
        error: io::Error,
    },
    /// Who connects cannot be found out.
    #[error(transparent)]
    Peers(#[from] PeerError),
    /// The admin API's Unix socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The key to the store cannot be had.
    #[error(transparent)]
    Key(#[from] super::KeyError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS or the proxies towards upstreams cannot be set up.
    #[error(transparent)]
    Upstream(#[from] crate::upstream::BuildError),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io { what: "the operating system refused a basic service".to_owned(), error }
    }
}

impl StartError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// The store's writing task.
pub struct Writer {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Writer {
    fn start(
        store: &Arc<Store>,
        state: &Arc<SharedState>,
        clock: &Clock,
        durable: watch::Sender<u64>,
        control: &Handle,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let work = writer::run(Arc::clone(store), Arc::clone(state), clock.clone(), durable, stopped);
        Self { stop, task: control.spawn(work) }
    }

    /// Ends it once the last snapshot is on disk; the error is why it is not.
    pub async fn stop(self) -> Result<(), StartError> {
        let _ = self.stop.send(());
        match self.task.await {
            Ok(written) => Ok(written?),
            Err(ended) => {
                Err(StartError::io("the store's writer ended early; the last changes may be lost")(
                    io::Error::other(ended),
                ))
            }
        }
    }
}

impl App {
    /// Becomes the store's owner, reads it, and starts the writer on `control`. Listens nowhere yet.
    pub async fn open(
        sources: &Sources,
        log: LogSink,
        control: &Handle,
    ) -> Result<(Arc<Self>, Writer), StartError> {
        Self::open_as(&Config::load(sources)?, sources, log, control).await
    }

    /// The same, as `first` was read from `sources`: the store's settings are still to come.
    pub(super) async fn open_as(
        first: &Loaded,
        sources: &Sources,
        log: LogSink,
        control: &Handle,
    ) -> Result<(Arc<Self>, Writer), StartError> {
        let Loaded { config: before, .. } = first;
        let clock = Clock::System;
        let backend: Arc<dyn Backend> = Arc::new(FileBackend::create(&before.state_dir)?);
        let sealer = super::sealer(&before.encryption).await?;
        let owner = own(backend.as_ref(), &clock).await?;
        let known: BTreeSet<ProviderId> =
            before.providers.iter().map(|provider| provider.id.clone()).collect();
        let opened = Store::open_sealed(backend, &known, &sealer, clock.now())?;
        let loaded = first.again(&sources.clone().with_persisted(opened.settings.clone()))?;
        let tuning = loaded.tuning();
        let Loaded { config, warnings, .. } = loaded;
        super::reload::tell(&warnings);
        opened.findings.iter().for_each(|finding| tracing::warn!(%finding, "the store"));
        let Opened { store, .. } = &opened;
        let store = Arc::clone(store);
        let (durable, confirmed) = watch::channel(0);
        let state = Arc::new(SharedState::new(snapshot(opened, &config), clock.clone(), confirmed));
        let upstream = Upstream::new(&upstream_config(&config))?;
        let writer = Writer::start(&store, &state, &clock, durable, control);
        let tokens = TokenClient::like(&upstream).with_variables(Variables::of(sources));
        let refresher = refresher(&state, &store, &tokens, &config, control.clone());
        let app = Self {
            affinity: Affinity::new(affinity_bounds(&config)),
            owners: Owners::new(OWNERS),
            prober: Prober::new(ProberParts {
                state: Arc::clone(&state),
                upstream: upstream.clone(),
                refresher: refresher.clone(),
                patience: config.timeouts.probe,
                clock: clock.clone(),
                runtime: control.clone(),
            }),
            refresher,
            logins: Logins::new(LoginsParts {
                state: Arc::clone(&state),
                store: Arc::clone(&store),
                tokens,
                deadline: config.timeouts.token,
                clock: clock.clone(),
                runtime: control.clone(),
            }),
            notifier: Notifier::like(&upstream),
            readers: Readers::default(),
            telemetry: Telemetry::new(config.limits.decisions, log)?,
            replay: Arc::new(ReplayBudget::new(config.limits.replay_total)),
            runs: Runs::default(),
            sockets: SocketCounts::default(),
            ids: RequestIds::new(clock.now()),
            started: clock.now(),
            addresses: OnceLock::new(),
            config: ArcSwap::from_pointee(config),
            tuning: ArcSwap::from_pointee(tuning),
            retuning: Semaphore::new(1),
            warnings: ArcSwap::from_pointee(warnings),
            home: Home::of(|name| sources.variable(name)),
            upstream,
            state,
            store,
            clock,
            owner,
        };
        app.refresher.recover().await;
        Ok((Arc::new(app), writer))
    }
}

fn refresher(
    state: &Arc<SharedState>,
    store: &Arc<Store>,
    tokens: &TokenClient,
    config: &Config,
    runtime: Handle,
) -> Refresher {
    Refresher::new(RefresherParts {
        state: Arc::clone(state),
        store: Arc::clone(store),
        tokens: tokens.clone(),
        deadline: config.timeouts.token,
        clock: Clock::System,
        runtime,
    })
}

/// The store's lock. An owner that says where it listens is a running rota; one that does not is a command about to
/// end, or a rota about to listen, and is waited for.
async fn own(backend: &dyn Backend, clock: &Clock) -> Result<Box<dyn Guard>, StoreError> {
    let patience = clock.now().after(OWNER_PATIENCE);
    loop {
        match backend.own() {
            Err(StoreError::Locked { detail, .. }) if detail.is_empty() && clock.now() < patience => {
                clock.sleep_until(clock.now().after(OWNER_PAUSE)).await;
            }
            owned => return owned,
        }
    }
}

fn snapshot(opened: Opened, config: &Config) -> Snapshot {
    Snapshot {
        accounts: opened.accounts.into_iter().map(Arc::new).collect(),
        next_account: opened.next_account,
        force: opened.force,
        audit: Arc::new(opened.audit),
        keys: opened.keys.into_iter().map(Arc::new).collect(),
        ..Snapshot::empty(config.settings.clone(), config.providers.clone())
    }
}

fn affinity_bounds(config: &Config) -> AffinityBounds {
    AffinityBounds {
        idle: config.timeouts.affinity_idle,
        lifetime: config.timeouts.affinity_lifetime,
        sessions: config.limits.sessions,
    }
}

fn upstream_config(config: &Config) -> UpstreamConfig {
    let roots = match &config.tls_roots {
        TlsRoots::Auto => Roots::Auto,
        TlsRoots::Bundled => Roots::Bundled,
        TlsRoots::File(file) => Roots::File(file.clone()),
        TlsRoots::System => Roots::System,
    };
    let proxies = &config.proxy_env;
    UpstreamConfig {
        connect: config.timeouts.connect,
        first_byte: config.timeouts.first_byte,
        stream_idle: config.timeouts.stream_idle,
        trust: Trust {
            roots,
            cert_file: config.ssl_cert_file.clone(),
            cert_dir: config.ssl_cert_dir.as_ref().map(PathBuf::from),
        },
        proxies: ProxyValues {
            all: proxies.all.clone(),
            https: proxies.https.clone(),
            no: proxies.exempt.clone(),
        },
    }
}

/// Where log lines go: standard error, as JSON unless a person is watching.
pub fn log_sink(config: &Config) -> io::Result<LogSink> {
    let format = match config.log.format {
        Wanted::Auto if io::stderr().is_terminal() => LogFormat::Text,
        Wanted::Auto | Wanted::Json => LogFormat::Json,
        Wanted::Text => LogFormat::Text,
    };
    LogSink::start(format, io::stderr())
}
