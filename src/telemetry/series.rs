use super::DecisionRecord;
use super::catalogue as names;
use super::page::{Histogram, Page};
use crate::model::{Alias, ProviderId, Reason, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

/// What happened to a session for want of use, or for its age (PRX-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionEvent {
    /// It has lost its account.
    Ended,
    /// It is about to.
    Warned,
}

/// Counters and histograms as they grew. Labels are aliases, provider ids and closed enums: bounded, as is the memory
/// of each.
#[derive(Debug, Default)]
pub(super) struct Series {
    sessions: BTreeMap<(SessionEvent, ProviderId), u64>,
    /// Forces that ended before their time, by why.
    forces: BTreeMap<String, u64>,
    /// None is for what means no provider.
    providers: BTreeMap<Option<ProviderId>, OfProvider>,
}

#[derive(Debug)]
struct OfProvider {
    requests: Counts,
    refusals: Counts,
    failovers: Counts,
    accounts: BTreeMap<Alias, OfAccount>,
    attempt: Histogram,
    first_byte: Histogram,
    overhead: Histogram,
    whole: Histogram,
}

#[derive(Debug, Default)]
struct OfAccount {
    /// Attempts, by why the account was taken.
    decisions: Counts,
    /// The same, by what it refused them for.
    attempts: Counts,
}

/// How often each of a few words came.
#[derive(Debug, Default)]
struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    fn add(&mut self, word: &'static str) {
        match self.0.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => {
                self.0.push((word, 1));
                self.0.sort_unstable();
            }
        }
    }
}

impl Default for OfProvider {
    fn default() -> Self {
        Self {
            requests: Counts::default(),
            refusals: Counts::default(),
            failovers: Counts::default(),
            accounts: BTreeMap::new(),
            attempt: Histogram::of(names::ATTEMPT_SECONDS),
            first_byte: Histogram::of(names::FIRST_BYTE_SECONDS),
            overhead: Histogram::of(names::OVERHEAD_SECONDS),
            whole: Histogram::of(names::REQUEST_SECONDS),
        }
    }
}

impl Series {
    pub(super) fn session(&mut self, event: SessionEvent, provider: &ProviderId) {
        *self.sessions.entry((event, provider.clone())).or_default() += 1;
    }

    pub(super) fn count(&mut self, record: &DecisionRecord) {
        let of = match self.providers.get_mut(&record.provider) {
            Some(of) => of,
            None => self.providers.entry(record.provider.clone()).or_default(),
        };
        of.requests.add(record.outcome.as_str());
        if let Some(code) = record.refusal {
            of.refusals.add(code);
        }
        for pair in record.attempts.windows(2) {
            if let [before, after] = pair
                && before.alias != after.alias
                && let Some(reason) = before.reason
            {
                of.failovers.add(reason.as_str());
            }
        }
        for attempt in record.attempts.iter() {
            let account = match of.accounts.get_mut(&attempt.alias) {
                Some(account) => account,
                None => of.accounts.entry(attempt.alias.clone()).or_default(),
            };
            account.decisions.add(attempt.why.as_str());
            account.attempts.add(attempt.reason.map_or("none", Reason::as_str));
            of.attempt.record(attempt.ms as f64 / 1e3);
        }
        if let Some(span) = record.first_byte_ms {
            of.first_byte.record(span / 1e3);
        }
        of.overhead.record(record.overhead_ms / 1e3);
        of.whole.record(record.duration_ms / 1e3);
    }

    pub(super) fn force_ended(&mut self, reason: &str) {
        *self.forces.entry(reason.to_owned()).or_default() += 1;
    }

    /// Puts all of it on the page, and forgets accounts and providers that `world` has not: the series of what was renamed or
    /// removed end, and cost nothing any more.
    pub(super) fn show(&mut self, page: &mut Page, world: &Snapshot) {
        let there: BTreeSet<&Alias> = world.accounts.iter().map(|account| &account.alias).collect();
        let known = |id: &ProviderId| world.providers.iter().any(|provider| provider.id == *id);
        self.sessions.retain(|(_, provider), _| known(provider));
        self.providers.retain(|provider, _| provider.as_ref().is_none_or(known));
        for of in self.providers.values_mut() {
            of.accounts.retain(|account, _| there.contains(account));
        }
        for ((event, provider), count) in &self.sessions {
            let name = match event {
                SessionEvent::Ended => names::SESSIONS_ENDED,
                SessionEvent::Warned => names::SESSIONS_WARNED,
            };
            page.set(name, &[("provider", provider.as_str())], *count as f64);
        }
        for (reason, count) in &self.forces {
            page.set(names::FORCES_ENDED, &[("reason", reason)], *count as f64);
        }
        for (provider, of) in &self.providers {
            of.show(provider.as_ref().map_or("none", ProviderId::as_str), page);
        }
    }
}

impl OfProvider {
    fn show(&self, provider: &str, page: &mut Page) {
        let provider = ("provider", provider);
        for (name, label, counts) in [
            (names::REQUESTS, "outcome", &self.requests),
            (names::REFUSALS, "code", &self.refusals),
            (names::FAILOVERS, "reason", &self.failovers),
        ] {
            for (value, count) in &counts.0 {
                page.set(name, &[provider, (label, value)], *count as f64);
            }
        }
        for (account, of) in &self.accounts {
            let account = ("account", account.as_str());
            for (value, count) in &of.decisions.0 {
                page.set(names::DECISIONS, &[provider, account, ("why", value)], *count as f64);
            }
            for (value, count) in &of.attempts.0 {
                page.set(names::ATTEMPTS, &[provider, account, ("reason", value)], *count as f64);
            }
        }
        for (name, spread) in [
            (names::ATTEMPT_SECONDS, &self.attempt),
            (names::FIRST_BYTE_SECONDS, &self.first_byte),
            (names::OVERHEAD_SECONDS, &self.overhead),
            (names::REQUEST_SECONDS, &self.whole),
        ] {
            page.spread(name, &[provider], spread);
        }
    }
}
