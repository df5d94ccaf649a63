use super::{USAGE, ask, asked, left, limits, rota_with, upstream};
use crate::harness::{login, rota};
use fake_upstream::{Account, ClaudeUsage, Coding, Ending, FakeUpstream, Fault, Script};
use rota::engine::{Command, Confidence, confidence};
use rota::model::{JobState, LimitSample, LimitSource, LimitStatus, LimitWindow};

/// LIM-1 LIM-6: a complete answer is what is shown, with its source.
#[tokio::test]
async fn a_usage_endpoint_tells_what_is_left_and_is_named_as_the_source() {
    let fake = upstream(&[("a", 37.5, 88.0)]).await;
    let rota = rota_with(&fake, &["a"]).start().await;
    let before = limits(&rota, "a");
    assert_eq!(confidence(&before, rota.app.clock.now()), Confidence::Unknown);
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Succeeded]);
    let after = limits(&rota, "a");
    assert_eq!(left(&after), ["5h 62", "weekly 12"]);
    let latest = after.latest.as_ref().expect("an observation");
    assert_eq!(latest.source, LimitSource::Usage { endpoint: Some(USAGE.to_owned()) });
    assert!(latest.windows.iter().all(|window| window.resets.is_some()));
    assert_eq!(confidence(&after, rota.app.clock.now()), Confidence::Fresh);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// LIM-1: both forms in which the other provider tells it.
#[tokio::test]
async fn a_list_and_fields_tell_the_same() {
    for form in [ClaudeUsage::Both, ClaudeUsage::Fields, ClaudeUsage::Limits] {
        let account = Account::new("a").access_token("at-a").five_hour(25.0, 600).seven_day(60.0, 9000);
        let fake =
            FakeUpstream::start(Script::new().account(account).claude_usage(form)).await.expect("a fake");
        let rota =
            rota(fake.origin()).account("a", "anthropic", login("at-a", "rt-a", "org-a")).start().await;
        assert_eq!(ask(&rota, &["a"]).await, [JobState::Succeeded], "{form:?}");
        assert_eq!(left(&limits(&rota, "a")), ["5h 75", "weekly 40"], "{form:?}");
        assert_eq!(fake.violations(), Vec::<String>::new());
    }
}

/// LIM-1 LIM-2 LIM-4: whatever is wrong with an answer, it yields no value, and three fields are all that changes.
#[tokio::test]
async fn no_fault_of_a_usage_endpoint_yields_a_value_or_touches_the_account() {
    let usage = r#"{"rate_limit":{"primary_window":{"used_percent":99,"limit_window_seconds":18000}}}"#;
    let wrong_type =
        r#"{"rate_limit":{"primary_window":{"used_percent":"much"},"secondary_window":{"used_percent":9}}}"#;
    let counts = r#"{"usage":{"input_tokens":900,"output_tokens":99},"rate_limit":{"primary_window":{"used_percent":99}}}"#;
    let faults = [
        ("500", Fault::reply(500, usage), "answered 500"),
        ("token counts in an error", Fault::reply(500, counts), "answered 500"),
        ("429", Fault::reply(429, usage), "answered 429"),
        ("403", Fault::reply(403, usage), "answered 403"),
        ("part of an answer", Fault::reply(206, usage), "answered 206"),
        ("a redirect", Fault::redirect(302, "https://elsewhere.test/usage"), "answered 302"),
        ("HTML", Fault::reply(200, "<html>sign in</html>"), "no JSON"),
        ("truncated JSON", Fault::reply(200, &usage[..40]), "no JSON"),
        ("wrong types", Fault::reply(200, wrong_type), "/rate_limit/primary_window/used_percent"),
        (
            "missing windows",
            Fault::reply(200, r#"{"plan_type":"plus","rate_limit":null}"#),
            "none of the windows",
        ),
        ("nothing", Fault::reply(200, ""), "no JSON"),
        ("a cut", Fault::none().cut_body(30, Ending::Reset), "broke off"),
        ("no reply", Fault::no_reply(Ending::Reset), "no reply came"),
        ("huge", Fault::flood(8 * 1024 * 1024), "larger than"),
        ("compressed", Fault::none().encode(Coding::Gzip), "compressed"),
        ("slow", Fault::none().stall_head("slow"), "in time"),
    ];
    for (name, fault, told) in faults {
        let fake = upstream(&[("a", 37.5, 88.0)]).await;
        let rota = rota_with(&fake, &["a"]).set("TIMEOUTS__PROBE", "2s").start().await;
        let sample = LimitSample {
            at: rota.app.clock.now(),
            source: LimitSource::Usage { endpoint: None },
            windows: vec![LimitWindow { name: "5h".into(), remaining: 62.5, resets: None }],
        };
        let known = Command::LimitsSeen { account: rota.account("a").id, sample };
        rota.app.state.apply(known).expect("the account is there");
        let before = rota.account("a");
        fake.set_fault(fault.path(USAGE));
        assert_eq!(ask(&rota, &["a"]).await, [JobState::Failed], "{name}");
        let mut after = (*rota.account("a")).clone();
        let error = after.limits.error.clone().unwrap_or_default();
        assert!(error.contains(told), "{name}: {error}");
        assert!(!error.contains("at-a"), "{error}");
        assert_eq!(
            (after.limits.status, after.limits.failed.is_some()),
            (LimitStatus::Error, true),
            "{name}"
        );
        assert_eq!(confidence(&after.limits, rota.app.clock.now()), Confidence::Error, "{name}");
        after.limits.status = before.limits.status;
        after.limits.error.clone_from(&before.limits.error);
        after.limits.failed = before.limits.failed;
        assert_eq!(after, *before, "{name}");
        fake.gate("slow").release();
    }
}

/// LIM-1: an answer of the largest size is read, and one byte more is none.
#[tokio::test]
async fn an_answer_is_read_up_to_its_bound_and_not_a_byte_further() {
    let usage = r#"{"rate_limit":{"primary_window":{"used_percent":99,"limit_window_seconds":18000}}}"#;
    for (length, state) in [(256 * 1024, JobState::Succeeded), (256 * 1024 + 1, JobState::Failed)] {
        let fake = upstream(&[("a", 37.5, 88.0)]).await;
        let rota = rota_with(&fake, &["a"]).start().await;
        let padding = " ".repeat(length - usage.len());
        fake.set_fault(Fault::reply(200, format!("{usage}{padding}")).path(USAGE));
        assert_eq!(ask(&rota, &["a"]).await, [state], "{length} bytes");
        assert_eq!(left(&limits(&rota, "a")).is_empty(), state == JobState::Failed, "{length} bytes");
        let error = limits(&rota, "a").error;
        assert_eq!(error.is_some_and(|error| error.contains("larger than")), state == JobState::Failed);
    }
}

/// LIM-2: a token that has died is renewed once, and the question put once more.
#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_question_put_again() {
    let fake = upstream(&[("a", 10.0, 20.0)]).await;
    let rota = rota_with(&fake, &["a"]).start().await;
    fake.account("a", |account| account.invalidate_access());
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Succeeded]);
    assert_eq!((fake.ledger().exchanges, rota.account("a").credential.version()), (1, 2));
    assert_eq!(left(&limits(&rota, "a")), ["5h 90", "weekly 80"]);
    fake.set_fault(Fault::reply(401, r#"{"detail":"Unauthorized"}"#).path(USAGE));
    let sent = fake.recorder().total();
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Failed]);
    assert_eq!(fake.ledger().exchanges, 2, "once a question");
    assert_eq!(fake.recorder().total() - sent, 3, "two questions and a renewal between them");
    assert!(rota.account("a").credential.usable().is_some(), "a refused question is nobody's death");
}

/// LIM-2: a usage endpoint that is asked too often is left alone, and the account serves on.
#[tokio::test]
async fn a_429_of_the_endpoint_is_a_pause_for_questions_and_none_for_requests() {
    let fake = upstream(&[("a", 10.0, 20.0)]).await;
    let rota = rota_with(&fake, &["a"]).start().await;
    fake.set_fault(Fault::reply(429, "{}").header("retry-after", "120").path(USAGE));
    let before = rota.account("a").health.clone();
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Failed]);
    let failed = limits(&rota, "a");
    fake.clear_faults();
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Failed], "it asked to be left alone");
    assert_eq!(asked(&fake).len(), 1);
    assert_eq!((limits(&rota, "a"), rota.account("a").health.clone()), (failed, before));
    let turn = r#"{"model":"gpt-5","instructions":"be brief","input":[],"store":false,"stream":true}"#;
    assert_eq!(rota.call("POST", "/codex/responses").json(turn).send().await.status, 200);
}
