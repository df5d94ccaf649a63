//! Limits that are asked for: usage endpoints and models of the fake, with every fault there is, and what follows for
//! who is asked and who serves.
mod asking;
mod models;
mod serving;
mod usage;

use crate::harness::{Rota, RotaBuilder, login, rota};
use fake_upstream::{Account, FakeUpstream, Script};
use rota::model::{AccountId, JobState, Limits};

/// Where the fake tells the use of a login.
const USAGE: &str = "/backend-api/wham/usage";
/// Where it serves turns.
const TURNS: &str = "/backend-api/codex/responses";

/// A fake with these accounts, each `id`, with so much used of the short and of the long window.
async fn upstream(accounts: &[(&str, f64, f64)]) -> FakeUpstream {
    let script = accounts.iter().fold(Script::new(), |script, (id, short, long)| {
        let account = Account::new(*id)
            .access_token(format!("at-{id}"))
            .refresh_token(format!("rt-{id}"))
            .five_hour(*short, 3600)
            .seven_day(*long, 86_400);
        script.account(account)
    });
    FakeUpstream::start(script).await.expect("a fake upstream")
}

/// A rota that has these logins, named as the fake names them.
fn rota_with(fake: &FakeUpstream, ids: &[&str]) -> RotaBuilder {
    ids.iter().fold(rota(fake.origin()), |rota, id| {
        let credential = login(&format!("at-{id}"), &format!("rt-{id}"), &format!("org-{id}"));
        rota.account(id, "codex", credential)
    })
}

fn id(rota: &Rota, alias: &str) -> AccountId {
    rota.account(alias).id
}

fn limits(rota: &Rota, alias: &str) -> Limits {
    rota.account(alias).limits.clone()
}

/// Asks for the limits of these accounts, and returns how that ended once it has.
async fn ask(rota: &Rota, aliases: &[&str]) -> Vec<JobState> {
    let ids: Vec<AccountId> = aliases.iter().map(|alias| id(rota, alias)).collect();
    rota.app.prober.ask(&ids);
    ended(rota, aliases).await
}

/// How the latest refreshes of these accounts ended, once they have.
async fn ended(rota: &Rota, aliases: &[&str]) -> Vec<JobState> {
    reach(rota, || {
        let report = |alias: &&str| rota.app.prober.report(id(rota, alias));
        let reports: Option<Vec<_>> = aliases.iter().map(report).collect();
        let states: Vec<JobState> = reports?.into_iter().map(|report| report.state).collect();
        states.iter().all(|state| state.is_terminal()).then_some(states)
    })
    .await
}

/// Returns what `seen` sees, once it sees something.
async fn reach<T>(rota: &Rota, seen: impl Fn() -> Option<T>) -> T {
    let mut changes = rota.app.prober.changes();
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        changes.changed().await.expect("the prober lives");
    }
}

/// What is left of each window, as it is shown.
fn left(limits: &Limits) -> Vec<String> {
    let windows = limits.latest.iter().flat_map(|sample| &sample.windows);
    windows.map(|window| format!("{} {:.0}", window.name, window.remaining)).collect()
}

/// How often each account was asked about.
fn asked(fake: &FakeUpstream) -> Vec<String> {
    fake.accounts_served(USAGE)
}
