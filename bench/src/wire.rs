//! HTTP/1.1 as far as a mock upstream and a load client need it: a head is found and asked for fields in place, a body is
//! passed through without being kept. Not a parser to trust: both ends are ours.
use memchr::memmem;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bytes read at once, and the longest head.
const BUFFER: usize = 64 * 1024;
/// What a connection begins with: thousands of idle ones must not cost more than the proxy between them.
const FIRST: usize = 4 * 1024;

/// A message's head, as it lies in the buffer, without the blank line.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a>(&'a [u8]);

impl<'a> Head<'a> {
    /// The head at the beginning of `input` and its length with the blank line; none while it is not whole.
    pub fn find(input: &'a [u8]) -> Option<(Self, usize)> {
        let end = memmem::find(input, b"\r\n\r\n")?;
        Some((Self(&input[..end]), end + 4))
    }

    /// The word of the first line at `index`: method, target and version, or version, status and reason.
    pub fn word(&self, index: usize) -> &'a str {
        let line = self.0.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let word = line.split(|byte| *byte == b' ').nth(index).unwrap_or_default();
        std::str::from_utf8(word).unwrap_or_default()
    }

    /// The value of the first field with this name, which is written in lower case.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        let lines = self.0.split(|byte| *byte == b'\n').skip(1);
        let value = lines.filter_map(|line| line.split_at_checked(name.len())).find_map(|(key, rest)| {
            let value = rest.strip_prefix(b":")?;
            key.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })?;
        std::str::from_utf8(value).ok().map(str::trim)
    }

    /// How long the body is that follows.
    pub fn body(&self) -> Body {
        if self.field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return Body::Size { digits: 0, size: 0 };
        }
        let length = self.field("content-length").and_then(|text| text.parse().ok());
        Body::Left(length.unwrap_or(0))
    }
}

/// What is still to come of a body, with or without chunks (RFC 9112 §7.1). Extensions and trailers are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// In a chunk of which so many bytes are left.
    Chunk(u64),
    /// Behind a chunk's data: its line end.
    ChunkEnd,
    /// Over.
    Done,
    /// So many bytes, without chunks.
    Left(u64),
    /// Somewhere in the line that tells a chunk's size.
    Size {
        /// Digits of it that were read; `EXTENSION` once they are over.
        digits: u8,
        /// Its value so far.
        size: u64,
    },
    /// In the lines behind the last chunk; true at the beginning of one.
    Trailer {
        /// Nothing of the line has been read.
        fresh: bool,
    },
}

const EXTENSION: u8 = u8::MAX;

impl Body {
    /// Reads from `input` to the end of the next run of payload: how many bytes were used, and the payload among them.
    /// Nothing is used once it is done, or where `input` is empty.
    pub fn feed<'a>(&mut self, input: &'a [u8]) -> (usize, &'a [u8]) {
        let mut used = 0;
        while let Some(byte) = input.get(used) {
            match *self {
                Self::Left(0) => *self = Self::Done,
                Self::Done => break,
                Self::Left(before) | Self::Chunk(before) => {
                    let rest = &input[used..];
                    let length = usize::try_from(before).unwrap_or(usize::MAX).min(rest.len());
                    let left = before - length as u64;
                    *self = match (*self == Self::Left(before), left) {
                        (true, _) => Self::Left(left),
                        (false, 0) => Self::ChunkEnd,
                        (false, _) => Self::Chunk(left),
                    };
                    return (used + length, &rest[..length]);
                }
                Self::ChunkEnd => {
                    used += 1;
                    if *byte == b'\n' {
                        *self = Self::Size { digits: 0, size: 0 };
                    }
                }
                Self::Size { digits, size } => {
                    used += 1;
                    *self = sized(*byte, digits, size);
                }
                Self::Trailer { fresh } => {
                    used += 1;
                    *self = match byte {
                        b'\n' if fresh => Self::Done,
                        b'\n' => Self::Trailer { fresh: true },
                        b'\r' => Self::Trailer { fresh },
                        _ => Self::Trailer { fresh: false },
                    };
                }
            }
        }
        (used, &[])
    }

    /// True once nothing is to come.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Left(0))
    }
}

fn sized(byte: u8, digits: u8, size: u64) -> Body {
    match (char::from(byte).to_digit(16), byte) {
        (_, b'\n') if size == 0 => Body::Trailer { fresh: true },
        (_, b'\n') => Body::Chunk(size),
        (Some(digit), _) if digits < 15 => {
            Body::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
        }
        _ => Body::Size { digits: EXTENSION, size },
    }
}

/// A connection with what was read from it and not used yet.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

impl Link {
    /// Takes over a connection.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; FIRST], from: 0, to: 0 })
    }

    /// The next head, read by `read`, and the body that follows it. None where the other end has closed between two
    /// messages.
    pub async fn head<T>(&mut self, read: impl FnOnce(Head<'_>) -> T) -> io::Result<Option<(T, Body)>> {
        loop {
            if let Some((head, length)) = Head::find(&self.buffer[self.from..self.to]) {
                let (told, body) = (read(head), head.body());
                self.from += length;
                return Ok(Some((told, body)));
            }
            let idle = self.from == self.to;
            if self.fill().await? == 0 {
                return if idle { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next run of the body's payload; none at its end.
    pub async fn payload(&mut self, body: &mut Body) -> io::Result<Option<&[u8]>> {
        while !body.is_done() {
            let (used, payload) = body.feed(&self.buffer[self.from..self.to]);
            let range = self.from + used - payload.len()..self.from + used;
            self.from += used;
            if !range.is_empty() {
                return Ok(Some(&self.buffer[range]));
            }
            if !body.is_done() && self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(None)
    }

    /// Reads the rest of a body and forgets it. How many bytes it had.
    pub async fn swallow(&mut self, mut body: Body) -> io::Result<u64> {
        let mut length = 0;
        while let Some(payload) = self.payload(&mut body).await? {
            length += payload.len() as u64;
        }
        Ok(length)
    }

    /// Sends all of it.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads what there is, waiting for the first byte. How much it was; 0 at the end.
    async fn fill(&mut self) -> io::Result<usize> {
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        if self.to == BUFFER {
            return Err(io::Error::other("a head of more than 64 KiB"));
        }
        if self.to == self.buffer.len() {
            self.buffer.resize(BUFFER, 0);
        }
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut self.buffer[self.to..]) {
                Ok(read) => {
                    self.to += read;
                    if self.to == self.buffer.len() {
                        // There is more where that came from.
                        self.buffer.resize(BUFFER, 0);
                    }
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_once_it_is_whole_and_knows_its_fields() {
        let text = b"POST /v1/x?events=3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert!(Head::find(&text[..40]).is_none());
        let (head, length) = Head::find(text).expect("a head");
        assert_eq!((&text[length..], head.word(0), head.word(1)), (&b"hello"[..], "POST", "/v1/x?events=3"));
        assert_eq!((head.field("host"), head.field("content-length")), (Some("a"), Some("5")));
        assert_eq!((head.field("content"), head.body()), (None, Body::Left(5)));
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let text = b"5\r\nhello\r\n1;ext=f\r\n \r\n0a\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nNEXT";
        for cut in 1..=text.len() {
            let (mut body, mut read) = (Body::Size { digits: 0, size: 0 }, Vec::new());
            let mut used = 0;
            while !body.is_done() {
                let end = (used + cut).min(text.len());
                let (taken, payload) = body.feed(&text[used..end]);
                read.extend_from_slice(payload);
                used += taken;
            }
            assert_eq!((read.as_slice(), &text[used..]), (&b"hello 0123456789"[..], &b"NEXT"[..]), "{cut}");
        }
    }

    #[test]
    fn a_body_with_a_length_ends_there() {
        let mut body = Body::Left(3);
        assert_eq!(body.feed(b"ab"), (2, &b"ab"[..]));
        assert_eq!(body.feed(b"cd"), (1, &b"c"[..]));
        assert!(body.is_done());
        assert_eq!(body.feed(b"d"), (0, &b""[..]));
        assert!(Body::Left(0).is_done());
    }
}
