//! Figures of a proxy as a whole, in units of their own: how fast it starts, what memory it takes, what a second thread
//! and durable changes cost. Each visit has a proxy of its own.
use crate::admin::Beside;
use crate::proxies::{Binaries, Kind, Place, Running, start, start_upstream};
use crate::rows::{Failover, Layout, Pace, Reply, Work};
use crate::run::{Effort, Load, RunError};
use crate::stats::median;
use crate::upstream::LEAST_EVENT;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Streams that are held open.
const IDLE: usize = 5000;
/// Connections of the run over two threads.
const CROWD: usize = 64;
/// Two processors for everybody.
const BOTH: &str = "0,1";

/// A figure of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whole {
    /// The p99 at 2000 requests/s while accounts are switched, against the same without.
    Admin,
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
    pub const ALL: [Self; 5] = [Self::Start, Self::Rest, Self::Idle, Self::Threads, Self::Admin];

    /// Its name on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Idle => "idle",
            Self::Rest => "rest",
            Self::Start => "start",
            Self::Threads => "threads",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Admin => "p99 at 2000 requests/s while 50 changes/s are made durable, against without",
            Self::Idle => "memory per idle SSE stream, 5,000 streams (KiB, PSS)",
            Self::Rest => "memory at rest (MiB, PSS)",
            Self::Start => "start to first 200 (ms)",
            Self::Threads => "CPU per request with two threads against one, 64 connections",
        }
    }

    fn goal(self) -> &'static str {
        match self {
            Self::Admin => "1.2",
            Self::Idle => "18",
            Self::Rest => "12",
            Self::Start => "30",
            Self::Threads => "1.10",
        }
    }

    fn kinds(self) -> &'static [Kind] {
        match self {
            // What a disk that is kept busy costs anybody, in two of the others.
            Self::Admin => &[Kind::Nginx, Kind::Floor, Kind::Rota],
            Self::Idle | Self::Rest | Self::Start | Self::Threads => {
                &[Kind::Nginx, Kind::Haproxy, Kind::Floor, Kind::Raw, Kind::Rota]
            }
        }
    }

    fn measure(self, kind: Kind, binaries: &Binaries, effort: &Effort) -> Result<Measured, RunError> {
        Ok(match self {
            Self::Admin => admin(kind, binaries, effort)?,
            Self::Idle => Measured::one(idle(kind, binaries)?),
            Self::Rest => Measured::one(alone(kind, binaries)?.tree().memory() as f64 / 1024.0),
            Self::Start => Measured::one(alone(kind, binaries)?.started.as_secs_f64() * 1e3),
            Self::Threads => Measured::ratio(
                crowd(kind, Place { cores: "0", threads: 1 }, binaries, effort)?,
                crowd(kind, Place { cores: BOTH, threads: 2 }, binaries, effort)?,
            ),
        })
    }

    /// What its two parts are, where it is a ratio.
    fn parts(self) -> Option<&'static str> {
        match self {
            Self::Admin => Some("without, with (µs)"),
            Self::Threads => Some("one, two (µs)"),
            Self::Idle | Self::Rest | Self::Start => None,
        }
    }
}

/// What one visit came to.
#[derive(Clone, Copy, Debug)]
struct Measured {
    figure: f64,
    /// What it is the ratio of.
    parts: [f64; 2],
}

impl Measured {
    fn one(figure: f64) -> Self {
        Self { figure, parts: [0.0; 2] }
    }

    fn ratio(under: f64, over: f64) -> Self {
        Self { figure: over / under, parts: [under, over] }
    }
}

/// Measures those that are wanted; a Markdown table.
pub fn measure(binaries: &Binaries, effort: &Effort) -> Result<String, RunError> {
    let wanted = Whole::ALL.into_iter().filter(|whole| effort.wants(whole.id()));
    let mut text = String::new();
    for whole in wanted {
        if text.is_empty() {
            text.push_str("\nThe proxy as a whole, in its own units, medians over the rounds\n\n| figure | nginx | haproxy | floor | raw | rota | goal | command |\n|---|---|---|---|---|---|---|---|\n");
        }
        let rounds = if whole == Whole::Idle { 1 } else { effort.rounds };
        let there = whole.kinds().iter().filter(|kind| kind.program(binaries).is_some());
        let there: Vec<Kind> = there.copied().collect();
        let mut seen: BTreeMap<Kind, Vec<Measured>> = BTreeMap::new();
        for round in 0..rounds {
            for turn in 0..there.len() {
                let kind = there[(round + turn) % there.len()];
                seen.entry(kind).or_default().push(whole.measure(kind, binaries, effort)?);
            }
        }
        let line = |title: &str, read: &dyn Fn(&Measured) -> Vec<f64>| {
            let columns = [Kind::Nginx, Kind::Haproxy, Kind::Floor, Kind::Raw, Kind::Rota];
            let columns =
                columns.map(|kind| seen.get(&kind).map_or("-".to_owned(), |seen| medians(seen, read)));
            format!("| {title} | {} |", columns.join(" | "))
        };
        let figures = line(whole.title(), &|measured| vec![measured.figure]);
        let _ = writeln!(text, "{figures} {} | `rota-bench run --only {}` |", whole.goal(), whole.id());
        if let Some(parts) = whole.parts() {
            let _ = writeln!(text, "{} | |", line(parts, &|measured| measured.parts.to_vec()));
        }
    }
    Ok(text)
}

/// The median of each number that is read of a visit.
fn medians(seen: &[Measured], read: &dyn Fn(&Measured) -> Vec<f64>) -> String {
    let read: Vec<Vec<f64>> = seen.iter().map(read).collect();
    let numbers = read.first().map_or(0, Vec::len);
    let median_of = |number| {
        let values: Vec<f64> = read.iter().filter_map(|visit| visit.get(number)).copied().collect();
        format!("{:.2}", median(&values))
    };
    (0..numbers).map(median_of).collect::<Vec<_>>().join(", ")
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
        pace: Pace::Closed,
    };
    let mut arguments = work.arguments(Failover::Never, 1.0);
    arguments.push("--idle".to_owned());
    // It says that it is ready once every stream has begun.
    let load = Load::start(binaries, ends, proxy.address, &arguments, kind)?;
    let held = proxy.tree().memory().saturating_sub(before) as f64 / IDLE as f64;
    drop(load);
    Ok(held)
}

/// Microseconds of processor time per request.
fn crowd(kind: Kind, place: Place, binaries: &Binaries, effort: &Effort) -> Result<f64, RunError> {
    let ends = Place { cores: BOTH, threads: 1 };
    let upstream = start_upstream(binaries, ends)?;
    let proxy = start(kind, place, upstream.address, binaries)?;
    let work = Work { connections: CROWD, body: 1024, reply: Reply::Json, pace: Pace::Closed };
    let arguments = work.arguments(Failover::Never, effort.seconds);
    let mut load = Load::start(binaries, ends, proxy.address, &arguments, kind)?;
    let before = proxy.tree().cpu();
    load.go()?;
    let report = load.report()?;
    Ok(proxy.tree().cpu().saturating_sub(before) as f64 / 1e3 / report.requests.max(1) as f64)
}

/// Without and with, twice in turn, on the same proxy.
fn admin(kind: Kind, binaries: &Binaries, effort: &Effort) -> Result<Measured, RunError> {
    let ends = Layout::OwnCore.ends();
    let upstream = start_upstream(binaries, ends)?;
    let proxy = start(kind, Layout::OwnCore.proxy(), upstream.address, binaries)?;
    let work = Work { connections: 16, body: 1024, reply: Reply::Json, pace: Pace::Rate(2000.0) };
    let arguments = work.arguments(Failover::Never, effort.seconds);
    let p99 = || -> Result<f64, RunError> {
        let mut load = Load::start(binaries, ends, proxy.address, &arguments, kind)?;
        load.go()?;
        Ok(load.report()?.p99)
    };
    let home = proxy.home().display().to_string();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        without.push(p99()?);
        let beside = match kind {
            Kind::Rota | Kind::RotaFailover => Beside::start(binaries, ends, &["changes", "--home", &home]),
            // On the proxy's own processor, as rota's writer is.
            Kind::Floor
            | Kind::FloorFailover
            | Kind::Haproxy
            | Kind::Nginx
            | Kind::NginxFailover
            | Kind::Raw => Beside::start(binaries, Layout::OwnCore.proxy(), &["syncs", "--dir", &home]),
        }?;
        with.push(p99()?);
        if beside.end()? == 0 {
            return Err(RunError::Load(kind.name(), "no change was made durable".to_owned()));
        }
    }
    Ok(Measured::ratio(median(&without), median(&with)))
}
