//! Every metric there is: name, help, unit by name. Adding one starts here; a test holds the page against this list.

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Grows.
    Counter,
    /// Goes up and down; computed when the page is read.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, with its base unit.
    pub name: &'static str,
    /// How it moves.
    pub kind: MetricKind,
    /// One sentence for people.
    pub help: &'static str,
    /// Upper bounds of a histogram's buckets, in seconds.
    pub buckets: &'static [f64],
}

const SPANS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];
const OVERHEAD: &[f64] = &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25];

pub(super) const ATTEMPTS: &str = "rota_attempts_total";
pub(super) const ATTEMPT_SECONDS: &str = "rota_attempt_duration_seconds";
pub(super) const DECISIONS: &str = "rota_decisions_total";
pub(super) const FAILOVERS: &str = "rota_failovers_total";
pub(super) const FIRST_BYTE_SECONDS: &str = "rota_first_byte_seconds";
pub(super) const FORCES_ENDED: &str = "rota_forces_ended_total";
pub(super) const LOGINS: &str = "rota_logins_total";
pub(super) const NOTIFICATIONS: &str = "rota_notifications_total";
pub(super) const OVERHEAD_SECONDS: &str = "rota_overhead_seconds";
pub(super) const PROBES: &str = "rota_probes_total";
pub(super) const REFUSALS: &str = "rota_refusals_total";
pub(super) const RENEWALS: &str = "rota_renewals_total";
pub(super) const REQUESTS: &str = "rota_requests_total";
pub(super) const REQUEST_SECONDS: &str = "rota_request_duration_seconds";
pub(super) const SESSIONS_ENDED: &str = "rota_sessions_ended_total";
pub(super) const SESSIONS_WARNED: &str = "rota_sessions_warned_total";

pub(super) const ACCOUNT_ELIGIBLE: &str = "rota_account_eligible";
pub(super) const ACCOUNT_STATE: &str = "rota_account_state";
pub(super) const AUTH_BREAKER_OPEN: &str = "rota_auth_breaker_open";
pub(super) const BREAKER_OPEN: &str = "rota_breaker_open";
pub(super) const BUILD_INFO: &str = "rota_build_info";
pub(super) const COOLDOWN_UNTIL: &str = "rota_cooldown_until_timestamp_seconds";
pub(super) const CREDENTIAL_EXPIRY: &str = "rota_credential_expiry_timestamp_seconds";
pub(super) const FORCE_UNTIL: &str = "rota_force_until_timestamp_seconds";
pub(super) const IN_FLIGHT: &str = "rota_inflight_requests";
pub(super) const LIMIT_CONFIDENCE: &str = "rota_limit_confidence";
pub(super) const LIMIT_REMAINING: &str = "rota_limit_remaining_ratio";
pub(super) const LIMIT_RESET: &str = "rota_limit_reset_timestamp_seconds";
pub(super) const LIMIT_SEEN: &str = "rota_limit_observed_timestamp_seconds";
pub(super) const LOG_DROPPED: &str = "rota_log_dropped_lines";
pub(super) const PANICS: &str = "rota_panics";
pub(super) const PINS: &str = "rota_pins";
pub(super) const PROCESS_CPU: &str = "process_cpu_seconds";
pub(super) const PROCESS_FDS: &str = "process_open_fds";
pub(super) const PROCESS_RSS: &str = "process_resident_memory_bytes";
pub(super) const STORE_FAILURES: &str = "rota_store_save_failures";
pub(super) const STORE_RESTORES: &str = "rota_store_restores";
pub(super) const STORE_SAVES: &str = "rota_store_saves";
pub(super) const STORE_UNSAVED: &str = "rota_store_unsaved_seconds";
pub(super) const TOKEN_ENDPOINT_OPEN: &str = "rota_token_endpoint_open";
pub(super) const WEBSOCKETS: &str = "rota_websockets";
pub(super) const WEBSOCKET_TURNS: &str = "rota_websocket_turns";

/// All metrics, by name within their kind.
pub const CATALOGUE: &[Metric] = &[
    counter(ATTEMPTS, "Attempts at accounts, by what came of them; reason \"none\" is success."),
    counter(DECISIONS, "Accounts taken for an attempt, by why."),
    counter(FAILOVERS, "Requests that moved on to another account, by what the earlier one was refused for."),
    counter(FORCES_ENDED, "Forces that ended because their account could not serve, by why."),
    counter(
        LOGINS,
        "Logins, by who asked for them (engine: requests that nobody could serve) and how far they came.",
    ),
    counter(NOTIFICATIONS, "Events told to people, by the way they took and whether they were taken."),
    counter(PROBES, "Questions for an account's limits that rota asked, by how they went."),
    counter(REFUSALS, "Requests that rota itself answered, by the code of the answer."),
    counter(RENEWALS, "Token renewals, by how they went."),
    counter(
        REQUESTS,
        "Requests, by how they ended: served, passed (an upstream error handed on), refused, abandoned.",
    ),
    counter(SESSIONS_ENDED, "Sessions that lost their account because they were unused, or too old."),
    counter(SESSIONS_WARNED, "Sessions that were about to: each is told half a minute before."),
    histogram(ATTEMPT_SECONDS, "From choosing an account to knowing what came of it.", SPANS),
    histogram(FIRST_BYTE_SECONDS, "From the request's arrival to the reply's head.", SPANS),
    histogram(OVERHEAD_SECONDS, "Time a request spent in rota itself, waiting for nobody.", OVERHEAD),
    histogram(REQUEST_SECONDS, "From the request's arrival to the end of the reply.", SPANS),
    gauge(ACCOUNT_ELIGIBLE, "1 if a request could be given to the account now."),
    gauge(ACCOUNT_STATE, "1 for the state the account is in."),
    gauge(
        AUTH_BREAKER_OPEN,
        "1 while the provider is shown no login, because two were refused for good (FLO-5).",
    ),
    gauge(BREAKER_OPEN, "1 while the provider's circuit breaker is open."),
    gauge(BUILD_INFO, "1, with the version as a label."),
    gauge(COOLDOWN_UNTIL, "When the account's rest ends; absent when it has none."),
    gauge(CREDENTIAL_EXPIRY, "When the account's token expires; absent for keys."),
    gauge(FORCE_UNTIL, "When the force on the account ends; absent without one."),
    gauge(IN_FLIGHT, "Requests under way."),
    gauge(LIMIT_CONFIDENCE, "1 for how far the account's limits can be trusted."),
    gauge(LIMIT_REMAINING, "What is left of the window, 0 to 1; absent while unknown."),
    gauge(LIMIT_RESET, "When the window fills up; absent while unknown."),
    gauge(LIMIT_SEEN, "When the limits were last observed; absent if never."),
    gauge(LOG_DROPPED, "Log lines dropped because their reader was too slow, since the start."),
    gauge(PANICS, "Panics since the start; each has ended one request or one task, not rota."),
    gauge(PINS, "Sessions that have an account."),
    gauge(PROCESS_CPU, "User and system time of the process, since the start."),
    gauge(PROCESS_FDS, "Open file descriptors."),
    gauge(PROCESS_RSS, "Resident memory."),
    gauge(STORE_FAILURES, "Failed writes to the store, since the start."),
    gauge(STORE_RESTORES, "Records restored from their last-known-good copy at the start."),
    gauge(STORE_SAVES, "Writes to the store, since the start."),
    gauge(STORE_UNSAVED, "For how long the newest acknowledged change has not been on disk."),
    gauge(
        TOKEN_ENDPOINT_OPEN,
        "1 while the token endpoint's circuit breaker is open; absent while it is well.",
    ),
    gauge(WEBSOCKETS, "WebSockets that are open."),
    gauge(WEBSOCKET_TURNS, "Turns over WebSockets, since the start."),
];

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, help, buckets: &[] }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, help, buckets: &[] }
}

const fn histogram(name: &'static str, help: &'static str, buckets: &'static [f64]) -> Metric {
    Metric { name, kind: MetricKind::Histogram, help, buckets }
}
