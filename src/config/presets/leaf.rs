//! The values a preset's keys can have, read from TOML text. Each refuses what it is not with a sentence, and TOML adds
//! the line.
use crate::model::{CooldownSource, HeaderField, HeaderTemplate, Origin, ResetFormat, StatusSet};
use http::{HeaderName, HeaderValue};
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A value that is written as one string.
pub(super) trait Leaf: Sized {
    /// What the string must be, for the error about a value that is no string.
    const EXPECTED: &'static str;
    /// What every such string looks like, as a regular expression for editors. [`read`](Self::read) may ask for more.
    const PATTERN: &'static str;
    /// The value, or a sentence about what is wrong with `text` and what is allowed.
    fn read(text: &str) -> Result<Self, String>;
}

/// A [`Leaf`] as serde sees it.
#[derive(Clone, Debug)]
pub(super) struct Text<T>(pub(super) T);

impl<'de, T: Leaf> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<T: Leaf> Visitor<'_> for Reader<T> {
            type Value = Text<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                T::read(text).map(Text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

impl<T: Leaf> JsonSchema for Text<T> {
    fn schema_name() -> Cow<'static, str> {
        T::EXPECTED.into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": T::PATTERN, "description": T::EXPECTED})
    }
}

/// The meant values of a list of leaves.
pub(super) fn plain<T>(list: Vec<Text<T>>) -> Vec<T> {
    list.into_iter().map(|Text(value)| value).collect()
}

/// A table of header names and values of one kind, in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Headers<T>(pub(super) Vec<(HeaderName, T)>);

impl<T> Default for Headers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Leaf> Deserialize<'de> for Headers<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Leaf> Visitor<'de> for Reader<T> {
            type Value = Headers<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of headers, such as { authorization = \"Bearer {access}\" }")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Headers<T>, A::Error> {
                let mut list = Vec::new();
                while let Some((Text(name), Text(value))) = table.next_entry()? {
                    list.push((name, value));
                }
                Ok(Headers(list))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

impl<T: Leaf> JsonSchema for Headers<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("table of headers, each {}", T::EXPECTED).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        table_schema::<HeaderName>(&Text::<T>::json_schema(generator))
    }
}

/// The schema of a table whose keys are `K`s.
pub(super) fn table_schema<K: Leaf>(values: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": {"pattern": K::PATTERN},
        "additionalProperties": values,
    })
}

impl Leaf for HeaderName {
    const EXPECTED: &'static str = "a header name";
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text:?} is not a header name such as \"retry-after\""))
    }
}

impl Leaf for HeaderValue {
    const EXPECTED: &'static str = "a header value";
    const PATTERN: &'static str = r"^[\t -~]*$";
    fn read(text: &str) -> Result<Self, String> {
        let value = HeaderValue::from_str(text);
        value.map_err(|_| "a header value is visible ASCII on one line".to_owned())
    }
}

impl Leaf for Origin {
    const EXPECTED: &'static str = "an origin such as \"https://api.example.com\"";
    const PATTERN: &'static str = "^https?://";
    fn read(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

/// A path on an origin: empty, or from `/` on, without a `/` at its end.
#[derive(Clone, Debug)]
pub(super) struct Path(pub(super) String);

impl Leaf for Path {
    const EXPECTED: &'static str = "a path such as \"/v1\"";
    const PATTERN: &'static str = "^(/[A-Za-z0-9_.~:@/-]*[A-Za-z0-9_.~:@-])?$";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() || (text.starts_with('/') && !text.ends_with('/') && is_path(text)) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{text:?} is not a path such as \"/v1\": from / on, without / at its end, plain ASCII"))
    }
}

/// A path that may be sent twice: whole, a prefix that ends with `/`, or with one `*` in it.
#[derive(Clone, Debug)]
pub(super) struct SafePath(pub(super) String);

impl Leaf for SafePath {
    const EXPECTED: &'static str = "a path such as \"/chat/completions\"";
    const PATTERN: &'static str = r"^/[A-Za-z0-9_.~:@/-]*\*?[A-Za-z0-9_.~:@/-]*$";
    fn read(text: &str) -> Result<Self, String> {
        let stars = text.matches('*').count();
        let open = stars == 0 || (stars == 1 && !text.ends_with('/'));
        if text.len() > 1 && text.starts_with('/') && open && is_path(&text.replace('*', "x")) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is not a path such as \"/chat/completions\", a prefix such as \"/embed/\", or \"/models/*:generate\""
        ))
    }
}

fn is_path(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-_.~:@".contains(&b);
    text.bytes().all(plain) && !text.contains("//") && !text.contains("..")
}

impl Leaf for HeaderTemplate {
    const EXPECTED: &'static str = "a header value such as \"Bearer {access}\"";
    const PATTERN: &'static str = r"^[^{}]*(\{(access|account)\}[^{}]*)?$";
    fn read(text: &str) -> Result<Self, String> {
        HeaderValue::read(text)?;
        let allowed = "{access} or {account}, at most one of them";
        let Some((before, rest)) = text.split_once('{') else {
            return match text.contains('}') {
                true => Err(format!("{text:?} has a }} without a {{; use {allowed}")),
                false => Ok(Self { before: text.to_owned(), field: None, after: String::new() }),
            };
        };
        let (field, after) = match rest.split_once('}') {
            Some(("access", after)) => (HeaderField::Access, after),
            Some(("account", after)) => (HeaderField::Account, after),
            Some(_) | None => return Err(format!("{text:?} names no such field; use {allowed}")),
        };
        if before.contains('}') || after.contains(['{', '}']) {
            return Err(format!("{text:?} names too much; use {allowed}"));
        }
        Ok(Self { before: before.to_owned(), field: Some(field), after: after.to_owned() })
    }
}

/// A wait: `30s`, `15m`, `6h`, `8d`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait(pub(super) Duration);

impl Leaf for Wait {
    const EXPECTED: &'static str = "a wait such as \"30s\", \"15m\", \"6h\" or \"8d\"";
    const PATTERN: &'static str = "^[0-9]+[smhd]$";
    fn read(text: &str) -> Result<Self, String> {
        const LONGEST: u64 = 366 * 86_400;
        let wrong = || format!("{text:?} is not {}, at most 366d", Self::EXPECTED);
        let digits = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let wait = number.parse::<u64>().ok().and_then(|n| n.checked_mul(seconds));
        wait.filter(|wait| *wait <= LONGEST).map(|wait| Self(Duration::from_secs(wait))).ok_or_else(wrong)
    }
}

impl Leaf for CooldownSource {
    const EXPECTED: &'static str = "a cooldown source such as \"retry-after\"";
    const PATTERN: &'static str = "^(limit-windows|message-wait|month-end|retry-after|day-end:.+|(body:/|header:).*:\
                                   (duration|epoch-millis|epoch-seconds|millis|rfc3339|seconds))$";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "limit-windows" => return Ok(Self::LimitWindows),
            "message-wait" => return Ok(Self::MessageWait),
            "month-end" => return Ok(Self::MonthEnd),
            "retry-after" => return Ok(Self::RetryAfter),
            _ => {}
        }
        let wrong = || {
            format!(
                "{text:?} is not a cooldown source: retry-after, limit-windows, message-wait, month-end, day-end:ZONE, \
                 body:/POINTER:FORMAT or header:NAME:FORMAT, where FORMAT is {FORMATS}"
            )
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        if kind == "day-end" {
            let zone = TimeZone::posix(rest);
            return zone.map(Self::DayEnd).map_err(|_| {
                format!("{rest:?} is not a POSIX time zone such as \"PST8PDT,M3.2.0,M11.1.0\"")
            });
        }
        let (place, format) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let format = format_of(format).ok_or_else(wrong)?;
        match kind {
            "body" if place.starts_with('/') => Ok(Self::Body { pointer: place.into(), format }),
            "header" => HeaderName::read(place).map(|name| Self::Header { name, format }),
            _ => Err(wrong()),
        }
    }
}

const FORMATS: &str = "duration, epoch-millis, epoch-seconds, millis, rfc3339 or seconds";

fn format_of(text: &str) -> Option<ResetFormat> {
    Some(match text {
        "duration" => ResetFormat::Duration,
        "epoch-millis" => ResetFormat::EpochMillis,
        "epoch-seconds" => ResetFormat::EpochSeconds,
        "millis" => ResetFormat::Millis,
        "rfc3339" => ResetFormat::Rfc3339,
        "seconds" => ResetFormat::Seconds,
        _ => return None,
    })
}

/// Statuses of errors.
const LEAST_STATUS: u16 = 400;
const MOST_STATUS: u16 = 599;

/// Statuses of errors: `429`, `"500-504"`, or a list of both.
#[derive(Clone, Debug)]
pub(super) struct Statuses(pub(super) StatusSet);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(u16, u16)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 429, a range such as \"500-504\", or a list of them")
            }
            fn visit_i64<E: Error>(self, status: i64) -> Result<Self::Value, E> {
                range(&status.to_string()).map_err(E::custom)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                range(text).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut ranges = Vec::new();
                while let Some(Statuses(StatusSet(more))) = list.next_element()? {
                    ranges.extend(more);
                }
                match ranges.is_empty() {
                    true => Err(A::Error::custom("a rule needs at least one status")),
                    false => Ok(ranges),
                }
            }
        }
        let ranges = deserializer.deserialize_any(Reader)?;
        Ok(Self(StatusSet(ranges)))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Self>();
        json_schema!({
            "description": "A status such as 429, a range such as \"500-504\", or a list of them.",
            "anyOf": [
                {"type": "integer", "minimum": LEAST_STATUS, "maximum": MOST_STATUS},
                {"type": "string", "pattern": r"^\s*[45][0-9]{2}\s*(-\s*[45][0-9]{2}\s*)?$"},
                {"type": "array", "minItems": 1, "items": list},
            ],
        })
    }
}

fn range(text: &str) -> Result<Vec<(u16, u16)>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse::<u16>().ok();
    match (status(first), status(last)) {
        (Some(first), Some(last)) if LEAST_STATUS <= first && first <= last && last <= MOST_STATUS => {
            Ok(vec![(first, last)])
        }
        _ => {
            Err(format!("{text:?} is not a status or a range within 400-599; other replies are the client's"))
        }
    }
}
