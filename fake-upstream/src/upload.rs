//! Reading a request's body: hashed whole, kept up to a cap, decoded.

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use crate::ask::{Ask, Head};
use crate::coding::Coding;
use crate::errors;
use crate::recorder::Entry;
use crate::reply::Reply;
use crate::routes::Provider;
use crate::seal::hex;

/// The client left before its request was whole.
#[derive(Debug)]
pub(crate) struct Left;

/// Reads the whole body and notes it. The inner error is the answer to a body
/// that does not decode.
pub(crate) async fn receive(
    head: Head,
    body: Incoming,
    entry: &Entry,
    provider: Option<Provider>,
    cap: usize,
) -> Result<Result<Ask, Reply>, Left> {
    let kept = drain(body, entry, cap).await?;
    let Some(kept) = kept else {
        return Ok(Ok(Ask { oversize: true, ..Ask::new(head, Bytes::new()) }));
    };
    entry.keep(kept.clone());
    let coded = head.header("content-encoding").to_owned();
    if coded.is_empty() || coded.eq_ignore_ascii_case("identity") {
        return Ok(Ok(Ask::new(head, kept)));
    }
    let Some(coding) = Coding::named(&coded) else {
        return Ok(Err(refusal(provider, "request_body_encoding_unsupported", "unknown content-encoding")));
    };
    match coding.decode(&kept, cap as u64).await {
        Ok(decoded) => {
            entry.keep(decoded.clone());
            Ok(Ok(Ask::new(head, decoded)))
        }
        Err(_) => Ok(Err(refusal(provider, "request_body_encoding_invalid", "the body does not decode"))),
    }
}

/// Reads the body to its end, hashing and counting; gives it back unless it
/// was longer than `cap`.
pub(crate) async fn drain(mut body: Incoming, entry: &Entry, cap: usize) -> Result<Option<Bytes>, Left> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut kept = Some(BytesMut::new());
    // The length is asked before each frame: after an early reply the HTTP
    // library reports the end of a body only when the next request comes.
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame.map_err(|_| Left)?.into_data() else {
            continue;
        };
        hash.update(&data);
        entry.quiet_update(|recorded| recorded.body_len += data.len() as u64);
        kept = kept.filter(|kept| kept.len() + data.len() <= cap);
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(&data);
        }
    }
    let sha256 = hex(hash.finish().as_ref());
    entry.update(|recorded| recorded.body_sha256 = Some(sha256));
    Ok(kept.map(BytesMut::freeze))
}

fn refusal(provider: Option<Provider>, code: &str, words: &str) -> Reply {
    match provider {
        Some(Provider::Anthropic) => errors::anthropic_coded(400, code, words),
        Some(Provider::Gemini) => errors::google(400, "INVALID_ARGUMENT", words, serde_json::json!([])),
        Some(Provider::ChatGpt | Provider::OpenAi) | None => errors::openai(400, code, words),
    }
}
