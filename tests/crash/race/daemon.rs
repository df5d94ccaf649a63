//! A real daemon on the drivers' state directory, with clients whose requests find an ended token again and again, and
//! commands of people meanwhile.
use super::chance::{Bell, Chance};
use super::driver::preset;
use super::victim::{Record, pause};
use super::world::World;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a client waits: longer than the longest pause.
const CLIENT_PATIENCE: Duration = Duration::from_secs(120);
/// Between two requests, or two commands.
const PACE: Duration = Duration::from_millis(40);
const REQUEST: &str = r#"{"model":"gpt-5.1","instructions":"be brief","input":[{"role":"user","content":"hello"}],"stream":true,"store":false}"#;

/// What came of the daemon and its users.
#[derive(Default)]
pub(super) struct Daemon {
    pub(super) starts: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) commands: AtomicU64,
    address: Mutex<Option<SocketAddr>>,
    home: PathBuf,
    origin: String,
}

impl Daemon {
    pub(super) fn of(world: &World) -> Arc<Self> {
        let providers = world.home().join("config/rota/providers");
        fs::create_dir_all(&providers).unwrap();
        fs::create_dir_all(world.home().join("home")).unwrap();
        Arc::new(Self { home: world.home().to_owned(), origin: world.fake.origin(), ..Self::default() })
    }

    /// Starts it, torments it, and starts it again, until the bell rings; then it is stopped in order.
    pub(super) fn torment(&self, mut chance: Chance, record: &Arc<Record>, bell: &Bell) {
        let mut life = 0;
        while !bell.rings_within(Duration::ZERO) {
            let sender = format!("daemon.{life}");
            life += 1;
            let mut running = self.start(&sender, record);
            let process = Pid::from_child(&running.child);
            for _ in 0..=chance.below(6) {
                if bell.rings_within(chance.span(20, 300))
                    || record.pause(process, pause(&mut chance, false), bell)
                {
                    break;
                }
            }
            if chance.below(2) == 0 && !bell.rings_within(Duration::ZERO) {
                record.kills(&sender);
                let _ = running.child.kill();
            } else {
                let _ = kill_process(process, Signal::TERM);
            }
            running.gone();
        }
    }

    fn start(&self, sender: &str, record: &Arc<Record>) -> Life {
        fs::write(self.home.join("config/rota/providers/codex.toml"), preset(&self.origin, sender)).unwrap();
        let mut child = self
            .rota(&["serve", "--server-info", "info.json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.starts.fetch_add(1, Ordering::Relaxed);
        let (listens, listening) = channel();
        let output = child.stderr.take().unwrap();
        let heard = hear(output, sender.to_owned(), record.clone(), listens);
        // Where it ended instead, its end is seen when it is waited for.
        if listening.recv().is_ok() {
            let info = fs::read(self.home.join("info.json")).unwrap_or_default();
            let info: serde_json::Value = serde_json::from_slice(&info).unwrap_or_default();
            let address = info["proxy"].as_str().and_then(|address| address.parse().ok());
            *self.address.lock().unwrap_or_else(PoisonError::into_inner) = address;
        }
        Life { child, heard: Some(heard) }
    }

    /// Requests, one after the other, until the bell rings.
    pub(super) fn use_it(&self, bell: &Bell) {
        while !bell.rings_within(PACE) {
            let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
            let answered = address.and_then(ask).is_some_and(|reply| reply.starts_with("HTTP/1.1 200 "));
            self.answered.fetch_add(u64::from(answered), Ordering::Relaxed);
        }
    }

    /// Commands that read and commands that write, whether a daemon runs or not, until the bell rings.
    pub(super) fn command_it(&self, bell: &Bell) {
        let add = ["accounts", "add", "spare", "--provider", "openai", "--key-stdin"];
        let commands: [&[&str]; 5] = [
            &["status"],
            &add,
            &["ls", "--json"],
            &["accounts", "rm", "spare", "--yes"],
            &["store", "verify"],
        ];
        for args in commands.iter().cycle() {
            if bell.rings_within(PACE) {
                return;
            }
            let mut command = self.rota(args);
            let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let mut child = child.unwrap();
            let _ = child.stdin.take().unwrap().write_all(b"sk-spare");
            self.commands.fetch_add(u64::from(child.wait().unwrap().success()), Ordering::Relaxed);
        }
    }

    fn rota(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rota"));
        let below = |name: &str| self.home.join(name);
        command
            .args(args)
            .env_clear()
            .env("HOME", below("home"))
            .env("XDG_CONFIG_HOME", below("config"))
            .env("XDG_STATE_HOME", below("state"))
            .env("ROTA_LISTEN", "127.0.0.1:0")
            .env("ROTA_ADMIN_LISTEN", "127.0.0.1:0")
            .env("ROTA_PROBE__EVERY", "0s")
            .current_dir(&self.home);
        command
    }
}

struct Life {
    child: Child,
    heard: Option<JoinHandle<()>>,
}

impl Life {
    fn gone(&mut self) {
        let _ = self.child.wait();
        self.heard.take().into_iter().for_each(|heard| heard.join().unwrap());
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        self.gone();
    }
}

fn hear(
    from: impl Read + Send + 'static,
    sender: String,
    record: Arc<Record>,
    listens: Sender<()>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if line.contains("listening") {
                let _ = listens.send(());
            }
            record.note(&sender, &line);
        }
    })
}

/// One request; none where the daemon went away.
fn ask(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(CLIENT_PATIENCE)).ok()?;
    let head = format!(
        "POST /backend-api/codex/responses HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        REQUEST.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(REQUEST.as_bytes()).ok()?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).ok()?;
    Some(String::from_utf8_lossy(&reply).into_owned())
}
