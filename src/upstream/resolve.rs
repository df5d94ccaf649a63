use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// Cloud metadata services outside the link-local range: whoever answers there hands out credentials.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Which answers of the name service are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Believe {
    /// Any.
    All,
    /// Those that can be a provider: a public name that points at this machine or at a metadata service is an attack
    /// or a mistake, and the request carries a credential.
    Public,
}

/// Looks names up, within a time.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    believe: Believe,
    patience: Duration,
    inner: GaiResolver,
}

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    #[error("the name resolves to this machine, a link-local or a metadata address only")]
    Local,
    #[error("the name does not resolve")]
    NotFound,
    #[error("looking up the name took too long")]
    Slow,
}

impl Resolver {
    pub(super) fn new(believe: Believe, patience: Duration) -> Self {
        Self { believe, patience, inner: GaiResolver::new() }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (believe, patience) = (self.believe, self.patience);
        let host = name.as_str().to_owned();
        let looking = self.inner.call(name);
        Box::pin(async move {
            let Ok(found) = tokio::time::timeout(patience, looking).await else {
                return Err(ResolveError::Slow);
            };
            let found = found.map_err(|_| ResolveError::NotFound)?;
            usable(believe, &host, found.collect())
        })
    }
}

fn usable(
    believe: Believe,
    host: &str,
    mut found: Vec<SocketAddr>,
) -> Result<std::vec::IntoIter<SocketAddr>, ResolveError> {
    if found.is_empty() {
        return Err(ResolveError::NotFound);
    }
    let named_local = host == "localhost" || host.ends_with(".localhost");
    if believe == Believe::Public && !named_local {
        found.retain(|address| !is_local(address.ip()));
    }
    if found.is_empty() {
        return Err(ResolveError::Local);
    }
    Ok(found.into_iter())
}

fn is_local(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let kind = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    kind || ip.is_loopback() || ip.is_unspecified() || METADATA.contains(&ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PRX-2, U14: what a public name may point at.
    #[test]
    fn a_public_name_never_leads_to_this_machine_or_a_metadata_service() {
        let table: [(&str, &[&str], &[&str]); 11] = [
            ("api.example.com", &["203.0.113.7"], &["203.0.113.7"]),
            ("api.example.com", &["10.1.2.3"], &["10.1.2.3"]),
            ("api.example.com", &["127.0.0.1"], &[]),
            ("api.example.com", &["::1", "0.0.0.0"], &[]),
            ("api.example.com", &["169.254.169.254"], &[]),
            ("api.example.com", &["fe80::1", "fd00:ec2::254"], &[]),
            ("api.example.com", &["::ffff:127.0.0.1"], &[]),
            ("api.example.com", &["100.100.100.200"], &[]),
            ("api.example.com", &["127.0.0.1", "203.0.113.7"], &["203.0.113.7"]),
            ("localhost", &["127.0.0.1"], &["127.0.0.1"]),
            ("rota.localhost", &["::1"], &["::1"]),
        ];
        for (host, found, believed) in table {
            let got = usable(Believe::Public, host, addresses(found));
            let expected = match believed {
                [] => Err(ResolveError::Local),
                believed => Ok(addresses(believed)),
            };
            assert_eq!(got.map(Iterator::collect), expected, "{host} {found:?}");
        }
        let none = usable(Believe::All, "api.example.com", Vec::new());
        assert_eq!(none.map(|_| ()), Err(ResolveError::NotFound));
        let proxy = usable(Believe::All, "proxy.corp", addresses(&["127.0.0.1"]));
        assert!(proxy.is_ok(), "a proxy of the user's own may be anywhere");
    }

    fn addresses(of: &[&str]) -> Vec<SocketAddr> {
        of.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect()
    }
}
