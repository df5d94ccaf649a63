use super::{handshakes, in_flight, pair, turns, upstream};
use crate::harness::{Echo, Ended, RESPONSES, Rota, Socket, create, login, rota};
use fake_upstream::{Account, FakeUpstream, Fault, Outcome as Seen, Script};
use futures_util::{SinkExt, StreamExt};
use proptest::collection::vec;
use proptest::prelude::*;
use rota::config::Config;
use rota::engine::{Command, LastEnabled};
use rota::model::{Actor, Alias, ClientKey, FaultClass, KeyScope, Reason, Secret, Switch, Time};
use rota::proxy::digest_of;
use rota::runs::{Belongings, Bounds, RunId};
use rota::telemetry::Outcome;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// FLO-9: the client hears nothing of it, connects again, and another account serves.
#[tokio::test]
async fn a_refusal_before_the_first_word_makes_the_client_connect_to_another_account() {
    for fault in [
        Fault::named("usage_limit_reached"),
        Fault::none().in_band(2, limit()),
        Fault::none().failed(1, "rate_limit_exceeded", "slow"),
    ] {
        let fake = upstream().await;
        let rota = pair(&fake).start().await;
        let mut socket = Socket::of(&rota, "s-1").await;
        socket.ask(&create()).await;
        fake.set_fault(fault.message().account("a"));
        socket.say(&create()).await;
        let (messages, ended) = socket.rest().await;
        let shown = |one: &Value| one["type"] == "error" || one["type"] == "response.failed";
        assert!(!messages.iter().any(shown), "{messages:?}");
        assert_eq!(ended, Ended::Closed(1011));
        let mut again = Socket::of(&rota, "s-1").await;
        assert_eq!(again.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
        assert_eq!((handshakes(&fake), turns(&fake)), (strings(&["a", "b"]), strings(&["a", "a", "b"])));
        let records = rota.decisions(5).await;
        let moved = &records[2];
        assert_eq!((moved.outcome, moved.refusal), (Outcome::Refused, Some("RECONNECT")));
        assert_eq!(moved.attempts.len(), 1);
        assert!(moved.attempts[0].reason.is_some(), "{moved:?}");
        assert_eq!(in_flight(&rota), 0);
    }
}

/// FLO-9, I6
#[tokio::test]
async fn a_refusal_after_the_first_word_is_the_clients_and_teaches_the_account() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    fake.set_fault(Fault::none().in_band(6, limit()).message().account("a"));
    let kinds = socket.ask(&create()).await;
    assert_eq!(kinds.last().map(String::as_str), Some("error"));
    let cooling = rota.account("work").health.cooling.expect("a rest");
    assert_eq!(cooling.class, FaultClass::QuotaWindow);
    assert_eq!(rota.decisions(2).await[1].outcome, Outcome::Passed);
    // The next turn goes elsewhere, by the provider's own way to say so.
    socket.say(&create()).await;
    let (messages, ended) = socket.rest().await;
    assert_eq!(messages[0]["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!((messages.len(), ended), (1, Ended::Closed(1012)));
    let mut again = Socket::of(&rota, "s-1").await;
    assert_eq!(again.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
    assert_eq!(turns(&fake), ["a", "b"]);
}

/// PRX-5: `rota run --account` goes before a force over a WebSocket, too, and no turn begins once the command has ended.
#[tokio::test]
async fn a_commands_own_account_serves_its_turns_until_the_command_ends() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let work = rota.account("work").id;
    let id = RunId::new(&"5".repeat(32)).expect("an id");
    let path = format!("{}{RESPONSES}", id.prefix());
    let runs = &rota.app.runs;
    let bounds = Bounds { idle: None, lifetime: None, command: None };
    let command = runs
        .open(id, Belongings { account: Some(work), key: None }, bounds, rota.app.clock.now())
        .expect("a place");
    let mut socket = Socket::open(&rota, &path, &[]).await.map_err(|answer| answer.status).expect("it opens");
    let home = Alias::try_from("home").expect("an alias");
    rota.app.state.apply(Command::Forced { alias: home, by: Actor::Admin }).expect("forced");
    for _ in 0..2 {
        assert_eq!(socket.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
    }
    drop(command);
    socket.say(&create()).await;
    assert_eq!(socket.rest().await.1, Ended::Closed(1012));
    let again = Socket::open(&rota, &path, &[]).await.err().expect("a refusal");
    assert_eq!((again.status.as_u16(), turns(&fake)), (404, strings(&["a", "a"])));
}

/// PRX-3: a key that was taken back opens no further turn.
#[tokio::test]
async fn no_turn_begins_for_a_client_whose_key_is_gone() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let added = |name: &str| rota.app.state.apply(Command::KeyAdded(Box::new(client_key(name))));
    added("ci").expect("added");
    let shown = [("x-rota-key", "rota-ci")];
    let mut socket = Socket::open(&rota, RESPONSES, &shown).await.map_err(|it| it.status).expect("it opens");
    assert_eq!(socket.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
    added("other").expect("added");
    rota.app.state.apply(Command::KeyRemoved { name: client_key("ci").name }).expect("removed");
    socket.say(&create()).await;
    assert_eq!(socket.rest().await.1, Ended::Closed(1012));
    let again = Socket::open(&rota, RESPONSES, &shown).await.err().expect("a refusal");
    assert_eq!((again.status.as_u16(), turns(&fake)), (401, strings(&["a"])));
}

/// PRX-3: the same for a key of the configuration that is read again without it, while another key still is.
#[tokio::test]
async fn no_turn_begins_for_a_client_whose_key_the_configuration_has_no_more() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let keys = |keys: &[&str]| {
        let client_keys = keys.iter().copied().map(Secret::new).collect();
        let config = Config { client_keys, ..Config::clone(&rota.app.config.load()) };
        rota.app.config.store(Arc::new(config));
    };
    keys(&["rota-of-the-file", "rota-that-stays"]);
    let open = async |key| {
        let shown = [("authorization", key)];
        Socket::open(&rota, RESPONSES, &shown).await.map_err(|answer| answer.status.as_u16())
    };
    let mut gone = open("Bearer rota-of-the-file").await.expect("it opens");
    let mut stays = open("Bearer rota-that-stays").await.expect("it opens");
    let done = Some("response.completed");
    assert_eq!(gone.ask(&create()).await.last().map(String::as_str), done);
    keys(&["rota-that-stays"]);
    gone.say(&create()).await;
    assert_eq!(gone.rest().await.1, Ended::Closed(1012));
    assert_eq!(stays.ask(&create()).await.last().map(String::as_str), done);
    assert_eq!(open("Bearer rota-of-the-file").await.err(), Some(401));
    assert_eq!(turns(&fake).len(), 2);
}

/// FLO-8: nobody else is there to connect to.
#[tokio::test]
async fn the_last_accounts_refusal_is_told_in_rotas_words() {
    let fake = upstream().await;
    let rota = rota(fake.origin()).account("work", "codex", login("at-a", "rt-a", "org-a")).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    fake.set_fault(Fault::named("usage_limit_reached").message());
    for _ in 0..2 {
        socket.say(&create()).await;
        let told = socket.next().await.expect("a message");
        assert_eq!((&told["type"], &told["status"]), (&json!("error"), &json!(429)));
        assert_eq!(told["error"]["type"], "usage_limit_reached");
        assert!(told["error"]["resets_at"].is_u64(), "{told}");
    }
    assert_eq!(turns(&fake), ["a"], "an account that rests is not asked");
    let reasons = &rota.decisions(3).await[2].reasons;
    assert_eq!(reasons.values().next().map(|why| why.reason), Some(Reason::QuotaExhausted));
}

/// I6: a fault of the request's own, and one that nobody knows.
#[tokio::test]
async fn what_no_other_account_would_answer_otherwise_is_the_clients() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let mut socket = Socket::of(&rota, "s-1").await;
    for fault in [
        Fault::named("previous_response_not_found"),
        Fault::named("context_length_exceeded"),
        Fault::none().in_band(0, json!({"type": "error", "error": {"code": "brand_new"}})),
    ] {
        fake.set_fault(fault.message().once());
        assert_eq!(socket.ask(&create()).await, ["error"]);
        assert_eq!(socket.ask(&create()).await.last().map(String::as_str), Some("response.completed"));
    }
    assert!(turns(&fake).iter().all(|account| account == "a"));
    assert!(rota.account("work").health.is_clean());
}

/// LIM-1: what a connection tells between its handshakes.
#[tokio::test]
async fn messages_of_limits_teach_what_the_headers_of_a_reply_would() {
    let spends = Account::new("a").access_token("at-a").org("org-a").quota(10);
    let fake = FakeUpstream::start(Script::new().account(spends)).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "codex", login("at-a", "rt-a", "org-a")).start().await;
    let left = || rota.account("work").limits.remaining(rota.app.clock.now());
    let mut socket = Socket::of(&rota, "s-1").await;
    let full = left();
    for _ in 0..4 {
        socket.ask(&create()).await;
    }
    assert_eq!(full, Some(100.0));
    assert!(left().is_some_and(|left| (55.0..=75.0).contains(&left)), "{:?}", left());
}

/// SEL-3: never in the middle of a turn, always before the next.
#[tokio::test]
async fn a_switched_off_account_ends_its_turn_and_begins_none() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    fake.set_fault(Fault::none().stall_after(3, "middle").message().once());
    let mut socket = Socket::of(&rota, "s-1").await;
    socket.say(&create()).await;
    fake.gate("middle").arrived(1).await;
    assert_eq!(in_flight(&rota), 1);
    switch_off(&rota, "work").await;
    fake.gate("middle").release();
    assert_eq!(socket.answer().await.last().map(String::as_str), Some("response.completed"));
    assert_eq!(in_flight(&rota), 0);
    socket.say(&create()).await;
    let (messages, ended) = socket.rest().await;
    assert_eq!(messages[0]["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!((messages.len(), ended), (1, Ended::Closed(1012)));
    let mut again = Socket::of(&rota, "s-1").await;
    assert_eq!(again.header("x-rota-account"), Some("home"));
    again.ask(&create()).await;
    assert_eq!(turns(&fake), ["a", "b"]);
}

/// FLO-3
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_a_turn_costs_the_account_nothing() {
    let fake = upstream().await;
    let rota = pair(&fake).start().await;
    let before = rota.holders();
    fake.set_fault(Fault::none().stall_after(3, "middle").message());
    let mut socket = Socket::of(&rota, "s-1").await;
    socket.say(&create()).await;
    fake.gate("middle").arrived(1).await;
    drop(socket);
    fake.recorder().wait_until(|all| all[0].outcome == Seen::ClientLeft).await;
    assert_eq!(rota.decisions(2).await[1].outcome, Outcome::Abandoned);
    assert_eq!(in_flight(&rota), 0);
    assert!(rota.account("work").health.is_clean());
    while rota.holders() > before {
        tokio::task::yield_now().await;
    }
    assert_eq!(rota.app.sockets.open(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// PRX-1: any message in any fragments, text or not, comes back as it was.
    #[test]
    fn a_message_passes_byte_for_byte_whatever_its_size_and_fragments(
        sizes in vec((0usize..200_000, 1usize..6, any::<bool>()), 1..6),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (_echo, _rota, mut socket) = echo().await;
            for (size, pieces, text) in sizes {
                let whole = payload(size);
                say_in(&mut socket, &whole, pieces, text).await;
                let heard = socket.data().await.expect("it comes back");
                assert_eq!(heard.is_text(), text);
                assert!(heard.into_data() == whole, "{size} bytes in {pieces} pieces");
            }
        });
    }
}

/// PRX-4: up to the bound a message passes whole; above it the connection ends and says why.
#[tokio::test]
async fn a_message_of_fifteen_mebibytes_passes_and_a_longer_one_ends_the_connection() {
    let (_echo, _rota, mut socket) = echo().await;
    let large = payload(15 << 20);
    let (mut write, mut read) = (&mut socket.ws).split();
    let (sent, heard) = tokio::join!(write.send(text(&large)), read.next());
    sent.expect("it is sent");
    assert!(heard.expect("a message").expect("a message").into_data() == large);
    drop((write, read));
    // The rest of it may meet a closed connection.
    let _ = socket.ws.send(text(&payload((16 << 20) + 1))).await;
    assert!(matches!(socket.rest().await.1, Ended::Closed(1009) | Ended::Torn));
}

async fn echo() -> (Echo, Rota, Socket) {
    let upstream = Echo::start().await;
    let rota = rota(upstream.origin()).account("work", "codex", login("at-a", "rt-a", "org-a")).start().await;
    let socket = Socket::of(&rota, "s-1").await;
    (upstream, rota, socket)
}

async fn say_in(socket: &mut Socket, whole: &[u8], pieces: usize, text: bool) {
    let size = whole.len().div_ceil(pieces).max(1);
    let parts: Vec<&[u8]> = if whole.is_empty() { vec![&[]] } else { whole.chunks(size).collect() };
    for (place, part) in parts.iter().enumerate() {
        let kind = match (place, text) {
            (0, true) => Data::Text,
            (0, false) => Data::Binary,
            _ => Data::Continue,
        };
        let last = place + 1 == parts.len();
        let frame = Frame::message(part.to_vec(), OpCode::Data(kind), last);
        socket.ws.send(Message::Frame(frame)).await.expect("it is sent");
    }
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|place| b'a' + u8::try_from(place % 23).expect("small")).collect()
}

fn text(bytes: &[u8]) -> Message {
    Message::text(String::from_utf8(bytes.to_vec()).expect("text"))
}

fn limit() -> Value {
    json!({"type": "error", "status": 429, "error": {"type": "usage_limit_reached", "message": "full",
        "resets_in_seconds": 600}})
}

/// Its key is `rota-` and its name.
fn client_key(name: &str) -> ClientKey {
    ClientKey {
        digest: digest_of(&format!("rota-{name}")),
        name: name.parse().expect("a name"),
        scope: KeyScope::default(),
        made: Time::from_secs(0),
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn switch_off(rota: &Rota, alias: &str) {
    let alias = Alias::try_from(alias).expect("an alias");
    let to = Switch::Off { at: Time::from_secs(1), by: Actor::Admin, reason: None };
    let off = Command::Switched { alias, to, last: LastEnabled::Keep };
    rota.app.state.commit(off).await.expect("it is off");
}
