//! Sockets that a service manager opens and keeps: rota serves on them, and nobody is refused while it restarts.
use super::place::{Daemon, Fake, Place, STREAM};
use super::talk::{Reply, Talk};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

/// What a service manager keeps.
struct Sockets {
    proxy: TcpListener,
    admin: TcpListener,
}

impl Sockets {
    fn open() -> Self {
        let open = || TcpListener::bind("127.0.0.1:0").expect("a socket");
        Self { proxy: open(), admin: open() }
    }

    /// The command with both, as descriptors 3 and 4, and told so.
    fn hand(&self, place: &Place, args: &[&str]) -> Command {
        let given = place.command(args);
        let words = "exec 3<&0 4>&1 </dev/null >/dev/null; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", words]).arg(given.get_program()).args(given.get_args()).env_clear();
        command.envs(given.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(place.root());
        command.stdin(std::os::fd::OwnedFd::from(self.proxy.try_clone().expect("a socket")));
        command.stdout(std::os::fd::OwnedFd::from(self.admin.try_clone().expect("a socket")));
        command
    }
}

fn address(socket: &TcpListener) -> SocketAddr {
    socket.local_addr().expect("an address")
}

fn place(fake: &Fake, sockets: &Sockets) -> Place {
    let mut place = Place::before(fake);
    place.add("work", "openai", "sk-a");
    place.set("ROTA_LISTEN", address(&sockets.proxy));
    place.set("ROTA_ADMIN_LISTEN", address(&sockets.admin));
    place
}

#[test]
fn a_client_that_comes_while_rota_restarts_waits_and_is_served() {
    let fake = Fake::keys(&["a"]);
    let sockets = Sockets::open();
    let place = place(&fake, &sockets);
    let serve = || {
        let daemon = Daemon::with_streams(sockets.hand(&place, &["serve"]));
        daemon.listening();
        daemon
    };
    let ask = || Talk::to(address(&sockets.proxy), "POST", "/openai/v1/responses").json(STREAM);
    let first = serve();
    assert_eq!(ask().send().status, 200);
    assert_eq!(place.rota(&["healthcheck"]).code, Some(0), "the admin API is on the other one");
    first.stop();
    let waiting = ask().open();
    let second = serve();
    assert_eq!(Reply::read(waiting).status, 200);
    second.stop();
}

/// What rota would not listen on itself it does not serve on either.
#[test]
fn a_socket_that_is_not_configured_is_refused_by_its_address() {
    let fake = Fake::keys(&["a"]);
    let sockets = Sockets::open();
    let mut place = place(&fake, &sockets);
    place.set("ROTA_ADMIN_LISTEN", "127.0.0.1:0");
    let daemon = Daemon::with_streams(sockets.hand(&place, &["serve"]));
    let (code, log) = daemon.ended();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains(&address(&sockets.admin).to_string()) && log.contains("rota service install"),
        "{log}"
    );
}

/// Variables that were meant for another process say nothing, and descriptors that are no sockets are no reason to panic.
#[test]
fn what_is_no_socket_for_this_process_is_not_served_on() {
    let mut place = Place::new();
    place.set("LISTEN_FDS", "2");
    place.set("LISTEN_PID", "1");
    place.serve().stop();
    for (count, words) in [("1", "descriptor 3"), ("x", "LISTEN_FDS")] {
        place.set("LISTEN_FDS", count);
        let mut shell = place.shell("LISTEN_PID=$$ exec \"$ROTA\" serve 3</dev/null");
        shell.env("ROTA", env!("CARGO_BIN_EXE_rota"));
        let ran = shell.output().expect("a shell");
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(1), "{told}");
        assert!(told.contains(words), "{told}");
    }
}
