use super::{
    Account, AccountId, Alias, AuditTrail, Breaker, ClientKey, Force, Index, Provider, ProviderId, Settings,
    Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a provider that never failed has.
pub const NO_BREAKER: Breaker = Breaker { state: super::BreakerState::Closed, failures: 0, opened: 0 };

/// Everything a routing decision needs, at one moment. Never changed: `engine::apply` makes the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Raised by every change.
    pub generation: u64,
    /// In the order they were added, ascending by id; at most [`Snapshot::ACCOUNTS`].
    pub accounts: Vec<Arc<Account>>,
    /// The id the next account gets; ids are never reused.
    pub next_account: AccountId,
    /// The pin, if any.
    pub force: Option<Force>,
    /// Keys of clients, in the order in which they were made; at most [`Snapshot::KEYS`].
    pub keys: Arc<[Arc<ClientKey>]>,
    /// What the user wants.
    pub settings: Arc<Settings>,
    /// The presets.
    pub providers: Arc<[Arc<Provider>]>,
    /// Circuit breakers of providers that failed lately (FLO-10); the others have none.
    pub breakers: BTreeMap<ProviderId, Breaker>,
    /// When accounts of a subscription provider were last found dead, newest last; at most two each (FLO-5).
    pub deaths: BTreeMap<ProviderId, Vec<Time>>,
    /// What was changed lately, and by whom; no decision depends on it.
    pub audit: Arc<AuditTrail>,
    /// Who may be taken, found out beforehand; empty until somebody finds it out.
    pub index: Arc<Index>,
}

impl Snapshot {
    /// Accounts at most. Where the index does not tell, selection is linear in them; this bounds it.
    pub const ACCOUNTS: usize = 10_000;

    /// Keys of clients at most: each is compared with what a request shows.
    pub const KEYS: usize = 256;

    /// A world without accounts.
    pub fn empty(settings: Settings, providers: Vec<Provider>) -> Self {
        Self {
            generation: 0,
            accounts: Vec::new(),
            next_account: AccountId(1),
            force: None,
            keys: Arc::default(),
            settings: Arc::new(settings),
            providers: providers.into_iter().map(Arc::new).collect(),
            breakers: BTreeMap::new(),
            deaths: BTreeMap::new(),
            audit: Arc::default(),
            index: Arc::default(),
        }
    }

    /// The account with this number.
    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        let at = self.accounts.binary_search_by_key(&id, |account| account.id).ok()?;
        self.accounts.get(at)
    }

    /// The account with this name.
    pub fn by_alias(&self, alias: &Alias) -> Option<&Arc<Account>> {
        self.accounts.iter().find(|account| account.alias == *alias)
    }

    /// The preset with this name.
    pub fn provider(&self, id: &ProviderId) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.id == *id)
    }

    /// The accounts of one provider, in order.
    pub fn accounts_of<'a>(
        &'a self,
        provider: &'a ProviderId,
    ) -> impl Iterator<Item = &'a Arc<Account>> + Clone {
        self.accounts.iter().filter(move |account| account.provider == *provider)
    }

    /// How many of the provider's accounts are switched on, and how many it has.
    pub fn census_of(&self, provider: &ProviderId) -> (usize, usize) {
        if self.index.standings.len() != self.accounts.len() {
            let all = self.accounts_of(provider);
            return all.fold((0, 0), |(on, all), account| (on + usize::from(account.is_on()), all + 1));
        }
        let census = &self.index.census;
        let at = census.binary_search_by(|(known, _)| known.cmp(provider));
        at.ok().and_then(|at| census.get(at)).map_or((0, 0), |(_, counts)| *counts)
    }

    /// The pinned account, while the pin lasts.
    pub fn forced(&self, now: Time) -> Option<AccountId> {
        self.force.as_ref().filter(|force| now < force.until).map(|force| force.account)
    }

    /// The circuit breaker of `provider`.
    pub fn breaker(&self, provider: &ProviderId) -> &Breaker {
        self.breakers.get(provider).unwrap_or(&NO_BREAKER)
    }
}
