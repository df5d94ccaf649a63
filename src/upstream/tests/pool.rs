//! Connections that are used again, and those that are not.
use super::super::pool::{IDLE, IDLE_CONNECTIONS, PARTS};
use super::*;
use tokio::sync::{Barrier, mpsc};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// PRX-1
#[tokio::test]
async fn a_connection_is_used_again_and_the_one_used_last_goes_first() {
    let (peer, _hears) = telling().await;
    let (upstream, provider) = (upstream(), peer.http());
    for _ in 0..5 {
        assert_eq!(whole(replied(&upstream, &provider, post("x")).await).await.unwrap(), "ok");
    }
    assert_eq!(peer.seen.connections(), 1);
    let apart = upstream.apart();
    assert_eq!(whole(replied(&apart, &provider, get()).await).await.unwrap(), "ok");
    assert_eq!(peer.seen.connections(), 2, "a thread's connections are its own");
}

/// PRX-1, R3
#[tokio::test]
async fn an_idle_connection_is_kept_for_a_while_and_then_closed() {
    let (peer, mut hears) = telling().await;
    let upstream = upstream();
    whole(replied(&upstream, &peer.http(), get()).await).await.unwrap();
    tokio::time::pause();
    let young = IDLE - 2 * IDLE / PARTS;
    assert!(tokio::time::timeout(young, hears.recv()).await.is_err(), "it is still there");
    hears.recv().await.expect("it was closed");
}

/// R3
#[tokio::test]
async fn a_connection_that_the_upstream_closed_is_not_handed_out() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut socket, _| {
        let told = told.clone();
        async move {
            request(&mut socket).await.unwrap();
            socket.write_all(OK).await.unwrap();
            drop(socket);
            told.send(()).unwrap();
        }
    })
    .await;
    let (upstream, provider) = (upstream(), peer.http());
    for _ in 0..20 {
        assert_eq!(whole(replied(&upstream, &provider, get()).await).await.unwrap(), "ok");
        hears.recv().await.unwrap();
        news().await;
    }
    assert_eq!(peer.seen.connections(), 20);
}

/// PRX-4
#[tokio::test]
async fn more_idle_connections_than_there_is_room_for_are_closed() {
    const MORE: usize = 3;
    let all = Arc::new(Barrier::new(IDLE_CONNECTIONS + MORE));
    let (told, mut hears) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut socket, _| {
        let (all, told) = (all.clone(), told.clone());
        async move {
            request(&mut socket).await.unwrap();
            all.wait().await;
            socket.write_all(OK).await.unwrap();
            closed(&mut socket).await;
            told.send(()).unwrap();
        }
    })
    .await;
    let (upstream, provider) = (upstream(), peer.http());
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..IDLE_CONNECTIONS + MORE {
        let (upstream, provider) = (upstream.clone(), provider.clone());
        under_way.spawn(async move { whole(replied(&upstream, &provider, get()).await).await.unwrap() });
    }
    while under_way.join_next().await.is_some() {}
    for _ in 0..MORE {
        hears.recv().await.unwrap();
    }
    news().await;
    assert!(hears.try_recv().is_err(), "the others are kept");
    drop(upstream);
    for _ in 0..IDLE_CONNECTIONS {
        hears.recv().await.unwrap();
    }
}

/// C14, I13: what a server says behind a reply answers no request, and one that says goodbye is not asked again.
#[tokio::test]
async fn a_connection_that_said_more_than_its_reply_or_goodbye_is_not_used_again() {
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let table = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), String::new(), 1),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_owned(),
            String::new(),
            1,
        ),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{forged}"), String::new(), 2),
        (
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{forged}"),
            String::new(),
            2,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), forged.to_owned(), 2),
        (format!("HTTP/1.1 204 No Content\r\n\r\n{forged}"), String::new(), 2),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_owned(), String::new(), 2),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), String::new(), 2),
    ];
    for (reply, later, connections) in table {
        let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let peer = Peer::start({
            let (reply, later, go, done) = (reply.clone(), later.clone(), go.clone(), done.clone());
            move |mut socket, _| {
                let (reply, later, go, done) = (reply.clone(), later.clone(), go.clone(), done.clone());
                async move {
                    while request(&mut socket).await.is_some() {
                        // The other side may have left.
                        let _ = socket.write_all(reply.as_bytes()).await;
                        go.notified().await;
                        let _ = socket.write_all(later.as_bytes()).await;
                        done.notify_one();
                    }
                }
            }
        })
        .await;
        let (upstream, provider) = (upstream(), peer.http());
        for _ in 0..2 {
            let body = whole(replied(&upstream, &provider, get()).await).await.unwrap();
            assert!(body == "ok" || reply.contains("204"), "{reply}: {body:?}");
            go.notify_one();
            done.notified().await;
            news().await;
        }
        assert_eq!(peer.seen.connections(), connections, "{reply} and {later}");
    }
}

/// C14, I13: the same where it comes with the end of the body, and not with its head.
#[tokio::test]
async fn what_is_said_behind_the_end_of_a_body_that_came_in_parts_answers_nothing() {
    let chunked: [&str; 2] = ["transfer-encoding: chunked\r\n\r\n1\r\no\r\n", "1\r\nk\r\n0\r\n\r\n"];
    for [first, rest] in [["content-length: 2\r\n\r\no", "k"], chunked] {
        for (behind, connections) in [("", 1), ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged", 2)] {
            let go = Arc::new(Notify::new());
            let going = go.clone();
            let peer = Peer::start(move |mut socket, _| {
                let go = going.clone();
                async move {
                    while request(&mut socket).await.is_some() {
                        socket.write_all(format!("HTTP/1.1 200 OK\r\n{first}").as_bytes()).await.unwrap();
                        go.notified().await;
                        socket.write_all(format!("{rest}{behind}").as_bytes()).await.unwrap();
                    }
                }
            })
            .await;
            let (upstream, provider) = (upstream(), peer.http());
            for _ in 0..2 {
                let mut reply = replied(&upstream, &provider, get()).await;
                let began = reply.body.frame().await.unwrap().unwrap().into_data().unwrap();
                go.notify_one();
                assert_eq!((&began[..], &whole(reply).await.unwrap()[..]), (&b"o"[..], &b"k"[..]), "{first}");
            }
            assert_eq!(peer.seen.connections(), connections, "{first} {rest} {behind}");
        }
    }
}

/// C14, U7
#[tokio::test]
async fn a_reply_that_nobody_read_to_its_end_takes_its_connection_with_it() {
    let (peer, mut hears) = telling().await;
    let (upstream, provider) = (upstream(), peer.http());
    let long = "x".repeat(1 << 20);
    let reply = replied(&upstream, &provider, post(format!("echo {long}"))).await;
    drop(reply);
    hears.recv().await.expect("it was closed");
    assert_eq!(whole(replied(&upstream, &provider, get()).await).await.unwrap(), "ok");
    assert_eq!(peer.seen.connections(), 2);
}

/// FLO-2: a failover looks at a refusal and drops it; the next attempt goes over the same connection.
#[tokio::test]
async fn a_refusal_that_was_read_whole_and_dropped_leaves_its_connection_free() {
    for refusal in
        ["HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 429 X\r\ncontent-length: 2\r\n\r\nno"]
    {
        let peer = Peer::start(move |mut socket, _| async move {
            while request(&mut socket).await.is_some() {
                socket.write_all(refusal.as_bytes()).await.unwrap();
            }
        })
        .await;
        let (upstream, provider) = (upstream(), peer.http());
        for _ in 0..3 {
            let mut reply = replied(&upstream, &provider, post("x")).await;
            reply.peek(64 * 1024).await;
        }
        assert_eq!(peer.seen.connections(), 1, "{refusal}");
    }
}

/// U8
#[tokio::test]
async fn a_connection_is_not_used_again_while_its_request_is_still_being_sent() {
    let upstream = upstream();
    let early = Peer::start(|mut socket, _| async move {
        read_head(&mut socket).await.unwrap();
        socket.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await.unwrap();
        closed(&mut socket).await;
    })
    .await;
    for _ in 0..2 {
        let reply = replied(&upstream, &early.http(), outbound(Method::POST, unfinished())).await;
        assert_eq!(whole(reply).await.unwrap(), "no");
    }
    assert_eq!(early.seen.connections(), 2);
}

/// A body whose end does not come.
fn unfinished() -> OutboundBody {
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"half"))]);
    let never = futures_util::stream::pending();
    let frames = futures_util::StreamExt::chain(first, never);
    OutboundBody::new(http_body_util::StreamBody::new(futures_util::StreamExt::map(frames, |piece| {
        piece.map(hyper::body::Frame::data)
    })))
}

/// Answers with `ok`, or with what it is asked to echo, as often as it is asked, and tells when it was closed.
async fn telling() -> (Peer, mpsc::UnboundedReceiver<()>) {
    let (told, hears) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut socket, _| {
        let told = told.clone();
        async move {
            while let Some(asked) = request(&mut socket).await {
                let reply = match asked.split_once("\r\n\r\necho ") {
                    Some((_, text)) => {
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                    }
                    None => String::from_utf8_lossy(OK).into_owned(),
                };
                if socket.write_all(reply.as_bytes()).await.is_err() {
                    break;
                }
            }
            told.send(()).unwrap();
        }
    })
    .await;
    (peer, hears)
}
