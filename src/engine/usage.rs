//! What a usage endpoint's answer tells about an account's quota, read as the preset describes it. All of the answer
//! counts or none of it: a field of the wrong type spoils every window, so that half a truth is never shown (LIM-1).
use super::classify::wait;
use super::observe::{FARTHEST, name_of};
use crate::model::{LimitSample, LimitSource, LimitWindow, Time, UsageEndpoint, UsageMeasure, UsageWindow};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Objects of a list that are looked at, at most.
const MOST_OBJECTS: usize = 64;

/// Why an answer tells nothing. There is no room for a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageFault {
    /// It is no JSON, or was cut.
    #[error("its answer is no JSON")]
    NotJson,
    /// It is JSON, and no window of the preset is in it.
    #[error("its answer names none of the windows that the preset knows")]
    NoWindows,
    /// More windows than any account has.
    #[error("its answer names more windows than an account has")]
    TooManyWindows,
    /// A field is there, and is not what it must be.
    #[error("its answer has {field} and it is not {must}")]
    Misshapen {
        /// Where, as a JSON pointer.
        field: String,
        /// What it must be.
        must: &'static str,
    },
}

/// The observation that the complete `body` of a successful answer is.
pub fn usage(endpoint: &UsageEndpoint, body: &[u8], now: Time) -> Result<LimitSample, UsageFault> {
    let json: Value = serde_json::from_slice(body).map_err(|_| UsageFault::NotJson)?;
    let mut windows: Vec<LimitWindow> = Vec::new();
    for described in &endpoint.windows {
        for object in objects(described, &json)? {
            let Some(seen) = window(described, object, now)? else {
                continue;
            };
            let full = windows.len() == UsageEndpoint::WINDOWS;
            match windows.iter_mut().find(|known| known.name == seen.name) {
                Some(known) if known.remaining <= seen.remaining => {}
                Some(known) => *known = seen,
                None if full => return Err(UsageFault::TooManyWindows),
                None => windows.push(seen),
            }
        }
    }
    if windows.is_empty() {
        return Err(UsageFault::NoWindows);
    }
    let source = LimitSource::Usage { endpoint: Some(endpoint.path.clone()) };
    Ok(LimitSample { at: now, source, windows })
}

/// The objects that are this window: none where the account has no such window.
fn objects<'a>(described: &UsageWindow, json: &'a Value) -> Result<Vec<&'a Map<String, Value>>, UsageFault> {
    let chosen = |object: &&Map<String, Value>| {
        described.only.iter().all(|(field, text)| object.get(&**field).and_then(Value::as_str) == Some(text))
    };
    match json.pointer(&described.at) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(object)) => Ok(vec![object].into_iter().filter(chosen).collect()),
        Some(Value::Array(list)) if list.len() <= MOST_OBJECTS => {
            let objects: Option<Vec<_>> = list.iter().map(Value::as_object).collect();
            let objects = objects.ok_or_else(|| misshapen(&described.at, "a list of objects"))?;
            Ok(objects.into_iter().filter(chosen).collect())
        }
        Some(Value::Array(_)) => Err(misshapen(&described.at, "a list of at most 64 objects")),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Err(misshapen(&described.at, "an object or a list of objects"))
        }
    }
}

/// The window; none where the provider says by nulls, or by a window without length, use and reset, that there is none.
fn window(
    described: &UsageWindow,
    object: &Map<String, Value>,
    now: Time,
) -> Result<Option<LimitWindow>, UsageFault> {
    let fields = Fields { at: &described.at, object };
    let Some(remaining) = fields.measured(&described.measure)? else {
        return Ok(None);
    };
    let seconds = described.seconds.as_deref().map(|field| fields.number(field)).transpose()?.flatten();
    let minutes = seconds.map(|seconds| (seconds / 60.0) as u32).filter(|minutes| *minutes > 0);
    let resets = match &described.resets {
        Some((field, format)) => fields.text(field)?.map(|text| (field, *format, text)),
        None => None,
    };
    let resets = resets.map(|(field, format, text)| {
        let read = wait::read(&text, format, now).filter(|resets| now.until(*resets) <= FARTHEST);
        read.ok_or_else(|| fields.wrong(field, "a time that can be"))
    });
    let resets = resets.transpose()?;
    if described.seconds.is_some() && minutes.is_none() && resets.is_none() && remaining >= 100.0 {
        return Ok(None);
    }
    let name = minutes.map_or_else(|| Arc::clone(&described.name), name_of);
    Ok(Some(LimitWindow { name, remaining, resets }))
}

/// An object's fields; what is missing or null is none.
struct Fields<'a> {
    at: &'a str,
    object: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// Left, in percent.
    fn measured(&self, measure: &UsageMeasure) -> Result<Option<f64>, UsageFault> {
        let used = match measure {
            UsageMeasure::Remaining { remaining, limit } => {
                let (Some(left), Some(whole)) = (self.number(remaining)?, self.number(limit)?) else {
                    return Ok(None);
                };
                if whole <= 0.0 {
                    return Err(self.wrong(limit, "above 0"));
                }
                100.0 - 100.0 * left / whole
            }
            UsageMeasure::UsedPercent(field) => match self.number(field)? {
                Some(used) => used,
                None => return Ok(None),
            },
            UsageMeasure::UsedRatio(field) => match self.number(field)? {
                Some(used) => 100.0 * used,
                None => return Ok(None),
            },
        };
        Ok(Some((100.0 - used).clamp(0.0, 100.0)))
    }

    /// A number that is not negative: a JSON number, or a text that is one.
    fn number(&self, field: &str) -> Result<Option<f64>, UsageFault> {
        let number = match self.object.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Number(number)) => number.as_f64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(Value::Array(_) | Value::Bool(_) | Value::Object(_)) => None,
        };
        let fits = number.filter(|number: &f64| number.is_finite() && *number >= 0.0);
        fits.map(Some).ok_or_else(|| self.wrong(field, "a number of 0 or more"))
    }

    /// What a time is written as: a number or a text.
    fn text(&self, field: &str) -> Result<Option<String>, UsageFault> {
        match self.object.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Array(_) | Value::Bool(_) | Value::Object(_)) => {
                Err(self.wrong(field, "a time that can be"))
            }
        }
    }

    fn wrong(&self, field: &str, must: &'static str) -> UsageFault {
        misshapen(&format!("{}/{field}", self.at), must)
    }
}

fn misshapen(field: &str, must: &'static str) -> UsageFault {
    UsageFault::Misshapen { field: field.to_owned(), must }
}

#[cfg(test)]
mod tests;
