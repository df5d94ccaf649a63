//! The runner: starts upstream and proxies, visits the proxies in turn (A B C, B C A, ...), so that what disturbs the
//! machine disturbs all of them, and prints medians over the rounds, each with its ratio to nginx in the same run.
use crate::load::Report;
use crate::proxies::{Binaries, Kind, Place, Running, StartError, start, start_upstream};
use crate::rows::{Failover, Figure, Layout, ROWS, Row, kinds};
use crate::stats::{median, spread};
use crate::whole::{self, Whole};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// How much is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Effort {
    /// Visits to each proxy.
    pub rounds: usize,
    /// How long a visit of a closed or fixed-rate load lasts.
    pub seconds: f64,
    /// The rows wanted; all where it is empty.
    pub only: Vec<String>,
}

impl Effort {
    /// True where this row is wanted.
    pub fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The load did not do what it was told.
    #[error("the load on {0} ended: {1}")]
    Load(&'static str, String),
    /// A program does not run.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something of the system's.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A proxy was to fail over, and did not.
    #[error("{0} was to fail over, and says of its attempts: {1}; nothing was measured")]
    NoFailover(&'static str, String),
    /// There is no such row.
    #[error("there is no row `{0}`; the tables' last column names them")]
    Unknown(String),
}

/// What one visit came to.
#[derive(Clone, Debug)]
struct Visit {
    figure: f64,
    report: Report,
}

type Visits = BTreeMap<(usize, Kind), Vec<Visit>>;

/// Measures, and prints as it goes.
pub fn run(binaries: &Binaries, effort: &Effort, out: &mut impl Write) -> Result<(), RunError> {
    let known =
        |id: &String| ROWS.iter().any(|row| row.id == id) || Whole::ALL.iter().any(|whole| whole.id() == id);
    if let Some(unknown) = effort.only.iter().find(|id| !known(id)) {
        return Err(RunError::Unknown(unknown.clone()));
    }
    for kind in [Kind::Nginx, Kind::Haproxy, Kind::Rota] {
        if kind.program(binaries).is_none() {
            writeln!(out, "missing: {} is not installed, its column is empty", kind.name())?;
        }
    }
    let wanted: Vec<(usize, &Row)> =
        ROWS.iter().enumerate().filter(|(_, row)| effort.wants(row.id)).collect();
    let mut visits = Visits::new();
    for layout in [Layout::OneCore, Layout::OwnCore] {
        let rows: Vec<_> = wanted.iter().filter(|(_, row)| row.layout == layout).copied().collect();
        if !rows.is_empty() {
            measure(binaries, layout, effort, &rows, &mut visits)?;
        }
    }
    if !wanted.is_empty() {
        write!(out, "{}", table(&wanted, &visits, effort))?;
    }
    write!(out, "{}", whole::measure(binaries, effort)?)?;
    Ok(())
}

fn measure(
    binaries: &Binaries,
    layout: Layout,
    effort: &Effort,
    rows: &[(usize, &Row)],
    visits: &mut Visits,
) -> Result<(), RunError> {
    let upstream = start_upstream(binaries, layout.ends())?;
    let mut proxies = BTreeMap::new();
    for kind in rows.iter().flat_map(|(_, row)| kinds(row)) {
        if kind.program(binaries).is_some() && !proxies.contains_key(kind) {
            proxies.insert(*kind, start(*kind, layout.proxy(), upstream.address, binaries)?);
        }
    }
    for (number, row) in rows {
        let there: Vec<(&Kind, &Running)> =
            kinds(row).iter().filter_map(|kind| Some((kind, proxies.get(kind)?))).collect();
        for round in 0..effort.rounds {
            for turn in 0..there.len() {
                let (kind, proxy) = there[(round + turn) % there.len()];
                let seen = visit(binaries, row, proxy, *kind, effort.seconds)?;
                visits.entry((*number, *kind)).or_default().push(seen);
            }
        }
    }
    Ok(())
}

fn visit(
    binaries: &Binaries,
    row: &Row,
    proxy: &Running,
    kind: Kind,
    seconds: f64,
) -> Result<Visit, RunError> {
    let arguments = row.work.arguments(row.failover, seconds);
    let mut load = Load::start(binaries, row.layout.ends(), proxy.address, &arguments, kind)?;
    let before = proxy.tree().cpu();
    load.go()?;
    let report = load.report()?;
    let cpu = proxy.tree().cpu().saturating_sub(before) as f64 / 1e3;
    if report.failed > 0 {
        return Err(RunError::Load(kind.name(), format!("{} requests were not answered 200", report.failed)));
    }
    failed_over(proxy, kind)?;
    let figure = match row.figure {
        Figure::CpuPerEvent => cpu / report.events.max(1) as f64,
        Figure::CpuPerRequest => cpu / report.requests.max(1) as f64,
        Figure::P99 => report.p99,
    };
    Ok(Visit { figure, report })
}

/// That a request without a session still fails over, by what the reply's head says of it. The floor begins with a bearer
/// that is turned away, and says nothing.
fn failed_over(proxy: &Running, kind: Kind) -> Result<(), RunError> {
    let (name, wanted) = match kind {
        Kind::NginxFailover => ("x-attempts: ", "429, 200"),
        Kind::RotaFailover => ("x-rota-attempts: ", "2"),
        Kind::Floor | Kind::FloorFailover | Kind::Haproxy | Kind::Nginx | Kind::Raw | Kind::Rota => {
            return Ok(());
        }
    };
    let head = proxy.ask()?;
    let said = head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("nothing");
    if said == wanted { Ok(()) } else { Err(RunError::NoFailover(kind.name(), said.to_owned())) }
}

/// A load in a process of its own, which waits until it is told to go.
pub struct Load {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Load {
    /// Starts it and waits until each of its connections has been answered once.
    pub fn start(
        binaries: &Binaries,
        place: Place,
        to: SocketAddr,
        arguments: &[String],
        kind: Kind,
    ) -> Result<Self, RunError> {
        let mut command = Command::new("taskset");
        command.args(["-c", place.cores]).arg(&binaries.bench).args([
            "load",
            "--wait",
            "--to",
            &to.to_string(),
        ]);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(RunError::Load(kind.name(), "it has no pipes".to_owned()));
        };
        let mut load = Self { name: kind.name(), child, input, output: BufReader::new(output) };
        let line = load.line()?;
        if line == "ready" { Ok(load) } else { Err(RunError::Load(kind.name(), line)) }
    }

    /// Lets it begin, or end where it holds streams.
    pub fn go(&mut self) -> io::Result<()> {
        self.input.write_all(b"\n")
    }

    /// What it measured.
    pub fn report(&mut self) -> Result<Report, RunError> {
        let line = self.line()?;
        serde_json::from_str(&line).map_err(|_| RunError::Load(self.name, line))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows as Markdown: nginx in microseconds, everybody as a ratio to it, and how far rota's rounds were apart.
fn table(rows: &[(usize, &Row)], visits: &Visits, effort: &Effort) -> String {
    let mut text = format!(
        "\n{} rounds of {} s, medians; nginx in µs, the others as a ratio to it in the same run\n\n\
         | row | nginx | its own retry | haproxy | floor | raw | rota | goal | rota's rounds within | command |\n|---|---|---|---|---|---|---|---|---|---|\n",
        effort.rounds, effort.seconds
    );
    let figures = |number: usize, kind| -> Option<Vec<f64>> {
        Some(visits.get(&(number, kind))?.iter().map(|visit| visit.figure).collect())
    };
    for (number, row) in rows {
        let (floor, rota) = match row.failover {
            Failover::Each => (Kind::FloorFailover, Kind::RotaFailover),
            Failover::Never => (Kind::Floor, Kind::Rota),
        };
        let nginx = figures(*number, Kind::Nginx).map(|figures| median(&figures));
        let ratio = |kind| match (nginx, figures(*number, kind)) {
            (Some(nginx), Some(figures)) => format!("{:.2}", median(&figures) / nginx),
            (None, Some(figures)) => format!("{:.2} µs", median(&figures)),
            (_, None) => "-".to_owned(),
        };
        let absolute = nginx.map_or("-".to_owned(), |nginx| format!("{nginx:.2}"));
        let apart = figures(*number, rota).map_or(0.0, |figures| spread(&figures) * 100.0);
        let _ = writeln!(
            text,
            "| {} | {absolute} | {} | {} | {} | {} | {} | {:.2} | {apart:.0} % | `rota-bench run --only {}` |",
            row.title,
            ratio(Kind::NginxFailover),
            ratio(Kind::Haproxy),
            ratio(floor),
            ratio(Kind::Raw),
            ratio(rota),
            row.goal,
            row.id
        );
    }
    text.push_str("\nThe same visits, as their clients saw them (medians over the rounds; times in µs)\n\n");
    text.push_str("| row | proxy | requests/s | p50 | p99 | first byte p50 / p99 | event on its way p50 / p99 |\n|---|---|---|---|---|---|---|\n");
    for (number, row) in rows {
        for kind in kinds(row) {
            let Some(seen) = visits.get(&(*number, *kind)) else {
                continue;
            };
            let of = |read: fn(&Report) -> f64| {
                median(&seen.iter().map(|visit| read(&visit.report)).collect::<Vec<_>>())
            };
            let _ = writeln!(
                text,
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} / {:.0} | {:.0} / {:.0} |",
                row.id,
                kind.name(),
                of(|report| report.requests as f64 / report.seconds),
                of(|report| report.p50),
                of(|report| report.p99),
                of(|report| report.first_p50),
                of(|report| report.first_p99),
                of(|report| report.event_p50),
                of(|report| report.event_p99),
            );
        }
    }
    text
}
