//! The frame around every record on disk: schema, generation, checksum, body. Frozen: a later schema changes bodies,
//! not the frame, so that every rota can tell a newer record from a damaged one.
use crate::store::backend::Key;
use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::Write;

/// What a whole record file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) schema: u32,
    pub(super) generation: u64,
    pub(super) checksum: String,
    pub(super) body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    schema: u32,
    generation: u64,
    #[serde(borrow)]
    checksum: Cow<'a, str>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The file's text for `body`, which must be a JSON text.
pub(super) fn seal(key: Key, schema: u32, generation: u64, body: &[u8]) -> (Vec<u8>, String) {
    let body = body.trim_ascii();
    let checksum = checksum(key, schema, generation, body);
    let head =
        format!("{{\"schema\":{schema},\"generation\":{generation},\"checksum\":\"{checksum}\",\"body\":");
    let text = [head.as_bytes(), body, b"}\n"].concat();
    (text, checksum)
}

/// The other way; the error says what is wrong with the file, without its content.
pub(super) fn open(key: Key, bytes: &[u8]) -> Result<Sealed, String> {
    if bytes.is_empty() {
        return Err("it is empty".to_owned());
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("it is no whole record (line {line}, column {column})")
    })?;
    let body = envelope.body.get().as_bytes();
    let right = checksum(key, envelope.schema, envelope.generation, body);
    if envelope.checksum != right {
        return Err("its checksum does not fit its content".to_owned());
    }
    Ok(Sealed {
        schema: envelope.schema,
        generation: envelope.generation,
        checksum: right,
        body: body.to_vec(),
    })
}

/// Covers the key as well, so that two records whose files were swapped are found out, and the generation, so that no
/// flipped bit makes an old record look new.
fn checksum(key: Key, schema: u32, generation: u64, body: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(format!("rota {key} {schema} {generation}\n").as_bytes());
    context.update(body);
    let mut text = "sha256:".to_owned();
    for byte in context.finish().as_ref() {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountId;

    const KEY: Key = Key::Credential(AccountId(7));
    const BODY: &[u8] = b"{\"kind\": \"api-key\",\n \"more\": [1, 2.50, \"\\u00e9\"]}";

    #[test]
    fn what_is_sealed_opens_to_the_same_bytes() {
        let (text, checksum) = seal(KEY, 2, 41, BODY);
        let sealed = Sealed { schema: 2, generation: 41, checksum, body: BODY.to_vec() };
        assert_eq!(open(KEY, &text), Ok(sealed));
    }

    /// STO-5
    #[test]
    fn no_changed_byte_and_no_truncation_opens_to_anything_else() {
        let (text, _) = seal(KEY, 2, 41, BODY);
        let whole = open(KEY, &text).expect("whole");
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bad = text.clone();
                bad[at] ^= 1 << bit;
                assert!(open(KEY, &bad).is_err_and(|why| !why.is_empty()), "byte {at} bit {bit}");
            }
            let cut = open(KEY, &text[..at]);
            assert!(cut.is_err() || cut == Ok(whole.clone()), "cut at {at}");
        }
    }

    /// STO-5
    #[test]
    fn texts_that_are_no_record_are_told_apart_from_records() {
        let deep = "[".repeat(100_000);
        let twice = r#"{"schema":2,"schema":2,"generation":1,"checksum":"","body":{}}"#;
        let bad: [&[u8]; 12] = [
            b"",
            b"{}",
            b"null",
            b"[]",
            b"\0",
            b"NaN",
            b"\xef\xbb\xbf{}",
            b"{\"schema\":2,\"generation\":-1,\"checksum\":\"\",\"body\":{}}",
            b"{\"schema\":\"2\",\"generation\":1,\"checksum\":\"\",\"body\":{}}",
            b"{\"schema\":2,\"generation\":1,\"checksum\":\"\",\"body\":NaN}",
            deep.as_bytes(),
            twice.as_bytes(),
        ];
        for text in bad {
            assert!(open(KEY, text).is_err(), "{:?}", String::from_utf8_lossy(&text[..text.len().min(60)]));
        }
        let (text, _) = seal(KEY, 2, 41, BODY);
        let bom = [b"\xef\xbb\xbf".as_slice(), &text].concat();
        assert!(open(KEY, &bom).is_err());
    }

    /// STO-5
    #[test]
    fn a_record_under_another_key_is_a_damaged_one() {
        let (text, _) = seal(KEY, 2, 41, BODY);
        assert!(open(Key::Credential(AccountId(8)), &text).is_err());
        assert!(open(Key::Runtime(AccountId(7)), &text).is_err());
    }
}
