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
    #[serde(default)]
    snippet: Vec<Snippet>,
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

    /// The variables to export, with rota at `base`.
    pub fn env(&self, base: &str) -> BTreeMap<String, String> {
        filled(&self.env, base)
    }

    /// The variables to set for one run, with rota at `base`.
    pub fn run_env(&self, base: &str) -> BTreeMap<String, String> {
        let mut env = self.env(base);
        env.extend(filled(&self.run_env, base));
        env
    }

    /// Variables that would lead it elsewhere, and are taken out for one run.
    pub fn run_unset(&self) -> &[String] {
        &self.run_unset
    }

    /// The arguments that go right behind the program's name for one run, with rota at `base`.
    pub fn run_arguments(&self, base: &str) -> Vec<String> {
        let (Some(flag), Some(config)) = (&self.flag, &self.config) else {
            return Vec::new();
        };
        let settings = config.leaves(base).into_iter();
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

fn filled(env: &BTreeMap<String, String>, base: &str) -> BTreeMap<String, String> {
    env.iter().map(|(name, value)| (name.clone(), value.replace(BASE, base))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const AT: &str = "http://127.0.0.1:7682";

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
            for text in client.env(AT).values().chain(client.run_env(AT).values()) {
                assert!(!text.contains("localhost"), "{}: {text}", client.id);
            }
        }
        assert_eq!(all.iter().filter(|client| client.is_any()).count(), 1);
    }

    #[test]
    fn a_program_without_variables_gets_the_values_of_its_file_as_flags() {
        let client = the_one(|client| client.flag.is_some());
        assert_eq!(
            client.run_arguments(AT),
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
        assert_eq!(client.run_env(AT), BTreeMap::new());
        assert_eq!(self::client("any").run_arguments(AT), [""; 0]);
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
            for (name, value) in client.run_env(AT) {
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
