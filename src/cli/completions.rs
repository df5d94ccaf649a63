use super::{Cli, CliError, Exit, Setup, help};
use crate::app::ServerInfo;
use crate::cli::api::{Daemon, runtime};
use crate::config::Config;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use http::Method;
use std::io::Write;
use std::time::Duration;

/// A shell does not wait longer for names.
const PATIENCE: Duration = Duration::from_secs(1);
/// What prints the names of accounts, for the scripts below.
const NAMES: &str = "rota completions --accounts 2>/dev/null";
/// Commands whose first argument is an account.
const OF_ACCOUNTS: &str = "disable enable force login probe rename weight";

#[derive(Args)]
pub(super) struct Completions {
    /// Which shell
    #[arg(required_unless_present = "accounts")]
    shell: Option<Shell>,
    /// Print the names of accounts: what the scripts ask for while you type
    #[arg(long, hide = true)]
    accounts: bool,
}

impl Completions {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let Some(shell) = self.shell.filter(|_| !self.accounts) else {
            for alias in aliases(setup) {
                writeln!(out, "{alias}")?;
            }
            return Ok(Exit::Done);
        };
        let mut script = Vec::new();
        generate(shell, &mut help::grouped(Cli::command()), "rota", &mut script);
        out.write_all(&script)?;
        out.write_all(with_accounts(shell).as_bytes())?;
        Ok(Exit::Done)
    }
}

/// Of a daemon that runs and answers at once; else none, without a word: somebody is typing.
fn aliases(setup: &Setup) -> Vec<String> {
    let Ok(config) = Config::load(&setup.sources).map(|loaded| loaded.config) else {
        return Vec::new();
    };
    if ServerInfo::read(&config.state_dir).is_none() && setup.socket.is_none() {
        return Vec::new();
    }
    let Ok(runtime) = runtime() else {
        return Vec::new();
    };
    let asked = async {
        let daemon = Daemon::find(setup, &config).await.ok()??;
        let answer = daemon.ask(Method::GET, "/api/accounts", None).await.ok()?;
        let accounts = answer.body["accounts"].as_array()?.iter();
        Some(accounts.filter_map(|account| account["alias"].as_str().map(str::to_owned)).collect())
    };
    let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
    asked.ok().flatten().unwrap_or_default()
}

/// What a shell needs to ask for names, behind the script that clap makes; none for the shells where that is another
/// language again.
fn with_accounts(shell: Shell) -> String {
    let cases = OF_ACCOUNTS.replace(' ', "|");
    match shell {
        Shell::Bash => format!(
            "\n_rota_and_accounts() {{\n    _rota \"$@\"\n    case \"${{COMP_WORDS[1]}}\" in\n        {cases})\n            \
             COMPREPLY+=($(compgen -W \"$({NAMES})\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n            ;;\n    esac\n}}\n\
             complete -F _rota_and_accounts -o nosort -o bashdefault -o default rota 2>/dev/null || \
             complete -F _rota_and_accounts -o bashdefault -o default rota\n"
        ),
        Shell::Fish => {
            format!("complete -c rota -n \"__fish_seen_subcommand_from {OF_ACCOUNTS}\" -f -a \"({NAMES})\"\n")
        }
        Shell::Zsh => format!(
            "\n_rota_and_accounts() {{\n    case \"${{words[2]}}\" in\n        {cases})\n            \
             compadd -- ${{(f)\"$({NAMES})\"}}\n            ;;\n    esac\n    _rota \"$@\"\n}}\n\
             compdef _rota_and_accounts rota\n"
        ),
        Shell::Elvish | Shell::PowerShell | _ => String::new(),
    }
}
