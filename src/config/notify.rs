//! Whom rota tells when a person must act: a program, web addresses, or nobody.
use super::form::Form;
use super::sources::Sources;
use super::value::{Bad, list, list_up_to, shown, text};
use crate::model::Origin;
use http::uri::PathAndQuery;
use std::collections::BTreeMap;
use std::fmt;
use toml::Value;

/// More addresses than this are a mistake.
const MOST_WEBHOOKS: usize = 4;
/// Variables of rota's own environment that the program gets.
const PASSED: [&str; 3] = ["HOME", "LANG", "PATH"];

/// Who is told, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// A program and its arguments; empty is none. No shell reads it.
    pub command: Vec<String>,
    /// Addresses that are posted to.
    pub webhooks: Vec<Webhook>,
    /// The program's environment, besides what tells of the event.
    pub env: BTreeMap<&'static str, String>,
}

impl Notify {
    /// Whom the settings name.
    pub(super) fn of(sources: &Sources, command: Vec<String>, webhooks: Vec<Webhook>) -> Self {
        let passed = PASSED.iter().filter_map(|name| Some((*name, sources.variable(name)?.to_owned())));
        Self { command, webhooks, env: passed.collect() }
    }
}

/// Where events are posted: https, or http on this machine. Such addresses often hold a key, so `Debug` and
/// [`origin`](Self::origin) tell the host only.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    origin: Origin,
    path: PathAndQuery,
}

impl Webhook {
    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The rest of the address. It may hold a key.
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({})", self.origin)
    }
}

/// A list of [`Webhook`]s. No error repeats one.
pub(super) fn webhooks(value: &Value) -> Result<Vec<Webhook>, Bad> {
    list_up_to(MOST_WEBHOOKS, value, webhook)
}

fn webhook(value: &Value) -> Result<Webhook, Bad> {
    let bad = || {
        Bad::new(
            "this is not an address that may be called",
            "allowed: https://HOST/PATH, or http:// to a loopback host, without a user name in it",
        )
        .form(Form::Text("^https?://"))
    };
    let text = value.as_str().ok_or_else(bad)?;
    let host = text.find("://").map(|at| at + 3).ok_or_else(bad)?;
    let end = text[host..].find(['/', '?', '#']).map_or(text.len(), |at| host + at);
    let (origin, path) = text.split_at(end);
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') {
        return Err(bad());
    }
    Ok(Webhook { origin: Origin::parse(origin).map_err(|_| bad())?, path: path.parse().map_err(|_| bad())? })
}

/// A program and its arguments.
pub(super) fn command(value: &Value) -> Result<Vec<String>, Bad> {
    let argv = list(value, |entry| {
        let entry = text(entry)?;
        if entry.contains('\0') {
            return Err(Bad::new("an argument holds a zero byte", "leave it out"));
        }
        Ok(entry.to_owned())
    })?;
    match argv.first() {
        Some(program) if !program.starts_with('/') => Err(Bad::new(
            format!("{} does not begin with the path of a program", shown(value)),
            "allowed: a list whose first entry is a path that starts with /, such as [\"/usr/bin/notify-send\", \"rota\"]",
        )),
        Some(_) | None => Ok(argv),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I13
    #[test]
    fn a_webhook_is_https_or_this_machine() {
        let read = |text: &str| webhook(&Value::from(text));
        for (text, origin, path) in [
            ("https://hooks.example.com/a/b?c=d", "https://hooks.example.com", "/a/b?c=d"),
            ("https://hooks.example.com", "https://hooks.example.com", "/"),
            ("http://127.0.0.1:9/x", "http://127.0.0.1:9", "/x"),
        ] {
            let webhook = read(text).expect(text);
            assert_eq!((webhook.origin().to_string(), webhook.path().as_str()), (origin.to_owned(), path));
        }
        for text in ["", "hooks.example.com/x", "http://hooks.example.com/x", "ftp://a/b", "https:///x"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    /// OBS-3
    #[test]
    fn neither_an_error_nor_a_debug_text_repeats_the_key_in_an_address() {
        let secret = "https://hooks.example.com/canary-7f3a";
        let shown = format!("{:?}", webhook(&Value::from(secret)).expect("an address"));
        assert_eq!(shown, "Webhook(https://hooks.example.com)");
        for text in ["canary-7f3a", "http://x.example/canary-7f3a", "https://canary-7f3a@x.example/"] {
            let bad = webhook(&Value::from(text)).expect_err("refused");
            assert!(!format!("{bad:?}").contains("canary"), "{bad:?}");
        }
    }
}
