use super::*;
use std::fs;

/// REN-5: a person signs in with a browser, with and without a daemon.
#[test]
fn a_browser_login_adds_an_account_that_serves() {
    for (id, path, expected) in [
        ("chat", "/chat/responses", "✔ work   user-b@example.test · plus · signed in, renews itself\n"),
        ("claude", "/claude/v1/messages", "✔ work   user-b@example.test · signed in, renews itself\n"),
        ("acme", "/acme/v1/responses", "✔ work   signed in, renews itself\n"),
    ] {
        let fake = provider();
        let place = home(&fake);
        let signing = Signing::start(&place, &["work", "--provider", id]);
        agree(&signing, "b");
        let ran = signing.ended();
        assert_eq!(ran.code, Some(0), "{id}: {ran:?}");
        let next = "\nNext:  rota login home         a second account is where it gets useful\n       rota run -- CMD         use it now\n";
        let limits = ran.out.strip_prefix(expected).and_then(|rest| rest.strip_suffix(next)).expect(&ran.out);
        let told = limits.starts_with("  5-hour 100 % left (resets ") && limits.ends_with(")\n");
        assert_eq!((told, limits.is_empty()), (id != "acme", id == "acme"), "{limits:?}");
        assert!(ran.err.starts_with("rota is not running: this command keeps the store"), "{}", ran.err);
        let daemon = place.serve();
        let signing = Signing::start(&place, &["home", "--provider", id]);
        agree(&signing, "a");
        let ran = signing.ended();
        assert_eq!((ran.code, ran.out.contains("✔ home ")), (Some(0), true), "{ran:?}");
        assert!(!ran.err.contains("keeps the store") && !ran.out.contains("Next:"), "{ran:?}");
        if id != "claude" {
            served(&fake, &daemon, path, &["a", "b"]);
        }
        assert_eq!(fake.upstream.ledger().reuses, 0);
    }
}

/// REN-5: what the page is asked for, and what the token endpoint is sent.
#[test]
fn the_requests_of_a_login_are_those_of_the_standards() {
    let fake = provider();
    let place = home(&fake);
    let signing = Signing::start(&place, &["work", "--provider", "acme"]);
    let page = signing.address("/oauth/authorize?");
    let fields = [
        ("response_type", "code"),
        ("client_id", "acme-client"),
        ("scope", "api%20offline"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
    ];
    for (name, value) in fields {
        assert_eq!(field(&page, name), value, "{page}");
    }
    assert!(field(&page, "redirect_uri").starts_with("http%3A%2F%2F127.0.0.1%3A"), "{page}");
    assert!(field(&page, "redirect_uri").ends_with("%2Fback%2Fhere"), "{page}");
    assert!(field(&page, "state").len() >= 22 && field(&page, "code_challenge").len() == 43, "{page}");
    let back = visit(&page, "a");
    assert_eq!(go(&back).status, 200);
    assert_eq!(signing.ended().code, Some(0));
    let token =
        fake.upstream.requests().into_iter().find(|request| request.path == "/token").expect("a trade");
    let sent: Vec<&str> = token.parameters.keys().map(String::as_str).collect();
    assert_eq!(sent, ["client_id", "code", "code_verifier", "grant_type", "redirect_uri"]);
    assert_eq!(token.parameters["code"], fake_upstream::fingerprint(field(&back, "code")));
    let other = Signing::start(&place, &["home", "--provider", "acme"]);
    let again = other.address("/oauth/authorize?");
    for name in ["state", "code_challenge"] {
        assert_ne!(field(&page, name), field(&again, name), "{name} is made anew for each login");
    }
}

/// REN-5: an answer without this login's `state` is nobody's, and the login waits on.
#[test]
fn a_wrong_and_a_missing_state_are_turned_away_and_cost_nothing() {
    let fake = provider();
    let place = home(&fake);
    let signing = Signing::start(&place, &["work", "--provider", "chat"]);
    let back = visit(&signing.address("/oauth/authorize?"), "a");
    for state in [Some("wrong"), Some(""), None] {
        let reply = go(&with_field(&back, "state", state));
        assert_eq!(reply.status, 400, "{state:?}: {reply:?}");
    }
    let denied =
        with_field(&with_field(&back, "state", Some("wrong")), "code", None) + "&error=access_denied";
    assert_eq!(go(&denied).status, 400);
    assert!(
        !fake.upstream.requests().iter().any(|request| request.path == "/oauth/token"),
        "no code was traded"
    );
    assert_eq!(go(&back).status, 200);
    assert_eq!(signing.ended().code, Some(0));
}

/// REN-5: what comes after the end meets nobody.
#[test]
fn a_late_callback_meets_nobody_and_a_state_is_good_once() {
    let fake = provider();
    let place = home(&fake);
    let daemon = place.serve();
    let signing = Signing::start(&place, &["work", "--provider", "chat"]);
    let page = signing.address("/oauth/authorize?");
    let first = visit(&page, "a");
    let second = visit(&page, "b");
    assert_eq!(go(&first).status, 200);
    assert_eq!(signing.ended().code, Some(0));
    assert!(!is_open(&second), "the listener is gone with the login");
    let stopped = Signing::start(&place, &["home", "--provider", "chat"]);
    let late = visit(&stopped.address("/oauth/authorize?"), "b");
    stopped.says("waiting");
    stopped.signal("INT");
    assert_eq!(stopped.ended().code, Some(5));
    assert!(!is_open(&late));
    assert_eq!(aliases(&place), ["work"]);
    served(&fake, &daemon, "/chat/responses", &["a"]);
}

/// REN-5, REN-6: somebody says no.
#[test]
fn a_denied_login_says_so_and_changes_nothing() {
    let fake = provider();
    for daemon in [false, true] {
        let place = home(&fake);
        let _daemon = daemon.then(|| place.serve());
        let signing = Signing::start(&place, &["work", "--provider", "chat"]);
        let back = visit(&signing.address("/oauth/authorize?"), "no");
        assert!(back.contains("error=access_denied"), "{back}");
        let page = go(&back);
        assert!(page.body.contains("turned down"), "{page:?}");
        let ran = signing.ended();
        assert_eq!((ran.code, ran.out.as_str()), (Some(5), ""), "{ran:?}");
        assert!(ran.err.contains("no account was added [LOGIN_DENIED]"), "{}", ran.err);
        assert_eq!(aliases(&place), Vec::<String>::new());
    }
}

/// REN-5: two people, or one with two tabs.
#[test]
fn two_logins_at_once_never_cross() {
    let fake = provider();
    let place = home(&fake);
    let daemon = place.serve();
    let one = Signing::start(&place, &["one", "--provider", "chat"]);
    let two = Signing::start(&place, &["two", "--provider", "chat"]);
    let backs = [(&one, "a"), (&two, "b")]
        .map(|(login, account)| visit(&login.address("/oauth/authorize?"), account));
    assert_ne!(split(&backs[0]).0, split(&backs[1]).0);
    // Each one's answer at the other's port.
    for (answer, at) in [(&backs[0], &backs[1]), (&backs[1], &backs[0])] {
        let crossed = format!(
            "{}?{}",
            at.split_once('?').expect("a query").0,
            answer.split_once('?').expect("a query").1
        );
        assert_eq!(go(&crossed).status, 400);
    }
    assert_eq!(go(&backs[1]).status, 200);
    assert!(two.ended().out.contains("✔ two   user-b@example.test"));
    assert_eq!(go(&backs[0]).status, 200);
    assert!(one.ended().out.contains("✔ one   user-a@example.test"));
    served(&fake, &daemon, "/chat/responses", &["a", "b"]);
}

/// REN-5: an account has one login at a time: a second command joins it, or takes its place if it goes another way.
#[test]
fn a_second_login_of_an_account_joins_the_first_or_takes_its_place() {
    let fake = provider();
    let place = home(&fake);
    let daemon = place.serve();
    let first = Signing::start(&place, &["work", "--provider", "chat"]);
    let page = first.address("/oauth/authorize?");
    // As a command that was killed leaves it.
    first.signal("KILL");
    assert_eq!(first.ended().code, None);
    let body = r#"{"alias":"work","provider":"chat"}"#;
    let refused = place.admin(&daemon, "POST", "/api/login").json(body).send();
    assert_eq!((refused.status, refused.code().as_str()), (409, "LOGIN_IN_PROGRESS"));
    let second = Signing::start(&place, &["work", "--provider", "chat"]);
    assert_eq!(second.address("/oauth/authorize?"), page);
    second.says("is under way already; this is it");
    let third = Signing::start(&place, &["work", "--provider", "chat", "--device"]);
    assert!(fake.upstream.approve_device(&third.code(), "a"));
    assert_eq!(second.ended().code, Some(5));
    assert_eq!(third.ended().code, Some(0));
    served(&fake, &daemon, "/chat/responses", &["a"]);
}

/// REN-5: Ctrl-C ends the login, not only the command.
#[test]
fn a_login_that_is_stopped_says_what_it_left_undone() {
    let fake = provider();
    for daemon in [false, true] {
        let place = home(&fake);
        let running = daemon.then(|| place.serve());
        for name in ["INT", "TERM"] {
            let signing = Signing::start(&place, &["work", "--provider", "chat", "--json"]);
            signing.says("waiting");
            signing.signal(name);
            let ran = signing.ended();
            assert_eq!(ran.code, Some(5), "{ran:?}");
            assert!(ran.err.contains("stopped") && ran.err.contains("no account was added"), "{}", ran.err);
            let job: serde_json::Value = serde_json::from_str(&ran.out).expect("the job");
            assert_eq!((&job["state"], &job["shown"]), (&"cancelled".into(), &"idle".into()), "{job}");
        }
        assert_eq!(aliases(&place), Vec::<String>::new());
        drop(running);
    }
}

/// REN-5: the first port that is free is taken; if none is, that is said.
#[test]
fn a_busy_port_is_passed_over_and_two_are_an_error() {
    let fake = provider();
    let held = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = held.local_addr().expect("an address").port();
    let free = free_port();
    let place = home_with(&fake, &format!("[{busy}, {free}]"));
    let signing = Signing::start(&place, &["work", "--provider", "chat"]);
    let page = signing.address("/oauth/authorize?");
    assert_eq!(field(&page, "redirect_uri"), format!("http%3A%2F%2Flocalhost%3A{free}%2Fauth%2Fcallback"));
    agree(&signing, "a");
    assert_eq!(signing.ended().code, Some(0));
    let other = TcpListener::bind(("127.0.0.1", free)).expect("it is free again");
    let refused = place.rota(&["login", "home", "--provider", "chat"]);
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    for words in [busy.to_string().as_str(), free.to_string().as_str(), "--device", "[LOGIN_PORT_BUSY]"] {
        assert!(refused.err.contains(words), "{words:?} is not in {}", refused.err);
    }
    drop((held, other));
    assert_eq!(aliases(&place), ["work"]);
}

/// REN-5: Codex's own two ports, which its client has registered.
#[test]
fn codex_takes_its_second_port_and_no_third() {
    let fake = provider();
    let place = home(&fake);
    // Held here, or by somebody else: busy either way.
    let first = TcpListener::bind("127.0.0.1:1455");
    let signing = Signing::start(&place, &["work", "--provider", "codex"]);
    let page = signing.address("/oauth/authorize?");
    assert_eq!(field(&page, "redirect_uri"), "http%3A%2F%2Flocalhost%3A1457%2Fauth%2Fcallback");
    let refused = home(&fake).rota(&["login", "home", "--provider", "codex"]);
    assert!(refused.err.contains("1455 or 1457") && refused.err.contains("[LOGIN_PORT_BUSY]"), "{refused:?}");
    agree(&signing, "a");
    assert_eq!(signing.ended().code, Some(0));
    drop(first);
}

/// UX: `$BROWSER` is opened, without a shell, and its failure is none of the login's.
#[test]
fn the_browser_is_opened_with_the_whole_address() {
    let fake = provider();
    let mut place = home(&fake);
    let pipe = place.path("opened");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let script = format!("#!/bin/sh\nprintf %s \"$1\" > '{}'\nexit 1\n", pipe.display());
    let browser = place.file("bin/browser", 0o700, &script);
    place.set("BROWSER", format!("/nowhere/at/all:{}", browser.display()));
    let signing = Signing::start(&place, &["work", "--provider", "chat"]);
    let (send, opened) = channel();
    // The pipe ends when the browser has written to it.
    std::thread::spawn(move || send.send(fs::read_to_string(pipe).expect("an address")));
    let opened = opened.recv_timeout(GUARD).expect("a browser was started");
    assert_eq!(opened, signing.address("/oauth/authorize?"));
    signing.says("Opening http");
    let back = visit(&opened, "a");
    assert_eq!(go(&back).status, 200);
    assert_eq!(signing.ended().code, Some(0));
}

/// UX: which provider is meant is asked, never guessed.
#[test]
fn a_login_without_a_provider_names_the_choices() {
    let fake = provider();
    let place = home(&fake);
    let asked = place.rota(&["login", "work"]);
    assert_eq!(asked.code, Some(1), "{asked:?}");
    for line in [
        "rota login work --provider acme ",
        "rota login work --provider chat ",
        "rota login work --provider codex ",
    ] {
        assert!(asked.err.contains(line), "{line:?} is not in {}", asked.err);
    }
    let unknown = place.rota(&["login", "work", "--provider", "acmee"]);
    assert!(unknown.err.contains("did you mean: rota login work --provider acme\n"), "{unknown:?}");
    let keyed = place.rota(&["login", "work", "--provider", "openai"]);
    assert!(keyed.err.contains("rota accounts add work --provider openai"), "{keyed:?}");
    let hinted = Signing::start(&place, &["acme-2"]);
    assert!(hinted.address("/oauth/authorize?").contains("client_id=acme-client"));
}

/// Without a name an account is called after its provider, and never like one that is there.
#[test]
fn an_account_without_a_name_is_called_after_its_provider() {
    let fake = provider();
    let place = home(&fake);
    for (account, alias) in [("a", "acme"), ("b", "acme-2")] {
        let signing = Signing::start(&place, &["--provider", "acme"]);
        agree(&signing, account);
        let ran = signing.ended();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(ran.out.starts_with(&format!("✔ {alias}   signed in")), "{ran:?}");
    }
    assert_eq!(aliases(&place), ["acme", "acme-2"]);
    let unasked = place.rota(&["login"]);
    assert!(
        unasked.code == Some(1) && unasked.err.contains("rota login work --provider acme "),
        "{unasked:?}"
    );
}
