//! `rota bug-report`: what somebody else needs in order to see what is wrong here, and nothing that is a secret or says
//! who one is. What goes in is named here, one file a thing; nothing is copied from disk.
use super::api::{call, succeed};
use super::doctor::question;
use super::{CliError, Exit, Setup};
use crate::clock::Clock;
use crate::config::Config;
use clap::Args;
use http::Method;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What stands where something was taken out.
const REMOVED: &str = "[removed]";
/// Fields that a person wrote, or that say who a person is.
const PERSONAL: [&str; 9] =
    ["account", "accountId", "detail", "disableReason", "email", "notes", "organization", "orgId", "tags"];

#[derive(Args)]
pub(super) struct BugReport {
    /// The directory to make [default: rota-report-TIME, here]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl BugReport {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let seconds = Clock::System.now().as_secs();
        let dir = self.output.unwrap_or_else(|| PathBuf::from(format!("rota-report-{seconds}")));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| CliError::io(format!("{} cannot be made", dir.display()), &error))?;
        let cleaner = Cleaner { home: setup.sources.variable("HOME").map(str::to_owned) };
        let mut files = vec![("version.json", version()), ("config.json", configuration(setup))];
        for (name, path) in [
            ("status.json", "/api/status".to_owned()),
            ("doctor.json", question(setup)),
            ("decisions.json", "/api/decisions?limit=200".to_owned()),
        ] {
            files.push((name, answer(setup, &path)));
        }
        let mut written = Vec::new();
        for (name, value) in files {
            let clean = cleaner.clean(value);
            let text = serde_json::to_string_pretty(&clean).unwrap_or_default();
            write(&dir.join(name), &text)?;
            written.push(name);
        }
        if setup.json {
            writeln!(out, "{}", json!({"directory": dir, "files": written}))?;
            return Ok(Exit::Done);
        }
        writeln!(out, "✔ {} has {}", dir.display(), written.join(", "))?;
        writeln!(
            out,
            "  Credentials, addresses of people, notes and your home's path are not in it. Aliases, paths of requests and\n  \
             names of models are: read it before you attach it."
        )?;
        Ok(Exit::Done)
    }
}

/// The answer, or why there is none: a report of a rota that does not answer is worth the most.
fn answer(setup: &Setup, path: &str) -> Value {
    let asked = call(setup, Method::GET, path, None).and_then(succeed);
    asked.unwrap_or_else(|error| json!({"error": error.message}))
}

fn version() -> Value {
    let system = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    json!({
        "rota": env!("CARGO_PKG_VERSION"),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "kernel": system.split_whitespace().nth(2),
        "system": name.map(|name| name.trim_matches('"')),
    })
}

/// Every setting with where it comes from; those that hold secrets say only whether they are set.
fn configuration(setup: &Setup) -> Value {
    match Config::load(&setup.sources) {
        Ok(loaded) => json!({"settings": loaded.explain_all(), "problems": loaded.warnings}),
        // Its text quotes lines of the file, which may hold keys.
        Err(error) => {
            let places: Vec<Value> =
                error.problems().iter().map(|it| json!({"key": it.key, "what": it.what})).collect();
            json!({"refused": places})
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| CliError::io(format!("{} cannot be written", path.display()), &error))
}

/// Takes out what is nobody else's business.
struct Cleaner {
    home: Option<String>,
}

impl Cleaner {
    fn clean(&self, value: Value) -> Value {
        match value {
            Value::Array(items) => items.into_iter().map(|item| self.clean(item)).collect(),
            Value::Object(fields) => {
                let clean = |(name, value): (String, Value)| match PERSONAL.contains(&name.as_str()) {
                    true if !value.is_null() => (name, Value::from(REMOVED)),
                    _ => (name, self.clean(value)),
                };
                Value::Object(fields.into_iter().map(clean).collect::<Map<_, _>>())
            }
            Value::String(text) => Value::String(self.text(&text)),
            Value::Bool(_) | Value::Null | Value::Number(_) => value,
        }
    }

    /// Without the home's path, and without what looks like somebody's address.
    fn text(&self, text: &str) -> String {
        let text = match self.home.as_deref().filter(|home| home.len() > 1) {
            Some(home) => text.replace(home, "~"),
            None => text.to_owned(),
        };
        let is_part = |c: char| c.is_alphanumeric() || "._%+-@".contains(c);
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(is_part) {
            let (before, from) = rest.split_at(start);
            let (word, after) = from.split_at(from.find(|c| !is_part(c)).unwrap_or(from.len()));
            let address =
                word.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
            clean.push_str(before);
            clean.push_str(if address { REMOVED } else { word });
            rest = after;
        }
        clean.push_str(rest);
        clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_who_one_is_is_taken_out() {
        let cleaner = Cleaner { home: Some("/home/ana".to_owned()) };
        let value = json!({
            "alias": "work", "email": "ana@studio.example", "notes": "", "disableReason": null,
            "message": "the login of <ana@studio.example> in /home/ana/.config is old: a@b, x@y.example.",
            "deep": [{"tags": ["a"], "model": "m@1"}],
        });
        let expected = json!({
            "alias": "work", "email": REMOVED, "notes": REMOVED, "disableReason": null,
            "message": "the login of <[removed]> in ~/.config is old: a@b, [removed]",
            "deep": [{"tags": REMOVED, "model": "m@1"}],
        });
        assert_eq!(cleaner.clean(value), expected);
    }
}
