//! The token endpoints: which grant is asked for, single-use refresh tokens,
//! their grace, what a reuse costs, and revocation.

use serde_json::{Map, Value, json};

use crate::account::{Account, RefreshState};
use crate::ask::Ask;
use crate::login::{Login, Vendor, mint};
use crate::parameters::Kind;
use crate::reply::Reply;
use crate::world::World;
use crate::{authorize, device, errors, parameters};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Parameters by which a token request says whose it is.
const OWNED: [&str; 4] = ["refresh_token", "client_secret", "subject_token", "assertion"];

/// Answers a request to a token endpoint.
pub(crate) fn exchange(world: &mut World, ask: &Ask, vendor: Vendor, now: i64) -> Reply {
    let grant_type = ask.parameter("grant_type").unwrap_or_default();
    match (grant_type.as_str(), Kind::named(&grant_type)) {
        ("refresh_token", _) => refresh(world, ask, vendor, now),
        ("authorization_code", _) => authorize::exchange(world, ask, vendor, now),
        (DEVICE_CODE, _) => device::grant(world, ask, vendor, now),
        (_, Some(kind)) if vendor == Vendor::Generic => parameters::grant(world, ask, kind, now),
        _ => refused(vendor, 400, "unsupported_grant_type", "grant_type is not supported"),
    }
}

/// The account that a token request is about, by what it trades.
pub(crate) fn owner(world: &World, ask: &Ask) -> Option<String> {
    let held = OWNED.iter().find_map(|name| world.place_of_credential(&ask.parameter(name)?));
    let id = held.and_then(|place| world.accounts.get(place)).map(|account| account.id.as_str());
    let coded = || world.codes.account(&ask.parameter("code")?);
    let typed = || world.devices.account(&ask.parameter("device_code")?);
    id.or_else(coded).or_else(typed).map(str::to_owned)
}

/// Answers `/oauth/revoke`: signs the token's whole chain out.
pub(crate) fn revoke(world: &mut World, ask: &Ask) -> Reply {
    let token = ask.parameter("token").unwrap_or_default();
    if let Some(place) = world.place_of_credential(&token)
        && let Some(account) = world.accounts.get_mut(place)
    {
        let refresh = account.refresh_tokens.iter().find(|held| held.token == token).map(|held| held.family);
        let access = account.access_tokens.iter().find(|held| held.token == token).map(|held| held.family);
        if let Some(family) = refresh.or(access) {
            revoke_family(account, family);
        }
    }
    Reply::json(200, &json!({}))
}

fn refresh(world: &mut World, ask: &Ask, vendor: Vendor, now: i64) -> Reply {
    let token = ask.parameter("refresh_token").unwrap_or_default();
    let place = world.place_of_credential(&token);
    let account = place.and_then(|place| world.accounts.get(place));
    let held =
        account.and_then(|account| account.refresh_tokens.iter().rev().find(|held| held.token == token));
    let (Some(place), Some(account), Some(held)) = (place, account, held) else {
        world.ledger.unknown += 1;
        return invalid_grant(vendor, "refresh_token_invalidated");
    };
    if account.deactivated {
        return refused(vendor, 403, "account_deactivated", "This account has been deactivated.");
    }
    match held.state.clone() {
        RefreshState::Fresh => spend(world, place, &token, vendor, now),
        RefreshState::Spent { at, access, refresh } => {
            if now < at.saturating_add(account.tokens.grace_seconds) {
                let again = grant(account, vendor, access, refresh, now);
                world.ledger.graced(&token);
                return again;
            }
            reuse(world, place, &token, vendor)
        }
        RefreshState::Revoked => invalid_grant(vendor, "refresh_token_invalidated"),
        RefreshState::Expired => invalid_grant(vendor, "refresh_token_expired"),
    }
}

fn spend(world: &mut World, place: usize, token: &str, vendor: Vendor, now: i64) -> Reply {
    let family = held_family(world, place, token);
    let Some(login) = mint(world, place, vendor, family, now) else {
        return invalid_grant(vendor, "refresh_token_invalidated");
    };
    world.ledger.exchanged(token);
    let Some(account) = world.accounts.get_mut(place) else {
        return invalid_grant(vendor, "refresh_token_invalidated");
    };
    let policy = account.tokens.clone();
    if !policy.rotate || !policy.send_refresh_token {
        account.refresh_tokens.retain(|held| held.token != login.refresh_token);
        return granted(account, vendor, &Login { refresh_token: token.to_owned(), ..login });
    }
    for held in account.refresh_tokens.iter_mut().filter(|held| held.token == token) {
        held.state = RefreshState::Spent {
            at: now,
            access: login.access_token.clone(),
            refresh: login.refresh_token.clone(),
        };
    }
    granted(account, vendor, &login)
}

fn reuse(world: &mut World, place: usize, token: &str, vendor: Vendor) -> Reply {
    world.ledger.reused(token);
    let family = held_family(world, place, token);
    if let Some(account) = world.accounts.get_mut(place)
        && account.tokens.revoke_family_on_reuse
    {
        revoke_family(account, family);
    }
    invalid_grant(vendor, "refresh_token_reused")
}

fn held_family(world: &World, place: usize, token: &str) -> u64 {
    world
        .accounts
        .get(place)
        .and_then(|account| account.refresh_tokens.iter().find(|held| held.token == token))
        .map_or(0, |held| held.family)
}

fn revoke_family(account: &mut Account, family: u64) {
    for held in account.refresh_tokens.iter_mut().filter(|held| held.family == family) {
        held.state = RefreshState::Revoked;
    }
    for held in account.access_tokens.iter_mut().filter(|held| held.family == family) {
        held.invalidated = true;
    }
}

/// The answer that a spent token already had.
fn grant(account: &Account, vendor: Vendor, access_token: String, refresh_token: String, now: i64) -> Reply {
    let expires_at =
        account.access_tokens.iter().find(|held| held.token == access_token).and_then(|held| held.expires_at);
    let expires_in = expires_at.map_or(account.tokens.expires_in, |at| at.saturating_sub(now));
    granted(account, vendor, &Login { access_token, refresh_token, id_token: None, expires_in })
}

/// Tokens, in the vendor's shape.
pub(crate) fn granted(account: &Account, vendor: Vendor, login: &Login) -> Reply {
    reply(body(account, vendor, login))
}

/// An answer with tokens, which nobody may keep (RFC 6749 §5.1).
pub(crate) fn reply(body: Map<String, Value>) -> Reply {
    Reply::json(200, &Value::Object(body)).with("cache-control", "no-store")
}

/// The fields of an answer with tokens; an empty refresh token is none.
pub(crate) fn body(account: &Account, vendor: Vendor, login: &Login) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("access_token".into(), login.access_token.clone().into());
    body.insert("token_type".into(), "Bearer".into());
    if account.tokens.send_refresh_token && !login.refresh_token.is_empty() {
        body.insert("refresh_token".into(), login.refresh_token.clone().into());
    }
    if account.tokens.send_expires_in {
        body.insert("expires_in".into(), login.expires_in.into());
    }
    if let Some(id_token) = &login.id_token {
        body.insert("id_token".into(), id_token.clone().into());
    }
    match vendor {
        Vendor::Anthropic => {
            body.insert("scope".into(), "user:inference user:profile".into());
            body.insert("organization".into(), json!({"uuid": account.org_id, "name": account.org_id}));
            let email = format!("{}@example.test", account.user_id);
            body.insert("account".into(), json!({"uuid": account.user_id, "email_address": email}));
        }
        Vendor::Generic => {}
        Vendor::OpenAi => {
            body.insert("scope".into(), "openid profile email offline_access".into());
        }
    }
    body
}

/// The refusal of a refresh token, in the vendor's words.
fn invalid_grant(vendor: Vendor, openai_code: &str) -> Reply {
    let words = match openai_code {
        "refresh_token_reused" => {
            "Your refresh token has already been used to generate a new access token. Please try signing in again."
        }
        "refresh_token_expired" => "Your refresh token has expired. Please try signing in again.",
        _ => "Your session has ended. Please try signing in again.",
    };
    match vendor {
        Vendor::OpenAi => errors::openai(401, openai_code, words),
        Vendor::Anthropic | Vendor::Generic => {
            refused(vendor, 400, "invalid_grant", "Refresh token not found or invalid")
        }
    }
}

/// A refusal in the vendor's shape.
pub(crate) fn refused(vendor: Vendor, status: u16, code: &str, words: &str) -> Reply {
    match vendor {
        Vendor::OpenAi => errors::openai(status, code, words),
        Vendor::Anthropic | Vendor::Generic => {
            Reply::json(status, &json!({"error": code, "error_description": words}))
                .with("cache-control", "no-store")
        }
    }
}
