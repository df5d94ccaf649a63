use super::callback::Answer;
use super::error::LoginError;
use super::inbox::Inbox;
use super::job::{Job, Offer, OwnersEyes, Progress};
use super::listener::{Callbacks, Place};
use super::logins::Work;
use super::pkce::{self, Pkce};
use super::plan::Redirect;
use super::query;
use super::trade;
use crate::auth::grant::Grant;
use crate::auth::token::Trade;
use crate::model::{BrowserFlow, Loopback, Secret, TokenEndpoint};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the callback listener lives.
const LISTENING: Duration = Duration::from_secs(5 * 60);
/// How long a pasted answer is waited for: it may come from another machine, by hand.
const PASTING: Duration = Duration::from_secs(15 * 60);

/// Signs in by a browser that comes back by itself, or whose last address is pasted.
pub(super) async fn by_callback(
    work: &Work,
    job: &Job,
    (flow, loopback): (&BrowserFlow, &Loopback),
    endpoint: &TokenEndpoint,
) -> Result<Grant, LoginError> {
    let callbacks = Callbacks::bind(loopback).await?;
    let redirect = callbacks.place().redirect();
    let visit = Visit::begin(flow, endpoint, redirect)?;
    let expires = work.clock.now().after(LISTENING);
    job.open(visit.inbox.clone());
    job.show(visit.offer.clone(), Progress::WaitingForBrowser, expires);
    let inbox = visit.inbox.clone();
    let secrets = tokio::select! {
        answer = visit.answer() => answer?,
        () = work.clock.sleep_until(expires) => return Err(LoginError::Expired),
        never = callbacks.serve(inbox) => match never {},
    };
    // Whoever comes late finds nobody, while the code is still being traded.
    drop(callbacks);
    secrets.trade(work, job, flow, endpoint).await
}

/// Signs in by a browser somewhere else; its last address, or the code it shows, is pasted.
pub(super) async fn by_paste(
    work: &Work,
    job: &Job,
    (flow, redirect): (&BrowserFlow, &Redirect),
    endpoint: &TokenEndpoint,
) -> Result<Grant, LoginError> {
    let redirect = match redirect {
        Redirect::Page(page) => page.clone(),
        Redirect::Nowhere(loopback) => match loopback.ports.first() {
            Some(port) => Place::new(loopback, *port).redirect(),
            // A port nobody is at, as far as this machine can tell.
            None => Callbacks::bind(loopback).await?.place().redirect(),
        },
    };
    let visit = Visit::begin(flow, endpoint, redirect)?;
    let expires = work.clock.now().after(PASTING);
    job.open(visit.inbox.clone());
    job.show(visit.offer.clone(), Progress::WaitingForPaste, expires);
    let secrets = tokio::select! {
        answer = visit.answer() => answer?,
        () = work.clock.sleep_until(expires) => return Err(LoginError::Expired),
    };
    secrets.trade(work, job, flow, endpoint).await
}

/// A browser that was sent off.
struct Visit {
    offer: Offer,
    inbox: Arc<Inbox>,
    answer: oneshot::Receiver<Answer>,
    verifier: Secret,
    state: Secret,
    redirect: String,
}

/// What a visit left in our hands.
struct Souvenir {
    code: Secret,
    verifier: Secret,
    state: Secret,
    redirect: String,
}

impl Visit {
    fn begin(flow: &BrowserFlow, endpoint: &TokenEndpoint, redirect: String) -> Result<Self, LoginError> {
        let Pkce { verifier, challenge } = Pkce::new()?;
        let state = pkce::state()?;
        let url = authorize_url(flow, &endpoint.client_id, &redirect, (&challenge, &state));
        let state = Secret::new(state);
        let (inbox, answer) = Inbox::new(state.clone());
        let offer = Offer {
            authorize_url: Some(OwnersEyes::new(url)),
            redirect_uri: Some(redirect.clone()),
            ..Offer::default()
        };
        Ok(Self { offer, inbox: Arc::new(inbox), answer, verifier, state, redirect })
    }

    async fn answer(self) -> Result<Souvenir, LoginError> {
        // The inbox is the job's, and outlives this.
        match self.answer.await.map_err(|_| LoginError::Internal)? {
            Answer::Code(code) => {
                Ok(Souvenir { code, verifier: self.verifier, state: self.state, redirect: self.redirect })
            }
            Answer::Refused(error) if error == Answer::DENIED => Err(LoginError::Denied),
            Answer::Refused(error) => Err(LoginError::Refused(error)),
        }
    }
}

impl Souvenir {
    async fn trade(
        &self,
        work: &Work,
        job: &Job,
        flow: &BrowserFlow,
        endpoint: &TokenEndpoint,
    ) -> Result<Grant, LoginError> {
        let trade = Trade::Code {
            code: &self.code,
            redirect: &self.redirect,
            verifier: &self.verifier,
            state: flow.state_in_exchange.then_some(&self.state),
        };
        trade::exchange(work, job, endpoint, &trade).await
    }
}

/// The page that the person opens (RFC 6749 §4.1.1, RFC 7636 §4.3).
fn authorize_url(
    flow: &BrowserFlow,
    client: &str,
    redirect: &str,
    (challenge, state): (&str, &str),
) -> String {
    let mut asked = String::new();
    let mut ask = |name: &str, value: &str| query::add(&mut asked, name, value);
    ask("response_type", "code");
    ask("client_id", client);
    ask("redirect_uri", redirect);
    if !flow.scope.is_empty() {
        ask("scope", &flow.scope);
    }
    ask("code_challenge", challenge);
    ask("code_challenge_method", "S256");
    ask("state", state);
    for (name, value) in &flow.params {
        ask(name, value);
    }
    let page = flow.authorize.to_string();
    let joint = if page.contains('?') { '&' } else { '?' };
    format!("{page}{joint}{asked}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Origin};

    /// REN-5
    #[test]
    fn the_page_is_asked_for_with_challenge_and_state_and_what_the_preset_adds() {
        let mut flow = BrowserFlow {
            authorize: Endpoint {
                origin: Origin::parse("https://id.example.com").unwrap(),
                path: "/authorize".to_owned(),
            },
            scope: "openid offline_access".to_owned(),
            params: vec![("code".to_owned(), "true".to_owned())],
            loopback: None,
            paste: None,
            state_in_exchange: true,
        };
        let url = |flow: &BrowserFlow| authorize_url(flow, "app", "http://localhost:1455/cb", ("CH", "ST"));
        assert_eq!(
            url(&flow),
            "https://id.example.com/authorize?response_type=code&client_id=app\
             &redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fcb&scope=openid%20offline_access&code_challenge=CH\
             &code_challenge_method=S256&state=ST&code=true"
        );
        flow.authorize.path = "/authorize?tenant=1".to_owned();
        flow.scope.clear();
        assert!(url(&flow).starts_with("https://id.example.com/authorize?tenant=1&response_type=code&"));
        assert!(!url(&flow).contains("scope"));
    }
}
