use crate::harness::{Client, Rota, login, rota};
use fake_upstream::{Account, FakeUpstream, Fault, Script};
use rota::clock::Clock;
use rota::model::Credential;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;
use tokio::task::JoinSet;

const TURN: &str = r#"{"model":"gpt-5","instructions":"be brief","input":[],"store":false,"stream":true}"#;
/// Where the fake serves turns.
const RESPONSES: &str = "/backend-api/codex/responses";
/// Clients that meet one token's end.
const CLIENTS: usize = 1000;
/// Clients that leave.
const LEAVERS: usize = 500;
/// How often the timer, requests and people meet.
const MEETINGS: usize = 100;

/// REN-2, I7: however many requests meet the dead token, one refresh replaces it, and each is sent once more.
#[tokio::test]
async fn fifty_refusals_of_one_token_make_one_refresh() {
    let (fake, rota) = stage().await;
    // Nobody is told before all fifty have been sent with the dead token.
    fake.set_fault(Fault::none().path("/backend-api/codex/*").times(50).stall_head("refusals"));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        asking.spawn(rota.call("POST", "/codex/responses").json(TURN).send());
    }
    fake.gate("refusals").arrived(50).await;
    fake.gate("refusals").release();
    while let Some(answer) = asking.join_next().await {
        let answer = answer.expect("a reply");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let ledger = fake.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses), (1, 0));
    assert_eq!(rota.account("work").credential.version(), 2);
    let statuses = fake.requests().into_iter().filter_map(|request| request.status);
    let refused = statuses.filter(|status| *status == 401).count();
    assert_eq!(refused, 50);
}

/// FLO-2: the one request whose token is refused is sent again with the new one, on the same account.
#[tokio::test]
async fn a_refused_token_is_renewed_and_the_request_sent_once_more() {
    let (fake, rota) = stage().await;
    let answer = rota.call("POST", "/codex/responses").json(TURN).send().await;
    let told = ["x-rota-account", "x-rota-attempts", "x-rota-why"].map(|name| answer.header(name));
    assert_eq!(told, [Some("work"), Some("2"), Some("refreshed")]);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// FLO-8: a login that only a person can mend is told in a text that this client prints.
#[tokio::test]
async fn a_login_that_is_gone_for_good_is_a_readable_400() {
    let (fake, rota) = stage().await;
    fake.account("a", |account| account.refresh_tokens.clear());
    let answer = rota.call("POST", "/codex/responses").json(TURN).send().await;
    assert_eq!(answer.status, 400);
    let body = answer.json();
    assert_eq!(body["error"]["reasons"]["work"]["reason"], "reauth-failed");
    assert!(body["error"]["message"].as_str().is_some_and(|text| text.contains("rota status")), "{body}");
}

/// I7: a client that hangs up does not cut the refresh it asked for.
#[tokio::test]
async fn a_refresh_outlives_the_client_that_asked_for_it() {
    let (fake, rota) = stage().await;
    fake.set_fault(Fault::none().path("/oauth/token").stall_head("exchange"));
    let asking = tokio::spawn(rota.call("POST", "/codex/responses").json(TURN).open());
    fake.gate("exchange").arrived(1).await;
    asking.abort();
    rota.decisions(1).await;
    fake.gate("exchange").release();
    while rota.account("work").credential.version() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.ledger().exchanges, 1);
}

/// REN-1: nobody asks, and a token near its end is renewed all the same; one with time left is left alone.
#[tokio::test]
async fn a_token_near_its_end_is_renewed_before_anybody_asks() {
    let script = Script::new()
        .account(Account::new("a").access_token("at-1").refresh_token("rt-1"))
        .account(Account::new("b").access_token("at-2").refresh_token("rt-2"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let now = Clock::System.now();
    let ending = Credential {
        issued: now.before(Duration::from_secs(3500)),
        expires: Some(now.after(Duration::from_secs(100))),
        ..login("at-1", "rt-1", "org-a")
    };
    let rota = rota(fake.origin())
        .account("fresh", "codex", login("at-2", "rt-2", "org-b"))
        .account("ending", "codex", ending)
        .start()
        .await;
    while rota.account("ending").credential.version() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fake.ledger().exchanges, 1);
    assert_eq!(rota.account("fresh").credential.version(), 1);
}

/// T1 REN-2: a thousand at the end of one token, over and over, in the long form a hundred times. In turn it has ended by what is known of it, and
/// sooner than it said, so that all are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_at_the_end_of_a_token_make_one_exchange_every_time() {
    room_for(5 * CLIENTS);
    let rounds = if is_full() { 100 } else { 10 };
    let fake = FakeUpstream::start(logins(rounds)).await.expect("a fake upstream");
    // A thousand connections at once may wait for their turn on a busy machine.
    let rota = rota(fake.origin()).set("TIMEOUTS__CONNECT", "1m").start().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(rota.address).await);
    }
    for round in 0..rounds {
        let is_known = round % 2 == 0;
        let held = format!("round-{round}");
        let (path, times) = if is_known { ("/oauth/token", 1) } else { (RESPONSES, CLIENTS as u64) };
        fake.set_fault(Fault::none().path(path).times(times).stall_head(&held));
        rota.add("team", "codex", ended(round, is_known)).await;
        let (idle, mut asking) = (rota.holders(), JoinSet::new());
        for mut client in clients.drain(..) {
            asking.spawn(async move {
                let answer = client.post("/codex/responses", TURN).await;
                (client, answer)
            });
        }
        fake.gate(&held).arrived(times).await;
        while is_known && rota.holders() < idle + CLIENTS {
            tokio::task::yield_now().await;
        }
        fake.gate(&held).release();
        while let Some(asked) = asking.join_next().await {
            let (client, answer) = asked.expect("a client");
            assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
            clients.push(client);
        }
        let ledger = fake.ledger();
        assert_eq!((ledger.exchanges, ledger.reuses), (round as u64 + 1, 0), "round {round}");
        assert_eq!(rota.account("team").credential.version(), 2);
        rota.remove("team").await;
    }
}

/// T12 I7: five hundred clients leave a millisecond after the exchange has begun for them, and each is made and kept.
#[tokio::test]
async fn five_hundred_clients_leave_after_a_millisecond_and_every_exchange_is_kept() {
    let fake = FakeUpstream::start(logins(1)).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("team", "codex", ended(0, false)).start().await;
    for number in 0..LEAVERS {
        let held = format!("leaver-{number}");
        fake.set_fault(Fault::none().path("/oauth/token").times(1).stall_head(&held));
        let idle = rota.holders();
        let client = tokio::spawn(rota.call("POST", "/codex/responses").json(TURN).open());
        fake.gate(&held).arrived(1).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        client.abort();
        while rota.holders() > idle {
            tokio::task::yield_now().await;
        }
        fake.gate(&held).release();
        rota.app.refresher.idle().await;
        let account = rota.account("team");
        let kept = rota.app.store.credential(account.id).expect("a record").expect("a credential");
        let version = number as u64 + 2;
        assert_eq!((kept.version, account.credential.version()), (version, version), "client {number}");
        // What was granted is over at once, as the provider sees it.
        fake.account("0", |account| {
            account.access_tokens.iter_mut().for_each(|token| token.expires_at = Some(0))
        });
    }
    let ledger = fake.ledger();
    assert_eq!((ledger.exchanges, ledger.reuses, ledger.unknown), (LEAVERS as u64, 0, 0));
}

/// T2 REN-2: the timer, refused requests and people who ask for it, all at once.
#[tokio::test]
async fn the_timer_a_refusal_and_a_person_at_once_make_one_exchange() {
    let fake = FakeUpstream::start(logins(MEETINGS)).await.expect("a fake upstream");
    let rota = rota(fake.origin()).start().await;
    for number in 0..MEETINGS {
        let (exchange, refusal) = (format!("exchange-{number}"), format!("refusal-{number}"));
        fake.set_fault(Fault::none().path("/oauth/token").times(1).stall_head(&exchange));
        fake.set_fault(Fault::none().path(RESPONSES).times(3).stall_head(&refusal));
        let now = Clock::System.now();
        // Near its end, so that the timer wants it; and over already, as the provider sees it.
        let due = Credential {
            issued: now.before(Duration::from_secs(3500)),
            expires: Some(now.after(Duration::from_secs(100))),
            ..ended(number, false)
        };
        rota.add("team", "codex", due).await;
        fake.gate(&exchange).arrived(1).await;
        let mut asking = JoinSet::new();
        for _ in 0..3 {
            asking.spawn(rota.call("POST", "/codex/responses").json(TURN).send());
        }
        fake.gate(&refusal).arrived(3).await;
        let (refresher, id) = (rota.app.refresher.clone(), rota.account("team").id);
        let people = async { tokio::join!(refresher.refresh(id, 1), refresher.refresh(id, 1)) };
        let released = async {
            fake.gate(&refusal).release();
            fake.gate(&exchange).release();
        };
        tokio::join!(people, released);
        while let Some(answer) = asking.join_next().await {
            assert_eq!(answer.expect("a reply").status, 200, "meeting {number}");
        }
        let ledger = fake.ledger();
        assert_eq!((ledger.exchanges, ledger.reuses), (number as u64 + 1, 0), "meeting {number}");
        rota.remove("team").await;
    }
}

/// Accounts `0` to `count`, each with a token of its own that is over.
fn logins(count: usize) -> Script {
    let account = |number: usize| {
        let account = Account::new(number.to_string()).access_token_for(format!("at-{number}"), -5);
        account.refresh_token(format!("rt-{number}"))
    };
    (0..count).fold(Script::new(), |script, number| script.account(account(number)))
}

/// The login of account `number`, whose token is over; whether rota knows it or finds out by a refusal.
fn ended(number: usize, is_known: bool) -> Credential {
    let credential = login(&format!("at-{number}"), &format!("rt-{number}"), &format!("org-{number}"));
    let now = Clock::System.now();
    match is_known {
        true => Credential { expires: Some(now.before(Duration::from_secs(5))), ..credential },
        false => credential,
    }
}

/// True for the long form.
#[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the program")]
fn is_full() -> bool {
    std::env::var("ROTA_RENEWALS").is_ok_and(|form| form == "full")
}

/// Lets this process have so many files open.
fn room_for(files: usize) {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|most| most >= files as u64) {
        return;
    }
    let more = Rlimit { current: Some(files as u64), maximum: now.maximum };
    setrlimit(Resource::Nofile, more)
        .unwrap_or_else(|error| panic!("{files} open files are needed: {error}"));
}

async fn stage() -> (FakeUpstream, Rota) {
    // Sooner over than it said: rota finds out by the refusal.
    let script = Script::new().account(Account::new("a").access_token_for("at-1", -5).refresh_token("rt-1"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "codex", login("at-1", "rt-1", "org-a")).start().await;
    (fake, rota)
}
