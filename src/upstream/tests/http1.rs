use super::*;
use async_compression::tokio::bufread::GzipEncoder;
use hyper::body::Frame;
use std::pin::pin;
use tokio::sync::mpsc;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// PRX-1 PRX-2 I13
#[tokio::test]
async fn a_request_goes_out_canonical_and_names_the_providers_origin_only() {
    let peer = answering(OK).await;
    let mut sent = post("hello");
    let odd = [
        ("host", "evil.example"),
        ("content-length", "999"),
        ("transfer-encoding", "gzip, chunked"),
        ("authorization", "Bearer the client's own"),
        ("x-other", "kept"),
    ];
    for (name, value) in odd {
        sent.headers.insert(name, value.parse().unwrap());
    }
    let reply = replied(&upstream(), &peer.http(), sent).await;
    assert_eq!(whole(reply).await.unwrap(), "ok");
    let requests = peer.seen.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: 127.0.0.1:{}", peer.port);
    let expected = [
        "POST /v1/responses?stream=true HTTP/1.1",
        &format!("authorization: Bearer {TOKEN}"),
        "content-length: 5",
        &host,
        "x-other: kept",
    ];
    assert_eq!((lines.as_slice(), body), (&expected[..], "hello"));
}

/// FLO-2, U1 R3: wherever the head is cut, the request was sent once and is lost.
#[tokio::test]
async fn a_head_cut_anywhere_is_lost_and_never_sent_again() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    for cut in 0..head.len() {
        let peer = Peer::start(move |mut socket, seen| async move {
            seen.note(request(&mut socket).await.unwrap());
            socket.write_all(&head[..cut]).await.unwrap();
        })
        .await;
        let sent = upstream().send(&peer.http(), &credential(), post("x")).await;
        assert_eq!((kind(&sent).as_str(), cut), ("Lost Head", cut));
        assert_eq!(peer.seen.requests().len(), 1);
    }
}

/// U2 U3 FLO-9: what is cut never looks complete.
#[tokio::test]
async fn a_cut_body_never_ends_cleanly() {
    let table: &[&[u8]] = &[
        b"content-length: 5\r\n\r\n",
        b"content-length: 5\r\n\r\nabcd",
        b"transfer-encoding: chunked\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n5",
        b"transfer-encoding: chunked\r\n\r\n5\r\nabc",
        b"transfer-encoding: chunked\r\n\r\n5\r\nabcde",
        b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n",
        b"transfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n",
        b"transfer-encoding: chunked\r\n\r\nzz\r\nabcde\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n10000000000000000\r\nabcde\r\n0\r\n\r\n",
    ];
    for rest in table {
        let bytes = [b"HTTP/1.1 200 OK\r\n", *rest].concat();
        let peer = once(bytes).await;
        let reply = replied(&upstream(), &peer.http(), get()).await;
        let end = whole(reply).await.unwrap_err();
        assert!(matches!(end, ReplyError::Cut(_)), "{:?}", String::from_utf8_lossy(rest));
    }
    let longer =
        once(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n".to_vec()).await;
    let upstream = upstream();
    let reply = replied(&upstream, &longer.http(), get()).await;
    assert_eq!(whole(reply).await.unwrap(), "ok", "no more than the length says");
}

/// I13 U3: what comes together is handed on together within a bound, in order, and what ends it comes after it.
#[tokio::test]
async fn a_flood_of_chunks_comes_in_pieces_of_a_bounded_size_and_whole() {
    let flood: Vec<Vec<u8>> = (0..9000u32)
        .map(|index| match index % 3000 {
            2999 => vec![b'L'; 6000],
            _ => format!("event {index};").into_bytes(),
        })
        .collect();
    let mut reply = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in &flood {
        reply.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        reply.extend_from_slice(chunk);
        reply.extend_from_slice(b"\r\n");
    }
    let ends: [(&[u8], bool); 3] =
        [(b"0\r\n\r\n", true), (b"0\r\nx-trailer: t\r\n\r\n", true), (b"5\r\nab", false)];
    for (end, is_whole) in ends {
        let peer = once([&reply[..], end].concat()).await;
        let mut body = replied(&upstream(), &peer.http(), get()).await.body;
        let (mut got, mut pieces, mut ended) = (Vec::new(), 0, None);
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(piece)) => {
                    assert!(piece.len() <= 64 * 1024, "{} bytes at once", piece.len());
                    pieces += 1;
                    got.extend_from_slice(&piece);
                }
                Ok(Err(_)) => {}
                Err(error) => {
                    ended = Some(error);
                    break;
                }
            }
        }
        let expected = flood.concat();
        assert!(got.starts_with(&expected), "{} of {} bytes", got.len(), expected.len());
        assert_eq!(ended.is_none(), is_whole, "{ended:?}");
        assert!(pieces < flood.len() / 10, "{pieces} pieces");
    }
}

/// I13 U3: what comes between two looks is there at the second.
#[tokio::test]
async fn an_event_that_comes_while_nobody_looks_is_there_at_the_next_look() {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (gone, did) = (go.clone(), done.clone());
    let peer = Peer::start(move |mut socket, _| {
        let (gone, did) = (gone.clone(), did.clone());
        async move {
            request(&mut socket).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            socket.write_all(head).await.unwrap();
            gone.notified().await;
            socket.write_all(b"6\r\nsecond\r\n").await.unwrap();
            did.notify_one();
            closed(&mut socket).await;
        }
    })
    .await;
    let body = replied(&upstream(), &peer.http(), get()).await.body;
    assert_eq!(two_looks(body, &go, &done).await, ["first", "second"]);
}

/// U6: a head that is not clean HTTP is no reply, and a connection whose framing is unknown is not used again.
#[tokio::test]
async fn a_head_that_is_not_clean_http_is_lost() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "a".repeat(64 * 1024 + 1));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101));
    let table: &[(&str, &[u8])] = &[
        ("too large", large.as_bytes()),
        ("too many", many.as_bytes()),
        ("NUL", b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n"),
        ("folded", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n"),
        ("bare CR", b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n"),
        ("lengths differ", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"),
        ("length twice", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab"),
        (
            "length and chunks",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("HTTP/0.9", b"hello"),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ];
    for (what, bytes) in table {
        let peer = answering(bytes).await;
        let upstream = upstream();
        for _ in 0..2 {
            let sent = upstream.send(&peer.http(), &credential(), get()).await;
            assert_eq!(kind(&sent), "Lost Head", "{what}: {sent:?}");
        }
        let framed = what.starts_with("length ");
        assert!(framed || peer.seen.connections() == 2, "{what}");
    }
}

/// U5: the phase says how far it got.
#[tokio::test]
async fn nobody_listening_means_nothing_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let provider = provider(&format!("http://127.0.0.1:{port}"));
    let sent = upstream().send(&provider, &credential(), post("x")).await;
    assert_eq!(kind(&sent), "NotSent Connect", "{sent:?}");
    let unknown = super::provider("https://rota.invalid");
    let sent = upstream().send(&unknown, &credential(), post("x")).await;
    assert_eq!(kind(&sent), "NotSent Connect", "{sent:?}");
}

/// U7 PRX-5
#[tokio::test]
async fn an_upstream_that_never_answers_is_lost_after_the_first_byte_time_out() {
    let peer = Peer::start(|mut socket, _| async move { closed(&mut socket).await }).await;
    let config = UpstreamConfig { first_byte: Duration::from_millis(50), ..config() };
    let upstream = Upstream::new(&config).unwrap();
    let sent = upstream.send(&peer.http(), &credential(), post("x")).await;
    assert_eq!(kind(&sent), "Lost Head", "{sent:?}");
}

/// U7 PRX-5: interim heads are no reply, however many there are.
#[tokio::test]
async fn interim_heads_are_skipped_and_a_flood_of_them_ends() {
    let early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n";
    let peer = answering(&[early, OK].concat()).await;
    assert_eq!(replied(&upstream(), &peer.http(), get()).await.head.status, 200);
    let flood = Peer::start(|mut socket, _| async move {
        request(&mut socket).await.unwrap();
        while socket.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").await.is_ok() {}
    })
    .await;
    let config = UpstreamConfig { first_byte: Duration::from_millis(50), ..config() };
    let upstream = Upstream::new(&config).unwrap();
    let sent = upstream.send(&flood.http(), &credential(), get()).await;
    assert_eq!(kind(&sent), "Lost Head", "{sent:?}");
}

/// U7 PRX-5
#[tokio::test]
async fn a_body_that_stalls_ends_in_an_error_and_the_upstream_is_told() {
    let (told, mut hears) = mpsc::channel(1);
    let peer = Peer::start(move |mut socket, _| {
        let told = told.clone();
        async move {
            request(&mut socket).await.unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
            closed(&mut socket).await;
            told.send(()).await.unwrap();
        }
    })
    .await;
    let config = UpstreamConfig { stream_idle: Duration::from_millis(50), ..config() };
    let upstream = Upstream::new(&config).unwrap();
    let mut reply = replied(&upstream, &peer.http(), get()).await;
    assert_eq!(next(&mut reply.body).await, Some(Ok("abc".into())));
    assert_eq!(next(&mut reply.body).await, Some(Err(ReplyError::Stalled)));
    drop(reply);
    hears.recv().await.unwrap();
}

/// FLO-3, U7 R10: a client that leaves is felt upstream at once, before the head and after it.
#[tokio::test]
async fn leaving_cancels_the_upstream() {
    let (told, mut hears) = mpsc::channel(1);
    let peer = Peer::start(move |mut socket, seen| {
        let told = told.clone();
        async move {
            let asked = request(&mut socket).await.unwrap();
            if asked.starts_with("POST") {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
                socket.write_all(head).await.unwrap();
            }
            seen.note(asked);
            told.send("asked").await.unwrap();
            closed(&mut socket).await;
            told.send("closed").await.unwrap();
        }
    })
    .await;
    let upstream = upstream();
    let (provider, key) = (peer.http(), credential());
    {
        let mut waiting = pin!(upstream.send(&provider, &key, get()));
        tokio::select! {
            sent = &mut waiting => panic!("{sent:?}"),
            asked = hears.recv() => assert_eq!(asked, Some("asked")),
        }
    }
    assert_eq!(hears.recv().await, Some("closed"));
    let mut reply = replied(&upstream, &provider, post("x")).await;
    assert_eq!(next(&mut reply.body).await, Some(Ok("abc".into())));
    assert_eq!(hears.recv().await, Some("asked"));
    drop(reply);
    assert_eq!(hears.recv().await, Some("closed"));
}

/// U9 PRX-2
#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let elsewhere = answering(OK).await;
    for status in [300, 301, 302, 303, 307, 308, 304] {
        let to = format!("http://127.0.0.1:{}/", elsewhere.port);
        let head = format!("HTTP/1.1 {status} X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        let peer = answering(head.as_bytes()).await;
        let reply = replied(&upstream(), &peer.http(), get()).await;
        assert_eq!((reply.head.status.as_u16(), reply.is_redirect()), (status, status != 304));
    }
    assert_eq!(elsewhere.seen.connections(), 0);
}

/// PRX-1, U11: the rules read a decoded copy, the client gets the upstream's own bytes.
#[tokio::test]
async fn a_peek_is_decoded_and_the_body_still_passes_untouched() {
    let text = br#"{"error":{"code":"usage_limit_reached"}}"#;
    let mut packed = Vec::new();
    GzipEncoder::new(&text[..]).read_to_end(&mut packed).await.unwrap();
    let head =
        format!("HTTP/1.1 429 X\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len());
    let peer = answering(&[head.as_bytes(), &packed].concat()).await;
    let mut reply = replied(&upstream(), &peer.http(), get()).await;
    assert_eq!(reply.peek(64 * 1024).await, &text[..]);
    assert_eq!(reply.body.size_hint().exact(), Some(packed.len() as u64));
    assert_eq!(whole(reply).await.unwrap(), packed);
}

/// PRX-4, U11: a body larger than the peek passes whole, and no more of it is held than was asked for.
#[tokio::test]
async fn a_peek_at_a_large_body_reads_its_beginning_only() {
    let body: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let head = format!("HTTP/1.1 500 X\r\ncontent-length: {}\r\n\r\n", body.len());
    let peer = answering(&[head.as_bytes(), &body].concat()).await;
    let mut reply = replied(&upstream(), &peer.http(), get()).await;
    assert_eq!(reply.peek(1000).await, &body[..1000]);
    assert_eq!(whole(reply).await.unwrap(), body);
}

/// R9: where the body stalls, the head decides.
#[tokio::test]
async fn a_peek_gives_up_on_a_body_that_stalls() {
    let (go, went) = tokio::sync::watch::channel(());
    let peer = Peer::start(move |mut socket, _| {
        let mut went = went.clone();
        async move {
            request(&mut socket).await.unwrap();
            socket.write_all(b"HTTP/1.1 429 X\r\ncontent-length: 6\r\n\r\nabc").await.unwrap();
            went.changed().await.unwrap();
            socket.write_all(b"def").await.unwrap();
            closed(&mut socket).await;
        }
    })
    .await;
    let mut reply = replied(&upstream(), &peer.http(), get()).await;
    assert_eq!(reply.peek(64 * 1024).await, "abc");
    go.send(()).unwrap();
    assert_eq!(whole(reply).await.unwrap(), "abcdef");
}

/// C14: replies find their requests, also where others are dropped half-way.
#[tokio::test]
async fn answer_n_belongs_to_request_n() {
    let peer = Peer::start(|mut socket, _| async move {
        while let Some(asked) = request(&mut socket).await {
            let body = asked.split_once("\r\n\r\n").unwrap().1;
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if socket.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let (upstream, provider) = (upstream(), peer.http());
    let mut under_way = tokio::task::JoinSet::new();
    for n in 0..400 {
        let (upstream, provider) = (upstream.clone(), provider.clone());
        under_way.spawn(async move {
            let body = format!("{n}").repeat(300);
            let reply = replied(&upstream, &provider, post(body.clone())).await;
            if n % 10 != 0 {
                assert_eq!(whole(reply).await.unwrap(), body);
            }
        });
        if n % 8 == 7 {
            while under_way.join_next().await.is_some_and(|done| done.is_ok()) {}
        }
    }
    assert!(peer.seen.connections() < 300, "connections are used again");
}

/// I5, R1 R3: a connection that closes as it is used again never makes a second copy of the request.
#[tokio::test]
async fn a_stale_connection_never_duplicates_a_request() {
    let peer = Peer::start(|mut socket, seen| async move {
        seen.note(request(&mut socket).await.unwrap());
        socket.write_all(OK).await.unwrap();
        if let Some(again) = request(&mut socket).await {
            seen.note(again);
        }
    })
    .await;
    let (upstream, provider) = (upstream(), peer.http());
    let (mut asked, mut answered) = (0, 0);
    for n in 0..200 {
        let sent = upstream.send(&provider, &credential(), post(format!("#{n};"))).await;
        match sent {
            Sent::Replied(reply) => {
                answered += 1;
                whole(reply).await.unwrap();
            }
            Sent::Lost(..) => asked += 1,
            Sent::NotSent(..) => {}
            Sent::BodyBroke | Sent::Unprocessed(_) => panic!("{sent:?}"),
        }
    }
    assert!(answered >= 100 - 1 && asked > 0, "{answered} answered, {asked} lost");
    let requests = peer.seen.requests();
    for n in 0..200 {
        let copies = requests.iter().filter(|r| r.ends_with(&format!("#{n};"))).count();
        assert!(copies <= 1, "request {n} arrived {copies} times");
    }
}

/// I10
#[tokio::test]
async fn no_error_and_no_debug_view_shows_the_credential() {
    let peer = once(Vec::new()).await;
    let sent = upstream().send(&peer.http(), &credential(), post("x")).await;
    assert!(!format!("{sent:?}").contains(TOKEN));
    let mut headers = HeaderMap::new();
    crate::upstream::inject(&peer.http(), &credential(), &mut headers).unwrap();
    assert!(headers[header::AUTHORIZATION].is_sensitive());
    assert!(!format!("{headers:?}").contains(TOKEN));
}

/// Answers every request on a connection with `reply`.
async fn answering(reply: &[u8]) -> Peer {
    let reply = Bytes::copy_from_slice(reply);
    Peer::start(move |mut socket, seen| {
        let reply = reply.clone();
        async move {
            while let Some(asked) = request(&mut socket).await {
                seen.note(asked);
                if socket.write_all(&reply).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// Answers one request with `reply` and closes.
async fn once(reply: Vec<u8>) -> Peer {
    Peer::start(move |mut socket, _| {
        let reply = reply.clone();
        async move {
            request(&mut socket).await.unwrap();
            socket.write_all(&reply).await.unwrap();
        }
    })
    .await
}

async fn next(body: &mut ReplyBody) -> Option<Result<Bytes, ReplyError>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}
