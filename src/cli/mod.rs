//! The command line. One file per command; each renders one answer of the admin API, and `--json` prints that answer as
//! it is, so that the command line and the API cannot drift apart.
mod accounts;
mod address;
mod api;
mod audit;
mod browser;
mod completions;
mod config;
mod confirm;
mod connect;
mod dashboard;
mod demo;
mod doctor;
mod edit;
mod env;
mod error;
mod fake;
mod force;
mod healthcheck;
mod help;
mod import;
mod kept;
mod keys;
mod live;
mod login;
mod logs;
mod next;
mod openapi;
mod probe;
mod render;
mod report;
mod run;
mod schema;
mod serve;
mod service;
mod sessions;
mod settings;
mod status;
mod store;
mod switch;
mod welcome;
mod why;
mod windows;

pub use error::{CliError, Exit};

use crate::app;
use crate::config::Sources;
use crate::sys;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

/// A loopback proxy that owns your provider logins and keys, and moves on to the next one when the first cannot serve.
#[derive(Parser)]
#[command(
    name = "rota",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 rota is not running, 4 no account could serve,\n\
                  5 an account still has to sign in, 75 another rota owns the store, 78 the configuration was refused"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// The arguments of this process; wrong ones end it, with a word on what is right (exit code 2).
    pub fn of_process() -> Self {
        let matches = help::grouped(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The heading above the options that every command takes.
const ANYWHERE: &str = "Options of every command";

/// What every command takes.
#[derive(Args, Clone, Debug)]
struct Global {
    /// The configuration file [default: $XDG_CONFIG_HOME/rota/rota.toml]
    #[arg(long, global = true, value_name = "FILE", help_heading = ANYWHERE)]
    config: Option<PathBuf>,
    /// The directory that holds accounts and state [default: $XDG_STATE_HOME/rota]
    #[arg(long, global = true, value_name = "DIR", help_heading = ANYWHERE)]
    state_dir: Option<PathBuf>,
    /// Ask the rota behind this Unix socket (`admin_socket`) and no other; its admin token is looked for beside it
    #[arg(long, global = true, value_name = "PATH", help_heading = ANYWHERE)]
    socket: Option<PathBuf>,
    /// Print the admin API's answer as it is
    #[arg(long, global = true, help_heading = ANYWHERE)]
    json: bool,
    /// Say nothing but what was asked for, warnings and errors; `serve` logs warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = ANYWHERE)]
    quiet: bool,
    /// Say what is asked of the admin API, and how long that takes; `serve` logs what is for debugging, too
    #[arg(short, long, global = true, help_heading = ANYWHERE)]
    verbose: bool,
}

/// How much a command says beside what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loudness {
    Quiet,
    Usual,
    Verbose,
}

impl Global {
    fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Usual,
        }
    }
}

/// In the order of a newcomer's questions.
#[derive(Subcommand)]
enum Command {
    /// See a failover with your own eyes: no account and no network needed
    Demo(demo::Demo),
    /// Show the accounts, add one, remove one
    #[command(visible_alias = "ls")]
    Accounts(accounts::Accounts),
    /// Take over a login that another program has
    Import(import::Import),
    /// Sign in to an account, new or old
    Login(login::Login),
    /// Set a program up for good: shows what would change in its own file, and asks
    Connect(connect::Connect),
    /// Print what a program needs in its environment: eval "$(rota env claude)"
    Env(env::Env),
    /// Run a program through rota, without changing a file of its own: rota run -- claude
    Run(run::Run),
    /// Run the proxy
    Serve(serve::Serve),
    /// Have the machine run it: now, and at every start
    Service(service::Service),
    /// Show who is in rotation, how much is left, and whether all is well
    Status(status::Status),
    /// The same again every two seconds: status --watch
    Top,
    /// Show what is being decided, one line a request
    Logs(logs::Logs),
    /// Ask the providers now how much is left: one line per account as it is known
    Probe(probe::Probe),
    /// Take an account out of rotation
    Disable(switch::Disable),
    /// Put an account back into rotation
    Enable(switch::Enable),
    /// Give an account another name; everything else stays with it
    Rename(edit::Rename),
    /// Change an account's share under the weighted strategy
    Weight(edit::Weight),
    /// Remove an account and its credential
    Remove(accounts::Rm),
    /// Use this account and no other for 24 hours
    Force(force::Force),
    /// Show why an account was chosen, or which would be next
    Why(why::Why),
    /// Show which conversation is on which account, or take one off it
    Sessions(sessions::Sessions),
    /// Change strategy, thresholds and what else may change while rota runs
    Settings(settings::Settings),
    /// Show who changed what, and when
    Audit(audit::Audit),
    /// Show, make and take back keys of clients
    Keys(keys::Keys),
    /// Show what is wrong, with the command that puts it right: exit code 1 if something is
    Doctor(doctor::Doctor),
    /// Collect what somebody else needs to see what is wrong, without secrets
    BugReport(report::BugReport),
    /// Open rota's page in your browser
    Dashboard(dashboard::Dashboard),
    /// Show, check and explain the configuration
    Config(config::Config),
    /// Back up, restore, verify, export and import the store
    Store(store::Store),
    /// Print what your shell needs to complete rota's commands and options
    Completions(completions::Completions),
    /// Ask a running rota whether it is well: exit code 0 if so
    Healthcheck(healthcheck::Healthcheck),
    /// Print the JSON Schema of rota.toml, or of a preset, for an editor
    Schema(schema::Schema),
    /// Print the OpenAPI document of the admin API
    Openapi,
    /// Run the fake upstream that the demo and the tests use, to try rules against it
    #[command(hide = true)]
    FakeUpstream(fake::FakeUpstream),
}

/// Runs one command. Data goes to `out`, everything else to standard error.
pub fn run(cli: Cli, sources: Sources, out: &mut dyn Write) -> Result<Exit, CliError> {
    let setup = Setup {
        loudness: cli.global.loudness(),
        sources: sources.with(cli.global.config, cli.global.state_dir),
        socket: cli.global.socket,
        json: cli.global.json,
    };
    harden(&setup.sources);
    let Some(command) = cli.command else {
        return welcome::run(&setup, out);
    };
    match command {
        Command::Accounts(command) => command.run(&setup, out),
        Command::Audit(command) => command.run(&setup, out),
        Command::BugReport(command) => command.run(&setup, out),
        Command::Completions(command) => command.run(&setup, out),
        Command::Config(command) => command.run(&setup, out),
        Command::Connect(command) => command.run(&setup, out),
        Command::Dashboard(command) => command.run(&setup, out),
        Command::Demo(command) => command.run(out),
        Command::Disable(command) => command.run(&setup, out),
        Command::Doctor(command) => command.run(&setup, out),
        Command::Enable(command) => command.run(&setup, out),
        Command::Env(command) => command.run(&setup, out),
        Command::FakeUpstream(command) => command.run(out),
        Command::Force(command) => command.run(&setup, out),
        Command::Healthcheck(command) => command.run(&setup, out),
        Command::Import(command) => command.run(&setup, out),
        Command::Keys(command) => command.run(&setup, out),
        Command::Logs(command) => command.run(&setup, out),
        Command::Login(command) => command.run(&setup, out),
        Command::Openapi => openapi::run(out),
        Command::Probe(command) => command.run(&setup, out),
        Command::Remove(command) => command.run(&setup, out),
        Command::Rename(command) => command.run(&setup, out),
        Command::Run(command) => command.run(&setup),
        Command::Schema(command) => command.run(out),
        Command::Serve(command) => command.run(&setup),
        Command::Service(command) => command.run(&setup, out),
        Command::Sessions(command) => command.run(&setup, out),
        Command::Settings(command) => command.run(&setup, out),
        Command::Status(command) => command.run(&setup, out),
        Command::Store(command) => command.run(&setup, out),
        Command::Weight(command) => command.run(&setup, out),
        Command::Top => status::Status::watching().run(&setup, out),
        Command::Why(command) => command.run(&setup, out),
    }
}

/// What is secret does not stay where other programs look: before a thread is started, and whatever the command is.
fn harden(sources: &Sources) {
    if let Err(error) = sys::forget_variables(&sources.secret_variables()) {
        eprintln!("warning: secrets stay in the environment of this process: {error}");
    }
    // A daemon tells in its log what the kernel refused; a command is over in a moment.
    let _ = app::harden();
}

/// Where a command finds its configuration, and how it prints.
struct Setup {
    sources: Sources,
    /// The socket of the rota to ask, and of no other.
    socket: Option<PathBuf>,
    json: bool,
    loudness: Loudness,
}

impl Setup {
    /// For the person who is there: nothing that was asked for, no warning and no error.
    fn hint(&self, words: impl std::fmt::Display) {
        if self.loudness != Loudness::Quiet {
            eprintln!("{words}");
        }
    }
}
