//! What is left of an account's limits, in words. What nobody knows is called unknown, and what was seen a while ago
//! says when.
use super::accounts::text;
use super::render;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeSet;

/// Columns of windows in a table, at most.
const MOST: usize = 3;
/// Windows that go before others, by name.
const FIRST: [&str; 2] = ["5h", "weekly"];

/// The windows that these accounts have, the usual ones first.
pub(super) fn names(accounts: &[Value]) -> Vec<String> {
    let windows = accounts.iter().flat_map(|account| windows(&account["limits"]));
    let there: BTreeSet<String> = windows.map(|window| text(&window["window"])).collect();
    let usual = FIRST.iter().map(|name| (*name).to_owned()).filter(|name| there.contains(name));
    let others = there.iter().filter(|name| !FIRST.contains(&name.as_str())).cloned();
    usual.chain(others).take(MOST).collect()
}

/// The head of a window's column.
pub(super) fn head(name: &str) -> String {
    format!("{} LEFT", long(name).to_ascii_uppercase())
}

/// `5-hour`, or the name as it is.
fn long(name: &str) -> String {
    match name.strip_suffix('h').map(str::parse::<u32>) {
        Some(Ok(hours)) => format!("{hours}-hour"),
        Some(Err(_)) | None => name.to_owned(),
    }
}

/// All windows as a sentence of their own: `5-hour 82 % left (resets 18:10) · weekly 64 % left (resets Sun 09:00)`; none
/// where nothing is known.
pub(super) fn told_at_length(limits: &Value, now: Timestamp) -> Option<String> {
    let words = windows(limits).iter().filter_map(|window| {
        let left = window["remainingPercent"].as_f64()?;
        let resets = window["resetsAt"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
        let resets = resets.map_or_else(String::new, |at| format!(" (resets {})", render::hour(at, now)));
        Some(format!("{} {left:.0} % left{resets}", long(&text(&window["window"]))))
    });
    let words: Vec<String> = words.collect();
    (!is_unknown(limits) && !words.is_empty()).then(|| words.join(" · "))
}

/// One window in its column: `18 %  in 1 h 12 min`, `5 %  stale, 23 min`, `unknown`; a dash where the account has no such
/// window.
pub(super) fn cell(limits: &Value, name: &str, now: Timestamp) -> String {
    if is_unknown(limits) {
        return "unknown".to_owned();
    }
    match windows(limits).iter().find(|window| window["window"] == name) {
        Some(window) => told(window, limits, now),
        None => "-".to_owned(),
    }
}

/// All windows in one line: `5h 82 %  in 4 h 00 min · weekly 64 %  in 3 d 2 h`.
pub(super) fn left(limits: &Value, now: Timestamp) -> String {
    if is_unknown(limits) {
        return "unknown".to_owned();
    }
    let windows = windows(limits).iter();
    let words = windows.map(|window| format!("{} {}", text(&window["window"]), told(window, limits, now)));
    words.collect::<Vec<_>>().join(" · ")
}

fn is_unknown(limits: &Value) -> bool {
    windows(limits).is_empty() || limits["limitsConfidence"] == "unknown"
}

fn told(window: &Value, limits: &Value, now: Timestamp) -> String {
    let Some(left) = window["remainingPercent"].as_f64() else {
        return "unknown".to_owned();
    };
    let at = |value: &Value| value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let when = match limits["limitsConfidence"].as_str() {
        Some("fresh") | None => at(&window["resetsAt"]).map(|resets| render::soon(resets, now)),
        Some(word) => {
            let age = at(&limits["lastLimitProbeAt"]).map(|seen| render::span(now, seen));
            Some(age.map_or_else(|| word.to_owned(), |age| format!("{word}, {age}")))
        }
    };
    match when {
        Some(when) => format!("{left:.0} %  {when}"),
        None => format!("{left:.0} %"),
    }
}

fn windows(limits: &Value) -> &[Value] {
    limits["windows"].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2027-01-15T08:00:00Z";

    /// LIM-3: old limits say how old, unknown ones are called so, and never 0 %.
    #[test]
    fn what_is_left_is_told_with_its_age_or_as_unknown() {
        let windows = json!([
            {"window": "5h", "remainingPercent": 18.4, "resetsAt": "2027-01-15T09:12:00Z"},
            {"window": "weekly", "remainingPercent": 64.0, "resetsAt": null},
        ]);
        let none = json!([]);
        for (confidence, windows, cell_told, line) in [
            ("fresh", &windows, "18 %  in 1 h 12 min", "5h 18 %  in 1 h 12 min · weekly 64 %"),
            ("stale", &windows, "18 %  stale, 23 min", "5h 18 %  stale, 23 min · weekly 64 %  stale, 23 min"),
            ("error", &windows, "18 %  error, 23 min", "5h 18 %  error, 23 min · weekly 64 %  error, 23 min"),
            ("unknown", &windows, "unknown", "unknown"),
            ("fresh", &none, "unknown", "unknown"),
        ] {
            let limits = json!({
                "windows": windows, "limitsConfidence": confidence, "lastLimitProbeAt": "2027-01-15T07:37:00Z",
            });
            let now: Timestamp = NOW.parse().expect("a time");
            assert_eq!(cell(&limits, "5h", now), cell_told, "{confidence}");
            assert_eq!(left(&limits, now), line, "{confidence}");
            let at_length = told_at_length(&limits, now);
            assert_eq!(at_length.is_some(), cell_told != "unknown", "{at_length:?}");
            assert!(at_length.is_none_or(|told| {
                told.starts_with("5-hour 18 % left (resets ") && told.ends_with(") · weekly 64 % left")
            }));
        }
    }

    #[test]
    fn the_usual_windows_come_first_and_a_window_that_an_account_lacks_is_a_dash() {
        let account = |names: &[&str]| {
            let windows: Vec<Value> =
                names.iter().map(|name| json!({"window": name, "remainingPercent": 1.0})).collect();
            json!({"limits": {"windows": windows, "limitsConfidence": "fresh"}})
        };
        let accounts = [account(&["requests", "weekly"]), account(&["5h", "tokens"])];
        let names = names(&accounts);
        assert_eq!(names, ["5h", "weekly", "requests"]);
        let heads: Vec<String> = names.iter().map(|name| head(name)).collect();
        assert_eq!(heads, ["5-HOUR LEFT", "WEEKLY LEFT", "REQUESTS LEFT"]);
        let now: Timestamp = NOW.parse().expect("a time");
        assert_eq!(cell(&accounts[0]["limits"], "5h", now), "-");
    }
}
