//! Commands that show, collect, edit and install.
use super::place::{Fake, Lines, Place, STREAM};
use super::secrets::{Out, leaks};
use fake_upstream::Account;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A command that goes on until it is killed, and what it writes.
struct Going {
    child: Child,
    out: Arc<Lines>,
}

impl Going {
    fn new(place: &Place, args: &[&str]) -> Self {
        let mut child =
            place.command(args).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("rota");
        let (out, pipe) = (Arc::new(Lines::default()), child.stdout.take().expect("a pipe"));
        let reader = out.clone();
        std::thread::spawn(move || reader.read(pipe));
        Self { child, out }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn logs_shows_what_is_decided_and_goes_on_if_asked() {
    let fake = Fake::keys(&["a", "b"]);
    let place = Place::before(&fake);
    assert_eq!(place.rota(&["logs"]).code, Some(3), "it needs a daemon");
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    let daemon = place.serve();
    assert_eq!(place.rota(&["logs"]).out, "");
    for _ in 0..3 {
        let reply = daemon.ask("/openai/v1/responses");
        daemon.wrote(reply.header("x-rota-request-id").expect("an id"));
    }
    let all = place.rota(&["logs"]);
    assert_eq!((all.code, all.out.lines().count()), (Some(0), 3), "{all:?}");
    assert!(all.out.lines().all(|line| line.contains("POST /openai/v1/responses")), "{all:?}");
    assert_eq!(
        place.rota(&["logs", "-n", "1"]).out.lines().collect::<Vec<_>>(),
        all.out.lines().last().into_iter().collect::<Vec<_>>()
    );
    let of_work = place.rota(&["logs", "--account", "work"]).out.lines().count();
    let of_home = place.rota(&["logs", "--account", "home"]).out.lines().count();
    assert_eq!((of_work + of_home, of_work.abs_diff(of_home)), (3, 1));
    let body = place.json(&["logs"]);
    assert_eq!(body, place.admin(&daemon, "GET", "/api/decisions?limit=20").send().json());
    let going = Going::new(&place, &["logs", "-f", "-n", "0", "--json"]);
    let line = loop {
        // Whenever it has had its first look, the next request is news.
        let reply = daemon.ask("/openai/v1/responses");
        assert_eq!(reply.status, 200);
        let text = place.rota(&["healthcheck"]);
        assert_eq!(text.code, Some(0));
        if let Some(line) = going.out.so_far().lines().next() {
            break line.to_owned();
        }
    };
    let decision: Value = serde_json::from_str(&line).expect("JSON, a line each");
    assert_eq!(decision["outcome"], "served");
    let ended = place.shell(&format!("{} logs -f -n 2 | head -n 1", env!("CARGO_BIN_EXE_rota")));
    let mut ended = ended_with_its_reader(ended, &daemon);
    assert!(ended.wait().expect("an end").success());
    daemon.stop();
    let mut going = going;
    assert_eq!(going.child.wait().expect("an end").code(), Some(3), "there is nobody to follow any more");
}

/// Requests come until the pipe has ended.
fn ended_with_its_reader(mut command: Command, daemon: &super::place::Daemon) -> Child {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a shell");
    while child.try_wait().expect("a child").is_none() {
        assert_eq!(daemon.ask("/openai/v1/responses").status, 200);
    }
    child
}

#[test]
fn status_is_shown_again_without_a_terminals_codes_where_there_is_none() {
    let fake = Fake::keys(&["a"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    assert_eq!(place.rota(&["status", "--watch"]).code, Some(3));
    assert_eq!(place.rota(&["top"]).code, Some(3));
    let daemon = place.serve();
    let going = Going::new(&place, &["top"]);
    let text = going.out.wait(|text| text.matches("work").count() > 1);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    let going = Going::new(&place, &["status", "--watch", "--json"]);
    let text = going.out.wait(|text| text.lines().count() > 1);
    for line in text.lines().take(2) {
        let status: Value = serde_json::from_str(line).expect("JSON, a line each");
        assert_eq!(status["accounts"][0]["alias"], "work");
    }
    drop(daemon);
}

/// OBS-3: nothing that is a secret, in whatever form, and nobody's address.
#[test]
fn a_bug_report_has_no_secret_in_it() {
    const KEY: &str = r#"KEYcanary-4f1c9a/+"=%{}pool-key"#;
    const CLIENT: &str = "CLIENTcanary-77ab-c81e0f-client-key";
    const HOOK: &str = "HOOKcanary-9e55d0e1c7";
    const NOTE: &str = "NOTEcanary-who-I-am";
    let fake = Fake::start(fake_upstream::Script::new().account(Account::new("a").api_key(KEY)));
    let mut place = Place::before(&fake);
    place.set("ROTA_CLIENT_KEYS", CLIENT);
    place.set("ROTA_NOTIFY__WEBHOOKS", format!("https://hooks.example/{HOOK}"));
    let key = place.file("key", 0o600, KEY).display().to_string();
    let args = ["accounts", "add", "work", "--provider", "openai", "--key-file", &key, "--notes", NOTE];
    assert_eq!(place.rota(&args).code, Some(0));
    let daemon = place.serve();
    let reply = daemon.call("POST", "/openai/v1/responses").header("x-rota-key", CLIENT).json(STREAM).send();
    assert_eq!(reply.status, 200, "{reply:?}");
    daemon.wrote(reply.header("x-rota-request-id").expect("an id"));
    let ran = place.rota(&["bug-report", "--output", "report"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let mut out = Out::new();
    super::place::gather(&place.path("report"), &place.path("report"), &mut out);
    let names: Vec<&str> = out.keys().map(String::as_str).collect();
    assert_eq!(names, ["config.json", "decisions.json", "doctor.json", "status.json", "version.json"]);
    let secrets: Vec<String> =
        [KEY, CLIENT, HOOK, NOTE].map(str::to_owned).into_iter().chain([place.token()]).collect();
    assert_eq!(leaks(&out, &secrets), Vec::<String>::new());
    let files: BTreeMap<String, Value> =
        out.into_iter().map(|(name, bytes)| (name, serde_json::from_slice(&bytes).expect("JSON"))).collect();
    assert_eq!(files["decisions.json"]["decisions"][0]["selectedAlias"], "work");
    assert_eq!(files["status.json"]["accounts"][0]["alias"], "work");
    assert!(files["config.json"]["settings"].as_array().is_some_and(|all| all.len() > 20));
    let again = place.rota(&["bug-report", "--output", "report"]);
    assert!(again.code == Some(1) && again.err.contains("report cannot be made"), "{again:?}");
    // A rota that refuses its configuration is reported, too, without the line that is wrong.
    drop(daemon);
    place.config(&format!("client_keys = \"{CLIENT}\ncolour = 1\n"));
    assert_eq!(place.rota(&["bug-report", "--output", "broken"]).code, Some(0));
    let mut out = Out::new();
    super::place::gather(&place.path("broken"), &place.path("broken"), &mut out);
    assert_eq!(leaks(&out, &secrets), Vec::<String>::new());
    assert!(String::from_utf8_lossy(&out["config.json"]).contains("refused"));
}

#[test]
fn an_edited_configuration_is_taken_only_if_it_is_right() {
    let mut place = Place::new();
    let editor = |place: &mut Place, script: &str| {
        let file = place.file("bin/editor", 0o700, &format!("#!/bin/sh\n{script}\n"));
        place.set("EDITOR", file.display());
    };
    let file = place.path("config/rota/rota.toml");
    editor(&mut place, "echo 'strategy = 1' >> \"$1\"");
    let ran = place.rota(&["config", "edit"]);
    assert_eq!(ran.code, Some(78), "{ran:?}");
    assert!(ran.err.contains("strategy") && ran.err.contains("rota.toml.draft"), "{ran:?}");
    assert!(!file.exists(), "what is wrong is not taken");
    editor(&mut place, "printf '[rotation]\\nstrategy = \"random\"\\n' > \"$1\"");
    let ran = place.rota(&["config", "edit"]);
    assert!(ran.code == Some(0) && ran.err.contains("which was left behind"), "{ran:?}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), "[rotation]\nstrategy = \"random\"\n");
    editor(&mut place, "true");
    let ran = place.rota(&["config", "edit"]);
    assert!(ran.code == Some(0) && ran.out.contains("is as it was"), "{ran:?}");
    editor(&mut place, "exit 1");
    assert_eq!(place.rota(&["config", "edit"]).code, Some(1));
    place.set("EDITOR", "/nowhere/at/all");
    let ran = place.rota(&["config", "edit"]);
    assert!(ran.code == Some(1) && ran.err.contains("$EDITOR"), "{ran:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_service_is_installed_shown_and_removed() {
    let mut place = Place::new();
    place.file("bin/systemctl", 0o700, "#!/bin/sh\necho \"$@\" >> \"$HOME/told\"\ncat \"$HOME/answer\" >&2; exit $(wc -l < \"$HOME/answer\")\n");
    place.file("home/answer", 0o600, "");
    place.set("PATH", format!("{}:/usr/bin:/bin", place.path("bin").display()));
    let unit = place.path("config/systemd/user/rota.service");
    let none = place.rota(&["service", "status"]);
    assert!(none.code == Some(3) && none.err.contains("rota service install"), "{none:?}");
    assert_eq!(place.rota(&["service", "uninstall", "--yes"]).code, Some(1));
    let dry = place.rota(&["service", "install", "--dry-run"]);
    assert!(
        dry.code == Some(0) && dry.out.contains("Type=notify") && dry.out.contains("Nothing done."),
        "{dry:?}"
    );
    assert!(!unit.exists() && !place.path("home/told").exists());
    let ran = place.rota(&["service", "install"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let text = fs::read_to_string(&unit).expect("a unit");
    assert!(text.contains(&format!("ExecStart=\"{}\" \"serve\"\n", env!("CARGO_BIN_EXE_rota"))), "{text}");
    let told = || fs::read_to_string(place.path("home/told")).unwrap_or_default();
    assert_eq!(told(), "--user daemon-reload\n--user enable --now rota.socket rota.service\n");
    assert_eq!(place.rota(&["service", "status"]).code, Some(0));
    let asked = place.rota(&["service", "uninstall"]);
    assert!(asked.code == Some(1) && asked.err.contains("--yes") && unit.exists(), "{asked:?}");
    assert_eq!(place.rota(&["service", "uninstall", "--yes"]).code, Some(0));
    assert!(!unit.exists());
    assert!(
        told().ends_with("--user disable --now rota.socket rota.service\n--user daemon-reload\n"),
        "{}",
        told()
    );
    let daemon = place.serve();
    let beside = place.rota(&["service", "install"]);
    let takes_over =
        format!("Another rota runs (process {}); the service takes over once that one ends.", daemon.pid());
    assert!(beside.code == Some(0) && beside.out.contains(&takes_over), "{beside:?}");
    let words = "--user daemon-reload\n--user enable rota.socket rota.service\n--user start --no-block rota.service\n";
    assert!(told().ends_with(words), "{}", told());
    daemon.stop();
    place.file("home/answer", 0o600, "no bus\n");
    let failed = place.rota(&["service", "install"]);
    assert!(
        failed.code == Some(1) && failed.err.contains("no bus") && failed.err.contains("by hand"),
        "{failed:?}"
    );
}

/// A service manager is told that rota listens, and that it stops.
#[test]
fn a_service_manager_is_told_when_rota_listens_and_when_it_stops() {
    let mut place = Place::new();
    let socket = std::os::unix::net::UnixDatagram::bind(place.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(super::place::GUARD)).expect("a socket");
    place.set("NOTIFY_SOCKET", place.path("notify").display());
    let daemon = place.serve();
    let heard = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    assert!(heard().starts_with("READY=1\n"));
    daemon.signal("TERM");
    assert!(heard().starts_with("STOPPING=1\n"));
    daemon.ended();
}

/// A service beside a rota that a `rota run` has started, or a person, waits for its end and takes over; without a manager
/// the second one is told at once.
#[test]
fn a_service_takes_over_from_the_rota_that_ran_before() {
    let mut place = Place::new();
    let first = place.serve();
    assert_eq!(place.serve_in_vain(&[]).code, Some(75));
    let socket = std::os::unix::net::UnixDatagram::bind(place.path("notify")).expect("a socket");
    socket.set_read_timeout(Some(super::place::GUARD)).expect("a socket");
    place.set("NOTIFY_SOCKET", place.path("notify").display());
    let service = super::place::Daemon::start(place.command(&["serve"]));
    let waiting = format!("rota: waiting for its end: another rota (pid {}) owns ", first.pid());
    service.wrote(&waiting);
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0), "the first one serves on");
    first.stop();
    let mut bytes = [0; 256];
    let length = socket.recv(&mut bytes).expect("a message");
    assert!(bytes[..length].starts_with(b"READY=1\n"));
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0));
    let ended = service.stop();
    assert!(ended.contains("listening"), "{ended}");
}
