//! The first five minutes of a new user, from `rota` alone to where a value comes from: every command is there, and says
//! what a newcomer has to read. Hosts and the service manager are made up; all else is real.
use super::*;
use crate::process::place::STREAM;
use fake_upstream::Fault;
use std::fs;
use std::io::{BufRead, BufReader, Read};

/// UX: signing in twice, one command through rota, a client for good, how it is, what went wrong, where a value comes from.
#[test]
fn five_minutes_of_a_newcomer_say_what_to_do_at_every_step() {
    let fake = provider();
    let place = newcomer(&fake);
    let greeting = said(&place, &["rota"]);
    for line in [
        "No accounts yet, and nothing is listening on 127.0.0.1:",
        "\n  rota login work              sign in to an account and call it \"work\"\n",
        "\n  rota import codex            take over the login that Codex CLI already has\n",
        "\n  rota --help                  everything else\n",
    ] {
        assert!(greeting.contains(line), "{line:?} is not in\n{greeting}");
    }
    fs::remove_file(place.path("home/.codex/auth.json")).expect("the login goes");
    assert!(!said(&place, &["rota"]).contains("rota import"), "there is nothing to take over");
    let first = sign_in(&place, "work", "a");
    let who = "✔ work   user-a@example.test · plus · signed in, renews itself\n  5-hour 100 % left (resets ";
    let next = "\n\nNext:  rota login home         a second account is where it gets useful\n       \
                rota run -- codex       use it now\n";
    assert!(first.starts_with(who) && first.contains(") · weekly 100 % left (resets "), "{first}");
    assert!(first.ends_with(next), "{first}");
    assert!(sign_in(&place, "home", "b").starts_with("✔ home   user-b@example.test"));
    one_command(&place);
    set_up_for_good(&place);
    let daemon = place.serve();
    fake.upstream.set_fault(Fault::named("usage_limit_reached").account("a"));
    for _ in 0..4 {
        let reply = daemon.ask("/backend-api/codex/responses");
        assert_eq!(reply.status, 200, "{reply:?}");
        // It is counted once it is told, which may be after its last byte was sent.
        daemon.wrote(reply.header("x-rota-request-id").expect("an id"));
    }
    is_all_well(&place, &daemon);
    something_goes_wrong(&place);
    let page = said(&place, &["rota", "dashboard", "--no-browser"]);
    assert!(page.starts_with(&format!("http://{}/#ticket=", daemon.admin())), "{page}");
    let explained = said(&place, &["rota", "config", "explain", "strategy"]);
    for line in ["rotation.strategy = \"round-robin\"\n", "  settings ", "  file ", "  env ", "<- in force\n"]
    {
        assert!(explained.contains(line), "{line:?} is not in\n{explained}");
    }
    let preset = said(&place, &["rota", "settings", "preset", "conservative", "--dry-run"]);
    assert!(preset.contains("low  30 → 20\n") && preset.ends_with("nothing written\n"), "{preset}");
}

/// A home with a login of Codex in it, and `codex` and `claude` on the path: the first says what it was told, and waits.
fn newcomer(fake: &Fake) -> Place {
    let mut place = home(fake);
    let own = "id = \"codex\"\nextends = \"codex\"\n[login.browser]\nports = []\n";
    place.file("config/rota/providers/codex.toml", 0o600, own);
    place.file("home/.codex/auth.json", 0o600, "{}");
    place.file("bin/codex", 0o700, "#!/bin/sh\nprintf '%s\\n' \"$@\"; echo told; read line\n");
    place.file("bin/claude", 0o700, "#!/bin/sh\necho \"claude with $ANTHROPIC_BASE_URL\"\n");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rota"), place.path("bin/rota")).expect("a link");
    place.set("PATH", format!("{}:/usr/bin:/bin", place.path("bin").display()));
    // Known before it runs, as the usual one is.
    place.set("ROTA_LISTEN", format!("127.0.0.1:{}", free_port()));
    place
}

/// What a command that went well has written.
fn said(place: &Place, words: &[&str]) -> String {
    let ran = place.rota(&words[1..]);
    assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
    ran.out
}

fn sign_in(place: &Place, alias: &str, account: &str) -> String {
    let signing = Signing::start(place, &[alias, "--provider", "codex"]);
    agree(&signing, account);
    let ran = signing.ended();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("no browser here? open the address yourself, or run: rota login"), "{ran:?}");
    ran.out
}

/// `rota run -- codex`, and `rota why` once it and its daemon are gone.
fn one_command(place: &Place) {
    let mut command = place.command(&["run", "--", "codex", "explain this repo"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut told = String::new();
    while !told.ends_with("\ntold\n") {
        assert!(out.read_line(&mut told).is_ok_and(|bytes| bytes > 0), "it ended and wrote {told}");
    }
    assert!(told.contains("\nmodel_provider=\"rota\"\n") && told.contains("\nexplain this repo\n"), "{told}");
    let base = told.lines().find_map(|line| line.split_once("base_url=\"")).expect("an address").1;
    let (at, path) = split(base.trim_end_matches('"'));
    let reply = Talk::to(at, "POST", &format!("{path}/responses")).json(STREAM).send();
    assert_eq!(reply.status, 200, "{reply:?}");
    let id = reply.header("x-rota-request-id").expect("an id").to_owned();
    child.stdin.take().expect("a pipe").write_all(b"\n").expect("it reads");
    let mut err = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
    assert_eq!(child.wait().expect("an end").code(), Some(0), "{err}");
    let address = at.to_string();
    assert_eq!(
        err,
        format!(
            "rota: started {address} for this command (2 accounts, round-robin); `rota service install` keeps it running\n"
        )
    );
    while place.rota(&["healthcheck"]).code != Some(3) {}
    let why = place.rota(&["why"]);
    assert_eq!(why.code, Some(0), "{why:?}");
    assert!(why.err.contains("rota is not running"), "{why:?}");
    for words in [
        id.as_str(),
        "POST /backend-api/codex/responses  served by work, 1 attempt, 200\n",
        "why work: its turn (round-robin); 200 after ",
        "\n        added ",
        "; first byte after ",
    ] {
        assert!(why.out.contains(words), "{words:?} is not in\n{}", why.out);
    }
    assert_eq!(place.rota(&["why", &id[..6]]).out, why.out);
    assert_eq!(place.json(&["why"])["decisions"][0]["requestId"], id);
    let logs = place.rota(&["logs"]);
    assert!(logs.out.contains("  work  POST /backend-api/codex/responses\n"), "{logs:?}");
    assert_eq!(place.rota(&["why", "--next"]).code, Some(3), "nobody is next where nothing runs");
}

/// `rota connect codex`, and `rota env claude`.
fn set_up_for_good(place: &Place) {
    place.file("home/.codex/config.toml", 0o600, "model = \"gpt-5\"\n");
    let would = said(place, &["rota", "connect", "codex", "--dry-run"]);
    let heading = "Would change ~/.codex/config.toml (a copy is kept as config.toml.before-rota):\n  + model_provider = \"rota\"\n";
    assert!(would.starts_with(heading) && would.ends_with("Nothing written.\n"), "{would}");
    assert!(
        would.contains("/backend-api/codex\"\n") && would.contains("  + wire_api = \"responses\"\n"),
        "{would}"
    );
    let done = said(place, &["rota", "connect", "codex", "--write"]);
    assert!(done.contains("\n✔ done. Undo with: rota connect codex --undo\n"), "{done}");
    assert!(!done.contains('{') && done.contains("/openai/v1.\n"), "a note names the address: {done}");
    let undone = said(place, &["rota", "connect", "codex", "--undo"]);
    assert!(undone.ends_with("✔ ~/.codex/config.toml is as it was before rota\n"), "{undone}");
    let shell = place.shell("eval \"$(rota env claude)\" && claude").output().expect("a shell");
    assert!(String::from_utf8_lossy(&shell.stdout).starts_with("claude with http://127.0.0.1:"), "{shell:?}");
    let told = String::from_utf8_lossy(&shell.stderr);
    let exported = "rota: exported ANTHROPIC_AUTH_TOKEN and ANTHROPIC_BASE_URL for this shell\n";
    assert!(told.starts_with(exported), "{told}");
}

/// `rota status`.
fn is_all_well(place: &Place, daemon: &Daemon) {
    let status = said(place, &["rota", "status"]);
    let mut lines = status.lines();
    let head = lines.next().expect("a headline");
    let at =
        format!(" at {} · dashboard http://{} · round-robin · store intact", daemon.proxy(), daemon.admin());
    assert!(head.starts_with("rota ") && head.contains(" up ") && head.ends_with(&at), "{status}");
    let columns = lines.nth(1).expect("the columns");
    let names = ["ACCOUNT", "STATE", "5-HOUR LEFT", "WEEKLY LEFT", "24 H", "TOKEN"];
    let places: Vec<Option<usize>> = names.iter().map(|name| columns.find(name)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{columns}");
    let work = lines.next().expect("a row");
    assert!(
        work.contains("work  ") && work.contains("◐ cooling, ") && work.contains(" (quota-window)"),
        "{work}"
    );
    let home = lines.next().expect("a row");
    assert!(
        home.contains("● in rotation") && home.contains(" %  in ") && home.contains("  100 %  "),
        "{home}"
    );
    assert!(home.ends_with(" min"), "how long its token is good for: {home}");
    assert!(status.contains("\n  1 request of the last 24 h would have failed and did not."), "{status}");
    let next = said(place, &["rota", "why", "--next"]);
    assert_eq!(next, "codex: home (rotated)\n");
}

/// `rota doctor`, and an account that is not there.
fn something_goes_wrong(place: &Place) {
    let doctor = said(place, &["rota", "doctor"]);
    for words in ["✔ config ", "/rota.toml, no problems\n", "✔ store ", "✔ listening ", "All is well.\n"]
    {
        assert!(doctor.contains(words), "{words:?} is not in\n{doctor}");
    }
    let wrong = place.rota(&["disable", "wrok"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.err.contains("\n  did you mean: rota disable work        (accounts: "), "{wrong:?}");
    assert!(said(place, &["rota", "help", "connect"]).contains("Usage: rota connect"));
}

/// Where rota asks for keys, a shell is given one that opens; without it, nothing is run that was told nothing.
#[test]
fn a_shell_is_given_a_key_where_rota_asks_for_one() {
    let fake = Fake::keys(&["a"]);
    let mut place = newcomer(&fake);
    place.add("work", "anthropic", "sk-a");
    let daemon = place.serve();
    let none = place.rota(&["env", "claude", "--key", "mine"]);
    assert!(
        none.code == Some(1) && none.err.contains("asks for no key"),
        "the first key shuts others out: {none:?}"
    );
    let made = place.rota(&["keys", "add", "other"]);
    let file = place.file("other.key", 0o600, &made.out).display().to_string();
    let script = "eval \"$(rota env claude)\" && claude";
    let shell = place.shell(script).output().expect("a shell");
    assert!(
        !shell.status.success() && shell.stdout.is_empty(),
        "no program that was told nothing: {shell:?}"
    );
    let told = String::from_utf8_lossy(&shell.stderr).into_owned();
    assert!(told.contains("rota env claude --key NAME") && told.contains("--key-file FILE"), "{told}");
    let connected = place.rota(&["connect", "claude", "--write"]);
    assert!(connected.code == Some(0) && connected.err.contains("this gives it none"), "{connected:?}");
    let given = place.rota(&["env", "claude", "--key", "mine"]);
    let held = place.rota(&["env", "claude", "--key-file", &file]);
    for ran in [&given, &held] {
        let quoted = ran.out.lines().find_map(|line| line.strip_prefix("export ANTHROPIC_AUTH_TOKEN='"));
        let key = quoted.expect("a key").trim_end_matches('\'');
        assert!(key.starts_with("rota-") && !ran.err.contains(key), "{ran:?}");
        let bearer = format!("Bearer {key}");
        let asked = |value: &str| {
            let call = daemon.call("POST", "/v1/messages").header("anthropic-version", "2023-06-01");
            call.header("authorization", value).json(MESSAGE).send().status
        };
        assert_eq!((asked(&bearer), asked("Bearer rota")), (200, 401));
    }
    let again = place.rota(&["env", "claude", "--key", "mine"]);
    assert!(again.code == Some(1) && again.out == "false\n" && again.err.contains("\"mine\""), "{again:?}");
    daemon.stop();
    let stopped = place.rota(&["env", "claude"]);
    assert!(stopped.code == Some(1) && stopped.err.contains("--key NAME"), "keys are kept: {stopped:?}");
    place.set("SHELL", "/usr/bin/pwsh");
    assert!(place.rota(&["env", "claude"]).out.starts_with("throw "), "PowerShell fails in its own way");
}

const MESSAGE: &str =
    r#"{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}"#;
