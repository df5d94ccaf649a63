use super::*;
use crate::config::presets;
use crate::model::{Account, AccountId, Alias, CredentialState, Settings, Switch, Weight};
use http::HeaderValue;

/// ROU-1, ROU-2: a request's path, and whom it means there. `+name` is a header it carries.
const PATHS: &[(&str, &str, &str)] = &[
    ("/openai/v1/responses", "openai", "/v1/responses"),
    ("/openai/v1/responses?a=b", "openai", "/v1/responses?a=b"),
    ("/codex/responses", "codex", "/backend-api/codex/responses"),
    ("/codex/v1/responses", "codex", "/backend-api/codex/responses"),
    ("/backend-api/codex/responses", "codex", "/backend-api/codex/responses"),
    ("/anthropic/v1/messages?beta=true", "anthropic", "/v1/messages?beta=true"),
    ("/v1/messages", "anthropic", "/v1/messages"),
    ("/v1/messages/count_tokens", "anthropic", "/v1/messages/count_tokens"),
    ("/v1/models +anthropic-version", "anthropic", "/v1/models"),
    ("/v1/files +anthropic-version", "anthropic", "/v1/files"),
    (
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        "gemini",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
    ),
    (
        "/gemini/v1beta/models/m:generateContent?key=mine&alt=sse",
        "gemini",
        "/v1beta/models/m:generateContent?alt=sse",
    ),
    ("/v1beta/models?key=mine", "gemini", "/v1beta/models"),
    ("/openrouter/v1/chat/completions", "openrouter", "/api/v1/chat/completions"),
    ("/openrouter/api/v1/models", "openrouter", "/api/v1/models"),
    ("/v1/chat/completions", "openai", "/v1/chat/completions"),
    ("/v1/responses", "openai", "/v1/responses"),
    ("/v1/embeddings", "openai", "/v1/embeddings"),
];

/// ROU-1, ROU-2
#[test]
fn a_path_means_one_provider_and_one_path_there() {
    let world = world(&["openai", "codex", "anthropic", "gemini"]);
    for (path, provider, there) in PATHS {
        assert_eq!(meant(&world, path), Ok((*provider, (*there).to_owned())), "{path}");
    }
}

/// ROU-2
#[test]
fn a_login_stands_in_for_keys_only_while_there_is_no_key() {
    let path = "/v1/responses";
    let login = world(&["codex"]);
    assert_eq!(meant(&login, path).map(|(id, _)| id), Ok("codex"));
    assert_eq!(meant(&login, "/v1/models").map(|(id, _)| id), Ok("codex"));
    assert_eq!(meant(&login, "/v1/embeddings").map(|(id, _)| id), Ok("openai"));
    for both in [world(&["codex", "openai"]), world(&[])] {
        assert_eq!(meant(&both, path).map(|(id, _)| id), Ok("openai"));
    }
}

/// ROU-3
#[test]
fn a_path_without_a_route_names_the_prefixes_there_are() {
    let world = world(&[]);
    let prefixes: Vec<ProviderId> = world.providers.iter().map(|p| p.id.clone()).collect();
    for path in ["/", "/v2/x", "/openaix/v1", "/v1betax", "/v1x", "/OPENAI/v1", "/%6fpenai/v1"] {
        let expected = Err(Turned::NoRoute { prefixes: prefixes.clone() });
        assert_eq!(meant(&world, path), expected, "{path}");
    }
    let shown = Turned::NoRoute { prefixes }.to_string();
    assert!(shown.contains("/openai/") && shown.contains("/codex/"), "{shown}");
}

/// PRX-7, I13
#[test]
fn a_url_means_the_provider_it_belongs_to_and_nobody_else() {
    let world = world(&[]);
    let there = |url: &str| {
        let uri: Uri = url.parse().expect("a URL");
        let authority = uri.authority().expect("a host").clone();
        let routed = route(&world, &Target::Url(authority), &uri, &HeaderMap::new())?;
        Ok((routed.provider.id.to_string(), routed.path_and_query.to_string()))
    };
    let cases = [
        ("http://api.openai.com/v1/responses?x", "openai", "/v1/responses?x"),
        ("https://API.openai.com:443/v1/models", "openai", "/v1/models"),
        ("http://api.openai.com:80/v1/models", "openai", "/v1/models"),
        ("http://chatgpt.com/backend-api/codex/responses", "codex", "/backend-api/codex/responses"),
    ];
    for (url, provider, path) in cases {
        assert_eq!(there(url), Ok((provider.to_owned(), path.to_owned())), "{url}");
    }
    for url in ["http://evil.com/v1/x", "http://api.openai.com:8443/v1", "http://api.openai.com.evil.com/v1"]
    {
        assert_eq!(there(url), Err(Turned::ForeignTarget), "{url}");
    }
}

/// FLO-2
#[test]
fn inference_may_be_sent_again_and_nothing_else() {
    let world = world(&[]);
    let safe = |path: &str| routed_at(&world, path).map(|routed| routed.replay_safe);
    assert_eq!(safe("/codex/responses?x=y"), Ok(true));
    assert_eq!(safe("/gemini/v1beta/models/m:generateContent"), Ok(true));
    assert_eq!(safe("/codex/files"), Ok(false));
}

/// PRX-2
#[test]
fn only_the_parameters_that_carry_a_credential_leave_the_query() {
    let strip = ["key".to_owned()];
    let cases = [
        ("a=1&b=2", "?a=1&b=2"),
        ("key=x", ""),
        ("key=x&a=1", "?a=1"),
        ("a=1&key=x&b=%26key=y", "?a=1&b=%26key=y"),
        ("monkey=1&key", "?monkey=1"),
        ("", "?"),
        ("a=1&&b", "?a=1&&b"),
    ];
    for (query, expected) in cases {
        let mut whole = String::new();
        push_query(&mut whole, query, &strip);
        assert_eq!(whole, expected, "{query}");
    }
}

fn meant<'a>(world: &'a Snapshot, path: &str) -> Result<(&'a str, String), Turned> {
    let routed = routed_at(world, path)?;
    let id = world.provider(&routed.provider.id).expect("a known provider");
    Ok((id.id.as_str(), routed.path_and_query.to_string()))
}

fn routed_at(world: &Snapshot, path: &str) -> Result<Routed, Turned> {
    let (path, header) = path.split_once(" +").unwrap_or((path, ""));
    let mut headers = HeaderMap::new();
    if !header.is_empty() {
        let name = http::HeaderName::from_bytes(header.as_bytes()).expect("a name");
        headers.insert(name, HeaderValue::from_static("1"));
    }
    let uri: Uri = path.parse().expect("a path");
    route(world, &Target::Path, &uri, &headers)
}

/// The embedded presets, and one account for each of these providers.
fn world(accounts: &[&str]) -> Snapshot {
    let providers = presets::load(&[]).expect("the embedded presets");
    let mut world = Snapshot::empty(Settings::default(), providers);
    for (at, provider) in accounts.iter().enumerate() {
        world.accounts.push(Arc::new(Account {
            id: AccountId(at as u32 + 1),
            alias: Alias::try_from(*provider).expect("an alias"),
            provider: ProviderId::try_from(*provider).expect("a provider id"),
            tags: Vec::new(),
            notes: String::new(),
            switch: Switch::On,
            weight: Weight::FULL,
            quota_group: None,
            credential: CredentialState::Missing { detail: String::new() },
            renewal: Default::default(),
            limits: Default::default(),
            health: Default::default(),
        }));
    }
    world
}
