use crate::http1::{HEAD_BYTES, LINES, Length, Names, Told, copy, headers};
use bytes::Bytes;
use http::{Method, Response, StatusCode, Version, response};
use httparse::{Error, ParserConfig, Status};
use std::mem::MaybeUninit;

/// Room for the lines that are added on the way to the client.
const OURS: usize = 4;
/// How a reply over HTTP/1 begins (RFC 9112 §2.3).
const BEGINNING: &[u8] = b"HTTP/1.";

/// A reply's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) parts: response::Parts,
    pub(super) body: Length,
    /// All of a short body, where it has come.
    pub(super) short: Option<Bytes>,
    pub(super) after: After,
}

/// What becomes of the connection behind the body (RFC 9112 §9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    Closes,
    Stays,
}

/// Why it is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadHead {
    #[error("the reply is not valid HTTP")]
    Invalid,
    #[error("the reply's head is too large")]
    TooLarge,
    /// Two parties may read two lengths: where smuggling begins.
    #[error("the reply names two lengths of its body")]
    TwoLengths,
}

/// Reads the head of the reply to a request of `method` at the beginning of `bytes`, and how many bytes it and the interim
/// heads before it (RFC 9110 §15.2) are. Without a head: how many the interim ones are.
pub(super) fn read(
    bytes: &[u8],
    method: &Method,
    names: &mut Names,
) -> Result<(usize, Option<Head>), BadHead> {
    let mut used = 0;
    loop {
        let Some((length, head)) = one(&bytes[used..], method, names)? else {
            return Ok((used, None));
        };
        used += length;
        match head.parts.status {
            // Nobody has asked for another protocol.
            StatusCode::SWITCHING_PROTOCOLS => return Err(BadHead::Invalid),
            status if status.is_informational() => {}
            _ => return Ok((used, Some(head))),
        }
    }
}

fn one(bytes: &[u8], method: &Method, names: &mut Names) -> Result<Option<(usize, Head)>, BadHead> {
    let begun = bytes.len().min(BEGINNING.len());
    if bytes[..begun] != BEGINNING[..begun] {
        return Err(BadHead::Invalid);
    }
    let mut lines = [const { MaybeUninit::uninit() }; LINES];
    let mut reply = httparse::Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut reply, bytes, &mut lines);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES => length,
        Ok(Status::Partial) if bytes.len() <= HEAD_BYTES => return Ok(None),
        Ok(_) | Err(Error::TooManyHeaders) => return Err(BadHead::TooLarge),
        Err(_) => return Err(BadHead::Invalid),
    };
    let status = reply.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(BadHead::Invalid)?;
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status;
    parts.version = if reply.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let (copy, short) = copy(bytes, length, reply.headers);
    parts.headers = headers((&copy, &bytes[..length]), reply.headers, names, OURS).ok_or(BadHead::Invalid)?;
    let told = Told::of(&parts.headers);
    let body = body(status, parts.version, &told, method)?;
    let stays = parts.version == Version::HTTP_11 && body != Length::Close && !told.closes;
    let after = if stays { After::Stays } else { After::Closes };
    let short = (short > 0 && body == Length::Known(short as u64)).then(|| copy.slice(length..));
    Ok(Some((length, Head { after, body, parts, short })))
}

fn body(status: StatusCode, version: Version, told: &Told, method: &Method) -> Result<Length, BadHead> {
    let length = match told {
        Told { lengths: 0, codings: 0, .. } => Length::Close,
        Told { lengths: 1, codings: 0, length, .. } => Length::Known(length.ok_or(BadHead::Invalid)?),
        // No other coding was asked for; HTTP/1.0 has none (RFC 9112 §6.1).
        Told { lengths: 0, codings: 1, is_chunked: true, .. } if version == Version::HTTP_11 => {
            Length::Chunked
        }
        Told { lengths: 0, codings: 1, .. } => return Err(BadHead::Invalid),
        Told { .. } => return Err(BadHead::TwoLengths),
    };
    let bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    Ok(if bodiless || method == Method::HEAD { Length::Known(0) } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";

    /// U6, I13: what two readers could read in two ways is no reply.
    #[test]
    fn a_body_has_one_length_or_the_reply_is_none() {
        use {BadHead::*, Length::*};
        let table: [(&str, &str, Result<_, _>); _] = [
            ("GET", "200 OK\r\ncontent-length: 2", Ok((Known(2), After::Stays))),
            ("GET", "200 OK\r\nContent-Length: 2\r\nconnection: x, Close", Ok((Known(2), After::Closes))),
            ("GET", "200 OK\r\ntransfer-encoding: Chunked", Ok((Chunked, After::Stays))),
            ("GET", "200 OK", Ok((Close, After::Closes))),
            ("GET", "204 X\r\ncontent-length: 2", Ok((Known(0), After::Stays))),
            ("GET", "304 X\r\ntransfer-encoding: chunked", Ok((Known(0), After::Stays))),
            ("HEAD", "200 OK\r\ncontent-length: 2", Ok((Known(0), After::Stays))),
            ("HEAD", "200 OK", Ok((Known(0), After::Stays))),
            ("GET", "200 OK\r\ncontent-length: 2, 2", Err(Invalid)),
            ("GET", "200 OK\r\ncontent-length: +2", Err(Invalid)),
            ("GET", "200 OK\r\ncontent-length: -2", Err(Invalid)),
            ("GET", "200 OK\r\ncontent-length: 0x2", Err(Invalid)),
            ("GET", "200 OK\r\ncontent-length:", Err(Invalid)),
            ("GET", "200 OK\r\ncontent-length: 18446744073709551616", Err(Invalid)),
            ("GET", "200 OK\r\ncontent-length: 2\r\ncontent-length: 2", Err(TwoLengths)),
            ("GET", "200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked", Err(TwoLengths)),
            ("GET", "200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked", Err(TwoLengths)),
            ("GET", "200 OK\r\ntransfer-encoding: gzip, chunked", Err(Invalid)),
            ("GET", "200 OK\r\ntransfer-encoding: identity", Err(Invalid)),
            ("GET", "200 OK\r\ntransfer-encoding : chunked", Err(Invalid)),
            ("GET", "101 X\r\nupgrade: x\r\nconnection: upgrade", Err(Invalid)),
            ("GET", "99 X", Err(Invalid)),
            ("GET", "2000 X", Err(Invalid)),
        ];
        for (method, head, expected) in table {
            let method: Method = method.parse().unwrap();
            let read = read_one(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), &method);
            let read = read.map(|(_, head)| head.map(|head| (head.body, head.after)).unwrap());
            assert_eq!(read, expected, "{head}");
        }
    }

    /// I13
    #[test]
    fn an_old_server_closes_and_has_no_chunks() {
        let old = |rest: &str| read_one(format!("HTTP/1.0 200 OK\r\n{rest}\r\n").as_bytes(), &Method::GET);
        let (_, head) = old("content-length: 2\r\nconnection: keep-alive\r\n").unwrap();
        assert_eq!(head.map(|head| (head.body, head.after)), Some((Length::Known(2), After::Closes)));
        assert_eq!(old("transfer-encoding: chunked\r\n").unwrap_err(), BadHead::Invalid);
    }

    /// PRX-1
    #[test]
    fn lines_come_as_they_were_sent_and_in_order() {
        let text = "HTTP/1.1 429 Slow down\r\nX-A: 1\r\nset-cookie: a\r\nSet-Cookie: b \r\nx-b:\r\n\r\nbody";
        let (used, head) = read_one(text.as_bytes(), &Method::GET).unwrap();
        let head = head.unwrap().parts;
        let lines: Vec<(&str, &str)> =
            head.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!((head.status.as_u16(), used), (429, text.len() - 4));
        assert_eq!(lines, [("x-a", "1"), ("set-cookie", "a"), ("set-cookie", "b"), ("x-b", "")]);
    }

    /// PRX-1
    #[test]
    fn the_head_before_leaves_no_name_behind() {
        let mut names = Names::default();
        let heads = [
            "a: 1\r\nb: 2\r\nc: 3",
            "A: 1\r\nx: 2\r\nc: 3\r\nd: 4",
            "b: 1",
            "a: 1\r\nb: 2\r\nc: 3",
            "B: 1\r\na: 2",
        ];
        for text in heads {
            let head = format!("HTTP/1.1 200 OK\r\n{text}\r\n\r\n");
            let (_, head) = read(head.as_bytes(), &Method::GET, &mut names).unwrap();
            let head = head.unwrap().parts.headers;
            let lines: Vec<String> =
                head.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            assert_eq!(lines.join("\r\n"), text.to_ascii_lowercase());
        }
    }

    proptest! {
        /// U1 U6: the beginning of a head is never a head, and never refused.
        #[test]
        fn a_head_that_has_not_come_whole_is_waited_for(early in 0usize..3, cut in any::<prop::sample::Index>()) {
            let interim = "HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n".repeat(early);
            let text = format!("{interim}{OK}");
            let cut = cut.index(text.len());
            let (used, head) = read_one(&text.as_bytes()[..cut], &Method::GET).unwrap();
            prop_assert!(head.is_none());
            prop_assert!(used <= interim.len() && used <= cut);
            let (rest, head) = read_one(&text.as_bytes()[used..], &Method::GET).unwrap();
            prop_assert!(head.is_some());
            prop_assert_eq!(used + rest, text.len());
        }

        /// U6
        #[test]
        fn bytes_of_any_kind_are_no_panic(bytes in "(HTTP/1.[01] [0-9]{3} )?[a-z:\\r\\n \\x00]{0,80}") {
            if let Ok((used, _)) = read_one(bytes.as_bytes(), &Method::GET) {
                prop_assert!(used <= bytes.len());
            }
        }
    }

    fn read_one(bytes: &[u8], method: &Method) -> Result<(usize, Option<Head>), BadHead> {
        read(bytes, method, &mut Names::default())
    }
}
