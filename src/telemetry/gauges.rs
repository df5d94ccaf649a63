use super::LogSink;
use super::catalogue as names;
use crate::engine::{Confidence, Eligibility, breaker, confidence, eligibility};
use crate::model::{Account, AccountId, Breaker, BreakerState, ProviderId, Snapshot, Time};
use metrics::{counter, gauge};
use std::collections::BTreeMap;

/// What the page needs that is not in the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    /// Requests under way, by account.
    pub in_flight: BTreeMap<AccountId, u32>,
    /// Sessions that have an account, by provider.
    pub pins: BTreeMap<ProviderId, usize>,
    /// Renewals since the start, by account.
    pub renewals: BTreeMap<AccountId, Renewals>,
    /// Questions for limits since the start, by account.
    pub probes: BTreeMap<AccountId, Probes>,
    /// The store's own figures.
    pub store: StoreFigures,
    /// Origins of token endpoints that have failed lately, and whether each is left alone now (FLO-10).
    pub token_endpoints: BTreeMap<String, bool>,
    /// Notifications since the start, by sink and outcome.
    pub notifications: BTreeMap<(&'static str, &'static str), u64>,
    /// Logins since the start, by who asked and how far they came.
    pub logins: BTreeMap<(&'static str, &'static str), u64>,
    /// WebSockets that are open.
    pub websockets: u64,
    /// Turns over WebSockets since the start.
    pub websocket_turns: u64,
}

/// How an account's renewals went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewals {
    /// A new token came.
    pub renewed: u64,
    /// They may work later.
    pub transient: u64,
    /// The authority refused for good.
    pub permanent: u64,
}

/// How an account's questions for limits went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// The limits were learnt.
    pub succeeded: u64,
    /// They were not.
    pub failed: u64,
    /// It was called off before it began.
    pub stopped: u64,
}

/// How saving goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Writes since the start.
    pub saves: u64,
    /// Failed ones.
    pub failures: u64,
    /// Records restored from their last-known-good copy at the start.
    pub restores: u64,
    /// Since when an acknowledged change has not been on disk.
    pub unsaved_since: Option<Time>,
}

/// Sets every gauge in the recorder in force.
pub(super) fn set(world: &Snapshot, scrape: &Scrape, now: Time) {
    gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(names::WEBSOCKETS).set(scrape.websockets as f64);
    gauge!(names::WEBSOCKET_TURNS).set(scrape.websocket_turns as f64);
    gauge!(names::STORE_SAVES).set(scrape.store.saves as f64);
    gauge!(names::STORE_FAILURES).set(scrape.store.failures as f64);
    gauge!(names::STORE_RESTORES).set(scrape.store.restores as f64);
    let unsaved = scrape.store.unsaved_since.map_or(0.0, |since| since.until(now).as_secs_f64());
    gauge!(names::STORE_UNSAVED).set(unsaved);
    for account in &world.accounts {
        of_account(account, world, now);
        if let Some(renewals) = scrape.renewals.get(&account.id) {
            of_renewals(account, renewals);
        }
        if let Some(probes) = scrape.probes.get(&account.id) {
            of_probes(account, probes);
        }
    }
    for provider in world.providers.iter() {
        let id = provider.id.to_string();
        let mut under_way = 0;
        for account in world.accounts_of(&provider.id) {
            under_way += scrape.in_flight.get(&account.id).copied().unwrap_or(0);
        }
        gauge!(names::IN_FLIGHT, "provider" => id.clone()).set(f64::from(under_way));
        let pins = scrape.pins.get(&provider.id).copied().unwrap_or(0);
        gauge!(names::PINS, "provider" => id.clone()).set(pins as f64);
        let open = is_open(world.breaker(&provider.id), now);
        gauge!(names::BREAKER_OPEN, "provider" => id.clone()).set(f64::from(u8::from(open)));
        if provider.subscription {
            let deaths = world.deaths.get(&provider.id);
            let cut_off = deaths.is_some_and(|deaths| breaker::cut_off(deaths, now).is_some());
            gauge!(names::AUTH_BREAKER_OPEN, "provider" => id).set(f64::from(u8::from(cut_off)));
        }
    }
    of_logins(scrape);
    if let Some(force) = &world.force
        && let Some(account) = world.account(force.account)
    {
        gauge!(names::FORCE_UNTIL, "account" => account.alias.to_string()).set(secs(force.until));
    }
}

/// What became of renewals' endpoints, logins and notifications.
fn of_logins(scrape: &Scrape) {
    for (origin, open) in &scrape.token_endpoints {
        gauge!(names::TOKEN_ENDPOINT_OPEN, "origin" => origin.clone()).set(f64::from(u8::from(*open)));
    }
    for ((sink, outcome), count) in &scrape.notifications {
        counter!(names::NOTIFICATIONS, "sink" => *sink, "outcome" => *outcome).absolute(*count);
    }
    for ((by, outcome), count) in &scrape.logins {
        counter!(names::LOGINS, "by" => *by, "outcome" => *outcome).absolute(*count);
    }
}

/// What the log has lost, and what went wrong so badly that it is told by the log alone.
pub(super) fn of_log(log: &LogSink) {
    gauge!(names::LOG_DROPPED).set(log.dropped() as f64);
    gauge!(names::PANICS).set(log.panics() as f64);
}

/// Counters that grow elsewhere.
fn of_renewals(account: &Account, renewals: &Renewals) {
    let outcomes =
        [("permanent", renewals.permanent), ("renewed", renewals.renewed), ("transient", renewals.transient)];
    for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
        counter!(names::RENEWALS, "account" => account.alias.to_string(), "outcome" => outcome)
            .absolute(count);
    }
}

fn of_probes(account: &Account, probes: &Probes) {
    let outcomes = [("failed", probes.failed), ("stopped", probes.stopped), ("succeeded", probes.succeeded)];
    for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
        counter!(names::PROBES, "account" => account.alias.to_string(), "outcome" => outcome).absolute(count);
    }
}

fn of_account(account: &Account, world: &Snapshot, now: Time) {
    let alias = account.alias.to_string();
    let state = eligibility(account, None, &world.settings, now);
    let may = matches!(state, Eligibility::Eligible | Eligibility::Draining | Eligibility::Probation);
    gauge!(names::ACCOUNT_ELIGIBLE, "account" => alias.clone()).set(f64::from(u8::from(may)));
    gauge!(names::ACCOUNT_STATE, "account" => alias.clone(), "state" => state.as_str()).set(1.0);
    if let Some(until) = account.health.cools_until(now) {
        gauge!(names::COOLDOWN_UNTIL, "account" => alias.clone()).set(secs(until));
    }
    if let Some(expires) = account.credential.usable().and_then(|credential| credential.expires) {
        gauge!(names::CREDENTIAL_EXPIRY, "account" => alias.clone()).set(secs(expires));
    }
    let trust = confidence(&account.limits, now);
    gauge!(names::LIMIT_CONFIDENCE, "account" => alias.clone(), "confidence" => trust.as_str()).set(1.0);
    let Some(sample) = account.limits.latest.as_ref().filter(|_| trust != Confidence::Unknown) else {
        return;
    };
    gauge!(names::LIMIT_SEEN, "account" => alias.clone()).set(secs(sample.at));
    for window in &sample.windows {
        let labels = [("account", alias.clone()), ("window", window.name.to_string())];
        gauge!(names::LIMIT_REMAINING, &labels).set(window.remaining / 100.0);
        if let Some(resets) = window.resets {
            gauge!(names::LIMIT_RESET, &labels).set(secs(resets));
        }
    }
}

fn is_open(breaker: &Breaker, now: Time) -> bool {
    match breaker.state {
        BreakerState::Closed => false,
        BreakerState::Open { until } => now < until,
    }
}

fn secs(at: Time) -> f64 {
    at.as_millis() as f64 / 1e3
}
