use crate::harness::{Memory, Pipe, Sink, key, raw, rota};
use bytes::Bytes;
use fake_upstream::{Account, FakeUpstream, Fault, Script};
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

const MIB: usize = 1024 * 1024;
/// Buffers, sockets, the test itself.
const SLACK: usize = 48 * MIB;
/// Tests that look at the process's memory run one after the other.
static MEMORY: Mutex<()> = Mutex::new(());

/// PRX-4: a body beyond the cap is sent once, as it comes.
#[test]
fn a_hundred_mebibytes_go_up_in_constant_memory() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let sink = Sink::start().await;
        let rota = rota(sink.origin()).account("work", "openai", key("sk-a")).start().await;
        for (known, held) in [(true, 0), (false, 32 * MIB)] {
            let mut memory = Memory::now();
            let body = Zeros::new(100 * MIB, known);
            let call = rota.call("POST", "/openai/v1/files").body(body);
            let sending = tokio::spawn(call.send());
            while !sending.is_finished() {
                memory.look();
                tokio::task::yield_now().await;
            }
            let answer = sending.await.expect("a reply");
            assert_eq!(answer.text(), (100 * MIB).to_string());
            assert!(memory.growth() < held + SLACK, "grew by {} MiB", memory.growth() / MIB);
        }
        assert_eq!(rota.app.replay.used(), 0);
    });
}

/// PRX-1: a reply is never gathered.
#[test]
fn a_gibibyte_comes_down_in_constant_memory_and_a_slow_reader_pushes_back() {
    let _alone = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    run(async {
        let fake = one_account().await;
        let whole = 1024 * MIB as u64;
        fake.set_fault(Fault::flood(whole));
        let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
        let mut memory = Memory::now();
        let call = rota.call("POST", "/openai/v1/responses").json("{}");
        let mut body = call.open().await.expect("a head").into_body();
        let mut read = 0;
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            read += frame.expect("a frame").data_ref().map_or(0, Bytes::len) as u64;
            let sent = fake.requests()[0].sent;
            assert!(sent < read + SLACK as u64, "the upstream is {} MiB ahead", (sent - read) / MIB as u64);
            memory.look();
        }
        assert_eq!(read, whole);
        assert!(memory.growth() < SLACK, "grew by {} MiB", memory.growth() / MIB);
    });
}

/// PRX-4: what was kept for another attempt goes once there can be none, however long the reply takes.
#[tokio::test]
async fn a_body_is_let_go_when_its_reply_begins() {
    let fake = one_account().await;
    fake.set_fault(Fault::flood(1024 * MIB as u64));
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let body = format!("{{\"model\":\"gpt-5\",\"input\":\"{}\"}}", "a".repeat(MIB));
    let reply = rota.call("POST", "/openai/v1/responses").json(&body).open().await.expect("a head");
    assert_eq!(rota.app.replay.used(), 0);
    drop(reply);
}

/// I5: a second attempt sends the very same bytes.
#[tokio::test]
async fn a_held_body_is_sent_again_byte_for_byte() {
    let fake = two_accounts().await;
    fake.set_fault(Fault::reply(429, SPENT).account("a"));
    let rota = pair(&fake).start().await;
    let body = format!("{{\"model\":\"gpt-5\",\"input\":\"{}\"}}", "é".repeat(200_000));
    let answer = rota.call("POST", "/openai/v1/responses").json(&body).send().await;
    assert_eq!(answer.status, 200);
    let seen = fake.requests();
    let bodies: Vec<_> = seen.iter().map(|request| (request.body_len, &request.body_sha256)).collect();
    assert_eq!(bodies.len(), 2);
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(bodies[0].0, body.len() as u64);
    assert_eq!(rota.app.replay.used(), 0);
}

/// PRX-4, R8
#[tokio::test]
async fn a_body_beyond_the_cap_is_a_single_attempt() {
    let fake = two_accounts().await;
    fake.set_fault(Fault::reply(429, SPENT).account("a"));
    let rota = pair(&fake).set("LIMITS__REPLAY_BYTES", "4KiB").start().await;
    let body = format!("{{\"model\":\"gpt-5\",\"input\":\"{}\"}}", "x".repeat(8192));
    let answer = rota.call("POST", "/openai/v1/responses").json(&body).send().await;
    assert_eq!((answer.status.as_u16(), answer.text()), (429, SPENT));
    assert_eq!(fake.recorder().total(), 1);
    // The account is spent all the same: the next one goes to the other.
    let next = rota.call("POST", "/openai/v1/responses").json("{}").send().await;
    assert_eq!(next.header("x-rota-account"), Some("home"));
}

/// PRX-4, D5: all requests together hold no more than the budget.
#[tokio::test]
async fn a_spent_budget_makes_single_attempts_and_is_given_back() {
    let fake = two_accounts().await;
    fake.set_fault(Fault::reply(429, SPENT));
    let builder = pair(&fake).set("LIMITS__REPLAY_BYTES", "64KiB").set("LIMITS__REPLAY_TOTAL", "64KiB");
    let rota = builder.start().await;
    let (first, body) = Pipe::new();
    let held = tokio::spawn(rota.call("POST", "/openai/v1/responses").body(body).open());
    first.send(Bytes::from(vec![b' '; 60 * 1024])).await.expect("room");
    while rota.app.replay.used() < 60 * 1024 {
        tokio::task::yield_now().await;
    }
    let body = "x".repeat(16 * 1024);
    let answer = rota.call("POST", "/openai/v1/responses").json(&body).send().await;
    assert_eq!(answer.status, 429, "a single attempt passes what the upstream said");
    held.abort();
    drop(first);
    while rota.app.replay.used() > 0 {
        tokio::task::yield_now().await;
    }
}

/// U10: the upstream refuses while the client still sends.
#[tokio::test]
async fn an_early_refusal_reaches_the_client_and_stops_the_upload() {
    let fake = one_account().await;
    fake.set_fault(Fault::early(413, r#"{"error":{"message":"too large"}}"#));
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let body = Zeros::new(64 * MIB, true);
    let answer = rota.call("POST", "/openai/v1/responses").body(body).send().await;
    assert_eq!((answer.status.as_u16(), answer.text()), (413, r#"{"error":{"message":"too large"}}"#));
    let taken = fake.requests()[0].body_len;
    assert!(taken < 16 * MIB as u64, "{taken} bytes went up");
}

/// FLO-1: what the client still sends follows what is held.
#[tokio::test]
async fn a_second_attempt_begins_before_the_client_has_finished() {
    let fake = two_accounts().await;
    fake.set_fault(Fault::early(429, SPENT).account("a"));
    let rota = pair(&fake).start().await;
    let (sender, body) = Pipe::new();
    let asking = tokio::spawn(rota.call("POST", "/openai/v1/responses").body(body).send());
    sender.send(Bytes::from_static(b"{\"model\":\"gpt-5\",")).await.expect("room");
    fake.recorder().wait_for(2).await;
    sender.send(Bytes::from_static(b"\"input\":\"late\"}")).await.expect("room");
    drop(sender);
    let answer = asking.await.expect("a reply");
    assert_eq!((answer.status.as_u16(), answer.header("x-rota-account")), (200, Some("home")));
    assert_eq!(fake.requests()[1].body_len, 32);
}

/// PRX-5, FLO-3, D2
#[tokio::test]
async fn a_body_that_stalls_is_a_408_and_costs_the_account_nothing() {
    let fake = one_account().await;
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a"));
    let rota = rota.set("TIMEOUTS__BODY_IDLE", "1s").start().await;
    let before = rota.app.state.snapshot();
    let head = format!(
        "POST /openai/v1/responses HTTP/1.1\r\nHost: {}\r\nContent-Length: 10\r\n\r\nabc",
        rota.address
    );
    let answer = raw(rota.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("BODY_TOO_SLOW"), "{answer}");
    assert_eq!(rota.app.state.snapshot(), before);
}

/// PRX-2, §4.1 of the reliability notes: a chunk that is none ends the request here and upstream.
#[tokio::test]
async fn a_malformed_chunk_is_a_400_and_never_a_whole_body_upstream() {
    let fake = one_account().await;
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    for chunk in ["zz\r\nabc\r\n", "3\r\nabcdef\r\n0\r\n\r\n", "-3\r\nabc\r\n", "3\r\nabc\r\n\r\n"] {
        let head = "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{   \r\n";
        let head = head.replace("HERE", &rota.address.to_string());
        let answer = raw(rota.address, format!("{head}{chunk}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
    }
    assert!(fake.requests().iter().all(|request| request.body_sha256.is_none()));
}

/// PRX-4: a body of single bytes passes whole.
#[tokio::test]
async fn a_body_in_chunks_of_single_bytes_passes_whole() {
    let fake = one_account().await;
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let text = format!(r#"{{"input":"{}","model":"gpt-5.1"}}"#, "x".repeat(200));
    let chunks: String = text.chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    let head = "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nContent-Type: application/json\r\n\
                Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    let head = head.replace("HERE", &rota.address.to_string());
    let answer = raw(rota.address, format!("{head}{chunks}0\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = fake.requests().remove(0);
    assert_eq!((request.body_len, request.model.as_str()), (text.len() as u64, "gpt-5.1"));
}

/// PRX-2, H6
#[tokio::test]
async fn trailers_never_go_upstream() {
    let fake = one_account().await;
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let head = "POST /openai/v1/responses HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\nTrailer: authorization\r\n\
                Transfer-Encoding: chunked\r\n\r\n2;ext=canary-ext\r\n{}\r\n0\r\nAuthorization: canary-trailer\r\n\r\n";
    let answer = raw(rota.address, head.replace("HERE", &rota.address.to_string()).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    assert_eq!(fake.recorder().total(), 1);
    assert!(!fake.saw("canary"));
    assert!(!fake.requests()[0].headers.iter().any(|(name, _)| name == "trailer"));
}

const SPENT: &str = r#"{"error":{"code":"insufficient_quota"}}"#;

async fn one_account() -> FakeUpstream {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    FakeUpstream::start(script).await.expect("a fake upstream")
}

async fn two_accounts() -> FakeUpstream {
    let script =
        Script::new().account(Account::new("a").api_key("sk-a")).account(Account::new("b").api_key("sk-b"));
    FakeUpstream::start(script).await.expect("a fake upstream")
}

fn pair(fake: &FakeUpstream) -> crate::harness::RotaBuilder {
    rota(fake.origin()).account("work", "openai", key("sk-a")).account("home", "openai", key("sk-b"))
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(test);
}

/// A body of zeros that is made as it is sent.
struct Zeros {
    left: usize,
    known: bool,
}

impl Zeros {
    fn new(bytes: usize, known: bool) -> Self {
        Self { left: bytes, known }
    }
}

impl Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];
        let piece = self.left.min(PIECE.len());
        self.left -= piece;
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..piece])))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.known {
            true => SizeHint::with_exact(self.left as u64),
            false => SizeHint::default(),
        }
    }
}
