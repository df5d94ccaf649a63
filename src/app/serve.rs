//! `rota serve`: its threads, signals, and the order of the end.
use super::supervisor::Supervisor;
use super::{Addresses, App, Handed, Running, StartError, reload};
use crate::config::{Config, Loaded, MOST_WORKERS, Sources};
use crate::{sys, telemetry};
use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// What the caller of [`serve`] wants beyond the configuration.
#[derive(Debug, Default)]
pub struct ServeOptions {
    /// Where to write the process id and the addresses once rota listens.
    pub server_info: Option<PathBuf>,
    /// How long it serves.
    pub until: Until,
    /// Sockets that a service manager has opened.
    pub handed: Handed,
}

/// What ends a daemon, besides a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Nothing.
    #[default]
    Told,
    /// That no command of `rota run` is left.
    Unused,
}

/// For the first command to come to a daemon that was started for it.
const FIRST_COMMAND: Duration = Duration::from_secs(60);

/// Runs the proxy until SIGTERM or SIGINT, then drains it: requests under way end within their grace, renewals end, the
/// store keeps the last snapshot. A second signal cuts what is under way. SIGHUP reads the configuration again; a bad one
/// changes nothing (PRX-6).
///
/// Requests run on `workers` threads, each with a runtime of its own; the admin API, the scheduler, renewals and the
/// store's writer run on a thread of theirs, so that neither can starve the other, and whatever is done beside requests
/// lets them go first.
pub fn serve(sources: &Sources, options: ServeOptions) -> Result<(), StartError> {
    let ServeOptions { server_info, until, handed } = options;
    let first = Config::load(sources)?;
    let Loaded { config, .. } = &first;
    let log = super::log_sink(config)?;
    telemetry::subscribe(&log, &config.log.filter);
    telemetry::log_panics(&log);
    for weakness in super::harden() {
        tracing::warn!("{weakness}");
    }
    let control = Worker::start("control", sys::let_others_first, sys::let_others_go_on)?;
    // This thread is the first of the workers.
    let more: io::Result<Vec<Worker>> =
        (1..workers(config)).map(|_| Worker::start("data", || {}, || {})).collect();
    let more = more?;
    let lanes: Vec<Handle> = more.iter().map(|worker| worker.handle.clone()).collect();
    let data = Builder::new_current_thread().enable_all().build()?;
    let served = data.block_on(async {
        let signals = Signals::listen()?;
        let running =
            Running::start_over(&first, sources, log.clone(), &control.handle, &lanes, handed).await?;
        drop(first);
        running.announce(until, server_info.as_deref())?;
        tell(&running);
        let supervisor = Supervisor::of(sources);
        supervisor.ready();
        sys::give_code_back();
        running.prepare_tls(&control.handle);
        let ending = End { signals, supervisor, until };
        until_told_to_stop(sources, running, ending).await
    });
    data.shutdown_background();
    more.into_iter().for_each(Worker::stop);
    control.stop();
    log.flush();
    served
}

/// How many threads serve requests: what is configured, else one for each core that this process may use.
fn workers(config: &Config) -> usize {
    match config.limits.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_WORKERS),
        configured => configured,
    }
}

/// Where it listens, as the one line that a person or a script waits for.
fn tell(running: &Running) {
    let Addresses { proxy, admin } = running.app.addresses();
    let proxy: Vec<String> = proxy.iter().map(|address| format!("http://{address}")).collect();
    let admin = admin.map(|address| format!("http://{address}")).unwrap_or_default();
    let accounts = running.app.state.snapshot().accounts.len();
    tracing::info!(
        proxy = proxy.join(" "),
        admin,
        accounts,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
}

async fn until_told_to_stop(sources: &Sources, mut running: Running, end: End) -> Result<(), StartError> {
    let End { mut signals, supervisor, until } = end;
    let app = Arc::clone(&running.app);
    let failed = loop {
        tokio::select! {
            Some(()) = signals.hangup.recv() => reload::reload(&running.app, sources).await,
            () = stop(&mut signals.terminate, &mut signals.interrupt) => break None,
            failed = running.failed() => break Some(failed),
            () = unused(&app), if until == Until::Unused => break None,
            () = supervisor.alive() => {}
        }
    };
    tracing::info!("stopping: no new requests; those under way may end");
    supervisor.stopping();
    let stopped =
        running.stop(async move { stop(&mut signals.terminate, &mut signals.interrupt).await }).await;
    match failed {
        None => stopped,
        Some(failed) => Err(failed),
    }
}

/// What ends it, and who is told.
struct End {
    signals: Signals,
    supervisor: Supervisor,
    until: Until,
}

/// Returns once every command has ended, or none has come.
async fn unused(app: &App) {
    let first = app.clock.now().after(FIRST_COMMAND);
    tokio::select! {
        () = app.runs.gone() => {}
        () = app.clock.sleep_until(first) => {}
    }
    // One may come between the end of the last and this.
    while !app.runs.close_unused() {
        app.runs.gone().await;
    }
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Returns at the next signal that ends a program.
async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A thread with a runtime.
struct Worker {
    handle: Handle,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Worker {
    /// `begin` is the first that it does, and `blocking` the first of each of its runtime's threads for work that blocks.
    fn start(name: &str, begin: fn(), blocking: fn()) -> io::Result<Self> {
        let runtime: Runtime =
            Builder::new_current_thread().enable_all().on_thread_start(blocking).build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            begin();
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop, thread })
    }

    fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}
