use super::accounts::text;
use super::api::{call, succeed};
use super::why::escaped;
use super::{CliError, Exit, Setup, render};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Args)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Make a key for a client; it is shown once, and from then on every client needs one
    Add(Add),
    /// Take a client's key back
    #[command(visible_alias = "remove")]
    Rm {
        /// Which client's
        name: String,
    },
}

#[derive(Args)]
struct Add {
    /// What to call the client
    name: String,
    /// For this provider only; may be given more than once
    #[arg(long, value_name = "PROVIDER")]
    provider: Vec<String>,
    /// For this account only; may be given more than once
    #[arg(long, value_name = "ALIAS")]
    account: Vec<String>,
    /// For this method only; may be given more than once
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// For this path and what is below it only, as the client writes it; may be given more than once
    #[arg(long, value_name = "PATH")]
    path: Vec<String>,
}

impl Keys {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        match self.command {
            None => list(setup, out),
            Some(Command::Add(add)) => add.run(setup, out),
            Some(Command::Rm { name }) => {
                let path = format!("/api/keys/{}", escaped(&name));
                succeed(call(setup, Method::DELETE, &path, None)?)?;
                writeln!(out, "the key of {name} opens nothing any more")?;
                Ok(Exit::Done)
            }
        }
    }
}

impl Add {
    fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let body = json!({
            "name": self.name, "providers": self.provider, "accounts": self.account, "methods": self.method,
            "paths": self.path,
        });
        let made = succeed(call(setup, Method::POST, "/api/keys", Some(body))?)?;
        if setup.json {
            writeln!(out, "{made}")?;
            return Ok(Exit::Done);
        }
        writeln!(out, "{}", text(&made["key"]))?;
        setup.hint(format_args!(
            "This is the key of {}; it is not shown again. The client sends it where it would send an API key, or as \
             x-rota-key. From now on every client needs a key.",
            self.name
        ));
        Ok(Exit::Done)
    }
}

fn list(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let body = succeed(call(setup, Method::GET, "/api/keys", None)?)?;
    if setup.json {
        writeln!(out, "{body}")?;
        return Ok(Exit::Done);
    }
    let keys = body["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.is_empty() {
        let needed = if body["required"] == true { "needs one" } else { "needs none" };
        writeln!(out, "No client has a key of its own, and a request {needed}.")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    render::table(out, &["NAME", "PROVIDERS", "ACCOUNTS", "METHODS", "PATHS", "MADE"], &rows)?;
    Ok(Exit::Done)
}

fn row(key: &Value) -> Vec<String> {
    let several = |field: &Value| {
        let Some(entries) = field.as_array() else {
            return "all".to_owned();
        };
        entries.iter().map(text).collect::<Vec<_>>().join(" ")
    };
    let or_all = |field: &Value| Some(several(field)).filter(|it| !it.is_empty()).unwrap_or("all".to_owned());
    // An empty list of accounts is none: those that it was for are gone.
    let accounts = Some(several(&key["accounts"])).filter(|it| !it.is_empty()).unwrap_or("none".to_owned());
    vec![
        text(&key["name"]),
        or_all(&key["providers"]),
        accounts,
        or_all(&key["methods"]),
        or_all(&key["paths"]),
        text(&key["createdAt"]),
    ]
}
