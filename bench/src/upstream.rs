//! The mock upstream: says at once what a request's target asks for, and does nothing else. It speaks the dialect of a
//! Responses API as far as a proxy looks at it: ids, event names, rate-limit headers.
//!
//! `?bytes=N` is a JSON reply of N bytes. `?events=N&size=S&pause=MS` is a stream of N events of S bytes, MS
//! milliseconds apart (0: as fast as they go; `step`: each when the client has taken the one before). A bearer token that
//! begins with `spent` is answered 429. With [`Manner::Settled`] every answer and every step comes a moment later, when
//! the proxy sleeps.
use crate::clock::Moment;
use crate::wire::{Head, Link};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What a bearer token begins with that is turned away.
pub const SPENT: &str = "spent";
/// What an event of a stream begins with, up to when it was sent.
pub const STAMPED: &str = "event: response.output_text.delta\ndata: {\"at\":\"";
/// How many digits tell when it was sent: nanoseconds of the monotonic clock.
pub const STAMP: usize = 20;
/// The shortest event there is.
pub const LEAST_EVENT: usize = 192;

const JSON_BYTES: usize = 2048;
const JSON_START: &str = "{\"id\":\"resp_";
const ENDED: &str = "event: response.completed\ndata: {\"at\":\"";
const LIMITS: &str = "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: 9000\r\n\
     x-ratelimit-reset-requests: 6s\r\nx-request-id: req_0123456789abcdef\r\n";
const TURNED_AWAY: &str = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 53\r\n\r\n\
     {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit\"}}";

/// Lets streams with `pause=step` go on: one event a permit.
#[derive(Clone, Debug)]
pub struct Steps(Arc<Semaphore>);

impl Default for Steps {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Steps {
    /// One more event may go.
    pub fn go_on(&self) {
        self.0.add_permits(1);
    }

    async fn wait(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Json { bytes: usize },
    Stream { events: u64, size: usize, pause: Pause },
    TurnedAway,
}

/// What lies between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    Millis(u64),
    Step,
}

/// How soon it answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// At once.
    Prompt(Steps),
    /// When the proxy has nothing left to do but to wait, so that it does the same each time: what is counted would else
    /// depend on who is faster.
    Settled(Steps),
}

/// For a proxy under callgrind to go to sleep; one event takes it a fifth of that.
pub const SETTLING: Duration = Duration::from_millis(2);

impl Manner {
    async fn settle(&self) {
        match self {
            Self::Prompt(_) => {}
            Self::Settled(_) => tokio::time::sleep(SETTLING).await,
        }
    }

    async fn step(&self) {
        match self {
            Self::Prompt(steps) | Self::Settled(steps) => steps.wait().await,
        }
        self.settle().await;
    }
}

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, manner: Manner) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let manner = manner.clone();
        tokio::spawn(async move {
            // Whoever hangs up in the middle has what it wants.
            let _ = connection(stream, &manner).await;
        });
    }
}

async fn connection(stream: TcpStream, manner: &Manner) -> io::Result<()> {
    let mut link = Link::new(stream)?;
    let (mut out, mut served) = (Vec::new(), 0);
    let is_last =
        |head: Head<'_>| head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    while let Some(((reply, is_last), body)) = link.head(|head| (asked(head), is_last(head))).await? {
        link.swallow(body).await?;
        manner.settle().await;
        match reply {
            Reply::Json { bytes } => {
                served += 1;
                json(&mut out, bytes, served);
                link.send(&out).await?;
            }
            Reply::Stream { events, size, pause } => {
                stream_events(&mut link, Stream { events, size, pause }, manner, &mut out).await?;
            }
            Reply::TurnedAway => link.send(TURNED_AWAY.as_bytes()).await?,
        }
        if is_last {
            break;
        }
    }
    Ok(())
}

/// Answers every request 429, until it is dropped: a server that has had enough.
pub async fn refuse(listener: TcpListener) -> io::Result<()> {
    loop {
        let mut link = Link::new(listener.accept().await?.0)?;
        tokio::spawn(async move {
            while let Ok(Some(((), body))) = link.head(|_| ()).await {
                let read = link.swallow(body).await;
                if read.is_err() || link.send(TURNED_AWAY.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn asked(head: Head<'_>) -> Reply {
    let spent = |token: &str| token.strip_prefix("Bearer ").is_some_and(|token| token.starts_with(SPENT));
    if head.field("authorization").is_some_and(spent) {
        return Reply::TurnedAway;
    }
    let query = head.word(1).split_once('?').map_or("", |(_, query)| query);
    let told = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|pair| pair.1)
    };
    let number = |name: &str| told(name).and_then(|text| text.parse().ok());
    match number("events") {
        Some(events) => Reply::Stream {
            events,
            size: number("size").map_or(LEAST_EVENT, |size| usize::try_from(size).unwrap_or(LEAST_EVENT)),
            pause: if told("pause") == Some("step") {
                Pause::Step
            } else {
                Pause::Millis(number("pause").unwrap_or(0))
            },
        },
        None => Reply::Json {
            bytes: number("bytes").map_or(JSON_BYTES, |bytes| usize::try_from(bytes).unwrap_or(JSON_BYTES)),
        },
    }
}

/// A reply of `bytes` bytes whose id no reply on this connection had before.
fn json(out: &mut Vec<u8>, bytes: usize, served: u64) {
    out.clear();
    let end = "\",\"object\":\"response\",\"status\":\"completed\",\"output_text\":\"";
    let padding = bytes.saturating_sub(JSON_START.len() + STAMP + end.len() + 2);
    let length = JSON_START.len() + STAMP + end.len() + padding + 2;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{LIMITS}content-length: {length}\r\n\r\n{JSON_START}{served:020}{end}"
    );
    out.extend_from_slice(head.as_bytes());
    out.resize(out.len() + padding, b'a');
    out.extend_from_slice(b"\"}");
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    events: u64,
    size: usize,
    pause: Pause,
}

async fn stream_events(
    link: &mut Link,
    stream: Stream,
    manner: &Manner,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{LIMITS}transfer-encoding: chunked\r\n\r\n"
    );
    link.send(head.as_bytes()).await?;
    event(out, STAMPED, stream.size);
    let stamp_at = stamp_in(out);
    for sent in 1..=stream.events {
        if sent == stream.events {
            event(out, ENDED, stream.size);
        } else {
            let now = format!("{:020}", Moment::now().0);
            out[stamp_at..stamp_at + STAMP].copy_from_slice(now.as_bytes());
        }
        link.send(out).await?;
        match stream.pause {
            Pause::Millis(0) => {}
            Pause::Millis(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
            Pause::Step => manner.step().await,
        }
    }
    link.send(b"0\r\n\r\n").await
}

/// One event of `size` bytes, as a chunk.
fn event(out: &mut Vec<u8>, start: &str, size: usize) {
    out.clear();
    let kind = "\",\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\"";
    let end = "\"}\n\n";
    let size = size.max(LEAST_EVENT);
    let padding = size - start.len() - STAMP - kind.len() - end.len();
    out.extend_from_slice(format!("{size:x}\r\n{start}{:020}{kind}", 0).as_bytes());
    out.resize(out.len() + padding, b'x');
    out.extend_from_slice(end.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn stamp_in(event: &[u8]) -> usize {
    event.iter().position(|byte| *byte == b'\n').map_or(0, |line| line + 1 + STAMPED.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Body;

    #[test]
    fn the_target_tells_what_to_answer() {
        for (target, token, reply) in [
            ("/v1/responses", "fresh", Reply::Json { bytes: 2048 }),
            ("/v1/responses?bytes=99", "fresh", Reply::Json { bytes: 99 }),
            ("/x?events=3&size=300&pause=10", "fresh", stream(3, 300, Pause::Millis(10))),
            ("/x?events=3&pause=step", "fresh", stream(3, LEAST_EVENT, Pause::Step)),
            ("/x?events=3", "spent-1", Reply::TurnedAway),
        ] {
            let text = format!("POST {target} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n");
            let (head, _) = Head::find(text.as_bytes()).expect("a head");
            assert_eq!(asked(head), reply, "{target}");
        }
    }

    #[test]
    fn an_event_is_as_long_as_it_was_asked_to_be_and_holds_its_stamp_at_one_place() {
        for size in [0, LEAST_EVENT, 500] {
            let mut out = Vec::new();
            event(&mut out, STAMPED, size);
            let at = stamp_in(&out);
            assert_eq!(&out[at..at + STAMP], [b'0'; STAMP]);
            let mut body = Body::Size { digits: 0, size: 0 };
            let (_, payload) = body.feed(&out);
            assert_eq!(payload.len(), size.max(LEAST_EVENT));
            assert!(payload.starts_with(STAMPED.as_bytes()) && payload.ends_with(b"\"}\n\n"));
        }
    }

    /// A byte more would cost the proxy its connection, and the failover rows a new one each.
    #[test]
    fn a_refusal_has_the_length_it_names() {
        let (head, length) = Head::find(TURNED_AWAY.as_bytes()).expect("a head");
        assert_eq!(head.body(), Body::Left((TURNED_AWAY.len() - length) as u64));
    }

    #[test]
    fn a_json_reply_has_the_length_it_names() {
        let mut out = Vec::new();
        json(&mut out, JSON_BYTES, 7);
        let (head, length) = Head::find(&out).expect("a head");
        assert_eq!(head.body(), Body::Left(2048));
        assert_eq!(out.len() - length, 2048);
        serde_json::from_slice::<serde_json::Value>(&out[length..]).expect("JSON");
    }

    fn stream(events: u64, size: usize, pause: Pause) -> Reply {
        Reply::Stream { events, size, pause }
    }
}
