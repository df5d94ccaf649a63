//! Server-sent events, seen as they pass (WHATWG HTML §9.2.6). The bytes are the client's and are not touched: this
//! reads a copy's worth of them and remembers no more than one event's beginning.
use memchr::memchr2;

/// Bytes of one event's data that are kept; the rest of it only passes.
pub(super) const LONGEST_DATA: usize = 64 * 1024;
/// Bytes of one line that are kept: a field's name, and that much data.
const LONGEST_LINE: usize = LONGEST_DATA + 8;
/// Bytes of one event's name that are kept.
const LONGEST_NAME: usize = 128;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its `event` field; empty where it has none.
    pub(super) name: String,
    /// Its `data` fields, joined by line breaks: at most [`LONGEST_DATA`] bytes of them.
    pub(super) data: Vec<u8>,
    /// True where there was more data than that.
    pub(super) cut: bool,
}

impl Event {
    fn clear(&mut self) {
        self.name.clear();
        self.data.clear();
        self.cut = false;
    }
}

/// Finds events in a stream, however it is cut into pieces. Once its buffers have grown it allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// What has come of a line that has not ended.
    line: Vec<u8>,
    /// What is left of this line passes unread: its field says nothing, or is full.
    skipping: bool,
    /// The last byte was a carriage return: a line feed after it ends the same line.
    returned: bool,
    begun: bool,
    /// A line has come since the last empty one.
    inside: bool,
    event: Event,
    has_data: bool,
}

impl Events {
    /// Reads on. `seen` is called for every event that ends in `piece`; data of one whose name `wants` does not want is
    /// not kept.
    pub(super) fn read(&mut self, piece: &[u8], wants: impl Fn(&str) -> bool, mut seen: impl FnMut(&Event)) {
        let mut rest = piece;
        while let Some(first) = rest.first() {
            if std::mem::take(&mut self.returned) && *first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.keep(rest);
                return;
            };
            let line = &rest[..end];
            self.returned = rest[end] == b'\r';
            rest = &rest[end + 1..];
            let ended = if self.line.is_empty() && !self.skipping && line.len() <= LONGEST_LINE {
                self.end_line(line, &wants)
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.line);
                let ended = self.end_line(&whole, &wants);
                whole.clear();
                self.line = whole;
                ended
            };
            if ended {
                if std::mem::take(&mut self.has_data) {
                    seen(&self.event);
                }
                self.event.clear();
            }
        }
    }

    /// True where one event has ended and the next has not begun.
    pub(super) fn between(&self) -> bool {
        !self.inside && !self.skipping && self.line.is_empty()
    }

    fn keep(&mut self, part: &[u8]) {
        if self.skipping {
            return;
        }
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            self.skipping = true;
            self.event.cut = true;
        }
    }

    /// True where this line, being empty, ends whatever came before it.
    fn end_line(&mut self, line: &[u8], wants: &impl Fn(&str) -> bool) -> bool {
        self.skipping = false;
        let mut line = line;
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        self.inside = !line.is_empty();
        if line.is_empty() {
            return true;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => {
                let value = &value[..value.len().min(LONGEST_NAME)];
                self.event.name.clear();
                match std::str::from_utf8(value) {
                    Ok(name) => self.event.name.push_str(name),
                    Err(_) => self.event.name.push_str(&String::from_utf8_lossy(value)),
                }
            }
            b"data" if wants(&self.event.name) => self.data(value),
            b"data" => self.has_data = true,
            _ => {}
        }
        false
    }

    fn data(&mut self, value: &[u8]) {
        if std::mem::replace(&mut self.has_data, true) {
            self.add(b"\n");
        }
        self.add(value);
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LONGEST_DATA - self.event.data.len();
        self.event.cut |= bytes.len() > room;
        self.event.data.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn events_are_what_the_standard_says() {
        let table: [(&str, &[(&str, &str)]); 9] = [
            ("event: a\ndata: 1\n\n", &[("a", "1")]),
            ("data:1\r\n\r\ndata:  2\r\rdata\n\n", &[("", "1"), ("", " 2"), ("", "")]),
            ("data: 1\ndata: 2\n\n", &[("", "1\n2")]),
            (": comment\n\nevent: only\n\ndata: x\n\n", &[("", "x")]),
            ("id: 7\nretry: 9\ndata: x\nother: y\n\n", &[("", "x")]),
            ("data: unfinished\n", &[]),
            ("data: a: b\n\n", &[("", "a: b")]),
            ("\u{feff}data: bom\n\n", &[("", "bom")]),
            ("event: a\nevent: b\ndata: x\n\n", &[("b", "x")]),
        ];
        for (text, expected) in table {
            let seen: Vec<(String, String)> = all(&[text.as_bytes()]);
            let expected: Vec<(String, String)> =
                expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect();
            assert_eq!(seen, expected, "{text:?}");
        }
    }

    #[test]
    fn an_endless_event_is_cut_and_the_next_one_is_seen() {
        let mut text = b"data: ".to_vec();
        text.extend(std::iter::repeat_n(b'x', 3 * LONGEST_DATA));
        text.extend(b"\ndata: more\n\nevent: next\ndata: y\n\n");
        let mut events = Events::default();
        let mut seen = Vec::new();
        events.read(&text, |_| true, |event| seen.push((event.name.clone(), event.data.len(), event.cut)));
        assert_eq!(seen, [(String::new(), LONGEST_DATA, true), ("next".to_owned(), 1, false)]);
    }

    /// FLO-9
    #[test]
    fn what_nobody_wants_is_seen_by_its_name_only() {
        let text = b"event: a\ndata: 1\n\nevent: b\ndata: 2\ndata: 3\n\ndata: 4\n\n";
        let mut seen = Vec::new();
        Events::default().read(
            text,
            |name| name != "a",
            |event| {
                seen.push((event.name.clone(), String::from_utf8_lossy(&event.data).into_owned()));
            },
        );
        let seen: Vec<(&str, &str)> =
            seen.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
        assert_eq!(seen, [("a", ""), ("b", "2\n3"), ("", "4")]);
    }

    #[test]
    fn between_two_events_is_where_nothing_of_the_next_has_come() {
        for (text, between) in [
            ("", true),
            ("data: x", false),
            ("data: x\n", false),
            ("data: x\n\n", true),
            ("data: x\n\n:", false),
            (": a comment\n", false),
            (": a comment\n\n", true),
            ("data: x\r\n\r\n", true),
            ("data: x\r\n\r", true),
        ] {
            let mut events = Events::default();
            events.read(text.as_bytes(), |_| true, |_| ());
            assert_eq!(events.between(), between, "{text:?}");
        }
    }

    proptest! {
        /// FLO-9
        #[test]
        fn any_chunking_of_a_stream_shows_the_same_events(
            lines in prop::collection::vec("(data|event|id|)(: ?|:)[a-c\u{e9}\u{2028}]{0,5}(\n|\r\n|\r){1,2}", 0..12),
            cuts in prop::collection::vec(0usize..400, 0..20),
        ) {
            let text: String = lines.concat();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(all(&pieces), all(&[bytes]));
        }

        #[test]
        fn no_bytes_are_too_odd_to_pass(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut events = Events::default();
            events.read(&bytes, |name| name.len() % 2 == 0, |_| ());
        }
    }

    fn all(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut events = Events::default();
        let mut seen = Vec::new();
        for piece in pieces {
            events.read(
                piece,
                |_| true,
                |event| {
                    seen.push((event.name.clone(), String::from_utf8_lossy(&event.data).into_owned()));
                },
            );
        }
        seen
    }
}
