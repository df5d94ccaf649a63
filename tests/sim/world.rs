//! Small worlds: one provider whose failure rules have one status per class, and accounts to taste. Shared by the
//! engine's own tests and the simulator.
#![allow(dead_code, missing_docs, reason = "each of the two crates uses its part")]
use crate::engine::{Applied, Command, Durability, LastEnabled, NewAccount, RoutingRequest, apply};
use crate::model::{
    Account, AccountId, Alias, Clamp, CooldownSource, Credential, CredentialKind, DeviceFlow, Dialect,
    Endpoint, FaultClass, Grant, Health, Identity, Injection, LimitSample, LimitSource, LimitWindow,
    LoginFlows, ModelName, Origin, Provider, ProviderId, Rule, Scope, Secret, Settings, Snapshot, StatusSet,
    Time, TokenEndpoint, TokenFormat, TokenSource, Weight,
};
use std::sync::Arc;
use std::time::Duration;

/// When every test begins.
pub(crate) const START: Time = Time::from_secs(1_800_000_000);

/// A token's life.
pub(crate) const LIFE: Duration = Duration::from_secs(3600);

/// The scope a preset would give the class.
pub(crate) fn scope_of(class: FaultClass) -> Scope {
    match class {
        FaultClass::AffinityFault => Scope::Affinity,
        FaultClass::AuthDead
        | FaultClass::AuthExpired
        | FaultClass::Forbidden
        | FaultClass::Payment
        | FaultClass::QuotaWindow
        | FaultClass::RateShort => Scope::Account,
        FaultClass::ModelUnentitled => Scope::AccountModel,
        FaultClass::EdgeBlock | FaultClass::Unreachable | FaultClass::UpstreamLost => Scope::Network,
        FaultClass::ModelCapacity | FaultClass::UpstreamError => Scope::Provider,
        FaultClass::PolicyBlock => Scope::Policy,
        FaultClass::RateBare | FaultClass::RequestFault => Scope::Request,
    }
}

/// The status by which the provider below says it.
pub(crate) fn status_of(class: FaultClass) -> u16 {
    let at = FaultClass::ALL.iter().position(|known| *known == class);
    430 + u16::try_from(at.expect("a known class")).expect("a small number")
}

/// Says a spent quota of the whole organisation.
pub(crate) const GROUP_QUOTA: u16 = 480;
/// Says a short rate limit of one model.
pub(crate) const MODEL_RATE: u16 = 481;

fn rule(status: u16, class: FaultClass, scope: Scope) -> Rule {
    Rule {
        name: class.as_str().into(),
        status: StatusSet(vec![(status, status)]),
        codes: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        class,
        scope,
        cooldown: vec![CooldownSource::RetryAfter],
        otherwise: None,
        clamp: Clamp { least: Duration::from_secs(1), most: Duration::from_secs(31 * 24 * 3600) },
    }
}

pub(crate) fn provider() -> Provider {
    let mut rules: Vec<Rule> =
        FaultClass::ALL.into_iter().map(|class| rule(status_of(class), class, scope_of(class))).collect();
    rules.push(rule(GROUP_QUOTA, FaultClass::QuotaWindow, Scope::QuotaGroup));
    rules.push(rule(MODEL_RATE, FaultClass::RateShort, Scope::AccountModel));
    let kinds = [CredentialKind::ApiKey, CredentialKind::Bearer, CredentialKind::Oauth];
    Provider {
        id: provider_id(),
        name: "P".to_owned(),
        origin: Origin::parse("https://p.test").expect("an origin"),
        base: String::new(),
        maps: Vec::new(),
        routes: Vec::new(),
        dialect: Dialect::Responses,
        subscription: false,
        session_headers: Vec::new(),
        replay_safe: Vec::new(),
        strip: Vec::new(),
        strip_query: Vec::new(),
        inject: kinds.map(|kind| (kind, Injection::default())).into(),
        token: Some(TokenSource::Endpoint(TokenEndpoint {
            origin: Origin::parse("https://id.p.test").expect("an origin"),
            path: "/token".to_owned(),
            format: TokenFormat::Form,
            code_format: None,
            client_id: "client".to_owned(),
            grant: Grant::RefreshToken,
            headers: Vec::new(),
            params: Vec::new(),
        })),
        login: None,
        conversation: Arc::default(),
        rules,
        limits: Vec::new(),
        usage: None,
        probe: None,
    }
}

pub(crate) fn subscription() -> Provider {
    Provider { subscription: true, ..provider() }
}

/// A provider that people sign in to.
pub(crate) fn with_login(provider: Provider) -> Provider {
    let start = Endpoint {
        origin: Origin::parse("https://id.p.test").expect("an origin"),
        path: "/device".to_owned(),
    };
    let (scope, format, pkce, params) = (String::new(), TokenFormat::Form, false, Vec::new());
    let device = DeviceFlow::Standard { start, scope, format, pkce, params };
    Provider { login: Some(LoginFlows { browser: None, device: Some(device) }), ..provider }
}

pub(crate) fn provider_id() -> ProviderId {
    "p".parse().expect("a provider id")
}

pub(crate) fn model() -> ModelName {
    "m-1".parse().expect("a model name")
}

/// `a1`, `a2`, … by number.
pub(crate) fn alias(id: u32) -> Alias {
    format!("a{id}").parse().expect("an alias")
}

pub(crate) fn key() -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new("key"),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: START,
        expires: None,
    }
}

pub(crate) fn oauth(version: u64, issued: Time) -> Credential {
    Credential {
        version,
        kind: CredentialKind::Oauth,
        access: Secret::new(format!("access {version}")),
        refresh: Some(Secret::new(format!("refresh {version}"))),
        issued,
        expires: Some(issued.after(LIFE)),
        ..key()
    }
}

pub(crate) fn new_account(id: u32, credential: Credential) -> NewAccount {
    NewAccount {
        alias: alias(id),
        provider: provider_id(),
        credential,
        weight: Weight::FULL,
        quota_group: None,
        tags: Vec::new(),
        notes: String::new(),
    }
}

/// `count` accounts with keys, `a1` to `a<count>`.
pub(crate) fn world(count: u32) -> Snapshot {
    world_of(provider(), count, |_| key())
}

pub(crate) fn world_of(provider: Provider, count: u32, credential: impl Fn(u32) -> Credential) -> Snapshot {
    let empty = Snapshot::empty(Settings::default(), vec![provider]);
    (1..=count).fold(empty, |world, id| {
        let new = new_account(id, credential(id));
        done(&world, Command::AccountAdded(Box::new(new)), START)
    })
}

/// The next snapshot of a command that is not turned down.
pub(crate) fn done(world: &Snapshot, command: Command, now: Time) -> Snapshot {
    applied(world, command, now).snapshot
}

/// The same with its durability.
pub(crate) fn applied(world: &Snapshot, command: Command, now: Time) -> Applied {
    apply(world, command, now).expect("a command that is accepted")
}

pub(crate) fn durability(world: &Snapshot, command: Command, now: Time) -> Durability {
    applied(world, command, now).durability
}

/// Changes one account by hand.
pub(crate) fn edit(world: &mut Snapshot, id: u32, change: impl FnOnce(&mut Account)) {
    let found = world.accounts.iter_mut().find(|a| a.id == AccountId(id));
    change(Arc::make_mut(found.expect("an account")));
}

pub(crate) fn set(world: &mut Snapshot, change: impl FnOnce(&mut Settings)) {
    change(Arc::make_mut(&mut world.settings));
}

pub(crate) fn account(world: &Snapshot, id: u32) -> &Account {
    world.account(AccountId(id)).expect("an account")
}

pub(crate) fn health(world: &Snapshot, id: u32) -> &Health {
    &account(world, id).health
}

pub(crate) fn request() -> RoutingRequest {
    RoutingRequest {
        provider: provider_id(),
        model: Some(model()),
        session: None,
        pinned: None,
        owner: None,
        only: None,
        bond: Default::default(),
        permitted: None,
        replay_safe: true,
    }
}

/// An observation of one window.
pub(crate) fn left(percent: f64, at: Time, resets: Option<Time>) -> LimitSample {
    LimitSample {
        at,
        source: LimitSource::Usage { endpoint: None },
        windows: vec![LimitWindow { name: "5h".into(), remaining: percent, resets }],
    }
}

pub(crate) fn switch_off(world: &Snapshot, id: u32) -> Snapshot {
    let off = crate::model::Switch::Off { at: START, by: crate::model::Actor::Admin, reason: None };
    let command = Command::Switched { alias: alias(id), to: off, last: LastEnabled::Override };
    done(world, command, START)
}
