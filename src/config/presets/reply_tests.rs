//! Every recorded reply of `tests/fixtures/replies/<provider>/` against the verdict written beside it.
use super::{embedded, load};
use crate::engine::{
    After, Command, Failover, Held, Live, NewAccount, Outcome, RoutingRequest, Step, Turn, Verdict, apply,
    classify, observe,
};
use crate::model::{
    AccountId, Alias, CoolingSource, Credential, CredentialKind, FaultClass, Identity, LimitWindow,
    ModelName, Provider, ProviderId, Rule, Scope, Secret, Settings, Snapshot, Time, Weight,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// 2026-04-20T03:04:12Z: when every reply was recorded.
const NOW: Time = Time::from_secs(1_776_654_252);

/// What a reply's `.toml` says.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    class: Option<FaultClass>,
    scope: Option<Scope>,
    rule: Option<String>,
    resets_ms: Option<u64>,
    source: Option<CoolingSource>,
    then: Then,
}

/// What the request does next, while its body is held and other accounts can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Then {
    /// It goes to another account.
    Another,
    /// The reply is the client's.
    Client,
    /// The token is renewed, then the same account.
    Refresh,
}

struct Recorded {
    file: PathBuf,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    expected: Expected,
}

/// FLO-2 FLO-3 FLO-4 FLO-11
#[test]
fn every_recorded_reply_gets_the_verdict_written_beside_it() {
    let providers = providers();
    let mut wrong = Vec::new();
    for (provider, reply) in recorded(&providers) {
        let told = verdict(provider, &reply);
        let expected = &reply.expected;
        if told != *expected {
            wrong.push(format!("{}\n  {told:?}\n  {expected:?}", reply.file.display()));
        }
    }
    assert!(wrong.is_empty(), "got, then expected:\n{}", wrong.join("\n"));
}

/// I6
#[test]
fn every_rule_of_every_preset_decides_at_least_one_recorded_reply() {
    let providers = providers();
    let decided: Vec<&Rule> = recorded(&providers)
        .iter()
        .filter_map(|(provider, reply)| {
            let name = verdict(provider, reply).rule?;
            provider.rules.iter().find(|rule| *rule.name == *name)
        })
        .collect();
    let orphans: Vec<String> = providers
        .iter()
        .flat_map(|provider| provider.rules.iter().map(move |rule| (provider, rule)))
        .filter(|(_, rule)| !decided.contains(rule))
        .map(|(provider, rule)| format!("{}: {}", provider.id, rule.name))
        .collect();
    assert_eq!(orphans, Vec::<String>::new());
}

/// FLO-2 FLO-3
#[test]
fn an_overload_or_outage_blames_no_account() {
    let providers = providers();
    for (provider, reply) in recorded(&providers) {
        if reply.status.as_u16() == 529 || reply.status.as_u16() == 503 {
            let scope = verdict(provider, &reply).scope;
            let fair = [Some(Scope::Provider), Some(Scope::Network)];
            assert!(fair.contains(&scope), "{}: {scope:?}", reply.file.display());
        }
    }
}

/// I6
#[test]
fn a_reply_that_is_no_error_is_the_clients_whatever_it_says() {
    let providers = providers();
    for (provider, mut reply) in recorded(&providers) {
        for status in [200, 202, 204, 301, 304] {
            reply.status = StatusCode::from_u16(status).expect("a status");
            let told = classify(provider, &outcome(&reply), NOW);
            assert_eq!(told, Verdict::Pass, "{} as {status}", reply.file.display());
        }
    }
}

/// LIM-6
#[test]
fn the_presets_read_the_limits_that_their_providers_tell() {
    let at = |wait: u64| (NOW.as_secs() + wait).to_string();
    let (soon, late) = (at(60), at(7200));
    let cases = [
        (
            "codex",
            vec![
                ("x-codex-primary-used-percent", "37.5"),
                ("x-codex-primary-window-minutes", "300"),
                ("x-codex-primary-reset-at", late.as_str()),
                ("x-codex-secondary-used-percent", "88"),
                ("x-codex-secondary-window-minutes", "10080"),
            ],
            vec![window("5h", 62.5, Some(7200)), window("weekly", 12.0, None)],
        ),
        (
            "codex",
            vec![
                ("x-codex-secondary-used-percent", "0"),
                ("x-codex-secondary-window-minutes", "0"),
                ("x-codex-secondary-reset-at", ""),
            ],
            vec![],
        ),
        (
            "anthropic",
            vec![
                ("anthropic-ratelimit-unified-5h-utilization", "0.25"),
                ("anthropic-ratelimit-unified-5h-reset", soon.as_str()),
                ("anthropic-ratelimit-unified-5h-status", "allowed"),
                ("anthropic-ratelimit-unified-7d-status", "rejected"),
                ("anthropic-ratelimit-unified-7d_oi-utilization", "1.0"),
            ],
            vec![window("5h", 75.0, Some(60)), window("weekly", 0.0, None)],
        ),
        (
            "anthropic",
            vec![
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2026-04-20T03:05:12Z"),
                ("anthropic-ratelimit-input-tokens-limit", "40000"),
                ("anthropic-ratelimit-input-tokens-remaining", "10000"),
            ],
            vec![window("requests", 98.0, Some(60)), window("input-tokens", 25.0, None)],
        ),
        (
            "openai",
            vec![
                ("x-ratelimit-limit-tokens", "150000"),
                ("x-ratelimit-remaining-tokens", "75000"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            vec![window("tokens", 50.0, Some(360))],
        ),
    ];
    let all = providers();
    for (id, list, expected) in cases {
        let provider = all.iter().find(|provider| provider.id.as_str() == id);
        let pairs = list.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, HeaderValue::from_str(value).expect("a value"))
        });
        let sample = observe(provider.expect("a preset"), &pairs.collect(), None, NOW);
        let seen = sample.map(|glimpse| glimpse.completed().windows).unwrap_or_default();
        assert_eq!(seen, expected, "{list:?}");
    }
}

proptest! {
    #[test]
    fn no_reply_makes_the_rules_panic_and_every_reset_lies_within_its_rules_bounds(
        status in 100u16..=999,
        names in proptest::collection::vec((0usize..NAMES.len(), "[ -~]{0,40}|[0-9]{1,20}|-[0-9]{1,3}|[0-9]{1,5}(ms|s|m|h)"), 0..6),
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            json().prop_map(|value| value.to_string().into_bytes()),
            (json(), 0usize..200).prop_map(|(value, cut)| {
                let mut text = value.to_string().into_bytes();
                text.truncate(cut);
                text
            }),
        ],
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in names {
            let value = HeaderValue::from_str(&value).expect("printable");
            headers.append(HeaderName::from_static(NAMES[name]), value);
        }
        let outcome = Outcome::Replied {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: &headers,
            peek: &body,
        };
        for provider in providers() {
            let Verdict::Fault(fault) = classify(&provider, &outcome, NOW) else {
                continue;
            };
            let rule = provider.rules.iter().find(|rule| Some(&rule.name) == fault.rule.as_ref()).expect("the rule");
            let _ = observe(&provider, &headers, None, NOW);
            if let Some((until, _)) = fault.resets {
                let wait = NOW.until(until);
                prop_assert!(rule.clamp.least <= wait && wait <= rule.clamp.most, "{}: {wait:?}", rule.name);
            }
        }
    }

    /// FLO-3: a request's own fault stays its own, whatever the rest of the reply says.
    #[test]
    fn quota_words_around_a_request_code_blame_nobody(
        code in prop_oneof![Just("context_length_exceeded"), Just("unsupported_value"), Just("invalid_image_url"), Just("tool_name_conflict")],
        words in proptest::sample::subsequence(WORDS.to_vec(), 0..WORDS.len()),
        status in prop_oneof![Just(400u16), Just(403), Just(404), Just(413), Just(422)],
    ) {
        let message = words.join(" ");
        let body = serde_json::json!({"error": {"code": code, "type": "insufficient_quota", "message": message}}).to_string();
        let outcome = Outcome::Replied {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: &HeaderMap::new(),
            peek: body.as_bytes(),
        };
        for provider in providers() {
            let Verdict::Fault(fault) = classify(&provider, &outcome, NOW) else {
                panic!("{} is nobody's", code);
            };
            prop_assert_eq!((fault.class, fault.scope), (FaultClass::RequestFault, Scope::Request));
        }
    }
}

const NAMES: [&str; 10] = [
    "retry-after",
    "retry-after-ms",
    "cf-mitigated",
    "content-type",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-limit-requests",
    "x-codex-primary-reset-at",
    "x-codex-primary-used-percent",
    "anthropic-ratelimit-unified-5h-reset",
];

const WORDS: [&str; 8] = [
    "you exceeded your current quota",
    "usage limits",
    "spend limit",
    "model is at capacity",
    "try again in 20s",
    "this organization has been disabled",
    "limit: 0",
    "does not exist or you do not have access to it",
];

fn json() -> impl Strategy<Value = serde_json::Value> {
    let code = prop_oneof![
        Just("usage_limit_reached"),
        Just("rate_limit_exceeded"),
        Just("RESOURCE_EXHAUSTED"),
        Just("insufficient_quota"),
        Just("overloaded_error"),
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        code.prop_map(Into::into),
        "\\PC{0,20}|[0-9]{1,30}s".prop_map(Into::into),
    ];
    let key = prop_oneof![
        Just("error"),
        Just("code"),
        Just("type"),
        Just("status"),
        Just("detail"),
        Just("details"),
        Just("message"),
        Just("resets_at"),
        Just("resets_in_seconds"),
        Just("retryDelay"),
        Just("metadata"),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| {
                let pairs = pairs.into_iter().map(|(key, value)| (key.to_owned(), value));
                serde_json::Value::Object(pairs.collect())
            }),
        ]
    })
}

fn window(name: &str, remaining: f64, resets: Option<u64>) -> LimitWindow {
    LimitWindow {
        name: name.into(),
        remaining,
        resets: resets.map(|wait| NOW.after(Duration::from_secs(wait))),
    }
}

fn providers() -> Vec<Provider> {
    load(&[]).expect("the embedded presets are presets")
}

fn verdict(provider: &Provider, reply: &Recorded) -> Expected {
    match classify(provider, &outcome(reply), NOW) {
        Verdict::Pass => Expected {
            class: None,
            scope: None,
            rule: None,
            resets_ms: None,
            source: None,
            then: then(provider, reply),
        },
        Verdict::Fault(fault) => Expected {
            class: Some(fault.class),
            scope: Some(fault.scope),
            rule: fault.rule.map(|rule| rule.as_ref().to_owned()),
            resets_ms: fault.resets.map(|(until, _)| until.as_millis() - NOW.as_millis()),
            source: fault.resets.map(|(_, source)| source),
            then: then(provider, reply),
        },
    }
}

/// What the engine does with the reply to the first of three accounts.
fn then(provider: &Provider, reply: &Recorded) -> Then {
    let world = world(provider);
    let request = RoutingRequest {
        provider: provider.id.clone(),
        model: Some(ModelName::try_from("m").expect("a model")),
        session: None,
        pinned: None,
        owner: None,
        only: None,
        bond: Default::default(),
        permitted: None,
        replay_safe: true,
    };
    let mut failover = Failover::open(request, &world, NOW);
    let Step::Send(first) = failover.next(&world, &mut Idle, NOW) else {
        panic!("three accounts can serve");
    };
    let ruling = failover.on_outcome(first, &outcome(reply), Held::Whole, &world, NOW);
    let learned = ruling.command.map(|command| apply(&world, command, NOW));
    let world = match learned {
        Some(learned) => learned.expect("a command that holds").snapshot,
        None => world,
    };
    match ruling.after {
        After::Pass => Then::Client,
        After::Again => match failover.next(&world, &mut Idle, NOW) {
            Step::Refresh { account, .. } if account == first.account => Then::Refresh,
            Step::Send(next) if next.account != first.account => Then::Another,
            step @ (Step::Refresh { .. }
            | Step::Refuse(_)
            | Step::Send(_)
            | Step::SignIn { .. }
            | Step::Wait(_)) => {
                panic!("{}: {step:?}", reply.file.display())
            }
        },
    }
}

/// Three accounts of the provider: logins where it has them, else keys.
fn world(provider: &Provider) -> Snapshot {
    let login = provider.inject.contains_key(&CredentialKind::Oauth);
    let credential = Credential {
        version: 1,
        kind: if login { CredentialKind::Oauth } else { CredentialKind::ApiKey },
        access: Secret::new("access"),
        refresh: login.then(|| Secret::new("refresh")),
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: NOW,
        expires: login.then(|| NOW.after(Duration::from_secs(3600))),
    };
    let empty = Snapshot::empty(Settings::default(), vec![provider.clone()]);
    ["a", "b", "c"].iter().fold(empty, |world, alias| {
        let account = NewAccount {
            alias: Alias::try_from(*alias).expect("an alias"),
            provider: provider.id.clone(),
            credential: credential.clone(),
            weight: Weight::FULL,
            quota_group: None,
            tags: Vec::new(),
            notes: String::new(),
        };
        let added = apply(&world, Command::AccountAdded(Box::new(account)), NOW);
        added.expect("an account").snapshot
    })
}

/// Nobody else asks for anything.
struct Idle;

impl Live for Idle {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(0)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}

fn outcome(reply: &Recorded) -> Outcome<'_> {
    Outcome::Replied { status: reply.status, headers: &reply.headers, peek: &reply.body }
}

/// Every reply with its provider. A folder that is no provider's, or a reply without a verdict, fails the test.
fn recorded(providers: &[Provider]) -> Vec<(&Provider, Recorded)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/replies");
    let mut replies = Vec::new();
    for folder in entries(&root) {
        let name = folder.file_name().and_then(|name| name.to_str());
        let provider = providers.iter().find(|provider| Some(provider.id.as_str()) == name);
        let provider = provider.unwrap_or_else(|| panic!("{} is no provider", folder.display()));
        let (heads, verdicts): (Vec<_>, Vec<_>) =
            entries(&folder).into_iter().partition(|file| file.extension().is_some_and(|end| end == "http"));
        let beside: Vec<_> = heads.iter().map(|file| file.with_extension("toml")).collect();
        assert_eq!(beside, verdicts, "a reply and its verdict come in pairs");
        replies.extend(heads.into_iter().map(|file| (provider, read(file))));
    }
    assert_eq!(entries(&root).len(), embedded().len(), "every preset has replies");
    replies
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).expect("a folder");
    let mut list: Vec<_> = list.map(|entry| entry.expect("an entry").path()).collect();
    list.sort();
    list
}

fn read(file: PathBuf) -> Recorded {
    let text = std::fs::read_to_string(&file).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let headers = lines.map(|line| line.split_once(": ").expect("a header"));
    let headers = headers.map(|(name, value)| {
        let name: HeaderName = name.parse().expect("a header's name");
        (name, HeaderValue::from_str(value).expect("a header's value"))
    });
    let beside = std::fs::read_to_string(file.with_extension("toml")).expect("a verdict");
    let expected = toml::from_str(&beside).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Recorded {
        status: status.and_then(|code| code.parse().ok()).expect("a status"),
        headers: headers.fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        }),
        body: body.as_bytes().to_vec(),
        file,
        expected,
    }
}
