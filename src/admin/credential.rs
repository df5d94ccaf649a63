use super::ApiError;
use crate::auth::Claims;
use crate::model::{Credential, CredentialKind, Identity, Secret, Time};
use schemars::JsonSchema;
use serde::Deserialize;

/// A credential as a human hands it over: rota's own shape, in a request body or a file.
#[derive(Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "an object with kind and accessToken, and for oauth also refreshToken and expiresAt"
)]
pub(super) struct GivenCredential {
    kind: CredentialKind,
    access_token: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
    expires_at: Option<When>,
    account_id: Option<String>,
    user_id: Option<String>,
    plan_type: Option<String>,
    email: Option<String>,
}

/// A time as people and other programs write it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a date of RFC 3339 or milliseconds since 1970")]
enum When {
    Millis(u64),
    Stamp(String),
}

impl GivenCredential {
    /// A key or bearer as it comes from a file, standard input or an environment variable.
    pub(super) fn plain(kind: CredentialKind, secret: String) -> Self {
        Self {
            kind,
            access_token: secret,
            refresh_token: None,
            id_token: None,
            expires_at: None,
            account_id: None,
            user_id: None,
            plan_type: None,
            email: None,
        }
    }

    /// As version 1 of an account's credential. What was not given is read from the token's own claims where it is a
    /// JWT: its expiry and whose it is.
    pub(super) fn into_credential(self, now: Time) -> Result<Credential, ApiError> {
        let access = secret("accessToken", &self.access_token)?;
        let refresh = self.refresh_token.as_deref().map(|text| secret("refreshToken", text)).transpose()?;
        let id_token = self.id_token.as_deref().map(|text| secret("idToken", text)).transpose()?;
        let given = self.expires_at.map(When::into_time).transpose()?;
        let claimed = Claims::of(&self.access_token).unwrap_or_default();
        let expires = given.or(claimed.expires);
        if self.kind == CredentialKind::Oauth && refresh.is_some() && expires.is_none() {
            return Err(ApiError::invalid(
                "expiresAt",
                "an OAuth token that can be renewed needs its expiry: a date of RFC 3339 or milliseconds since 1970",
            ));
        }
        let by_id = self.id_token.as_deref().and_then(Claims::of).unwrap_or_default().identity();
        let by_access = claimed.identity();
        let identity = Identity {
            account: self.account_id.or(by_id.account).or(by_access.account),
            user: self.user_id.or(by_id.user).or(by_access.user),
            plan: self.plan_type.or(by_id.plan).or(by_access.plan),
            email: self.email.or(by_id.email).or(by_access.email),
        };
        Ok(Credential {
            version: 1,
            kind: self.kind,
            access,
            refresh,
            self_granted: false,
            id_token,
            identity,
            issued: now,
            expires,
        })
    }
}

impl When {
    fn into_time(self) -> Result<Time, ApiError> {
        match self {
            Self::Millis(millis) => Ok(Time::from_millis(millis)),
            Self::Stamp(text) => {
                let stamp: Result<jiff::Timestamp, _> = text.parse();
                let millis = stamp.ok().and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok());
                millis.map(Time::from_millis).ok_or_else(|| {
                    ApiError::invalid(
                        "expiresAt",
                        format!("{text:?} is not a date such as 2026-11-21T10:00:00Z"),
                    )
                })
            }
        }
    }
}

/// A secret goes into a header, so it must be one that a header can carry. The message never shows it.
fn secret(field: &str, text: &str) -> Result<Secret, ApiError> {
    Secret::token(text).map_err(|bad| ApiError::invalid(field, bad))
}
