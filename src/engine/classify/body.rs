//! What an error body says: its codes, its message, its JSON. The envelopes of the providers' APIs differ, the places
//! where a code stands do not; all of them are looked at, and no text of the client's own is taken for a code.
use serde_json::Value;

/// Bytes of a body that are looked at, at most.
const LONGEST: usize = 64 * 1024;
/// Longer texts are no error codes.
const LONGEST_CODE: usize = 256;
/// Elements of a `details` list that are looked at, at most.
const MOST_DETAILS: usize = 32;

/// Where a code may stand, most telling first.
const CODES: [&[&str]; 11] = [
    &["error", "details", "error_code"],
    &["error", "code"],
    &["error", "type"],
    &["error", "status"],
    &["detail", "code"],
    &["detail"],
    &["code"],
    &["error"],
    &["response", "error", "code"],
    &["response", "error", "type"],
    &["base_resp", "status_code"],
];
/// Where the message may stand; the first is taken.
const MESSAGES: [&[&str]; 9] = [
    &["error", "message"],
    &["message"],
    &["detail", "message"],
    &["detail"],
    &["error_description"],
    &["response", "error", "message"],
    &["base_resp", "status_msg"],
    &["error", "detail"],
    &["error"],
];
/// Where an event may tell a status.
const STATUSES: [&[&str]; 4] = [&["status"], &["status_code"], &["error", "status"], &["error", "code"]];
/// What a relaying provider was told by the one behind it, where that is a sentence.
const RELAYED: &[&str] = &["error", "metadata", "raw"];

/// What an error body says.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Error codes, in lower case.
    codes: Vec<String>,
    /// The message, in lower case; of a body that is no JSON, all of it.
    pub(super) message: String,
    /// The body as JSON; null where it is none.
    json: Value,
}

impl Told {
    /// Reads a body's beginning. JSON that does not parse, as when it was cut, says nothing: its raw text may be the
    /// client's own prompt.
    pub(super) fn read(peek: &[u8]) -> Self {
        let peek = &peek[..peek.len().min(LONGEST)];
        match serde_json::from_slice(peek) {
            Ok(Value::Array(mut list)) if !list.is_empty() => Self::of(list.swap_remove(0)),
            Ok(Value::String(text)) => Self { message: text.to_lowercase(), ..Self::default() },
            Ok(json) => Self::of(json),
            Err(_) if matches!(peek.trim_ascii_start().first(), Some(b'{' | b'[' | b'"')) => Self::default(),
            Err(_) => Self { message: String::from_utf8_lossy(peek).to_lowercase(), ..Self::default() },
        }
    }

    /// Reads the data of an event that refuses. Where the error lies inside the response that failed, it counts as the
    /// body of a reply would.
    pub(super) fn in_band(event: &[u8]) -> Self {
        match serde_json::from_slice(&event[..event.len().min(LONGEST)]) {
            Ok(Value::Object(mut json)) if !json.contains_key("error") => {
                if let Some(error) = json.get("response").and_then(|response| response.get("error")).cloned()
                {
                    json.insert("error".to_owned(), error);
                }
                Self::of(Value::Object(json))
            }
            Ok(json) => Self::of(json),
            Err(_) => Self::default(),
        }
    }

    /// The status that an event itself tells.
    pub(super) fn status(&self) -> Option<u16> {
        let number = STATUSES.iter().find_map(|path| within(&self.json, path)?.as_u64());
        number.and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status))
    }

    fn of(json: Value) -> Self {
        let mut codes: Vec<String> = CODES.iter().filter_map(|path| scalar(within(&json, path)?)).collect();
        if within(&json, &["error", "details"]).is_some() {
            for pointer in ["/error/details/*/reason", "/error/details/*/violations/*/quotaId"] {
                codes.extend(found(&json, pointer).into_iter().filter_map(scalar));
            }
        }
        codes.retain(|code| code.len() <= LONGEST_CODE);
        codes.iter_mut().for_each(|code| code.make_ascii_lowercase());
        let text = |path: &[&str]| within(&json, path)?.as_str();
        let own = MESSAGES.iter().find_map(|path| text(path));
        let relayed = text(RELAYED).filter(|raw| !raw.trim_start().starts_with(['{', '[']));
        let message = match (own, relayed) {
            (own, None) => own.unwrap_or_default().trim_end().to_lowercase(),
            (own, Some(relayed)) => {
                format!("{}\n{relayed}", own.unwrap_or_default()).trim_end().to_lowercase()
            }
        };
        Self { codes, message, json }
    }

    /// True when a code is `pattern`, in which a `*` at either end stands for any text.
    pub(super) fn names(&self, pattern: &str) -> bool {
        let open = (pattern.starts_with('*'), pattern.ends_with('*'));
        let text = pattern.trim_matches('*').as_bytes();
        self.codes.iter().map(String::as_bytes).any(|code| {
            let Some(longer) = code.len().checked_sub(text.len()) else {
                return false;
            };
            match open {
                (false, false) => longer == 0 && code.eq_ignore_ascii_case(text),
                (false, true) => code[..text.len()].eq_ignore_ascii_case(text),
                (true, false) => code[longer..].eq_ignore_ascii_case(text),
                (true, true) => {
                    text.is_empty() || code.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
                }
            }
        })
    }

    /// Texts and numbers at `pointer`, in which `*` stands for every element of an array.
    pub(super) fn at(&self, pointer: &str) -> Vec<String> {
        found(&self.json, pointer).into_iter().filter_map(scalar).collect()
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) | Value::String(_) => None,
    }
}

/// The value below these keys, one after the other; an element of an array is none.
fn within<'a>(json: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(json, |value, key| value.as_object()?.get(*key))
}

fn found<'a>(json: &'a Value, pointer: &str) -> Vec<&'a Value> {
    let Some((before, after)) = pointer.split_once("/*") else {
        return json.pointer(pointer).into_iter().collect();
    };
    let elements = json.pointer(before).and_then(Value::as_array);
    let elements = elements.into_iter().flatten().take(MOST_DETAILS);
    elements.flat_map(|element| found(element, after)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_are_found_in_every_envelope() {
        let cases: [(&str, &[&str]); 10] = [
            (r#"{"error":{"code":"A","type":"b"}}"#, &["a", "b"]),
            (r#"{"type":"error","error":{"type":"t","details":{"error_code":"d"}}}"#, &["d", "t"]),
            (r#"{"detail":{"code":"token_expired"}}"#, &["token_expired"]),
            (r#"{"detail":"Unauthorized"}"#, &["unauthorized"]),
            (r#"{"code":"x"}"#, &["x"]),
            (r#"{"error":"invalid_grant"}"#, &["invalid_grant"]),
            (r#"{"response":{"error":{"code":"slow_down"}}}"#, &["slow_down"]),
            (r#"{"base_resp":{"status_code":1001}}"#, &["1001"]),
            (
                r#"[{"error":{"code":429,"status":"S","details":[{"reason":"R"},{"violations":[{"quotaId":"Q"}]}]}}]"#,
                &["429", "s", "r", "q"],
            ),
            (r#"{"error":{"message":"code: a"}}"#, &[]),
        ];
        for (body, codes) in cases {
            assert_eq!(Told::read(body.as_bytes()).codes, codes, "{body}");
        }
    }

    #[test]
    fn the_message_is_the_providers_own_and_in_lower_case() {
        let cases = [
            (r#"{"error":{"message":"Try AGAIN"}}"#, "try again"),
            (r#"{"detail":"Model X"}"#, "model x"),
            (r#"{"detail":{"message":"M"}}"#, "m"),
            (r#""Items are not persisted""#, "items are not persisted"),
            (
                r#"{"error":{"message":"Provider error","metadata":{"raw":"X is busy"}}}"#,
                "provider error\nx is busy",
            ),
            (r#"{"error":{"message":"Provider error","metadata":{"raw":"{\"echo\":1}"}}}"#, "provider error"),
            ("<HTML>Challenge", "<html>challenge"),
            (r#"{"prompt":"insufficient quota"}"#, ""),
            (r#"{"error":{"message":"cut in the mid"#, ""),
            ("", ""),
        ];
        for (body, message) in cases {
            assert_eq!(Told::read(body.as_bytes()).message, message, "{body}");
        }
    }

    #[test]
    fn a_star_in_a_code_stands_for_any_text_at_its_end() {
        let told = Told::read(br#"{"code":"GenerateRequestsPerDayPerModel"}"#);
        let cases = [
            ("generaterequestsperdaypermodel", true),
            ("generate*", true),
            ("*permodel", true),
            ("*PerDay*", true),
            ("*PerMinute*", false),
            ("permodel", false),
        ];
        for (pattern, fits) in cases {
            assert_eq!(told.names(pattern), fits, "{pattern}");
        }
    }

    #[test]
    fn a_pointer_with_a_star_looks_at_every_element() {
        let told = Told::read(br#"{"error":{"details":[{"a":1},{"b":"34s"},{"b":5}]}}"#);
        assert_eq!(told.at("/error/details/*/b"), ["34s", "5"]);
        assert_eq!(told.at("/error/details/*/c"), Vec::<String>::new());
        assert_eq!(told.at("/error/nothing"), Vec::<String>::new());
    }

    proptest! {
        /// A pattern and a place in the JSON mean what the plain words for them do, whatever text there is.
        #[test]
        fn codes_are_compared_and_found_as_if_by_the_book(
            code in "[a-cA-C*é]{0,6}", pattern in "[*]{0,2}[a-cA-Cé]{0,4}[*]{0,2}",
            path in prop::collection::vec("[ab]", 0..4), json in "[{]\"a\":([{]\"b\":[0-9]|[\\[]1|2)",
        ) {
            let told = Told { codes: vec![code.to_ascii_lowercase()], ..Told::default() };
            let (wanted, code) = (pattern.to_ascii_lowercase(), code.to_ascii_lowercase());
            let text = wanted.trim_matches('*');
            let named = match (wanted.starts_with('*'), wanted.ends_with('*')) {
                (false, false) => code == text,
                (false, true) => code.starts_with(text),
                (true, false) => code.ends_with(text),
                (true, true) => code.contains(text),
            };
            prop_assert_eq!(told.names(&pattern), named);
            let closed = json.chars().rev().filter_map(|it| match it { '{' => Some('}'), '[' => Some(']'), _ => None });
            let json: Value = serde_json::from_str(&format!("{json}{}", closed.collect::<String>())).expect("JSON");
            let keys: Vec<&str> = path.iter().map(String::as_str).collect();
            let pointer: String = path.iter().map(|key| format!("/{key}")).collect();
            prop_assert_eq!(within(&json, &keys), json.pointer(&pointer));
        }
    }
}
