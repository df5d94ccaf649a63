use super::accounts::text;
use super::api::{Daemon, call, not_running, runtime, succeed};
use super::{CliError, Exit, Setup, force, render, windows};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::Provider;
use clap::Args;
use http::Method;
use jiff::Timestamp;
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
        show(setup, &body, out)
    }
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
            show(setup, &body, out)?;
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

/// The answer of `GET /api/status`.
pub(super) fn show(setup: &Setup, body: &Value, out: &mut dyn Write) -> Result<Exit, CliError> {
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
    table(accounts, now, out)?;
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
    let proxies = body["proxy"].as_array().map(Vec::as_slice).unwrap_or_default();
    let place = proxies.first().map_or_else(|| "not running".to_owned(), |at| format!("at {}", text(at)));
    // What is seen of accounts is saved seconds later, so something is often unsaved: only a write that failed is news.
    let store = match body["store"]["lastError"].as_str() {
        None => "store intact".to_owned(),
        Some(error) => format!("STORE NOT SAVED: {error}"),
    };
    let version = text(&body["version"]);
    writeln!(out, "rota {version} {place} · {} · {store}", text(&body["strategy"]))?;
    if let Some(alias) = body["force"]["alias"].as_str() {
        writeln!(out, "every request goes to {alias} until {}", moment(&body["force"]["until"], now))?;
    }
    if let Some(line) = force::ended(&body["forceEnded"], now) {
        writeln!(out, "{line}; {} decides again", text(&body["strategy"]))?;
    }
    Ok(())
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

/// A column for each window that some account has; without any, one that says that nothing is known.
fn table(accounts: &[Value], now: Timestamp, out: &mut dyn Write) -> Result<(), CliError> {
    let names = windows::names(accounts);
    let mut heads: Vec<String> = names.iter().map(|name| windows::head(name)).collect();
    if heads.is_empty() {
        heads.push("LEFT".to_owned());
    }
    let mut head = vec!["ACCOUNT", "PROVIDER", "STATE"];
    head.extend(heads.iter().map(String::as_str));
    head.extend(["IN FLIGHT", "TOKEN"]);
    let rows: Vec<Vec<String>> = accounts.iter().map(|account| row(account, &names, now)).collect();
    render::table(out, &head, &rows)?;
    Ok(())
}

fn row(account: &Value, names: &[String], now: Timestamp) -> Vec<String> {
    let limits = &account["limits"];
    let mut row = vec![text(&account["alias"]), text(&account["provider"]), state(account, now)];
    match names.is_empty() {
        true => row.push(windows::left(limits, now)),
        false => row.extend(names.iter().map(|name| windows::cell(limits, name, now))),
    }
    row.extend([account["inFlight"].to_string(), token(&account["credential"], now)]);
    row
}

fn state(account: &Value, now: Timestamp) -> String {
    let eligibility = &account["eligibility"];
    let state = text(&eligibility["state"]);
    match (state.as_str(), eligibility["reason"].as_str(), eligibility["until"].as_str()) {
        ("eligible", ..) => "in rotation".to_owned(),
        ("disabled", ..) => match account["disableReason"].as_str() {
            Some(reason) => format!("off: {reason}"),
            None => "off".to_owned(),
        },
        ("needs-reauth", Some(reason), _) => format!("{state}: {reason}"),
        (_, Some(reason), Some(until)) => format!("{state}: {reason}, until {}", render::moment(until, now)),
        _ => state,
    }
}

fn token(credential: &Value, now: Timestamp) -> String {
    match (credential["state"].as_str(), credential["expiresAt"].as_str()) {
        (Some("usable"), None) => "key".to_owned(),
        (Some("usable"), Some(expires)) => {
            let at = expires.parse::<Timestamp>().unwrap_or(now);
            if at <= now {
                format!("expired {}", render::relative(at, now))
            } else {
                render::relative(at, now)
            }
        }
        (Some(state), _) => state.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn moment(value: &Value, now: Timestamp) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), |text| render::moment(text, now))
}
