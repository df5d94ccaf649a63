//! The typed groups of settings.
use super::sources::Sources;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How long rota waits (PRX-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To reach an upstream, TLS included.
    pub connect: Duration,
    /// From the request sent to the reply's head.
    pub first_byte: Duration,
    /// Between two pieces of a reply.
    pub stream_idle: Duration,
    /// Of a stream that has begun, before a keep-alive is put in; none: never.
    pub keep_alive: Option<Duration>,
    /// For a client to send the head of its next request.
    pub header_read: Duration,
    /// Between two pieces of a request's body.
    pub body_idle: Duration,
    /// For one refresh of a token.
    pub token: Duration,
    /// For the answer of a usage endpoint, from start to end.
    pub probe: Duration,
    /// Silence of a WebSocket's end after which it is asked whether it is there.
    pub websocket_ping: Duration,
    /// For its answer.
    pub websocket_pong: Duration,
    /// For requests under way to end at a stop.
    pub drain: Duration,
    /// Silence after which a session may change its account.
    pub affinity_idle: Duration,
    /// Age at which a session may change its account.
    pub affinity_lifetime: Duration,
    /// Silence after which a managed command ends.
    pub run_idle: Duration,
    /// Age at which a managed command ends.
    pub run_lifetime: Duration,
    /// For a command that was given a time without saying which.
    pub run_command: Duration,
}

/// How much rota holds in memory, at most (PRX-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Bytes of one request's body kept for another attempt.
    pub replay_bytes: usize,
    /// Bytes of all bodies kept at once.
    pub replay_total: usize,
    /// Connections of clients at once.
    pub connections: usize,
    /// Threads that serve requests; 0 is one for each core.
    pub workers: usize,
    /// Sessions whose account is remembered.
    pub sessions: usize,
    /// Decisions kept for `rota why`.
    pub decisions: usize,
}

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsRoots {
    /// The system's, or the bundled ones where it has none.
    #[default]
    Auto,
    /// Those built into the program.
    Bundled,
    /// Those in this PEM file.
    File(PathBuf),
    /// The system's.
    System,
}

/// Whether credential records are sealed at rest, and where the key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// They are in the clear; with a key, those that are still sealed can be read.
    Off {
        /// The key, while there may be sealed records.
        key: Option<KeySource>,
    },
    /// They are sealed.
    On {
        /// The key.
        key: KeySource,
    },
}

/// Where the key to the store comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The output of a program, without a shell: the program and its arguments, at least one.
    Command(Vec<String>),
    /// A credential that systemd handed to this service.
    Credential {
        /// Its name, which is that of a file.
        name: String,
        /// `CREDENTIALS_DIRECTORY`; none where no systemd started rota.
        dir: Option<PathBuf>,
    },
    /// A file that only its owner can read.
    File(PathBuf),
}

/// Whether credential records are sealed, as the setting says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Off,
    On,
}

impl Mode {
    pub(super) const ALL: [Self; 2] = [Self::Off, Self::On];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
        }
    }
}

/// What is off unless somebody wants it (ADM-6).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The quota of the Antigravity plugin's accounts.
    pub antigravity: Antigravity,
}

/// Whether the Antigravity plugin's file is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Antigravity {
    /// It is not looked at.
    #[default]
    Off,
    /// It is read when somebody looks.
    On {
        /// Where it is; none where rota knows no home.
        file: Option<PathBuf>,
    },
}

/// What rota writes to standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Levels by target: `info,rota::proxy=debug`.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Json, Self::Text];

    /// As in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// Proxies between rota and its upstreams, as the environment names them (PRX-8). Their URLs may hold a password, so
/// `Debug` tells only which are set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyEnv {
    /// `ALL_PROXY`.
    pub all: Option<String>,
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `NO_PROXY`: hosts that are reached directly.
    pub exempt: Option<String>,
}

impl ProxyEnv {
    /// What `sources` hold; the upper-case name goes before the lower-case one.
    pub(super) fn of(sources: &Sources) -> Self {
        let either = |upper: &str| {
            let lower = || sources.variable(&upper.to_ascii_lowercase()).map(str::to_owned);
            sources.variable(upper).map(str::to_owned).or_else(lower)
        };
        Self { all: either("ALL_PROXY"), https: either("HTTPS_PROXY"), exempt: either("NO_PROXY") }
    }
}

impl fmt::Debug for ProxyEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyEnv")
            .field("all", &self.all.is_some())
            .field("https", &self.https.is_some())
            .field("exempt", &self.exempt)
            .finish()
    }
}
