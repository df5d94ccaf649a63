//! What people change through the admin API while requests flow: nothing that was acknowledged is lost, whoever is
//! switched off serves nobody, and shares are what the weights say.
use crate::harness::{Answer, Client, Rota, key, rota};
use fake_upstream::{Account, FakeUpstream, Script};
use rota::clock::Stopwatch;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const WRITERS: usize = 64;
/// Changes of each writer in `cargo test`; `make writers` has a thousand.
const ROUNDS: usize = 14;
const TURNS: &str = "/openai/v1/responses";
const REQUEST: &str = r#"{"model":"m","input":"hi"}"#;
/// The account that is never switched off; all writers write its notes.
const SHARED: &str = "shared";
/// So many clients, each with a request in so much time, one after the other: 200 a second. Who was kept waiting makes up
/// for it, so that the load is the same however long an answer takes.
const CLIENTS: u32 = 32;
const PACE: Duration = Duration::from_millis(160);

/// ADM-4 STO-7 SEL-2: writers of everything there is, each account's changes checked against what its writer was told, a
/// shared field against the history of all, and each request against the times at which its account was certainly off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_and_nobody_who_is_off_serves_while_requests_flow() {
    let rota = Arc::new(pool(WRITERS, "round-robin").await);
    let watch = Stopwatch::start();
    let history = Arc::new(History::default());
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|place| tokio::spawn(client(Arc::clone(&rota), Arc::clone(&done), watch, place)))
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| {
            tokio::spawn(Writer::new(number, Arc::clone(&rota), Arc::clone(&history), watch).run(rounds()))
        })
        .collect();
    let mut last = Vec::new();
    for writer in writers {
        last.push(writer.await.expect("a writer that was told what it should be told"));
    }
    done.store(true, Ordering::SeqCst);
    let took = watch.elapsed();
    let mut served = Vec::new();
    for client in clients {
        served.extend(client.await.expect("every request is answered"));
    }
    assert!(!served.is_empty());
    for expected in &last {
        let account = admin(&rota)
            .await
            .get(&format!("/api/accounts/{}", expected["alias"].as_str().expect("a name")))
            .await;
        for field in ["alias", "enabled", "notes", "weight", "tags"] {
            assert_eq!(account[field], expected[field], "{field} of {expected}");
        }
    }
    let shared = admin(&rota).await.get(&format!("/api/accounts/{SHARED}")).await;
    history.explains(shared["notes"].as_str().expect("a text"));
    let offs = history.off.lock().expect("no panic");
    for Served { by, from, to } in &served {
        // Nobody switches the shared account off.
        let spans = by.and_then(|by| offs.get(&by));
        let wrong = spans.into_iter().flatten().find(|off| off.from <= *from && *to <= off.to);
        assert!(
            wrong.is_none(),
            "writer {by:?}'s account was off in {wrong:?}, and served from {from:?} to {to:?}"
        );
    }
    let changes = WRITERS * rounds();
    let seconds = took.as_secs_f64();
    println!(
        "{changes} changes and {} requests in {seconds:.1} s: {:.0} changes and {:.0} requests a second",
        served.len(),
        changes as f64 / seconds,
        served.len() as f64 / seconds,
    );
    let mut answers: Vec<Duration> =
        served.iter().map(|served| served.to.saturating_sub(served.from)).collect();
    answers.sort();
    let at = |share: usize| answers.get(answers.len() * share / 100).copied().unwrap_or_default();
    println!("an answer took {:?} (half of them), {:?} (95 of 100), {:?} (99)", at(50), at(95), at(99));
}

/// SEL-6 SEL-7: over real requests the shares are within one percentage point of the weights, renormalised while an account
/// is off, and even where all weigh the same.
#[tokio::test]
async fn a_thousand_requests_are_shared_as_the_weights_say_also_while_accounts_come_and_go() {
    let rota = pool(3, "weighted-round-robin").await;
    let mut people = admin(&rota).await;
    // The writers' accounts are w0 to w2.
    let mut weights = BTreeMap::from([(SHARED, 1.0), ("w0", 0.5), ("w1", 0.25), ("w2", 0.25)]);
    for (alias, weight) in weights.iter().filter(|(_, weight)| **weight < 1.0) {
        people.change("PATCH", &format!("/api/accounts/{alias}"), json!({"weight": weight})).await;
    }
    let mut client = Client::connect(rota.address).await;
    shares(&mut client, &weights).await;
    for off in ["w0", "w2"] {
        let path = format!("/api/accounts/{off}/enabled");
        people.change("PUT", &path, json!({"enabled": false})).await;
        let there: BTreeMap<&str, f64> =
            weights.clone().into_iter().filter(|(alias, _)| *alias != off).collect();
        shares(&mut client, &there).await;
        people.change("PUT", &path, json!({"enabled": true})).await;
    }
    people.change("POST", "/api/settings/preset", json!({"name": "balanced"})).await;
    weights.values_mut().for_each(|weight| *weight = 1.0);
    shares(&mut client, &weights).await;
}

async fn shares(client: &mut Client, weights: &BTreeMap<&str, f64>) {
    const REQUESTS: u32 = 1000;
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..REQUESTS {
        let answer = client.post(TURNS, REQUEST).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        *served.entry(answer.header("x-rota-account").expect("who served").to_owned()).or_default() += 1;
    }
    let whole: f64 = weights.values().sum();
    for (alias, weight) in weights {
        let share = f64::from(served.remove(*alias).unwrap_or_default()) / f64::from(REQUESTS);
        assert!((share - weight / whole).abs() <= 0.01, "{alias}: {share}, where {weights:?}");
    }
    assert_eq!(served, BTreeMap::new(), "nobody else serves");
}

/// A rota with an account for each writer, and the shared one.
async fn pool(writers: usize, strategy: &str) -> Rota {
    let names: Vec<String> =
        (0..writers).map(|number| format!("w{number}")).chain([SHARED.to_owned()]).collect();
    let script = names
        .iter()
        .fold(Script::new(), |script, name| script.account(Account::new(name).api_key(format!("sk-{name}"))));
    let fake = FakeUpstream::start(script).await.expect("a fake");
    let builder = rota(fake.origin()).set("ROTATION__STRATEGY", strategy);
    let rota = names
        .iter()
        .fold(builder, |rota, name| rota.account(name, "openai", key(&format!("sk-{name}"))))
        .start()
        .await;
    // It lives as long as the test's process: nobody looks at what it has recorded.
    tokio::spawn(async move {
        let _fake = fake;
        std::future::pending::<()>().await;
    });
    rota
}

/// One who changes everything of an account of its own, and something of what all share.
struct Writer {
    number: usize,
    rota: Arc<Rota>,
    history: Arc<History>,
    watch: Stopwatch,
    /// What it was told last of its own account.
    account: Value,
}

impl Writer {
    fn new(number: usize, rota: Arc<Rota>, history: Arc<History>, watch: Stopwatch) -> Self {
        Self { number, rota, history, watch, account: json!({"alias": format!("w{number}")}) }
    }

    async fn run(mut self, rounds: usize) -> Value {
        let mut people = admin(&self.rota).await;
        for round in 0..rounds {
            match round % 7 {
                0 => {
                    self.edit(
                        &mut people,
                        json!({"notes": format!("note {round}"), "tags": [format!("t{round}")]}),
                    )
                    .await
                }
                1 => self.switch_off(&mut people).await,
                2 => self.edit(&mut people, json!({"weight": (1 + round % 100) as f64 / 100.0})).await,
                3 => self.switch_on(&mut people).await,
                4 => self.edit(&mut people, json!({"alias": format!("w{}-{round}", self.number)})).await,
                5 => self.shared(&mut people, round).await,
                _ => self.everybodys(&mut people, round).await,
            }
        }
        self.account
    }

    fn path(&self) -> String {
        format!("/api/accounts/{}", self.account["alias"].as_str().expect("a name"))
    }

    /// Nobody else changes it, so that each change is made, and the answer shows it.
    async fn edit(&mut self, people: &mut People, edit: Value) {
        self.account = people.change("PATCH", &self.path(), edit.clone()).await;
        for (field, value) in edit.as_object().expect("an object") {
            assert_eq!(self.account[field], *value, "what was acknowledged");
        }
    }

    async fn switch_off(&mut self, people: &mut People) {
        let path = format!("{}/enabled", self.path());
        self.account = people.change("PUT", &path, json!({"enabled": false})).await;
        let off = Span { from: self.watch.elapsed(), to: Duration::MAX };
        self.history.off.lock().expect("no panic").entry(self.number).or_default().push(off);
    }

    async fn switch_on(&mut self, people: &mut People) {
        let asked = self.watch.elapsed();
        if let Some(off) =
            self.history.off.lock().expect("no panic").get_mut(&self.number).and_then(|all| all.last_mut())
        {
            off.to = asked;
        }
        let path = format!("{}/enabled", self.path());
        self.account = people.change("PUT", &path, json!({"enabled": true})).await;
    }

    /// Another writer may be at it: then this one is told, and nothing was written.
    async fn shared(&mut self, people: &mut People, round: usize) {
        let notes = format!("{}-{round}", self.number);
        let from = self.watch.elapsed();
        let answer = people.ask("PATCH", &format!("/api/accounts/{SHARED}"), &json!({"notes": notes})).await;
        if answer.status == 200 {
            let write = Span { from, to: self.watch.elapsed() };
            self.history.shared.lock().expect("no panic").push((notes, write));
        } else {
            assert_eq!(answer.json()["error"]["code"], "UPDATE_IN_PROGRESS", "{}", answer.text());
        }
    }

    /// Forces and settings, of which there is one for all.
    async fn everybodys(&mut self, people: &mut People, round: usize) {
        let answer = match self.number % 3 {
            0 => people.ask("POST", "/api/force", &json!({"alias": self.account["alias"]})).await,
            1 => people.ask("POST", "/api/force/clear", &Value::Null).await,
            _ => {
                people
                    .ask("PUT", "/api/settings", &json!({"settings": {"max_attempts": 2 + round % 15}}))
                    .await
            }
        };
        let told = answer.json()["error"]["code"].clone();
        let known = [Value::Null, "NO_FORCE_ACTIVE".into(), "UPDATE_IN_PROGRESS".into()];
        assert!(known.contains(&told), "{}", answer.text());
    }
}

/// What was acknowledged, and when.
#[derive(Default)]
struct History {
    /// When each writer's account was off for certain: from the answer until it was asked to be switched on.
    off: Mutex<BTreeMap<usize, Vec<Span>>>,
    /// Notes of the shared account: from the question to the answer.
    shared: Mutex<Vec<(String, Span)>>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    from: Duration,
    to: Duration,
}

impl History {
    /// The last value is one that was written, and no other was begun after that had been acknowledged.
    fn explains(&self, last: &str) {
        let shared = self.shared.lock().expect("no panic");
        let (_, write) =
            shared.iter().find(|(value, _)| value == last).expect("what was never acknowledged is there");
        let later = shared.iter().find(|(_, other)| other.from > write.to);
        assert!(later.is_none(), "{last:?} is there, and {later:?} was written after it");
    }
}

/// A request, by which writer's account it was served; none for the shared one.
struct Served {
    by: Option<usize>,
    from: Duration,
    to: Duration,
}

/// Asks at its pace until all is done.
#[expect(clippy::disallowed_methods, reason = "clients do not begin all at once")]
async fn client(rota: Arc<Rota>, done: Arc<AtomicBool>, watch: Stopwatch, place: u32) -> Vec<Served> {
    let mut client = Client::connect(rota.address).await;
    let mut pace = interval_at(Instant::now() + PACE * place / CLIENTS, PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut served = Vec::new();
    while !done.load(Ordering::SeqCst) {
        pace.tick().await;
        let from = watch.elapsed();
        let answer = client.post(TURNS, REQUEST).await;
        let to = watch.elapsed();
        assert_eq!(answer.status, 200, "{}", answer.text());
        let alias = answer.header("x-rota-account").expect("who served");
        let by = alias.strip_prefix('w').and_then(|rest| rest.split('-').next()?.parse().ok());
        served.push(Served { by, from, to });
    }
    served
}

/// A connection to the admin API.
struct People {
    client: Client,
    token: String,
}

async fn admin(rota: &Rota) -> People {
    let token =
        fs::read_to_string(rota::app::token_file(&rota.app.config.load().state_dir)).expect("the token");
    People { client: Client::connect(rota.app.addresses().admin.expect("an address")).await, token }
}

impl People {
    async fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.client.ask(method, path, &self.token, body).await
    }

    async fn get(&mut self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null).await.json()
    }

    async fn change(&mut self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, &body).await;
        assert_eq!(answer.status, 200, "{method} {path} {body}: {}", answer.text());
        answer.json()
    }
}

#[expect(clippy::disallowed_methods, reason = "how `make writers` asks for all of it")]
fn rounds() -> usize {
    if std::env::var("ROTA_WRITERS").is_ok_and(|form| form == "full") { 1000 } else { ROUNDS }
}
