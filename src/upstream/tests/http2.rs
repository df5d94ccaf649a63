use super::tls::Authority;
use super::*;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200` (RFC 7541 appendix A).
const STATUS_200: &[u8] = &[0x88];

/// PRX-1
#[tokio::test]
async fn a_request_passes_over_http2_where_the_upstream_speaks_it() {
    let peer = speaking(|socket, id| Box::pin(answer(socket, id))).await;
    let (upstream, provider) = (peer.upstream(), peer.peer.https());
    for _ in 0..3 {
        let reply = replied(&upstream, &provider, post("x")).await;
        assert_eq!(reply.head.version, http::Version::HTTP_2);
        assert_eq!(whole(reply).await.unwrap(), "ok");
    }
    assert_eq!(peer.peer.seen.connections(), 1, "one connection serves all");
}

/// I5, R4 R5 R6: only what HTTP/2 proves unprocessed is called so.
#[tokio::test]
async fn a_refused_stream_is_proof_and_nothing_else_is() {
    let table: [(&str, u8, u32, u32, &str); 7] = [
        ("REFUSED_STREAM", RST_STREAM, 0, 7, "Unprocessed"),
        ("CANCEL", RST_STREAM, 0, 8, "Lost Head"),
        ("INTERNAL_ERROR", RST_STREAM, 0, 2, "Lost Head"),
        ("GOAWAY below", GOAWAY, 0, 0, "Unprocessed"),
        ("GOAWAY below, in anger", GOAWAY, 0, 11, "Unprocessed"),
        ("GOAWAY that includes us, then the end", GOAWAY, 1, 0, "Lost Head"),
        ("GOAWAY in anger that includes us, then the end", GOAWAY, 1, 2, "Lost Head"),
    ];
    for (what, frame, last, code, expected) in table {
        let peer = speaking(move |socket, id| {
            Box::pin(async move {
                let code = code.to_be_bytes();
                if frame == RST_STREAM {
                    write(socket, RST_STREAM, 0, id, &code).await;
                    return true;
                }
                let last = (last * id).to_be_bytes();
                write(socket, GOAWAY, 0, 0, &[last, code].concat()).await;
                false
            })
        })
        .await;
        let sent = peer.upstream().send(&peer.peer.https(), &credential(), post("x")).await;
        assert_eq!(kind(&sent), expected, "{what}: {sent:?}");
    }
}

/// R6
#[tokio::test]
async fn a_connection_that_closes_proves_nothing() {
    let peer = speaking(|_, _| Box::pin(async { false })).await;
    let sent = peer.upstream().send(&peer.peer.https(), &credential(), post("x")).await;
    assert_eq!(kind(&sent), "Lost Head", "{sent:?}");
}

/// FLO-9, U2: a stream that is reset half-way never looks complete.
#[tokio::test]
async fn a_stream_that_is_reset_never_ends_cleanly() {
    let peer = speaking(|socket, id| {
        Box::pin(async move {
            write(socket, HEADERS, END_HEADERS, id, STATUS_200).await;
            write(socket, DATA, 0, id, b"half").await;
            write(socket, RST_STREAM, 0, id, &8u32.to_be_bytes()).await;
            true
        })
    })
    .await;
    let reply = replied(&peer.upstream(), &peer.peer.https(), get()).await;
    assert!(matches!(whole(reply).await, Err(ReplyError::Cut(_))));
}

/// I13 U3: what comes between two looks is there at the second.
#[tokio::test]
async fn an_event_that_comes_while_nobody_looks_is_there_at_the_next_look() {
    let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (gone, did) = (go.clone(), done.clone());
    let peer = speaking(move |socket, id| {
        let (gone, did) = (gone.clone(), did.clone());
        Box::pin(async move {
            write(socket, HEADERS, END_HEADERS, id, STATUS_200).await;
            write(socket, DATA, 0, id, b"first").await;
            gone.notified().await;
            write(socket, DATA, 0, id, b"second").await;
            did.notify_one();
            true
        })
    })
    .await;
    let body = replied(&peer.upstream(), &peer.peer.https(), get()).await.body;
    assert_eq!(two_looks(body, &go, &done).await, ["first", "second"]);
}

/// U7: a client that leaves resets its stream, and the connection serves on.
#[tokio::test]
async fn leaving_resets_the_stream_only() {
    let mut peer = speaking(|socket, id| {
        Box::pin(async move {
            if id > 1 {
                return answer(socket, id).await;
            }
            write(socket, HEADERS, END_HEADERS, id, STATUS_200).await;
            true
        })
    })
    .await;
    let (upstream, provider) = (peer.upstream(), peer.peer.https());
    let reply = replied(&upstream, &provider, get()).await;
    drop(reply);
    assert_eq!(peer.resets.recv().await, Some(1));
    let reply = replied(&upstream, &provider, get()).await;
    assert_eq!(whole(reply).await.unwrap(), "ok");
    assert_eq!(peer.peer.seen.connections(), 1);
}

/// I5, R5: a connection that is going away gets no new request once that is known, and proves what it did not take.
#[tokio::test]
async fn a_connection_that_goes_away_is_replaced() {
    let peer = speaking(|socket, id| {
        Box::pin(async move {
            let on = answer(socket, id).await;
            write(socket, GOAWAY, 0, 0, &[id.to_be_bytes(), [0; 4]].concat()).await;
            on
        })
    })
    .await;
    let (upstream, provider) = (peer.upstream(), peer.peer.https());
    while peer.peer.seen.connections() < 3 {
        match upstream.send(&provider, &credential(), get()).await {
            Sent::Replied(reply) => assert_eq!(whole(reply).await.unwrap(), "ok"),
            Sent::NotSent(..) | Sent::Unprocessed(_) => tokio::task::yield_now().await,
            sent @ (Sent::BodyBroke | Sent::Lost(..)) => panic!("{sent:?}"),
        }
    }
}

/// A server of raw frames, and the streams its clients reset.
struct Speaker {
    authority: Authority,
    peer: Peer,
    resets: mpsc::UnboundedReceiver<u32>,
}

impl Speaker {
    fn upstream(&self) -> Upstream {
        self.authority.upstream()
    }
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Runs `serve` for every request, once its HEADERS are here; it tells whether the connection goes on.
async fn speaking<F>(serve: F) -> Speaker
where
    F: for<'a> Fn(&'a mut dyn Wire, u32) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'a>>
        + Send
        + Sync
        + 'static,
{
    let authority = Authority::new();
    let acceptor = authority.acceptor(&["localhost"], 2099, &[b"h2"]);
    let (reset, resets) = mpsc::unbounded_channel();
    let serve = Arc::new(serve);
    let peer = Peer::start(move |socket, _| {
        let (acceptor, reset, serve) = (acceptor.clone(), reset.clone(), serve.clone());
        async move {
            let mut tls = acceptor.accept(socket).await.unwrap();
            let mut preface = [0; 24];
            tls.read_exact(&mut preface).await.unwrap();
            write(&mut tls, SETTINGS, 0, 0, &[]).await;
            while let Some((kind, id)) = read(&mut tls).await {
                match kind {
                    HEADERS if !serve(&mut tls, id).await => return,
                    RST_STREAM => reset.send(id).unwrap(),
                    _ => {}
                }
            }
        }
    })
    .await;
    Speaker { authority, peer, resets }
}

async fn answer(socket: &mut dyn Wire, id: u32) -> bool {
    write(socket, HEADERS, END_HEADERS, id, STATUS_200).await;
    write(socket, DATA, END_STREAM, id, b"ok").await;
    true
}

async fn write(
    socket: &mut (impl AsyncWrite + Unpin + ?Sized),
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    socket.write_all(&frame).await.unwrap();
    socket.flush().await.unwrap();
}

async fn read(socket: &mut (impl AsyncRead + Unpin)) -> Option<(u8, u32)> {
    let mut head = [0; 9];
    socket.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    socket.read_exact(&mut payload).await.ok()?;
    let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], id))
}
