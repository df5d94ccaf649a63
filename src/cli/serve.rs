use super::{CliError, Exit, Setup};
use crate::app::{self, ServeOptions, Until};
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
        app::serve(&sources, &ServeOptions { server_info: self.server_info, until })?;
        Ok(Exit::Done)
    }
}
