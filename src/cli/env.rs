use super::address::{Address, Keyed, Runs};
use super::api::{call, succeed};
use super::connect::{find, names};
use super::{CliError, Exit, Setup};
use crate::clients::{Client, Told, exempting};
use crate::config::read_private;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Env {
    /// For which program
    #[arg(value_parser = names(), default_value = "any", hide_possible_values = true)]
    client: String,
    /// Make a client key of this name and hand it over, where rota asks clients for one; it is shown nowhere else
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// Hand over the client key that this file holds: what `rota keys add` has printed. Only you may be able to read it
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// The shell that will read it [default: the one in $SHELL]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
}

/// A shell, by how it sets a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Pwsh,
    Zsh,
}

impl Env {
    /// Where it fails, a shell that reads the output fails, too: `eval "$(rota env x)" && x` must not run a program that
    /// was told nothing.
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let shell = self.shell.unwrap_or_else(|| Shell::of(setup.sources.variable("SHELL")));
        let done = self.export(setup, shell, out);
        if done.is_err() && !setup.json && !std::io::stdout().is_terminal() {
            writeln!(out, "{}", shell.failure())?;
        }
        done
    }

    fn export(&self, setup: &Setup, shell: Shell, out: &mut dyn Write) -> Result<Exit, CliError> {
        let client = find(&self.client)?;
        if let Some(reason) = &client.no_env {
            return Err(CliError::failed(reason));
        }
        let Address { base, runs, keyed } = Address::find(setup)?;
        let key = self.key(setup, keyed)?;
        let env = client.env(Told { base: &base, key: key.as_deref() });
        if setup.json {
            writeln!(out, "{}", json!({"env": env}))?;
            return Ok(Exit::Done);
        }
        for (name, value) in &env {
            writeln!(out, "{}", shell.export(name, value))?;
        }
        tell(setup, &client, &env, runs);
        for (name, value) in exempting(&setup.sources.env) {
            setup.hint(format_args!(
                "rota: your proxy would be given what is meant for rota; exempt this machine from it, too: {}",
                shell.export(&name, &value)
            ));
        }
        Ok(Exit::Done)
    }

    /// The key to hand over. One that exists is not known to rota any more, only what it comes to; so one is made, or
    /// comes from a file.
    fn key(&self, setup: &Setup, keyed: Keyed) -> Result<Option<String>, CliError> {
        if let Some(file) = &self.key_file {
            let text = read_private(file).map_err(|error| CliError::io(file.display(), &error))?;
            return Ok(Some(text.trim().to_owned()));
        }
        let again = if find(&self.client)?.is_any() {
            "rota env".to_owned()
        } else {
            format!("rota env {}", self.client)
        };
        match (&self.key, keyed) {
            (None, Keyed::No) => Ok(None),
            (Some(name), Keyed::Yes) => {
                let body = json!({"name": name});
                let made = succeed(call(setup, Method::POST, "/api/keys", Some(body))?)?;
                Ok(made["key"].as_str().map(str::to_owned))
            }
            (Some(_), Keyed::No) => Err(CliError::failed(format!(
                "rota asks for no key, and the first one would shut out every client that has none: {again}"
            ))),
            (None, Keyed::Yes) => Err(CliError::failed(format!(
                "rota asks every client for a key: have one made for this shell, or name the file that holds one\n  \
                 {again} --key NAME\n  {again} --key-file FILE\n  \
                 `rota run` gives each program its own"
            ))),
        }
    }
}

/// Standard output is for the shell; what is for the person goes to standard error.
fn tell(setup: &Setup, client: &Client, env: &BTreeMap<String, String>, runs: Runs) {
    let names: Vec<&str> = env.keys().map(String::as_str).collect();
    let names = match names.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => return,
    };
    match std::io::stdout().is_terminal() {
        true => {
            let id = if client.is_any() { String::new() } else { format!(" {}", client.id) };
            setup.hint(format_args!(
                "rota: these set {names}; to have your shell do it: eval \"$(rota env{id})\""
            ));
        }
        false => setup.hint(format_args!("rota: exported {names} for this shell")),
    }
    if runs == Runs::No {
        setup.hint("rota: nothing listens there yet; start it with `rota serve`");
    }
}

impl Shell {
    /// By the path of the person's shell; what it is not known to be speaks as sh does.
    fn of(path: Option<&str>) -> Self {
        match path.and_then(|path| path.rsplit('/').next()) {
            Some("fish") => Self::Fish,
            Some("pwsh") => Self::Pwsh,
            Some("zsh") => Self::Zsh,
            Some(_) | None => Self::Bash,
        }
    }

    /// A line that fails.
    fn failure(self) -> &'static str {
        match self {
            Self::Bash | Self::Fish | Self::Zsh => "false",
            Self::Pwsh => "throw 'rota env failed'",
        }
    }

    /// One line; no value can end its quotes.
    fn export(self, name: &str, value: &str) -> String {
        match self {
            Self::Bash | Self::Zsh => format!("export {name}='{}'", value.replace('\'', "'\\''")),
            Self::Fish => {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                format!("set -gx {name} '{value}'")
            }
            Self::Pwsh => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_within_its_quotes_in_every_shell() {
        let value = "a'b\\c";
        for (shell, expected) in [
            (Shell::Bash, r"export X='a'\''b\c'"),
            (Shell::Zsh, r"export X='a'\''b\c'"),
            (Shell::Fish, r"set -gx X 'a\'b\\c'"),
            (Shell::Pwsh, r"$env:X = 'a''b\c'"),
        ] {
            assert_eq!(shell.export("X", value), expected);
        }
    }

    #[test]
    fn the_persons_shell_is_known_by_its_path() {
        for (path, shell) in [
            (Some("/usr/bin/fish"), Shell::Fish),
            (Some("/bin/zsh"), Shell::Zsh),
            (Some("/bin/dash"), Shell::Bash),
            (None, Shell::Bash),
        ] {
            assert_eq!(Shell::of(path), shell);
        }
    }
}
