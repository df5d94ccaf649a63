//! How programs are pointed at rota: one table (`config/clients.toml`), and edits of the files that those programs read.
//! All of it is pure: text in, text out. Who reads and writes files, or starts programs, does that elsewhere.
mod diff;
mod document;
mod edit;
mod exempt;
mod jsonc;
mod shown;

pub use diff::{Line, diff};
pub use document::{Format, Malformed};
pub use edit::{ConfigFile, EditError, Undone};
pub use exempt::exempting;
pub use shown::{ClientView, ClientsView, SnippetView, page};

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What stands for rota's address in the table.
const BASE: &str = "{base}";
/// What stands for the key to show it.
const KEY: &str = "{key}";
/// What is shown where none is asked for, to programs that do not start without one.
const NO_KEY: &str = "rota";

/// The table, as it is embedded.
const TABLE: &str = include_str!("../../config/clients.toml");

/// The row that means no program in particular.
const ANY: &str = "any";

/// One program, or one kind of program.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// What the command line calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// Other names that mean it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// File names of its programs.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Ids of the providers whose accounts it is made for.
    #[serde(default)]
    providers: Vec<String>,
    /// What to know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why its environment cannot point it at rota.
    pub no_env: Option<String>,
    /// Its own file.
    pub config: Option<ConfigFile>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    run_env: BTreeMap<String, String>,
    #[serde(default)]
    run_unset: Vec<String>,
    flag: Option<String>,
    flag_key: Option<FlagKey>,
    #[serde(default)]
    snippet: Vec<Snippet>,
}

/// How a program is told its key by options: in a variable, for options are for everybody to see.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlagKey {
    setting: String,
    variable: String,
}

/// What a program is told of rota for one run. It holds a secret and has no `Debug`.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Where rota listens.
    pub base: &'a str,
    /// The key of the run, where one is asked for.
    pub key: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snippet {
    title: String,
    language: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    client: Vec<Client>,
}

/// Every row, in the order of the table.
///
/// # Errors
/// The embedded table cannot be read: a mistake in it, which a test finds.
pub fn clients() -> Result<Vec<Client>, toml::de::Error> {
    toml::from_str::<Table>(TABLE).map(|table| table.client)
}

impl Client {
    /// True where `name` means it.
    pub fn is(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// True for the row that means no program in particular.
    pub fn is_any(&self) -> bool {
        self.id == ANY
    }

    /// True where a program of this file name is it.
    pub fn runs(&self, program: &str) -> bool {
        self.programs.iter().any(|known| known == program)
    }

    /// What a person types to run it, if it is made for accounts of this provider.
    pub fn program_of(&self, provider: &str) -> Option<&str> {
        self.programs.first().filter(|_| self.providers.iter().any(|id| id == provider)).map(String::as_str)
    }

    /// The variables to export.
    pub fn env(&self, told: Told<'_>) -> BTreeMap<String, String> {
        filled(&self.env, told)
    }

    /// The variables to set for one run.
    pub fn run_env(&self, told: Told<'_>) -> BTreeMap<String, String> {
        let mut env = filled(&self.env, told);
        env.extend(filled(&self.run_env, told));
        if let (Some(FlagKey { variable, .. }), Some(key)) = (&self.flag_key, told.key) {
            env.insert(variable.clone(), key.to_owned());
        }
        env
    }

    /// Variables that would lead it elsewhere, and are taken out for one run.
    pub fn run_unset(&self) -> &[String] {
        &self.run_unset
    }

    /// The arguments that go right behind the program's name for one run.
    pub fn run_arguments(&self, told: Told<'_>) -> Vec<String> {
        let (Some(flag), Some(config)) = (&self.flag, &self.config) else {
            return Vec::new();
        };
        let key = self.flag_key.as_ref().filter(|_| told.key.is_some());
        let key = key.map(|FlagKey { setting, variable }| (setting.clone(), format!("\"{variable}\"")));
        let settings = config.leaves(told.base).into_iter().chain(key);
        settings.flat_map(|(key, value)| [flag.clone(), format!("{key}={value}")]).collect()
    }
}

/// What stands for `{base}` where rota listens on `address`: an address that a program of this machine can reach.
pub fn base(address: SocketAddr) -> String {
    let reached = match (address.ip().is_unspecified(), address) {
        (false, address) => address,
        (true, SocketAddr::V4(_)) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        (true, SocketAddr::V6(_)) => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
    };
    format!("http://{reached}")
}

fn filled(env: &BTreeMap<String, String>, told: Told<'_>) -> BTreeMap<String, String> {
    let key = told.key.unwrap_or(NO_KEY);
    let fill = |value: &String| value.replace(BASE, told.base).replace(KEY, key);
    env.iter().map(|(name, value)| (name.clone(), fill(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const AT: &str = "http://127.0.0.1:7682";
    const PLAIN: Told<'_> = Told { base: AT, key: None };

    fn client(id: &str) -> Client {
        clients().expect("the table").into_iter().find(|client| client.is(id)).expect(id)
    }

    #[test]
    fn every_row_can_be_told_from_every_other_and_helps_somehow() {
        let all = clients().expect("the table");
        let mut names = BTreeSet::new();
        let mut programs = BTreeSet::new();
        for client in &all {
            for name in std::iter::once(&client.id).chain(&client.aliases) {
                assert!(names.insert(name.clone()), "{name} means two");
            }
            for program in &client.programs {
                assert!(programs.insert(program.clone()), "{program} is two");
            }
            let env = !client.env.is_empty();
            assert!(env != client.no_env.is_some(), "{}: variables, or why there are none", client.id);
            for text in client.env(PLAIN).values().chain(client.run_env(PLAIN).values()) {
                assert!(!text.contains("localhost"), "{}: {text}", client.id);
            }
        }
        assert_eq!(all.iter().filter(|client| client.is_any()).count(), 1);
    }

    #[test]
    fn a_program_without_variables_gets_the_values_of_its_file_as_flags() {
        let client = the_one(|client| client.flag.is_some());
        assert_eq!(
            client.run_arguments(PLAIN),
            [
                "-c",
                "model_provider=\"rota\"",
                "-c",
                "model_providers.rota.base_url=\"http://127.0.0.1:7682/backend-api/codex\"",
                "-c",
                "model_providers.rota.name=\"rota\"",
                "-c",
                "model_providers.rota.wire_api=\"responses\"",
            ]
        );
        assert_eq!(client.run_env(PLAIN), BTreeMap::new());
        assert_eq!(self::client("any").run_arguments(PLAIN), [""; 0]);
    }

    #[test]
    fn the_key_of_a_run_is_in_its_environment_and_never_in_its_arguments() {
        let keyed = Told { base: AT, key: Some("rota-abc") };
        for client in clients().expect("the table") {
            assert!(!client.run_arguments(keyed).concat().contains("rota-abc"), "{}", client.id);
            let told = client.run_env(keyed).values().any(|value| value.contains("rota-abc"));
            let is_run = !client.run_env(PLAIN).is_empty() || !client.run_arguments(PLAIN).is_empty();
            assert_eq!(told, is_run, "{}", client.id);
            for value in client.env(PLAIN).values() {
                assert!(!value.contains(KEY), "{}", client.id);
            }
        }
        let client = the_one(|client| client.flag_key.is_some());
        let arguments = client.run_arguments(keyed);
        assert_eq!(arguments[arguments.len() - 1], "model_providers.rota.env_key=\"ROTA_RUN_KEY\"");
        assert_eq!(client.run_env(keyed)["ROTA_RUN_KEY"], "rota-abc");
    }

    #[test]
    fn an_address_that_means_all_is_reached_over_loopback() {
        for (address, expected) in [
            ("127.0.0.1:7682", "http://127.0.0.1:7682"),
            ("[::1]:7682", "http://[::1]:7682"),
            ("0.0.0.0:7682", "http://127.0.0.1:7682"),
            ("[::]:7682", "http://[::1]:7682"),
        ] {
            assert_eq!(base(address.parse().expect("an address")), expected);
        }
    }

    fn the_one(wanted: impl Fn(&Client) -> bool) -> Client {
        clients().expect("the table").into_iter().find(wanted).expect("one")
    }

    #[test]
    fn what_a_run_sets_is_what_the_file_would_set() {
        for client in clients().expect("the table") {
            for (name, value) in client.run_env(PLAIN) {
                assert!(!value.contains(BASE), "{name}");
                if let Ok(json) = serde_json::from_str::<serde_json::Value>(&value) {
                    let config = client.config.as_ref().expect("a file");
                    for (key, value) in config.set_at(AT) {
                        assert_eq!(json.pointer(&format!("/{}", key.join("/"))), Some(&value));
                    }
                }
            }
        }
    }
}
