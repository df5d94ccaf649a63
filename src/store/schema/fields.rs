//! A JSON object taken apart field by field. What nobody asked for is left over and survives the next rewrite; what is
//! wrong is named with its field, never with a value that could be a secret.
use crate::model::{
    AccountId, Actor, Alias, CoolingSource, CredentialKind, FaultClass, LimitStatus, ModelName, ProviderId,
    Secret, Strategy, Time,
};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// A field that is missing or wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(in crate::store) struct BadField {
    pub(in crate::store) field: String,
    pub(in crate::store) problem: String,
}

impl BadField {
    pub(in crate::store) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same, seen from further out.
    pub(in crate::store) fn within(self, outer: &str) -> Self {
        Self::new(format!("{outer}.{}", self.field), self.problem)
    }
}

/// An object of which fields are taken.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Fields(Map<String, Value>);

impl Fields {
    pub(in crate::store) fn of(value: Value) -> Result<Self, BadField> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(BadField::new("record", "must be an object"))
            }
        }
    }

    /// The object of a JSON text in which no key stands twice.
    pub(in crate::store) fn parse(text: &[u8]) -> Result<Self, BadField> {
        Self::of(parse(text)?)
    }

    /// The field, if it is there and not null.
    pub(in crate::store) fn get<T: Field>(&mut self, name: &str) -> Result<Option<T>, BadField> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                T::of(value).map(Some).ok_or_else(|| BadField::new(name, format!("must be {}", T::MUST)))
            }
        }
    }

    /// The field, which must be there.
    pub(in crate::store) fn need<T: Field>(&mut self, name: &str) -> Result<T, BadField> {
        self.get(name)?.ok_or_else(|| BadField::new(name, format!("is missing; it must be {}", T::MUST)))
    }

    /// Takes all that `take` wants, or nothing.
    pub(in crate::store) fn all<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, BadField>,
    ) -> Result<T, BadField> {
        let mut fields = self.clone();
        let taken = take(&mut fields)?;
        *self = fields;
        Ok(taken)
    }

    /// What was not taken.
    pub(in crate::store) fn rest(self) -> Map<String, Value> {
        self.0
    }
}

/// The value of a JSON text in which no key stands twice.
pub(in crate::store) fn parse(text: &[u8]) -> Result<Value, BadField> {
    let strict: Strict = serde_json::from_slice(text).map_err(|error| {
        let problem = match error.is_data() {
            true => "has a key twice",
            false => "is no JSON text",
        };
        let at = format!("line {}, column {}", error.line(), error.column());
        BadField::new("text", format!("{problem} ({at})"))
    })?;
    Ok(strict.0)
}

/// A value that can stand in a field.
pub(in crate::store) trait Field: Sized {
    /// What it must be, after "must be".
    const MUST: &'static str;
    /// The value as this; none if it is something else.
    fn of(value: Value) -> Option<Self>;
}

macro_rules! field {
    ($type:ty, $must:literal, $value:ident => $of:expr) => {
        impl Field for $type {
            const MUST: &'static str = $must;
            fn of($value: Value) -> Option<Self> {
                $of
            }
        }
    };
}
field!(bool, "true or false", value => value.as_bool());
field!(f64, "a number", value => value.as_f64());
field!(u32, "a whole number of 0 or more", value => value.as_u64().and_then(|n| n.try_into().ok()));
field!(u64, "a whole number of 0 or more", value => value.as_u64());
field!(String, "a text", value => serde_json::from_value(value).ok());
field!(Secret, "a text that is not empty", value => String::of(value).filter(|text| !text.is_empty()).map(Secret::new));
field!(Vec<String>, "a list of texts", value => serde_json::from_value(value).ok());
field!(Value, "a value", value => Some(value));
field!(Vec<Value>, "a list", value => serde_json::from_value(value).ok());
field!(Map<String, Value>, "an object", value => serde_json::from_value(value).ok());
field!(AccountId, "a whole number of 1 or more", value => u32::of(value).filter(|id| *id > 0).map(AccountId));
field!(Alias, "1 to 64 of a-z 0-9 . _ - that start with a letter or digit", value => serde_json::from_value(value).ok());
field!(ModelName, "1 to 128 printable ASCII characters", value => serde_json::from_value(value).ok());
field!(ProviderId, "1 to 32 of a-z 0-9 - that start with a letter", value => serde_json::from_value(value).ok());
field!(Actor, "admin, config or engine", value => serde_json::from_value(value).ok());
field!(CoolingSource, "body, default, fixed, limit-header or retry-after", value => serde_json::from_value(value).ok());
field!(CredentialKind, "api-key, bearer or oauth", value => serde_json::from_value(value).ok());
field!(FaultClass, "a fault class", value => serde_json::from_value(value).ok());
field!(LimitStatus, "error, idle or success", value => serde_json::from_value(value).ok());
field!(Strategy, "a rotation strategy", value => serde_json::from_value(value).ok());

impl Field for Time {
    const MUST: &'static str = "a time in milliseconds since 1970";

    /// Whole milliseconds; other programs also write fractions, which are cut off.
    fn of(value: Value) -> Option<Self> {
        let fraction = |millis: f64| (0.0..9.0e15).contains(&millis).then_some(millis as u64);
        let millis = value.as_u64().or_else(|| value.as_f64().and_then(fraction));
        millis.map(Self::from_millis)
    }
}

/// An object that is being put together.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Object(Map<String, Value>);

impl Object {
    /// Starts from the fields that this program does not know.
    pub(in crate::store) fn over(extra: &Map<String, Value>) -> Self {
        Self(extra.clone())
    }

    pub(in crate::store) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the field where there is a value.
    pub(in crate::store) fn put<T: Into<Value>>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    pub(in crate::store) fn time(self, name: &str, time: Option<Time>) -> Self {
        self.put(name, time.map(Time::as_millis))
    }

    pub(in crate::store) fn map(self) -> Map<String, Value> {
        self.0
    }

    /// As a text for people, one field a line.
    pub(in crate::store) fn text(self) -> Vec<u8> {
        format!("{:#}", Value::Object(self.0)).into_bytes()
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object.0)
    }
}

/// A value in which no object has a key twice: a parser that takes the last of two would hide the first.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut keys = BTreeSet::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if !keys.insert(key.clone()) {
                return Err(serde::de::Error::custom("a key stands twice"));
            }
            map.insert(key, value);
        }
        Ok(map.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_json_object_is_refused_by_field_and_without_its_value() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let bad = [
            ("", "text: is no JSON text (line 1, column 0)"),
            ("{\"a\":NaN}", "text: is no JSON text (line 1, column 6)"),
            ("{\"a\":{\"b\":1,\"b\":2}}", "text: has a key twice (line 1, column 18)"),
            ("[]", "record: must be an object"),
            (&deep, "text: is no JSON text (line 1, column 128)"),
        ];
        for (text, problem) in bad {
            let refused = Fields::parse(text.as_bytes()).map(Fields::rest).unwrap_err();
            assert_eq!(refused.to_string(), problem);
        }
    }

    #[test]
    fn a_field_is_taken_once_and_what_is_wrong_with_it_is_said() {
        let mut fields = Fields::parse(br#"{"n":7,"t":"canary","none":null,"later":[1]}"#).unwrap();
        assert_eq!(fields.get::<u64>("n"), Ok(Some(7)));
        assert_eq!(fields.get::<u64>("n"), Ok(None));
        assert_eq!(fields.get::<u64>("none"), Ok(None));
        let wrong = fields.need::<u64>("t").unwrap_err().within("outer").to_string();
        assert_eq!(wrong, "outer.t: must be a whole number of 0 or more");
        let gone = fields.need::<bool>("gone").unwrap_err().to_string();
        assert_eq!(gone, "gone: is missing; it must be true or false");
        assert_eq!(Value::from(fields.rest()).to_string(), r#"{"later":[1]}"#);
    }
}
