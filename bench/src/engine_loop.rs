//! The engine's functions in a loop: what criterion times and callgrind counts. The only part that uses rota's library.
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rota::affinity::{Affinity, AffinityBounds};
use rota::engine::{
    Applied, Bond, Command, LastEnabled, Live, NewAccount, Outcome, Rejection, RoutingRequest, Selection,
    Turn, Verdict, apply, classify, index, observe, select,
};
use rota::model::{
    Account, AccountId, Actor, Alias, Credential, CredentialKind, Identity, ModelName, Provider, ProviderId,
    Secret, SessionKey, Settings, Snapshot, Switch, Time, Weight,
};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// Accounts in the pools that are asked.
pub const POOLS: [u32; 4] = [2, 50, 1000, 10_000];

/// When it all happens.
const NOW: Time = Time::from_secs(1_800_000_000);
const PROVIDER: &str = "openai";

/// Why there is no pool: a name or preset of this file is refused, which is a mistake here.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The engine turned a command down.
    #[error("a command was turned down: {0}")]
    Rejected(#[from] Rejection),
    /// A name or a preset cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

fn unreadable(error: impl std::fmt::Display) -> PoolError {
    PoolError::Unreadable(error.to_string())
}

/// A pool whose accounts can all serve, and what is asked of it.
#[derive(Debug)]
pub struct Pool {
    world: Snapshot,
    provider: Arc<Provider>,
    request: RoutingRequest,
    affinity: Affinity,
    sessions: Vec<SessionKey>,
    headers: HeaderMap,
    turn: u64,
}

/// One function of the engine, or of the session map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A switch is flipped: the next snapshot.
    Apply,
    /// A 429 with a JSON body, by the preset's rules.
    ClassifyError,
    /// A success.
    ClassifySuccess,
    /// A session's account is looked up, and noted again.
    Session,
    /// Rotation chooses.
    Select,
    /// A session's account is taken.
    SelectPinned,
}

impl Asked {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Apply,
        Self::ClassifyError,
        Self::ClassifySuccess,
        Self::Session,
        Self::Select,
        Self::SelectPinned,
    ];

    /// As it stands in tables and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::ClassifyError => "classify-error",
            Self::ClassifySuccess => "classify-success",
            Self::Select => "select",
            Self::SelectPinned => "select-pinned",
            Self::Session => "session",
        }
    }
}

struct Turns(u64);

impl Live for Turns {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        self.0 += 1;
        Turn(self.0)
    }

    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}

impl Pool {
    /// A pool of `accounts`, at least one, and as many sessions.
    pub fn new(accounts: u32) -> Result<Self, PoolError> {
        let world = world(accounts)?;
        let id: ProviderId = PROVIDER.parse().map_err(unreadable)?;
        let provider = world.provider(&id).cloned().ok_or_else(|| unreadable("the preset is gone"))?;
        let kind = HeaderName::from_static("session-id");
        let sessions: Vec<SessionKey> = (0..accounts)
            .filter_map(|number| SessionKey::new(kind.clone(), &format!("session-{number}")))
            .collect();
        let hour = Duration::from_secs(3600);
        let affinity = Affinity::new(AffinityBounds { idle: hour, lifetime: hour * 24, sessions: 10_000 });
        for (session, account) in sessions.iter().zip(&world.accounts) {
            affinity.keep(&id, session, account.id, NOW);
        }
        let request = RoutingRequest {
            provider: id,
            model: Some("m-1".parse::<ModelName>().map_err(unreadable)?),
            session: sessions.first().cloned(),
            pinned: None,
            only: None,
            owner: None,
            bond: Bond::Fast,
            permitted: None,
            replay_safe: true,
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("retry-after", HeaderValue::from_static("20"));
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("0"));
        headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("6s"));
        Ok(Self { world, provider, request, affinity, sessions, headers, turn: 0 })
    }

    /// Asks `times` times. How often somebody was found; the number only keeps the work from being left out. Callgrind
    /// counts what happens in here.
    #[inline(never)]
    pub fn ask(&mut self, asked: Asked, times: u64) -> u64 {
        match asked {
            Asked::Apply => (0..times).filter(|time| self.apply(*time)).count() as u64,
            Asked::ClassifyError => {
                (0..times).filter(|_| self.classify(StatusCode::TOO_MANY_REQUESTS)).count() as u64
            }
            Asked::ClassifySuccess => (0..times).filter(|_| self.classify(StatusCode::OK)).count() as u64,
            Asked::Select => {
                self.request.pinned = None;
                self.select(times)
            }
            Asked::SelectPinned => {
                self.request.pinned = self.world.accounts.last().map(|account| account.id);
                self.select(times)
            }
            Asked::Session => (0..times).filter(|time| self.session(*time)).count() as u64,
        }
    }

    fn select(&mut self, times: u64) -> u64 {
        let mut live = Turns(self.turn);
        let mut found = 0;
        for _ in 0..times {
            let selection = select(&self.world, black_box(&self.request), &[], &mut live, NOW);
            found += u64::from(matches!(black_box(&selection), Selection::Take(_)));
        }
        self.turn = live.0;
        found
    }

    fn classify(&self, status: StatusCode) -> bool {
        let peek: &[u8] = if status.is_success() {
            b""
        } else {
            br#"{"error":{"message":"Rate limit reached for m-1: Limit 500, Used 500. Please try again in 6s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#
        };
        let outcome = Outcome::Replied { status, headers: &self.headers, peek };
        matches!(black_box(classify(&self.provider, black_box(&outcome), NOW)), Verdict::Fault(_))
    }

    fn apply(&self, time: u64) -> bool {
        let which = usize::try_from(time).unwrap_or(0) % self.world.accounts.len().max(1);
        let Some(account) = self.world.accounts.get(which) else {
            return false;
        };
        let to = Switch::Off { at: NOW, by: Actor::Admin, reason: None };
        let command = Command::Switched { alias: account.alias.clone(), to, last: LastEnabled::Override };
        black_box(apply(&self.world, command, NOW)).is_ok()
    }

    fn session(&self, time: u64) -> bool {
        let which = usize::try_from(time).unwrap_or(0) % self.sessions.len().max(1);
        let Some(session) = self.sessions.get(which) else {
            return false;
        };
        let found = self.affinity.find(&self.request.provider, session, NOW);
        if let Some(account) = found {
            self.affinity.keep(&self.request.provider, session, account, NOW);
        }
        black_box(found).is_some()
    }
}

/// One account as the engine adds it, and as many like it as are wanted: adding ten thousand one by one would take longer
/// than what is measured. The last command lets the engine put in order what it keeps beside the accounts.
fn world(accounts: u32) -> Result<Snapshot, PoolError> {
    let providers = rota::config::presets::load(&[]).map_err(unreadable)?;
    let empty = Snapshot::empty(Settings::default(), providers);
    let Applied { snapshot: one, .. } = apply(&empty, Command::AccountAdded(Box::new(newcomer()?)), NOW)?;
    let added = one.accounts.first().and_then(|added| seen(&one, added));
    let Applied { snapshot: one, .. } =
        apply(&one, added.ok_or_else(|| unreadable("nothing was seen of the account"))?, NOW)?;
    let template = one.accounts.first().ok_or_else(|| unreadable("no account was added"))?;
    let mut many = Vec::new();
    for number in 1..=accounts {
        let alias: Alias = format!("a{number}").parse().map_err(unreadable)?;
        many.push(Arc::new(Account { id: AccountId(number), alias, ..Account::clone(template) }));
    }
    let world = Snapshot { accounts: many, next_account: AccountId(accounts + 1), ..one };
    let again = Command::Reconfigured {
        settings: Settings::clone(&world.settings),
        providers: world.providers.to_vec(),
    };
    let world = apply(&world, again, NOW)?.snapshot;
    // As whoever publishes a snapshot does.
    Ok(Snapshot { index: Arc::new(index(&world, &world, NOW)), ..world })
}

fn newcomer() -> Result<NewAccount, PoolError> {
    Ok(NewAccount {
        alias: "a1".parse().map_err(unreadable)?,
        provider: PROVIDER.parse().map_err(unreadable)?,
        credential: Credential {
            version: 1,
            kind: CredentialKind::ApiKey,
            access: Secret::new("key"),
            refresh: None,
            self_granted: false,
            id_token: None,
            identity: Identity::default(),
            issued: NOW,
            expires: None,
        },
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: String::new(),
    })
}

/// What a reply tells of whom most of the quota is left.
fn seen(world: &Snapshot, account: &Account) -> Option<Command> {
    let mut headers = HeaderMap::new();
    headers.insert("x-ratelimit-limit-requests", HeaderValue::from_static("100"));
    headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("80"));
    headers.insert("x-ratelimit-reset-requests", HeaderValue::from_static("1h"));
    let sample = observe(world.provider(&account.provider)?, &headers, None, NOW)?.completed();
    Some(Command::LimitsSeen { account: account.id, sample })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_asked_finds_somebody() {
        for accounts in [1, 50] {
            let mut pool = Pool::new(accounts).expect("a pool");
            for asked in Asked::ALL {
                let faultless = asked == Asked::ClassifySuccess;
                assert_eq!(pool.ask(asked, 60), if faultless { 0 } else { 60 }, "{}", asked.name());
            }
        }
    }
}
