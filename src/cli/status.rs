mod rows;

use super::accounts::text;
use super::api::{Daemon, call, not_running, runtime, succeed};
use super::{CliError, Exit, Setup, force, render};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::Provider;
use clap::Args;
use http::Method;
use jiff::Timestamp;
use rows::Shape;
use serde_json::Value;
use std::io::Write;
use std::time::Duration;

/// Between two pictures.
const PAUSE: Duration = Duration::from_secs(2);
/// Home, and what was there before goes (ECMA-48, CUP and ED).
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

#[derive(Args)]
pub(super) struct Status {
    /// Show it again every two seconds, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

impl Status {
    /// What `rota top` is.
    pub(super) fn watching() -> Self {
        Self { watch: true }
    }

    /// Works with and without a daemon; says which. Only a daemon is watched.
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        if self.watch {
            return watch(setup, out);
        }
        let body = succeed(call(setup, Method::GET, "/api/status", None)?)?;
        show(setup, &body, Shape::Once, out)
    }
}

/// The answer of `GET /api/status`, shown once.
pub(super) fn once(setup: &Setup, body: &Value, out: &mut dyn Write) -> Result<Exit, CliError> {
    show(setup, body, Shape::Once, out)
}

/// On a terminal each picture stands in the last one's place; elsewhere they follow each other, as plain text.
fn watch(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let config = Config::load(&setup.sources)?.config;
    let in_place = !setup.json && render::is_terminal(setup);
    runtime()?.block_on(async {
        let daemon = Daemon::find(setup, &config).await?.ok_or_else(not_running)?;
        loop {
            let body = succeed(daemon.ask(Method::GET, "/api/status", None).await?)?;
            if in_place {
                write!(out, "{CLEAR}")?;
            }
            show(setup, &body, Shape::Watched, out)?;
            if !in_place && !setup.json {
                writeln!(out)?;
            }
            if out.flush().is_err() {
                // Whoever reads it has seen enough.
                return Ok(Exit::Done);
            }
            Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
        }
    })
}

fn show(setup: &Setup, body: &Value, shape: Shape, out: &mut dyn Write) -> Result<Exit, CliError> {
    if setup.json {
        writeln!(out, "{body}")?;
        return Ok(Exit::Done);
    }
    let now: Timestamp =
        body["now"].as_str().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
    headline(body, now, out)?;
    let accounts = body["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if accounts.is_empty() {
        writeln!(
            out,
            "\nNo accounts yet.  rota login work, or rota accounts add work --provider ID --key-file FILE"
        )?;
        return Ok(Exit::Done);
    }
    writeln!(out)?;
    rows::table(body, shape, now, out)?;
    if let Some(line) = outlook(body, now) {
        writeln!(out, "\n  {line}")?;
    }
    for line in again(accounts, &Config::load(&setup.sources)?.config.providers) {
        writeln!(out, "\n{line}")?;
    }
    if let Some(breakers) = body["openBreakers"].as_object() {
        for (provider, until) in breakers {
            writeln!(out, "\n{provider} is failing; the next try is at {}", moment(until, now))?;
        }
    }
    if let Some(cut_off) = body["cutOff"].as_object() {
        for (provider, until) in cut_off {
            let until = moment(until, now);
            writeln!(
                out,
                "\n! two logins of {provider} were refused for good; it is shown no other until {until}"
            )?;
        }
    }
    for finding in body["store"]["findings"].as_array().map(Vec::as_slice).unwrap_or_default() {
        writeln!(out, "\n! store: {}", text(finding))?;
    }
    Ok(Exit::Done)
}

fn headline(body: &Value, now: Timestamp, out: &mut dyn Write) -> Result<(), CliError> {
    // What is seen of accounts is saved seconds later, so something is often unsaved: only a write that failed is news.
    let store = match body["store"]["lastError"].as_str() {
        None => "store intact".to_owned(),
        Some(error) => format!("STORE NOT SAVED: {error}"),
    };
    let version = text(&body["version"]);
    writeln!(out, "rota {version} {} · {} · {store}", place(body, now), text(&body["strategy"]))?;
    if let Some(alias) = body["force"]["alias"].as_str() {
        writeln!(out, "every request goes to {alias} until {}", moment(&body["force"]["until"], now))?;
    }
    if let Some(line) = force::ended(&body["forceEnded"], now) {
        writeln!(out, "{line}; {} decides again", text(&body["strategy"]))?;
    }
    Ok(())
}

/// Since when it runs, and where; a command that answers itself runs nowhere.
fn place(body: &Value, now: Timestamp) -> String {
    let Some(proxy) = body["proxy"][0].as_str() else {
        return "not running".to_owned();
    };
    let since = body["startedAt"].as_str().and_then(|at| at.parse().ok()).unwrap_or(now);
    let page = body["admin"].as_str().map_or_else(String::new, |at| format!(" · dashboard http://{at}"));
    format!("up {} at {proxy}{page}", render::span(now, since))
}

/// What moving on has saved, and who runs dry first; none where there is nothing to tell.
fn outlook(body: &Value, now: Timestamp) -> Option<String> {
    let saved = match body["day"]["saved"].as_u64().unwrap_or(0) {
        0 => None,
        1 => Some("1 request of the last 24 h would have failed and did not.".to_owned()),
        saved => Some(format!("{saved} requests of the last 24 h would have failed and did not.")),
    };
    let empties = &body["capacity"]["emptiesFirst"];
    let at = empties["at"].as_str().and_then(|at| at.parse::<Timestamp>().ok()).filter(|at| *at > now);
    let first = at
        .map(|at| format!("{} empties first, in about {}.", text(&empties["alias"]), render::span(at, now)));
    let told: Vec<String> = saved.into_iter().chain(first).collect();
    (!told.is_empty()).then(|| told.join("  "))
}

/// Accounts that a person has to see to, each with what is wrong and the command that helps.
pub(super) fn again(accounts: &[Value], providers: &[Provider]) -> Vec<String> {
    let lines = accounts.iter().filter_map(|account| {
        let credential = &account["credential"];
        let wrong = match credential["state"].as_str()? {
            "needs-reauth" => "has to sign in again",
            "missing" => "has no credential",
            _ => return None,
        };
        let (alias, id) = (text(&account["alias"]), text(&account["provider"]));
        let has_login = providers.iter().any(|known| known.id.as_str() == id && known.login.is_some());
        let fix = match has_login {
            true => format!("rota login {alias}"),
            false => format!(
                "rota accounts rm {alias}, then add it again: rota accounts add {alias} --provider {id}"
            ),
        };
        Some(format!("! {alias} {wrong}: {}\n    {fix}", text(&credential["detail"])))
    });
    lines.collect()
}

fn moment(value: &Value, now: Timestamp) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), |text| render::moment(text, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// UX: the first line tells since when it runs and where its page is; what is not known without a daemon is left out.
    #[test]
    fn the_first_and_the_last_line_tell_what_is_known() {
        let now: Timestamp = "2027-01-15T08:00:00Z".parse().expect("a time");
        let runs = json!({
            "version": "0.1.0", "startedAt": "2027-01-15T07:57:00Z", "proxy": ["127.0.0.1:7682"],
            "admin": "127.0.0.1:7683", "strategy": "round-robin", "store": {"lastError": null},
            "day": {"saved": 57},
            "capacity": {"emptiesFirst": {"alias": "work", "at": "2027-01-15T09:10:00Z"}},
        });
        assert_eq!(
            told(&runs, now),
            "rota 0.1.0 up 3 min at 127.0.0.1:7682 · dashboard http://127.0.0.1:7683 · round-robin · store intact\n"
        );
        let last = "57 requests of the last 24 h would have failed and did not.  work empties first, in about 1 h 10 min.";
        assert_eq!(outlook(&runs, now).as_deref(), Some(last));
        let alone = json!({
            "version": "0.1.0", "startedAt": "2027-01-15T08:00:00Z", "proxy": [], "admin": null,
            "strategy": "sticky", "store": {"lastError": "no space"}, "day": null, "capacity": null,
        });
        assert_eq!(told(&alone, now), "rota 0.1.0 not running · sticky · STORE NOT SAVED: no space\n");
        assert_eq!(outlook(&alone, now), None);
        let quiet = json!({"day": {"saved": 0}, "capacity": {"emptiesFirst": null}});
        assert_eq!(outlook(&quiet, now), None);
    }

    fn told(body: &Value, now: Timestamp) -> String {
        let mut out = Vec::new();
        headline(body, now, &mut out).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }
}
