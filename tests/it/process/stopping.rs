use super::place::{Daemon, Fake, Place, STREAM};
use super::talk::{Reply, Talk};
use fake_upstream::Fault;
use std::io::{Read, Write};
use std::net::TcpStream;

/// PRX-6, PL2: a stream under way ends before the process does.
#[test]
fn a_stream_under_way_ends_before_the_process_does() {
    let fake = Fake::keys(&["a"]);
    let place = with_account(&fake, "");
    let daemon = place.serve();
    let gate = fake.upstream.gate("middle");
    fake.upstream.set_fault(Fault::none().stall_after(2, "middle"));
    let mut stream = begun(&daemon);
    daemon.signal("TERM");
    daemon.wrote("stopping");
    gate.release();
    let reply = rest(&mut stream);
    assert!(!reply.cut && reply.body.contains("response.completed"), "{reply:?}");
    assert_eq!(daemon.ended().0, Some(0));
    assert!(!place.state().join("server.json").exists());
}

/// PRX-6: a stream that does not end is cut after its grace, and the cut can be seen.
#[test]
fn a_stream_that_does_not_end_is_cut_after_the_grace() {
    let fake = Fake::keys(&["a"]);
    let place = with_account(&fake, "[timeouts]\ndrain = \"200ms\"\n");
    let daemon = place.serve();
    fake.upstream.set_fault(Fault::none().stall_after(2, "never"));
    let mut stream = begun(&daemon);
    daemon.signal("TERM");
    assert_eq!(daemon.ended().0, Some(0));
    assert!(rest(&mut stream).cut);
}

/// PL3: the second signal ends the grace, and what was acknowledged is kept.
#[test]
fn a_second_signal_ends_the_grace() {
    for (first, second) in [("TERM", "TERM"), ("INT", "INT"), ("TERM", "INT")] {
        let fake = Fake::keys(&["a"]);
        let place = with_account(&fake, "[timeouts]\ndrain = \"1h\"\n");
        let daemon = place.serve();
        fake.upstream.set_fault(Fault::none().stall_after(2, "never"));
        let mut stream = begun(&daemon);
        place.add("home", "openai", "sk-b");
        daemon.signal(first);
        daemon.wrote("stopping");
        daemon.signal(second);
        assert_eq!(daemon.ended().0, Some(0));
        assert!(rest(&mut stream).cut);
        assert_eq!(place.json(&["accounts"])["accounts"].as_array().map(Vec::len), Some(2));
    }
}

/// A client of the admin API that never ends its request does not keep rota from stopping.
#[test]
fn an_admin_client_that_says_half_a_request_holds_nothing_up() {
    let place = Place::new();
    let daemon = place.serve();
    let mut half = TcpStream::connect(daemon.admin()).expect("a connection");
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").expect("half a head");
    let idle = TcpStream::connect(daemon.proxy()).expect("a connection");
    assert_eq!(Talk::to(daemon.admin(), "GET", "/healthz").send().status, 200);
    daemon.stop();
    drop((half, idle));
}

/// PRX-6, PL5
#[test]
fn a_reload_changes_what_a_good_file_says_and_nothing_for_a_bad_one() {
    let fake = Fake::keys(&["a"]);
    let place = with_account(&fake, "");
    let daemon = place.serve();
    let strategy = || place.json(&["status"])["strategy"].as_str().map(str::to_owned);
    assert_eq!(strategy().as_deref(), Some("round-robin"));
    place.config(&format!("{}[rotation]\nstrategy = \"fill-first\"\n", fake.config()));
    daemon.signal("HUP");
    daemon.wrote("the configuration was reloaded");
    assert_eq!(strategy().as_deref(), Some("fill-first"));
    place.config("[rotation]\nstrategy = \"weighted\"\n");
    daemon.signal("HUP");
    let log = daemon.wrote("the configuration was not reloaded");
    assert!(log.contains("weighted-round-robin"), "{log}");
    assert_eq!(strategy_of(&place, &daemon), Some("fill-first".to_owned()));
    place.config(&format!("listen = \"127.0.0.1:1\"\n{}", fake.config()));
    daemon.signal("HUP");
    daemon.wrote_what(|log| log.matches("the configuration was reloaded").count() == 2);
    assert_eq!(daemon.ask("/v1/responses").status, 200);
}

/// The command line reads the file itself; the daemon's own word does not.
fn strategy_of(place: &Place, daemon: &Daemon) -> Option<String> {
    place.admin(daemon, "GET", "/api/status").send().json()["strategy"].as_str().map(str::to_owned)
}

/// The first reload of settings that hold from a start on only is named.
#[test]
fn a_change_that_needs_a_restart_is_named() {
    let place = Place::new();
    let daemon = place.serve();
    place.config("[timeouts]\nconnect = \"1s\"\n[rotation]\nlow = 25\n");
    daemon.signal("HUP");
    let log = daemon.wrote("the configuration was reloaded");
    assert!(log.contains("needs a restart") && log.contains("\"timeouts\""), "{log}");
}

/// STO-6, M1: the second one names the first and changes nothing.
#[test]
fn a_second_daemon_names_the_first() {
    let place = Place::new();
    let daemon = place.serve();
    let ran = place.serve_in_vain(&[]);
    assert_eq!(ran.code, Some(75), "{ran:?}");
    for words in [format!("pid {}", daemon.pid()), daemon.admin().to_string(), "STORE_LOCKED".to_owned()] {
        assert!(ran.err.contains(&words), "{words} is not in {}", ran.err);
    }
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0));
}

/// M1: of many that start at once, one serves.
#[test]
fn of_many_that_start_at_once_one_serves() {
    let place = Place::new();
    let all: Vec<Daemon> = (0..6).map(|_| Daemon::start(place.command(&["serve"]))).collect();
    let mut served = Vec::new();
    for daemon in all {
        let log = daemon.wrote_what(|log| log.contains("listening") || log.contains("error: "));
        match log.contains("listening") {
            true => served.push(daemon),
            false => assert_eq!(daemon.ended().0, Some(75)),
        }
    }
    assert_eq!(served.len(), 1);
}

/// STO-6: commands that meet each other wait for the lock, with and without a daemon; every change is kept.
#[test]
fn commands_at_once_lose_nothing() {
    let place = Place::new();
    let add = |number: usize| {
        let args = ["accounts", "add", &format!("a{number}"), "--provider", "openai", "--key-stdin"];
        place.rota_given(&args, &format!("sk-{number}"))
    };
    let many = |from: usize| {
        std::thread::scope(|scope| {
            let runs: Vec<_> = (from..from + 4).map(|number| scope.spawn(move || add(number))).collect();
            for run in runs {
                let ran = run.join().expect("a run");
                assert_eq!(ran.code, Some(0), "{ran:?}");
            }
        });
    };
    many(0);
    let daemon = place.serve();
    many(4);
    daemon.stop();
    assert_eq!(place.json(&["accounts"])["accounts"].as_array().map(Vec::len), Some(8));
}

/// A command that holds the store for a moment does not keep a daemon from starting.
#[test]
fn a_daemon_starts_while_commands_run() {
    let place = Place::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| place.rota(&["status"]))).collect();
        let daemon = place.serve();
        for run in runs {
            let ran = run.join().expect("a run");
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        daemon.stop();
    });
}

/// M3: a daemon that hangs keeps its store; a command says so instead of waiting for ever.
#[test]
fn a_daemon_that_hangs_keeps_its_store() {
    let place = Place::new();
    place.add("work", "openai", "sk-1");
    let daemon = place.serve();
    daemon.signal("STOP");
    let ran = place.rota(&["disable", "work", "--force"]);
    daemon.signal("CONT");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("did not answer within"), "{ran:?}");
    daemon.kill();
}

/// The line that a person waits for.
#[test]
fn it_says_where_it_listens() {
    let mut place = Place::new();
    for format in ["text", "json"] {
        place.set("ROTA_LOG__FORMAT", format);
        let daemon = place.serve();
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("listening")).expect("the line");
        assert!(line.contains(&format!("http://{}", daemon.proxy())), "{line}");
        assert!(line.contains(&format!("http://{}", daemon.admin())), "{line}");
        let parsed = serde_json::from_str::<serde_json::Value>(line).is_ok();
        assert_eq!(parsed, format == "json", "{line}");
        daemon.stop();
    }
}

fn with_account(fake: &Fake, more: &str) -> Place {
    let place = Place::before(fake);
    place.config(&format!("{}{more}", fake.config()));
    place.add("work", "openai", "sk-a");
    place
}

/// A streamed request whose reply has begun.
fn begun(daemon: &Daemon) -> TcpStream {
    let mut stream = daemon.call("POST", "/v1/responses").json(STREAM).open();
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("a beginning");
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// The rest of it, with the beginning put back.
fn rest(stream: &mut TcpStream) -> Reply {
    let mut text = b"HTTP/1.1 200".to_vec();
    let _ = stream.read_to_end(&mut text);
    Reply::of(&String::from_utf8_lossy(&text))
}
