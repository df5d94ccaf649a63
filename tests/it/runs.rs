use crate::harness::{Call, Rota, key, rota};
use fake_upstream::{Account, FakeUpstream, Script};
use http_body_util::BodyExt;
use std::fs;
use tokio::runtime::Handle;

const STREAM: &str = r#"{"model":"gpt-5","input":"hello","stream":true}"#;
/// PRX-5 names a thousand.
const ROUNDS: usize = 1000;
/// The first ones fill pools.
const WARM: usize = 20;

/// PRX-5: a thousand commands come, are served and go; tasks and the list of them are as before. What the process
/// holds besides is compared where rota is a process of its own: `process::run`.
#[tokio::test]
async fn a_thousand_commands_leave_nothing_behind() {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    for round in 0..WARM {
        command(&rota, round).await;
    }
    settled(&rota, usize::MAX).await;
    let before = tasks();
    for round in 0..ROUNDS {
        command(&rota, round).await;
    }
    // Whoever still says goodbye is waited for; what leaks never goes.
    settled(&rota, before).await;
    rota.stop().await;
    fake.shutdown().await;
}

/// One command: it comes, is ready, asks for something under its own path, and goes without a word.
async fn command(rota: &Rota, round: usize) {
    let id = format!("{round:032x}");
    let body = r#"{"account":"work","idleMs":300000,"lifetimeMs":3600000}"#;
    let reply = admin(rota, "PUT", &format!("/api/runs/{id}")).json(body).open().await.expect("a head");
    assert_eq!(reply.status(), 200);
    let mut events = reply.into_body();
    let first = events.frame().await.expect("an event").expect("whole").into_data().expect("data");
    assert!(String::from_utf8_lossy(&first).contains("\"state\":\"created\""), "{first:?}");
    assert_eq!(admin(rota, "POST", &format!("/api/runs/{id}/ready")).send().await.status, 204);
    let reply = rota.call("POST", &format!("/~{id}/openai/v1/responses")).json(STREAM).send().await;
    assert_eq!((reply.status.as_u16(), reply.header("x-rota-why")), (200, Some("chosen")));
    drop(events);
}

fn admin(rota: &Rota, method: &str, path: &str) -> Call {
    let token = fs::read_to_string(rota.app.config.load().state_dir.join("admin-token")).expect("a token");
    let address = rota.app.addresses().admin.expect("an address");
    Call::new(address, method, path).header("authorization", &format!("Bearer {}", token.trim()))
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until no command is left, and at most so many tasks.
async fn settled(rota: &Rota, most: usize) {
    let settled = async {
        while !(rota.app.runs.is_empty() && tasks() <= most) {
            tokio::task::yield_now().await;
        }
    };
    let guard = std::time::Duration::from_secs(60);
    let waited = tokio::time::timeout(guard, settled).await;
    let (left, tasks) = (rota.app.runs.len(), tasks());
    assert!(waited.is_ok(), "{left} commands and {tasks} tasks are left; {most} tasks were there before");
}
