//! What rota knows of the program: it is told when it comes, and tells when it is to end. If the daemon goes away meanwhile,
//! the program is introduced again to the next one, or to one of its own. A daemon that is about to end is waited for, and
//! one that somebody else runs is given the time to come back.
use super::daemon::{self, Reached};
use crate::cli::api::{Answer, Daemon, succeed};
use crate::cli::live::{Live, NotLive};
use crate::cli::{CliError, Exit, Setup};
use crate::clients::{Told, base};
use crate::clock::Clock;
use crate::config::Config;
use crate::model::{KeyDigest, Time};
use crate::runs::RunId;
use http::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Between two looks for a daemon that has gone away.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two tries to be taken in by one.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// After this long somebody who waits for one that ends is told.
const QUIET: Duration = Duration::from_secs(2);
/// How long one that ends may take beyond the drain of its requests: renewals, sign-ins and the store end after that.
const ENDING: Duration = Duration::from_secs(60);
/// How long a daemon that a service manager or a person runs is given to come back, before one is started in its place
/// that would keep it from the store.
const RETURN: Duration = Duration::from_secs(20);

/// What is asked for a program.
pub(super) struct Wishes {
    pub(super) id: RunId,
    /// Its key, where keys are asked for: only its program is told it, and only what it comes to goes to the daemon.
    pub(super) key: String,
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
    keyed: Keyed,
    daemon: Daemon,
    live: Option<Live>,
    /// Whoever runs the daemon runs it again once it is gone.
    kept: bool,
    /// Since when no daemon knows of the program.
    lost: Option<Time>,
    ready: bool,
}

/// Whether the daemon asks for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keyed {
    No,
    Yes,
}

/// Why a program is not known to a daemon.
enum NotKnown {
    /// Because of something that passes: it ends, or has just ended, or has not noticed yet that the last try has.
    Yet(CliError),
    /// Because of something that does not.
    Ever(CliError),
}

/// A name that nobody else has.
pub(super) fn new_id() -> Result<RunId, CliError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CliError::failed("the system has no randomness"))?;
    Ok(RunId::of(bytes))
}

/// A key that nobody else has.
pub(super) fn new_key() -> Result<String, CliError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| CliError::failed("the system has no randomness"))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("rota-run-{digits}"))
}

impl Watch {
    /// Finds a daemon or starts one, and makes the program known to it.
    pub(super) async fn open(setup: &Setup, config: &Config, wishes: Wishes) -> Result<Self, CliError> {
        let began = Clock::System.now();
        let until = began.after(config.timeouts.drain + ENDING);
        let mut told = false;
        loop {
            match Introduced::to_any(setup, config, &wishes).await {
                Ok(introduced) => return introduced.watch(setup, wishes),
                Err(NotKnown::Yet(_)) if Clock::System.now() < until => {
                    if !told && Clock::System.now() >= began.after(QUIET) {
                        told = true;
                        setup.hint("rota: waiting for another rota to end");
                    }
                    Clock::System.sleep_until(Clock::System.now().after(SHORT_PAUSE)).await;
                }
                Err(NotKnown::Yet(error) | NotKnown::Ever(error)) => return Err(error),
            }
        }
    }

    /// Where the program finds rota: its own way, where rota has to tell it from others. And its key, where one is asked
    /// for, which opens that way only and ends with it.
    pub(super) fn told(&self) -> Told<'_> {
        Told { base: &self.base, key: (self.keyed == Keyed::Yes).then_some(self.wishes.key.as_str()) }
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
        let first = self.lost.is_none();
        let lost = *self.lost.get_or_insert_with(|| Clock::System.now());
        Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
        let found = if self.kept && Clock::System.now() < lost.after(RETURN) {
            Daemon::find(setup, config).await
        } else {
            daemon::reach(setup, config).await.map(|reached| Some(reached.daemon))
        };
        let Ok(Some(daemon)) = found else {
            if first && self.kept {
                setup.hint("rota: rota has stopped; waiting for it to come back");
            }
            return;
        };
        if let Ok(live) = introduce(&daemon, &self.wishes).await {
            (self.kept, self.lost) = (!daemon.is_for_commands(), None);
            (self.live, self.daemon) = (Some(live), daemon);
            if self.ready {
                self.ready().await;
            }
        }
    }
}

/// A daemon that has taken a program in.
struct Introduced {
    daemon: Daemon,
    live: Live,
    /// Its answer to `/api/status`.
    status: Value,
    keyed: Keyed,
    /// It was started for this program.
    started: bool,
}

impl Introduced {
    /// To the one that runs, or to one that is started for it.
    async fn to_any(setup: &Setup, config: &Config, wishes: &Wishes) -> Result<Self, NotKnown> {
        // Nobody else is asked than the one behind the socket, and it is not started either.
        let passes = |error: CliError| {
            let passing = matches!(error.exit, Exit::Locked | Exit::NotRunning) && setup.socket.is_none();
            if passing { NotKnown::Yet(error) } else { NotKnown::Ever(error) }
        };
        let Reached { daemon, started } = daemon::reach(setup, config).await.map_err(passes)?;
        let live = match introduce(&daemon, wishes).await {
            Ok(live) => live,
            Err(NotLive::Refused(answer)) if is_passing(&answer) => {
                return Err(NotKnown::Yet(NotLive::Refused(answer).into()));
            }
            Err(error) => return Err(passes(error.into())),
        };
        let status = daemon.ask(Method::GET, "/api/status", None).await.and_then(succeed).map_err(passes)?;
        let keys = daemon.ask(Method::GET, "/api/keys", None).await.and_then(succeed).map_err(passes)?;
        let keyed = if keys["required"] == true { Keyed::Yes } else { Keyed::No };
        Ok(Self { daemon, live, status, keyed, started })
    }

    fn watch(self, setup: &Setup, wishes: Wishes) -> Result<Watch, CliError> {
        let Self { daemon, live, status, keyed, started } = self;
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
            let many = if accounts == 1 { "1 account".to_owned() } else { format!("{accounts} accounts") };
            let strategy = status["strategy"].as_str().unwrap_or_default();
            setup.hint(format_args!(
                "rota: started {proxy} for this command ({many}, {strategy}); `rota service install` keeps it running"
            ));
        }
        let mut base = base(proxy);
        if keyed == Keyed::Yes || wishes.needs_a_way_of_its_own() {
            base.push_str(&wishes.id.prefix());
        }
        let kept = !daemon.is_for_commands();
        Ok(Watch { wishes, base, keyed, daemon, live: Some(live), kept, lost: None, ready: false })
    }
}

/// True where the same question gets another answer soon: it stops, or has not noticed that the last try is over.
fn is_passing(answer: &Answer) -> bool {
    matches!(answer.body["error"]["code"].as_str(), Some("RUN_TAKEN" | "STOPPING"))
}

/// What a key comes to (SHA-256).
fn digest(key: &str) -> KeyDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes()).as_ref());
    KeyDigest::new(bytes)
}

async fn introduce(daemon: &Daemon, wishes: &Wishes) -> Result<Live, NotLive> {
    let millis =
        |span: Option<Duration>| span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let mut body = json!({
        "idleMs": millis(wishes.idle),
        "lifetimeMs": millis(wishes.lifetime),
        "commandMs": millis(wishes.command),
        "keyDigest": digest(&wishes.key).hex(),
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
