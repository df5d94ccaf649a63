//! The Responses API's WebSocket as bytes: messages, control frames, and what
//! a reply or a limit looks like as a message. Nothing here waits.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as B64;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::account::{Account, Window};
use crate::event::Event;
use crate::limits::{FIVE_HOURS, SEVEN_DAYS};
use crate::reply::Reply;

/// What RFC 6455 §1.3 appends to the key of a handshake.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Most bytes of a close frame's reason (RFC 6455 §5.5: 125 with the code).
const MAX_REASON: usize = 123;
/// Text of one message of a flood.
const FLOOD_TEXT: usize = 16 * 1024;

/// The `sec-websocket-accept` that answers a `sec-websocket-key`.
pub(crate) fn accept_key(key: &str) -> String {
    let text = format!("{key}{GUID}");
    B64.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A text message, whole or in fragments of so many bytes.
pub(crate) fn text(message: &str, fragment: Option<usize>) -> Bytes {
    let bytes = message.as_bytes();
    let size = fragment.unwrap_or(bytes.len()).max(1);
    let count = bytes.len().div_ceil(size).max(1);
    let mut out = Vec::with_capacity(bytes.len() + count * 14);
    for place in 0..count {
        let end = bytes.len().min((place + 1) * size);
        let part = bytes.get(place * size..end).unwrap_or_default().to_vec();
        let opcode = OpCode::Data(if place == 0 { Data::Text } else { Data::Continue });
        append(&mut out, Frame::message(part, opcode, place + 1 == count));
    }
    Bytes::from(out)
}

pub(crate) fn ping() -> Bytes {
    let mut out = Vec::new();
    append(&mut out, Frame::ping(&b"fake"[..]));
    Bytes::from(out)
}

/// A close frame; a reason that is too long is shortened.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let reason = reason.get(..end).unwrap_or_default();
    let mut out = Vec::new();
    append(&mut out, Frame::close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() })));
    Bytes::from(out)
}

/// One message of an answer that goes on and on.
pub(crate) fn flood() -> Bytes {
    let delta = "x".repeat(FLOOD_TEXT);
    text(&json!({"type": "response.output_text.delta", "delta": delta}).to_string(), None)
}

fn append(out: &mut Vec<u8>, frame: Frame) {
    // Memory takes every frame; if it did not, the client would see a cut.
    let _written = frame.format(out);
}

/// A whole reply as the one message that says the same: a refusal as an error
/// with status and headers, anything else as its body.
pub(crate) fn message(reply: &Reply, body: &Bytes) -> Event {
    let text = String::from_utf8_lossy(body);
    if reply.status.as_u16() < 400 {
        return Event::bare(text);
    }
    let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let error = match (json.get("error"), json.get("detail")) {
        (Some(error), _) => error.clone(),
        (None, Some(Value::String(detail))) => json!({ "message": detail }),
        (None, Some(detail)) => detail.clone(),
        (None, None) => json!({ "message": text }),
    };
    let headers: Map<String, Value> = reply
        .headers
        .iter()
        .filter(|(name, _)| ![CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE].contains(name))
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    Event::typed(&json!({
        "type": "error", "status": reply.status.as_u16(), "error": error, "headers": headers,
    }))
}

/// What a ChatGPT login has used, as its own message.
pub(crate) fn rate_limits(account: &Account, now: i64) -> Event {
    let full = account.five_hour.is_full(now) || account.seven_day.is_full(now);
    let window = |window: &Window, length: i64| {
        json!({"used_percent": window.used_percent, "window_minutes": length / 60,
            "reset_at": window.resets_at.unwrap_or(now)})
    };
    Event::typed(&json!({
        "type": "codex.rate_limits", "plan_type": account.plan,
        "rate_limits": {
            "allowed": !full, "limit_reached": full,
            "primary": window(&account.five_hour, FIVE_HOURS),
            "secondary": window(&account.seven_day, SEVEN_DAYS),
        },
        "credits": {"has_credits": false, "unlimited": false, "balance": null},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors;

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_message_is_one_frame_or_as_many_fragments_as_asked() {
        assert_eq!(text("abc", None), &b"\x81\x03abc"[..]);
        assert_eq!(text("abc", Some(2)), &b"\x01\x02ab\x80\x01c"[..]);
        assert_eq!(text("", None), &b"\x81\x00"[..]);
        assert_eq!(text("abcd", Some(2)), &b"\x01\x02ab\x80\x02cd"[..]);
        assert_eq!(close(1003, "no"), &b"\x88\x04\x03\xebno"[..]);
        assert_eq!(close(1000, &"ä".repeat(100)).len(), 2 + 2 + 122);
    }

    #[test]
    fn a_refusal_becomes_an_error_message_with_its_status_and_headers() {
        let data = |reply: &Reply, body: &str| -> Value {
            serde_json::from_str(&message(reply, &Bytes::from(body.to_owned())).data).expect("json")
        };
        let reply = errors::detail(402, "x").with("retry-after", "5");
        assert_eq!(
            data(&reply, r#"{"error":{"code":"c"}}"#),
            json!({"type": "error", "status": 402, "error": {"code": "c"}, "headers": {"retry-after": "5"}})
        );
        assert_eq!(data(&reply, r#"{"detail":"no"}"#)["error"], json!({"message": "no"}));
        assert_eq!(data(&reply, r#"{"detail":{"code":"c"}}"#)["error"], json!({"code": "c"}));
        assert_eq!(data(&reply, "<html>")["error"], json!({"message": "<html>"}));
        assert_eq!(message(&Reply::json(200, &json!(1)), &Bytes::from_static(b"{}")), Event::bare("{}"));
    }
}
