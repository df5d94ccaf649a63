//! Values that only the fake can mint and that say what they are bound to:
//! ciphertext, signatures, turn states. A value is a tag and its fields, so a
//! forged or damaged one is told from one that belongs to somebody else.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

/// The same in every fake, so that a value outlives a restart of the fake.
const KEY: &[u8] = b"rota-fake-upstream: this key protects nothing";
/// Bytes of the tag kept.
const TAG: usize = 16;

/// What a sealed value is for; a value of one kind does not open as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Compaction,
    Content,
    Cookie,
    Thinking,
    Thought,
    TurnState,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Content => "content",
            Self::Cookie => "cookie",
            Self::Thinking => "thinking",
            Self::Thought => "thought",
            Self::TurnState => "turn",
        }
    }
}

/// Seals `fields`; equal fields give equal values, so callers add a serial.
pub(crate) fn seal(purpose: Purpose, fields: &[&str]) -> String {
    let text = serde_json::Value::from(fields.to_vec()).to_string();
    let mut bytes = tag(purpose, text.as_bytes()).to_vec();
    bytes.extend_from_slice(text.as_bytes());
    B64.encode(bytes)
}

/// The fields of a sealed value, or `None` when it is damaged or of another kind.
pub(crate) fn open(purpose: Purpose, sealed: &str) -> Option<Vec<String>> {
    let bytes = B64.decode(sealed.trim_end_matches('=')).ok()?;
    let (found, text) = bytes.split_at_checked(TAG)?;
    if found != tag(purpose, text) {
        return None;
    }
    serde_json::from_slice(text).ok()
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stands for a credential wherever one must not be shown.
pub fn fingerprint(credential: &str) -> String {
    let digest = sha256_hex(credential.as_bytes());
    format!("fp:{}", digest.get(..12).unwrap_or(&digest))
}

fn tag(purpose: Purpose, text: &[u8]) -> [u8; TAG] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let mut context = hmac::Context::with_key(&key);
    context.update(purpose.name().as_bytes());
    context.update(&[0]);
    context.update(text);
    let mut short = [0; TAG];
    short.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_as_what_it_is_and_as_nothing_else() {
        let sealed = seal(Purpose::Content, &["org-a", "1"]);
        assert_eq!(open(Purpose::Content, &sealed), Some(vec!["org-a".into(), "1".into()]));
        assert_eq!(open(Purpose::Thinking, &sealed), None);
        for damaged in ["", "AAAA", "not base64!", &sealed[1..], &format!("A{}", &sealed[1..])] {
            if damaged != sealed {
                assert_eq!(open(Purpose::Content, damaged), None, "{damaged}");
            }
        }
    }
}
