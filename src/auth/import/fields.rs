//! The fields of other programs' files: what is there is checked, what is unknown is passed over, and no message
//! repeats a value.
use super::{Found, ImportError};
use crate::auth::Claims;
use crate::model::{Credential, CredentialKind, Identity, Secret, Time};
use serde_json::{Map, Value};

/// The longest text that is no token: names, ids, addresses.
const LONGEST_TEXT: usize = 256;
/// Numbers below are seconds: as milliseconds they would lie before April 1973.
const LEAST_MILLIS: f64 = 1e11;

/// An object and where it stands.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

/// A file's JSON.
pub(super) fn document(bytes: &[u8]) -> Result<Value, ImportError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ImportError::NotJson { line: error.line(), column: error.column() })
}

impl<'a> Fields<'a> {
    /// The whole file, which is an object.
    pub(super) fn top(document: &'a Value) -> Result<Self, ImportError> {
        let wrong = || ImportError::field("the file", "must be a JSON object; is it the right file?");
        document.as_object().map(|map| Self { path: String::new(), map }).ok_or_else(wrong)
    }

    /// One entry of a list or a map, called `name` in messages.
    pub(super) fn entry(name: &str, value: &'a Value) -> Result<Self, ImportError> {
        let path = shown(name);
        match value.as_object() {
            Some(map) => Ok(Self { path, map }),
            None => Err(ImportError::field(path, "must be an object")),
        }
    }

    pub(super) fn wrong(&self, name: &str, problem: impl Into<String>) -> ImportError {
        let field = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        ImportError::field(field, problem)
    }

    fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<Fields<'a>>, ImportError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let map = value.as_object().ok_or_else(|| self.wrong(name, "must be an object"))?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Ok(Some(Fields { path, map }))
    }

    /// Everything in it, by name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.map.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn list(&self, name: &str) -> Result<&'a [Value], ImportError> {
        let list = self.value(name).map(|value| value.as_array().map(Vec::as_slice));
        list.unwrap_or(Some(&[])).ok_or_else(|| self.wrong(name, "must be a list"))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ImportError> {
        self.value(name)
            .map(|value| value.as_bool().ok_or_else(|| self.wrong(name, "must be true or false")))
            .transpose()
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ImportError> {
        self.value(name)
            .map(|value| {
                value.as_u64().ok_or_else(|| self.wrong(name, "must be a whole number, not negative"))
            })
            .transpose()
    }

    /// A text; an empty one is none.
    fn raw(&self, name: &str) -> Result<Option<&'a str>, ImportError> {
        let text =
            self.value(name).map(|value| value.as_str().ok_or_else(|| self.wrong(name, "must be a text")));
        Ok(text.transpose()?.filter(|text| !text.trim().is_empty()))
    }

    /// A text that is shown to people or goes into a header.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ImportError> {
        let Some(text) = self.raw(name)? else {
            return Ok(None);
        };
        if text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
            let problem = format!("must be at most {LONGEST_TEXT} bytes without control characters");
            return Err(self.wrong(name, problem));
        }
        Ok(Some(text.trim().to_owned()))
    }

    /// Base64, as other programs write binary data.
    pub(super) fn bytes(&self, name: &str) -> Result<Vec<u8>, ImportError> {
        use base64::Engine;
        let text = self.raw(name)?.ok_or_else(|| self.wrong(name, "is missing"))?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim());
        bytes.map_err(|_| self.wrong(name, "must be base64"))
    }

    fn token(&self, name: &str) -> Result<Option<(Secret, &'a str)>, ImportError> {
        let Some(text) = self.raw(name)? else {
            return Ok(None);
        };
        let token = Secret::token(text).map_err(|bad| self.wrong(name, bad.to_string()))?;
        Ok(Some((token, text.trim())))
    }

    /// A time as programs write it: milliseconds or seconds since 1970, as number or text, or a date of RFC 3339.
    /// Zero is none.
    pub(super) fn time(&self, name: &str) -> Result<Option<Time>, ImportError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let time = time(value).ok_or_else(|| {
            self.wrong(name, "must be a date of RFC 3339, or seconds or milliseconds since 1970")
        })?;
        Ok(Some(time).filter(|time| *time != Time::default()))
    }
}

fn time(value: &Value) -> Option<Time> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) => number,
            Err(_) => {
                let stamp: jiff::Timestamp = text.trim().parse().ok()?;
                return u64::try_from(stamp.as_millisecond()).ok().map(Time::from_millis);
            }
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    if !number.is_finite() || number < 0.0 {
        return None;
    }
    let millis = if number < LEAST_MILLIS { number * 1000.0 } else { number };
    Some(Time::from_millis(millis as u64))
}

/// A name from a file as messages show it.
pub(super) fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// What a program calls the parts of a login.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) access: &'static str,
    pub(super) refresh: &'static str,
    pub(super) id: &'static str,
    pub(super) expires: &'static str,
    pub(super) account: &'static str,
    pub(super) user: &'static str,
    pub(super) plan: &'static str,
    pub(super) email: &'static str,
    pub(super) issued: &'static str,
}

/// As RFC 6749 has them. A name that a program does not use is not found.
pub(super) const NAMES: Names = Names {
    access: "access_token",
    refresh: "refresh_token",
    id: "id_token",
    expires: "expires_at",
    account: "account_id",
    user: "user_id",
    plan: "plan_type",
    email: "email",
    issued: "last_refresh",
};

/// The login that `fields` hold under `names`: what they do not tell is read from the tokens, where these are JWTs.
/// Without a refresh token it is a bearer.
pub(super) fn login(fields: &Fields<'_>, names: &Names, now: Time) -> Result<Credential, ImportError> {
    let (access, access_text) =
        fields.token(names.access)?.ok_or_else(|| fields.wrong(names.access, "is missing"))?;
    let refresh = fields.token(names.refresh)?.map(|(token, _)| token);
    let id = fields.token(names.id)?;
    let by_access = Claims::of(access_text).unwrap_or_default();
    let by_id = id.as_ref().and_then(|(_, text)| Claims::of(text)).unwrap_or_default().identity();
    let expires = fields.time(names.expires)?.or(by_access.expires);
    let by_access = by_access.identity();
    Ok(Credential {
        version: 1,
        kind: if refresh.is_some() { CredentialKind::Oauth } else { CredentialKind::Bearer },
        access,
        refresh,
        self_granted: false,
        id_token: id.map(|(token, _)| token),
        identity: Identity {
            account: fields.text(names.account)?.or(by_id.account).or(by_access.account),
            user: fields.text(names.user)?.or(by_id.user).or(by_access.user),
            plan: fields.text(names.plan)?.or(by_id.plan).or(by_access.plan),
            email: fields.text(names.email)?.or(by_id.email).or(by_access.email),
        },
        issued: fields.time(names.issued)?.unwrap_or(now).min(now),
        expires,
    })
}

/// The key that `fields` hold under `name`.
pub(super) fn key(fields: &Fields<'_>, name: &str, now: Time) -> Result<Credential, ImportError> {
    let (access, _) = fields.token(name)?.ok_or_else(|| fields.wrong(name, "is missing"))?;
    Ok(Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access,
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: now,
        expires: None,
    })
}

/// A login of `provider` without a name that is in use.
pub(super) fn found(provider: &str, credential: Credential) -> Found {
    Found { provider: provider.to_owned(), name: None, credential, off: None }
}

/// Why an account is off, from the program's own words if it has any.
pub(super) fn off(client: &str, words: Option<String>) -> String {
    match words {
        Some(words) => format!("was off in {client}: {words}"),
        None => format!("was off in {client}"),
    }
}
