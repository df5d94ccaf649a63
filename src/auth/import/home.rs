//! Where programs keep their logins, by the variables that move them.
use super::Client;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name the login of Codex CLI to import, before anything else (REN-5).
const AUTH_FILES: [&str; 2] = ["ROTA_AUTH_FILE", "OPENCODE_MULTI_AUTH_CODEX_AUTH_FILE"];
/// Holds the passphrase of an encrypted store.
const PASSPHRASE: &str = "CODEX_SOFT_STORE_PASSPHRASE";
/// The others that are looked at.
const VARIABLES: [&str; 9] = [
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "CODEX_MULTI_AUTH_DIR",
    "HOME",
    "LLXPRT_CONFIG_HOME",
    "LLXPRT_DATA_HOME",
    "OPENCODE_MULTI_AUTH_STORE_DIR",
    "OPENCODE_MULTI_AUTH_STORE_FILE",
    "XDG_DATA_HOME",
];

/// A user's home, as far as it tells where programs keep their logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    variables: BTreeMap<&'static str, PathBuf>,
}

impl Home {
    /// By `lookup`, which gives the value of a variable that is set and not empty.
    pub fn of<'a>(lookup: impl Fn(&str) -> Option<&'a str>) -> Self {
        let names = AUTH_FILES.into_iter().chain(VARIABLES);
        Self { variables: names.filter_map(|name| Some((name, lookup(name)?.into()))).collect() }
    }

    /// The variable that may hold the passphrase of an encrypted file.
    pub fn passphrase_variable() -> &'static str {
        PASSPHRASE
    }

    /// Where `client` keeps its logins, the likeliest first: files, or directories of them. Empty without a home.
    pub fn places(&self, client: Client) -> Vec<PathBuf> {
        let place = match client {
            Client::ClaudeCode => {
                self.dir("CLAUDE_CONFIG_DIR", ".claude").map(|dir| dir.join(".credentials.json"))
            }
            Client::CliProxyApi => self.below(".cli-proxy-api"),
            Client::Codex => {
                let named = AUTH_FILES.into_iter().find_map(|name| self.variables.get(name)).cloned();
                named.or_else(|| self.codex_home().map(|dir| dir.join("auth.json")))
            }
            Client::CodexMultiAuth => {
                let dir = self.variables.get("CODEX_MULTI_AUTH_DIR").cloned();
                dir.or_else(|| self.codex_home().map(|dir| dir.join("multi-auth")))
                    .map(|dir| dir.join("openai-codex-accounts.json"))
            }
            Client::GeminiCli => self.below(".gemini/oauth_creds.json"),
            Client::Llxprt => return self.llxprt(),
            Client::OpenCode => {
                self.dir("XDG_DATA_HOME", ".local/share").map(|dir| dir.join("opencode/auth.json"))
            }
            Client::OpenCodeMultiAuth => {
                let file = self.variables.get("OPENCODE_MULTI_AUTH_STORE_FILE").cloned();
                file.or_else(|| {
                    let dir = self.dir("OPENCODE_MULTI_AUTH_STORE_DIR", ".config/opencode-multi-auth");
                    dir.map(|dir| dir.join("accounts.json"))
                })
            }
        };
        place.into_iter().collect()
    }

    /// The place of `places` that is there, else the first: what to read where no file was named.
    pub fn place(&self, client: Client) -> Option<PathBuf> {
        let places = self.places(client);
        places.iter().find(|place| place.exists()).or(places.first()).cloned()
    }

    /// Two generations of its files.
    fn llxprt(&self) -> Vec<PathBuf> {
        let moved = ["LLXPRT_DATA_HOME", "LLXPRT_CONFIG_HOME"].into_iter();
        let data = moved.filter_map(|name| self.variables.get(name)).next().cloned();
        let data =
            data.or_else(|| self.dir("XDG_DATA_HOME", ".local/share").map(|dir| dir.join("llxprt-code")));
        let sealed = data.map(|data| data.join("secure-store/llxprt-code-oauth"));
        sealed.into_iter().chain(self.below(".llxprt/oauth")).collect()
    }

    fn codex_home(&self) -> Option<PathBuf> {
        self.dir("CODEX_HOME", ".codex")
    }

    fn dir(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.variables.get(variable).cloned().or_else(|| self.below(below_home))
    }

    fn below(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        self.variables.get("HOME").map(|home| home.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// REN-5
    #[test]
    fn every_program_is_looked_for_where_its_variables_say() {
        let home = ("HOME", "/h");
        for (client, set, places) in [
            (Client::Codex, &[home][..], &["/h/.codex/auth.json"][..]),
            (Client::Codex, &[home, ("CODEX_HOME", "/c")], &["/c/auth.json"]),
            (
                Client::Codex,
                &[home, ("CODEX_HOME", "/c"), ("OPENCODE_MULTI_AUTH_CODEX_AUTH_FILE", "/a.json")],
                &["/a.json"],
            ),
            (
                Client::Codex,
                &[("OPENCODE_MULTI_AUTH_CODEX_AUTH_FILE", "/a.json"), ("ROTA_AUTH_FILE", "/r.json")],
                &["/r.json"],
            ),
            (Client::Codex, &[], &[]),
            (Client::ClaudeCode, &[home], &["/h/.claude/.credentials.json"]),
            (Client::ClaudeCode, &[home, ("CLAUDE_CONFIG_DIR", "/d")], &["/d/.credentials.json"]),
            (Client::CliProxyApi, &[home], &["/h/.cli-proxy-api"]),
            (Client::CodexMultiAuth, &[home], &["/h/.codex/multi-auth/openai-codex-accounts.json"]),
            (
                Client::CodexMultiAuth,
                &[home, ("CODEX_HOME", "/c")],
                &["/c/multi-auth/openai-codex-accounts.json"],
            ),
            (Client::GeminiCli, &[home], &["/h/.gemini/oauth_creds.json"]),
            (
                Client::Llxprt,
                &[home],
                &["/h/.local/share/llxprt-code/secure-store/llxprt-code-oauth", "/h/.llxprt/oauth"],
            ),
            (
                Client::Llxprt,
                &[("LLXPRT_CONFIG_HOME", "/c"), ("LLXPRT_DATA_HOME", "/d")],
                &["/d/secure-store/llxprt-code-oauth"],
            ),
            (Client::OpenCode, &[home], &["/h/.local/share/opencode/auth.json"]),
            (Client::OpenCode, &[home, ("XDG_DATA_HOME", "/d")], &["/d/opencode/auth.json"]),
            (Client::OpenCodeMultiAuth, &[home], &["/h/.config/opencode-multi-auth/accounts.json"]),
            (
                Client::OpenCodeMultiAuth,
                &[home, ("OPENCODE_MULTI_AUTH_STORE_DIR", "/s")],
                &["/s/accounts.json"],
            ),
            (
                Client::OpenCodeMultiAuth,
                &[("OPENCODE_MULTI_AUTH_STORE_DIR", "/s"), ("OPENCODE_MULTI_AUTH_STORE_FILE", "/f.json")],
                &["/f.json"],
            ),
        ] {
            let lookup = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
            let places: Vec<PathBuf> = places.iter().map(PathBuf::from).collect();
            assert_eq!(Home::of(lookup).places(client), places, "{client} {set:?}");
        }
    }
}
