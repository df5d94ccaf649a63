use super::{CliError, Exit, Loudness, Setup};
use crate::app::{self, Handed, ServeOptions, Until};
use crate::config::Sources;
use crate::sys;
use clap::Args;
use std::path::PathBuf;

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
        app::serve(&sources, ServeOptions { server_info: self.server_info, until, handed })?;
        Ok(Exit::Done)
    }
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
