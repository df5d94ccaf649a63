use super::reader::Reader;
use crate::app::bench::{Bench, alias};
use crate::engine::Command;
use crate::model::{Actor, LimitSample, LimitSource, LimitWindow, Settings, Strategy};
use serde_json::{Value, json};
use std::time::Duration;

/// ADM-1
#[tokio::test(start_paused = true)]
async fn a_reader_is_told_what_has_changed_and_how_it_is_called() {
    let bench = Bench::new().await;
    let state = &bench.app.state;
    let mut reader = Reader::new(bench.app.clone()).expect("a place");
    let first = reader.next().await.expect("a piece");
    assert!(first.starts_with(b"retry: 5000\nevent: hello\n"), "{first:?}");

    state.apply(Command::Forced { alias: alias(), by: Actor::Admin }).expect("forced");
    let force = told(&mut reader).await;
    assert_eq!(
        (force["event"].as_str(), force["data"]["force"]["alias"].as_str()),
        (Some("force"), Some("work"))
    );

    let window = LimitWindow { name: "5h".into(), remaining: 12.5, resets: None };
    let sample = LimitSample {
        at: bench.clock.now(),
        source: LimitSource::Usage { endpoint: None },
        windows: vec![window],
    };
    let account = state.snapshot().by_alias(&alias()).expect("the account").id;
    state.apply(Command::LimitsSeen { account, sample }).expect("seen");
    assert_eq!(told(&mut reader).await, json!({"event": "accounts", "data": {"aliases": ["work"]}}));
    assert_eq!(
        told(&mut reader).await,
        json!({"event": "limits", "data": {"alias": "work", "state": "success"}})
    );

    let world = state.snapshot();
    let settings = Settings { strategy: Strategy::Random, ..(*world.settings).clone() };
    let providers = world.providers.to_vec();
    let world = state.apply(Command::Reconfigured { settings, providers }).expect("applied");
    assert_eq!(
        told(&mut reader).await,
        json!({"event": "settings", "data": {"generation": world.generation}})
    );

    bench.keep("session-1");
    assert_eq!(told(&mut reader).await, json!({"event": "sessions", "data": {"total": 1}}));
}

/// ADM-1: changes pile up nowhere, however slow a reader is.
#[tokio::test(start_paused = true)]
async fn what_happens_while_nobody_looks_is_told_as_one() {
    let bench = Bench::new().await;
    let mut reader = Reader::new(bench.app.clone()).expect("a place");
    reader.next().await.expect("hello");
    for _ in 0..500 {
        bench.app.state.apply(Command::Forced { alias: alias(), by: Actor::Admin }).expect("forced");
        bench.app.state.apply(Command::ForceCleared).expect("cleared");
    }
    bench.app.state.apply(Command::Forced { alias: alias(), by: Actor::Admin }).expect("forced");
    assert_eq!(told(&mut reader).await["data"]["force"]["alias"], "work");
    assert_eq!(reader.next().await.expect("a piece"), ":\n\n", "nothing but that it is alive");
}

/// ADM-1
#[tokio::test(start_paused = true)]
async fn there_are_so_many_readers_and_a_place_that_is_left_is_free() {
    let bench = Bench::new().await;
    let mut readers: Vec<Reader> = std::iter::from_fn(|| Reader::new(bench.app.clone())).take(100).collect();
    assert_eq!(readers.len(), 32);
    readers.pop();
    assert!(Reader::new(bench.app.clone()).is_some());
}

/// ADM-1: nobody keeps rota from stopping.
#[tokio::test(start_paused = true)]
async fn every_reader_ends_with_rota_also_one_that_comes_too_late() {
    let bench = Bench::new().await;
    let mut reader = Reader::new(bench.app.clone()).expect("a place");
    reader.next().await.expect("hello");
    bench.app.readers.end();
    assert_eq!(reader.next().await, None);
    let mut late = Reader::new(bench.app.clone()).expect("a place");
    late.next().await.expect("hello");
    assert_eq!(late.next().await, None);
}

/// What comes next, but for signs of life, held against the schema that is published for it.
async fn told(reader: &mut Reader) -> Value {
    let wait = async {
        loop {
            let piece = reader.next().await.expect("a piece");
            if piece.as_ref() != b":\n\n" {
                return String::from_utf8(piece.to_vec()).expect("UTF-8");
            }
        }
    };
    let piece = tokio::time::timeout(Duration::from_secs(600), wait).await.expect("it comes");
    let (name, data) = piece.trim_end().split_once("\ndata: ").expect("two lines");
    let name = name.strip_prefix("event: ").expect("a name");
    let event = json!({"event": name, "data": serde_json::from_str::<Value>(data).expect("JSON")});
    let document = crate::admin::openapi();
    let schema = json!({"$ref": "#/components/schemas/Event", "components": document["components"]});
    jsonschema::validate(&schema, &event).unwrap_or_else(|error| panic!("{event}: {error}"));
    event
}
