//! Keys that people make for their clients. A key is shown once, when it is made; what is kept of it is what it comes to.
use super::ApiError;
use super::accounts::named;
use super::extract::{Asker, Given, Named};
use super::reply::{Created, NoContent};
use super::view::Stamp;
use crate::app::App;
use crate::engine::Command;
use crate::model::{Alias, ClientKey, KeyName, KeyPath, KeyScope, ProviderId, Snapshot, Time};
use crate::proxy::digest_of;
use axum::Json;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Bytes of randomness in a key.
const BYTES: usize = 32;
/// How a key begins, so that people and scanners know one when they see it.
const BEGINS: &str = "rota-";
/// The methods that the gate lets through.
const METHODS: [Method; 7] =
    [Method::GET, Method::POST, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// `GET /api/keys`
#[derive(Serialize, JsonSchema)]
pub(super) struct KeysView {
    keys: Vec<KeyView>,
    /// Whether every request needs a key: one there is, here or in the configuration, or `require_client_key`.
    required: bool,
}

/// One key. It is not in it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeyView {
    name: String,
    created_at: Stamp,
    /// Empty: all.
    providers: Vec<String>,
    /// Null: all; empty: none, since the accounts it was for were removed.
    accounts: Option<Vec<String>>,
    /// Empty: all.
    methods: Vec<String>,
    /// Empty: all.
    paths: Vec<String>,
}

/// A key that was made. This is the only time that it is shown; it has no `Debug`.
#[derive(Serialize, JsonSchema)]
pub(super) struct NewKeyView {
    key: String,
    #[serde(flatten)]
    about: KeyView,
}

#[derive(Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an object with name, optionally with providers, accounts, methods and paths"
)]
pub(super) struct AddKey {
    #[schemars(with = "KeyName")]
    name: String,
    #[serde(default)]
    #[schemars(with = "Vec<ProviderId>")]
    providers: Vec<String>,
    #[serde(default)]
    #[schemars(with = "Vec<Alias>")]
    accounts: Vec<String>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
}

/// `GET /api/keys`
pub(super) async fn list(State(app): State<Arc<App>>) -> Json<KeysView> {
    let world = app.state.snapshot();
    let config = app.config.load();
    let keys: Vec<KeyView> = world.keys.iter().map(|key| KeyView::of(key, &world)).collect();
    let required = config.require_client_key || !config.client_keys.is_empty() || !keys.is_empty();
    Json(KeysView { keys, required })
}

/// `POST /api/keys`: 201 with the key, once it is durable.
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Asker(by): Asker,
    Given(add): Given<AddKey>,
) -> Result<Created<NewKeyView>, ApiError> {
    let name = KeyName::try_from(add.name.as_str()).map_err(|bad| ApiError::invalid("name", bad))?;
    let scope = add.scope(&app.state.snapshot())?;
    let mut bytes = [0; BYTES];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| ApiError::internal())?;
    let key = format!("{BEGINS}{}", URL_SAFE_NO_PAD.encode(bytes));
    let made: Time = app.clock.now();
    let client = ClientKey { name, digest: digest_of(&key), scope, made };
    let about = client.clone();
    let world = app.state.commit_by(Command::KeyAdded(Box::new(client)), by).await?;
    Ok(Created(NewKeyView { key, about: KeyView::of(&about, &world) }))
}

/// `DELETE /api/keys/{name}`: requests with it are refused from now on; those under way end.
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Named(name): Named,
    Asker(by): Asker,
) -> Result<NoContent, ApiError> {
    let name = KeyName::try_from(name).map_err(|bad| ApiError::invalid("name", bad))?;
    app.state.commit_by(Command::KeyRemoved { name }, by).await?;
    Ok(NoContent)
}

impl AddKey {
    fn scope(&self, world: &Snapshot) -> Result<KeyScope, ApiError> {
        for (field, list) in [
            ("providers", &self.providers),
            ("accounts", &self.accounts),
            ("methods", &self.methods),
            ("paths", &self.paths),
        ] {
            if list.len() > KeyScope::ENTRIES {
                return Err(ApiError::invalid(field, format!("at most {}", KeyScope::ENTRIES)));
            }
        }
        let provider = |id: &String| {
            let found = ProviderId::try_from(id.as_str()).ok().filter(|id| world.provider(id).is_some());
            let known =
                || world.providers.iter().map(|preset| preset.id.as_str()).collect::<Vec<_>>().join(", ");
            found.ok_or_else(|| {
                ApiError::invalid("providers", format!("there is no provider {id:?}; there are {}", known()))
            })
        };
        let account = |alias: &String| {
            let alias = named(world, alias)?;
            let account = world.by_alias(&alias).map(|account| account.id);
            account.ok_or_else(|| ApiError::no_account(alias.as_str(), &[]))
        };
        let method = |name: &String| {
            let known = METHODS.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(name));
            let names = || METHODS.map(|method| method.to_string()).join(", ");
            known.ok_or_else(|| ApiError::invalid("methods", format!("must be of {}", names())))
        };
        let path =
            |path: &String| KeyPath::try_from(path.as_str()).map_err(|bad| ApiError::invalid("paths", bad));
        let accounts: Vec<_> = self.accounts.iter().map(account).collect::<Result<_, _>>()?;
        Ok(KeyScope {
            providers: self.providers.iter().map(provider).collect::<Result<_, _>>()?,
            accounts: (!accounts.is_empty()).then(|| accounts.into()),
            methods: self.methods.iter().map(method).collect::<Result<_, _>>()?,
            paths: self.paths.iter().map(path).collect::<Result<_, _>>()?,
        })
    }
}

impl KeyView {
    fn of(key: &ClientKey, world: &Snapshot) -> Self {
        let scope = &key.scope;
        let alias = |id| world.account(id).map(|account| account.alias.to_string());
        Self {
            name: key.name.to_string(),
            created_at: key.made.into(),
            providers: scope.providers.iter().map(ToString::to_string).collect(),
            accounts: scope.accounts.as_ref().map(|ids| ids.iter().filter_map(|id| alias(*id)).collect()),
            methods: scope.methods.iter().map(ToString::to_string).collect(),
            paths: scope.paths.iter().map(|path| path.as_str().to_owned()).collect(),
        }
    }
}
