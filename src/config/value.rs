//! How single values are written: durations, sizes, whole numbers, lists, names. Each reader takes a TOML value and
//! gives the typed one, or says what is wrong with it and what is allowed.
use super::form::Form;
use super::problem::Code;
use crate::model::Secret;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// More entries than this in one list are a mistake.
pub(super) const MOST_ENTRIES: usize = 100;
/// A client key shorter than this can be guessed.
const SHORTEST_KEY: usize = 16;
/// A client key longer than this would not fit into a header with room to spare.
const LONGEST_KEY: usize = 256;
/// Texts less alike than this were not confused with each other.
pub(super) const ALIKE: f64 = 0.6;
/// What the beginning of a name is worth.
const BEGINNING: f64 = 0.8;
/// A text that no reader takes but those that take any.
pub(super) const NEVER: &str = "\u{0}";
/// As much of a value as an error shows.
const SHOWN_CHARS: usize = 80;

/// Why a value is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    /// For machines.
    pub(super) code: Code,
    /// What is wrong, with the value seen unless it is secret.
    pub(super) what: String,
    /// What is allowed, or what to do.
    pub(super) allowed: String,
    /// What may have been meant.
    pub(super) near: Option<String>,
    /// What is allowed, for a schema.
    pub(super) form: Form,
}

impl Bad {
    pub(super) fn new(what: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self {
            code: Code::InvalidConfig,
            what: what.into(),
            allowed: allowed.into(),
            near: None,
            form: Form::Any,
        }
    }

    pub(super) fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    pub(super) fn near(mut self, near: Option<&str>) -> Self {
        self.near = near.map(|near| format!("{near:?}"));
        self
    }
}

/// A value as TOML writes it, cut to a length that fits on a line.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS {
        return text;
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS).collect();
    cut.push('…');
    cut
}

/// The candidate that `text` was probably meant to be.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = candidates
        .into_iter()
        .map(|candidate| (likeness(text, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, candidate)| candidate)
}

/// How much of `candidate` is in `text`, from 0 to 1; a beginning counts as much as a slip of the finger.
pub(super) fn likeness(text: &str, candidate: &str) -> f64 {
    if text.len() >= 3 && candidate.starts_with(text) {
        return BEGINNING;
    }
    strsim::normalized_damerau_levenshtein(text, candidate)
}

pub(super) fn text(value: &Value) -> Result<&str, Bad> {
    value
        .as_str()
        .ok_or_else(|| Bad::new(format!("{} is not a text", shown(value)), "write it in double quotes"))
}

pub(super) fn flag(value: &Value) -> Result<bool, Bad> {
    value.as_bool().ok_or_else(|| {
        Bad::new(
            format!("{} is neither true nor false", shown(value)),
            "allowed: true, false (without quotes)",
        )
        .form(Form::Flag)
    })
}

/// A whole number in `least..=most`.
pub(super) fn number(value: &Value, least: u64, most: u64) -> Result<u64, Bad> {
    value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok())
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            Bad::new(
                format!("{} is not a whole number in range", shown(value)),
                format!("allowed: {least} to {most} (without quotes)"),
            )
            .form(Form::Number { least, most })
        })
}

/// The same as a length.
pub(super) fn count(value: &Value, least: usize, most: usize) -> Result<usize, Bad> {
    number(value, least as u64, most as u64).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// `250ms`, `30s`, `5m`, `24h`, `1h30m`, in `least..=most`.
pub(super) fn duration(value: &Value, least: Duration, most: Duration) -> Result<Duration, Bad> {
    let range = || format!("from {} to {}", duration_text(least), duration_text(most));
    let Some(span) = value.as_str().and_then(parse_duration) else {
        return Err(Bad::new(
            format!("{} is not a duration", shown(value)),
            format!(
                "allowed: a number and a unit, such as \"250ms\", \"30s\", \"5m\" or \"24h\", {}",
                range()
            ),
        )
        .form(Form::Text("^([0-9]+(ms|s|m|h|d))+$")));
    };
    if (least..=most).contains(&span) {
        Ok(span)
    } else {
        Err(Bad::new(format!("{} is out of range", shown(value)), format!("allowed: {}", range())))
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(millis)?)?;
        rest = next;
    }
    (!text.is_empty()).then(|| Duration::from_millis(total))
}

/// A duration as it would be written in the file.
pub(super) fn duration_text(span: Duration) -> String {
    let millis = span.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

const KIB: u64 = 1024;

/// `64KiB`, `32MiB`, `1GiB`, or a number of bytes, in `least..=most` bytes.
pub(super) fn size(value: &Value, least: u64, most: u64) -> Result<usize, Bad> {
    let range = || format!("from {} to {}", size_text(least), size_text(most));
    let bytes = match value.as_str() {
        Some(text) => parse_size(text),
        None => value.as_integer().and_then(|number| u64::try_from(number).ok()),
    };
    let Some(bytes) = bytes else {
        return Err(Bad::new(
            format!("{} is not a size", shown(value)),
            format!(
                "allowed: a size such as \"64KiB\", \"32MiB\" or \"1GiB\", or a number of bytes, {}",
                range()
            ),
        )
        .form(Form::Either(vec![Form::Number { least, most }, Form::Text("^[0-9]+(B|KiB|MiB|GiB)?$")])));
    };
    if !(least..=most).contains(&bytes) {
        return Err(Bad::new(format!("{} is out of range", shown(value)), format!("allowed: {}", range())));
    }
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn parse_size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => KIB,
        "MiB" => KIB * KIB,
        "GiB" => KIB * KIB * KIB,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn size_text(bytes: u64) -> String {
    let units = [(KIB * KIB * KIB, "GiB"), (KIB * KIB, "MiB"), (KIB, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// One of the names that `all` gives.
pub(super) fn choice<T: Copy>(value: &Value, all: &[T], name: fn(T) -> &'static str) -> Result<T, Bad> {
    let names = || all.iter().map(|item| name(*item));
    let found = value.as_str().and_then(|text| all.iter().find(|item| name(**item) == text));
    found.copied().ok_or_else(|| {
        let allowed: Vec<String> = names().map(|name| format!("{name:?}")).collect();
        let near = value.as_str().and_then(|text| nearest(text, names()));
        Bad::new(
            format!("{} is not one of its values", shown(value)),
            format!("allowed: {}", allowed.join(", ")),
        )
        .near(near)
        .form(Form::Choice(names().collect()))
    })
}

/// A list whose entries `read` reads.
pub(super) fn list<T>(value: &Value, read: impl Fn(&Value) -> Result<T, Bad>) -> Result<Vec<T>, Bad> {
    list_up_to(MOST_ENTRIES, value, read)
}

/// The same with at most so many.
pub(super) fn list_up_to<T>(
    most: usize,
    value: &Value,
    read: impl Fn(&Value) -> Result<T, Bad>,
) -> Result<Vec<T>, Bad> {
    let Some(entries) = value.as_array() else {
        // What no entry can be is told by the reader of entries.
        let entry = read(&Value::String(NEVER.to_owned())).err().map(|bad| bad.form).unwrap_or_default();
        let form = Form::List { entry: Box::new(entry), least: 0, most };
        return Err(Bad::new("this is not a list", "write it in brackets: [\"one\", \"two\"]").form(form));
    };
    if entries.len() > most {
        return Err(Bad::new(
            format!("{} entries are too many", entries.len()),
            format!("allowed: at most {most}"),
        ));
    }
    entries.iter().map(read).collect()
}

/// A path that does not depend on where rota was started. The empty text is none.
pub(super) fn absolute(value: &Value) -> Result<Option<PathBuf>, Bad> {
    let path = PathBuf::from(text(value)?);
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    if path.is_absolute() {
        return Ok(Some(path));
    }
    let what = format!("{} is not an absolute path", shown(value));
    Err(Bad::new(what, "allowed: a path that starts with /").form(Form::Text("^(/|$)")))
}

/// A key that clients send. No error repeats it.
pub(super) fn client_key(value: &Value) -> Result<Secret, Bad> {
    let allowed = || {
        format!(
            "allowed: {SHORTEST_KEY} to {LONGEST_KEY} printable characters without spaces and commas, \
             such as `openssl rand -hex 24` prints"
        )
    };
    let bad = |what: String| Bad::new(what, allowed()).form(Form::Text("^[!-+.-~-]{16,256}$"));
    let Some(key) = value.as_str() else {
        return Err(bad("a client key is not a text".to_owned()));
    };
    if !(SHORTEST_KEY..=LONGEST_KEY).contains(&key.len()) {
        return Err(bad(format!("a client key has {} characters", key.len())));
    }
    if !key.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
        return Err(bad("a client key has a character that is not allowed".to_owned()));
    }
    Ok(Secret::new(key))
}

/// A `Host` that is accepted: `name` or `name:port`, in lower case.
pub(super) fn host(value: &Value) -> Result<String, Bad> {
    let host = text(value)?.to_ascii_lowercase();
    let authority: Option<http::uri::Authority> = host.parse().ok();
    let plain = authority.is_some_and(|authority| !authority.host().is_empty())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    plain.then_some(host).ok_or_else(|| {
        Bad::new(
            format!("{} is not a host", shown(value)),
            "allowed: \"name\" or \"name:port\", without a scheme or a path",
        )
        .form(Form::Text("^[A-Za-z0-9.:\\[\\]-]+$"))
    })
}

/// An `Origin` that is accepted: `scheme://host[:port]`, in lower case (RFC 6454 §6.2).
pub(super) fn web_origin(value: &Value) -> Result<String, Bad> {
    let origin = text(value)?.to_ascii_lowercase();
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match rest {
        Some(rest) if host(&Value::String(rest.to_owned())).is_ok() => Ok(origin),
        Some(_) | None => Err(Bad::new(
            format!("{} is not an origin", shown(value)),
            "allowed: \"http://host:port\" or \"https://host\", without a path",
        )
        .form(Form::Text("^[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9.:\\[\\]-]+$"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn read(text: &str) -> Option<Duration> {
        duration(&Value::String(text.to_owned()), Duration::ZERO, DAY).ok()
    }

    #[test]
    fn a_duration_needs_a_number_and_a_unit() {
        let cases = [
            ("250ms", Some(250)),
            ("290s", Some(290_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1h30m", Some(5_400_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("25h", None),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("-5s", None),
            ("5s5", None),
            ("1.5s", None),
            ("5sec", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(read(text), millis.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_binary_unit() {
        let cases = [
            (Value::from("64KiB"), Some(65_536)),
            (Value::from("32MiB"), Some(33_554_432)),
            (Value::from("1GiB"), Some(1_073_741_824)),
            (Value::from("512"), Some(512)),
            (Value::from("512B"), Some(512)),
            (Value::from(4096), Some(4096)),
            (Value::from(-1), None),
            (Value::from("2GiB"), None),
            (Value::from("64kb"), None),
            (Value::from("64 KiB"), None),
            (Value::from("KiB"), None),
            (Value::from(1.5), None),
            (Value::from("99999999999GiB"), None),
        ];
        for (value, bytes) in cases {
            assert_eq!(size(&value, 0, 1 << 30).ok(), bytes, "{value}");
        }
    }

    #[test]
    fn hosts_and_origins_are_plain_and_in_lower_case() {
        for (text, read) in [
            ("Rota.Example:7682", Some("rota.example:7682")),
            ("[::1]:80", Some("[::1]:80")),
            ("http://rota", None),
            ("a@b", None),
            ("a/b", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(host(&Value::from(text)).ok().as_deref(), read, "{text:?}");
        }
        for (text, read) in [
            ("https://Rota.Example", Some("https://rota.example")),
            ("http://127.0.0.1:7683", Some("http://127.0.0.1:7683")),
            ("https://rota.example/", None),
            ("null", None),
            ("file://x", None),
        ] {
            assert_eq!(web_origin(&Value::from(text)).ok().as_deref(), read, "{text:?}");
        }
    }

    /// OBS-3
    #[test]
    fn no_error_about_a_client_key_repeats_it() {
        for key in ["hunter2", "a key with spaces in it", "ключ-ключ-ключ-ключ"] {
            let bad = client_key(&Value::from(key)).unwrap_err();
            assert!(!format!("{bad:?}").contains(key), "{bad:?}");
        }
        let bad = client_key(&Value::from(123_456_789)).unwrap_err();
        assert!(!format!("{bad:?}").contains("123456789"), "{bad:?}");
    }

    proptest! {
        #[test]
        fn what_is_written_as_a_duration_is_read_back(millis in 0_u64..86_400_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(read(&duration_text(span)), Some(span));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in ".{0,40}") {
            let value = Value::String(text);
            let _ = duration(&value, Duration::ZERO, DAY);
            let _ = size(&value, 0, 1 << 30);
            let _ = host(&value);
            let _ = web_origin(&value);
            let _ = client_key(&value);
        }
    }
}
