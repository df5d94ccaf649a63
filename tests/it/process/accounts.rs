use super::place::{Place, Ran};
use serde_json::{Value, json};

/// OBS-3: a secret comes from a file, standard input or a variable; there is no argument that takes one.
#[test]
fn a_key_comes_from_a_file_from_standard_input_or_from_a_variable() {
    let mut place = Place::new();
    place.set("MY_KEY", "sk-variable\n");
    let file = place.file("k", 0o600, "sk-file\n").display().to_string();
    let add = |alias, source: &[&str], input| {
        let args = [&["accounts", "add", alias, "--provider", "openai"], source].concat();
        let ran = place.rota_given(&args, input);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
        assert_eq!(ran.out, format!("{alias} added to openai: eligible\n"));
    };
    add("file", &["--key-file", &file], "");
    add("stdin", &["--key-stdin"], "sk-stdin\n");
    add("variable", &["--key-env", "MY_KEY", "--kind", "bearer"], "");
    let exported: Value =
        serde_json::from_str(&place.rota(&["store", "export", "--secrets"]).out).expect("JSON");
    let exported = exported.to_string();
    for key in ["sk-file", "sk-stdin", "sk-variable"] {
        assert!(exported.contains(&format!("{key}\"")), "{key} is not kept as it is");
    }
    let argument = place.rota(&["accounts", "add", "x", "--provider", "openai", "--key", "sk-argument"]);
    assert_eq!(argument.code, Some(2));
}

/// STO-4
#[test]
fn a_key_that_others_can_read_is_refused_with_what_to_do() {
    let place = Place::new();
    let file = place.file("k", 0o644, "sk-canary\n").display().to_string();
    for option in ["--key-file", "--credential-file"] {
        let ran = place.rota(&["accounts", "add", "work", "--provider", "openai", option, &file]);
        failed(&ran, &format!("chmod 600 {file}"));
        assert!(!ran.err.contains("canary"));
    }
}

#[test]
fn what_cannot_be_added_is_refused_and_said_how_it_could() {
    let place = Place::new();
    place.add("work", "openai", "sk-1");
    let login = place.file(
        "login.json",
        0o600,
        r#"{"kind":"oauth","accessToken":"at-canary","refreshToken":"rt-canary"}"#,
    );
    let login = login.display().to_string();
    let whole = r#"{"kind":"oauth","accessToken":"at-canary","expiresAt":4102444800000}"#;
    let whole = place.file("whole.json", 0o600, whole).display().to_string();
    let text = place.file("text.json", 0o600, r#""sk-canary""#).display().to_string();
    let garbage = place.file("garbage.json", 0o600, "{\"accessToken\": \"sk-canary").display().to_string();
    let unknown = place
        .file("unknown.json", 0o600, r#"{"kind":"oauth","accesstoken":"at-canary"}"#)
        .display()
        .to_string();
    let missing = place.path("nothing").display().to_string();
    for (alias, provider, source, input, told) in [
        (
            "home",
            "opanai",
            vec!["--key-stdin"],
            "sk-canary",
            "there are anthropic, codex, gemini, openai, openrouter",
        ),
        ("work", "openai", vec!["--key-stdin"], "sk-canary", "rota accounts rm work"),
        ("Work Place", "openai", vec!["--key-stdin"], "sk-canary", "alias"),
        ("home", "openai", vec!["--key-stdin"], "  \n", "must not be empty"),
        ("home", "openai", vec!["--key-stdin"], "sk-canary with blanks", "without blanks"),
        ("home", "openai", vec!["--credential-file", &whole], "", "provider openai takes api-key or bearer"),
        ("home", "openai", vec!["--key-env", "NOT_SET"], "", "NOT_SET is not set"),
        ("home", "openai", vec!["--key-file", &missing], "", "No such file"),
        ("home", "openai", vec!["--key-stdin", "--weight", "0"], "sk-canary", "above 0, at most 1"),
        ("home", "codex", vec!["--credential-file", &login], "", "expiresAt"),
        ("home", "codex", vec!["--credential-file", &text], "", "expected an object"),
        ("home", "codex", vec!["--credential-file", &garbage], "", "is not JSON: line 1"),
        ("home", "codex", vec!["--credential-file", &unknown], "", "unknown field `accesstoken`"),
    ] {
        let args = [vec!["accounts", "add", alias, "--provider", provider], source].concat();
        let ran = place.rota_given(&args, input);
        failed(&ran, told);
        assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
    }
    let names: Vec<Value> = place.accounts().iter().map(|account| account["alias"].clone()).collect();
    assert_eq!(names, ["work"]);
}

/// UX: an unknown alias is answered with the ones there are, and the likely one.
#[test]
fn a_mistyped_alias_is_recognised() {
    let place = Place::new();
    place.add("work", "openai", "sk-1");
    for args in [&["disable", "wrok"][..], &["enable", "wrok"], &["accounts", "rm", "wrok", "--yes"]] {
        let meant = args.join(" ").replace("wrok", "work");
        let told = format!(
            "there is no account \"wrok\" [ACCOUNT_NOT_FOUND]\n  did you mean: rota {meant}        (accounts: work)\n"
        );
        failed(&place.rota(args), &told);
    }
}

#[test]
fn removal_asks_and_without_a_terminal_needs_yes() {
    let place = Place::new();
    place.add("work", "openai", "sk-1");
    place.add("home", "openai", "sk-2");
    failed(&place.rota(&["accounts", "rm", "work"]), "--yes");
    assert_eq!(place.accounts().len(), 2);
    let ran = place.rota(&["accounts", "rm", "work", "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "work is gone\n"));
    // ADM-2: the last enabled one of its provider needs more than a yes.
    failed(&place.rota(&["accounts", "rm", "home", "--yes"]), "LAST_ENABLED");
    assert_eq!(place.rota(&["accounts", "rm", "home", "--yes", "--force"]).code, Some(0));
    assert_eq!(place.accounts(), Vec::<Value>::new());
    let kept = place.stored().into_iter().filter(|(name, _)| name.starts_with("credentials/"));
    let kept: Vec<String> = kept.filter(|(_, bytes)| !bytes.is_empty()).map(|(name, _)| name).collect();
    assert_eq!(kept, Vec::<String>::new(), "a removed credential leaves nothing behind");
}

/// STO-6: with and without a daemon the same commands give the same answers.
#[test]
fn commands_answer_alike_with_and_without_a_daemon() {
    let told = |running: bool| {
        let place = Place::new();
        let daemon = running.then(|| place.serve());
        let mut told = Vec::new();
        let mut run = |args: &[&str], input: &str| {
            let ran = place.rota_given(args, input);
            told.push((args.join(" "), ran.code, ran.out, ran.err));
        };
        let add =
            ["accounts", "add", "work", "--provider", "openai", "--key-stdin", "--tag", "a", "--notes", "n"];
        run(&["accounts"], "");
        run(&add, "sk-1");
        run(&add, "sk-1");
        run(&["accounts", "add", "home", "--provider", "openai", "--key-stdin", "--json"], "sk-2");
        run(&["disable", "work", "--reason", "holiday"], "");
        run(&["disable", "work"], "");
        run(&["disable", "home"], "");
        run(&["accounts", "ls"], "");
        run(&["ls"], "");
        run(&["enable", "work", "--json"], "");
        run(&["enable", "wrok"], "");
        run(&["accounts", "rm", "home", "--yes", "--json"], "");
        run(&["accounts", "--json"], "");
        drop(daemon);
        told
    };
    assert_eq!(told(false), told(true));
}

#[test]
fn json_is_the_answer_of_the_admin_api() {
    let place = Place::new();
    place.add("work", "openai", "sk-1");
    let daemon = place.serve();
    for (args, path) in
        [(&["accounts"][..], "/api/accounts"), (&["why", "-n", "9"], "/api/decisions?limit=9")]
    {
        assert_eq!(place.json(args), place.admin(&daemon, "GET", path).send().json());
    }
    let mut status = [place.json(&["status"]), place.admin(&daemon, "GET", "/api/status").send().json()];
    status.iter_mut().for_each(|status| status["now"] = json!("any"));
    assert_eq!(status[0], status[1]);
}

impl Place {
    fn accounts(&self) -> Vec<Value> {
        self.json(&["accounts"])["accounts"].as_array().expect("a list").clone()
    }
}

fn failed(ran: &Ran, told: &str) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.starts_with("error: ") && ran.err.contains(told), "{told:?} is not in {:?}", ran.err);
}
