mod accounts;
mod credentials;
mod faults;
mod force;
mod keys;
mod limits;
mod told;

use super::classify::Fault;
use crate::model::{
    Account, AccountId, Actor, Alias, ClientKey, Credential, KeyName, LimitSample, ModelName, Note, Provider,
    ProviderId, Settings, Snapshot, Switch, Time, Weight,
};
use std::sync::Arc;

pub(super) use faults::{Touches, touches};
pub(super) use force::has_fallen;

/// Everything that can happen to the state. There is no other way to change it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A human adds an account.
    AccountAdded(Box<NewAccount>),
    /// A human changes what an account is called, or what is written beside its name.
    AccountEdited {
        /// Which.
        alias: Alias,
        /// What.
        edit: Box<Edit>,
    },
    /// A human removes one.
    AccountRemoved {
        /// Which.
        alias: Alias,
        /// May it be the last enabled one of its provider?
        last: LastEnabled,
    },
    /// An attempt on an account (or, by scope, beyond it) failed.
    Faulted {
        /// The account it was sent to.
        account: AccountId,
        /// The credential version it was sent with.
        version: u64,
        /// The model asked for, if known.
        model: Option<ModelName>,
        /// What went wrong and who is to blame.
        fault: Fault,
    },
    /// A human pins an account for 24 h (FRC-1).
    Forced {
        /// Which.
        alias: Alias,
        /// Who asked.
        by: Actor,
    },
    /// A human takes the pin back.
    ForceCleared,
    /// A human makes a key for a client.
    KeyAdded(Box<ClientKey>),
    /// A human takes one back.
    KeyRemoved {
        /// Which.
        name: KeyName,
    },
    /// A successful reply told the limits.
    LimitsSeen {
        /// Whose.
        account: AccountId,
        /// What it told.
        sample: LimitSample,
    },
    /// The limits were asked for, and nothing was learnt.
    ProbeFailed {
        /// Whose.
        account: AccountId,
        /// What happened, bounded, no secret.
        error: String,
    },
    /// A human signed in again, and the new credential is durable already (REN-6).
    Reauthenticated {
        /// Whose.
        account: AccountId,
        /// The new one; its version is higher than that of any before.
        credential: Credential,
    },
    /// The configuration was read again.
    Reconfigured {
        /// The new settings.
        settings: Settings,
        /// The new presets.
        providers: Vec<Arc<Provider>>,
    },
    /// A token was renewed, and the new one is durable already.
    Refreshed {
        /// Whose.
        account: AccountId,
        /// The version it replaces.
        version: u64,
        /// The new one; its version is higher.
        credential: Credential,
    },
    /// A renewal failed.
    RenewalFailed {
        /// Whose.
        account: AccountId,
        /// The version that was to be replaced.
        version: u64,
        /// How.
        failure: RenewalFailure,
    },
    /// A reply passed on an account that something was held against, or through a breaker's probe.
    Served {
        /// Which.
        account: AccountId,
    },
    /// A human flips the Enabled switch.
    Switched {
        /// Which.
        alias: Alias,
        /// To what.
        to: Switch,
        /// May it be the last enabled one of its provider?
        last: LastEnabled,
    },
    /// Time passed: a force that ran out goes.
    TimePassed,
    /// A human changes settings, which are kept already.
    Tuned {
        /// What is in force now.
        settings: Settings,
        /// What was changed, in words.
        told: Vec<Note>,
        /// What becomes of the accounts' shares.
        weights: Weights,
    },
}

/// What a change of settings does to the accounts' shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// All get the whole.
    Equal,
    /// They stay.
    Keep,
}

/// What a new account is made of. It starts enabled, with credential version 1.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAccount {
    /// Its name; must be free.
    pub alias: Alias,
    /// Its preset; must exist and inject this kind of credential.
    pub provider: ProviderId,
    /// Its token material.
    pub credential: Credential,
    /// Its share.
    pub weight: Weight,
    /// Its quota group.
    pub quota_group: Option<Arc<str>>,
    /// Its labels.
    pub tags: Vec<String>,
    /// Its notes.
    pub notes: String,
}

/// What a human changes of an account, all of it or nothing; none is left as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edit {
    /// Its name; must be free.
    pub alias: Option<Alias>,
    /// Its share.
    pub weight: Option<Weight>,
    /// Its labels.
    pub tags: Option<Vec<String>>,
    /// Its notes.
    pub notes: Option<String>,
    /// Its quota group, or none from now on.
    pub quota_group: Option<Option<Arc<str>>>,
}

/// How a renewal failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenewalFailure {
    /// The authority refused the refresh token for good; the detail is its code.
    Permanent {
        /// The code, bounded, no secret.
        detail: String,
    },
    /// It may work later.
    Transient {
        /// What happened, bounded, no secret.
        detail: String,
    },
}

/// Whether the last enabled account of a provider may go (ADM-2 LAST_ENABLED).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastEnabled {
    /// It must stay.
    Keep,
    /// The human said so.
    Override,
}

/// When a change must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing to store.
    None,
    /// Soon: it may be lost in a crash within five seconds (STO-7).
    Debounced,
    /// Before it is acknowledged.
    Required,
}

/// The next snapshot and what it asks of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The next state.
    pub snapshot: Snapshot,
    /// When it must be on disk.
    pub durability: Durability,
}

/// Why a command was turned down; nothing changed. The admin API's error codes, one to one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A disabled account cannot be forced.
    #[error("account \"{0}\" is disabled")]
    AccountDisabled(Alias),
    /// Its credential is dead, or its quota or money is spent: a force on it would end at once.
    #[error("account \"{0}\" cannot serve now: it needs a sign-in, or its quota is spent")]
    AccountUnable(Alias),
    /// The name is taken.
    #[error("there is an account \"{0}\" already")]
    AliasTaken(Alias),
    /// It is so already.
    #[error("account \"{0}\" is in that state already")]
    AlreadyInState(Alias),
    /// The preset does not inject this kind of credential.
    #[error("provider \"{0}\" takes no credential of this kind")]
    KindNotAccepted(ProviderId),
    /// The name is taken.
    #[error("there is a key \"{0}\" already")]
    KeyNameTaken(KeyName),
    /// It is the last enabled account of its provider.
    #[error("account \"{0}\" is the last enabled one of its provider")]
    LastEnabled(Alias),
    /// No force is active.
    #[error("no force is active")]
    NoForceActive,
    /// The report is about a credential that was replaced since.
    #[error("the report is about an older credential")]
    Outdated,
    /// No more accounts.
    #[error("there are {} accounts already, the most there can be", Snapshot::ACCOUNTS)]
    TooManyAccounts,
    /// No more keys.
    #[error("there are {} keys already, the most there can be", Snapshot::KEYS)]
    TooManyKeys,
    /// There is no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// There is no such key.
    #[error("there is no key \"{0}\"; `rota keys` shows those there are")]
    UnknownKey(KeyName),
    /// There is no such provider.
    #[error("there is no provider \"{0}\"")]
    UnknownProvider(ProviderId),
}

impl Command {
    /// Who it comes from where nobody says so: a program of the user's for what people ask for, else rota itself.
    pub fn author(&self) -> Actor {
        match self {
            Self::AccountAdded(_)
            | Self::AccountEdited { .. }
            | Self::AccountRemoved { .. }
            | Self::ForceCleared
            | Self::KeyAdded(_)
            | Self::KeyRemoved { .. }
            | Self::Reauthenticated { .. }
            | Self::Tuned { .. } => Actor::Admin,
            Self::Forced { by, .. } => *by,
            Self::Switched { to: Switch::Off { by, .. }, .. } => *by,
            Self::Switched { to: Switch::On, .. } => Actor::Admin,
            Self::Reconfigured { .. } => Actor::Config,
            Self::Faulted { .. }
            | Self::LimitsSeen { .. }
            | Self::ProbeFailed { .. }
            | Self::Refreshed { .. }
            | Self::RenewalFailed { .. }
            | Self::Served { .. }
            | Self::TimePassed => Actor::Engine,
        }
    }
}

/// The next snapshot, or why there is none, by the command's own author; see [`apply_by`].
pub fn apply(world: &Snapshot, command: Command, now: Time) -> Result<Applied, Rejection> {
    let by = command.author();
    apply_by(world, command, by, now)
}

/// The next snapshot, or why there is none. The last step heals it: in every published snapshot a force has not run
/// out and names an account that can serve (I9). What people would ask about later is noted in its audit trail, `by`
/// whom, which makes a change and its note durable together.
pub fn apply_by(world: &Snapshot, command: Command, by: Actor, now: Time) -> Result<Applied, Rejection> {
    let mut next = world.clone();
    let subject = told::Subject::of(&command);
    let spoken = told::spoken(&command);
    let changed = change(&mut next, command, now)?;
    force::heal(&mut next, now);
    let mut notes = told::told(world, &next, subject, by, now);
    notes.extend(spoken.into_iter().map(|note| (note, by)));
    if !notes.is_empty() {
        let trail = Arc::make_mut(&mut next.audit);
        notes.into_iter().for_each(|(note, by)| trail.push(note, by, now));
    }
    let durability = if next.force == world.force { changed } else { Durability::Required };
    next.generation += 1;
    // It told of the world before.
    next.index = Arc::default();
    Ok(Applied { snapshot: next, durability })
}

fn change(next: &mut Snapshot, command: Command, now: Time) -> Result<Durability, Rejection> {
    match command {
        Command::AccountAdded(new) => accounts::added(next, *new),
        Command::AccountEdited { alias, edit } => accounts::edited(next, &alias, *edit),
        Command::AccountRemoved { alias, last } => accounts::removed(next, &alias, last),
        Command::Faulted { account, version, model, fault } => {
            faults::faulted(next, (account, version), model, &fault, now)
        }
        Command::ForceCleared => force::cleared(next, now),
        Command::Forced { alias, by } => force::forced(next, alias, by, now),
        Command::KeyAdded(key) => keys::added(next, *key),
        Command::KeyRemoved { name } => keys::removed(next, &name),
        Command::LimitsSeen { account, sample } => limits::seen(find(next, account)?, sample, now),
        Command::ProbeFailed { account, error } => limits::unseen(find(next, account)?, error, now),
        Command::Reauthenticated { account, credential } => {
            credentials::reauthenticated(next, account, credential)
        }
        Command::Reconfigured { settings, providers } => accounts::reconfigured(next, settings, providers),
        Command::Refreshed { account, version, credential } => {
            credentials::refreshed(find(next, account)?, version, credential, now)
        }
        Command::RenewalFailed { account, version, failure } => {
            credentials::renewal_failed(next, account, version, failure, now)
        }
        Command::Served { account } => faults::served(next, account, now),
        Command::Switched { alias, to, last } => accounts::switched(next, &alias, to, last),
        Command::TimePassed => Ok(Durability::None),
        Command::Tuned { settings, told: _, weights } => accounts::tuned(next, settings, weights),
    }
}

/// The account to change; the others stay shared with the snapshot before, byte for byte (ADM-4).
fn find(next: &mut Snapshot, id: AccountId) -> Result<&mut Account, Rejection> {
    let at = next.accounts.binary_search_by_key(&id, |account| account.id);
    let account = at.ok().and_then(|at| next.accounts.get_mut(at));
    account.map(Arc::make_mut).ok_or(Rejection::UnknownAccount)
}

#[cfg(test)]
mod tests;
