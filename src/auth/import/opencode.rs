//! OpenCode's `auth.json`: one login or key a provider, under OpenCode's name of the provider.
use super::fields::{Fields, NAMES, Names, document, found, key, login, shown};
use super::{Found, ImportError, Reading};
use crate::model::Time;
use serde_json::Value;

const OWN: Names =
    Names { access: "access", refresh: "refresh", expires: "expires", account: "accountId", ..NAMES };

pub(super) fn read(bytes: &[u8], now: Time) -> Result<Reading, ImportError> {
    let document = document(bytes)?;
    let top = Fields::top(&document)?;
    let mut reading = Reading::default();
    for (provider, value) in top.entries() {
        let provider = shown(provider);
        reading.add(&provider, entry(&provider, value, now));
    }
    match reading.found.is_empty() && reading.left.is_empty() {
        true => Err(ImportError::Nothing("holds no login: OpenCode is signed out everywhere")),
        false => Ok(reading),
    }
}

fn entry(provider: &str, value: &Value, now: Time) -> Result<Found, ImportError> {
    let fields = Fields::entry(provider, value)?;
    match fields.text("type")?.as_deref() {
        Some("oauth") => {
            let provider = if provider == "openai" { "codex" } else { provider };
            Ok(found(provider, login(&fields, &OWN, now)?))
        }
        Some("api") => {
            let provider = if provider == "google" { "gemini" } else { provider };
            Ok(found(provider, key(&fields, "key", now)?))
        }
        Some("wellknown") => {
            Err(fields.wrong("type", "is a token for a server of its own, not for a provider"))
        }
        Some(_) | None => Err(fields.wrong("type", "must be oauth or api")),
    }
}
