use super::api::ask_daemon;
use super::{CliError, Exit, Setup};
use clap::Args;
use http::Method;
use std::io::Write;

#[derive(Args)]
pub(super) struct Healthcheck {
    /// Also fail where no account could serve a request now
    #[arg(long)]
    ready: bool,
}

impl Healthcheck {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let answer = ask_daemon(setup, Method::GET, path)?;
        if setup.json {
            writeln!(out, "{}", answer.body)?;
        }
        if answer.status.is_success() {
            return Ok(Exit::Done);
        }
        Err(CliError {
            exit: if self.ready { Exit::NoAccount } else { Exit::Failed },
            message: "rota runs, but no account could serve a request now; see `rota status`".to_owned(),
        })
    }
}
