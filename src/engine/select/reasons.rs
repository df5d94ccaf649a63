use super::field::Field;
use super::{Live, RoutingRequest};
use crate::engine::eligibility::{Eligibility, is_inference};
use crate::engine::failover::WhyNot;
use crate::model::{Account, AccountId, Alias, Cooling, CredentialState, FaultClass, Reason, Snapshot, Time};
use std::collections::BTreeMap;

/// Every account of the provider, and why not it. Where the request is bound to one account (by state it holds, or by a
/// force), the others do not come back to it, whatever they wait for.
pub(in crate::engine) fn reasons(
    world: &Snapshot,
    request: &RoutingRequest,
    tried: &[AccountId],
    live: &impl Live,
    now: Time,
) -> BTreeMap<Alias, WhyNot> {
    let field = Field::new(world, request, tried, now);
    let bound = field.bound_to().map(|(id, _)| id);
    let accounts = world.accounts_of(&request.provider).map(|account| {
        let why = field.why_not(account, live);
        let comes_back = bound.is_none_or(|bound| bound == account.id);
        let until = why.until.filter(|_| comes_back);
        (account.alias.clone(), WhyNot { until, ..why })
    });
    accounts.collect()
}

/// Why the account that `request`'s conversation is with does not serve it, where another one was taken or nobody; none
/// where it is with nobody.
pub fn why_left(
    world: &Snapshot,
    request: &RoutingRequest,
    live: &impl Live,
    now: Time,
) -> Option<(Alias, WhyNot)> {
    let account = world.account(request.owner.or(request.pinned)?)?;
    Some((account.alias.clone(), Field::new(world, request, &[], now).why_not(account, live)))
}

/// Why an account serves no more until a person acts.
pub fn reason_to_sign_in(account: &Account) -> Reason {
    match &account.credential {
        CredentialState::Missing { .. } => Reason::NoToken,
        CredentialState::NeedsReauth { .. } => Reason::ReauthFailed,
        CredentialState::Usable(held) if held.access.is_sendable() => Reason::ExpiredRefreshFailed,
        CredentialState::Usable(_) => Reason::MalformedToken,
    }
}

/// When the first of them may serve again.
pub(in crate::engine) fn soonest(reasons: &BTreeMap<Alias, WhyNot>) -> Option<Time> {
    reasons.values().filter_map(|why| why.until).min()
}

impl Field<'_> {
    fn why_not(&self, account: &Account, live: &impl Live) -> WhyNot {
        let bound = self.bound_to().is_some_and(|(id, _)| id == account.id);
        match self.eligibility(account) {
            Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => resting(&rest),
            Eligibility::Critical if !bound => {
                WhyNot { reason: Reason::Critical, until: account.limits.next_reset(self.now) }
            }
            Eligibility::Disabled if !self.request.permits(account.id) => for_good(Reason::NotPermitted),
            Eligibility::Disabled => for_good(Reason::Disabled),
            Eligibility::NeedsReauth => for_good(reason_to_sign_in(account)),
            state @ (Eligibility::Critical
            | Eligibility::Draining
            | Eligibility::Eligible
            | Eligibility::Probation) => self.passed_over(account, state, live),
        }
    }

    /// Why an account that could serve by its own state does not.
    fn passed_over(&self, account: &Account, state: Eligibility, live: &impl Live) -> WhyNot {
        if let Some(until) = self.cut_off() {
            return WhyNot { reason: Reason::Upstream, until: Some(until) };
        }
        if !self.untried(account.id) {
            return for_good(Reason::Skipped);
        }
        if self.place(account, state, live).is_none() {
            return for_good(Reason::Busy);
        }
        WhyNot { reason: Reason::Skipped, until: Some(self.now) }
    }
}

/// What the upstream said, or, where nobody said how long it lasts, that the account rests.
fn resting(rest: &Cooling) -> WhyNot {
    let reason = if is_inference(rest) && rest.class == FaultClass::RateShort {
        Reason::Cooling
    } else {
        Reason::from(rest.class)
    };
    WhyNot { reason, until: Some(rest.until) }
}

fn for_good(reason: Reason) -> WhyNot {
    WhyNot { reason, until: None }
}
