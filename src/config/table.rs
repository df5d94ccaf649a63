//! Every setting there is. This table is the one source of their names, defaults, documentation and environment
//! variables; `config/rota.toml` and `docs/CONFIGURATION.md` are compared with it.
use super::form::Form;
use super::listen::{Listen, Loopback, any_address, listens, loopback};
use super::notify::{self, Webhook};
use super::setting::{About, Described, Setting, Shape};
use super::types::Mode;
use super::value::{
    Bad, MOST_ENTRIES, absolute, choice, client_key, count, duration, flag, host, list, number, shown, size,
    text, web_origin,
};
use super::{LogFormat, TlsRoots};
use crate::model::{self, Effort, Secret, Strategy};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// Threads that serve requests, at most.
pub const MOST_WORKERS: usize = 64;
/// The longest name that a file can have.
const LONGEST_NAME: usize = 255;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The sections, in the order of the file, each with what it is about.
pub(super) static SECTIONS: [(&str, &str); 12] = [
    ("", "Where rota listens, who may connect, where it keeps its state."),
    ("rotation", "Which account serves. The engine follows these from the next request on."),
    ("timeouts", "How long rota waits. No limit is set on a stream as a whole."),
    ("limits", "How much rota holds in memory, at most."),
    (
        "probe",
        "How rota learns what is left, besides reading replies. A failed attempt never changes what is known.",
    ),
    ("reauth", "What happens when no account can serve until a person signs in."),
    ("notify", "Whom rota tells when a person must act: at most once an hour for each account and event."),
    ("tls", "How upstreams are verified. Nothing turns verification off."),
    (
        "encryption",
        "Whether credentials are sealed on the disk, and with which key. Without the key, sign in again.",
    ),
    ("log", "What rota writes to standard error."),
    ("headers", "What rota adds to replies."),
    ("features", "What is off unless somebody wants it. While it is off, nothing of it is there."),
];

/// Every setting, in the order of the file.
pub(super) static ALL: [&dyn Described; 55] = [
    &LISTEN,
    &ADMIN_LISTEN,
    &ADMIN_SOCKET,
    &CONTAINER_BIND,
    &CLIENT_KEYS,
    &REQUIRE_CLIENT_KEY,
    &ALLOWED_HOSTS,
    &ALLOWED_ORIGINS,
    &ALLOWED_UIDS,
    &STATE_DIR,
    &STRATEGY,
    &AFFINITY,
    &LOW,
    &CRITICAL,
    &MAX_ATTEMPTS,
    &PATIENCE,
    &IN_FLIGHT_CAP,
    &CONNECT,
    &FIRST_BYTE,
    &STREAM_IDLE,
    &KEEP_ALIVE,
    &HEADER_READ,
    &BODY_IDLE,
    &TOKEN,
    &PROBE,
    &WEBSOCKET_PING,
    &WEBSOCKET_PONG,
    &DRAIN,
    &AFFINITY_IDLE,
    &AFFINITY_LIFETIME,
    &RUN_IDLE,
    &RUN_LIFETIME,
    &RUN_COMMAND,
    &HEAD_BYTES,
    &REPLAY_BYTES,
    &REPLAY_TOTAL,
    &CONNECTIONS,
    &WORKERS,
    &SESSIONS,
    &DECISIONS,
    &PROBE_EVERY,
    &PROBE_MODEL,
    &PROBE_EFFORT,
    &REAUTH_WAIT,
    &NOTIFY_COMMAND,
    &NOTIFY_WEBHOOKS,
    &ROOTS,
    &ENCRYPTION,
    &KEY_FILE,
    &KEY_CREDENTIAL,
    &KEY_COMMAND,
    &LEVEL,
    &FORMAT,
    &DECISION,
    &ANTIGRAVITY,
];

macro_rules! settings {
    ($($name:ident: $type:ty = $key:literal, $shape:ident, $default:literal, $read:expr, $doc:literal;)*) => {
        $(pub(super) static $name: Setting<$type> = Setting {
            about: About { key: $key, shape: Shape::$shape, default: $default, doc: $doc },
            read: $read,
        };)*
    };
}

settings! {
    LISTEN: Vec<Listen> = "listen", Text, "\"127.0.0.1:7682\"", listens,
        "Where clients connect: one address, or a list of them. 127.0.0.1, [::1] and localhost mean both 127.0.0.1 and \
         [::1], so that no other program can take one of the two. Only loopback addresses are accepted; port 0 takes \
         any free port.";
    ADMIN_LISTEN: Loopback = "admin_listen", Text, "\"127.0.0.1:7683\"", loopback,
        "Where the admin API, health and metrics answer. A loopback address, always.";
    ADMIN_SOCKET: Option<PathBuf> = "admin_socket", Text, "\"\"", absolute,
        "A Unix socket on which the admin API answers as well, as an absolute path, in a directory that only you can \
         change: for a container, whose loopback the host does not reach (`rota --socket PATH status`). Empty: none.";
    CONTAINER_BIND: Option<SocketAddr> = "container_bind", Text, "\"\"", any_address,
        "In a container whose port is published: the address to listen on instead of `listen`, such as \
         \"0.0.0.0:7682\". It is refused unless `client_keys` or `require_client_key` are set and rota runs in a container (or \
         ROTA_ALLOW_NON_LOOPBACK=1 is set in the environment). Publish the port to the host's loopback only: -p \
         127.0.0.1:7682:7682.";
    CLIENT_KEYS: Vec<Secret> = "client_keys", Secrets, "[]", |value| list(value, client_key),
        "Keys of which clients must send one, as bearer token or API key. None: no key is asked for. Keep this file to \
         yourself (chmod 600) when it holds keys, or name a file with one key a line in ROTA_CLIENT_KEYS_FILE.";
    REQUIRE_CLIENT_KEY: bool = "require_client_key", Flag, "false", flag,
        "Whether every request needs a key, also while there is none: of `client_keys`, or one that `rota keys add` made. \
         Once there is one, every request needs one anyway.";
    ALLOWED_HOSTS: Vec<String> = "allowed_hosts", List, "[]", |value| list(value, host),
        "Values of the Host header that are accepted besides the loopback names of the port: \"name\" or \"name:port\".";
    ALLOWED_ORIGINS: Vec<String> = "allowed_origins", List, "[]", |value| list(value, web_origin),
        "Origins of web pages that may call the proxy, such as \"http://127.0.0.1:3000\". None: no web page may.";
    ALLOWED_UIDS: Vec<u32> = "allowed_uids", List, "[]", |value| list(value, uid),
        "Linux users, by number, that may connect besides the one rota runs as.";
    STATE_DIR: Option<PathBuf> = "state_dir", Text, "\"\"", absolute,
        "Where accounts and their credentials are kept, as an absolute path. Empty: $XDG_STATE_HOME/rota, which is \
         ~/.local/state/rota, or /var/lib/rota where there is no home.";

    STRATEGY: Strategy = "rotation.strategy", Text, "\"round-robin\"",
        |value| choice(value, &Strategy::ALL, Strategy::as_str),
        "How an account is chosen among those that may serve: \"round-robin\", \"weighted-round-robin\", \
         \"least-used\" (most quota left), \"random\", \"fill-first\" (drain one, then the next), \"reset-first\" (the \
         quota that resets soonest).";
    AFFINITY: model::Affinity = "rotation.affinity", Text, "\"session\"",
        |value| choice(value, &[model::Affinity::Session, model::Affinity::None], affinity_name),
        "\"session\": a conversation that names itself stays with its account while that can serve. \"none\": every \
         request rotates.";
    LOW: u8 = "rotation.low", Number, "30", |value| percent(value, 100),
        "Percent of quota left at or below which an account takes no new sessions while another can.";
    CRITICAL: u8 = "rotation.critical", Number, "10", |value| percent(value, 99),
        "Percent of quota left at or below which an account serves only what is bound to it. Below `low`.";
    MAX_ATTEMPTS: u8 = "rotation.max_attempts", Number, "3",
        |value| number(value, 1, u64::from(model::Settings::MOST_ATTEMPTS)).map(low_byte),
        "Accounts tried for one request, at most: 1 to 16.";
    PATIENCE: Duration = "rotation.patience", Text, "\"60s\"", |value| duration(value, SECOND, HOUR),
        "No attempt starts later than this after the request came. A reply under way is never cut by it.";
    IN_FLIGHT_CAP: Option<u32> = "rotation.in_flight_cap", Number, "0", cap,
        "Requests under way per account, at most; more go to the next account. 0: no cap.";

    CONNECT: Duration = "timeouts.connect", Text, "\"5s\"", |value| duration(value, 100 * MILLI, MINUTE),
        "To reach an upstream, TLS included.";
    FIRST_BYTE: Duration = "timeouts.first_byte", Text, "\"290s\"", |value| duration(value, SECOND, HOUR),
        "From the request sent to the reply's head. Clients give up at 300 s; below that they get a readable answer.";
    STREAM_IDLE: Duration = "timeouts.stream_idle", Text, "\"300s\"", |value| duration(value, SECOND, DAY),
        "Between two pieces of a reply.";
    KEEP_ALIVE: Option<Duration> = "timeouts.keep_alive", Text, "\"60s\"", |value| duration(value, Duration::ZERO, HOUR).map(some_time),
        "How long a client hears nothing of a stream that has begun, before rota puts in the keep-alive event of the \
         provider's own dialect, where its preset has one. It goes between two events, never into a compressed stream, and \
         does not count for `stream_idle`. 0s: the stream passes byte for byte, whatever the silence.";
    HEADER_READ: Duration = "timeouts.header_read", Text, "\"120s\"", |value| duration(value, SECOND, HOUR),
        "For a client to send the head of its next request; a kept-alive connection that stays silent longer is closed.";
    BODY_IDLE: Duration = "timeouts.body_idle", Text, "\"60s\"", |value| duration(value, SECOND, HOUR),
        "Between two pieces of a request's body.";
    TOKEN: Duration = "timeouts.token", Text, "\"60s\"", |value| duration(value, SECOND, 5 * MINUTE),
        "For one refresh of a token, from start to end.";
    PROBE: Duration = "timeouts.probe", Text, "\"10s\"", |value| duration(value, 100 * MILLI, MINUTE),
        "For the answer of a provider's usage endpoint, from start to end; a model that is asked has six times as long.";
    WEBSOCKET_PING: Duration = "timeouts.websocket_ping", Text, "\"30s\"", |value| duration(value, 100 * MILLI, HOUR),
        "Silence of either end of a WebSocket after which it is asked whether it is still there.";
    WEBSOCKET_PONG: Duration = "timeouts.websocket_pong", Text, "\"10s\"", |value| duration(value, 100 * MILLI, HOUR),
        "For it to answer; then the connection is cut.";
    DRAIN: Duration = "timeouts.drain", Text, "\"30s\"", |value| duration(value, Duration::ZERO, HOUR),
        "For requests under way to end when rota is stopped.";
    AFFINITY_IDLE: Duration = "timeouts.affinity_idle", Text, "\"1h\"", |value| duration(value, SECOND, 7 * DAY),
        "A session that is silent for longer than this may change its account.";
    AFFINITY_LIFETIME: Duration = "timeouts.affinity_lifetime", Text, "\"24h\"", |value| duration(value, SECOND, 7 * DAY),
        "A session keeps its account for at most this long. Not below `affinity_idle`.";
    RUN_IDLE: Duration = "timeouts.run_idle", Text, "\"300s\"", |value| duration(value, SECOND, 7 * DAY),
        "`rota run --managed` ends its command after this long without a request or a piece of a reply.";
    RUN_LIFETIME: Duration = "timeouts.run_lifetime", Text, "\"1h\"", |value| duration(value, SECOND, 7 * DAY),
        "`rota run --managed` ends its command after this long, whatever it does. Not below `run_idle`.";
    RUN_COMMAND: Duration = "timeouts.run_command", Text, "\"300s\"", |value| duration(value, SECOND, 30 * MINUTE),
        "`rota run --timeout` ends its command after this long where it is given no time of its own.";

    HEAD_BYTES: usize = "limits.head_bytes", Text, "\"64KiB\"", |value| size(value, 8 * KIB, MIB),
        "The head of a request.";
    REPLAY_BYTES: usize = "limits.replay_bytes", Text, "\"32MiB\"", |value| size(value, 0, GIB),
        "The body of one request, kept to be sent to another account. A larger one is sent once.";
    REPLAY_TOTAL: usize = "limits.replay_total", Text, "\"256MiB\"", |value| size(value, 0, 16 * GIB),
        "All bodies kept at once. Not below `replay_bytes`.";
    CONNECTIONS: usize = "limits.connections", Number, "2048", |value| count(value, 1, 65_536),
        "Connections of clients at once.";
    WORKERS: usize = "limits.workers", Number, "0", |value| count(value, 0, MOST_WORKERS),
        "Threads that serve requests. 0: one for each core that rota may use. Read at the start only.";
    SESSIONS: usize = "limits.sessions", Number, "10000", |value| count(value, 1, 1_000_000),
        "Sessions whose account is remembered; the one silent longest goes first.";
    DECISIONS: usize = "limits.decisions", Number, "1000", |value| count(value, 1, 100_000),
        "Decisions kept for `rota why`.";

    PROBE_EVERY: Option<Duration> = "probe.every", Text, "\"15m\"",
        probe_every,
        "Limits that were last seen longer ago are asked for at the provider's usage endpoint, which costs no quota: each \
         account at a moment of its own, up to a quarter of this later, the accounts of one provider a minute or more \
         apart, and never more often than its preset allows. From 1m to 1d, or 0s: only when a person asks (`rota probe`: \
         at once, a second or two between the accounts of one provider).";
    PROBE_MODEL: model::ModelProbes = "probe.model", Flag, "false", model_probes,
        "Whether a small request may be sent to a model, where nothing else tells the limits. It costs quota.";
    PROBE_EFFORT: Effort = "probe.effort", Text, "\"low\"",
        |value| choice(value, &Effort::ALL, Effort::as_str),
        "How hard that model is asked to think: \"none\", \"minimal\", \"low\", \"medium\", \"high\" or \"xhigh\". Also \
         ROTA_PROBE_EFFORT, and OPENCODE_MULTI_AUTH_PROBE_EFFORT where neither says anything.";

    REAUTH_WAIT: Duration = "reauth.wait", Text, "\"0s\"",
        |value| duration(value, Duration::ZERO, model::Settings::LONGEST_HOLD),
        "How long a request is held, headers withheld, for a person to sign in to an account that needs it, once no other \
         can serve. 0s: it is refused at once, with what to do.";

    NOTIFY_COMMAND: Vec<String> = "notify.command", List, "[]", notify::command,
        "A program and its arguments, run without a shell for each event: the event is JSON on its standard input, and \
         ROTA_EVENT, ROTA_ACCOUNT and ROTA_PROVIDER are in its environment, with PATH, HOME and LANG and nothing else. It \
         is ended after 30 s.";
    NOTIFY_WEBHOOKS: Vec<Webhook> = "notify.webhooks", Secrets, "[]", notify::webhooks,
        "Addresses that the event's JSON is posted to: https, or http on this machine. Up to four; redirects are not \
         followed. They are not shown, for such addresses often hold a key.";

    ROOTS: TlsRoots = "tls.roots", Text, "\"auto\"", roots,
        "Certificate authorities that are trusted: \"system\", \"bundled\" (those of Mozilla, built in), \"auto\" \
         (the system's, or the bundled where it has none), or the absolute path of a PEM file. SSL_CERT_FILE and \
         SSL_CERT_DIR replace the system's.";
    ENCRYPTION: Mode = "encryption.mode", Text, "\"off\"",
        |value| choice(value, &Mode::ALL, Mode::as_str),
        "\"on\": credential records are sealed with the key, at the next start those that are there, too. \"off\": they are \
         in the clear; as long as a key is named, sealed ones are unsealed at the next start.";
    KEY_FILE: Option<PathBuf> = "encryption.key_file", Text, "\"\"", absolute,
        "The key, as the absolute path of a file for its owner only (chmod 600): 64 hexadecimal digits, base64 of 32 \
         bytes, or 32 bytes. `rota store new-key FILE` makes one. At most one of the three ways is set.";
    KEY_CREDENTIAL: Option<String> = "encryption.key_credential", Text, "\"\"", credential_name,
        "The key, as the name of a credential of the systemd unit (LoadCredential=NAME:FILE).";
    KEY_COMMAND: Vec<String> = "encryption.key_command", List, "[]", program,
        "The key, as the output of a program: its absolute path and its arguments. It runs without a shell, for 10 s at most.";

    LEVEL: String = "log.level", Text, "\"info\"", filter,
        "\"error\", \"warn\", \"info\", \"debug\" or \"trace\", also by part of the program: \"info,rota::proxy=debug\".";
    FORMAT: LogFormat = "log.format", Text, "\"auto\"",
        |value| choice(value, &LogFormat::ALL, LogFormat::as_str),
        "\"text\", \"json\", or \"auto\": text on a terminal, else JSON.";
    DECISION: bool = "headers.decision", Flag, "true", flag,
        "Whether replies tell which account served and why (x-rota-account, x-rota-why, ...).";

    ANTIGRAVITY: bool = "features.antigravity", Flag, "false", flag,
        "Show the quota of the accounts in the file of OpenCode's Antigravity plugin, at GET /api/antigravity. They are read \
         when somebody looks, are no accounts of rota's, and are never used.";
}

fn affinity_name(affinity: model::Affinity) -> &'static str {
    match affinity {
        model::Affinity::None => "none",
        model::Affinity::Session => "session",
    }
}

fn some_time(span: Duration) -> Option<Duration> {
    Some(span).filter(|span| !span.is_zero())
}

fn probe_every(value: &Value) -> Result<Option<Duration>, Bad> {
    let span = duration(value, Duration::ZERO, DAY)?;
    if !span.is_zero() && span < MINUTE {
        return Err(Bad::new(
            format!("{} would be a flood", shown(value)),
            "allowed: \"1m\" to \"1d\", or \"0s\" for never",
        ));
    }
    Ok(some_time(span))
}

fn model_probes(value: &Value) -> Result<model::ModelProbes, Bad> {
    Ok(if flag(value)? { model::ModelProbes::Allowed } else { model::ModelProbes::Never })
}

fn low_byte(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn percent(value: &Value, most: u64) -> Result<u8, Bad> {
    number(value, 0, most).map(low_byte)
}

fn cap(value: &Value) -> Result<Option<u32>, Bad> {
    let cap = number(value, 0, u64::from(u16::MAX))?;
    Ok(u32::try_from(cap).ok().filter(|cap| *cap > 0))
}

/// A user's number; as a text too, since that is how the environment gives it.
fn uid(value: &Value) -> Result<u32, Bad> {
    let number = match value.as_str() {
        Some(text) => text.parse().ok(),
        None => value.as_integer().and_then(|id| u32::try_from(id).ok()),
    };
    number.ok_or_else(|| {
        Bad::new(
            format!("{} is not the number of a user", shown(value)),
            "allowed: whole numbers, as `id -u` prints",
        )
        .form(Form::Either(vec![
            Form::Number { least: 0, most: u64::from(u32::MAX) },
            Form::Text("^[0-9]+$"),
        ]))
    })
}

fn roots(value: &Value) -> Result<TlsRoots, Bad> {
    let written = text(value)?;
    match written {
        "auto" => Ok(TlsRoots::Auto),
        "bundled" => Ok(TlsRoots::Bundled),
        "system" => Ok(TlsRoots::System),
        _ if written.starts_with('/') => Ok(TlsRoots::File(PathBuf::from(written))),
        _ => Err(Bad::new(
            format!("{} is not one of its values", shown(value)),
            "allowed: \"auto\", \"system\", \"bundled\", or the absolute path of a PEM file",
        )
        .near(super::value::nearest(written, ["auto", "system", "bundled"]))
        .form(Form::Text("^(auto|system|bundled|/.*)$"))),
    }
}

/// The name of a credential, which is that of a file without its directory; empty is none.
fn credential_name(value: &Value) -> Result<Option<String>, Bad> {
    let written = text(value)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if written.bytes().all(fits) && ![".", ".."].contains(&written) && written.len() <= LONGEST_NAME {
        return Ok(Some(written.to_owned()).filter(|name| !name.is_empty()));
    }
    Err(Bad::new(
        format!("{} is not the name of a credential", shown(value)),
        "allowed: at most 255 of A-Z a-z 0-9 . _ -",
    )
    .form(Form::Text("^[A-Za-z0-9._-]{0,255}$")))
}

/// A program by its absolute path, and its arguments; empty is none.
fn program(value: &Value) -> Result<Vec<String>, Bad> {
    let argv = list(value, |entry| text(entry).map(str::to_owned))?;
    match argv.first() {
        Some(program) if !program.starts_with('/') => Err(Bad::new(
            format!("{program:?} is not the absolute path of a program"),
            "allowed: [\"/path/to/program\", \"argument\"]",
        )),
        Some(_) | None => Ok(argv),
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// `LEVEL`, or `TARGET=LEVEL`, several with commas.
fn filter(value: &Value) -> Result<String, Bad> {
    let written = text(value)?;
    let fits = |part: &str| {
        let (target, level) = part.split_once('=').unwrap_or(("rota", part));
        let named =
            !target.is_empty() && target.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
        named && LEVELS.contains(&level)
    };
    let parts: Vec<&str> = written.split(',').collect();
    let wrong = parts.iter().find(|part| !fits(part));
    match wrong {
        None if parts.len() <= MOST_ENTRIES => Ok(written.to_owned()),
        Some(part) => Err(Bad::new(
            format!("{} has no level in {part:?}", shown(value)),
            format!("allowed: {}, or TARGET=LEVEL, separated by commas", LEVELS.join(", ")),
        )
        .near(super::value::nearest(part, LEVELS))
        .form(Form::Text(
            "^([A-Za-z0-9_:]+=)?(off|error|warn|info|debug|trace)(,([A-Za-z0-9_:]+=)?(off|error|warn|info|debug|trace))*$",
        ))),
        None => Err(Bad::new("this has too many parts", format!("allowed: at most {MOST_ENTRIES}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_setting_has_a_default_that_can_be_read() {
        for setting in ALL {
            let about = setting.about();
            assert_eq!(setting.check(&about.default_value()), Ok(()), "{}", about.key);
        }
    }

    #[test]
    fn every_setting_has_a_name_of_its_own_and_a_section() {
        let keys: BTreeSet<_> = ALL.iter().map(|setting| setting.about().key).collect();
        let variables: BTreeSet<_> = ALL.iter().map(|s| s.about().variable()).collect();
        assert_eq!((keys.len(), variables.len()), (ALL.len(), ALL.len()));
        for setting in ALL {
            let section = setting.about().section();
            assert!(SECTIONS.iter().any(|(name, _)| *name == section), "{section}");
        }
    }

    /// LIM-4
    #[test]
    fn limits_are_asked_for_once_a_minute_at_most_or_never() {
        for (text, read) in [
            ("0s", Some(None)),
            ("1s", None),
            ("59s", None),
            ("1m", Some(Some(60))),
            ("1d", Some(Some(86_400))),
            ("2d", None),
        ] {
            let found = probe_every(&Value::from(text)).ok();
            assert_eq!(found.map(|every| every.map(|every| every.as_secs())), read, "{text}");
        }
    }

    #[test]
    fn a_log_filter_is_levels_by_target() {
        let read = |text: &str| filter(&Value::from(text)).is_ok();
        for text in ["info", "off", "warn,rota::proxy=debug", "rota=trace"] {
            assert!(read(text), "{text:?}");
        }
        for text in ["", "loud", "info,", "=info", "rota::proxy", "a b=info", "rota=loud"] {
            assert!(!read(text), "{text:?}");
        }
    }

    #[test]
    fn a_credential_is_named_without_a_directory() {
        let long = "x".repeat(256);
        for (written, read) in [
            ("", Some(None)),
            ("rota.key", Some(Some("rota.key"))),
            ("..", None),
            ("a/b", None),
            ("a b", None),
            ("/etc/key", None),
            (long.as_str(), None),
        ] {
            let found = credential_name(&Value::from(written)).ok();
            assert_eq!(found.as_ref().map(Option::as_deref), read, "{written:?}");
        }
    }

    #[test]
    fn roots_are_a_word_or_an_absolute_path() {
        for (text, read) in [
            ("auto", Some(TlsRoots::Auto)),
            ("bundled", Some(TlsRoots::Bundled)),
            ("system", Some(TlsRoots::System)),
            ("/etc/ca.pem", Some(TlsRoots::File("/etc/ca.pem".into()))),
            ("ca.pem", None),
            ("", None),
        ] {
            assert_eq!(roots(&Value::from(text)).ok(), read, "{text:?}");
        }
    }
}
