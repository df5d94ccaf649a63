use super::accounts::text;
use super::api::{linked, succeed};
use super::{CliError, Exit, Setup, next, render};
use crate::auth::import::{Client, Home};
use crate::config::read_private;
use clap::Args;
use clap::builder::PossibleValuesParser;
use http::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Import {
    /// The program whose login to take
    #[arg(value_parser = PossibleValuesParser::new(Client::ALL.map(Client::as_str)))]
    client: String,
    /// The file to read, or the directory where the program keeps one [default: where the program keeps it]
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// The new account's name, where there is one login
    #[arg(long = "as", value_name = "ALIAS")]
    alias: Option<String>,
    /// A file that holds the passphrase of an encrypted store; only you may be able to read it
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Show what would be added, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Import {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let body = self.body(setup)?;
        let (done, accounts) = linked(setup, async |link| {
            let done = succeed(link.call(Method::POST, "/api/import", Some(body)).await?)?;
            let accounts = succeed(link.call(Method::GET, "/api/accounts", None).await?)?;
            Ok((done, accounts["accounts"].as_array().map_or(0, Vec::len)))
        })?;
        if setup.json {
            writeln!(out, "{done}")?;
        } else {
            tell(&done, out)?;
            if let (Some(provider), false) = (done["added"][0]["provider"].as_str(), self.dry_run) {
                next::tell(&next::steps(accounts, provider), out)?;
            }
        }
        let list = |name: &str| done[name].as_array().cloned().unwrap_or_default();
        let there = list("skipped").iter().any(|skipped| skipped["code"] == "already-there");
        Ok(if there || !list("added").is_empty() { Exit::Done } else { Exit::Failed })
    }

    /// The path is found here, not by the daemon, whose home may be another's.
    fn body(&self, setup: &Setup) -> Result<Value, CliError> {
        let place = match (&self.path, Client::named(&self.client)) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(client)) => home(setup).place(client),
            (None, None) => None,
        };
        let unknown =
            "where the program keeps its login is not known, as HOME is not set; name the file with --path";
        let place = place.ok_or_else(|| CliError::failed(unknown))?;
        let place = std::path::absolute(&place).map_err(|error| CliError::io(place.display(), &error))?;
        let mut body = json!({"from": self.client, "path": place, "dryRun": self.dry_run});
        if let Some(alias) = &self.alias {
            body["as"] = json!(alias);
        }
        if let Some(passphrase) = self.passphrase(setup)? {
            body["passphrase"] = json!(passphrase);
        }
        Ok(body)
    }

    fn passphrase(&self, setup: &Setup) -> Result<Option<String>, CliError> {
        let Some(file) = &self.passphrase_file else {
            return Ok(setup.sources.variable(Home::passphrase_variable()).map(str::to_owned));
        };
        let text = read_private(file).map_err(|error| CliError::io(file.display(), &error))?;
        // An editor ends the line; blanks before that may be meant.
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// The caller's home.
pub(super) fn home(setup: &Setup) -> Home {
    Home::of(|name| setup.sources.variable(name))
}

fn tell(done: &Value, out: &mut dyn Write) -> Result<(), CliError> {
    let list = |name: &str| done[name].as_array().cloned().unwrap_or_default();
    let files: Vec<String> = list("files").iter().map(text).collect();
    writeln!(out, "{}: {}", text(&done["program"]), files.join(", "))?;
    let (added, skipped) = (list("added"), list("skipped"));
    if added.is_empty() {
        writeln!(out, "\nNothing was added.")?;
    } else {
        let dry = done["dryRun"] == true;
        writeln!(out, "\n{}\n", if dry { "These would be added; nothing was changed:" } else { "Added:" })?;
        let rows: Vec<Vec<String>> = added.iter().map(row).collect();
        render::table(out, &["ACCOUNT", "PROVIDER", "KIND", "WHOSE", "STATE"], &rows)?;
    }
    if !skipped.is_empty() {
        writeln!(out, "\nLeft out:")?;
        for skipped in &skipped {
            writeln!(out, "  {}: {}", text(&skipped["name"]), text(&skipped["reason"]))?;
        }
    }
    if let Some(warning) = done["warning"].as_str() {
        writeln!(out, "\n! {warning}.")?;
    }
    Ok(())
}

fn row(added: &Value) -> Vec<String> {
    let state = if added["enabled"] == true { "in rotation" } else { "off" };
    let [alias, provider, kind, whose] =
        ["alias", "provider", "kind", "email"].map(|name| text(&added[name]));
    vec![alias, provider, kind, whose, state.to_owned()]
}
