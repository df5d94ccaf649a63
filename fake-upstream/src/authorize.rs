//! The authorization endpoint as a person meets it who decides at once, the
//! page that shows a code to be pasted, and the codes given out. Which account
//! signs in is said by `login_hint`; whether it agrees, by the account.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use crate::ask::Ask;
use crate::errors;
use crate::login::{Vendor, sign_in};
use crate::reply::Reply;
use crate::seal::sha256_hex;
use crate::token::{granted, refused};
use crate::world::World;

/// Most authorisation codes waiting to be exchanged.
const MAX_CODES: usize = 1_000;
/// Seconds that a code is good for (RFC 6749 §4.1.2 recommends ten minutes at most).
const CODE_LIFE: i64 = 600;

/// Authorisation codes that wait for their exchange.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    waiting: BTreeMap<String, Code>,
}

/// What a code was given out for.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) account: String,
    pub(crate) client_id: String,
    pub(crate) challenge: String,
    pub(crate) redirect_uri: String,
    pub(crate) state: String,
    pub(crate) issued_at: i64,
}

impl Codes {
    fn put(&mut self, name: String, code: Code) {
        if self.waiting.len() >= MAX_CODES {
            self.waiting.pop_first();
        }
        self.waiting.insert(name, code);
    }

    /// The account that a code was given out for.
    pub(crate) fn account(&self, name: &str) -> Option<&str> {
        self.waiting.get(name).map(|code| code.account.as_str())
    }
}

/// Answers `/oauth/authorize` as a user who decides at once. What may not be
/// redirected anywhere is a page (RFC 6749 §4.1.2.1).
pub(crate) fn authorize(world: &mut World, ask: &Ask, now: i64) -> Reply {
    let query = |name| ask.head.query(name).unwrap_or_default();
    let (client_id, redirect_uri, state) = (query("client_id"), query("redirect_uri"), query("state"));
    if client_id.is_empty() || !redirect_uri.starts_with("http") {
        return errors::openai(400, "invalid_request", "client_id and an http redirect_uri are needed.");
    }
    let hinted = query("login_hint");
    let named = world.accounts.iter().find(|account| account.id == hinted);
    let Some(account) = named.or(world.accounts.first()) else {
        return errors::openai(400, "no_account", "The fake has no account to sign in as.");
    };
    let challenge = query("code_challenge");
    let refusal = if query("response_type") != "code" {
        Some(("unsupported_response_type", "response_type must be code"))
    } else if challenge.is_empty() || query("code_challenge_method") != "S256" {
        Some(("invalid_request", "a code_challenge of method S256 is needed"))
    } else if account.denies_logins {
        Some(("access_denied", "The user did not agree."))
    } else {
        None
    };
    let fields = match refusal {
        Some((error, words)) => vec![("error", error.to_owned()), ("error_description", words.to_owned())],
        None => {
            let account = account.id.clone();
            let code = Code {
                account,
                client_id,
                challenge,
                redirect_uri: redirect_uri.clone(),
                state: state.clone(),
                issued_at: now,
            };
            vec![("code", new_code(world, code))]
        }
    };
    let state = (!state.is_empty()).then_some(("state", state));
    let mut location = redirect_uri;
    for (name, value) in fields.into_iter().chain(state) {
        let joint = if location.contains('?') { '&' } else { '?' };
        location.push_str(&format!("{joint}{name}={}", escaped(&value)));
    }
    Reply::bytes(302, "text/plain", "").with("location", location).with("cache-control", "no-store")
}

/// Answers `/oauth/code/callback`: the page from which `code#state` is copied.
pub(crate) fn paste_page(ask: &Ask) -> Reply {
    let query = |name| ask.head.query(name).unwrap_or_default();
    let shown = match query("code").as_str() {
        "" => format!("{}: {}", query("error"), query("error_description")),
        code => format!("{code}#{}", query("state")),
    };
    let shown = shown.replace('&', "&amp;").replace('<', "&lt;");
    let page =
        format!("<!doctype html><title>Authentication code</title><p>Paste this:<p><code>{shown}</code>");
    Reply::bytes(200, "text/html; charset=utf-8", page).with("cache-control", "no-store")
}

/// Answers the code grant at a token endpoint (RFC 6749 §4.1.3, RFC 7636 §4.6).
/// A code is spent by the first who shows it.
pub(crate) fn exchange(world: &mut World, ask: &Ask, vendor: Vendor, now: i64) -> Reply {
    let given = |name| ask.parameter(name).unwrap_or_default();
    let Some(code) = world.codes.waiting.remove(&given("code")) else {
        return refused(vendor, 400, "invalid_grant", "Invalid authorization code.");
    };
    let wrong = if now >= code.issued_at + CODE_LIFE {
        Some("The code has expired.")
    } else if challenge_of(&given("code_verifier")) != code.challenge {
        Some("PKCE verification failed.")
    } else if given("redirect_uri") != code.redirect_uri {
        Some("redirect_uri does not match.")
    } else if given("client_id") != code.client_id {
        Some("client_id does not match.")
    } else if vendor == Vendor::Anthropic && given("state") != code.state {
        Some("state does not match.")
    } else {
        None
    };
    if let Some(words) = wrong {
        return refused(vendor, 400, "invalid_grant", words);
    }
    let login =
        world.place_of(&code.account).and_then(|place| Some((place, sign_in(world, place, vendor, now)?)));
    match login.and_then(|(place, login)| Some((world.accounts.get(place)?, login))) {
        Some((account, login)) => granted(account, vendor, &login),
        None => refused(vendor, 400, "invalid_grant", "The account is gone."),
    }
}

/// Gives out a code.
pub(crate) fn new_code(world: &mut World, code: Code) -> String {
    let serial = world.serial();
    let unique = sha256_hex(format!("{}/{serial}/{}", code.account, code.issued_at).as_bytes());
    let name = format!("ac_{}", unique.get(..24).unwrap_or(&unique));
    world.codes.put(name.clone(), code);
    name
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub(crate) fn challenge_of(verifier: &str) -> String {
    B64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
