use super::ApiError;
use super::accounts::{named, one};
use super::extract::{Given, GivenOr, Named};
use super::job::{JobView, LatestView};
use super::reply::Accepted;
use super::view::AccountView;
use crate::app::App;
use crate::auth::{LoginFlow, LoginRequest};
use crate::engine::Rejection;
use crate::model::{Account, Alias, CredentialKind, CredentialState, ProviderId, Snapshot};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with alias, and optionally provider and flow")]
pub(super) struct SignIn {
    #[schemars(with = "Alias")]
    alias: String,
    #[schemars(with = "Option<ProviderId>")]
    provider: Option<String>,
    flow: Option<GivenFlow>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum GivenFlow {
    Browser,
    Device,
    Paste,
}

impl From<GivenFlow> for LoginFlow {
    fn from(flow: GivenFlow) -> Self {
        match flow {
            GivenFlow::Browser => Self::Browser,
            GivenFlow::Device => Self::Device,
            GivenFlow::Paste => Self::Paste,
        }
    }
}

/// `POST /api/login`: 202 with the job, once there is a page to open or a code to type.
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Given(sign_in): Given<SignIn>,
) -> Result<Accepted<JobView>, ApiError> {
    let alias = Alias::try_from(sign_in.alias).map_err(|bad| ApiError::invalid("alias", bad))?;
    let provider = sign_in.provider.map(ProviderId::try_from).transpose();
    let provider = provider.map_err(|bad| ApiError::invalid("provider", bad))?;
    begin(&app, LoginRequest { alias, provider, flow: sign_in.flow.map(LoginFlow::from) }).await
}

/// `GET /api/login/{id}`
pub(super) async fn job(State(app): State<Arc<App>>, Named(id): Named) -> Result<Json<JobView>, ApiError> {
    Ok(Json(app.logins.get(&id)?.into()))
}

/// `DELETE /api/login/{id}`: 200 with the job, once it is over.
pub(super) async fn cancel(State(app): State<Arc<App>>, Named(id): Named) -> Result<Json<JobView>, ApiError> {
    Ok(Json(app.logins.cancel(&id).await?.into()))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with url")]
pub(super) struct Pasted {
    url: String,
}

/// `POST /api/login/{id}/complete`: takes what the person pasted.
pub(super) async fn complete(
    State(app): State<Arc<App>>,
    Named(id): Named,
    Given(pasted): Given<Pasted>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(app.logins.complete(&id, &pasted.url)?.into()))
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object, optionally with flow")]
pub(super) struct SignInAgain {
    flow: Option<GivenFlow>,
}

/// `POST /api/accounts/{alias}/reauth`: the same for an account there is (REN-6).
pub(super) async fn again(
    State(app): State<Arc<App>>,
    Named(alias): Named,
    GivenOr(again): GivenOr<SignInAgain>,
) -> Result<Accepted<JobView>, ApiError> {
    let alias = named(&app.state.snapshot(), &alias)?;
    begin(&app, LoginRequest { alias, provider: None, flow: again.flow.map(LoginFlow::from) }).await
}

/// `GET /api/accounts/{alias}/reauth`: the latest job of the account, or that there is none.
pub(super) async fn latest(
    State(app): State<Arc<App>>,
    Named(alias): Named,
) -> Result<Json<LatestView>, ApiError> {
    let alias = named(&app.state.snapshot(), &alias)?;
    Ok(Json(app.logins.latest_of(&alias).into()))
}

/// `POST /api/accounts/{alias}/refresh`: renews the account's token now; 200 with the account once it is in force. Who
/// leaves meanwhile cuts nothing.
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Named(alias): Named,
) -> Result<Json<AccountView>, ApiError> {
    let world = app.state.snapshot();
    let alias = named(&world, &alias)?;
    let account = world.by_alias(&alias).ok_or(Rejection::UnknownAccount)?;
    let version = renewable(account, &world)?;
    app.refresher.refresh(account.id, version).await;
    let world = app.state.snapshot();
    let now = world.account(account.id).ok_or(Rejection::UnknownAccount)?;
    match &now.credential {
        CredentialState::Usable(credential) if credential.version > version => {
            Ok(Json(one(&app, &world, &now.alias)?))
        }
        CredentialState::NeedsReauth { detail, .. } => Err(ApiError::needs_reauth(&now.alias, detail)),
        CredentialState::Missing { .. } | CredentialState::Usable(_) => {
            Err(ApiError::not_renewed(&now.alias))
        }
    }
}

/// The version to be renewed, of an account that can be.
fn renewable(account: &Account, world: &Snapshot) -> Result<u64, ApiError> {
    if !account.is_on() {
        return Err(Rejection::AccountDisabled(account.alias.clone()).into());
    }
    let credential = match &account.credential {
        CredentialState::Usable(credential) => credential,
        CredentialState::Missing { detail } | CredentialState::NeedsReauth { detail, .. } => {
            return Err(ApiError::needs_reauth(&account.alias, detail));
        }
    };
    let by_itself = credential.self_granted
        && world.provider(&account.provider).is_some_and(|preset| preset.grants_by_itself());
    let renews = credential.refresh.is_some() || by_itself;
    if credential.kind != CredentialKind::Oauth || !renews {
        return Err(ApiError::not_renewable(&account.alias));
    }
    Ok(credential.version)
}

async fn begin(app: &App, request: LoginRequest) -> Result<Accepted<JobView>, ApiError> {
    let job = app.logins.start(request).await?;
    Ok(Accepted(job.into()))
}
