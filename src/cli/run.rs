//! `rota run -- CMD`: one program, pointed at rota without a file being changed. A daemon is started for it where none runs,
//! and ends when nobody needs it any more; input, output, signals and exit code are the program's own.
mod daemon;
mod program;
mod signals;
mod watch;

use super::connect::{find, names, table};
use super::{CliError, Exit, Setup};
use crate::clients::Client;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::Time;
use clap::Args;
use rustix::process::{Pid, Signal};
use signals::{Signals, Stops};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use tokio::process::Child;
use watch::{News, Watch, Wishes};

/// From asking a program to end to ending it.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Run {
    /// The account that serves this program, and no other
    #[arg(long, value_name = "ALIAS")]
    account: Option<String>,
    /// Which program it is, where its name does not tell: see `rota connect`
    #[arg(long, value_parser = names(), hide_possible_values = true, value_name = "NAME")]
    client: Option<String>,
    /// End it after 5 minutes without a request or a piece of a reply (timeouts.run_idle), and after an hour in any case
    /// (timeouts.run_lifetime). It is told 30 seconds before
    #[arg(long)]
    managed: bool,
    /// End it after this long, at most 30m; without a value, 5m (timeouts.run_command)
    #[arg(long, value_name = "SPAN", num_args = 0..=1, require_equals = true)]
    timeout: Option<Option<Span>>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// A time such as 90s, 5m or 1h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be a number with ms, s, m or h behind it, such as 90s".to_owned();
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "h" => number.checked_mul(3_600_000),
            "m" => number.checked_mul(60_000),
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            _ => None,
        };
        millis
            .filter(|millis| *millis > 0)
            .map(|millis| Self(Duration::from_millis(millis)))
            .ok_or_else(wrong)
    }
}

impl Run {
    pub(super) fn run(self, setup: &Setup) -> Result<Exit, CliError> {
        let config = Config::load(&setup.sources)?.config;
        let client = self.program()?;
        let wishes = self.wishes(&config)?;
        super::api::runtime()?.block_on(async {
            let mut signals = Signals::listen()?;
            let prepared = tokio::select! {
                prepared = Watch::open(setup, &config, wishes) => prepared,
                signal = signals.next() => return Ok(Exit::signalled(signal)),
            };
            let mut watch = prepared?;
            let stops = Stops::listen()?;
            let child = program::start(&client, &self.command, watch.told(), &setup.sources)?;
            watch.ready().await;
            attend(setup, &config, Attended { child, watch, signals, stops }).await
        })
    }

    /// The row of the table that the program is.
    fn program(&self) -> Result<Client, CliError> {
        if let Some(name) = &self.client {
            return find(name);
        }
        let name = self.command.first().map(Path::new).and_then(Path::file_name);
        let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let known = table()?.into_iter().find(|client| client.runs(&name));
        known.map_or_else(|| find("any"), Ok)
    }

    fn wishes(&self, config: &Config) -> Result<Wishes, CliError> {
        let command = self.timeout.map(|span| span.map_or(config.timeouts.run_command, |Span(span)| span));
        Ok(Wishes {
            id: watch::new_id()?,
            key: watch::new_key()?,
            account: self.account.clone(),
            idle: self.managed.then_some(config.timeouts.run_idle),
            lifetime: self.managed.then_some(config.timeouts.run_lifetime),
            command,
        })
    }
}

/// A program that runs, and what is listened to meanwhile.
struct Attended {
    child: Child,
    watch: Watch,
    signals: Signals,
    stops: Stops,
}

/// Until the program has ended.
async fn attend(setup: &Setup, config: &Config, attended: Attended) -> Result<Exit, CliError> {
    let Attended { mut child, mut watch, mut signals, mut stops } = attended;
    let mut patience: Option<Time> = None;
    loop {
        let over = async {
            match patience {
                Some(until) => Clock::System.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = child.wait() => return Ok(Exit::of_program(ended?)),
            signal = signals.next() => {
                if signals::is_ours_to_pass_on(signal) {
                    send(&child, signal);
                }
            }
            stop = stops.next() => {
                if let Some(program) = pid(&child) {
                    signals::follow(stop, program);
                }
            }
            news = watch.next(setup, config) => match news {
                News::Warned(words) => eprintln!("rota: {words}"),
                News::Ended(words) => {
                    eprintln!("rota: {words}");
                    send(&child, Signal::TERM);
                    patience = Some(Clock::System.now().after(GRACE));
                }
            },
            () = over => {
                patience = None;
                send(&child, Signal::KILL);
            }
        }
    }
}

/// To the program, if it has not ended.
fn send(child: &Child, signal: Signal) {
    if let Some(program) = pid(child) {
        signals::send(program, signal);
    }
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_unit() {
        for (text, millis) in [("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000), ("250ms", 250)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(millis))));
        }
        for text in
            ["", "90", "s", "-1s", "0s", "1d", "1.5s", "99999999999999999999h", "18446744073709551615h"]
        {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
