use super::view::Stamp;
use crate::auth::{JobReport, LoginFailure, OwnersEyes};
use crate::model::JobState;
use schemars::JsonSchema;
use serde::Serialize;

/// A sign-in as whoever holds the admin token may see it: the page to open and the code to type are for them. No token,
/// code or verifier has a field here.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    id: String,
    alias: String,
    provider: String,
    flow: &'static str,
    kind: &'static str,
    by: &'static str,
    state: &'static str,
    shown: &'static str,
    progress: &'static str,
    started_at: Stamp,
    expires_at: Stamp,
    #[serde(flatten)]
    offer: OfferView,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView>,
}

#[derive(Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OfferView {
    #[serde(skip_serializing_if = "Option::is_none")]
    authorize_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_url_complete: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_code: Option<String>,
}

impl std::fmt::Debug for OfferView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[for the owner]")
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct FailureView {
    code: &'static str,
    message: String,
}

/// Where there is no job.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct NoJobView {
    state: &'static str,
    shown: &'static str,
}

/// An account's latest job, or that there is none.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LatestView {
    Job(Box<JobView>),
    None(NoJobView),
}

impl From<Option<JobReport>> for LatestView {
    fn from(job: Option<JobReport>) -> Self {
        match job {
            Some(job) => Self::Job(Box::new(job.into())),
            None => Self::None(NoJobView::new()),
        }
    }
}

impl NoJobView {
    fn new() -> Self {
        Self { state: JobState::IDLE, shown: JobState::IDLE }
    }
}

impl From<JobReport> for JobView {
    fn from(job: JobReport) -> Self {
        let shown = |text: Option<OwnersEyes>| text.map(|text| text.as_str().to_owned());
        Self {
            id: job.id,
            alias: job.alias.to_string(),
            provider: job.provider.to_string(),
            flow: job.flow.as_str(),
            kind: job.kind.as_str(),
            by: job.by.as_str(),
            state: job.state.as_str(),
            shown: job.state.shown(),
            progress: job.progress.as_str(),
            started_at: job.started.into(),
            expires_at: job.expires.into(),
            offer: OfferView {
                authorize_url: shown(job.offer.authorize_url),
                redirect_uri: job.offer.redirect_uri,
                verification_url: job.offer.verification_url,
                verification_url_complete: shown(job.offer.verification_url_complete),
                user_code: shown(job.offer.user_code),
            },
            error: job.error.map(|LoginFailure { code, message }| FailureView { code, message }),
        }
    }
}
