use super::api::runtime;
use super::{CliError, Exit, Loudness, Setup};
use crate::app::{self, Handed, ServeOptions, Until};
use crate::clock::Clock;
use crate::config::{Config, Sources};
use crate::store::{Backend, FileBackend, StoreError};
use crate::sys;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// How long a service waits for another rota to end: less than the 90 s that systemd gives a start
/// (DefaultTimeoutStartSec, systemd-system.conf(5)).
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the store's lock.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Args)]
pub(super) struct Serve {
    /// Where clients connect: a loopback address [default: 127.0.0.1:7682, and the same port of ::1]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where the admin API listens: a loopback address [default: 127.0.0.1:7683]
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Write the process id and both addresses to this file, as JSON, once rota listens
    #[arg(long, value_name = "FILE")]
    server_info: Option<PathBuf>,
    /// End once no command of `rota run` is left: how `rota run` starts it
    #[arg(long, hide = true)]
    for_commands: bool,
}

impl Serve {
    pub(super) fn run(self, setup: &Setup) -> Result<Exit, CliError> {
        let until = if self.for_commands { Until::Unused } else { Until::Told };
        let sources = setup.sources.clone().with_addresses(self.listen, self.admin_listen);
        let sources = match setup.loudness {
            Loudness::Quiet => sources.with_log_level("warn"),
            Loudness::Usual => sources,
            Loudness::Verbose => sources.with_log_level("debug"),
        };
        let handed = handed(&sources)?;
        if sources.variable("NOTIFY_SOCKET").is_some() && until == Until::Told {
            wait_for_the_store(&sources)?;
        }
        app::serve(&sources, ServeOptions { server_info: self.server_info, until, handed })?;
        Ok(Exit::Done)
    }
}

/// A service takes over from the rota that a `rota run` has started, or a person: as soon as that one ends. After
/// [`PATIENCE`] it ends as everybody does who finds the store taken, and its manager starts it again.
fn wait_for_the_store(sources: &Sources) -> Result<(), CliError> {
    let dir = Config::load(sources)?.config.state_dir;
    if !dir.exists() {
        return Ok(());
    }
    let backend = FileBackend::create(&dir)?;
    let until = Clock::System.now().after(PATIENCE);
    runtime()?.block_on(async {
        let mut told = false;
        // What else may be wrong with the store is told where it is opened.
        while let Err(locked @ StoreError::Locked { .. }) = backend.own()
            && Clock::System.now() < until
        {
            if !std::mem::replace(&mut told, true) {
                eprintln!("rota: waiting for its end: {locked}");
            }
            Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
        }
    });
    Ok(())
}

/// What a service manager has opened for this very process: `LISTEN_PID` names it (sd_listen_fds(3)).
fn handed(sources: &Sources) -> Result<Handed, CliError> {
    let own = std::process::id().to_string();
    let count = match (sources.variable("LISTEN_PID"), sources.variable("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == own => count,
        (Some(_) | None, _) => return Ok(Handed::default()),
    };
    let count: u16 = count
        .parse()
        .map_err(|_| CliError::failed("LISTEN_FDS must be the number of sockets that are handed over"))?;
    let sockets = sys::handed_sockets(count).map_err(|error| {
        CliError::io("what the service manager hands over (LISTEN_FDS) cannot be served", &error)
    })?;
    Ok(Handed::new(sockets))
}
