//! Whose credential a request carries, and whether the provider takes it.

use http::header::AUTHORIZATION;
use serde_json::json;

use crate::account::{AccessToken, Account};
use crate::ask::Head;
use crate::assertions::Rule;
use crate::errors;
use crate::limits::Meter;
use crate::recorder::Slot;
use crate::reply::Reply;
use crate::routes::Provider;
use crate::world::World;

/// Beta that Anthropic wants with every OAuth token.
const OAUTH_BETA: &str = "oauth-2025-04-20";
/// Time after an invalidated token in which others are counted.
const CASCADE_MS: i64 = 10_000;
/// Distinct tokens in that time after which all of them are invalidated.
const CASCADE_TOKENS: usize = 3;

/// The account that a request acts as.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) place: usize,
    pub(crate) id: String,
    pub(crate) org: String,
    pub(crate) meter: Meter,
}

enum Kind {
    Key,
    Token(AccessToken),
}

/// The account of the first known credential, and where it was.
pub(crate) fn identify(world: &World, head: &Head) -> Option<(String, Slot)> {
    presented(head).into_iter().find_map(|(slot, credential)| {
        let account = world.accounts.get(world.place_of_credential(&credential)?)?;
        Some((account.id.clone(), slot))
    })
}

/// Checks the credential of a request as the provider would.
pub(crate) fn check(
    world: &mut World,
    head: &Head,
    provider: Provider,
    now_ms: i64,
) -> Result<Caller, Reply> {
    let found = presented(head);
    report_mixture(world, &found);
    let Some((slot, credential)) = found.into_iter().find(|(slot, _)| takes(provider, *slot)) else {
        return Err(missing(provider));
    };
    let Some((place, kind)) = lookup(world, &credential) else {
        return Err(unknown(provider, slot));
    };
    let meter = meter(provider, slot, &kind).ok_or_else(|| unknown(provider, slot))?;
    if let Kind::Token(token) = &kind {
        check_token(world, token, provider, now_ms)?;
        if provider == Provider::Anthropic && !head.lists("anthropic-beta", OAUTH_BETA) {
            return Err(errors::anthropic(401, "OAuth authentication is currently not supported."));
        }
    }
    check_workspace(world, head, place)?;
    let Some(account) = world.accounts.get(place) else {
        return Err(unknown(provider, slot));
    };
    check_standing(account, provider)?;
    Ok(Caller { place, id: account.id.clone(), org: account.org_id.clone(), meter })
}

/// Every credential of a request with its slot, in the order in which
/// providers prefer them.
fn presented(head: &Head) -> Vec<(Slot, String)> {
    let mut found = Vec::new();
    for (slot, name) in [(Slot::XApiKey, "x-api-key"), (Slot::XGoogApiKey, "x-goog-api-key")] {
        for value in head.headers.get_all(name) {
            found.push((slot, String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    for value in head.headers.get_all(AUTHORIZATION) {
        let text = String::from_utf8_lossy(value.as_bytes());
        if let Some((scheme, credential)) = text.split_once(' ')
            && scheme.eq_ignore_ascii_case("bearer")
        {
            found.push((Slot::Authorization, credential.trim().to_owned()));
        }
    }
    if let Some(key) = head.query("key") {
        found.push((Slot::Query, key));
    }
    found
}

fn takes(provider: Provider, slot: Slot) -> bool {
    match provider {
        Provider::Anthropic => matches!(slot, Slot::XApiKey | Slot::Authorization),
        Provider::ChatGpt | Provider::OpenAi => slot == Slot::Authorization,
        Provider::Gemini => matches!(slot, Slot::XGoogApiKey | Slot::Query | Slot::Authorization),
    }
}

fn lookup(world: &World, credential: &str) -> Option<(usize, Kind)> {
    let place = world.place_of_credential(credential)?;
    let account = world.accounts.get(place)?;
    if account.api_keys.iter().any(|key| key == credential) {
        return Some((place, Kind::Key));
    }
    let token = account.access_tokens.iter().rev().find(|token| token.token == credential)?;
    Some((place, Kind::Token(token.clone())))
}

/// The limits that hold for a credential, or `None` when the provider does not
/// take one of its kind there.
fn meter(provider: Provider, slot: Slot, kind: &Kind) -> Option<Meter> {
    match (provider, kind, slot) {
        (Provider::Anthropic, Kind::Key, Slot::XApiKey) => Some(Meter::AnthropicKey),
        (Provider::Anthropic, Kind::Token(_), Slot::Authorization) => Some(Meter::ClaudeToken),
        (Provider::Anthropic, _, _) | (Provider::ChatGpt, Kind::Key, _) => None,
        (Provider::ChatGpt | Provider::OpenAi, Kind::Token(_), _) => Some(Meter::Codex),
        (Provider::OpenAi, Kind::Key, _) => Some(Meter::OpenAiKey),
        (Provider::Gemini, _, _) => Some(Meter::Gemini),
    }
}

fn check_token(world: &mut World, token: &AccessToken, provider: Provider, now_ms: i64) -> Result<(), Reply> {
    let invalidated = token.invalidated || cascades(world, token, now_ms);
    if invalidated {
        world.cascade.since_ms = world.script.cascade.then_some(now_ms);
        return Err(match provider {
            Provider::Anthropic => errors::anthropic(401, "OAuth token revoked"),
            Provider::Gemini => unauthenticated(),
            Provider::ChatGpt | Provider::OpenAi => errors::chatgpt(
                401,
                "token_invalidated",
                "Your authentication token has been invalidated. Please try signing in again.",
            ),
        });
    }
    let expired = token.expires_at.is_some_and(|at| at.saturating_mul(1000) <= now_ms);
    if !expired {
        return Ok(());
    }
    Err(match provider {
        Provider::Anthropic => errors::anthropic(
            401,
            "OAuth token has expired. Please obtain a new token or refresh your existing token.",
        ),
        Provider::Gemini => unauthenticated(),
        Provider::ChatGpt | Provider::OpenAi => errors::chatgpt(
            401,
            "token_expired",
            "Provided authentication token is expired. Please try signing in again.",
        ),
    })
}

/// Counts a token that is tried soon after an invalidated one, and invalidates
/// all of them when there are too many.
fn cascades(world: &mut World, token: &AccessToken, now_ms: i64) -> bool {
    let in_time = world.cascade.since_ms.is_some_and(|since| now_ms.saturating_sub(since) <= CASCADE_MS);
    if !in_time {
        world.cascade.tried.clear();
        return false;
    }
    world.cascade.tried.insert(token.token.clone());
    if world.cascade.tried.len() < CASCADE_TOKENS {
        return false;
    }
    let tried = std::mem::take(&mut world.cascade.tried);
    for account in &mut world.accounts {
        for held in account.access_tokens.iter_mut().filter(|held| tried.contains(&held.token)) {
            held.invalidated = true;
        }
    }
    true
}

fn check_workspace(world: &mut World, head: &Head, place: usize) -> Result<(), Reply> {
    let claimed = head.header("chatgpt-account-id");
    let Some(account) = world.accounts.get(place) else {
        return Ok(());
    };
    if claimed.is_empty() || claimed == account.org_id {
        return Ok(());
    }
    let id = account.id.clone();
    let words = format!("chatgpt-account-id {claimed:?} came with the credential of account {id:?}");
    world.violation(Rule::AccountHeader, &id, words);
    Err(errors::detail(401, "Unauthorized"))
}

fn check_standing(account: &Account, provider: Provider) -> Result<(), Reply> {
    if account.deactivated {
        return Err(match provider {
            Provider::Anthropic => errors::anthropic(400, "This organization has been disabled."),
            Provider::Gemini => errors::google(403, "PERMISSION_DENIED", "Account disabled.", json!([])),
            Provider::ChatGpt | Provider::OpenAi => errors::chatgpt(
                401,
                "account_deactivated",
                "Your OpenAI account has been deactivated, please check your email for more information.",
            ),
        });
    }
    if account.workspace_dead {
        return Err(match provider {
            Provider::Anthropic => errors::anthropic(402, "Your credit balance is too low."),
            Provider::Gemini => errors::google(403, "PERMISSION_DENIED", "Project deleted.", json!([])),
            Provider::ChatGpt | Provider::OpenAi => {
                errors::detail(402, json!({"code": "deactivated_workspace"}))
            }
        });
    }
    if account.needs_verification && provider == Provider::Gemini {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "VALIDATION_REQUIRED", "domain": "cloudcode-pa.googleapis.com", "metadata": {}}]);
        return Err(errors::google(403, "PERMISSION_DENIED", "Verify your account to continue.", details));
    }
    Ok(())
}

fn report_mixture(world: &mut World, found: &[(Slot, String)]) {
    let owners: Vec<usize> =
        found.iter().filter_map(|(_, credential)| world.place_of_credential(credential)).collect();
    let mixed = owners.windows(2).any(|pair| pair.first() != pair.last());
    if mixed {
        world.violation(Rule::Credentials, "-", "one request carried the credentials of two accounts".into());
    }
}

fn missing(provider: Provider) -> Reply {
    match provider {
        Provider::Anthropic => errors::anthropic(401, "x-api-key header is required"),
        Provider::ChatGpt => errors::detail(401, "Unauthorized"),
        Provider::Gemini => errors::google(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity.",
            json!([]),
        ),
        Provider::OpenAi => errors::openai(401, "invalid_api_key", "You didn't provide an API key."),
    }
}

fn unknown(provider: Provider, slot: Slot) -> Reply {
    match (provider, slot) {
        (Provider::Anthropic, Slot::XApiKey) => errors::anthropic(401, "invalid x-api-key"),
        (Provider::Anthropic, _) => errors::anthropic(401, "Invalid bearer token"),
        (Provider::ChatGpt, _) => errors::detail(401, "Unauthorized"),
        (Provider::Gemini, Slot::Authorization) => unauthenticated(),
        (Provider::Gemini, _) => {
            let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]);
            errors::google(
                400,
                "INVALID_ARGUMENT",
                "API key not valid. Please pass a valid API key.",
                details,
            )
        }
        (Provider::OpenAi, _) => errors::openai(401, "invalid_api_key", "Incorrect API key provided."),
    }
}

fn unauthenticated() -> Reply {
    errors::google(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", json!([]))
}
