//! The daemon that a program goes through: the one that runs, or one that is started for it and ends by itself once nobody
//! needs it any more.
use crate::app::ServerInfo;
use crate::cli::api::Daemon;
use crate::cli::{CliError, Exit, Setup};
use crate::clock::Clock;
use crate::config::Config;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// How long a daemon may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(20);
/// What is shown of its log where it does not come up.
const SHOWN: u64 = 4096;

/// A daemon that listens.
pub(super) struct Reached {
    pub(super) daemon: Daemon,
    /// It was started for this program.
    pub(super) started: bool,
}

/// See the module.
pub(super) async fn reach(setup: &Setup, config: &Config) -> Result<Reached, CliError> {
    if let Some(daemon) = Daemon::find(setup, config).await? {
        return Ok(Reached { daemon, started: false });
    }
    let log = log_file(config)?;
    let mut child = start(setup, &log)?;
    let until = Clock::System.now().after(PATIENCE);
    loop {
        let info = ServerInfo::read(&config.state_dir).filter(|info| Some(info.pid) == child.id());
        if info.is_some()
            && let Some(daemon) = Daemon::find(setup, config).await?
        {
            return Ok(Reached { daemon, started: true });
        }
        if let Some(status) = child.try_wait()? {
            // Another program's was faster.
            if status.code() == Some(i32::from(Exit::Locked.code()))
                && let Some(daemon) = Daemon::find(setup, config).await?
            {
                return Ok(Reached { daemon, started: false });
            }
            let told = last_words(&log);
            return Err(CliError::failed(format!("rota could not be started for this command:\n{told}")));
        }
        if Clock::System.now() >= until {
            let seconds = PATIENCE.as_secs();
            return Err(CliError::failed(format!(
                "rota was started for this command and does not listen after {seconds} s; see {}",
                log.display()
            )));
        }
        Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
    }
}

/// Where it writes what it has to say. It outlives this command, so it cannot write to its terminal.
fn log_file(config: &Config) -> Result<PathBuf, CliError> {
    let made = crate::store::FileBackend::create(&config.state_dir);
    made?;
    Ok(config.state_dir.join("run.log"))
}

/// In a group of its own, so that Ctrl-C is the program's.
fn start(setup: &Setup, log: &Path) -> Result<Child, CliError> {
    let program =
        std::env::current_exe().map_err(|error| CliError::io("rota does not find itself", &error))?;
    let written = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(log);
    let written = written.map_err(|error| CliError::io(log.display(), &error))?;
    let mut command = Command::new(program);
    command.args(["serve", "--for-commands"]);
    if let Some(file) = &setup.sources.file {
        command.arg("--config").arg(file);
    }
    if let Some(dir) = setup.sources.state_dir_flag() {
        command.arg("--state-dir").arg(dir);
    }
    // Its secrets were taken out of this process's own environment.
    command.env_clear().envs(&setup.sources.env);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(written).process_group(0);
    command.spawn().map_err(|error| CliError::io("rota could not be started for this command", &error))
}

fn last_words(log: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(log) {
        let _ = file.take(SHOWN).read_to_end(&mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let lines = text.trim().lines().map(|line| format!("  {}", line.strip_prefix("error: ").unwrap_or(line)));
    lines.collect::<Vec<_>>().join("\n")
}
