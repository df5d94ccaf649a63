use crate::harness::{Rota, key, rota};
use fake_upstream::{Account, FakeUpstream, Fault, Outcome, Script};
use http_body_util::BodyExt;
use rota::model::{AccountId, Snapshot};
use rota::telemetry::Outcome as Ended;
use std::sync::Arc;

const STREAM: &str = r#"{"model":"gpt-5","input":"hello","stream":true}"#;

/// FLO-3, R10
#[tokio::test]
async fn a_client_that_hangs_up_before_the_reply_costs_the_account_nothing() {
    let (fake, rota, before) = stage().await;
    fake.set_fault(Fault::none().stall_head("head"));
    let waiting = tokio::spawn(rota.call("POST", "/openai/v1/responses").json(STREAM).open());
    fake.gate("head").arrived(1).await;
    assert_eq!(rota.app.state.leases().on_account(AccountId(1)), 1);
    waiting.abort();
    upstream_is_left(&fake).await;
    nothing_stays(&rota, &before).await;
}

/// FLO-3
#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_of_a_stream_costs_the_account_nothing() {
    let (fake, rota, before) = stage().await;
    fake.set_fault(Fault::none().stall_after(2, "middle"));
    let reply = rota.call("POST", "/openai/v1/responses").json(STREAM).open().await.expect("a head");
    let mut body = reply.into_body();
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    assert_eq!(rota.app.state.leases().on_account(AccountId(1)), 1, "a stream holds its place");
    drop(body);
    upstream_is_left(&fake).await;
    nothing_stays(&rota, &before).await;
}

/// PRX-6: what is under way ends whole, and nobody new is served.
#[tokio::test]
async fn a_drain_lets_a_stream_end_and_takes_no_new_client() {
    let (fake, rota, _) = stage().await;
    fake.set_fault(Fault::none().stall_after(2, "middle"));
    let reply = rota.call("POST", "/openai/v1/responses").json(STREAM).open().await.expect("a head");
    let (address, ending) = (rota.address, tokio::spawn(rota.stop()));
    while tokio::net::TcpStream::connect(address).await.is_ok() {}
    fake.gate("middle").release();
    let whole = reply.into_body().collect().await.expect("a whole stream").to_bytes();
    assert!(whole.windows(18).any(|part| part == b"response.completed"), "the stream is cut");
    ending.await.expect("it ends");
}

async fn stage() -> (FakeUpstream, Rota, Arc<Snapshot>) {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let before = rota.app.state.snapshot();
    (fake, rota, before)
}

async fn upstream_is_left(fake: &FakeUpstream) {
    let left = |seen: &[fake_upstream::Recorded]| {
        seen.first().is_some_and(|request| request.outcome == Outcome::ClientLeft)
    };
    fake.recorder().wait_until(left).await;
}

async fn nothing_stays(rota: &Rota, before: &Snapshot) {
    let record = rota.decisions(1).await;
    assert_eq!(record[0].outcome, Ended::Abandoned);
    assert_eq!(*rota.app.state.snapshot(), *before);
    assert_eq!(rota.app.state.leases().on_account(AccountId(1)), 0);
    assert_eq!(rota.app.replay.used(), 0);
}
