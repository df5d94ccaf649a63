use super::accounts::text;
use super::api::{ask_daemon, succeed};
use super::why::escaped;
use super::{CliError, Exit, Setup, render};
use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use std::io::Write;

#[derive(Args)]
pub(super) struct Sessions {
    /// Take this one off its account: its next request is given one as a new conversation's is
    #[arg(long, value_name = "KEY")]
    clear: Option<String>,
    /// Show the latest N
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, conflicts_with = "clear")]
    latest: usize,
}

impl Sessions {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        if let Some(key) = self.clear {
            succeed(ask_daemon(setup, Method::DELETE, &format!("/api/sessions/{}", escaped(&key)))?)?;
            writeln!(out, "session {key} is on no account any more")?;
            return Ok(Exit::Done);
        }
        let body = succeed(ask_daemon(setup, Method::GET, &format!("/api/sessions?limit={}", self.latest))?)?;
        if setup.json {
            writeln!(out, "{body}")?;
            return Ok(Exit::Done);
        }
        list(&body, out)
    }
}

fn list(body: &Value, out: &mut dyn Write) -> Result<Exit, CliError> {
    let now = text(&body["now"]).parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let sessions = body["sessions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if sessions.is_empty() {
        writeln!(out, "No conversation has an account.")?;
        return tied(body, out);
    }
    let rows: Vec<Vec<String>> = sessions.iter().map(|session| row(session, now)).collect();
    render::table(out, &["KEY", "PROVIDER", "ACCOUNT", "KIND", "ID", "SINCE", "USED", "UNTIL"], &rows)?;
    let hidden = body["total"].as_u64().unwrap_or(0).saturating_sub(sessions.len() as u64);
    if hidden > 0 {
        writeln!(out, "\n  {hidden} more; --latest N shows them")?;
    }
    tied(body, out)
}

/// What no clearing changes.
fn tied(body: &Value, out: &mut dyn Write) -> Result<Exit, CliError> {
    let ties = body["ties"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ties: Vec<String> =
        ties.iter().map(|tie| format!("{} ({})", text(&tie["account"]), tie["held"])).collect();
    if !ties.is_empty() {
        writeln!(out, "\n  Tied harder, by what only the account itself can read: {}", ties.join(", "))?;
    }
    Ok(Exit::Done)
}

fn row(session: &Value, now: Timestamp) -> Vec<String> {
    let ago = |at: &Value| {
        let at = text(at).parse::<Timestamp>();
        at.map_or_else(|_| "-".to_owned(), |at| render::relative(at, now))
    };
    let mut row: Vec<String> =
        ["key", "provider", "account", "kind", "id"].map(|name| text(&session[name])).into();
    row.extend(["since", "used", "until"].map(|name| ago(&session[name])));
    row
}
