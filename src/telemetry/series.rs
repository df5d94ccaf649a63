use super::DecisionRecord;
use super::catalogue::{self as names, MetricKind};
use crate::model::ProviderId;
use metrics_exporter_prometheus::PrometheusRecorder;

/// What happened to a session for want of use, or for its age (PRX-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// It has lost its account.
    Ended,
    /// It is about to.
    Warned,
}

/// Counters and histograms, in a recorder of this process's own rather than the global one, so that two instances in
/// one process never mix. Labels are aliases, provider ids and closed enums: bounded.
pub(super) struct Series {
    recorder: PrometheusRecorder,
}

impl Series {
    pub(super) fn new(recorder: PrometheusRecorder) -> Self {
        metrics::with_local_recorder(&recorder, || {
            names::describe(MetricKind::Counter);
            names::describe(MetricKind::Histogram);
        });
        Self { recorder }
    }

    pub(super) fn session(&self, event: SessionEvent, provider: &ProviderId) {
        let name = match event {
            SessionEvent::Ended => names::SESSIONS_ENDED,
            SessionEvent::Warned => names::SESSIONS_WARNED,
        };
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(name, "provider" => provider.to_string()).increment(1);
        });
    }

    pub(super) fn force_ended(&self, reason: &str) {
        metrics::with_local_recorder(&self.recorder, || {
            metrics::counter!(names::FORCES_ENDED, "reason" => reason.to_owned()).increment(1);
        });
    }

    pub(super) fn count(&self, record: &DecisionRecord) {
        metrics::with_local_recorder(&self.recorder, || count(record));
    }
}

fn count(record: &DecisionRecord) {
    let provider = record.provider.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let labelled = |name: &'static str, key: &'static str, value: &'static str| {
        metrics::counter!(name, "provider" => provider.clone(), key => value).increment(1);
    };
    labelled(names::REQUESTS, "outcome", record.outcome.as_str());
    if let Some(code) = record.refusal {
        labelled(names::REFUSALS, "code", code);
    }
    for pair in record.attempts.windows(2) {
        if let [before, after] = pair
            && before.alias != after.alias
            && let Some(reason) = before.reason
        {
            labelled(names::FAILOVERS, "reason", reason.as_str());
        }
    }
    for attempt in &record.attempts {
        let account = attempt.alias.to_string();
        let reason = attempt.reason.map_or("none", crate::model::Reason::as_str);
        metrics::counter!(
            names::DECISIONS, "provider" => provider.clone(), "account" => account.clone(), "why" => attempt.why.as_str()
        )
        .increment(1);
        metrics::counter!(
            names::ATTEMPTS, "provider" => provider.clone(), "account" => account, "reason" => reason
        )
        .increment(1);
        metrics::histogram!(names::ATTEMPT_SECONDS, "provider" => provider.clone())
            .record(attempt.ms as f64 / 1e3);
    }
    let spans = [
        (names::FIRST_BYTE_SECONDS, record.first_byte_ms),
        (names::OVERHEAD_SECONDS, Some(record.overhead_ms)),
        (names::REQUEST_SECONDS, Some(record.duration_ms)),
    ];
    for (name, span) in spans {
        if let Some(span) = span {
            metrics::histogram!(name, "provider" => provider.clone()).record(span / 1e3);
        }
    }
}
