//! llxprt-code's tokens: a file a provider and bucket, named `provider:bucket` and encrypted with a key of the machine
//! (`.enc`), or in the clear as older versions wrote them (`provider.json`, `provider-bucket.json`).
use super::fields::{Fields, NAMES, Names, document, found, login};
use super::seal::{Keys, Passphrase, Sealed};
use super::{File, Found, ImportError, Reading};
use crate::model::Time;
use serde_json::Value;

const OWN: Names = Names { expires: "expiry", ..NAMES };
/// The name under which it derives its keys.
const SERVICE: &str = "llxprt-code-oauth";
/// Lengths of what stands before the ciphertext.
const SALT: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;
/// The bucket of a provider with one login.
const DEFAULT_BUCKET: &str = "default";

pub(super) fn read(file: &File<'_>, keys: &Keys, now: Time) -> Result<Reading, ImportError> {
    let mut document = document(file.bytes)?;
    if document.get("crypto").is_some() {
        document = super::fields::document(&open(&document, keys)?)?;
    }
    let (provider, bucket) = owner(file.name);
    let credential = login(&Fields::top(&document)?, &OWN, now)?;
    let name = bucket.filter(|bucket| *bucket != DEFAULT_BUCKET).map(str::to_owned);
    Ok(Reading::of(Found { name, ..found(provider, credential) }))
}

/// `provider%3Abucket.enc`, `provider.json`, `provider-bucket.json`.
fn owner(name: &str) -> (&str, Option<&str>) {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match stem.split_once("%3A").or_else(|| stem.split_once('-')) {
        Some((provider, bucket)) => (provider, Some(bucket)),
        None => (stem, None),
    }
}

/// What the envelope holds. Its parameters are fixed: another file's work would be anybody's choice.
fn open(envelope: &Value, keys: &Keys) -> Result<Vec<u8>, ImportError> {
    let top = Fields::top(envelope)?;
    let parameters = top.object("crypto")?.ok_or_else(|| top.wrong("crypto", "is missing"))?;
    for (name, wanted) in [("N", 16_384), ("r", 8), ("p", 1), ("saltLen", SALT as u64)] {
        if parameters.number(name)? != Some(wanted) {
            return Err(parameters.wrong(name, format!("must be {wanted}")));
        }
    }
    let machine =
        keys.machine.as_ref().ok_or(ImportError::Sealed("the name of this machine or user is not known"))?;
    let passphrase = match top.number("v")? {
        Some(1) => format!("{SERVICE}-{}", machine.id()),
        Some(2) => {
            let missing = "its key (`machine_secret`) is not where llxprt-code keeps it, or is in the keyring; \
                           sign in with `rota login`";
            let secret = machine.secret.as_ref().ok_or(ImportError::Sealed(missing))?;
            format!("{}|{SERVICE}|{}", secret.hex().as_str(), machine.id())
        }
        Some(found) => return Err(ImportError::Version { found, known: "1 and 2" }),
        None => return Err(top.wrong("v", "is missing")),
    };
    let data = top.bytes("data")?;
    let parts = data.split_at_checked(SALT).and_then(|(salt, rest)| {
        let (nonce, rest) = rest.split_at_checked(NONCE)?;
        let (tag, text) = rest.split_at_checked(TAG)?;
        Some(Sealed { salt, nonce, tag, text })
    });
    let sealed = parts.ok_or_else(|| top.wrong("data", "is cut off"))?;
    let clear = sealed.open(&Passphrase::new(passphrase));
    clear.ok_or(ImportError::WrongKey("it was written on another machine or by another user"))
}
