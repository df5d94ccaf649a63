use super::*;
use std::collections::BTreeMap;

/// REN-5, REN-6: an account that has to sign in again does, and keeps its name; the others are not touched.
#[test]
fn an_account_that_lost_its_login_signs_in_again() {
    for daemon in [false, true] {
        let fake = provider();
        let place = home(&fake);
        sign_in(&place, "work", "a");
        sign_in(&place, "home", "b");
        let other = credential(&place, "home");
        let running = daemon.then(|| place.serve());
        let signing = Signing::start(&place, &["work"]);
        agree(&signing, "a");
        let ran = signing.ended();
        assert_eq!((ran.code, ran.out.contains("✔ work   user-a@example.test")), (Some(0), true), "{ran:?}");
        assert_eq!(credential(&place, "home"), other);
        let running = running.unwrap_or_else(|| place.serve());
        served(&fake, &running, "/chat/responses", &["a", "b"]);
        assert_eq!(aliases(&place), ["work", "home"]);
    }
}

/// UX: what has to be done is said as a command, by every view of the accounts.
#[test]
fn a_dead_login_names_the_command_that_mends_it() {
    let fake = provider();
    let place = home(&fake);
    sign_in(&place, "work", "a");
    fake.upstream.account("a", |account| {
        account.invalidate_access();
        account.refresh_tokens.clear();
    });
    let daemon = place.serve();
    assert_ne!(daemon.ask("/chat/responses").status, 200);
    for args in [&["status"][..], &["accounts", "ls"]] {
        let ran = place.rota(args);
        let lines: Vec<&str> = ran.out.lines().collect();
        let told = lines.windows(2).find(|pair| pair[0].starts_with("! work has to sign in again"));
        assert_eq!(told.map(|pair| pair[1].trim()), Some("rota login work"), "{args:?}: {}", ran.out);
    }
    // The request has begun one for another device already; this joins it.
    let signing = Signing::start(&place, &["work"]);
    assert!(fake.upstream.approve_device(&signing.code(), "a"));
    assert_eq!(signing.ended().code, Some(0));
    assert!(!place.rota(&["status"]).out.contains("sign in again"));
    served(&fake, &daemon, "/chat/responses", &["a"]);
}

/// REN-6: somebody else in the browser changes nothing.
#[test]
fn another_identity_is_refused_and_the_old_credential_kept() {
    for daemon in [false, true] {
        let fake = provider();
        let place = home(&fake);
        sign_in(&place, "work", "a");
        let before = credential(&place, "work");
        let running = daemon.then(|| place.serve());
        let signing = Signing::start(&place, &["work"]);
        agree(&signing, "b");
        let ran = signing.ended();
        assert_eq!((ran.code, ran.out.as_str()), (Some(5), ""), "{ran:?}");
        assert!(ran.err.contains("work is as it was [IDENTITY_MISMATCH]"), "{}", ran.err);
        assert_eq!(credential(&place, "work"), before);
        let running = running.unwrap_or_else(|| place.serve());
        served(&fake, &running, "/chat/responses", &["a"]);
    }
}

/// REN-5: what cannot be signed in to again says so and stays.
#[test]
fn a_reauth_of_the_wrong_kind_is_refused() {
    let fake = provider();
    let place = home(&fake);
    sign_in(&place, "work", "a");
    let before = credential(&place, "work");
    let moved = place.rota(&["login", "work", "--provider", "acme"]);
    assert_eq!((moved.code, moved.err.contains("belongs to provider chat")), (Some(1), true), "{moved:?}");
    place.add("keyed", "openai", "sk-1");
    let keyed = place.rota(&["login", "keyed"]);
    assert_eq!((keyed.code, keyed.err.contains("[LOGIN_UNAVAILABLE]")), (Some(1), true), "{keyed:?}");
    let off = place.rota(&["disable", "work", "--force"]);
    assert_eq!(off.code, Some(0), "{off:?}");
    let disabled = place.rota(&["login", "work"]);
    assert_eq!((disabled.code, disabled.err.contains("rota enable work")), (Some(1), true), "{disabled:?}");
    assert_eq!(credential(&place, "work"), before);
    let denied = Signing::start(&place, &["../work", "--provider", "chat"]).ended();
    assert_eq!(denied.code, Some(1), "{denied:?}");
}

fn sign_in(place: &Place, alias: &str, account: &str) {
    let signing = Signing::start(place, &[alias, "--provider", "chat"]);
    agree(&signing, account);
    let ran = signing.ended();
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// The record of an account's credential as it is on disk, by its file.
fn credential(place: &Place, alias: &str) -> BTreeMap<String, Vec<u8>> {
    let accounts = place.json(&["accounts"])["accounts"].as_array().cloned().expect("accounts");
    let at = accounts.iter().position(|account| account["alias"] == alias).expect("the account");
    let mut files: Vec<_> = place
        .stored()
        .into_iter()
        .filter(|(name, _)| name.starts_with("credentials/") && name.ends_with(".json"))
        .collect();
    files.sort();
    assert_eq!(files.len(), accounts.len(), "one record an account, in their order");
    BTreeMap::from([files.swap_remove(at)])
}
