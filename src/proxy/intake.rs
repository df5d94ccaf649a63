//! What a client's request becomes before rotation sees it: its session key, the headers that may go upstream, and a
//! body that can be sent again. The header map is the client's own, cleaned in place.
use super::bonds::{self, Binding, Bonds};
use super::error::Turned;
use super::flight;
use super::model::{self as named, Told};
use super::route::Routed;
use super::talk::ClientBody;
use super::upload::{Upload, UploadBounds};
use crate::app::App;
use crate::engine::{Bond, Failover, Held, RoutingRequest};
use crate::model::{AccountId, Affinity, LostReply, MarkerClass, ModelName, Provider, SessionKey, Time};
use crate::upstream::{OutboundBody, OutboundRequest};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::PathAndQuery;
use http_body_util::Full;
use std::pin::pin;
use std::sync::Arc;

/// rota's own name for a session; goes before the provider's.
const ROTA_SESSION: HeaderName = HeaderName::from_static("x-rota-session");

/// A request that is ready to be sent, as often as need be.
#[derive(Debug)]
pub(super) struct Intake {
    /// Its method.
    pub(super) method: http::Method,
    /// Path and query at the provider.
    pub(super) path_and_query: PathAndQuery,
    /// What goes upstream, but for the account's own headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) upload: Upload,
    /// The provider.
    pub(super) provider: Arc<Provider>,
    /// What binds it to an account.
    pub(super) binding: Binding,
    bonds: Bonds,
    replay_safe: bool,
}

/// A request for one attempt.
pub(super) struct Outbound {
    pub(super) request: OutboundRequest,
    /// Items that were left out of it.
    pub(super) left_out: usize,
}

impl Intake {
    /// Takes a request that passed the gate and has a route. Also tells what rotation needs to know of it.
    pub(super) fn take(
        head: Parts,
        body: ClientBody,
        routed: Routed,
        bounds: UploadBounds,
    ) -> (Self, Option<SessionKey>) {
        let mut headers = head.headers;
        let session = session_key(&headers, &routed.provider);
        strip(&mut headers, &routed.provider);
        let intake = Self {
            method: head.method,
            path_and_query: routed.path_and_query,
            headers,
            upload: Upload::new(body, bounds),
            provider: routed.provider,
            binding: Binding::default(),
            bonds: Bonds::default(),
            replay_safe: routed.replay_safe,
        };
        (intake, session)
    }

    /// The model it asks for: in its path, or in the beginning of a body that is not compressed.
    ///
    /// # Errors
    /// The client broke the body.
    pub(super) async fn model(&self) -> Result<Option<ModelName>, Turned> {
        let named = named::in_path(self.provider.dialect, self.path_and_query.path());
        if named.is_some() || self.headers.contains_key(CONTENT_ENCODING) {
            return Ok(named);
        }
        let begun = pin!(self.upload.begin(named::LOOKED_AT, named::is_told)).await?;
        match named::in_body(&begun) {
            Told::Model(model) => Ok(Some(model)),
            Told::More | Told::Nothing => Ok(None),
        }
    }

    /// What the body says of where the request belongs; `session` is what a header named.
    ///
    /// # Errors
    /// The client broke the body.
    pub(super) async fn bonds(&mut self, session: Option<&SessionKey>) -> Result<(), Turned> {
        let conversation = &self.provider.conversation;
        self.bonds = pin!(Bonds::read(&self.upload, &self.headers, conversation, session)).await?;
        Ok(())
    }

    /// What rotation is asked for.
    pub(super) fn routing(
        &mut self,
        model: Option<ModelName>,
        session: Option<SessionKey>,
        app: &App,
        now: Time,
    ) -> RoutingRequest {
        let world = app.state.peek();
        let session = match world.settings.affinity {
            Affinity::None => None,
            Affinity::Session => session.or_else(|| self.bonds.session.clone()),
        };
        let provider = self.provider.id.clone();
        let mut binding = self.bonds.binding(&self.provider, &app.owners, &world, now);
        if self.held() == Held::Gone {
            binding.bond = Bond::Fast;
        }
        self.binding = binding;
        let pinned = (session.as_ref()).and_then(|it| app.affinity.find(&provider, it, now));
        let pinned = pinned.or(binding.better);
        let Binding { owner, bond, .. } = binding;
        let replay_safe = self.replay_safe;
        let (only, permitted) = (None, None);
        RoutingRequest { provider, model, session, pinned, owner, bond, only, permitted, replay_safe }
    }

    /// The request for the next attempt, for `account`; an earlier attempt's body gets no more. What only another
    /// account can read is left out of it, where that may be: all of it where the upstream could not read its own.
    pub(super) fn outbound(&mut self, account: AccountId, way: &Failover, app: &App, now: Time) -> Outbound {
        // The first attempt has the map that has room for what is put in.
        let kept = self.headers.clone();
        let mut request = OutboundRequest {
            method: self.method.clone(),
            path_and_query: self.path_and_query.clone(),
            headers: std::mem::replace(&mut self.headers, kept),
            body: OutboundBody::new(self.upload.attempt()),
        };
        bonds::keep_turn(&mut request.headers, &self.provider.conversation, account, app, now);
        let mut left_out = 0;
        let foreign = way.strips() || self.bonds.is_foreign_to(account, &app.owners, now);
        if self.binding.bond == Bond::Loose && foreign {
            let keeps =
                |mark| !way.strips() && app.owners.owner(mark, now).is_none_or(|owner| owner == account);
            if let Some(sanitized) = bonds::without_reasoning(&self.upload, &self.headers, keeps) {
                left_out = sanitized.dropped;
                flight::left_out(account, left_out);
                request.headers.remove(CONTENT_ENCODING);
                request.body = OutboundBody::new(Full::new(Bytes::from(sanitized.body)));
            }
        }
        Outbound { request, left_out }
    }

    /// The provider's own error for a request whose owner cannot serve, where its client begins anew on that.
    pub(super) fn lost(&self) -> Option<LostReply> {
        let chained = self.binding.class == Some(MarkerClass::Chain);
        self.provider.conversation.lost.clone().filter(|_| chained)
    }

    /// Whether the body can be sent again.
    pub(super) fn held(&self) -> Held {
        if self.upload.is_held() { Held::Whole } else { Held::Gone }
    }
}

/// The first header that names a session wins; a value that cannot be a key counts as none.
pub(super) fn session_key(headers: &HeaderMap, provider: &Provider) -> Option<SessionKey> {
    let ours = ROTA_SESSION;
    std::iter::once(&ours)
        .chain(&provider.session_headers)
        // Few headers have such names: to compare costs less than to look each name up.
        .filter(|name| headers.keys().any(|held| held == *name))
        .filter_map(|name| Some((name, headers.get(name)?.to_str().ok()?)))
        .find_map(|(name, value)| SessionKey::new(name.clone(), value))
}

/// Removes what is for this hop only, what a client may not say for an account, and what the provider's preset names.
/// It runs before anything is injected, so that a client cannot nominate an injected header away.
pub(super) fn strip(headers: &mut HeaderMap, provider: &Provider) {
    for name in nominated(headers) {
        headers.remove(name);
    }
    remove_where(headers, |name| stays_here(name.as_str()) || provider.strip.contains(name));
}

/// Removes every header whose name `goes`. Names are in lower case.
pub(super) fn remove_where(headers: &mut HeaderMap, goes: impl Fn(&HeaderName) -> bool) {
    let mut passed = 0;
    while let Some((at, name)) = headers.keys().enumerate().skip(passed).find(|(_, name)| goes(name)) {
        let name = name.clone();
        // The last one comes in its place.
        passed = at;
        headers.remove(&name);
    }
}

/// The headers that `Connection` calls hop-by-hop (RFC 9110 §7.6.1).
pub(super) fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let options = headers.get_all(CONNECTION).iter();
    let options = options.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let named = options.map(<[u8]>::trim_ascii).filter(|option| {
        !option.is_empty()
            && !option.eq_ignore_ascii_case(b"keep-alive")
            && !option.eq_ignore_ascii_case(b"close")
    });
    named.filter_map(|option| HeaderName::from_bytes(option).ok()).collect()
}

/// True for request headers that never go upstream. Names are in lower case.
fn stays_here(name: &str) -> bool {
    match name {
        // Framing and this hop's own: written anew.
        "connection" | "content-length" | "expect" | "host" | "http2-settings" | "keep-alive" | "te"
        | "trailer" | "transfer-encoding" | "upgrade" => true,
        // Credentials.
        "api-key" | "authorization" | "cookie" | "cookie2" | "x-api-key" | "x-goog-api-key" => true,
        // Where the request came from: nobody's business.
        "cdn-loop" | "forwarded" | "true-client-ip" | "via" | "x-real-ip" => true,
        other => match other.as_bytes() {
            [b'c', b'f', b'-', ..] => true,
            [b'p' | b'x', ..] => {
                ["proxy-", "x-forwarded-", "x-rota-"].iter().any(|prefix| other.starts_with(prefix))
            }
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests;
