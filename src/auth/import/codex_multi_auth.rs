//! The accounts of codex-multi-auth: versions 1 and 3, which differ in how limits are kept, not in logins.
use super::fields::{Fields, NAMES, Names, document, found, login, off};
use super::{Client, Found, ImportError, Reading};
use crate::model::Time;
use serde_json::Value;

const OWN: Names = Names {
    access: "accessToken",
    refresh: "refreshToken",
    expires: "expiresAt",
    account: "accountId",
    ..NAMES
};

pub(super) fn read(bytes: &[u8], now: Time) -> Result<Reading, ImportError> {
    let document = document(bytes)?;
    let top = Fields::top(&document)?;
    let version = top.number("version")?.unwrap_or(1);
    if ![1, 3].contains(&version) {
        return Err(ImportError::Version { found: version, known: "1 and 3" });
    }
    let accounts = top.list("accounts")?;
    if accounts.is_empty() {
        return Err(ImportError::Nothing("holds no account"));
    }
    let mut reading = Reading::default();
    for (number, value) in accounts.iter().enumerate() {
        let name = format!("accounts[{number}]");
        reading.add(&name, account(&name, value, now));
    }
    Ok(reading)
}

fn account(name: &str, value: &Value, now: Time) -> Result<Found, ImportError> {
    let fields = Fields::entry(name, value)?;
    if fields.has("authInvalidatedAt") {
        let problem = "says that its login was refused; sign in anew with `rota login`";
        return Err(fields.wrong("authInvalidatedAt", problem));
    }
    let is_off = fields.flag("enabled")? == Some(false);
    Ok(Found {
        name: fields.text("accountLabel")?,
        off: is_off.then(|| off(Client::CodexMultiAuth.title(), None)),
        ..found("codex", login(&fields, &OWN, now)?)
    })
}
