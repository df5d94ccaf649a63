use super::event::Event;
use crate::model::Alias;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// A program that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `argv` with the event's JSON on its standard input. Its environment is `env` and what tells of the event;
/// nothing of rota's own.
pub(super) async fn run(
    argv: &[String],
    env: &BTreeMap<&'static str, String>,
    event: &Event,
    json: &str,
) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Ok(());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(env)
        .env("ROTA_EVENT", event.kind.as_str())
        .env("ROTA_ACCOUNT", event.account.as_ref().map_or("", Alias::as_str))
        .env("ROTA_PROVIDER", event.provider.as_str())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
    let group = Group(child.id());
    let ended = tokio::time::timeout(PATIENCE, feed(child, json)).await;
    match ended {
        Ok(Ok(())) => {
            group.forget();
            Ok(())
        }
        Ok(Err(why)) => Err(format!("{program} {why}")),
        Err(_) => Err(format!("{program} took longer than {} s and was ended", PATIENCE.as_secs())),
    }
}

async fn feed(mut child: Child, json: &str) -> Result<(), String> {
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read it may have been told enough by its environment.
        let _ = input.write_all(json.as_bytes()).await;
    }
    let status = child.wait().await.map_err(|error| format!("cannot be waited for: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("ended with {status}")) }
}

/// The program and what it has started; all of it is ended with this, whatever way it ends.
struct Group(Option<u32>);

impl Group {
    /// It has ended well: what it left running is its own affair.
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // There may be nobody left.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}
