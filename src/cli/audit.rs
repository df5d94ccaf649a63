use super::accounts::text;
use super::api::{call, succeed};
use super::{CliError, Exit, Setup, render};
use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use std::io::Write;

#[derive(Args)]
pub(super) struct Audit {
    /// Show the latest N
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    latest: usize,
}

impl Audit {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let body = succeed(call(setup, Method::GET, &format!("/api/audit?limit={}", self.latest), None)?)?;
        if setup.json {
            writeln!(out, "{body}")?;
            return Ok(Exit::Done);
        }
        let now = text(&body["now"]).parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let entries = body["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
        if entries.is_empty() {
            writeln!(out, "Nothing has been changed yet.")?;
            return Ok(Exit::Done);
        }
        let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, now)).collect();
        render::table(out, &["WHEN", "WHO", "WHAT", "OF", "CHANGE", "WHY"], &rows)?;
        Ok(Exit::Done)
    }
}

fn row(entry: &Value, now: Timestamp) -> Vec<String> {
    let change = match (entry["before"].as_str(), entry["after"].as_str()) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (None, Some(after)) => after.to_owned(),
        (Some(before), None) => format!("{before} → nothing"),
        (None, None) => String::new(),
    };
    let why = entry["reason"].as_str().unwrap_or_default().to_owned();
    let when = render::moment(&text(&entry["at"]), now);
    let mut row = vec![when];
    row.extend(["actor", "action", "target"].map(|name| text(&entry[name])));
    row.extend([change, why]);
    // A reason may have line ends; a table has none.
    row.iter().map(|cell| cell.replace(char::is_control, " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_change_is_one_line_with_what_was_and_what_is() {
        let now = "2026-12-01T10:00:00Z".parse().expect("a time");
        let entry = json!({"at": "2026-12-01T09:54:00Z", "actor": "cli", "action": "account.weight",
            "target": "work", "before": "1", "after": "0.5", "reason": "two\nlines"});
        let row = row(&entry, now);
        assert!(row[0].ends_with("(6 min ago)"), "{row:?}");
        assert_eq!(row[1..], ["cli", "account.weight", "work", "1 → 0.5", "two lines"]);
    }
}
