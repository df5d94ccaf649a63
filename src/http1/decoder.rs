use super::chunks::{Chunks, NotChunks};
use bytes::Bytes;
use hyper::body::SizeHint;

/// How long a body is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Its chunks say so.
    Chunked,
    /// Until the connection closes.
    Close,
    /// So many bytes.
    Known(u64),
}

/// Why a body is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The connection ended before it.
    Cut,
    /// Its framing is none.
    Invalid,
}

/// Takes a body out of what comes over its connection. What is cut never looks complete.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// Why nothing more comes of it.
    Broken(Flaw),
    Chunked(Chunks),
    Close,
    /// So many bytes are to come.
    Length(u64),
    Over,
}

impl Decoder {
    /// Of a body that begins.
    pub(crate) fn new(length: Length) -> Self {
        match length {
            Length::Chunked => Self::Chunked(Chunks::default()),
            Length::Close => Self::Close,
            Length::Known(0) => Self::Over,
            Length::Known(length) => Self::Length(length),
        }
    }

    /// So many bytes of a body of a length have been read elsewhere, and are no more than are to come; none at the
    /// connection's end.
    pub(crate) fn passed(&mut self, bytes: usize) {
        match self {
            _ if bytes == 0 => self.end(),
            Self::Length(left) => {
                *left = left.saturating_sub(bytes as u64);
                if *left == 0 {
                    *self = Self::Over;
                }
            }
            Self::Broken(_) | Self::Chunked(_) | Self::Close | Self::Over => {}
        }
    }

    /// How many of `bytes` are the body's, and its data in them. No bytes are the connection's end.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> (usize, Bytes) {
        if bytes.is_empty() {
            self.end();
            return (0, Bytes::new());
        }
        match self {
            Self::Broken(_) | Self::Over => (0, Bytes::new()),
            Self::Close => (bytes.len(), Bytes::copy_from_slice(bytes)),
            Self::Length(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                self.passed(here);
                (here, Bytes::copy_from_slice(&bytes[..here]))
            }
            Self::Chunked(chunks) => {
                let mut data = Gathered::default();
                let read = chunks.read(bytes, |run| data.add(run, bytes.len()));
                let over = chunks.is_over();
                match read {
                    Ok(_) if over => *self = Self::Over,
                    Ok(_) => {}
                    Err(NotChunks) => *self = Self::Broken(Flaw::Invalid),
                }
                (read.unwrap_or(0), data.into())
            }
        }
    }

    fn end(&mut self) {
        match self {
            Self::Broken(_) | Self::Over => {}
            Self::Close => *self = Self::Over,
            Self::Chunked(_) | Self::Length(_) => *self = Self::Broken(Flaw::Cut),
        }
    }

    /// What is to come behind `ready` bytes.
    pub(crate) fn size_hint(&self, ready: u64) -> SizeHint {
        match self {
            Self::Over => SizeHint::with_exact(ready),
            Self::Length(left) => SizeHint::with_exact(left.saturating_add(ready)),
            Self::Broken(_) | Self::Chunked(_) | Self::Close => {
                let mut hint = SizeHint::new();
                hint.set_lower(ready);
                hint
            }
        }
    }
}

/// The data of chunks that came together, in a block of its size. One chunk alone, the usual event, is copied once.
#[derive(Default)]
struct Gathered<'a> {
    first: &'a [u8],
    all: Vec<u8>,
}

impl<'a> Gathered<'a> {
    /// `most` is what they can be together.
    fn add(&mut self, run: &'a [u8], most: usize) {
        if self.first.is_empty() {
            self.first = run;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(most);
            self.all.extend_from_slice(self.first);
        }
        self.all.extend_from_slice(run);
    }
}

impl From<Gathered<'_>> for Bytes {
    fn from(gathered: Gathered<'_>) -> Self {
        if gathered.all.is_empty() { Self::copy_from_slice(gathered.first) } else { gathered.all.into() }
    }
}
