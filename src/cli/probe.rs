use super::accounts::text;
use super::api::{Link, linked, succeed};
use super::windows::left;
use super::{CliError, Exit, Setup, render};
use crate::clock::Clock;
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;
use tokio::signal::ctrl_c;

/// Where the jobs are.
const JOBS: &str = "/api/limits/refresh";
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(100);
/// How long somebody waits who did not ask for it.
const MOMENT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub(super) struct Probe {
    /// Which accounts [default: all whose provider can be asked]
    alias: Vec<String>,
}

impl Probe {
    /// Data are the lines, one an account, as each ends; standard error tells how far it is.
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let body = if self.alias.is_empty() { json!({}) } else { json!({"aliases": self.alias}) };
        let asked = linked(setup, async |link| {
            let started = succeed(link.call(Method::POST, JOBS, Some(body)).await?)?;
            let mut course = Course { link, out: &mut *out, json: setup.json, told: BTreeSet::new() };
            course.run(started).await
        })?;
        if setup.json {
            writeln!(out, "{asked}")?;
        }
        exit(&asked)
    }
}

/// Asks about one account, and waits a moment for the answer. Whoever calls has something better to tell than why there is
/// none.
pub(super) async fn ask_about(link: &mut Link, alias: &str) -> Result<(), CliError> {
    let asked = link.call(Method::POST, JOBS, Some(json!({"aliases": [alias]}))).await?;
    if !asked.status.is_success() {
        return Ok(());
    }
    let until = Clock::System.now().after(MOMENT);
    while Clock::System.now() < until {
        let answer = succeed(link.call(Method::GET, JOBS, None).await?)?;
        if !jobs(&answer).iter().any(|job| job["alias"] == alias && is_active(job)) {
            break;
        }
        Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
    }
    Ok(())
}

/// Accounts that are being asked about.
struct Course<'a> {
    link: &'a mut Link,
    out: &'a mut dyn Write,
    json: bool,
    told: BTreeSet<String>,
}

impl Course<'_> {
    /// Until all have ended; a signal calls off what has not begun.
    async fn run(&mut self, started: Value) -> Result<Value, CliError> {
        let wanted: BTreeSet<String> = jobs(&started).iter().map(|job| text(&job["alias"])).collect();
        if wanted.is_empty() {
            eprintln!("no enabled account has a provider that can be asked; replies tell their limits");
            return Ok(started);
        }
        eprintln!("asking about {} of the accounts, one at a time at each provider", wanted.len());
        let mut signal = Box::pin(ctrl_c());
        let mut stopped = false;
        loop {
            let answer = succeed(self.link.call(Method::GET, JOBS, None).await?)?;
            let ours: Vec<Value> =
                jobs(&answer).iter().filter(|job| wanted.contains(&text(&job["alias"]))).cloned().collect();
            self.tell(&ours).await?;
            if !ours.iter().any(is_active) {
                return Ok(json!({"jobs": ours}));
            }
            tokio::select! {
                () = Clock::System.sleep_until(Clock::System.now().after(PAUSE)) => {}
                _ = &mut signal, if !stopped => {
                    stopped = true;
                    self.link.call(Method::DELETE, JOBS, None).await?;
                    eprintln!("stopped: what has begun is finished, nothing else is asked, and known limits stay");
                }
            }
        }
    }

    /// A line for each account that has ended since.
    async fn tell(&mut self, ours: &[Value]) -> Result<(), CliError> {
        for job in ours.iter().filter(|job| !is_active(job)) {
            let alias = text(&job["alias"]);
            if !self.told.insert(alias.clone()) || self.json {
                continue;
            }
            match (job["state"].as_str(), job["error"].as_str()) {
                (Some("success"), _) => {
                    let path = format!("/api/accounts/{alias}");
                    let account = succeed(self.link.call(Method::GET, &path, None).await?)?;
                    writeln!(self.out, "{alias}  {}", left(&account["limits"], render::now()))?;
                }
                (Some("stopped"), None) => writeln!(self.out, "{alias}  stopped before it was asked about")?,
                (_, why) => {
                    let why = why.unwrap_or("the log says why");
                    writeln!(self.out, "{alias}  not learnt: {why}; what was known stays")?;
                }
            }
            self.out.flush()?;
        }
        Ok(())
    }
}

/// 0 if all limits were learnt, 5 where a person has to sign in, 1 otherwise.
fn exit(asked: &Value) -> Result<Exit, CliError> {
    let failed: Vec<&Value> = jobs(asked).iter().filter(|job| job["state"] != "success").collect();
    let sign_in = |job: &&Value| job["error"].as_str().is_some_and(|error| error.contains("credential"));
    Ok(match failed.first() {
        None => Exit::Done,
        Some(_) if failed.iter().all(sign_in) => Exit::SignIn,
        Some(_) => Exit::Failed,
    })
}

fn jobs(answer: &Value) -> &[Value] {
    answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_active(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("queued" | "running"))
}
