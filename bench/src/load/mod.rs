//! The load: requests over kept-alive connections, each reply read to its end. `client` is one connection; `closed` asks
//! again as soon as it is answered, `rate` at moments that were fixed before, `idle` holds streams open.
mod client;
mod closed;
mod idle;
mod rate;

pub use client::{Client, Exchange};
pub use closed::{Paced, closed};
pub use idle::idle;
pub use rate::rate;

use crate::stats::percentile;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;

/// What is asked for, and by how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The proxy.
    pub to: SocketAddr,
    /// Path and query; what the mock upstream understands of it is in [`crate::upstream`].
    pub target: String,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// Bytes of a request's body, at least [`Plan::LEAST_BODY`].
    pub body: usize,
    /// Bytes of an event, where replies are streams: what tells one event from the next.
    pub event: Option<usize>,
    /// Whether requests name a conversation, one a connection.
    pub session: Session,
}

/// Whether requests name a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// Each connection its own.
    Named,
    /// None.
    Nameless,
}

impl Plan {
    /// The shortest body.
    pub const LEAST_BODY: usize = 128;

    /// A request as it goes over the wire, on the connection with this number.
    pub fn request(&self, connection: usize) -> Vec<u8> {
        let session = match self.session {
            Session::Named => format!("\"prompt_cache_key\":\"session-{connection}\","),
            Session::Nameless => String::new(),
        };
        let mut body = format!("{{\"model\":\"m-1\",{session}\"stream\":true,\"input\":[");
        let turn = "{\"role\":\"user\",\"content\":\"What does this function return when the list is empty, and why does the second test expect an error?\"},";
        while body.len() + turn.len() + 64 < self.body {
            body.push_str(turn);
        }
        let end = "{\"role\":\"user\",\"content\":\"\"}]}";
        let padding = self.body.saturating_sub(body.len() + end.len());
        body.push_str(&end[..end.len() - 4]);
        body.extend(std::iter::repeat_n('a', padding));
        body.push_str(&end[end.len() - 4..]);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nuser-agent: rota-bench\r\naccept: */*\r\nauthorization: Bearer client\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.target,
            self.to,
            body.len()
        );
        [head.into_bytes(), body.into_bytes()].concat()
    }
}

/// How long a closed load lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many requests, over all connections.
    Requests(u64),
    /// Until so many seconds have passed; what has begun is ended.
    Seconds(f64),
}

/// What was measured. Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Requests that were answered 200 and whole.
    pub requests: u64,
    /// Requests that were answered otherwise.
    pub failed: u64,
    /// Events that came.
    pub events: u64,
    /// From the first request to the last reply.
    pub seconds: f64,
    /// From a request to the end of its reply: median.
    pub p50: f64,
    /// The same, 99 of 100.
    pub p99: f64,
    /// From a request to the first byte of its reply's body: median.
    pub first_p50: f64,
    /// The same, 99 of 100.
    pub first_p99: f64,
    /// From an event's sending to its arrival: median.
    pub event_p50: f64,
    /// The same, 99 of 100.
    pub event_p99: f64,
}

/// What one connection saw, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    whole: Vec<u64>,
    first: Vec<u64>,
    added: Vec<u64>,
    events: u64,
    failed: u64,
}

impl Seen {
    /// Notes one exchange that took `whole`.
    fn note(&mut self, exchange: &Exchange, whole: u64) {
        if exchange.status == 200 {
            self.whole.push(whole);
            self.first.push(exchange.first);
            self.events += exchange.events;
        } else {
            self.failed += 1;
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.whole.extend(other.whole);
        self.first.extend(other.first);
        self.added.extend(other.added);
        self.events += other.events;
        self.failed += other.failed;
        self
    }

    fn report(mut self, seconds: f64) -> Report {
        for values in [&mut self.whole, &mut self.first, &mut self.added] {
            values.sort_unstable();
        }
        let micros = |values: &[u64], share| percentile(values, share) as f64 / 1e3;
        Report {
            requests: self.whole.len() as u64,
            failed: self.failed,
            events: self.events,
            seconds,
            p50: micros(&self.whole, 0.5),
            p99: micros(&self.whole, 0.99),
            first_p50: micros(&self.first, 0.5),
            first_p99: micros(&self.first, 0.99),
            event_p50: micros(&self.added, 0.5),
            event_p99: micros(&self.added, 0.99),
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A connection could not be made, or broke off in the middle of a reply.
    #[error("{0}: {1}")]
    Broken(SocketAddr, io::Error),
    /// Nothing was answered as it should be, and so nothing was measured.
    #[error("{0}: the first request was answered {1}")]
    Turned(SocketAddr, u16),
}

/// One client a connection, each of which has been answered once.
pub async fn connect(plan: &Plan) -> Result<Vec<Client>, LoadError> {
    let mut clients = Vec::new();
    for number in 0..plan.connections {
        clients.push(connect_one(plan, number).await?);
    }
    Ok(clients)
}

/// The client with this number. That it has been answered leaves nothing to set up when the measuring begins.
async fn connect_one(plan: &Plan, number: usize) -> Result<Client, LoadError> {
    let broken = |error| LoadError::Broken(plan.to, error);
    let plain = Plan { target: "/v1/responses?bytes=256".to_owned(), event: None, body: 0, ..plan.clone() };
    let mut client = Client::connect(plan, number).await.map_err(broken)?;
    let exchange = client.warm(&plain.request(number)).await.map_err(broken)?;
    if exchange.status != 200 {
        return Err(LoadError::Turned(plan.to, exchange.status));
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Body, Head};

    #[test]
    fn a_request_has_the_body_that_was_asked_for_and_is_json() {
        for (body, session) in [(0, Session::Named), (1024, Session::Nameless), (200 * 1024, Session::Named)]
        {
            let plan = Plan {
                to: ([127, 0, 0, 1], 80).into(),
                target: "/v1/responses".to_owned(),
                connections: 1,
                body,
                event: None,
                session,
            };
            let request = plan.request(3);
            let (head, length) = Head::find(&request).expect("a head");
            let text = &request[length..];
            assert_eq!(head.body(), Body::Left(text.len() as u64));
            assert!(body < Plan::LEAST_BODY || text.len() == body, "{} for {body}", text.len());
            let read: serde_json::Value = serde_json::from_slice(text).expect("JSON");
            assert_eq!(read["prompt_cache_key"].as_str().is_some(), session == Session::Named);
        }
    }

    #[test]
    fn a_report_counts_what_went_wrong_apart_from_what_was_measured() {
        let answered = Exchange { status: 200, first: 2_000, events: 4 };
        let mut seen = Seen::default();
        seen.note(&answered, 5_000);
        seen.note(&Exchange { status: 503, ..answered }, 9_000);
        let report = seen.clone().join(seen).report(1.5);
        let expected = Report {
            requests: 2,
            failed: 2,
            events: 8,
            seconds: 1.5,
            p50: 5.0,
            p99: 5.0,
            first_p50: 2.0,
            first_p99: 2.0,
            ..Report::default()
        };
        assert_eq!(report, expected);
    }
}
