//! The control API and the program.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use fake_upstream::{Account, FakeUpstream, Script};
use serde_json::{Value, json};

use crate::client::{bearer, send, try_send, turn, with};

#[tokio::test]
async fn everything_a_test_does_inside_can_be_done_over_http() {
    let script = Script::new().account(Account::new("a").api_key("sk-a").refresh_token("rt-a"));
    let fake = FakeUpstream::start(script).await.expect("start");
    let post = |what: &str, body: Value| with(&format!("/__fake/{what}"), &[], &body);
    let get = |what: &str| with(&format!("/__fake/{what}"), &[], &Value::Null);
    let fault = json!({"when": {"account": "a", "times": 1}, "do": [{"reply": {"status": 418, "body": {"tea": true}}}, {"header": ["x-a", "1"]}]});
    assert_eq!(send(&fake, post("faults", fault)).await.json(), json!({"set": 1}));
    let got = send(&fake, bearer("/v1/responses", "sk-a", &turn())).await;
    assert_eq!((got.status.as_u16(), got.json(), got.header("x-a")), (418, json!({"tea": true}), "1"));
    let bad = send(&fake, post("faults", json!({"do": [{"named": "nonsense"}]}))).await;
    assert_eq!(bad.status, 400);

    send(&fake, post("accounts", json!({"id": "a", "deactivated": true}))).await;
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-a", &turn())).await.status, 401);
    send(&fake, post("accounts", json!({"id": "b", "api_keys": ["sk-b"]}))).await;
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-b", &turn())).await.status, 200);
    let typo = send(&fake, post("accounts", json!({"id": "b", "api_kyes": []}))).await;
    assert!(typo.json()["error"].as_str().is_some_and(|words| words.contains("api_kyes")));

    let record = send(&fake, get("requests")).await.json();
    assert_eq!((&record["total"], &record["requests"][2]["account"]), (&json!(3), &json!("b")));
    assert_eq!(send(&fake, post("saw", json!({"text": "Be short."}))).await.json(), json!({"saw": true}));
    let login = send(&fake, post("login", json!({"account": "b", "vendor": "anthropic"}))).await.json();
    assert!(login["refresh_token"].as_str().is_some_and(|token| token.starts_with("sk-ant-ort01-")));
    send(&fake, post("clock", json!({"freeze_at_ms": 5_000, "advance_ms": 500}))).await;
    assert_eq!(send(&fake, get("clock")).await.json(), json!({"now_ms": 5_500}));
    send(&fake, post("reset", json!({}))).await;
    assert_eq!(send(&fake, get("requests")).await.json()["requests"], json!([]));
    assert_eq!(send(&fake, bearer("/v1/responses", "sk-b", &turn())).await.status, 401);
    assert_eq!(send(&fake, get("nonsense")).await.status, 404);
}

#[tokio::test]
async fn the_program_prints_its_address_and_serves_its_script() {
    let dir = std::env::temp_dir().join(format!("rota-fake-upstream-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("dir");
    let path = dir.join("script.json");
    std::fs::write(&path, r#"{"accounts":[{"id":"a","api_keys":["sk-a"]}],"text":"hello"}"#).expect("script");
    let mut program = Command::new(env!("CARGO_BIN_EXE_rota-fake-upstream"));
    program.args(["--listen", "127.0.0.1:0", "--script"]).arg(&path).stdout(Stdio::piped());
    let mut running = Running(program.spawn().expect("spawn"));
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().expect("stdout")).read_line(&mut line).expect("line");
    let origin: Value = serde_json::from_str(&line).expect("json");
    let addr = origin["origin"].as_str().and_then(|origin| origin.strip_prefix("http://")).expect("origin");
    let got = try_send(addr.parse().expect("address"), bearer("/v1/responses", "sk-a", &turn()))
        .await
        .expect("reply");
    drop(running);
    std::fs::remove_dir_all(&dir).expect("clean up");
    assert!(String::from_utf8_lossy(&got.body).contains("hello"));
}

#[test]
fn the_program_refuses_what_it_does_not_understand() {
    for arguments in
        [&["--lisen", "x"][..], &["--listen"], &["--listen", "nowhere"], &["--script", "/no/such/file"]]
    {
        let output =
            Command::new(env!("CARGO_BIN_EXE_rota-fake-upstream")).args(arguments).output().expect("run");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage: "), "{arguments:?}");
    }
}

/// A program that ends with its test, also with one that fails: it holds the output of `cargo test` open.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
