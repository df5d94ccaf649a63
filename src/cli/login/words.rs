//! A login in words: what to do, how long there is, how it ended.
use crate::cli::accounts::text;
use crate::cli::windows;
use jiff::Timestamp;
use serde_json::Value;
use std::io::{IsTerminal, Write};

/// Tells the person what to do, on standard error.
pub(super) struct Teller {
    terminal: bool,
    /// What stands on the line that is written over, in characters.
    width: usize,
}

/// How the page is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// It was not tried to open it.
    Shown,
    /// It was opened.
    Opened,
    /// There is no browser here.
    Unopened,
}

impl Teller {
    pub(super) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), width: 0 }
    }

    /// A line that stays.
    pub(super) fn say(&mut self, line: &str) {
        self.clear();
        eprintln!("{line}");
    }

    /// The line of what is waited for: written over on a terminal, else not written.
    pub(super) fn count(&mut self, line: &str) {
        if !self.terminal {
            return;
        }
        let width = line.chars().count();
        let old = self.width;
        eprint!("\r{line:<old$}");
        // Nothing is lost where it cannot be shown.
        let _ = std::io::stderr().flush();
        self.width = width;
    }

    /// True where lines can be written over.
    pub(super) fn counts(&self) -> bool {
        self.terminal
    }

    /// Takes away the line that is written over.
    pub(super) fn clear(&mut self) {
        if self.width > 0 {
            eprint!("\r{:<1$}\r", "", self.width);
            self.width = 0;
        }
    }
}

/// What the person has to do, by the job; `other` is the option for those without a browser here.
pub(super) fn instructions(job: &Value, page: Page, other: &str) -> Vec<String> {
    if let Some(code) = job["userCode"].as_str() {
        let mut lines = vec![
            format!("  1. On any device open   {}", text(&job["verificationUrl"])),
            format!("  2. Type the code        {code}"),
        ];
        if let Some(address) = job["verificationUrlComplete"].as_str() {
            lines.push(format!("     or open instead      {address}"));
        }
        return lines;
    }
    let address = text(&job["authorizeUrl"]);
    if job["flow"] == "paste" {
        return vec![
            format!("Open this address in a browser:\n\n  {address}\n"),
            "When you have signed in, paste here what the page shows, or the address it ends at, and press Enter.".to_owned(),
        ];
    }
    let first = match page {
        Page::Opened => "Opening",
        Page::Shown | Page::Unopened => "Open this address:",
    };
    let back = job["redirectUri"].as_str().map_or_else(String::new, |uri| format!("  (callback on {uri})"));
    let alias = text(&job["alias"]);
    vec![
        format!("{first} {address}{back}"),
        format!("  no browser here? open the address yourself, or run: rota login {alias} {other}"),
    ]
}

/// What is waited for, and how long there is.
pub(super) fn waiting(job: &Value, now: Timestamp) -> String {
    let what = match job["progress"].as_str() {
        Some("waiting-for-browser") => "waiting for you to finish in the browser",
        Some("waiting-for-code-entry") => "waiting for you to type the code",
        Some("waiting-for-paste") => "waiting for what you paste",
        Some("exchanging") => "asking for tokens",
        Some("saving") => "saving them",
        Some(_) | None => "waiting",
    };
    let until = job["expiresAt"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let left = until.map_or(0, |until| until.duration_since(now).as_secs().max(0));
    format!("{what}   {}:{:02} left, Ctrl-C to stop", left / 60, left % 60)
}

/// Who is signed in now.
pub(super) fn signed_in(account: &Value, now: Timestamp) -> Vec<String> {
    let credential = &account["credential"];
    let who = [&credential["email"], &credential["plan"]];
    let mut facts: Vec<String> = who.into_iter().filter_map(Value::as_str).map(str::to_owned).collect();
    facts.push(match credential["renewsItself"].as_bool() {
        Some(true) => "signed in, renews itself".to_owned(),
        Some(false) | None => "signed in; its token does not renew itself".to_owned(),
    });
    let mut lines = vec![format!("✔ {}   {}", text(&account["alias"]), facts.join(" · "))];
    lines.extend(windows::told_at_length(&account["limits"], now).map(|left| format!("  {left}")));
    if account["enabled"] == false {
        lines.push(format!("  it is off; put it into rotation: rota enable {}", text(&account["alias"])));
    }
    lines
}

/// What a login that came to nothing has left as it was.
pub(super) fn undone(job: &Value) -> String {
    let alias = text(&job["alias"]);
    match job["kind"].as_str() {
        Some("reauth") => format!("{alias} is as it was"),
        Some(_) | None => "no account was added".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_way_says_what_to_do() {
        let browser = json!({
            "alias": "work", "flow": "browser", "authorizeUrl": "https://a/", "redirectUri": "http://localhost:1455/cb",
        });
        let opened = instructions(&browser, Page::Opened, "--device");
        assert_eq!(opened[0], "Opening https://a/  (callback on http://localhost:1455/cb)");
        assert_eq!(
            opened[1],
            "  no browser here? open the address yourself, or run: rota login work --device"
        );
        let unopened = instructions(&browser, Page::Unopened, "--no-browser").join("\n");
        assert!(unopened.starts_with("Open this address: https://a/") && unopened.ends_with("--no-browser"));
        let device =
            json!({"alias": "work", "flow": "device", "userCode": "AB-CD", "verificationUrl": "https://d"});
        assert_eq!(
            instructions(&device, Page::Shown, "--device"),
            ["  1. On any device open   https://d", "  2. Type the code        AB-CD"]
        );
        let paste = json!({"alias": "work", "flow": "paste", "authorizeUrl": "https://a/"});
        let told = instructions(&paste, Page::Shown, "--device").join("\n");
        assert!(told.contains("\n  https://a/\n") && told.contains("paste here"), "{told}");
    }

    #[test]
    fn the_time_that_is_left_never_goes_below_nothing() {
        let job = json!({"progress": "waiting-for-browser", "expiresAt": "2027-01-01T00:05:00Z"});
        let at = |text: &str| waiting(&job, text.parse().expect("a time"));
        assert_eq!(
            at("2027-01-01T00:00:19Z"),
            "waiting for you to finish in the browser   4:41 left, Ctrl-C to stop"
        );
        assert!(at("2027-01-01T01:00:00Z").contains(" 0:00 left"));
    }

    #[test]
    fn the_end_says_who_and_what_next() {
        let account = json!({
            "alias": "work", "enabled": true,
            "credential": {"email": "ana@studio.example", "plan": "pro", "renewsItself": true},
            "limits": {"windows": [], "limitsConfidence": "unknown"},
        });
        let who = "✔ work   ana@studio.example · pro · signed in, renews itself";
        assert_eq!(signed_in(&account, Timestamp::UNIX_EPOCH), [who]);
        let mut known = account.clone();
        known["limits"] = json!({
            "windows": [{"window": "5h", "remainingPercent": 82.0, "resetsAt": null}],
            "limitsConfidence": "fresh",
        });
        assert_eq!(signed_in(&known, Timestamp::UNIX_EPOCH), [who, "  5-hour 82 % left"]);
        let off =
            json!({"alias": "work", "enabled": false, "credential": {"renewsItself": false}, "limits": {}});
        assert_eq!(
            signed_in(&off, Timestamp::UNIX_EPOCH),
            [
                "✔ work   signed in; its token does not renew itself",
                "  it is off; put it into rotation: rota enable work"
            ]
        );
        assert_eq!(undone(&json!({"alias": "work", "kind": "reauth"})), "work is as it was");
        assert_eq!(undone(&json!({"alias": "work", "kind": "login"})), "no account was added");
    }
}
