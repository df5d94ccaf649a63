//! What rota knows of the program: it is told when it comes, and tells when it is to end. If the daemon goes away meanwhile,
//! the program is introduced again to the next one, or to one of its own.
use super::daemon::{self, Reached};
use crate::cli::api::{Daemon, succeed};
use crate::cli::live::Live;
use crate::cli::{CliError, Exit, Setup};
use crate::clients::base;
use crate::clock::Clock;
use crate::config::Config;
use crate::runs::RunId;
use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Between two looks for a daemon that has gone away.
const PAUSE: Duration = Duration::from_secs(1);
/// A daemon may end between being found and being asked, but hardly ever twice.
const TRIES: u32 = 5;

/// What is asked for a program.
pub(super) struct Wishes {
    pub(super) id: RunId,
    pub(super) account: Option<String>,
    pub(super) idle: Option<Duration>,
    pub(super) lifetime: Option<Duration>,
    pub(super) command: Option<Duration>,
}

impl Wishes {
    /// True where rota has to tell the program's requests from those of others.
    fn needs_a_way_of_its_own(&self) -> bool {
        self.account.is_some() || self.idle.is_some() || self.lifetime.is_some() || self.command.is_some()
    }
}

/// What is to be told or done.
pub(super) enum News {
    /// It ends soon.
    Warned(String),
    /// It is to end now.
    Ended(String),
}

/// A program that rota knows of.
pub(super) struct Watch {
    wishes: Wishes,
    base: String,
    daemon: Daemon,
    live: Option<Live>,
    ready: bool,
}

/// A name that nobody else has.
pub(super) fn new_id() -> Result<RunId, CliError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CliError::failed("the system has no randomness"))?;
    Ok(RunId::of(bytes))
}

impl Watch {
    /// Finds a daemon or starts one, and makes the program known to it.
    pub(super) async fn open(setup: &Setup, config: &Config, wishes: Wishes) -> Result<Self, CliError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let Reached { daemon, started } = daemon::reach(setup, config).await?;
            let live = match introduce(&daemon, &wishes).await {
                Ok(live) => live,
                // It was about to end; whoever comes next is asked.
                Err(error) if error.exit == Exit::NotRunning && tries > 0 => continue,
                Err(error) => return Err(error),
            };
            let status = succeed(daemon.ask(Method::GET, "/api/status", None).await?)?;
            let proxy = status["proxy"][0].as_str().and_then(|address| address.parse().ok());
            let proxy: SocketAddr = proxy.ok_or_else(|| CliError::failed("rota listens nowhere"))?;
            let accounts = status["accounts"].as_array().map_or(0, Vec::len);
            if accounts == 0 {
                return Err(CliError {
                    exit: Exit::NoAccount,
                    message: "there are no accounts yet; `rota login work` makes one".to_owned(),
                });
            }
            if started {
                let many =
                    if accounts == 1 { "1 account".to_owned() } else { format!("{accounts} accounts") };
                let strategy = status["strategy"].as_str().unwrap_or_default();
                eprintln!("rota: started {proxy} for this command ({many}, {strategy})");
            }
            let mut base = base(proxy);
            if wishes.needs_a_way_of_its_own() {
                base.push_str(&wishes.id.prefix());
            }
            return Ok(Self { wishes, base, daemon, live: Some(live), ready: false });
        }
    }

    /// Where the program finds rota: its own way, where rota has to tell it from others.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The program has been started.
    pub(super) async fn ready(&mut self) {
        self.ready = true;
        let path = format!("/api/runs/{}/ready", self.wishes.id);
        // A daemon that has just gone away is told again when the program is introduced again.
        let _ = self.daemon.ask(Method::POST, &path, None).await;
    }

    /// The next thing to tell or do. Dropped while it waits, nothing is lost.
    pub(super) async fn next(&mut self, setup: &Setup, config: &Config) -> News {
        loop {
            let event = match &mut self.live {
                Some(live) => live.next().await,
                None => None,
            };
            match event {
                Some(event) if event.name == "run" => {
                    if let Some(news) = told(&event.data) {
                        return news;
                    }
                }
                Some(_) => {}
                None => self.again(setup, config).await,
            }
        }
    }

    /// The daemon has gone away.
    async fn again(&mut self, setup: &Setup, config: &Config) {
        self.live = None;
        Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
        let Ok(Reached { daemon, .. }) = daemon::reach(setup, config).await else {
            return;
        };
        if let Ok(live) = introduce(&daemon, &self.wishes).await {
            (self.live, self.daemon) = (Some(live), daemon);
            if self.ready {
                self.ready().await;
            }
        }
    }
}

async fn introduce(daemon: &Daemon, wishes: &Wishes) -> Result<Live, CliError> {
    let millis =
        |span: Option<Duration>| span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let mut body = json!({
        "idleMs": millis(wishes.idle),
        "lifetimeMs": millis(wishes.lifetime),
        "commandMs": millis(wishes.command),
    });
    if let Some(account) = &wishes.account {
        body["account"] = json!(account);
    }
    Live::open(daemon, Method::PUT, &format!("/api/runs/{}", wishes.id), Some(body)).await
}

fn told(run: &Value) -> Option<News> {
    let bound = |word: &str| match word {
        "command" => "the command has run as long as it may",
        "idle" => "it has been idle for as long as it may",
        _ => "its session has lasted as long as it may",
    };
    let state = run["state"].as_str()?;
    if state == "ended" {
        let by = run["endedBy"].as_str().unwrap_or_default();
        return Some(News::Ended(format!("ending this command: {}", bound(by))));
    }
    let by = state.strip_suffix("-warned")?;
    let soon = match by {
        "command" => "the time of this command is nearly over",
        "idle" => "this command is idle, and ends unless it asks for something",
        _ => "the session of this command is nearly over",
    };
    Some(News::Warned(format!("{soon} (at {})", run["endsAt"].as_str().unwrap_or("any moment"))))
}
