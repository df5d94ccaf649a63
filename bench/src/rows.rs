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
}

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
    /// Again as soon as it is answered, for a round's time.
    Closed,
    /// So many requests in all, again as soon as it is answered.
    Requests(u64),
    /// So many requests a second, for a round's time.
    Rate(f64),
}

impl Work {
    /// Arguments of `rota-bench load` for a visit of `seconds`.
    pub fn arguments(&self, failover: Failover, seconds: f64) -> Vec<String> {
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
            Pace::Closed => arguments.push(format!("--seconds={seconds}")),
            Pace::Requests(requests) => arguments.push(format!("--requests={requests}")),
            Pace::Rate(rate) => {
                arguments.extend([format!("--seconds={seconds}"), format!("--rate={rate}")]);
            }
        }
        arguments
    }
}

const KIB: usize = 1024;

const fn plain(id: &'static str, title: &'static str, connections: usize, body: usize, goal: f64) -> Row {
    let work = Work { connections, body, reply: Reply::Json, pace: Pace::Closed };
    Row {
        id,
        title,
        work,
        layout: Layout::OneCore,
        figure: Figure::CpuPerRequest,
        goal,
        failover: Failover::Never,
    }
}

const fn streams(id: &'static str, title: &'static str, connections: usize, reply: Reply, goal: f64) -> Row {
    let work = Work { connections, body: KIB, reply, pace: Pace::Requests(connections as u64) };
    Row { work, figure: Figure::CpuPerEvent, ..plain(id, title, connections, KIB, goal) }
}

/// Every row, in the order of docs/PERFORMANCE.md.
pub const ROWS: &[Row] = &[
    plain("cpu-c1", "CPU per request, 1 connection, 1 KB in, 2 KB out", 1, KIB, 1.00),
    plain("cpu-c32", "CPU per request, 32 connections", 32, KIB, 1.00),
    plain("cpu-c256", "CPU per request, 256 connections", 256, KIB, 1.10),
    plain("post-200k", "CPU per 200 KB POST, kept for replay", 4, 200 * KIB, 0.40),
    plain("post-1m", "CPU per 1 MB POST, kept for replay", 4, 1024 * KIB, 0.30),
    Row {
        layout: Layout::OwnCore,
        figure: Figure::P99,
        work: Work { connections: 16, body: KIB, reply: Reply::Json, pace: Pace::Rate(2000.0) },
        ..plain("p99", "p99 at 2000 requests/s", 16, KIB, 1.3)
    },
    streams(
        "sse-100",
        "CPU per SSE event, 100 streams, 10 ms apart",
        100,
        Reply::Stream { events: 150, size: 200, pause: 10 },
        1.00,
    ),
    streams(
        "sse-flood",
        "CPU per SSE event, flood (8 streams, no pause)",
        8,
        Reply::Stream { events: 30_000, size: LEAST_EVENT, pause: 0 },
        1.00,
    ),
    Row {
        work: Work {
            connections: 8,
            body: 38 * KIB,
            reply: Reply::Stream { events: 40, size: 250, pause: 1 },
            pace: Pace::Closed,
        },
        ..plain("turn", "CPU per Codex-shaped turn: 38 KB in, 40 events out", 8, 38 * KIB, 1.10)
    },
    Row {
        failover: Failover::Each,
        ..plain(
            "failover-c1",
            "CPU per failover (429, then 200) against a plain request, 1 connection",
            1,
            KIB,
            1.7,
        )
    },
    Row {
        failover: Failover::Each,
        ..plain("failover-c32", "CPU per failover against a plain request, 32 connections", 32, KIB, 1.6)
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
        let arguments = flood.work.arguments(Failover::Never, 2.0).join(" ");
        assert_eq!(
            arguments,
            "--target=/v1/responses?events=30000&size=192&pause=0 --connections=8 --body=1024 --event=192 --requests=8"
        );
    }
}
