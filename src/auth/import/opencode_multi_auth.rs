//! The store of opencode-multi-auth: version 1 (without `version`) and 2, in the clear or encrypted as a whole. Limits,
//! force and settings are taken in by `rota store import`; this takes logins only.
use super::fields::{Fields, Names, document, found, login, off, shown};
use super::seal::{self, Keys};
use super::{Client, Found, ImportError, Reading};
use crate::model::Time;
use serde_json::Value;

const OWN: Names = Names {
    access: "accessToken",
    refresh: "refreshToken",
    id: "idToken",
    expires: "expiresAt",
    account: "accountId",
    user: "userId",
    plan: "planType",
    email: "email",
    issued: "lastRefresh",
};

pub(super) fn read(bytes: &[u8], keys: &Keys, now: Time) -> Result<Reading, ImportError> {
    let document = document(bytes)?;
    let top = Fields::top(&document)?;
    if top.flag("encrypted")? != Some(true) {
        return accounts(&top, now);
    }
    let Some(passphrase) = &keys.passphrase else {
        return Err(ImportError::Sealed(
            "give its passphrase with --passphrase-file, or in CODEX_SOFT_STORE_PASSPHRASE",
        ));
    };
    let sealed = seal::Sealed {
        salt: &top.bytes("salt")?,
        nonce: &top.bytes("iv")?,
        tag: &top.bytes("tag")?,
        text: &top.bytes("data")?,
    };
    let clear = sealed.open(passphrase).ok_or(ImportError::WrongKey("the passphrase is not its own"))?;
    let document = super::fields::document(&clear)?;
    accounts(&Fields::top(&document)?, now)
}

fn accounts(top: &Fields<'_>, now: Time) -> Result<Reading, ImportError> {
    let version = top.number("version")?.unwrap_or(1);
    if !(1..=2).contains(&version) {
        return Err(ImportError::Version { found: version, known: "1 and 2" });
    }
    let accounts =
        top.object("accounts")?.ok_or_else(|| top.wrong("accounts", "is missing; is it the right file?"))?;
    let mut reading = Reading::default();
    for (alias, value) in accounts.entries() {
        let alias = shown(alias);
        reading.add(&alias, account(&alias, value, now));
    }
    match reading.found.is_empty() && reading.left.is_empty() {
        true => Err(ImportError::Nothing("holds no account")),
        false => Ok(reading),
    }
}

fn account(alias: &str, value: &Value, now: Time) -> Result<Found, ImportError> {
    let fields = Fields::entry(alias, value)?;
    if fields.flag("authInvalid")? == Some(true) {
        return Err(
            fields.wrong("authInvalid", "says that its login was refused; sign in anew with `rota login`")
        );
    }
    let is_off = fields.flag("enabled")? == Some(false);
    let words = fields.text("disableReason")?;
    Ok(Found {
        name: Some(alias.to_owned()),
        off: is_off.then(|| off(Client::OpenCodeMultiAuth.title(), words)),
        ..found("codex", login(&fields, &OWN, now)?)
    })
}
