use super::ApiError;
use super::extract::Given;
use super::shape::Program;
use super::view::Stamp;
use crate::app::App;
use crate::auth::import::{Client, Found, Gathered, Home, Passphrase, gather};
use crate::engine::{Command, LastEnabled, NewAccount, Rejection};
use crate::model::{Actor, Alias, Credential, ProviderId, Snapshot, Switch, Time, Weight};
use crate::state::CommitError;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an object with from, optionally with path, as, passphrase and dryRun"
)]
pub(super) struct Import {
    #[schemars(with = "Program")]
    from: String,
    /// A file, or a directory where the program keeps one; else where this process's user keeps it.
    #[schemars(extend("pattern" = "^/"))]
    path: Option<PathBuf>,
    /// The new account's name, where there is one login.
    #[serde(rename = "as")]
    #[schemars(with = "Option<Alias>")]
    alias: Option<String>,
    /// Of an encrypted file.
    passphrase: Option<String>,
    /// Look, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What became of the logins of a file.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImportView {
    from: &'static str,
    program: &'static str,
    files: Vec<String>,
    dry_run: bool,
    /// Accounts that were added, or would be.
    added: Vec<AddedView>,
    /// Logins that were not.
    skipped: Vec<SkippedView>,
    /// What having two owners means, where a login now has two.
    warning: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AddedView {
    alias: String,
    provider: String,
    kind: &'static str,
    enabled: bool,
    expires_at: Option<Stamp>,
    renews_itself: bool,
    plan: Option<String>,
    email: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SkippedView {
    /// What the program calls it, or its provider.
    name: String,
    /// Stable.
    code: &'static str,
    reason: String,
    /// The account that has this login already.
    alias: Option<String>,
}

/// `POST /api/import`: 200 with what became of each login.
pub(super) async fn import(
    State(app): State<Arc<App>>,
    Given(import): Given<Import>,
) -> Result<Json<ImportView>, ApiError> {
    let (client, place) = import.place(&app.home)?;
    let alias = import.alias.map(Alias::try_from).transpose();
    let alias = alias.map_err(|bad| ApiError::invalid("as", bad))?;
    let passphrase = import.passphrase.map(Passphrase::new);
    let Gathered { reading, files } = gather(client, &place, passphrase, &app.clock).await?;
    let mut view = ImportView {
        from: client.as_str(),
        program: client.title(),
        files: files.iter().map(|file| file.display().to_string()).collect(),
        dry_run: import.dry_run,
        added: Vec::new(),
        skipped: Vec::new(),
        warning: None,
    };
    for left in reading.left {
        view.skipped.push(SkippedView { name: left.name, code: "unusable", reason: left.why, alias: None });
    }
    let plan = plan(&app.state.snapshot(), reading.found, alias, app.clock.now())?;
    view.skipped.extend(plan.skipped);
    let mut shared = None;
    for planned in plan.added {
        let shown = AddedView::of(&planned);
        let renews = planned.credential.refresh.is_some();
        if !import.dry_run {
            match add(&app, planned, &place).await {
                Ok(()) => {
                    tracing::info!(alias = shown.alias, from = client.as_str(), "an account was imported")
                }
                Err(CommitError::Rejected(rejection)) => {
                    view.skipped.push(refused(&shown, rejection));
                    continue;
                }
                Err(error @ CommitError::NotDurable) => return Err(error.into()),
            }
        }
        if renews {
            shared.get_or_insert_with(|| shown.alias.clone());
        }
        view.added.push(shown);
    }
    view.warning = shared.map(|alias| two_owners(client, &place, &alias));
    Ok(Json(view))
}

impl Import {
    fn place(&self, home: &Home) -> Result<(Client, PathBuf), ApiError> {
        let Some(client) = Client::named(&self.from) else {
            let known = Client::ALL.map(Client::as_str).join(", ");
            return Err(ApiError::invalid("from", format!("must be one of {known}")));
        };
        let Some(place) = self.path.clone().or_else(|| home.place(client)) else {
            return Err(ApiError::invalid("path", "is needed: rota was started without a home directory"));
        };
        if !place.is_absolute() {
            return Err(ApiError::invalid("path", "must be absolute"));
        }
        Ok((client, place))
    }
}

/// An account to be made.
#[derive(Debug, PartialEq)]
struct Planned {
    alias: Alias,
    provider: ProviderId,
    credential: Credential,
    off: Option<String>,
}

#[derive(Debug, Default, PartialEq)]
struct Plan {
    added: Vec<Planned>,
    skipped: Vec<SkippedView>,
}

/// What becomes of each login that was found, in the world as it is. `wanted` is the name for the only one.
fn plan(world: &Snapshot, found: Vec<Found>, wanted: Option<Alias>, now: Time) -> Result<Plan, ApiError> {
    let mut plan = Plan::default();
    for found in found {
        let provider = match judge(world, &plan.added, &found, now) {
            Ok(provider) => provider,
            Err(skipped) => {
                plan.skipped.push(skipped);
                continue;
            }
        };
        let name = found.name.as_deref().filter(|name| !name.contains('@')).unwrap_or(provider.as_str());
        let taken = |alias: &str| {
            let there = world.accounts.iter().map(|account| &account.alias);
            there.chain(plan.added.iter().map(|added| &added.alias)).any(|known| known.as_str() == alias)
        };
        let alias = Alias::near(name, taken);
        plan.added.push(Planned { alias, provider, credential: found.credential, off: found.off });
    }
    if let Some(alias) = wanted {
        match plan.added.as_mut_slice() {
            [] => {}
            [_] if world.by_alias(&alias).is_some() => return Err(Rejection::AliasTaken(alias).into()),
            [only] => only.alias = alias,
            several => {
                let constraint = format!("names one account, and there are {} logins to add", several.len());
                return Err(ApiError::invalid("as", constraint));
            }
        }
    }
    Ok(plan)
}

/// The provider of a login that can be added.
fn judge(world: &Snapshot, planned: &[Planned], found: &Found, now: Time) -> Result<ProviderId, SkippedView> {
    let name = found.name.clone().or_else(|| found.credential.identity.email.clone());
    let name = name.unwrap_or_else(|| found.provider.clone());
    let skipped = |code, reason: String, alias: Option<&Alias>| SkippedView {
        name: name.clone(),
        code,
        reason,
        alias: alias.map(ToString::to_string),
    };
    let id = ProviderId::try_from(found.provider.as_str()).ok();
    let Some(provider) = id.as_ref().and_then(|id| world.provider(id)) else {
        let reason = format!(
            "there is no provider {:?} in rota; a preset of your own makes one (docs/PROVIDERS.md)",
            found.provider
        );
        return Err(skipped("no-provider", reason, None));
    };
    if !provider.inject.contains_key(&found.credential.kind) {
        let kinds: Vec<&str> = provider.inject.keys().map(|kind| kind.as_str()).collect();
        let (kinds, kind) = (kinds.join(" or "), found.credential.kind.as_str());
        let reason = format!("rota's provider {} takes {kinds}, and this is {kind}", provider.id);
        return Err(skipped("kind-not-accepted", reason, None));
    }
    let there = world.accounts_of(&provider.id).find(|account| {
        account.credential.credential().is_some_and(|known| known.same_login(&found.credential))
    });
    if let Some(account) = there {
        let alias = &account.alias;
        let reason = match account.credential.usable() {
            Some(_) => format!("{alias} has this login already"),
            None => format!("{alias} has this login already, and it was refused; run: rota login {alias}"),
        };
        return Err(skipped("already-there", reason, Some(alias)));
    }
    let twin = planned
        .iter()
        .find(|other| other.provider == provider.id && other.credential.same_login(&found.credential));
    if let Some(twin) = twin {
        let reason = format!("it is the same login as {}", twin.alias);
        return Err(skipped("already-there", reason, Some(&twin.alias)));
    }
    if found.credential.lapsed(now) && found.credential.refresh.is_none() {
        let reason = "its token has ended and nothing can renew it; sign in with `rota login`".to_owned();
        return Err(skipped("expired", reason, None));
    }
    Ok(provider.id.clone())
}

/// Adds one account. One that is to be off is off before anything can be sent on it: both changes are published before
/// either is waited for.
async fn add(app: &App, planned: Planned, place: &Path) -> Result<(), CommitError> {
    let alias = planned.alias.clone();
    let added = Command::AccountAdded(Box::new(NewAccount {
        alias: planned.alias,
        provider: planned.provider,
        credential: planned.credential,
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: format!("imported from {}", place.display()),
    }));
    let Some(reason) = planned.off else {
        return app.state.commit(added).await.map(drop);
    };
    app.state.apply(added)?;
    let to = Switch::Off { at: app.clock.now(), by: Actor::Admin, reason: Some(reason) };
    app.state.commit(Command::Switched { alias, to, last: LastEnabled::Override }).await.map(drop)
}

/// Something else happened between plan and command.
fn refused(shown: &AddedView, rejection: Rejection) -> SkippedView {
    let reason = ApiError::from(rejection).message;
    SkippedView { name: shown.alias.clone(), code: "refused", reason, alias: None }
}

fn two_owners(client: Client, place: &Path, alias: &str) -> String {
    let place = place.display();
    format!(
        "{client} and rota now own one login, and two owners of one refresh token sign each other out: give rota a \
         login of its own, which is better (rota login {alias}), or take it from {client} by moving {place} away; \
         signing out there may end it for both"
    )
}

impl AddedView {
    fn of(planned: &Planned) -> Self {
        let credential = &planned.credential;
        Self {
            alias: planned.alias.to_string(),
            provider: planned.provider.to_string(),
            kind: credential.kind.as_str(),
            enabled: planned.off.is_none(),
            expires_at: credential.expires.map(Stamp::from),
            renews_itself: credential.refresh.is_some(),
            plan: credential.identity.plan.clone(),
            email: credential.identity.email.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::presets;
    use crate::model::{CredentialKind, Identity, Secret, Settings};

    const NOW: Time = Time::from_secs(1_800_000_000);
    const PRESET: &str = r#"
id = "p"
name = "P"
origin = "https://p.example"
dialect = "responses"
[inject.oauth]
set = { authorization = "Bearer {access}" }
[inject.bearer]
set = { authorization = "Bearer {access}" }
[token]
url = "https://p.example/token"
format = "json"
client_id = "rota"
"#;

    /// REN-5
    #[test]
    fn each_login_is_added_once_under_a_name_of_its_own() {
        let first = found(Some("me@example.com"), "a", "user-1");
        let again = found(Some("again"), "b", "user-1");
        let other = found(None, "c", "user-2");
        let named = found(Some("Work"), "d", "user-3");
        let mut ended = found(Some("ended"), "e", "user-4");
        ended.credential.refresh = None;
        ended.credential.expires = Some(NOW);
        let unknown = Found { provider: "q".to_owned(), ..found(None, "f", "user-5") };
        let mut key = found(None, "g", "user-6");
        key.credential.kind = CredentialKind::ApiKey;
        let found = vec![first, again, other, named, ended, unknown, key];
        let plan = plan(&world(), found, None, NOW).expect("a plan");
        let aliases: Vec<&str> = plan.added.iter().map(|added| added.alias.as_str()).collect();
        assert_eq!(aliases, ["p", "p-2", "work"], "an address is no name");
        let skipped: Vec<_> = plan
            .skipped
            .iter()
            .map(|skipped| (skipped.name.as_str(), skipped.code, skipped.alias.as_deref()))
            .collect();
        let expected = [
            ("again", "already-there", Some("p")),
            ("ended", "expired", None),
            ("q", "no-provider", None),
            ("p", "kind-not-accepted", None),
        ];
        assert_eq!(skipped, expected);
    }

    /// REN-5
    #[test]
    fn a_wish_for_a_name_is_kept_or_refused() {
        let wish = || Some(Alias::try_from("mine").expect("an alias"));
        let one = plan(&world(), vec![found(None, "a", "u")], wish(), NOW).expect("a plan");
        assert_eq!(one.added[0].alias.as_str(), "mine");
        assert_eq!(plan(&world(), Vec::new(), wish(), NOW), Ok(Plan::default()));
        let two = vec![found(None, "a", "u"), found(None, "b", "v")];
        let error = plan(&world(), two, wish(), NOW).expect_err("two logins");
        assert!(error.message.contains("names one account, and there are 2 logins"), "{error:?}");
    }

    fn world() -> Snapshot {
        let provider = presets::parse("p.toml", PRESET).expect("a preset");
        Snapshot::empty(Settings::default(), vec![provider])
    }

    fn found(name: Option<&str>, token: &str, user: &str) -> Found {
        let credential = Credential {
            version: 1,
            kind: CredentialKind::Oauth,
            access: Secret::new(format!("{token}-access")),
            refresh: Some(Secret::new(format!("{token}-refresh"))),
            self_granted: false,
            id_token: None,
            identity: Identity { user: Some(user.to_owned()), ..Identity::default() },
            issued: NOW,
            expires: Some(NOW),
        };
        Found { provider: "p".to_owned(), name: name.map(str::to_owned), credential, off: None }
    }
}
