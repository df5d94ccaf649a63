//! What a path means (ROU-1 to ROU-3): which provider, and which path there. Pure: a snapshot and a request's head in, a
//! value out.
use super::error::Turned;
use super::gate::Target;
use crate::model::{Provider, ProviderId, Snapshot};
use crate::runs;
use bytes::Bytes;
use http::HeaderMap;
use http::Uri;
use http::uri::{Authority, PathAndQuery};
use std::sync::Arc;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Routed {
    /// To whom.
    pub(super) provider: Arc<Provider>,
    /// Path and query there: base, mapped path, and the client's query byte for byte.
    pub(super) path_and_query: PathAndQuery,
    /// The preset calls the mapped path safe to send again after a complete 5xx head.
    pub(super) replay_safe: bool,
    /// The mapped path speaks WebSocket.
    pub(super) websocket: bool,
}

impl Routed {
    /// `path` is the mapped one, which `path_and_query` holds behind the provider's base.
    fn at(provider: &Arc<Provider>, path: &str, path_and_query: PathAndQuery) -> Self {
        let (replay_safe, websocket) = (provider.replays(path), provider.speaks_websocket(path));
        Self { provider: provider.clone(), path_and_query, replay_safe, websocket }
    }
}

/// A provider's own prefix means it, always; a URL's host means the provider it belongs to; a bare path means the
/// provider with the longest route that fits.
pub(super) fn route(
    world: &Snapshot,
    target: &Target,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Routed, Turned> {
    match target {
        Target::Path => {
            let path = runs::split(uri.path()).map_or(uri.path(), |(_, path)| path);
            if let Some((provider, rest)) = by_prefix(world, path) {
                return routed(provider, rest, uri);
            }
            let Some(provider) = by_route(world, path, headers) else {
                let ids = world.providers.iter().map(|provider| provider.id.clone());
                return Err(Turned::NoRoute { prefixes: ids.collect() });
            };
            routed(provider, path, uri)
        }
        Target::Url(authority) => {
            let path = uri.path();
            let provider = by_host(world, authority, path).ok_or(Turned::ForeignTarget)?;
            routed(provider, path, uri)
        }
    }
}

fn by_prefix<'a, 'p>(world: &'a Snapshot, path: &'p str) -> Option<(&'a Arc<Provider>, &'p str)> {
    let inner = path.strip_prefix('/')?;
    let end = inner.find('/').unwrap_or(inner.len());
    let (first, rest) = inner.split_at(end);
    let provider = world.providers.iter().find(|p| p.id.as_str() == first)?;
    Some((provider, rest))
}

/// The longest prefix; among equals one that asks for a header, then one that stands in for a provider without accounts.
fn by_route<'a>(world: &'a Snapshot, path: &str, headers: &HeaderMap) -> Option<&'a Arc<Provider>> {
    let mut best = None;
    for provider in world.providers.iter() {
        for route in &provider.routes {
            let fits = under(path, &route.prefix).is_some()
                && route.header.as_ref().is_none_or(|h| headers.contains_key(h))
                && (route.unless.as_ref()).is_none_or(|other| stands_in(world, &provider.id, other));
            let rank = (route.prefix.len(), route.header.is_some(), route.unless.is_some());
            if fits && best.is_none_or(|(known, _)| rank > known) {
                best = Some((rank, provider));
            }
        }
    }
    best.map(|(_, provider)| provider)
}

fn stands_in(world: &Snapshot, own: &ProviderId, other: &ProviderId) -> bool {
    world.accounts_of(other).next().is_none() && world.accounts_of(own).next().is_some()
}

/// Several providers may share a host; then the one whose base the path is under, else the first.
fn by_host<'a>(world: &'a Snapshot, authority: &Authority, path: &str) -> Option<&'a Arc<Provider>> {
    let same = |provider: &&Arc<Provider>| {
        let origin = &provider.origin;
        let port = authority.port_u16();
        origin.host().eq_ignore_ascii_case(authority.host())
            && port.is_none_or(|port| port == origin.port() || (origin.port() == 443 && port == 80))
    };
    let mut there = world.providers.iter().filter(same);
    let first = there.clone().next();
    there.find(|provider| !provider.base.is_empty() && under(path, &provider.base).is_some()).or(first)
}

/// `rest` is the end of the path of `uri`.
fn routed(provider: &Arc<Provider>, rest: &str, uri: &Uri) -> Result<Routed, Turned> {
    let mut maps = provider.maps.iter();
    let mapped = maps.find_map(|map| Some((map.to.as_str(), under(rest, &map.from)?)));
    let (to, tail) = mapped.unwrap_or(("", rest));
    let base = provider.base.as_str();
    let path = uri.path().strip_prefix(base).filter(|path| path.strip_prefix(to) == Some(tail));
    let stripped = &provider.strip_query[..];
    if let (Some(path), Some(same)) = (path, uri.path_and_query())
        && !same.query().is_some_and(|query| query.split('&').any(|part| is_among(part, stripped)))
    {
        return Ok(Routed::at(provider, path, same.clone()));
    }
    let (query, more) = (uri.query(), uri.query().map_or(0, |query| query.len() + 1));
    let mut whole = String::with_capacity(base.len() + to.len() + tail.len() + more);
    whole.push_str(base);
    whole.push_str(to);
    whole.push_str(tail);
    if whole.is_empty() {
        whole.push('/');
    }
    let long = whole.len();
    if let Some(query) = query {
        push_query(&mut whole, query, stripped);
    }
    let whole = PathAndQuery::from_maybe_shared(Bytes::from(whole)).map_err(|_| Turned::Path)?;
    let path = whole.as_str().get(base.len()..long).unwrap_or_default();
    Ok(Routed::at(provider, path, whole.clone()))
}

/// True where a part of a query is one of these parameters.
fn is_among(part: &str, stripped: &[String]) -> bool {
    let name = part.split_once('=').map_or(part, |(name, _)| name);
    stripped.iter().any(|strip| strip == name)
}

/// The query byte for byte, but for parameters that carry a credential.
fn push_query(whole: &mut String, query: &str, stripped: &[String]) {
    let mut mark = '?';
    if !query.split('&').any(|part| is_among(part, stripped)) {
        whole.push(mark);
        whole.push_str(query);
        return;
    }
    for part in query.split('&').filter(|part| !is_among(part, stripped)) {
        whole.push(mark);
        whole.push_str(part);
        mark = '&';
    }
}

/// What of `path` follows `prefix`, if `prefix` ends where a segment ends.
fn under<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

#[cfg(test)]
mod tests;
