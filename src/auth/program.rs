//! Programs of the user's that print a token or a parameter: run without a shell, with hardly an environment, for a
//! bounded time, and believed only where they end well.
use crate::config::Variables;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// What a program may print, in bytes.
const MOST_PRINTED: u64 = 64 * 1024;
/// Programs that run at once: a thousand accounts that want a token together are no storm.
const AT_ONCE: usize = 2;
/// What a program finds in its environment. Whatever else it needs is named on its command line, as with `env`.
const ENVIRONMENT: [&str; 3] = ["HOME", "LANG", "PATH"];

/// Runs programs, few at a time.
#[derive(Debug)]
pub(super) struct Programs {
    variables: Variables,
    places: Semaphore,
}

impl Programs {
    pub(super) fn new(variables: Variables) -> Self {
        Self { variables, places: Semaphore::new(AT_ONCE) }
    }

    /// What rota's own environment held when it started.
    pub(super) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// What `argv` prints, without blanks around it, within `patience`.
    ///
    /// # Errors
    /// A sentence that names the program and its end, and neither its arguments nor anything it printed.
    pub(super) async fn print(
        &self,
        argv: &[String],
        patience: Duration,
    ) -> Result<Zeroizing<String>, String> {
        let [name, arguments @ ..] = argv else {
            return Err("the preset names no program".to_owned());
        };
        // The semaphore is never closed.
        let _place = self.places.acquire().await.ok();
        let why = |what: String| format!("the program {name:?} {what}");
        let started = self.command(name, arguments).spawn();
        let mut running = Running(started.map_err(|error| why(format!("could not be started: {error}")))?);
        match tokio::time::timeout(patience, running.end()).await {
            Ok(printed) => printed.map_err(why),
            Err(_) => Err(why(format!("did not end within {} s", patience.as_secs()))),
        }
    }

    fn command(&self, name: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(name);
        command.args(arguments).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.process_group(0).kill_on_drop(true);
        for name in ENVIRONMENT {
            if let Some(value) = self.variables.get(name) {
                command.env(name, value);
            }
        }
        command
    }
}

/// A program that runs. When this goes before it has ended, it is killed with whatever it started.
struct Running(Child);

impl Running {
    async fn end(&mut self) -> Result<Zeroizing<String>, String> {
        let mut printed = Zeroizing::new(Vec::new());
        if let Some(out) = self.0.stdout.take() {
            let read = out.take(MOST_PRINTED + 1).read_to_end(&mut printed).await;
            read.map_err(|error| format!("could not be read: {error}"))?;
        }
        if printed.len() as u64 > MOST_PRINTED {
            return Err(format!("printed more than {MOST_PRINTED} bytes"));
        }
        let status = self.0.wait().await.map_err(|error| format!("could not be waited for: {error}"))?;
        if !status.success() {
            return Err(ended(status));
        }
        let text = std::str::from_utf8(&printed).map_err(|_| "printed what is no text".to_owned())?.trim();
        match text.is_empty() {
            true => Err("printed nothing".to_owned()),
            false => Ok(Zeroizing::new(text.to_owned())),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until it has been waited for its number is nobody else's.
        let group = self.0.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}; run it by hand to see why"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "did not end well".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[tokio::test]
    async fn what_a_program_prints_is_taken_without_blanks_around_it() {
        let table = [
            ("printf ' a b \\n\\n'", Ok("a b")),
            ("printf ''", Err("printed nothing")),
            ("printf ' \\n'", Err("printed nothing")),
            ("printf canary; exit 3", Err("ended with status 3; run it by hand to see why")),
            ("printf canary; kill -9 $$", Err("was ended by signal 9")),
            ("printf 'canary\\377'", Err("printed what is no text")),
            ("head -c 65537 /dev/zero", Err("printed more than 65536 bytes")),
            ("cat", Err("printed nothing")),
            ("echo canary >&2; printf ok", Ok("ok")),
        ];
        for (script, expected) in table {
            let printed = programs().print(&sh(script), MINUTE).await;
            let expected = match expected {
                Ok(text) => Ok(Zeroizing::new(text.to_owned())),
                Err(why) => Err(format!("the program \"sh\" {why}")),
            };
            assert_eq!(printed, expected, "{script}");
        }
        let missing = programs().print(&["/nowhere/print".to_owned(), "canary".to_owned()], MINUTE).await;
        let why = missing.unwrap_err();
        assert!(why.starts_with("the program \"/nowhere/print\" could not be started: "), "{why}");
        assert!(!why.contains("canary"), "{why}");
    }

    /// OBS-3
    #[tokio::test]
    async fn a_program_finds_three_variables_and_no_secret() {
        let printed = programs()
            .print(&sh("env | grep -v ^PWD= | grep -v ^_= | grep -v ^SHLVL= | cut -d= -f1 | sort"), MINUTE)
            .await;
        assert_eq!(printed.unwrap().as_str(), "HOME\nPATH");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("alive");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        // The program's child holds the pipe open for as long as it lives.
        let script = format!("sleep 1000 > {} & wait", fifo.display());
        let reading = tokio::task::spawn_blocking(move || std::fs::read(fifo));
        let why = programs().print(&sh(&script), Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(why, "the program \"sh\" did not end within 0 s");
        assert_eq!(reading.await.unwrap().unwrap(), b"", "its end was seen");
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    fn programs() -> Programs {
        let path = ("PATH", "/usr/local/bin:/usr/bin:/bin");
        let env = [path, ("HOME", "/"), ("CLIENT_SECRET", "canary"), ("LANG", "")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Programs::new(Variables::of(&Sources { env: env.into(), ..Sources::default() }))
    }
}
