//! How a command reaches the admin API: over loopback if a daemon runs, else in this process, under the store's lock.
use super::{CliError, Exit, Setup};
use crate::admin::{self, AdminToken, Door};
use crate::app::{self, App, ServerInfo};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Backend, FileBackend, StoreError};
use crate::telemetry::{LogFormat, LogSink};
use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Runtime};
use tower_service::Service;

/// A daemon that does not answer in this time is reported, not waited for.
const PATIENCE: Duration = Duration::from_secs(15);
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

/// One call, wherever the API is.
pub(super) fn call(
    setup: &Setup,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Answer, CliError> {
    let config = Config::load(&setup.sources)?.config;
    runtime()?.block_on(async {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            if let Some(info) = daemon(&config).await? {
                return over_socket(&config, info.admin, method, path, body).await;
            }
            match in_process(setup, method.clone(), path, body.clone()).await {
                // A daemon has started in between: nothing was done, and it can be asked now.
                Err(error) if error.exit == Exit::Locked && tries > 0 => {}
                done => return done,
            }
        }
    })
}

/// One call that only a running daemon can answer.
pub(super) fn ask_daemon(setup: &Setup, path: &str) -> Result<Answer, CliError> {
    let config = Config::load(&setup.sources)?.config;
    runtime()?.block_on(async {
        match daemon(&config).await? {
            Some(info) => over_socket(&config, info.admin, Method::GET, path, None).await,
            None => Err(not_running()),
        }
    })
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

fn runtime() -> Result<Runtime, CliError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| CliError::io("the runtime could not be started", &error))
}

/// The answer's body, or its error as the command's.
pub(super) fn succeed(answer: Answer) -> Result<Value, CliError> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let error = &answer.body["error"];
    let message = error["message"].as_str().unwrap_or("the daemon answered with an error and no message");
    let code = error["code"].as_str().unwrap_or("UNKNOWN");
    Err(CliError::failed(format!("{message} [{code}]")))
}

fn not_running() -> CliError {
    CliError { exit: Exit::NotRunning, message: "rota is not running; start it with `rota serve`".to_owned() }
}

async fn over_socket(
    config: &Config,
    admin: SocketAddr,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Answer, CliError> {
    let token = AdminToken::load(&app::token_file(&config.state_dir))
        .map_err(|error| CliError::io("the admin token could not be read", &error))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, admin.to_string())
        .header(AUTHORIZATION, token.header())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(written(body)))
        .map_err(|error| CliError::failed(format!("the request could not be built: {error}")))?;
    let exchange = async {
        let stream = TcpStream::connect(admin).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let driver = tokio::spawn(connection);
        let reply = sender.send_request(request).await.map_err(std::io::Error::other)?;
        let (head, body) = reply.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(std::io::Error::other)?.to_bytes();
        driver.abort();
        Ok::<_, std::io::Error>(Answer { status: head.status, body: read(&body) })
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(CliError::io(format!("the daemon at {admin} did not answer"), &error)),
        Err(_) => Err(CliError::failed(format!(
            "the daemon at {admin} did not answer within {} s; nothing was changed by this command as far as it knows",
            PATIENCE.as_secs()
        ))),
    }
}

async fn in_process(
    setup: &Setup,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Answer, CliError> {
    let log = LogSink::start(LogFormat::Text, std::io::stderr())?;
    let (app, writer) = App::open(&setup.sources, log, &Handle::current()).await?;
    // Opening may have put a damaged record right: nobody will be told again.
    for finding in app.store.findings() {
        eprintln!("warning: {finding}");
    }
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(written(body)))
        .map_err(|error| CliError::failed(format!("the request could not be built: {error}")))?;
    let mut router = admin::router(Arc::clone(&app), Door::Inside);
    let Ok(reply) = router.call(request).await;
    let (head, body) = reply.into_parts();
    let body = Limited::new(body, ANSWER)
        .collect()
        .await
        .map_err(|error| CliError::failed(format!("the answer could not be read: {error}")))?
        .to_bytes();
    writer.stop().await?;
    Ok(Answer { status: head.status, body: read(&body) })
}

fn written(body: Option<Value>) -> Bytes {
    body.map_or_else(Bytes::new, |body| body.to_string().into())
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or(Value::Null)
}
