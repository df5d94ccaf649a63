//! One process that renews one account's token on any file system, the identity provider it asks, and the judge: what
//! an earlier process left must fall into one of the classes that the journal knows, and the provider's ledger must agree.
use fake_upstream::{Account, FakeUpstream, Ledger, Script, Vendor};
use rota::auth::{Refresher, RefresherParts, TokenClient};
use rota::clock::{Clock, ManualClock};
use rota::model::{
    AccountId, Credential, CredentialKind, CredentialState, Dialect, Grant, HeaderField, HeaderTemplate,
    Identity, Injection, Origin, Provider, Secret, Settings, Snapshot, Time, TokenEndpoint, TokenFormat,
    TokenSource,
};
use rota::state::SharedState;
use rota::store::{Backend, Guard, Pending, Round, Sealer, Store, StoreError, import};
use rota::upstream::{ProxyValues, Roots, Trust, UpstreamConfig};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub(crate) const ID: AccountId = AccountId(1);
const NOW: Time = Time::from_secs(1_800_000_000);
const PROVIDER: &str = "p";
/// The refresh token that everything begins with.
const FIRST: &str = "refresh-1";

/// What an earlier process left, once the next one has dealt with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// The token was not sent, or provably not spent: renewed as if nothing had been.
    NotSent,
    /// The answer was safe: in the record, or in the journal and from there in the record.
    Durable,
    /// It may have been sent: shown once more, and it was good still.
    RecoveredUnspent,
    /// It had been spent, and its answer was lost: shown once more, refused, and a human is asked.
    RecoveredSpent,
    /// It had been shown twice: not again, and a human is asked.
    LeftAlone,
}

/// The identity provider: single-use refresh tokens, no grace, a reuse revokes the family.
pub(crate) struct Authority(FakeUpstream);

impl Authority {
    pub(crate) async fn start() -> Self {
        let fake = FakeUpstream::start(Script::new()).await.unwrap();
        Self(fake)
    }

    /// Begins anew, with one account and its first token.
    pub(crate) fn reset(&self) {
        self.0.reset();
        let mut account = Account::new(PROVIDER).refresh_token(FIRST);
        account.tokens.revoke_family_on_reuse = true;
        self.0.put_account(account);
    }

    pub(crate) fn origin(&self) -> String {
        self.0.origin()
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.0.ledger()
    }

    /// Requests that reached the token endpoint.
    pub(crate) fn asked(&self) -> usize {
        self.0.requests().len()
    }

    fn has_spent(&self, credential: &Credential) -> bool {
        let token = credential.refresh.as_ref().unwrap().expose().to_owned();
        self.ledger().by_token.get(&token).is_some_and(|used| used.exchanges > 0)
    }
}

/// Makes the store as it is before the first renewal.
pub(crate) fn prepare(backend: &dyn Backend) {
    let document = format!(
        r#"{{"version":2,"accounts":{{"a1":{{"provider":"{PROVIDER}","accessToken":"t","refreshToken":"{FIRST}","expiresAt":1}}}}}}"#
    );
    import(backend, document.as_bytes(), &Sealer::Clear).unwrap();
}

/// A process that owns the store.
pub(crate) struct Process {
    pub(crate) store: Arc<Store>,
    pub(crate) refresher: Refresher,
    state: Arc<SharedState>,
    clock: ManualClock,
    _owner: Box<dyn Guard>,
}

impl Process {
    pub(crate) fn open(backend: Arc<dyn Backend>, origin: &str) -> Result<Self, StoreError> {
        let owner = backend.own()?;
        let opened = Store::open(backend, &[PROVIDER.try_into().unwrap()].into(), NOW)?;
        let clock = ManualClock::new(NOW);
        let world = Snapshot {
            accounts: opened.accounts.into_iter().map(Arc::new).collect(),
            next_account: opened.next_account,
            ..Snapshot::empty(Settings::default(), vec![provider(origin)])
        };
        let (_, durable) = watch::channel(0);
        let state = Arc::new(SharedState::new(world, Clock::Manual(clock.clone()), durable));
        let refresher = Refresher::new(RefresherParts {
            state: Arc::clone(&state),
            store: Arc::clone(&opened.store),
            tokens: TokenClient::new(&wire()).unwrap(),
            deadline: Duration::from_secs(60),
            clock: Clock::Manual(clock.clone()),
            runtime: Handle::current(),
        });
        Ok(Self { store: opened.store, refresher, state, clock, _owner: owner })
    }

    /// What is in force.
    pub(crate) fn credential(&self) -> CredentialState {
        self.state.snapshot().account(ID).unwrap().credential.clone()
    }

    pub(crate) fn version(&self) -> u64 {
        self.credential().version()
    }

    /// Lets the access token end.
    fn let_end(&self, credential: &Credential) {
        let left = credential.expires.map(|end| self.clock.now().until(end));
        self.clock.advance(left.unwrap_or_default() + Duration::from_secs(1));
    }

    /// Signs in again: tokens of a new family.
    pub(crate) fn sign_in(&self, authority: &Authority) -> Result<(), StoreError> {
        let login = authority.0.login(PROVIDER, Vendor::OpenAi).unwrap();
        let old = self.store.credential(ID)?.unwrap();
        let credential = Credential {
            version: old.version + 1,
            kind: CredentialKind::Oauth,
            access: Secret::new(login.access_token),
            refresh: Some(Secret::new(login.refresh_token)),
            self_granted: false,
            id_token: None,
            identity: Identity::default(),
            issued: NOW,
            expires: Some(NOW),
        };
        self.store.save_credential(ID, &credential)
    }

    /// Does what a start does, then renews, and says which class it was; the error is what must not be. None where the
    /// disk does not answer any more (`is_dead`).
    pub(crate) async fn deal(
        &self,
        authority: &Authority,
        is_dead: impl Fn() -> bool,
    ) -> Result<Option<Class>, String> {
        let (asked, before) = (authority.asked(), self.version());
        self.refresher.recover().await;
        must(authority.asked() == asked, "the recovery at the start asked the endpoint")?;
        if is_dead() {
            return Ok(None);
        }
        let CredentialState::Usable(credential) = self.credential() else {
            return self.refused_already(authority);
        };
        if credential.version > before {
            must(!authority.has_spent(&credential), "what was recovered is spent")?;
            return Ok(Some(Class::Durable));
        }
        let pending = match self.pending(&credential) {
            Ok(Some(pending)) => pending,
            _ if is_dead() => return Ok(None),
            other => return Err(format!("the journal cannot be read: {other:?}")),
        };
        self.let_end(&credential);
        let spent = authority.has_spent(&credential);
        let ledger = authority.ledger();
        self.refresher.refresh(ID, credential.version).await;
        let now = authority.ledger();
        let (exchanges, reuses) = (now.exchanges - ledger.exchanges, now.reuses - ledger.reuses);
        must(now.unknown == ledger.unknown, "a token was sent that nobody gave")?;
        let class = match (&pending, spent) {
            (Pending::Nothing, true) => return Err("a spent token was forgotten".to_owned()),
            (Pending::Nothing | Pending::Answered(..), false) => Class::NotSent,
            (Pending::Answered(..), true) => Class::RecoveredSpent,
            (Pending::Unanswered(Round::First), false) => Class::RecoveredUnspent,
            (Pending::Unanswered(Round::First), true) => Class::RecoveredSpent,
            (Pending::Unanswered(Round::Recovery), _) => Class::LeftAlone,
        };
        let most = match class {
            Class::NotSent | Class::RecoveredUnspent => (1, 0),
            Class::RecoveredSpent => (0, 1),
            Class::Durable | Class::LeftAlone => (0, 0),
        };
        must(
            exchanges <= most.0 && reuses <= most.1,
            &format!("{class:?}: {exchanges} and {reuses} reuses"),
        )?;
        if is_dead() {
            return Ok(None);
        }
        must((exchanges, reuses) == most, &format!("{class:?}: {exchanges} exchanges, {reuses} reuses"))?;
        match (class, self.credential()) {
            (Class::NotSent | Class::RecoveredUnspent, CredentialState::Usable(new)) => {
                must(new.version == credential.version + 1, &format!("{class:?}: not renewed"))?;
            }
            (Class::RecoveredSpent, CredentialState::NeedsReauth { .. }) => {}
            (Class::LeftAlone, CredentialState::NeedsReauth { detail, .. }) => {
                must(detail.starts_with("indeterminate"), &detail)?;
            }
            (class, state) => return Err(format!("{class:?} ended as {state:?}")),
        }
        Ok(Some(class))
    }

    /// The answer to a recovery was noted, and it was a refusal.
    fn refused_already(&self, authority: &Authority) -> Result<Option<Class>, String> {
        let CredentialState::NeedsReauth { refused, .. } = self.credential() else {
            return Err(format!("the credential is lost: {:?}", self.credential()));
        };
        must(authority.has_spent(&refused), "refused, and not spent")?;
        Ok(Some(Class::RecoveredSpent))
    }

    /// None where a renewal that could not be stored keeps the lock.
    fn pending(&self, credential: &Credential) -> Result<Option<Pending>, StoreError> {
        let rotation = self.store.rotation(ID)?;
        rotation.map(|rotation| rotation.pending(credential)).transpose()
    }
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn provider(origin: &str) -> Provider {
    let origin = Origin::parse(origin).unwrap();
    let bearer = HeaderTemplate {
        before: "Bearer ".to_owned(),
        field: Some(HeaderField::Access),
        after: String::new(),
    };
    let injection = Injection { set: vec![(http::header::AUTHORIZATION, bearer)], ..Injection::default() };
    let token = TokenEndpoint {
        origin: origin.clone(),
        path: "/oauth/token".to_owned(),
        format: TokenFormat::Json,
        code_format: None,
        client_id: "app".to_owned(),
        grant: Grant::RefreshToken,
        headers: Vec::new(),
        params: Vec::new(),
    };
    Provider {
        id: PROVIDER.try_into().unwrap(),
        name: PROVIDER.to_owned(),
        origin,
        base: String::new(),
        maps: Vec::new(),
        routes: Vec::new(),
        dialect: Dialect::Responses,
        subscription: true,
        session_headers: Vec::new(),
        replay_safe: Vec::new(),
        strip: Vec::new(),
        strip_query: Vec::new(),
        inject: BTreeMap::from([(CredentialKind::Oauth, injection)]),
        token: Some(TokenSource::Endpoint(token)),
        login: None,
        conversation: std::sync::Arc::default(),
        rules: Vec::new(),
        limits: Vec::new(),
        usage: None,
        probe: None,
    }
}

fn wire() -> UpstreamConfig {
    UpstreamConfig {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(60),
        stream_idle: Duration::from_secs(60),
        trust: Trust { roots: Roots::Bundled, ..Trust::default() },
        proxies: ProxyValues::default(),
    }
}
