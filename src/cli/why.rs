use super::accounts::text;
use super::api::{Daemon, not_running, runtime, succeed};
use super::kept::Kept;
use super::{CliError, Exit, Setup, render};
use crate::config::Config;
use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::io::Write;

#[derive(Args)]
pub(super) struct Why {
    /// A request's id (the x-rota-request-id header), or the beginning of it; without one, the latest
    #[arg(conflicts_with = "next")]
    id: Option<String>,
    /// Show the latest N
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1, conflicts_with_all = ["id", "next"])]
    latest: usize,
    /// Show who would be taken next, without taking anybody
    #[arg(long)]
    next: bool,
    /// With --next: the provider [default: each that has accounts]
    #[arg(long, value_name = "ID", requires = "next")]
    provider: Option<String>,
    /// With --next: the model
    #[arg(long, requires = "next")]
    model: Option<String>,
    /// With --next: the conversation, as its x-rota-session header names it
    #[arg(long, value_name = "ID", requires = "next")]
    session: Option<String>,
}

impl Why {
    /// Of a daemon that runs; once one that `rota run` had started is gone, of what it has left.
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let config = Config::load(&setup.sources)?.config;
        runtime()?.block_on(async {
            match Daemon::find(setup, &config).await? {
                Some(daemon) if self.next => self.who_is_next(setup, &daemon, out).await,
                Some(daemon) => {
                    let body = succeed(daemon.ask(Method::GET, &self.path(), None).await?)?;
                    self.tell(setup, &body, out)
                }
                None if self.next => Err(not_running()),
                None => {
                    let body = self.kept(&Kept::find(&config)?)?;
                    setup.hint("rota is not running; this is of the last one that `rota run` started:");
                    self.tell(setup, &body, out)
                }
            }
        })
    }

    /// The answer's body.
    fn tell(&self, setup: &Setup, body: &Value, out: &mut dyn Write) -> Result<Exit, CliError> {
        if setup.json {
            writeln!(out, "{body}")?;
            return Ok(Exit::Done);
        }
        let now = render::now();
        if self.id.is_some() {
            told(body, now, out)?;
            return Ok(Exit::Done);
        }
        let decisions = body["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
        if decisions.is_empty() {
            writeln!(out, "No request has come since rota was started.")?;
        }
        for decision in decisions {
            told(decision, now, out)?;
        }
        Ok(Exit::Done)
    }

    /// What the API would have answered.
    fn kept(&self, kept: &Kept) -> Result<Value, CliError> {
        match &self.id {
            Some(id) => kept.one(id).cloned(),
            None => Ok(json!({"decisions": kept.latest(self.latest).collect::<Vec<_>>()})),
        }
    }

    /// One call for each provider that is asked about. No account is next only where no provider has one.
    async fn who_is_next(
        &self,
        setup: &Setup,
        daemon: &Daemon,
        out: &mut dyn Write,
    ) -> Result<Exit, CliError> {
        let providers = match &self.provider {
            Some(provider) => vec![provider.clone()],
            None => providers(daemon).await?,
        };
        if providers.is_empty() {
            return Err(CliError {
                exit: Exit::NoAccount,
                message: "there are no accounts yet; `rota login work` makes one".to_owned(),
            });
        }
        let mut exit = Exit::NoAccount;
        for provider in providers {
            let body = succeed(daemon.ask(Method::GET, &self.path_of_next(&provider), None).await?)?;
            match setup.json {
                true => writeln!(out, "{body}")?,
                false => next(&body, out)?,
            }
            if setup.json || body["alias"].is_string() {
                exit = Exit::Done;
            }
        }
        Ok(exit)
    }

    fn path(&self) -> String {
        match &self.id {
            Some(id) => format!("/api/decisions/{}", escaped(id)),
            None => format!("/api/decisions?limit={}", self.latest),
        }
    }

    fn path_of_next(&self, provider: &str) -> String {
        let mut path = format!("/api/decisions/next?provider={}", escaped(provider));
        for (name, value) in [("model", &self.model), ("session", &self.session)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        path
    }
}

/// Those that have accounts, in the order of the accounts.
async fn providers(daemon: &Daemon) -> Result<Vec<String>, CliError> {
    let body = succeed(daemon.ask(Method::GET, "/api/accounts", None).await?)?;
    let accounts = body["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut found: Vec<String> = Vec::new();
    for provider in accounts.iter().map(|account| text(&account["provider"])) {
        if !found.contains(&provider) {
            found.push(provider);
        }
    }
    Ok(found)
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3).
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                safe.push(char::from(byte))
            }
            _ => safe.push_str(&format!("%{byte:02X}")),
        }
    }
    safe
}

/// One decision as a short story.
pub(super) fn told(decision: &Value, now: Timestamp, out: &mut dyn Write) -> Result<(), CliError> {
    let attempts = decision["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let status =
        decision["status"].as_u64().map_or_else(|| "no status".to_owned(), |status| status.to_string());
    let count = match attempts.len() {
        1 => "1 attempt".to_owned(),
        many => format!("{many} attempts"),
    };
    let ended = match (decision["outcome"].as_str(), decision["selectedAlias"].as_str()) {
        (Some("served"), Some(alias)) => format!("served by {alias}"),
        (Some("passed"), Some(alias)) => format!("answered by {alias}'s upstream, handed on as it was"),
        (Some("abandoned"), _) => "the client went away".to_owned(),
        _ => format!("refused {}", decision["refusal"].as_str().unwrap_or("")).trim_end().to_owned(),
    };
    writeln!(
        out,
        "{}  {}  {} {}  {ended}, {count}, {status}",
        text(&decision["requestId"]),
        decision["at"].as_str().map_or_else(|| "-".to_owned(), |at| render::clock(at, now)),
        text(&decision["method"]),
        text(&decision["path"]),
    )?;
    for attempt in attempts {
        writeln!(out, "        {}", attempt_words(attempt, &decision["strategy"]))?;
    }
    if let Some(alias) = decision["signIn"]["alias"].as_str() {
        let came = match decision["signIn"]["end"].as_str() {
            Some("failed") => "and the sign-in failed",
            Some("raised") => "without waiting for it",
            Some("signed-in") => "and somebody did",
            Some("timed-out") => "and nobody did in time",
            _ => "and the client left",
        };
        writeln!(out, "        asked for a sign-in to {alias}, {came}")?;
    }
    if let Some(reasons) = decision["reasons"].as_object() {
        skipped(reasons, out)?;
    }
    let session = decision["session"]
        .as_str()
        .map_or_else(|| "named no session".to_owned(), |kind| format!("named its session by {kind}"));
    writeln!(
        out,
        "        {} strategy, {} of {} accounts enabled; the request {session}",
        text(&decision["strategy"]),
        decision["enabledState"][0],
        decision["enabledState"][1],
    )?;
    let first = decision["firstByteMs"]
        .as_f64()
        .map_or_else(String::new, |ms| format!("; first byte after {}", render::took(ms)));
    let added = decision["overheadMs"].as_f64().unwrap_or(0.0);
    writeln!(out, "        added {added:.2} ms{first}")?;
    Ok(())
}

fn attempt_words(attempt: &Value, strategy: &Value) -> String {
    let alias = text(&attempt["alias"]);
    let why = match attempt["why"].as_str() {
        Some("chosen") => "it was chosen for this command",
        Some("forced") => "it is forced",
        Some("owner") => "only it holds the state this conversation needs",
        Some("refreshed") => "its token was renewed",
        Some("rotated") => "its turn",
        Some("session") => "the session is there",
        Some("signed-in") => "somebody signed in for this request",
        Some("spilled") => "its conversation's account had no free place",
        _ => "-",
    };
    let how = if why == "its turn" { format!("{why} ({})", text(strategy)) } else { why.to_owned() };
    let took = render::took(attempt["ms"].as_f64().unwrap_or(0.0));
    let status =
        attempt["status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    match attempt["reason"].as_str() {
        None => format!("why {alias}: {how}; {status} after {took}"),
        Some(reason) => {
            let rule = attempt["rule"].as_str().map_or_else(String::new, |rule| format!(", rule {rule}"));
            let scope = text(&attempt["scope"]);
            format!(
                "tried {alias}, {how}: {status}, {reason} ({}{rule}; blames: {scope}) after {took}",
                text(&attempt["verdict"])
            )
        }
    }
}

fn next(body: &Value, out: &mut dyn Write) -> Result<(), CliError> {
    let provider = text(&body["provider"]);
    if let Some(alias) = body["alias"].as_str() {
        match body["waitUntil"].as_str() {
            Some(until) => writeln!(out, "{provider}: {alias}, at {until}")?,
            None => writeln!(out, "{provider}: {alias} ({})", text(&body["why"]))?,
        }
        return Ok(());
    }
    match body["soonest"].as_str() {
        Some(soonest) => writeln!(out, "{provider}: nobody; the first is back at {soonest}")?,
        None => writeln!(out, "{provider}: nobody")?,
    }
    if let Some(reasons) = body["reasons"].as_object() {
        skipped(reasons, out)?;
    }
    Ok(())
}

fn skipped(reasons: &Map<String, Value>, out: &mut dyn Write) -> Result<(), CliError> {
    for (alias, why) in reasons {
        let until = why["until"].as_str().map_or_else(String::new, |until| format!(", until {until}"));
        writeln!(out, "        not {alias}: {}{until}", text(&why["reason"]))?;
    }
    Ok(())
}
