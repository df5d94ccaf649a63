use super::memory::{self, Memory};
use super::{Addresses, App, Handed, ServerInfo, StartError, Until, Writer, token_file};
use crate::admin::{self, AdminSocket, AdminToken};
use crate::config::{Config, Listen, Loaded, Sources};
use crate::model::Provider;
use crate::proxy::{Entrance, Guests, Lane, Lanes, PeerError, Users};
use crate::telemetry::LogSink;
use crate::{notify, proxy, scheduler};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

/// For calls of the admin API under way once rota stops, and for sign-ins that are being stored: a change waits at most
/// this long for the disk.
const ADMIN_GRACE: Duration = Duration::from_secs(6);

/// A rota whose listeners are bound and whose workers run.
pub struct Running {
    /// What it runs on.
    pub app: Arc<App>,
    writer: Writer,
    stop: watch::Sender<bool>,
    proxy: JoinHandle<()>,
    admin: JoinHandle<()>,
    socket: Option<JoinHandle<()>>,
    scheduler: JoinHandle<()>,
    notify: JoinHandle<()>,
    memory: Memory,
    failed: oneshot::Receiver<PeerError>,
}

impl Running {
    /// Opens the store, binds every address or none, and serves: requests on the runtime this is called on, the rest on
    /// `control`.
    pub async fn start(sources: &Sources, log: LogSink, control: &Handle) -> Result<Self, StartError> {
        let first = Config::load(sources)?;
        Self::start_over(&first, sources, log, control, &[], Handed::default()).await
    }

    /// The same, as `first` was read from `sources`; `more` runtimes serve requests, too, and what is `handed` is listened
    /// on where it is configured.
    pub async fn start_over(
        first: &Loaded,
        sources: &Sources,
        log: LogSink,
        control: &Handle,
        more: &[Handle],
        mut handed: Handed,
    ) -> Result<Self, StartError> {
        let (app, writer) = App::open_as(first, sources, log, control).await?;
        let config = app.config.load_full();
        // One that was killed has left its own behind.
        ServerInfo::remove(&config.state_dir);
        memory::recall(&app);
        let entrances = bind_proxy(&config, &mut handed).await?;
        let admin = bind(config.admin_listen.address(), "admin_listen", &mut handed).await?;
        handed.check_all_taken()?;
        let guests = Guests::open(Users::Known(config.allowed_uids.clone()))?;
        let token = AdminToken::load_or_make(&token_file(&config.state_dir))
            .map_err(StartError::io("the admin token cannot be kept in the state directory"))?;
        let addresses = Addresses {
            proxy: entrances.iter().filter_map(|entrance| entrance.listener.local_addr().ok()).collect(),
            admin: admin.local_addr().ok(),
        };
        app.owner.announce(&addresses.to_string())?;
        let (door, back_door) = admin::doors(token, addresses.admin.map_or(0, |address| address.port()));
        let socket = config.admin_socket.as_deref();
        let socket = socket.map(|path| AdminSocket::bind(path, &config.allowed_uids)).transpose()?;
        // Nobody reads the addresses before the listeners serve, and this is the only place that sets them.
        let _ = app.addresses.set(addresses);
        let (stop, stopped) = watch::channel(false);
        let (fail, failed) = oneshot::channel();
        let router = |door| admin::router(Arc::clone(&app), door);
        let socket = socket.map(|socket| {
            tracing::info!(path = %socket.path().display(), "the admin API has a Unix socket");
            control.spawn(admin::serve(socket, router(back_door), stopped.clone()))
        });
        let lane = |runtime: &Handle| Lane::new(runtime.clone(), &app.upstream);
        let lanes = Lanes::new(lane(&Handle::current()), more.iter().map(lane).collect());
        Ok(Self {
            proxy: tokio::spawn(serve_clients(Arc::clone(&app), entrances, lanes, stopped.clone(), fail)),
            admin: control.spawn(admin::serve(admin::listener(admin, guests), router(door), stopped.clone())),
            notify: control.spawn(notify::run(Arc::clone(&app), stopped.clone())),
            memory: Memory::start(&app, control),
            scheduler: control.spawn(scheduler::run(Arc::clone(&app), stopped)),
            socket,
            stop,
            failed,
            writer,
            app,
        })
    }

    /// What scripts and the command line need to reach it.
    pub fn info(&self) -> Option<ServerInfo> {
        let Addresses { proxy, admin } = self.app.addresses();
        let pid = std::process::id();
        Some(ServerInfo { pid, proxy: *proxy.first()?, admin: admin?, for_commands: false })
    }

    /// Writes [`info`](Self::info) where the command line looks, and to `also`.
    pub fn announce(&self, until: Until, also: Option<&Path>) -> io::Result<()> {
        let for_commands = until == Until::Unused;
        match self.info() {
            Some(info) => ServerInfo { for_commands, ..info }.write(&self.app.config.load().state_dir, also),
            None => Ok(()),
        }
    }

    /// Makes ready, in the background, what connections over TLS need, where an account will need them.
    pub fn prepare_tls(&self, control: &Handle) {
        let world = self.app.state.snapshot();
        let encrypted = |provider: &Arc<Provider>| {
            provider.origin.tls() && world.accounts_of(&provider.id).next().is_some()
        };
        if world.providers.iter().any(encrypted) {
            let upstream = self.app.upstream.clone();
            control.spawn_blocking(move || upstream.prepare_tls());
        }
    }

    /// Returns if it cannot serve, and why.
    pub async fn failed(&mut self) -> StartError {
        match (&mut self.failed).await {
            Ok(error) => error.into(),
            // It ended in order, which is not for here to tell.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops in order: no new requests; sign-ins are called off; requests under way end within their grace; renewals in
    /// flight end; the store keeps the last snapshot. When `hurry` is ready nothing is waited for any more but the store. The error is why it did not
    /// keep all.
    pub async fn stop(self, hurry: impl Future<Output = ()>) -> Result<(), StartError> {
        let config = self.app.config.load_full();
        let _ = self.stop.send(true);
        self.app.runs.close();
        self.app.readers.end();
        let socket = self.socket.as_ref().map(JoinHandle::abort_handle);
        let cut = [Some(self.proxy.abort_handle()), Some(self.admin.abort_handle()), socket];
        let ended = async {
            let _ = timeout(ADMIN_GRACE, self.app.logins.stop()).await;
            let _ = self.proxy.await;
            let _ = timeout(ADMIN_GRACE, self.admin).await;
            if let Some(socket) = self.socket {
                let _ = timeout(ADMIN_GRACE, socket).await;
            }
            if timeout(config.timeouts.token, self.app.refresher.idle()).await.is_err() {
                tracing::error!(
                    "a renewed credential could not be stored; its account may have to sign in again"
                );
            }
        };
        tokio::select! {
            () = ended => {}
            () = hurry => tracing::warn!("told twice: what is under way is cut"),
        }
        cut.iter().flatten().for_each(AbortHandle::abort);
        let _ = self.scheduler.await;
        let _ = self.notify.await;
        self.memory.stop().await;
        ServerInfo::remove(&config.state_dir);
        self.app.telemetry.flush();
        self.writer.stop().await
    }
}

async fn serve_clients(
    app: Arc<App>,
    entrances: Vec<Entrance>,
    lanes: Lanes,
    stop: watch::Receiver<bool>,
    failed: oneshot::Sender<PeerError>,
) {
    if let Err(error) = proxy::serve(app, entrances, lanes, stop).await {
        let _ = failed.send(error);
    }
}

/// Where any port will do, so many others are tried: the one that was free on IPv4 may be somebody's on IPv6.
const OTHER_PORTS: usize = 16;

/// Every address that is configured, or none.
async fn bind_proxy(config: &Config, handed: &mut Handed) -> Result<Vec<Entrance>, StartError> {
    let mut entrances = Vec::new();
    for listen in &config.listen {
        let users = match listen {
            Listen::Both(_) | Listen::One(_) => Users::Known(config.allowed_uids.clone()),
            Listen::Container(_) => Users::Anybody,
        };
        let mut bound = bind_all(*listen, handed).await;
        for _ in 0..OTHER_PORTS {
            if !matches!((listen, &bound), (Listen::Both(0), Err(StartError::AddressInUse { .. }))) {
                break;
            }
            bound = bind_all(*listen, handed).await;
        }
        for listener in bound? {
            entrances.push(Entrance { listener, users: users.clone() });
        }
    }
    Ok(entrances)
}

/// Both loopbacks of a port, or the one address that was asked for. Port 0 is any free port, and IPv6 then takes the one
/// that IPv4 was given.
async fn bind_all(listen: Listen, handed: &mut Handed) -> Result<Vec<TcpListener>, StartError> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for mut address in listen.addresses() {
        let given = listeners.first().and_then(|listener| listener.local_addr().ok());
        if let (0, Some(given)) = (address.port(), given) {
            address.set_port(given.port());
        }
        match bind(address, "listen", handed).await {
            Ok(listener) => listeners.push(listener),
            Err(StartError::Io { error, .. })
                if address.is_ipv6() && given.is_some() && lacks_ipv6(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(listeners)
}

/// A machine without IPv6 has no `[::1]` for anybody to squat.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
}

async fn bind(
    address: SocketAddr,
    setting: &'static str,
    handed: &mut Handed,
) -> Result<TcpListener, StartError> {
    if let Some(socket) = handed.take(address) {
        let taken = socket.set_nonblocking(true).and_then(|()| TcpListener::from_std(socket));
        return taken.map_err(StartError::io(format!("{address} was handed over and cannot be served")));
    }
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            return StartError::AddressInUse { address, setting };
        }
        StartError::Io { what: format!("{address} cannot be listened on (`{setting}`)"), error }
    })
}
