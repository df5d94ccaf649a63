//! Who follows what happens, over the admin API's own socket.
use crate::harness::{Call, Client, Rota, key, rota};
use fake_upstream::{Account, FakeUpstream, Script};
use http_body_util::BodyExt;
use serde_json::Value;
use std::fs;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::timeout;

const GUARD: Duration = Duration::from_secs(60);
const REQUEST: &str = r#"{"model":"m","input":"hi"}"#;

/// OBS-1, ADM-1
#[tokio::test]
async fn a_decision_is_told_while_it_is_news_and_the_stream_ends_in_order() {
    let (_fake, rota) = one_account().await;
    let reply = follow(&rota).open().await.expect("a reply");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let mut body = reply.into_body();
    let answer = rota.call("POST", "/openai/v1/responses").json(REQUEST).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut text = String::new();
    let decision = async {
        loop {
            if let Some((_, rest)) = text.split_once("event: decision\ndata: ")
                && let Some((data, _)) = rest.split_once('\n')
            {
                break serde_json::from_str::<Value>(data).expect("JSON");
            }
            let frame = body.frame().await.expect("a frame").expect("whole");
            text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
        }
    };
    let decision = timeout(GUARD, decision).await.expect("a decision");
    assert_eq!(decision["requestId"].as_str(), answer.header("x-rota-request-id"));
    assert_eq!(decision["selectedAlias"], "work");
    let ((), end) = tokio::join!(rota.stop(), timeout(GUARD, body.collect()));
    end.expect("the stream ends").expect("in order, not cut");
}

/// ADM-1, OBS-1: a reader that takes nothing is told later what it has missed; nobody waits for it.
#[tokio::test]
async fn a_reader_that_never_reads_holds_nobody_up() {
    let (_fake, rota) = one_account().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let admin = rota.app.addresses().admin.expect("an address");
    let mut reader = socket.connect(admin).await.expect("a connection");
    let head = format!(
        "GET /api/events HTTP/1.1\r\nhost: {admin}\r\nauthorization: Bearer {}\r\n\r\n",
        token(&rota)
    );
    reader.write_all(head.as_bytes()).await.expect("taken");
    let mut first = [0; 16];
    reader.read_exact(&mut first).await.expect("it has begun");

    let mut client = Client::connect(rota.address).await;
    assert_eq!(client.post("/openai/v1/responses", REQUEST).await.status, 200);
    let record = rota.decisions(1).await.remove(0);
    for _ in 0..20 {
        // As many as would take a kernel's buffers many times over.
        for _ in 0..1000 {
            rota.app.telemetry.record((*record).clone());
        }
        assert_eq!(client.post("/openai/v1/responses", REQUEST).await.status, 200);
    }

    let told = async {
        let (mut text, mut piece) = (String::new(), vec![0; 64 * 1024]);
        loop {
            let taken = reader.read(&mut piece).await.expect("it goes on");
            assert_ne!(taken, 0, "it goes on");
            text.push_str(&String::from_utf8_lossy(&piece[..taken]));
            if let Some((_, rest)) = text.split_once("event: lagged\ndata: ")
                && let Some((data, _)) = rest.split_once('\n')
            {
                break serde_json::from_str::<Value>(data).expect("JSON");
            }
        }
    };
    let lagged = timeout(GUARD, told).await.expect("it is told");
    assert_eq!(lagged["of"], "decision");
    assert!(lagged["missed"].as_u64() > Some(0), "{lagged}");
}

async fn one_account() -> (FakeUpstream, Rota) {
    let fake =
        FakeUpstream::start(Script::new().account(Account::new("a").api_key("sk-1"))).await.expect("a fake");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-1")).start().await;
    (fake, rota)
}

fn follow(rota: &Rota) -> Call {
    let admin = rota.app.addresses().admin.expect("an address");
    Call::new(admin, "GET", "/api/events").header("authorization", &format!("Bearer {}", token(rota)))
}

fn token(rota: &Rota) -> String {
    let file = rota::app::token_file(&rota.app.config.load().state_dir);
    fs::read_to_string(file).expect("the admin token")
}
