use super::Failover;
use crate::engine::breaker::{self, Passage};
use crate::engine::classify::Verdict;
use crate::engine::failover::SignInEnd;
use crate::engine::select::{Live, reasons, soonest};
use crate::model::{Alias, ProviderId, Reason, Snapshot, Time};
use std::collections::BTreeMap;

/// Why an account did not serve, and when it might.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhyNot {
    /// In the words of FLO-7.
    pub reason: Reason,
    /// When that ends, if it ends by itself.
    pub until: Option<Time>,
}

/// What kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalCode {
    /// At least one account was tried, none could serve.
    AllAccountsExhausted,
    /// Nobody could be tried.
    NoEligibleAccounts,
    /// The provider's circuit breaker is open.
    UpstreamUnavailable,
}

impl RefusalCode {
    /// The stable code in bodies, logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllAccountsExhausted => "ALL_ACCOUNTS_EXHAUSTED",
            Self::NoEligibleAccounts => "NO_ELIGIBLE_ACCOUNTS",
            Self::UpstreamUnavailable => "UPSTREAM_UNAVAILABLE",
        }
    }
}

/// Why nobody serves; `proxy::refusal` words it in the client's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub code: RefusalCode,
    /// Of which provider.
    pub provider: ProviderId,
    /// The accounts sent to, in order.
    pub tried: Vec<Alias>,
    /// Every account of the provider, and why not it.
    pub reasons: BTreeMap<Alias, WhyNot>,
    /// What the upstream said last.
    pub last_status: Option<u16>,
    /// When the first account may serve again.
    pub soonest: Option<Time>,
    /// Until when no login of the provider is shown to it, because too many were refused for good (FLO-5).
    pub cut_off: Option<Time>,
    /// Who should sign in (FLO-6).
    pub sign_in: Option<Alias>,
}

impl Refusal {
    /// True when no account comes back by itself: only a human can mend it (FLO-8).
    pub fn needs_human(&self) -> bool {
        let human = |reason| match reason {
            Reason::Disabled
            | Reason::ExpiredRefreshFailed
            | Reason::MalformedToken
            | Reason::NoToken
            | Reason::NotPermitted
            | Reason::PaymentRequired
            | Reason::ReauthFailed
            | Reason::ReauthTimeout => true,
            Reason::Busy
            | Reason::Cooling
            | Reason::Critical
            | Reason::Forbidden
            | Reason::ModelUnsupported
            | Reason::QuotaExhausted
            | Reason::RateLimited
            | Reason::Skipped
            | Reason::Upstream => false,
        };
        self.soonest.is_none()
            && !self.reasons.is_empty()
            && self.reasons.values().all(|why| human(why.reason))
    }
}

impl Failover {
    /// Why nobody serves: what every account's own state says, and for those that were tried and may serve again, what
    /// came of the attempt.
    pub(super) fn refusal(&self, world: &Snapshot, live: &impl Live, now: Time) -> Refusal {
        let provider = &self.request.provider;
        let mut reasons = reasons(world, &self.request, &self.passed_over(), live, now);
        for (alias, why) in &mut reasons {
            if let Some(reason) = self.came_of(alias, world, why.reason) {
                why.reason = reason;
            } else if why.reason == Reason::Skipped && self.probe_taken {
                *why = half_open(world, provider, now);
            }
        }
        let cut_off = world.deaths.get(provider).and_then(|deaths| breaker::cut_off(deaths, now));
        let code = if !self.taken.is_empty() {
            RefusalCode::AllAccountsExhausted
        } else if self.probe_taken || cut_off.is_some() {
            RefusalCode::UpstreamUnavailable
        } else {
            RefusalCode::NoEligibleAccounts
        };
        Refusal {
            code,
            provider: provider.clone(),
            tried: self.tried(),
            soonest: soonest(&reasons),
            reasons,
            last_status: self.trail.iter().rev().find_map(|attempt| attempt.status),
            cut_off,
            sign_in: self.sign_in.as_ref().map(|sign_in| sign_in.alias.clone()),
        }
    }

    fn tried(&self) -> Vec<Alias> {
        let mut tried: Vec<Alias> = self.trail.iter().map(|attempt| attempt.alias.clone()).collect();
        tried.dedup();
        tried
    }

    /// What came of an account that was tried, where its own state no longer tells or tells less.
    fn came_of(&self, alias: &Alias, world: &Snapshot, known: Reason) -> Option<Reason> {
        if let Some(reason) = self.waited_in_vain(alias) {
            return Some(reason);
        }
        if !matches!(known, Reason::Cooling | Reason::Skipped) {
            return None;
        }
        let attempt = self.trail.iter().rev().find(|tried| tried.alias == *alias);
        if let Some(Verdict::Fault(fault)) = attempt.map(|attempt| &attempt.verdict) {
            return Some(fault.class.into());
        }
        if known == Reason::Cooling {
            return None;
        }
        let id = world.by_alias(alias)?.id;
        if self.renewed.contains(&id) {
            return Some(Reason::ExpiredRefreshFailed);
        }
        self.busy.contains(&id).then_some(Reason::Busy)
    }

    /// The account that the request was held for, where nobody signed in.
    fn waited_in_vain(&self, alias: &Alias) -> Option<Reason> {
        let sign_in = self.sign_in.as_ref().filter(|sign_in| sign_in.alias == *alias)?;
        match sign_in.end? {
            SignInEnd::Failed => Some(Reason::ReauthFailed),
            SignInEnd::Raised | SignInEnd::SignedIn => None,
            SignInEnd::TimedOut => Some(Reason::ReauthTimeout),
        }
    }
}

/// Another request holds the one probe that the provider's breaker lets through.
fn half_open(world: &Snapshot, provider: &ProviderId, now: Time) -> WhyNot {
    let until = match breaker::passage(world.breaker(provider), now) {
        Passage::Shut { until } => Some(until),
        Passage::Free | Passage::Probe => None,
    };
    WhyNot { reason: Reason::Upstream, until }
}
