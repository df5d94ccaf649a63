use super::LogSink;
use super::catalogue as names;
use super::page::Page;
use crate::engine::{Confidence, Eligibility, breaker, confidence, eligibility};
use crate::model::{Account, AccountId, Breaker, BreakerState, ProviderId, Snapshot, Time};
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

/// Sets every gauge, and the counters that grow elsewhere.
pub(super) fn set(page: &mut Page, world: &Snapshot, scrape: &Scrape, now: Time) {
    page.set(names::BUILD_INFO, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    page.set(names::WEBSOCKETS, &[], scrape.websockets as f64);
    page.set(names::WEBSOCKET_TURNS, &[], scrape.websocket_turns as f64);
    page.set(names::STORE_SAVES, &[], scrape.store.saves as f64);
    page.set(names::STORE_FAILURES, &[], scrape.store.failures as f64);
    page.set(names::STORE_RESTORES, &[], scrape.store.restores as f64);
    let unsaved = scrape.store.unsaved_since.map_or(0.0, |since| since.until(now).as_secs_f64());
    page.set(names::STORE_UNSAVED, &[], unsaved);
    for account in &world.accounts {
        of_account(page, account, world, now);
        if let Some(renewals) = scrape.renewals.get(&account.id) {
            of_renewals(page, account, renewals);
        }
        if let Some(probes) = scrape.probes.get(&account.id) {
            of_probes(page, account, probes);
        }
    }
    for provider in world.providers.iter() {
        let id = [("provider", provider.id.as_str())];
        let mut under_way = 0;
        for account in world.accounts_of(&provider.id) {
            under_way += scrape.in_flight.get(&account.id).copied().unwrap_or(0);
        }
        page.set(names::IN_FLIGHT, &id, f64::from(under_way));
        let pins = scrape.pins.get(&provider.id).copied().unwrap_or(0);
        page.set(names::PINS, &id, pins as f64);
        let open = is_open(world.breaker(&provider.id), now);
        page.set(names::BREAKER_OPEN, &id, f64::from(u8::from(open)));
        if provider.subscription {
            let deaths = world.deaths.get(&provider.id);
            let cut_off = deaths.is_some_and(|deaths| breaker::cut_off(deaths, now).is_some());
            page.set(names::AUTH_BREAKER_OPEN, &id, f64::from(u8::from(cut_off)));
        }
    }
    of_logins(page, scrape);
    if let Some(force) = &world.force
        && let Some(account) = world.account(force.account)
    {
        page.set(names::FORCE_UNTIL, &[("account", account.alias.as_str())], secs(force.until));
    }
}

/// What became of renewals' endpoints, logins and notifications.
fn of_logins(page: &mut Page, scrape: &Scrape) {
    for (origin, open) in &scrape.token_endpoints {
        page.set(names::TOKEN_ENDPOINT_OPEN, &[("origin", origin)], f64::from(u8::from(*open)));
    }
    for ((sink, outcome), count) in &scrape.notifications {
        page.set(names::NOTIFICATIONS, &[("sink", sink), ("outcome", outcome)], *count as f64);
    }
    for ((by, outcome), count) in &scrape.logins {
        page.set(names::LOGINS, &[("by", by), ("outcome", outcome)], *count as f64);
    }
}

/// What the log has lost, and what went wrong so badly that it is told by the log alone.
pub(super) fn of_log(page: &mut Page, log: &LogSink) {
    page.set(names::LOG_DROPPED, &[], log.dropped() as f64);
    page.set(names::PANICS, &[], log.panics() as f64);
}

fn of_renewals(page: &mut Page, account: &Account, renewals: &Renewals) {
    let outcomes =
        [("permanent", renewals.permanent), ("renewed", renewals.renewed), ("transient", renewals.transient)];
    for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
        let labels = [("account", account.alias.as_str()), ("outcome", outcome)];
        page.set(names::RENEWALS, &labels, count as f64);
    }
}

fn of_probes(page: &mut Page, account: &Account, probes: &Probes) {
    let outcomes = [("failed", probes.failed), ("stopped", probes.stopped), ("succeeded", probes.succeeded)];
    for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
        let labels = [("account", account.alias.as_str()), ("outcome", outcome)];
        page.set(names::PROBES, &labels, count as f64);
    }
}

fn of_account(page: &mut Page, account: &Account, world: &Snapshot, now: Time) {
    let alias = ("account", account.alias.as_str());
    let state = eligibility(account, None, &world.settings, now);
    let may = matches!(state, Eligibility::Eligible | Eligibility::Draining | Eligibility::Probation);
    page.set(names::ACCOUNT_ELIGIBLE, &[alias], f64::from(u8::from(may)));
    page.set(names::ACCOUNT_STATE, &[alias, ("state", state.as_str())], 1.0);
    if let Some(until) = account.health.cools_until(now) {
        page.set(names::COOLDOWN_UNTIL, &[alias], secs(until));
    }
    if let Some(expires) = account.credential.usable().and_then(|credential| credential.expires) {
        page.set(names::CREDENTIAL_EXPIRY, &[alias], secs(expires));
    }
    let trust = confidence(&account.limits, now);
    page.set(names::LIMIT_CONFIDENCE, &[alias, ("confidence", trust.as_str())], 1.0);
    let Some(sample) = account.limits.latest.as_ref().filter(|_| trust != Confidence::Unknown) else {
        return;
    };
    page.set(names::LIMIT_SEEN, &[alias], secs(sample.at));
    for window in &sample.windows {
        let name = window.name.to_string();
        let labels = [alias, ("window", name.as_str())];
        page.set(names::LIMIT_REMAINING, &labels, window.remaining / 100.0);
        if let Some(resets) = window.resets {
            page.set(names::LIMIT_RESET, &labels, secs(resets));
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
