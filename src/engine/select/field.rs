use super::{
    Admission, BUSY_WAIT, Bond, Decision, LOOSE_REST, Live, RoutingRequest, SHORT_REST, Selection, Turn, Why,
    reasons, soonest,
};
use crate::engine::breaker::{self, Passage};
use crate::engine::eligibility::{Eligibility, eligibility, is_inference};
use crate::engine::strategy;
use crate::model::{Account, AccountId, Affinity, Cooling, Snapshot, Time};
use std::sync::Arc;

mod indexed;

/// Whom rotation asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tier {
    Draining,
    Serving,
}

/// One selection's view: the question, and the answers that hold for all accounts.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) world: &'a Snapshot,
    pub(super) request: &'a RoutingRequest,
    tried: &'a [AccountId],
    passage: Passage,
    pub(super) now: Time,
}

impl<'a> Field<'a> {
    pub(super) fn new(
        world: &'a Snapshot,
        request: &'a RoutingRequest,
        tried: &'a [AccountId],
        now: Time,
    ) -> Self {
        Self { world, request, tried, passage: breaker::passage(world.breaker(&request.provider), now), now }
    }

    /// An account that the client may not use is for this request what a disabled one is for all.
    pub(super) fn eligibility(&self, account: &Account) -> Eligibility {
        if !self.request.permits(account.id) {
            return Eligibility::Disabled;
        }
        let model = self.request.model.as_ref();
        eligibility(account, model, &self.world.settings, self.now)
    }

    /// Until when no other token is shown to this provider, because too many of its credentials died lately (FLO-5).
    pub(super) fn cut_off(&self) -> Option<Time> {
        let deaths = self.world.deaths.get(&self.request.provider)?;
        breaker::cut_off(deaths, self.now)
    }

    pub(super) fn untried(&self, id: AccountId) -> bool {
        !self.tried.contains(&id)
    }

    /// The one account that may serve: the hard owner, else the one that was chosen for the command, else the forced one
    /// while it is not durably unable. A choice for one command goes before a force for all, and before an owner that
    /// another account could stand in for.
    pub(super) fn bound_to(&self) -> Option<(AccountId, Why)> {
        let owner = self.request.owner.filter(|owner| self.holds(*owner));
        match (owner, self.request.only) {
            (Some(owner), None) => return Some((owner, Why::Owner)),
            (Some(owner), Some(_)) if self.request.bond == Bond::Fast => return Some((owner, Why::Owner)),
            (_, Some(only)) => return Some((only, Why::Chosen)),
            (None, None) => {}
        }
        let forced = self.world.account(self.world.forced(self.now)?)?;
        let able = match self.eligibility(forced) {
            Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => {
                self.is_short(&rest) || is_inference(&rest)
            }
            Eligibility::Disabled | Eligibility::NeedsReauth => false,
            Eligibility::Critical
            | Eligibility::Draining
            | Eligibility::Eligible
            | Eligibility::Probation => true,
        };
        (able && forced.provider == self.request.provider).then_some((forced.id, Why::Forced))
    }

    /// True while the request is the owner's: always, or where the bond is loose as long as the owner can serve it, or
    /// will in a moment.
    fn holds(&self, owner: AccountId) -> bool {
        if self.request.bond == Bond::Fast {
            return true;
        }
        let account = self
            .world
            .account(owner)
            .filter(|account| account.provider == self.request.provider && self.untried(account.id));
        account.is_some_and(|account| match self.eligibility(account) {
            Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => {
                rest.until <= self.now.after(LOOSE_REST)
            }
            Eligibility::Disabled | Eligibility::NeedsReauth => false,
            Eligibility::Critical
            | Eligibility::Draining
            | Eligibility::Eligible
            | Eligibility::Probation => true,
        })
    }

    /// What becomes of a request that only this account may serve: taken, waited for, or nobody.
    pub(super) fn bound(&self, id: AccountId, why: Why, live: &impl Live) -> Selection {
        let account = self
            .world
            .account(id)
            .filter(|account| account.provider == self.request.provider && self.untried(account.id));
        let Some(account) = account else {
            return self.nobody(live);
        };
        let (admission, until) = match self.eligibility(account) {
            Eligibility::Disabled | Eligibility::NeedsReauth => (None, None),
            Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => {
                if self.is_short(&rest) {
                    (None, Some(rest.until))
                } else {
                    (self.alone(account, &rest, live), None)
                }
            }
            state @ (Eligibility::Critical
            | Eligibility::Draining
            | Eligibility::Eligible
            | Eligibility::Probation) => (self.place(account, state, live), Some(self.now.after(BUSY_WAIT))),
        };
        match (admission, until) {
            (Some(admission), _) => Selection::Take(self.decision(account, why, admission)),
            (None, Some(until)) => Selection::Wait { account: id, until },
            (None, None) => self.nobody(live),
        }
    }

    fn is_short(&self, rest: &Cooling) -> bool {
        rest.until <= self.now.after(SHORT_REST)
    }

    /// The session's account, while it can serve and has a place (SEL-3).
    pub(super) fn stay(&self, live: &impl Live) -> Option<Decision> {
        let (account, state) = self.home()?;
        let admission = self.place(account, state, live)?;
        Some(self.decision(account, Why::Session, admission))
    }

    /// The session's account, while it can serve, place or not.
    pub(super) fn home(&self) -> Option<(&'a Account, Eligibility)> {
        let id = self
            .request
            .pinned
            .filter(|id| self.world.settings.affinity == Affinity::Session && self.untried(*id))?;
        let (account, state) = self.known(id)?;
        match state {
            state @ (Eligibility::Draining | Eligibility::Eligible | Eligibility::Probation) => {
                (account.provider == self.request.provider).then_some((account, state))
            }
            Eligibility::Cooling(_)
            | Eligibility::Critical
            | Eligibility::Disabled
            | Eligibility::ModelRefused(_)
            | Eligibility::NeedsReauth => None,
        }
    }

    /// One of a tier, by the strategy. The turn is drawn only if there is somebody to choose (I4).
    pub(super) fn rotate(&self, tier: Tier, live: &mut impl Live) -> Option<Decision> {
        if tier == Tier::Serving
            && let Some((account, state)) = self.indexed(live)
        {
            let admission = self.place(account, state, live)?;
            return Some(self.decision(account, Why::Rotated, admission));
        }
        self.candidates(tier, &*live).next()?;
        let strategy = self.world.settings.strategy;
        let turn = if strategy::draws(strategy) { live.turn(&self.request.provider) } else { Turn(0) };
        let account = strategy::pick(strategy, self.candidates(tier, &*live), turn, self.now)?;
        let admission = self.place(account, self.eligibility(account), live)?;
        Some(self.decision(account, Why::Rotated, admission))
    }

    fn candidates<'b>(
        &'b self,
        tier: Tier,
        live: &'b impl Live,
    ) -> impl Iterator<Item = &'a Arc<Account>> + Clone {
        self.world.accounts_of(&self.request.provider).filter(move |account| {
            let state = self.eligibility(account);
            let asked = match state {
                Eligibility::Eligible | Eligibility::Probation => tier == Tier::Serving,
                Eligibility::Draining => tier == Tier::Draining,
                Eligibility::Cooling(_)
                | Eligibility::Critical
                | Eligibility::Disabled
                | Eligibility::ModelRefused(_)
                | Eligibility::NeedsReauth => false,
            };
            asked && self.untried(account.id) && self.place(account, state, live).is_some()
        })
    }

    /// The account nearest recovery among those that only inference keeps away (SEL-9).
    pub(super) fn escape(&self, live: &impl Live) -> Option<Decision> {
        let accounts = self.world.accounts_of(&self.request.provider);
        let kept_away = accounts.filter(|account| self.untried(account.id));
        let nearest = kept_away.filter_map(|account| {
            let (recovers, admission) = match self.eligibility(account) {
                Eligibility::Probation => (self.now, self.cap(account, live)?),
                Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => {
                    (rest.until, self.alone(account, &rest, live)?)
                }
                Eligibility::Critical
                | Eligibility::Disabled
                | Eligibility::Draining
                | Eligibility::Eligible
                | Eligibility::NeedsReauth => return None,
            };
            Some((recovers, live.in_flight(account.id), account, admission))
        });
        nearest
            .min_by_key(|(recovers, load, account, _)| (*recovers, *load, account.id))
            .map(|(_, _, account, admission)| self.decision(account, Why::Rotated, admission))
    }

    /// Admission to an account in `state`; none where its places are taken.
    pub(super) fn place(&self, account: &Account, state: Eligibility, live: &impl Live) -> Option<Admission> {
        match state {
            Eligibility::Probation => self.under(1, account, live),
            Eligibility::Cooling(_)
            | Eligibility::Critical
            | Eligibility::Disabled
            | Eligibility::Draining
            | Eligibility::Eligible
            | Eligibility::ModelRefused(_)
            | Eligibility::NeedsReauth => self.cap(account, live),
        }
    }

    /// Admission to an account that rests by inference: as the only request there.
    fn alone(&self, account: &Account, rest: &Cooling, live: &impl Live) -> Option<Admission> {
        is_inference(rest).then(|| self.under(1, account, live)).flatten()
    }

    /// Admission under the user's in-flight cap (SEL-11).
    fn cap(&self, account: &Account, live: &impl Live) -> Option<Admission> {
        match self.world.settings.in_flight_cap {
            Some(most) => self.under(most, account, live),
            None => Some(self.probed(Admission::Free)),
        }
    }

    fn under(&self, most: u32, account: &Account, live: &impl Live) -> Option<Admission> {
        (live.in_flight(account.id) < most).then(|| self.probed(Admission::Cap(most)))
    }

    /// A breaker that is not closed lets one request at a time through to the provider, whichever account it is on.
    fn probed(&self, admission: Admission) -> Admission {
        match self.passage {
            Passage::Free => admission,
            Passage::Probe | Passage::Shut { .. } => Admission::ProviderProbe,
        }
    }

    fn decision(&self, account: &Account, why: Why, admission: Admission) -> Decision {
        Decision { account: account.id, version: account.credential.version(), why, admission }
    }

    pub(super) fn nobody(&self, live: &impl Live) -> Selection {
        let reasons = reasons(self.world, self.request, self.tried, live, self.now);
        Selection::Nobody { soonest: soonest(&reasons), reasons }
    }
}
