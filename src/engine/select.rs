mod field;
mod reasons;

use super::eligibility::Eligibility;
use super::failover::WhyNot;
use crate::model::{AccountId, Alias, ModelName, ProviderId, SessionKey, Snapshot, Time};
use field::{Field, Tier};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use reasons::{reason_to_sign_in, why_left};
pub(super) use reasons::{reasons, soonest};

/// A rest of a forced or owning account that is waited for (FRC-2).
pub(super) const SHORT_REST: Duration = Duration::from_secs(60);

/// A rest of an owner that is waited for where another account could serve without what only the owner can read.
pub(super) const LOOSE_REST: Duration = Duration::from_secs(20);

/// How soon to ask again for a place on an account that nothing else can stand in for.
pub(super) const BUSY_WAIT: Duration = Duration::from_millis(250);

/// A number handed out in order, per provider. The only thing rotation remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn(pub u64);

/// What a decision needs and a snapshot cannot hold, because it changes with every request. The shell and the simulator
/// each have one.
pub trait Live {
    /// Draws the provider's next turn. Called only where rotation decides (I4).
    fn turn(&mut self, provider: &ProviderId) -> Turn;
    /// Requests on the account right now.
    fn in_flight(&self, account: AccountId) -> u32;
}

/// What a request needs from rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingRequest {
    /// The provider its path means. There is no failover across providers (ROU-3).
    pub provider: ProviderId,
    /// The model, where it is known before the body was read.
    pub model: Option<ModelName>,
    /// The conversation it belongs to.
    pub session: Option<SessionKey>,
    /// That conversation's account (soft: SEL-3).
    pub pinned: Option<AccountId>,
    /// The account that can read what it holds (hard: SEL-4).
    pub owner: Option<AccountId>,
    /// Whether another account may serve it where the owner cannot.
    pub bond: Bond,
    /// The accounts that its client may use; none: all of the provider's.
    pub permitted: Option<Arc<[AccountId]>>,
    /// The account that the person chose for the command it comes from: no other serves it.
    pub only: Option<AccountId>,
    /// The preset calls its path safe to send again after a complete 5xx head.
    pub replay_safe: bool,
}

impl RoutingRequest {
    /// Whether its client may use the account.
    pub fn permits(&self, account: AccountId) -> bool {
        self.permitted.as_ref().is_none_or(|permitted| permitted.contains(&account))
    }
}

/// How fast a request is bound to its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bond {
    /// Nobody else can answer.
    #[default]
    Fast,
    /// Another may: what only the owner can read is left out for it.
    Loose,
}

/// Why this account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The person chose it for the command that asks.
    Chosen,
    /// A force is on.
    Forced,
    /// It holds state the request needs.
    Owner,
    /// Its token was renewed and the request is sent once more.
    Refreshed,
    /// Rotation chose it.
    Rotated,
    /// The conversation is there.
    Session,
    /// A person signed in for this request (FLO-6).
    SignedIn,
    /// Rotation chose it for this request alone: the conversation's account has no free place (SEL-11).
    Spilled,
}

impl Why {
    /// The wire string, as in logs, headers and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Forced => "forced",
            Self::Owner => "owner",
            Self::Refreshed => "refreshed",
            Self::Rotated => "rotated",
            Self::Session => "session",
            Self::SignedIn => "signed-in",
            Self::Spilled => "spilled",
        }
    }
}

/// How many requests may be on the account (or provider) at once for this decision to stand. The shell takes a lease
/// under this bound before it sends; where none is left, it tells [`super::Failover::on_busy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// At most this many on the account.
    Cap(u32),
    /// Any number.
    Free,
    /// The one probe that a half-open breaker lets through to the provider (FLO-10).
    ProviderProbe,
}

/// One account taken for one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub account: AccountId,
    /// The credential this decision means, so that its refusal cannot be held against a newer one.
    pub version: u64,
    /// Why it.
    pub why: Why,
    /// How many may be there at once.
    pub admission: Admission,
}

/// Who serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// This one, now.
    Take(Decision),
    /// This one, but not before `until`: a forced or owning account that rests shortly.
    Wait {
        /// Which.
        account: AccountId,
        /// When it may be taken.
        until: Time,
    },
    /// Nobody.
    Nobody {
        /// When the first of them could serve again, if that is known.
        soonest: Option<Time>,
        /// Every account of the provider, and why not it.
        reasons: BTreeMap<Alias, WhyNot>,
    },
}

/// Who serves this request: the hard owner, else the account chosen for its command, else the forced account, else the session's account, else rotation among
/// those that were not tried (SEL-1 to SEL-10, FRC-2). Rotation asks the eligible and those on probation with a free
/// place, then the draining. Where nobody is left for our own inference alone (a rest that nobody but us imposed, a
/// taken probation place, an open breaker), the account nearest recovery is tried anyway, one request at a time where
/// that can be held (SEL-9). A dry run is the same call with a `Live` that moves no cursor (SEL-12).
pub fn select(
    world: &Snapshot,
    request: &RoutingRequest,
    tried: &[AccountId],
    live: &mut impl Live,
    now: Time,
) -> Selection {
    let field = Field::new(world, request, tried, now);
    if field.cut_off().is_some() {
        return field.nobody(live);
    }
    if let Some((account, why)) = field.bound_to() {
        return field.bound(account, why, live);
    }
    if let Some(decision) = field.stay(live) {
        return Selection::Take(decision);
    }
    let taken = field
        .rotate(Tier::Serving, live)
        .or_else(|| field.rotate(Tier::Draining, live))
        .or_else(|| field.escape(live));
    let Some(decision) = taken else {
        return field.nobody(live);
    };
    let why = if field.home().is_some() { Why::Spilled } else { decision.why };
    Selection::Take(Decision { why, ..decision })
}

/// The account's place for a request that is bound to it by a sign-in: `Err` where it may not be sent to at all, `Ok(None)`
/// where its places are taken.
pub(super) fn place(
    world: &Snapshot,
    request: &RoutingRequest,
    id: AccountId,
    live: &impl Live,
    now: Time,
) -> Result<Option<Admission>, Unable> {
    let field = Field::new(world, request, &[], now);
    let account = world.account(id).filter(|_| field.cut_off().is_none()).ok_or(Unable)?;
    match field.eligibility(account) {
        state @ (Eligibility::Draining | Eligibility::Eligible | Eligibility::Probation) => {
            Ok(field.place(account, state, live))
        }
        Eligibility::Cooling(_)
        | Eligibility::Critical
        | Eligibility::Disabled
        | Eligibility::ModelRefused(_)
        | Eligibility::NeedsReauth => Err(Unable),
    }
}

/// See [`place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unable;

/// The one account that may serve `request`, where it is bound to one: by state it holds, or by a force.
pub(super) fn bound(world: &Snapshot, request: &RoutingRequest, now: Time) -> Option<AccountId> {
    Field::new(world, request, &[], now).bound_to().map(|(id, _)| id)
}

/// Accounts that `request` could be sent to now by their own state, `most` at most: what FLO-1 counts at the start.
pub(super) fn takeable(world: &Snapshot, request: &RoutingRequest, most: usize, now: Time) -> usize {
    let field = Field::new(world, request, &[], now);
    let accounts = (0..).zip(&world.accounts).filter(|(_, account)| account.provider == request.provider);
    accounts
        .filter(|(at, account)| match field.known_at(*at, account) {
            Eligibility::Draining | Eligibility::Eligible | Eligibility::Probation => true,
            Eligibility::Cooling(_)
            | Eligibility::Critical
            | Eligibility::Disabled
            | Eligibility::ModelRefused(_)
            | Eligibility::NeedsReauth => false,
        })
        .take(most)
        .count()
}

#[cfg(test)]
mod tests;
