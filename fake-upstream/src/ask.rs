//! A request as the endpoints see it: head, body, and the body read as JSON.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

/// A whole request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) head: Head,
    /// The body without its content coding, up to the cap of kept bytes.
    pub(crate) body: Bytes,
    /// The body as JSON, `Null` when it is none.
    pub(crate) json: Value,
    /// The body was longer than what is kept, so `json` says nothing about it.
    pub(crate) oversize: bool,
    pub(crate) via: Via,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Http,
    /// As a message over the WebSocket of this number. `continues`: the earlier
    /// response it names was given over the same one.
    Socket {
        id: u64,
        continues: bool,
    },
}

impl Head {
    pub(crate) fn new(method: Method, uri: &Uri, headers: HeaderMap) -> Self {
        Self {
            method,
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            headers,
        }
    }

    /// A header as text, empty when it is absent or not text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Whether the comma list in `name` has `member`, over all its lines.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        self.headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(','))
            .any(|part| part.trim() == member)
    }

    /// A decoded query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        form_value(&self.query, name)
    }
}

impl Ask {
    pub(crate) fn new(head: Head, body: Bytes) -> Self {
        let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Self { head, body, json, oversize: false, via: Via::Http }
    }

    /// A text field of the JSON body, empty when it is absent.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.json.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A true or false field of the JSON body.
    pub(crate) fn flag(&self, field: &str) -> Option<bool> {
        self.json.get(field).and_then(Value::as_bool)
    }

    /// Only warms a WebSocket up: nothing is generated, nothing is spent.
    pub(crate) fn is_prewarm(&self) -> bool {
        self.via != Via::Http && self.flag("generate") == Some(false)
    }

    /// A parameter from a JSON or a form body, as token endpoints take both.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        if let Some(text) = self.json.get(name).and_then(Value::as_str) {
            return Some(text.to_owned());
        }
        form_value(std::str::from_utf8(&self.body).ok()?, name)
    }

    /// Every text parameter of a JSON or a form body.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        if let Some(fields) = self.json.as_object() {
            let texts =
                fields.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
            return texts.collect();
        }
        let form = std::str::from_utf8(&self.body).unwrap_or_default();
        let pairs = form.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (percent_decoded(name), percent_decoded(value)))
            .collect()
    }
}

fn form_value(form: &str, name: &str) -> Option<String> {
    form.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decoded(key) == name).then(|| percent_decoded(value))
    })
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = text.as_bytes().iter();
    let mut out = Vec::with_capacity(text.len());
    while let Some(&byte) = bytes.next() {
        let rest = bytes.as_slice();
        match (byte, rest) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high * 16 + low);
                    bytes.nth(1);
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_come_from_json_or_from_a_form() {
        let head = || Head::new(Method::POST, &Uri::from_static("/t?key=a%2Bb&x"), HeaderMap::new());
        let form =
            Ask::new(head(), Bytes::from_static(b"grant_type=refresh_token&refresh_token=r%20t+1%zz%4"));
        let json = Ask::new(head(), Bytes::from_static(b"{\"refresh_token\":\"rt\"}"));
        assert_eq!(form.parameter("refresh_token").as_deref(), Some("r t 1%zz%4"));
        assert_eq!(json.parameter("refresh_token").as_deref(), Some("rt"));
        assert_eq!(json.parameter("grant_type"), None);
        assert_eq!(json.head.query("key").as_deref(), Some("a+b"));
        assert_eq!(json.head.query("x").as_deref(), Some(""));
    }

    #[test]
    fn a_comma_list_is_read_over_all_its_lines_and_by_whole_members() {
        let mut headers = HeaderMap::new();
        for value in ["a, oauth-2025-04-20x", " oauth-2025-04-20 "] {
            headers.append("anthropic-beta", value.parse().expect("value"));
        }
        let head = Head::new(Method::GET, &Uri::from_static("/"), headers);
        assert!(head.lists("anthropic-beta", "oauth-2025-04-20"));
        assert!(!head.lists("anthropic-beta", "oauth"));
    }
}
