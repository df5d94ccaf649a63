//! What the Antigravity plugin of OpenCode has noted of its accounts' quota, read from its file for a panel. It is read
//! when somebody looks, and never otherwise; nothing here is an account of rota's, and no other room but the admin API may
//! use this one, so that it cannot influence who serves (ADM-6). Tokens that the file holds have no field here.
use crate::model::Time;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of the file, at most.
const MOST_BYTES: u64 = 1 << 20;
/// Accounts that are shown, at most.
const MOST_ACCOUNTS: usize = 256;
/// Quotas of one account that are shown, at most.
const MOST_QUOTAS: usize = 64;

/// One account of the plugin's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanelAccount {
    /// The e-mail address it signed in with, if the plugin knows it.
    pub email: Option<String>,
    /// The plugin uses it.
    pub enabled: bool,
    /// The plugin uses it now.
    pub active: bool,
    /// A person must verify it first.
    pub needs_verification: bool,
    /// When the plugin last used it.
    pub last_used: Option<Time>,
    /// Until when the plugin leaves it alone.
    pub cooling_until: Option<Time>,
    /// Why, in the plugin's word.
    pub cooling_reason: Option<String>,
    /// Quotas that are spent, by their name, and when each fills up.
    pub spent: BTreeMap<String, Time>,
}

/// Why there is nothing to show. It never says what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The operating system said no.
    #[error("{} cannot be read: {error}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Its reason.
        error: io::Error,
    },
    /// There is none.
    #[error("{} does not exist: the plugin has no accounts here", file.display())]
    Missing {
        /// Which.
        file: PathBuf,
    },
    /// It is no file, or larger than such a file is.
    #[error("{} is not a file of at most 1 MiB", file.display())]
    NotAFile {
        /// Which.
        file: PathBuf,
    },
    /// It is not what the plugin writes.
    #[error("{} is not what the plugin writes (line {line}, column {column})", file.display())]
    Strange {
        /// Which.
        file: PathBuf,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
}

/// The accounts in `file`. This blocks on the disk.
///
/// # Errors
/// There is no such file, or it is not the plugin's.
pub fn load(file: &Path) -> Result<Vec<PanelAccount>, Unread> {
    let named = || file.to_owned();
    let about = fs::metadata(file).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Unread::Missing { file: named() };
        }
        Unread::Io { file: named(), error }
    })?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err(Unread::NotAFile { file: named() });
    }
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(|error| Unread::Io { file: named(), error })?;
    let read = opened.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Unread::Io { file: named(), error })?;
    accounts(&bytes).map_err(|error| Unread::Strange {
        file: named(),
        line: error.line(),
        column: error.column(),
    })
}

/// The file, versions 1 to 4. What is not shown is not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    #[serde(default)]
    accounts: Vec<WrittenAccount>,
    active_index: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenAccount {
    email: Option<String>,
    enabled: Option<bool>,
    verification_required: Option<bool>,
    last_used: Option<f64>,
    cooling_down_until: Option<f64>,
    cooldown_reason: Option<String>,
    rate_limit_reset_times: Option<BTreeMap<String, Option<f64>>>,
}

fn accounts(bytes: &[u8]) -> Result<Vec<PanelAccount>, serde_json::Error> {
    let Written { accounts, active_index } = serde_json::from_slice(bytes)?;
    let active = active_index.and_then(|index| usize::try_from(index).ok());
    let accounts = accounts.into_iter().take(MOST_ACCOUNTS).enumerate();
    let shown = |(at, account): (usize, WrittenAccount)| PanelAccount {
        active: Some(at) == active,
        ..account.shown()
    };
    Ok(accounts.map(shown).collect())
}

impl WrittenAccount {
    fn shown(self) -> PanelAccount {
        let spent = self.rate_limit_reset_times.unwrap_or_default().into_iter();
        PanelAccount {
            email: self.email,
            enabled: self.enabled.unwrap_or(true),
            active: false,
            needs_verification: self.verification_required.unwrap_or(false),
            last_used: self.last_used.and_then(time),
            cooling_until: self.cooling_down_until.and_then(time),
            cooling_reason: self.cooldown_reason,
            spent: spent.filter_map(|(name, at)| Some((name, time(at?)?))).take(MOST_QUOTAS).collect(),
        }
    }
}

/// Milliseconds since the epoch, as JavaScript writes them; zero is no time.
fn time(millis: f64) -> Option<Time> {
    (1.0..1e15).contains(&millis).then(|| Time::from_millis(millis as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = r#"{"version": 4, "activeIndex": 1, "accounts": [
        {"email": "a@example.com", "refreshToken": "rt-canary", "projectId": "p", "addedAt": 1, "lastUsed": 1800000000000.5,
         "enabled": false, "coolingDownUntil": 1800000060000, "cooldownReason": "auth-failure",
         "rateLimitResetTimes": {"claude": 1800000120000, "gemini-cli": 0, "gemini-antigravity": null}},
        {"refreshToken": "rt-canary", "addedAt": 1, "lastUsed": 0, "verificationRequired": true, "fingerprint": {"x": 1}}
    ]}"#;

    /// ADM-6
    #[test]
    fn the_panel_has_what_the_plugin_noted_and_no_token() {
        let seen = accounts(FILE.as_bytes()).expect("the plugin's file");
        let at = |secs| Some(Time::from_secs(secs));
        let expected = vec![
            PanelAccount {
                email: Some("a@example.com".to_owned()),
                enabled: false,
                active: false,
                needs_verification: false,
                last_used: at(1_800_000_000),
                cooling_until: at(1_800_000_060),
                cooling_reason: Some("auth-failure".to_owned()),
                spent: BTreeMap::from([("claude".to_owned(), Time::from_secs(1_800_000_120))]),
            },
            PanelAccount {
                email: None,
                enabled: true,
                active: true,
                needs_verification: true,
                last_used: None,
                cooling_until: None,
                cooling_reason: None,
                spent: BTreeMap::new(),
            },
        ];
        assert_eq!(seen, expected);
        assert!(!format!("{seen:?}").contains("canary"));
    }

    /// ADM-6
    #[test]
    fn a_file_that_is_not_the_plugins_is_named_and_not_repeated() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("accounts.json");
        let told = || load(&file).expect_err("refused").to_string();
        assert!(told().contains("does not exist"), "{}", told());
        for text in
            ["", "{\"accounts\": \"rt-canary\"}", "[1]", "{\"accounts\": [{\"enabled\": \"rt-canary\"}]}"]
        {
            fs::write(&file, text).expect("written");
            assert!(
                told().contains("is not what the plugin writes") && !told().contains("canary"),
                "{}",
                told()
            );
        }
        fs::write(&file, vec![b' '; MOST_BYTES as usize + 1]).expect("written");
        assert!(told().contains("at most 1 MiB"), "{}", told());
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("a directory");
        assert!(told().contains("is not a file"), "{}", told());
    }

    proptest! {
        /// ADM-6
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), millis in any::<f64>()) {
            let _ = accounts(&bytes);
            let text = format!(r#"{{"accounts":[{{"lastUsed":{}}}]}}"#, serde_json::json!(millis));
            let seen = accounts(text.as_bytes()).expect("the plugin's form");
            prop_assert_eq!(seen.len(), 1);
        }
    }
}
