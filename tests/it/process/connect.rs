//! Programs are pointed at rota: in their own files, by their environment, and every row of the table leads somewhere.
use super::place::{Fake, Place, Ran};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

/// A home in which rota would listen on its usual port, for a command that starts nothing.
fn home() -> Place {
    let mut place = Place::new();
    place.set("ROTA_LISTEN", "127.0.0.1:7682");
    place
}

fn read(place: &Place, below: &str) -> String {
    fs::read_to_string(place.path(below)).unwrap_or_else(|error| panic!("{below}: {error}"))
}

const CODEX: &str = "home/.codex/config.toml";
const MINE: &str = "# mine\nmodel = \"m\" # the best\n\n[tools]\nweb = true\n";

#[test]
fn connect_shows_a_diff_keeps_a_copy_and_undoes_every_byte() {
    let place = home();
    place.file(CODEX, 0o640, MINE);
    let shown = place.rota(&["connect", "codex"]);
    let Ran { code, out, err } = &shown;
    assert_eq!(*code, Some(0), "{shown:?}");
    assert!(
        out.starts_with("Would change ") && out.contains("(a copy is kept as config.toml.before-rota):"),
        "{out}"
    );
    for line in [
        "  + model_provider = \"rota\"\n",
        "  + [model_providers.rota]\n",
        "  + base_url = \"http://127.0.0.1:7682/backend-api/codex\"\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    assert!(!out.contains("mine") && err.contains("--write"), "{shown:?}");
    assert_eq!(read(&place, CODEX), MINE, "nobody was asked, so nothing is written");

    let written = place.rota(&["connect", "codex", "--write"]);
    assert!(written.code == Some(0) && written.out.contains("rota connect codex --undo"), "{written:?}");
    let after = read(&place, CODEX);
    assert!(after.starts_with("# mine\nmodel = \"m\" # the best\n") && after.contains("[tools]"), "{after}");
    assert_eq!(read(&place, "home/.codex/config.toml.before-rota"), MINE);
    for file in [CODEX, "home/.codex/config.toml.before-rota"] {
        let mode = fs::metadata(place.path(file)).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o640, "{file} keeps its mode");
    }
    let again = place.rota(&["connect", "codex", "--write"]);
    assert!(again.code == Some(0) && again.out.contains("points at rota already"), "{again:?}");

    let dry = place.rota(&["connect", "codex", "--undo", "--dry-run"]);
    assert!(dry.code == Some(0) && dry.out.contains("  - model_provider = \"rota\""), "{dry:?}");
    assert_eq!(read(&place, CODEX), after, "a dry run changes nothing");
    let undone = place.rota(&["connect", "codex", "--undo"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(read(&place, CODEX), MINE);
    let left: Vec<_> = fs::read_dir(place.path("home/.codex")).expect("a directory").collect();
    assert_eq!(left.len(), 1, "neither the copy nor a half file is left");
    let again = place.rota(&["connect", "codex", "--undo"]);
    assert!(again.code == Some(0) && again.out.contains("nothing of rota's"), "{again:?}");
}

#[test]
fn undo_leaves_what_the_user_wrote_since() {
    let place = home();
    let file = "home/.claude/settings.json";
    place.file(file, 0o600, "{\n  // mine\n  \"model\": \"opus\"\n}\n");
    assert_eq!(place.rota(&["connect", "claude", "--write"]).code, Some(0));
    let edited = read(&place, file).replace("opus", "sonnet").replace("\"rota\"", "\"my-own\"");
    place.file(file, 0o600, &edited);
    let undone = place.rota(&["connect", "claude", "--undo"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(undone.out.contains("! env.ANTHROPIC_AUTH_TOKEN was changed since rota set it"), "{undone:?}");
    let left = read(&place, file);
    assert!(left.contains("// mine") && left.contains("sonnet") && left.contains("my-own"), "{left}");
    assert!(!left.contains("ANTHROPIC_BASE_URL"), "{left}");
}

#[test]
fn a_file_that_rota_made_goes_again() {
    let place = home();
    let written = place.rota(&["connect", "opencode", "--write"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let file = "config/opencode/opencode.json";
    let made: Value = serde_json::from_str(&read(&place, file)).expect("JSON");
    assert_eq!(made["provider"]["openai"]["options"]["baseURL"], "http://127.0.0.1:7682/v1");
    assert_eq!(fs::metadata(place.path(file)).expect("a file").permissions().mode() & 0o777, 0o600);
    let undone = place.rota(&["connect", "opencode", "--undo"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(!place.path(file).exists());
}

/// The copy is all that is left of the file as it was, unless the file is that again.
#[test]
fn a_copy_goes_only_when_the_file_is_what_it_says() {
    let place = home();
    let copy = "home/.codex/config.toml.before-rota";
    place.file(CODEX, 0o600, MINE);
    assert_eq!(place.rota(&["connect", "codex", "--write"]).code, Some(0));
    place.file(CODEX, 0o600, &read(&place, CODEX).replace("the best", "the worst"));
    let undone = place.rota(&["connect", "codex", "--undo"]);
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(!undone.out.contains("is as it was") && undone.out.contains("before-rota"), "{undone:?}");
    assert_eq!(read(&place, CODEX), MINE.replace("the best", "the worst"));
    assert_eq!(read(&place, copy), MINE, "nobody else has it any more");
    assert_eq!(place.rota(&["connect", "codex", "--write"]).code, Some(0));
    assert_eq!(read(&place, copy), MINE.replace("the best", "the worst"));
    assert_eq!(read(&place, &format!("{copy}.1")), MINE, "the older one is put aside");
    // The file goes, and one that rota makes has nothing to do with the copy of the old.
    fs::remove_file(place.path(CODEX)).expect("a file");
    assert_eq!(place.rota(&["connect", "codex", "--write"]).code, Some(0));
    assert!(!place.path(copy).exists() && place.path(&format!("{copy}.2")).exists());
    let undone = place.rota(&["connect", "codex", "--undo"]);
    assert!(undone.code == Some(0) && undone.out.contains("is gone"), "{undone:?}");
    assert!(!place.path(CODEX).exists());
}

/// What points at rota already is not what was there before.
#[test]
fn connecting_again_keeps_the_first_copy_and_says_so() {
    let mut place = home();
    let copy = "home/.codex/config.toml.before-rota";
    place.file(CODEX, 0o600, MINE);
    assert_eq!(place.rota(&["connect", "codex", "--write"]).code, Some(0));
    place.set("ROTA_LISTEN", "127.0.0.1:7999");
    let again = place.rota(&["connect", "codex", "--write"]);
    assert!(again.out.contains("as it was before rota, it stays as config.toml.before-rota"), "{again:?}");
    assert_eq!(read(&place, copy), MINE);
    fs::remove_file(place.path(copy)).expect("a copy");
    place.set("ROTA_LISTEN", "127.0.0.1:7998");
    let third = place.rota(&["connect", "codex", "--write"]);
    assert!(third.code == Some(0) && !third.out.contains("a copy is kept"), "{third:?}");
    assert!(!place.path(copy).exists(), "a file that points at rota is no copy of what was before");
    assert_eq!(place.rota(&["connect", "codex", "--undo"]).code, Some(0));
    assert!(!read(&place, CODEX).contains("rota"));
}

#[test]
fn a_link_stays_a_link_and_its_target_is_changed() {
    let place = home();
    let target = place.file("dotfiles/codex.toml", 0o600, MINE);
    fs::create_dir_all(place.path("home/.codex")).expect("a directory");
    symlink(&target, place.path(CODEX)).expect("a link");
    assert_eq!(place.rota(&["connect", "codex", "--write"]).code, Some(0));
    assert!(fs::symlink_metadata(place.path(CODEX)).expect("a link").is_symlink());
    assert!(read(&place, "dotfiles/codex.toml").contains("model_providers.rota"));
    assert_eq!(
        read(&place, "home/.codex/config.toml.before-rota"),
        MINE,
        "the copy is not among the dotfiles"
    );
    assert_eq!(place.rota(&["connect", "codex", "--undo"]).code, Some(0));
    assert!(fs::symlink_metadata(place.path(CODEX)).expect("a link").is_symlink());
    assert_eq!(read(&place, "dotfiles/codex.toml"), MINE);
}

#[test]
fn what_cannot_be_changed_is_told_and_left_alone() {
    let place = home();
    let cases: [(&[u8], &str); 5] = [
        (b"model = \"x\"\nmodel = = 2\n", "line 2, column 9"),
        (b"model_providers = 3\n", "`model_providers` holds a value where a table is expected"),
        (b"a = \"\xff\"\n", "is not UTF-8"),
        (&[b' '; 5 * 1024 * 1024], "is larger than any configuration"),
        (b"a = 1\na = 2\n", "line 2, column 1"),
    ];
    for (bytes, words) in cases {
        place.file(CODEX, 0o600, "");
        fs::write(place.path(CODEX), bytes).expect("a file");
        for args in [&["connect", "codex", "--write"][..], &["connect", "codex"]] {
            let ran = place.rota(args);
            assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
            assert!(ran.err.starts_with("error: ") && ran.err.contains(words), "{words}: {}", ran.err);
        }
        assert!(fs::read(place.path(CODEX)).expect("a file") == bytes, "{words}");
        assert!(!place.path("home/.codex/config.toml.before-rota").exists(), "{words}");
    }
    fs::remove_file(place.path(CODEX)).expect("removed");
    symlink(place.path("nowhere"), place.path(CODEX)).expect("a link");
    let ran = place.rota(&["connect", "codex", "--write"]);
    assert!(ran.code == Some(1) && ran.err.contains("is a link that leads nowhere"), "{ran:?}");
    fs::remove_file(place.path(CODEX)).expect("removed");
    place.file(CODEX, 0o400, MINE);
    let ran = place.rota(&["connect", "codex", "--write"]);
    assert!(ran.code == Some(1) && ran.err.contains("it is read-only"), "{ran:?}");
    assert_eq!(read(&place, CODEX), MINE);
}

#[test]
fn env_prints_for_the_shell_and_talks_to_the_person_elsewhere() {
    let mut place = home();
    let ran = place.rota(&["env", "claude"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        "export ANTHROPIC_AUTH_TOKEN='rota'\nexport ANTHROPIC_BASE_URL='http://127.0.0.1:7682'\n"
    );
    assert!(ran.err.contains("exported ANTHROPIC_AUTH_TOKEN and ANTHROPIC_BASE_URL"), "{ran:?}");
    assert!(ran.err.contains("rota serve"), "{ran:?}");
    let fish = place.rota(&["env", "aider", "--shell", "fish"]);
    assert_eq!(
        fish.out,
        "set -gx OPENAI_API_BASE 'http://127.0.0.1:7682/v1'\nset -gx OPENAI_API_KEY 'rota'\n"
    );
    let pwsh = place.rota(&["env", "gemini-cli", "--shell", "pwsh"]);
    assert!(pwsh.out.starts_with("$env:GEMINI_API_KEY = 'rota'\n"), "{pwsh:?}");
    assert!(place.rota(&["env"]).out.contains("OPENAI_BASE_URL"));
    place.set("SHELL", "/usr/bin/fish");
    assert!(place.rota(&["env", "claude"]).out.starts_with("set -gx "), "the person's shell is known");
    let codex = place.rota(&["env", "codex"]);
    assert_eq!((codex.code, codex.out.as_str()), (Some(1), "false\n"), "a shell that reads it fails, too");
    assert!(codex.err.contains("rota connect codex"), "{codex:?}");
    let wrong = place.rota(&["env", "cluade"]);
    assert!(wrong.code == Some(2) && wrong.err.contains("'claude'"), "did you mean: {wrong:?}");
    assert!(!place.state().exists(), "a shell that starts makes nothing");
}

#[test]
fn a_port_that_is_any_is_known_once_rota_runs() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    let ran = place.rota(&["env", "claude"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), "false\n"), "{ran:?}");
    let daemon = place.serve();
    let ran = place.rota(&["env", "claude"]);
    assert!(ran.out.contains(&format!("'http://{}'", daemon.proxy())), "{ran:?}");
    assert!(!ran.err.contains("rota serve"), "{ran:?}");
}

/// What a client asks below its address.
const ASKS: [(&str, &str, &str); 7] = [
    ("codex", "/responses", "codex"),
    ("claude", "/v1/messages?beta=true", "anthropic"),
    ("opencode", "/responses", "openai"),
    ("openai-sdk", "/responses", "openai"),
    ("anthropic-sdk", "/v1/messages", "anthropic"),
    ("aider", "/chat/completions", "openai"),
    ("gemini", "/v1beta/models/gemini-3:streamGenerateContent?alt=sse", "gemini"),
];

/// Each row of the table leads a client to the provider that it means; what the API shows is what the command line shows.
#[test]
fn every_row_of_the_table_leads_to_its_provider() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    for provider in ["openai", "anthropic", "gemini"] {
        place.add(provider, provider, "sk-a");
    }
    let login = serde_json::json!({"kind": "bearer", "accessToken": "sk-a"});
    place.add_login("codex", "codex", &login);
    let daemon = place.serve();
    let base = format!("http://{}", daemon.proxy());
    let view = place.admin(&daemon, "GET", "/api/clients").send().json();
    assert_eq!(view, place.json(&["connect"]));
    let ids: BTreeSet<&str> = view["clients"]
        .as_array()
        .expect("clients")
        .iter()
        .filter_map(|client| client["id"].as_str())
        .collect();
    let asked: BTreeSet<&str> = ASKS.iter().map(|(id, ..)| *id).chain(["any", "cursor", "curl"]).collect();
    assert_eq!(ids, asked, "every row is tried, but the one that is several and the two that need nothing");
    for (id, below, provider) in ASKS {
        let address = address(&place, id);
        let path = address.strip_prefix(&base).unwrap_or_else(|| panic!("{id}: {address} is not at {base}"));
        let reply = daemon.call("POST", &format!("{path}{below}")).json(super::place::STREAM).send();
        let told = daemon.wrote(reply.header("x-rota-request-id").expect("an id"));
        assert!(!told.is_empty());
        let why = place.json(&["why", reply.header("x-rota-request-id").expect("an id")]);
        assert_eq!(why["provider"], provider, "{id}: {why}");
        assert_eq!(why["selectedAlias"], provider, "{id}: {why}");
    }
}

/// The address that a client is given: in its environment, or in its file.
fn address(place: &Place, id: &str) -> String {
    let written = place.rota(&["connect", id, "--write"]);
    let file = match id {
        "codex" => "home/.codex/config.toml",
        "opencode" => "config/opencode/opencode.json",
        "claude" => "home/.claude/settings.json",
        _ => {
            assert_eq!(written.code, Some(1), "it has no file: {written:?}");
            let env = place.json(&["env", id]);
            let env = env["env"].as_object().expect("variables").clone();
            let base = env.values().filter_map(Value::as_str).find(|value| value.starts_with("http"));
            return base.expect("an address").to_owned();
        }
    };
    assert_eq!(written.code, Some(0), "{written:?}");
    let text = read(place, file);
    let quoted = text.split('"').find(|word| word.starts_with("http://"));
    quoted.expect("an address").to_owned()
}

#[test]
fn completions_are_there_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = place.rota(&["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{shell}");
        assert!(ran.out.contains("connect") && ran.out.contains("rota"), "{shell}: {}", ran.out);
    }
    assert_eq!(place.rota(&["completions"]).code, Some(2));
}

/// How often Tab is pressed before the test fails.
const TABS: usize = 30;

/// A shell asks for the names of accounts while somebody types: at once, and without a word where there is nobody.
#[test]
fn aliases_are_completed_from_the_daemon() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    let nobody = place.rota(&["completions", "--accounts"]);
    assert_eq!((nobody.code, nobody.out.as_str(), nobody.err.as_str()), (Some(0), "", ""));
    assert!(!place.state().exists());
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-a");
    let daemon = place.serve();
    // A shell waits a second at most; on a machine that is busy for so long a person presses Tab again.
    let again = |complete: &dyn Fn() -> String| (0..TABS).map(|_| complete()).find(|names| !names.is_empty());
    let names = again(&|| place.rota(&["completions", "--accounts"]).out).expect("names");
    assert_eq!(names.lines().collect::<BTreeSet<_>>(), ["home", "work"].into());
    // What bash does when Tab is pressed behind `rota disable w`.
    let script = place.file("rota.bash", 0o600, &place.rota(&["completions", "bash"]).out);
    let bin =
        std::path::Path::new(env!("CARGO_BIN_EXE_rota")).parent().expect("a directory").display().to_string();
    let typed = format!(
        "PATH=\"{bin}:$PATH\"; source '{}'; COMP_WORDS=(rota disable w); COMP_CWORD=2; _rota_and_accounts rota w disable; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let said = again(&|| {
        let mut shell = place.shell("exec bash -c \"$TYPED\"");
        let done = shell.env("TYPED", &typed).env("PATH", "/usr/bin:/bin").output().expect("a shell");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    });
    let said = said.expect("names");
    assert!(said.lines().any(|line| line == "work") && !said.contains("home"), "{said}");
    drop(daemon);
}
