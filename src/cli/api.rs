//! How a command reaches the admin API, once or many times: over loopback if a daemon runs, else in this process, under
//! the store's lock.
use super::{CliError, Exit, Loudness, Setup};
use crate::admin::{self, ACTOR, AdminToken, Door};
use crate::app::{self, App, ServerInfo, Writer};
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::model::Actor;
use crate::store::{Backend, FileBackend, StoreError};
use crate::telemetry::{LogFormat, LogSink};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tower_service::Service;

/// A daemon that does not answer in this time is reported, not waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// The same where it may have to ask a program or a token endpoint first.
const LONG_PATIENCE: Duration = Duration::from_secs(150);
/// How long an owner of the store that tells no address is waited for.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at its lock.
const OWNER_PAUSE: Duration = Duration::from_millis(20);
/// A daemon may start between looking for one and doing without, but hardly ever twice.
const TRIES: u32 = 3;
/// The largest answer read.
const ANSWER: usize = 64 * 1024 * 1024;

/// An answer of the admin API.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its body; null where there is none.
    pub(super) body: Value,
}

/// Who answers a command's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answerer {
    /// A running daemon.
    Daemon,
    /// This process.
    Inside,
}

/// The admin API for as long as one command has something to ask it.
pub(super) enum Link {
    /// A running daemon's.
    Daemon(Daemon),
    /// This process's own: it holds the store's lock until the link is closed.
    Inside {
        /// Everything behind it.
        app: Arc<App>,
        /// Keeps what is changed.
        writer: Writer,
        /// The endpoints.
        router: Router,
    },
}

/// A running daemon, as a command reaches it.
pub(super) struct Daemon {
    reach: Reach,
    token: AdminToken,
    for_commands: bool,
    loudness: Loudness,
}

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// On loopback.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(admin) => admin.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// One call, wherever the API is.
pub(super) fn call(
    setup: &Setup,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Answer, CliError> {
    linked(setup, async |link| link.call(method, path, body).await)
}

/// As many calls as `work` makes, all to the same App. What they start goes on in this process between two of them, if
/// it is this process that answers.
pub(super) fn linked<T>(
    setup: &Setup,
    work: impl AsyncFnOnce(&mut Link) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let config = Config::load(&setup.sources)?.config;
    runtime()?.block_on(async {
        let mut link = Link::open(setup, config).await?;
        let done = work(&mut link).await;
        let closed = link.close().await;
        let done = done?;
        closed.map(|()| done)
    })
}

impl Link {
    async fn open(setup: &Setup, config: Config) -> Result<Self, CliError> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            if let Some(daemon) = Daemon::find(setup, &config).await? {
                return Ok(Self::Daemon(daemon));
            }
            match Self::inside(setup).await {
                // A daemon has started in between: nothing was done, and it can be asked now.
                Err(error) if error.exit == Exit::Locked && tries > 0 => {}
                done => return done,
            }
        }
    }

    async fn inside(setup: &Setup) -> Result<Self, CliError> {
        let log = LogSink::start(LogFormat::Text, std::io::stderr())?;
        let (app, writer) = App::open(&setup.sources, log, &Handle::current()).await?;
        // Opening may have put a damaged record right: nobody will be told again.
        for finding in app.store.findings() {
            eprintln!("warning: {finding}");
        }
        let router = admin::router(Arc::clone(&app), Door::Inside);
        Ok(Self::Inside { app, writer, router })
    }

    /// Who answers.
    pub(super) fn answerer(&self) -> Answerer {
        match self {
            Self::Daemon(_) => Answerer::Daemon,
            Self::Inside { .. } => Answerer::Inside,
        }
    }

    /// One call.
    pub(super) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, CliError> {
        match self {
            Self::Daemon(daemon) => daemon.ask(method, path, body).await,
            Self::Inside { router, .. } => in_process(router, method, path, body).await,
        }
    }

    /// Ends what this process runs; what it has changed is on disk then.
    async fn close(self) -> Result<(), CliError> {
        let Self::Inside { app, writer, router } = self else {
            return Ok(());
        };
        drop(router);
        let patience = app.config.load().timeouts.token;
        // None is left but one whose command was told twice to end.
        let _ = tokio::time::timeout(patience, app.logins.stop()).await;
        // A renewal that takes longer has its intent on disk, for the next start to find.
        let _ = tokio::time::timeout(patience, app.refresher.idle()).await;
        Ok(writer.stop().await?)
    }
}

/// One call that only a running daemon can answer.
pub(super) fn ask_daemon(setup: &Setup, method: Method, path: &str) -> Result<Answer, CliError> {
    ask_reached(setup, method, path).map(|(answer, _)| answer)
}

/// The same, and where the daemon was found.
pub(super) fn ask_reached(setup: &Setup, method: Method, path: &str) -> Result<(Answer, Reach), CliError> {
    let config = Config::load(&setup.sources)?.config;
    runtime()?.block_on(async {
        let daemon = Daemon::find(setup, &config).await?.ok_or_else(not_running)?;
        Ok((daemon.ask(method, path, None).await?, daemon.reach))
    })
}

impl Daemon {
    /// The one behind the socket that was asked for, else the one that owns the store, if there is one.
    pub(super) async fn find(setup: &Setup, config: &Config) -> Result<Option<Self>, CliError> {
        let unread = |error| CliError::io("the admin token could not be read", &error);
        if let Some(path) = &setup.socket {
            let beside = app::token_file(path.parent().unwrap_or(Path::new("/")));
            let file = if beside.exists() { beside } else { app::token_file(&config.state_dir) };
            let token = AdminToken::load(&file).map_err(unread)?;
            return Ok(Some(Self {
                reach: Reach::Unix(path.clone()),
                token,
                for_commands: false,
                loudness: setup.loudness,
            }));
        }
        let Some(info) = daemon(config).await? else {
            return Ok(None);
        };
        let token = AdminToken::load(&app::token_file(&config.state_dir)).map_err(unread)?;
        let (reach, for_commands) = (Reach::Tcp(info.admin), info.for_commands);
        Ok(Some(Self { reach, token, for_commands, loudness: setup.loudness }))
    }

    /// True where a `rota run` has started it, and nobody starts it again.
    pub(super) fn is_for_commands(&self) -> bool {
        self.for_commands
    }

    /// One call.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer, CliError> {
        let patience = if method == Method::POST { LONG_PATIENCE } else { PATIENCE };
        let asked = async {
            let (reply, driver) = self.begin(method, path, body).await?;
            let answer = whole(reply).await;
            driver.abort();
            answer.map_err(|error| self.silent(&error))
        };
        match tokio::time::timeout(patience, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(CliError::failed(format!(
                "the daemon at {} did not answer within {} s; nothing was changed by this command as far as it knows",
                self.reach,
                patience.as_secs()
            ))),
        }
    }

    /// The beginning of a reply, and what moves the rest of it.
    pub(super) async fn begin(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(Response<Incoming>, JoinHandle<()>), CliError> {
        let host = match &self.reach {
            Reach::Tcp(admin) => admin.to_string(),
            Reach::Unix(_) => "localhost".to_owned(),
        };
        let asked = format!("{method} {path}");
        let watch = Stopwatch::start();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(AUTHORIZATION, self.token.header())
            .header(ACTOR, Actor::Cli.as_str())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(written(body)))
            .map_err(|error| CliError::failed(format!("the request could not be built: {error}")))?;
        let sent = async {
            match &self.reach {
                Reach::Tcp(admin) => send(TcpStream::connect(admin).await?, request).await,
                Reach::Unix(path) => send(UnixStream::connect(path).await?, request).await,
            }
        };
        let begun = sent.await.map_err(|error| self.silent(&error));
        if self.loudness == Loudness::Verbose {
            let status = begun
                .as_ref()
                .map_or_else(|_| "no answer".to_owned(), |(reply, _)| reply.status().as_u16().to_string());
            eprintln!("rota: {asked} of {}: {status}, {} ms", self.reach, watch.elapsed().as_millis());
        }
        begun
    }

    /// It went away, or is going.
    fn silent(&self, error: &io::Error) -> CliError {
        let Self { reach, .. } = self;
        CliError {
            exit: Exit::NotRunning,
            ..CliError::io(format!("the daemon at {reach} did not answer"), error)
        }
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> io::Result<(Response<Incoming>, JoinHandle<()>)> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let driver = tokio::spawn(async move {
        // Whoever reads the reply is told how it ended.
        let _ = connection.await;
    });
    let reply = sender.send_request(request).await.map_err(io::Error::other)?;
    Ok((reply, driver))
}

/// The rest of a reply.
pub(super) async fn whole(reply: Response<Incoming>) -> io::Result<Answer> {
    let (head, body) = reply.into_parts();
    let body = Limited::new(body, ANSWER).collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Answer { status: head.status, body: read(&body) })
}

/// The daemon that owns the store, by the store's lock: what its file says counts only while that very process holds it.
/// An owner without such a file is another command, or a daemon that will listen in a moment.
async fn daemon(config: &Config) -> Result<Option<ServerInfo>, CliError> {
    if !config.state_dir.exists() {
        return Ok(None);
    }
    let backend = FileBackend::create(&config.state_dir)?;
    let until = Clock::System.now().after(OWNER_PATIENCE);
    loop {
        let (pid, locked) = match backend.own() {
            Ok(_guard) => return Ok(None),
            Err(StoreError::Locked { pid, dir, detail }) => (pid, StoreError::Locked { pid, dir, detail }),
            Err(error) => return Err(error.into()),
        };
        match ServerInfo::read(&config.state_dir) {
            Some(info) if Some(info.pid) == pid => return Ok(Some(info)),
            Some(_) | None if Clock::System.now() < until => {
                Clock::System.sleep_until(Clock::System.now().after(OWNER_PAUSE)).await;
            }
            Some(_) | None => return Err(locked.into()),
        }
    }
}

pub(super) fn runtime() -> Result<Runtime, CliError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| CliError::io("the runtime could not be started", &error))
}

/// The answer's body, or its error as the command's.
pub(super) fn succeed(answer: Answer) -> Result<Value, CliError> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let error = &answer.body["error"];
    let code = error["code"].as_str().unwrap_or("UNKNOWN");
    if let Some((first, hint)) = mistyped(&error["details"], &std::env::args().collect::<Vec<_>>()) {
        return Err(CliError::failed(format!("{first} [{code}]\n  {hint}")));
    }
    let message = error["message"].as_str().unwrap_or("the daemon answered with an error and no message");
    Err(CliError::failed(format!("{message} [{code}]")))
}

/// An alias that nobody has, and the command as it was meant: `words` with the nearest alias there is, where they can be
/// typed as they stand; of a program's own words nothing is said.
fn mistyped(details: &Value, words: &[String]) -> Option<(String, String)> {
    let (alias, near) = (details["alias"].as_str()?, details["didYouMean"].as_str()?);
    let known: Vec<&str> = details["known"].as_array()?.iter().filter_map(Value::as_str).collect();
    let is_plain = |word: &String| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=./:@,".contains(&byte))
    };
    let own = words.iter().position(|word| word == "--").unwrap_or(words.len());
    // What stands behind `--` is another program's, and may hold its secrets.
    let words = words.get(1..own).filter(|words| words.iter().all(is_plain)).unwrap_or_default();
    let meant = words.iter().map(|word| if word == alias { near } else { word });
    let meant = if words.iter().any(|word| word == alias) {
        std::iter::once("rota").chain(meant).collect::<Vec<_>>().join(" ")
    } else {
        near.to_owned()
    };
    let first = format!("there is no account \"{alias}\"");
    Some((first, format!("did you mean: {meant}        (accounts: {})", known.join(", "))))
}

pub(super) fn not_running() -> CliError {
    CliError { exit: Exit::NotRunning, message: "rota is not running; start it with `rota serve`".to_owned() }
}

async fn in_process(
    router: &mut Router,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Answer, CliError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(ACTOR, Actor::Cli.as_str())
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(written(body)))
        .map_err(|error| CliError::failed(format!("the request could not be built: {error}")))?;
    let Ok(reply) = router.call(request).await;
    let (head, body) = reply.into_parts();
    let body = Limited::new(body, ANSWER)
        .collect()
        .await
        .map_err(|error| CliError::failed(format!("the answer could not be read: {error}")))?
        .to_bytes();
    Ok(Answer { status: head.status, body: read(&body) })
}

fn written(body: Option<Value>) -> Bytes {
    body.map_or_else(Bytes::new, |body| body.to_string().into())
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}
