//! A login under way: what is pasted goes to it, time is counted down, and a signal calls it off.
use super::input::Lines;
use super::words::{self, Teller};
use crate::cli::api::{Link, succeed};
use crate::cli::{CliError, Exit, render};
use crate::clock::Clock;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Between two looks at the job.
const PAUSE: Duration = Duration::from_millis(250);

/// Signals that ask for an end.
pub(super) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From here on they are heard, and end nothing by themselves.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A login under way.
pub(super) struct Course<'a> {
    pub(super) link: &'a mut Link,
    /// Where something is pasted, if anywhere.
    pub(super) lines: Option<Lines>,
    pub(super) teller: Teller,
    pub(super) stop: Stop,
}

/// What happens while a job is waited for.
enum Event {
    Asked,
    Line(Option<String>),
    Tick,
}

impl Course<'_> {
    /// Until it has ended.
    pub(super) async fn run(mut self, mut job: Value) -> Result<Value, CliError> {
        let path = path_of(&job["id"]);
        if !self.teller.counts() {
            self.teller.say(&words::waiting(&job, render::now()));
        }
        let mut asked_before = false;
        while !has_ended(&job) {
            // A person who is about to paste is not written over.
            if job["flow"] != "paste" {
                self.teller.count(&words::waiting(&job, render::now()));
            }
            match self.event().await {
                Event::Tick => {}
                Event::Line(None) => self.lines = None,
                Event::Line(Some(line)) => self.paste(&path, &line).await?,
                Event::Asked if asked_before => return Err(left(&job)),
                Event::Asked => {
                    asked_before = true;
                    cancel(self.link, &path).await?;
                }
            }
            if self.lines.is_none() && job["progress"] == "waiting-for-paste" {
                cancel(self.link, &path).await?;
                self.teller.say("standard input ended before anything was pasted");
            }
            job = succeed(self.link.call(Method::GET, &path, None).await?)?;
        }
        self.teller.clear();
        Ok(job)
    }

    async fn event(&mut self) -> Event {
        let lines = &mut self.lines;
        let line = async {
            match lines {
                Some(lines) => lines.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.asked() => Event::Asked,
            line = line => Event::Line(line),
            () = Clock::System.sleep_until(Clock::System.now().after(PAUSE)) => Event::Tick,
        }
    }

    /// What was pasted may be wrong, and pasted again.
    async fn paste(&mut self, path: &str, line: &str) -> Result<(), CliError> {
        let body = json!({"url": line});
        let answer = self.link.call(Method::POST, &format!("{path}/complete"), Some(body)).await?;
        if let Err(error) = succeed(answer) {
            self.teller.say(&format!("{error}"));
        }
        Ok(())
    }
}

fn has_ended(job: &Value) -> bool {
    matches!(job["state"].as_str(), Some("succeeded" | "failed" | "cancelled") | None)
}

fn left(job: &Value) -> CliError {
    let alias = job["alias"].as_str().unwrap_or("the account");
    let message = format!("left while {alias} was being signed in; `rota status` shows what came of it");
    CliError { exit: Exit::SignIn, message }
}

/// Where a job is asked about.
pub(super) fn path_of(id: &Value) -> String {
    format!("/api/login/{}", id.as_str().unwrap_or_default())
}

/// Asks for an end; whether it was too late, the job says.
pub(super) async fn cancel(link: &mut Link, path: &str) -> Result<(), CliError> {
    link.call(Method::DELETE, path, None).await.map(|_| ())
}
