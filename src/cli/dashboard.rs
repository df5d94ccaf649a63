use super::api::{Reach, ask_reached, succeed};
use super::{CliError, Exit, Setup, browser};
use clap::Args;
use http::Method;
use std::io::Write;

/// The parameter of the page's address, after the `#`, which no browser sends to anybody.
const FRAGMENT: &str = "#ticket=";

#[derive(Args)]
pub(super) struct Dashboard {
    /// Print the address instead of opening it: it is good once, and for a minute
    #[arg(long)]
    no_browser: bool,
}

impl Dashboard {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let (answer, reach) = ask_reached(setup, Method::POST, "/api/handover")?;
        let body = succeed(answer)?;
        if setup.json {
            writeln!(out, "{body}")?;
            return Ok(Exit::Done);
        }
        let ticket = body["ticket"].as_str().unwrap_or_default();
        let address = match &reach {
            Reach::Tcp(admin) => format!("http://{admin}/{FRAGMENT}{ticket}"),
            Reach::Unix(path) => {
                let port = &body["port"];
                eprintln!(
                    "rota's page is behind {0}. Forward a port of this machine to it, in another terminal:\n\n  \
                     socat TCP-LISTEN:{port},bind=127.0.0.1,fork UNIX-CONNECT:{0}\n\nThen open, within a minute:\n",
                    path.display()
                );
                format!("http://127.0.0.1:{port}/{FRAGMENT}{ticket}")
            }
        };
        let here = matches!(reach, Reach::Tcp(_));
        if here && !self.no_browser && browser::open(&setup.sources, &address) {
            setup.hint(
                "The dashboard is opening in your browser. If it does not: rota dashboard --no-browser",
            );
            return Ok(Exit::Done);
        }
        writeln!(out, "{address}")?;
        Ok(Exit::Done)
    }
}
