use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Lines of a head at most, as everywhere in the field.
pub(crate) const LINES: usize = 100;
/// Bytes of a body that shares the memory of its head, at most.
const SHORT: usize = 4 * 1024;

/// The names of the head read last, by their places: the heads of one program are alike, and a name that is known is not
/// made again.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<HeaderName>);

impl Names {
    fn at(&mut self, place: usize, name: &[u8]) -> Option<HeaderName> {
        if let Some(known) = self.0.get(place) {
            let text = known.as_str().as_bytes();
            if text == name || text.eq_ignore_ascii_case(name) {
                return Some(known.clone());
            }
        }
        let made = HeaderName::from_bytes(name).ok()?;
        self.0.truncate(place);
        self.0.push(made.clone());
        Some(made)
    }
}

/// The lines of `head`, whose values share its copy; room for `more` of them. None where one is no header.
pub(crate) fn headers(
    (copy, head): (&Bytes, &[u8]),
    lines: &[httparse::Header<'_>],
    names: &mut Names,
    more: usize,
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len() + more);
    for (place, line) in lines.iter().enumerate() {
        let name = names.at(place, line.name.as_bytes())?;
        let value = HeaderValue::from_maybe_shared(part((copy, head), line.value));
        headers.append(name, value.ok()?);
    }
    Some(headers)
}

/// A copy of the head that `bytes` begin with, `length` bytes of them, and how much of it is a short body's that has come
/// with it: such a body needs no memory of its own.
pub(crate) fn copy(bytes: &[u8], length: usize, lines: &[httparse::Header<'_>]) -> (Bytes, usize) {
    let line = lines.iter().find(|line| line.name.eq_ignore_ascii_case(header::CONTENT_LENGTH.as_str()));
    let told = line.and_then(|line| std::str::from_utf8(line.value).ok()?.parse().ok());
    let short = told.filter(|told| *told <= SHORT.min(bytes.len() - length)).unwrap_or(0);
    (Bytes::copy_from_slice(&bytes[..length + short]), short)
}

/// The same part of a copy.
pub(crate) fn part((copy, original): (&Bytes, &[u8]), part: &[u8]) -> Bytes {
    if part.is_empty() {
        return Bytes::new();
    }
    let start = part.as_ptr().addr() - original.as_ptr().addr();
    copy.slice(start..start + part.len())
}

/// What the lines of a head say of its message, and of the connection. Looked for in one pass: a head has few lines, and to
/// compare costs less than to look each name up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// How many lines name a length.
    pub(crate) lengths: usize,
    /// The length they all name; none where one of them names none.
    pub(crate) length: Option<u64>,
    /// How many lines name a transfer coding.
    pub(crate) codings: usize,
    /// The last of those is `chunked` and nothing else.
    pub(crate) is_chunked: bool,
    /// The connection ends with this message (RFC 9112 §9.6).
    pub(crate) closes: bool,
    /// The sender waits for a word before it sends the body (RFC 9110 §10.1.1).
    pub(crate) expects: bool,
}

impl Told {
    /// By `headers`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut told = Self::default();
        for (name, value) in headers {
            if name == header::CONTENT_LENGTH {
                let length = number(value);
                told.length = length.filter(|_| told.lengths == 0 || told.length == length);
                told.lengths += 1;
            } else if name == header::TRANSFER_ENCODING {
                told.is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
                told.codings += 1;
            } else if name == header::CONNECTION {
                let mut options = value.as_bytes().split(|byte| *byte == b',');
                told.closes |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            } else if name == header::EXPECT {
                told.expects = true;
            }
        }
        told
    }
}

/// Digits and nothing else (RFC 9110 §8.6).
pub(crate) fn number(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// Writes the lines of `headers` but for those that frame a message, which are written for what it becomes, and `Host`.
/// True where a date is among them.
pub(crate) fn write_lines(text: &mut Vec<u8>, headers: &HeaderMap) -> bool {
    let mut is_dated = false;
    for (name, value) in headers {
        if name == header::CONTENT_LENGTH || name == header::HOST || name == header::TRANSFER_ENCODING {
            continue;
        }
        is_dated |= name == header::DATE;
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        text.reserve(name.len() + value.len() + 4);
        text.extend_from_slice(name);
        text.extend_from_slice(b": ");
        text.extend_from_slice(value);
        text.extend_from_slice(b"\r\n");
    }
    is_dated
}
