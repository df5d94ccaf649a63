use super::place::Place;
use serde_json::Value;

const PRESET: &str = r#"id = "mine"
extends = "oauth2"
origin = "https://api.example.com"
token = { exec = ["sh", "-c", "cat \"$PRINTS/$0\"", "{alias}"] }
"#;

/// An account of a provider whose tokens a program prints needs no secret: its first token is had at once.
#[test]
fn an_account_is_added_without_a_secret_where_a_program_prints_its_token() {
    let mut place = Place::new();
    place.set("PATH", "/usr/bin:/bin");
    let prints = place.file("work", 0o600, "{\"token\":\"at-canary\",\"expires_in\":3600}\n");
    let prints = prints.parent().expect("a directory").display().to_string();
    let preset = PRESET.replace("$PRINTS", &prints);
    place.file("config/rota/providers/mine.toml", 0o600, &preset);
    let missing = place.rota(&["accounts", "add", "home", "--provider", "mine"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.err.contains("nothing was added: the program \"sh\" ended with status 1"), "{missing:?}");
    assert!(missing.err.contains("[TOKEN_NOT_GRANTED]"), "{missing:?}");
    let added = place.rota(&["accounts", "add", "work", "--provider", "mine"]);
    assert_eq!((added.code, added.out.as_str()), (Some(0), "work added to mine: eligible\n"), "{added:?}");
    let listed: Value = serde_json::from_str(&place.rota(&["accounts", "ls", "--json"]).out).expect("JSON");
    let [account] = listed["accounts"].as_array().expect("a list").as_slice() else {
        panic!("{listed}");
    };
    let told = ["kind", "renewsItself", "version"].map(|key| account["credential"][key].to_string());
    assert_eq!(told, ["\"oauth\"", "true", "1"]);
    assert!(!listed.to_string().contains("canary"));
    let exported = place.rota(&["store", "export", "--secrets"]).out;
    assert!(exported.contains("at-canary") && exported.contains("\"selfGranted\": true"), "{exported}");
}

#[test]
fn an_account_without_a_secret_is_refused_where_nothing_grants_it_one() {
    let place = Place::new();
    for (provider, told) in [
        (
            "openai",
            "secret: give secret (a key or bearer) or credential: provider openai grants no token without one [",
        ),
        ("codex", "grants no token without one; or sign in with `rota login` ["),
    ] {
        let ran = place.rota(&["accounts", "add", "work", "--provider", provider]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains(told), "{ran:?}");
    }
}
