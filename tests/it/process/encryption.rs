//! Encryption at rest as its user meets it: a new key, on, off, lost, wrong.
use super::place::{Fake, Place};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const TOKEN: &str = "sk-canary";

/// STO-4, P15
#[test]
fn with_a_key_nothing_on_the_disk_tells_a_token_and_all_goes_on_as_before() {
    let fake = Fake::keys(&["canary", "b"]);
    let mut place = Place::before(&fake);
    place.add("work", "openai", TOKEN);
    assert!(told(&place.stored()), "without encryption it is there");
    let made = place.json(&["store", "new-key", "key"]);
    let mode = fs::metadata(place.path("key")).expect("a file").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let again = place.rota(&["store", "new-key", "key"]);
    assert!(again.code == Some(1) && again.err.contains("exists"), "a key is never written over: {again:?}");

    place.set("ROTA_ENCRYPTION__MODE", "on");
    place.set("ROTA_ENCRYPTION__KEY_FILE", place.path("key").display());
    // The command line opens the store in its own process, too.
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    assert_eq!(daemon.ask("/v1/responses").status, 200);
    assert_eq!(daemon.ask("/v1/responses").status, 200);
    assert!(!told(&place.stored()));
    daemon.stop();
    let report = place.json(&["store", "verify"]);
    let sealed = report["records"].as_array().expect("records").iter();
    let keys: Vec<_> = sealed.map(|line| &line["sealedWith"]).filter(|key| !key.is_null()).collect();
    assert_eq!(keys, [&made["key"], &made["key"]]);
    assert!(place.rota(&["store", "export", "--secrets"]).out.contains(TOKEN));

    place.set("ROTA_ENCRYPTION__MODE", "off");
    let daemon = place.serve();
    assert!(daemon.log().contains("encryption is off: 2 credential records"), "{}", daemon.log());
    assert_eq!(daemon.ask("/v1/responses").status, 200);
    daemon.stop();
    place.set("ROTA_ENCRYPTION__KEY_FILE", "");
    assert_eq!(place.serve().ask("/v1/responses").status, 200);
}

/// STO-5, SPEC's exit codes: what is sealed and has no key is a configuration that is refused.
#[test]
fn without_the_key_nothing_starts_and_nothing_is_changed() {
    let mut place = Place::new();
    place.rota(&["store", "new-key", "key"]);
    let key = place.path("key");
    place.set("ROTA_ENCRYPTION__MODE", "on");
    place.set("ROTA_ENCRYPTION__KEY_FILE", key.display());
    place.add("work", "openai", TOKEN);
    place.set("ROTA_ENCRYPTION__MODE", "off");
    place.set("ROTA_ENCRYPTION__KEY_FILE", "");
    let before = records(&place);
    let refused = place.serve_in_vain(&[]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(
        refused.err.contains("`encryption.key_file`") && refused.err.contains("STORE_KEY_MISSING"),
        "{refused:?}"
    );
    assert_eq!(place.rota(&["accounts"]).code, Some(78));
    for readable in [&["store", "verify"][..], &["store", "export"], &["store", "backup", "copy"]] {
        let ran = place.rota(readable);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let verified = place.rota(&["store", "verify"]).out;
    assert!(verified.contains("intact, sealed with key "), "{verified}");
    let exported = place.rota(&["store", "export", "--secrets"]);
    assert!(exported.code == Some(1) && exported.err.contains("`encryption.key_file`"), "{exported:?}");
    assert_eq!(records(&place), before);

    place.set("ROTA_ENCRYPTION__MODE", "on");
    let refused = place.serve_in_vain(&[]);
    assert!(refused.code == Some(78) && refused.err.contains("rota store new-key"), "{refused:?}");
    place.set("ROTA_ENCRYPTION__KEY_FILE", key.display());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let refused = place.serve_in_vain(&[]);
    assert!(refused.code == Some(78) && refused.err.contains("chmod 600"), "{refused:?}");
    assert_eq!(records(&place), before);
}

/// STO-5
#[test]
fn with_a_wrong_key_the_account_says_so_and_the_others_serve() {
    let fake = Fake::keys(&["canary", "b"]);
    let mut place = Place::before(&fake);
    for name in ["key", "other"] {
        assert_eq!(place.rota(&["store", "new-key", name]).code, Some(0));
    }
    place.set("ROTA_ENCRYPTION__MODE", "on");
    place.set("ROTA_ENCRYPTION__KEY_FILE", place.path("key").display());
    place.add("work", "openai", TOKEN);
    let before = records(&place);
    place.set("ROTA_ENCRYPTION__KEY_FILE", place.path("other").display());
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    let log = daemon.log();
    assert!(log.contains("is sealed with key ") && log.contains("work"), "{log}");
    for _ in 0..3 {
        assert_eq!(daemon.ask("/v1/responses").status, 200);
    }
    let order: Vec<_> = fake.upstream.requests().iter().filter_map(|seen| seen.account.clone()).collect();
    assert_eq!(order, ["b", "b", "b"]);
    daemon.stop();
    for (name, bytes) in before {
        assert_eq!(records(&place)[&name], bytes, "{name}");
    }
    place.set("ROTA_ENCRYPTION__KEY_FILE", place.path("key").display());
    assert_eq!(place.serve().ask("/v1/responses").status, 200, "the right key has its account back");
}

fn told(files: &BTreeMap<String, Vec<u8>>) -> bool {
    files.values().any(|bytes| bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes()))
}

fn records(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let mut files = place.stored();
    files.retain(|name, _| name.starts_with("credentials/"));
    files
}
