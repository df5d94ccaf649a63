//! The user's key: how it is written, what it is called, and the one way in which anything is sealed with it.
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key, and of the salt that everything sealed has of its own.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of the digest that names a key.
const NAME_BYTES: usize = 8;
/// Keeps the name of a key apart from every other use of its digest.
const NAMING: &[u8] = b"rota store key name v1\n";
/// Keeps the keys that seal apart from every other use of the user's.
const DERIVING: &[u8] = b"rota store record v1";

/// The user's key to the store: 32 bytes. It is wiped when its last copy goes, and `Debug` tells its name only.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    name: String,
}

impl StoreKey {
    /// Characters of a key's name.
    pub(super) const NAME_LENGTH: usize = 2 * NAME_BYTES;

    /// A key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let named = digest(&SHA256, &Zeroizing::new([NAMING, &bytes].concat()));
        let name = named.as_ref().iter().take(NAME_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self { bytes: Zeroizing::new(bytes), name }
    }

    /// A key that nobody has yet; none if the system gives no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(bytes.as_mut_slice()).ok()?;
        Some(Self::new(*bytes))
    }

    /// The key in a file or in a program's output: 64 hexadecimal digits, base64 of 32 bytes, or 32 bytes as they are.
    /// White space around a text is nothing. None for anything else.
    pub fn read(written: &[u8]) -> Option<Self> {
        if let Ok(bytes) = written.try_into() {
            return Some(Self::new(bytes));
        }
        let text = std::str::from_utf8(written).ok()?.trim();
        let bytes = Zeroizing::new(match text.len() {
            64 => unhex(text)?,
            43 => STANDARD_NO_PAD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()?,
            44 => STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?,
            _ => return None,
        });
        bytes.as_slice().try_into().ok().map(Self::new)
    }

    /// The key as 64 hexadecimal digits, for the file that will hold it.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(self.bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What tells this key from others without telling anything of it: 16 hexadecimal digits.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What was sealed, and the salt of the key that it was sealed with.
pub(super) struct Ciphertext {
    pub(super) salt: [u8; KEY_BYTES],
    pub(super) data: Vec<u8>,
}

impl StoreKey {
    /// Seals `text` so that it opens only together with `bond`; none if the system gives no randomness.
    pub(super) fn seal(&self, bond: &[u8], text: &[u8]) -> Option<Ciphertext> {
        let mut salt = [0; KEY_BYTES];
        rand::fill(&mut salt).ok()?;
        let mut data = text.to_vec();
        self.derive(&salt)?.seal_in_place_append_tag(once(), Aad::from(bond), &mut data).ok()?;
        Some(Ciphertext { salt, data })
    }

    /// None if it is not what was sealed, or not with this key and bond.
    pub(super) fn open(&self, bond: &[u8], sealed: &Ciphertext) -> Option<Zeroizing<Vec<u8>>> {
        let mut data = Zeroizing::new(sealed.data.clone());
        let key = self.derive(&sealed.salt)?;
        let length = key.open_in_place(once(), Aad::from(bond), &mut data).ok()?.len();
        data.truncate(length);
        Some(data)
    }

    /// The key that seals one text.
    fn derive(&self, salt: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
        let secret = Salt::new(HKDF_SHA256, salt).extract(self.bytes.as_slice());
        let derived = secret.expand(&[DERIVING], &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

/// A derived key seals one text, so that its only nonce can be any.
fn once() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({})", self.name)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.is_ascii() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = (0..text.len()).step_by(2).filter(|_| digits);
    let bytes: Vec<u8> = pairs.filter_map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    (bytes.len() * 2 == text.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sealer;

    /// STO-4
    #[test]
    fn a_key_is_written_in_three_ways_and_nothing_else_is_one() {
        let bytes: [u8; 32] = std::array::from_fn(|at| 0xf8 ^ at as u8);
        let key = StoreKey::new(bytes);
        let written = [
            key.to_hex().to_string(),
            key.to_hex().to_uppercase() + "\n",
            STANDARD.encode(bytes),
            format!("  {}\r\n", URL_SAFE_NO_PAD.encode(bytes)),
        ];
        for text in &written {
            assert_eq!(StoreKey::read(text.as_bytes()), Some(key.clone()), "{text:?}");
        }
        assert_eq!(StoreKey::read(&bytes), Some(key.clone()));
        let long = "0".repeat(65);
        for text in ["", "canary", &long, &long[..63], &format!("{}g", &long[..63]), &"é".repeat(32)] {
            assert_eq!(StoreKey::read(text.as_bytes()), None, "{text:?}");
        }
        assert_ne!(StoreKey::random(), StoreKey::random());
    }

    /// OBS-3
    #[test]
    fn a_key_shows_its_name_and_no_more() {
        let key = StoreKey::new([1; 32]);
        let shown = format!("{key:?} {:?}", Sealer::Seals(key.clone()));
        assert!(shown.contains(key.name()) && !shown.contains("0101"), "{shown}");
        assert_eq!(key.name().len(), 16);
    }
}
