/// Fields of a query at most: more are nobody's answer.
const FIELDS: usize = 64;

/// Adds `name=value` to a query, encoded for any place in a URL (RFC 3986 §2.1): a blank becomes `%20`, which is read
/// alike everywhere.
pub(super) fn add(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    encode(name, query);
    query.push('=');
    encode(value, query);
}

fn encode(text: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => into.push(byte.into()),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                into.extend(['%', digits[0].into(), digits[1].into()]);
            }
        }
    }
}

/// A query's fields, decoded. None where it cannot be read in exactly one way: odd escapes, text that is not UTF-8, a
/// name twice (RFC 6749 §3.1), or more fields than an answer has.
pub(super) fn fields(query: &str) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for field in query.split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let name = decode(name)?;
        let is_again = fields.iter().any(|(there, _)| *there == name);
        if is_again || fields.len() == FIELDS {
            return None;
        }
        fields.push((name, decode(value)?));
    }
    Some(fields)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'%' => (digit(left.next()?)? << 4) | digit(left.next()?)?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_query_is_read_in_one_way_or_not_at_all() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let table = [
            ("", Some(vec![])),
            ("a=1&b=%2f%2F+x&c", Some(vec![pair("a", "1"), pair("b", "// x"), pair("c", "")])),
            ("a==&&b=é", Some(vec![pair("a", "="), pair("b", "é")])),
            ("a=1&a=2", None),
            ("a=1&%61=2", None),
            ("a=%", None),
            ("a=%2", None),
            ("a=%zz", None),
            ("a=%+1", None),
            ("a=%ff", None),
        ];
        for (query, read) in table {
            assert_eq!(fields(query), read, "{query}");
        }
        let many: Vec<String> = (0..=FIELDS).map(|n| n.to_string()).collect();
        assert_eq!(fields(&many.join("&")), None);
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_back(pairs in prop::collection::btree_map(".{1,20}", ".{0,20}", 0..8)) {
            let mut query = String::new();
            pairs.iter().for_each(|(name, value)| add(&mut query, name, value));
            let pairs: Vec<(String, String)> = pairs.into_iter().collect();
            prop_assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(fields(&query), Some(pairs));
        }

        #[test]
        fn no_query_is_too_odd_to_be_looked_at(query in "\\PC{0,200}") {
            let _ = fields(&query);
        }
    }
}
