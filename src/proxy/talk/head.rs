use super::super::error::Turned;
use super::super::handler::Framing;
use crate::http1::{LINES, Length, Names, Told, copy, headers, part};
use bytes::Bytes;
use http::{Method, Request, Uri, Version, request};
use httparse::{Error, ParserConfig, Status};
use std::mem::MaybeUninit;

/// A request's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: request::Parts,
    pub(super) body: Length,
    /// All of a short body, where it has come; `body` tells its length.
    pub(super) short: Option<Bytes>,
    pub(super) framing: Framing,
    /// The client closes after this exchange, or nobody could tell where its next request begins.
    pub(super) last: bool,
    /// It waits for a word before it sends the body (RFC 9110 §10.1.1).
    pub(super) expects: bool,
}

/// Reads the head at the beginning of `bytes`, of `most` bytes, and its length. None where it has not come whole.
pub(super) fn read(bytes: &[u8], most: usize, names: &mut Names) -> Result<Option<(usize, Head)>, Turned> {
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut request = httparse::Request::new(&mut []);
    let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, &mut lines);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= most => length,
        Ok(Status::Partial) if bytes.len() < most => return Ok(None),
        Ok(_) | Err(Error::TooManyHeaders) => return Err(Turned::HeadTooLarge { bytes: most, lines: LINES }),
        Err(Error::Version) => return Err(Turned::Version),
        Err(_) => return Err(Turned::Head),
    };
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let (text, lines) = (&bytes[..length], &*request.headers);
    let (copy, short) = copy(bytes, length, lines);
    let mut parts = Request::new(()).into_parts().0;
    parts.method = method(request.method.unwrap_or_default())?;
    let target = part((&copy, text), request.path.unwrap_or_default().as_bytes());
    parts.uri = Uri::from_maybe_shared(target).map_err(|_| Turned::Target)?;
    parts.version = version;
    parts.headers = headers((&copy, text), lines, names, 0).ok_or(Turned::Head)?;
    let told = Told::of(&parts.headers);
    let (body, framing) = body(version, &told)?;
    let short = (short > 0 && body == Length::Known(short as u64)).then(|| copy.slice(length..));
    let last = version == Version::HTTP_10 || framing != Framing::Clear || told.closes;
    let expects = version == Version::HTTP_11 && told.expects;
    Ok(Some((length, Head { parts, body, short, framing, last, expects })))
}

fn method(name: &str) -> Result<Method, Turned> {
    Method::from_bytes(name.as_bytes()).map_err(|_| Turned::Method)
}

/// How long the body is (RFC 9112 §6.3). Of one that is told in two ways nothing is read.
fn body(version: Version, told: &Told) -> Result<(Length, Framing), Turned> {
    // Told twice and alike it is one length (RFC 9110 §8.6).
    let length = match (told.lengths, told.length) {
        (0, _) => None,
        (_, Some(length)) => Some(length),
        (_, None) => return Err(Turned::ContentLength),
    };
    Ok(match (told.codings, length) {
        (0, length) => (Length::Known(length.unwrap_or(0)), Framing::Clear),
        (_, Some(_)) => (Length::Known(0), Framing::TwoLengths),
        // HTTP/1.0 has no codings (RFC 9112 §6.1).
        (1, None) if told.is_chunked && version == Version::HTTP_11 => (Length::Chunked, Framing::Clear),
        (_, None) => (Length::Known(0), Framing::Coding),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: usize = 400;
    const POST: &str = "POST /v1/x?y HTTP/1.1\r\nHost: h\r\ncontent-length: 2\r\n\r\n";

    /// PRX-2, H1: what two readers could read in two ways is refused, and nothing behind it is read.
    #[test]
    fn a_request_has_one_length_and_one_end() {
        use Framing::{Clear, Coding, TwoLengths};
        use Length::{Chunked, Known};
        let table: [(&str, Result<_, Turned>); _] = [
            ("1.1\r\na: b", Ok((Known(0), Clear, false, false))),
            ("1.0\r\na: b", Ok((Known(0), Clear, true, false))),
            ("1.1\r\nConnection: keep-alive, Close", Ok((Known(0), Clear, true, false))),
            ("1.1\r\nContent-Length: 02", Ok((Known(2), Clear, false, false))),
            ("1.1\r\nContent-Length: 2\r\ncontent-length: 2", Ok((Known(2), Clear, false, false))),
            ("1.1\r\nContent-Length: 9\r\nExpect: 100-continue", Ok((Known(9), Clear, false, true))),
            ("1.0\r\nContent-Length: 9\r\nExpect: 100-continue", Ok((Known(9), Clear, true, false))),
            ("1.1\r\nTransfer-Encoding: Chunked", Ok((Chunked, Clear, false, false))),
            ("1.0\r\nTransfer-Encoding: chunked", Ok((Known(0), Coding, true, false))),
            ("1.1\r\nTransfer-Encoding: gzip, chunked", Ok((Known(0), Coding, true, false))),
            ("1.1\r\nTransfer-Encoding:", Ok((Known(0), Coding, true, false))),
            (
                "1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
                Ok((Known(0), Coding, true, false)),
            ),
            (
                "1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 2",
                Ok((Known(0), TwoLengths, true, false)),
            ),
            ("1.1\r\nContent-Length: 2\r\nTransfer-Encoding: x", Ok((Known(0), TwoLengths, true, false))),
            ("1.1\r\nContent-Length: 2\r\nContent-Length: 3", Err(Turned::ContentLength)),
            (
                "1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\nContent-Length: 3",
                Err(Turned::ContentLength),
            ),
            ("1.1\r\nContent-Length: 2, 2", Err(Turned::ContentLength)),
            ("1.1\r\nContent-Length: +2", Err(Turned::ContentLength)),
            ("1.1\r\nContent-Length:", Err(Turned::ContentLength)),
            ("1.1\r\nContent-Length: 18446744073709551616", Err(Turned::ContentLength)),
            ("1.1\r\nContent-Length : 2", Err(Turned::Head)),
            ("1.1\r\na: b\r\n c", Err(Turned::Head)),
            ("2.0\r\na: b", Err(Turned::Version)),
            ("1.1 x\r\na: b", Err(Turned::Head)),
        ];
        for (head, expected) in table {
            let read = read_one(format!("POST / HTTP/{head}\r\n\r\n").as_bytes());
            let told = read.map(|read| {
                let (_, Head { body, framing, last, expects, .. }) = read.unwrap();
                (body, framing, last, expects)
            });
            assert_eq!(told, expected, "{head}");
        }
    }

    /// PRX-5
    #[test]
    fn a_head_has_its_bounds() {
        let too_large = Some(Turned::HeadTooLarge { bytes: MOST, lines: LINES });
        let of = |length: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(length - 23));
        assert_eq!(read_one(of(MOST).as_bytes()).unwrap().map(|(length, _)| length), Some(MOST));
        assert_eq!(read_one(of(MOST + 1).as_bytes()).err(), too_large);
        assert_eq!(read_one(&of(MOST + 1).as_bytes()[..MOST]).err(), too_large, "it cannot become one");
        let lines = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(count));
        let read = |count: usize| read(lines(count).as_bytes(), 10_000, &mut Names::default());
        assert!(read(LINES).unwrap().is_some());
        assert!(matches!(read(LINES + 1), Err(Turned::HeadTooLarge { .. })));
    }

    /// PRX-1
    #[test]
    fn a_short_body_comes_with_its_head_and_a_long_one_does_not() {
        for (head, behind, expected) in [
            ("content-length: 2\r\n", "ok", Some("ok")),
            ("content-length: 2\r\n", "okGET / HTTP/1.1\r\n", Some("ok")),
            ("content-length: 2\r\ncontent-length: 2\r\n", "ok", Some("ok")),
            ("content-length: 0\r\n", "GET", None),
            ("content-length: 3\r\n", "ok", None),
            ("content-length: 2\r\ntransfer-encoding: chunked\r\n", "ok", None),
            ("transfer-encoding: chunked\r\n", "2\r\nok\r\n0\r\n\r\n", None),
            ("", "ok", None),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{head}\r\n{behind}");
            let (length, read) = read_one(text.as_bytes()).unwrap().unwrap();
            assert_eq!(read.short.as_deref(), expected.map(str::as_bytes), "{head}");
            assert_eq!(&text[length..], behind);
        }
    }

    proptest! {
        /// PRX-2: the beginning of a head is never a head, and never refused.
        #[test]
        fn a_head_that_has_not_come_whole_is_waited_for(cut in 0..POST.len()) {
            prop_assert!(read_one(&POST.as_bytes()[..cut]).unwrap().is_none());
            let (length, head) = read_one(POST.as_bytes()).unwrap().unwrap();
            prop_assert_eq!((length, head.parts.uri.to_string()), (POST.len(), "/v1/x?y".to_owned()));
        }

        #[test]
        fn bytes_of_any_kind_are_no_panic(bytes in "([A-Z]{1,4} /[a-z%:?]{0,9} HTTP/1.[01]\\r\\n)?[a-z:\\r\\n \\x00é]{0,80}") {
            if let Ok(Some((length, _))) = read_one(bytes.as_bytes()) {
                prop_assert!(length <= bytes.len());
            }
        }
    }

    fn read_one(bytes: &[u8]) -> Result<Option<(usize, Head)>, Turned> {
        read(bytes, MOST, &mut Names::default())
    }
}
