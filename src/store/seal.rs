//! Credential records at rest: the user's key, what is sealed with it, and how a sealed record is told from one in the
//! clear. Nothing here reads or writes a record, and no other room seals anything.
//!
//! A record is sealed under a key of its own, derived from the user's by HKDF-SHA-256 with 32 random bytes, so that no
//! number of writes wears anything out. What it belongs to is authenticated with it: the account's number, its provider
//! and the credential's version. A record that was moved or changed does not open.
mod entry;
mod key;

pub use key::StoreKey;

use super::backend::Key;
use super::error::StoreError;
use super::schema::credential::{FIELDS, VERSION};
use super::schema::fields::{self, BadField, Fields, Object};
use crate::model::{AccountId, ProviderId};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use key::Ciphertext;
use serde_json::{Map, Value};
use std::borrow::Cow;
use zeroize::Zeroizing;

/// How records are sealed. Another number is another way, of a newer rota.
const METHOD: u64 = 1;
/// Where a sealed record holds what is sealed.
pub(super) const SEALED: &str = "sealed";

/// How credential records are written, and which can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sealer {
    /// In the clear. A sealed one cannot be read.
    #[default]
    Clear,
    /// In the clear; what this key sealed is read: the way out.
    Opens(StoreKey),
    /// Sealed with this key. One in the clear is read, too: the way in.
    Seals(StoreKey),
}

/// Whose record it is. Both are authenticated with what is sealed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    pub(super) id: AccountId,
    /// None where nobody knows the account: the record is then bound to its number alone.
    pub(super) provider: Option<&'a ProviderId>,
}

/// Why a sealed record stays so. Nothing here is secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unopened {
    #[error(
        "it does not open: it was changed, or it belongs to another account or to another version of the credential; bring a backup back with `rota store restore DIR`, or sign in again"
    )]
    Altered,
    #[error(
        "it is sealed with key {sealed_with}, and no key is given; name it with `encryption.key_file`, `encryption.key_credential` or `encryption.key_command`"
    )]
    NoKey { sealed_with: String },
    #[error(
        "it was sealed for provider \"{sealed_for}\", but its account is one of \"{account}\"; bring a backup back with `rota store restore DIR`, or sign in again"
    )]
    OtherProvider { sealed_for: String, account: String },
    #[error(
        "it is sealed with key {sealed_with}, but rota was given key {given}; give it that key, or sign in again"
    )]
    OtherKey { sealed_with: String, given: String },
    #[error("{0}; bring a backup back with `rota store restore DIR`, or sign in again")]
    Unreadable(BadField),
}

/// What a record looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Clear,
    /// With the name of its key.
    Sealed(String),
}

impl Form {
    /// Of a credential record. What is neither is in the clear: it hides nothing.
    pub(super) fn of(body: &[u8]) -> Self {
        let fields = Fields::parse(body).ok();
        let sealed = fields.and_then(|mut fields| fields.get::<Map<String, Value>>(SEALED).ok().flatten());
        let Some(sealed) = sealed else {
            return Self::Clear;
        };
        Self::Sealed(sealed.get("key").and_then(Value::as_str).unwrap_or("(unknown)").to_owned())
    }
}

impl Sealer {
    /// True if `form` is the one that records are written in.
    pub(super) fn writes(&self, form: &Form) -> bool {
        match self {
            Self::Clear | Self::Opens(_) => *form == Form::Clear,
            Self::Seals(_) => matches!(form, Form::Sealed(_)),
        }
    }

    /// The key, if it is the one that something was sealed with.
    fn key_named(&self, sealed_with: String) -> Result<&StoreKey, Unopened> {
        match self {
            Self::Clear => Err(Unopened::NoKey { sealed_with }),
            Self::Opens(key) | Self::Seals(key) if key.name() == sealed_with => Ok(key),
            Self::Opens(key) | Self::Seals(key) => {
                Err(Unopened::OtherKey { sealed_with, given: key.name().to_owned() })
            }
        }
    }

    /// True if two bodies of the account's record are of one credential, as far as they open.
    pub(super) fn same(&self, whose: Whose<'_>, one: &[u8], other: &[u8]) -> bool {
        let read = |body: &[u8]| fields::parse(&self.open(whose, body).ok()?).ok();
        one == other || read(one).is_some_and(|one| read(other) == Some(one))
    }

    /// A credential record's body, which is in the clear, as it is to be written.
    pub(super) fn dress<'a>(&self, whose: Whose<'_>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, StoreError> {
        let Self::Seals(key) = self else {
            return Ok(Cow::Borrowed(body));
        };
        let stays = |problem: String| StoreError::Sealed { key: Key::Credential(whose.id), problem };
        let mut fields = Fields::parse(body).map_err(|bad| stays(bad.to_string()))?;
        let version = fields.get(VERSION).map_err(|bad| stays(bad.to_string()))?.unwrap_or(1);
        let text = Zeroizing::new(Value::Object(fields.rest()).to_string());
        let sealed = Sealed::of(key, &Bond::of(whose, version, key), text.as_bytes());
        let sealed = sealed.ok_or_else(|| stays("the system gives no randomness".to_owned()))?;
        let object = Object::default().set(VERSION, version).set(SEALED, sealed);
        Ok(Cow::Owned(object.text()))
    }

    /// A credential record's body in the clear, however it is written.
    pub(super) fn open<'a>(&self, whose: Whose<'_>, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Unopened> {
        if Form::of(body) == Form::Clear {
            return Ok(Cow::Borrowed(body));
        }
        let mut fields = Fields::parse(body).map_err(Unopened::Unreadable)?;
        let sealed = Sealed::take(&mut fields).map_err(Unopened::Unreadable)?;
        let version: u64 = fields.need(VERSION).map_err(Unopened::Unreadable)?;
        let key = self.key_named(sealed.key)?;
        let bond = Bond { provider: &sealed.provider, ..Bond::of(whose, version, key) };
        let text = key.open(&bond.text(), &sealed.ciphertext).ok_or(Unopened::Altered)?;
        if let Some(account) = whose.provider
            && !sealed.provider.is_empty()
            && sealed.provider != account.as_str()
        {
            let account = account.to_string();
            return Err(Unopened::OtherProvider { sealed_for: sealed.provider, account });
        }
        let inside = Fields::parse(&text).map_err(Unopened::Unreadable)?.rest();
        // Beside what is sealed, others may have written fields that this rota does not know. None of them may pass
        // for one that it knows.
        let mut outside = fields.rest();
        outside.retain(|name, _| !FIELDS.contains(&name.as_str()));
        outside.extend(inside);
        Ok(Cow::Owned(Object::over(&outside).set(VERSION, version).text()))
    }
}

/// What is wrong with a sealed record, as far as can be told without its key.
pub(super) fn check(body: &[u8]) -> Result<(), BadField> {
    let mut fields = Fields::parse(body)?;
    Sealed::take(&mut fields)?;
    fields.need::<u64>(VERSION).map(drop)
}

/// What a ciphertext belongs to.
struct Bond<'a> {
    id: AccountId,
    version: u64,
    provider: &'a str,
    key: &'a str,
}

impl<'a> Bond<'a> {
    fn of(whose: Whose<'a>, version: u64, key: &'a StoreKey) -> Self {
        let provider = whose.provider.map_or("", ProviderId::as_str);
        Self { id: whose.id, version, provider, key: key.name() }
    }

    /// No part of it holds a line break, so that no two bonds have one text.
    fn text(&self) -> Vec<u8> {
        let Self { id, version, provider, key } = self;
        format!(
            "rota credential v{METHOD}\naccount {id}\nversion {version}\nprovider {provider}\nkey {key}\n"
        )
        .into_bytes()
    }
}

/// What stands in the field `sealed`.
struct Sealed {
    key: String,
    provider: String,
    ciphertext: Ciphertext,
}

impl Sealed {
    /// None if the system gives no randomness.
    fn of(key: &StoreKey, bond: &Bond<'_>, text: &[u8]) -> Option<Value> {
        let Ciphertext { salt, data } = key.seal(&bond.text(), text)?;
        let object = Object::default()
            .set("v", METHOD)
            .set("key", bond.key)
            .put("provider", Some(bond.provider).filter(|provider| !provider.is_empty()))
            .set("salt", STANDARD.encode(salt))
            .set("data", STANDARD.encode(data));
        Some(object.into())
    }

    fn take(fields: &mut Fields) -> Result<Self, BadField> {
        let within = |bad: BadField| bad.within(SEALED);
        let mut fields = Fields::of(fields.need::<Value>(SEALED)?).map_err(within)?;
        let method: u64 = fields.need("v").map_err(within)?;
        if method != METHOD {
            let problem = format!("is {method}, but this rota knows {METHOD}; install the newer rota");
            return Err(within(BadField::new("v", problem)));
        }
        let bytes = |fields: &mut Fields, name: &str| {
            let text: String = fields.need(name)?;
            STANDARD.decode(text).map_err(|_| BadField::new(name, "must be base64"))
        };
        let salt = bytes(&mut fields, "salt").map_err(within)?;
        let salt = salt.try_into().map_err(|_| within(BadField::new("salt", "must be 32 bytes")))?;
        let data = bytes(&mut fields, "data").map_err(within)?;
        Ok(Self {
            key: fields.need("key").map_err(within)?,
            provider: fields.get("provider").map_err(within)?.unwrap_or_default(),
            ciphertext: Ciphertext { salt, data },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::credential;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const BODY: &str =
        r#"{"credentialVersion":7,"accessToken":"canary-access","kind":"oauth","later":{"n":1.5}}"#;

    #[test]
    fn the_same_text_is_never_sealed_to_the_same_bytes() {
        let sealer = Sealer::Seals(key(1));
        let [one, other] =
            [(); 2].map(|()| sealer.dress(whose(1, "p"), BODY.as_bytes()).unwrap().into_owned());
        assert_ne!(one, other);
    }

    /// STO-2
    #[test]
    fn fields_beside_what_is_sealed_survive_and_none_passes_for_a_known_one() {
        let (sealer, whose) = (Sealer::Seals(key(1)), whose(1, "p"));
        let mut body = value(&sealer.dress(whose, BODY.as_bytes()).unwrap());
        body["beside"] = json!([1]);
        body["later"] = json!("what is sealed wins");
        body["refreshToken"] = json!("somebody else's");
        let written = body.to_string();
        let opened = sealer.open(whose, written.as_bytes()).unwrap();
        let mut expected = value(BODY.as_bytes());
        expected["beside"] = json!([1]);
        assert_eq!(value(&opened), expected);
    }

    /// STO-5
    #[test]
    fn what_is_sealed_opens_for_its_account_its_provider_and_its_version_only() {
        let sealer = Sealer::Seals(key(1));
        let body = sealer.dress(whose(1, "p"), BODY.as_bytes()).unwrap().into_owned();
        assert!(sealer.open(whose(1, "p"), &body).is_ok());
        assert_eq!(sealer.open(whose(2, "p"), &body), Err(Unopened::Altered));
        let (sealed_for, account) = ("p".to_owned(), "q".to_owned());
        let other = Unopened::OtherProvider { sealed_for, account };
        assert_eq!(sealer.open(whose(1, "q"), &body), Err(other));
        for (field, forged) in [("/credentialVersion", json!(8)), ("/sealed/provider", json!("q"))] {
            let mut body = value(&body);
            *body.pointer_mut(field).unwrap() = forged;
            assert_eq!(
                sealer.open(whose(1, "q"), body.to_string().as_bytes()),
                Err(Unopened::Altered),
                "{field}"
            );
        }
        let (sealed_with, given) = (key(1).name().to_owned(), key(2).name().to_owned());
        let other = Unopened::OtherKey { sealed_with: sealed_with.clone(), given };
        assert_eq!(Sealer::Seals(key(2)).open(whose(1, "p"), &body), Err(other));
        assert_eq!(Sealer::Clear.open(whose(1, "p"), &body), Err(Unopened::NoKey { sealed_with }));
    }

    #[test]
    fn a_frame_that_is_broken_says_where() {
        let body = Sealer::Seals(key(1)).dress(whose(1, "p"), BODY.as_bytes()).unwrap().into_owned();
        let cases = [
            ("/sealed/v", json!(2), "sealed.v: is 2, but this rota knows 1; install the newer rota"),
            ("/sealed/salt", json!("AAAA"), "sealed.salt: must be 32 bytes"),
            ("/sealed/data", json!("!"), "sealed.data: must be base64"),
            ("/sealed/key", json!(null), "sealed.key: is missing; it must be a text"),
            ("/credentialVersion", json!("7"), "credentialVersion: must be a whole number of 0 or more"),
        ];
        for (field, wrong, problem) in cases {
            let mut body = value(&body);
            *body.pointer_mut(field).unwrap() = wrong;
            assert_eq!(check(body.to_string().as_bytes()).unwrap_err().to_string(), problem);
        }
        assert_eq!(check(&body), Ok(()));
    }

    proptest! {
        /// STO-2
        #[test]
        fn whatever_is_sealed_opens_to_the_same(
            fields in prop::collection::btree_map("[a-z]{1,6}", ".{0,40}", 0..6),
            version in 1..u64::MAX,
            id in 1..u32::MAX,
            provider in prop::option::of("[a-z][a-z0-9-]{0,9}"),
        ) {
            let mut body = json!(fields);
            body["credentialVersion"] = version.into();
            if let Some(fields) = body.as_object_mut() {
                fields.remove(SEALED);
            }
            let provider = provider.map(|name| ProviderId::try_from(name.as_str()).unwrap());
            let whose = Whose { id: AccountId(id), provider: provider.as_ref() };
            let sealer = Sealer::Seals(key(3));
            let sealed = sealer.dress(whose, body.to_string().as_bytes()).unwrap().into_owned();
            prop_assert_eq!(Form::of(&sealed), Form::Sealed(key(3).name().to_owned()));
            for sealer in [sealer, Sealer::Opens(key(3))] {
                prop_assert_eq!(value(&sealer.open(whose, &sealed).unwrap()), body.clone());
            }
        }

        /// STO-5
        #[test]
        fn any_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let (sealer, whose) = (Sealer::Seals(key(1)), whose(1, "p"));
            let mut body = sealer.dress(whose, BODY.as_bytes()).unwrap().into_owned();
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            // A record that no longer says that it is sealed has nothing in it.
            let opened = sealer.open(whose, &body).ok();
            let read = opened.and_then(|body| Fields::parse(&body).ok());
            let taken = read.map(|mut fields| credential::take(&mut fields).is_ok());
            prop_assert!(taken != Some(true), "byte {}, bit {}", at, bit);
        }
    }

    fn key(byte: u8) -> StoreKey {
        StoreKey::new([byte; 32])
    }

    fn whose(id: u32, provider: &str) -> Whose<'static> {
        let provider: &'static ProviderId = Box::leak(Box::new(provider.try_into().unwrap()));
        Whose { id: AccountId(id), provider: Some(provider) }
    }

    fn value(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap()
    }
}
