//! Sees what hyper hides: a message with both `Content-Length` and `Transfer-Encoding`. hyper keeps the coding and drops
//! the length before anybody can refuse the message (RFC 9112 §6.1 allows both, a proxy must not pass it on). So the
//! bytes are watched on their way in; nothing is copied, and nothing here decides what hyper reads.
use memchr::memchr;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Enough of a line to tell a framing header and read its number.
const LINE: usize = 96;

/// Which message of a connection is the first that may not be trusted; shared with whoever answers its requests.
#[derive(Clone, Debug)]
pub(super) struct Suspect(Arc<AtomicU64>);

impl Suspect {
    /// True when the `nth` message of the connection (from 0) is ambiguous, or comes after one that is.
    pub(super) fn is(&self, nth: u64) -> bool {
        nth >= self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose incoming bytes are watched.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    scan: Scan,
}

impl<S> Watched<S> {
    /// Watches `stream` from its first byte.
    pub(super) fn new(stream: S) -> (Self, Suspect) {
        let scan = Scan::default();
        let suspect = scan.suspect.clone();
        (Self { stream, scan }, suspect)
    }

    /// Watches no longer.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

/// Follows the messages of one connection from head to head.
#[derive(Debug)]
struct Scan {
    state: State,
    line: [u8; LINE],
    kept: usize,
    messages: u64,
    suspect: Suspect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a body with this many bytes left.
    Body(u64),
    /// In a chunk with this many bytes left, its line end included.
    Chunk(u64),
    /// Before a chunk's size.
    ChunkSize,
    Head(Head),
    /// Something hyper will refuse; nothing after it is trusted.
    Lost,
    /// After the last chunk.
    Trailers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    begun: bool,
    length: Option<u64>,
    coding: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            state: State::Head(Head::default()),
            line: [0; LINE],
            kept: 0,
            messages: 0,
            suspect: Suspect(Arc::new(AtomicU64::new(u64::MAX))),
        }
    }
}

impl Scan {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.state {
                State::Lost => return,
                State::Body(left) => {
                    let left = skip(&mut bytes, left);
                    self.state = if left == 0 { State::Head(Head::default()) } else { State::Body(left) };
                }
                State::Chunk(left) => {
                    let left = skip(&mut bytes, left);
                    self.state = if left == 0 { State::ChunkSize } else { State::Chunk(left) };
                }
                State::ChunkSize | State::Head(_) | State::Trailers => match memchr(b'\n', bytes) {
                    Some(end) => {
                        let (line, rest) = bytes.split_at(end);
                        bytes = rest.get(1..).unwrap_or_default();
                        self.end_line(line);
                    }
                    None => {
                        self.keep(bytes);
                        return;
                    }
                },
            }
        }
    }

    /// Keeps the beginning of a line that goes on in the next bytes.
    fn keep(&mut self, part: &[u8]) {
        for (place, byte) in (self.line.iter_mut().skip(self.kept)).zip(part) {
            *place = *byte;
        }
        self.kept = LINE.min(self.kept + part.len());
    }

    /// A line that is whole in the bytes that came is read where it stands.
    fn end_line(&mut self, line: &[u8]) {
        if self.kept == 0 {
            let tells = line.first().is_none_or(|first| !first.is_ascii_graphic() || b"cCtT".contains(first));
            if !tells && matches!(self.state, State::Head(Head { begun: true, .. })) {
                // The most of a head: lines that begin like neither of the two that matter.
                return;
            }
            self.on_line(line.get(..LINE).unwrap_or(line));
            return;
        }
        self.keep(line);
        let (kept, whole) = (self.kept, self.line);
        self.kept = 0;
        self.on_line(whole.get(..kept).unwrap_or_default());
    }

    fn on_line(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        self.state = match self.state {
            State::Head(head) if line.is_empty() && head.begun => self.end_of_head(head),
            State::Head(head) if line.is_empty() => State::Head(head),
            State::Head(head) => head.learn(line).map_or_else(|| self.lose(), State::Head),
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => State::Chunk(size.saturating_add(2)),
                None => self.lose(),
            },
            State::Trailers if line.is_empty() => State::Head(Head::default()),
            State::Trailers => State::Trailers,
            other @ (State::Body(_) | State::Chunk(_) | State::Lost) => other,
        };
    }

    fn end_of_head(&mut self, head: Head) -> State {
        let nth = self.messages;
        self.messages += 1;
        match (head.coding, head.length) {
            (true, Some(_)) => {
                self.suspect.0.fetch_min(nth, Ordering::Relaxed);
                State::Lost
            }
            (true, None) => State::ChunkSize,
            (false, Some(length)) if length > 0 => State::Body(length),
            (false, Some(_) | None) => State::Head(Head::default()),
        }
    }

    /// From here on messages cannot be told apart.
    fn lose(&mut self) -> State {
        self.suspect.0.fetch_min(self.messages, Ordering::Relaxed);
        State::Lost
    }
}

impl Head {
    /// None where a length cannot be read.
    fn learn(mut self, line: &[u8]) -> Option<Self> {
        if self.begun {
            if let Some(value) = field(line, b"content-length:") {
                self.length = Some(number(value.trim_ascii(), 10)?);
            } else if field(line, b"transfer-encoding:").is_some() {
                self.coding = true;
            }
        }
        self.begun = true;
        Some(self)
    }
}

/// The value of a header line whose name, with the colon behind it, is `name`.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (own, value) = line.split_at_checked(name.len())?;
    own.eq_ignore_ascii_case(name).then_some(value)
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    number(line.get(..digits)?, 16)
}

/// Digits only: no sign, no blank.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

/// Skips up to `left` bytes and returns how many are left then.
fn skip(bytes: &mut &[u8], left: u64) -> u64 {
    let now = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *bytes = bytes.get(now..).unwrap_or_default();
    left - now as u64
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        this.scan.feed(buf.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whole connections, and which of their messages is the first that is refused.
    const CASES: [(&str, Option<u64>); 14] = [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Some(0)),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 3\r\n\r\n0\r\n\r\n", Some(0)),
        ("POST / HTTP/1.1\r\ntransfer-encoding: x\r\nContent-Length:3\r\n\r\n", Some(0)),
        ("POST / HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: chunked\n\n", Some(0)),
        (
            "GET / HTTP/1.1\r\nA: 1\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Some(1),
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 49\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n11;x=y\r\nContent-Length: 9\r\n0\r\nContent-Length: 1\r\n\r\nGET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            Some(1),
        ),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nGET / HTTP/1.1\r\n\r\n", Some(1)),
        ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Some(0)),
        ("\r\n\r\nGET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", Some(0)),
        ("GET /Content-Length:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
        ("GET / HTTP/1.1\r\nX-Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", None),
        (
            "POST / HTTP/1.1\r\nContent-Length: 0003\r\n\r\nabcGET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Some(1),
        ),
    ];

    #[test]
    fn a_message_with_two_lengths_is_seen_wherever_it_stands() {
        for (bytes, expected) in CASES {
            assert_eq!(first_suspect(&[bytes.as_bytes()]), expected, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_changes_nothing(case in 0..CASES.len(), cuts in proptest::collection::vec(1_usize..9, 1..64)) {
            let (bytes, expected) = CASES[case];
            let mut rest = bytes.as_bytes();
            let mut parts = Vec::new();
            for cut in cuts.iter().cycle() {
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                parts.push(part);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(first_suspect(&parts), expected);
        }
    }

    fn first_suspect(parts: &[&[u8]]) -> Option<u64> {
        let mut scan = Scan::default();
        for part in parts {
            scan.feed(part);
        }
        let first = scan.suspect.0.load(Ordering::Relaxed);
        (first != u64::MAX).then_some(first)
    }
}
