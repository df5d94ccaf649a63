//! Answers in a rotation journal: bytes of any kind, sealed as they are.
use super::key::{Ciphertext, KEY_BYTES, StoreKey};
use super::{Sealer, Unopened};
use crate::model::AccountId;
use crate::store::backend::Key;
use crate::store::error::StoreError;
use crate::store::schema::fields::BadField;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// How a sealed entry begins; one in the clear begins with a brace. The name of the key, the salt and the data follow.
const MARK: &[u8] = b"rota sealed 1\n";

impl Sealer {
    /// An answer as it is to be noted.
    pub(in crate::store) fn dress_entry<'a>(
        &self,
        account: AccountId,
        entry: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, StoreError> {
        let Self::Seals(key) = self else {
            return Ok(Cow::Borrowed(entry));
        };
        let sealed = key.seal(&bond(account, key), entry).ok_or_else(|| {
            let problem = "the system gives no randomness".to_owned();
            StoreError::Sealed { key: Key::Credential(account), problem }
        })?;
        Ok(Cow::Owned([MARK, key.name().as_bytes(), &sealed.salt, &sealed.data].concat()))
    }

    /// An answer in the clear, however it was noted.
    pub(in crate::store) fn open_entry(
        &self,
        account: AccountId,
        entry: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let Some(sealed) = entry.strip_prefix(MARK) else {
            return Ok(Zeroizing::new(entry.to_vec()));
        };
        let (sealed_with, sealed) = take(sealed).ok_or_else(cut)?;
        let sealed_with = String::from_utf8_lossy(sealed_with).into_owned();
        let key = self.key_named(sealed_with)?;
        let (salt, data) = sealed.split_first_chunk::<KEY_BYTES>().ok_or_else(cut)?;
        let sealed = Ciphertext { salt: *salt, data: data.to_vec() };
        key.open(&bond(account, key), &sealed).ok_or(Unopened::Altered)
    }

    /// True if the entry is in the form that answers are noted in.
    pub(in crate::store) fn notes(&self, entry: &[u8]) -> bool {
        entry.starts_with(MARK) == matches!(self, Self::Seals(_))
    }
}

/// The name of a key, and what follows it.
fn take(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    sealed.split_at_checked(StoreKey::NAME_LENGTH)
}

fn cut() -> Unopened {
    Unopened::Unreadable(BadField::new("answer", "is cut off"))
}

fn bond(account: AccountId, key: &StoreKey) -> Vec<u8> {
    format!("rota journal v1\naccount {account}\nkey {}\n", key.name()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: AccountId = AccountId(7);

    proptest! {
        /// STO-5
        #[test]
        fn any_answer_opens_to_the_same_for_its_account_and_its_key_only(
            entry in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let entry = [b"{", &entry[..]].concat();
            let sealer = Sealer::Seals(StoreKey::new([1; 32]));
            let sealed = sealer.dress_entry(ID, &entry).unwrap().into_owned();
            prop_assert!(sealer.notes(&sealed) && !sealer.notes(&entry));
            prop_assert_eq!(&*sealer.open_entry(ID, &sealed).unwrap(), &entry);
            prop_assert_eq!(&*sealer.open_entry(ID, &entry).unwrap(), &entry, "from before it was turned on");
            prop_assert!(sealer.open_entry(AccountId(8), &sealed).is_err());
            for other in [Sealer::Clear, Sealer::Opens(StoreKey::new([2; 32]))] {
                prop_assert!(other.open_entry(ID, &sealed).is_err());
            }
            let mut flipped = sealed.clone();
            let at = at.index(flipped.len());
            flipped[at] ^= 1 << bit;
            // Where the mark itself is damaged it is an entry that says nothing.
            let opened = sealer.open_entry(ID, &flipped);
            prop_assert!(opened.is_err() || *opened.unwrap() == flipped);
            prop_assert!(sealer.open_entry(ID, &sealed[..at]).map_or(true, |clear| *clear == sealed[..at]));
        }
    }
}
