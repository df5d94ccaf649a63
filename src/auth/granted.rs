//! Tokens that nobody signed in for: what a program prints, or an endpoint grants for the preset's own parameters.
//! Nothing is spent by asking for one, so that no attempt needs a record, and none is a reason to call a human.
use super::flight::{self, Landed, Tools, adopt, current, keep, later};
use super::grant::{Exchange, Grant};
use super::logbook::{self, Logbook};
use super::printed;
use super::refresher::Refresher;
use super::renewed::{Known, renewed};
use super::token::{TokenClient, Trade, known};
use crate::engine::RenewalFailure;
use crate::model::{
    AccountId, Alias, Credential, CredentialKind, Identity, Provider, Secret, Time, TokenCommand,
    TokenEndpoint, TokenSource,
};
use std::sync::Arc;

/// Why there is no first token. Its `Display` is a sentence for the user, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotGranted(String);

impl Refresher {
    /// The first credential of an account called `alias` at a provider that grants tokens without a login
    /// ([`Provider::grants_by_itself`]). It is kept nowhere yet.
    ///
    /// # Errors
    /// The provider wants a login, or no token came; nothing was changed.
    pub async fn first(&self, provider: &Provider, alias: &Alias) -> Result<Credential, NotGranted> {
        let tools = self.tools();
        let grant = match &provider.token {
            Some(TokenSource::Command(command)) => {
                printed_by(&tools.tokens, command, alias, tools.clock.now()).await
            }
            Some(TokenSource::Endpoint(endpoint)) if provider.grants_by_itself() => {
                granted_by(tools, endpoint, alias).await
            }
            Some(TokenSource::Endpoint(_)) | None => {
                Err(format!("provider {} grants no token without a secret or a login", provider.id))
            }
        };
        let first = renewed(&nothing(), &Known::default(), grant.map_err(NotGranted)?, tools.clock.now());
        first.map_err(|other| NotGranted(other.to_string()))
    }
}

/// What the first credential follows.
fn nothing() -> Credential {
    Credential {
        version: 0,
        kind: CredentialKind::Oauth,
        access: Secret::new(""),
        refresh: None,
        self_granted: true,
        id_token: None,
        identity: Identity::default(),
        issued: Time::default(),
        expires: None,
    }
}

async fn granted_by(tools: &Tools, endpoint: &TokenEndpoint, alias: &Alias) -> Result<Grant, String> {
    let params = tools.tokens.params(&endpoint.params, alias).await?;
    let entrance = tools.endpoints.of(&endpoint.origin);
    let Some(leave) = entrance.enter(|| tools.clock.now()).await else {
        return Err("the token endpoint has failed too often and is left alone for now".to_owned());
    };
    match tools.tokens.exchange(endpoint, &Trade::Parameters, &params, tools.deadline).await {
        Exchange::Granted(grant) => {
            leave.answered();
            Ok(*grant)
        }
        Exchange::Refused(code) => {
            leave.answered();
            Err(format!("the token endpoint refused: {code}"))
        }
        Exchange::Unclear(why) | Exchange::Unspent { why, .. } => {
            Err(format!("the token endpoint granted nothing: {why}"))
        }
    }
}

async fn printed_by(
    tokens: &TokenClient,
    command: &TokenCommand,
    alias: &Alias,
    now: Time,
) -> Result<Grant, String> {
    let words: Vec<String> = command.argv.iter().map(|word| word.of(alias)).collect();
    let text = tokens.programs().print(&words, command.timeout).await?;
    let program = words.first().map_or("", String::as_str);
    printed::read(&text, command.lifetime, now).map_err(|why| format!("the program {program:?} {why}"))
}

/// A renewal of `version` by a program, under the account's lock: what another process had printed is adopted.
pub(super) async fn renew(
    tools: &Tools,
    account: AccountId,
    credential: Arc<Credential>,
    command: &TokenCommand,
    alias: &Alias,
) -> Result<Landed, RenewalFailure> {
    let version = credential.version;
    let log = Logbook::new(logbook::lock(tools, account).await?, account, Arc::clone(&credential));
    if adopt(tools, account, version).await? || current(tools, account) != Some(version) {
        return Ok(Landed::Done);
    }
    let printed = printed_by(&tools.tokens, command, alias, tools.clock.now()).await;
    let grant = printed.map_err(|why| later(&why))?;
    let new = renewed(&credential, &known(&credential), grant, tools.clock.now())
        .map_err(|_| later("the program printed a token of another identity"))?;
    if new.access == credential.access && new.expires <= credential.expires {
        return Err(later("the program printed the same token again"));
    }
    Ok(keep(tools, new, log).await)
}

/// A refusal of what costs nothing to ask for again is no reason to call a human.
pub(super) fn softened(failure: RenewalFailure) -> RenewalFailure {
    match failure {
        RenewalFailure::Permanent { detail } => flight::later(&detail),
        RenewalFailure::Transient { .. } => failure,
    }
}
