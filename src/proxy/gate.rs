//! Who may pass, before routing: pure checks on a request's head, the same for every path. They keep web pages out, with
//! or without DNS rebinding, and let nothing through that two programs could frame differently. No check here answers
//! with an `Access-Control` header: there is none to allow anybody.
use super::error::Turned;
use super::keys::{Asked, Keys};
use crate::model::ClientKey;
use http::header::{EXPECT, HOST, HeaderMap, HeaderName, ORIGIN, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method};
use std::sync::Arc;

/// The longest request target, in bytes.
pub(crate) const LONGEST_TARGET: usize = 8 * 1024;
/// What this machine calls itself.
const NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const PREFLIGHT: HeaderName = HeaderName::from_static("access-control-request-method");

/// Whom one listener answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    hosts: Vec<String>,
    port: String,
    asked: Asked,
}

/// What the configuration adds to a listener's own names.
#[derive(Clone, Copy, Debug)]
pub struct Extra<'a> {
    /// Further host names; one that names a port stands for that port only.
    pub hosts: &'a [String],
    /// Further values of `Origin`, scheme included.
    pub origins: &'a [String],
    /// Keys of which a request must name one.
    pub keys: Keys<'a>,
}

/// A request that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// What its target is.
    pub target: Target,
    /// Whose key it named, where that is a client's own.
    pub client: Option<&'a Arc<ClientKey>>,
}

/// What the request target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A path: the provider is found by it.
    Path,
    /// A URL, as a client sends it to an HTTP proxy: the provider is found by its host (PRX-7).
    Url(Authority),
}

impl Gate {
    /// The gate of a listener on `port`: it answers to the loopback's three names.
    pub fn new(port: u16) -> Self {
        let hosts = NAMES.iter().map(|name| format!("{name}:{port}")).collect();
        let gate = Self { hosts, port: port.to_string(), asked: Asked::OnceThereIsOne };
        if port == 80 { gate.without_port() } else { gate }
    }

    /// The same, also where no port is named: for a Unix socket, where there is none.
    pub fn without_port(mut self) -> Self {
        self.hosts.extend(NAMES.map(str::to_owned));
        self
    }

    /// The same where a key decides alone who comes in: it is asked for whatever the configuration comes to say.
    pub fn with_keys_only(mut self) -> Self {
        self.asked = Asked::Always;
        self
    }

    /// Lets a request's head pass, or says why not. The order is part of the promise: a web page learns nothing of
    /// methods, paths or keys.
    pub fn admit<'a>(&self, head: &Parts, extra: &Extra<'a>) -> Result<Admitted<'a>, Turned> {
        let target = target(head)?;
        self.check_host(&head.headers, &target, extra)?;
        self.check_page(head, extra)?;
        check_method(&head.method)?;
        check_framing(&head.headers)?;
        check_values(&head.headers)?;
        let asked = if self.asked == Asked::Always { Asked::Always } else { extra.keys.asked };
        let client = Keys { asked, ..extra.keys }.client(&head.headers)?;
        check_path(head)?;
        Ok(Admitted { target, client })
    }

    /// Exactly one `Host`, and one of ours; the host of a URL target may repeat that URL's instead.
    fn check_host(&self, headers: &HeaderMap, target: &Target, extra: &Extra<'_>) -> Result<(), Turned> {
        let host = sole(headers, &HOST).map_err(|Several| Turned::HostCount)?;
        let host = host.ok_or(Turned::HostCount)?.as_bytes();
        let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(host);
        let repeated = match target {
            Target::Path => false,
            Target::Url(authority) => is(authority.as_str()),
        };
        let ours = self.hosts.iter().any(|name| is(name));
        if ours || repeated || extra.hosts.iter().any(|name| self.names(host, name)) {
            return Ok(());
        }
        Err(Turned::HostForeign)
    }

    /// Nothing that a browser sends for a page that is not ours.
    fn check_page(&self, head: &Parts, extra: &Extra<'_>) -> Result<(), Turned> {
        if head.method == Method::OPTIONS && head.headers.contains_key(&PREFLIGHT) {
            return Err(Turned::Preflight);
        }
        let origin = sole(&head.headers, &ORIGIN).map_err(|Several| Turned::OriginForeign)?;
        if let Some(origin) = origin
            && !self.is_own_origin(origin, extra)
        {
            return Err(Turned::OriginForeign);
        }
        let site = sole(&head.headers, &SEC_FETCH_SITE).map_err(|Several| Turned::CrossSite)?;
        match site.map(HeaderValue::as_bytes) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(Turned::CrossSite),
        }
    }

    /// True when `host` is `name`, with or without this listener's port.
    fn names(&self, host: &[u8], name: &str) -> bool {
        let (head, tail) = host.split_at(host.len().min(name.len()));
        let port = tail.strip_prefix(b":").and_then(|p| std::str::from_utf8(p).ok());
        head.eq_ignore_ascii_case(name.as_bytes())
            && (tail.is_empty() || port.is_some_and(|port| port == self.port))
    }

    fn is_own_origin(&self, origin: &HeaderValue, extra: &Extra<'_>) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let own = origin.strip_prefix("http://");
        let own = own.is_some_and(|host| self.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)));
        own || extra.origins.iter().any(|allowed| allowed == origin)
    }
}

/// There are several values where one may be.
struct Several;

fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Several> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Several),
    }
}

fn target(head: &Parts) -> Result<Target, Turned> {
    if head.method == Method::CONNECT {
        return Err(Turned::Connect);
    }
    let long = head.uri.path_and_query().map_or(0, |p| p.as_str().len());
    let Some(authority) = head.uri.authority() else {
        return match (head.uri.path().starts_with('/'), long > LONGEST_TARGET) {
            (false, _) => Err(Turned::Target),
            (true, true) => Err(Turned::TargetTooLong),
            (true, false) => Ok(Target::Path),
        };
    };
    let web = matches!(head.uri.scheme_str(), Some("http" | "https"));
    if !web || authority.as_str().contains('@') {
        return Err(Turned::Target);
    }
    if long + authority.as_str().len() > LONGEST_TARGET {
        return Err(Turned::TargetTooLong);
    }
    Ok(Target::Url(authority.clone()))
}

fn check_method(method: &Method) -> Result<(), Turned> {
    let known = [
        Method::GET,
        Method::POST,
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    match known.contains(method) {
        true => Ok(()),
        false => Err(Turned::Method),
    }
}

/// What a server's own reading lets pass: several codings where it is hyper's, as the admin API's, and expectations nobody
/// defined.
fn check_framing(headers: &HeaderMap) -> Result<(), Turned> {
    match sole(headers, &TRANSFER_ENCODING) {
        Ok(None) => {}
        Ok(Some(coding)) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        Ok(Some(_)) | Err(Several) => return Err(Turned::TransferCoding),
    }
    match sole(headers, &EXPECT) {
        Ok(None) => Ok(()),
        Ok(Some(what)) if what.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(()),
        Ok(Some(_)) | Err(Several) => Err(Turned::Expectation),
    }
}

/// A parser refuses control characters; bytes above ASCII are read differently by different programs.
fn check_values(headers: &HeaderMap) -> Result<(), Turned> {
    let bad = headers.iter().find(|(_, value)| !value.as_bytes().is_ascii());
    match bad {
        None => Ok(()),
        Some((name, _)) => Err(Turned::HeaderValue(name.clone())),
    }
}

/// True for a path that another program could read as a different one. Asked only where there is a sign of it.
fn is_folded(path: &str) -> bool {
    let dots = path.contains("..") || path.contains("/./") || path.ends_with("/.");
    dots || path.contains("//") || path.contains('\\')
}

/// ROU-4: paths are matched byte by byte, so what another program would fold into a different path is refused. The
/// query is the provider's to read.
fn check_path(head: &Parts) -> Result<(), Turned> {
    let whole = head.uri.path_and_query().map_or("", |p| p.as_str());
    let path = head.uri.path();
    // A path begins with a slash.
    let mut pairs = path.as_bytes().windows(2);
    let odd = pairs.any(|pair| matches!(pair, b".." | b"//" | b"/." | [_, b'\\']));
    if !whole.is_ascii() || odd && is_folded(path) {
        return Err(Turned::Path);
    }
    if !path.as_bytes().contains(&b'%') {
        return Ok(());
    }
    let escapes = path.as_bytes().windows(3).filter(|escape| escape.starts_with(b"%"));
    let folded =
        |escape: &[u8]| [b"%00", b"%2e", b"%2f", b"%5c"].iter().any(|bad| escape.eq_ignore_ascii_case(*bad));
    match escapes.into_iter().any(folded) {
        true => Err(Turned::Path),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
