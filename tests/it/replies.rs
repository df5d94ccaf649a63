use crate::harness::{Rota, key, raw, rota};
use fake_upstream::{Account, Coding, Ending, FakeUpstream, Fault, Script};
use http_body_util::BodyExt;
use rota::telemetry::Outcome;

const STREAM: &str = r#"{"model":"gpt-5","input":"hello","stream":true}"#;

/// FLO-9, U2 and U3: a cut upstream is a cut reply, never a clean end.
#[tokio::test]
async fn a_cut_stream_stays_a_cut() {
    for ending in [Ending::Close, Ending::Reset] {
        let (fake, rota) = stage().await;
        fake.set_fault(Fault::none().cut_body(300, ending));
        let bytes = raw(rota.address, ask(&rota, STREAM).as_bytes()).await;
        assert!(bytes.starts_with("HTTP/1.1 200 "), "{bytes}");
        assert!(!bytes.ends_with("0\r\n\r\n"), "{bytes}");
        assert_eq!(fake.recorder().total(), 1, "what may have been processed is not sent again");
        assert_eq!(rota.decisions(1).await[0].outcome, Outcome::Passed);
    }
}

/// FLO-9
#[tokio::test]
async fn a_cut_body_of_known_length_stays_a_cut() {
    let (fake, rota) = stage().await;
    fake.set_fault(Fault::none().cut_body(20, Ending::Close));
    let call = rota.call("POST", "/openai/v1/responses").json("{\"model\":\"gpt-5\",\"input\":\"x\"}");
    let reply = call.open().await.expect("a head");
    assert!(reply.into_body().collect().await.is_err());
}

/// FLO-2, U1: no complete head, so it may have been processed: one attempt, a typed
/// answer.
#[tokio::test]
async fn a_lost_head_is_a_502_and_is_never_sent_again() {
    for at in [0, 1, 9, 15, 30] {
        let (fake, rota) = stage().await;
        fake.set_fault(Fault::none().cut(at, Ending::Close));
        let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
        assert_eq!(answer.status, 502, "cut at byte {at}");
        assert_eq!(answer.json()["error"]["code"], "UPSTREAM_LOST");
        assert_eq!(fake.recorder().total(), 1);
    }
}

/// PRX-1, U4
#[tokio::test]
async fn events_pass_untouched_however_they_are_cut_into_pieces() {
    let (fake, rota) = stage().await;
    let plain = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    assert_eq!(plain.status, 200);
    fake.reset();
    fake.set_fault(Fault::none().drip());
    let dripped = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    assert_eq!(fake.requests()[0].sent, dripped.body.len() as u64);
    assert!(dripped.text().contains("response.completed"));
}

/// PRX-1, U11: compressed bytes are the client's.
#[tokio::test]
async fn a_compressed_reply_passes_compressed_and_a_compressed_error_is_still_understood() {
    let (fake, rota) = stage().await;
    fake.set_fault(Fault::none().encode(Coding::Gzip).once());
    let answer =
        rota.call("POST", "/openai/v1/responses").json("{\"model\":\"gpt-5\",\"input\":\"x\"}").send().await;
    assert_eq!((answer.status.as_u16(), answer.header("content-encoding")), (200, Some("gzip")));
    assert_eq!(answer.body.get(..2), Some(&[0x1f, 0x8b][..]));
    fake.set_fault(Fault::reply(429, r#"{"error":{"code":"insufficient_quota"}}"#).encode(Coding::Zstd));
    let refused = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    assert_eq!(refused.json()["error"]["reasons"]["work"]["reason"], "payment-required");
}

/// PRX-2, U9
#[tokio::test]
async fn a_redirect_is_neither_followed_nor_shown() {
    let elsewhere = FakeUpstream::start(Script::new()).await.expect("a fake upstream");
    for status in [301, 302, 303, 307, 308] {
        let (fake, rota) = stage().await;
        fake.set_fault(Fault::redirect(status, format!("{}/v1/responses", elsewhere.origin())));
        let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
        assert_eq!(answer.status, 502, "{status}");
        assert_eq!(answer.json()["error"]["code"], "UPSTREAM_REDIRECT");
        assert_eq!(answer.header("location"), None);
        assert!(!answer.text().contains(&elsewhere.origin()));
    }
    assert_eq!(elsewhere.recorder().total(), 0);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_that_says_so() {
    let gone = FakeUpstream::start(Script::new()).await.expect("a fake upstream");
    let origin = gone.origin();
    gone.shutdown().await;
    let rota = rota(origin).account("work", "openai", key("sk-a")).start().await;
    let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"]["code"], "UPSTREAM_UNREACHABLE");
    assert_eq!(answer.header("x-should-retry"), Some("true"));
}

/// U6
#[tokio::test]
async fn a_reply_that_is_no_http_is_a_502() {
    for bytes in [
        "HTTP/0.9 what\r\n\r\n",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let (fake, rota) = stage().await;
        fake.set_fault(Fault::raw(bytes));
        let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
        assert_eq!(answer.status, 502, "{bytes:?}");
    }
}

/// A HEAD reply names a length and has no body.
#[tokio::test]
async fn a_head_request_is_answered_without_a_body_and_counts_as_complete() {
    let (fake, rota) = stage().await;
    fake.set_fault(Fault::reply(200, "{}").header("x-here", "yes"));
    let answer = rota.call("HEAD", "/openai/v1/models").send().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-here"), answer.body.len()), (200, Some("yes"), 0));
    assert_eq!(rota.decisions(1).await[0].outcome, Outcome::Served);
}

async fn stage() -> (FakeUpstream, Rota) {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    (fake, rota)
}

fn ask(rota: &Rota, body: &str) -> String {
    format!(
        "POST /openai/v1/responses HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        rota.address,
        body.len()
    )
}
