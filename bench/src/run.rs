//! The runner. A sitting starts upstream and proxies anew, and takes one row after the other: each proxy has a load of its
//! own that stays connected, and they are visited in turn, in an order that changes, for a tenth of a second each, many
//! times, with the same number of requests. So what disturbs the machine disturbs all of them, a visit is
//! compared with nginx's of the same turn, and neither one start of a program nor one moment decides a figure.
use crate::clock::{Moment, sleep_until};
use crate::load::Report;
use crate::loading::Load;
use crate::proxies::{Binaries, Kind, Running, StartError, start, start_upstream};
use crate::report::{self, Line, Scale};
use crate::rows::{Figure, Layout, Pace, ROWS, Row, kinds};
use crate::whole::{self, Whole};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// What `--only` calls all rows that are processor time.
const CPU: &str = "cpu";
/// For what a proxy does after its replies, such as to tell of them: a visit's processor time is read after it.
const SETTLING: Duration = Duration::from_millis(30);
/// So many times the least number of sittings at most.
const MOST: usize = 10;
/// A visit as long as this needs no other before it that does not count.
const WARM: f64 = 1.0;

/// How much is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Effort {
    /// How often everything is started anew.
    pub sittings: usize,
    /// How long a sitting visits each proxy for each row.
    pub seconds: f64,
    /// The rows wanted; all where it is empty.
    pub only: Vec<String>,
    /// How often all of that is done.
    pub repeat: usize,
    /// Rows of processor time go on until rota's figure is certain to so many percent.
    pub sure: Option<f64>,
}

impl Effort {
    /// True where the row of this name, which is processor time or not, is wanted.
    pub fn wants(&self, id: &str, is_cpu: bool) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id || (is_cpu && only == CPU))
    }

    /// True where `line` is to be measured once more, after `done` sittings of `least`.
    pub fn goes_on(&self, done: usize, least: usize, line: &Line) -> bool {
        let is_unsure = |percent| line.error().is_some_and(|error| error * 100.0 > percent);
        done < least || (done < least.saturating_mul(MOST) && self.sure.is_some_and(is_unsure))
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
    #[error("there is no row `{0}`; the tables name them, and `cpu` is all that are processor time")]
    Unknown(String),
}

/// Measures, and prints as it goes. The table of the goals, over all that was measured.
pub fn run(binaries: &Binaries, effort: &Effort, out: &mut impl Write) -> Result<String, RunError> {
    let known = |id: &String| {
        id == CPU || ROWS.iter().any(|row| row.id == id) || Whole::ALL.iter().any(|whole| whole.id() == id)
    };
    if let Some(unknown) = effort.only.iter().find(|id| !known(id)) {
        return Err(RunError::Unknown(unknown.clone()));
    }
    for kind in [Kind::Nginx, Kind::Haproxy, Kind::Rota] {
        if kind.program(binaries).is_none() {
            writeln!(out, "missing: {} is not installed, its column is empty", kind.name())?;
        }
    }
    let mut runs = Vec::new();
    for _ in 0..effort.repeat.max(1) {
        let lines = once(binaries, effort)?;
        writeln!(out, "\n{}\n{}", report::goals(&lines), report::clients(&lines))?;
        write!(out, "{}", effort.sure.map_or_else(String::new, |percent| report::unsure(&lines, percent)))?;
        out.flush()?;
        runs.push(lines);
    }
    if let [_, _, ..] = runs.as_slice() {
        writeln!(out, "How far the runs are apart\n\n{}", report::agreement(&runs))?;
    }
    Ok(report::goals(&report::together(runs)))
}

fn once(binaries: &Binaries, effort: &Effort) -> Result<Vec<Line>, RunError> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| effort.wants(row.id, row.is_cpu())).collect();
    let mut lines: Vec<Line> =
        rows.iter().map(|row| Line::new(row.id, row.title, row.goal, Scale::ToNginx, row.is_cpu())).collect();
    let least = effort.sittings.max(1);
    for sitting in 0_usize.. {
        let mut is_over = true;
        for layout in [Layout::OneCore, Layout::OwnCore] {
            let here = rows.iter().copied().zip(&mut lines).filter(|(row, _)| row.layout == layout);
            let due: Vec<_> = here.filter(|(_, line)| effort.goes_on(sitting, least, line)).collect();
            if !due.is_empty() {
                is_over = false;
                sit(binaries, layout, effort, due)?;
            }
        }
        if is_over {
            break;
        }
    }
    lines.extend(whole::measure(binaries, effort)?);
    Ok(lines)
}

/// One sitting, of rows with this layout.
fn sit(
    binaries: &Binaries,
    layout: Layout,
    effort: &Effort,
    rows: Vec<(&Row, &mut Line)>,
) -> Result<(), RunError> {
    let upstream = start_upstream(binaries, layout.ends())?;
    let mut proxies: BTreeMap<Kind, Running> = BTreeMap::new();
    for (row, line) in rows {
        for kind in kinds(row).iter().filter(|kind| kind.program(binaries).is_some()) {
            if !proxies.contains_key(kind) {
                proxies.insert(*kind, start(*kind, layout.proxy(), upstream.address, binaries)?);
            }
        }
        let there = kinds(row).iter().filter_map(|kind| Some((*kind, proxies.get(kind)?)));
        let mut visited: Vec<Visited<'_>> =
            there.map(|(kind, proxy)| Visited::new(binaries, row, kind, proxy)).collect::<Result<_, _>>()?;
        for turn in 0..row.visits(effort.seconds) {
            for place in order(turn, visited.len()) {
                let (figure, report) = visited[place].visit()?;
                line.note(visited[place].kind, figure, report);
            }
        }
        visited.iter().try_for_each(Visited::failed_over)?;
    }
    Ok(())
}

/// Who is visited after whom: each time another one begins, and every second time it goes backwards, so that nobody
/// always comes after the same one.
pub fn order(turn: usize, of: usize) -> impl Iterator<Item = usize> {
    (0..of)
        .map(move |step| if turn.is_multiple_of(2) { step } else { of - 1 - step })
        .map(move |step| (turn + step) % of)
}

/// A proxy that a row visits.
struct Visited<'a> {
    binaries: &'a Binaries,
    row: &'a Row,
    kind: Kind,
    proxy: &'a Running,
    /// What stays connected; a load at a fixed rate is made anew for each visit.
    load: Option<Load>,
}

impl<'a> Visited<'a> {
    /// Connected, and visited once for nothing.
    fn new(binaries: &'a Binaries, row: &'a Row, kind: Kind, proxy: &'a Running) -> Result<Self, RunError> {
        let mut visited = Self { binaries, row, kind, proxy, load: None };
        match row.work.pace {
            Pace::Burst(_) => visited.load = Some(visited.connect()?),
            Pace::Held | Pace::Rate(_) => {}
        }
        if row.lasts < WARM {
            visited.visit()?;
        }
        Ok(visited)
    }

    fn connect(&self) -> Result<Load, RunError> {
        let arguments = self.row.work.arguments(self.row.failover);
        Load::start(self.binaries, self.row.layout.ends(), self.proxy.address, &arguments, self.kind)
    }

    fn visit(&mut self) -> Result<(f64, Report), RunError> {
        let mut anew = None;
        if self.load.is_none() {
            anew = Some(self.connect()?);
        }
        let Some(load) = self.load.as_mut().or(anew.as_mut()) else {
            return Err(RunError::Load(self.kind.name(), "there is none".to_owned()));
        };
        let (report, cpu) = cpu_of(self.proxy, load)?;
        let figure = match self.row.figure {
            Figure::CpuPerEvent => cpu / report.events.max(1) as f64,
            Figure::CpuPerRequest => cpu / report.requests.max(1) as f64,
            Figure::P99 => report.p99,
        };
        Ok((figure, report))
    }

    /// That a request without a session failed over, by what a reply's head says of it. The floor begins with a bearer
    /// that is turned away, and says nothing.
    fn failed_over(&self) -> Result<(), RunError> {
        let (name, wanted) = match self.kind {
            Kind::NginxFailover => ("x-attempts: ", "429, 200"),
            Kind::RotaFailover => ("x-rota-attempts: ", "2"),
            Kind::Floor | Kind::FloorFailover | Kind::Haproxy | Kind::Nginx | Kind::Raw | Kind::Rota => {
                return Ok(());
            }
        };
        let head = self.proxy.ask()?;
        let said = head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("nothing");
        if said == wanted { Ok(()) } else { Err(RunError::NoFailover(self.kind.name(), said.to_owned())) }
    }
}

/// What a load saw, and what its work cost the proxy's processes, in microseconds.
pub fn cpu_of(proxy: &Running, load: &mut Load) -> Result<(Report, f64), RunError> {
    let tree = proxy.tree();
    let before = tree.cpu();
    let report = load.once()?;
    sleep_until(Moment::now().after(SETTLING));
    Ok((report, tree.cpu().saturating_sub(before) as f64 / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn everybody_is_visited_in_each_turn_and_follows_more_than_one_other() {
        for of in [4, 5] {
            let turns: Vec<Vec<usize>> = (0..2 * of).map(|turn| order(turn, of).collect()).collect();
            let everybody: BTreeSet<usize> = (0..of).collect();
            assert!(turns.iter().all(|turn| turn.iter().copied().collect::<BTreeSet<_>>() == everybody));
            let pairs: BTreeSet<(usize, usize)> =
                turns.iter().flat_map(|turn| turn.windows(2).map(|pair| (pair[0], pair[1]))).collect();
            for place in 0..of {
                let before = pairs.iter().filter(|(_, after)| *after == place).count();
                assert!(before >= 2, "{place} of {of} comes after {before} others");
            }
        }
    }

    #[test]
    fn cpu_asks_for_every_row_that_is_processor_time() {
        let effort = |only: &[&str]| Effort {
            sittings: 1,
            seconds: 1.0,
            only: only.iter().map(|id| (*id).to_owned()).collect(),
            repeat: 1,
            sure: None,
        };
        let wanted = |only: &[&str]| {
            let effort = effort(only);
            ROWS.iter().filter(|row| effort.wants(row.id, row.is_cpu())).count()
        };
        assert_eq!((wanted(&[]), wanted(&["cpu"]), wanted(&["p99", "turn"])), (11, 10, 2));
    }

    #[test]
    fn a_row_goes_on_until_it_is_sure_or_has_had_its_sittings() {
        let effort = |sure| Effort { sittings: 5, seconds: 1.0, only: Vec::new(), repeat: 1, sure };
        // The middle half of a hundred visits is a tenth of their middle wide: certain to 0.8 %.
        let line = |is_cpu| {
            let mut line = Line::new("turn", "a turn", 1.0, Scale::Unit(""), is_cpu);
            (0..100).for_each(|visit| line.note_figure(Kind::Rota, 1.0 + f64::from(visit - 50) / 495.0));
            line
        };
        for (sure, is_cpu, done, expected) in [
            (None, true, 4, true),
            (None, true, 5, false),
            (Some(0.9), true, 4, true),
            (Some(0.9), true, 5, false),
            (Some(0.7), true, 5, true),
            (Some(0.7), true, 50, false),
            (Some(0.7), false, 5, false),
        ] {
            let goes_on = effort(sure).goes_on(done, 5, &line(is_cpu));
            assert_eq!(goes_on, expected, "{sure:?} {is_cpu} {done}");
        }
        assert_eq!(report::unsure(&[line(true), line(false)], 0.9), "");
        assert!(
            report::unsure(&[line(true), line(false)], 0.7)
                .starts_with("turn: rota's figure is certain to 0.8 %")
        );
    }
}
