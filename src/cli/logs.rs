use super::accounts::text;
use super::api::{Daemon, not_running, runtime, succeed};
use super::{CliError, Exit, Setup};
use crate::clock::Clock;
use crate::config::Config;
use clap::Args;
use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

/// Between two looks for news.
const PAUSE: Duration = Duration::from_millis(500);
/// Decisions in one look; the API gives no more.
const MOST: usize = 1000;

#[derive(Args)]
pub(super) struct Logs {
    /// Go on as requests come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only what this account was asked
    #[arg(long, value_name = "ALIAS")]
    account: Option<String>,
    /// How many of the latest to begin with
    #[arg(short = 'n', value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    count: u16,
}

impl Logs {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let config = Config::load(&setup.sources)?.config;
        runtime()?.block_on(async {
            let daemon = Daemon::find(setup, &config).await?.ok_or_else(not_running)?;
            if !self.follow && setup.json && self.account.is_none() {
                writeln!(out, "{}", ask(&daemon, usize::from(self.count)).await?)?;
                return Ok(Exit::Done);
            }
            self.tell(setup, &daemon, out).await
        })
    }

    async fn tell(&self, setup: &Setup, daemon: &Daemon, out: &mut dyn Write) -> Result<Exit, CliError> {
        // What is older than the first look is not news later on.
        let mut latest = decisions(daemon).await?;
        let wanted: Vec<&Value> = latest.iter().filter(|decision| self.wants(decision)).collect();
        let skip = wanted.len().saturating_sub(usize::from(self.count));
        for decision in wanted.into_iter().skip(skip) {
            told(setup, decision, out)?;
        }
        if !self.follow {
            return Ok(Exit::Done);
        }
        loop {
            out.flush()?;
            Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
            let seen: BTreeSet<String> = latest.iter().map(|decision| id(decision).to_owned()).collect();
            latest = decisions(daemon).await?;
            let news = latest.iter().filter(|decision| !seen.contains(id(decision)) && self.wants(decision));
            for decision in news {
                told(setup, decision, out)?;
            }
        }
    }

    fn wants(&self, decision: &Value) -> bool {
        let Some(account) = &self.account else {
            return true;
        };
        let asked = decision["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
        asked.iter().any(|attempt| attempt["alias"] == account.as_str())
    }
}

fn id(decision: &Value) -> &str {
    decision["requestId"].as_str().unwrap_or_default()
}

async fn ask(daemon: &Daemon, limit: usize) -> Result<Value, CliError> {
    succeed(daemon.ask(Method::GET, &format!("/api/decisions?limit={limit}"), None).await?)
}

/// All that are kept, as far as one answer goes, the oldest first.
async fn decisions(daemon: &Daemon) -> Result<Vec<Value>, CliError> {
    let mut body = ask(daemon, MOST).await?;
    let mut decisions = body["decisions"].as_array_mut().map(std::mem::take).unwrap_or_default();
    decisions.reverse();
    Ok(decisions)
}

fn told(setup: &Setup, decision: &Value, out: &mut dyn Write) -> Result<(), CliError> {
    match setup.json {
        true => writeln!(out, "{decision}")?,
        false => writeln!(out, "{}", line(decision))?,
    }
    Ok(())
}

/// One line: when, which, what, who, how it ended and how long it took.
fn line(decision: &Value) -> String {
    let at = decision["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let at = at.map_or_else(
        || "-".to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string(),
    );
    let id: String = id(decision).chars().take(8).collect();
    let attempts = decision["attempts"].as_array().map_or(0, Vec::len);
    let whom = match (decision["outcome"].as_str(), decision["refusal"].as_str()) {
        (Some("refused"), Some(code)) => code.to_owned(),
        _ => {
            let tries = if attempts > 1 { format!(" ({attempts} attempts)") } else { String::new() };
            format!("{}{tries}", text(&decision["selectedAlias"]))
        }
    };
    let status = decision["status"].as_u64().map_or_else(|| "-".to_owned(), |status| status.to_string());
    let took = decision["durationMs"].as_f64().unwrap_or(0.0) / 1e3;
    let (method, path) = (text(&decision["method"]), text(&decision["path"]));
    format!("{at}  {id}  {status:>3}  {took:>6.1} s  {whom}  {method} {path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_says_who_served_and_how_it_ended() {
        let served = json!({"requestId": "3f9c2100aa", "method": "POST", "path": "/v1/responses", "status": 200,
                            "outcome": "served", "selectedAlias": "home", "durationMs": 1310.2,
                            "attempts": [{"alias": "work"}, {"alias": "home"}]});
        assert_eq!(line(&served), "-  3f9c2100  200     1.3 s  home (2 attempts)  POST /v1/responses");
        let refused = json!({"requestId": "3f9c2100aa", "method": "POST", "path": "/v1/responses", "status": 429,
                             "outcome": "refused", "refusal": "NO_ELIGIBLE_ACCOUNTS", "attempts": []});
        assert!(line(&refused).contains("429     0.0 s  NO_ELIGIBLE_ACCOUNTS  POST"), "{}", line(&refused));
    }
}
