//! The configuration: defaults, the settings that the store keeps, a TOML file and the environment, in that order, read
//! into one typed value. Every value knows where it came from, and everything that is wrong is said at once, with its
//! place. Nothing here changes a file, and no other room reads the environment.
mod check;
mod env;
mod explain;
mod file;
mod form;
mod layers;
mod listen;
mod notify;
pub mod presets;
mod private;
mod problem;
mod providers;
mod reference;
mod schema;
mod secrets;
mod setting;
mod sources;
mod table;
mod tuning;
mod types;
mod value;
mod variables;

pub use explain::{Explanation, Row, UnknownSetting};
pub use listen::{Listen, Loopback, Surroundings};
pub use notify::{Notify, Webhook};
pub use private::read_private;
pub use problem::{Code, ConfigError, Excerpt, Place, Problem, Severity};
pub use reference::{reference, table_of_settings, template};
pub use schema::{config_schema, preset_schema};
pub use sources::{Paths, Sources};
pub use table::MOST_WORKERS;
pub use tuning::{Origin, SettingChange, Tunable, Tuned, Tuning, Untunable};
pub use types::{
    Antigravity, Bounds, Encryption, Features, KeySource, LogConfig, LogFormat, ProxyEnv, Timeouts, TlsRoots,
};
pub use variables::Variables;

use crate::model::{Probing, Provider, Secret, Settings, Thresholds};
use layers::Layers;
use std::path::PathBuf;

/// Everything rota is told. What the engine decides by is in `settings`; the rest is for the process around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where clients connect: at least one.
    pub listen: Vec<Listen>,
    /// Where the admin API answers.
    pub admin_listen: Loopback,
    /// The Unix socket on which the admin API answers as well.
    pub admin_socket: Option<PathBuf>,
    /// Keys of which clients must send one; none, and no key is asked for.
    pub client_keys: Vec<Secret>,
    /// Every request needs a key, also where there is none.
    pub require_client_key: bool,
    /// Host names accepted besides the loopback ones, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Origins of web pages that may call, in lower case.
    pub allowed_origins: Vec<String>,
    /// Users that may connect besides rota's own.
    pub allowed_uids: Vec<u32>,
    /// What the engine decides by.
    pub settings: Settings,
    /// The providers, each with an id of its own.
    pub providers: Vec<Provider>,
    /// How long rota waits.
    pub timeouts: Timeouts,
    /// How much it holds.
    pub limits: Bounds,
    /// Where accounts are kept.
    pub state_dir: PathBuf,
    /// Where the configuration is, or would be.
    pub config_file: PathBuf,
    /// Which certificate authorities are trusted.
    pub tls_roots: TlsRoots,
    /// `SSL_CERT_FILE`: certificates in place of the system's (PRX-8).
    pub ssl_cert_file: Option<PathBuf>,
    /// `SSL_CERT_DIR`: directories of certificates in place of the system's, separated by colons (PRX-8).
    pub ssl_cert_dir: Option<String>,
    /// Proxies towards upstreams.
    pub proxy_env: ProxyEnv,
    /// Whether credential records are sealed.
    pub encryption: Encryption,
    /// What goes to standard error.
    pub log: LogConfig,
    /// Who is told when a person must act.
    pub notify: Notify,
    /// Whether replies carry `x-rota-*` headers that tell of the decision.
    pub decision_headers: bool,
    /// What is off unless somebody wants it.
    pub features: Features,
}

/// A configuration that can be used, with what it was made of.
pub struct Loaded {
    /// The typed values.
    pub config: Config,
    /// What is odd but no reason to stop.
    pub warnings: Vec<Problem>,
    layers: Layers,
    antigravity_file: Option<PathBuf>,
    presets: Vec<Provider>,
}

impl Config {
    /// Reads everything. The error holds all that is wrong, not just the first.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        Self::load_with(sources, |problems| providers::presets(&sources.providers_dir(), problems))
    }

    fn load_with(
        sources: &Sources,
        presets: impl FnOnce(&mut Vec<Problem>) -> Option<Vec<Provider>>,
    ) -> Result<Loaded, ConfigError> {
        let mut problems = Vec::new();
        let mut layers = Layers::read(sources, &mut problems);
        layers.settle(&mut problems);
        problems.extend(table::ALL.iter().filter_map(|setting| layers.check(*setting)));
        let presets = presets(&mut problems);
        let providers = presets.clone().map(|presets| providers::adjust(presets, &layers, &mut problems));
        let config = match assemble(sources, &layers, providers.unwrap_or_default()) {
            Ok(config) => {
                check::check(&config, &layers, &mut problems);
                Some(config)
            }
            Err(error) => {
                let mut more = error.into_problems();
                more.retain(|problem| !problems.contains(problem));
                problems.append(&mut more);
                None
            }
        };
        let (errors, warnings): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| problem.severity == Severity::Error);
        match config {
            Some(config) if errors.is_empty() => {
                let antigravity_file = sources.antigravity_file();
                let presets = presets.unwrap_or_default();
                Ok(Loaded { config, warnings, layers, antigravity_file, presets })
            }
            Some(_) | None => Err(ConfigError::new(errors)),
        }
    }

    /// All that is wrong or odd, for `rota config check`.
    pub fn check(sources: &Sources) -> Vec<Problem> {
        match Self::load(sources) {
            Ok(loaded) => loaded.warnings,
            Err(error) => error.problems().to_vec(),
        }
    }
}

impl Loaded {
    /// Reads everything but the presets again, from sources that have the same: to parse them is most of the work.
    ///
    /// # Errors
    /// All that is wrong now.
    pub fn again(&self, sources: &Sources) -> Result<Self, ConfigError> {
        Config::load_with(sources, |_| Some(self.presets.clone()))
    }

    /// What of it may change while rota runs.
    pub fn tuning(&self) -> Tuning {
        Tuning::of(self.layers.clone(), self.antigravity_file.clone())
    }

    /// Where things are.
    pub fn paths(&self, sources: &Sources) -> Paths {
        Paths {
            config_file: self.config.config_file.clone(),
            providers_dir: sources.providers_dir(),
            state_dir: self.config.state_dir.clone(),
        }
    }
}

fn assemble(sources: &Sources, layers: &Layers, providers: Vec<Provider>) -> Result<Config, ConfigError> {
    let client_keys = layers.get(&table::CLIENT_KEYS)?;
    Ok(Config {
        listen: listens(sources, layers, &client_keys)?,
        admin_listen: layers.get(&table::ADMIN_LISTEN)?,
        admin_socket: layers.get(&table::ADMIN_SOCKET)?,
        client_keys,
        require_client_key: layers.get(&table::REQUIRE_CLIENT_KEY)?,
        allowed_hosts: layers.get(&table::ALLOWED_HOSTS)?,
        allowed_origins: layers.get(&table::ALLOWED_ORIGINS)?,
        allowed_uids: layers.get(&table::ALLOWED_UIDS)?,
        settings: settings(layers)?,
        providers,
        timeouts: timeouts(layers)?,
        limits: limits(layers)?,
        state_dir: layers.get(&table::STATE_DIR)?.unwrap_or_else(|| sources.state_dir()),
        config_file: sources.config_file(),
        tls_roots: layers.get(&table::ROOTS)?,
        ssl_cert_file: sources.variable("SSL_CERT_FILE").map(PathBuf::from),
        ssl_cert_dir: sources.variable("SSL_CERT_DIR").map(str::to_owned),
        proxy_env: ProxyEnv::of(sources),
        encryption: encryption(sources, layers)?,
        log: LogConfig { filter: layers.get(&table::LEVEL)?, format: layers.get(&table::FORMAT)? },
        notify: Notify::of(
            sources,
            layers.get(&table::NOTIFY_COMMAND)?,
            layers.get(&table::NOTIFY_WEBHOOKS)?,
        ),
        decision_headers: layers.get(&table::DECISION)?,
        features: features(layers, sources.antigravity_file())?,
    })
}

/// `file` is where the plugin keeps its accounts.
fn features(layers: &Layers, file: Option<PathBuf>) -> Result<Features, ConfigError> {
    let antigravity = match layers.get(&table::ANTIGRAVITY)? {
        true => Antigravity::On { file },
        false => Antigravity::Off,
    };
    Ok(Features { antigravity })
}

fn listens(sources: &Sources, layers: &Layers, client_keys: &[Secret]) -> Result<Vec<Listen>, ConfigError> {
    let Some(address) = layers.get(&table::CONTAINER_BIND)? else {
        return layers.get(&table::LISTEN);
    };
    let key = table::CONTAINER_BIND.about.key;
    let keyed = !client_keys.is_empty() || layers.get(&table::REQUIRE_CLIENT_KEY)?;
    let entrants = if keyed { listen::Entrants::Keyed } else { listen::Entrants::Anybody };
    listen::container(address, sources.surroundings, sources.consent(), entrants)
        .map(|listen| vec![listen])
        .map_err(|bad| ConfigError::from(layers.error(key, bad)))
}

fn settings(layers: &Layers) -> Result<Settings, ConfigError> {
    let (critical, low) = (layers.get(&table::CRITICAL)?, layers.get(&table::LOW)?);
    let thresholds = Thresholds::new(critical, low).ok_or_else(|| {
        let [critical_key, low_key] = [&table::CRITICAL, &table::LOW].map(|s| s.about.key);
        let key = match layers.in_force(critical_key) {
            Some(_) => critical_key,
            None => low_key,
        };
        let bad = value::Bad::new(
            format!("`critical` is {critical} and `low` is {low}"),
            "`critical` must be below `low`",
        );
        ConfigError::from(layers.error(key, bad))
    })?;
    Ok(Settings {
        strategy: layers.get(&table::STRATEGY)?,
        affinity: layers.get(&table::AFFINITY)?,
        thresholds,
        max_attempts: layers.get(&table::MAX_ATTEMPTS)?,
        patience: layers.get(&table::PATIENCE)?,
        in_flight_cap: layers.get(&table::IN_FLIGHT_CAP)?,
        reauth_wait: layers.get(&table::REAUTH_WAIT)?,
        probing: Probing {
            every: layers.get(&table::PROBE_EVERY)?,
            models: layers.get(&table::PROBE_MODEL)?,
            effort: layers.get(&table::PROBE_EFFORT)?,
        },
    })
}

fn encryption(sources: &Sources, layers: &Layers) -> Result<Encryption, ConfigError> {
    let (mode, command) = (layers.get(&table::ENCRYPTION)?, layers.get(&table::KEY_COMMAND)?);
    let dir = sources.variable("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let mut keys = [
        (table::KEY_FILE.about.key, layers.get(&table::KEY_FILE)?.map(KeySource::File)),
        (
            table::KEY_CREDENTIAL.about.key,
            layers.get(&table::KEY_CREDENTIAL)?.map(|name| KeySource::Credential { name, dir }),
        ),
        (table::KEY_COMMAND.about.key, (!command.is_empty()).then_some(KeySource::Command(command))),
    ]
    .into_iter()
    .filter_map(|(setting, key)| Some((setting, key?)));
    let (first, second) = (keys.next(), keys.next());
    if let (Some((one, _)), Some((other, _))) = (&first, &second) {
        let bad = value::Bad::new(format!("`{one}` names a key, too"), "set one of the two");
        return Err(ConfigError::from(layers.error(other, bad)));
    }
    match (mode, first.map(|(_, key)| key)) {
        (types::Mode::Off, key) => Ok(Encryption::Off { key }),
        (types::Mode::On, Some(key)) => Ok(Encryption::On { key }),
        (types::Mode::On, None) => {
            let bad = value::Bad::new(
                "encryption is on, and no key is named",
                "set `key_file`, `key_credential` or `key_command`; `rota store new-key FILE` makes a key",
            );
            Err(ConfigError::from(layers.error(table::ENCRYPTION.about.key, bad)))
        }
    }
}

fn timeouts(layers: &Layers) -> Result<Timeouts, ConfigError> {
    Ok(Timeouts {
        connect: layers.get(&table::CONNECT)?,
        first_byte: layers.get(&table::FIRST_BYTE)?,
        stream_idle: layers.get(&table::STREAM_IDLE)?,
        keep_alive: layers.get(&table::KEEP_ALIVE)?,
        header_read: layers.get(&table::HEADER_READ)?,
        body_idle: layers.get(&table::BODY_IDLE)?,
        token: layers.get(&table::TOKEN)?,
        probe: layers.get(&table::PROBE)?,
        websocket_ping: layers.get(&table::WEBSOCKET_PING)?,
        websocket_pong: layers.get(&table::WEBSOCKET_PONG)?,
        drain: layers.get(&table::DRAIN)?,
        affinity_idle: layers.get(&table::AFFINITY_IDLE)?,
        affinity_lifetime: layers.get(&table::AFFINITY_LIFETIME)?,
        run_idle: layers.get(&table::RUN_IDLE)?,
        run_lifetime: layers.get(&table::RUN_LIFETIME)?,
        run_command: layers.get(&table::RUN_COMMAND)?,
    })
}

fn limits(layers: &Layers) -> Result<Bounds, ConfigError> {
    Ok(Bounds {
        head_bytes: layers.get(&table::HEAD_BYTES)?,
        replay_bytes: layers.get(&table::REPLAY_BYTES)?,
        replay_total: layers.get(&table::REPLAY_TOTAL)?,
        connections: layers.get(&table::CONNECTIONS)?,
        workers: layers.get(&table::WORKERS)?,
        sessions: layers.get(&table::SESSIONS)?,
        decisions: layers.get(&table::DECISIONS)?,
    })
}

#[cfg(test)]
mod tests;
