//! Figures of a proxy as a whole, in units of their own: how fast it starts, what memory it takes, what a second thread
//! and durable changes cost. Each visit has a proxy of its own.
use crate::admin::Beside;
use crate::loading::Load;
use crate::proxies::{Binaries, Kind, Place, Running, start, start_upstream};
use crate::report::{Line, Scale};
use crate::rows::{Failover, Layout, Pace, Reply, Work};
use crate::run::{Effort, RunError, cpu_of, order};
use crate::stats::median;
use crate::upstream::LEAST_EVENT;

/// Streams that are held open.
const IDLE: usize = 5000;
/// Connections of the run over two threads.
const CROWD: usize = 64;
/// Requests of a visit of theirs, and pairs of visits in each sitting: where the ends run beside a proxy that is free on
/// two processors is the scheduler's, and one pair is 14 % from the next.
const CROWDED: (u64, usize) = (3008, 30);
/// Two processors for everybody.
const BOTH: &str = "0,1";

/// A figure of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whole {
    /// The p99 at 2000 requests/s while accounts are switched, against the same without.
    Admin,
    /// The same where the proxy has both processors.
    AdminBoth,
    /// Memory per stream that says nothing.
    Idle,
    /// Memory after the first request.
    Rest,
    /// From the start to the first 200.
    Start,
    /// Processor time per request with two threads, against one.
    Threads,
}

impl Whole {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Rest, Self::Idle, Self::Threads, Self::Admin, Self::AdminBoth];

    /// Its name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::AdminBoth => "admin-both",
            Self::Idle => "idle",
            Self::Rest => "rest",
            Self::Start => "start",
            Self::Threads => "threads",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Admin => {
                "p99 at 2000 requests/s while 50 changes/s are made durable (others: by a process beside them), against without"
            }
            Self::AdminBoth => "the same, each proxy and the process beside it free on both processors",
            Self::Idle => "memory per idle SSE stream, 5,000 streams, PSS",
            Self::Rest => "memory at rest, PSS",
            Self::Start => "start to first 200",
            Self::Threads => "CPU per request with two threads against one, 64 connections",
        }
    }

    /// Not more than this, and in what.
    fn goal(self) -> (f64, Scale) {
        match self {
            Self::Admin | Self::AdminBoth => (1.2, Scale::Unit("")),
            Self::Idle => (18.0, Scale::Unit(" KB")),
            Self::Rest => (12.0, Scale::Unit(" MB")),
            Self::Start => (30.0, Scale::Unit(" ms")),
            Self::Threads => (1.1, Scale::Unit("")),
        }
    }

    fn is_cpu(self) -> bool {
        match self {
            Self::Threads => true,
            Self::Admin | Self::AdminBoth | Self::Idle | Self::Rest | Self::Start => false,
        }
    }

    /// How often: idle streams take some seconds to begin, and differ little.
    fn rounds(self, effort: &Effort) -> usize {
        match self {
            Self::Idle => 1,
            Self::Admin | Self::AdminBoth | Self::Rest | Self::Start | Self::Threads => {
                effort.sittings.max(1)
            }
        }
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            // What a disk that is kept busy costs anybody, in two of the others.
            Self::Admin | Self::AdminBoth => &[Kind::Nginx, Kind::Floor, Kind::Rota],
            Self::Idle | Self::Rest | Self::Start | Self::Threads => {
                &[Kind::Nginx, Kind::Haproxy, Kind::Floor, Kind::Raw, Kind::Rota]
            }
        }
    }

    fn measure(self, kind: Kind, binaries: &Binaries, line: &mut Line) -> Result<(), RunError> {
        match self {
            Self::Admin => line.note_ratio(kind, admin(kind, Layout::OwnCore.proxy(), binaries)?),
            Self::AdminBoth => {
                line.note_ratio(kind, admin(kind, Place { cores: BOTH, threads: 1 }, binaries)?);
            }
            Self::Idle => line.note_figure(kind, idle(kind, binaries)?),
            Self::Rest => line.note_figure(kind, alone(kind, binaries)?.tree().memory() as f64 / 1024.0),
            Self::Start => line.note_figure(kind, alone(kind, binaries)?.started.as_secs_f64() * 1e3),
            Self::Threads => {
                crowd(kind, binaries)?.into_iter().for_each(|parts| line.note_ratio(kind, parts));
            }
        }
        Ok(())
    }
}

/// Measures those that are wanted.
pub fn measure(binaries: &Binaries, effort: &Effort) -> Result<Vec<Line>, RunError> {
    let wanted = Whole::ALL.into_iter().filter(|whole| effort.wants(whole.id(), whole.is_cpu()));
    wanted
        .map(|whole| {
            let (goal, scale) = whole.goal();
            let mut line = Line::new(whole.id(), whole.title(), goal, scale, whole.is_cpu());
            let there = whole.kinds().iter().filter(|kind| kind.program(binaries).is_some());
            let there: Vec<Kind> = there.copied().collect();
            let least = whole.rounds(effort);
            let mut round = 0;
            while effort.goes_on(round, least, &line) {
                for place in order(round, there.len()) {
                    whole.measure(there[place], binaries, &mut line)?;
                }
                round += 1;
            }
            Ok(line)
        })
        .collect()
}

/// A proxy with a processor of its own that has answered one request.
fn alone(kind: Kind, binaries: &Binaries) -> Result<Running, RunError> {
    let upstream = start_upstream(binaries, Layout::OwnCore.ends())?;
    Ok(start(kind, Layout::OwnCore.proxy(), upstream.address, binaries)?)
}

fn idle(kind: Kind, binaries: &Binaries) -> Result<f64, RunError> {
    let ends = Layout::OwnCore.ends();
    let upstream = start_upstream(binaries, ends)?;
    let proxy = start(kind, Layout::OwnCore.proxy(), upstream.address, binaries)?;
    let before = proxy.tree().memory();
    let work = Work {
        connections: IDLE,
        body: 1024,
        reply: Reply::Stream { events: 2, size: LEAST_EVENT, pause: 3_600_000 },
        pace: Pace::Held,
    };
    let arguments = work.arguments(Failover::Never);
    // It says that it is ready once every stream has begun.
    let load = Load::start(binaries, ends, proxy.address, &arguments, kind)?;
    let held = proxy.tree().memory().saturating_sub(before) as f64 / IDLE as f64;
    drop(load);
    Ok(held)
}

/// Microseconds of processor time per request, with one thread and with two, pair by pair.
fn crowd(kind: Kind, binaries: &Binaries) -> Result<Vec<[f64; 2]>, RunError> {
    let (requests, pairs) = CROWDED;
    let ends = Place { cores: BOTH, threads: 1 };
    let upstream = start_upstream(binaries, ends)?;
    let places = [Place { cores: "0", threads: 1 }, Place { cores: BOTH, threads: 2 }];
    let work = Work { connections: CROWD, body: 1024, reply: Reply::Json, pace: Pace::Burst(requests) };
    let arguments = work.arguments(Failover::Never);
    let mut visited = Vec::new();
    for place in places {
        let proxy = start(kind, place, upstream.address, binaries)?;
        let mut load = Load::start(binaries, ends, proxy.address, &arguments, kind)?;
        load.once()?;
        visited.push((proxy, load));
    }
    let mut figures = Vec::new();
    for turn in 0..pairs {
        let mut pair = [0.0; 2];
        for place in order(turn, visited.len()) {
            let (proxy, load) = &mut visited[place];
            let (report, cpu) = cpu_of(proxy, load)?;
            pair[place] = cpu / report.requests.max(1) as f64;
        }
        figures.push(pair);
    }
    Ok(figures)
}

/// The p99 without and with, twice in turn, on the same proxy, which is at `place`.
fn admin(kind: Kind, place: Place, binaries: &Binaries) -> Result<[f64; 2], RunError> {
    let ends = Layout::OwnCore.ends();
    let upstream = start_upstream(binaries, ends)?;
    let proxy = start(kind, place, upstream.address, binaries)?;
    let work = Work { connections: 16, body: 1024, reply: Reply::Json, pace: Pace::Rate(2000.0) };
    let arguments = work.arguments(Failover::Never);
    let p99 = || -> Result<f64, RunError> {
        let mut load = Load::start(binaries, ends, proxy.address, &arguments, kind)?;
        Ok(load.once()?.p99)
    };
    let home = proxy.home().display().to_string();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        without.push(p99()?);
        let beside = match kind {
            Kind::Rota | Kind::RotaFailover => Beside::start(binaries, ends, &["changes", "--home", &home]),
            // Where the proxy is, as rota's writer is.
            Kind::Floor
            | Kind::FloorFailover
            | Kind::Haproxy
            | Kind::Nginx
            | Kind::NginxFailover
            | Kind::Raw => Beside::start(binaries, place, &["syncs", "--dir", &home]),
        }?;
        with.push(p99()?);
        if beside.end()? == 0 {
            return Err(RunError::Load(kind.name(), "no change was made durable".to_owned()));
        }
    }
    Ok([median(&without), median(&with)])
}
