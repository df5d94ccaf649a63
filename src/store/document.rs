//! The whole store as one document, version 2, with the names of STO-2 and STO-3: `rota store export` writes it,
//! `rota store import` reads it, and a document of an earlier version that lies in the state directory is taken in.
use super::backend::{Backend, Found, Key, Legacy};
use super::digest::Fingerprint;
use super::error::StoreError;
use super::migrate;
use super::plan::Plan;
use super::schema::fields::{self, BadField, Fields, Object};
use super::schema::state::{self, Quarantined, State};
use super::schema::{audit, keys};
use super::seal::{Form, Sealer, Whose};
use crate::model::{AccountId, Alias};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Where the state record notes which document it was made of.
pub(super) const ORIGIN: &str = "migratedFrom";

/// Whether an export holds token material.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// It does: whoever has the text can use the accounts.
    Include,
    /// It does not.
    Omit,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Accounts that are there now.
    pub added: Vec<Alias>,
    /// Accounts that were left out because their alias is taken.
    pub skipped: Vec<Alias>,
    /// Accounts that were taken in with something missing: their name and what is wrong.
    pub flawed: Vec<(String, String)>,
}

/// The whole store as one document. Unknown fields are in it as they are stored, save those beside omitted secrets. Of a
/// credential that does not open, an export without secrets says what can be read; with them it is an error.
pub fn export(backend: &dyn Backend, secrets: Secrets, sealer: &Sealer) -> Result<Value, StoreError> {
    let found = backend.load()?;
    let body = state_body(found.get(&Key::State))?;
    let mut fields = Fields::parse(body).map_err(broken)?;
    let listed: Vec<Value> = fields.need("accounts").map_err(broken)?;
    let mut settings: Map<String, Value> = fields.get("settings").map_err(broken)?.unwrap_or_default();
    let strategy = settings.get("rotation").and_then(|rotation| rotation.get("strategy"));
    if let Some(strategy) = strategy.cloned() {
        settings.insert("rotationStrategy".to_owned(), strategy);
    }
    let mut accounts = Map::new();
    for account in listed {
        let Value::Object(mut account) = account else {
            continue;
        };
        let id = account.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
        for key in id.map(AccountId).into_iter().flat_map(|id| [Key::Credential(id), Key::Runtime(id)]) {
            let record = found.get(&key).and_then(Found::record);
            let body = record.map(|record| readable(key, &record.body, secrets, sealer)).transpose()?;
            let body = body.and_then(|body| Fields::parse(&body).ok());
            account.extend(shown(key, body.map(Fields::rest).unwrap_or_default(), secrets));
        }
        let alias = account.get("alias").and_then(Value::as_str).map(str::to_owned);
        let mut name = alias.unwrap_or_else(|| "account".to_owned());
        while accounts.contains_key(&name) {
            name.push('+');
        }
        accounts.insert(name, account.into());
    }
    let mut rest = fields.rest();
    // They name accounts by numbers of this store, and a client has its key for this machine's rota.
    rest.remove(keys::FIELD);
    rest.remove(audit::FIELD);
    let force =
        rest.iter().filter(|(name, _)| name.starts_with("forced") || *name == "previousRotationStrategy");
    let force: Map<String, Value> = force.map(|(name, value)| (name.clone(), value.clone())).collect();
    let force = if force.is_empty() { Value::Null } else { force.into() };
    Ok(Object::over(&rest)
        .set("version", super::SCHEMA)
        .set("generator", migrate::GENERATOR)
        .set("accounts", accounts)
        .set("settings", settings)
        .set("force", force)
        .into())
}

/// The record's body, in the clear if it opens.
fn readable<'a>(
    key: Key,
    body: &'a [u8],
    secrets: Secrets,
    sealer: &Sealer,
) -> Result<Cow<'a, [u8]>, StoreError> {
    let Key::Credential(id) = key else {
        return Ok(Cow::Borrowed(body));
    };
    match (sealer.open(Whose { id, provider: None }, body), secrets) {
        (Ok(body), _) => Ok(body),
        (Err(_), Secrets::Omit) => Ok(Cow::Borrowed(body)),
        (Err(why), Secrets::Include) => Err(StoreError::Sealed { key, problem: why.to_string() }),
    }
}

fn shown(key: Key, body: Map<String, Value>, secrets: Secrets) -> Map<String, Value> {
    if !matches!(key, Key::Credential(_)) || secrets == Secrets::Include {
        return body;
    }
    // Only what is known to be harmless: an unknown field beside a token may be one.
    const HARMLESS: [&str; 8] =
        ["credentialVersion", "kind", "accountId", "userId", "planType", "email", "issuedAt", "expiresAt"];
    let harmless = |(name, _): &(String, Value)| HARMLESS.contains(&name.as_str());
    body.into_iter().filter(harmless).collect()
}

/// Adds the accounts of `document` (version 1 or 2) to the store, whose owner the caller must be. Nothing that is there
/// is changed. Settings and the force are taken only by a store that has no accounts yet.
pub fn import(backend: &dyn Backend, document: &[u8], sealer: &Sealer) -> Result<ImportReport, StoreError> {
    let bad = |bad: BadField| StoreError::BadDocument(bad.to_string());
    let document = fields::parse(document).and_then(migrate::upgrade).map_err(bad)?;
    let found = backend.load()?;
    let mut there = match found.get(&Key::State) {
        Some(Found::Absent) | None if found.values().all(|found| *found == Found::Absent) => State::default(),
        state => state::parse(state_body(state)?, |_| true).map_err(broken)?,
    };
    let records = found.iter().filter(|(_, found)| **found != Found::Absent);
    let ids = records.filter_map(|(key, _)| key.account());
    let next = next_account(&there, ids);
    let last = AccountId(next.0.saturating_sub(1));
    let plan = Plan::of(document, next).map_err(bad)?;
    let mut report = ImportReport::default();
    let fresh = there.accounts.is_empty() && there.carried.quarantined.is_empty();
    for listed in plan.state.accounts {
        if there.accounts.iter().any(|other| other.alias == listed.alias) {
            report.skipped.push(listed.alias);
            continue;
        }
        plan.parts
            .iter()
            .filter(|part| part.id == listed.id)
            .try_for_each(|part| part.write(backend, sealer))?;
        report.added.push(listed.alias.clone());
        if let Some(extra) = plan.state.carried.accounts.get(&listed.id) {
            there.carried.accounts.insert(listed.id, extra.clone());
        }
        there.accounts.push(listed);
    }
    for one in plan.state.carried.quarantined {
        let parts = plan.parts.iter().filter(|part| Some(part.id) == one.id());
        parts.into_iter().try_for_each(|part| part.write(backend, sealer))?;
        there.carried.quarantined.push(one);
    }
    report.flawed = plan.flaws;
    there.next_account = Some(next_account(&there, std::iter::once(last)));
    if fresh {
        there.force = plan.state.force;
        there.carried.settings = plan.state.carried.settings;
        there.carried.extra.extend(plan.state.carried.extra);
    }
    overwrite(backend, Key::State, &there.text())?;
    Ok(report)
}

/// Makes records of a document that lies where the records go, then puts it aside. The state record comes last: cut
/// off before it, all of this happens again and comes to the same; cut off after it, only the putting aside is left.
pub(super) fn take_in(backend: &dyn Backend, legacy: &Legacy, sealer: &Sealer) -> Result<usize, StoreError> {
    let bad = |bad: BadField| StoreError::BadDocument(format!("{}: {bad}", legacy.name));
    let document = fields::parse(&legacy.bytes).and_then(migrate::upgrade).map_err(bad)?;
    let mut plan = Plan::of(document, AccountId(1)).map_err(bad)?;
    plan.parts.iter().try_for_each(|part| part.write(backend, sealer))?;
    let origin = origin(legacy);
    plan.state.carried.extra.insert(ORIGIN.to_owned(), origin.into());
    overwrite(backend, Key::State, &plan.state.text())?;
    backend.retire(legacy)?;
    Ok(plan.state.accounts.len() + plan.state.carried.quarantined.len())
}

/// True if the state record was made of this document.
pub(super) fn came_from(state: Option<&Found>, legacy: &Legacy) -> bool {
    let record = state.and_then(Found::record);
    let fields = record.and_then(|record| Fields::parse(&record.body).ok());
    let noted = fields.and_then(|mut fields| fields.get::<String>(ORIGIN).ok().flatten());
    noted.is_some_and(|noted| noted == origin(legacy))
}

fn origin(legacy: &Legacy) -> String {
    format!("{} {}", legacy.name, Fingerprint::of(&legacy.bytes))
}

/// Puts `body` over whatever is there, unless it is there already.
pub(super) fn overwrite(backend: &dyn Backend, key: Key, body: &[u8]) -> Result<(), StoreError> {
    let found = backend.read(key)?;
    match &found {
        Found::Good(record) if record.body == body => return Ok(()),
        Found::Absent | Found::Damaged { .. } | Found::Good(_) | Found::Restored { .. } => {}
    }
    let version = found.record().map_or(0, |record| record.version);
    backend.put(key, version, body).map(|_| ())
}

/// Puts a credential record's body, given in the clear, over whatever is there, in the form that `sealer` wants, unless
/// that is there already.
pub(super) fn overwrite_credential(
    backend: &dyn Backend,
    sealer: &Sealer,
    whose: Whose<'_>,
    body: &[u8],
) -> Result<(), StoreError> {
    let key = Key::Credential(whose.id);
    let found = backend.read(key)?;
    if let Found::Good(record) = &found
        && sealer.writes(&Form::of(&record.body))
        && sealer.open(whose, &record.body).is_ok_and(|there| there == body)
    {
        return Ok(());
    }
    let version = found.record().map_or(0, |record| record.version);
    backend.put(key, version, &sealer.dress(whose, body)?).map(|_| ())
}

/// The first id above every one that `state` or a record bears.
pub(super) fn next_account(state: &State, records: impl Iterator<Item = AccountId>) -> AccountId {
    let listed = state.accounts.iter().map(|account| account.id);
    let quarantined = state.carried.quarantined.iter().filter_map(Quarantined::id);
    let highest = listed.chain(quarantined).chain(records).max();
    let above = highest.map_or(AccountId(1), |id| AccountId(id.0.saturating_add(1)));
    state.next_account.map_or(above, |next| next.max(above))
}

/// The settings that the store behind `backend` keeps, read without becoming its owner; none where there is no state to
/// be read.
pub fn kept_settings(backend: &dyn Backend) -> toml::Table {
    kept_state(backend).map(|state| to_toml(&state.carried.settings)).unwrap_or_default()
}

/// True where the store behind `backend` keeps keys of clients, so that every client needs one; read as
/// [`kept_settings`] are.
pub fn keeps_client_keys(backend: &dyn Backend) -> bool {
    kept_state(backend).is_some_and(|state| !state.keys.is_empty())
}

fn kept_state(backend: &dyn Backend) -> Option<state::State> {
    let found = backend.read(Key::State).ok()?;
    state::parse(&found.record()?.body, |_| true).ok()
}

/// Settings as TOML. JSON's null has no counterpart: a setting that is null is not set.
pub(super) fn to_toml(settings: &Map<String, Value>) -> toml::Table {
    let entry = |(name, value): (&String, &Value)| {
        let value = serde_json::from_value(value.clone()).ok()?;
        Some((name.clone(), value))
    };
    settings.iter().filter_map(entry).collect()
}

/// Settings as JSON.
pub(super) fn from_toml(settings: &toml::Table) -> Map<String, Value> {
    let entry = |(name, value): (&String, &toml::Value)| {
        let value = serde_json::to_value(value).ok()?;
        Some((name.clone(), value))
    };
    settings.iter().filter_map(entry).collect()
}

pub(super) fn state_body(state: Option<&Found>) -> Result<&[u8], StoreError> {
    match state {
        Some(Found::Good(record) | Found::Restored { record, .. }) => Ok(&record.body),
        Some(Found::Damaged { problem }) => {
            Err(StoreError::Unrecoverable(format!("the state record: {problem}")))
        }
        Some(Found::Absent) | None => Err(StoreError::Unrecoverable("the state record is gone".to_owned())),
    }
}

pub(super) fn broken(bad: BadField) -> StoreError {
    StoreError::Unrecoverable(format!("the state record: {bad}"))
}
