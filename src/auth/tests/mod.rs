//! The refresher over a real store directory and a token endpoint that spends every refresh token once.
mod authority;
mod cascade;
mod granted;
mod records;
mod rotations;

use super::{Refresher, RefresherParts, TokenClient};
use crate::clock::{Clock, ManualClock};
use crate::config::{Sources, Variables};
use crate::engine::{Command, LastEnabled, NewAccount};
use crate::model::{
    AccountId, Alias, AliasText, Credential, CredentialKind, CredentialState, Dialect, Grant, HeaderField,
    HeaderTemplate, Identity, Injection, Origin, Param, Provider, ProviderId, Secret, Settings, Snapshot,
    Time, TokenEndpoint, TokenFormat, TokenSource, Weight,
};
use crate::state::SharedState;
use crate::upstream::{ProxyValues, Roots, Trust, UpstreamConfig};
use authority::{Act, Authority};
use http::{HeaderValue, header};
use records::Records;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

const A: AccountId = AccountId(1);
const B: AccountId = AccountId(2);
const NOW: Time = Time::from_secs(1_000_000);

/// T1 REN-2
#[tokio::test]
async fn fifty_callers_on_one_version_make_one_exchange() {
    let world = World::start().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let refresher = world.refresher.clone();
        callers.spawn(async move { refresher.refresh(A, 1).await });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
        assert_eq!(world.version(A), 2);
    }
    assert_eq!(world.authority.exchanges(), 1);
    let kept = world.records.read(A).unwrap();
    assert_eq!(world.credential(A), CredentialState::Usable(Arc::new(kept.clone())));
    let expected = Credential {
        version: 2,
        access: Secret::new("access-1.2"),
        refresh: Some(Secret::new("1.2")),
        issued: NOW,
        expires: Some(NOW.after(Duration::from_secs(3600))),
        ..first(A)
    };
    assert_eq!(kept, expected);
    world.refresher.refresh(A, 1).await;
    assert_eq!(world.authority.exchanges(), 1, "it is newer already");
}

/// REN-2: nobody sees a credential that a crash could take away.
#[tokio::test]
async fn a_renewal_is_durable_before_it_is_in_force() {
    let world = World::start().await;
    let state = world.state.clone();
    world.records.while_saving(move || version(&state, A));
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.records.seen_while_saving(), world.version(A)), (vec![1], 2));
}

/// T12 I7
#[tokio::test]
async fn a_caller_that_leaves_cuts_nothing() {
    let world = World::start().await;
    let hold = world.authority.hold();
    let refresher = world.refresher.clone();
    let caller = tokio::spawn(async move { refresher.refresh(A, 1).await });
    world.authority.asked(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(hold);
    world.refresher.idle().await;
    assert_eq!(world.version(A), 2);
    assert_eq!(world.records.read(A).unwrap().version, 2);
}

/// T17
#[tokio::test]
async fn a_failure_is_for_those_who_waited_and_the_next_caller_tries_anew() {
    let world = World::start().await;
    world.authority.script([Act::Answer(403, json!("<html>"), "")]);
    let hold = world.authority.hold();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let refresher = world.refresher.clone();
        waiting.spawn(async move { refresher.refresh(A, 1).await });
    }
    world.authority.asked(1).await;
    drop(hold);
    waiting.join_all().await;
    assert_eq!((world.version(A), world.failures(A)), (1, 1));
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.version(A), world.failures(A)), (2, 0));
    assert_eq!((world.authority.asked_so_far(), world.authority.reuses()), (2, 0));
}

/// T2 REN-2
#[tokio::test]
async fn what_another_process_renewed_is_adopted_without_a_word_to_the_authority() {
    let world = World::start().await;
    let newer = Credential { version: 5, access: Secret::new("theirs"), ..first(A) };
    world.records.write(A, &newer);
    world.refresher.refresh(A, 1).await;
    assert_eq!(world.credential(A), CredentialState::Usable(Arc::new(newer)));
    assert_eq!(world.authority.asked_so_far(), 0);
}

/// REN-2: two processes, one directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_on_one_directory_never_spend_a_token_twice() {
    let world = World::start().await;
    let other = world.another();
    for version in 1..=20 {
        let (here, there) = (world.refresher.clone(), other.refresher.clone());
        tokio::join!(here.refresh(A, version), there.refresh(A, version));
        assert_eq!((world.version(A), other.version(A)), (version + 1, version + 1));
    }
    assert_eq!((world.authority.exchanges(), world.authority.reuses()), (20, 0));
}

/// T7 REN-2
#[tokio::test]
async fn what_could_not_be_stored_is_not_sent() {
    let world = World::start().await;
    world.records.fill_up();
    world.refresher.refresh(A, 1).await;
    assert_eq!(world.authority.asked_so_far(), 0);
    assert_eq!(world.credential(A), CredentialState::Usable(Arc::new(first(A))));
    assert_eq!(world.failures(A), 1);
    world.records.make_room();
    world.refresher.refresh(A, 1).await;
    assert_eq!(world.version(A), 2);
}

/// T11
#[tokio::test]
async fn a_renewal_the_store_does_not_take_serves_from_memory_until_it_does() {
    let world = World::start().await;
    let hold = world.authority.hold();
    let refresher = world.refresher.clone();
    let renewing = tokio::spawn(async move { refresher.refresh(A, 1).await });
    world.authority.asked(1).await;
    world.records.fill_up();
    drop(hold);
    renewing.await.unwrap();
    assert_eq!(world.version(A), 2, "the old one is spent, so nothing is won by waiting");
    world.records.make_room();
    assert_eq!(world.records.read(A).unwrap().version, 1);
    world.tick_until(world.refresher.idle()).await;
    assert_eq!(world.records.read(A).unwrap().version, 2);
    world.refresher.refresh(A, 2).await;
    assert_eq!((world.version(A), world.authority.reuses()), (3, 0));
}

/// T15 REN-3: refused, and the record is still the one that was refused.
#[tokio::test]
async fn a_dead_token_asks_for_a_human_and_for_this_account_only() {
    for (status, error) in [
        (400, json!({ "error": "invalid_grant" })),
        (401, json!({ "error": { "code": "refresh_token_reused" } })),
    ] {
        let world = World::start().await;
        world.authority.script([Act::Answer(status, error, "")]);
        world.refresher.refresh(A, 1).await;
        assert!(matches!(world.credential(A), CredentialState::NeedsReauth { .. }));
        assert_eq!(world.credential(B), CredentialState::Usable(Arc::new(first(B))));
        world.refresher.refresh(A, 1).await;
        assert_eq!(world.authority.asked_so_far(), 1, "the dead are left alone");
    }
}

/// T15 REN-3
#[tokio::test]
async fn a_refusal_after_a_peer_renewed_means_adopting() {
    let world = World::start().await;
    let newer = Credential { version: 2, access: Secret::new("theirs"), ..first(A) };
    let hold = world.authority.hold();
    world.authority.script([Act::Answer(400, json!({ "error": "invalid_grant" }), "")]);
    let refresher = world.refresher.clone();
    let renewing = tokio::spawn(async move { refresher.refresh(A, 1).await });
    world.authority.asked(1).await;
    world.records.write(A, &newer);
    drop(hold);
    renewing.await.unwrap();
    assert_eq!(world.credential(A), CredentialState::Usable(Arc::new(newer)));
}

/// T10 REN-3: an unclear end is met with one more attempt, and no third.
#[tokio::test]
async fn a_lost_answer_is_asked_for_once_more() {
    let unclear = [
        Act::CommitThenDrop,
        Act::CommitThen(503, json!("")),
        Act::CommitThen(200, json!("<html>")),
        Act::CommitThenFlood,
    ];
    for act in unclear {
        let with_grace = World::start().await;
        with_grace.authority.grace();
        with_grace.authority.script([act.clone()]);
        with_grace.refresher.refresh(A, 1).await;
        assert_eq!((with_grace.version(A), with_grace.authority.asked_so_far()), (2, 2), "{act:?}");
        let without = World::start().await;
        without.authority.script([act.clone()]);
        without.refresher.refresh(A, 1).await;
        assert!(matches!(without.credential(A), CredentialState::NeedsReauth { .. }), "{act:?}");
        assert_eq!(without.authority.asked_so_far(), 2);
    }
}

/// REN-3: what was provably not spent is tried three times, further and further apart.
#[tokio::test]
async fn a_busy_or_absent_authority_is_asked_three_times() {
    let world = World::start().await;
    world.authority.script([(); 2].map(|()| Act::Answer(429, json!({}), "1")));
    world.tick_until(world.refresher.refresh(A, 1)).await;
    assert_eq!((world.version(A), world.authority.asked_so_far()), (2, 3));
    assert!(world.clock.now() >= NOW.after(Duration::from_secs(3)), "1 s and 2 s");
    world.authority.script([Act::Answer(429, json!({}), "3600")]);
    world.refresher.refresh(A, 2).await;
    assert_eq!((world.version(A), world.authority.asked_so_far()), (2, 4), "it asked for an hour");
    world.authority.stop().await;
    world.tick_until(world.refresher.refresh(A, 2)).await;
    assert_eq!((world.version(A), world.failures(A)), (2, 2));
}

/// REN-4 T16
#[tokio::test]
async fn tokens_of_somebody_else_are_refused() {
    let world = World::start().await;
    let theirs = json!({ "access_token": "x", "organization": { "uuid": "org-other" } });
    world.authority.script([Act::Answer(200, theirs, "")]);
    world.refresher.refresh(A, 1).await;
    let CredentialState::NeedsReauth { detail, refused, .. } = world.credential(A) else {
        panic!("not refused");
    };
    assert_eq!(detail, "the token endpoint answered for another identity");
    assert_eq!(((*refused).clone(), world.records.read(A).unwrap()), (first(A), first(A)));
}

#[tokio::test]
async fn an_endpoint_is_asked_in_its_own_format() {
    let world = World::start().await;
    world.refresher.refresh(A, 1).await;
    world.refresher.refresh(B, 1).await;
    let asked = world.authority.requests();
    let json = r#"{"client_id":"app","grant_type":"refresh_token","refresh_token":"1.1","scope":"a b"}"#;
    let form = "grant_type=refresh_token&refresh_token=2.1&client_id=app&scope=a+b";
    for (asked, kind, body) in
        [(&asked[0], "application/json", json), (&asked[1], "application/x-www-form-urlencoded", form)]
    {
        let (head, sent) = asked.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /oauth/token HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("content-type: {kind}\r\n")), "{head}");
        assert!(head.contains("x-beta: oauth"), "{head}");
        assert_eq!(sent, body);
    }
}

/// T14: accounts that expire together are no storm.
#[tokio::test]
async fn one_endpoint_has_two_exchanges_at_a_time() {
    let world = World::start().await;
    let ids: Vec<AccountId> = (0..100).map(|_| world.add("json")).collect();
    let hold = world.authority.hold();
    let mut callers = tokio::task::JoinSet::new();
    for id in ids.clone() {
        let refresher = world.refresher.clone();
        callers.spawn(async move { refresher.refresh(id, 1).await });
    }
    world.authority.asked(2).await;
    drop(hold);
    callers.join_all().await;
    assert!(ids.iter().all(|id| world.version(*id) == 2));
    assert_eq!(world.authority.most_at_once(), 2);
}

/// FLO-10
#[tokio::test]
async fn an_authority_that_keeps_failing_is_left_alone() {
    let world = World::start().await;
    let failures = (0..6).map(|_| Act::CommitThen(503, json!("")));
    world.authority.script(failures);
    for _ in 0..3 {
        world.refresher.refresh(A, 1).await;
    }
    assert_eq!(world.authority.asked_so_far(), 6);
    world.refresher.refresh(A, 1).await;
    assert_eq!(world.authority.asked_so_far(), 6, "its breaker is open");
    assert_eq!(world.failures(A), 4);
}

/// I8
#[tokio::test]
async fn nobody_is_asked_for_an_account_that_is_gone_or_cannot_be_renewed() {
    let world = World::start().await;
    world.refresher.refresh(AccountId(99), 1).await;
    world.refresher.refresh(A, 7).await;
    let only_access = Credential { refresh: None, ..first(A) };
    let c = world.add_with("json", only_access);
    world.refresher.refresh(c, 1).await;
    let removed =
        Command::AccountRemoved { alias: Alias::try_from("a1").unwrap(), last: LastEnabled::Override };
    world.state.apply(removed).unwrap();
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.authority.asked_so_far(), world.failures(c)), (0, 1));
}

/// One process: a state, its refresher, a directory of records, an authority.
struct World {
    state: Arc<SharedState>,
    clock: ManualClock,
    refresher: Refresher,
    records: Arc<Records>,
    authority: Arc<Authority>,
}

impl World {
    async fn start() -> Self {
        let authority = Arc::new(Authority::start().await);
        let world = Self::over(Arc::new(Records::new()), authority);
        assert_eq!((world.add("json"), world.add("form")), (A, B));
        world
    }

    /// Another process on the same directory.
    fn another(&self) -> Self {
        let records = Arc::new(self.records.opened_again());
        let world = Self::over(records, self.authority.clone());
        assert_eq!((world.add("json"), world.add("form")), (A, B));
        world
    }

    fn over(records: Arc<Records>, authority: Arc<Authority>) -> Self {
        let clock = ManualClock::new(NOW);
        let providers = vec![
            provider("json", &authority, TokenFormat::Json),
            provider("form", &authority, TokenFormat::Form),
            granted::program(&authority, &records),
            granted::client(&authority),
        ];
        let world = Snapshot::empty(Settings::default(), providers);
        let (_, durable) = watch::channel(0);
        let state = SharedState::new(world, Clock::Manual(clock.clone()), durable);
        let state = Arc::new(state);
        let refresher = Refresher::new(RefresherParts {
            state: state.clone(),
            store: records.store.clone(),
            tokens: TokenClient::new(&wire()).unwrap().with_variables(path()),
            deadline: Duration::from_secs(60),
            clock: Clock::Manual(clock.clone()),
            runtime: Handle::current(),
        });
        Self { state, clock, refresher, records, authority }
    }

    fn add(&self, provider: &str) -> AccountId {
        let id = self.state.snapshot().next_account;
        self.add_with(provider, first(id))
    }

    fn add_with(&self, provider: &str, credential: Credential) -> AccountId {
        let id = self.state.snapshot().next_account;
        let new = NewAccount {
            alias: Alias::try_from(format!("a{id}")).unwrap(),
            provider: ProviderId::try_from(provider).unwrap(),
            credential: credential.clone(),
            weight: Weight::FULL,
            quota_group: None,
            tags: Vec::new(),
            notes: String::new(),
        };
        self.state.apply(Command::AccountAdded(Box::new(new))).unwrap();
        self.records.write(id, &credential);
        id
    }

    fn credential(&self, id: AccountId) -> CredentialState {
        self.state.snapshot().account(id).unwrap().credential.clone()
    }

    fn version(&self, id: AccountId) -> u64 {
        version(&self.state, id)
    }

    fn failures(&self, id: AccountId) -> u32 {
        self.state.snapshot().account(id).unwrap().renewal.failures
    }

    /// Lets the time pass until `work` is done.
    async fn tick_until(&self, work: impl Future<Output = ()>) {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                () = &mut work => return,
                () = tokio::task::yield_now() => self.clock.advance(Duration::from_millis(1)),
            }
        }
    }
}

fn version(state: &SharedState, id: AccountId) -> u64 {
    state.snapshot().account(id).unwrap().credential.version()
}

/// The credential account `id` begins with: its refresh token is `<id>.1`.
fn first(id: AccountId) -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::Oauth,
        access: Secret::new(format!("access-{id}.1")),
        refresh: Some(Secret::new(format!("{id}.1"))),
        self_granted: false,
        id_token: None,
        identity: Identity { account: Some("org".to_owned()), ..Identity::default() },
        issued: Time::default(),
        expires: Some(NOW),
    }
}

fn provider(id: &str, authority: &Authority, format: TokenFormat) -> Provider {
    let origin = Origin::parse(&authority.origin()).unwrap();
    let bearer = HeaderTemplate {
        before: "Bearer ".to_owned(),
        field: Some(HeaderField::Access),
        after: String::new(),
    };
    let injection = Injection { set: vec![(header::AUTHORIZATION, bearer)], ..Injection::default() };
    let token = TokenEndpoint {
        origin: origin.clone(),
        path: "/oauth/token".to_owned(),
        format,
        code_format: None,
        client_id: "app".to_owned(),
        grant: Grant::RefreshToken,
        headers: vec![(header::HeaderName::from_static("x-beta"), HeaderValue::from_static("oauth"))],
        params: vec![("scope".to_owned(), Param::Text(AliasText::new("a b")))],
    };
    Provider {
        id: ProviderId::try_from(id).unwrap(),
        name: id.to_owned(),
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
        conversation: Arc::default(),
        rules: Vec::new(),
        limits: Vec::new(),
        usage: None,
        probe: None,
    }
}

/// Where programs are found.
fn path() -> Variables {
    let env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    Variables::of(&Sources { env, ..Sources::default() })
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
