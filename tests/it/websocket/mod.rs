//! WebSockets through rota: the handshake, the turns, and every way that a connection ends.
mod ends;
mod opening;
mod turns;

use crate::harness::{Rota, RotaBuilder, login, rota};
use fake_upstream::{Account, FakeUpstream, Outcome, Script};
use rota::model::AccountId;

/// Two ChatGPT logins at the fake, `a` and `b`.
async fn upstream() -> FakeUpstream {
    FakeUpstream::start(script()).await.expect("a fake upstream")
}

fn script() -> Script {
    Script::new()
        .account(Account::new("a").access_token("at-a").org("org-a"))
        .account(Account::new("b").access_token("at-b").org("org-b"))
}

/// rota with one account for each of them: `work` is `a`, `home` is `b`.
fn pair(fake: &FakeUpstream) -> RotaBuilder {
    rota(fake.origin()).account("work", "codex", login("at-a", "rt-a", "org-a")).account(
        "home",
        "codex",
        login("at-b", "rt-b", "org-b"),
    )
}

/// Whose credential the handshakes had, in order.
fn handshakes(fake: &FakeUpstream) -> Vec<String> {
    let all = fake.requests().into_iter().filter(|one| one.method == "GET");
    all.filter_map(|one| one.account).collect()
}

/// Whose credential the answered messages came with, in order.
fn turns(fake: &FakeUpstream) -> Vec<String> {
    let all = fake.requests().into_iter().filter(|one| one.method == "WS");
    all.filter_map(|one| one.account).collect()
}

/// The upstream saw the client of its first handshake leave, with or without a goodbye.
async fn upstream_is_left(fake: &FakeUpstream) {
    fake.recorder().wait_until(|all| all.first().is_some_and(|one| one.outcome != Outcome::Open)).await;
}

fn in_flight(rota: &Rota) -> u32 {
    [1, 2].map(|id| rota.app.state.leases().on_account(AccountId(id))).iter().sum()
}
