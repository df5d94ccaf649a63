//! Whose conversation it is: ciphertext that one organisation can read, ids that one account knows, and the values that
//! must never reach another one. The fake upstream verifies each of them.
use crate::harness::{Answer, Rota, login, rota};
use async_compression::tokio::write::ZstdEncoder;
use fake_upstream::{Account, FakeUpstream, Script};
use http_body_util::Full;
use rota::engine::{Command, LastEnabled};
use rota::model::{Actor, Alias, Switch, Time};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const TURNS: &str = "/codex/responses";
const SERVED: &str = "/backend-api/codex/responses";

/// SEL-4
#[tokio::test]
async fn a_conversation_that_names_no_session_goes_to_whoever_can_read_it() {
    let (fake, rota) = stage().await;
    let mut talk = Talk::default();
    for _ in 0..5 {
        let answer = talk.turn(&rota).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut other = Talk::default();
    other.turn(&rota).await;
    other.turn(&rota).await;
    assert_eq!(fake.accounts_served(SERVED), ["a", "a", "a", "a", "a", "b", "b"]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// SEL-4
#[tokio::test]
async fn a_fork_under_another_name_finds_its_owner() {
    let (fake, rota) = stage().await;
    let mut talk = Talk { session: Some("first"), ..Talk::default() };
    talk.turn(&rota).await;
    let mut fork = Talk { session: Some("second"), ..talk.clone() };
    let answer = fork.turn(&rota).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-rota-why")), (200, Some("owner")));
    assert_eq!(fake.accounts_served(SERVED), ["a", "a"]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// SEL-4: what only the lost owner could read is left out, and the conversation goes on.
#[tokio::test]
async fn an_owner_that_cannot_serve_is_done_without() {
    let (fake, rota) = stage().await;
    let mut talk = Talk { session: Some("one"), ..Talk::default() };
    talk.turn(&rota).await;
    fake.account("a", |account| account.quota = None).expect("an account");
    fake.account("a", |account| *account = account.clone().five_hour(100.0, 3600)).expect("an account");
    let moved = talk.turn(&rota).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(moved.header("x-rota-sanitized"), Some("reasoning"));
    for _ in 0..3 {
        let answer = talk.turn(&rota).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-rota-account"), Some("home"));
    }
    let served = fake.accounts_served(SERVED);
    assert_eq!(served[served.len() - 3..], ["b", "b", "b"]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// SEL-4: a rota that knows nothing of the conversation sends it once more without what could not be read.
#[tokio::test]
async fn ciphertext_that_nobody_can_read_costs_one_more_request_and_no_account() {
    let (fake, rota) = stage().await;
    let (other_fake, other) = stage_of(["x", "y"]).await;
    let mut talk = Talk { session: Some("elsewhere"), ..Talk::default() };
    talk.turn(&other).await;
    let answer = talk.turn(&rota).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-rota-sanitized"), Some("reasoning"));
    assert_eq!(fake.accounts_served(SERVED).len(), 2);
    let clean = rota.app.state.snapshot().accounts.iter().all(|account| account.health.is_clean());
    assert!(clean, "nobody is to blame");
    drop(other_fake);
}

/// SEL-4: what is not only thought but the history itself is never left out.
#[tokio::test]
async fn a_compacted_history_whose_owner_is_gone_is_refused_and_goes_nowhere_else() {
    let (fake, rota) = stage().await;
    let compacted = rota.call("POST", "/codex/responses/compact").json(&Talk::default().body()).send().await;
    assert_eq!(compacted.status, 200, "{}", compacted.text());
    let mut talk = Talk::default();
    talk.history.extend(compacted.json()["output"].as_array().expect("items").clone());
    assert!(talk.history.iter().any(|item| item["type"] == "compaction"), "{:?}", talk.history);
    assert_eq!(talk.turn(&rota).await.status, 200, "its owner reads it");
    switch_off(&rota, "work").await;
    let lost = talk.turn(&rota).await;
    assert!(lost.status.is_client_error(), "{}", lost.text());
    assert_eq!(fake.accounts_served(SERVED), ["a"], "nobody else was asked");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// SEL-4
#[tokio::test]
async fn a_response_that_its_owner_cannot_continue_is_lost_in_the_providers_own_words() {
    let fake = FakeUpstream::start(script(["a", "b"])).await.expect("a fake upstream");
    let rota = rota(fake.origin())
        .account("work", "openai", crate::harness::key("key-a"))
        .account("home", "openai", crate::harness::key("key-b"))
        .start()
        .await;
    let stored = r#"{"model":"gpt-5","input":"hello","store":true}"#;
    let first = rota.call("POST", "/openai/v1/responses").json(stored).send().await;
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    let next =
        json!({"model": "gpt-5", "input": "more", "store": true, "previous_response_id": id}).to_string();
    for _ in 0..3 {
        let answer = rota.call("POST", "/openai/v1/responses").json(&next).send().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-rota-account")), (200, Some("work")));
    }
    switch_off(&rota, "work").await;
    let lost = rota.call("POST", "/openai/v1/responses").json(&next).send().await;
    assert_eq!(lost.status, 400);
    assert_eq!(lost.json()["error"]["code"], "previous_response_not_found");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// SEL-4: the routing token of one account's turn.
#[tokio::test]
async fn a_turn_state_goes_back_to_whom_it_came_from_and_to_nobody_else() {
    let (fake, rota) = stage().await;
    let mut talk = Talk { session: Some("turn"), ..Talk::default() };
    let first = talk.turn(&rota).await;
    let state = first.header("x-codex-turn-state").expect("a turn state").to_owned();
    talk.state = Some(state.clone());
    talk.turn(&rota).await;
    let got = |n: usize| {
        let headers = fake.requests()[n].headers.clone().into_iter();
        headers.filter(|(name, _)| name == "x-codex-turn-state").map(|(_, value)| value).next()
    };
    assert_eq!(got(1), Some(state));
    switch_off(&rota, "work").await;
    talk.turn(&rota).await;
    assert_eq!((fake.accounts_served(SERVED)[2].as_str(), got(2)), ("b", None));
    talk.state = Some("made up".to_owned());
    talk.turn(&rota).await;
    assert_eq!(got(3), None, "whose it is nobody knows");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// SEL-3, SEL-4
#[tokio::test]
async fn a_compressed_body_tells_its_session_and_its_owner_and_goes_out_as_it_came() {
    let (fake, rota) = stage().await;
    let mut talk = Talk { key: Some("cache-1"), ..Talk::default() };
    talk.turn(&rota).await;
    for _ in 0..3 {
        let mut packed = ZstdEncoder::new(Vec::new());
        packed.write_all(talk.body().as_bytes()).await.expect("compressed");
        packed.shutdown().await.expect("compressed");
        let packed = packed.into_inner();
        let call = rota.call("POST", TURNS).header("content-type", "application/json");
        let answer = call.header("content-encoding", "zstd").body(Full::from(packed.clone())).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let last = fake.requests().pop().expect("a request");
        assert_eq!(last.body_len, packed.len() as u64, "the client's own bytes");
    }
    assert_eq!(fake.accounts_served(SERVED), ["a", "a", "a", "a"]);
    let known = rota.app.affinity.pins(Time::from_secs(0));
    assert!(known.iter().any(|pin| pin.session.kind() == "body.prompt_cache_key"), "{known:?}");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// A conversation as Codex has it: stateless, every item of the model's sent back.
#[derive(Clone, Default)]
struct Talk {
    session: Option<&'static str>,
    key: Option<&'static str>,
    state: Option<String>,
    history: Vec<Value>,
}

impl Talk {
    fn body(&self) -> String {
        let mut input = self.history.clone();
        input.push(
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go on"}]}),
        );
        let mut body = json!({
            "model": "gpt-5", "instructions": "be brief", "input": input, "store": false, "stream": true,
            "include": ["reasoning.encrypted_content"],
        });
        if let Some(key) = self.key {
            body["prompt_cache_key"] = key.into();
        }
        body.to_string()
    }

    async fn turn(&mut self, rota: &Rota) -> Answer {
        let mut call = rota.call("POST", TURNS).json(&self.body());
        if let Some(session) = self.session {
            call = call.header("session-id", session);
        }
        if let Some(state) = &self.state {
            call = call.header("x-codex-turn-state", state);
        }
        let answer = call.send().await;
        let text = answer.text().to_owned();
        let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = events.filter_map(|data| serde_json::from_str::<Value>(data).ok());
        let items = events.filter(|event| event["type"] == "response.output_item.done");
        self.history.extend(items.map(|event| event["item"].clone()));
        answer
    }
}

async fn switch_off(rota: &Rota, alias: &str) {
    let off = Command::Switched {
        alias: Alias::try_from(alias).expect("an alias"),
        to: Switch::Off { at: Time::from_secs(1), by: Actor::Admin, reason: None },
        last: LastEnabled::Override,
    };
    rota.app.state.commit(off).await.expect("it is off");
}

fn script([one, two]: [&str; 2]) -> Script {
    let account = |id: &str| {
        Account::new(id)
            .org(format!("org-{id}"))
            .api_key(format!("key-{id}"))
            .access_token_for(format!("at-{id}"), 36_000)
            .refresh_token(format!("rt-{id}"))
    };
    Script::new().account(account(one)).account(account(two))
}

async fn stage() -> (FakeUpstream, Rota) {
    stage_of(["a", "b"]).await
}

/// A fake with two organisations, and a rota with a login of each.
async fn stage_of(ids: [&str; 2]) -> (FakeUpstream, Rota) {
    let fake = FakeUpstream::start(script(ids)).await.expect("a fake upstream");
    let [work, home] = ids.map(|id| login(&format!("at-{id}"), &format!("rt-{id}"), &format!("org-{id}")));
    let rota =
        rota(fake.origin()).account("work", "codex", work).account("home", "codex", home).start().await;
    (fake, rota)
}
