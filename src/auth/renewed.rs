use super::claims::Claims;
use super::grant::Grant;
use crate::model::{Credential, Identity, Time};
use std::time::Duration;

/// How long a token lasts that came without a word on it: what the providers' own clients assume.
const ASSUMED_LIFETIME: Duration = Duration::from_secs(3600);
/// No token is believed to last longer.
const LONGEST_LIFETIME: Duration = Duration::from_secs(366 * 24 * 3600);

/// The reply names somebody else (REN-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token endpoint answered for another identity")]
pub(super) struct OtherIdentity;

/// What the tokens of a credential say of themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) access: Option<Claims>,
    pub(super) id: Option<Claims>,
}

/// The credential that follows `old`, of which `known` is known: what the reply leaves out stays as it was.
pub(super) fn renewed(
    old: &Credential,
    known: &Known,
    grant: Grant,
    now: Time,
) -> Result<Credential, OtherIdentity> {
    if is_another(&old.identity, known, &grant) {
        return Err(OtherIdentity);
    }
    let expires = expires(&grant, now);
    let identity = identity(&old.identity, &grant);
    Ok(Credential {
        version: old.version + 1,
        kind: old.kind,
        access: grant.access,
        // What is granted without a login is asked for anew, not by a refresh token.
        refresh: grant.refresh.filter(|_| !old.self_granted).or_else(|| old.refresh.clone()),
        self_granted: old.self_granted,
        id_token: grant.id_token.or_else(|| old.id_token.clone()),
        identity,
        issued: now,
        expires: Some(expires),
    })
}

/// `expires_in` counts from now and needs no common clock; `exp` is the next best.
pub(super) fn expires(grant: &Grant, now: Time) -> Time {
    let latest = now.after(LONGEST_LIFETIME);
    if let Some(seconds) = grant.expires_in {
        let lifetime = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        return now.after(lifetime).min(latest);
    }
    let claimed = grant.access_claims.as_ref().and_then(|claims| claims.expires);
    claimed.unwrap_or_else(|| now.after(ASSUMED_LIFETIME)).min(latest)
}

/// Like is compared with like: a token's claims with those of the token it replaces, what the reply says beside them
/// with what is on record.
pub(super) fn is_another(old: &Identity, known: &Known, grant: &Grant) -> bool {
    contradict(&known.id, &grant.id_claims)
        || contradict(&known.access, &grant.access_claims)
        || differ(&old.account, &grant.named.account)
        || differ(&old.user, &grant.named.user)
}

fn contradict(old: &Option<Claims>, new: &Option<Claims>) -> bool {
    matches!((old, new), (Some(old), Some(new)) if old.contradict(new))
}

fn differ(old: &Option<String>, new: &Option<String>) -> bool {
    matches!((old, new), (Some(old), Some(new)) if old != new)
}

/// Who it is stays; the plan and the address may have changed.
fn identity(old: &Identity, grant: &Grant) -> Identity {
    let claimed = grant.id_claims.as_ref().or(grant.access_claims.as_ref());
    let claimed = claimed.map(Claims::identity).unwrap_or_default();
    let named = &grant.named;
    let keep = |old: &Option<String>, named: &Option<String>, claimed: Option<String>| {
        old.clone().or_else(|| named.clone()).or(claimed)
    };
    Identity {
        account: keep(&old.account, &named.account, claimed.account),
        user: keep(&old.user, &named.user, claimed.user),
        plan: claimed.plan.or_else(|| old.plan.clone()),
        email: named.email.clone().or(claimed.email).or_else(|| old.email.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::claims::tests::jwt;
    use super::super::grant::{Exchange, read};
    use super::*;
    use crate::model::{CredentialKind, Secret};
    use http::{HeaderMap, StatusCode};
    use serde_json::{Value, json};

    const NOW: Time = Time::from_secs(1_000_000);

    /// REN-4 T16: whatever a reply says or leaves out.
    #[test]
    fn a_reply_is_taken_for_what_it_says_and_the_rest_stays() {
        let jwt_until = |exp: u64| jwt(&json!({ "exp": exp }));
        let year = 366 * 24 * 3600;
        let table: [(Value, &str, u64); 10] = [
            (json!({ "expires_in": 60 }), "old", 60),
            (json!({ "expires_in": "60", "scope": "x" }), "old", 60),
            (json!({ "expires_in": 59.9 }), "old", 59),
            (json!({ "expires_in": 0 }), "old", 0),
            (json!({ "expires_in": -5 }), "old", 0),
            (json!({ "expires_in": 1_000_000_000_000u64 }), "old", year),
            (json!({ "refresh_token": "new", "expires_in": 60 }), "new", 60),
            (json!({ "refresh_token": "old", "expires_in": 60 }), "old", 60),
            (json!({ "access_token": jwt_until(1_000_300) }), "old", 300),
            (json!({ "refresh_token": "", "id_token": "" }), "old", 3600),
        ];
        for (reply, refresh, lifetime) in table {
            let new = renewed(&old(), &Known::default(), grant(&reply), NOW).unwrap();
            let expected = Credential {
                version: 8,
                access: new.access.clone(),
                refresh: Some(Secret::new(refresh)),
                issued: NOW,
                expires: Some(NOW.after(Duration::from_secs(lifetime))),
                ..old()
            };
            assert_eq!(new, expected, "{reply}");
        }
    }

    /// REN-4 T16
    #[test]
    fn a_reply_that_names_another_identity_is_refused() {
        let known = Known {
            access: Claims::of(&jwt(&json!({ "sub": "me" }))),
            id: Claims::of(&jwt(&json!({ "email": "me@example.com" }))),
        };
        let table = [
            (json!({ "access_token": jwt(&json!({ "sub": "me" })) }), true),
            (json!({ "access_token": jwt(&json!({ "sub": "you" })) }), false),
            (json!({ "id_token": jwt(&json!({ "email": "you@example.com" })) }), false),
            (json!({ "organization": { "uuid": "org" } }), true),
            (json!({ "organization": { "uuid": "another" } }), false),
            (json!({ "account": { "uuid": "anybody" } }), true),
        ];
        for (reply, same) in table {
            let new = renewed(&old(), &known, grant(&reply), NOW);
            assert_eq!(new.is_ok(), same, "{reply}");
        }
    }

    #[test]
    fn a_reply_completes_who_it_is_and_updates_the_plan() {
        let claims = json!({ "email": "me@example.com", "a": { "user_id": "u", "plan_type": "pro" } });
        let reply = json!({ "id_token": jwt(&claims), "organization": { "uuid": "org" } });
        let new = renewed(&old(), &Known::default(), grant(&reply), NOW).unwrap();
        let expected = Identity {
            account: Some("org".to_owned()),
            user: Some("u".to_owned()),
            plan: Some("pro".to_owned()),
            email: Some("me@example.com".to_owned()),
        };
        assert_eq!(new.identity, expected);
    }

    fn old() -> Credential {
        Credential {
            version: 7,
            kind: CredentialKind::Oauth,
            access: Secret::new("at"),
            refresh: Some(Secret::new("old")),
            self_granted: false,
            id_token: None,
            identity: Identity {
                account: Some("org".to_owned()),
                plan: Some("free".to_owned()),
                ..Identity::default()
            },
            issued: Time::default(),
            expires: Some(NOW),
        }
    }

    fn grant(reply: &Value) -> Grant {
        let mut whole = json!({ "access_token": "at-2" });
        whole.as_object_mut().unwrap().extend(reply.as_object().unwrap().clone());
        let granted = read(StatusCode::OK, &HeaderMap::new(), whole.to_string().as_bytes());
        let Exchange::Granted(grant) = granted else {
            panic!("{granted:?}");
        };
        *grant
    }
}
