//! `rota login`: starts a login job, shows what the person has to do, hands over what is pasted, and tells how it ended.
//! The job itself is the admin API's; nothing here sees a token.
mod choice;
mod course;
mod input;
mod words;

use super::api::{Answerer, Link, linked, succeed};
use super::probe::ask_about;
use super::{CliError, Exit, Setup, browser, next, render};
use crate::config::Config;
use crate::model::Provider;
use choice::Choice;
use clap::Args;
use course::{Course, Stop};
use http::Method;
use input::Lines;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use words::{Page, Teller};

#[derive(Args)]
pub(super) struct Login {
    /// The account: a new name, or one that has to sign in again; then only its credential changes [default: a new
    /// account, called after its provider]
    alias: Option<String>,
    /// Where to sign in: codex, anthropic, or one of your own with a login [default: the account's]
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// Show a code to type in on another device
    #[arg(long, conflicts_with = "no_browser")]
    device: bool,
    /// Open no browser here: show the address, and read from standard input what the page shows or where it ends
    #[arg(long)]
    no_browser: bool,
}

/// A login that has ended, or was stopped.
struct Ended {
    alias: String,
    job: Value,
    accounts: Vec<Value>,
    answerer: Answerer,
}

impl Login {
    pub(super) fn run(self, setup: &Setup, out: &mut dyn Write) -> Result<Exit, CliError> {
        let providers = Config::load(&setup.sources)?.config.providers;
        let ended = linked(setup, async |link| self.sign_in(setup, &providers, link).await)?;
        if setup.json {
            writeln!(out, "{}", ended.job)?;
        }
        let Ended { alias, job, accounts, answerer } = ended;
        if job["state"] != "succeeded" {
            return Err(unsuccessful(&job));
        }
        let account = accounts.iter().find(|account| account["alias"] == *alias);
        if setup.json {
            return Ok(Exit::Done);
        }
        for line in account.map(|account| words::signed_in(account, render::now())).unwrap_or_default() {
            writeln!(out, "{line}")?;
        }
        if accounts.len() == 1 || answerer == Answerer::Inside {
            let provider = account.and_then(|account| account["provider"].as_str()).unwrap_or_default();
            next::tell(&next::steps(accounts.len(), provider), out)?;
        }
        Ok(Exit::Done)
    }

    async fn sign_in(
        &self,
        setup: &Setup,
        providers: &[Provider],
        link: &mut Link,
    ) -> Result<Ended, CliError> {
        let mut lines = self.reads().then(Lines::of_stdin);
        let there = accounts(link).await?;
        let known =
            there.iter().find(|account| self.alias.as_deref().is_some_and(|it| account["alias"] == it));
        let provider = match known {
            Some(account) => {
                self.provider.clone().or_else(|| account["provider"].as_str().map(str::to_owned))
            }
            None => Some(self.choose(providers, &mut lines).await?),
        };
        let alias = match &self.alias {
            Some(alias) => alias.clone(),
            None => free_name(provider.as_deref().unwrap_or_default(), &there),
        };
        let stop = Stop::listen()?;
        let answerer = link.answerer();
        let mut teller = Teller::new();
        if answerer == Answerer::Inside {
            teller.say("rota is not running: this command keeps the store, and `rota serve` cannot start, until it ends.");
        }
        let mut body = json!({"alias": alias, "provider": provider});
        if let Some(flow) = self.flow() {
            body["flow"] = json!(flow);
        }
        let job = self.begin(link, &alias, body, &mut teller).await?;
        if lines.is_none() && job["flow"] == "paste" {
            lines = Some(Lines::of_stdin());
        }
        let page = self.page(setup, &job);
        for line in words::instructions(&job, page, other_way(providers, &job)) {
            teller.say(&line);
        }
        if lines.is_some() && job["flow"] == "browser" {
            teller.say("  it ends at a page that cannot be opened? paste the address of that page here");
        }
        let job = Course { link, lines, teller, stop }.run(job).await?;
        if job["state"] == "succeeded" {
            ask_about(link, &alias).await?;
        }
        Ok(Ended { alias, job, accounts: accounts(link).await?, answerer })
    }

    /// Starts a job. One of this account that is under way is joined, unless another way was asked for: it may be rota's own,
    /// or that of a command that was killed.
    async fn begin(
        &self,
        link: &mut Link,
        alias: &str,
        body: Value,
        teller: &mut Teller,
    ) -> Result<Value, CliError> {
        let answer = link.call(Method::POST, "/api/login", Some(body.clone())).await?;
        let error = &answer.body["error"];
        if error["code"] != "LOGIN_IN_PROGRESS" {
            return succeed(answer);
        }
        let path = course::path_of(&error["details"]["id"]);
        let job = succeed(link.call(Method::GET, &path, None).await?)?;
        if self.flow().is_none_or(|flow| job["flow"] == flow) {
            teller.say(&format!("A sign-in of {alias} is under way already; this is it."));
            return Ok(job);
        }
        course::cancel(link, &path).await?;
        teller.say(&format!("A sign-in of {alias} that was under way is called off."));
        succeed(link.call(Method::POST, "/api/login", Some(body)).await?)
    }

    /// Pasted addresses are taken where they are asked for, and on a terminal, where anything can be typed.
    fn reads(&self) -> bool {
        self.no_browser || std::io::stdin().is_terminal()
    }

    fn flow(&self) -> Option<&'static str> {
        match (self.device, self.no_browser) {
            (true, _) => Some("device"),
            (false, true) => Some("paste"),
            (false, false) => None,
        }
    }

    async fn choose(&self, providers: &[Provider], lines: &mut Option<Lines>) -> Result<String, CliError> {
        // It is only shown: without an alias, one is found once the provider is known.
        let alias = self.alias.as_deref().unwrap_or("work");
        let hint = self.alias.as_deref().unwrap_or_default();
        let offers = match choice::choose(providers, self.provider.as_deref(), hint)? {
            Choice::Take(provider) => return Ok(provider.id.to_string()),
            Choice::Ask(offers) => offers,
        };
        let (Some(lines), true) = (lines, std::io::stdin().is_terminal()) else {
            return Err(choice::unasked(&offers, alias));
        };
        eprintln!("Which provider?");
        for (place, offer) in offers.iter().enumerate() {
            eprintln!("  {}  {:<14} {}", place + 1, offer.id.as_str(), offer.name);
        }
        eprint!("> ");
        let answer = lines.next().await.unwrap_or_default();
        let chosen = choice::answered(&offers, &answer);
        chosen.map(|provider| provider.id.to_string()).ok_or_else(|| choice::unasked(&offers, alias))
    }

    fn page(&self, setup: &Setup, job: &Value) -> Page {
        match job["authorizeUrl"].as_str() {
            Some(address) if job["flow"] == "browser" => match browser::open(&setup.sources, address) {
                true => Page::Opened,
                false => Page::Unopened,
            },
            Some(_) | None => Page::Shown,
        }
    }
}

/// A name that no account has: the provider's, or that with the first number that is free.
fn free_name(provider: &str, accounts: &[Value]) -> String {
    let names =
        std::iter::once(provider.to_owned()).chain((2..).map(|number| format!("{provider}-{number}")));
    let is_taken = |name: &String| accounts.iter().any(|account| account["alias"] == **name);
    names.into_iter().find(|name| !is_taken(name)).unwrap_or_else(|| provider.to_owned())
}

/// The option for those who have no browser here.
fn other_way(providers: &[Provider], job: &Value) -> &'static str {
    let provider = providers.iter().find(|provider| job["provider"] == provider.id.as_str());
    match provider.and_then(|provider| provider.login.as_ref()?.device.as_ref()) {
        Some(_) => "--device",
        None => "--no-browser",
    }
}

async fn accounts(link: &mut Link) -> Result<Vec<Value>, CliError> {
    let body = succeed(link.call(Method::GET, "/api/accounts", None).await?)?;
    Ok(body["accounts"].as_array().cloned().unwrap_or_default())
}

fn unsuccessful(job: &Value) -> CliError {
    let message = job["error"]["message"].as_str().unwrap_or("stopped");
    let code = job["error"]["code"].as_str().map_or_else(String::new, |code| format!(" [{code}]"));
    let message = format!("{message}\n  {}{code}", words::undone(job));
    CliError { exit: Exit::SignIn, message }
}
