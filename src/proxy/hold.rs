//! The beginning of a streamed success, held back until its first word: a refusal that comes before it can still be
//! answered by another account (FLO-9). Whatever is read here stays the reply's, byte for byte.
use super::events::Events;
use super::meaning::{Meaning, meaning};
use crate::model::EventRules;
use crate::upstream::{Reply, Unpack};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt;
use std::time::Duration;

/// Events that may come before the first word.
const EVENTS: usize = 16;
/// Bytes of them.
const BYTES: usize = 64 * 1024;
/// How long the head waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the beginning says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// An answer, or something that nobody here understands: the client's.
    Answer,
    /// A refusal, in this event's data.
    Refusal(Bytes),
}

/// True for a reply whose events are watched.
pub(super) fn streams(reply: &Reply) -> bool {
    let kind = reply.head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let stream = b"text/event-stream";
    reply.head.status.is_success()
        && kind.is_some_and(|kind| {
            kind.len() >= stream.len() && kind[..stream.len()].eq_ignore_ascii_case(stream)
        })
}

/// Reads on until the first word, or until it is not worth waiting for.
pub(super) async fn hold(reply: &mut Reply, rules: &EventRules) -> Begun {
    let mut sight = Sight {
        unpack: Unpack::by(reply.head.headers.get(CONTENT_ENCODING)),
        events: Events::default(),
        rules,
        count: 0,
        begun: None,
    };
    let mut kept = Vec::new();
    let mut bytes = 0;
    let reading = async {
        while sight.begun.is_none()
            && bytes < BYTES
            && let Some(Ok(frame)) = reply.body.frame().await
        {
            if let Some(data) = frame.data_ref() {
                bytes += data.len();
                sight.read(data);
            }
            kept.push(frame);
        }
    };
    // What is late is late: the head waits no longer.
    let _ = tokio::time::timeout(PATIENCE, reading).await;
    for frame in kept.into_iter().rev() {
        reply.body.put_back(frame);
    }
    sight.begun.unwrap_or(Begun::Answer)
}

struct Sight<'a> {
    unpack: Unpack,
    events: Events,
    rules: &'a EventRules,
    count: usize,
    begun: Option<Begun>,
}

impl Sight<'_> {
    fn read(&mut self, data: &[u8]) {
        let Self { unpack, events, rules, count, begun } = self;
        unpack.read(data, |text| {
            events.read(
                text,
                |_| true,
                |event| {
                    if begun.is_some() {
                        return;
                    }
                    *count += 1;
                    *begun = match meaning(rules, event) {
                        Meaning::Handshake | Meaning::Silent if *count < EVENTS => None,
                        Meaning::Content | Meaning::Handshake | Meaning::Last | Meaning::Silent => {
                            Some(Begun::Answer)
                        }
                        Meaning::Refusal => Some(Begun::Refusal(Bytes::copy_from_slice(&event.data))),
                    };
                },
            );
        });
    }
}
