//! A document in version 2, taken apart into the records that it becomes.
use super::backend::{Backend, Key};
use super::document::{ORIGIN, overwrite, overwrite_credential};
use super::error::StoreError;
use super::schema::credential::{self, SECRETS};
use super::schema::fields::{BadField, Fields, Object};
use super::schema::runtime::Runtime;
use super::schema::state::{self, Listed, Quarantined, State};
use super::seal::{Sealer, Whose};
use crate::model::{AccountId, Credential, ProviderId};
use serde_json::{Map, Value};

/// A document as records.
pub(super) struct Plan {
    pub(super) state: State,
    pub(super) parts: Vec<Part>,
    /// Accounts that lack something, and what.
    pub(super) flaws: Vec<(String, String)>,
}

/// What goes with one account.
pub(super) struct Part {
    pub(super) id: AccountId,
    provider: Option<ProviderId>,
    credential: Option<Credential>,
    runtime: Runtime,
}

impl Plan {
    /// Of a document in version 2. Accounts are numbered from `first` on, in the order of their old numbers and names.
    pub(super) fn of(document: Value, first: AccountId) -> Result<Self, BadField> {
        let mut fields = Fields::of(document)?;
        let accounts: Map<String, Value> = fields.need("accounts")?;
        let force: Map<String, Value> = fields.get("force")?.unwrap_or_default();
        let settings = fields.get("settings")?.unwrap_or_default();
        for known in ["version", "generator", "nextAccountId", ORIGIN] {
            let _: Option<Value> = fields.get(known)?;
        }
        let mut plan = Self { state: State::default(), parts: Vec::new(), flaws: Vec::new() };
        plan.state.force = state::take_force(&mut Fields::of(force.into())?)?;
        plan.state.carried.settings = settings;
        plan.state.carried.extra = fields.rest();
        let mut accounts: Vec<(String, Value)> = accounts.into_iter().collect();
        accounts.sort_by_key(|(_, account)| account.get("id").and_then(Value::as_u64));
        let mut next = first;
        for (name, account) in accounts {
            plan.add(name, account, next);
            next = AccountId(next.0.saturating_add(1));
        }
        plan.state.next_account = Some(next);
        Ok(plan)
    }

    fn add(&mut self, name: String, account: Value, id: AccountId) {
        let Value::Object(mut account) = account else {
            let problem = "must be an object".to_owned();
            self.flaws.push((name.clone(), problem.clone()));
            let value = Object::default().set("id", id.0).set("alias", name).set("value", account).into();
            self.state.carried.quarantined.push(Quarantined { value, problem });
            return;
        };
        account.insert("id".to_owned(), id.0.into());
        let provider = account.get("provider").and_then(Value::as_str).and_then(|name| name.try_into().ok());
        let mut part = Part { id, provider, credential: None, runtime: Runtime::default() };
        let mut fields = Fields::of(account.into()).unwrap_or_default();
        match fields.all(credential::take) {
            Ok(credential) => part.credential = Some(credential),
            Err(bad) => self.flaws.push((name.clone(), bad.to_string())),
        }
        match fields.all(Runtime::take) {
            Ok(runtime) => part.runtime = runtime,
            Err(bad) => self.flaws.push((name.clone(), bad.to_string())),
        }
        self.parts.push(part);
        let listed = fields.all(state::take);
        let mut rest = fields.rest();
        rest.retain(|name, _| !SECRETS.contains(&name.as_str()));
        match listed {
            Ok(listed) => self.list(listed, rest),
            Err(bad) => {
                let problem = bad.to_string();
                self.flaws.push((name, problem.clone()));
                let value = rest.into();
                self.state.carried.quarantined.push(Quarantined { value, problem });
            }
        }
    }

    fn list(&mut self, listed: Listed, extra: Map<String, Value>) {
        if !extra.is_empty() {
            self.state.carried.accounts.insert(listed.id, extra);
        }
        self.state.accounts.push(listed);
    }
}

impl Part {
    pub(super) fn write(&self, backend: &dyn Backend, sealer: &Sealer) -> Result<(), StoreError> {
        if let Some(credential) = &self.credential {
            let body = credential::give(credential, &Map::new()).text();
            let whose = Whose { id: self.id, provider: self.provider.as_ref() };
            overwrite_credential(backend, sealer, whose, &body)?;
        }
        overwrite(backend, Key::Runtime(self.id), &self.runtime.give(&Map::new()).text())
    }
}
