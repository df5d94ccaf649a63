use super::course::{Course, course};
use super::{After, Attempt, Failover, Held, Leg, Ruling};
use crate::engine::apply::{Command, Touches, apply, touches};
use crate::engine::backoff::waits;
use crate::engine::breaker::DEATHS;
use crate::engine::classify::{Fault, Outcome, Verdict, classify};
use crate::engine::eligibility::renewable;
use crate::engine::select::{Bond, Decision, Live, Selection, Turn, select};
use crate::model::{AccountId, FaultClass, NO_BREAKER, Provider, ProviderId, Snapshot, Time};

/// An attempt that came back.
struct Landed<'a> {
    decision: Decision,
    outcome: &'a Outcome<'a>,
    held: Held,
}

impl Failover {
    /// What came of the attempt.
    pub fn on_outcome(
        &mut self,
        decision: Decision,
        outcome: &Outcome<'_>,
        held: Held,
        world: &Snapshot,
        now: Time,
    ) -> Ruling {
        let verdict = match world.provider(&self.request.provider) {
            Some(provider) => as_meant(classify(provider, outcome, now), decision, world, provider),
            None => Verdict::Pass,
        };
        self.note(decision, outcome, verdict.clone(), world, now);
        match verdict {
            Verdict::Pass => Ruling { command: served(decision, outcome, world, now), after: After::Pass },
            Verdict::Fault(fault) => {
                let landed = Landed { decision, outcome, held };
                self.rule(&landed, fault, world, now)
            }
        }
    }

    fn note(
        &mut self,
        decision: Decision,
        outcome: &Outcome<'_>,
        verdict: Verdict,
        world: &Snapshot,
        now: Time,
    ) {
        let flown = self.flying.take().or_else(|| {
            let account = world.account(decision.account)?;
            Some((account.alias.clone(), now))
        });
        let status = match outcome {
            Outcome::InBand { .. } => Some(200),
            Outcome::Replied { status, .. } => Some(status.as_u16()),
            Outcome::NotSent(_) | Outcome::Unprocessed | Outcome::Lost(_) => None,
        };
        if let Some((alias, started)) = flown {
            self.trail.push(Attempt { decision, alias, started, ended: now, status, verdict });
        }
    }

    fn rule(&mut self, landed: &Landed<'_>, fault: Fault, world: &Snapshot, now: Time) -> Ruling {
        let Landed { decision, outcome, held } = *landed;
        let unprocessed = matches!(outcome, Outcome::Unprocessed);
        let course = match outcome {
            Outcome::NotSent(_) | Outcome::Unprocessed => Course::SameAgain,
            Outcome::InBand { .. } | Outcome::Replied { .. } => course(fault.class),
            Outcome::Lost(_) => Course::Pass,
        };
        let class = fault.class;
        let command = (touches(&fault) != Touches::Nothing).then(|| Command::Faulted {
            account: decision.account,
            version: decision.version,
            model: self.request.model.clone(),
            fault,
        });
        if held == Held::Gone {
            return pass(command.filter(|_| course != Course::Renew && !unprocessed));
        }
        if class == FaultClass::AffinityFault && self.may_strip(decision) {
            self.stripped = true;
            self.leg = Leg::Resend(decision);
            return again(command);
        }
        match course {
            Course::Pass => pass(command),
            Course::SameAgain if self.may_repeat(decision, outcome) => {
                self.reconnected |= !unprocessed;
                self.leg = Leg::Resend(decision);
                again(command.filter(|_| !unprocessed))
            }
            Course::SameAgain => pass(command),
            Course::Renew if self.may_renew(decision, world, now) => {
                self.renewed.push(decision.account);
                self.leg = Leg::Renew(decision);
                again(None)
            }
            Course::Renew | Course::Next => {
                self.count_death(class, world);
                again(command)
            }
            Course::NextOrPass => self.pass_unless_another(command, world, now),
            Course::OneOther => {
                let safe = class != FaultClass::UpstreamError || self.request.replay_safe;
                self.left = self.left.min(1);
                if !safe {
                    return pass(command);
                }
                self.pass_unless_another(command, world, now)
            }
        }
    }

    /// The same account once more, without what it could not read; once a request.
    fn may_strip(&self, decision: Decision) -> bool {
        self.request.bond == Bond::Loose && !self.stripped && self.sends(decision.account) < 2
    }

    /// The same once more on the same account: at most twice in all (I5), and one reconnect a request.
    fn may_repeat(&self, decision: Decision, outcome: &Outcome<'_>) -> bool {
        let reconnects = matches!(outcome, Outcome::NotSent(_));
        self.sends(decision.account) < 2 && !(reconnects && self.reconnected)
    }

    /// A refused token is renewed once a request, unless that has just failed for somebody else: then it is the
    /// account's fault until renewing may be tried again.
    fn may_renew(&self, decision: Decision, world: &Snapshot, now: Time) -> bool {
        let Some(account) = world.account(decision.account) else {
            return false;
        };
        let replaced = account.credential.version() > decision.version;
        let backing_off = waits(&account.renewal, now).is_some();
        self.sends(decision.account) < 2
            && !self.renewed.contains(&decision.account)
            && (replaced || !backing_off)
    }

    /// One more account after a dead credential of a subscription, none after the second (FLO-5).
    fn count_death(&mut self, class: FaultClass, world: &Snapshot) {
        let subscription =
            world.provider(&self.request.provider).is_some_and(|provider| provider.subscription);
        if subscription && class == FaultClass::AuthDead {
            self.deaths += 1;
            self.left = self.left.min(DEATHS.saturating_sub(self.deaths));
        }
    }

    /// The reply is the client's if nobody else is left once the state has learned of it.
    fn pass_unless_another(&self, command: Option<Command>, world: &Snapshot, now: Time) -> Ruling {
        let learned = command.clone().and_then(|command| apply(world, command, now).ok());
        let world = learned.as_ref().map_or(world, |applied| &applied.snapshot);
        let another = self.left > 0
            && now <= self.deadline
            && match select(world, &self.request, &self.taken, &mut Idle, now) {
                Selection::Take(_) => true,
                Selection::Wait { until, .. } => until <= self.deadline,
                Selection::Nobody { .. } => false,
            };
        if another { again(command) } else { pass(command) }
    }
}

/// Nobody is at work: what a look ahead assumes.
struct Idle;

impl Live for Idle {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(0)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}

fn again(command: Option<Command>) -> Ruling {
    Ruling { command, after: After::Again }
}

fn pass(command: Option<Command>) -> Ruling {
    Ruling { command, after: After::Pass }
}

/// A refused token that nobody can renew, because there is no way to or it was found dead meanwhile, is a dead
/// credential, whatever the rule hopes.
pub(super) fn as_meant(
    verdict: Verdict,
    decision: Decision,
    world: &Snapshot,
    provider: &Provider,
) -> Verdict {
    let Verdict::Fault(fault) = verdict else {
        return verdict;
    };
    let dead = fault.class == FaultClass::AuthExpired
        && world.account(decision.account).is_some_and(|account| {
            let usable = account.credential.usable();
            !(provider.token.is_some() && usable.is_some_and(|credential| renewable(credential)))
        });
    Verdict::Fault(Fault { class: if dead { FaultClass::AuthDead } else { fault.class }, ..fault })
}

/// What a success should tell the state: nothing, unless something is held against the account or its provider (I4).
/// While an account rests, a success is of a request that was under way before, and says nothing.
fn served(decision: Decision, outcome: &Outcome<'_>, world: &Snapshot, now: Time) -> Option<Command> {
    let Outcome::Replied { status, .. } = outcome else {
        return None;
    };
    let account = world.account(decision.account)?;
    let news = !account.health.is_clean() && account.health.cools_until(now).is_none()
        || *world.breaker(&account.provider) != NO_BREAKER;
    (news && status.as_u16() < 400).then_some(Command::Served { account: decision.account })
}
