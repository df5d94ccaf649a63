use super::accounts::text;
use super::api::{Daemon, not_running, runtime, succeed};
use super::kept::Kept;
use super::live::Live;
use super::{CliError, Exit, Setup};
use crate::config::Config;
use clap::Args;
use http::Method;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::{BTreeSet, VecDeque};
use std::io::Write;

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
            let Some(daemon) = Daemon::find(setup, &config).await? else {
                return match self.follow {
                    true => Err(not_running()),
                    false => self.tell_kept(setup, &Kept::find(&config)?, out),
                };
            };
            if !self.follow && setup.json && self.account.is_none() {
                writeln!(out, "{}", ask(&daemon, usize::from(self.count)).await?)?;
                return Ok(Exit::Done);
            }
            self.tell(setup, &daemon, out).await
        })
    }

    /// What a daemon has left that `rota run` had started.
    fn tell_kept(&self, setup: &Setup, kept: &Kept, out: &mut dyn Write) -> Result<Exit, CliError> {
        let most = usize::from(self.count);
        if setup.json && self.account.is_none() {
            writeln!(out, "{}", json!({"decisions": kept.latest(most).collect::<Vec<_>>()}))?;
            return Ok(Exit::Done);
        }
        setup.hint("rota is not running; this is of the last one that `rota run` started:");
        let wanted = kept.latest(MOST).filter(|decision| self.wants(decision));
        let mut wanted: Vec<&Value> = wanted.take(most).collect();
        wanted.reverse();
        for decision in wanted {
            told(setup, decision, out)?;
        }
        Ok(Exit::Done)
    }

    async fn tell(&self, setup: &Setup, daemon: &Daemon, out: &mut dyn Write) -> Result<Exit, CliError> {
        // Before the first look, so that nothing is missed in between; what comes twice is told once.
        let live = match self.follow {
            true => Some(Live::open(daemon, Method::GET, "/api/events", None).await?),
            false => None,
        };
        let latest = decisions(daemon).await?;
        let wanted: Vec<&Value> = latest.iter().filter(|decision| self.wants(decision)).collect();
        let skip = wanted.len().saturating_sub(usize::from(self.count));
        for decision in wanted.into_iter().skip(skip) {
            told(setup, decision, out)?;
        }
        match live {
            None => Ok(Exit::Done),
            Some(live) => self.follow(setup, daemon, Story { live, seen: Seen::of(&latest) }, out).await,
        }
    }

    async fn follow(
        &self,
        setup: &Setup,
        daemon: &Daemon,
        mut story: Story,
        out: &mut dyn Write,
    ) -> Result<Exit, CliError> {
        loop {
            if out.flush().is_err() {
                // Whoever reads it has seen enough.
                return Ok(Exit::Done);
            }
            let news = match story.live.next().await {
                Some(event) if event.name == "decision" => vec![event.data],
                Some(event) if event.name == "lagged" => decisions(daemon).await?,
                Some(_) => continue,
                None => {
                    let message =
                        "rota has stopped, or tells no more; `rota status` shows whether it runs".to_owned();
                    return Err(CliError { exit: Exit::NotRunning, message });
                }
            };
            for decision in &news {
                if story.seen.is_new(id(decision)) && self.wants(decision) {
                    told(setup, decision, out)?;
                }
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

/// What is followed.
struct Story {
    live: Live,
    seen: Seen,
}

/// Which decisions were looked at, as many as one answer of the API could tell once more.
#[derive(Debug, Default)]
struct Seen {
    order: VecDeque<String>,
    ids: BTreeSet<String>,
}

impl Seen {
    fn of(decisions: &[Value]) -> Self {
        let mut seen = Self::default();
        for decision in decisions {
            seen.is_new(id(decision));
        }
        seen
    }

    /// Looks at it.
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
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

    #[test]
    fn a_decision_is_news_once_and_memory_is_bounded() {
        let mut seen = Seen::of(&[json!({"requestId": "a"})]);
        assert!(!seen.is_new("a") && seen.is_new("b") && !seen.is_new("b"));
        (0..MOST).for_each(|number| assert!(seen.is_new(&number.to_string())));
        assert_eq!((seen.ids.len(), seen.order.len()), (MOST, MOST));
        assert!(!seen.is_new("0"), "the latest are known");
    }

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
