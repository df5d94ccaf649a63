use crate::engine::signs_in;
use crate::model::{Account, Alias, Provider, ProviderId, Reason, Time};
use serde_json::{Map, Value};

/// What a person should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Two logins were refused for good within ten minutes: no other is shown to the provider for a while (FLO-5).
    ProviderCutOff,
    /// A login was begun for whoever sees this to complete.
    SignInBegun,
    /// The account can serve again.
    SignInDone,
    /// The login that was begun has ended without a credential.
    SignInFailed,
    /// An account serves no more until a person acts.
    SignInNeeded,
}

impl Kind {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProviderCutOff => "provider-cut-off",
            Self::SignInBegun => "sign-in-begun",
            Self::SignInDone => "sign-in-done",
            Self::SignInFailed => "sign-in-failed",
            Self::SignInNeeded => "sign-in-needed",
        }
    }
}

/// How to complete a login that was begun: shown to whoever is told, and worth nothing without the provider's own page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The page to open.
    pub url: String,
    /// The code to enter there.
    pub code: String,
    /// Until when.
    pub until: Time,
}

/// Something happened that a person should know of. Its fields can hold no secret and no e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// When.
    pub at: Time,
    /// Of which provider.
    pub provider: ProviderId,
    /// Of which account, if it is one's.
    pub account: Option<Alias>,
    /// Why, in the words of FLO-7.
    pub reason: Option<Reason>,
    /// What to type.
    pub command: Option<String>,
    /// How to complete the login.
    pub invitation: Option<Invitation>,
    /// Until when it lasts by itself.
    pub until: Option<Time>,
}

impl Event {
    /// An event of an account's.
    pub fn of_account(kind: Kind, account: &Account, now: Time) -> Self {
        Self {
            kind,
            at: now,
            provider: account.provider.clone(),
            account: Some(account.alias.clone()),
            reason: None,
            command: None,
            invitation: None,
            until: None,
        }
    }

    /// One sentence for people.
    pub fn message(&self) -> String {
        let provider = &self.provider;
        let account = self.account.as_ref().map_or("an account", Alias::as_str);
        let todo = self.command.as_ref().map_or_else(String::new, |command| format!(" Run: {command}"));
        match self.kind {
            Kind::ProviderCutOff => format!(
                "Two logins of {provider} were refused for good within ten minutes, so rota shows it no other until {}.",
                self.until.map_or_else(|| "later".to_owned(), rfc3339)
            ),
            Kind::SignInBegun => match &self.invitation {
                Some(Invitation { url, code, until }) => format!(
                    "{account} ({provider}) needs a sign-in: open {url} and enter {code} before {}.",
                    rfc3339(*until)
                ),
                None => format!("{account} ({provider}) needs a sign-in, which has begun.{todo}"),
            },
            Kind::SignInDone => format!("{account} ({provider}) is signed in again."),
            Kind::SignInFailed => format!("{account} ({provider}): nobody has signed in.{todo}"),
            Kind::SignInNeeded => {
                let why = self.reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
                format!("{account} ({provider}) serves no more until a person acts{why}.{todo}")
            }
        }
    }

    /// The event as programs read it.
    pub fn json(&self) -> String {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), Value::String(value));
            }
        };
        put("event", Some(self.kind.as_str().to_owned()));
        put("at", Some(rfc3339(self.at)));
        put("provider", Some(self.provider.to_string()));
        put("account", self.account.as_ref().map(ToString::to_string));
        put("reason", self.reason.map(|reason| reason.as_str().to_owned()));
        put("message", Some(self.message()));
        put("command", self.command.clone());
        if let Some(Invitation { url, code, .. }) = &self.invitation {
            put("verificationUrl", Some(url.clone()));
            put("userCode", Some(code.clone()));
        }
        let until = self.until.or(self.invitation.as_ref().map(|invitation| invitation.until));
        put("until", until.map(rfc3339));
        Value::Object(fields).to_string()
    }

    /// Says it in the log, too, as loud as it is.
    pub(super) fn log(&self) {
        let (event, provider) = (self.kind.as_str(), self.provider.as_str());
        let account = self.account.as_ref().map(Alias::as_str);
        let reason = self.reason.map(Reason::as_str);
        match self.kind {
            Kind::ProviderCutOff => tracing::error!(event, provider, "{}", self.message()),
            Kind::SignInFailed | Kind::SignInNeeded => {
                tracing::warn!(event, provider, account, reason, "{}", self.message())
            }
            // The code is for the one who was told, not for everybody who reads the log.
            Kind::SignInBegun | Kind::SignInDone => tracing::info!(event, provider, account, "a sign-in"),
        }
    }
}

/// What a person types to mend an account that needs them.
pub fn remedy(account: &Account, provider: Option<&Provider>) -> String {
    let (alias, id) = (&account.alias, &account.provider);
    if provider.is_some_and(|provider| signs_in(account, provider)) {
        return format!("rota login {alias}");
    }
    format!("rota accounts rm {alias}, then add it again: rota accounts add {alias} --provider {id}")
}

fn rfc3339(at: Time) -> String {
    let millis = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(millis).unwrap_or(jiff::Timestamp::MAX).to_string()
}
