//! Signing in on another device: the endpoints of RFC 8628, and those by which
//! Codex does the same. Somebody approves or denies a code from a test or over
//! the control API; no page here does it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::ask::Ask;
use crate::authorize::{self, Code};
use crate::errors;
use crate::login::{Vendor, sign_in};
use crate::reply::Reply;
use crate::seal::sha256_hex;
use crate::token;
use crate::world::World;

/// Most device logins under way.
const MAX_DEVICES: usize = 1_000;
/// Seconds by which `slow_down` lengthens the interval (RFC 8628 §3.5).
const SLOWER: i64 = 5;

/// Device logins under way.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    waiting: BTreeMap<String, Device>,
}

#[derive(Debug)]
struct Device {
    user_code: String,
    client_id: String,
    /// Empty: none was sent.
    challenge: String,
    verdict: Verdict,
    expires_at: i64,
    interval: i64,
    /// Seconds since the epoch.
    polled_at: Option<i64>,
}

/// What the person has said.
#[derive(Clone, Debug)]
enum Verdict {
    Waiting,
    Approved(String),
    Denied,
}

impl Devices {
    /// The user types a code as `account`; `false` when nobody waits for it.
    pub(crate) fn approve(&mut self, user_code: &str, account: &str) -> bool {
        self.judge(user_code, Verdict::Approved(account.to_owned()))
    }

    /// The user refuses; `false` when nobody waits for it.
    pub(crate) fn deny(&mut self, user_code: &str) -> bool {
        self.judge(user_code, Verdict::Denied)
    }

    /// The account for which a device's code was approved.
    pub(crate) fn account(&self, device_code: &str) -> Option<&str> {
        match &self.waiting.get(device_code)?.verdict {
            Verdict::Approved(account) => Some(account),
            Verdict::Denied | Verdict::Waiting => None,
        }
    }

    fn judge(&mut self, user_code: &str, verdict: Verdict) -> bool {
        let found = self.waiting.values_mut().find(|device| device.user_code == user_code);
        found.map(|device| device.verdict = verdict).is_some()
    }

    fn put(&mut self, id: String, device: Device) {
        if self.waiting.len() >= MAX_DEVICES {
            self.waiting.pop_first();
        }
        self.waiting.insert(id, device);
    }
}

/// Answers `/api/accounts/deviceauth/usercode`.
pub(crate) fn user_code(world: &mut World, ask: &Ask, now: i64) -> Reply {
    let (id, device) = begin(world, ask, "deviceauth", now);
    let body =
        json!({"device_auth_id": id, "user_code": device.user_code, "interval": device.interval.to_string()});
    world.devices.put(id, device);
    Reply::json(200, &body)
}

/// Answers `/api/accounts/deviceauth/token`: 403 while the user has not typed
/// the code, then a code for the ordinary exchange.
pub(crate) fn poll(world: &mut World, ask: &Ask, origin: &str, now: i64) -> Reply {
    let id = ask.text("device_auth_id").to_owned();
    let known = world.devices.waiting.get(&id);
    let Some(device) = known.filter(|device| device.user_code == ask.text("user_code")) else {
        return errors::openai(404, "deviceauth_not_found", "Unknown device login.");
    };
    if device.expires_at <= now {
        return errors::openai(400, "deviceauth_expired", "The code is no longer valid.");
    }
    let (account, client_id) = match &device.verdict {
        Verdict::Approved(account) => (account.clone(), device.client_id.clone()),
        Verdict::Denied => return errors::openai(400, "access_denied", "The user refused."),
        Verdict::Waiting => {
            return errors::openai(403, "deviceauth_pending", "The user has not finished signing in.");
        }
    };
    world.devices.waiting.remove(&id);
    let verifier = sha256_hex(id.as_bytes());
    let challenge = authorize::challenge_of(&verifier);
    let redirect_uri = format!("{origin}/deviceauth/callback");
    let code = Code {
        account,
        client_id,
        challenge: challenge.clone(),
        redirect_uri,
        state: String::new(),
        issued_at: now,
    };
    let code = authorize::new_code(world, code);
    Reply::json(
        200,
        &json!({"authorization_code": code, "code_challenge": challenge, "code_verifier": verifier}),
    )
}

/// Answers `/oauth/device/code`, the device authorization endpoint (RFC 8628 §3.1).
pub(crate) fn start(world: &mut World, ask: &Ask, origin: &str, now: i64) -> Reply {
    if ask.parameter("client_id").is_none_or(|id| id.is_empty()) {
        return token::refused(Vendor::Generic, 400, "invalid_request", "client_id is missing");
    }
    let method = ask.parameter("code_challenge_method");
    if ask.parameter("code_challenge").is_some() && method.as_deref() != Some("S256") {
        return token::refused(Vendor::Generic, 400, "invalid_request", "code_challenge_method must be S256");
    }
    let (id, device) = begin(world, ask, "device", now);
    let page = format!("{origin}/device");
    let mut body = json!({
        "device_code": id,
        "user_code": device.user_code,
        "verification_uri_complete": format!("{page}?user_code={}", device.user_code),
        "verification_uri": page,
        "expires_in": world.script.device.expires_in,
    });
    if let (true, Some(fields)) = (world.script.device.send_interval, body.as_object_mut()) {
        fields.insert("interval".into(), device.interval.into());
    }
    world.devices.put(id, device);
    Reply::json(200, &body).with("cache-control", "no-store")
}

/// Answers the device code grant at a token endpoint (RFC 8628 §3.4 and §3.5).
pub(crate) fn grant(world: &mut World, ask: &Ask, vendor: Vendor, now: i64) -> Reply {
    let id = ask.parameter("device_code").unwrap_or_default();
    let refused = |code, words| token::refused(vendor, 400, code, words);
    let Some(device) = world.devices.waiting.get_mut(&id) else {
        return refused("invalid_grant", "Nobody waits for this device_code.");
    };
    if ask.parameter("client_id").unwrap_or_default() != device.client_id {
        return refused("invalid_client", "client_id is not the one that began.");
    }
    if device.expires_at <= now {
        return refused("expired_token", "The device_code has expired.");
    }
    let early = device.polled_at.replace(now).is_some_and(|before| now < before + device.interval);
    if early {
        device.interval += SLOWER;
        return refused("slow_down", "Polled before the interval was over.");
    }
    let account = match &device.verdict {
        Verdict::Approved(account) => account.clone(),
        Verdict::Denied => return refused("access_denied", "The user refused."),
        Verdict::Waiting => return refused("authorization_pending", "The user has not finished signing in."),
    };
    let challenge = device.challenge.clone();
    world.devices.waiting.remove(&id);
    let verifier = ask.parameter("code_verifier").unwrap_or_default();
    if !challenge.is_empty() && authorize::challenge_of(&verifier) != challenge {
        return refused("invalid_grant", "PKCE verification failed.");
    }
    let login = world.place_of(&account).and_then(|place| Some((place, sign_in(world, place, vendor, now)?)));
    match login.and_then(|(place, login)| Some((world.accounts.get(place)?, login))) {
        Some((account, login)) => token::granted(account, vendor, &login),
        None => refused("invalid_grant", "The account is gone."),
    }
}

fn begin(world: &mut World, ask: &Ask, prefix: &str, now: i64) -> (String, Device) {
    let serial = world.serial();
    let policy = &world.script.device;
    let device = Device {
        user_code: format!("FAKE-{serial:05}"),
        client_id: ask.parameter("client_id").unwrap_or_default(),
        challenge: ask.parameter("code_challenge").unwrap_or_default(),
        verdict: Verdict::Waiting,
        expires_at: now.saturating_add(policy.expires_in),
        interval: policy.interval,
        polled_at: None,
    };
    // Nobody may poll for a login that he has not begun, so the id is no counter.
    let unique = sha256_hex(format!("{prefix}/{serial}/{now}").as_bytes());
    (format!("{prefix}_{}", unique.get(..32).unwrap_or(&unique)), device)
}
