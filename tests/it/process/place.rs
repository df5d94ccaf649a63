//! A home directory with nothing of the machine's in it, the commands that run there, and the daemon.
use super::talk::{Reply, Talk};
use fake_upstream::{Account, FakeUpstream, Script};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long anything may take before the test fails. Nothing waits for this.
pub(super) const GUARD: Duration = Duration::from_secs(60);

/// How often what is counted is looked at before the test fails.
const LOOKS: usize = 60_000;

/// A home.
pub(super) struct Place {
    dir: TempDir,
    env: BTreeMap<String, String>,
}

/// What a command came to.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Place {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut place = Self { dir, env: BTreeMap::new() };
        for (name, below) in [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state")] {
            let path = place.path(below);
            fs::create_dir(&path).expect("a directory");
            place.set(name, path.display());
        }
        place.set("ROTA_LISTEN", "127.0.0.1:0");
        place.set("ROTA_ADMIN_LISTEN", "127.0.0.1:0");
        place.set("ROTA_PROBE__EVERY", "0s");
        place.set("TMPDIR", place.path("").display());
        place
    }

    /// With every provider at `origin`.
    pub(super) fn before(fake: &Fake) -> Self {
        let place = Self::new();
        place.config(&fake.config());
        place
    }

    pub(super) fn set(&mut self, name: &str, value: impl ToString) {
        self.env.insert(name.to_owned(), value.to_string());
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path("state/rota")
    }

    /// Replaces rota.toml.
    pub(super) fn config(&self, text: &str) {
        self.file("config/rota/rota.toml", 0o600, text);
    }

    pub(super) fn file(&self, below: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.path(below);
        let dir = path.parent().expect("a directory");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a path for the coverage of the tests, not for the program"
    )]
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rota"));
        command.args(args).env_clear().envs(&self.env).current_dir(self.dir.path()).stdin(Stdio::null());
        // Set by `make coverage`: without it the counts of this process are lost, and written into the place.
        command.envs(std::env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
        command
    }

    /// A line for a shell, run in the home.
    pub(super) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).env_clear().envs(&self.env).current_dir(self.path("home"));
        command
    }

    pub(super) fn rota(&self, args: &[&str]) -> Ran {
        self.rota_given(args, "")
    }

    /// With `input` on standard input.
    pub(super) fn rota_given(&self, args: &[&str], input: &str) -> Ran {
        ended(self.command(args), input)
    }

    /// The body that a command printed with `--json`.
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let ran = self.rota(&[args, &["--json"]].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", ran.out))
    }

    /// Adds an account of a key, through the command line.
    pub(super) fn add(&self, alias: &str, provider: &str, key: &str) {
        let args = ["accounts", "add", alias, "--provider", provider, "--key-stdin"];
        let ran = self.rota_given(&args, key);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    /// Adds a login, through the command line.
    pub(super) fn add_login(&self, alias: &str, provider: &str, credential: &Value) {
        let file = self.file(&format!("{alias}.json"), 0o600, &credential.to_string());
        let file = file.display().to_string();
        let ran = self.rota(&["accounts", "add", alias, "--provider", provider, "--credential-file", &file]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }

    pub(super) fn serve(&self) -> Daemon {
        let mut daemon = Daemon::start(self.command(&["serve", "--server-info", "info.json"]));
        daemon.listening();
        let info = fs::read(self.path("info.json")).expect("the file that was asked for");
        daemon.info = serde_json::from_slice(&info).expect("JSON");
        daemon
    }

    /// A daemon that will not come up.
    pub(super) fn serve_in_vain(&self, args: &[&str]) -> Ran {
        self.rota(&[&["serve"], args].concat())
    }

    pub(super) fn token(&self) -> String {
        fs::read_to_string(self.state().join("admin-token")).expect("the admin token")
    }

    /// A call of the admin API with the token; its answer must be what the OpenAPI document says.
    pub(super) fn admin(&self, daemon: &Daemon, method: &str, path: &str) -> Talk {
        let talk = Talk::to(daemon.admin(), method, path);
        talk.described().header("authorization", &format!("Bearer {}", self.token()))
    }

    /// Every file below the state directory with its bytes, by its path there.
    pub(super) fn stored(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        gather(&self.state(), &self.state(), &mut files);
        files
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }
}

/// All files below `dir`, by their paths relative to `root`.
pub(super) fn gather(root: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(root, &path, files);
        } else if let Ok(bytes) = fs::read(&path) {
            let name = path.strip_prefix(root).expect("below the root").display().to_string();
            files.insert(name, bytes);
        }
    }
}

fn ended(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that does not read its input has closed it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let pid = child.id();
    let (done, wait) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = wait.recv_timeout(GUARD) else {
        signal(pid, "KILL");
        panic!("{command:?} did not end");
    };
    let output = output.expect("an end");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Sends a signal by its name.
pub(super) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// A `rota serve`. Dropped, it is killed.
pub(super) struct Daemon {
    pid: u32,
    info: Value,
    lines: Arc<Lines>,
    end: Mutex<Receiver<ExitStatus>>,
    gone: bool,
}

/// What it has written.
#[derive(Default)]
pub(super) struct Lines {
    text: Mutex<(String, bool)>,
    more: Condvar,
}

impl Lines {
    /// Takes all that comes, line by line, until the end.
    pub(super) fn read(&self, from: impl Read) {
        let mut from = BufReader::new(from);
        let mut line = String::new();
        while from.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            self.text.lock().unwrap_or_else(PoisonError::into_inner).0.push_str(&line);
            self.more.notify_all();
            line.clear();
        }
        self.text.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.more.notify_all();
    }

    /// What has come by now.
    pub(super) fn so_far(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Waits until `wanted` holds of the text, and returns it.
    pub(super) fn wait(&self, wanted: impl Fn(&str) -> bool) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let unfinished = |text: &mut (String, bool)| !wanted(&text.0) && !text.1;
        let (text, _) =
            self.more.wait_timeout_while(text, GUARD, unfinished).unwrap_or_else(PoisonError::into_inner);
        assert!(wanted(&text.0), "not written within {GUARD:?}, or before the end; written was\n{}", text.0);
        text.0.clone()
    }
}

impl Daemon {
    pub(super) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        Self::with_streams(command)
    }

    /// With the input and output that the command has.
    pub(super) fn with_streams(mut command: Command) -> Self {
        let mut child: Child = command.stderr(Stdio::piped()).spawn().expect("the program");
        let lines = Arc::new(Lines::default());
        let (told, end) = channel();
        let pid = child.id();
        let stderr = child.stderr.take().expect("a pipe");
        let reader = lines.clone();
        std::thread::spawn(move || {
            reader.read(stderr);
            if let Ok(status) = child.wait() {
                let _ = told.send(status);
            }
        });
        Self { pid, info: Value::Null, lines, end: Mutex::new(end), gone: false }
    }

    /// Waits until it says that it listens.
    pub(super) fn listening(&self) {
        self.wrote("listening");
    }

    /// Waits until its log has `text`, and returns the log.
    pub(super) fn wrote(&self, text: &str) -> String {
        self.lines.wait(|log| log.contains(text))
    }

    /// Waits until `wanted` holds of its log.
    pub(super) fn wrote_what(&self, wanted: impl Fn(&str) -> bool) -> String {
        self.lines.wait(wanted)
    }

    /// The page of metrics, once it has all of `series`: what a thread or task counts after a reply was sent comes when it
    /// comes.
    pub(super) fn counted(&self, series: &[&str]) -> String {
        let mut page = String::new();
        for _ in 0..LOOKS {
            page = Talk::to(self.admin(), "GET", "/metrics").send().body;
            if series.iter().all(|series| page.contains(series)) {
                return page;
            }
        }
        panic!("{series:?}: not all of it was counted within {LOOKS} looks at\n{page}");
    }

    pub(super) fn log(&self) -> String {
        self.lines.text.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn proxy(&self) -> SocketAddr {
        self.address("proxy")
    }

    pub(super) fn admin(&self) -> SocketAddr {
        self.address("admin")
    }

    fn address(&self, which: &str) -> SocketAddr {
        self.info[which].as_str().and_then(|text| text.parse().ok()).expect("an address")
    }

    /// A request to the proxy.
    pub(super) fn call(&self, method: &str, path: &str) -> Talk {
        Talk::to(self.proxy(), method, path)
    }

    /// A streamed request without a credential.
    pub(super) fn ask(&self, path: &str) -> Reply {
        self.call("POST", path).json(STREAM).send()
    }

    pub(super) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Waits for its end: the exit code, none where a signal ended it.
    pub(super) fn ended(mut self) -> (Option<i32>, String) {
        let status =
            self.end.get_mut().unwrap_or_else(PoisonError::into_inner).recv_timeout(GUARD).expect("it ends");
        self.gone = true;
        (status.code(), self.log())
    }

    /// Ends it with SIGKILL and waits until it is gone.
    pub(super) fn kill(self) {
        self.signal("KILL");
        assert_eq!(self.ended().0, None);
    }

    /// Ends it with SIGTERM: exit code 0.
    pub(super) fn stop(self) -> String {
        self.signal("TERM");
        let (code, log) = self.ended();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.gone || self.end.get_mut().unwrap_or_else(PoisonError::into_inner).try_recv().is_ok() {
            return;
        }
        let _ =
            Command::new("kill").args(["-s", "KILL", &self.pid.to_string()]).stderr(Stdio::null()).status();
    }
}

/// A request that every model's upstream takes.
pub(super) const STREAM: &str = r#"{"model":"gpt-5.1","instructions":"be brief","input":[{"role":"user","content":"hello"}],"stream":true,"store":false}"#;

/// The fake upstream, on a runtime of its own.
pub(super) struct Fake {
    pub(super) upstream: FakeUpstream,
    runtime: Runtime,
}

impl Fake {
    pub(super) fn start(script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let upstream = runtime.block_on(FakeUpstream::start(script)).expect("a fake upstream");
        Self { upstream, runtime }
    }

    /// Accounts `names`, each with the key `sk-NAME`.
    pub(super) fn keys(names: &[&str]) -> Self {
        let with =
            |script: Script, name: &&str| script.account(Account::new(*name).api_key(format!("sk-{name}")));
        Self::start(names.iter().fold(Script::new(), with))
    }

    /// Every provider at this upstream.
    pub(super) fn config(&self) -> String {
        let origin = self.upstream.origin();
        let tokens = [("codex", "/oauth/token"), ("anthropic", "/v1/oauth/token")];
        let mut text = String::new();
        for id in ["anthropic", "codex", "gemini", "openai", "openrouter"] {
            text.push_str(&format!("[providers.{id}]\norigin = \"{origin}\"\n"));
            if let Some((_, path)) = tokens.iter().find(|(name, _)| *name == id) {
                text.push_str(&format!("token_url = \"{origin}{path}\"\n"));
            }
        }
        text
    }

    /// Waits for something of the upstream's.
    pub(super) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        let guarded = async { tokio::time::timeout(GUARD, what).await };
        self.runtime.block_on(guarded).expect("what the upstream waits for")
    }
}
