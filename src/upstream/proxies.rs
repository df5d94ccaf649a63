use super::BuildError;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

/// The port of a SOCKS proxy that names none (RFC 1928 §3).
const SOCKS_PORT: u16 = 1080;

/// The user's own proxies towards upstreams, as their environment or configuration gives them. A loopback upstream
/// over plain http is never proxied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyValues {
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `ALL_PROXY`: where there is no `HTTPS_PROXY`.
    pub all: Option<String>,
    /// `NO_PROXY`: hosts, domains and networks that are reached directly, with commas between them.
    pub no: Option<String>,
}

/// Proxies by destination.
#[derive(Debug)]
pub(crate) struct Proxies(Option<Matcher>);

/// How to pass a proxy.
pub(super) enum Via {
    Http { proxy: Uri, auth: Option<HeaderValue> },
    Socks { proxy: Uri, auth: Option<(String, String)> },
}

impl Proxies {
    pub(crate) fn new(values: &ProxyValues) -> Result<Self, BuildError> {
        let https = given(&values.https);
        let all = given(&values.all);
        if https.is_none() && all.is_none() {
            return Ok(Self(None));
        }
        for (name, value) in [("HTTPS_PROXY", https), ("ALL_PROXY", all)] {
            check(name, value)?;
        }
        let matcher = Matcher::builder()
            .https(https.unwrap_or_default().to_owned())
            .all(all.unwrap_or_default().to_owned())
            .no(given(&values.no).unwrap_or_default().to_owned())
            .build();
        Ok(Self(Some(matcher)))
    }

    /// How to reach `to`; none is directly.
    pub(super) fn towards(&self, to: &Uri) -> Option<Via> {
        let proxy = self.0.as_ref()?.intercept(to)?;
        let socks = proxy.uri().scheme_str()?.starts_with("socks");
        if !socks {
            return Some(Via::Http { proxy: proxy.uri().clone(), auth: proxy.basic_auth().cloned() });
        }
        let auth = proxy.raw_auth();
        Some(Via::Socks {
            proxy: with_port(proxy.uri()),
            auth: auth.map(|(user, password)| (user.to_owned(), password.to_owned())),
        })
    }
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

/// Refuses what the matcher would skip in silence. A proxy's URL may hold a password, so it is never shown.
fn check(name: &'static str, value: Option<&str>) -> Result<(), BuildError> {
    let Some(value) = value else { return Ok(()) };
    let uri = value.parse::<Uri>().ok();
    let Some(uri) = uri.filter(|uri| uri.authority().is_some()) else {
        return Err(BuildError::BadProxy { name });
    };
    match uri.scheme_str() {
        None | Some("http" | "socks5" | "socks5h") => Ok(()),
        Some(_) => Err(BuildError::BadProxy { name }),
    }
}

fn with_port(proxy: &Uri) -> Uri {
    if proxy.port().is_some() {
        return proxy.clone();
    }
    let host = proxy.host().unwrap_or_default();
    let with = format!("{}://{host}:{SOCKS_PORT}/", proxy.scheme_str().unwrap_or("socks5"));
    with.parse().unwrap_or_else(|_| proxy.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PRX-8
    #[test]
    fn a_proxy_is_chosen_by_destination() {
        let values = ProxyValues {
            https: Some("http://me:pass@proxy.corp:3128".to_owned()),
            all: Some("socks5://other.corp".to_owned()),
            no: Some("internal.corp, 192.0.2.0/24".to_owned()),
        };
        let table = [
            ("https://api.example.com/", Some("http://proxy.corp:3128/ auth")),
            ("https://llm.internal.corp/", None),
            ("https://192.0.2.7/", None),
        ];
        let proxies = Proxies::new(&values).unwrap();
        for (to, expected) in table {
            assert_eq!(shown(&proxies, to).as_deref(), expected, "{to}");
        }
        let only_all = ProxyValues { https: None, ..values };
        let proxies = Proxies::new(&only_all).unwrap();
        assert_eq!(shown(&proxies, "https://api.example.com/").as_deref(), Some("socks5://other.corp:1080/"));
        let none = Proxies::new(&ProxyValues::default()).unwrap();
        assert_eq!(shown(&none, "https://api.example.com/"), None);
    }

    /// PRX-8, OBS-3
    #[test]
    fn a_proxy_we_cannot_use_is_refused_by_name_and_never_shown() {
        for bad in ["https://u:secret@p", "ftp://p", "://", "socks4://p", "a b"] {
            let values = ProxyValues { all: Some(bad.to_owned()), ..ProxyValues::default() };
            let error = Proxies::new(&values).unwrap_err();
            assert_eq!(error, BuildError::BadProxy { name: "ALL_PROXY" }, "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    fn shown(proxies: &Proxies, to: &str) -> Option<String> {
        Some(match proxies.towards(&to.parse().unwrap())? {
            Via::Http { proxy, auth } => {
                format!("{proxy}{}", if auth.is_some() { " auth" } else { "" })
            }
            Via::Socks { proxy, .. } => proxy.to_string(),
        })
    }
}
