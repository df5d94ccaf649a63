use super::accounts::text;
use super::api::{call, succeed};
use super::connect::place;
use super::import::home;
use super::why::escaped;
use super::{CliError, Exit, Setup};
use crate::auth::import::Client;
use crate::clients::clients;
use clap::Args;
use http::Method;
use serde_json::Value;
use std::io::Write;

#[derive(Args)]
pub(super) struct Doctor {
    /// Ask no upstream whether it can be reached and what time it is
    #[arg(long)]
    offline: bool,
}

impl Doctor {
    /// What is wrong, with the command that puts it right. Exit code 1 where something is.
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let mut question = question(setup);
        if !self.offline {
            question.push(if question.contains('?') { '&' } else { '?' });
            question.push_str("upstream=true");
        }
        examine(setup, &question, out)
    }
}

fn examine(setup: &Setup, question: &str, out: &mut dyn Write) -> Result<Exit, CliError> {
    let found = succeed(call(setup, Method::GET, question, None)?)?;
    let bad = found["bad"].as_u64().unwrap_or(0);
    if setup.json {
        writeln!(out, "{found}")?;
    } else {
        tell(&found, out)?;
    }
    Ok(if bad == 0 { Exit::Done } else { Exit::Failed })
}

/// Where the caller's programs keep their logins: a daemon's home may be another's.
pub(super) fn question(setup: &Setup) -> String {
    let home = home(setup);
    let places = |client: Client| home.places(client).into_iter().map(move |place| (client, place));
    let files: Vec<String> = Client::ALL
        .into_iter()
        .flat_map(places)
        .filter_map(|(client, place)| Some((client, std::path::absolute(place).ok()?)))
        .map(|(client, place)| format!("file={}:{}", client.as_str(), escaped(&place.display().to_string())))
        .collect();
    let table = clients().unwrap_or_default();
    let settings = table.iter().filter_map(|client| {
        let file = place(setup, client, client.config.as_ref()?).ok()?;
        Some(format!("config={}:{}", client.id, escaped(&file.display().to_string())))
    });
    let files: Vec<String> = files.into_iter().chain(settings).collect();
    match files.is_empty() {
        true => "/api/doctor".to_owned(),
        false => format!("/api/doctor?{}", files.join("&")),
    }
}

fn tell(found: &Value, out: &mut dyn Write) -> Result<(), CliError> {
    let checks = found["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |check: &Value| text(&check["name"]).chars().count();
    let wide = checks.iter().map(name).max().unwrap_or(0);
    for check in checks {
        let mark = match check["state"].as_str() {
            Some("ok") => '✔',
            Some("warn") => '!',
            Some(_) | None => '✘',
        };
        writeln!(out, "{mark} {:<wide$}  {}", text(&check["name"]), text(&check["message"]))?;
        if let Some(fix) = check["fix"].as_str() {
            writeln!(out, "  {:<wide$}  → {fix}", "")?;
        }
    }
    let count = |name: &str| found[name].as_u64().unwrap_or(0);
    let words = |count: u64, one: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    match (count("bad"), count("warnings")) {
        (0, 0) => writeln!(out, "All is well.")?,
        (bad, warnings) => writeln!(out, "{}, {}.", words(bad, "problem"), words(warnings, "warning"))?,
    }
    Ok(())
}
