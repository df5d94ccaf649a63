//! What the fake is told before it starts. Reads from JSON or TOML for the
//! program and is built by methods in tests. No running state lives here.

use serde::{Deserialize, Serialize};

use crate::account::Account;

/// More than the largest body that a provider takes (32 MiB).
const KEPT_BODY_BYTES: usize = 40 * 1024 * 1024;

/// Everything the fake starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// The accounts, in the order in which tests name them.
    pub accounts: Vec<Account>,
    /// Models shown on model lists. Requests may name others too.
    pub models: Vec<String>,
    /// What the models answer.
    pub text: String,
    /// How many text deltas a stream has; the text is repeated to fill them.
    pub deltas: u32,
    /// Tools the models call before they answer: of these, the first that the
    /// request offers.
    pub tools: Vec<ToolCall>,
    /// How WebSockets are treated.
    pub socket: SocketPolicy,
    /// Secrets that must never arrive; see [`crate::FakeUpstream::assertions`].
    pub canaries: Vec<String>,
    /// Invalidates further tokens when three are tried within ten seconds of
    /// an invalidated one, as the ChatGPT backend was seen to do.
    pub cascade: bool,
    /// Sends an account's own cookie and reports one that comes back with
    /// another account.
    pub cookies: bool,
    /// Holds `/backend-api/codex/responses` to what that backend demands
    /// (`store: false`, `stream: true`, `instructions` or a developer's message).
    pub strict_codex: bool,
    /// Most bytes of one request body that are kept; a longer one is hashed,
    /// counted and answered without being read as JSON. Lower it where the
    /// memory of the process is measured.
    pub kept_body_bytes: usize,
    /// Which fields the Claude usage page has.
    pub claude_usage: ClaudeUsage,
    /// How codes for other devices are given out.
    pub device: DevicePolicy,
    /// Starts the clock at this many milliseconds since the epoch and keeps it
    /// still until it is moved. `None`: the wall clock plus what it is moved by.
    pub clock_ms: Option<i64>,
}

/// How the WebSockets of the Responses API are treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketPolicy {
    /// Whether there are any; without them a handshake is answered with 426.
    pub offered: bool,
    /// Whether ChatGPT logins are told what they have used before each answer.
    pub rate_limits: bool,
    /// Answers after which the next `response.create` gets
    /// `websocket_connection_limit_reached` and the connection is closed.
    pub max_turns: Option<u64>,
    /// Seconds, by the clock of the fake, after which the same happens.
    pub max_age_seconds: i64,
}

impl Default for SocketPolicy {
    fn default() -> Self {
        Self { offered: true, rate_limits: true, max_turns: None, max_age_seconds: 3_600 }
    }
}

/// How the device endpoints treat everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DevicePolicy {
    /// Seconds to leave between two polls.
    pub interval: i64,
    /// Whether the reply of RFC 8628 says so; the default there is 5.
    pub send_interval: bool,
    /// Seconds until a code is no longer good.
    pub expires_in: i64,
}

impl Default for DevicePolicy {
    fn default() -> Self {
        Self { interval: 5, send_interval: true, expires_in: 900 }
    }
}

/// The shapes in which the Claude usage page was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaudeUsage {
    /// Old fields and new list.
    Both,
    /// Only `five_hour`, `seven_day` and their like.
    Fields,
    /// Only the `limits` list.
    Limits,
}

/// A tool call that the models make before they answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Name of the tool. It is called only when the request offers it.
    pub name: String,
    /// Arguments as JSON text. `{n}` becomes the number of the call, from 1.
    pub arguments: String,
    /// Calls for one prompt of the user; then the text follows.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// Why a script was refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum BadScript {
    /// Two accounts have the same id.
    DuplicateAccount(String),
    /// Two accounts hold the same credential; the ids are named, not the credential.
    SharedCredential(String, String),
    /// An account has no id.
    UnnamedAccount,
    /// The text does not parse; the parser's own words.
    Unreadable(String),
}

impl std::fmt::Display for BadScript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DuplicateAccount(id) => {
                write!(f, "account id {id:?} is used twice; give each account its own id")
            }
            Self::SharedCredential(one, other) => write!(
                f,
                "accounts {one:?} and {other:?} hold the same credential; a request could not tell them apart"
            ),
            Self::UnnamedAccount => write!(f, "an account has no id; give it one"),
            Self::Unreadable(why) => write!(f, "the script does not parse: {why}"),
        }
    }
}

impl std::error::Error for BadScript {}

impl Default for Script {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            models: ["gpt-5.1-codex", "gpt-5.1", "claude-sonnet-4-5", "claude-opus-4-5", "gemini-2.5-pro"]
                .map(String::from)
                .to_vec(),
            text: "PONG".into(),
            deltas: 2,
            tools: Vec::new(),
            socket: SocketPolicy::default(),
            canaries: Vec::new(),
            cascade: false,
            cookies: false,
            strict_codex: true,
            kept_body_bytes: KEPT_BODY_BYTES,
            claude_usage: ClaudeUsage::Both,
            device: DevicePolicy::default(),
            clock_ms: None,
        }
    }
}

impl Script {
    /// A script without accounts: every credential is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an account.
    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    /// Sets what the models answer.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Sets how many text deltas a stream has.
    #[must_use]
    pub fn deltas(mut self, count: u32) -> Self {
        self.deltas = count;
        self
    }

    /// Makes the models call a tool once before they answer.
    #[must_use]
    pub fn tool(self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.tool_calls(name, arguments, 1)
    }

    /// Makes the models call a tool `times` times for each prompt before they
    /// answer, once per request.
    #[must_use]
    pub fn tool_calls(mut self, name: impl Into<String>, arguments: impl Into<String>, times: u32) -> Self {
        self.tools.push(ToolCall { name: name.into(), arguments: arguments.into(), times });
        self
    }

    /// Sets how WebSockets are treated.
    #[must_use]
    pub fn socket(mut self, policy: SocketPolicy) -> Self {
        self.socket = policy;
        self
    }

    /// Watches for a secret that must never arrive.
    #[must_use]
    pub fn canary(mut self, secret: impl Into<String>) -> Self {
        self.canaries.push(secret.into());
        self
    }

    /// Turns the invalidation cascade on.
    #[must_use]
    pub fn cascade(mut self) -> Self {
        self.cascade = true;
        self
    }

    /// Turns the account cookies on.
    #[must_use]
    pub fn cookies(mut self) -> Self {
        self.cookies = true;
        self
    }

    /// Lets `/backend-api/codex/responses` take what the real one refuses.
    #[must_use]
    pub fn lenient_codex(mut self) -> Self {
        self.strict_codex = false;
        self
    }

    /// Sets how many bytes of one request body are kept.
    #[must_use]
    pub fn keep_body_bytes(mut self, bytes: usize) -> Self {
        self.kept_body_bytes = bytes;
        self
    }

    /// Sets which fields the Claude usage page has.
    #[must_use]
    pub fn claude_usage(mut self, form: ClaudeUsage) -> Self {
        self.claude_usage = form;
        self
    }

    /// Sets how codes for other devices are given out.
    #[must_use]
    pub fn device(mut self, policy: DevicePolicy) -> Self {
        self.device = policy;
        self
    }

    /// Freezes the clock at `ms` since the epoch; it moves only when it is moved.
    #[must_use]
    pub fn clock_at(mut self, ms: i64) -> Self {
        self.clock_ms = Some(ms);
        self
    }

    /// Reads a script from JSON, or from TOML when the text is not JSON.
    ///
    /// # Errors
    /// The parser's words with the line, or a contradiction between accounts.
    pub fn parse(text: &str) -> Result<Self, BadScript> {
        let looks_like_json = text.trim_start().starts_with('{');
        let script: Self = if looks_like_json {
            serde_json::from_str(text).map_err(|error| BadScript::Unreadable(error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| BadScript::Unreadable(error.to_string()))?
        };
        script.check()?;
        Ok(script)
    }

    /// Refuses a script that contradicts itself.
    pub(crate) fn check(&self) -> Result<(), BadScript> {
        for (place, account) in self.accounts.iter().enumerate() {
            if account.id.is_empty() {
                return Err(BadScript::UnnamedAccount);
            }
            let before = self.accounts.get(..place).unwrap_or_default();
            for other in before {
                if other.id == account.id {
                    return Err(BadScript::DuplicateAccount(account.id.clone()));
                }
                if credentials(other).any(|one| credentials(account).any(|two| one == two)) {
                    return Err(BadScript::SharedCredential(other.id.clone(), account.id.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Every credential an account answers to.
pub(crate) fn credentials(account: &Account) -> impl Iterator<Item = &str> {
    account
        .api_keys
        .iter()
        .map(String::as_str)
        .chain(account.access_tokens.iter().map(|token| token.token.as_str()))
        .chain(account.refresh_tokens.iter().map(|token| token.token.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_the_same_from_json_and_toml() {
        let built = Script::new().account(Account::new("a").api_key("sk-a")).text("hi");
        let json = r#"{"text":"hi","accounts":[{"id":"a","org_id":"org-a","user_id":"user-a","plan":"plus","api_keys":["sk-a"]}]}"#;
        let toml = "text = \"hi\"\n[[accounts]]\nid = \"a\"\norg_id = \"org-a\"\nuser_id = \"user-a\"\nplan = \"plus\"\napi_keys = [\"sk-a\"]\n";
        assert_eq!(Script::parse(json).expect("json"), built);
        assert_eq!(Script::parse(toml).expect("toml"), built);
    }

    #[test]
    fn a_script_that_contradicts_itself_is_refused_without_naming_the_credential() {
        let twice = Script::new()
            .account(Account::new("a").api_key("sk-x"))
            .account(Account::new("b").api_key("sk-x"));
        let words = twice.check().expect_err("shared").to_string();
        assert!(words.contains("\"a\" and \"b\"") && !words.contains("sk-x"), "{words}");
        let same = Script::new().account(Account::new("a")).account(Account::new("a"));
        assert!(matches!(same.check(), Err(BadScript::DuplicateAccount(id)) if id == "a"));
        assert!(matches!(Script::new().account(Account::new("")).check(), Err(BadScript::UnnamedAccount)));
        assert!(matches!(Script::parse("{\"acounts\":[]}"), Err(BadScript::Unreadable(_))));
    }
}
