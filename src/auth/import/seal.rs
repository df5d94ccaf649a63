//! Files that other programs encrypt: AES-256-GCM under a key that scrypt makes of a passphrase (RFC 7914), with the
//! parameters of Node's `scryptSync`.
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroizing;

/// N is 2 to this.
const LOG_N: u8 = 14;
const R: u32 = 8;
const P: u32 = 1;
const KEY: usize = 32;

/// What opens files that are encrypted.
#[derive(Default)]
pub(super) struct Keys {
    /// The user's.
    pub(super) passphrase: Option<Passphrase>,
    /// What programs make keys of by themselves.
    pub(super) machine: Option<Machine>,
}

/// What a person encrypted a file with. It has no `Display` and shows nothing.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text in as it is: blanks count.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// The machine and its user, and a secret that a program keeps beside its files.
pub(super) struct Machine {
    pub(super) host: String,
    pub(super) user: String,
    pub(super) secret: Option<MachineSecret>,
}

impl Machine {
    /// SHA-256 of both names, in hexadecimal.
    pub(super) fn id(&self) -> String {
        hex(digest(&SHA256, format!("{}{}", self.host, self.user).as_bytes()).as_ref())
    }
}

/// 32 random bytes.
pub(super) struct MachineSecret(Zeroizing<Vec<u8>>);

impl MachineSecret {
    /// `text` is base64; none where it is not 32 bytes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| bytes.len() == KEY)?;
        Some(Self(Zeroizing::new(bytes)))
    }

    pub(super) fn hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An encrypted text.
pub(super) struct Sealed<'a> {
    pub(super) salt: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) tag: &'a [u8],
    pub(super) text: &'a [u8],
}

impl Sealed<'_> {
    /// The text; none where the passphrase is another one or anything was changed.
    pub(super) fn open(&self, passphrase: &Passphrase) -> Option<Vec<u8>> {
        let params = scrypt::Params::new(LOG_N, R, P).ok()?;
        let mut key = Zeroizing::new([0; KEY]);
        scrypt::scrypt(passphrase.0.as_bytes(), self.salt, &params, key.as_mut_slice()).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(self.nonce).ok()?;
        let mut text = [self.text, self.tag].concat();
        let length = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}
