//! What is measured: one row a figure, with the load that makes it.
use crate::proxies::{Kind, Place};
use crate::upstream::LEAST_EVENT;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name on the command line.
    pub id: &'static str,
    /// What a reader is told.
    pub title: &'static str,
    /// What the client does.
    pub work: Work,
    /// Who runs where.
    pub layout: Layout,
    /// What is read off.
    pub figure: Figure,
    /// The ratio to nginx that rota is to stay below.
    pub goal: f64,
    /// Whether rota fails over in each request. The others answer plainly.
    pub failover: Failover,
    /// How long a visit lasts where nobody is in a hurry, in seconds: what says how often there is time for one.
    pub lasts: f64,
}

impl Row {
    /// True where the figure is processor time.
    pub fn is_cpu(&self) -> bool {
        match self.figure {
            Figure::CpuPerRequest | Figure::CpuPerEvent => true,
            Figure::P99 => false,
        }
    }

    /// Visits to each proxy that there is time for in so many seconds.
    pub fn visits(&self, seconds: f64) -> usize {
        ((seconds / self.lasts).round() as usize).max(LEAST_VISITS)
    }
}

/// Visits to each proxy, however long they last: of two in each sitting, figures of two runs were up to 9 % apart.
const LEAST_VISITS: usize = 5;

/// Whether rota fails over in each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    /// The first account is turned away, the second one serves.
    Each,
    /// No.
    Never,
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Upstream, client and proxy take turns on one processor: the path of the code, with the least noise.
    OneCore,
    /// The proxy has a processor of its own.
    OwnCore,
}

impl Layout {
    /// Where the proxy runs.
    pub fn proxy(self) -> Place {
        let cores = match self {
            Self::OneCore => "0",
            Self::OwnCore => "1",
        };
        Place { cores, threads: 1 }
    }

    /// Where upstream and client run.
    pub fn ends(self) -> Place {
        Place { cores: "0", threads: 1 }
    }
}

/// What is read off a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Processor time of the proxy's processes, per request.
    CpuPerRequest,
    /// The same, per event.
    CpuPerEvent,
    /// From the moment a request was due to the end of its reply, 99 of 100.
    P99,
}

/// What the client does on one visit.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Connections.
    pub connections: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// What is answered.
    pub reply: Reply,
    /// How it asks.
    pub pace: Pace,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// 2 KB of JSON.
    Json,
    /// A stream.
    Stream {
        /// How many events.
        events: u64,
        /// How long each is.
        size: usize,
        /// Milliseconds between two.
        pause: u64,
    },
}

/// How it asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many requests a visit, again as soon as it is answered: every proxy does the same work.
    Burst(u64),
    /// Once; what is answered is held.
    Held,
    /// So many requests a second, for a second.
    Rate(f64),
}

impl Work {
    /// Arguments of `rota-bench load` for a visit.
    pub fn arguments(&self, failover: Failover) -> Vec<String> {
        let target = match self.reply {
            Reply::Json => "/v1/responses?bytes=2048".to_owned(),
            Reply::Stream { events, size, pause } => {
                format!("/v1/responses?events={events}&size={size}&pause={pause}")
            }
        };
        let mut arguments = vec![
            format!("--target={target}"),
            format!("--connections={}", self.connections),
            format!("--body={}", self.body),
        ];
        if let Reply::Stream { size, .. } = self.reply {
            arguments.push(format!("--event={size}"));
        }
        if failover == Failover::Each {
            arguments.push("--nameless".to_owned());
        }
        match self.pace {
            Pace::Burst(requests) => arguments.push(format!("--requests={requests}")),
            Pace::Held => arguments.push("--idle".to_owned()),
            Pace::Rate(rate) => arguments.extend(["--seconds=1".to_owned(), format!("--rate={rate}")]),
        }
        arguments
    }
}

const KIB: usize = 1024;

/// How long most visits last: short ones that are close to each other see the same machine.
const SHORT: f64 = 0.1;

const fn posts(id: &'static str, title: &'static str, [connections, body]: [usize; 2], burst: u64) -> Row {
    Row {
        id,
        title,
        work: Work { connections, body, reply: Reply::Json, pace: Pace::Burst(burst) },
        layout: Layout::OneCore,
        figure: Figure::CpuPerRequest,
        goal: 1.00,
        failover: Failover::Never,
        lasts: SHORT,
    }
}

/// A stream for each connection.
const fn streams(id: &'static str, title: &'static str, connections: usize, reply: Reply) -> Row {
    let work = Work { connections, body: KIB, reply, pace: Pace::Burst(connections as u64) };
    Row { work, figure: Figure::CpuPerEvent, ..posts(id, title, [connections, KIB], 0) }
}

/// Every row, in the order of docs/PERFORMANCE.md.
pub const ROWS: &[Row] = &[
    posts("cpu-c1", "CPU per request, 1 connection, 1 KB in, 2 KB out", [1, KIB], 1500),
    posts("cpu-c32", "CPU per request, 32 connections", [32, KIB], 2048),
    Row { goal: 1.10, ..posts("cpu-c256", "CPU per request, 256 connections", [256, KIB], 2048) },
    Row { goal: 0.40, ..posts("post-200k", "CPU per 200 KB POST, kept for replay", [4, 200 * KIB], 300) },
    Row {
        goal: 0.30,
        // Twice as often: a megabyte's way through the caches differs most from one visit to the next.
        lasts: SHORT / 2.0,
        ..posts("post-1m", "CPU per 1 MB POST, kept for replay", [4, 1024 * KIB], 80)
    },
    Row {
        layout: Layout::OwnCore,
        figure: Figure::P99,
        work: Work { connections: 16, body: KIB, reply: Reply::Json, pace: Pace::Rate(2000.0) },
        goal: 1.3,
        lasts: 1.0,
        ..posts("p99", "p99 at 2000 requests/s", [16, KIB], 0)
    },
    Row {
        lasts: 1.5,
        ..streams(
            "sse-100",
            "CPU per SSE event, 100 streams, 10 ms apart",
            100,
            Reply::Stream { events: 150, size: 200, pause: 10 },
        )
    },
    streams(
        "sse-flood",
        "CPU per SSE event, flood (8 streams, no pause)",
        8,
        Reply::Stream { events: 10_000, size: LEAST_EVENT, pause: 0 },
    ),
    Row {
        work: Work {
            connections: 8,
            body: 38 * KIB,
            reply: Reply::Stream { events: 40, size: 250, pause: 1 },
            pace: Pace::Burst(32),
        },
        goal: 1.10,
        lasts: 0.2,
        ..posts("turn", "CPU per Codex-shaped turn: 38 KB in, 40 events out", [8, 38 * KIB], 0)
    },
    Row {
        failover: Failover::Each,
        goal: 1.7,
        ..posts(
            "failover-c1",
            "CPU per failover (429, then 200) against a plain request, 1 connection",
            [1, KIB],
            1000,
        )
    },
    Row {
        failover: Failover::Each,
        goal: 1.6,
        ..posts("failover-c32", "the same, 32 connections", [32, KIB], 1504)
    },
];

/// Whom a row visits.
pub fn kinds(row: &Row) -> &'static [Kind] {
    match row.failover {
        Failover::Each => &[Kind::Nginx, Kind::NginxFailover, Kind::FloorFailover, Kind::RotaFailover],
        Failover::Never => &[Kind::Nginx, Kind::Haproxy, Kind::Floor, Kind::Raw, Kind::Rota],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_row_has_a_name_of_its_own_and_is_compared_with_nginx() {
        let names: BTreeSet<&str> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(names.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| kinds(row).contains(&Kind::Nginx)));
    }

    #[test]
    fn a_row_says_the_load_it_needs() {
        let flood = ROWS.iter().find(|row| row.id == "sse-flood").expect("a row");
        let arguments = flood.work.arguments(Failover::Never).join(" ");
        assert_eq!(
            arguments,
            "--target=/v1/responses?events=10000&size=192&pause=0 --connections=8 --body=1024 --event=192 --requests=8"
        );
    }

    #[test]
    fn a_short_visit_is_made_more_often_than_a_long_one_and_none_only_once() {
        let visits = |id| ROWS.iter().find(|row| row.id == id).map(|row: &Row| row.visits(1.0));
        let told = ["post-1m", "cpu-c32", "turn", "sse-100"].map(visits);
        assert_eq!(told, [Some(20), Some(10), Some(5), Some(5)]);
    }
}
