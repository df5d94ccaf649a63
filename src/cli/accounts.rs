use super::api::{call, succeed};
use super::{CliError, Exit, Setup, edit, render, status};
use crate::config::{Config, read_private};
use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;

/// The longest secret read from anywhere.
const LONGEST: u64 = 64 * 1024;

#[derive(Args)]
pub(super) struct Accounts {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Add an account. Its secret comes from a file, standard input or an environment variable, never as an argument;
    /// it needs none where the provider's preset says how tokens are granted without a login
    Add(Add),
    /// Show the accounts
    Ls,
    /// Remove an account and its credential
    Rm(Rm),
    /// Change an account's share, labels, note or quota group
    Set(edit::Set),
}

#[derive(Args)]
struct Add {
    /// The name to give it: 1 to 64 of a-z 0-9 . _ -
    alias: String,
    /// The provider it belongs to: codex, openai, anthropic, gemini, openrouter, or one of your own
    #[arg(long, value_name = "ID")]
    provider: String,
    #[command(flatten)]
    source: Source,
    /// What the secret is
    #[arg(long, value_enum, default_value_t = Kind::ApiKey)]
    kind: Kind,
    /// Its share under the weighted strategy, above 0 and at most 1
    #[arg(long)]
    weight: Option<f64>,
    /// Accounts of one group share their provider's spend limits
    #[arg(long, value_name = "NAME")]
    quota_group: Option<String>,
    /// A label; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// A note for yourself
    #[arg(long, default_value = "")]
    notes: String,
}

/// Where the secret comes from: one of these, or none where the provider grants tokens by itself.
#[derive(Args)]
#[group(multiple = false)]
struct Source {
    /// A file that holds the key and nothing else; only you may be able to read it
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Read the key from standard input
    #[arg(long)]
    key_stdin: bool,
    /// An environment variable that holds the key
    #[arg(long, value_name = "NAME")]
    key_env: Option<String>,
    /// A JSON file with kind, accessToken, refreshToken and expiresAt (docs/CONFIGURATION.md); only you may be able to
    /// read it
    #[arg(long, value_name = "FILE", conflicts_with = "kind")]
    credential_file: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    ApiKey,
    Bearer,
}

#[derive(Args)]
pub(super) struct Rm {
    /// Which
    alias: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Remove it even if it is the last enabled account of its provider
    #[arg(long)]
    force: bool,
}

impl Accounts {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        match self.command {
            None | Some(Command::Ls) => list(setup, out),
            Some(Command::Add(add)) => add.run(setup, out),
            Some(Command::Rm(rm)) => rm.run(setup, out),
            Some(Command::Set(set)) => set.run(setup, out),
        }
    }
}

fn list(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let body = succeed(call(setup, Method::GET, "/api/accounts", None)?)?;
    if setup.json {
        writeln!(out, "{body}")?;
        return Ok(Exit::Done);
    }
    let accounts = body["accounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if accounts.is_empty() {
        writeln!(
            out,
            "There are no accounts yet.\n\n  rota login work\n  rota accounts add work --provider ID --key-file FILE"
        )?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = accounts.iter().map(row).collect();
    render::table(out, &["ACCOUNT", "PROVIDER", "KIND", "STATE", "WEIGHT", "TAGS"], &rows)?;
    for line in status::again(accounts, &Config::load(&setup.sources)?.config.providers) {
        writeln!(out, "\n{line}")?;
    }
    Ok(Exit::Done)
}

fn row(account: &Value) -> Vec<String> {
    let tags = account["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
    vec![
        text(&account["alias"]),
        text(&account["provider"]),
        text(&account["credential"]["kind"]),
        text(&account["eligibility"]["state"]),
        account["weight"].as_f64().map_or_else(|| "-".to_owned(), |weight| format!("{weight:.2}")),
        tags.join(","),
    ]
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

impl Add {
    fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let mut body = json!({
            "alias": self.alias,
            "provider": self.provider,
            "tags": self.tags,
            "notes": self.notes,
        });
        match self.source.read(setup)? {
            Given::Credential(credential) => body["credential"] = credential,
            Given::Nothing => {}
            Given::Secret(secret) => {
                body["secret"] = Value::String(secret);
                body["kind"] = json!(match self.kind {
                    Kind::ApiKey => "api-key",
                    Kind::Bearer => "bearer",
                });
            }
        }
        if let Some(weight) = self.weight {
            body["weight"] = json!(weight);
        }
        if let Some(group) = self.quota_group {
            body["quotaGroup"] = json!(group);
        }
        let added = succeed(call(setup, Method::POST, "/api/accounts", Some(body))?)?;
        if setup.json {
            writeln!(out, "{added}")?;
        } else {
            writeln!(
                out,
                "{} added to {}: {}",
                self.alias,
                self.provider,
                text(&added["eligibility"]["state"])
            )?;
        }
        Ok(Exit::Done)
    }
}

enum Given {
    Credential(Value),
    Nothing,
    Secret(String),
}

impl Source {
    fn read(&self, setup: &Setup) -> Result<Given, CliError> {
        if let Some(file) = &self.credential_file {
            let text = private(file)?;
            // The parser's own words could quote the file; where it stopped is enough to find the mistake.
            let credential = serde_json::from_str(&text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                CliError::failed(format!("{} is not JSON: line {line}, column {column}", file.display()))
            })?;
            return Ok(Given::Credential(credential));
        }
        if let Some(file) = &self.key_file {
            return Ok(Given::Secret(private(file)?.trim().to_owned()));
        }
        if let Some(name) = &self.key_env {
            let missing =
                || CliError::failed(format!("the environment variable {name} is not set, or empty"));
            let value = setup.sources.variable(name);
            return value.map(|value| Given::Secret(value.trim().to_owned())).ok_or_else(missing);
        }
        if !self.key_stdin {
            return Ok(Given::Nothing);
        }
        let mut text = String::new();
        std::io::stdin()
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(|error| CliError::io("standard input could not be read", &error))?;
        Ok(Given::Secret(text.trim().to_owned()))
    }
}

fn private(file: &std::path::Path) -> Result<String, CliError> {
    read_private(file).map_err(|error| CliError::io(file.display(), &error))
}

impl Rm {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        if !self.yes && !super::confirm::confirm(&format!("Remove {} and its credential?", self.alias))? {
            return Err(CliError::failed("nothing was removed"));
        }
        let path = format!("/api/accounts/{}", self.alias);
        succeed(call(setup, Method::DELETE, &path, Some(json!({"force": self.force})))?)?;
        if !setup.json {
            writeln!(out, "{} is gone", self.alias)?;
        }
        Ok(Exit::Done)
    }
}
