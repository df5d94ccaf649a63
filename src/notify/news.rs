use super::event::{Event, Kind, remedy};
use crate::engine::{Eligibility, breaker, eligibility, reason_to_sign_in};
use crate::model::{Account, AccountId, ProviderId, Snapshot, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a person was told of, or found when rota started: only what comes on top is news.
#[derive(Debug, Default)]
pub(super) struct Known {
    needy: BTreeSet<AccountId>,
    cut_off: BTreeMap<ProviderId, Time>,
    /// When the first token runs out that cannot be renewed.
    lapses: Option<Time>,
}

impl Known {
    /// What is so already.
    pub(super) fn of(world: &Snapshot, now: Time) -> Self {
        let mut known = Self::default();
        known.hear(world, now);
        known
    }

    /// What has changed for people since the last look.
    pub(super) fn hear(&mut self, world: &Snapshot, now: Time) -> Vec<Event> {
        let mut news = Vec::new();
        let needy = world.accounts.iter().filter(|account| is_needy(account, world, now));
        let needy: BTreeSet<AccountId> = needy.map(|account| account.id).collect();
        let accounts = |ids: Vec<AccountId>| ids.into_iter().filter_map(|id| world.account(id).cloned());
        for account in accounts(needy.difference(&self.needy).copied().collect()) {
            news.push(needed(&account, world, now));
        }
        for account in accounts(self.needy.difference(&needy).copied().collect()) {
            // Switched off is no remedy.
            if account.is_on() {
                news.push(Event::of_account(Kind::SignInDone, &account, now));
            }
        }
        self.needy = needy;
        self.hear_of_providers(world, now, &mut news);
        self.lapses = world.accounts.iter().filter_map(|account| lapses(account, now)).min();
        news
    }

    fn hear_of_providers(&mut self, world: &Snapshot, now: Time, news: &mut Vec<Event>) {
        self.cut_off.retain(|_, until| *until > now);
        self.cut_off.retain(|provider, _| world.deaths.contains_key(provider));
        for (provider, deaths) in &world.deaths {
            let Some(until) = breaker::cut_off(deaths, now) else {
                continue;
            };
            if self.cut_off.insert(provider.clone(), until).is_none() {
                news.push(Event {
                    kind: Kind::ProviderCutOff,
                    at: now,
                    provider: provider.clone(),
                    account: None,
                    reason: None,
                    command: Some("rota status".to_owned()),
                    invitation: None,
                    until: Some(until),
                });
            }
        }
    }

    /// When something may be news without a change of the state.
    pub(super) fn wake(&self, now: Time) -> Time {
        let ends = self.cut_off.values().copied().chain(self.lapses);
        ends.filter(|at| *at > now).min().unwrap_or(Time::from_millis(u64::MAX))
    }
}

fn is_needy(account: &Account, world: &Snapshot, now: Time) -> bool {
    eligibility(account, None, &world.settings, now) == Eligibility::NeedsReauth
}

/// The account serves no more until a person acts.
pub fn needed(account: &Account, world: &Snapshot, now: Time) -> Event {
    let provider = world.provider(&account.provider);
    Event {
        reason: Some(reason_to_sign_in(account)),
        command: Some(remedy(account, provider.map(Arc::as_ref))),
        ..Event::of_account(Kind::SignInNeeded, account, now)
    }
}

/// When the account's token runs out; what can be renewed then is not needy.
fn lapses(account: &Account, now: Time) -> Option<Time> {
    let expires = account.credential.usable()?.expires?;
    (account.is_on() && expires > now).then_some(expires)
}
