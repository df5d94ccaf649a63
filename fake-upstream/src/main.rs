//! `rota-fake-upstream`: the fake as a program. Prints its address as one line
//! of JSON and runs until it is told to stop.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use fake_upstream::{FakeUpstream, Script};

const USAGE: &str = "usage: rota-fake-upstream [--listen ADDR:PORT] [--script FILE.json|FILE.toml]

A fake of the OpenAI, ChatGPT, Anthropic and Gemini APIs, with scripted accounts.
It prints {\"origin\": \"http://ADDR:PORT\"} and runs until SIGINT or SIGTERM.
Its control API is under /__fake/.";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(words) => return usage_error(&words),
    };
    if options.help {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let script = match options.script() {
        Ok(script) => script,
        Err(words) => return usage_error(&words),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(&format!("the runtime does not start: {error}")),
    };
    match runtime.block_on(run(options.listen, script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&format!("{}: {error}", options.listen)),
    }
}

async fn run(listen: SocketAddr, script: Script) -> std::io::Result<()> {
    let fake = FakeUpstream::start_on(listen, script).await?;
    println!("{{\"origin\": \"{}\"}}", fake.origin());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    fake.shutdown().await;
    Ok(())
}

struct Options {
    listen: SocketAddr,
    script: Option<String>,
    help: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options =
            Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script: None, help: false };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--listen" => {
                    let text = value()?;
                    options.listen = text
                        .parse()
                        .map_err(|_| format!("--listen {text:?} is not an address such as 127.0.0.1:0"))?;
                }
                "--script" => options.script = Some(value()?),
                "--help" | "-h" => options.help = true,
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        Ok(options)
    }

    fn script(&self) -> Result<Script, String> {
        let Some(path) = &self.script else {
            return Ok(Script::new());
        };
        let text = std::fs::read_to_string(path).map_err(|error| format!("--script {path:?}: {error}"))?;
        Script::parse(&text).map_err(|error| format!("--script {path:?}: {error}"))
    }
}

fn usage_error(words: &str) -> ExitCode {
    eprintln!("{words}\n\n{USAGE}");
    ExitCode::from(2)
}

fn failure(words: &str) -> ExitCode {
    eprintln!("{words}");
    ExitCode::FAILURE
}
