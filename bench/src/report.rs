//! What was measured, as Markdown: the table of the goals as it stands in docs/PERFORMANCE.md, what the clients saw, and
//! how far several runs agree.
use crate::load::Report;
use crate::proxies::Kind;
use crate::stats::{Summary, apart, median};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

/// The columns of the goals' table.
const COLUMNS: [Column; 5] = [Column::Nginx, Column::Haproxy, Column::Floor, Column::Raw, Column::Rota];
/// Where the table of the goals stands in a document.
const MARKS: [&str; 2] = ["<!-- the table that `make bench` prints -->\n", "<!-- its end -->\n"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Floor,
    Haproxy,
    Nginx,
    Raw,
    Rota,
}

impl Column {
    /// Who stands in it, in a row or in one about failovers.
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Floor => &[Kind::Floor, Kind::FloorFailover],
            Self::Haproxy => &[Kind::Haproxy],
            Self::Nginx => &[Kind::Nginx],
            Self::Raw => &[Kind::Raw],
            Self::Rota => &[Kind::Rota, Kind::RotaFailover],
        }
    }
}

/// What a figure is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Microseconds for nginx, and for everybody else the ratio to nginx's visit of the same turn.
    ToNginx,
    /// This unit, for everybody.
    Unit(&'static str),
}

/// What was measured for one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    id: &'static str,
    title: &'static str,
    goal: f64,
    scale: Scale,
    is_cpu: bool,
    figures: BTreeMap<Kind, Vec<f64>>,
    seen: BTreeMap<Kind, Vec<Report>>,
    /// What a figure is the ratio of.
    parts: BTreeMap<Kind, Vec<[f64; 2]>>,
}

impl Line {
    /// Without a visit.
    pub fn new(id: &'static str, title: &'static str, goal: f64, scale: Scale, is_cpu: bool) -> Self {
        let (figures, seen, parts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { id, title, goal, scale, is_cpu, figures, seen, parts }
    }

    /// Notes a visit and what its client saw.
    pub fn note(&mut self, kind: Kind, figure: f64, seen: Report) {
        self.note_figure(kind, figure);
        self.seen.entry(kind).or_default().push(seen);
    }

    /// Notes a figure.
    pub fn note_figure(&mut self, kind: Kind, figure: f64) {
        self.figures.entry(kind).or_default().push(figure);
    }

    /// Notes a figure that is the second of `parts` in proportion to the first.
    pub fn note_ratio(&mut self, kind: Kind, parts: [f64; 2]) {
        self.note_figure(kind, parts[1] / parts[0]);
        self.parts.entry(kind).or_default().push(parts);
    }

    fn is_ratio(&self, kind: Kind) -> bool {
        self.scale == Scale::ToNginx && kind != Kind::Nginx && self.figures.contains_key(&Kind::Nginx)
    }

    fn summary(&self, kind: Kind) -> Option<Summary> {
        let figures = self.figures.get(&kind)?;
        match self.figures.get(&Kind::Nginx) {
            Some(nginx) if self.is_ratio(kind) => Summary::of(
                &figures.iter().zip(nginx).map(|(figure, nginx)| figure / nginx).collect::<Vec<_>>(),
            ),
            Some(_) | None => Summary::of(figures),
        }
    }

    /// How uncertain rota's figure is, as a share of it; none of what is not processor time, or was not measured.
    pub fn error(&self) -> Option<f64> {
        let summary = self.kind(Column::Rota).and_then(|kind| self.summary(kind))?;
        self.is_cpu.then(|| summary.error())
    }

    fn kind(&self, column: Column) -> Option<Kind> {
        column.kinds().iter().copied().find(|kind| self.figures.contains_key(kind))
    }

    fn cell(&self, column: Column) -> String {
        let Some((kind, summary)) = self.kind(column).and_then(|kind| Some((kind, self.summary(kind)?)))
        else {
            return "-".to_owned();
        };
        let unit = match self.scale {
            Scale::ToNginx if self.is_ratio(kind) => "",
            Scale::ToNginx => " µs",
            Scale::Unit(unit) => unit,
        };
        let parts = self.parts.get(&kind).map_or_else(String::new, |parts| {
            let [under, over] =
                [0, 1].map(|part| number(median(&parts.iter().map(|both| both[part]).collect::<Vec<_>>())));
            format!(" ({under}, {over} µs)")
        });
        let figure = match self.is_ratio(kind) {
            true => format!("{:.2}", summary.middle),
            false => number(summary.middle),
        };
        // A goal holds for what is told, and is missed by what can be read.
        let missed = column == Column::Rota && figure.parse().is_ok_and(|told: f64| told > self.goal);
        let bold = if missed { "**" } else { "" };
        format!("{bold}{figure}{unit}{bold}{parts}")
    }

    fn title(&self) -> String {
        let retry = self.summary(Kind::NginxFailover);
        let retry = retry.map_or_else(String::new, |own| format!(" (nginx's own retry {:.2})", own.middle));
        format!("{}{retry}: `--only {}`", self.title, self.id)
    }

    fn goal(&self) -> String {
        match self.scale {
            Scale::ToNginx => format!("{:.2}", self.goal),
            Scale::Unit(unit) => format!("{}{unit}", self.goal),
        }
    }

    fn join(&mut self, other: Self) {
        for (kind, more) in other.figures {
            self.figures.entry(kind).or_default().extend(more);
        }
        for (kind, more) in other.seen {
            self.seen.entry(kind).or_default().extend(more);
        }
        for (kind, more) in other.parts {
            self.parts.entry(kind).or_default().extend(more);
        }
    }
}

/// Three digits that say something, or all before the point.
fn number(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Several runs as one.
pub fn together(runs: Vec<Vec<Line>>) -> Vec<Line> {
    let mut runs = runs.into_iter();
    let mut lines = runs.next().unwrap_or_default();
    for run in runs {
        lines.iter_mut().zip(run).for_each(|(line, more)| line.join(more));
    }
    lines
}

/// The goals and what was measured, in docs/PERFORMANCE.md's shape: the mean of the middle half of all visits, what
/// misses its goal in bold, and between what the middle half of rota's visits lay.
pub fn goals(lines: &[Line]) -> String {
    let mut text =
        "| figure | goal | nginx | haproxy | floor | raw | rota | half of rota's visits | visits |\n\
                    |---|---|---|---|---|---|---|---|---|\n"
            .to_owned();
    for line in lines {
        let rota = line.kind(Column::Rota);
        let half = rota.and_then(|kind| line.summary(kind)).map_or_else(
            || "-".to_owned(),
            |summary| format!("{} to {}", number(summary.low), number(summary.high)),
        );
        let visits = rota.and_then(|kind| line.figures.get(&kind)).map_or(0, Vec::len);
        let cells = COLUMNS.map(|column| line.cell(column)).join(" | ");
        let _ = writeln!(text, "| {} | {} | {cells} | {half} | {visits} |", line.title(), line.goal());
    }
    text
}

/// The same visits as their clients saw them.
pub fn clients(lines: &[Line]) -> String {
    let mut text = "The same visits, as their clients saw them (medians; times in µs)\n\n\
                    | row | proxy | requests/s | p50 | p99 | first byte p50 / p99 | event on its way p50 / p99 |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for (line, (kind, seen)) in lines.iter().flat_map(|line| line.seen.iter().map(move |seen| (line, seen))) {
        let of = |read: fn(&Report) -> f64| number(median(&seen.iter().map(read).collect::<Vec<_>>()));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} / {} | {} / {} |",
            line.id,
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
    text
}

/// What each run came to for rota, and how far the runs are apart, for the others too: the greatest less the smallest, as
/// a share of the one in the middle. The last line is the widest of rota's rows that are processor time.
pub fn agreement(runs: &[Vec<Line>]) -> String {
    let mut text =
        "| row | rota, run by run | apart | haproxy | floor | raw |\n|---|---|---|---|---|---|\n".to_owned();
    let mut widest: Option<(f64, &str)> = None;
    let rows = runs.iter().map(Vec::len).min().unwrap_or(0);
    for row in 0..rows {
        let of = |column| -> Vec<f64> {
            let line = |run: &Vec<Line>| Some(run[row].summary(run[row].kind(column)?)?.middle);
            runs.iter().filter_map(line).collect()
        };
        let told = |figures: &[f64]| match figures {
            [] => "-".to_owned(),
            _ => format!("{:.1} %", apart(figures) * 100.0),
        };
        let (rota, line) = (of(Column::Rota), &runs[0][row]);
        let figures: Vec<String> = rota.iter().map(|figure| number(*figure)).collect();
        let others =
            [Column::Haproxy, Column::Floor, Column::Raw].map(|column| told(&of(column))).join(" | ");
        let _ = writeln!(text, "| {} | {} | {} | {others} |", line.id, figures.join(", "), told(&rota));
        if line.is_cpu && widest.is_none_or(|(widest, _)| apart(&rota) > widest) {
            widest = Some((apart(&rota), line.id));
        }
    }
    if let Some((widest, id)) = widest {
        let _ = writeln!(
            text,
            "\nrota's rows that are processor time agree within {:.1} % (the widest: {id})",
            widest * 100.0
        );
    }
    text
}

/// Which of rota's figures are less certain than to so many `percent`, and how certain; empty where none is.
pub fn unsure(lines: &[Line], percent: f64) -> String {
    let errors = lines.iter().filter_map(|line| Some((line.id, line.error()? * 100.0)));
    errors.filter(|(_, error)| *error > percent).fold(String::new(), |mut text, (id, error)| {
        let _ = writeln!(
            text,
            "{id}: rota's figure is certain to {error:.1} % only, after as many sittings as there may be"
        );
        text
    })
}

/// Puts the table of the goals between the marks of a document.
pub fn put(goals: &str, file: &Path) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let put = replaced(&text, goals).ok_or_else(|| {
        let [begin, end] = MARKS.map(str::trim);
        io::Error::other(format!("{}: a line `{begin}` and a line `{end}` are missing", file.display()))
    })?;
    fs::write(file, put)
}

fn replaced(text: &str, goals: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some([before, MARKS[0], "\n", goals, "\n", MARKS[1], after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_compared_with_nginx_of_the_same_turn_and_bold_where_it_misses_its_goal() {
        // The machine was twice as slow in the second half: the ratio is the same.
        let table = goals(&[request(1.25, 1.5), request(1.25, 1.0), {
            let mut start = Line::new("start", "start to first 200", 30.0, Scale::Unit(" ms"), false);
            [9.0, 9.5, 10.0].into_iter().for_each(|figure| start.note_figure(Kind::Rota, figure));
            start
        }]);
        let expected = "| figure | goal | nginx | haproxy | floor | raw | rota | half of rota's visits | visits |\n\
             |---|---|---|---|---|---|---|---|---|\n\
             | one request: `--only cpu-c1` | 1.50 | 30.0 µs | - | - | - | 1.25 | 1.25 to 1.25 | 4 |\n\
             | one request: `--only cpu-c1` | 1.00 | 30.0 µs | - | - | - | **1.25** | 1.25 to 1.25 | 4 |\n\
             | start to first 200: `--only start` | 30 ms | - | - | - | - | 9.50 ms | 9.00 to 10.0 | 3 |\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_ratio_tells_what_it_is_the_ratio_of_and_a_failover_what_nginx_does_itself() {
        let mut threads = Line::new("threads", "two threads", 1.1, Scale::Unit(""), true);
        threads.note_ratio(Kind::Rota, [20.0, 25.0]);
        let mut failover = Line::new("failover-c1", "one failover", 1.7, Scale::ToNginx, true);
        for (kind, figure) in [
            (Kind::Nginx, 10.0),
            (Kind::NginxFailover, 30.0),
            (Kind::FloorFailover, 14.0),
            (Kind::RotaFailover, 16.0),
        ] {
            failover.note_figure(kind, figure);
        }
        let table = goals(&[threads, failover]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| two threads: `--only threads` | 1.1 | - | - | - | - | **1.25** (20.0, 25.0 µs) | 1.25 to 1.25 | 1 |",
                "| one failover (nginx's own retry 3.00): `--only failover-c1` | 1.70 | 10.0 µs | - | 1.40 | - | 1.60 | 1.60 to 1.60 | 1 |",
            ]
        );
    }

    #[test]
    fn runs_are_as_far_apart_as_their_figures_and_together_they_are_one() {
        let runs = [request(1.00, 1.0), request(1.04, 1.0), request(1.02, 1.0)].map(|line| vec![line]);
        let expected = "| row | rota, run by run | apart | haproxy | floor | raw |\n|---|---|---|---|---|---|\n\
             | cpu-c1 | 1.00, 1.04, 1.02 | 3.9 % | - | - | - |\n\n\
             rota's rows that are processor time agree within 3.9 % (the widest: cpu-c1)\n";
        assert_eq!(agreement(&runs), expected);
        let whole = together(runs.to_vec());
        assert_eq!(whole[0].figures.get(&Kind::Rota).map(Vec::len), Some(12));
    }

    #[test]
    fn a_documents_table_is_replaced_between_its_marks_and_nothing_else() {
        let [begin, end] = MARKS;
        let text = format!("before\n{begin}old\n{end}after\n");
        assert_eq!(replaced(&text, "new\n"), Some(format!("before\n{begin}\nnew\n\n{end}after\n")));
        assert_eq!(replaced("no marks", "new"), None);
    }

    /// Four turns, in which rota took `ratio` of nginx's time, twice on a slower machine.
    fn request(ratio: f64, goal: f64) -> Line {
        let mut line = Line::new("cpu-c1", "one request", goal, Scale::ToNginx, true);
        for nginx in [20.0, 20.0, 40.0, 40.0] {
            line.note_figure(Kind::Nginx, nginx);
            line.note_figure(Kind::Rota, nginx * ratio);
        }
        line
    }
}
