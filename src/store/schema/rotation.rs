//! The two entries of a rotation journal. An intent names the token by its fingerprint and holds no secret. A result
//! names the intent that it answers and holds the endpoint's words as they came, new tokens included.
use super::fields::{BadField, Fields, Object};
use crate::model::Time;
use crate::store::digest::Fingerprint;
use crate::store::journal::Answer;
use serde_json::Value;

/// What is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Intent {
    /// The credential's version.
    pub(in crate::store) version: u64,
    /// Its refresh token's fingerprint.
    pub(in crate::store) token: String,
    /// When.
    pub(in crate::store) at: Time,
    /// Unlike that of any other intent.
    pub(in crate::store) nonce: String,
    /// The tag of the intent whose answer was lost; none for a first one.
    pub(in crate::store) after: Option<String>,
}

impl Intent {
    pub(in crate::store) fn encode(&self) -> Vec<u8> {
        let object = Object::default()
            .set("version", self.version)
            .set("token", self.token.clone())
            .time("at", Some(self.at))
            .set("nonce", self.nonce.clone())
            .put("after", self.after.clone());
        object.text()
    }

    pub(in crate::store) fn decode(entry: &[u8]) -> Result<Self, BadField> {
        let mut fields = Fields::parse(entry)?;
        Ok(Self {
            version: fields.need("version")?,
            token: fields.need("token")?,
            at: fields.need("at")?,
            nonce: fields.need("nonce")?,
            after: fields.get("after")?,
        })
    }
}

/// What an intent is named by.
pub(in crate::store) fn tag(intent: &[u8]) -> String {
    Fingerprint::of(intent).short()
}

/// A result's entry: a line that names the intent and the status, then the answer's body as it came.
pub(in crate::store) fn encode(intent: &str, answer: &Answer) -> Vec<u8> {
    let head = Object::default().set("intent", intent).set("status", u64::from(answer.status));
    [Value::from(head).to_string().as_bytes(), b"\n", &answer.body].concat()
}

/// The other way: the tag of the intent that was answered, and the answer.
pub(in crate::store) fn decode(entry: &[u8]) -> Option<(String, Answer)> {
    let end = entry.iter().position(|byte| *byte == b'\n')?;
    let mut fields = Fields::parse(entry.get(..end)?).ok()?;
    let intent = fields.need("intent").ok()?;
    let status: u64 = fields.need("status").ok()?;
    let body = entry.get(end + 1..)?.to_vec();
    Some((intent, Answer { status: u16::try_from(status).ok()?, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_intent_is_read_back_as_it_was_written() {
        for after in [None, Some("0123456789abcdef0123456789abcdef".to_owned())] {
            let intent = Intent {
                version: u64::MAX,
                token: "f".repeat(32),
                at: Time::from_millis(1_800_000_000_123),
                nonce: "e".repeat(32),
                after,
            };
            let entry = intent.encode();
            assert_eq!(Intent::decode(&entry).unwrap(), intent);
            assert!(entry.len() <= crate::store::INTENT_BYTES, "{}", entry.len());
        }
    }

    proptest! {
        #[test]
        fn an_answer_of_any_bytes_is_read_back_as_it_came(status in 100u16..=999, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let answer = Answer { status, body };
            let entry = encode("tag", &answer);
            prop_assert_eq!(decode(&entry), Some(("tag".to_owned(), answer)));
        }

        #[test]
        fn no_entry_is_too_odd_to_be_read(entry in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&entry);
            let _ = Intent::decode(&entry);
        }
    }
}
