use super::ApiError;
use super::credential::GivenCredential;
use super::edit::begin;
use super::extract::{Asker, Given, GivenOr, Named};
use super::reply::{Created, NoContent};
use super::shape::{Label, Labels, Note, Share};
use super::view::{AccountView, AccountsView};
use crate::app::App;
use crate::engine::{Command, LastEnabled, NewAccount, Rejection};
use crate::model::{Alias, Credential, CredentialKind, Provider, ProviderId, Snapshot, Switch, Time, Weight};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// Labels per account, and bytes of notes: room for people, not for data.
pub(super) const MOST_TAGS: usize = 16;
pub(super) const LONGEST_NOTE: usize = 1024;
/// Bytes of a label, or of a quota group's name.
pub(super) const LONGEST_TAG: usize = 64;

/// `GET /api/accounts`
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<AccountsView> {
    let world = app.state.snapshot();
    Json(AccountsView::of(&app, &world))
}

#[derive(Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an object with alias, provider, and secret or credential where the provider grants no token by itself"
)]
pub(super) struct AddAccount {
    #[schemars(with = "Alias")]
    alias: String,
    #[schemars(with = "ProviderId")]
    provider: String,
    /// A key or bearer; `kind` says which.
    secret: Option<String>,
    kind: Option<CredentialKind>,
    credential: Option<GivenCredential>,
    #[schemars(with = "Option<Share>")]
    weight: Option<f64>,
    #[schemars(with = "Option<Label>")]
    quota_group: Option<String>,
    #[serde(default)]
    #[schemars(with = "Labels")]
    tags: Vec<String>,
    #[serde(default)]
    #[schemars(with = "Note")]
    notes: String,
}

/// `POST /api/accounts`: 201 with the account, once it is durable. Without a secret its first token is granted at once,
/// where the provider does so by itself; where that fails nothing is added.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Given(add): Given<AddAccount>,
) -> Result<Created<AccountView>, ApiError> {
    let draft = add.read(&app.state.snapshot(), app.clock.now())?;
    let alias = draft.alias.clone();
    let new = draft.complete(&app).await?;
    let world = app.state.commit_by(Command::AccountAdded(Box::new(new)), by).await?;
    Ok(Created(one(&app, &world, &alias)?))
}

impl AddAccount {
    fn read(self, world: &Snapshot, now: Time) -> Result<Draft, ApiError> {
        let alias = Alias::try_from(self.alias).map_err(|bad| ApiError::invalid("alias", bad))?;
        let provider =
            ProviderId::try_from(self.provider).map_err(|bad| ApiError::invalid("provider", bad))?;
        let Some(preset) = world.provider(&provider) else {
            let known: Vec<&str> = world.providers.iter().map(|preset| preset.id.as_str()).collect();
            let constraint =
                format!("there is no provider {:?}; there are {}", provider.as_str(), known.join(", "));
            return Err(ApiError::invalid("provider", constraint));
        };
        let given = match (self.secret, self.credential, self.kind) {
            (Some(secret), None, kind) => {
                Some(GivenCredential::plain(kind.unwrap_or(CredentialKind::ApiKey), secret))
            }
            (None, Some(credential), None) => Some(credential),
            (None, Some(_), Some(_)) => return Err(ApiError::invalid("kind", "belongs inside credential")),
            (Some(_), Some(_), _) => {
                return Err(ApiError::invalid("secret", "give secret or credential, not both"));
            }
            (None, None, Some(_)) => return Err(ApiError::invalid("kind", "belongs to a secret; give one")),
            (None, None, None) if preset.grants_by_itself() => None,
            (None, None, None) => return Err(secretless(preset)),
        };
        let credential = given.map(|given| given.into_credential(now)).transpose()?;
        let kind = credential.as_ref().map_or(CredentialKind::Oauth, |credential| credential.kind);
        if !preset.inject.contains_key(&kind) {
            let kinds: Vec<&str> = preset.inject.keys().map(|kind| kind.as_str()).collect();
            let constraint = format!("provider {provider} takes {}", kinds.join(" or "));
            return Err(ApiError::invalid("kind", constraint));
        }
        let weight = self.weight.map_or(Ok(Weight::FULL), weight_of)?;
        let (tags, notes) = (tags_of(self.tags)?, notes_of(self.notes)?);
        let quota_group = self.quota_group.map(group_of).transpose()?;
        if world.by_alias(&alias).is_some() {
            return Err(Rejection::AliasTaken(alias).into());
        }
        Ok(Draft { alias, provider: Arc::clone(preset), credential, weight, quota_group, tags, notes })
    }
}

/// A share, if it is one (SEL-6).
pub(super) fn weight_of(share: f64) -> Result<Weight, ApiError> {
    Weight::new(share).ok_or_else(|| ApiError::invalid("weight", "must be above 0, at most 1"))
}

/// Labels, if they are few and short.
pub(super) fn tags_of(tags: Vec<String>) -> Result<Vec<String>, ApiError> {
    let fits = |tag: &String| !tag.is_empty() && tag.len() <= LONGEST_TAG && !tag.contains(char::is_control);
    if tags.len() > MOST_TAGS || !tags.iter().all(fits) {
        let constraint =
            format!("at most {MOST_TAGS}, each of 1 to {LONGEST_TAG} bytes without control characters");
        return Err(ApiError::invalid("tags", constraint));
    }
    Ok(tags)
}

/// A note, if it is not too long.
pub(super) fn notes_of(notes: String) -> Result<String, ApiError> {
    if notes.len() > LONGEST_NOTE {
        return Err(ApiError::invalid("notes", format!("at most {LONGEST_NOTE} bytes")));
    }
    Ok(notes)
}

/// The name of a quota group, if it can be one.
pub(super) fn group_of(group: String) -> Result<Arc<str>, ApiError> {
    if group.is_empty() || group.len() > LONGEST_TAG || group.contains(char::is_control) {
        let constraint = format!("1 to {LONGEST_TAG} bytes without control characters");
        return Err(ApiError::invalid("quotaGroup", constraint));
    }
    Ok(group.into())
}

fn secretless(preset: &Provider) -> ApiError {
    let login = match &preset.login {
        Some(_) => "; or sign in with `rota login`",
        None => "",
    };
    let constraint = format!(
        "give secret (a key or bearer) or credential: provider {} grants no token without one{login}",
        preset.id
    );
    ApiError::invalid("secret", constraint)
}

/// An account that may be added, perhaps without a credential yet.
struct Draft {
    alias: Alias,
    provider: Arc<Provider>,
    credential: Option<Credential>,
    weight: Weight,
    quota_group: Option<Arc<str>>,
    tags: Vec<String>,
    notes: String,
}

impl Draft {
    async fn complete(self, app: &App) -> Result<NewAccount, ApiError> {
        let credential = match self.credential {
            Some(given) => given,
            None => app.refresher.first(&self.provider, &self.alias).await?,
        };
        Ok(NewAccount {
            alias: self.alias,
            provider: self.provider.id.clone(),
            credential,
            weight: self.weight,
            quota_group: self.quota_group,
            tags: self.tags,
            notes: self.notes,
        })
    }
}

/// What a removal or a switch may carry.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object, optionally with force")]
pub(super) struct Remove {
    #[serde(default)]
    force: bool,
}

impl Remove {
    fn last(&self) -> LastEnabled {
        if self.force { LastEnabled::Override } else { LastEnabled::Keep }
    }
}

/// `DELETE /api/accounts/{alias}`
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Named(alias): Named,
    Asker(by): Asker,
    GivenOr(remove): GivenOr<Remove>,
) -> Result<NoContent, ApiError> {
    let (account, _change) = begin(&app, &alias)?;
    let id = app.state.snapshot().by_alias(&account).map(|account| account.id);
    let command = Command::AccountRemoved { alias: account, last: remove.last() };
    app.state.commit_by(command, by).await?;
    if let Some(id) = id {
        app.affinity.clear(id);
    }
    Ok(NoContent)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "an object with enabled, optionally with reason and force")]
pub(super) struct SetEnabled {
    enabled: bool,
    #[schemars(with = "Option<Note>")]
    reason: Option<String>,
    #[serde(default)]
    force: bool,
}

impl SetEnabled {
    fn last(&self) -> LastEnabled {
        if self.force { LastEnabled::Override } else { LastEnabled::Keep }
    }
}

/// `PUT /api/accounts/{alias}/enabled`
pub(super) async fn set_enabled(
    State(app): State<Arc<App>>,
    Named(alias): Named,
    Asker(by): Asker,
    Given(set): Given<SetEnabled>,
) -> Result<Json<AccountView>, ApiError> {
    let (account, _change) = begin(&app, &alias)?;
    if set.reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_NOTE) {
        return Err(ApiError::invalid("reason", format!("at most {LONGEST_NOTE} bytes")));
    }
    let last = set.last();
    let to = match set.enabled {
        true => Switch::On,
        false => Switch::Off { at: app.clock.now(), by, reason: set.reason },
    };
    let command = Command::Switched { alias: account.clone(), to, last };
    let committed = app.state.commit_by(command, by).await;
    // In force even where it is not durable.
    if let Some(off) = app.state.snapshot().by_alias(&account).filter(|account| !account.is_on()) {
        app.affinity.clear(off.id);
    }
    Ok(Json(one(&app, &*committed?, &account)?))
}

/// The account called `alias`, or an error that names those there are.
pub(super) fn named(world: &Snapshot, alias: &str) -> Result<Alias, ApiError> {
    let known: Vec<&str> = world.accounts.iter().map(|account| account.alias.as_str()).collect();
    let parsed = Alias::try_from(alias).ok().filter(|alias| world.by_alias(alias).is_some());
    parsed.ok_or_else(|| ApiError::no_account(alias, &known))
}

pub(super) fn one(app: &App, world: &Snapshot, alias: &Alias) -> Result<AccountView, ApiError> {
    let account = world.by_alias(alias).ok_or(Rejection::UnknownAccount)?;
    let view = AccountView::of(account, world, app.state.leases(), app.clock.now());
    Ok(view.with_sign_in(app.logins.latest_of(alias)).with_refresh(app.prober.report(account.id)))
}
