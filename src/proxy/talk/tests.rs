//! Conversations over real sockets.
use super::super::handler::Framing;
use super::super::reply::{bare, ours};
use super::super::upload::{ReplayBudget, Upload, UploadBounds};
use super::body::{LONG_READ, UNWANTED_BYTES};
use super::hearing::CONTINUE;
use super::*;
use crate::model::Time;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body;
use proptest::prelude::*;
use serde_json::json;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(40);
const MOST: usize = 8 * 1024;
/// So that a test that would hang ends.
const GUARD: Duration = Duration::from_secs(60);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// PRX-1 PRX-2: the network cuts where it likes, and clients do not wait for answers.
    #[test]
    fn however_requests_arrive_the_same_ones_are_heard(
        bodies in prop::collection::vec((any::<bool>(), 0usize..40_000), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bodies: Vec<(bool, Vec<u8>)> =
            bodies.iter().map(|(chunked, length)| (*chunked, (0..*length).map(|n| (n * 7) as u8).collect())).collect();
        let text: Vec<u8> = bodies.iter().flat_map(|(chunked, body)| request(*chunked, body)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let heard = block_on(async {
            let (client, mut hearing, _to) = pair().await;
            let (_from, mut client) = client.into_split();
            let sending = async move {
                for pair in cuts.windows(2) {
                    client.write_all(&text[pair[0]..pair[1]]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client
            };
            let hearing = async {
                let mut heard = Vec::new();
                for _ in 0..bodies.len() {
                    let asked = next(&mut hearing).await;
                    let chunked = asked.request.headers().contains_key("transfer-encoding");
                    let hint = asked.request.body().size_hint().exact();
                    let body = asked.request.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(hint, (!chunked || body.is_empty() && hint.is_some()).then_some(body.len() as u64));
                    heard.push((chunked, body.to_vec()));
                    assert!(hearing.goes_on());
                }
                heard
            };
            tokio::join!(sending, hearing).1
        });
        prop_assert_eq!(heard, bodies);
    }
}

/// PRX-4: what has come goes on together, up to a bound, however much of it is here.
#[tokio::test]
async fn a_long_body_comes_in_pieces_of_bounded_length() {
    let (client, mut hearing, _to) = pair().await;
    let (_from, mut client) = client.into_split();
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at * 7) as u8).collect();
    let text = request(false, &body);
    let sending = tokio::spawn(async move { client.write_all(&text).await.map(|()| client) });
    let mut heard = next(&mut hearing).await.request.into_body();
    let mut whole = Vec::new();
    while let Some(piece) = heard.frame().await {
        let piece = piece.unwrap().into_data().unwrap();
        assert!((1..=LONG_READ).contains(&piece.len()), "{} bytes", piece.len());
        assert!(hearing.ear.lock().unwrap().room.capacity() <= LONG_READ);
        whole.extend_from_slice(&piece);
        tokio::task::yield_now().await;
    }
    assert!(whole == body, "{} bytes", whole.len());
    sending.await.unwrap().unwrap();
}

/// PRX-2: what is cut, or framed wrongly, is a broken body and never a short one.
#[tokio::test]
async fn a_body_that_is_cut_or_misframed_is_broken() {
    for (text, closes) in [
        ("POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhell", true),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", true),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", false),
    ] {
        let (mut client, mut hearing, _to) = pair().await;
        client.write_all(text.as_bytes()).await.unwrap();
        if closes {
            client.shutdown().await.unwrap();
        }
        let asked = next(&mut hearing).await;
        assert!(asked.request.into_body().collect().await.is_err(), "{text}");
        assert!(!hearing.goes_on(), "{text}");
    }
}

/// PRX-1 (RFC 9110 §10.1.1): the word goes out when the body is wanted, and never once the answer has begun.
#[tokio::test]
async fn who_waits_for_a_word_has_it_when_the_body_is_wanted() {
    const ASKS: &[u8] = b"POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(ASKS).await.unwrap();
    let mut body = next(&mut hearing).await.request.into_body();
    let mut word = [0; CONTINUE.len()];
    let sending = async {
        client.read_exact(&mut word).await.unwrap();
        client.write_all(b"ok").await.unwrap();
    };
    let (_, read) = tokio::join!(sending, body.frame());
    assert_eq!((&word[..], &read.unwrap().unwrap().into_data().unwrap()[..]), (CONTINUE, &b"ok"[..]));
    assert!(hearing.answered().is_empty() && hearing.goes_on());

    client.write_all(ASKS).await.unwrap();
    let mut body = next(&mut hearing).await.request.into_body();
    assert!(hearing.answered().is_empty());
    assert!(!hearing.goes_on(), "it may send the body or not");
    let waits = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx).is_pending())).await;
    let mut said = [0];
    assert!(waits && client.try_read(&mut said).is_err(), "no word behind the answer's beginning");

    client.write_all(b"ok").await.unwrap();
    assert!(body.frame().await.is_some(), "a body that comes all the same is read");

    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"GET / HTTP/1.1\r\nexpect: 100-continue\r\n\r\n").await.unwrap();
    next(&mut hearing).await;
    assert!(hearing.answered().is_empty() && !hearing.is_last() && hearing.goes_on(), "it has no body");
}

/// PRX-1: a small body that nobody wanted does not cost the connection, a large one does, and the answer says so
/// (RFC 9112 §9.6).
#[tokio::test]
async fn what_nobody_wanted_is_passed_over_where_it_is_short() {
    // What comes in one piece with its head is here.
    for (length, sent, is_last, expected) in [
        (2, 2, false, true),
        (6_000, 6_000, false, true),
        (2, 1, false, false),
        (UNWANTED_BYTES + 8_000, 8_000, false, false),
        (UNWANTED_BYTES + 8_001, 8_000, true, false),
        (8 << 20, 0, true, false),
    ] {
        let (mut client, mut hearing, _to) = pair().await;
        let head = format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n");
        client.write_all(&[head.as_bytes(), &vec![b'x'; sent]].concat()).await.unwrap();
        let asked = next(&mut hearing).await;
        assert!(!hearing.is_last(), "{sent} of {length}, which may be read yet");
        drop(asked);
        assert_eq!((hearing.is_last(), hearing.goes_on()), (is_last, expected), "{sent} of {length}");
    }
}

/// I6: who closes wants no answer; who asks again before the answer does.
#[tokio::test]
async fn a_client_is_gone_when_it_closes_and_not_when_it_asks_again() {
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"GET /1 HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(next(&mut hearing).await.request.uri(), "/1");
    assert!(!gone(&hearing).await);
    client.write_all(b"GET /2 HTTP/1.1\r\n\r\n").await.unwrap();
    while kept(&hearing) == 0 {
        assert!(!gone(&hearing).await);
        tokio::task::yield_now().await;
    }
    assert!(hearing.goes_on());
    assert_eq!(next(&mut hearing).await.request.uri(), "/2");
    drop(client);
    poll_fn(|cx| hearing.poll_gone(cx)).await;
}

/// I6: while a body is waited for elsewhere, its end is where the client is looked for again.
#[tokio::test]
async fn a_client_that_goes_behind_a_body_read_elsewhere_is_seen() {
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    let body = next(&mut hearing).await.request.into_body();
    let reading = tokio::spawn(body.collect());
    let sending = async {
        tokio::task::yield_now().await;
        client.write_all(b"ok").await.unwrap();
        drop(client);
    };
    let ((), ()) = tokio::join!(sending, poll_fn(|cx| hearing.poll_gone(cx)));
    assert_eq!(reading.await.unwrap().unwrap().to_bytes(), "ok");
}

/// I6: half a body read elsewhere, and then nothing: nobody waits for the answer.
#[tokio::test]
async fn a_client_that_goes_amid_a_body_is_seen() {
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
    let body = next(&mut hearing).await.request.into_body();
    let reading = tokio::spawn(body.collect());
    assert!(!gone(&hearing).await);
    drop(client);
    poll_fn(|cx| hearing.poll_gone(cx)).await;
    assert!(reading.await.unwrap().is_err());
}

/// I6 (RFC 9112 §2.2)
#[tokio::test]
async fn an_empty_line_behind_a_body_hides_no_closing() {
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    next(&mut hearing).await;
    client.write_all(b"\r\n").await.unwrap();
    drop(client);
    poll_fn(|cx| hearing.poll_gone(cx)).await;
}

/// PRX-1: what an earlier request's body is asked for is not the next one's.
#[tokio::test]
async fn a_body_ends_with_its_request() {
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"POST /1 HTTP/1.1\r\ncontent-length: 1\r\n\r\n1").await.unwrap();
    let mut first = next(&mut hearing).await.request.into_body();
    assert!(hearing.goes_on());
    client.write_all(b"POST /2 HTTP/1.1\r\ncontent-length: 1\r\n\r\n2").await.unwrap();
    let second = next(&mut hearing).await.request.into_body();
    assert!(first.frame().await.unwrap().is_err());
    assert_eq!(second.collect().await.unwrap().to_bytes(), "2");
}

/// PRX-5: a head has its time, whether it does not come or does not end; what comes in time is served, however long the
/// connection has been there.
#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_in_time_ends_the_connection() {
    for begun in ["", "GET / HT"] {
        let (mut client, mut hearing, _to) = pair().await;
        for _ in 0..3 {
            client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            next(&mut hearing).await;
            assert!(hearing.goes_on());
            tokio::time::sleep(PATIENCE * 3).await;
        }
        client.write_all(begun.as_bytes()).await.unwrap();
        let never = pin!(pending());
        let mut next = pin!(hearing.next(never));
        assert!(tokio::time::timeout(PATIENCE - Duration::from_millis(1), &mut next).await.is_err());
        let ended = tokio::time::timeout(PATIENCE, &mut next).await;
        assert!(matches!(ended, Ok(Said::End)));
    }
}

/// When rota stops, who asks nothing is let go at once, and who has begun to ask is heard.
#[tokio::test]
async fn when_rota_stops_only_who_has_begun_to_ask_is_heard() {
    let (mut client, mut hearing, _to) = pair().await;
    assert!(matches!(hearing.next(pin!(async {})).await, Said::End));
    client.write_all(b"GET / HT").await.unwrap();
    while kept(&hearing) == 0 {
        let never = pin!(pending());
        let mut next = pin!(hearing.next(never));
        assert!(poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await);
        tokio::task::yield_now().await;
    }
    let (rest, stopped) = (client.write_all(b"TP/1.1\r\n\r\n"), pin!(async {}));
    let (_, said) = tokio::join!(rest, hearing.next(stopped));
    assert!(matches!(said, Said::Request(_)));
}

/// PRX-4: the search for the model is bounded by pieces, too.
#[tokio::test]
async fn a_body_in_single_bytes_is_not_searched_for_ever() {
    let (mut client, mut hearing, _to) = pair().await;
    client.write_all(b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
    let bounds = UploadBounds { held: 1 << 20, idle: GUARD, budget: Arc::new(ReplayBudget::new(1 << 20)) };
    let upload = Upload::new(next(&mut hearing).await.request.into_body(), bounds);
    let sending = async {
        for sent in 0..1000 {
            if client.write_all(b"x").await.is_err() {
                return;
            }
            while upload.received() <= sent {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::select! {
        begun = upload.begin(1000, |_| false) => assert_eq!(begun.unwrap().len(), 64),
        () = sending => panic!("all of it was looked at"),
    }
}

/// PRX-1 (RFC 9112 §6.3): a reply is framed for whom it is for.
#[tokio::test]
async fn an_answer_is_framed_as_its_reader_needs_it() {
    let json = || ours(StatusCode::OK, &json!(1));
    let common = "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    let ok = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{common}");
    for (asked, reply, expected, then) in [
        (to("GET", false), json(), format!("{ok}content-length: 1\r\n\r\n1"), Then::GoOn),
        (
            to("GET", true),
            json(),
            format!("{ok}connection: close\r\ncontent-length: 1\r\n\r\n1"),
            Then::Close,
        ),
        (to("HEAD", false), json(), format!("{ok}content-length: 1\r\n\r\n"), Then::GoOn),
        (
            to("GET", false),
            bare(StatusCode::NO_CONTENT),
            format!("HTTP/1.1 204 No Content\r\n{common}\r\n"),
            Then::GoOn,
        ),
        (
            to("POST", false),
            bare(StatusCode::ACCEPTED),
            format!("HTTP/1.1 202 Accepted\r\n{common}content-length: 0\r\n\r\n"),
            Then::GoOn,
        ),
        (
            to("GET", false),
            bare(StatusCode::SWITCHING_PROTOCOLS),
            "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(),
            Then::Switch,
        ),
    ] {
        let mut answer = Answer::new(reply, &Reader::of(&asked), Time::from_millis(999));
        let mut text = Vec::new();
        let ended = poll_fn(|cx| answer.poll(&mut text, cx)).await;
        assert_eq!((String::from_utf8(text).unwrap(), ended), (expected, then));
    }
}

fn to(method: &str, last: bool) -> Asked {
    let request = Request::builder().method(method).uri("/").body(ClientBody::default()).unwrap();
    Asked { request, framing: Framing::Clear, last }
}

fn request(chunked: bool, body: &[u8]) -> Vec<u8> {
    if !chunked {
        let head = format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    let mut text = b"\r\nPOST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(9_000) {
        text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        text.extend_from_slice(chunk);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n\r\n");
    text
}

async fn next(hearing: &mut Hearing) -> Asked {
    match tokio::time::timeout(GUARD, hearing.next(pin!(pending()))).await {
        Ok(Said::Request(asked)) => {
            assert_eq!(asked.framing, Framing::Clear);
            asked
        }
        Ok(Said::Bad(why)) => panic!("{why}"),
        Ok(Said::End) => panic!("the end"),
        Err(_) => panic!("nothing came"),
    }
}

/// What was said early.
fn kept(hearing: &Hearing) -> usize {
    hearing.ear.lock().unwrap().kept.len()
}

async fn gone(hearing: &Hearing) -> bool {
    poll_fn(|cx| Poll::Ready(hearing.poll_gone(cx).is_ready())).await
}

async fn pair() -> (TcpStream, Hearing, OwnedWriteHalf) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (hearing, to) = Hearing::new(accepted.unwrap().0, MOST, PATIENCE);
    (client.unwrap(), hearing, to)
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(GUARD, test).await.expect("an end") })
}
