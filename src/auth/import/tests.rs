use super::seal::{Machine, MachineSecret};
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::model::{CredentialKind, Identity, Secret};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const NOW: Time = Time::from_secs(1_800_000_000);
/// Of nearly every token in the fixtures.
const END: Time = Time::from_secs(4_102_444_800);
const REFRESHED: Time = Time::from_secs(1_793_520_000);

/// REN-5: `auth.json` of Codex CLI, with the two ways to sign in and older files.
#[test]
fn codex_cli_has_a_login_or_a_key() {
    let jwt = |name: &str| text("codex", name, "/tokens/access_token");
    let id = |name: &str| text("codex", name, "/tokens/id_token");
    let chatgpt = Found {
        credential: Credential {
            id_token: Some(Secret::new(id("chatgpt.json"))),
            identity: identity("user-1", "org-1", "plus", "one@example.com"),
            issued: REFRESHED.after(std::time::Duration::from_millis(500)),
            ..tokens(&jwt("chatgpt.json"), "rt-canary-codex")
        },
        ..login("codex", None)
    };
    let old = Found {
        credential: Credential {
            id_token: Some(Secret::new(id("old.json"))),
            identity: identity("user-1", "org-1", "plus", "one@example.com"),
            expires: None,
            ..tokens("at-canary-opaque", "rt-canary-codex")
        },
        ..login("codex", None)
    };
    let key = Found { credential: bare("sk-canary-codex-key"), ..login("openai", None) };
    for (name, found) in [("chatgpt.json", chatgpt), ("old.json", old), ("apikey.json", key)] {
        assert_eq!(read(Client::Codex, name), Ok(Reading { found: vec![found], left: vec![] }), "{name}");
    }
    for (name, told) in [("signed-out.json", "signed out"), ("personal.json", "personal access token")] {
        let error = read(Client::Codex, name).unwrap_err();
        assert!(matches!(error, ImportError::Nothing(_)), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// REN-5
#[test]
fn claude_code_has_a_login_that_is_renewed_or_a_token_that_is_not() {
    let plan = Identity { plan: Some("max".to_owned()), ..Identity::default() };
    let subscription = Found {
        credential: Credential {
            identity: plan,
            ..tokens("sk-ant-oat01-canary-claude", "sk-ant-ort01-canary-claude")
        },
        ..login("anthropic", None)
    };
    let setup = Found {
        credential: Credential { kind: CredentialKind::Bearer, ..bare("sk-ant-oat01-canary-setup") },
        ..login("anthropic", None)
    };
    for (name, found) in [("subscription.json", subscription), ("setup-token.json", setup)] {
        assert_eq!(
            read(Client::ClaudeCode, name),
            Ok(Reading { found: vec![found], left: vec![] }),
            "{name}"
        );
    }
}

/// REN-5
#[test]
fn opencode_has_many_providers_and_a_bad_one_keeps_no_other_out() {
    let access = text("opencode", "auth.json", "/openai/access");
    let found = vec![
        Found {
            credential: tokens("sk-ant-oat01-canary-oc", "sk-ant-ort01-canary-oc"),
            ..login("anthropic", None)
        },
        Found {
            credential: Credential { expires: None, ..tokens("copilot-canary", "ghu-canary") },
            ..login("github-copilot", None)
        },
        Found { credential: bare("AIza-canary"), ..login("gemini", None) },
        Found {
            credential: Credential {
                identity: identity("user-2", "org-2", "pro", "two@example.com"),
                ..tokens(&access, "rt-canary-oc-openai")
            },
            ..login("codex", None)
        },
        Found { credential: bare("sk-or-canary"), ..login("openrouter", None) },
    ];
    let left = vec![
        left("broken", "`broken.access` is missing"),
        left(
            "https://example.com",
            "`https://example.com.type` is a token for a server of its own, not for a provider",
        ),
    ];
    assert_eq!(read(Client::OpenCode, "auth.json"), Ok(sorted(Reading { found, left })));
}

/// REN-5
#[test]
fn opencode_multi_auth_has_two_versions_and_an_encrypted_form() {
    let work = account("work", "work", None);
    let v1 = Reading {
        found: vec![
            account("home", "Home Sweet", Some("was off in opencode-multi-auth: holiday")),
            work.clone(),
        ],
        left: vec![
            left(
                "gone",
                "`gone.authInvalid` says that its login was refused; sign in anew with `rota login`",
            ),
            left("odd", "`odd.refreshToken` must be a text"),
        ],
    };
    let v2 = Reading { found: vec![work], left: vec![] };
    assert_eq!(read(Client::OpenCodeMultiAuth, "v1.json"), Ok(v1));
    assert_eq!(read(Client::OpenCodeMultiAuth, "v2.json"), Ok(v2.clone()));
    let with = |passphrase: Option<&str>| {
        let keys = Keys { passphrase: passphrase.map(Passphrase::new), machine: None };
        read_with(Client::OpenCodeMultiAuth, "sealed.json", "sealed.json", &keys)
    };
    assert_eq!(with(Some("canary passphrase")), Ok(v2));
    assert!(matches!(with(None), Err(ImportError::Sealed(_))));
    for wrong in ["", "canary", "canary passphrase "] {
        assert!(matches!(with(Some(wrong)), Err(ImportError::WrongKey(_))), "{wrong:?}");
    }
}

/// REN-5
#[test]
fn an_encrypted_file_that_was_changed_anywhere_does_not_open() {
    let whole: Value = serde_json::from_slice(&fixture("opencode-multi-auth", "sealed.json")).unwrap();
    let keys = Keys { passphrase: Some(Passphrase::new("canary passphrase")), machine: None };
    for field in ["salt", "iv", "tag", "data"] {
        let text = whole[field].as_str().unwrap();
        let other = if text.starts_with('A') { "B" } else { "A" };
        for changed in [format!("{other}{}", &text[1..]), String::new(), "AAAA".to_owned(), "!".to_owned()] {
            let mut document = whole.clone();
            document[field] = changed.as_str().into();
            let text = document.to_string();
            let file = File { name: "x", bytes: text.as_bytes() };
            let read = Client::OpenCodeMultiAuth.read(&file, &keys, NOW);
            let error = read.expect_err(&format!("{field} {changed}"));
            assert!(matches!(error, ImportError::WrongKey(_) | ImportError::Field { .. }), "{error:?}");
        }
    }
}

/// REN-5
#[test]
fn codex_multi_auth_has_two_versions() {
    let entry = |name: &str, off: Option<&str>| Found {
        credential: Credential {
            identity: Identity {
                account: Some(format!("org-{name}")),
                email: Some(format!("{name}@example.com")),
                ..Identity::default()
            },
            ..tokens(&format!("at-canary-{name}"), &format!("rt-canary-{name}"))
        },
        name: Some(name.to_owned()),
        off: off.map(str::to_owned),
        ..login("codex", None)
    };
    let v3 = Reading {
        found: vec![entry("a", None), entry("b", Some("was off in codex-multi-auth"))],
        left: vec![
            left("accounts[2]", "`accounts[2].accessToken` is missing"),
            left(
                "accounts[3]",
                "`accounts[3].authInvalidatedAt` says that its login was refused; sign in anew with `rota login`",
            ),
        ],
    };
    assert_eq!(read(Client::CodexMultiAuth, "v3.json"), Ok(v3));
    let v1 = Reading { found: vec![entry("a", None)], left: vec![] };
    assert_eq!(read(Client::CodexMultiAuth, "v1.json"), Ok(v1));
}

/// REN-5
#[test]
fn cliproxyapi_has_a_file_a_login() {
    let id = text("cliproxyapi", "codex-a.json", "/id_token");
    let codex = Found {
        credential: Credential {
            id_token: Some(Secret::new(id)),
            identity: identity("user-3", "org-3", "team", "three@example.com"),
            issued: REFRESHED,
            ..tokens("at-canary-cpa", "rt-canary-cpa")
        },
        ..login("codex", None)
    };
    let claude = Found {
        credential: Credential {
            identity: Identity { plan: None, ..identity("acct-4", "org-4", "", "four@example.com") },
            ..tokens("sk-ant-oat01-canary-cpa", "sk-ant-ort01-canary-cpa")
        },
        off: Some("was off in CLIProxyAPI".to_owned()),
        ..login("anthropic", None)
    };
    let kimi = Found { credential: tokens("canary-kimi", "canary-kimi-refresh"), ..login("kimi", None) };
    for (name, found) in [("codex-a.json", codex), ("claude-b.json", claude), ("kimi-c.json", kimi)] {
        assert_eq!(
            read(Client::CliProxyApi, name),
            Ok(Reading { found: vec![found], left: vec![] }),
            "{name}"
        );
    }
}

/// REN-5
#[test]
fn gemini_cli_has_a_google_login() {
    let id = text("gemini", "oauth_creds.json", "/id_token");
    let found = Found {
        credential: Credential {
            id_token: Some(Secret::new(id)),
            identity: Identity {
                user: Some("g-1".to_owned()),
                email: Some("five@example.com".to_owned()),
                ..Identity::default()
            },
            ..tokens("ya29-canary", "1//canary-gemini")
        },
        ..login("gemini", None)
    };
    assert_eq!(read(Client::GeminiCli, "oauth_creds.json"), Ok(Reading { found: vec![found], left: vec![] }));
}

/// REN-5
#[test]
fn llxprt_has_a_file_a_provider_and_bucket_in_the_clear_or_encrypted() {
    let anthropic = |name: Option<&str>| Found {
        credential: tokens("sk-ant-oat01-canary-llx", "sk-ant-ort01-canary-llx"),
        ..login("anthropic", name)
    };
    let access = text("llxprt", "codex-work.json", "/access_token");
    let work = Found {
        credential: Credential {
            identity: identity("user-6", "org-6", "plus", "six@example.com"),
            ..tokens(&access, "rt-canary-llx")
        },
        ..login("codex", Some("work"))
    };
    let secret = "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=\n";
    let machine = |user: &str, secret: Option<&str>| Keys {
        passphrase: None,
        machine: Some(Machine {
            host: "host".to_owned(),
            user: user.to_owned(),
            secret: secret.and_then(MachineSecret::parse),
        }),
    };
    let one = |found: Found| Ok(Reading { found: vec![found], left: vec![] });
    for (fixture, name, keys, reading) in [
        ("anthropic.json", "anthropic.json", machine("user", None), one(anthropic(None))),
        ("codex-work.json", "codex-work.json", machine("user", None), one(work)),
        ("v1.enc", "anthropic%3Adefault.enc", machine("user", None), one(anthropic(None))),
        ("v2.enc", "anthropic%3Ahome.enc", machine("user", Some(secret)), one(anthropic(Some("home")))),
    ] {
        assert_eq!(read_with(Client::Llxprt, fixture, name, &keys), reading, "{name}");
    }
    for (fixture, keys, sealed) in [
        ("v1.enc", machine("other", None), false),
        ("v2.enc", machine("user", None), true),
        ("v1.enc", Keys::default(), true),
    ] {
        match read_with(Client::Llxprt, fixture, "anthropic.enc", &keys) {
            Err(ImportError::Sealed(_)) => assert!(sealed, "{fixture}"),
            Err(ImportError::WrongKey(_)) => assert!(!sealed, "{fixture}"),
            read => panic!("{fixture}: {read:?}"),
        }
    }
    assert!(MachineSecret::parse("AAAA").is_none());
}

/// REN-5
#[test]
fn a_time_is_read_however_it_was_written() {
    let at = |expires: Value| {
        let document =
            json!({"claudeAiOauth": {"accessToken": "a", "refreshToken": "r", "expiresAt": expires}});
        let bytes = document.to_string();
        let read =
            Client::ClaudeCode.read(&File { name: "x", bytes: bytes.as_bytes() }, &Keys::default(), NOW);
        read.map(|reading| reading.found[0].credential.expires)
    };
    for written in [
        json!(4_102_444_800_u64),
        json!(4_102_444_800_000_u64),
        json!(4_102_444_800.0),
        json!("4102444800"),
        json!("2100-01-01T00:00:00Z"),
        json!("2100-01-01T01:00:00+01:00"),
    ] {
        assert_eq!(at(written.clone()), Ok(Some(END)), "{written}");
    }
    for none in [json!(null), json!(0)] {
        assert_eq!(at(none.clone()), Ok(None), "{none}");
    }
    for wrong in
        [json!(-1), json!("canary"), json!([]), json!(true), json!("1900-01-01T00:00:00Z"), json!("nan")]
    {
        let error = at(wrong.clone()).unwrap_err();
        assert!(
            matches!(&error, ImportError::Field { field, .. } if field == "claudeAiOauth.expiresAt"),
            "{wrong}"
        );
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

/// REN-5, OBS-3
#[test]
fn what_is_wrong_is_named_by_its_field_and_never_shown() {
    for (client, text, told) in [
        (Client::Codex, "canary", "is not JSON (line 1, column 1); is it the right file?"),
        (Client::Codex, "", "is not JSON (line 1, column 0); is it the right file?"),
        (Client::Codex, r#"{"tokens":{"access_token":"canary"#, "is not JSON (line 1, column 33)"),
        (Client::Codex, "[]", "`the file` must be a JSON object"),
        (Client::Codex, r#"{"tokens":"canary"}"#, "`tokens` must be an object"),
        (
            Client::Codex,
            r#"{"tokens":{"access_token":{"x":"canary"}}}"#,
            "`tokens.access_token` must be a text",
        ),
        (Client::Codex, r#"{"tokens":{"access_token":" "}}"#, "`tokens.access_token` is missing"),
        (
            Client::Codex,
            r#"{"tokens":{"access_token":"canary canary"}}"#,
            "`tokens.access_token` must be printable",
        ),
        (Client::Codex, r#"{"auth_mode":"canary"}"#, "holds no ChatGPT login and no API key"),
        (
            Client::Codex,
            r#"{"tokens":{"access_token":"a","account_id":"can\nary"}}"#,
            "`tokens.account_id` must be at most",
        ),
        (Client::ClaudeCode, "{}", "holds no login of a subscription"),
        (Client::OpenCode, "{}", "holds no login"),
        (Client::OpenCodeMultiAuth, "{}", "`accounts` is missing"),
        (Client::OpenCodeMultiAuth, r#"{"accounts":{}}"#, "holds no account"),
        (
            Client::OpenCodeMultiAuth,
            r#"{"version":3,"accounts":{}}"#,
            "is of version 3, but this rota knows 1 and 2",
        ),
        (Client::CodexMultiAuth, r#"{"version":4}"#, "is of version 4, but this rota knows 1 and 3"),
        (Client::CodexMultiAuth, r#"{"version":3,"accounts":"canary"}"#, "`accounts` must be a list"),
        (Client::CliProxyApi, "{}", "`type` is missing"),
        (Client::Llxprt, r#"{"v":1,"crypto":{"N":2},"data":""}"#, "`crypto.N` must be 16384"),
        (Client::GeminiCli, "{}", "`access_token` is missing"),
    ] {
        let file = File { name: "x.json", bytes: text.as_bytes() };
        let error = client.read(&file, &Keys::default(), NOW).expect_err(text).to_string();
        assert!(error.starts_with(told), "{text}: {error}");
        assert!(!error.contains("canary"), "{error}");
    }
}

#[test]
fn every_program_has_a_name_of_its_own() {
    for client in Client::ALL {
        assert_eq!(Client::named(client.as_str()), Some(client));
    }
    assert_eq!(Client::named("Codex"), None);
    assert_eq!(format!("{:?}", Passphrase::new("canary")), "[REDACTED]");
}

proptest! {
    /// REN-5
    #[test]
    fn no_file_is_too_odd_to_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), name in ".{0,20}") {
        every(&name, &bytes)?;
    }

    /// REN-5
    #[test]
    fn no_json_is_too_odd_and_no_token_is_empty(document in documents(), name in "[a-z%3A.-]{0,12}") {
        every(&name, document.to_string().as_bytes())?;
    }
}

/// REN-5: a pipe, a directory or a device holds nothing up, and a link is followed.
#[tokio::test]
async fn only_plain_files_are_read_and_links_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("auth.json"), fixture("codex", "apikey.json")).unwrap();
    symlink(at("auth.json"), at("link")).unwrap();
    symlink(at("link"), at("loop-a")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    fs::write(at("large"), vec![b' '; (8 << 20) + 1]).unwrap();
    let read = async |name: &str| gather(Client::Codex, &at(name), None, &Clock::System).await;
    for name in ["auth.json", "link", "loop-a"] {
        let gathered = read(name).await.unwrap();
        assert_eq!((gathered.reading.found.len(), gathered.files), (1, vec![at(name)]));
    }
    for name in ["dir", "pipe"] {
        assert!(matches!(read(name).await, Err(Unread::NotAFile { .. })), "{name}");
    }
    assert!(matches!(
        gather(Client::Codex, Path::new("/dev/null"), None, &Clock::System).await,
        Err(Unread::NotAFile { .. })
    ));
    assert!(matches!(read("large").await, Err(Unread::TooLarge { .. })));
    assert!(matches!(read("none").await, Err(Unread::Missing { .. })));
    assert!(matches!(read("auth.json/x").await, Err(Unread::Io { .. })));
}

/// REN-5: a directory's files are read in order; a bad one is named and keeps no other out.
#[tokio::test]
async fn of_a_directory_every_file_counts() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["codex-a.json", "claude-b.json"] {
        fs::write(dir.path().join(name), fixture("cliproxyapi", name)).unwrap();
    }
    fs::write(dir.path().join("bad.json"), "canary").unwrap();
    fs::write(dir.path().join("note.txt"), "canary").unwrap();
    let Gathered { reading, files } =
        gather(Client::CliProxyApi, dir.path(), None, &Clock::System).await.unwrap();
    let providers: Vec<&str> = reading.found.iter().map(|found| found.provider.as_str()).collect();
    assert_eq!((providers, files.len()), (vec!["anthropic", "codex"], 3));
    assert_eq!(reading.left.len(), 1);
    assert!(reading.left[0].name == "bad.json" && reading.left[0].why.contains("is not JSON"), "{reading:?}");
    let empty = tempfile::tempdir().unwrap();
    let none = gather(Client::CliProxyApi, empty.path(), None, &Clock::System).await;
    assert!(matches!(none, Err(Unread::Missing { .. })));
    for number in 0..=256 {
        fs::write(empty.path().join(format!("{number}.json")), "{}").unwrap();
    }
    let many = gather(Client::CliProxyApi, empty.path(), None, &Clock::System).await;
    assert!(matches!(many, Err(Unread::TooMany { .. })));
}

/// REN-5: a file that is written in place is read again once it is whole.
#[tokio::test]
async fn a_file_that_is_being_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("auth.json");
    let whole = fixture("codex", "apikey.json");
    fs::write(&file, &whole[..20]).unwrap();
    let clock = ManualClock::new(NOW);
    let reading = {
        let (file, clock) = (file.clone(), Clock::Manual(clock.clone()));
        tokio::spawn(async move { gather(Client::Codex, &file, None, &clock).await })
    };
    while clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    fs::write(&file, &whole).unwrap();
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(reading.await.unwrap().unwrap().reading.found.len(), 1);
}

/// Every reader on the same bytes.
fn every(name: &str, bytes: &[u8]) -> Result<(), TestCaseError> {
    for client in Client::ALL {
        let Ok(reading) = client.read(&File { name, bytes }, &Keys::default(), NOW) else {
            continue;
        };
        for Found { credential, .. } in reading.found {
            let tokens =
                [Some(&credential.access), credential.refresh.as_ref(), credential.id_token.as_ref()];
            let empty = Secret::new("");
            prop_assert!(tokens.into_iter().flatten().all(|token| *token != empty), "{}", client);
            prop_assert!(credential.issued <= NOW);
        }
    }
    Ok(())
}

/// JSON that has the names the readers look for, at any place, with any value.
fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..5).prop_map(Value::from),
        "[ -~]{0,8}".prop_map(Value::from),
        prop_oneof![
            Just("oauth"),
            Just("api"),
            Just("codex"),
            Just("claude"),
            Just("chatgpt"),
            Just("a.e30.b")
        ]
        .prop_map(Value::from),
    ];
    let name = proptest::sample::select(vec![
        "type",
        "tokens",
        "access_token",
        "refresh_token",
        "id_token",
        "accessToken",
        "refreshToken",
        "expiresAt",
        "accounts",
        "version",
        "encrypted",
        "salt",
        "iv",
        "tag",
        "data",
        "claudeAiOauth",
        "access",
        "refresh",
        "key",
        "OPENAI_API_KEY",
        "auth_mode",
        "crypto",
        "expired",
        "expiry",
        "openai",
        "enabled",
        "last_refresh",
        "email",
    ]);
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn path(client: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(client).join(name)
}

fn fixture(client: &str, name: &str) -> Vec<u8> {
    fs::read(path(client, name)).unwrap()
}

/// A text of a fixture.
fn text(client: &str, name: &str, pointer: &str) -> String {
    let document: Value = serde_json::from_slice(&fixture(client, name)).unwrap();
    document.pointer(pointer).and_then(Value::as_str).unwrap().to_owned()
}

fn read(client: Client, name: &str) -> Result<Reading, ImportError> {
    read_with(client, name, name, &Keys::default())
}

fn read_with(client: Client, fixed: &str, name: &str, keys: &Keys) -> Result<Reading, ImportError> {
    let bytes = fixture(client.as_str(), fixed);
    client.read(&File { name, bytes: &bytes }, keys, NOW).map(sorted)
}

/// In one order, whatever that of the file's maps is.
fn sorted(mut reading: Reading) -> Reading {
    reading.found.sort_by_key(|found| (found.provider.clone(), found.name.clone()));
    reading.left.sort_by_key(|left| left.name.clone());
    reading
}

fn left(name: &str, why: &str) -> Left {
    Left { name: name.to_owned(), why: why.to_owned() }
}

fn login(provider: &str, name: Option<&str>) -> Found {
    Found { provider: provider.to_owned(), name: name.map(str::to_owned), credential: bare(""), off: None }
}

fn account(id: &str, name: &str, off: Option<&str>) -> Found {
    Found {
        credential: Credential {
            identity: identity(
                &format!("user-{id}"),
                &format!("org-{id}"),
                "plus",
                &format!("{id}@example.com"),
            ),
            issued: REFRESHED,
            ..tokens(&format!("at-canary-{id}"), &format!("rt-canary-{id}"))
        },
        off: off.map(str::to_owned),
        ..login("codex", Some(name))
    }
}

fn identity(user: &str, account: &str, plan: &str, email: &str) -> Identity {
    let [user, account, plan, email] = [user, account, plan, email].map(|text| Some(text.to_owned()));
    Identity { account, user, plan, email }
}

fn tokens(access: &str, refresh: &str) -> Credential {
    Credential {
        kind: CredentialKind::Oauth,
        refresh: Some(Secret::new(refresh)),
        expires: Some(END),
        ..bare(access)
    }
}

/// A key.
fn bare(access: &str) -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::ApiKey,
        access: Secret::new(access),
        refresh: None,
        self_granted: false,
        id_token: None,
        identity: Identity::default(),
        issued: NOW,
        expires: None,
    }
}
