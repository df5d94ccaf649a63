//! Faults of the connection: cuts, resets, silence, floods and early replies.

use std::io::ErrorKind;

use fake_upstream::{Account, Action, Ending, FakeUpstream, Fault, Outcome, Script};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{bearer, raw, raw_turn, send, turn};

async fn start() -> FakeUpstream {
    FakeUpstream::start(Script::new().account(Account::new("a").api_key("sk-a"))).await.expect("start")
}

#[tokio::test]
async fn a_reply_is_cut_at_every_byte_asked_for() {
    let fake = start().await;
    fake.set_fault(Fault::reply(200, "{\"ok\":true}").finish(Ending::Close).once());
    let (whole, _) = raw(fake.addr(), &raw_turn("sk-a")).await;
    assert!(
        whole.ends_with(b"content-length: 11\r\n\r\n{\"ok\":true}"),
        "{}",
        String::from_utf8_lossy(&whole)
    );
    for at in 0..=whole.len() {
        fake.set_fault(Fault::reply(200, "{\"ok\":true}").cut(at as u64, Ending::Close).once());
        let (got, error) = raw(fake.addr(), &raw_turn("sk-a")).await;
        assert_eq!((got.as_slice(), error), (&whole[..at], None), "cut at {at}");
    }
    assert!(fake.requests().iter().skip(1).all(|recorded| recorded.outcome == Outcome::Broken));
}

#[tokio::test]
async fn a_stream_is_cut_within_a_chunk_without_a_last_one() {
    let fake = start().await;
    fake.set_fault(Fault::none().cut_body(100, Ending::Close).once());
    let (got, _) = raw(fake.addr(), &raw_turn("sk-a")).await;
    let text = String::from_utf8(got).expect("utf-8");
    let body = text.split_once("\r\n\r\n").expect("head").1;
    let (size, data) = body.split_once("\r\n").expect("chunk");
    assert!(usize::from_str_radix(size, 16).expect("size") > 100);
    assert_eq!((data.len(), data.starts_with("event: response.created\n")), (100, true));
    assert_eq!(fake.requests()[0].status, Some(200));
}

#[tokio::test]
async fn a_connection_is_reset_before_the_head_within_the_body_and_after_the_reply() {
    let fake = start().await;
    fake.set_fault(Fault::no_reply(Ending::Reset).once());
    fake.set_fault(Fault::none().cut_body(10, Ending::Reset).once());
    fake.set_fault(Fault::reply(200, "x").finish(Ending::Reset).once());
    for _ in 0..3 {
        let (_, error) = raw(fake.addr(), &raw_turn("sk-a")).await;
        assert_eq!(error, Some(ErrorKind::ConnectionReset));
    }
    let outcomes: Vec<Outcome> = fake.requests().iter().map(|recorded| recorded.outcome).collect();
    assert_eq!(outcomes, [Outcome::Broken, Outcome::Broken, Outcome::Done]);
}

#[tokio::test]
async fn raw_bytes_go_out_as_they_are() {
    let fake = start().await;
    let odd = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\nx: a\0b\r\n\r\n\xff".to_vec();
    fake.set_fault(Fault::raw(odd.clone()).once());
    assert_eq!(raw(fake.addr(), &raw_turn("sk-a")).await, (odd, None));
    fake.set_fault(Fault::reply(200, "abc").header("content-length", "9").once());
    let (got, _) = raw(fake.addr(), &raw_turn("sk-a")).await;
    assert!(got.ends_with(b"content-length: 9\r\n\r\nabc"), "{}", String::from_utf8_lossy(&got));
    fake.set_fault(Fault::none().drip().finish(Ending::Close).once());
    let (got, _) = raw(fake.addr(), &raw_turn("sk-a")).await;
    assert!(got.ends_with(b"\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_wherever_the_reply_is() {
    let fake = start().await;
    let places = [
        Fault::none().stall_head("never"),
        Fault::none().stall_after(2, "never"),
        Fault::none().stall_after(2, "never").finish(Ending::Close),
        Fault::none().hold(),
        Fault::endless(),
    ];
    for (place, fault) in places.into_iter().enumerate() {
        fake.set_fault(fault.once());
        let mut stream = TcpStream::connect(fake.addr()).await.expect("connect");
        stream.write_all(&raw_turn("sk-a")).await.expect("write");
        fake.recorder().wait_until(|all| all.get(place).is_some_and(|one| one.status.is_some())).await;
        drop(stream);
        let all = fake
            .recorder()
            .wait_until(|all| all.get(place).is_some_and(|one| one.outcome != Outcome::Open))
            .await;
        assert_eq!(all[place].outcome, Outcome::ClientLeft, "{place}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_upload_is_noticed() {
    let fake = start().await;
    let mut stream = TcpStream::connect(fake.addr()).await.expect("connect");
    stream
        .write_all(b"POST /v1/responses HTTP/1.1\r\nhost: fake\r\ncontent-length: 100\r\n\r\nabc")
        .await
        .expect("write");
    fake.recorder().wait_for(1).await;
    drop(stream);
    let all = fake.recorder().wait_until(|all| all[0].outcome != Outcome::Open).await;
    assert_eq!(
        (all[0].outcome, all[0].status, all[0].body_sha256.as_ref()),
        (Outcome::ClientLeft, None, None)
    );
}

#[tokio::test]
async fn an_early_reply_comes_while_the_upload_goes_on_and_the_rest_is_counted() {
    let fake = start().await;
    fake.set_fault(Fault::early(413, "{\"error\":{}}").account("a").once());
    let mut stream = TcpStream::connect(fake.addr()).await.expect("connect");
    stream
        .write_all(b"POST /v1/responses HTTP/1.1\r\nhost: fake\r\nauthorization: Bearer sk-a\r\ncontent-length: 1000\r\n\r\n")
        .await
        .expect("head");
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.expect("reply");
    assert_eq!(&head, b"HTTP/1.1 413");
    stream.write_all(&[b'x'; 1000]).await.expect("upload");
    let all = fake.recorder().wait_until(|all| all[0].body_sha256.is_some()).await;
    assert_eq!((all[0].body_len, all[0].status), (1000, Some(413)));
}

#[tokio::test]
async fn a_slow_reader_pushes_back() {
    const WHOLE: u64 = 1 << 30;
    let fake = start().await;
    fake.set_fault(Fault::flood(WHOLE).once());
    let mut stream = TcpStream::connect(fake.addr()).await.expect("connect");
    stream.write_all(&raw_turn("sk-a")).await.expect("write");
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).await.expect("read");
    // Whatever the sockets hold, a gigabyte does not fit.
    let sent = fake.requests()[0].sent;
    assert!(sent < WHOLE, "{sent}");
    drop(stream);
    let all = fake.recorder().wait_until(|all| all[0].outcome != Outcome::Open).await;
    assert_eq!(all[0].outcome, Outcome::ClientLeft);
    assert!(all[0].sent < WHOLE / 2, "{}", all[0].sent);
}

#[tokio::test]
async fn a_body_larger_than_what_is_kept_is_hashed_and_answered() {
    let script = Script::new().account(Account::new("a").api_key("sk-a")).keep_body_bytes(1 << 20);
    let fake = FakeUpstream::start(script).await.expect("start");
    let body = vec![b'x'; 48 << 20];
    let request = http::Request::post("/v1/responses")
        .header("host", "fake")
        .header("authorization", "Bearer sk-a")
        .body(body.into())
        .expect("request");
    assert_eq!(send(&fake, request).await.status, 200);
    let recorded = fake.requests().remove(0);
    assert_eq!((recorded.body_len, recorded.body_sha256.is_some()), (48 << 20, true));
}

#[tokio::test]
async fn nonsense_is_answered_or_dropped_and_never_stops_the_fake() {
    let fake = start().await;
    let nonsense: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /oauth/token HTTP/1.1\r\nhost: fake\r\nconnection: close\r\ncontent-length: 3\r\n\r\n\xff\xfe{",
        b"POST /__fake/faults HTTP/1.1\r\nhost: fake\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[1",
        b"GET /v1beta/models/:%zz?key=%&& HTTP/1.1\r\nhost: fake\r\nconnection: close\r\n\r\n",
    ];
    for bytes in nonsense {
        let (got, _) = raw(fake.addr(), bytes).await;
        assert!(got.starts_with(b"HTTP/1.1 4"), "{bytes:?} got {}", String::from_utf8_lossy(&got));
    }
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a", &turn())).await.status, 200);
}

#[tokio::test]
async fn the_fake_serves_other_transports_and_http2() {
    let fake = start().await;
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(fake.server().serve_http2(far));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near))
            .await
            .expect("handshake");
    tokio::spawn(connection);
    fake.set_fault(Fault::none().skip(1).cut_body(10, Ending::Reset).once());
    let ask = || bearer("http://fake/v1/responses", "sk-a", &turn()).map(Full::new);
    let whole = sender.send_request(ask()).await.expect("reply").into_body().collect().await.expect("body");
    assert!(whole.to_bytes().starts_with(b"event: response.created"));
    let broken = match sender.send_request(ask()).await {
        // The reset may overtake the head.
        Err(error) => Err(error),
        Ok(reply) => reply.into_body().collect().await,
    };
    assert!(broken.is_err());
    for (fault, reason) in [
        (Fault::no_reply(Ending::Reset), h2::Reason::INTERNAL_ERROR),
        (Fault::none().and(Action::RefuseStream), h2::Reason::REFUSED_STREAM),
    ] {
        fake.set_fault(fault.once());
        let error = sender.send_request(ask()).await.expect_err("no reply");
        let found = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<h2::Error>());
        assert_eq!(found.and_then(h2::Error::reason), Some(reason));
    }

    let (mut near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(fake.server().serve_http1(far));
    near.write_all(b"GET / HTTP/1.1\r\nhost: fake\r\nconnection: close\r\n\r\n").await.expect("write");
    let mut got = Vec::new();
    near.read_to_end(&mut got).await.expect("read");
    assert!(got.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_fake_that_is_shut_down_or_dropped_is_gone() {
    let fake = start().await;
    let addr = fake.addr();
    fake.set_fault(Fault::none().stall_after(1, "held").and(Action::Hold));
    let mut stream = TcpStream::connect(addr).await.expect("connect");
    stream.write_all(&raw_turn("sk-a")).await.expect("write");
    fake.gate("held").arrived(1).await;
    fake.shutdown().await;
    let mut rest = Vec::new();
    let _ended = stream.read_to_end(&mut rest).await;
    assert!(TcpStream::connect(addr).await.is_err());
}
