use crate::model::{Identity, Time};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A token larger than this is not looked into.
const TOKEN_BYTES: usize = 64 * 1024;

/// What a token says of itself (RFC 7519 §4). The signature is not checked: a claim is compared with what was claimed
/// before and shown to the owner, and permits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Claims that name somebody, by their path.
    ids: BTreeMap<String, String>,
    plan: Option<String>,
    email: Option<String>,
    /// When it ends: `exp`.
    pub expires: Option<Time>,
}

impl Claims {
    /// None where `token` is not a JWT.
    pub fn of(token: &str) -> Option<Self> {
        if token.len() > TOKEN_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let payload: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
        let mut claims = Self { expires: payload.get("exp").and_then(seconds), ..Self::default() };
        claims.note("", &payload);
        for (space, inner) in &payload {
            if let Value::Object(inner) = inner {
                claims.note(space, inner);
            }
        }
        Some(claims)
    }

    fn note(&mut self, space: &str, claims: &Map<String, Value>) {
        for (name, value) in claims {
            let Some(value) = value.as_str().filter(|value| !value.is_empty()) else {
                continue;
            };
            if name == "sub" || name.ends_with("account_id") || name.ends_with("user_id") {
                self.ids.insert(format!("{space}/{name}"), value.to_owned());
            } else if name.ends_with("plan_type") {
                self.plan.get_or_insert_with(|| value.to_owned());
            } else if name == "email" {
                self.email.get_or_insert_with(|| value.to_owned());
            }
        }
    }

    /// Whom the token names. Of several claims of one kind the one with the plainest name speaks.
    pub fn identity(&self) -> Identity {
        let plainest = |end: &str| {
            let fits = self.ids.iter().filter(|(path, _)| path.ends_with(end));
            let by_name = fits.min_by_key(|(path, _)| path.rsplit('/').next().map_or(0, str::len));
            by_name.map(|(_, value)| value.clone())
        };
        Identity {
            account: plainest("account_id"),
            user: plainest("user_id").or_else(|| plainest("/sub")),
            plan: self.plan.clone(),
            email: self.email.clone(),
        }
    }

    /// True where both name somebody by the same claim, and not the same one. An address alone may change.
    pub(super) fn contradict(&self, later: &Self) -> bool {
        let mut common = self.ids.iter().filter_map(|(path, id)| Some((id, later.ids.get(path)?))).peekable();
        if common.peek().is_some() {
            return common.any(|(before, after)| before != after);
        }
        matches!((&self.email, &later.email), (Some(before), Some(after)) if before != after)
    }
}

fn seconds(value: &Value) -> Option<Time> {
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Time::from_secs(seconds as u64))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// REN-4
    #[test]
    fn a_token_says_when_it_ends_and_whose_it_is() {
        let token = jwt(&json!({
            "exp": 1_800_000_000.5,
            "sub": "auth|7",
            "email": "a@example.com",
            "https://example.com/auth": {
                "chat_account_id": "org-1", "chat_account_user_id": "u__org-1", "user_id": "u",
                "chat_plan_type": "plus", "deep": { "account_id": "not looked at" },
            },
        }));
        let claims = Claims::of(&token).unwrap();
        let identity = Identity {
            account: Some("org-1".to_owned()),
            user: Some("u".to_owned()),
            plan: Some("plus".to_owned()),
            email: Some("a@example.com".to_owned()),
        };
        assert_eq!((claims.expires, claims.identity()), (Some(Time::from_secs(1_800_000_000)), identity));
        let plain = Claims::of(&jwt(&json!({ "sub": "x" }))).unwrap();
        assert_eq!((plain.expires, plain.identity().user.as_deref()), (None, Some("x")));
    }

    /// REN-4
    #[test]
    fn what_is_not_a_jwt_says_nothing() {
        let odd = ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "a.e30.", ".bnVsbA.", "x.e30=.y", "a.W10.c"];
        let read: Vec<bool> = odd.iter().map(|token| Claims::of(token).is_some()).collect();
        assert_eq!(read, [false, false, false, false, false, true, false, true, false]);
        let large = jwt(&json!({ "sub": "x".repeat(TOKEN_BYTES) }));
        assert_eq!(Claims::of(&large), None);
    }

    /// REN-4
    #[test]
    fn another_id_contradicts_and_another_address_only_where_there_is_no_id() {
        let table = [
            (json!({ "sub": "a" }), json!({ "sub": "a" }), false),
            (json!({ "sub": "a" }), json!({ "sub": "b" }), true),
            (json!({ "sub": "a" }), json!({ "other_user_id": "b" }), false),
            (json!({ "s": { "account_id": "1" } }), json!({ "s": { "account_id": "2" } }), true),
            (json!({ "sub": "a", "email": "old" }), json!({ "sub": "a", "email": "new" }), false),
            (json!({ "email": "old" }), json!({ "email": "new" }), true),
            (json!({}), json!({ "sub": "b" }), false),
        ];
        for (before, after, expected) in table {
            let of = |claims| Claims::of(&jwt(claims)).unwrap();
            assert_eq!(of(&before).contradict(&of(&after)), expected, "{before} {after}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_looked_at(token in ".{0,200}") {
            let _ = Claims::of(&token);
        }
    }

    pub(in crate::auth) fn jwt(claims: &Value) -> String {
        let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
        format!("{}.{payload}.sig", URL_SAFE_NO_PAD.encode("{}"))
    }
}
