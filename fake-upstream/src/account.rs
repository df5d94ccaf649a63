//! One scripted account: who it is, what credentials it has, how much of its
//! limits is used, and what is wrong with it. It is both the script's input and
//! the running state, so a test changes an account with the words it wrote it
//! in. No rule about requests lives here.

use serde::{Deserialize, Serialize};

use crate::limits::{FIVE_HOURS, SEVEN_DAYS};

/// One account of the fake. Build it with [`Account::new`] and the methods
/// below, or read it from a script file: every field but `id` has a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Account {
    /// Name by which faults, the recorder and tests speak of the account.
    pub id: String,
    /// Organisation, and what `chatgpt-account-id` must say. Ciphertext is
    /// bound to it. Empty: `org-<id>`.
    pub org_id: String,
    /// User inside the organisation. Empty: `user-<id>`.
    pub user_id: String,
    /// Plan name shown in limit headers and usage pages. Empty: `plus`.
    pub plan: String,
    /// API keys, taken in any slot the provider reads.
    pub api_keys: Vec<String>,
    /// OAuth access tokens, newest last.
    pub access_tokens: Vec<AccessToken>,
    /// Every refresh token of every chain, spent ones included, newest last.
    pub refresh_tokens: Vec<RefreshToken>,
    /// The short window (5 hours).
    pub five_hour: Window,
    /// The long window (7 days).
    pub seven_day: Window,
    /// Requests left until the short window is full. `None`: no end.
    pub quota: Option<Quota>,
    /// Models it may use. Empty: all of them.
    pub models: Vec<String>,
    /// The provider has switched the account off.
    pub deactivated: bool,
    /// The workspace behind the account is gone (HTTP 402).
    pub workspace_dead: bool,
    /// A human must verify the account before it serves (Google).
    pub needs_verification: bool,
    /// Credits that open the short window before its reset (ChatGPT).
    pub reset_credits: u32,
    /// How the token endpoint treats it.
    pub tokens: TokenPolicy,
    /// Its owner refuses every login that comes to the authorization page.
    pub denies_logins: bool,
    /// What it answers. `None`: the script's text.
    pub text: Option<String>,
}

/// An OAuth access token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessToken {
    /// The token itself.
    pub token: String,
    /// Seconds since the epoch. `None`: never ends.
    pub expires_at: Option<i64>,
    /// Seconds from the moment the fake sees it; turned into `expires_at`.
    pub expires_in: Option<i64>,
    /// Signed out: answered with `token_invalidated`.
    pub invalidated: bool,
    /// Chain of refresh tokens it came from, 0 when it came from none.
    pub family: u64,
}

/// A refresh token and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefreshToken {
    /// The token itself.
    pub token: String,
    /// Chain it belongs to. A reuse may revoke the whole chain.
    pub family: u64,
    /// Whether it can still be exchanged.
    pub state: RefreshState,
}

/// What became of a refresh token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefreshState {
    /// Never exchanged.
    #[default]
    Fresh,
    /// Exchanged for these; a second use is a reuse once the grace is over.
    Spent {
        /// Seconds since the epoch.
        at: i64,
        /// Access token it was exchanged for.
        access: String,
        /// Refresh token it was exchanged for.
        refresh: String,
    },
    /// Signed out, or its chain was revoked after a reuse.
    Revoked,
    /// Too old.
    Expired,
}

/// One usage window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// 0 to 100; 100 refuses until the reset.
    pub used_percent: f64,
    /// Seconds since the epoch. `None`: set when the fake first sees it.
    pub resets_at: Option<i64>,
    /// Seconds from the moment the fake sees it; turned into `resets_at`.
    pub resets_in: Option<i64>,
}

/// Requests an account serves per short window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Requests in a whole window.
    pub limit: u32,
    /// Requests left in this one.
    pub left: u32,
}

/// How the token endpoint treats one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenPolicy {
    /// Lifetime of a minted access token in seconds, and the `expires_in` sent.
    pub expires_in: i64,
    /// Whether the reply has `expires_in`.
    pub send_expires_in: bool,
    /// Whether the reply has `refresh_token`. Without it the old one lives on.
    pub send_refresh_token: bool,
    /// Whether a refresh token is spent by its first use.
    pub rotate: bool,
    /// Seconds in which a spent token gets the same answer again.
    pub grace_seconds: i64,
    /// Whether a reuse revokes the whole chain and its access tokens.
    pub revoke_family_on_reuse: bool,
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self {
            expires_in: 3600,
            send_expires_in: true,
            send_refresh_token: true,
            rotate: true,
            grace_seconds: 0,
            revoke_family_on_reuse: false,
        }
    }
}

impl Account {
    /// An account with no credential and nothing used.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }.named()
    }

    /// Adds an API key.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_keys.push(key.into());
        self
    }

    /// Adds an access token that never expires.
    #[must_use]
    pub fn access_token(mut self, token: impl Into<String>) -> Self {
        self.access_tokens.push(AccessToken { token: token.into(), ..AccessToken::default() });
        self
    }

    /// Adds an access token that expires `seconds` after the fake starts;
    /// zero or less is expired from the start.
    #[must_use]
    pub fn access_token_for(mut self, token: impl Into<String>, seconds: i64) -> Self {
        self.access_tokens.push(AccessToken {
            token: token.into(),
            expires_in: Some(seconds),
            family: 1,
            ..AccessToken::default()
        });
        self
    }

    /// Adds a fresh refresh token of chain 1.
    #[must_use]
    pub fn refresh_token(mut self, token: impl Into<String>) -> Self {
        self.refresh_tokens.push(RefreshToken { token: token.into(), family: 1, state: RefreshState::Fresh });
        self
    }

    /// Puts the account in an organisation; two accounts of one organisation
    /// read each other's ciphertext.
    #[must_use]
    pub fn org(mut self, org_id: impl Into<String>) -> Self {
        self.org_id = org_id.into();
        self
    }

    /// Names the plan.
    #[must_use]
    pub fn plan(mut self, plan: impl Into<String>) -> Self {
        self.plan = plan.into();
        self
    }

    /// Serves `requests` model calls, then refuses until the short window resets.
    #[must_use]
    pub fn quota(mut self, requests: u32) -> Self {
        self.quota = Some(Quota { limit: requests, left: requests });
        self
    }

    /// Sets the short window: percent used, and seconds until it resets.
    #[must_use]
    pub fn five_hour(mut self, used_percent: f64, resets_in: i64) -> Self {
        self.five_hour = Window { used_percent, resets_at: None, resets_in: Some(resets_in) };
        self
    }

    /// Sets the long window: percent used, and seconds until it resets.
    #[must_use]
    pub fn seven_day(mut self, used_percent: f64, resets_in: i64) -> Self {
        self.seven_day = Window { used_percent, resets_at: None, resets_in: Some(resets_in) };
        self
    }

    /// Allows one more model; an account that names none may use all.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.models.push(model.into());
        self
    }

    /// Sets how the token endpoint treats the account.
    #[must_use]
    pub fn tokens(mut self, policy: TokenPolicy) -> Self {
        self.tokens = policy;
        self
    }

    /// Makes its owner refuse every login on the authorization page.
    #[must_use]
    pub fn denying_logins(mut self) -> Self {
        self.denies_logins = true;
        self
    }

    /// Sets what the account answers.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Signs every access token out, as a password change does.
    pub fn invalidate_access(&mut self) {
        for token in &mut self.access_tokens {
            token.invalidated = true;
        }
    }

    /// The newest access token, for tests that follow a rotation.
    pub fn newest_access(&self) -> Option<&str> {
        self.access_tokens.last().map(|token| token.token.as_str())
    }

    /// The newest refresh token, for tests that follow a rotation.
    pub fn newest_refresh(&self) -> Option<&str> {
        self.refresh_tokens.last().map(|token| token.token.as_str())
    }

    /// Whether `model` is among those the account may use.
    pub(crate) fn may_use(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|allowed| allowed == model)
    }

    /// Turns everything relative into absolute, and empty names into defaults.
    pub(crate) fn settle(&mut self, now: i64) {
        *self = std::mem::take(self).named();
        for token in &mut self.access_tokens {
            if let Some(seconds) = token.expires_in.take() {
                token.expires_at = Some(now.saturating_add(seconds));
            }
        }
        self.five_hour.settle(FIVE_HOURS, now);
        self.seven_day.settle(SEVEN_DAYS, now);
    }

    fn named(mut self) -> Self {
        if self.org_id.is_empty() {
            self.org_id = format!("org-{}", self.id);
        }
        if self.user_id.is_empty() {
            self.user_id = format!("user-{}", self.id);
        }
        if self.plan.is_empty() {
            self.plan = "plus".into();
        }
        self
    }
}

impl Window {
    /// The window is full and its reset has not come.
    pub fn is_full(&self, now: i64) -> bool {
        self.used_percent >= 100.0 && self.resets_at.is_none_or(|at| at > now)
    }

    fn settle(&mut self, length: i64, now: i64) {
        if let Some(seconds) = self.resets_in.take() {
            self.resets_at = Some(now.saturating_add(seconds));
        }
        if self.resets_at.is_none() {
            self.resets_at = Some(now.saturating_add(length));
        }
    }
}
