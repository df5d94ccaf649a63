//! The opening handshake of RFC 6455 §4, towards the client and towards the upstream. Each hop has a key of its own; no
//! extension is ever offered or accepted, so that a message's bytes are the same on both.
use super::super::error::Turned;
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};

/// What a key is hashed with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// A client's handshake, found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Offer {
    accept: HeaderValue,
}

/// True for a request that asks to leave HTTP for WebSocket.
pub(in super::super) fn offered(headers: &HeaderMap) -> bool {
    lists(headers, &UPGRADE, b"websocket")
}

impl Offer {
    /// Reads the handshake of a request that is [`offered`].
    pub(in super::super) fn read(head: &Parts) -> Result<Self, Turned> {
        if head.method != Method::GET || head.version < Version::HTTP_11 {
            return Err(Turned::Handshake("it must be a GET over HTTP/1.1"));
        }
        let headers = &head.headers;
        if !lists(headers, &CONNECTION, b"upgrade") {
            return Err(Turned::Handshake("its Connection header must name Upgrade"));
        }
        let bodiless = headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
        if !bodiless || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Turned::Handshake("it must have no body"));
        }
        if sole(headers, &SEC_WEBSOCKET_VERSION) != Some(&VERSION) {
            return Err(Turned::HandshakeVersion);
        }
        let key = sole(headers, &SEC_WEBSOCKET_KEY)
            .ok_or(Turned::Handshake("it must have one Sec-WebSocket-Key header"))?;
        match STANDARD.decode(key.as_bytes()) {
            Ok(bytes) if bytes.len() == 16 => Ok(Self { accept: accept(key.as_bytes())? }),
            Ok(_) | Err(_) => Err(Turned::Handshake("its Sec-WebSocket-Key must be 16 bytes in base64")),
        }
    }

    /// Puts the answer into a head that already holds what else the client may read.
    pub(super) fn grant(self, headers: &mut HeaderMap) {
        headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
    }
}

/// rota's own handshake with an upstream.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    accept: HeaderValue,
}

impl Ask {
    /// Puts a handshake into the headers of a request, in the place of the client's. Of its subprotocols go on those that
    /// hold nothing of the client's account; `account` are the headers that would.
    pub(super) fn put(headers: &mut HeaderMap, account: &[HeaderName]) -> Result<Self, Turned> {
        let protocol = protocols(headers, account)?;
        let own = |name: &&HeaderName| name.as_str().starts_with("sec-websocket-");
        let doomed: Vec<HeaderName> = headers.keys().filter(own).cloned().collect();
        for name in doomed {
            headers.remove(name);
        }
        let mut bytes = [0; 16];
        rand::fill(&mut bytes).map_err(|_| Turned::Handshake("the system has no randomness for a key"))?;
        let key = STANDARD.encode(bytes);
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        headers.insert(SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(SEC_WEBSOCKET_KEY, value(&key)?);
        if let Some(protocol) = protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Ok(Self { accept: accept(key.as_bytes())? })
    }

    /// What is wrong with the upstream's 101 (RFC 6455 §4.1).
    pub(super) fn fault(&self, headers: &HeaderMap) -> Option<&'static str> {
        if !offered(headers) || sole(headers, &SEC_WEBSOCKET_ACCEPT) != Some(&self.accept) {
            return Some("the upstream's handshake is not that of a WebSocket");
        }
        let extended = headers.contains_key(SEC_WEBSOCKET_EXTENSIONS);
        extended.then_some("the upstream accepted an extension that nobody offered")
    }
}

/// Browsers cannot set headers, so that providers take them as subprotocols: `NAME.VALUE`, a key among them.
fn protocols(headers: &HeaderMap, account: &[HeaderName]) -> Result<Option<HeaderValue>, Turned> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered = lists.flat_map(|list| list.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = offered.filter(|one| !one.is_empty() && !is_of_account(one, account)).collect();
    if kept.is_empty() {
        return Ok(None);
    }
    HeaderValue::from_bytes(&kept.join(&b", "[..]))
        .map(Some)
        .map_err(|_| Turned::Handshake("its Sec-WebSocket-Protocol is not readable"))
}

fn is_of_account(protocol: &[u8], account: &[HeaderName]) -> bool {
    let protocol = protocol.to_ascii_lowercase();
    let name = protocol.split(|b| *b == b'.').next().unwrap_or_default();
    let says = |word: &[u8]| protocol.windows(word.len()).any(|part| part == word);
    [&b"api-key"[..], b"apikey", b"authorization", b"bearer", b"token"].into_iter().any(says)
        || account.iter().any(|header| header.as_str().as_bytes() == name)
}

fn accept(key: &[u8]) -> Result<HeaderValue, Turned> {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    value(&STANDARD.encode(hash))
}

fn value(text: &str) -> Result<HeaderValue, Turned> {
    HeaderValue::from_str(text).map_err(|_| Turned::Handshake("its key cannot be answered"))
}

/// True where the comma-separated lists of `name` hold `token`, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &[u8]) -> bool {
    let lists = headers.get_all(name).iter();
    let mut tokens = lists.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    tokens.any(|one| one.trim_ascii().eq_ignore_ascii_case(token))
}

fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    /// PRX-1: the example of RFC 6455 §1.3.
    #[test]
    fn a_handshake_is_answered_as_the_standard_shows() {
        let offer = Offer::read(&head(&GOOD)).expect("a handshake");
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        offer.grant(&mut headers);
        let expected = [
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (UPGRADE, WEBSOCKET),
            (SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ];
        assert_eq!(headers, expected.into_iter().collect());
    }

    #[test]
    fn what_is_no_handshake_is_told_what_it_lacks() {
        for (name, value, expected) in [
            ("connection", "close", "its Connection header must name Upgrade"),
            ("content-length", "2", "it must have no body"),
            ("transfer-encoding", "chunked", "it must have no body"),
            ("sec-websocket-key", "short", "its Sec-WebSocket-Key must be 16 bytes in base64"),
            ("sec-websocket-key", "", "its Sec-WebSocket-Key must be 16 bytes in base64"),
        ] {
            let mut lines: Vec<(&str, &str)> = GOOD.into_iter().filter(|line| line.0 != name).collect();
            lines.push((name, value));
            assert_eq!(Offer::read(&head(&lines)), Err(Turned::Handshake(expected)), "{name}: {value}");
        }
        let twice = [GOOD.as_slice(), &[GOOD[3]]].concat();
        assert!(matches!(Offer::read(&head(&twice)), Err(Turned::Handshake(_))));
        let old = [&GOOD[..2], &[("sec-websocket-version", "8"), GOOD[3]]].concat();
        assert_eq!(Offer::read(&head(&old)), Err(Turned::HandshakeVersion));
        let mut post = head(&GOOD);
        post.method = Method::POST;
        assert_eq!(Offer::read(&post), Err(Turned::Handshake("it must be a GET over HTTP/1.1")));
    }

    #[test]
    fn an_upstream_is_asked_with_a_key_of_ours_and_without_extensions() {
        let mut headers = head(&GOOD).headers;
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("permessage-deflate"));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat"));
        let ask = Ask::put(&mut headers, &[]).expect("a handshake");
        assert_ne!(headers[SEC_WEBSOCKET_KEY], GOOD[3].1, "the client's key is the client's");
        assert_eq!(headers.get(SEC_WEBSOCKET_EXTENSIONS), None);
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "chat");
        let mut answer = HeaderMap::new();
        assert!(ask.fault(&answer).is_some(), "nothing was answered");
        Offer { accept: ask.accept.clone() }.grant(&mut answer);
        assert_eq!(ask.fault(&answer), None);
        answer.insert(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static("x"));
        assert!(ask.fault(&answer).is_some(), "an extension");
        answer.remove(SEC_WEBSOCKET_EXTENSIONS);
        answer.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert!(ask.fault(&answer).is_some(), "the answer to another key");
    }

    /// PRX-2
    #[test]
    fn a_subprotocol_that_holds_the_clients_key_or_account_does_not_go_on() {
        let account = [HeaderName::from_static("x-organization")];
        for (offered, expected) in [
            (&["realtime, provider-insecure-api-key.sk-client, x-beta.v1"][..], Some("realtime, x-beta.v1")),
            (&["realtime", "Bearer.sk-client,,X-Organization.mine", "v1"], Some("realtime, v1")),
            (&["base64url.bearer.authorization.example.c2VjcmV0, chat"], Some("chat")),
            (&["provider-insecure-api-key.sk-client"], None),
            (&[], None),
        ] {
            let lines: Vec<(&str, &str)> =
                offered.iter().map(|list| ("sec-websocket-protocol", *list)).collect();
            let mut headers = head(&lines).headers;
            Ask::put(&mut headers, &account).expect("a handshake");
            let put: Vec<&str> = headers
                .get_all(SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .map(|value| value.to_str().expect("text"))
                .collect();
            assert_eq!(put, expected.into_iter().collect::<Vec<_>>(), "{offered:?}");
        }
    }

    fn head(lines: &[(&str, &str)]) -> Parts {
        let mut request = Request::new(());
        for (name, value) in lines {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            request.headers_mut().append(name, HeaderValue::from_str(value).expect("a value"));
        }
        request.into_parts().0
    }
}
