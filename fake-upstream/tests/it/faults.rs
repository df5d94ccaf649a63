//! Faults that the HTTP library can play: statuses, event streams, codings.

use async_compression::tokio::bufread::GzipDecoder;
use fake_upstream::{Account, Action, Coding, Ending, FakeUpstream, Fault, Outcome, Script};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::client::{Got, bearer, send, turn, with};

async fn start() -> FakeUpstream {
    let script = Script::new()
        .account(Account::new("a").api_key("sk-a").quota(1_000))
        .account(Account::new("b").api_key("sk-b"));
    FakeUpstream::start(script).await.expect("start")
}

async fn ask(fake: &FakeUpstream, key: &str) -> Got {
    send(fake, bearer("/v1/responses", key, &turn())).await
}

#[tokio::test]
async fn a_fault_meets_the_account_it_names_and_is_used_up() {
    let fake = start().await;
    fake.set_fault(Fault::named("usage_limit_reached").account("a").once());
    let got = ask(&fake, "sk-a").await;
    assert_eq!((got.status.as_u16(), got.header("x-codex-primary-used-percent")), (429, "100"));
    assert_eq!(ask(&fake, "sk-b").await.status, 200);
    assert_eq!(ask(&fake, "sk-a").await.status, 200);
    let faulted: Vec<bool> = fake.requests().iter().map(|recorded| recorded.faulted).collect();
    assert_eq!(faulted, [true, false, false]);
    fake.set_fault(Fault::named("nonsense"));
    assert_eq!(ask(&fake, "sk-a").await.json()["error"]["code"], "fake_upstream_unknown_entry");
}

#[tokio::test]
async fn a_fault_of_the_edge_meets_requests_without_a_credential() {
    let fake = start().await;
    fake.set_fault(Fault::named("cloudflare_challenge").once());
    let got = ask(&fake, "nobody").await;
    assert_eq!((got.status.as_u16(), got.header("cf-mitigated")), (403, "challenge"));
    fake.set_fault(Fault::reply(500, "").account("a"));
    assert_eq!(ask(&fake, "nobody").await.status, 401);
}

#[tokio::test]
async fn a_replaced_reply_costs_nothing_unless_it_was_committed() {
    let fake = start().await;
    let left = || fake.account("a", |account| account.quota.as_ref().map(|quota| quota.left)).flatten();
    fake.set_fault(Fault::reply(503, "{}").once());
    fake.set_fault(Fault::reply(503, "{}").committed().once());
    ask(&fake, "sk-a").await;
    assert_eq!(left(), Some(1_000));
    ask(&fake, "sk-a").await;
    assert_eq!(left(), Some(999));
}

#[tokio::test]
async fn a_stream_fails_in_band_at_the_event_asked_for() {
    let fake = start().await;
    fake.set_fault(Fault::none().failed(0, "rate_limit_exceeded", "Please try again in 2s").once());
    fake.set_fault(Fault::none().in_band(3, json!({"type": "error", "code": "server_error"})).once());
    fake.set_fault(Fault::none().and(Action::StopAfter(2)).once());
    assert_eq!(ask(&fake, "sk-a").await.types(), ["response.failed"]);
    assert_eq!(
        ask(&fake, "sk-a").await.types(),
        ["response.created", "response.in_progress", "response.output_item.added", "error"]
    );
    assert_eq!(ask(&fake, "sk-a").await.types().len(), 2);
}

#[tokio::test]
async fn a_stream_is_framed_as_asked() {
    let fake = start().await;
    let text = |got: Got| String::from_utf8(got.body.to_vec()).expect("utf-8");
    let plain = text(ask(&fake, "sk-a").await);
    assert!(plain.starts_with("event: response.created\ndata: {"));
    fake.set_fault(Fault::none().and(Action::CrLf).once());
    assert!(text(ask(&fake, "sk-a").await).starts_with("event: response.created\r\ndata: {"));
    fake.set_fault(Fault::none().and(Action::Cr).once());
    assert!(!text(ask(&fake, "sk-a").await).contains('\n'));
    fake.set_fault(Fault::none().and(Action::ManyDataLines).once());
    assert!(text(ask(&fake, "sk-a").await).matches("\ndata: ").count() > plain.matches("\ndata: ").count());
    fake.set_fault(Fault::none().and(Action::GiantEvent(1 << 20)).once());
    let got = ask(&fake, "sk-a").await;
    assert!(got.body.len() > 1 << 20 && got.types().len() == 11);
    fake.set_fault(Fault::none().trailing("garbage").drip().once());
    assert!(text(ask(&fake, "sk-a").await).ends_with("\n\ngarbage"));
}

#[tokio::test]
async fn a_body_is_coded_and_still_says_the_same() {
    let fake = start().await;
    fake.set_fault(Fault::none().encode(Coding::Gzip).once());
    fake.set_fault(Fault::named("rate_limit_exceeded").encode(Coding::Gzip).once());
    for expected in ["response.completed", "rate_limit_exceeded"] {
        let got = ask(&fake, "sk-a").await;
        assert_eq!(got.header("content-encoding"), "gzip");
        let mut text = String::new();
        GzipDecoder::new(&got.body[..]).read_to_string(&mut text).await.expect("gzip");
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn headers_are_added_as_given() {
    let fake = start().await;
    let fault = Fault::redirect(307, "http://elsewhere.test/")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("keep-alive", "timeout=5")
        .header("retry-after", "-1")
        .without_header("content-type");
    fake.set_fault(fault.once());
    let got = ask(&fake, "sk-a").await;
    assert_eq!((got.status.as_u16(), got.header("location")), (307, "http://elsewhere.test/"));
    assert_eq!(got.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!(
        (got.header("keep-alive"), got.header("retry-after"), got.header("content-type")),
        ("timeout=5", "-1", "")
    );
    fake.set_fault(Fault::none().and(Action::ManyHeaders(80)).and(Action::GiantHead(70_000)).once());
    let got = ask(&fake, "sk-a").await;
    assert!(got.headers.len() > 80 && got.header("x-fake-padding").len() == 70_000);
}

#[tokio::test]
async fn a_stalled_reply_waits_for_its_gate() {
    let fake = start().await;
    fake.set_fault(Fault::none().stall_head("head").stall_after(3, "middle").once());
    let (head, middle) = (fake.gate("head"), fake.gate("middle"));
    let (got, ()) = tokio::join!(ask(&fake, "sk-a"), async {
        head.arrived(1).await;
        assert_eq!(fake.requests()[0].outcome, Outcome::Open);
        head.release();
        middle.arrived(1).await;
        let sent = fake.requests()[0].sent;
        assert!(sent > 0);
        middle.release();
    });
    assert_eq!(got.types().len(), 10);
    assert_eq!(fake.requests()[0].outcome, Outcome::Done);
}

#[tokio::test]
async fn a_flood_has_the_length_it_says() {
    let fake = start().await;
    fake.set_fault(Fault::flood(1_000_001).once());
    let got = ask(&fake, "sk-a").await;
    assert_eq!((got.body.len(), got.header("content-length")), (1_000_001, "1000001"));
    assert_eq!(fake.requests()[0].sent, 1_000_001);
}

#[tokio::test]
async fn a_stream_fails_in_band_in_the_shape_of_each_dialect() {
    let fake = start().await;
    let chat = json!({"model": "m", "messages": [], "stream": true});
    let messages = json!({"model": "m", "max_tokens": 9, "messages": [], "stream": true});
    let claude =
        || with("/v1/messages", &[("x-api-key", "sk-a"), ("anthropic-version", "2023-06-01")], &messages);
    for after in [0, 1, 3] {
        fake.set_fault(Fault::none().error_event(after, "overloaded_error", "Overloaded").once());
        let got = send(&fake, claude()).await;
        let events = got.events();
        assert_eq!((events.len(), &events[after]["error"]["type"]), (after + 1, &json!("overloaded_error")));
        assert!(String::from_utf8_lossy(&got.body).contains("event: error\n"));

        fake.set_fault(Fault::none().error_chunk(after, "rate_limit_exceeded", "Slow down").once());
        let events = send(&fake, bearer("/v1/chat/completions", "sk-a", &chat)).await.events();
        assert_eq!(
            (events.len(), &events[after]["error"]["code"]),
            (after + 1, &json!("rate_limit_exceeded"))
        );

        fake.set_fault(Fault::none().stop_after(after).once());
        assert_eq!(send(&fake, claude()).await.events().len(), after);
    }
}

#[tokio::test]
async fn a_stream_is_cut_after_so_many_events_and_never_ends_cleanly() {
    let fake = start().await;
    for (events, bytes) in [(0, 0), (2, 0), (2, 5), (9, 1), (10, 0)] {
        fake.set_fault(Fault::none().cut_within(events, bytes, Ending::Close).once());
        let (got, error) = until_the_cut(&fake).await;
        let text = String::from_utf8(got).expect("utf-8");
        assert_eq!(text.matches("\n\n").count(), events);
        let more = text.rsplit("\n\n").next().expect("a part").len();
        assert_eq!((more as u64, error), (bytes, true), "{text}");
    }
    fake.set_fault(Fault::none().cut_after(4, Ending::Close).encode(Coding::Gzip).once());
    let (got, error) = until_the_cut(&fake).await;
    let mut text = Vec::new();
    let ended = GzipDecoder::new(&got[..]).read_to_end(&mut text).await;
    let text = String::from_utf8(text).expect("utf-8");
    assert_eq!((text.matches("\n\n").count(), ended.is_err(), error), (4, true, true));
}

/// What came of a body, and whether it ended with an error.
async fn until_the_cut(fake: &FakeUpstream) -> (Vec<u8>, bool) {
    let stream = TcpStream::connect(fake.addr()).await.expect("connect");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
    tokio::spawn(connection);
    let request = bearer("/v1/responses", "sk-a", &turn()).map(Full::new);
    let mut body = sender.send_request(request).await.expect("a head").into_body();
    let mut got = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.extend(frame.into_data().unwrap_or_default()),
            Err(_) => return (got, true),
        }
    }
    (got, false)
}

#[tokio::test]
async fn comments_stand_between_events_and_change_nothing() {
    let fake = start().await;
    let plain = send(&fake, bearer("/v1/responses", "sk-a", &turn())).await.types();
    fake.set_fault(Fault::none().and(Action::Comments).once());
    let got = send(&fake, bearer("/v1/responses", "sk-a", &turn())).await;
    assert_eq!(String::from_utf8_lossy(&got.body).matches(": keepalive\n\n").count(), plain.len());
    assert_eq!(got.types(), plain);
}
