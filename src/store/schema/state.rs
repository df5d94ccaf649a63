//! `state`: accounts, switches, force, settings; what humans decided. No secret, no measurement.
use super::fields::{BadField, Fields, Object};
use super::{audit, keys};
use crate::model::{
    Account, AccountId, Actor, Alias, AuditEntry, ClientKey, ProviderId, Snapshot, Strategy, Switch, Time,
    Weight,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the state record says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct State {
    /// Accounts that can be used, ascending by id.
    pub(in crate::store) accounts: Vec<Listed>,
    /// What follows is written back as it was read.
    pub(in crate::store) carried: Carried,
    pub(in crate::store) next_account: Option<AccountId>,
    pub(in crate::store) force: Option<Pinned>,
    pub(in crate::store) keys: Vec<ClientKey>,
    /// Entries of the trail of changes that its own record may not have yet, in order.
    pub(in crate::store) changes: Vec<Arc<AuditEntry>>,
}

/// What a rewrite of the state keeps although the snapshot does not know it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct Carried {
    /// Settings that a human changed while rota ran.
    pub(in crate::store) settings: Map<String, Value>,
    /// Accounts that cannot be used, verbatim, and why.
    pub(in crate::store) quarantined: Vec<Quarantined>,
    /// Unknown fields of accounts.
    pub(in crate::store) accounts: BTreeMap<AccountId, Map<String, Value>>,
    /// Unknown fields of the record.
    pub(in crate::store) extra: Map<String, Value>,
}

/// An account that is kept but cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Quarantined {
    pub(in crate::store) value: Value,
    pub(in crate::store) problem: String,
}

impl Quarantined {
    pub(in crate::store) fn id(&self) -> Option<AccountId> {
        let id = self.value.get("id")?.as_u64()?;
        u32::try_from(id).ok().map(AccountId)
    }

    /// Its number and its provider, where both can be told.
    pub(in crate::store) fn owner(&self) -> Option<(AccountId, ProviderId)> {
        let provider = self.value.get("provider")?.as_str()?;
        Some((self.id()?, provider.try_into().ok()?))
    }

    /// Its alias, or what stands in its place, short.
    pub(in crate::store) fn name(&self) -> String {
        let alias = self.value.get("alias").and_then(Value::as_str).unwrap_or("(no alias)");
        alias.chars().filter(|c| !c.is_control()).take(64).collect()
    }
}

/// What the state record says of one account.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Listed {
    pub(in crate::store) id: AccountId,
    pub(in crate::store) alias: Alias,
    pub(in crate::store) provider: ProviderId,
    pub(in crate::store) tags: Vec<String>,
    pub(in crate::store) notes: String,
    pub(in crate::store) switch: Switch,
    pub(in crate::store) weight: Weight,
    pub(in crate::store) quota_group: Option<Arc<str>>,
}

/// The pin, by alias (STO-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Pinned {
    pub(in crate::store) alias: Alias,
    pub(in crate::store) since: Time,
    pub(in crate::store) until: Time,
    pub(in crate::store) by: Actor,
    /// The strategy beneath, for programs that need to restore it; rota's never changes.
    pub(in crate::store) strategy: Strategy,
}

/// Reads a state record. An account that is wrong, or of a provider that nobody `knows`, is quarantined; anything else
/// that is wrong damages the record.
pub(in crate::store) fn parse(body: &[u8], knows: impl Fn(&ProviderId) -> bool) -> Result<State, BadField> {
    let mut fields = Fields::parse(body)?;
    let listed: Vec<Value> = fields.need("accounts")?;
    let next_account = fields.get("nextAccountId")?;
    let force = take_force(&mut fields)?;
    let settings = fields.get("settings")?.unwrap_or_default();
    let keys: Vec<Value> = fields.get(keys::FIELD)?.unwrap_or_default();
    let keys = keys.into_iter().map(keys::take).collect::<Result<_, _>>()?;
    // No decision depends on it: what is no list is none.
    let changes: Option<Value> = fields.get(audit::FIELD)?;
    let changes = changes.and_then(|value| value.as_array().cloned()).unwrap_or_default();
    let changes = audit::entries(changes).into_iter().map(Arc::new).collect();
    let mut state = State { next_account, force, keys, changes, ..State::default() };
    for value in listed {
        match admit(&value, &state.accounts, &knows) {
            Ok((account, extra)) => {
                if !extra.is_empty() {
                    state.carried.accounts.insert(account.id, extra);
                }
                state.accounts.push(account);
            }
            Err(bad) => state.carried.quarantined.push(Quarantined { value, problem: bad.to_string() }),
        }
    }
    state.accounts.sort_by_key(|account| account.id);
    state.carried.settings = settings;
    state.carried.extra = fields.rest();
    Ok(state)
}

fn admit(
    value: &Value,
    there: &[Listed],
    knows: impl Fn(&ProviderId) -> bool,
) -> Result<(Listed, Map<String, Value>), BadField> {
    let mut fields = Fields::of(value.clone())?;
    let account = take(&mut fields)?;
    if !knows(&account.provider) {
        let problem = format!("there is no provider \"{}\"; restore its preset", account.provider);
        return Err(BadField::new("provider", problem));
    }
    if there.iter().any(|other| other.id == account.id) {
        return Err(BadField::new("id", format!("{} is taken", account.id)));
    }
    if there.iter().any(|other| other.alias == account.alias) {
        return Err(BadField::new("alias", format!("\"{}\" is taken", account.alias)));
    }
    if there.len() >= Snapshot::ACCOUNTS {
        let problem = format!("there are {} already, the most there can be", Snapshot::ACCOUNTS);
        return Err(BadField::new("accounts", problem));
    }
    Ok((account, fields.rest()))
}

/// Takes one account's fields.
pub(in crate::store) fn take(fields: &mut Fields) -> Result<Listed, BadField> {
    let share: Option<f64> = fields.get("weight")?;
    let weight = match share {
        None => Weight::FULL,
        Some(share) => Weight::new(share).ok_or_else(|| {
            BadField::new("weight", format!("is {share}; it must be above 0 and at most 1"))
        })?,
    };
    Ok(Listed {
        id: fields.need("id")?,
        alias: fields.need("alias")?,
        provider: fields.need("provider")?,
        tags: fields.get("tags")?.unwrap_or_default(),
        notes: fields.get("notes")?.unwrap_or_default(),
        switch: take_switch(fields)?,
        weight,
        quota_group: fields.get::<String>("quotaGroup")?.map(Into::into),
    })
}

fn take_switch(fields: &mut Fields) -> Result<Switch, BadField> {
    let at: Option<Time> = fields.get("disabledAt")?;
    let by: Option<Actor> = fields.get("disabledBy")?;
    let reason = fields.get("disableReason")?;
    Ok(match fields.get("enabled")?.unwrap_or(true) {
        true => Switch::On,
        false => Switch::Off { at: at.unwrap_or_default(), by: by.unwrap_or(Actor::Admin), reason },
    })
}

/// Takes the fields of STO-3.
pub(in crate::store) fn take_force(fields: &mut Fields) -> Result<Option<Pinned>, BadField> {
    let alias: Option<Alias> = fields.get("forcedAlias")?;
    let since: Option<Time> = fields.get("forcedAt")?;
    let until: Option<Time> = fields.get("forcedUntil")?;
    let by: Option<Actor> = fields.get("forcedBy")?;
    let strategy: Option<Strategy> = fields.get("previousRotationStrategy")?;
    let Some((alias, until)) = alias.zip(until) else {
        return Ok(None);
    };
    Ok(Some(Pinned {
        alias,
        since: since.unwrap_or(until),
        until,
        by: by.unwrap_or(Actor::Admin),
        strategy: strategy.unwrap_or_default(),
    }))
}

impl State {
    /// The state record for `world`, with the changes that came after the one with the number `audited`.
    pub(in crate::store) fn of(world: &Snapshot, carried: Carried, audited: u64) -> Self {
        let force = world.force.as_ref().and_then(|force| {
            Some(Pinned {
                alias: world.account(force.account)?.alias.clone(),
                since: force.since,
                until: force.until,
                by: force.by,
                strategy: world.settings.strategy,
            })
        });
        Self {
            accounts: world.accounts.iter().map(|account| Listed::of(account)).collect(),
            carried,
            next_account: Some(world.next_account),
            force,
            keys: world.keys.iter().map(|key| ClientKey::clone(key)).collect(),
            changes: world.audit.since(audited).cloned().collect(),
        }
    }

    /// As a record's body.
    pub(in crate::store) fn text(&self) -> Vec<u8> {
        let none = Map::new();
        let accounts = self.accounts.iter().map(|account| {
            let extra = self.carried.accounts.get(&account.id).unwrap_or(&none);
            account.give(extra).into()
        });
        let quarantined = self.carried.quarantined.iter().map(|one| one.value.clone());
        let accounts: Vec<Value> = accounts.chain(quarantined).collect();
        let object = Object::over(&self.carried.extra)
            .set("accounts", accounts)
            .put("nextAccountId", self.next_account.map(|id| id.0))
            .set("settings", self.carried.settings.clone())
            .set(keys::FIELD, self.keys.iter().map(keys::give).collect::<Vec<Value>>())
            .put(audit::FIELD, Some(audit::list(&self.changes)).filter(|changes| !changes.is_empty()));
        match &self.force {
            Some(force) => force.give(object),
            None => object,
        }
        .text()
    }
}

impl Pinned {
    /// The fields of STO-3, on top of `object`.
    pub(in crate::store) fn give(&self, object: Object) -> Object {
        object
            .set("forcedAlias", self.alias.as_str())
            .time("forcedAt", Some(self.since))
            .time("forcedUntil", Some(self.until))
            .set("forcedBy", self.by.as_str())
            .set("previousRotationStrategy", self.strategy.as_str())
    }
}

impl Listed {
    fn of(account: &Account) -> Self {
        Self {
            id: account.id,
            alias: account.alias.clone(),
            provider: account.provider.clone(),
            tags: account.tags.clone(),
            notes: account.notes.clone(),
            switch: account.switch.clone(),
            weight: account.weight,
            quota_group: account.quota_group.clone(),
        }
    }

    /// The fields, over those that this program does not know.
    pub(in crate::store) fn give(&self, extra: &Map<String, Value>) -> Object {
        let object = Object::over(extra)
            .set("id", self.id.0)
            .set("alias", self.alias.as_str())
            .set("provider", self.provider.as_str())
            .set("tags", self.tags.clone())
            .set("notes", self.notes.clone())
            .set("weight", self.weight.share())
            .put("quotaGroup", self.quota_group.as_deref())
            .set("enabled", self.switch == Switch::On);
        match &self.switch {
            Switch::On => object,
            Switch::Off { at, by, reason } => object
                .time("disabledAt", Some(*at))
                .set("disabledBy", by.as_str())
                .put("disableReason", reason.clone()),
        }
    }
}
