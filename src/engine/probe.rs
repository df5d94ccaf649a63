//! The model probe as a value (LIM-5): which model is asked, with which effort, and what is asked next when that was
//! turned down. It sends nothing, and it ends: each model is asked at most twice.
use super::classify::{Outcome, Verdict, classify};
use crate::model::{Effort, FaultClass, ModelName, ModelProbe, Provider, Time};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::Arc;

/// One request of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAsk {
    /// The model.
    pub model: ModelName,
    /// How hard it is to think.
    pub effort: Effort,
}

/// What was turned down, where another request may still be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeRefusal {
    /// The effort: the model does not know the word.
    Effort,
    /// The model: the account may not use it, or there is none of that name.
    Model,
}

/// What one probe asks, in order.
#[derive(Clone, Debug)]
pub struct ProbePlan {
    models: Vec<ModelName>,
    effort: Effort,
    at: usize,
    low: bool,
}

impl ProbePlan {
    /// The preset's models in their order, at most [`ModelProbe::MODELS`], with `effort` first.
    pub fn new(probe: &ModelProbe, effort: Effort) -> Self {
        let models = probe.models.iter().take(ModelProbe::MODELS).cloned().collect();
        Self { models, effort, at: 0, low: false }
    }

    /// What to ask now; none where nothing is left to ask.
    pub fn ask(&self) -> Option<ProbeAsk> {
        let model = self.models.get(self.at)?.clone();
        let effort = if self.low { Effort::Low } else { self.effort };
        Some(ProbeAsk { model, effort })
    }

    /// That was turned down: the same model with `low`, else the next model.
    #[must_use]
    pub fn refused(self, why: ProbeRefusal) -> Self {
        if why == ProbeRefusal::Effort && !self.low && self.effort != Effort::Low {
            return Self { low: true, ..self };
        }
        Self { at: self.at + 1, low: false, ..self }
    }
}

/// The body of one request: the preset's, with model and effort in their places.
pub fn probe_body(probe: &ModelProbe, ask: &ProbeAsk) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let body = probe.body.replace("\"{model}\"", &quoted(ask.model.as_str()));
    body.replace("\"{effort}\"", &quoted(ask.effort.as_str()))
}

/// What a reply that is an error turns down; none where asking again would not help.
pub fn probe_refusal(
    provider: &Provider,
    probe: &ModelProbe,
    reply: (StatusCode, &HeaderMap, &[u8]),
    now: Time,
) -> Option<ProbeRefusal> {
    let (status, headers, peek) = reply;
    if !status.is_client_error() {
        return None;
    }
    let text = String::from_utf8_lossy(peek).to_lowercase();
    if probe.effort_refused.iter().any(|word: &Arc<str>| text.contains(word.as_ref())) {
        return Some(ProbeRefusal::Effort);
    }
    match classify(provider, &Outcome::Replied { status, headers, peek }, now) {
        Verdict::Fault(fault) if fault.class == FaultClass::ModelUnentitled => Some(ProbeRefusal::Model),
        Verdict::Fault(_) | Verdict::Pass => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::world::{START, provider, status_of};
    use crate::model::CredentialKind;
    use proptest::prelude::*;

    /// LIM-5
    #[test]
    fn an_effort_that_is_turned_down_is_low_next_and_then_it_is_the_next_model() {
        let models = ["m-1", "m-2"];
        for (effort, refusals, asked) in [
            (Effort::Low, "ee", "m-1 low, m-2 low"),
            (Effort::High, "eee", "m-1 high, m-1 low, m-2 high, m-2 low"),
            (Effort::High, "m", "m-1 high, m-2 high"),
            (Effort::Minimal, "em", "m-1 minimal, m-1 low, m-2 minimal"),
            (Effort::None, "", "m-1 none"),
        ] {
            let mut plan = ProbePlan::new(&probe(&models), effort);
            let mut told = Vec::new();
            let mut refusals = refusals.chars();
            while let Some(ask) = plan.ask() {
                told.push(format!("{} {}", ask.model, ask.effort.as_str()));
                match refusals.next() {
                    Some('e') => plan = plan.refused(ProbeRefusal::Effort),
                    Some(_) => plan = plan.refused(ProbeRefusal::Model),
                    None => break,
                }
            }
            assert_eq!(told.join(", "), asked);
        }
    }

    /// LIM-5: the words of an error that turn down the effort, and the verdict that turns down the model.
    #[test]
    fn a_reply_says_whether_the_effort_the_model_or_the_request_was_turned_down() {
        let model = status_of(FaultClass::ModelUnentitled);
        for (status, body, turned) in [
            (400, r#"{"error":{"code":"unsupported_value","param":"x"}}"#, Some(ProbeRefusal::Effort)),
            (400, "Unsupported: 'reasoning.effort' is not", Some(ProbeRefusal::Effort)),
            (422, r#"{"error":{"code":"UNSUPPORTED_VALUE"}}"#, Some(ProbeRefusal::Effort)),
            (model, "{}", Some(ProbeRefusal::Model)),
            (400, "{}", None),
            (status_of(FaultClass::QuotaWindow), "{}", None),
            (500, r#"{"error":{"code":"unsupported_value"}}"#, None),
            (200, r#"{"error":{"code":"unsupported_value"}}"#, None),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let reply = (status, &HeaderMap::new(), body.as_bytes());
            assert_eq!(probe_refusal(&provider(), &probe(&["m"]), reply, START), turned, "{status} {body}");
        }
    }

    #[test]
    fn what_is_asked_stands_in_the_body_as_json() {
        let ask = ProbeAsk { model: "m\"1".parse().expect("a model"), effort: Effort::Xhigh };
        let body: Value = serde_json::from_str(&probe_body(&probe(&["m"]), &ask)).expect("JSON");
        assert_eq!(body, serde_json::json!({"model": "m\"1", "reasoning": {"effort": "xhigh"}}));
    }

    proptest! {
        /// LIM-5: whatever is turned down, a probe ends, and asks nothing twice.
        #[test]
        fn a_probe_is_bounded(
            models in 0usize..20, effort in 0usize..6, refusals in prop::collection::vec(any::<bool>(), 64),
        ) {
            let names: Vec<String> = (0..models).map(|number| format!("m-{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let mut plan = ProbePlan::new(&probe(&names), Effort::ALL[effort]);
            let mut asked = Vec::new();
            for effort in refusals {
                let Some(ask) = plan.ask() else {
                    break;
                };
                prop_assert!(!asked.contains(&ask));
                asked.push(ask);
                let why = if effort { ProbeRefusal::Effort } else { ProbeRefusal::Model };
                plan = plan.refused(why);
            }
            prop_assert_eq!(plan.ask(), None);
            prop_assert!(asked.len() <= 2 * ModelProbe::MODELS.min(models));
        }
    }

    fn probe(models: &[&str]) -> ModelProbe {
        ModelProbe {
            path: "/ask".to_owned(),
            kinds: vec![CredentialKind::Oauth],
            models: models.iter().map(|name| name.parse().expect("a model")).collect(),
            body: r#"{"model":"{model}","reasoning":{"effort":"{effort}"}}"#.into(),
            headers: Vec::new(),
            effort_refused: vec!["unsupported_value".into(), "reasoning.effort".into()],
        }
    }
}
