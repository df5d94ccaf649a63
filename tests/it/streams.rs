use crate::harness::{Rota, RotaBuilder, key, login, raw, rota};
use fake_upstream::{Account, Coding, Ending, FakeUpstream, Fault, Script};
use http_body_util::BodyExt;
use rota::telemetry::Outcome;
use serde_json::json;

const STREAM: &str = r#"{"model":"gpt-5","input":"hello","stream":true}"#;
const MESSAGE: &str =
    r#"{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hello"}]}"#;
const CHAT: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hello"}]}"#;

/// FLO-9: a refusal before the first word is another account's turn, in any coding, and the client sees only that one.
#[tokio::test]
async fn a_refusal_before_the_first_word_fails_over_and_nobody_notices() {
    for after in [0, 1, 2] {
        for coding in [None, Some(Coding::Gzip), Some(Coding::Zstd), Some(Coding::Brotli)] {
            let (fake, rota) = openai().await;
            let fault = Fault::none().failed(after, "insufficient_quota", "You exceeded your quota");
            let fault = coding.map_or(fault.clone(), |coding| fault.encode(coding));
            fake.set_fault(fault.account("a"));
            let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
            assert_eq!(fake.accounts_served("/v1/responses"), ["a", "b"], "{after} {coding:?}");
            assert_eq!(answer.header("x-rota-account"), Some("home"));
            assert!(
                answer.text().contains("response.completed") && !answer.text().contains("response.failed")
            );
            assert_eq!(
                fake.requests()[1].sent,
                answer.body.len() as u64,
                "b's bytes, all of them, no others"
            );
            let record = &rota.decisions(1).await[0];
            assert_eq!((record.outcome, record.in_band.is_none()), (Outcome::Served, true));
            assert!(rota.account("work").health.cooling.is_some());
        }
    }
}

/// FLO-9: the other dialects say it in their own words.
#[tokio::test]
async fn every_dialect_has_its_own_refusals() {
    let overloaded = json!({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}});
    let bare = json!({"error": {"code": "insufficient_quota", "message": "no"}});
    for (provider, path, ask, event) in [
        ("anthropic", "/anthropic/v1/messages", MESSAGE, &overloaded),
        ("openai", "/openai/v1/chat/completions", CHAT, &bare),
    ] {
        for after in [0, 1] {
            let fake = two_accounts().await;
            fake.set_fault(Fault::none().in_band(after, event.clone()).account("a"));
            let rota = pair(&fake, provider).start().await;
            let answer = rota.call("POST", path).json(ask).send().await;
            assert_eq!(answer.header("x-rota-account"), Some("home"), "{provider} {after}: {answer:?}");
            assert!(!answer.text().contains("rate_limit_error"), "{answer:?}");
        }
    }
}

/// FLO-9, LIM-1: after the first word the refusal is the client's to read; the next request goes elsewhere, and the
/// failed reply has taught no limits.
#[tokio::test]
async fn a_refusal_after_the_first_word_passes_and_the_next_request_goes_elsewhere() {
    let (fake, rota) = openai().await;
    fake.set_fault(Fault::none().failed(4, "insufficient_quota", "You exceeded your quota").account("a"));
    let ask = || rota.call("POST", "/openai/v1/responses").header("session-id", "s").json(STREAM);
    let answer = ask().send().await;
    assert_eq!(answer.header("x-rota-account"), Some("work"));
    assert!(answer.text().contains("response.failed"), "byte for byte");
    assert_eq!(fake.requests()[0].sent, answer.body.len() as u64);
    let record = rota.decisions(1).await[0].clone();
    let in_band = record.in_band.as_ref().expect("told");
    assert_eq!((record.outcome, in_band.verdict), (Outcome::Passed, "payment"));
    assert_eq!(rota.account("work").limits.latest, None);
    assert!(rota.account("work").health.cooling.is_some());
    assert_eq!(ask().send().await.header("x-rota-account"), Some("home"));
}

/// FLO-9: an event stream that says nothing for too many events has begun; what it says then comes too late.
#[tokio::test]
async fn a_stream_is_held_for_sixteen_events_and_no_more() {
    let ping = r#"event: response.in_progress
data: {"type":"response.in_progress"}

"#;
    let refusal = r#"event: response.failed
data: {"type":"response.failed","response":{"error":{"code":"insufficient_quota"}}}

"#;
    for (events, failed_over) in [(15, true), (16, false)] {
        let (fake, rota) = openai().await;
        let body = ping.repeat(events) + refusal;
        fake.set_fault(Fault::raw(event_stream(&body)).account("a"));
        let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
        let expected = if failed_over { "home" } else { "work" };
        assert_eq!(answer.header("x-rota-account"), Some(expected), "{events}");
        assert_eq!(answer.text() == body, !failed_over);
        assert!(rota.account("work").health.cooling.is_some(), "it counts, early or late");
    }
}

/// FLO-9, I6: a refusal that no rule knows is the client's, and nobody pays for it; it served nobody either.
#[tokio::test]
async fn a_refusal_that_nobody_knows_passes_and_benches_nobody() {
    let (fake, rota) = openai().await;
    let before = rota.app.state.snapshot();
    fake.set_fault(Fault::none().failed(1, "something_new", "what?"));
    let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    assert!(answer.text().contains("something_new"));
    let record = &rota.decisions(1).await[0];
    let verdict = record.in_band.as_ref().map(|in_band| in_band.verdict);
    assert_eq!((record.outcome, verdict, record.attempts.len()), (Outcome::Passed, Some("pass"), 1));
    assert_eq!(rota.app.state.snapshot(), before);
}

/// FLO-8, FLO-9: every account refuses in band: one answer of the pool's, as if they had refused by status.
#[tokio::test]
async fn a_pool_that_refuses_in_band_is_one_429() {
    let (fake, rota) = openai().await;
    fake.set_fault(Fault::none().failed(1, "insufficient_quota", "You exceeded your quota"));
    let answer = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    assert_eq!((answer.status.as_u16(), fake.recorder().total()), (429, 2));
    assert_eq!(answer.header("x-should-retry"), Some("false"));
}

/// FLO-9, U2, U3: wherever a stream is cut, and however, the client sees a cut, with what came before it, and nothing is
/// sent again.
#[tokio::test]
async fn a_stream_cut_at_any_byte_is_never_a_clean_end() {
    let (fake, rota) = openai().await;
    let whole = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await.body;
    let ends: Vec<usize> = (0..whole.len()).step_by(97).chain([whole.len() - 2, whole.len() - 1]).collect();
    for at in ends {
        for way in ["closed without a terminator", "reset", "short of its length", "closed in good form"] {
            let before = fake.recorder().total();
            fake.clear_faults();
            fake.set_fault(match way {
                "closed without a terminator" => Fault::none().cut_body(at as u64, Ending::Close),
                "reset" => Fault::none().cut_body(at as u64, Ending::Reset),
                "short of its length" => {
                    let head = format!("content-length: {}\r\n\r\n", whole.len());
                    Fault::raw([head_of(&head), whole[..at].to_vec()].concat())
                }
                _ => Fault::raw([head_of("connection: close\r\n\r\n"), whole[..at].to_vec()].concat()),
            });
            let bytes = raw(rota.address, request(&rota, STREAM).as_bytes()).await;
            assert!(bytes.starts_with("HTTP/1.1 200 "), "{way} at {at}: {bytes}");
            assert!(!bytes.ends_with("0\r\n\r\n"), "{way} at {at}: {bytes}");
            assert_eq!(fake.recorder().total(), before + 1, "{way} at {at}");
        }
    }
}

/// PRX-1 (RFC 9112 §7.1): who speaks HTTP/1.0 knows no chunks; the stream ends with its connection.
#[tokio::test]
async fn a_stream_to_an_old_client_is_not_chunked() {
    let (fake, rota) = openai().await;
    let whole = rota.call("POST", "/openai/v1/responses").json(STREAM).send().await.text().to_owned();
    // So that its length is not known when its head goes.
    fake.set_fault(Fault::none().drip());
    let old = request(&rota, STREAM).replace(" HTTP/1.1\r\n", " HTTP/1.0\r\n");
    let answer = raw(rota.address, old.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nconnection: close"), "{head}");
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert_eq!(body.lines().count(), whole.lines().count());
    assert!(body.starts_with("event: ") && body.ends_with("\n\n"), "{body}");
}

/// FLO-9: a stream that ends in good form and short of its last event is a cut as well, compressed or counted; a chat's
/// stream, of whose end nothing is known, is not judged.
#[tokio::test]
async fn a_stream_without_its_last_event_is_a_cut() {
    for coding in [None, Some(Coding::Gzip)] {
        let (fake, rota) = openai().await;
        let fault = Fault::none().and(fake_upstream::Action::StopAfter(5));
        fake.set_fault(coding.map_or(fault.clone(), |coding| fault.encode(coding)));
        let reply = rota.call("POST", "/openai/v1/responses").json(STREAM).open().await.expect("a head");
        assert!(reply.into_body().collect().await.is_err(), "{coding:?}");
        assert_eq!(rota.decisions(1).await[0].outcome, Outcome::Passed);
        let reply = rota.call("POST", "/openai/v1/chat/completions").json(CHAT).open().await.expect("a head");
        assert!(reply.into_body().collect().await.is_ok(), "{coding:?}");
    }
}

/// SEL-4: what a reply holds that only its account can read is known by then.
#[tokio::test]
async fn a_reply_tells_whose_its_ids_are() {
    let (_fake, rota) = openai().await;
    rota.call("POST", "/openai/v1/responses").json(STREAM).send().await;
    let learnt: Vec<_> = rota.app.owners.all().iter().map(|owned| owned.account).collect();
    assert!(!learnt.is_empty());
    assert!(learnt.iter().all(|account| *account == rota.account("work").id));
}

/// PRX-5: a client that waits hears the provider's own keep-alive, between two events, and the rest is the upstream's.
#[tokio::test]
async fn a_silent_stream_is_kept_alive_in_the_providers_own_words() {
    let script = Script::new().account(Account::new("a").org("acc-a").access_token("at-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let builder = rota(fake.origin()).account("work", "codex", login("at-a", "rt-a", "acc-a"));
    let rota = builder.set("TIMEOUTS__KEEP_ALIVE", "50ms").start().await;
    fake.set_fault(Fault::none().stall_after(4, "middle"));
    let ask = json!({"model": "gpt-5", "instructions": "i", "input": [], "stream": true, "store": false});
    let reply = rota.call("POST", "/codex/responses").json(&ask.to_string()).open().await.expect("a head");
    let mut body = reply.into_body();
    let mut text = String::new();
    while text.matches("event: codex.keepalive\n").count() < 2 {
        let frame = body.frame().await.expect("it goes on").expect("a frame");
        text += std::str::from_utf8(frame.data_ref().expect("data")).expect("text");
    }
    fake.gate("middle").release();
    let rest = body.collect().await.expect("a whole stream").to_bytes();
    text += std::str::from_utf8(&rest).expect("text");
    let ours = "event: codex.keepalive\ndata: {\"type\":\"codex.keepalive\"}\n\n";
    let own = text.replace(ours, "");
    assert!(own.ends_with("\n\n") && own.contains("response.completed"));
    let record = &rota.decisions(1).await[0];
    assert_eq!((record.bytes_out, fake.requests()[0].sent), (own.len() as u64, own.len() as u64));
}

async fn two_accounts() -> FakeUpstream {
    let script =
        Script::new().account(Account::new("a").api_key("sk-a")).account(Account::new("b").api_key("sk-b"));
    FakeUpstream::start(script).await.expect("a fake upstream")
}

fn pair(fake: &FakeUpstream, provider: &str) -> RotaBuilder {
    rota(fake.origin()).account("work", provider, key("sk-a")).account("home", provider, key("sk-b"))
}

async fn openai() -> (FakeUpstream, Rota) {
    let fake = two_accounts().await;
    let rota = pair(&fake, "openai").start().await;
    (fake, rota)
}

fn head_of(rest: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{rest}").into_bytes()
}

fn event_stream(body: &str) -> Vec<u8> {
    [head_of(&format!("content-length: {}\r\n\r\n", body.len())), body.as_bytes().to_vec()].concat()
}

fn request(rota: &Rota, body: &str) -> String {
    format!(
        "POST /openai/v1/responses HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        rota.address,
        body.len()
    )
}
