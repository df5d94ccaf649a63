//! The table of accounts: one row each, in the words that people use.
use crate::cli::accounts::text;
use crate::cli::{CliError, render, windows};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;

/// What the table is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// To be read.
    Once,
    /// To be watched: what is under way is shown, too.
    Watched,
}

/// The accounts of `GET /api/status`: a column for each window that some account has; without any, one that says that
/// nothing is known. Providers are named where there are several.
pub(super) fn table(body: &Value, shape: Shape, now: Timestamp, out: &mut dyn Write) -> Result<(), CliError> {
    let accounts = body["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = windows::names(accounts);
    let mut heads: Vec<String> = names.iter().map(|name| windows::head(name)).collect();
    if heads.is_empty() {
        heads.push("LEFT".to_owned());
    }
    let providers: BTreeSet<String> = accounts.iter().map(|account| text(&account["provider"])).collect();
    let provider = (providers.len() > 1).then_some("PROVIDER");
    let under_way = (shape == Shape::Watched).then_some("IN FLIGHT");
    let mut head = vec!["ACCOUNT"];
    head.extend(provider);
    head.push("STATE");
    head.extend(heads.iter().map(String::as_str));
    head.push("24 H");
    head.extend(under_way);
    head.push("TOKEN");
    let row = |account: &Value| {
        let limits = &account["limits"];
        let mut row = vec![text(&account["alias"])];
        row.extend(provider.map(|_| text(&account["provider"])));
        row.push(state(account, now));
        match names.is_empty() {
            true => row.push(windows::left(limits, now)),
            false => row.extend(names.iter().map(|name| windows::cell(limits, name, now))),
        }
        row.push(share(&body["day"], &account["alias"]));
        row.extend(under_way.map(|_| account["inFlight"].to_string()));
        row.push(token(&account["credential"], now));
        row
    };
    let rows: Vec<Vec<String>> = accounts.iter().map(row).collect();
    render::table(out, &head, &rows)?;
    Ok(())
}

/// Whether it serves, and if not, why and for how long.
fn state(account: &Value, now: Timestamp) -> String {
    let eligibility = &account["eligibility"];
    let state = text(&eligibility["state"]);
    match (state.as_str(), eligibility["reason"].as_str(), eligibility["until"].as_str()) {
        ("eligible", ..) => "● in rotation".to_owned(),
        ("disabled", ..) => off(account, now),
        ("needs-reauth", Some(reason), _) => format!("○ {state}: {reason}"),
        (_, Some(reason), Some(until)) => {
            let span = until.parse().map_or_else(|_| until.to_owned(), |until| render::span(until, now));
            format!("◐ {state}, {span} ({reason})")
        }
        _ => format!("◐ {state}"),
    }
}

fn off(account: &Value, now: Timestamp) -> String {
    let by = match account["disabledBy"].as_str() {
        Some("cli" | "dashboard") => ", by you",
        Some("admin") => ", through the API",
        Some("config") => ", by the configuration",
        Some(_) => ", by rota",
        None => "",
    };
    let at = account["disabledAt"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let at = at.map_or_else(String::new, |at| format!(" {}", render::day(at, now)));
    let reason = account["disableReason"].as_str().map_or_else(String::new, |reason| format!(": {reason}"));
    format!("○ off{by}{at}{reason}")
}

/// Its part of what was served in 24 hours; a dash where it served nothing, or where nobody counts.
fn share(day: &Value, alias: &Value) -> String {
    let shares = day["byAccount"].as_array().map(Vec::as_slice).unwrap_or_default();
    let share =
        shares.iter().find(|share| share["alias"] == *alias).and_then(|share| share["share"].as_f64());
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

/// How long its token is good for; one that renews itself is renewed before that.
fn token(credential: &Value, now: Timestamp) -> String {
    match (credential["state"].as_str(), credential["expiresAt"].as_str()) {
        (Some("usable"), None) => "key".to_owned(),
        (Some("usable"), Some(expires)) => match expires.parse::<Timestamp>() {
            Ok(at) if at > now => render::about(at, now),
            Ok(_) | Err(_) => "expired".to_owned(),
        },
        (Some(state), _) => state.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// UX: what a person reads off one row of each kind.
    #[test]
    fn each_account_is_one_row_of_words() {
        let now: Timestamp = "2027-01-15T12:00:00Z".parse().expect("a time");
        let windows = |hours: u64, confidence: &str| {
            json!({
                "windows": [{"window": "5h", "remainingPercent": hours, "resetsAt": "2027-01-15T13:12:00Z"},
                    {"window": "weekly", "remainingPercent": 64, "resetsAt": "2027-01-18T15:00:00Z"}],
                "limitsConfidence": confidence, "lastLimitProbeAt": "2027-01-15T11:37:00Z",
            })
        };
        let usable = |expires: &str| json!({"state": "usable", "expiresAt": expires});
        let body = json!({
            "day": {"byAccount": [{"alias": "work", "share": 0.414}, {"alias": "team", "share": 0.586}]},
            "accounts": [
                {"alias": "work", "provider": "p", "eligibility": {"state": "eligible"}, "inFlight": 2,
                    "limits": windows(18, "fresh"), "credential": usable("2027-01-21T15:00:00Z")},
                {"alias": "team", "provider": "p", "inFlight": 0, "limits": windows(5, "stale"),
                    "eligibility": {"state": "cooling", "reason": "rate-limit", "until": "2027-01-15T12:06:00Z"},
                    "credential": usable("2027-01-15T15:59:00Z")},
                {"alias": "old", "provider": "p", "eligibility": {"state": "disabled"}, "inFlight": 0,
                    "disabledBy": "cli", "disabledAt": "2026-11-18T12:00:00Z", "disableReason": "sold",
                    "limits": {"windows": [], "limitsConfidence": "unknown"},
                    "credential": usable("2027-01-15T11:59:00Z")},
            ],
        });
        let expected = "\
  ACCOUNT  STATE                            5-HOUR LEFT          WEEKLY LEFT         24 H  TOKEN
  work     ● in rotation                    18 %  in 1 h 12 min  64 %  in 3 d        41 %  6 d
  team     ◐ cooling, 6 min (rate-limit)    5 %  stale, 23 min   64 %  stale, 23 min 59 %  3 h
";
        let told = told(&body, Shape::Once, now);
        let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        let wanted: Vec<Vec<&str>> = expected.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[..3], wanted);
        let old = &told.lines().nth(3).expect("a fourth line");
        assert!(old.contains("○ off, by you 18 Nov: sold") && old.contains("unknown"), "{old}");
        assert!(old.contains(" –  ") && old.ends_with("expired"), "{old}");
        assert!(!told.contains("PROVIDER") && !told.contains("IN FLIGHT"), "{told}");
        let watched = self::told(&body, Shape::Watched, now);
        assert!(watched.contains("IN FLIGHT"), "{watched}");
    }

    /// Several providers are named; without a daemon nobody has counted.
    #[test]
    fn providers_are_named_where_there_are_several() {
        let now = Timestamp::UNIX_EPOCH;
        let account = |alias: &str, provider: &str| {
            json!({"alias": alias, "provider": provider, "eligibility": {"state": "eligible"}, "inFlight": 0,
                "limits": {"windows": []}, "credential": {"state": "usable", "expiresAt": null}})
        };
        let body = json!({"day": null, "accounts": [account("a", "p"), account("b", "q")]});
        let told = told(&body, Shape::Once, now);
        assert_eq!(
            told,
            "  ACCOUNT  PROVIDER  STATE          LEFT     24 H  TOKEN\n  \
               a        p         ● in rotation  unknown  –     key\n  \
               b        q         ● in rotation  unknown  –     key\n"
        );
    }

    fn told(body: &Value, shape: Shape, now: Timestamp) -> String {
        let mut out = Vec::new();
        table(body, shape, now, &mut out).expect("written");
        String::from_utf8(out).expect("UTF-8")
    }
}
