use super::super::outbound::OutboundBody;
use crate::http1::{Framing, Outgoing, write_lines};
use http::header::HeaderValue;
use http::{Method, Request};

/// A request to the server that `host` names, in origin form (RFC 9112 §3.2.1). Framing and `Host` are written anew.
pub(super) fn asked(request: Request<OutboundBody>, host: &HeaderValue) -> Outgoing<OutboundBody> {
    let (parts, body) = request.into_parts();
    let framing = Framing::of(&body);
    // RFC 9110 §8.6: where a body is expected its absence is told.
    let expected = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    Outgoing::new(body, framing, |text| {
        for piece in [parts.method.as_str(), " ", target, " HTTP/1.1\r\nhost: "] {
            text.extend_from_slice(piece.as_bytes());
        }
        text.extend_from_slice(host.as_bytes());
        text.extend_from_slice(b"\r\n");
        write_lines(text, &parts.headers);
        if framing == Framing::None && expected {
            text.extend_from_slice(b"content-length: 0\r\n");
        }
    })
}
