//! `rota import` and `rota doctor`: files of other programs are read, never written, and nothing of them is shown.
use super::place::{Daemon, Place, Ran, gather};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where each program keeps what, below the home; what is added from it, and why the rest is not.
const PROGRAMS: &[Program] = &[
    Program {
        client: "codex",
        files: &[("codex/chatgpt.json", ".codex/auth.json")],
        added: &[("codex", "codex", "oauth", true)],
        skipped: &[],
    },
    Program {
        client: "claude",
        files: &[("claude/subscription.json", ".claude/.credentials.json")],
        added: &[("anthropic", "anthropic", "oauth", true)],
        skipped: &[],
    },
    Program {
        client: "opencode",
        files: &[("opencode/auth.json", ".local/share/opencode/auth.json")],
        added: &[
            ("anthropic", "anthropic", "oauth", true),
            ("gemini", "gemini", "api-key", true),
            ("codex", "codex", "oauth", true),
            ("openrouter", "openrouter", "api-key", true),
        ],
        skipped: &[
            ("broken", "unusable"),
            ("https://example.com", "unusable"),
            ("github-copilot", "no-provider"),
        ],
    },
    Program {
        client: "opencode-multi-auth",
        files: &[("opencode-multi-auth/v1.json", ".config/opencode-multi-auth/accounts.json")],
        added: &[("home-sweet", "codex", "oauth", false), ("work", "codex", "oauth", true)],
        skipped: &[("gone", "unusable"), ("odd", "unusable")],
    },
    Program {
        client: "codex-multi-auth",
        files: &[("codex-multi-auth/v3.json", ".codex/multi-auth/openai-codex-accounts.json")],
        added: &[("a", "codex", "oauth", true), ("b", "codex", "oauth", false)],
        skipped: &[("accounts[2]", "unusable"), ("accounts[3]", "unusable")],
    },
    Program {
        client: "cliproxyapi",
        files: &[
            ("cliproxyapi/claude-b.json", ".cli-proxy-api/claude-b.json"),
            ("cliproxyapi/codex-a.json", ".cli-proxy-api/codex-a.json"),
            ("cliproxyapi/kimi-c.json", ".cli-proxy-api/kimi-c.json"),
        ],
        added: &[("anthropic", "anthropic", "oauth", false), ("codex", "codex", "oauth", true)],
        skipped: &[("kimi", "no-provider")],
    },
    Program {
        client: "gemini",
        files: &[("gemini/oauth_creds.json", ".gemini/oauth_creds.json")],
        added: &[],
        skipped: &[("five@example.com", "kind-not-accepted")],
    },
    Program {
        client: "llxprt",
        files: &[
            ("llxprt/anthropic.json", ".llxprt/oauth/anthropic.json"),
            ("llxprt/codex-work.json", ".llxprt/oauth/codex-work.json"),
        ],
        added: &[("anthropic", "anthropic", "oauth", true), ("work", "codex", "oauth", true)],
        skipped: &[],
    },
];

struct Program {
    client: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Alias, provider, kind, whether it is in rotation.
    added: &'static [(&'static str, &'static str, &'static str, bool)],
    skipped: &'static [(&'static str, &'static str)],
}

/// REN-5, OBS-3: with a daemon whose home is elsewhere, and without one.
#[test]
fn the_logins_of_every_program_become_accounts_and_its_files_stay_as_they_were() {
    for running in [false, true] {
        for program in PROGRAMS {
            let mut place = Place::new();
            place.set("ROTA_LOG", "trace");
            let files: Vec<PathBuf> = program.files.iter().map(|(from, to)| place.kept(from, to)).collect();
            let before = seen(&place);
            let daemon = running.then(|| stranger(&place));
            let dry = place.rota(&["import", program.client, "--dry-run", "--json"]);
            assert_eq!(place.json(&["accounts"])["accounts"], json!([]), "a dry run adds nothing");
            let ran = place.rota(&["import", program.client, "--json"]);
            let code = if program.added.is_empty() { 1 } else { 0 };
            assert_eq!((dry.code, ran.code), (Some(code), Some(code)), "{}: {ran:?}", program.client);
            let mut done: Value = serde_json::from_str(&ran.out).expect("JSON");
            assert_eq!(done["files"], json!(files), "{}", program.client);
            assert_eq!(done["warning"].is_null(), program.added.is_empty(), "{done}");
            if let Some(warning) = done["warning"].as_str() {
                let aliases = program.added.iter().map(|(alias, ..)| format!("rota login {alias}"));
                let named = aliases.filter(|login| warning.contains(login)).count();
                assert!(warning.contains("sign each other out") && named == 1, "{warning}");
            }
            program.holds(&done, &place);
            done["dryRun"] = json!(true);
            assert_eq!(serde_json::from_str::<Value>(&dry.out).expect("JSON"), done, "{}", program.client);
            program.is_known_again(&place);
            assert_eq!(seen(&place), before, "{}: its files, their bytes and times", program.client);
            let log = daemon.map_or_else(String::new, Daemon::stop);
            let told = format!("{ran:?}{dry:?}{log}");
            assert!(!told.contains("canary"), "{told}");
        }
    }
}

impl Program {
    fn holds(&self, done: &Value, place: &Place) {
        let added: Vec<Value> =
            self.added.iter().map(|(alias, provider, kind, on)| json!([alias, provider, kind, on])).collect();
        let list = |name: &str| done[name].as_array().expect("a list").clone();
        let told: Vec<Value> = list("added")
            .iter()
            .map(|added| json!([added["alias"], added["provider"], added["kind"], added["enabled"]]))
            .collect();
        assert_eq!(told, added, "{}: {done}", self.client);
        let there = place.json(&["accounts"]);
        let there: Vec<Value> = there["accounts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|account| {
                json!([
                    account["alias"],
                    account["provider"],
                    account["credential"]["kind"],
                    account["enabled"]
                ])
            })
            .collect();
        assert_eq!(there, added, "{}", self.client);
        let skipped: Vec<Value> =
            list("skipped").iter().map(|skipped| json!([skipped["name"], skipped["code"]])).collect();
        let expected: Vec<Value> = self.skipped.iter().map(|(name, code)| json!([name, code])).collect();
        assert_eq!(skipped, expected, "{}: {done}", self.client);
    }

    /// A second import adds nothing, and is no failure where the first was none.
    fn is_known_again(&self, place: &Place) {
        let ran = place.rota(&["import", self.client, "--json"]);
        let done: Value = serde_json::from_str(&ran.out).expect("JSON");
        let there = done["skipped"].as_array().expect("a list").iter();
        let there: Vec<&str> = there
            .filter(|skipped| skipped["code"] == "already-there")
            .map(|skipped| skipped["alias"].as_str().expect("an alias"))
            .collect();
        let aliases: Vec<&str> = self.added.iter().map(|(alias, ..)| *alias).collect();
        assert_eq!((done["added"].clone(), there), (json!([]), aliases), "{}", self.client);
        assert_eq!(ran.code, Some(if self.added.is_empty() { 1 } else { 0 }));
    }
}

/// REN-5: what a person reads.
#[test]
fn an_import_says_what_was_found_and_that_two_owners_sign_each_other_out() {
    let place = Place::new();
    let file = place.kept("opencode/auth.json", ".local/share/opencode/auth.json");
    let ran = place.rota(&["import", "opencode"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let file = file.display();
    for words in [
        format!("OpenCode: {file}\n\nAdded:\n").as_str(),
        "  codex       codex       oauth    two@example.com  in rotation\n",
        "\nLeft out:\n  broken: `broken.access` is missing\n",
        "\nNext:  rota run -- ",
        "  github-copilot: there is no provider \"github-copilot\" in rota; a preset of your own makes one",
        "\n! OpenCode and rota now own one login, and two owners of one refresh token sign each other out: give rota a \
         login of its own, which is better (rota login anthropic), or take it from OpenCode by moving",
    ] {
        assert!(ran.out.contains(words), "{words:?} is not in\n{}", ran.out);
    }
    let again = place.rota(&["import", "opencode"]);
    assert_eq!(again.code, Some(0));
    assert!(again.out.contains("Nothing was added.") && again.out.contains("codex has this login already"));
    assert!(!format!("{ran:?}{again:?}").contains("canary"));
}

/// REN-5
#[test]
fn a_name_of_ones_own_is_for_one_login() {
    let place = Place::new();
    place.kept("codex/chatgpt.json", ".codex/auth.json");
    place.kept("opencode/auth.json", ".local/share/opencode/auth.json");
    place.add("taken", "openai", "sk-1");
    failed(&place.rota(&["import", "codex", "--as", "taken"]), "ALIAS_TAKEN");
    failed(&place.rota(&["import", "codex", "--as", "No Alias"]), "an alias is 1 to 64 of");
    failed(&place.rota(&["import", "opencode", "--as", "mine"]), "there are 4 logins to add");
    let ran = place.rota(&["import", "codex", "--as", "mine"]);
    assert!(ran.code == Some(0) && ran.out.contains("rota login mine"), "{ran:?}");
    // The login that OpenCode has is another one; its name is taken by neither.
    let ran = place.rota(&["import", "opencode", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let notes = &place.json(&["accounts"])["accounts"][1]["notes"];
    let file = place.path("home/.codex/auth.json").display().to_string();
    assert_eq!(*notes, json!(format!("imported from {file}")));
}

/// REN-5, OBS-3
#[test]
fn a_file_that_is_none_of_its_kind_is_named_with_what_to_do() {
    let place = Place::new();
    let torn = place.file("home/torn.json", 0o600, r#"{"tokens":{"access_token":"canary"#);
    let wrong = place.kept("claude/subscription.json", "wrong.json");
    let out = place.kept("codex/signed-out.json", "out.json");
    let pipe = place.path("home/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .expect("a pipe");
    let dir = place.path("home");
    for (client, file, told) in [
        ("codex", torn.as_path(), "is not JSON (line 1, column 33)"),
        ("codex", &wrong, "signed out, or keeps it in the system's keyring"),
        ("codex", &out, "sign in with `rota login`"),
        ("claude", &out, "holds no login of a subscription (`claudeAiOauth`)"),
        ("codex", &dir, "is not a file"),
        ("codex", &pipe, "is not a file"),
        ("codex", Path::new("nowhere.json"), "does not exist: Codex CLI is not signed in here"),
        ("opencode-multi-auth", &wrong, "`accounts` is missing"),
    ] {
        let file = file.display().to_string();
        let ran = place.rota(&["import", client, "--path", &file]);
        failed(&ran, told);
        assert!(ran.err.contains("IMPORT_UNREADABLE") && ran.err.contains(&file), "{ran:?}");
        assert!(!ran.err.contains("canary"), "{ran:?}");
    }
    failed(&place.rota(&["import", "codex"]), ".codex/auth.json does not exist");
    assert_eq!(place.rota(&["import", "nobody"]).code, Some(2));
    let mut homeless = Place::new();
    homeless.set("HOME", "");
    failed(&homeless.rota(&["import", "codex"]), "name the file with --path");
}

/// REN-5
#[test]
fn an_encrypted_store_opens_with_its_passphrase_only() {
    let mut place = Place::new();
    place.kept("opencode-multi-auth/sealed.json", ".config/opencode-multi-auth/accounts.json");
    let import = ["import", "opencode-multi-auth"];
    failed(&place.rota(&import), "PASSPHRASE_NEEDED");
    let wrong = place.file("wrong", 0o600, "canary wrong\n").display().to_string();
    failed(&place.rota(&[&import[..], &["--passphrase-file", &wrong]].concat()), "PASSPHRASE_WRONG");
    let open = place.file("open", 0o644, "canary passphrase\n").display().to_string();
    failed(&place.rota(&[&import[..], &["--passphrase-file", &open]].concat()), "chmod 600");
    place.set("CODEX_SOFT_STORE_PASSPHRASE", "canary wrong");
    failed(&place.rota(&import), "PASSPHRASE_WRONG");
    let daemon = place.serve();
    let right = place.file("right", 0o600, "canary passphrase\n").display().to_string();
    let ran = place.rota(&[&import[..], &["--passphrase-file", &right]].concat());
    assert!(ran.code == Some(0) && ran.out.contains("work"), "{ran:?}");
    let log = daemon.stop();
    assert!(!format!("{ran:?}{log}").contains("canary"), "{ran:?}{log}");
}

/// REN-5
#[test]
fn a_variable_names_the_login_to_import() {
    for variable in ["ROTA_AUTH_FILE", "OPENCODE_MULTI_AUTH_CODEX_AUTH_FILE"] {
        let mut place = Place::new();
        place.kept("codex/chatgpt.json", ".codex/auth.json");
        let key = place.kept("codex/apikey.json", "elsewhere.json");
        place.set(variable, key.display());
        let done = place.json(&["import", "codex"]);
        assert_eq!(
            (&done["added"][0]["provider"], &done["warning"]),
            (&json!("openai"), &json!(null)),
            "{done}"
        );
    }
}

/// REN-5, ADM-2
#[test]
fn the_api_says_what_a_request_lacks() {
    let place = Place::new();
    let daemon = place.serve();
    for (body, told) in [
        (json!({}), "body: missing field `from`"),
        (json!({"from": "canary"}), "from: must be one of claude, cliproxyapi, codex, "),
        (json!({"from": "codex", "path": "auth.json"}), "path: must be absolute"),
        (json!({"from": "codex", "path": "/x", "as": "-"}), "as: an alias is 1 to 64 of"),
        (json!({"from": "codex", "password": "canary"}), "body: unknown field `password`"),
    ] {
        let reply = place.admin(&daemon, "POST", "/api/import").json(&body).send();
        assert_eq!((reply.status, reply.code()), (400, "INVALID_REQUEST".to_owned()), "{body}");
        let message = reply.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(message.starts_with(told), "{message}");
    }
    // Without a path it is the home of whoever runs rota.
    place.kept("codex/chatgpt.json", ".codex/auth.json");
    let reply = place.admin(&daemon, "POST", "/api/import").json(json!({"from": "codex"})).send();
    assert_eq!((reply.status, &reply.json()["added"][0]["alias"]), (200, &json!("codex")));
    let checks = place.admin(&daemon, "GET", "/api/doctor").send().json();
    assert_eq!(checks["warnings"], json!(1), "{checks}");
    for query in ["file=codex", "file=codex:auth.json", "file=nobody:/x", "x=1"] {
        let reply = place.admin(&daemon, "GET", &format!("/api/doctor?{query}")).send();
        assert_eq!((reply.status, reply.code()), (400, "INVALID_REQUEST".to_owned()), "{query}");
    }
}

/// REN-5: a login that two programs own is found, with and without a daemon, until rota has one of its own.
#[test]
fn the_doctor_finds_a_login_with_two_owners_until_there_is_but_one() {
    for running in [false, true] {
        let place = Place::new();
        let daemon = running.then(|| stranger(&place));
        let file = place.kept("codex/chatgpt.json", ".codex/auth.json");
        let alone = place.rota(&["doctor", "--offline"]);
        assert_eq!(alone.code, Some(0), "{alone:?}");
        assert!(alone.out.contains("! accounts   there are none yet"), "{}", alone.out);
        assert_eq!(place.rota(&["import", "codex", "--as", "work"]).code, Some(0));
        let before = seen(&place);
        let ran = place.rota(&["doctor", "--offline"]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "a warning is no failure: {ran:?}");
        for words in [
            format!("✔ config     {}, no problems", place.path("config/rota/rota.toml").display()),
            "✔ store      intact".to_owned(),
            "✔ accounts   one, and its credential is in order\n".to_owned(),
            format!("! codex      {} holds the same login as \"work\"; two owners", file.display()),
            "             → rota login work\n".to_owned(),
            "0 problems, 1 warning.\n".to_owned(),
        ] {
            assert!(ran.out.contains(&words), "{words:?} is not in\n{}", ran.out);
        }
        assert_eq!(seen(&place), before, "looking changes nothing");
        let told = place.json(&["doctor", "--offline"]);
        assert_eq!((&told["bad"], &told["warnings"]), (&json!(0), &json!(1)));
        // A login of its own: other tokens, the same person.
        assert_eq!(place.rota(&["accounts", "rm", "work", "--yes", "--force"]).code, Some(0));
        let own = json!({"kind": "oauth", "accessToken": "canary-own", "refreshToken": "canary-own-refresh",
            "expiresAt": "2100-01-01T00:00:00Z", "accountId": "org-1", "userId": "user-1"});
        place.add_login("work", "codex", &own);
        let healed = place.rota(&["doctor", "--offline"]);
        assert!(healed.code == Some(0) && healed.out.ends_with("All is well.\n"), "{healed:?}");
        let log = daemon.map_or_else(String::new, Daemon::stop);
        assert!(!format!("{ran:?}{healed:?}{told}{log}").contains("canary"));
    }
}

/// REN-5, STO-2: what the doctor calls bad makes its exit code 1, and comes with a command.
#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let place = Place::new();
    let ended = json!({"kind": "bearer", "accessToken": "canary-ended", "expiresAt": "2020-01-01T00:00:00Z"});
    place.add_login("old-laptop", "codex", &ended);
    let twin = json!({"kind": "oauth", "accessToken": "canary-1", "refreshToken": "canary-shared",
        "expiresAt": "2100-01-01T00:00:00Z"});
    place.add_login("one", "codex", &twin);
    place.add_login("two", "codex", &twin);
    place.file("home/.claude/.credentials.json", 0o600, "canary");
    let ran = place.rota(&["doctor", "--offline"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in [
        "✘ old-laptop  its token has ended, and nothing can renew it\n              → rota login old-laptop\n",
        "✘ two         it holds the same login as \"one\"",
        "→ rota accounts rm two\n",
        "! claude      it cannot be seen whether Claude Code has a login of rota's: ",
        "2 problems, 1 warning.\n",
    ] {
        assert!(ran.out.contains(words), "{words:?} is not in\n{}", ran.out);
    }
    assert!(!ran.out.contains("canary"), "{}", ran.out);
    // Off, it waits for nobody: nothing is bad about it.
    place.rota(&["accounts", "rm", "two", "--yes"]);
    place.rota(&["disable", "old-laptop"]);
    let ran = place.rota(&["doctor", "--offline"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("! old-laptop"), "{}", ran.out);
}

/// A daemon of the same store whose own home is somebody else's.
fn stranger(place: &Place) -> Daemon {
    let mut command = place.command(&["serve", "--server-info", "info.json"]);
    command.env("HOME", place.path("nobody"));
    let daemon = Daemon::start(command);
    daemon.listening();
    daemon
}

/// Every file below the home: its bytes, and when it was changed.
fn seen(place: &Place) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let home = place.path("home");
    let mut files = BTreeMap::new();
    gather(&home, &home, &mut files);
    let with_time = files.into_iter().map(|(name, bytes)| {
        let changed = fs::metadata(home.join(&name)).and_then(|meta| meta.modified()).expect("a time");
        (name, (bytes, changed))
    });
    with_time.collect()
}

impl Place {
    /// A fixture, as a program of this home keeps it.
    fn kept(&self, fixture: &str, below_home: &str) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(fixture);
        let text = fs::read_to_string(&from).expect("a fixture");
        self.file(&format!("home/{below_home}"), 0o600, &text)
    }
}

fn failed(ran: &Ran, told: &str) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.starts_with("error: ") && ran.err.contains(told), "{told:?} is not in {:?}", ran.err);
}
