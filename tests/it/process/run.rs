//! `rota run`: a program goes through rota, with the streams, signals and exit code that it would have had without.
use super::place::{Fake, GUARD, Lines, Place, STREAM, signal};
use super::talk::{Reply, Talk};
use fake_upstream::Fault;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

/// A `rota run` under way.
struct Started {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Arc<Lines>,
}

impl Started {
    fn new(place: &Place, args: &[&str]) -> Self {
        let mut command = place.command(&[&["run"], args].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Not in the foreground of the terminal that the tests may run at: its Ctrl-C is not passed on.
        command.process_group(0);
        let mut child = command.spawn().expect("the program");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (stderr, errors) = (Arc::new(Lines::default()), child.stderr.take().expect("a pipe"));
        let reader = stderr.clone();
        std::thread::spawn(move || reader.read(errors));
        Self { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// A program that says where it was told to go, and waits for a line.
    fn waiting(place: &Place, options: &[&str], then: &str) -> Self {
        let script = format!("echo \"$OPENAI_BASE_URL\"; read line; {then}");
        Self::new(place, &[options, &["--", "sh", "-c", &script]].concat())
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        assert!(!line.is_empty(), "it ended and wrote {}", self.stderr.wait(|_| true));
        line.trim_end().to_owned()
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().expect("a pipe"), "{line}").expect("it reads");
    }

    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for its end: exit code, the rest of its output, and what it wrote beside.
    fn ended(self) -> (Option<i32>, String, String) {
        let Self { mut child, stdin, mut stdout, stderr } = self;
        let pid = child.id();
        let (done, wait) = channel();
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = stdout.read_to_string(&mut rest);
            let _ = done.send((child.wait().expect("an end"), rest));
        });
        let Ok((status, rest)) = wait.recv_timeout(GUARD) else {
            signal(pid, "KILL");
            panic!("it did not end; it wrote {}", stderr.wait(|_| true));
        };
        drop(stdin);
        (status.code(), rest, stderr.wait(|_| true))
    }
}

/// Accounts `work` and `home`, and no daemon.
fn home(fake: &Fake) -> Place {
    let place = Place::before(fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    place
}

/// A request of the program's: `base` is what it was told.
fn ask(base: &str) -> Reply {
    asked(base).send()
}

fn asked(base: &str) -> Talk {
    let (address, below) =
        base.strip_prefix("http://").and_then(|it| it.split_once('/')).expect("an address");
    Talk::to(address.parse().expect("an address"), "POST", &format!("/{below}/responses")).json(STREAM)
}

/// Waits until no daemon runs here.
fn gone(place: &Place) {
    while place.rota(&["healthcheck"]).code != Some(3) {}
}

#[test]
fn a_program_runs_through_a_daemon_of_its_own_which_ends_with_it() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let mut run = Started::waiting(&place, &[], "echo \"got $line\"; exit 7");
    let base = run.line();
    assert!(base.starts_with("http://127.0.0.1:") && base.ends_with("/v1"), "{base}");
    let reply = ask(&base);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0));
    run.say("x y");
    let (code, out, err) = run.ended();
    assert_eq!((code, out.as_str()), (Some(7), "got x y\n"));
    assert!(
        err.starts_with("rota: started 127.0.0.1:") && err.contains("(2 accounts, round-robin)"),
        "{err}"
    );
    gone(&place);
}

#[test]
fn a_daemon_serves_as_long_as_somebody_needs_it() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let mut one = Started::waiting(&place, &[], "exit 0");
    let base = one.line();
    let mut other = Started::waiting(&place, &[], "exit 0");
    assert_eq!(other.line(), base, "the second takes the daemon of the first");
    one.say("");
    assert_eq!(one.ended().0, Some(0));
    assert_eq!(ask(&base).status, 200, "the other still needs it");
    other.say("");
    let (code, _, err) = other.ended();
    assert_eq!((code, err.as_str()), (Some(0), ""));
    gone(&place);
    let daemon = place.serve();
    let mut run = Started::waiting(&place, &[], "exit 0");
    assert_eq!(run.line(), format!("http://{}/v1", daemon.proxy()));
    run.say("");
    assert_eq!(run.ended().0, Some(0));
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0), "a daemon that was there before stays");
}

/// The daemon notices that a command is gone, however it went.
#[test]
fn a_killed_command_leaves_no_daemon_behind() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let mut run = Started::waiting(&place, &[], "exit 0");
    run.line();
    run.signal("KILL");
    gone(&place);
}

#[test]
fn the_account_that_was_chosen_serves_the_command_and_no_other_does() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let daemon = place.serve();
    let mut run = Started::waiting(&place, &["--account", "home"], "exit 0");
    let base = run.line();
    for _ in 0..4 {
        let reply = ask(&base);
        assert_eq!(reply.status, 200);
        assert_eq!(
            (reply.header("x-rota-account"), reply.header("x-rota-why")),
            (Some("home"), Some("chosen"))
        );
    }
    assert!((0..2).any(|_| daemon.ask("/openai/v1/responses").header("x-rota-account") == Some("work")));
    assert_eq!(place.rota(&["disable", "home"]).code, Some(0));
    let refused = ask(&base);
    assert_eq!(refused.code(), "NO_ELIGIBLE_ACCOUNTS", "{refused:?}");
    run.say("");
    assert_eq!(run.ended().0, Some(0));
    let after = last_words(&base);
    assert!(
        after.status == 404 && after.code() == "RUN_ENDED" && after.body.contains("rota run"),
        "{after:?}"
    );
    let wrong = place.rota(&["run", "--account", "hom", "--", "true", "--key=sk-canary"]);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.err.contains("did you mean: rota run --account home  "), "{wrong:?}");
    assert!(!wrong.err.contains("canary"), "{wrong:?}");
}

/// Asks until the daemon has noticed that the command has ended.
fn last_words(base: &str) -> Reply {
    loop {
        let reply = ask(base);
        if reply.code() == "RUN_ENDED" {
            return reply;
        }
    }
}

#[test]
fn signals_and_exit_codes_pass_through() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let daemon = place.serve();
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("USR1", 10), ("QUIT", 3)] {
        let script = format!("trap 'echo caught; exit 9' {name}; echo ready; while :; do read line; done");
        let mut run = Started::new(&place, &["sh", "-c", &script]);
        assert_eq!(run.line(), "ready");
        run.signal(name);
        // A shell that reads acts on a signal once it has read.
        let _ = run.stdin.as_mut().map(|stdin| stdin.write_all(b"\n"));
        assert_eq!(run.ended().0, Some(9), "{name}");
        let mut run = Started::new(&place, &["sh", "-c", "echo ready; kill -s \"$0\" $$", name]);
        assert_eq!(run.line(), "ready");
        assert_eq!(run.ended().0, Some(128 + number), "{name}");
    }
    let none = place.rota(&["run", "--", "/nowhere/at/all"]);
    assert!(none.code == Some(127) && none.err.contains("/nowhere/at/all cannot be started"), "{none:?}");
    let file = place.file("no-program", 0o600, "x").display().to_string();
    assert_eq!(place.rota(&["run", "--", &file]).code, Some(126));
    assert_eq!(place.rota(&["run", "--", "sh", "-c", "exit 3"]).code, Some(3));
    assert_eq!(place.rota_given(&["run", "cat"], "bytes\n").out, "bytes\n");
    drop(daemon);
    let empty = Place::before(&fake);
    let ran = empty.rota(&["run", "--", "true"]);
    assert!(ran.code == Some(4) && ran.err.contains("rota login work"), "{ran:?}");
    gone(&empty);
}

/// A program is known by its name, and gets what its row of the table says.
#[test]
fn programs_are_set_up_by_options_and_variables() {
    let fake = Fake::keys(&["a", "b"]);
    let mut place = home(&fake);
    place.set("ANTHROPIC_API_KEY", "sk-ant-mine");
    let daemon = place.serve();
    let base = format!("http://{}", daemon.proxy());
    let script = "#!/bin/sh\nprintf '%s\\n' \"$@\"; env\n";
    let codex = place.file("bin/codex", 0o700, script).display().to_string();
    let claude = place.file("bin/claude", 0o700, script).display().to_string();
    let opencode = place.file("bin/opencode", 0o700, script).display().to_string();
    let ran = place.rota(&["run", "--", &codex, "exec", "say it"]);
    let given: Vec<&str> = ran.out.lines().take(10).collect();
    let expected = format!("model_providers.rota.base_url=\"{base}/backend-api/codex\"");
    assert_eq!(given[..4], ["-c", "model_provider=\"rota\"", "-c", &expected], "{ran:?}");
    assert_eq!(given[8..], ["exec", "say it"]);
    assert!(!ran.out.contains("OPENAI_BASE_URL"));
    let ran = place.rota(&["run", "--", &claude, "-p", "hello"]);
    assert!(ran.out.starts_with("-p\nhello\n"), "{ran:?}");
    assert!(ran.out.contains(&format!("\nANTHROPIC_BASE_URL={base}\n")), "{ran:?}");
    assert!(ran.out.contains("\nANTHROPIC_AUTH_TOKEN=rota\n") && !ran.out.contains("sk-ant-mine"), "{ran:?}");
    let ran = place.rota(&["run", "--", &opencode]);
    assert!(ran.out.contains(&format!("\"baseURL\":\"{base}/v1\"")), "{ran:?}");
    let ran = place.rota(&["run", "--client", "codex", "--", "sh", "-c", "true"]);
    assert!(ran.code == Some(1) && ran.err.contains("rota connect codex"), "{ran:?}");
    let ran = place.rota(&["run", "--client", "cursor", "--", "true"]);
    assert!(ran.code == Some(1) && ran.err.contains("loopback"), "{ran:?}");
    assert_eq!(place.rota(&["run"]).code, Some(2));
}

/// PRX-3: its key opens its own way, while it runs, also to the daemon after this one.
#[test]
fn a_command_has_a_key_of_its_own_that_ends_with_it() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    place.config(&format!("require_client_key = true\n{}", fake.config()));
    let daemon = place.serve();
    let script = "echo \"$OPENAI_BASE_URL\"; echo \"$OPENAI_API_KEY\"; read line";
    let mut run = Started::new(&place, &["--", "sh", "-c", script]);
    let (base, key) = (run.line(), run.line());
    assert!(key.starts_with("rota-run-") && base.contains("/~"), "{base}");
    let with = |base: &str, key: &str| asked(base).header("authorization", &format!("Bearer {key}")).send();
    assert_eq!(with(&base, &key).status, 200);
    let elsewhere = format!("http://{}/v1", daemon.proxy());
    for (base, key) in [(&base, "rota"), (&base, "rota-run-00"), (&elsewhere, &key)] {
        let refused = with(base, key);
        assert_eq!(refused.status, 401, "{refused:?}");
    }
    for (file, bytes) in place.stored() {
        assert!(!String::from_utf8_lossy(&bytes).contains(&key), "it is in {file}");
    }
    assert!(!daemon.log().contains(&key));
    daemon.stop();
    let daemon = place.serve();
    let below = base.split_once("/~").expect("its own way").1;
    let base = format!("http://{}/~{below}", daemon.proxy());
    while with(&base, &key).status != 200 {}
    run.say("");
    assert_eq!(run.ended().0, Some(0));
    while with(&base, &key).status != 401 {}
    let codex =
        place.file("bin/codex", 0o700, "#!/bin/sh\nprintf '%s\\n' \"$@\"; env\n").display().to_string();
    let ran = place.rota(&["run", "--", &codex]);
    assert!(ran.out.contains("model_providers.rota.env_key=\"ROTA_RUN_KEY\"\n"), "{ran:?}");
    assert!(ran.out.contains("\nROTA_RUN_KEY=rota-run-"), "{ran:?}");
    let env = place.rota(&["env"]);
    assert!(
        env.code == Some(1) && env.err.contains("--key NAME"),
        "a shell has nothing that ends with it: {env:?}"
    );
    daemon.stop();
}

/// A proxy is for what is beyond this machine; the program has its own again, and none of rota's secrets.
#[test]
fn a_program_reaches_rota_past_a_proxy_and_has_its_own_environment() {
    let fake = Fake::keys(&["a", "b"]);
    let mut place = home(&fake);
    for (name, value) in [
        ("HTTP_PROXY", "http://me:pass@proxy.example:3128"),
        ("https_proxy", "http://me:pass@proxy.example:3128"),
        ("NO_PROXY", "corp.example,127.0.0.1"),
        ("ROTA_CLIENT_KEYS", "a-key-of-rotas-own"),
        ("MINE", "kept"),
    ] {
        place.set(name, value);
    }
    let daemon = place.serve();
    let ran = place.rota(&["run", "--", "env"]);
    for line in [
        "HTTP_PROXY=http://me:pass@proxy.example:3128",
        "https_proxy=http://me:pass@proxy.example:3128",
        "NO_PROXY=corp.example,127.0.0.1,localhost,::1",
        "no_proxy=corp.example,127.0.0.1,localhost,::1",
        "MINE=kept",
    ] {
        assert!(ran.out.lines().any(|shown| shown == line), "{line}: {ran:?}");
    }
    assert!(!ran.out.contains("a-key-of-rotas-own"), "{ran:?}");
    let key = place.file("mine.key", 0o600, "a-key-of-rotas-own\n").display().to_string();
    let told = place.rota(&["env", "--key-file", &key]);
    let hint = "export NO_PROXY='corp.example,127.0.0.1,localhost,::1'";
    assert!(told.err.contains(hint) && !told.out.contains("PROXY"), "{told:?}");
    assert!(told.out.contains("export OPENAI_API_KEY='a-key-of-rotas-own'\n"), "{told:?}");
    daemon.stop();
}

/// PRX-5
#[test]
fn a_managed_command_is_warned_and_ended_and_activity_puts_that_off() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    place.config(&format!("timeouts.run_idle = \"8s\"\n{}", fake.config()));
    let daemon = place.serve();
    let script =
        "trap 'echo bye; exit 9' TERM; echo \"$OPENAI_BASE_URL\"; while :; do read line || exit 1; done";
    let mut run = Started::new(&place, &["--managed", "--", "sh", "-c", script]);
    let base = run.line();
    assert!(base.contains("/~"), "it has a way of its own: {base}");
    run.stderr.wait(|text| text.contains("this command is idle"));
    // Activity takes the warning back, so that it is warned once more.
    assert_eq!(ask(&base).status, 200);
    run.stderr.wait(|text| text.matches("this command is idle").count() == 2);
    run.stderr.wait(|text| text.contains("ending this command: it has been idle"));
    // A shell that reads acts on a signal once it has read, or at once, and is gone then.
    let _ = run.stdin.as_mut().map(|stdin| stdin.write_all(b"\n"));
    let (code, out, err) = run.ended();
    assert_eq!((code, out.as_str()), (Some(9), "bye\n"), "{err}");
    let mut run = Started::new(&place, &["--timeout=1s", "--", "sh", "-c", "echo; read line; exit 1"]);
    run.line();
    let (code, _, err) = run.ended();
    assert_eq!(code, Some(143), "{err}");
    assert!(err.contains("the command has run as long as it may"), "{err}");
    for args in [&["--timeout=31m"][..], &["--timeout=5"], &["--timeout=x"]] {
        let ran = place.rota(&[&["run"], args, &["--", "true"]].concat());
        assert!(matches!(ran.code, Some(1 | 2)) && !ran.err.is_empty(), "{ran:?}");
    }
    drop(daemon);
}

/// A daemon that dies is followed by another, to which the command is introduced again by the name it had.
#[test]
fn a_command_outlives_its_daemon() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let mut run = Started::waiting(&place, &["--account", "home"], "exit 5");
    let base = run.line();
    assert_eq!(ask(&base).header("x-rota-account"), Some("home"));
    let first = server(&place).expect("a daemon");
    signal(pid(&first), "KILL");
    let next = loop {
        match server(&place) {
            Some(info) if pid(&info) != pid(&first) => break info,
            Some(_) | None => {}
        }
    };
    let below = base.strip_prefix("http://").and_then(|it| it.split_once('/')).expect("an address").1;
    let base = format!("http://{}/{below}", next["proxy"].as_str().expect("an address"));
    let served = loop {
        let reply = ask(&base);
        if reply.status != 404 {
            break reply;
        }
    };
    assert_eq!((served.status, served.header("x-rota-account")), (200, Some("home")));
    run.say("");
    assert_eq!(run.ended().0, Some(5));
    gone(&place);
}

/// A daemon that still serves somebody else's request, though nobody needs it any more, is waited for.
#[test]
fn a_command_comes_while_the_last_ones_daemon_ends() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    place.config(&format!("timeouts.drain = \"10m\"\n{}", fake.config()));
    let mut first = Started::waiting(&place, &[], "exit 0");
    let base = first.line();
    let gate = fake.upstream.gate("middle");
    fake.upstream.set_fault(Fault::none().stall_after(2, "middle"));
    let mut stream = BufReader::new(asked(&base).open());
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(stream.read_line(&mut line).expect("an event") > 0);
    }
    fake.upstream.set_fault(Fault::none());
    first.say("");
    assert_eq!(first.ended().0, Some(0));
    let mut second = Started::waiting(&place, &["--account", "home"], "exit 0");
    second.stderr.wait(|text| text.contains("waiting for another rota to end"));
    gate.release();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("the rest");
    assert!(rest.contains("response.completed"), "{rest}");
    assert_eq!(ask(&second.line()).header("x-rota-account"), Some("home"));
    second.say("");
    let (code, _, err) = second.ended();
    assert!(code == Some(0) && err.contains("rota: started 127.0.0.1:"), "{err}");
    gone(&place);
}

/// Whoever runs a daemon starts it again, too, and must not find the store taken by one of a command's own.
#[test]
fn a_command_leaves_a_daemon_that_is_started_again_its_place() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let daemon = place.serve();
    let mut run = Started::waiting(&place, &["--account", "home"], "exit 5");
    let below = run.line().rsplit_once("/~").expect("its own way").1.to_owned();
    daemon.stop();
    run.stderr.wait(|text| text.contains("waiting for it to come back"));
    assert!(server(&place).is_none(), "a daemon was started");
    let next = place.serve();
    let served = loop {
        let reply = ask(&format!("http://{}/~{below}", next.proxy()));
        if reply.status != 404 {
            break reply;
        }
    };
    assert_eq!((served.status, served.header("x-rota-account")), (200, Some("home")));
    run.say("");
    assert_eq!(run.ended().0, Some(5));
    next.stop();
}

/// A program that stops by itself gives the terminal back to the shell, and goes on when the shell says so.
#[cfg(target_os = "linux")]
#[test]
fn a_program_that_stops_takes_the_command_with_it() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let daemon = place.serve();
    let rota = env!("CARGO_BIN_EXE_rota");
    let mut shell = place.shell("exec script -qfc 'exec bash --norc --noprofile -i' /dev/null");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = shell.spawn().expect("script, of the package bsdutils");
    let (shown, output) = (Arc::new(Lines::default()), shell.stdout.take().expect("a pipe"));
    let reader = shown.clone();
    std::thread::spawn(move || reader.read(output));
    let mut typed = shell.stdin.take().expect("a pipe");
    let mut say = |line: &str| writeln!(typed, "{line}").expect("it reads");
    say(&format!("{rota} run -- sh -c 'kill -s STOP $$; echo b\"\"ack'"));
    shown.wait(|text| text.contains("Stopped"));
    say("fg");
    shown.wait(|text| text.contains("\nback"));
    say("exit");
    shell.wait().expect("an end");
    daemon.stop();
}

/// PRX-5: a thousand of them; `runs` compares tasks.
#[test]
fn a_thousand_commands_leave_no_descriptor_open() {
    let fake = Fake::keys(&["a", "b"]);
    let place = home(&fake);
    let daemon = place.serve();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("Linux").count();
    let command = |round: usize| {
        let path = format!("/api/runs/{round:032x}");
        let body = r#"{"account":"home","idleMs":300000}"#;
        let mut events = BufReader::new(place.admin(&daemon, "PUT", &path).json(body).open());
        let mut line = String::new();
        while !line.starts_with("data: ") {
            line.clear();
            assert!(events.read_line(&mut line).expect("an event") > 0);
        }
        assert_eq!(place.admin(&daemon, "POST", &format!("{path}/ready")).send().status, 204);
    };
    (0..20).for_each(command);
    let before = open();
    (0..1000).for_each(command);
    while open() > before {}
    // Nobody has left a name behind.
    (0..20).for_each(command);
}

/// What the daemon here has written of itself.
fn server(place: &Place) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(place.state().join("server.json")).ok()?).ok()
}

fn pid(info: &Value) -> u32 {
    info["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process")
}
