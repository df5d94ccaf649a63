//! The proxies that are measured: how each is configured and started, on which processors, and ended. All are given the
//! same work: the client's authorization header is replaced, the rest passes, nothing is buffered or logged, but for
//! rota, which has everything on that it has.
use crate::clock::{Moment, sleep_until};
use crate::process::Tree;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// For a program to answer, and for one to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);
/// The token of the account that serves.
const FRESH: &str = "fresh-0123456789abcdef0123456789abcdef0123456789abcdef";
/// Where the mock upstream has a second listener, at the same port, that turns everything away.
pub const REFUSING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The token of the account that is turned away.
const SPENT: &str = "spent-0123456789abcdef0123456789abcdef0123456789abcdef";

/// Who stands between client and upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The bare forwarder of this package.
    Floor,
    /// The same with two bearers, of which the first is turned away each time.
    FloorFailover,
    /// haproxy, from the system.
    Haproxy,
    /// nginx, from the system: what all are compared with.
    Nginx,
    /// The same with two servers, of which the first turns each request away.
    NginxFailover,
    /// The raw forwarder of this package.
    Raw,
    /// rota, with every account able to serve.
    Rota,
    /// rota, whose first account is turned away each time without a rest, so that each request fails over once.
    RotaFailover,
}

impl Kind {
    /// As it stands in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::FloorFailover => "floor-failover",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::NginxFailover => "nginx-failover",
            Self::Raw => "raw",
            Self::Rota => "rota",
            Self::RotaFailover => "rota-failover",
        }
    }

    /// The program it needs, and where it is; none where it is not installed.
    pub fn program(self, binaries: &Binaries) -> Option<PathBuf> {
        match self {
            Self::Floor | Self::FloorFailover | Self::Raw => Some(binaries.bench.clone()),
            Self::Haproxy => installed("haproxy"),
            Self::Nginx | Self::NginxFailover => installed("nginx"),
            Self::Rota | Self::RotaFailover => Some(binaries.rota.clone()).filter(|path| path.exists()),
        }
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    places.iter().map(|place| Path::new(place).join(program)).find(|path| path.exists())
}

/// Where our own programs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// This one.
    pub bench: PathBuf,
    /// rota.
    pub rota: PathBuf,
}

/// Which processors a program may use, as `taskset -c` reads it, and how many threads it is to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Such as `0` or `0,1`.
    pub cores: &'static str,
    /// Threads that forward.
    pub threads: usize,
}

/// What a proxy runs under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// callgrind, which writes to this file when the proxy ends.
    Callgrind(PathBuf),
    /// Nothing.
    None,
}

impl Tool {
    /// The arguments of `valgrind`.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Callgrind(file) => vec![
                "--tool=callgrind".to_owned(),
                "--quiet".to_owned(),
                "--separate-threads=yes".to_owned(),
                format!("--callgrind-out-file={}", file.display()),
            ],
            Self::None => Vec::new(),
        }
    }

    fn wrap(&self, program: &Path, place: Place) -> Command {
        match self {
            Self::Callgrind(_) => {
                let mut command = pinned(Path::new("valgrind"), place);
                command.args(self.arguments()).arg(program);
                command
            }
            Self::None => pinned(program, place),
        }
    }
}

/// Why a program does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not there.
    #[error("{0} is not installed")]
    Missing(&'static str),
    /// The system said no.
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    /// It ended, or never answered.
    #[error("{0} did not answer: {1}")]
    Silent(&'static str, String),
}

/// A program that runs, with a directory of its own. Dropping it ends it.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    child: Child,
    home: TempDir,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to its first 200, where it was asked.
    pub started: Duration,
}

impl Running {
    /// Its processes.
    pub fn tree(&self) -> Tree {
        Tree(self.child.id())
    }

    /// Where it keeps what is its own.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        terminate(&mut self.child);
    }
}

/// Asks it to end, waits for that, and insists.
fn terminate(child: &mut Child) {
    if let Some(process) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(process, Signal::TERM);
    }
    let end = Moment::now().after(PATIENCE);
    while matches!(child.try_wait(), Ok(None)) && Moment::now() < end {
        sleep_until(Moment::now().after(LOOK));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// The mock upstream, as a process of its own.
pub fn start_upstream(binaries: &Binaries, place: Place) -> Result<Running, StartError> {
    let failed = |error| StartError::Io("upstream", error);
    let home = TempDir::new().map_err(failed)?;
    let mut command = pinned(&binaries.bench, place);
    command.args(["upstream", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let address = first_line(&mut child).map_err(failed)?;
    Ok(Running { name: "upstream", child, home, address, started: Duration::ZERO })
}

/// A proxy in front of `upstream`, once it has answered a request.
pub fn start(
    kind: Kind,
    place: Place,
    upstream: SocketAddr,
    binaries: &Binaries,
) -> Result<Running, StartError> {
    start_under(&Tool::None, kind, place, upstream, binaries)
}

/// The same, under a tool.
pub fn start_under(
    tool: &Tool,
    kind: Kind,
    place: Place,
    upstream: SocketAddr,
    binaries: &Binaries,
) -> Result<Running, StartError> {
    let name = kind.name();
    let program = kind.program(binaries).ok_or(StartError::Missing(name))?;
    let failed = |error| StartError::Io(name, error);
    let home = TempDir::new().map_err(failed)?;
    let begin = Moment::now();
    let (child, address, begin) = match kind {
        Kind::Floor | Kind::FloorFailover | Kind::Raw => {
            let mut command = tool.wrap(&program, place);
            let bearers: &[&str] = if kind == Kind::FloorFailover {
                &["--bearer", SPENT, "--then", FRESH]
            } else {
                &["--bearer", FRESH]
            };
            let task = if kind == Kind::Raw { "raw" } else { "floor" };
            command.args([task, "--listen", "127.0.0.1:0", "--to", &upstream.to_string()]).args(bearers);
            command.args(["--threads", &place.threads.to_string()]).stdout(Stdio::piped());
            let mut child = command.spawn().map_err(failed)?;
            let address = first_line(&mut child).map_err(failed)?;
            (child, address, begin)
        }
        Kind::Haproxy => {
            let address = free_port().map_err(failed)?;
            let file = home.path().join("haproxy.cfg");
            fs::write(&file, haproxy(address, upstream, place)).map_err(failed)?;
            let mut command = tool.wrap(&program, place);
            command.arg("-db").arg("-f").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
            (command.spawn().map_err(failed)?, address, Moment::now())
        }
        Kind::Nginx | Kind::NginxFailover => {
            let address = free_port().map_err(failed)?;
            let file = home.path().join("nginx.conf");
            fs::write(&file, nginx(kind, [address, upstream], place, home.path())).map_err(failed)?;
            let mut command = tool.wrap(&program, place);
            command.arg("-p").arg(home.path()).arg("-c").arg(&file).stderr(Stdio::null());
            (command.spawn().map_err(failed)?, address, Moment::now())
        }
        Kind::Rota | Kind::RotaFailover => {
            let rota = Rota { program: &program, home: home.path(), name };
            rota.prepare(kind, upstream)?;
            if *tool != Tool::None {
                rota.settle(place)?;
            }
            let begin = Moment::now();
            let child = rota.serve(tool, place).map_err(failed)?;
            (child, rota.address()?, begin)
        }
    };
    let mut running = Running { name, child, home, address, started: Duration::ZERO };
    running.wait_for_200()?;
    running.started = Duration::from_nanos(Moment::now().since(begin));
    Ok(running)
}

impl Running {
    fn wait_for_200(&mut self) -> Result<(), StartError> {
        let end = Moment::now().after(PATIENCE);
        let mut last = "nobody listens".to_owned();
        while Moment::now() < end {
            match self.ask() {
                Ok(head) if head.starts_with("HTTP/1.1 200") => return Ok(()),
                Ok(head) => last = head,
                Err(error) => last = error.to_string(),
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(StartError::Silent(self.name, format!("it ended with {status}; last: {last}")));
            }
            sleep_until(Moment::now().after(LOOK));
        }
        Err(StartError::Silent(self.name, last))
    }

    /// The head that one small request is answered with.
    pub fn ask(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = "{\"model\":\"m-1\"}";
        let (address, length) = (self.address, body.len());
        stream.write_all(format!("POST /v1/responses?bytes=256 HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())?;
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let reply = String::from_utf8_lossy(&reply);
        Ok(reply.split("\r\n\r\n").next().unwrap_or_default().to_owned())
    }
}

/// A rota that is being set up, below `home`.
struct Rota<'a> {
    program: &'a Path,
    home: &'a Path,
    name: &'static str,
}

impl Rota<'_> {
    /// Its configuration and accounts.
    fn prepare(&self, kind: Kind, upstream: SocketAddr) -> Result<(), StartError> {
        let failed = |error| StartError::Io(self.name, error);
        self.secret("rota.toml", &rota_toml(kind, upstream)).map_err(failed)?;
        let accounts: &[(&str, &str)] = if kind == Kind::RotaFailover {
            &[("spent", SPENT), ("fresh", FRESH)]
        } else {
            &[("fresh", FRESH), ("second", FRESH), ("third", FRESH)]
        };
        for (alias, key) in accounts {
            let file = self.secret("key", key).map_err(failed)?;
            let added = self
                .command(Command::new(self.program))
                .args(["accounts", "add", alias, "--provider", "openai", "--key-file"])
                .arg(file)
                .output()
                .map_err(failed)?;
            if !added.status.success() {
                let told = String::from_utf8_lossy(&added.stderr).into_owned();
                return Err(StartError::Silent(self.name, told));
            }
        }
        Ok(())
    }

    /// Runs it once, so that what the first start makes is there.
    fn settle(&self, place: Place) -> Result<(), StartError> {
        let failed = |error| StartError::Io(self.name, error);
        let mut child = self.serve(&Tool::None, place).map_err(failed)?;
        let told = self.address();
        terminate(&mut child);
        // It removes that itself where it ends in order; the next start must not be taken for this one.
        let _ = fs::remove_file(self.home.join("server.json"));
        told.map(drop)
    }

    /// Its log, with a line for each request, goes to a file.
    fn serve(&self, tool: &Tool, place: Place) -> io::Result<Child> {
        let log = fs::File::create(self.home.join("rota.log"))?;
        let mut command = self.command(tool.wrap(self.program, place));
        command.arg("serve").arg("--server-info").arg(self.home.join("server.json"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
    }

    fn address(&self) -> Result<SocketAddr, StartError> {
        let end = Moment::now().after(PATIENCE);
        while Moment::now() < end {
            let text = fs::read_to_string(self.home.join("server.json")).unwrap_or_default();
            let info: Option<serde_json::Value> = serde_json::from_str(&text).ok();
            if let Some(address) = info.and_then(|info| info["proxy"].as_str()?.parse().ok()) {
                return Ok(address);
            }
            sleep_until(Moment::now().after(LOOK));
        }
        let log = fs::read_to_string(self.home.join("rota.log")).unwrap_or_default();
        Err(StartError::Silent(self.name, log))
    }

    /// `command` in a world of its own.
    fn command(&self, mut command: Command) -> Command {
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home);
        command
            .env("ROTA_CONFIG", self.home.join("rota.toml"))
            .env("ROTA_STATE_DIR", self.home.join("state"));
        command
    }

    /// A file that nobody else may read.
    fn secret(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let file = self.home.join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }
}

/// Everything on: the gate always is; sessions, replay, decisions as JSON lines, metrics.
fn rota_toml(kind: Kind, upstream: SocketAddr) -> String {
    let strategy = if kind == Kind::RotaFailover { "fill-first" } else { "round-robin" };
    format!(
        "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n[rotation]\nstrategy = \"{strategy}\"\n\
         [limits]\nconnections = 16000\n[log]\nlevel = \"info\"\nformat = \"json\"\n\
         [providers.openai]\norigin = \"http://{upstream}\"\n"
    )
}

fn nginx(kind: Kind, [address, upstream]: [SocketAddr; 2], place: Place, home: &Path) -> String {
    let (threads, home) = (place.threads, home.display());
    let refusing = SocketAddr::from((REFUSING, upstream.port()));
    // A body that is passed on as it comes cannot be sent again. The last header is how a failover is seen.
    let (servers, passing) = if kind == Kind::NginxFailover {
        (
            format!("server {refusing} max_fails=0; server {upstream} backup"),
            "proxy_next_upstream http_429 non_idempotent; add_header x-attempts $upstream_status",
        )
    } else {
        (format!("server {upstream}"), "proxy_request_buffering off")
    };
    format!(
        "daemon off;\nuser root;\nworker_processes {threads};\npid {home}/nginx.pid;\nerror_log /dev/null crit;\n\
         worker_rlimit_nofile 20000;\nevents {{ worker_connections 20000; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {home}/body;\n  proxy_temp_path {home}/proxy;\n  \
         fastcgi_temp_path {home}/fastcgi;\n  uwsgi_temp_path {home}/uwsgi;\n  scgi_temp_path {home}/scgi;\n  \
         upstream mock {{ {servers}; keepalive 1024; keepalive_requests 1000000000; keepalive_time 24h; }}\n  \
         server {{\n    listen {address} backlog=4096;\n    keepalive_requests 1000000000;\n    client_max_body_size 0;\n    \
         location / {{\n      proxy_pass http://mock;\n      proxy_http_version 1.1;\n      \
         proxy_set_header Connection \"\";\n      proxy_set_header Authorization \"Bearer {FRESH}\";\n      \
         proxy_buffering off;\n      {passing};\n      proxy_read_timeout 1h;\n    }}\n  }}\n}}\n"
    )
}

fn haproxy(address: SocketAddr, upstream: SocketAddr, place: Place) -> String {
    let threads = place.threads;
    format!(
        "global\n  nbthread {threads}\n  maxconn 9000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  \
         timeout server 1h\n  http-reuse always\n\
         frontend f\n  bind {address}\n  http-request set-header Authorization \"Bearer {FRESH}\"\n  default_backend b\n\
         backend b\n  server mock {upstream}\n"
    )
}

fn pinned(program: &Path, place: Place) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", place.cores]).arg(program);
    command
}

fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The address that one of our own programs tells first.
fn first_line(child: &mut Child) -> io::Result<SocketAddr> {
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    line.trim().parse().map_err(|_| io::Error::other(format!("it said `{}`", line.trim())))
}
