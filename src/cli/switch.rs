use super::accounts::text;
use super::api::{call, succeed};
use super::{CliError, Exit, Setup};
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Args)]
pub(super) struct Enable {
    /// Which account
    alias: String,
}

#[derive(Args)]
pub(super) struct Disable {
    /// Which account
    alias: String,
    /// Why, for yourself
    #[arg(long)]
    reason: Option<String>,
    /// Even if it is the last enabled account of its provider
    #[arg(long)]
    force: bool,
}

impl Enable {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        switch(setup, out, &self.alias, json!({"enabled": true}))
    }
}

impl Disable {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let body = json!({"enabled": false, "reason": self.reason, "force": self.force});
        switch(setup, out, &self.alias, body)
    }
}

fn switch(setup: &Setup, out: &mut dyn Write, alias: &str, body: Value) -> Result<Exit, CliError> {
    let path = format!("/api/accounts/{alias}/enabled");
    let account = succeed(call(setup, Method::PUT, &path, Some(body))?)?;
    if setup.json {
        writeln!(out, "{account}")?;
    } else {
        writeln!(out, "{alias} is {}", text(&account["eligibility"]["state"]))?;
    }
    Ok(Exit::Done)
}
