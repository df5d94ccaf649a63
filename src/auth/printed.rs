//! What a token command prints, read: kubectl's ExecCredential, an object with a token and its end, or a bare token.
use super::claims::Claims;
use super::grant::{Grant, is_token};
use crate::model::{Identity, Secret, Time};
use serde_json::{Map, Value};
use std::time::Duration;

/// Where an object says its token, the most telling first. An ID token alone is one, too: kubectl's are.
const TOKENS: [&str; 4] = ["access_token", "accessToken", "token", "id_token"];
/// Where it says when it ends.
const ENDS: [&str; 5] = ["expirationTimestamp", "expires_at", "expiresAt", "expiration", "Expiration"];
/// Where it says for how many seconds it lasts.
const LASTS: [&str; 2] = ["expires_in", "expiresIn"];
/// Numbers from here on are milliseconds: as seconds they are after the year 5000.
const MILLIS: u64 = 100_000_000_000;

/// The token in `text`, which lasts for `lifetime` where neither the text nor the token says.
///
/// # Errors
/// A half sentence about what the program printed, without a word of it.
pub(super) fn read(text: &str, lifetime: Duration, now: Time) -> Result<Grant, String> {
    let parsed: Map<String, Value>;
    let (token, expires, id_token) = if text.starts_with('{') {
        parsed = serde_json::from_str(text).map_err(|_| "printed what begins like JSON and is none")?;
        let object = parsed.get("status").and_then(Value::as_object).unwrap_or(&parsed);
        let (name, token) = named(object, &TOKENS).ok_or(
            "printed an object without a token; it goes into status.token, access_token, accessToken or token",
        )?;
        let id_token = string(object, "id_token").filter(|_| name != "id_token");
        (token, end(object, now)?, id_token)
    } else {
        (text, None, None)
    };
    if !is_token(token) {
        return Err("printed what cannot be a token: one line without blanks, or JSON".into());
    }
    let access_claims = Claims::of(token);
    let claimed = || access_claims.as_ref().and_then(|claims| claims.expires);
    let expires = expires.or_else(claimed).unwrap_or_else(|| now.after(lifetime));
    if expires <= now {
        return Err("printed a token that has ended already, by this machine's clock".into());
    }
    let seconds = now.until(expires).as_secs();
    Ok(Grant {
        access: Secret::new(token),
        access_claims,
        refresh: None,
        id_token: id_token.map(Secret::new),
        id_claims: id_token.and_then(Claims::of),
        expires_in: Some(i64::try_from(seconds).unwrap_or(i64::MAX)),
        named: Identity::default(),
    })
}

fn named<'a>(object: &'a Map<String, Value>, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
    names.iter().find_map(|name| Some((*name, string(object, name)?)))
}

fn string<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// When the token ends, where the object says. What it says and cannot be read is an error: guessing would mean to use
/// a dead token, or to ask all day.
fn end(object: &Map<String, Value>, now: Time) -> Result<Option<Time>, String> {
    let given = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, object.get(*name).filter(|value| !value.is_null())?)))
    };
    if let Some((name, value)) = given(&ENDS) {
        let wrong = || {
            format!(
                "printed {name}, which is neither a date of RFC 3339 nor seconds or milliseconds since 1970"
            )
        };
        return point(value).map(Some).ok_or_else(wrong);
    }
    let Some((name, value)) = given(&LASTS) else {
        return Ok(None);
    };
    let seconds = number(value).ok_or_else(|| format!("printed {name}, which is no number of seconds"))?;
    Ok(Some(now.after(Duration::from_secs(seconds))))
}

fn point(value: &Value) -> Option<Time> {
    if let Some(number) = number(value) {
        return Some(if number < MILLIS { Time::from_secs(number) } else { Time::from_millis(number) });
    }
    let stamp: jiff::Timestamp = value.as_str()?.trim().parse().ok()?;
    u64::try_from(stamp.as_millisecond()).ok().map(Time::from_millis)
}

fn number(value: &Value) -> Option<u64> {
    let whole = |number: f64| (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64);
    value.as_u64().or_else(|| whole(value.as_f64()?)).or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::super::claims::tests::jwt;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: Time = Time::from_secs(1_700_000_000);
    const LIFETIME: Duration = Duration::from_secs(600);

    #[test]
    fn what_programs_print_is_read_as_it_is_meant() {
        let until = |exp: u64| jwt(&json!({ "exp": exp }));
        let table: [(String, &str, i64); 15] = [
            ("bare".to_owned(), "bare", 600),
            (until(1_700_000_060), &until(1_700_000_060), 60),
            (
                json!({
                    "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                    "status": { "token": "t", "expirationTimestamp": "2023-11-14T22:13:50Z" },
                })
                .to_string(),
                "t",
                30,
            ),
            (json!({ "kind": "ExecCredential", "status": { "token": "t" } }).to_string(), "t", 600),
            (json!({ "token": "t", "expires_at": 1_700_000_030 }).to_string(), "t", 30),
            (json!({ "token": "t", "expiresAt": 1_700_000_030_000u64 }).to_string(), "t", 30),
            (json!({ "accessToken": "t", "expiresAt": "1700000030" }).to_string(), "t", 30),
            (json!({ "access_token": "t", "expiration": "2023-11-14T23:13:50+01:00" }).to_string(), "t", 30),
            (
                json!({ "token": "t", "Expiration": "2023-11-14T22:13:50Z", "Version": 1 }).to_string(),
                "t",
                30,
            ),
            (json!({ "token": "t", "expires_in": 30 }).to_string(), "t", 30),
            (json!({ "token": "t", "expires_in": "30" }).to_string(), "t", 30),
            (json!({ "token": "t", "expires_in": 30.9 }).to_string(), "t", 30),
            (json!({ "token": "t", "expires_at": null }).to_string(), "t", 600),
            (json!({ "id_token": "t" }).to_string(), "t", 600),
            (json!({ "access_token": "t", "token": "other" }).to_string(), "t", 600),
        ];
        for (text, token, lasts) in table {
            let grant = read(&text, LIFETIME, NOW).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((grant.access, grant.expires_in), (Secret::new(token), Some(lasts)), "{text}");
            assert_eq!(grant.refresh, None);
        }
    }

    #[test]
    fn an_id_token_beside_the_token_is_kept_for_its_claims() {
        let id = jwt(&json!({ "sub": "me" }));
        let grant = read(&json!({ "access_token": "t", "id_token": id }).to_string(), LIFETIME, NOW).unwrap();
        assert_eq!((grant.access, grant.id_token), (Secret::new("t"), Some(Secret::new(id))));
        assert!(grant.id_claims.is_some());
    }

    /// OBS-3
    #[test]
    fn what_is_no_token_is_refused_without_a_word_of_it() {
        let dead = jwt(&json!({ "exp": 1_699_999_999u64, "canary": true }));
        let table = [
            ("canary canary".to_owned(), "cannot be a token"),
            ("canary\ncanary".to_owned(), "cannot be a token"),
            ("{\"token\": \"canary\"".to_owned(), "begins like JSON"),
            (json!({ "tokens": "canary" }).to_string(), "without a token"),
            (json!({ "token": "" , "x": "canary" }).to_string(), "without a token"),
            (json!({ "status": { "clientKeyData": "canary" } }).to_string(), "status.token"),
            (json!({ "token": "can ary" }).to_string(), "cannot be a token"),
            (json!({ "token": "canary", "expires_at": "soon" }).to_string(), "printed expires_at"),
            (json!({ "token": "canary", "expires_in": "soon" }).to_string(), "printed expires_in"),
            (json!({ "token": "canary", "expires_in": -5 }).to_string(), "printed expires_in"),
            (json!({ "token": "canary", "expires_in": 0 }).to_string(), "ended already"),
            (json!({ "token": "canary", "expires_at": 1_700_000_000 }).to_string(), "ended already"),
            (dead, "ended already"),
        ];
        for (text, said) in table {
            let why = read(&text, LIFETIME, NOW).unwrap_err();
            assert!(why.contains(said) && !why.contains("canary"), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_program_prints_is_too_odd_to_be_read(text in "\\PC{0,80}", number in any::<f64>()) {
            let _ = read(&text, LIFETIME, NOW);
            let _ = read(&json!({ "token": "t", "expires_at": number }).to_string(), LIFETIME, NOW);
            let _ = read(&json!({ "token": "t", "expires_in": number }).to_string(), LIFETIME, NOW);
        }
    }
}
