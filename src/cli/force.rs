use super::accounts::text;
use super::api::{call, succeed};
use super::{CliError, Exit, Setup, render};
use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Args)]
pub(super) struct Force {
    /// Which account; without one, show what is forced
    alias: Option<String>,
    /// Let the strategy decide again
    #[arg(long, conflicts_with = "alias")]
    clear: bool,
}

impl Force {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let answer = match (&self.alias, self.clear) {
            (Some(alias), _) => call(setup, Method::POST, "/api/force", Some(json!({"alias": alias})))?,
            (None, true) => call(setup, Method::POST, "/api/force/clear", None)?,
            (None, false) => call(setup, Method::GET, "/api/force", None)?,
        };
        let body = succeed(answer)?;
        if setup.json {
            writeln!(out, "{body}")?;
        } else {
            let now = text(&body["now"]).parse().unwrap_or(Timestamp::UNIX_EPOCH);
            for line in words(&body, now) {
                writeln!(out, "{line}")?;
            }
        }
        Ok(Exit::Done)
    }
}

fn words(body: &Value, now: Timestamp) -> Vec<String> {
    let strategy = text(&body["strategy"]);
    let force = &body["force"];
    if force.is_object() {
        let until = render::moment(&text(&force["until"]), now);
        let pinned = format!("every request goes to {} until {until}", text(&force["alias"]));
        return vec![pinned, format!("  then {strategy} decides again; rota force --clear ends it now")];
    }
    let mut lines = vec![format!("no account is forced; {strategy} decides")];
    lines.extend(ended(&body["ended"], now));
    lines
}

/// What is told of a force that ended by itself, where there is one.
pub(super) fn ended(ended: &Value, now: Timestamp) -> Option<String> {
    let alias = ended["alias"].as_str()?;
    let (at, reason) = (render::moment(&text(&ended["at"]), now), text(&ended["reason"]));
    Some(format!("! the force on {alias} ended at {at}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_force_is_told_with_its_end_and_what_comes_after() {
        let now = "2026-12-01T10:00:00Z".parse().expect("a time");
        let told = |body: Value| words(&body, now).join("\n");
        let forced = json!({"alias": "work", "until": "2026-12-02T10:00:00Z"});
        let lines = told(json!({"force": forced, "strategy": "round-robin", "ended": null}));
        assert!(lines.starts_with("every request goes to work until "), "{lines}");
        assert!(lines.ends_with("then round-robin decides again; rota force --clear ends it now"), "{lines}");
        let none = told(json!({"force": null, "strategy": "random", "ended": null}));
        assert_eq!(none, "no account is forced; random decides");
        let ended = json!({"alias": "work", "at": "2026-12-01T09:54:00Z", "reason": "quota-exhausted"});
        let lines = told(json!({"force": null, "strategy": "random", "ended": ended}));
        assert!(lines.contains("the force on work ended at "), "{lines}");
        assert!(lines.ends_with("(6 min ago): quota-exhausted"), "{lines}");
    }
}
