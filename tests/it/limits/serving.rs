use super::{ask, rota_with, upstream};
use crate::harness::Rota;
use rota::engine::{Eligibility, eligibility};

const TURN: &str = r#"{"model":"gpt-5","instructions":"be brief","input":[],"store":false,"stream":true}"#;

/// SEL-5: what a usage endpoint tells decides who gets new sessions. Those that an account has stay.
#[tokio::test]
async fn an_account_that_is_nearly_spent_keeps_its_sessions_and_gets_no_others() {
    let fake = upstream(&[("a", 10.0, 10.0), ("b", 10.0, 10.0)]).await;
    let rota = rota_with(&fake, &["a", "b"]).set("ROTATION__CRITICAL", "1").start().await;
    let old = served(&rota, Some("old")).await;
    assert_eq!(old, "a");
    fake.account("a", |account| account.five_hour.used_percent = 95.0);
    ask(&rota, &["a"]).await;
    assert_eq!(standing(&rota, "a"), Eligibility::Draining);
    for session in ["new-1", "new-2", "new-3"] {
        assert_eq!(served(&rota, Some(session)).await, "b");
    }
    assert_eq!(served(&rota, None).await, "b");
    assert_eq!(served(&rota, Some("old")).await, "a", "a session stays");
}

/// SEL-5: at the last percents it serves nothing but what is bound to it.
#[tokio::test]
async fn an_account_at_its_last_percents_gives_its_soft_sessions_away() {
    let fake = upstream(&[("a", 10.0, 10.0), ("b", 10.0, 10.0)]).await;
    let rota = rota_with(&fake, &["a", "b"]).start().await;
    assert_eq!(served(&rota, Some("old")).await, "a");
    fake.account("a", |account| account.five_hour.used_percent = 95.0);
    ask(&rota, &["a"]).await;
    assert_eq!(standing(&rota, "a"), Eligibility::Critical);
    assert_eq!(served(&rota, Some("old")).await, "b");
}

/// SEL-1: `reset-first` follows the resets that a usage endpoint tells.
#[tokio::test]
async fn the_account_whose_quota_resets_soonest_goes_first() {
    let fake = upstream(&[("a", 10.0, 10.0), ("b", 10.0, 10.0)]).await;
    let rota = rota_with(&fake, &["a", "b"]).set("ROTATION__STRATEGY", "reset-first").start().await;
    let now = rota.app.clock.now().as_secs();
    for (id, minutes) in [("a", 90), ("b", 20)] {
        let resets = i64::try_from(now).expect("a time") + minutes * 60;
        fake.account(id, |account| account.five_hour.resets_at = Some(resets));
    }
    ask(&rota, &["a", "b"]).await;
    for _ in 0..3 {
        assert_eq!(served(&rota, None).await, "b");
    }
}

/// Who serves a turn of this session.
async fn served(rota: &Rota, session: Option<&str>) -> String {
    let call = rota.call("POST", "/codex/responses").json(TURN);
    let call = match session {
        Some(session) => call.header("session-id", session),
        None => call,
    };
    let answer = call.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-rota-account").expect("who served").to_owned()
}

fn standing(rota: &Rota, alias: &str) -> Eligibility {
    let world = rota.app.state.snapshot();
    eligibility(&rota.account(alias), None, &world.settings, rota.app.clock.now())
}
