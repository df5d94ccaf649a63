mod course;
mod late;
mod refusal;
mod ruling;
mod sign_in;

use super::apply::Command;
use super::breaker;
use super::classify::Verdict;
use super::eligibility::{Eligibility, eligibility, is_inference};
use super::select::{Admission, BUSY_WAIT, Decision, Live, RoutingRequest, Selection, Why, select, takeable};
use crate::model::{AccountId, Alias, Few, Settings, Snapshot, Time};
use std::mem;

pub use late::{Late, late};
pub use refusal::{Refusal, RefusalCode, WhyNot};
pub use sign_in::{SignIn, SignInEnd};

/// Whether the request's body is still whole in our hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is: the request can be sent again.
    Whole,
    /// It was larger than the cap: single attempt. A body that is still arriving is whole as long as all of it so far is
    /// held.
    Gone,
}

/// One attempt, as the decision log and the metrics tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whom it was sent to, and why.
    pub decision: Decision,
    /// The account's name at that time.
    pub alias: Alias,
    /// When it was decided.
    pub started: Time,
    /// When the outcome was known.
    pub ended: Time,
    /// The upstream's status, if there was a head.
    pub status: Option<u16>,
    /// What the outcome meant.
    pub verdict: Verdict,
}

/// What the shell must do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Replace this version of the credential, unless it was replaced already; then ask again.
    Refresh {
        /// Whose.
        account: AccountId,
        /// Which version is to be replaced.
        version: u64,
    },
    /// Answer so.
    Refuse(Refusal),
    /// Take a lease under the decision's admission, send, and report.
    Send(Decision),
    /// Have a person asked to sign in, once for all who need it; then ask again: where `until` says so, not before the
    /// sign-in has ended or that time has come, headers withheld.
    SignIn {
        /// Who.
        account: AccountId,
        /// How long the request may be held.
        until: Option<Time>,
    },
    /// Wait, headers withheld, then ask again.
    Wait(Time),
}

/// What is left of a request's way once it is over.
#[derive(Debug)]
pub struct Travelled {
    /// What the request needed.
    pub request: RoutingRequest,
    /// All attempts, in order.
    pub trail: Few<Attempt>,
    /// The sign-in that was asked for, if one was.
    pub sign_in: Option<SignIn>,
}

/// What an outcome means for the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// What the state should learn.
    pub command: Option<Command>,
    /// Hand the reply to the client, or drop it and ask for the next step.
    pub after: After,
}

/// See [`Ruling::after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Drop the reply, ask [`Failover::next`].
    Again,
    /// The reply is the client's.
    Pass,
}

/// What the next step is before anybody is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg {
    /// The token was refused: renew it and send once more.
    Renew(Decision),
    /// A renewal was asked for; send if it came to something. `why` is the decision's own where nothing was sent yet.
    Renewed(Decision),
    /// Send the same again: nothing of it was processed.
    Resend(Decision),
    /// Whoever is selected.
    Select,
    /// A sign-in was asked for; send if it came to something.
    SignIn,
}

/// One request's way through the accounts: a bounded loop turned inside out. The shell asks [`next`](Self::next), does
/// what it says and reports to [`on_outcome`](Self::on_outcome) until a ruling passes or a step refuses. An account is
/// taken at most once and sent to at most twice, the second time only with a newer credential or after proof that the
/// first was not processed (I5). First the account that failed, then the others, then, where nobody is left, one sign-in
/// by a person (FLO-6).
#[derive(Debug)]
pub struct Failover {
    request: RoutingRequest,
    deadline: Time,
    /// Accounts that may still be taken.
    left: usize,
    taken: Few<AccountId>,
    /// Accounts whose last place went to somebody else a moment ago.
    busy: Vec<AccountId>,
    /// Accounts whose token was renewed for this request; once each.
    renewed: Vec<AccountId>,
    leg: Leg,
    /// The send that has not been reported yet.
    flying: Option<(Alias, Time)>,
    /// Dead credentials met on the way.
    deaths: usize,
    /// What the owner's own account could not read goes as well: the request was refused for what it holds.
    stripped: bool,
    /// A connection failed once: the one other attempt is spent.
    reconnected: bool,
    /// Another request holds the half-open breaker's probe.
    probe_taken: bool,
    sign_in: Option<SignIn>,
    trail: Few<Attempt>,
}

impl Failover {
    /// A request's way begins.
    pub fn open(request: RoutingRequest, world: &Snapshot, now: Time) -> Self {
        let most = usize::from(world.settings.max_attempts.min(Settings::MOST_ATTEMPTS));
        let left = takeable(world, &request, most, now).max(1);
        Self {
            request,
            deadline: now.after(world.settings.patience),
            left,
            taken: Few::None,
            busy: Vec::new(),
            renewed: Vec::new(),
            leg: Leg::Select,
            flying: None,
            deaths: 0,
            stripped: false,
            reconnected: false,
            probe_taken: false,
            sign_in: None,
            trail: Few::None,
        }
    }

    /// What to do now.
    pub fn next(&mut self, world: &Snapshot, live: &mut impl Live, now: Time) -> Step {
        if self.leg == Leg::SignIn {
            self.leg = Leg::Select;
            if let Some(step) = self.after_sign_in(world, live, now) {
                return step;
            }
        }
        if self.probe_taken {
            return Step::Refuse(self.refusal(world, live, now));
        }
        if now > self.deadline {
            return self.last_resort(world, live, now);
        }
        if let Some(step) = self.resume(world, now) {
            return step;
        }
        if self.left == 0 {
            return self.last_resort(world, live, now);
        }
        match select(world, &self.request, &self.passed_over(), live, now) {
            Selection::Take(decision) => self.take(self.told(decision), world, now),
            Selection::Wait { until, .. } => self.wait(until, world, live, now),
            Selection::Nobody { .. } if !self.busy.is_empty() => self.wait_for_a_place(world, live, now),
            Selection::Nobody { .. } => self.last_resort(world, live, now),
        }
    }

    /// The decision's lease could not be had: somebody else took the last place. The account is not tried and no
    /// attempt is spent. Where it was the provider's one probe, the request is refused: whoever holds the probe finds
    /// out for all.
    pub fn on_busy(&mut self, decision: Decision) {
        self.flying = None;
        match decision.admission {
            Admission::ProviderProbe => self.probe_taken = true,
            Admission::Cap(_) | Admission::Free => self.busy.push(decision.account),
        }
        if self.sends(decision.account) == 0 {
            self.taken.retain(|id| *id != decision.account);
            self.left += 1;
        }
    }

    /// True where `account` served this request alone: its conversation stays where it was (SEL-11).
    pub fn spilled_to(&self, account: AccountId) -> bool {
        let sent = self.trail.iter().filter(|attempt| attempt.decision.account == account);
        sent.map(|attempt| attempt.decision.why).any(|why| why == Why::Spilled)
    }

    /// All attempts so far, in order.
    pub fn trail(&self) -> &[Attempt] {
        &self.trail
    }

    /// True when nothing may go with the request that only one account can read: the upstream could not.
    pub fn strips(&self) -> bool {
        self.stripped
    }

    /// What the request needed.
    pub fn request(&self) -> &RoutingRequest {
        &self.request
    }

    /// The way is over.
    pub fn end(self) -> Travelled {
        Travelled { request: self.request, trail: self.trail, sign_in: self.sign_in }
    }

    fn resume(&mut self, world: &Snapshot, now: Time) -> Option<Step> {
        match mem::replace(&mut self.leg, Leg::Select) {
            Leg::Select | Leg::SignIn => None,
            Leg::Resend(decision) => {
                may_send(decision.account, world, &self.request, now).then(|| self.send(decision, world, now))
            }
            Leg::Renew(decision) => match self.newer(decision, world, now) {
                Some(decision) => Some(self.send(decision, world, now)),
                None if is_cut_off(world, &self.request, now) => None,
                None => Some(self.refresh(decision, decision.version)),
            },
            Leg::Renewed(decision) => {
                let decision = self.newer(decision, world, now)?;
                Some(self.send(decision, world, now))
            }
        }
    }

    /// The decision with the credential that has replaced its own, if one has and the account may still be sent to.
    fn newer(&self, decision: Decision, world: &Snapshot, now: Time) -> Option<Decision> {
        let credential = world.account(decision.account)?.credential.usable()?;
        let newer = credential.version > decision.version && !credential.lapsed(now);
        let sent = self.sends(decision.account) > 0;
        (newer && may_send(decision.account, world, &self.request, now)).then(|| Decision {
            version: credential.version,
            why: if sent { Why::Refreshed } else { decision.why },
            ..decision
        })
    }

    /// The decision, by its right name where the last place on the session's account went a moment ago.
    fn told(&self, decision: Decision) -> Decision {
        let crowded = self.request.pinned.is_some_and(|pinned| self.busy.contains(&pinned));
        let spilled = crowded && decision.why == Why::Rotated;
        Decision { why: if spilled { Why::Spilled } else { decision.why }, ..decision }
    }

    fn take(&mut self, decision: Decision, world: &Snapshot, now: Time) -> Step {
        self.taken.push(decision.account);
        self.left -= 1;
        let lapsed = world
            .account(decision.account)
            .and_then(|account| account.credential.usable())
            .is_some_and(|credential| credential.lapsed(now));
        if lapsed {
            self.renewed.push(decision.account);
            return self.refresh(decision, decision.version);
        }
        self.send(decision, world, now)
    }

    fn refresh(&mut self, decision: Decision, version: u64) -> Step {
        self.leg = Leg::Renewed(decision);
        Step::Refresh { account: decision.account, version }
    }

    fn send(&mut self, decision: Decision, world: &Snapshot, now: Time) -> Step {
        self.flying = world.account(decision.account).map(|account| (account.alias.clone(), now));
        Step::Send(decision)
    }

    fn wait_for_a_place(&mut self, world: &Snapshot, live: &impl Live, now: Time) -> Step {
        self.wait(now.after(BUSY_WAIT), world, live, now)
    }

    fn wait(&mut self, until: Time, world: &Snapshot, live: &impl Live, now: Time) -> Step {
        if until > self.deadline {
            return Step::Refuse(self.refusal(world, live, now));
        }
        self.busy.clear();
        Step::Wait(until)
    }

    fn passed_over(&self) -> Vec<AccountId> {
        if self.taken.is_empty() && self.busy.is_empty() {
            return Vec::new();
        }
        self.taken.iter().chain(&self.busy).copied().collect()
    }

    fn sends(&self, account: AccountId) -> usize {
        let sent = |attempt: &&Attempt| attempt.decision.account == account;
        self.trail.iter().filter(sent).count()
    }
}

/// Too many credentials of the provider died lately: no other is shown to it, and none is renewed (FLO-5).
fn is_cut_off(world: &Snapshot, request: &RoutingRequest, now: Time) -> bool {
    world.deaths.get(&request.provider).is_some_and(|deaths| breaker::cut_off(deaths, now).is_some())
}

/// May a second send still go to this account? Not if it was switched off, found dead or told to rest meanwhile, or if
/// its provider was cut off.
fn may_send(account: AccountId, world: &Snapshot, request: &RoutingRequest, now: Time) -> bool {
    let Some(account) = world.account(account).filter(|_| !is_cut_off(world, request, now)) else {
        return false;
    };
    match eligibility(account, request.model.as_ref(), &world.settings, now) {
        Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => is_inference(&rest),
        Eligibility::Disabled | Eligibility::NeedsReauth => false,
        Eligibility::Critical | Eligibility::Draining | Eligibility::Eligible | Eligibility::Probation => {
            true
        }
    }
}

#[cfg(test)]
mod tests;
