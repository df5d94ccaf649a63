use super::place::{Fake, Place};
use fake_upstream::Fault;

/// UX: what a newcomer sees first says what to do, and creates nothing.
#[test]
fn rota_alone_says_what_to_do_next() {
    let place = Place::new();
    let ran = place.rota(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for words in [
        "No accounts yet, and nothing is listening on 127.0.0.1:",
        "rota demo",
        "rota login",
        "rota accounts add",
        "rota --help                  everything else",
    ] {
        assert!(ran.out.contains(words), "{}", ran.out);
    }
    assert!(!place.state().exists());
    place.add("work", "openai", "sk-1");
    let ran = place.rota(&[]);
    assert!(ran.out.contains("work") && ran.out.contains("rota --help"), "{}", ran.out);
    assert!(!place.state().join("admin-token").exists(), "no command but serve needs one");
}

#[test]
fn a_command_says_as_much_as_it_is_asked_to() {
    let mut place = Place::new();
    place.set("ROTA_LISTEN", "127.0.0.1:7682");
    let hint = "rota serve";
    assert!(place.rota(&["env", "claude"]).err.contains(hint));
    let quiet = place.rota(&["-q", "env", "claude"]);
    assert!(quiet.err.is_empty() && quiet.out.contains("ANTHROPIC_BASE_URL"), "{quiet:?}");
    assert!(place.rota(&["accounts", "--quiet", "--socket", "/nowhere"]).err.starts_with("error: "));
    assert_eq!(place.rota(&["status", "-q", "-v"]).code, Some(2));
    place.set("ROTA_LISTEN", "127.0.0.1:0");
    let daemon = place.serve();
    let told = place.rota(&["accounts", "-v"]);
    let call = format!("rota: GET /api/accounts of {}: 200, ", daemon.admin());
    assert!(told.code == Some(0) && told.err.starts_with(&call), "{told:?}");
    assert_eq!(place.rota(&["accounts"]).err, "");
    daemon.stop();
    let level = |flag: &str| {
        let daemon =
            super::place::Daemon::start(place.command(&["serve", flag, "--server-info", "info.json"]));
        while !place.path("info.json").exists() {}
        while place.rota(&["healthcheck"]).code != Some(0) {}
        std::fs::remove_file(place.path("info.json")).expect("a file");
        daemon.signal("TERM");
        let (code, log) = daemon.ended();
        assert_eq!(code, Some(0), "{log}");
        log
    };
    assert!(!level("-q").contains("listening"), "what is well is not told");
    assert!(level("-v").contains("listening"));
}

#[test]
fn every_command_has_its_help() {
    let place = Place::new();
    let help = place.rota(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("Exit codes"), "{}", help.out);
    for args in [
        &["accounts"][..],
        &["accounts", "add"],
        &["accounts", "rm"],
        &["config", "explain"],
        &["demo"],
        &["doctor"],
        &["disable"],
        &["enable"],
        &["healthcheck"],
        &["import"],
        &["login"],
        &["serve"],
        &["status"],
        &["store", "verify"],
        &["why"],
    ] {
        let ran = place.rota(&[args, &["--help"]].concat());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(ran.out.contains("Usage: rota"), "{}", ran.out);
        assert!(!ran.out.contains('\u{1b}'), "no colour into a pipe");
    }
}

#[test]
fn exit_codes_tell_scripts_what_happened() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    assert_eq!(place.rota(&["status"]).code, Some(0));
    assert_eq!(place.rota(&["disable", "nobody"]).code, Some(1));
    assert_eq!(place.rota(&["frobnicate"]).code, Some(2));
    for args in [&["why"][..], &["healthcheck"], &["healthcheck", "--ready"]] {
        let ran = place.rota(args);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.err.contains("rota serve"), "{ran:?}");
    }
    let daemon = place.serve();
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0));
    assert_eq!(place.rota(&["healthcheck", "--ready"]).code, Some(4));
    assert_eq!(place.rota(&["why", "--next", "--provider", "openai"]).code, Some(4));
    place.add("work", "openai", "sk-a");
    assert_eq!(place.rota(&["healthcheck", "--ready"]).code, Some(0));
    assert_eq!(place.rota(&["why", "--next", "--provider", "openai"]).code, Some(0));
    assert_eq!(place.serve_in_vain(&[]).code, Some(75));
    assert_eq!(place.rota(&["store", "import", "-"]).code, Some(75));
    drop(daemon);
    place.config("colour = 1\n");
    assert_eq!(place.rota(&["status"]).code, Some(78));
    assert_eq!(place.serve_in_vain(&[]).code, Some(78));
}

/// README's first command.
#[test]
fn the_demo_shows_a_failover_and_leaves_nothing_behind() {
    let place = Place::new();
    let ran = place.rota(&["demo"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(
        ran.out.contains("The upstream saw, in this order: first, second, third, first, second"),
        "{}",
        ran.out
    );
    let mut left = std::collections::BTreeMap::new();
    super::place::gather(place.root(), place.root(), &mut left);
    assert_eq!(left, std::collections::BTreeMap::new());
}

/// OBS-1: the decision is told by the command line, by its id, and for the future.
#[test]
fn why_tells_of_each_account_and_why_it_was_left() {
    let fake = Fake::keys(&["a", "b"]);
    fake.upstream.set_fault(Fault::named("insufficient_quota").account("a"));
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    let told = place.rota(&["why"]);
    assert_eq!((told.code, told.out.as_str()), (Some(0), "No request has come since rota was started.\n"));
    let reply = daemon.ask("/openai/v1/responses");
    assert_eq!(reply.status, 200);
    let id = reply.header("x-rota-request-id").expect("an id").to_owned();
    daemon.wrote(&id);
    let latest = place.rota(&["why"]).out;
    for words in [
        id.as_str(),
        "served by home, 2 attempts, 200",
        "tried work, its turn (round-robin): 429, payment-required",
        "why home: its turn (round-robin); 200 after ",
    ] {
        assert!(latest.contains(words), "{words:?} is not in\n{latest}");
    }
    assert_eq!(place.rota(&["why", &id[..6]]).out, latest);
    let next = place.rota(&["why", "--next", "--provider", "openai"]);
    assert_eq!((next.code, next.out.as_str()), (Some(0), "openai: home (rotated)\n"));
    assert_eq!(place.rota(&["why", "--next"]).out, next.out, "the only provider that has accounts");
    assert_eq!(place.rota(&["why", "ffffffff"]).code, Some(1));
    // Nobody is left: every account is told, by its name.
    fake.upstream.set_fault(Fault::named("insufficient_quota").account("b"));
    daemon.ask("/openai/v1/responses");
    let refused = daemon.ask("/openai/v1/responses");
    assert_eq!(refused.code(), "NO_ELIGIBLE_ACCOUNTS");
    daemon.wrote(refused.header("x-rota-request-id").expect("an id"));
    let story = place.rota(&["why"]).out;
    for words in ["refused NO_ELIGIBLE_ACCOUNTS, 0 attempts, 429", "not work: ", "not home: ", ", until 20"] {
        assert!(story.contains(words), "{words:?} is not in\n{story}");
    }
    let gate = daemon.call("GET", "/v1/models").header("host", "evil.example").send();
    daemon.wrote_what(|log| log.contains("HOST_NOT_ALLOWED"));
    assert_eq!(gate.code(), "HOST_NOT_ALLOWED");
    assert!(place.rota(&["why"]).out.contains("refused HOST_NOT_ALLOWED, 0 attempts, 421"));
}

/// Nothing but text goes into a pipe, whatever the environment says of colours, unless it forces them on clap's own words.
#[test]
fn what_is_not_a_terminal_gets_no_escape_codes() {
    let fake = Fake::keys(&["a"]);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", "xterm-256color"), ("CLICOLOR", "1")]
    {
        let mut place = Place::before(&fake);
        place.set(name, value);
        place.add("work", "openai", "sk-a");
        let daemon = place.serve();
        for args in [
            &["status"][..],
            &["accounts"],
            &["doctor", "--offline"],
            &["why", "--next", "--provider", "openai"],
            &["config", "explain"],
            &["connect"],
            &["connect", "codex", "--dry-run"],
            &["frobnicate"],
            &["disable", "nobody"],
            &["--help"],
            &["run", "--help"],
        ] {
            let ran = place.rota(args);
            assert!(
                !format!("{}{}", ran.out, ran.err).contains('\u{1b}'),
                "{name}={value} {args:?}: {ran:?}"
            );
        }
        drop(daemon);
    }
}

/// What is wrong, and what was probably meant.
#[test]
fn a_wrong_name_is_answered_with_the_nearest() {
    let place = Place::new();
    place.add("work", "openai", "sk-a");
    for (args, code, meant) in [
        (&["disable", "wrok"][..], 1, "did you mean: rota disable work  "),
        (&["config", "explain", "timeouts.conect"], 1, "did you mean `timeouts.connect`"),
        (&["stauts"], 2, "'status'"),
        (&["connect", "codx"], 2, "'codex'"),
        (&["service", "instal"], 2, "'install'"),
    ] {
        let ran = place.rota(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran:?}");
        assert!(ran.err.starts_with("error: ") && ran.err.contains(meant), "{meant}: {}", ran.err);
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let mut command = place.command(&["config", "template"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ended = command.stdout(writer).stderr(std::process::Stdio::piped()).output().expect("an end");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}
