//! Minting tokens: what a login or an exchange gives out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::account::{AccessToken, Account, RefreshState, RefreshToken};
use crate::seal::sha256_hex;
use crate::world::World;

/// Most access tokens an account keeps; older ones become unknown.
const MAX_ACCESS: usize = 1_000;
/// Most refresh tokens an account keeps; older ones become unknown.
const MAX_REFRESH: usize = 20_000;

/// Whose tokens are minted, and in which shape errors are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// `sk-ant-oat01-…`; errors of RFC 6749 with 400.
    Anthropic,
    /// Opaque tokens; errors of RFC 6749 with 400.
    Generic,
    /// JWTs with the claims of ChatGPT; errors in the OpenAI envelope with 401.
    OpenAi,
}

/// Tokens as a login or a refresh gives them out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Login {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// The identity token, a JWT that nobody signed. Only ChatGPT sends one.
    pub id_token: Option<String>,
    /// Lifetime of the access token in seconds.
    pub expires_in: i64,
}

/// Mints a pair in a chain of its own, as a person who signs in gets it.
pub(crate) fn sign_in(world: &mut World, place: usize, vendor: Vendor, now: i64) -> Option<Login> {
    // Scripts put their own tokens in chain 1.
    let family = world.serial() + 1;
    mint(world, place, vendor, family, now)
}

/// Mints a pair in the chain `family`.
pub(crate) fn mint(world: &mut World, place: usize, vendor: Vendor, family: u64, now: i64) -> Option<Login> {
    let serial = world.serial();
    let account = world.accounts.get_mut(place)?;
    let expires_in = account.tokens.expires_in;
    let expires_at = now.saturating_add(expires_in);
    let unique = sha256_hex(format!("{}/{serial}/{now}", account.id).as_bytes());
    let unique = unique.get(..24).unwrap_or(&unique);
    let (access_token, refresh_token) = match vendor {
        Vendor::Anthropic => (format!("sk-ant-oat01-{unique}"), format!("sk-ant-ort01-{unique}")),
        Vendor::Generic => (format!("at-{unique}"), format!("rt-{unique}")),
        Vendor::OpenAi => (jwt(&claims(account, expires_at, now), unique), format!("rt_{unique}")),
    };
    let id_token =
        (vendor == Vendor::OpenAi).then(|| jwt(&claims(account, expires_at, now), &format!("id{unique}")));
    account.access_tokens.push(AccessToken {
        token: access_token.clone(),
        expires_at: Some(expires_at),
        family,
        ..AccessToken::default()
    });
    account.refresh_tokens.push(RefreshToken {
        token: refresh_token.clone(),
        family,
        state: RefreshState::Fresh,
    });
    if account.access_tokens.len() > MAX_ACCESS {
        account.access_tokens.remove(0);
    }
    if account.refresh_tokens.len() > MAX_REFRESH {
        account.refresh_tokens.remove(0);
    }
    world.know(&access_token, place);
    world.know(&refresh_token, place);
    Some(Login { access_token, refresh_token, id_token, expires_in })
}

fn claims(account: &Account, expires_at: i64, now: i64) -> Value {
    json!({
        "iss": "https://auth.openai.com",
        "sub": account.user_id,
        "iat": now,
        "exp": expires_at,
        "email": format!("{}@example.test", account.user_id),
        "https://api.openai.com/auth": {
            "chatgpt_account_id": account.org_id,
            "chatgpt_user_id": account.user_id,
            "chatgpt_plan_type": account.plan,
            "user_id": account.user_id,
            "organizations": [{"id": account.org_id, "is_default": true, "role": "owner", "title": "Personal"}],
        },
        "https://api.openai.com/profile": {"email": format!("{}@example.test", account.user_id)},
    })
}

fn jwt(claims: &Value, unique: &str) -> String {
    let head = json!({"alg": "RS256", "typ": "JWT", "kid": "fake"});
    format!("{}.{}.{}", B64.encode(head.to_string()), B64.encode(claims.to_string()), B64.encode(unique))
}
