use super::{Secret, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What kind of secret an account holds; decides which injection of the preset is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// A long-lived key of the provider's console.
    ApiKey,
    /// A bearer token that rota cannot renew.
    Bearer,
    /// An OAuth access token, renewed by its refresh token where it has one.
    Oauth,
}

impl CredentialKind {
    /// The wire string, as in presets, records and views.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api-key",
            Self::Bearer => "bearer",
            Self::Oauth => "oauth",
        }
    }
}

/// Who the provider says the credential belongs to. Nothing here is secret; all of it may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The organisation or workspace at the provider.
    pub account: Option<String>,
    /// The login at the provider.
    pub user: Option<String>,
    /// The plan, as the provider spells it; an open set.
    pub plan: Option<String>,
    /// The login's address. Shown to the owner only, never a label.
    pub email: Option<String>,
}

/// Token material and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Raised by every renewal and re-auth, so that a late answer cannot overwrite a newer credential (I7).
    pub version: u64,
    /// What kind of secret this is.
    pub kind: CredentialKind,
    /// The key, bearer or access token that is injected.
    pub access: Secret,
    /// Spent at most once (REN-2).
    pub refresh: Option<Secret>,
    /// True for a token that the preset's own means granted, without a login: it is renewed without a refresh token.
    pub self_granted: bool,
    /// Kept for its claims; never sent upstream.
    pub id_token: Option<Secret>,
    /// Whose it is.
    pub identity: Identity,
    /// When the provider issued it.
    pub issued: Time,
    /// When it ends; none for a key. An OAuth token without one counts as expired (REN-4).
    pub expires: Option<Time>,
}

impl Credential {
    /// True where both are known to be one login: they share a token, or the provider names the same user in the same
    /// account. Addresses are not compared: one may have several accounts.
    pub fn same_login(&self, other: &Self) -> bool {
        let named = self.identity.user.is_some() || self.identity.account.is_some();
        let same_name =
            self.identity.user == other.identity.user && self.identity.account == other.identity.account;
        self.access == other.access || self.same_refresh(other) || (named && same_name)
    }

    /// True where both would spend the same refresh token.
    pub fn same_refresh(&self, other: &Self) -> bool {
        self.refresh.is_some() && self.refresh == other.refresh
    }

    /// True when it is not worth sending: too old, or of a shape that cannot be sent, which counts as too old (REN-4).
    pub fn lapsed(&self, now: Time) -> bool {
        if !self.access.is_sendable() {
            return true;
        }
        match (self.kind, self.expires) {
            (_, Some(expires)) => expires <= now,
            (CredentialKind::Oauth, None) => self.refresh.is_some(),
            (CredentialKind::ApiKey | CredentialKind::Bearer, None) => false,
        }
    }
}

/// What an account can authenticate with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// There is a credential that no authority has called dead.
    Usable(Arc<Credential>),
    /// The provider refused it for good: a human must sign in again (REN-3). The old one is kept for inspection.
    NeedsReauth {
        /// Since when.
        since: Time,
        /// The provider's own code or words, bounded and free of secrets.
        detail: String,
        /// What was refused.
        refused: Arc<Credential>,
    },
    /// None was given, or its record cannot be read; the text says which.
    Missing {
        /// For the user: why there is none.
        detail: String,
    },
}

impl CredentialState {
    /// The credential that may be injected, if any.
    pub fn usable(&self) -> Option<&Arc<Credential>> {
        match self {
            Self::Usable(credential) => Some(credential),
            Self::NeedsReauth { .. } | Self::Missing { .. } => None,
        }
    }

    /// The credential there is, dead or alive.
    pub fn credential(&self) -> Option<&Arc<Credential>> {
        match self {
            Self::Usable(credential) | Self::NeedsReauth { refused: credential, .. } => Some(credential),
            Self::Missing { .. } => None,
        }
    }

    /// The version of the credential there is; 0 when there is none.
    pub fn version(&self) -> u64 {
        self.credential().map_or(0, |credential| credential.version)
    }
}

/// How renewing has gone lately (REN-1, REN-3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Failures in a row; at 3 the scheduler stops until a request, a re-auth or a human asks.
    pub failures: u32,
    /// No scheduled renewal before this.
    pub not_before: Option<Time>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REN-5
    #[test]
    fn a_login_is_known_again_by_a_token_or_by_user_and_account_and_never_by_its_address() {
        let login =
            |access: &str, refresh: Option<&str>, user: Option<&str>, account: Option<&str>| Credential {
                version: 1,
                kind: CredentialKind::Oauth,
                access: Secret::new(access),
                refresh: refresh.map(Secret::new),
                self_granted: false,
                id_token: None,
                identity: Identity {
                    user: user.map(str::to_owned),
                    account: account.map(str::to_owned),
                    plan: None,
                    email: Some("one@example.com".to_owned()),
                },
                issued: Time::default(),
                expires: None,
            };
        let mine = login("a", Some("r"), Some("u"), Some("o"));
        for (other, same, spends) in [
            (login("a2", Some("r2"), Some("u"), Some("o")), true, false),
            (login("a2", Some("r2"), Some("u"), Some("o2")), false, false),
            (login("a2", Some("r2"), Some("u2"), Some("o")), false, false),
            (login("a2", Some("r"), None, None), true, true),
            (login("a", None, None, None), true, false),
            (login("a2", None, None, None), false, false),
        ] {
            assert_eq!((mine.same_login(&other), other.same_login(&mine)), (same, same), "{other:?}");
            assert_eq!((mine.same_refresh(&other), other.same_refresh(&mine)), (spends, spends), "{other:?}");
        }
        let nameless = [login("a", None, None, None), login("b", None, None, None)];
        assert!(!nameless[0].same_login(&nameless[1]), "two that nobody names are not one");
    }

    /// REN-4
    #[test]
    fn a_token_that_can_be_renewed_and_has_no_expiry_counts_as_expired() {
        let now = Time::from_secs(100);
        let at = |secs| Some(Time::from_secs(secs));
        use CredentialKind::{ApiKey, Bearer, Oauth};
        for (kind, refresh, expires, lapsed) in [
            (ApiKey, false, None, false),
            (Bearer, false, None, false),
            (Bearer, false, at(100), true),
            (Oauth, true, at(101), false),
            (Oauth, true, at(100), true),
            (Oauth, true, None, true),
            (Oauth, false, None, false),
        ] {
            let credential = Credential {
                version: 1,
                kind,
                access: Secret::new("a"),
                refresh: refresh.then(|| Secret::new("r")),
                self_granted: false,
                id_token: None,
                identity: Identity::default(),
                issued: Time::default(),
                expires,
            };
            assert_eq!(credential.lapsed(now), lapsed, "{kind:?} {refresh} {expires:?}");
        }
    }
}
