//! Signing in, from the command line to the fake provider's pages. The browser is this test: it opens the address that
//! rota shows and goes where it is sent.
mod browser;
mod device;
mod five_minutes;
mod passes;
mod paste;
mod reauth;
mod secrets;

use super::place::{Daemon, Fake, GUARD, Lines, Place, Ran, signal};
use super::talk::{Reply, Talk};
use fake_upstream::{Account, DevicePolicy, Script};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};

/// Accounts `a` and `b`, and `no`, whose owner refuses to sign in. Devices may poll every second.
fn provider() -> Fake {
    Fake::start(script())
}

fn script() -> Script {
    let quick = DevicePolicy { interval: 1, ..DevicePolicy::default() };
    Script::new()
        .account(Account::new("a"))
        .account(Account::new("b"))
        .account(Account::new("no").denying_logins())
        .device(quick)
}

/// A home with three providers that can be signed in to: `chat`, as Codex is; `claude`, as Anthropic is; `acme`, any
/// OAuth2 provider. Their callbacks take any free port.
fn home(fake: &Fake) -> Place {
    home_with(fake, "[]")
}

/// The same, with the callbacks of `chat` on these ports.
fn home_with(fake: &Fake, ports: &str) -> Place {
    let mut place = Place::new();
    let origin = fake.upstream.origin();
    let mut config = fake.config();
    for id in ["chat", "claude", "codex", "anthropic"] {
        let head = format!("[providers.{id}]\n");
        if !config.contains(&head) {
            config.push_str(&format!("{head}origin = \"{origin}\"\n"));
        }
        config = config.replace(&head, &format!("{head}auth_origin = \"{origin}\"\n"));
    }
    place.config(&config);
    for (id, base, ports) in [("chat", "codex", ports), ("claude", "anthropic", "[]")] {
        let text = format!("id = \"{id}\"\nextends = \"{base}\"\n[login.browser]\nports = {ports}\n");
        place.file(&format!("config/rota/providers/{id}.toml"), 0o600, &text);
    }
    place.file("config/rota/providers/acme.toml", 0o600, &acme(&origin));
    // Nothing on this machine is to open a page.
    place.set("BROWSER", "/nowhere/at/all");
    place
}

fn acme(origin: &str) -> String {
    format!(
        r#"
id = "acme"
name = "Acme"
extends = "oauth2"
origin = "{origin}"
[token]
url = "{origin}/token"
client_id = "acme-client"
[login]
scope = "api offline"
[login.browser]
authorize_url = "{origin}/oauth/authorize"
params = {{ prompt = "login" }}
host = "127.0.0.1"
ports = []
path = "/back/here"
[login.device]
kind = "standard"
url = "{origin}/oauth/device/code"
pkce = true
"#
    )
}

/// A `rota login` under way. Dropped, it is killed.
struct Signing {
    pid: u32,
    stdin: Option<ChildStdin>,
    out: Arc<Lines>,
    err: Arc<Lines>,
    end: Receiver<ExitStatus>,
    ended: bool,
}

impl Signing {
    /// `rota login` with `args`.
    fn start(place: &Place, args: &[&str]) -> Self {
        Self::of(place.command(&[&["login"], args].concat()))
    }

    fn of(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the program");
        let (out, err) = (Arc::new(Lines::default()), Arc::new(Lines::default()));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let pid = child.id();
        let (told, end) = channel();
        let (to_out, to_err) = (Arc::clone(&out), Arc::clone(&err));
        let reader = std::thread::spawn(move || to_out.read(stdout.expect("a pipe")));
        std::thread::spawn(move || {
            to_err.read(stderr.expect("a pipe"));
            reader.join().expect("standard output is read");
            // Nobody asks for the end of a login that was dropped.
            let _ = told.send(child.wait().expect("an end"));
        });
        Self { pid, stdin, out, err, end, ended: false }
    }

    /// Waits until `text` stands on standard error, and returns all of it.
    fn says(&self, text: &str) -> String {
        self.err.wait(|said| said.contains(text))
    }

    /// The first address it shows that has `part` in it.
    fn address(&self, part: &str) -> String {
        let found = |said: &str| {
            let words = said.split_whitespace();
            words.filter(|word| word.starts_with("http")).find(|word| word.contains(part)).map(str::to_owned)
        };
        let said = self.err.wait(|said| found(said).is_some());
        found(&said).expect("it was waited for")
    }

    /// The code that it shows for another device.
    fn code(&self) -> String {
        let said = self.says("Type the code");
        let line = said.lines().find(|line| line.contains("Type the code")).expect("a line");
        line.split_whitespace().last().expect("a code").to_owned()
    }

    fn types(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("an open input");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    /// Ends its standard input.
    fn hangs_up(&mut self) {
        self.stdin = None;
    }

    fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Waits for its end.
    fn ended(mut self) -> Ran {
        let status = self.end.recv_timeout(GUARD);
        let (out, err) = (self.out.wait(|_| true), self.err.wait(|_| true));
        let status = status.unwrap_or_else(|_| panic!("it did not end; it said\n{out}\n{err}"));
        self.ended = true;
        Ran { code: status.code(), out, err }
    }
}

impl Drop for Signing {
    fn drop(&mut self) {
        if !self.ended && self.end.try_recv().is_err() {
            let kill = ["-s", "KILL", &self.pid.to_string()].map(str::to_owned);
            // It may have ended in between.
            let _ = Command::new("kill").args(kill).stderr(Stdio::null()).status();
        }
    }
}

/// Opens the provider's page as the owner of `account`, and returns where it sends the browser.
fn visit(page: &str, account: &str) -> String {
    let (at, path) = split(page);
    let reply = Talk::to(at, "GET", &format!("{path}&login_hint={account}")).send();
    assert_eq!(reply.status, 302, "{reply:?}");
    reply.header("location").expect("a redirection").to_owned()
}

/// Goes to an address on this machine.
fn go(address: &str) -> Reply {
    let (at, path) = split(address);
    let host = address.split('/').nth(2).expect("a host");
    Talk::to(at, "GET", path).header("host", host).send()
}

/// Where an address on this machine leads, and its path and query.
fn split(address: &str) -> (SocketAddr, &str) {
    let rest = address.strip_prefix("http://").expect("plain HTTP on this machine");
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let at = host.replace("localhost", "127.0.0.1").parse().expect("an address on this machine");
    (at, path)
}

/// A parameter of an address, as it stands there.
fn field<'a>(address: &'a str, name: &str) -> &'a str {
    let query = address.split_once('?').expect("a query").1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(there, _)| *there == name).unwrap_or_else(|| panic!("no {name} in {address}")).1
}

/// The address with another value of a parameter; none takes it out.
fn with_field(address: &str, name: &str, value: Option<&str>) -> String {
    let (page, query) = address.split_once('?').expect("a query");
    let pairs = query.split('&').filter_map(|pair| {
        if pair.split('=').next() != Some(name) {
            return Some(pair.to_owned());
        }
        value.map(|value| format!("{name}={value}"))
    });
    format!("{page}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// The whole way of a person who agrees.
fn agree(signing: &Signing, account: &str) {
    let back = visit(&signing.address("/oauth/authorize?"), account);
    let reply = go(&back);
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// Requests to `path` are served, by these accounts of the provider's.
fn served(fake: &Fake, daemon: &Daemon, path: &str, by: &[&str]) {
    let before = fake.upstream.requests().len();
    for _ in by {
        let reply = daemon.ask(path);
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let accounts = fake.upstream.requests().split_off(before).into_iter().map(|request| request.account);
    let mut accounts: Vec<String> = accounts.map(|account| account.unwrap_or_default()).collect();
    accounts.sort();
    assert_eq!(accounts, by);
    assert_eq!(fake.upstream.violations(), Vec::<String>::new());
}

/// Names of the accounts that rota has.
fn aliases(place: &Place) -> Vec<String> {
    let accounts = place.json(&["accounts"])["accounts"].as_array().cloned().expect("accounts");
    accounts.iter().map(|account| account["alias"].as_str().expect("an alias").to_owned()).collect()
}

/// A port that nobody listens on. It is below those that the system gives out, so that no other test is given it.
fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let first = || AtomicU16::new(20_000 + (std::process::id() % 400) as u16 * 25);
    let next = NEXT.get_or_init(first);
    loop {
        let port = next.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Whether anybody listens there.
fn is_open(address: &str) -> bool {
    std::net::TcpStream::connect(split(address).0).is_ok()
}
