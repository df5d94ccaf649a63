use super::error::LoginError;
use super::job::LoginFlow;
use crate::model::{
    Account, AccountId, Actor, Alias, BrowserFlow, CredentialKind, DeviceFlow, LoginFlows, Loopback,
    Provider, ProviderId, Snapshot, TokenEndpoint,
};

/// What is to be done, all of it known before a job begins.
pub(super) struct Plan {
    pub(super) alias: Alias,
    /// None for a new account.
    pub(super) account: Option<AccountId>,
    pub(super) provider: ProviderId,
    pub(super) endpoint: TokenEndpoint,
    pub(super) way: Way,
}

/// How the person signs in.
pub(super) enum Way {
    /// In a browser; where it comes back to is listened on.
    Browser(BrowserFlow, Loopback),
    /// In a browser somewhere; what it ends at is pasted.
    Paste(BrowserFlow, Redirect),
    /// Anywhere.
    Device(DeviceFlow),
}

/// Where a browser that cannot come back is sent.
pub(super) enum Redirect {
    /// A page of the provider's, which shows the code.
    Page(String),
    /// An address on the browser's own machine, where nobody answers.
    Nowhere(Loopback),
}

impl Way {
    pub(super) fn flow(&self) -> LoginFlow {
        match self {
            Self::Browser(..) => LoginFlow::Browser,
            Self::Paste(..) => LoginFlow::Paste,
            Self::Device(_) => LoginFlow::Device,
        }
    }
}

/// What is asked for.
pub(super) struct Wanted<'a> {
    pub(super) alias: &'a Alias,
    /// May be left out for an account there is.
    pub(super) provider: Option<&'a ProviderId>,
    /// None: the first there is, in the order that suits whoever asks.
    pub(super) flow: Option<LoginFlow>,
    pub(super) by: Actor,
}

/// What a human is offered first: the least work.
const FOR_A_HUMAN: [LoginFlow; 3] = [LoginFlow::Browser, LoginFlow::Paste, LoginFlow::Device];
/// What rota begins on its own: whoever is told of it may be at another machine, so a listener on this one would wait in
/// vain, and hold a port that a human's own sign-in needs.
const IN_THE_BACKGROUND: [LoginFlow; 3] = [LoginFlow::Device, LoginFlow::Paste, LoginFlow::Browser];

pub(super) fn plan(world: &Snapshot, wanted: &Wanted<'_>) -> Result<Plan, LoginError> {
    let account = world.by_alias(wanted.alias);
    if let Some(account) = account {
        may_sign_in(account, wanted.provider)?;
    }
    let id = match (account, wanted.provider) {
        (Some(account), _) => &account.provider,
        (None, Some(given)) => given,
        (None, None) => return Err(LoginError::ProviderNeeded(wanted.alias.clone())),
    };
    let Some(preset) = world.provider(id) else {
        let known = world.providers.iter().map(|preset| preset.id.to_string()).collect();
        return Err(LoginError::UnknownProvider { given: id.clone(), known });
    };
    let (flows, endpoint) = sign_in_of(preset).ok_or_else(|| LoginError::NoLogin(id.clone()))?;
    let order = match wanted.by {
        Actor::Admin | Actor::Cli | Actor::Dashboard => FOR_A_HUMAN,
        Actor::Config | Actor::Engine => IN_THE_BACKGROUND,
    };
    let asked = wanted.flow.map_or(order.to_vec(), |flow| vec![flow]);
    let Some(way) = asked.into_iter().find_map(|flow| way(flows, flow)) else {
        return Err(none_such(flows, id, wanted.flow));
    };
    Ok(Plan {
        alias: wanted.alias.clone(),
        account: account.map(|account| account.id),
        provider: id.clone(),
        endpoint: endpoint.clone(),
        way,
    })
}

fn may_sign_in(account: &Account, provider: Option<&ProviderId>) -> Result<(), LoginError> {
    let alias = || account.alias.clone();
    if provider.is_some_and(|given| *given != account.provider) {
        return Err(LoginError::ProviderMismatch { alias: alias(), provider: account.provider.clone() });
    }
    if !account.is_on() {
        return Err(LoginError::Disabled(alias()));
    }
    match account.credential.credential().map(|credential| credential.kind) {
        Some(CredentialKind::ApiKey | CredentialKind::Bearer) => Err(LoginError::KeyAccount(alias())),
        Some(CredentialKind::Oauth) | None => Ok(()),
    }
}

fn sign_in_of(preset: &Provider) -> Option<(&LoginFlows, &TokenEndpoint)> {
    let takes_tokens = preset.inject.contains_key(&CredentialKind::Oauth);
    preset.login.as_ref().zip(preset.endpoint()).filter(|_| takes_tokens)
}

fn way(flows: &LoginFlows, flow: LoginFlow) -> Option<Way> {
    match flow {
        LoginFlow::Browser => {
            let browser = flows.browser.clone()?;
            let loopback = browser.loopback.clone()?;
            Some(Way::Browser(browser, loopback))
        }
        LoginFlow::Paste => {
            let browser = flows.browser.clone()?;
            let redirect = match (&browser.paste, &browser.loopback) {
                (Some(page), _) => Redirect::Page(page.clone()),
                (None, Some(loopback)) => Redirect::Nowhere(loopback.clone()),
                (None, None) => return None,
            };
            Some(Way::Paste(browser, redirect))
        }
        LoginFlow::Device => flows.device.clone().map(Way::Device),
    }
}

/// The ways in which a person can sign in to a provider, the one taken unless another is asked for first; none where it
/// has no sign-in.
pub fn ways_of(preset: &Provider) -> Vec<LoginFlow> {
    sign_in_of(preset).map(|(flows, _)| there(flows).collect()).unwrap_or_default()
}

fn there(flows: &LoginFlows) -> impl Iterator<Item = LoginFlow> {
    FOR_A_HUMAN.into_iter().filter(|flow| way(flows, *flow).is_some())
}

fn none_such(flows: &LoginFlows, provider: &ProviderId, asked: Option<LoginFlow>) -> LoginError {
    match asked {
        Some(flow) => LoginError::FlowUnavailable {
            provider: provider.clone(),
            flow: flow.as_str(),
            there: there(flows).map(LoginFlow::as_str).collect(),
        },
        None => LoginError::NoLogin(provider.clone()),
    }
}
