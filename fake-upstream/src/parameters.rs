//! Grants that need no person, only the right parameters: the client's own
//! credentials (RFC 6749 §4.4), another token (RFC 8693), an assertion
//! (RFC 7523). What proves the caller is one of an account's API keys. Also
//! how the parameters of any token request are shown in the record.

use std::collections::BTreeMap;

use crate::ask::Ask;
use crate::login::{Login, Vendor, sign_in};
use crate::reply::Reply;
use crate::seal::fingerprint;
use crate::token::{self, refused};
use crate::world::World;

/// Parameters that are shown as fingerprints.
const SECRET: [&str; 11] = [
    "actor_token",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_verifier",
    "device_code",
    "refresh_token",
    "state",
    "subject_token",
    "token",
];
/// Most parameters shown of one request.
const MAX_SHOWN: usize = 64;

/// A grant of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    ClientCredentials,
    JwtBearer,
    TokenExchange,
}

impl Kind {
    /// The grant that `grant_type` names.
    pub(crate) fn named(grant_type: &str) -> Option<Self> {
        match grant_type {
            "client_credentials" => Some(Self::ClientCredentials),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => Some(Self::JwtBearer),
            "urn:ietf:params:oauth:grant-type:token-exchange" => Some(Self::TokenExchange),
            _ => None,
        }
    }

    /// Parameters it cannot do without; the first proves the caller.
    fn wants(self) -> &'static [&'static str] {
        match self {
            Self::ClientCredentials => &["client_secret", "client_id"],
            Self::JwtBearer => &["assertion"],
            Self::TokenExchange => &["subject_token", "subject_token_type"],
        }
    }

    fn unknown(self) -> Reply {
        match self {
            Self::ClientCredentials => {
                refused(Vendor::Generic, 401, "invalid_client", "The secret is wrong.")
            }
            Self::JwtBearer => refused(Vendor::Generic, 400, "invalid_grant", "The assertion is not good."),
            Self::TokenExchange => {
                refused(Vendor::Generic, 400, "invalid_request", "The subject_token is not good.")
            }
        }
    }
}

/// Answers such a grant. No refresh token comes with it (RFC 6749 §4.4.3).
pub(crate) fn grant(world: &mut World, ask: &Ask, kind: Kind, now: i64) -> Reply {
    for name in kind.wants() {
        if ask.parameter(name).is_none_or(|value| value.is_empty()) {
            return refused(Vendor::Generic, 400, "invalid_request", &format!("{name} is missing"));
        }
    }
    let proof = kind.wants().first().and_then(|name| ask.parameter(name)).unwrap_or_default();
    let proves =
        |place: &usize| world.accounts.get(*place).is_some_and(|account| account.api_keys.contains(&proof));
    let Some(place) = world.place_of_credential(&proof).filter(proves) else {
        return kind.unknown();
    };
    let Some(login) = sign_in(world, place, Vendor::Generic, now) else {
        return kind.unknown();
    };
    let Some(account) = world.accounts.get_mut(place) else {
        return kind.unknown();
    };
    account.refresh_tokens.retain(|held| held.token != login.refresh_token);
    let login = Login { refresh_token: String::new(), ..login };
    let mut body = token::body(account, Vendor::Generic, &login);
    if kind == Kind::TokenExchange {
        body.insert("issued_token_type".into(), "urn:ietf:params:oauth:token-type:access_token".into());
    }
    token::reply(body)
}

/// The parameters of a token request, secrets as fingerprints.
pub(crate) fn shown(ask: &Ask) -> BTreeMap<String, String> {
    let masked = |(name, value): (String, String)| match SECRET.contains(&name.as_str()) {
        true => (name, fingerprint(&value)),
        false => (name, value),
    };
    ask.parameters().into_iter().take(MAX_SHOWN).map(masked).collect()
}
