//! C10, P15: what is secret in the environment is read and gone, and everything it was for still works.
use super::place::{Fake, Place};
use super::talk::Talk;
use std::fs;

const GATE: &str = "GATEcanary-client-key-of-rota";
const PASSWORD: &str = "PROXYcanary";
const PASSPHRASE: &str = "PASScanary";
const PARAMETER: &str = "PARAMcanary";
/// A provider that grants tokens for a secret of the environment's, another one for each account.
const PRESET: &str = r#"id = "mine"
extends = "oauth2"
origin = "https://api.example.com"
[token]
url = "$ORIGIN/oauth/token"
grant = "client-credentials"
client_id = "me"
params = { client_secret = { env = "SECRET_OF_{alias}" } }
"#;

/// C10, OBS-3, P15
#[test]
fn no_secret_of_the_environment_stays_there_or_reaches_a_child_and_all_are_in_force() {
    let fake = Fake::keys(&["a"]);
    let mut place = Place::before(&fake);
    place.rota(&["store", "new-key", "key"]);
    // A child of rota's: it tells what it was given.
    let script = format!(
        "#!/bin/sh\nenv > '{}'\ncat '{}'\n",
        place.path("child").display(),
        place.path("key").display()
    );
    let script = place.file("bin/key", 0o700, &script);
    place.set("ROTA_ENCRYPTION__MODE", "on");
    place.set("ROTA_ENCRYPTION__KEY_COMMAND", script.display());
    place.add("work", "openai", "sk-a");
    place.set("ROTA_CLIENT_KEYS", GATE);
    for name in ["HTTPS_PROXY", "all_proxy", "HTTP_PROXY"] {
        place.set(name, format!("http://me:{PASSWORD}@127.0.0.1:9"));
    }
    place.set("CODEX_SOFT_STORE_PASSPHRASE", PASSPHRASE);
    place.set("SECRET_OF_team", PARAMETER);
    place.file("config/rota/providers/mine.toml", 0o600, &PRESET.replace("$ORIGIN", &fake.upstream.origin()));
    place.set("NO_PROXY", "no-canary.example");
    let daemon = place.serve();

    let child = fs::read_to_string(place.path("child")).expect("what the child was given");
    assert!(child.contains("NO_PROXY=no-canary.example") && child.contains("ROTA_LISTEN="), "{child}");
    clean("a child's environment", child.as_bytes());
    match fs::read(format!("/proc/{}/environ", daemon.pid())) {
        Ok(environ) => {
            let text = String::from_utf8_lossy(&environ);
            assert!(text.contains("ROTA_LISTEN=127.0.0.1:0"), "it is the right process's");
            clean("/proc/PID/environ", &environ);
        }
        Err(error) => assert!(!rustix::process::geteuid().is_root(), "root may read it: {error}"),
    }

    // What they said holds: clients need the key, now and after the configuration is read again.
    for _ in 0..2 {
        assert_eq!(daemon.ask("/v1/responses").status, 401);
        let keyed = daemon.call("POST", "/v1/responses").header("authorization", &format!("Bearer {GATE}"));
        assert_eq!(keyed.json(super::place::STREAM).send().status, 200);
        daemon.signal("HUP");
        daemon.wrote("the configuration was reloaded");
    }
    assert_eq!(Talk::to(daemon.admin(), "GET", "/healthz").send().status, 200);
    // The fake grants nothing for it, but it is what it was asked with.
    assert_eq!(place.rota(&["accounts", "add", "team", "--provider", "mine"]).code, Some(1));
    assert!(fake.upstream.saw(PARAMETER));
    let log = daemon.stop();
    clean("the log", log.as_bytes());
}

fn clean(what: &str, bytes: &[u8]) {
    for secret in [GATE, PASSWORD, PASSPHRASE, PARAMETER] {
        let there = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!there, "{what} holds {secret}");
    }
}
