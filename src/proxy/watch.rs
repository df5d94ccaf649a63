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
pub(crate) enum Seen {
    /// Something that only the account can read or resolve.
    Mark(Mark),
    /// The upstream turned the request down, in this event's data.
    Refusal(Bytes),
}

/// Watches one reply's body.
#[derive(Debug)]
pub(crate) struct Watch {
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
    pub(crate) fn read(&mut self, piece: &[u8], mut seen: impl FnMut(Seen)) {
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

    /// Of a reply that is a stream of events; none for another.
    pub(crate) fn of_stream(provider: &Arc<Provider>, headers: &HeaderMap) -> Option<Self> {
        Self::of(provider, headers).filter(Self::is_of_stream)
    }

    /// False for a body in one piece, which tells marks and no refusals.
    pub(super) fn is_of_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// True for a stream that has shown its last event.
    pub(crate) fn is_whole(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.course == Course::Whole)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Conversation, MarkerClass, MarkerField};
    use http::HeaderValue;
    use proptest::prelude::*;

    const WHOLE: &str = "event: begun\ndata: {\"type\":\"begun\",\"id\":\"r_1\"}\n\nevent: said\r\ndata: \
                         {\"text\":\"\\\"error\\\" failed\"}\r\n\r\nevent: failed\ndata: \
                         {\"type\":\"failed\",\"error\":{}}\n\ndata: {\"type\":\"done\",\"id\":\"r_2\"}\n\n";

    /// FLO-9: byte by byte or all at once, the same is seen.
    #[test]
    fn all_that_matters_is_seen() {
        let (seen, unfinished) = watched(&[WHOLE.as_bytes()]);
        assert_eq!((seen.len(), unfinished), (3, false));
        assert!(seen.contains(&Seen::Refusal(Bytes::from_static(b"{\"type\":\"failed\",\"error\":{}}"))));
    }

    /// FLO-9
    #[test]
    fn a_stream_of_the_dialect_ends_with_its_last_event_or_is_a_cut() {
        for (text, unfinished) in [
            ("", true),
            (": waiting\n\n", true),
            ("event: begun\ndata: {}", true),
            ("event: begun\ndata: {}\n\n", true),
            ("event: begun\ndata: {}\n\nevent: said\ndata: \"done\"\n\n", true),
            ("event: begun\ndata: {}\n\nevent: done\ndata: {}\n", true),
            ("event: begun\ndata: {}\n\nevent: done\ndata: {}\n\n", false),
            ("event: begun\ndata: {}\n\nevent: failed\ndata: {}\n\n", false),
            ("data: {\"type\":\"begun\"}\n\ndata: {\"type\":\"done\"}\n\n", false),
            ("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n", false),
            ("event: other\ndata: {}\n\n", false),
        ] {
            assert_eq!(watched(&[text.as_bytes()]).1, unfinished, "{text:?}");
        }
        let long = format!("event: begun\ndata: {{}}\n\nevent: done\ndata: {}\n\n", "x".repeat(100_000));
        assert!(!watched(&[long.as_bytes()]).1, "a last event may be long");
        let nameless = format!("event: begun\ndata: {{}}\n\ndata: {}\n\n", "x".repeat(100_000));
        assert!(!watched(&[nameless.as_bytes()]).1, "and where nobody knows what it was, nothing is judged");
    }

    /// PRX-5
    #[test]
    fn a_keep_alive_fits_between_two_events_of_a_plain_stream_that_goes_on() {
        let fits = |text: &str, coding: Option<&'static str>| {
            let mut watch = watch(coding);
            watch.read(text.as_bytes(), |_| ());
            watch.keep_alive().is_some()
        };
        assert!(fits("event: begun\ndata: {}\n\n", None));
        assert!(fits(": waiting\n\n", None));
        assert!(!fits("event: begun\ndata: {}\n", None));
        assert!(!fits("event: begun\ndata: {}\n\nevent: done\ndata: {}\n\n", None));
        assert!(!fits("", Some("gzip")));
    }

    proptest! {
        /// FLO-9, SEL-4
        #[test]
        fn any_chunking_of_a_reply_shows_the_same(
            order in prop::collection::vec(0usize..4, 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let events: Vec<&str> = WHOLE.split_inclusive("\n\n").flat_map(|part| part.split_inclusive("\r\n\r\n")).collect();
            let text: String = order.iter().map(|place| events[*place]).collect();
            let whole = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
            cuts.extend([0, whole.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &whole[pair[0]..pair[1]]).collect();
            let sorted = |(mut seen, unfinished): (Vec<Seen>, bool)| {
                seen.sort_by_key(|seen| format!("{seen:?}"));
                (seen, unfinished)
            };
            prop_assert_eq!(sorted(watched(&pieces)), sorted(watched(&[whole])));
        }
    }

    fn watched(pieces: &[&[u8]]) -> (Vec<Seen>, bool) {
        let mut watch = watch(None);
        let mut all = Vec::new();
        for piece in pieces {
            watch.read(piece, |seen| all.push(seen));
        }
        (all, watch.is_unfinished())
    }

    fn watch(coding: Option<&'static str>) -> Watch {
        let list = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
        let conversation = Conversation {
            events: EventRules {
                handshake: list(&["begun"]),
                refusal: list(&["failed"]),
                last: list(&["done"]),
                statuses: Vec::new(),
                ..EventRules::default()
            },
            markers: [MarkerField {
                key: "id".into(),
                prefix: "r_".into(),
                least: 0,
                class: MarkerClass::State,
            }]
            .into_iter()
            .collect(),
            keep_alive: Some(": here\n\n".into()),
            ..Conversation::default()
        };
        let provider = crate::engine::world::provider();
        let provider = Arc::new(Provider { conversation: Arc::new(conversation), ..provider });
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Watch::of(&provider, &headers).expect("a stream of events")
    }
}
