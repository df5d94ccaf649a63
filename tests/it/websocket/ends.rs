use super::{in_flight, pair, upstream, upstream_is_left};
use crate::harness::{Ended, RESPONSES, Socket, create};
use fake_upstream::{Ending, Fault, Outcome as Seen};
use futures_util::SinkExt;
use rota::telemetry::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// FLO-9: a cut is shown as a cut, and a goodbye as the goodbye it was.
#[tokio::test]
async fn an_upstream_that_ends_in_the_middle_of_a_turn_is_never_a_clean_end() {
    for (fault, expected) in [
        (Fault::none().cut_after(0, Ending::Close), Ended::Torn),
        (Fault::none().cut_after(0, Ending::Reset), Ended::Torn),
        (Fault::none().cut_after(5, Ending::Close), Ended::Torn),
        (Fault::none().cut_within(5, 7, Ending::Close), Ended::Torn),
        (Fault::none().stop_after(5).close_frame(1011, "boom"), Ended::Closed(1011)),
    ] {
        let fake = upstream().await;
        let rota = pair(&fake).start().await;
        let mut socket = Socket::of(&rota, "s-1").await;
        fake.set_fault(fault.message());
        socket.say(&create()).await;
        let (messages, ended) = socket.rest().await;
        assert_eq!(ended, expected);
        assert!(messages.iter().all(|one| one["type"] != "response.completed"));
        assert_eq!(rota.decisions(2).await[1].outcome, Outcome::Passed);
        assert_eq!(in_flight(&rota), 0);
        assert_eq!(super::turns(&fake), ["a"], "what may have been processed is not sent again");
    }
}

/// PRX-5
#[tokio::test]
async fn an_upstream_that_answers_no_ping_is_cut() {
    let fake = upstream().await;
    fake.set_fault(Fault::none().handshake().hold());
    let rota = quick(&fake).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    assert_eq!(socket.rest().await, (Vec::new(), Ended::Torn));
    upstream_is_left(&fake).await;
}

/// PRX-5
#[tokio::test]
async fn a_client_that_answers_no_ping_is_cut() {
    let fake = upstream().await;
    let rota = quick(&fake).start().await;
    let mut silent = TcpStream::connect(rota.address).await.expect("rota listens");
    let head = format!(
        "GET {RESPONSES} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        rota.address
    );
    silent.write_all(head.as_bytes()).await.expect("rota reads");
    let mut all = Vec::new();
    // It returns because rota closes; a reset is an end as well.
    let _ = silent.read_to_end(&mut all).await;
    assert!(all.starts_with(b"HTTP/1.1 101 "));
    assert!(all.ends_with(&[0x89, 0]), "an empty ping is the last word: {:?}", all.last_chunk::<4>());
    upstream_is_left(&fake).await;
}

/// PRX-5: pings keep a connection that nobody uses, and are answered on either side.
#[tokio::test]
async fn a_silent_connection_lives_as_long_as_both_ends_answer() {
    let fake = upstream().await;
    fake.set_fault(Fault::none().ping().message());
    let rota = quick(&fake).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    let reading = tokio::spawn(async move {
        let ended = socket.rest().await.1;
        (socket, ended)
    });
    let pinged = fake.recorder().wait_until(|all| all[0].socket.is_some_and(|seen| seen.pings >= 3)).await;
    assert_eq!(pinged[0].outcome, Seen::Open);
    assert!(!reading.is_finished(), "the client has answered as well");
    reading.abort();

    let mut socket = Socket::of(&rota, "s-2").await;
    socket.ws.send(Message::Ping("x".into())).await.expect("a ping");
    assert_eq!(socket.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
    let ponged = |all: &[fake_upstream::Recorded]| {
        all.iter().any(|one| one.socket.is_some_and(|seen| seen.pongs >= 1))
    };
    fake.recorder().wait_until(ponged).await;
}

#[tokio::test]
async fn a_clients_goodbye_goes_upstream_and_is_answered() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    socket.ask(&create()).await;
    socket.ws.close(None).await.expect("a goodbye");
    assert!(matches!(socket.rest().await, (none, Ended::Closed(_)) if none.is_empty()));
    let seen = fake.recorder().wait_until(|all| all[0].outcome != Seen::Open).await;
    assert_eq!((seen[0].outcome, seen[0].socket.and_then(|one| one.closed)), (Seen::Done, Some(1005)));
}

/// PRX-6: a turn that is under way ends whole, and whoever waits for nothing is sent on at once.
#[tokio::test]
async fn a_stop_ends_turns_whole_and_sends_idle_clients_on() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let (mut idle, mut busy) = (Socket::of(&rota, "s-1").await, Socket::of(&rota, "s-2").await);
    fake.set_fault(Fault::none().stall_after(3, "middle").message());
    busy.say(&create()).await;
    fake.gate("middle").arrived(1).await;
    let ending = tokio::spawn(rota.stop());
    let (messages, ended) = idle.rest().await;
    assert_eq!(messages[0]["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!((messages.len(), ended), (1, Ended::Closed(1012)));
    fake.gate("middle").release();
    assert_eq!(busy.answer().await.last().map(String::as_str), Some("response.completed"));
    let (messages, ended) = busy.rest().await;
    assert_eq!((messages.len(), ended), (1, Ended::Closed(1012)));
    ending.await.expect("it ends");
}

fn quick(fake: &fake_upstream::FakeUpstream) -> crate::harness::RotaBuilder {
    pair(fake).set("TIMEOUTS__WEBSOCKET_PING", "100ms").set("TIMEOUTS__WEBSOCKET_PONG", "500ms")
}
