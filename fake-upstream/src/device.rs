//! Signing in: the device endpoints, and an authorisation page that agrees at
//! once. An account is chosen by its id in `login_hint`, else by a test.

use std::collections::BTreeMap;

use serde_json::json;

use crate::ask::Ask;
use crate::errors;
use crate::login::Code;
use crate::reply::Reply;
use crate::seal::sha256_hex;
use crate::world::World;

/// Most device logins under way.
const MAX_DEVICES: usize = 1_000;

/// Device logins under way.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    waiting: BTreeMap<String, Device>,
}

#[derive(Debug)]
struct Device {
    user_code: String,
    /// Set when the user has typed the code.
    account: Option<String>,
}

impl Devices {
    /// The user types a code as `account`; `false` when nobody waits for it.
    pub(crate) fn approve(&mut self, user_code: &str, account: &str) -> bool {
        let found = self.waiting.values_mut().find(|device| device.user_code == user_code);
        found.map(|device| device.account = Some(account.to_owned())).is_some()
    }
}

/// Answers `/api/accounts/deviceauth/usercode`.
pub(crate) fn user_code(world: &mut World) -> Reply {
    let serial = world.serial();
    let id = format!("deviceauth_{serial}");
    let user_code = format!("FAKE-{serial:05}");
    let waiting = &mut world.devices.waiting;
    if waiting.len() >= MAX_DEVICES {
        waiting.pop_first();
    }
    waiting.insert(id.clone(), Device { user_code: user_code.clone(), account: None });
    Reply::json(200, &json!({"device_auth_id": id, "user_code": user_code, "interval": "5"}))
}

/// Answers `/api/accounts/deviceauth/token`: 403 while the user has not typed
/// the code, then a code for the ordinary exchange.
pub(crate) fn poll(world: &mut World, ask: &Ask, origin: &str) -> Reply {
    let id = ask.text("device_auth_id").to_owned();
    let Some(device) = world.devices.waiting.get(&id) else {
        return errors::openai(404, "deviceauth_not_found", "Unknown device login.");
    };
    if device.user_code != ask.text("user_code") {
        return errors::openai(404, "deviceauth_not_found", "Unknown device login.");
    }
    let Some(account) = device.account.clone() else {
        return errors::openai(403, "deviceauth_pending", "The user has not finished signing in.");
    };
    world.devices.waiting.remove(&id);
    let verifier = sha256_hex(id.as_bytes());
    let challenge = challenge_of(&verifier);
    let redirect_uri = format!("{origin}/deviceauth/callback");
    let code = new_code(world, Code { account, challenge: challenge.clone(), redirect_uri });
    Reply::json(
        200,
        &json!({"authorization_code": code, "code_challenge": challenge, "code_verifier": verifier}),
    )
}

/// Answers `/oauth/authorize` as a user who agrees at once.
pub(crate) fn authorize(world: &mut World, ask: &Ask) -> Reply {
    let query = |name| ask.head.query(name).unwrap_or_default();
    let hinted = query("login_hint");
    let named = world.accounts.iter().find(|account| account.id == hinted);
    let Some(account) = named.or(world.accounts.first()).map(|account| account.id.clone()) else {
        return errors::openai(400, "no_account", "The fake has no account to sign in as.");
    };
    let redirect_uri = query("redirect_uri");
    let code = new_code(
        world,
        Code { account, challenge: query("code_challenge"), redirect_uri: redirect_uri.clone() },
    );
    let joint = if redirect_uri.contains('?') { '&' } else { '?' };
    let location = format!("{redirect_uri}{joint}code={code}&state={}", query("state"));
    Reply::bytes(302, "text/plain", "").with("location", location)
}

fn new_code(world: &mut World, code: Code) -> String {
    let name = format!("ac_{}", world.serial());
    world.codes.put(name.clone(), code);
    name
}

fn challenge_of(verifier: &str) -> String {
    use base64::Engine as _;
    let hashed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hashed)
}
