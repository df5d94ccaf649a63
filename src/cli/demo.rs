//! `rota demo`: a fake upstream, rota in front of it with three accounts, and requests that show a failover. The code
//! that serves them is the code of `rota serve`, over real sockets; nothing is kept and nothing leaves this machine.
use super::{CliError, Exit, render, why};
use crate::app::Running;
use crate::config::{Sources, presets};
use crate::engine::{Command, NewAccount};
use crate::model::{
    Alias, Credential, CredentialKind, Dialect, Identity, Provider, ProviderId, Secret, Time, Weight,
};
use crate::telemetry::{LogFormat, LogSink};
use clap::Args;
use fake_upstream::{Account, FakeUpstream, Fault, Script};
use http::Request;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// What the demo's accounts are called.
const ACCOUNTS: [&str; 3] = ["first", "second", "third"];
/// How many requests the first account's quota allows; the next one that comes to it meets a 429.
const QUOTA: u64 = 1;
/// Requests: one a turn, and then the first account's turn again, which is spent.
const REQUESTS: usize = 4;
/// What the fake model says.
const ANSWER: &str = "hello from an account you did not have to choose";

#[derive(Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) fn run(self, out: &mut dyn Write) -> Result<Exit, CliError> {
        let place = Scratch::make()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let shown = runtime.block_on(show(&place, out));
        runtime.shutdown_background();
        shown.map(|()| Exit::Done)
    }
}

async fn show(place: &Scratch, out: &mut dyn Write) -> Result<(), CliError> {
    let script = ACCOUNTS.iter().fold(Script::new().text(ANSWER).deltas(4), |script, name| {
        script.account(Account::new(*name).api_key(key(name)))
    });
    let fake = FakeUpstream::start(script).await?;
    fake.set_fault(Fault::named("insufficient_quota").account(ACCOUNTS[0]).skip(QUOTA));
    let provider = preset()?;
    let sources = place.sources(&provider.id, &fake.origin())?;
    let log = LogSink::start(LogFormat::Json, std::io::sink())?;
    let running = Running::start(&sources, log, &Handle::current()).await?;
    for name in ACCOUNTS {
        running.app.state.commit(account(name, &provider, running.app.clock.now())?).await.map_err(
            |error| CliError::failed(format!("the demo's account {name} could not be added: {error}")),
        )?;
    }
    let proxy =
        running.info().map(|info| info.proxy).ok_or_else(|| CliError::failed("rota listens nowhere"))?;
    writeln!(out, "A fake upstream answers at {}; it knows three accounts.", fake.origin())?;
    writeln!(out, "rota listens at http://{proxy}; its clients need no credential.")?;
    writeln!(
        out,
        "The quota of \"{}\" is {QUOTA} request. Four streamed requests go through:\n",
        ACCOUNTS[0]
    )?;
    for number in 1..=REQUESTS {
        let said = ask(proxy, &provider).await?;
        writeln!(out, "{number}. {said}")?;
        let latest = running.app.telemetry.decisions().latest(1);
        for decision in latest {
            let decision = serde_json::to_value(&*decision).unwrap_or_default();
            why::told(&decision, render::now(), out)?;
        }
        writeln!(out)?;
    }
    let seen: Vec<String> = fake.requests().iter().filter_map(|request| request.account.clone()).collect();
    writeln!(out, "The upstream saw, in this order: {}", seen.join(", "))?;
    writeln!(
        out,
        "Request {REQUESTS} met a 429 at \"{}\" and was served by the next account: the client saw one answer.",
        ACCOUNTS[0]
    )?;
    running.stop(std::future::ready(())).await?;
    fake.shutdown().await;
    if seen.len() == REQUESTS + 1 {
        Ok(())
    } else {
        Err(CliError::failed("the demo did not go as it should have"))
    }
}

/// The first embedded preset that takes keys and speaks the responses dialect.
fn preset() -> Result<Provider, CliError> {
    let presets = presets::load(&[]).map_err(|error| CliError::failed(error.to_string()))?;
    let fits = |preset: &Provider| {
        !preset.subscription
            && preset.dialect == Dialect::Responses
            && preset.inject.contains_key(&CredentialKind::ApiKey)
    };
    presets.into_iter().find(fits).ok_or_else(|| CliError::failed("no preset fits the demo"))
}

fn account(name: &str, provider: &Provider, now: Time) -> Result<Command, CliError> {
    let alias = Alias::try_from(name).map_err(|bad| CliError::failed(bad.to_string()))?;
    let credential = Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new(key(name)),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: now,
        expires: None,
    };
    Ok(Command::AccountAdded(Box::new(NewAccount {
        alias,
        provider: provider.id.clone(),
        credential,
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: String::new(),
    })))
}

fn key(name: &str) -> String {
    format!("sk-demo-{name}")
}

/// One streamed request without a credential; the text of its answer as it came.
async fn ask(proxy: SocketAddr, provider: &Provider) -> Result<String, CliError> {
    let body = json!({"model": "demo", "stream": true, "input": "say hello"}).to_string();
    let request = Request::post(format!("/{}/v1/responses", provider.id))
        .header(HOST, proxy.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| CliError::failed(format!("the request could not be built: {error}")))?;
    let stream = TcpStream::connect(proxy).await?;
    let broken = |error: hyper::Error| CliError::failed(format!("rota did not answer: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let mut body = sender.send_request(request).await.map_err(broken)?.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            text.push_str(&String::from_utf8_lossy(&data));
        }
    }
    driver.abort();
    Ok(said(&text))
}

/// The deltas of the stream's events, joined.
fn said(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let deltas = events.filter_map(|data| {
        let event: serde_json::Value = serde_json::from_str(data).ok()?;
        let is_text = event["type"] == "response.output_text.delta";
        is_text.then(|| event["delta"].as_str().map(str::to_owned)).flatten()
    });
    deltas.collect()
}

/// A directory of the demo's own, gone when the demo is.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("rota-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// A configuration that has nothing to do with the user's.
    fn sources(&self, provider: &ProviderId, origin: &str) -> std::io::Result<Sources> {
        let pairs = [
            ("ROTA_CONFIG", self.0.join("rota.toml").display().to_string()),
            ("ROTA_STATE_DIR", self.0.join("state").display().to_string()),
            ("ROTA_LISTEN", "127.0.0.1:0".to_owned()),
            ("ROTA_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ];
        let env: BTreeMap<String, String> =
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        std::fs::write(self.0.join("rota.toml"), format!("[providers.{provider}]\norigin = \"{origin}\"\n"))?;
        Ok(Sources { env, ..Sources::default() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
