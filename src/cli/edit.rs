use super::accounts::text;
use super::api::{call, succeed};
use super::{CliError, Exit, Setup};
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use std::io::Write;

#[derive(Args)]
pub(super) struct Rename {
    /// Which account
    alias: String,
    /// Its new name: 1 to 64 of a-z 0-9 . _ -
    to: String,
}

#[derive(Args)]
pub(super) struct Weight {
    /// Which account
    alias: String,
    /// Its share under the weighted strategy: above 0, at most 1
    share: f64,
}

/// What is written beside an account's name. What is not given stays as it is.
#[derive(Args)]
pub(super) struct Set {
    /// Which account
    alias: String,
    /// Its share under the weighted strategy: above 0, at most 1
    #[arg(long)]
    weight: Option<f64>,
    /// A label, in place of those it has; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Take its labels away
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// A note for yourself; empty takes it away
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Accounts of one group share their provider's spend limits
    #[arg(long, value_name = "NAME")]
    quota_group: Option<String>,
    /// Take it out of its quota group
    #[arg(long, conflicts_with = "quota_group")]
    no_quota_group: bool,
}

impl Rename {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let account = edit(setup, &self.alias, json!({"alias": self.to}))?;
        told(setup, out, &account, || format!("{} is now called {}", self.alias, self.to))
    }
}

impl Weight {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let account = edit(setup, &self.alias, json!({"weight": self.share}))?;
        told(setup, out, &account, || format!("{} has the weight {}", self.alias, account["weight"]))
    }
}

impl Set {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let mut body = json!({});
        if let Some(weight) = self.weight {
            body["weight"] = json!(weight);
        }
        if !self.tags.is_empty() || self.no_tags {
            body["tags"] = json!(self.tags);
        }
        if let Some(note) = self.note {
            body["notes"] = json!(note);
        }
        if self.quota_group.is_some() || self.no_quota_group {
            body["quotaGroup"] = json!(self.quota_group);
        }
        let account = edit(setup, &self.alias, body)?;
        told(setup, out, &account, || format!("{} is changed", text(&account["alias"])))
    }
}

fn edit(setup: &Setup, alias: &str, body: Value) -> Result<Value, CliError> {
    succeed(call(setup, Method::PATCH, &format!("/api/accounts/{alias}"), Some(body))?)
}

fn told(
    setup: &Setup,
    out: &mut dyn Write,
    account: &Value,
    words: impl FnOnce() -> String,
) -> Result<Exit, CliError> {
    if setup.json {
        writeln!(out, "{account}")?;
    } else {
        writeln!(out, "{}", words())?;
    }
    Ok(Exit::Done)
}
