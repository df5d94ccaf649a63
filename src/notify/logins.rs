use super::event::{Event, Invitation, Kind};
use crate::auth::JobReport;
use crate::model::{Actor, JobState, Time};

/// What is counted of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    /// Who asked for it.
    pub by: Actor,
    /// How far it came.
    pub outcome: LoginOutcome,
}

/// How far a login came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginOutcome {
    /// It waits for a person.
    Begun,
    /// It was called off.
    Cancelled,
    /// It ended without a credential.
    Failed,
    /// It ended with one.
    Succeeded,
}

impl LoginOutcome {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

pub(super) fn outcome(state: JobState) -> Option<LoginOutcome> {
    match state {
        JobState::Cancelled => Some(LoginOutcome::Cancelled),
        JobState::Failed => Some(LoginOutcome::Failed),
        JobState::Pending => None,
        JobState::Running => Some(LoginOutcome::Begun),
        JobState::Succeeded => Some(LoginOutcome::Succeeded),
    }
}

/// What a person is told of a login: only of one that rota began on its own, since who asked for it knows. How a good one
/// ends is told by the state. The address with a `state` in it stays with the admin API.
pub(super) fn event(report: &JobReport, now: Time) -> Option<Event> {
    let kind = match report.state {
        JobState::Cancelled | JobState::Pending | JobState::Succeeded => return None,
        JobState::Failed => Kind::SignInFailed,
        JobState::Running => Kind::SignInBegun,
    };
    let offer = &report.offer;
    let invitation = offer
        .verification_url
        .clone()
        .zip(offer.user_code.as_ref())
        .map(|(url, code)| Invitation { url, code: code.as_str().to_owned(), until: report.expires });
    (report.by == Actor::Engine).then(|| Event {
        kind,
        at: now,
        provider: report.provider.clone(),
        account: Some(report.alias.clone()),
        reason: None,
        command: Some(format!("rota login {}", report.alias)),
        invitation,
        until: None,
    })
}
