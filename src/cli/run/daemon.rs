//! The daemon that a program goes through: the one that runs, or one that is started for it and ends by itself once nobody
//! needs it any more.
use crate::app::ServerInfo;
use crate::cli::api::Daemon;
use crate::cli::{CliError, Exit, Setup, kept};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Backend, FileBackend};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a daemon may take to listen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a service manager may take to start one; what listens there is no service manager then.
const WAKING: Duration = Duration::from_secs(10);
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
    if let Some(daemon) = woken(setup, config).await? {
        return Ok(Reached { daemon, started: false });
    }
    let log = Log::open(config)?;
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
            let told = log.last_words();
            let message = format!("rota could not be started for this command:\n{told}");
            // Another program's was faster, or the last one is not gone yet.
            if status.code() == Some(i32::from(Exit::Locked.code())) {
                return match Daemon::find(setup, config).await? {
                    Some(daemon) => Ok(Reached { daemon, started: false }),
                    None => Err(CliError { exit: Exit::Locked, message }),
                };
            }
            return Err(CliError::failed(message));
        }
        if Clock::System.now() >= until {
            let seconds = PATIENCE.as_secs();
            return Err(CliError::failed(format!(
                "rota was started for this command and does not listen after {seconds} s; see {}",
                log.path.display()
            )));
        }
        Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
    }
}

/// Where somebody listens although no daemon runs it is a service manager (`rota.socket`), which starts one for whoever
/// connects; one of our own could not listen there.
async fn woken(setup: &Setup, config: &Config) -> Result<Option<Daemon>, CliError> {
    let address = config.listen.first().and_then(|listen| listen.addresses().first().copied());
    let Some(address) = address.filter(|address| address.port() != 0) else {
        return Ok(None);
    };
    let Ok(_knock) = TcpStream::connect(address).await else {
        return Ok(None);
    };
    let until = Clock::System.now().after(WAKING);
    while Clock::System.now() < until {
        if let Some(daemon) = Daemon::find(setup, config).await? {
            return Ok(Some(daemon));
        }
        Clock::System.sleep_until(Clock::System.now().after(PAUSE)).await;
    }
    Ok(None)
}

/// Where it writes what it has to say. It outlives this command, so it cannot write to its terminal.
struct Log {
    path: PathBuf,
    file: File,
    /// What was there before.
    from: u64,
}

impl Log {
    /// That of the last daemon is dropped while no daemon owns the store: none writes there then.
    fn open(config: &Config) -> Result<Self, CliError> {
        let backend = FileBackend::create(&config.state_dir)?;
        let path = config.state_dir.join(kept::LOG);
        let unwritten = |error: io::Error| CliError::io(path.display(), &error);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(unwritten)?;
        if let Ok(_owner) = backend.own() {
            file.set_len(0).map_err(unwritten)?;
        }
        let from = file.metadata().map_err(unwritten)?.len();
        Ok(Self { path, file, from })
    }

    fn last_words(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.path)
            && file.seek(SeekFrom::Start(self.from)).is_ok()
        {
            let _ = file.take(SHOWN).read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text);
        let lines =
            text.trim().lines().map(|line| format!("  {}", line.strip_prefix("error: ").unwrap_or(line)));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// In a group of its own, so that Ctrl-C is the program's.
fn start(setup: &Setup, log: &Log) -> Result<Child, CliError> {
    let program =
        std::env::current_exe().map_err(|error| CliError::io("rota does not find itself", &error))?;
    let written = log.file.try_clone().map_err(|error| CliError::io(log.path.display(), &error))?;
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
