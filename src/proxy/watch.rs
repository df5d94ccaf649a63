//! What a reply tells while it passes: refusals that come after the first word, marks of what only this account can
//! read, and whether a stream has ended whole. It looks at a decoded copy of each piece; the client's bytes are not its
//! business. Of an answer as it should be no event is parsed: its name says enough, and one without a name is searched
//! for the few words that matter.
use super::events::{Event, Events};
use super::markers::Markers;
use super::meaning::{Meaning, among, meaning};
use crate::affinity::Mark;
use crate::model::{EventRules, Provider};
use crate::upstream::Unpack;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use memchr::memmem;
use std::sync::Arc;

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Something that only the account can read or resolve.
    Mark(Mark),
    /// The upstream turned the request down, in this event's data.
    Refusal(Bytes),
}

/// Watches one reply's body.
#[derive(Debug)]
pub(super) struct Watch {
    provider: Arc<Provider>,
    unpack: Unpack,
    /// None for a body that is no stream of events.
    stream: Option<Stream>,
    markers: Markers,
}

#[derive(Debug, Default)]
struct Stream {
    events: Events,
    course: Course,
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Course {
    /// No event yet.
    #[default]
    Unknown,
    /// It speaks the preset's dialect, whose streams end with an event that says so.
    Open,
    /// Nothing is known of how it ends.
    Unjudged,
    /// It has shown its last event.
    Whole,
}

/// What kind of body it is, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Events,
    Json,
    Other,
}

impl Watch {
    /// Of a reply with these headers; none where its body tells nothing.
    pub(super) fn of(provider: &Arc<Provider>, headers: &HeaderMap) -> Option<Self> {
        let conversation = &provider.conversation;
        let stream = match shape(headers) {
            Shape::Events if conversation.watches() => Some(Stream::default()),
            Shape::Json if !conversation.markers.is_empty() => None,
            Shape::Events | Shape::Json | Shape::Other => return None,
        };
        Some(Self {
            markers: Markers::of(conversation.markers.clone()),
            provider: Arc::clone(provider),
            unpack: Unpack::by(headers.get(CONTENT_ENCODING)),
            stream,
        })
    }

    /// Reads on.
    pub(super) fn read(&mut self, piece: &[u8], mut seen: impl FnMut(Seen)) {
        let Self { provider, unpack, stream, markers } = self;
        let rules = &provider.conversation.events;
        unpack.read(piece, |text| {
            markers.read(text, |found| seen(Seen::Mark(found.mark)));
            let Some(Stream { events, course }) = stream else {
                return;
            };
            let wants = |name: &str| name.is_empty() || among(&rules.refusal, name);
            events.read(text, wants, |event| {
                let meaning = match *course {
                    Course::Unknown => meaning(rules, event),
                    Course::Open | Course::Unjudged | Course::Whole if tells(rules, event) => {
                        meaning(rules, event)
                    }
                    Course::Open | Course::Unjudged | Course::Whole => Meaning::Content,
                };
                // What a long event without a name would have said, nobody knows.
                let lost = event.cut && event.name.is_empty() && *course != Course::Whole;
                *course = if lost { Course::Unjudged } else { course.after(meaning) };
                if meaning == Meaning::Refusal {
                    seen(Seen::Refusal(Bytes::copy_from_slice(&event.data)));
                }
            });
        });
    }

    /// True for a stream that should have told of its end and has not; also for one that never said anything.
    pub(super) fn is_unfinished(&self) -> bool {
        let open = |stream: &Stream| matches!(stream.course, Course::Open | Course::Unknown);
        let ends = !self.provider.conversation.events.last.is_empty();
        ends && self.unpack.is_readable() && self.stream.as_ref().is_some_and(open)
    }

    /// What may be put in here to keep the client waiting: only between two events of a stream that is neither coded
    /// nor at its end.
    pub(super) fn keep_alive(&self) -> Option<&Arc<str>> {
        let stream = self.stream.as_ref().filter(|_| self.unpack.is_plain())?;
        let fits = stream.events.between() && stream.course != Course::Whole;
        self.provider.conversation.keep_alive.as_ref().filter(|_| fits)
    }
}

impl Course {
    fn after(self, meaning: Meaning) -> Self {
        match (self, meaning) {
            (Self::Unjudged, _) => Self::Unjudged,
            (_, Meaning::Last | Meaning::Refusal) | (Self::Whole, _) => Self::Whole,
            (Self::Open, _) | (Self::Unknown, Meaning::Handshake) => Self::Open,
            (Self::Unknown, Meaning::Content | Meaning::Silent) => Self::Unjudged,
        }
    }
}

/// False for an event that is certainly a part of an answer, without parsing it.
fn tells(rules: &EventRules, event: &Event) -> bool {
    let mut telling = rules.refusal.iter().chain(&rules.last);
    if !event.name.is_empty() {
        return telling.any(|name| **name == event.name);
    }
    let holds = |word: &[u8]| memmem::find(&event.data, word).is_some();
    holds(b"\"error\"") || telling.any(|name| holds(name.as_bytes()))
}

fn shape(headers: &HeaderMap) -> Shape {
    let kind = headers.get(CONTENT_TYPE).map(|value| value.as_bytes()).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends =
        |end: &[u8]| kind.len() >= end.len() && kind[kind.len() - end.len()..].eq_ignore_ascii_case(end);
    if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Shape::Events
    } else if kind.eq_ignore_ascii_case(b"application/json") || ends(b"+json") {
        Shape::Json
    } else {
        Shape::Other
    }
}
