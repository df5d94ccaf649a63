use super::{Field, Live};
use crate::engine::eligibility::Eligibility;
use crate::engine::select::Turn;
use crate::engine::strategy;
use crate::model::{Account, AccountId, May, Roster, Strategy};
use std::num::NonZero;
use std::sync::Arc;

/// Accounts tried before this attempt, at most, that the index can leave out.
const TRIED: usize = 16;

/// Those of a roster that one request may choose among.
struct Choice<'a> {
    base: &'a [u32],
    /// Ranks in `base` of those that were tried, ascending; the rest of the array is not used.
    holes: [usize; TRIED],
    tried: usize,
}

impl<'a> Field<'a> {
    /// The account with this number and what it is in for this request: what the index knows without a look at it, else
    /// what the look tells.
    pub(super) fn known(&self, id: AccountId) -> Option<(&'a Arc<Account>, Eligibility)> {
        let at = self.world.accounts.binary_search_by_key(&id, |account| account.id).ok()?;
        let account = self.world.accounts.get(at)?;
        Some((account, self.known_at(at, account)))
    }

    /// What the account in this place is in for this request.
    pub(in crate::engine::select) fn known_at(&self, at: usize, account: &Account) -> Eligibility {
        let always = || {
            let standing = self.world.index.standings.get(at);
            standing.is_some_and(|standing| standing.may == May::Always)
        };
        if self.request.permitted.is_none() && self.world.index.covers(self.now) && always() {
            Eligibility::Eligible
        } else {
            self.eligibility(account)
        }
    }

    /// The account that rotation takes of the first tier, by the index, and what it is in: the very one that a look at
    /// every account finds. None where the index does not tell, or knows of nobody. Draws a turn only if there is somebody.
    pub(super) fn indexed(&self, live: &mut impl Live) -> Option<(&'a Arc<Account>, Eligibility)> {
        let settings = &self.world.settings;
        // Under a cap everybody's places are counted; a client that may use some only has a roster of its own.
        if settings.in_flight_cap.is_some() || self.request.permitted.is_some() {
            return None;
        }
        let roster = self.world.index.roster(&self.request.provider, self.now)?;
        let strategy = settings.strategy;
        if self.tried.is_empty()
            && roster.ask.is_empty()
            && roster.sums.is_empty()
            && let Some(count) = NonZero::new(roster.best.len() as u64)
        {
            // Nearly every request: nobody to leave out, nobody to ask, nobody who counts for more.
            let turn = self.draw(live);
            let place = strategy::position(strategy, turn, count.get())?;
            let at = *roster.best.get(usize::try_from(place).ok()?)?;
            return Some((self.world.accounts.get(at as usize)?, Eligibility::Eligible));
        }
        let choice = self.choice(&roster.best)?;
        let asked = self.asked(roster, &*live).count();
        let odd = asked > 0 || choice.tried > 0 || self.any_tried(&roster.always);
        let plain = match strategy {
            Strategy::LeastUsed | Strategy::ResetFirst => !odd,
            Strategy::WeightedRoundRobin => {
                !odd || roster.sums.is_empty() && self.asked_weigh_the_same(roster)
            }
            Strategy::FillFirst | Strategy::Random | Strategy::RoundRobin => true,
        };
        let count = choice.len() + asked;
        if !plain || count == 0 {
            return None;
        }
        let turn = self.draw(live);
        let at = if let Some(total) = roster.sums.last() {
            let point = strategy::point(turn, *total);
            roster.always.get(roster.sums.partition_point(|sum| u128::from(*sum) <= point)).copied()
        } else {
            let place = strategy::position(strategy, turn, count as u64)?;
            choice.nth(usize::try_from(place).ok()?, self.asked(roster, &*live))
        };
        let account = self.world.accounts.get(at? as usize)?;
        Some((account, self.eligibility(account)))
    }

    /// The provider's next turn, where the strategy goes by turns.
    fn draw(&self, live: &mut impl Live) -> Turn {
        let draws = strategy::draws(self.world.settings.strategy);
        if draws { live.turn(&self.request.provider) } else { Turn(0) }
    }

    /// None where too many were tried.
    fn choice<'b>(&self, base: &'b [u32]) -> Option<Choice<'b>> {
        let mut choice = Choice { base, holes: [0; TRIED], tried: 0 };
        for id in self.tried {
            let place = self.world.accounts.binary_search_by_key(id, |account| account.id).ok();
            let rank = place.and_then(|place| base.binary_search(&u32::try_from(place).ok()?).ok());
            if let Some(rank) = rank {
                *choice.holes.get_mut(choice.tried)? = rank;
                choice.tried += 1;
            }
        }
        choice.holes.get_mut(..choice.tried)?.sort_unstable();
        Some(choice)
    }

    fn any_tried(&self, places: &[u32]) -> bool {
        self.choice(places).is_none_or(|choice| choice.tried > 0)
    }

    /// Of those that must be asked, the ones that this request may take now.
    fn asked<'b>(&'b self, roster: &'b Roster, live: &'b impl Live) -> impl Iterator<Item = u32> + 'b {
        roster.ask.iter().copied().filter(move |at| {
            self.world.accounts.get(*at as usize).is_some_and(|account| {
                let state = self.eligibility(account);
                matches!(state, Eligibility::Eligible | Eligibility::Probation)
                    && self.untried(account.id)
                    && self.place(account, state, live).is_some()
            })
        })
    }

    /// True where it makes no difference to the weights who is asked.
    fn asked_weigh_the_same(&self, roster: &Roster) -> bool {
        let mut all = roster.always.iter().chain(&roster.ask);
        let weight = |at: &u32| self.world.accounts.get(*at as usize).map(|account| account.weight);
        let first = roster.always.first().and_then(weight);
        roster.ask.is_empty() || all.all(|at| weight(at) == first)
    }
}

impl Choice<'_> {
    fn len(&self) -> usize {
        self.base.len() - self.tried
    }

    /// The `nth` of the base without its holes and `more`, merged in ascending order.
    fn nth(&self, nth: usize, more: impl Iterator<Item = u32>) -> Option<u32> {
        let holes = self.holes.get(..self.tried).unwrap_or_default();
        let mut passed = 0;
        for at in more {
            let below = self.base.partition_point(|place| *place < at);
            let rank = below - holes.partition_point(|hole| *hole < below) + passed;
            if rank == nth {
                return Some(at);
            }
            if rank > nth {
                break;
            }
            passed += 1;
        }
        let mut rank = nth - passed;
        for hole in holes {
            rank += usize::from(*hole <= rank);
        }
        self.base.get(rank).copied()
    }
}
