use super::api::{call, succeed};
use super::{CliError, Exit, Setup, status};
use crate::config::Config;
use http::Method;
use serde_json::Value;
use std::io::Write;

const START: &str = "
  rota demo                    see a failover, with no account and no network
  rota login work              sign in to an account and call it \"work\"
  rota accounts add work --provider ID --key-file FILE
                               add an account that has a key
  rota serve                   run the proxy
  rota --help                  everything else
";

/// `rota` alone: how things are and what to do next. Where rota has never run, nothing is created.
pub(super) fn run(setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
    let config = Config::load(&setup.sources)?.config;
    let body = match config.state_dir.exists() || setup.json {
        true => succeed(call(setup, Method::GET, "/api/status", None)?)?,
        false => Value::Null,
    };
    let accounts = body["accounts"].as_array().map_or(0, Vec::len);
    if setup.json || accounts > 0 {
        status::show(setup, &body, out)?;
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
    write!(out, "{START}")?;
    Ok(Exit::Done)
}
