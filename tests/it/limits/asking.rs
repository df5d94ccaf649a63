use super::{USAGE, ask, asked, ended, id, limits, reach, rota_with, upstream};
use crate::harness::login;
use fake_upstream::Fault;
use rota::engine::{Command, LastEnabled};
use rota::model::{Actor, Alias, Credential, JobState, Switch};
use std::collections::BTreeSet;
use std::time::Duration;

/// LIM-4: however many ask, one question is put.
#[tokio::test]
async fn fifty_who_ask_about_one_account_put_one_question() {
    let fake = upstream(&[("a", 10.0, 20.0)]).await;
    let rota = rota_with(&fake, &["a"]).start().await;
    fake.set_fault(Fault::none().path(USAGE).stall_head("question"));
    for _ in 0..50 {
        rota.app.prober.ask(&[id(&rota, "a")]);
    }
    fake.gate("question").arrived(1).await;
    fake.gate("question").release();
    assert_eq!(ended(&rota, &["a"]).await, [JobState::Succeeded]);
    assert_eq!(asked(&fake).len(), 1);
}

/// LIM-4 REN-7: a pool is never asked about at once; what waits can be called off, and what has begun ends.
#[tokio::test]
async fn one_account_of_a_provider_is_asked_about_at_a_time_and_the_others_can_be_stopped() {
    let fake = upstream(&[("a", 1.0, 1.0), ("b", 1.0, 1.0), ("c", 1.0, 1.0)]).await;
    let rota = rota_with(&fake, &["a", "b", "c"]).start().await;
    fake.set_fault(Fault::none().path(USAGE).stall_head("question"));
    let ids = ["a", "b", "c"].map(|alias| id(&rota, alias));
    rota.app.prober.ask(&ids);
    fake.gate("question").arrived(1).await;
    let states = || rota.app.prober.reports().iter().map(|report| report.state).collect::<Vec<_>>();
    let running = states().iter().filter(|state| **state == JobState::Running).count();
    assert_eq!((running, fake.gate("question").arrivals()), (1, 1));
    rota.app.prober.stop();
    fake.gate("question").release();
    let mut ends = ended(&rota, &["a", "b", "c"]).await;
    ends.sort();
    assert_eq!(ends, [JobState::Succeeded, JobState::Cancelled, JobState::Cancelled]);
    assert_eq!(asked(&fake).len(), 1);
    let tallies = rota.app.prober.tallies();
    assert_eq!(tallies.values().map(|tally| tally.stopped).sum::<u64>(), 2);
}

/// SEL-2 LIM-4: an account that is switched off while its question waits is not asked about.
#[tokio::test]
async fn an_account_that_is_disabled_while_it_waits_is_not_asked_about() {
    let fake = upstream(&[("a", 1.0, 1.0), ("b", 1.0, 1.0)]).await;
    let rota = rota_with(&fake, &["a", "b"]).start().await;
    fake.set_fault(Fault::none().path(USAGE).stall_head("question"));
    rota.app.prober.ask(&[id(&rota, "a")]);
    fake.gate("question").arrived(1).await;
    rota.app.prober.ask(&[id(&rota, "b")]);
    let off = Switch::Off { at: rota.app.clock.now(), by: Actor::Admin, reason: None };
    let alias = Alias::try_from("b").expect("an alias");
    let command = Command::Switched { alias, to: off, last: LastEnabled::Keep };
    rota.app.state.apply(command).expect("it was on");
    fake.gate("question").release();
    assert_eq!(ended(&rota, &["a", "b"]).await, [JobState::Succeeded, JobState::Cancelled]);
    let report = rota.app.prober.report(id(&rota, "b")).expect("a report");
    assert_eq!(report.error.as_deref(), Some("the account was disabled meanwhile"));
    assert_eq!(asked(&fake), ["a"]);
    assert_eq!(limits(&rota, "b").failed, None);
}

/// LIM-4: nobody asks, and limits that nobody knows are asked for all the same: of one account of the provider first.
#[tokio::test]
async fn limits_that_nobody_knows_are_asked_for_one_account_after_the_other() {
    let fake = upstream(&[("a", 10.0, 20.0), ("b", 10.0, 20.0)]).await;
    let long_ago = |name: &str| Credential {
        issued: rota::clock::Clock::System.now().before(Duration::from_secs(1800)),
        ..login(&format!("at-{name}"), &format!("rt-{name}"), &format!("org-{name}"))
    };
    let rota = crate::harness::rota(fake.origin())
        .account("a", "codex", long_ago("a"))
        .account("b", "codex", long_ago("b"))
        .set("PROBE__EVERY", "1m")
        .start()
        .await;
    let done = reach(&rota, || {
        let reports = rota.app.prober.reports();
        reports.iter().find(|report| report.state.is_terminal()).map(|report| report.state)
    });
    assert_eq!(done.await, JobState::Succeeded);
    let told: BTreeSet<String> = asked(&fake).into_iter().collect();
    assert_eq!(told.len(), 1, "the other one's turn comes a minute later: {told:?}");
}

/// LIM-4 SEL-2
#[tokio::test]
async fn an_account_whose_token_has_ended_is_renewed_before_it_is_asked_about() {
    let fake = upstream(&[("a", 10.0, 20.0)]).await;
    let now = rota::clock::Clock::System.now();
    let ended = Credential {
        issued: now.before(Duration::from_secs(7200)),
        expires: Some(now.before(Duration::from_secs(3600))),
        ..login("at-old", "rt-a", "org-a")
    };
    let rota = crate::harness::rota(fake.origin()).account("a", "codex", ended).start().await;
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Succeeded]);
    assert_eq!((fake.ledger().exchanges, asked(&fake).len()), (1, 1));
}
