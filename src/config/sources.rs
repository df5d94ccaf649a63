//! What the configuration is made of, captured once: the environment, the settings that the store keeps, and where
//! rota runs. Everything else gets it as a value.
use super::listen::{Consent, Surroundings};
use super::setting::About;
use super::table;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a system service and the image keep their state.
const SYSTEM_STATE: &str = "/var/lib/rota";
/// Where a system service and the image have their configuration.
const SYSTEM_CONFIG: &str = "/etc/rota";

/// All that the configuration is made of besides files. It holds secrets and has no `Debug`.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file named on the command line; it must exist.
    pub file: Option<PathBuf>,
    /// Settings of the command line, by key. They go before the environment.
    pub flags: BTreeMap<&'static str, String>,
    /// The environment. An empty value is none.
    pub env: BTreeMap<String, String>,
    /// Settings that the store keeps, in the shape of the file. Those that may not change at run time are told of and ignored.
    pub persisted: Option<toml::Table>,
    /// Where rota runs.
    pub surroundings: Surroundings,
}

impl Sources {
    /// The process's own, without a file of the command line and without the store's settings.
    #[expect(clippy::disallowed_methods, reason = "the environment enters here, once")]
    pub fn from_process() -> Self {
        let env = std::env::vars_os()
            .map(|(name, value)| {
                let [name, value] = [name, value].map(|text| text.to_string_lossy().into_owned());
                (name, value)
            })
            .collect();
        let marks = ["/.dockerenv", "/run/.containerenv"];
        let surroundings = if marks.iter().any(|mark| Path::new(mark).exists()) {
            Surroundings::Container
        } else {
            Surroundings::Host
        };
        Self { env, surroundings, ..Self::default() }
    }

    /// With the file and the state directory of the command line. A relative directory counts from the current one.
    #[must_use]
    pub fn with(mut self, file: Option<PathBuf>, state_dir: Option<PathBuf>) -> Self {
        self.file = file.or(self.file);
        let state_dir = state_dir.map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        self.flag(&table::STATE_DIR.about, state_dir.map(|dir| dir.display().to_string()));
        self
    }

    /// With the addresses of the command line.
    #[must_use]
    pub fn with_addresses(mut self, listen: Option<String>, admin_listen: Option<String>) -> Self {
        self.flag(&table::LISTEN.about, listen);
        self.flag(&table::ADMIN_LISTEN.about, admin_listen);
        self
    }

    /// With the level of the log that the command line asks for.
    #[must_use]
    pub fn with_log_level(mut self, level: &str) -> Self {
        self.flag(&table::LEVEL.about, Some(level.to_owned()));
        self
    }

    /// The state directory of the command line, if it named one.
    pub fn state_dir_flag(&self) -> Option<&str> {
        self.flags.get(table::STATE_DIR.about.key).map(String::as_str)
    }

    /// With the settings that the store keeps.
    #[must_use]
    pub fn with_persisted(mut self, settings: toml::Table) -> Self {
        self.persisted = Some(settings);
        self
    }

    fn flag(&mut self, about: &About, value: Option<String>) {
        if let Some(value) = value {
            self.flags.insert(about.key, value);
        }
    }

    /// A variable's value, unless it is empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = self.env.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn consent(&self) -> Consent {
        match self.variable("ROTA_ALLOW_NON_LOOPBACK") {
            Some("1") => Consent::Given,
            Some(_) | None => Consent::NotGiven,
        }
    }

    /// The file that was asked for by name, and must exist.
    pub(super) fn named_file(&self) -> Option<PathBuf> {
        let by_variable = || self.variable("ROTA_CONFIG").map(PathBuf::from);
        self.file.clone().or_else(by_variable)
    }

    /// The file the configuration is read from, whether it exists or not.
    pub fn config_file(&self) -> PathBuf {
        self.named_file().unwrap_or_else(|| self.config_dir().join("rota.toml"))
    }

    /// The directory of the user's presets, beside the file.
    pub(super) fn providers_dir(&self) -> PathBuf {
        self.config_file().with_file_name("providers")
    }

    fn config_dir(&self) -> PathBuf {
        let flag = self.flags.get(table::STATE_DIR.about.key).map(String::as_str);
        if flag.or_else(|| self.variable("ROTA_STATE_DIR")) == Some(SYSTEM_STATE) {
            return PathBuf::from(SYSTEM_CONFIG);
        }
        self.base("XDG_CONFIG_HOME", ".config")
            .map_or_else(|| PathBuf::from(SYSTEM_CONFIG), |base| base.join("rota"))
    }

    /// Where state is kept unless a setting says otherwise.
    pub(super) fn state_dir(&self) -> PathBuf {
        self.base("XDG_STATE_HOME", ".local/state")
            .map_or_else(|| PathBuf::from(SYSTEM_STATE), |base| base.join("rota"))
    }

    /// Where the Antigravity plugin of OpenCode keeps its accounts.
    pub(super) fn antigravity_file(&self) -> Option<PathBuf> {
        let config = self.base("XDG_CONFIG_HOME", ".config")?;
        Some(config.join("opencode/antigravity-accounts.json"))
    }

    /// A base directory of the XDG specification, which says to ignore paths that are not absolute.
    fn base(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let absolute = |name: &str| {
            let path = self.variable(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
    }
}

/// Where things are: what `rota config path` prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The configuration, whether it exists or not.
    pub config_file: PathBuf,
    /// The user's presets, `*.toml`, whether it exists or not.
    pub providers_dir: PathBuf,
    /// Accounts, credentials, what was learnt.
    pub state_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(env: &[(&str, &str)]) -> [String; 3] {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let sources = Sources { env: env.collect(), ..Sources::default() };
        let paths = [sources.config_file(), sources.providers_dir(), sources.state_dir()];
        paths.map(|path| path.display().to_string())
    }

    #[test]
    fn paths_follow_the_environment() {
        let user =
            ["/home/u/.config/rota/rota.toml", "/home/u/.config/rota/providers", "/home/u/.local/state/rota"];
        let system = ["/etc/rota/rota.toml", "/etc/rota/providers", "/var/lib/rota"];
        let home = ("HOME", "/home/u");
        assert_eq!(paths(&[home]), user);
        assert_eq!(paths(&[]), system);
        assert_eq!(paths(&[("HOME", "relative")]), system);
        assert_eq!(paths(&[home, ("XDG_CONFIG_HOME", "etc")]), user);
        assert_eq!(paths(&[home, ("XDG_CONFIG_HOME", "/etc"), ("XDG_STATE_HOME", "/var/lib")]), system);
        assert_eq!(paths(&[home, ("ROTA_STATE_DIR", "/var/lib/rota")])[..2], system[..2]);
        assert_eq!(paths(&[home, ("ROTA_CONFIG", "/srv/r.toml")])[..2], ["/srv/r.toml", "/srv/providers"]);
    }
}
