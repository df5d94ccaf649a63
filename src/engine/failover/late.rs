use super::course::{Course, course};
use super::ruling::as_meant;
use crate::engine::apply::{Command, Touches, touches};
use crate::engine::classify::{Outcome, Verdict, classify};
use crate::engine::select::{Decision, RoutingRequest};
use crate::model::{Snapshot, Time};

/// What a refusal means that comes when the reply has begun to pass: this request is beyond help, the next ones are not.
#[derive(Clone, Debug, PartialEq)]
pub struct Late {
    /// Who is to blame, if anybody.
    pub verdict: Verdict,
    /// What the state should learn.
    pub command: Option<Command>,
}

/// Judges `outcome`, which `decision` met after the point of no return, by the rules that would have judged it before.
/// A refused token that can still be renewed is nobody's fault yet: the next request finds out.
pub fn late(
    decision: Decision,
    request: &RoutingRequest,
    outcome: &Outcome<'_>,
    world: &Snapshot,
    now: Time,
) -> Late {
    let Some(provider) = world.provider(&request.provider) else {
        return Late { verdict: Verdict::Pass, command: None };
    };
    let verdict = as_meant(classify(provider, outcome, now), decision, world, provider);
    let command = match &verdict {
        Verdict::Fault(fault)
            if touches(fault) != Touches::Nothing && course(fault.class) != Course::Renew =>
        {
            Some(Command::Faulted {
                account: decision.account,
                version: decision.version,
                model: request.model.clone(),
                fault: fault.clone(),
            })
        }
        Verdict::Fault(_) | Verdict::Pass => None,
    };
    Late { verdict, command }
}
