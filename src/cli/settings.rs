use super::accounts::text;
use super::api::{call, succeed};
use super::confirm::confirm;
use super::{CliError, Exit, Setup, render};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use std::io::Write;

const PATH: &str = "/api/settings";

#[derive(Args)]
pub(super) struct Settings {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
struct Dry {
    /// Say what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Show what may change while rota runs, or one setting with all that is known of it
    Get {
        /// Its name, such as rotation.low or just low
        key: Option<String>,
    },
    /// Change settings: all of those that are named, or none
    Set {
        /// Such as rotation.low=20 strategy=random
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
        #[command(flatten)]
        dry: Dry,
    },
    /// Take settings back to what is beneath: the file, or the default
    Reset {
        /// Which; none is all of them
        keys: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        dry: Dry,
    },
    /// Take thresholds by a name: balanced, conservative (accounts stay longest) or aggressive (they leave early)
    Preset {
        /// Which
        name: String,
        #[command(flatten)]
        dry: Dry,
    },
}

impl Settings {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let (method, path, body, Dry { dry_run }) = match self.command {
            None | Some(Command::Get { key: None }) => return show(setup, out),
            Some(Command::Get { key: Some(key) }) => return one(setup, &key, out),
            Some(Command::Set { settings, dry }) => {
                (Method::PUT, PATH.to_owned(), json!({"settings": given(&settings)?}), dry)
            }
            Some(Command::Reset { keys, yes, dry }) => {
                if !dry.dry_run && !yes && !confirm("Take settings back to what is beneath them?")? {
                    return Err(CliError::failed("nothing was changed"));
                }
                let body = if keys.is_empty() { json!({}) } else { json!({"keys": keys}) };
                (Method::POST, format!("{PATH}/reset"), body, dry)
            }
            Some(Command::Preset { name, dry }) => {
                (Method::POST, format!("{PATH}/preset"), json!({"name": name}), dry)
            }
        };
        // What is shown is what the change came to, so it is asked for first.
        let plan = format!("{path}?dryRun=true");
        let planned = succeed(call(setup, method.clone(), &plan, Some(body.clone()))?)?;
        let answer = match dry_run {
            true => planned.clone(),
            false => succeed(call(setup, method, &path, Some(body))?)?,
        };
        if setup.json {
            writeln!(out, "{answer}")?;
            return Ok(Exit::Done);
        }
        for line in changes(&planned) {
            writeln!(out, "{line}")?;
        }
        if dry_run {
            writeln!(out, "nothing written")?;
        }
        Ok(Exit::Done)
    }
}

/// `KEY=VALUE` as the API takes it: a number, a flag, else a text.
fn given(settings: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut map = Map::new();
    for setting in settings {
        let Some((key, written)) = setting.split_once('=') else {
            return Err(CliError::failed(format!("{setting:?} is not KEY=VALUE, such as rotation.low=20")));
        };
        let number = written.parse::<i64>().map(Value::from).ok();
        let flag = || written.parse::<bool>().map(Value::from).ok();
        let value = number.or_else(flag).unwrap_or_else(|| written.into());
        map.insert(key.trim().to_owned(), value);
    }
    Ok(map)
}

fn changes(planned: &Value) -> Vec<String> {
    let changes = planned["changes"].as_array().map(Vec::as_slice).unwrap_or_default();
    if changes.is_empty() {
        return vec!["nothing changes".to_owned()];
    }
    let line = |change: &Value| {
        format!("{}  {} → {}", text(&change["key"]), plain(&change["before"]), plain(&change["after"]))
    };
    changes.iter().map(line).collect()
}

fn show(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let body = succeed(call(setup, Method::GET, PATH, None)?)?;
    if setup.json {
        writeln!(out, "{body}")?;
        return Ok(Exit::Done);
    }
    let settings = body["settings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = settings
        .iter()
        .map(|one| {
            let from =
                one["lockedBy"].as_str().map_or_else(|| text(&one["origin"]), |by| format!("locked by {by}"));
            vec![text(&one["key"]), plain(&one["value"]), from]
        })
        .collect();
    render::table(out, &["SETTING", "VALUE", "FROM"], &rows)?;
    Ok(Exit::Done)
}

fn one(setup: &Setup, key: &str, out: &mut dyn Write) -> Result<Exit, CliError> {
    let body = succeed(call(setup, Method::GET, PATH, None)?)?;
    let settings = body["settings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |one: &&Value| {
        let there = one["key"].as_str().unwrap_or_default();
        there == key || there.rsplit_once('.').is_some_and(|(_, name)| name == key)
    };
    let Some(found) = settings.iter().find(is_it) else {
        let message =
            format!("no setting {key:?} may change while rota runs; `rota settings` lists those that may");
        return Err(CliError::failed(message));
    };
    if setup.json {
        writeln!(out, "{found}")?;
        return Ok(Exit::Done);
    }
    writeln!(out, "{} = {}", text(&found["key"]), plain(&found["value"]))?;
    let origin = text(&found["origin"]);
    for layer in ["environment", "file", "settings", "default"] {
        let value = &found["layers"][layer];
        let said = if value.is_null() { "not set".to_owned() } else { plain(value) };
        let mark = if layer == origin { "   <- in force" } else { "" };
        writeln!(out, "  {layer:12}{said}{mark}")?;
    }
    writeln!(out, "  {} ({})", text(&found["description"]), text(&found["constraint"]))?;
    Ok(Exit::Done)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
