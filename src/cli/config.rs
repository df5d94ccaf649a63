mod edit;

use super::{CliError, Exit, Setup};
use crate::config::{Config as Read, Explanation, Loaded, Row, template};
use crate::store::{FileBackend, kept_settings};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;

#[derive(Args)]
pub(super) struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read the whole configuration, presets included, and say what is wrong
    Check,
    /// Open the file in your editor, and take it only if it is right
    Edit,
    /// Show where a value comes from; without a key, all of them
    Explain {
        /// The key, such as strategy or timeouts.connect
        key: Option<String>,
    },
    /// Print the files and directories rota uses
    Path,
    /// Print a configuration file with every setting at its default, commented out
    Template,
}

impl Config {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        match self.command {
            Command::Check => check(setup, out),
            Command::Edit => edit::run(setup, out),
            Command::Explain { key } => explain(setup, key.as_deref(), out),
            Command::Path => path(setup, out),
            Command::Template => {
                write!(out, "{}", template())?;
                Ok(Exit::Done)
            }
        }
    }
}

fn check(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let loaded = with_kept(setup)?;
    if setup.json {
        writeln!(out, "{}", json!({"problems": loaded.warnings}))?;
        return Ok(Exit::Done);
    }
    for warning in &loaded.warnings {
        writeln!(out, "{warning}\n")?;
    }
    let providers: Vec<&str> = loaded.config.providers.iter().map(|preset| preset.id.as_str()).collect();
    let file = loaded.config.config_file.display().to_string();
    let read = if loaded.config.config_file.exists() {
        "is right"
    } else {
        "does not exist; every setting has its default"
    };
    writeln!(out, "{file} {read}. Providers: {}.", providers.join(", "))?;
    Ok(Exit::Done)
}

/// Every layer: what the store keeps is one, too. Where there is no store yet, nothing is kept.
fn with_kept(setup: &Setup) -> Result<Loaded, CliError> {
    let loaded = Read::load(&setup.sources)?;
    let backend = FileBackend::existing(&loaded.config.state_dir);
    let kept = backend.map(|backend| kept_settings(&backend)).unwrap_or_default();
    Ok(Read::load(&setup.sources.clone().with_persisted(kept))?)
}

fn explain(setup: &Setup, key: Option<&str>, out: &mut dyn Write) -> Result<Exit, CliError> {
    let loaded = with_kept(setup)?;
    let explanations = match key {
        None => loaded.explain_all(),
        Some(key) => vec![loaded.explain(key).map_err(|unknown| CliError::told(Exit::Failed, &unknown))?],
    };
    if setup.json {
        writeln!(out, "{}", json!({"settings": explanations}))?;
        return Ok(Exit::Done);
    }
    for explanation in &explanations {
        match key {
            Some(_) => layers(explanation, out)?,
            None => one_line(explanation, out)?,
        }
    }
    Ok(Exit::Done)
}

fn layers(explanation: &Explanation, out: &mut dyn Write) -> Result<(), CliError> {
    writeln!(out, "{} = {}\n  {}\n", explanation.key, explanation.value, explanation.doc)?;
    let wide = explanation.rows.iter().map(|row| row.place.chars().count()).max().unwrap_or(0);
    for Row { layer, place, value, in_force } in &explanation.rows {
        let value = value.as_deref().unwrap_or("not set");
        let mark = if *in_force { "    <- in force" } else { "" };
        writeln!(out, "  {layer:<9} {place:<wide$}  {value}{mark}")?;
    }
    Ok(())
}

fn one_line(explanation: &Explanation, out: &mut dyn Write) -> Result<(), CliError> {
    let from = explanation.rows.iter().find(|row| row.in_force).map_or("default", |row| row.layer);
    writeln!(out, "{} = {}  ({from})", explanation.key, explanation.value)?;
    Ok(())
}

fn path(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let loaded = Read::load(&setup.sources)?;
    let paths = loaded.paths(&setup.sources);
    if setup.json {
        let view = json!({
            "configFile": paths.config_file,
            "providersDir": paths.providers_dir,
            "stateDir": paths.state_dir,
        });
        writeln!(out, "{view}")?;
        return Ok(Exit::Done);
    }
    writeln!(out, "configuration  {}", paths.config_file.display())?;
    writeln!(out, "presets        {}", paths.providers_dir.display())?;
    writeln!(out, "state          {}", paths.state_dir.display())?;
    Ok(Exit::Done)
}
