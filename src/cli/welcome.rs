use super::api::{call, succeed};
use super::import::home;
use super::{CliError, Exit, Setup, status};
use crate::auth::import::Client;
use crate::config::Config;
use http::Method;
use serde_json::Value;
use std::io::Write;

/// `rota` alone: how things are and what to do next. Where rota has never run, nothing is created.
pub(super) fn run(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let config = Config::load(&setup.sources)?.config;
    let body = match config.state_dir.exists() || setup.json {
        true => succeed(call(setup, Method::GET, "/api/status", None)?)?,
        false => Value::Null,
    };
    let accounts = body["accounts"].as_array().map_or(0, Vec::len);
    if setup.json || accounts > 0 {
        status::once(setup, &body, out)?;
        if !setup.json {
            writeln!(out, "\n  rota --help                  everything there is")?;
        }
        return Ok(Exit::Done);
    }
    match body["proxy"][0].as_str() {
        Some(address) => writeln!(out, "No accounts yet; rota listens on {address}.")?,
        None => {
            let address = config.listen.first().and_then(|listen| listen.addresses().into_iter().next());
            let address = address.map_or_else(String::new, |address| format!(" on {address}"));
            writeln!(out, "No accounts yet, and nothing is listening{address}.")?;
        }
    }
    writeln!(out)?;
    for (command, what) in first_steps(setup) {
        writeln!(out, "{}", format!("  {command:<28} {what}").trim_end())?;
    }
    Ok(Exit::Done)
}

/// What there is to begin with; a login that another program has can be taken over.
fn first_steps(setup: &Setup) -> Vec<(String, String)> {
    let step = |command: &str, what: &str| (command.to_owned(), what.to_owned());
    let home = home(setup);
    let has = |client: &Client| home.place(*client).is_some_and(|place| place.exists());
    let there = Client::ALL.into_iter().filter(has).map(|client| {
        let what = format!("take over the login that {} already has", client.title());
        (format!("rota import {}", client.as_str()), what)
    });
    let mut steps = vec![step("rota login work", "sign in to an account and call it \"work\"")];
    steps.extend(there);
    steps.push(step("rota accounts add work --provider ID --key-file FILE", ""));
    steps.push(step("", "add an account that has a key"));
    steps.push(step("rota demo", "see a failover, with no account and no network"));
    steps.push(step("rota --help", "everything else"));
    steps
}
