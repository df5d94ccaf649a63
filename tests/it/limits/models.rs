use super::{TURNS, USAGE, ask, left, limits, rota_with, upstream};
use fake_upstream::{Ending, FakeUpstream, Fault};
use rota::model::{JobState, LimitSource, LimitStatus};

/// The models of the preset, in its order.
const MODELS: [&str; 4] = ["gpt-5.4-nano", "gpt-5.1-codex-mini", "gpt-5.1-codex", "gpt-5.5"];

/// LIM-5: without leave no model is asked, whatever the usage endpoint says.
#[tokio::test]
async fn a_probe_that_costs_quota_is_not_sent_without_leave() {
    let fake = turned_away().await;
    let rota = rota_with(&fake, &["a"]).start().await;
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Failed]);
    assert_eq!(models(&fake), Vec::<String>::new());
    assert!(
        limits(&rota, "a")
            .error
            .is_some_and(|error| error.contains("does not serve this account: it answered 403"))
    );
}

/// LIM-5 LIM-6: with leave the preset's first model is asked, and what its reply tells has it as its source.
#[tokio::test]
async fn a_model_is_asked_where_the_usage_endpoint_turns_the_account_away() {
    let fake = turned_away().await;
    let rota = rota_with(&fake, &["a"]).set("PROBE__MODEL", "true").start().await;
    assert_eq!(ask(&rota, &["a"]).await, [JobState::Succeeded]);
    assert_eq!(models(&fake), MODELS[..1]);
    let limits = limits(&rota, "a");
    assert_eq!(left(&limits), ["5h 62", "weekly 12"]);
    let source = limits.latest.map(|latest| latest.source).expect("an observation");
    assert!(matches!(&source, LimitSource::Probe { model, .. } if model == MODELS[0]), "{source:?}");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// LIM-5: model compatibility. An effort that is turned down is `low` next, then it is the next model's turn; a model
/// that the plan lacks is passed over; and it ends.
#[tokio::test]
async fn efforts_and_models_that_are_turned_down_are_passed_over_in_order() {
    let effort = || Fault::named("unsupported_value").path(TURNS);
    let lacking = |model: &str| Fault::named("model_not_supported").path(TURNS).model(model);
    let cases: Vec<(&str, Vec<Fault>, Vec<&str>, JobState)> = vec![
        ("high", vec![effort().once()], vec![MODELS[0], MODELS[0]], JobState::Succeeded),
        ("low", vec![effort().once()], vec![MODELS[0], MODELS[1]], JobState::Succeeded),
        ("high", vec![effort().times(2)], vec![MODELS[0], MODELS[0], MODELS[1]], JobState::Succeeded),
        ("low", vec![lacking(MODELS[0]), lacking(MODELS[1])], MODELS[..3].to_vec(), JobState::Succeeded),
        ("low", vec![effort()], MODELS.to_vec(), JobState::Failed),
        ("low", vec![Fault::reply(400, r#"{"detail":"no"}"#).path(TURNS)], vec![MODELS[0]], JobState::Failed),
        ("low", vec![Fault::reply(500, "{}").path(TURNS)], vec![MODELS[0]], JobState::Failed),
    ];
    for (wanted, faults, asked, state) in cases {
        let fake = turned_away().await;
        let rota =
            rota_with(&fake, &["a"]).set("PROBE__MODEL", "true").set("PROBE_EFFORT", wanted).start().await;
        faults.into_iter().for_each(|fault| fake.set_fault(fault));
        assert_eq!(ask(&rota, &["a"]).await, [state], "{wanted} {asked:?}");
        assert_eq!(models(&fake), asked, "{wanted}");
    }
}

/// LIM-1 LIM-5: token counts in a failed probe are no limits, and neither are the headers of a reply that refused or
/// did not end. Its head had every limit in it.
#[tokio::test]
async fn a_probe_that_did_not_complete_tells_nothing_though_its_head_told_all() {
    let counted = r#"{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"no"},"usage":{"input_tokens":900,"output_tokens":100,"total_tokens":1000}}}"#;
    let failed = serde_json::from_str(counted).expect("JSON");
    for (name, fault) in [
        ("token counts in a failed probe", Fault::none().in_band(2, failed)),
        ("a failure at the start", Fault::none().failed(0, "server_error", "no")),
        ("a failure at the end", Fault::none().failed(3, "rate_limit_exceeded", "no")),
        ("a clean end without the last event", Fault::none().stop_after(3)),
        ("a cut", Fault::none().cut_after(2, Ending::Reset)),
        ("an empty body", Fault::none().stop_after(0)),
        ("no stream", Fault::reply(200, r#"{"error":{"code":"server_error"},"usage":{"total_tokens":9}}"#)),
    ] {
        let fake = turned_away().await;
        let rota = rota_with(&fake, &["a"]).set("PROBE__MODEL", "true").start().await;
        fake.set_fault(fault.path(TURNS));
        assert_eq!(ask(&rota, &["a"]).await, [JobState::Failed], "{name}");
        let limits = limits(&rota, "a");
        assert_eq!(
            (limits.latest, limits.history.len(), limits.status),
            (None, 0, LimitStatus::Error),
            "{name}"
        );
        assert!(rota.account("a").health.is_clean(), "{name}");
    }
}

/// LIM-1 LIM-5: an answer of the largest size is one, and one byte more is none, whatever its head told.
#[tokio::test]
async fn a_models_answer_is_read_up_to_its_bound_and_not_a_byte_further() {
    let answer = r#"{"id":"resp_1","output":[]}"#;
    for (length, state) in [(1024 * 1024, JobState::Succeeded), (1024 * 1024 + 1, JobState::Failed)] {
        let fake = turned_away().await;
        let rota = rota_with(&fake, &["a"]).set("PROBE__MODEL", "true").start().await;
        let padding = " ".repeat(length - answer.len());
        let reply = Fault::reply(200, format!("{answer}{padding}"))
            .header("x-codex-primary-used-percent", "10")
            .header("x-codex-primary-window-minutes", "300");
        fake.set_fault(reply.path(TURNS));
        assert_eq!(ask(&rota, &["a"]).await, [state], "{length} bytes");
        let limits = limits(&rota, "a");
        assert_eq!(limits.latest.is_some(), state == JobState::Succeeded, "{length} bytes");
        assert_eq!(limits.error.is_some_and(|error| error.contains("larger than")), limits.latest.is_none());
    }
}

/// An account whose usage nobody tells.
async fn turned_away() -> FakeUpstream {
    let fake = upstream(&[("a", 37.5, 88.0)]).await;
    fake.set_fault(Fault::reply(403, "{}").path(USAGE));
    fake
}

/// The models that were asked, in order.
fn models(fake: &FakeUpstream) -> Vec<String> {
    let turns = fake.requests().into_iter().filter(|request| request.path == TURNS);
    turns.map(|request| request.model).collect()
}
