//! Instructions and allocations of rota, counted by callgrind: two runs of different length, the difference divided by
//! what the longer one did more. The kernel's part is not in it. One client, one thread that serves, so that each run does the
//! same; what other threads do, part of it by the clock, is counted apart.
use crate::callgrind::{Profile, Unreadable};
use crate::engine_loop::{Asked, POOLS};
use crate::load::{self, Length, LoadError, Paced, Plan, Session};
use crate::proxies::{Binaries, Kind, Place, Running, StartError, Tool, start_under};
use crate::upstream::{self, LEAST_EVENT, Manner, SETTLING, Steps};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Its name in the baseline.
    pub name: &'static str,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A function of the engine, in a pool of so many accounts.
    Engine(Asked, u32),
    /// Something that passes a proxy.
    Passing { traffic: Traffic, short: u64, long: u64 },
}

/// What one of is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// An event of a stream. Each is sent when the client has the one before, so that each is read and written alone.
    Event,
    /// A request and its reply.
    Request,
}

const KIB: usize = 1024;

const fn passing(name: &'static str, kind: Kind, body: usize, unit: Unit, [short, long]: [u64; 2]) -> Count {
    Count { name, what: What::Passing { traffic: Traffic { kind, body, unit }, short, long } }
}

const fn engine(name: &'static str, asked: Asked, accounts: u32) -> Count {
    Count { name, what: What::Engine(asked, accounts) }
}

/// All that is counted, in the order of docs/PERFORMANCE.md.
pub const COUNTS: &[Count] = &[
    passing("request", Kind::Rota, KIB, Unit::Request, [100, 2100]),
    passing("event", Kind::Rota, KIB, Unit::Event, [100, 5100]),
    passing("failover", Kind::RotaFailover, KIB, Unit::Request, [100, 2100]),
    passing("post-200k", Kind::Rota, 200 * KIB, Unit::Request, [20, 1020]),
    passing("floor-request", Kind::Floor, KIB, Unit::Request, [100, 2100]),
    passing("floor-event", Kind::Floor, KIB, Unit::Event, [100, 5100]),
    engine("select-2", Asked::Select, POOLS[0]),
    engine("select-50", Asked::Select, POOLS[1]),
    engine("select-1000", Asked::Select, POOLS[2]),
    engine("select-10000", Asked::Select, POOLS[3]),
    engine("select-pinned-10000", Asked::SelectPinned, POOLS[3]),
    engine("session-10000", Asked::Session, POOLS[3]),
    engine("classify-success", Asked::ClassifySuccess, POOLS[0]),
    engine("classify-error", Asked::ClassifyError, POOLS[0]),
];

/// Why nothing was counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// valgrind is not there, or did not do what it was told.
    #[error("valgrind: {0}; on Debian: apt-get install valgrind")]
    Valgrind(String),
    /// The load was not answered.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// rota does not run.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its output is none.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// Something of the system's.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Count {
    /// What one more costs.
    pub fn measure(&self, binaries: &Binaries) -> Result<Profile, CountError> {
        match self.what {
            What::Engine(asked, accounts) => {
                let times = if accounts < 1000 { 2000 } else { 100 };
                let once = engine_run(binaries, asked, accounts, times)?;
                Ok(once.per(&engine_run(binaries, asked, accounts, times * 3)?, times as f64 * 2.0))
            }
            What::Passing { traffic, short, long } => {
                let less = passing_run(binaries, traffic, short)?;
                let more = passing_run(binaries, traffic, long)?;
                Ok(less.per(&more, (long - short) as f64))
            }
        }
    }
}

fn engine_run(binaries: &Binaries, asked: Asked, accounts: u32, times: u64) -> Result<Profile, CountError> {
    let home = TempDir::new()?;
    let file = home.path().join("out");
    let mut command = Command::new("valgrind");
    // To make the pool takes far more, and not always the same.
    command.args(Tool::Callgrind(file.clone()).arguments()).arg("--toggle-collect=*engine_loop::Pool::ask*");
    command.arg(&binaries.bench);
    command.args([
        "engine",
        asked.name(),
        "--accounts",
        &accounts.to_string(),
        "--times",
        &times.to_string(),
    ]);
    let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).output();
    match ended {
        Ok(ended) if ended.status.success() => written(&file),
        Ok(ended) => Err(CountError::Valgrind(String::from_utf8_lossy(&ended.stderr).into_owned())),
        Err(error) => Err(CountError::Valgrind(error.to_string())),
    }
}

fn passing_run(binaries: &Binaries, traffic: Traffic, times: u64) -> Result<Profile, CountError> {
    let home = TempDir::new()?;
    let file = home.path().join("out");
    let steps = Steps::default();
    let upstream = upstream(steps.clone())?;
    let place = Place { cores: "0", threads: 1 };
    let tool = Tool::Callgrind(file.clone());
    let proxy = start_under(&tool, traffic.kind, place, upstream, binaries)?;
    ask(&proxy, traffic, times, steps)?;
    // It writes what was counted when it ends.
    drop(proxy);
    written(&file)
}

/// The mock upstream on a thread of this process, which lasts as long as that.
fn upstream(steps: Steps) -> Result<SocketAddr, CountError> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _ = tell.send(listener.local_addr()?);
            upstream::serve(listener, Manner::Settled(steps)).await
        })
    });
    told.recv().map_err(|_| CountError::Io(io::Error::other("the upstream has no port")))
}

/// What goes through the proxy, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traffic {
    kind: Kind,
    body: usize,
    unit: Unit,
}

fn ask(proxy: &Running, traffic: Traffic, times: u64, steps: Steps) -> Result<(), CountError> {
    let Traffic { kind, body, unit } = traffic;
    let (target, event, requests) = match unit {
        Unit::Event => {
            (format!("/v1/responses?events={times}&size={LEAST_EVENT}&pause=step"), Some(LEAST_EVENT), 1)
        }
        Unit::Request => ("/v1/responses?bytes=2048".to_owned(), None, times),
    };
    let session = match kind {
        // A session would stay with the account that served, and nothing would fail over.
        Kind::RotaFailover => Session::Nameless,
        Kind::Floor
        | Kind::FloorFailover
        | Kind::Haproxy
        | Kind::Nginx
        | Kind::NginxFailover
        | Kind::Raw
        | Kind::Rota => Session::Named,
    };
    let plan = Plan { to: proxy.address, target, connections: 1, body, event, session };
    let paced = Paced { pause: Some(SETTLING), steps: Some(steps) };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut clients = load::connect(&plan).await?;
        load::closed(&plan, &mut clients, Length::Requests(requests), paced).await
    })?;
    if report.requests != requests {
        let failed = io::Error::other(format!("{} of {requests} requests failed", report.failed));
        return Err(LoadError::Broken(proxy.address, failed).into());
    }
    Ok(())
}

/// One file a thread lies beside `file`, by number: `out-01`, `out-02`.
fn written(file: &Path) -> Result<Profile, CountError> {
    let mut texts = Vec::new();
    loop {
        let path = PathBuf::from(format!("{}-{:02}", file.display(), texts.len() + 1));
        match std::fs::read_to_string(&path) {
            Ok(text) => texts.push(text),
            Err(error) if texts.is_empty() => {
                return Err(CountError::Valgrind(format!("{}: {error}", path.display())));
            }
            Err(_) => return Ok(Profile::of_threads(&texts)?),
        }
    }
}
