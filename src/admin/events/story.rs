//! What a reader is told, and what differs between two states.
use crate::admin::force::ForceView;
use crate::admin::job::JobView;
use crate::model::{Account, AccountId, Snapshot, Time};
use crate::telemetry::DecisionRecord;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One event: `event` is its name, `data` the JSON of its data.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", content = "data", rename_all = "kebab-case")]
pub(super) enum Event {
    /// These accounts have changed, come or gone; ask for them again.
    Accounts(AccountsEvent),
    /// A request has ended: its record.
    Decision(Arc<DecisionRecord>),
    /// A pin has come or gone.
    Force(ForceEvent),
    /// The first one.
    Hello(HelloEvent),
    /// The reader was too slow: so much is missing here; ask for everything again.
    Lagged(LaggedEvent),
    /// What is known of an account's limits has changed, or a refresh of them is further.
    Limits(LimitsEvent),
    /// A sign-in waits for a person, or is over.
    Login(Box<JobView>),
    /// Conversations have come to accounts, or gone.
    Sessions(SessionsEvent),
    /// Settings have changed; ask for them again.
    Settings(SettingsEvent),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AccountsEvent {
    aliases: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ForceEvent {
    force: Option<ForceView>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct HelloEvent {
    /// rota's.
    pub(super) version: &'static str,
    /// The state's.
    pub(super) generation: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LaggedEvent {
    /// `decision` or `login`.
    pub(super) of: &'static str,
    /// How many.
    pub(super) missed: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LimitsEvent {
    #[serde(skip)]
    pub(super) account: AccountId,
    alias: String,
    /// Of a refresh: `queued`, `running`, `success`, `error` or `stopped`; of what replies told: `success`.
    pub(super) state: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionsEvent {
    /// How many there are.
    pub(super) total: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SettingsEvent {
    /// The state's.
    generation: u64,
}

impl Event {
    /// As it goes over the wire. JSON has no line breaks of its own, so that one line holds the data.
    pub(super) fn frame(&self) -> Bytes {
        let Ok(mut told) = serde_json::to_value(self) else {
            // None of them can fail: they have no map but those with names for keys.
            return Bytes::from_static(b": unreadable\n\n");
        };
        let name = told.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
        let data = told.get_mut("data").map(Value::take).unwrap_or_default();
        format!("event: {name}\ndata: {data}\n\n").into()
    }
}

/// What happened between two states, in the order in which it is told.
pub(super) fn between(before: &Snapshot, after: &Snapshot, now: Time) -> Vec<Event> {
    let mut events = Vec::new();
    let (aliases, limits) = changed(before, after);
    if !aliases.is_empty() {
        events.push(Event::Accounts(AccountsEvent { aliases: aliases.into_iter().collect() }));
    }
    events.extend(limits.into_iter().map(Event::Limits));
    if before.force != after.force {
        events.push(Event::Force(ForceEvent { force: ForceView::of(after, now) }));
    }
    if before.settings != after.settings {
        events.push(Event::Settings(SettingsEvent { generation: after.generation }));
    }
    events
}

/// Names of accounts that are not what they were, the old names of those that were renamed included. Both lists ascend by
/// id, and what has not changed is shared.
fn changed(before: &Snapshot, after: &Snapshot) -> (BTreeSet<String>, Vec<LimitsEvent>) {
    let (mut aliases, mut limits) = (BTreeSet::new(), Vec::new());
    for account in &after.accounts {
        let was = before.account(account.id);
        if was.is_some_and(|was| Arc::ptr_eq(was, account) || was == account) {
            continue;
        }
        aliases.insert(account.alias.to_string());
        aliases.extend(was.map(|was| was.alias.to_string()));
        limits.extend(was.filter(|was| was.limits != account.limits).map(|_| {
            let state = account.limits.status.as_str();
            LimitsEvent::new(account, state)
        }));
    }
    let gone = before.accounts.iter().filter(|account| after.account(account.id).is_none());
    aliases.extend(gone.map(|account| account.alias.to_string()));
    (aliases, limits)
}

impl LimitsEvent {
    pub(super) fn new(account: &Account, state: &'static str) -> Self {
        Self { account: account.id, alias: account.alias.to_string(), state }
    }
}
