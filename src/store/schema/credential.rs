//! `credential/<id>`: one account's token material. The only file that holds secrets.
use super::fields::{BadField, Fields, Object};
use crate::model::{Credential, CredentialKind, Identity};
use crate::store::digest::Fingerprint;
use serde_json::{Map, Value};

/// The fields that are secret: only a credential record and an export that was asked for them may hold these.
pub(in crate::store) const SECRETS: [&str; 3] = ["accessToken", "refreshToken", "idToken"];

/// The field that tells which credential of the account it is; it stays readable in a sealed record.
pub(in crate::store) const VERSION: &str = "credentialVersion";

/// Every field of a credential.
pub(in crate::store) const FIELDS: [&str; 12] = [
    VERSION,
    "kind",
    "accessToken",
    "refreshToken",
    "selfGranted",
    "idToken",
    "accountId",
    "userId",
    "planType",
    "email",
    "issuedAt",
    "expiresAt",
];

/// Takes a credential's fields. A record without `kind` is an OAuth login of a version that knew nothing else.
pub(in crate::store) fn take(fields: &mut Fields) -> Result<Credential, BadField> {
    Ok(Credential {
        version: fields.get(VERSION)?.unwrap_or(1),
        kind: fields.get("kind")?.unwrap_or(CredentialKind::Oauth),
        access: fields.need("accessToken")?,
        refresh: fields.get("refreshToken")?,
        self_granted: fields.get("selfGranted")?.unwrap_or(false),
        id_token: fields.get("idToken")?,
        identity: Identity {
            account: fields.get("accountId")?,
            user: fields.get("userId")?,
            plan: fields.get("planType")?,
            email: fields.get("email")?,
        },
        issued: fields.get("issuedAt")?.unwrap_or_default(),
        expires: fields.get("expiresAt")?,
    })
}

/// The fields, over those that this program does not know.
pub(in crate::store) fn give(credential: &Credential, extra: &Map<String, Value>) -> Object {
    let Identity { account, user, plan, email } = credential.identity.clone();
    let exposed = |secret: &crate::model::Secret| secret.expose().to_owned();
    Object::over(extra)
        .set(VERSION, credential.version)
        .set("kind", credential.kind.as_str())
        .set("accessToken", exposed(&credential.access))
        .put("refreshToken", credential.refresh.as_ref().map(exposed))
        .put("selfGranted", credential.self_granted.then_some(true))
        .put("idToken", credential.id_token.as_ref().map(exposed))
        .put("accountId", account)
        .put("userId", user)
        .put("planType", plan)
        .put("email", email)
        .time("issuedAt", Some(credential.issued))
        .time("expiresAt", credential.expires)
}

/// Which refresh token the credential holds, without telling it; none where it holds none.
pub(in crate::store) fn fingerprint(credential: &Credential) -> Option<String> {
    credential.refresh.as_ref().map(|token| Fingerprint::of(token.expose().as_bytes()).short())
}
