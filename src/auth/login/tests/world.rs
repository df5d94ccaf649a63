use super::idp::Idp;
use crate::auth::login::{JobReport, LoginError, LoginFlow, LoginRequest, Logins, LoginsParts};
use crate::auth::{Refresher, RefresherParts, TokenClient};
use crate::clock::{Clock, ManualClock};
use crate::engine::{Command, LastEnabled, NewAccount};
use crate::model::{
    Account, AccountId, Actor, Alias, BrowserFlow, Credential, CredentialKind, DeviceFlow, Dialect, Endpoint,
    Grant, Identity, Injection, LoginFlows, Loopback, Origin, Provider, ProviderId, Secret, Settings,
    Snapshot, Switch, Time, TokenEndpoint, TokenFormat, TokenSource, Weight,
};
use crate::state::SharedState;
use crate::store::{Backend, FileBackend, Store, writer};
use crate::upstream::{ProxyValues, Roots, Trust, UpstreamConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub(super) const NOW: Time = Time::from_secs(1_000_000);

/// Sign-ins over a real store and a real identity provider, in a time of the test's own.
pub(super) struct World {
    pub(super) state: Arc<SharedState>,
    pub(super) store: Arc<Store>,
    pub(super) logins: Logins,
    pub(super) refresher: Refresher,
    pub(super) clock: ManualClock,
    pub(super) idp: Idp,
    pub(super) dir: TempDir,
}

impl World {
    /// With providers `web` (browser on any port, device of its own kind), `page` (browser, a page that shows the code,
    /// JSON, the state in the exchange), `device` (RFC 8628 with PKCE), and `keys` (none of it).
    pub(super) async fn start() -> Self {
        Self::with(Vec::new()).await
    }

    /// The same; `web` comes back to one of these ports.
    pub(super) async fn with(ports: Vec<u16>) -> Self {
        let clock = ManualClock::new(NOW);
        let idp = Idp::start(clock.clone()).await;
        let dir = tempfile::tempdir().unwrap();
        let backend: Arc<dyn Backend> = Arc::new(FileBackend::create(&dir.path().join("store")).unwrap());
        let store = Store::open(backend, &BTreeSet::new(), NOW).unwrap().store;
        let providers = providers(&idp, ports).into_iter().map(Arc::new).collect::<Vec<_>>();
        let world =
            Snapshot { providers: providers.into(), ..Snapshot::empty(Settings::default(), Vec::new()) };
        let (durable, confirmed) = watch::channel(0);
        let wall = Clock::Manual(clock.clone());
        let state = Arc::new(SharedState::new(world, wall.clone(), confirmed));
        tokio::spawn(writer::run(
            store.clone(),
            state.clone(),
            wall.clone(),
            durable,
            std::future::pending(),
        ));
        let tokens = TokenClient::new(&wire()).unwrap();
        let refresher = Refresher::new(RefresherParts {
            state: state.clone(),
            store: store.clone(),
            tokens: tokens.clone(),
            deadline: Duration::from_secs(60),
            clock: wall.clone(),
            runtime: Handle::current(),
        });
        let logins = Logins::new(LoginsParts {
            state: state.clone(),
            store: store.clone(),
            tokens,
            deadline: Duration::from_secs(60),
            clock: wall,
            runtime: Handle::current(),
        });
        Self { state, store, logins, refresher, clock, idp, dir }
    }

    pub(super) async fn begin(
        &self,
        alias: &str,
        provider: &str,
        flow: LoginFlow,
    ) -> Result<JobReport, LoginError> {
        let provider = ProviderId::try_from(provider).unwrap();
        self.logins
            .start(LoginRequest { alias: named(alias), provider: Some(provider), flow: Some(flow) })
            .await
    }

    /// An account of `person`'s, with a refresh token that the provider takes.
    pub(super) async fn add(&self, alias: &str, provider: &str, person: &str) -> AccountId {
        let refresh = format!("rt-{alias}");
        self.idp.knows(&refresh, person);
        let credential = Credential {
            kind: CredentialKind::Oauth,
            refresh: Some(Secret::new(refresh)),
            identity: Identity { user: Some(person.to_owned()), ..Identity::default() },
            expires: Some(NOW),
            ..key()
        };
        self.add_with(alias, provider, credential).await
    }

    pub(super) async fn add_with(&self, alias: &str, provider: &str, credential: Credential) -> AccountId {
        let new = NewAccount {
            alias: named(alias),
            provider: ProviderId::try_from(provider).unwrap(),
            credential,
            weight: Weight::FULL,
            quota_group: None,
            tags: Vec::new(),
            notes: String::new(),
        };
        let world = self.state.commit(Command::AccountAdded(Box::new(new))).await.unwrap();
        world.by_alias(&named(alias)).unwrap().id
    }

    pub(super) fn switch_off(&self, alias: &str) {
        let to = Switch::Off { at: NOW, by: Actor::Admin, reason: None };
        let off = Command::Switched { alias: named(alias), to, last: LastEnabled::Override };
        self.state.apply(off).unwrap();
    }

    pub(super) fn account(&self, alias: &str) -> Option<Arc<Account>> {
        self.state.snapshot().by_alias(&named(alias)).cloned()
    }

    pub(super) fn credential(&self, alias: &str) -> Credential {
        self.account(alias).unwrap().credential.credential().unwrap().as_ref().clone()
    }

    /// The job once it is over.
    pub(super) async fn over(&self, job: &JobReport) -> JobReport {
        let mut news = self.logins.news();
        loop {
            let job = self.logins.get(&job.id).unwrap();
            if job.state.is_terminal() {
                return job;
            }
            news.recv().await.unwrap();
        }
    }

    /// The job once it is over; the time passes meanwhile.
    pub(super) async fn over_in_time(&self, job: &JobReport) -> JobReport {
        let mut over = std::pin::pin!(self.over(job));
        loop {
            tokio::select! {
                biased;
                job = &mut over => return job,
                () = tokio::task::yield_now() => self.clock.advance(Duration::from_millis(1)),
            }
        }
    }

    /// Every record of the account's, byte for byte.
    pub(super) fn records(&self, id: AccountId) -> Vec<(PathBuf, Vec<u8>)> {
        let dirs = ["credentials", "runtime"].map(|name| self.dir.path().join("store").join(name));
        let files =
            dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|file| file.unwrap().path());
        let its = |path: &PathBuf| {
            path.file_name().unwrap().to_str().unwrap().split('.').next() == Some(&id.to_string())
        };
        let mut records: Vec<_> =
            files.filter(its).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        records.sort();
        records
    }
}

pub(super) fn named(alias: &str) -> Alias {
    Alias::try_from(alias).unwrap()
}

pub(super) fn key() -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new("key"),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: NOW,
        expires: None,
    }
}

/// What a browser is answered at `address`: status and the whole text; none where nobody listens.
pub(super) async fn browse(address: &str) -> Option<(u16, String)> {
    let (authority, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let port = authority.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await.ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    Some((status, text))
}

fn providers(idp: &Idp, ports: Vec<u16>) -> Vec<Provider> {
    let origin = Origin::parse(&idp.origin()).unwrap();
    let at = |path: &str| Endpoint { origin: origin.clone(), path: path.to_owned() };
    let loopback = Loopback { host: "localhost".to_owned(), ports, path: "/auth/callback".to_owned() };
    let browser = BrowserFlow {
        authorize: at("/authorize"),
        scope: "openid".to_owned(),
        params: vec![("originator".to_owned(), "rota".to_owned())],
        loopback: Some(loopback),
        paste: None,
        state_in_exchange: false,
    };
    let own_kind = DeviceFlow::Code {
        start: at("/usercode"),
        poll: at("/poll"),
        page: "https://id.example.com/device".to_owned(),
        redirect: "https://id.example.com/device/callback".to_owned(),
    };
    let standard = DeviceFlow::Standard {
        start: at("/device"),
        scope: "all".to_owned(),
        format: TokenFormat::Form,
        pkce: true,
        params: vec![("audience".to_owned(), "api".to_owned())],
    };
    let page = BrowserFlow {
        loopback: None,
        paste: Some("https://id.example.com/shows-the-code".to_owned()),
        state_in_exchange: true,
        ..browser.clone()
    };
    let web = LoginFlows { browser: Some(browser), device: Some(own_kind) };
    vec![
        provider("web", &origin, Some(web)),
        provider("page", &origin, Some(LoginFlows { browser: Some(page), device: None })),
        provider("device", &origin, Some(LoginFlows { browser: None, device: Some(standard) })),
        provider("keys", &origin, None),
    ]
}

fn provider(id: &str, origin: &Origin, login: Option<LoginFlows>) -> Provider {
    let token = TokenEndpoint {
        origin: origin.clone(),
        path: "/token".to_owned(),
        format: if id == "page" { TokenFormat::Json } else { TokenFormat::Form },
        code_format: None,
        client_id: "app".to_owned(),
        grant: Grant::RefreshToken,
        headers: Vec::new(),
        params: Vec::new(),
    };
    Provider {
        id: ProviderId::try_from(id).unwrap(),
        name: id.to_owned(),
        origin: origin.clone(),
        base: String::new(),
        maps: Vec::new(),
        routes: Vec::new(),
        dialect: Dialect::Responses,
        subscription: true,
        session_headers: Vec::new(),
        replay_safe: Vec::new(),
        strip: Vec::new(),
        strip_query: Vec::new(),
        inject: [CredentialKind::Oauth, CredentialKind::ApiKey]
            .map(|kind| (kind, Injection::default()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        token: Some(TokenSource::Endpoint(token)),
        login,
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
