use super::Command;
use crate::engine::eligibility::{Eligibility, eligibility};
use crate::engine::select::{SHORT_REST, reason_to_sign_in};
use crate::model::{
    Account, AccountId, Actor, AuditAction, CredentialState, Force, Note, Reason, Snapshot, Switch, Time,
    Weight,
};

/// What a command may have changed that is worth a line of the audit trail. Known before it is applied, so that the
/// difference between two snapshots is looked for only where there can be one: faults and limits come with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// Any account, by a person's hand.
    Accounts,
    /// This account's credential, at most.
    Credential(AccountId),
    /// The configuration.
    Config,
    /// A force that a person takes back.
    ForceCleared,
    /// The keys of clients.
    Keys,
    /// At most a force that ends by itself.
    Nothing,
    /// The account's credential, by a person's hand.
    SignIn(AccountId),
}

impl Subject {
    pub(super) fn of(command: &Command) -> Self {
        match command {
            Command::AccountAdded(_)
            | Command::AccountEdited { .. }
            | Command::AccountRemoved { .. }
            | Command::Switched { .. }
            | Command::Tuned { .. } => Self::Accounts,
            Command::Faulted { account, .. } | Command::RenewalFailed { account, .. } => {
                Self::Credential(*account)
            }
            Command::ForceCleared => Self::ForceCleared,
            Command::KeyAdded(_) | Command::KeyRemoved { .. } => Self::Keys,
            Command::Reauthenticated { account, .. } => Self::SignIn(*account),
            Command::Reconfigured { .. } => Self::Config,
            Command::Forced { .. }
            | Command::LimitsSeen { .. }
            | Command::ProbeFailed { .. }
            | Command::Refreshed { .. }
            | Command::Served { .. }
            | Command::TimePassed => Self::Nothing,
        }
    }
}

/// What the command itself tells.
pub(super) fn spoken(command: &Command) -> Vec<Note> {
    let Command::Tuned { told, .. } = command else {
        return Vec::new();
    };
    told.clone()
}

/// What is to be told of the way from `was` to `is`, each line with who did it.
pub(super) fn told(
    was: &Snapshot,
    is: &Snapshot,
    subject: Subject,
    by: Actor,
    now: Time,
) -> Vec<(Note, Actor)> {
    let mut notes = Vec::new();
    match subject {
        Subject::Accounts => notes.extend(accounts(was, is).into_iter().map(|note| (note, by))),
        Subject::Config => notes.push((Note::new(AuditAction::ConfigReloaded, "config"), by)),
        Subject::Credential(id) => notes.extend(died(was, is, id).map(|note| (note, Actor::Engine))),
        Subject::Keys => notes.extend(keys(was, is).into_iter().map(|note| (note, by))),
        Subject::SignIn(id) => {
            let account = is.account(id).map(|account| account.alias.to_string());
            notes.extend(account.map(|alias| (Note::new(AuditAction::AccountSignedIn, alias), by)));
        }
        Subject::ForceCleared | Subject::Nothing => {}
    }
    if was.force != is.force {
        notes.extend(force(was, is, subject, by, now));
    }
    notes
}

/// The differences of the keys, by their names.
fn keys(was: &Snapshot, is: &Snapshot) -> Vec<Note> {
    let new = is.keys.iter().filter(|key| !was.keys.contains(key));
    let gone = was.keys.iter().filter(|key| !is.keys.contains(key));
    let added = new.map(|key| Note::new(AuditAction::KeyAdded, key.name.as_str()));
    added.chain(gone.map(|key| Note::new(AuditAction::KeyRemoved, key.name.as_str()))).collect()
}

/// The differences of the accounts, which both snapshots hold in the order of their numbers.
fn accounts(was: &Snapshot, is: &Snapshot) -> Vec<Note> {
    let mut notes = Vec::new();
    for old in &was.accounts {
        match is.account(old.id) {
            None => {
                notes.push(
                    Note::new(AuditAction::AccountRemoved, old.alias.as_str()).between(about(old), None),
                );
            }
            Some(new) if std::sync::Arc::ptr_eq(old, new) => {}
            Some(new) => edited(was, old, new, &mut notes),
        }
    }
    let new = is.accounts.iter().filter(|account| was.account(account.id).is_none());
    notes.extend(
        new.map(|new| Note::new(AuditAction::AccountAdded, new.alias.as_str()).between(None, about(new))),
    );
    notes
}

fn about(account: &Account) -> Option<String> {
    Some(format!("provider {}", account.provider))
}

fn edited(was: &Snapshot, old: &Account, new: &Account, notes: &mut Vec<Note>) {
    let mut note = |action, before: Option<String>, after: Option<String>| {
        if before != after {
            notes.push(Note::new(action, new.alias.as_str()).between(before, after));
        }
    };
    note(AuditAction::AccountRenamed, Some(old.alias.to_string()), Some(new.alias.to_string()));
    note(AuditAction::AccountWeight, Some(share(old.weight)), Some(share(new.weight)));
    note(AuditAction::AccountTags, Some(old.tags.join(", ")), Some(new.tags.join(", ")));
    let group = |account: &Account| account.quota_group.as_deref().map(str::to_owned);
    note(AuditAction::AccountQuotaGroup, group(old), group(new));
    if old.notes != new.notes {
        notes.push(Note::new(AuditAction::AccountNotes, new.alias.as_str()));
    }
    match (&old.switch, &new.switch) {
        (Switch::On, Switch::Off { reason, .. }) => {
            let others = was.accounts_of(&old.provider).any(|other| other.id != old.id && other.is_on());
            let off = if others { "off" } else { "off, though the last of its provider" };
            let note = Note::new(AuditAction::AccountDisabled, new.alias.as_str());
            let note = note.between(Some("on".to_owned()), Some(off.to_owned()));
            notes.push(note.because(reason.clone()));
        }
        (Switch::Off { .. }, Switch::On) => {
            let note = Note::new(AuditAction::AccountEnabled, new.alias.as_str());
            notes.push(note.between(Some("off".to_owned()), Some("on".to_owned())));
        }
        (Switch::On, Switch::On) | (Switch::Off { .. }, Switch::Off { .. }) => {}
    }
}

fn share(weight: Weight) -> String {
    weight.share().to_string()
}

/// The account's credential was found dead.
fn died(was: &Snapshot, is: &Snapshot, id: AccountId) -> Option<Note> {
    let (old, new) = (was.account(id)?, is.account(id)?);
    let CredentialState::NeedsReauth { detail, .. } = &new.credential else {
        return None;
    };
    old.credential.usable()?;
    Some(Note::new(AuditAction::AccountLost, new.alias.as_str()).because(Some(detail.clone())))
}

fn force(was: &Snapshot, is: &Snapshot, subject: Subject, by: Actor, now: Time) -> Vec<(Note, Actor)> {
    let name = |world: &Snapshot, force: &Force| {
        // A removed account has its name in the snapshot before only.
        let account = world.account(force.account).or_else(|| was.account(force.account));
        account.map_or_else(|| force.account.to_string(), |account| account.alias.to_string())
    };
    let standing = was.force.as_ref().filter(|force| now < force.until);
    let ran_out = was
        .force
        .as_ref()
        .filter(|force| now >= force.until)
        .map(|force| (Note::new(AuditAction::ForceExpired, name(is, force)), Actor::Engine));
    let change = match (standing, &is.force) {
        (before, Some(after)) => {
            let note = Note::new(AuditAction::ForceSet, name(is, after));
            let before = before.map(|force| name(was, force));
            Some((note.between(before, Some(name(is, after))), by))
        }
        (Some(before), None) if subject == Subject::ForceCleared => {
            Some((Note::new(AuditAction::ForceCleared, name(is, before)), by))
        }
        (Some(before), None) => {
            let note = Note::new(AuditAction::ForceEnded, name(is, before));
            Some((note.because(Some(unable(is, before.account, now).to_owned())), Actor::Engine))
        }
        (None, None) => None,
    };
    ran_out.into_iter().chain(change).collect()
}

/// Why the account carries no force any more, in the words of FLO-7; `removed` where it is gone.
fn unable(world: &Snapshot, id: AccountId, now: Time) -> &'static str {
    let Some(account) = world.account(id) else {
        return "removed";
    };
    // A window that fills up within a short rest ends no force, so that it is not why this one has ended.
    let left = account.limits.remaining(now.after(SHORT_REST));
    match eligibility(account, None, &world.settings, now) {
        Eligibility::Cooling(_) if left.is_some_and(|left| left <= 0.0) => Reason::QuotaExhausted.as_str(),
        Eligibility::Cooling(rest) | Eligibility::ModelRefused(rest) => Reason::from(rest.class).as_str(),
        Eligibility::Disabled => Reason::Disabled.as_str(),
        Eligibility::NeedsReauth => reason_to_sign_in(account).as_str(),
        Eligibility::Critical | Eligibility::Draining | Eligibility::Eligible | Eligibility::Probation => {
            Reason::QuotaExhausted.as_str()
        }
    }
}
