use super::{Durability, Edit, LastEnabled, NewAccount, Rejection, Weights};
use crate::model::{
    Account, AccountId, Alias, CredentialState, Health, Limits, Provider, ProviderId, Renewal, Settings,
    Snapshot, Switch, Weight,
};
use std::sync::Arc;

pub(super) fn added(next: &mut Snapshot, new: NewAccount) -> Result<Durability, Rejection> {
    if next.by_alias(&new.alias).is_some() {
        return Err(Rejection::AliasTaken(new.alias));
    }
    let Some(provider) = next.provider(&new.provider) else {
        return Err(Rejection::UnknownProvider(new.provider));
    };
    if !provider.inject.contains_key(&new.credential.kind) {
        return Err(Rejection::KindNotAccepted(new.provider));
    }
    let id = next.next_account;
    let Some(following) = id.0.checked_add(1) else {
        return Err(Rejection::TooManyAccounts);
    };
    if next.accounts.len() >= Snapshot::ACCOUNTS {
        return Err(Rejection::TooManyAccounts);
    }
    let mut credential = new.credential;
    credential.version = 1;
    next.next_account = AccountId(following);
    next.accounts.push(Arc::new(Account {
        id,
        alias: new.alias,
        provider: new.provider,
        tags: new.tags,
        notes: new.notes,
        switch: Switch::On,
        weight: new.weight,
        quota_group: new.quota_group,
        credential: CredentialState::Usable(Arc::new(credential)),
        renewal: Renewal::default(),
        limits: Limits::default(),
        health: Health::default(),
    }));
    Ok(Durability::Required)
}

pub(super) fn removed(
    next: &mut Snapshot,
    alias: &Alias,
    last: LastEnabled,
) -> Result<Durability, Rejection> {
    let account = named(next, alias)?.clone();
    spare(next, &account, last)?;
    next.accounts.retain(|kept| kept.id != account.id);
    Ok(Durability::Required)
}

/// All of it or nothing. An edit that would change nothing has been made before: a form that was sent twice.
pub(super) fn edited(next: &mut Snapshot, alias: &Alias, edit: Edit) -> Result<Durability, Rejection> {
    let old = named(next, alias)?.clone();
    if let Some(name) = edit.alias.as_ref().filter(|name| *name != alias)
        && next.by_alias(name).is_some()
    {
        return Err(Rejection::AliasTaken(name.clone()));
    }
    let Edit { alias: name, weight, tags, notes, quota_group } = edit;
    let new = Account {
        alias: name.unwrap_or_else(|| old.alias.clone()),
        weight: weight.unwrap_or(old.weight),
        tags: tags.unwrap_or_else(|| old.tags.clone()),
        notes: notes.unwrap_or_else(|| old.notes.clone()),
        quota_group: quota_group.unwrap_or_else(|| old.quota_group.clone()),
        ..Account::clone(&old)
    };
    if new == *old {
        return Err(Rejection::AlreadyInState(alias.clone()));
    }
    *super::find(next, old.id)? = new;
    Ok(Durability::Required)
}

pub(super) fn switched(
    next: &mut Snapshot,
    alias: &Alias,
    to: Switch,
    last: LastEnabled,
) -> Result<Durability, Rejection> {
    let account = named(next, alias)?.clone();
    match (&account.switch, &to) {
        (Switch::On, Switch::On) | (Switch::Off { .. }, Switch::Off { .. }) => {
            return Err(Rejection::AlreadyInState(alias.clone()));
        }
        (Switch::On, Switch::Off { .. }) => spare(next, &account, last)?,
        (Switch::Off { .. }, Switch::On) => {}
    }
    super::find(next, account.id)?.switch = to;
    Ok(Durability::Required)
}

/// Accounts stay, also those whose preset is gone: it may come back.
pub(super) fn reconfigured(
    next: &mut Snapshot,
    settings: Settings,
    providers: Vec<Arc<Provider>>,
) -> Result<Durability, Rejection> {
    next.settings = Arc::new(settings);
    if *next.providers != *providers {
        next.providers = providers.into();
    }
    let providers = next.providers.clone();
    let known = |id: &ProviderId| providers.iter().any(|provider| provider.id == *id);
    next.breakers.retain(|id, _| known(id));
    next.deaths.retain(|id, _| known(id));
    Ok(Durability::Required)
}

/// Other settings, from the next request on. No account is touched but by its share.
pub(super) fn tuned(
    next: &mut Snapshot,
    settings: Settings,
    weights: Weights,
) -> Result<Durability, Rejection> {
    next.settings = Arc::new(settings);
    let unequal = next.accounts.iter_mut().filter(|account| account.weight != Weight::FULL);
    if weights == Weights::Equal {
        unequal.for_each(|account| Arc::make_mut(account).weight = Weight::FULL);
    }
    Ok(Durability::Required)
}

/// Turned down if `account` is the last enabled one of its provider and must stay (ADM-2).
fn spare(next: &Snapshot, account: &Account, last: LastEnabled) -> Result<(), Rejection> {
    let others = next.accounts_of(&account.provider).any(|other| other.id != account.id && other.is_on());
    if account.is_on() && !others && last == LastEnabled::Keep {
        return Err(Rejection::LastEnabled(account.alias.clone()));
    }
    Ok(())
}

fn named<'a>(next: &'a Snapshot, alias: &Alias) -> Result<&'a Arc<Account>, Rejection> {
    next.by_alias(alias).ok_or(Rejection::UnknownAccount)
}
