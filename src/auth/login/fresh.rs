use crate::auth::claims::Claims;
use crate::auth::grant::Grant;
use crate::auth::renewed::{Known, expires, is_another};
use crate::model::{Credential, CredentialKind, Identity, Time};

/// The credential that a sign-in gave. `version` is 1, or higher than that of any before.
pub(super) fn fresh(grant: Grant, version: u64, now: Time) -> Credential {
    let told = grant.expires_in.is_some() || claimed_end(&grant).is_some() || grant.refresh.is_some();
    // A token that cannot be renewed and does not say when it ends lasts until it is refused.
    let expires = told.then(|| expires(&grant, now));
    Credential {
        version,
        kind: CredentialKind::Oauth,
        identity: identity(&grant),
        access: grant.access,
        refresh: grant.refresh,
        self_granted: false,
        id_token: grant.id_token,
        issued: now,
        expires,
    }
}

/// The credential that takes `old`'s place. None where somebody else signed in (REN-6): like is compared with like, and
/// what nothing is known of contradicts nothing. Nothing of the old tokens stays.
pub(super) fn again(
    old: &Credential,
    known: &Known,
    grant: Grant,
    version: u64,
    now: Time,
) -> Option<Credential> {
    if is_another(&old.identity, known, &grant) {
        return None;
    }
    let new = fresh(grant, version, now);
    if differ(&old.identity, &new.identity) {
        return None;
    }
    let Identity { account, user, plan, email } = new.identity;
    let kept = &old.identity;
    let identity = Identity {
        account: account.or_else(|| kept.account.clone()),
        user: user.or_else(|| kept.user.clone()),
        plan: plan.or_else(|| kept.plan.clone()),
        email: email.or_else(|| kept.email.clone()),
    };
    Some(Credential { identity, ..new })
}

/// Two accounts of one person differ in the organisation alone, and an address may change: it counts only where there is
/// nothing better.
fn differ(old: &Identity, new: &Identity) -> bool {
    let ids = [(&old.account, &new.account), (&old.user, &new.user)];
    let mut common = ids.into_iter().filter_map(|(old, new)| old.as_ref().zip(new.as_ref())).peekable();
    if common.peek().is_some() {
        return common.any(|(old, new)| old != new);
    }
    matches!((&old.email, &new.email), (Some(old), Some(new)) if !old.eq_ignore_ascii_case(new))
}

fn claimed_end(grant: &Grant) -> Option<Time> {
    grant.access_claims.as_ref()?.expires
}

/// What the reply names beside its tokens, then what they claim: the id token first, which is made for this.
fn identity(grant: &Grant) -> Identity {
    let of = |claims: &Option<Claims>| claims.as_ref().map(Claims::identity).unwrap_or_default();
    let (id, access, named) = (of(&grant.id_claims), of(&grant.access_claims), &grant.named);
    Identity {
        account: named.account.clone().or(id.account).or(access.account),
        user: named.user.clone().or(id.user).or(access.user),
        plan: named.plan.clone().or(id.plan).or(access.plan),
        email: named.email.clone().or(id.email).or(access.email),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::claims::tests::jwt;
    use crate::auth::grant::{Exchange, read};
    use crate::model::Secret;
    use http::{HeaderMap, StatusCode};
    use serde_json::{Value, json};
    use std::time::Duration;

    const NOW: Time = Time::from_secs(1_000_000);

    /// REN-5, REN-4
    #[test]
    fn a_sign_in_is_taken_for_what_it_says() {
        let claims = json!({ "email": "me@example.com", "a": { "account_id": "org", "user_id": "u", "plan_type": "pro" } });
        let reply = json!({ "refresh_token": "rt", "id_token": jwt(&claims), "expires_in": 60 });
        let expected = Credential {
            version: 1,
            kind: CredentialKind::Oauth,
            access: Secret::new("at"),
            refresh: Some(Secret::new("rt")),
            self_granted: false,
            id_token: Some(Secret::new(jwt(&claims))),
            identity: who(Some("org"), Some("u"), Some("pro"), Some("me@example.com")),
            issued: NOW,
            expires: Some(NOW.after(Duration::from_secs(60))),
        };
        assert_eq!(fresh(grant(&reply), 1, NOW), expected);
        let named =
            json!({ "organization": { "uuid": "org" }, "account": { "uuid": "u", "email_address": "me@x" } });
        let told = fresh(grant(&named), 1, NOW);
        assert_eq!(told.identity, who(Some("org"), Some("u"), None, Some("me@x")));
    }

    #[test]
    fn a_token_without_an_end_and_without_a_successor_has_none() {
        let hour = Some(NOW.after(Duration::from_secs(3600)));
        for (reply, expires) in [
            (json!({}), None),
            (json!({ "refresh_token": "rt" }), hour),
            (json!({ "expires_in": 3600 }), hour),
            (json!({ "access_token": jwt(&json!({ "exp": 1_003_600 })) }), hour),
        ] {
            assert_eq!(fresh(grant(&reply), 1, NOW).expires, expires, "{reply}");
        }
    }

    /// REN-6
    #[test]
    fn somebody_else_is_refused_and_the_same_person_is_not() {
        let org = |account: &str, user: &str| json!({ "organization": { "uuid": account }, "account": { "uuid": user } });
        let table = [
            (who(Some("o"), Some("u"), None, None), org("o", "u"), true),
            (who(Some("o"), Some("u"), None, None), org("o2", "u"), false),
            (who(Some("o"), Some("u"), None, None), org("o", "u2"), false),
            (who(None, Some("u"), None, None), org("o", "u"), true),
            (who(None, None, None, None), org("o", "u"), true),
            (who(Some("o"), None, None, None), json!({}), true),
            (who(None, None, None, Some("Me@x")), json!({ "account": { "email_address": "me@X" } }), true),
            (who(None, None, None, Some("me@x")), json!({ "account": { "email_address": "you@x" } }), false),
            (
                who(None, Some("u"), None, Some("me@x")),
                json!({ "account": { "uuid": "u", "email_address": "new@x" } }),
                true,
            ),
            (who(None, Some("u"), None, None), json!({ "id_token": jwt(&json!({ "sub": "v" })) }), false),
        ];
        for (identity, reply, same) in table {
            let old = Credential { identity, ..old() };
            let new = again(&old, &Known::default(), grant(&reply), 8, NOW);
            assert_eq!(new.is_some(), same, "{:?} {reply}", old.identity);
        }
        let known = Known { access: Claims::of(&jwt(&json!({ "sub": "me" }))), id: None };
        let reply = json!({ "access_token": jwt(&json!({ "sub": "you" })) });
        let stranger = Credential { identity: Identity::default(), ..old() };
        assert_eq!(again(&stranger, &known, grant(&reply), 8, NOW), None);
    }

    /// REN-6, REN-2
    #[test]
    fn nothing_of_the_old_tokens_stays_and_what_is_known_of_the_person_does() {
        let old = Credential { identity: who(Some("o"), None, Some("pro"), Some("me@x")), ..old() };
        let new = again(&old, &Known::default(), grant(&json!({})), 8, NOW).unwrap();
        let expected = Credential {
            version: 8,
            access: Secret::new("at"),
            refresh: None,
            id_token: None,
            issued: NOW,
            expires: None,
            ..old
        };
        assert_eq!(new, expected);
    }

    fn old() -> Credential {
        Credential {
            version: 7,
            kind: CredentialKind::Oauth,
            access: Secret::new("old"),
            refresh: Some(Secret::new("old-rt")),
            self_granted: false,
            id_token: Some(Secret::new("old-id")),
            identity: Identity::default(),
            issued: Time::default(),
            expires: Some(NOW),
        }
    }

    fn who(account: Option<&str>, user: Option<&str>, plan: Option<&str>, email: Option<&str>) -> Identity {
        let [account, user, plan, email] = [account, user, plan, email].map(|text| text.map(str::to_owned));
        Identity { account, user, plan, email }
    }

    fn grant(reply: &Value) -> Grant {
        let mut whole = json!({ "access_token": "at" });
        whole.as_object_mut().unwrap().extend(reply.as_object().unwrap().clone());
        let granted = read(StatusCode::OK, &HeaderMap::new(), whole.to_string().as_bytes());
        let Exchange::Granted(grant) = granted else {
            panic!("{granted:?}");
        };
        *grant
    }
}
