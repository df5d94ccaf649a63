//! `rota service`: has the machine's service manager run `rota serve`, now and at every start.
mod unit;

use super::address::is_alive;
use super::confirm::confirm;
use super::render::shown_path;
use super::{CliError, Exit, Setup};
use crate::app::ServerInfo;
use crate::config::Config;
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use unit::{Manager, Places, Scope, Served, Unit, UnitFile};

/// Where the machine's own service keeps its state (`StateDirectory=`).
const SYSTEM_STATE: &str = "/var/lib/rota";

#[derive(Args)]
pub(super) struct Service {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the service's file, start it, and have it started at every sign-in
    Install {
        #[command(flatten)]
        whose: Whose,
        /// Show what would be written and run, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show how the service is
    Status {
        #[command(flatten)]
        whose: Whose,
    },
    /// Stop it, and remove its file
    Uninstall {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        go: Go,
    },
}

#[derive(Args)]
struct Whose {
    /// The machine's own service, with its state in /var/lib/rota; needs root
    #[arg(long)]
    system: bool,
}

#[derive(Args)]
struct Go {
    /// Show what would be removed and run, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Whose {
    fn scope(&self) -> Scope {
        if self.system { Scope::System } else { Scope::User }
    }
}

impl Service {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        match self.command {
            Command::Install { whose, dry_run: true } => {
                let unit = unit(setup, whose.scope())?;
                let commands = unit.commands(other(setup, whose.scope())?);
                shown(setup, &unit, commands, out)
            }
            Command::Install { whose, dry_run: false } => install(setup, whose.scope(), out),
            Command::Status { whose } => status(setup, whose.scope()),
            Command::Uninstall { whose, go } => uninstall(setup, whose.scope(), &go, out),
        }
    }
}

fn install(setup: &Setup, scope: Scope, out: &mut dyn Write) -> Result<Exit, CliError> {
    let unit = unit(setup, scope)?;
    let other = other(setup, scope)?;
    let commands = unit.commands(other);
    for UnitFile { path, text } in unit.files() {
        if let Some(dir) = path.parent() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir);
            made.map_err(|error| CliError::io(format!("{} cannot be made", dir.display()), &error))?;
        }
        std::fs::write(path, text).map_err(|error| {
            let rights = if scope == Scope::System { "; the machine's own service needs root" } else { "" };
            CliError::io(format!("{} cannot be written{rights}", path.display()), &error)
        })?;
    }
    let paths = paths(setup, &unit);
    run_all(commands).map_err(|error| {
        CliError::failed(format!("{paths} written, but {error}\n  to start it by hand: {}", joined(commands)))
    })?;
    if setup.json {
        writeln!(out, "{}", json!({"file": unit.service.path, "socket": socket(&unit), "installed": true}))?;
        return Ok(Exit::Done);
    }
    match other {
        None => writeln!(out, "✔ {paths} written, started, enabled at every start")?,
        Some(pid) => {
            writeln!(out, "✔ {paths} written, enabled at every start")?;
            writeln!(out, "  Another rota runs (process {pid}); the service takes over once that one ends.")?;
        }
    }
    if scope == Scope::System {
        writeln!(
            out,
            "  It runs as a user of its own: name those who may use it in `allowed_uids` of /etc/rota/rota.toml."
        )?;
    }
    writeln!(out, "  See: rota service status, rota status. Undo: rota service uninstall")?;
    Ok(Exit::Done)
}

/// The rota that owns the store of the service to be, if one runs: that of a `rota run`, or one started by hand.
fn other(setup: &Setup, scope: Scope) -> Result<Option<u32>, CliError> {
    if scope == Scope::System {
        return Ok(None);
    }
    let config = Config::load(&setup.sources)?.config;
    Ok(ServerInfo::read(&config.state_dir).map(|info| info.pid).filter(|pid| is_alive(*pid)))
}

fn uninstall(setup: &Setup, scope: Scope, go: &Go, out: &mut dyn Write) -> Result<Exit, CliError> {
    let unit = unit(setup, scope)?;
    if !unit.service.path.exists() {
        return Err(CliError::failed(format!(
            "no service is installed: {} does not exist; `rota service install` makes one",
            unit.service.path.display()
        )));
    }
    let commands: Vec<Vec<String>> = unit.uninstall.iter().chain(&unit.gone).cloned().collect();
    if go.dry_run {
        return removed(setup, &unit, &commands, out);
    }
    if !go.yes && !confirm(&format!("Stop rota and remove {}?", unit.service.path.display()))? {
        return Err(CliError::failed("nothing was changed"));
    }
    // One that does not run, or that its manager has forgotten, goes all the same.
    let stopped = run_all(&unit.uninstall);
    // One that an earlier rota has installed has no sockets.
    for UnitFile { path, .. } in unit.files().filter(|file| file.path.exists()) {
        std::fs::remove_file(path)
            .map_err(|error| CliError::io(format!("{} cannot be removed", path.display()), &error))?;
    }
    let told = stopped.and_then(|()| run_all(&unit.gone));
    if let Err(error) = told {
        eprintln!("warning: {error}");
    }
    match setup.json {
        true => writeln!(
            out,
            "{}",
            json!({"file": unit.service.path, "socket": socket(&unit), "installed": false})
        )?,
        false => {
            let path = shown_path(setup, &unit.service.path);
            writeln!(out, "✔ stopped; {path} is gone. Accounts and settings stay")?;
        }
    }
    Ok(Exit::Done)
}

/// In the manager's own words, and with its own idea of what is well.
fn status(setup: &Setup, scope: Scope) -> Result<Exit, CliError> {
    let unit = unit(setup, scope)?;
    if !unit.service.path.exists() {
        return Err(CliError {
            exit: Exit::NotRunning,
            message: format!(
                "no service is installed: {} does not exist; `rota service install` makes one",
                unit.service.path.display()
            ),
        });
    }
    let Some((program, words)) = unit.status.split_first() else {
        return Ok(Exit::Done);
    };
    let ended = Process::new(program).args(words).stdin(Stdio::null()).status();
    let ended = ended.map_err(|error| unstarted(program, &error))?;
    Ok(if ended.success() { Exit::Done } else { Exit::NotRunning })
}

fn shown(
    setup: &Setup,
    unit: &Unit,
    commands: &[Vec<String>],
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    if setup.json {
        let UnitFile { path, text } = &unit.service;
        let socket = unit.socket.as_ref().map(|UnitFile { path, text }| json!({"file": path, "text": text}));
        writeln!(out, "{}", json!({"file": path, "text": text, "socket": socket, "commands": commands}))?;
        return Ok(Exit::Done);
    }
    for UnitFile { path, text } in unit.files() {
        writeln!(out, "Would write {}:\n\n{text}", path.display())?;
    }
    writeln!(out, "Would run: {}\nNothing done.", joined(commands))?;
    Ok(Exit::Done)
}

fn removed(
    setup: &Setup,
    unit: &Unit,
    commands: &[Vec<String>],
    out: &mut dyn Write,
) -> Result<Exit, CliError> {
    if setup.json {
        let told = json!({"file": unit.service.path, "socket": socket(unit), "commands": commands});
        writeln!(out, "{told}")?;
        return Ok(Exit::Done);
    }
    writeln!(out, "Would remove {}\n\nWould run: {}\nNothing done.", paths(setup, unit), joined(commands))?;
    Ok(Exit::Done)
}

fn socket(unit: &Unit) -> Option<&Path> {
    unit.socket.as_ref().map(|socket| socket.path.as_path())
}

fn paths(setup: &Setup, unit: &Unit) -> String {
    unit.files().map(|file| shown_path(setup, &file.path)).collect::<Vec<_>>().join(" and ")
}

/// Where the service will listen, by the configuration that it will see: not this shell's.
fn addresses(setup: &Setup, scope: Scope) -> Result<Vec<SocketAddr>, CliError> {
    let mut sources = setup.sources.clone();
    sources.env.retain(|name, _| !name.starts_with("ROTA_"));
    if scope == Scope::System {
        sources.env.insert("ROTA_STATE_DIR".to_owned(), SYSTEM_STATE.to_owned());
    }
    let config = Config::load(&sources)?.config;
    let proxy = config.listen.iter().flat_map(|listen| listen.addresses());
    let all = proxy.chain([config.admin_listen.address()]).filter(|address| address.port() != 0);
    // A socket unit with an address that the machine has not fails as a whole; rota does without IPv6.
    let has_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    Ok(all.filter(|address| has_ipv6 || address.is_ipv4()).collect())
}

fn unit(setup: &Setup, scope: Scope) -> Result<Unit, CliError> {
    let manager = if cfg!(target_os = "macos") { Manager::Launchd } else { Manager::Systemd };
    let home = setup.sources.variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = match (home, scope) {
        (Some(home), _) => home,
        (None, Scope::System) => PathBuf::from("/"),
        (None, Scope::User) => {
            return Err(CliError::failed("HOME is not set, so there is no place for a service"));
        }
    };
    let config = setup.sources.variable("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.filter(|config| config.is_absolute()).unwrap_or_else(|| home.join(".config"));
    let places = Places { home, config, uid: rustix::process::getuid().as_raw() };
    let program =
        std::env::current_exe().map_err(|error| CliError::io("rota does not find itself", &error))?;
    let mut command = vec![program.display().to_string(), "serve".to_owned()];
    if let Some(file) = &setup.sources.file {
        let file = std::path::absolute(file).map_err(|error| CliError::io(file.display(), &error))?;
        command.extend(["--config".to_owned(), file.display().to_string()]);
    }
    if let Some(dir) = setup.sources.state_dir_flag() {
        command.extend(["--state-dir".to_owned(), dir.to_owned()]);
    }
    let addresses = addresses(setup, scope)?;
    Ok(Unit::new(manager, scope, &places, &Served { command, addresses }))
}

fn run_all(commands: &[Vec<String>]) -> Result<(), CliError> {
    for command in commands {
        let Some((program, words)) = command.split_first() else {
            continue;
        };
        let ran = Process::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::null()).output();
        let ran = ran.map_err(|error| unstarted(program, &error))?;
        if !ran.status.success() {
            let told = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
            return Err(CliError::failed(format!("`{}` failed: {told}", command.join(" "))));
        }
    }
    Ok(())
}

fn unstarted(program: &str, error: &io::Error) -> CliError {
    CliError::io(format!("`{program}` cannot be started, so no service manager can be told"), error)
}

fn joined(commands: &[Vec<String>]) -> String {
    commands.iter().map(|command| command.join(" ")).collect::<Vec<_>>().join(" && ")
}
