//! Requests on their way up: how they are framed, and what is known of one that does not get there.
use super::super::connect::Stream;
use super::super::fault::Failure;
use super::super::http1::Line;
use super::tls::Authority;
use super::*;
use crate::engine::Phase;
use http::{HeaderValue, Request};
use hyper::body::{Frame, SizeHint};
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use tokio::sync::mpsc;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// PRX-1 PRX-2: short ones are copied behind their head, long ones written from where they lie; both arrive as they are.
#[tokio::test]
async fn a_body_of_any_size_and_in_any_pieces_arrives_whole() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let authority = Authority::new();
    let acceptor = authority.acceptor(&["localhost"], 2099, &[b"http/1.1"]);
    let plain = Peer::start({
        let told = told.clone();
        move |socket, _| swallow(socket, told.clone())
    })
    .await;
    let tls = Peer::start(move |socket, _| {
        let (acceptor, told) = (acceptor.clone(), told.clone());
        async move { swallow(acceptor.accept(socket).await.unwrap(), told).await }
    })
    .await;
    let (direct, secure) = (upstream(), authority.upstream());
    let lengths = [0, 1, 5000, (32 << 10) - 1, 32 << 10, 65_536, 200_000, 8 << 20];
    for (length, piece) in lengths.into_iter().flat_map(|length| [(length, 1 << 16), (length, 977)]) {
        let body: Vec<u8> = (0..length).map(|n: u32| ((n * 31) >> 3) as u8).collect();
        for (upstream, provider) in [(&direct, plain.http()), (&secure, tls.https())] {
            let told = Pieces::new(&body, piece, SizeHint::with_exact(length.into()));
            let reply = replied(upstream, &provider, outbound(Method::POST, OutboundBody::new(told))).await;
            assert_eq!(whole(reply).await.unwrap(), "ok");
            let (head, arrived) = hears.recv().await.unwrap();
            assert!(head.contains(&format!("\r\ncontent-length: {length}\r\n")), "{head}");
            assert!(arrived == body, "{length} bytes by {piece}: {} came", arrived.len());
        }
    }
    assert_eq!((plain.seen.connections(), tls.seen.connections()), (1, 1));
}

/// PRX-2: no byte more than was told, and none of the next request in place of what is missing.
#[tokio::test]
async fn a_body_that_is_not_as_long_as_it_said_is_never_taken_for_whole() {
    for told in [4, 6, 40_000] {
        let (tell, mut hears) = mpsc::unbounded_channel();
        let peer = Peer::start(move |mut socket, _| {
            let tell = tell.clone();
            async move {
                let mut all = Vec::new();
                // It ends, or is reset.
                let _ = socket.read_to_end(&mut all).await;
                tell.send(String::from_utf8(all).unwrap()).unwrap();
            }
        })
        .await;
        let body = OutboundBody::new(Pieces::new(b"hello", 5, SizeHint::with_exact(told)));
        let sent = upstream().send(&peer.http(), &credential(), outbound(Method::POST, body)).await;
        assert!(kind(&sent).starts_with("Lost"), "{sent:?}");
        let arrived = hears.recv().await.unwrap();
        let body = arrived.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!((body.len() as u64) < told, "{arrived}");
    }
}

/// PRX-2: framing is written anew, and trailers, which could carry a credential, are dropped.
#[tokio::test]
async fn a_body_of_unknown_length_goes_out_in_chunks_without_its_trailers() {
    let peer = Peer::start(|mut socket, seen| async move {
        let mut got = read_head(&mut socket).await.unwrap();
        while !got.ends_with("0\r\n\r\n") {
            got.push(socket.read_u8().await.unwrap().into());
        }
        seen.note(got);
        socket.write_all(OK).await.unwrap();
    })
    .await;
    let mut trailers = HeaderMap::new();
    trailers.insert("authorization", "Bearer smuggled".parse().unwrap());
    let (frames, body) = body_by_hand();
    frames.send(Ok(Frame::data("abc".into()))).await.unwrap();
    frames.send(Ok(Frame::trailers(trailers))).await.unwrap();
    let sent = outbound(Method::POST, body);
    replied(&upstream(), &peer.http(), sent).await;
    let requests = peer.seen.requests();
    assert!(requests[0].contains("transfer-encoding: chunked\r\n"));
    assert!(requests[0].ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "{requests:?}");
    assert!(!requests[0].contains("smuggled"));
}

/// U5: a reset while the body is on its way is told from one after it.
#[tokio::test]
async fn a_reset_in_the_middle_of_the_upload_is_lost_while_sending() {
    let peer = Peer::start(|mut socket, _| async move {
        read_head(&mut socket).await.unwrap();
    })
    .await;
    let (_hold, body) = endless_body();
    let sent = upstream().send(&peer.http(), &credential(), outbound(Method::POST, body)).await;
    assert_eq!(kind(&sent), "Lost Request", "{sent:?}");
}

/// FLO-3: the client's own failure is nobody else's.
#[tokio::test]
async fn a_body_that_breaks_is_the_clients_doing() {
    let peer = Peer::start(|mut socket, _| async move { closed(&mut socket).await }).await;
    let (frames, body) = body_by_hand();
    frames.send(Err("the client hung up")).await.unwrap();
    let sent = upstream().send(&peer.http(), &credential(), outbound(Method::POST, body)).await;
    assert_eq!(kind(&sent), "BodyBroke", "{sent:?}");
}

/// U10: an answer that came early is the answer; the rest of the upload stays here.
#[tokio::test]
async fn an_early_refusal_stops_the_upload() {
    let (count, mut counted) = mpsc::channel(1);
    let peer = Peer::start(move |mut socket, _| {
        let count = count.clone();
        async move {
            read_head(&mut socket).await.unwrap();
            let head = b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig";
            socket.write_all(head).await.unwrap();
            let mut uploaded = 0;
            let mut piece = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = socket.read(&mut piece).await {
                uploaded += read;
            }
            count.send(uploaded).await.unwrap();
        }
    })
    .await;
    let (_hold, body) = endless_body();
    let reply = replied(&upstream(), &peer.http(), outbound(Method::POST, body)).await;
    assert_eq!(reply.head.status, 413);
    assert_eq!(whole(reply).await.unwrap(), "big");
    let uploaded = counted.recv().await.unwrap();
    assert!(uploaded < 16 << 20, "{uploaded} bytes of an endless upload");
}

/// U10, U5: an upstream that refuses and breaks off says so before it does.
#[tokio::test]
async fn an_answer_that_came_before_the_connection_broke_is_the_answer() {
    for _ in 0..20 {
        let peer = Peer::start(|mut socket, _| async move {
            read_head(&mut socket).await.unwrap();
            socket.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.unwrap();
            socket.set_zero_linger().unwrap();
        })
        .await;
        let endless =
            Pieces { left: VecDeque::new(), hint: SizeHint::new(), rest: Some(vec![b'x'; 1 << 16].into()) };
        let body = OutboundBody::new(endless);
        let sent = upstream().send(&peer.http(), &credential(), outbound(Method::POST, body)).await;
        assert_eq!(kind(&sent), "Replied 413", "{sent:?}");
    }
}

/// PRX-1: a client may send all before it reads, and an upstream may answer before it has read.
#[tokio::test]
async fn an_upload_goes_on_though_nobody_reads_the_reply_that_has_begun() {
    const LONG: usize = 8 << 20;
    for tls in [false, true] {
        let authority = Authority::new();
        let acceptor = authority.acceptor(&["localhost"], 2099, &[b"http/1.1"]);
        let (told, mut hears) = mpsc::unbounded_channel();
        let peer = Peer::start(move |socket, _| {
            let (acceptor, told) = (acceptor.clone(), told.clone());
            async move {
                if tls {
                    early(acceptor.accept(socket).await.unwrap(), LONG, told).await;
                } else {
                    early(socket, LONG, told).await;
                }
            }
        })
        .await;
        let (upstream, provider) =
            if tls { (authority.upstream(), peer.https()) } else { (upstream(), peer.http()) };
        let body = Pieces::new(&vec![b'u'; LONG], 10_000, SizeHint::with_exact(LONG as u64));
        let sent = outbound(Method::POST, OutboundBody::new(body));
        let reply = replied(&upstream, &provider, sent).await;
        assert_eq!(hears.recv().await, Some(LONG), "all of it arrived, and nobody has read");
        assert_eq!(whole(reply).await.unwrap().len(), LONG);
    }
}

/// FLO-3, U7: who leaves a reply that has begun takes back what is still going up.
#[tokio::test]
async fn leaving_a_reply_ends_the_upload_that_still_goes_on() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let peer = Peer::start(move |mut socket, _| {
        let told = told.clone();
        async move {
            read_head(&mut socket).await.unwrap();
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").await.unwrap();
            closed(&mut socket).await;
            told.send(()).unwrap();
        }
    })
    .await;
    let body = Pieces::new(b"half", 4, SizeHint::new()).and_nothing_more();
    let reply = replied(&upstream(), &peer.http(), outbound(Method::POST, OutboundBody::new(body))).await;
    drop(reply);
    hears.recv().await.expect("it was closed");
}

/// FLO-2: only a kernel that took no byte proves that none was sent.
#[tokio::test]
async fn a_connection_that_took_no_byte_sent_nothing_and_one_that_did_may_have() {
    for (reset, expected) in [(true, "nothing was sent"), (false, "it may have been")] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        if reset {
            theirs.set_zero_linger().unwrap();
        }
        drop(theirs);
        ours.readable().await.unwrap();
        let mut line = Line::new(Stream::Plain(TokioIo::new(ours)));
        let request = Request::new(OutboundBody::new(Full::new(Bytes::from_static(b"x"))));
        let Err(failure) = line.exchange(request, &HeaderValue::from_static("host")).await else {
            panic!("nobody is there to answer");
        };
        let outcome = match failure {
            Failure::NotSent(Phase::Request, _) => "nothing was sent",
            Failure::Lost(_) => "it may have been",
            other @ (Failure::NotSent(..) | Failure::Unprocessed(_)) => panic!("{other:?}"),
        };
        assert_eq!(outcome, expected);
    }
}

/// Answers each request with `ok` once it has read it, and tells what it read.
async fn swallow(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    told: mpsc::UnboundedSender<(String, Vec<u8>)>,
) {
    while let Some(head) = read_head(&mut socket).await {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        socket.read_exact(&mut body).await.unwrap();
        told.send((head, body)).unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        socket.flush().await.unwrap();
    }
}

/// Begins its answer when it has the head, tells when it has the body, and goes on then.
async fn early(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    length: usize,
    told: mpsc::UnboundedSender<usize>,
) {
    read_head(&mut socket).await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.unwrap();
    told.send(body.len()).unwrap();
    socket.write_all(&body).await.unwrap();
    socket.flush().await.unwrap();
    closed(&mut socket).await;
}

/// A body in pieces, with a length that it tells.
struct Pieces {
    left: VecDeque<Bytes>,
    hint: SizeHint,
    /// What comes behind them again and again; a body that never ends.
    rest: Option<Bytes>,
}

impl Pieces {
    fn new(body: &[u8], piece: usize, hint: SizeHint) -> Self {
        let left = body.chunks(piece).map(Bytes::copy_from_slice).collect();
        Self { left, hint, rest: None }
    }

    /// It does not end.
    fn and_nothing_more(self) -> Self {
        Self { rest: Some(Bytes::new()), ..self }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.left.pop_front().or_else(|| self.rest.clone()) {
            Some(piece) if piece.is_empty() => Poll::Pending,
            piece => Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }
    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A body that takes its frames from the test.
fn body_by_hand() -> (mpsc::Sender<Result<Frame<Bytes>, &'static str>>, OutboundBody) {
    let (frames, body) = mpsc::channel(4);
    (frames, OutboundBody::new(ByHand(body)))
}

/// A body that never ends; it lasts as long as the handle.
fn endless_body() -> (tokio::task::JoinHandle<()>, OutboundBody) {
    let (frames, body) = body_by_hand();
    let feeding = tokio::spawn(async move {
        while frames.send(Ok(Frame::data(vec![b'x'; 64 * 1024].into()))).await.is_ok() {}
    });
    (feeding, body)
}

struct ByHand(mpsc::Receiver<Result<Frame<Bytes>, &'static str>>);

impl Body for ByHand {
    type Data = Bytes;
    type Error = &'static str;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(cx)
    }
}
