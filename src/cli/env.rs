use super::address::{Address, Keyed, Runs};
use super::connect::{find, names};
use super::{CliError, Exit, Setup};
use crate::clients::{Client, exempting};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

#[derive(Args)]
pub(super) struct Env {
    /// For which program
    #[arg(value_parser = names(), default_value = "any", hide_possible_values = true)]
    client: String,
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
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let client = find(&self.client)?;
        if let Some(reason) = &client.no_env {
            return Err(CliError::failed(reason));
        }
        let Address { base, runs, keyed } = Address::find(setup)?;
        let env = client.env(&base);
        if setup.json {
            writeln!(out, "{}", json!({"env": env}))?;
            return Ok(Exit::Done);
        }
        let shell = self.shell.unwrap_or_else(|| Shell::of(setup.sources.variable("SHELL")));
        for (name, value) in &env {
            writeln!(out, "{}", shell.export(name, value))?;
        }
        tell(setup, &client, &env, runs);
        if keyed == Keyed::Yes {
            setup.hint(
                "rota: it asks for a key: make one (rota keys add NAME) and set it in place of the word rota, or use \
                 `rota run`, which gives each program its own"
            );
        }
        for (name, value) in exempting(&setup.sources.env) {
            setup.hint(format_args!(
                "rota: your proxy would be given what is meant for rota; exempt this machine from it, too: {}",
                shell.export(&name, &value)
            ));
        }
        Ok(Exit::Done)
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
