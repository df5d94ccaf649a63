use super::{Failover, Leg, Step};
use crate::engine::eligibility::{Eligibility, eligibility, signs_in};
use crate::engine::select::{Decision, Live, RoutingRequest, SHORT_REST, Unable, Why, bound, place, reasons};
use crate::model::{Account, AccountId, Alias, Reason, Snapshot, Time};
use std::sync::Arc;

/// A request's third pass: the one sign-in that was asked for because nobody could serve (FLO-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Who is to sign in.
    pub account: AccountId,
    /// The account's name at that time.
    pub alias: Alias,
    /// When it was asked for.
    pub began: Time,
    /// Until when the request is held for it; none where it is not held.
    pub until: Option<Time>,
    /// What came of it; none while it is waited for.
    pub end: Option<SignInEnd>,
    /// The version of the credential that a new one is newer than.
    known: u64,
}

/// What came of a [`SignIn`], as far as the request waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInEnd {
    /// It ended without a credential.
    Failed,
    /// The request did not wait: it was only asked for.
    Raised,
    /// There is a new credential.
    SignedIn,
    /// Nobody signed in while the request was held.
    TimedOut,
}

impl SignInEnd {
    /// The wire string, as in the decision record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Raised => "raised",
            Self::SignedIn => "signed-in",
            Self::TimedOut => "timed-out",
        }
    }
}

impl Failover {
    /// The sign-in that this request asked for, if it did.
    pub fn sign_in(&self) -> Option<&SignIn> {
        self.sign_in.as_ref()
    }

    /// Nobody is left: the third pass, once, and a refusal where it is over or would mend nothing.
    pub(super) fn last_resort(&mut self, world: &Snapshot, live: &impl Live, now: Time) -> Step {
        if self.sign_in.is_some() || self.comes_back_soon(world, live, now) {
            return Step::Refuse(self.refusal(world, live, now));
        }
        let Some(account) = first_to_sign_in(world, &self.request, now) else {
            return Step::Refuse(self.refusal(world, live, now));
        };
        let wait = world.settings.reauth_wait;
        // What was sent to twice may not be sent to again (I5): it is mended for the next request.
        let held = !wait.is_zero() && self.sends(account.id) < 2;
        let until = held.then(|| now.after(wait));
        self.sign_in = Some(SignIn {
            account: account.id,
            alias: account.alias.clone(),
            began: now,
            until,
            end: (!held).then_some(SignInEnd::Raised),
            known: account.credential.version(),
        });
        self.leg = Leg::SignIn;
        Step::SignIn { account: account.id, until }
    }

    /// After the sign-in: sent to whoever signed in, else whoever came back meanwhile, else refused.
    pub(super) fn after_sign_in(&mut self, world: &Snapshot, live: &impl Live, now: Time) -> Option<Step> {
        let sign_in = self.sign_in.as_mut()?;
        let Some(until) = sign_in.until else {
            return Some(Step::Refuse(self.refusal(world, live, now)));
        };
        let account = sign_in.account;
        let credential = world.account(account).and_then(|account| account.credential.usable());
        let new = credential.filter(|held| held.version > sign_in.known && !held.lapsed(now));
        if sign_in.end.is_none() {
            sign_in.end = Some(match new {
                Some(_) => SignInEnd::SignedIn,
                None if now >= until => SignInEnd::TimedOut,
                None => SignInEnd::Failed,
            });
            // A person is not as quick as a machine: the patience for machines stands still meanwhile.
            self.deadline = self.deadline.after(sign_in.began.until(now));
        }
        let version = new?.version;
        match place(world, &self.request, account, live, now) {
            Err(Unable) => None,
            Ok(None) => {
                self.leg = Leg::SignIn;
                Some(self.wait_for_a_place(world, live, now))
            }
            Ok(Some(admission)) => {
                if !self.taken.contains(&account) {
                    self.taken.push(account);
                }
                Some(self.send(Decision { account, version, why: Why::SignedIn, admission }, world, now))
            }
        }
    }

    /// An account that is at work for others, or back within a minute, is quicker than a person.
    fn comes_back_soon(&self, world: &Snapshot, live: &impl Live, now: Time) -> bool {
        let soon = now.after(SHORT_REST);
        reasons(world, &self.request, &self.passed_over(), live, now)
            .values()
            .any(|why| why.reason == Reason::Busy || why.until.is_some_and(|until| until <= soon))
    }
}

/// The first account of the provider, in order, that a sign-in would mend: it has no token, or one that is dead or has
/// run out and cannot be renewed. Not one that is switched off, or that rests besides; and where the request is bound to
/// one account, no other.
fn first_to_sign_in<'a>(
    world: &'a Snapshot,
    request: &'a RoutingRequest,
    now: Time,
) -> Option<&'a Arc<Account>> {
    let provider = world.provider(&request.provider)?;
    let bound = bound(world, request, now);
    world.accounts_of(&request.provider).find(|account| {
        bound.is_none_or(|id| id == account.id)
            && request.permits(account.id)
            && eligibility(account, None, &world.settings, now) == Eligibility::NeedsReauth
            && signs_in(account, provider)
            && account.health.cools_until(now).is_none()
    })
}
