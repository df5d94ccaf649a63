//! Where rota listens: loopback, or nowhere. The one way beyond it is a container's own address, which needs two
//! consents (see [`container`]).
use super::form::Form;
use super::problem::Code;
use super::value::{Bad, MOST_ENTRIES, list, shown, text};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use toml::Value;

/// A loopback address and a port: it cannot hold another one (I12). Port 0 takes any free port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// None unless `address` is a loopback address. An IPv4 address written as IPv6 is none.
    pub fn new(address: SocketAddr) -> Option<Self> {
        address.ip().is_loopback().then_some(Self(address))
    }

    /// The address to bind.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the proxy listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listen {
    /// `127.0.0.1` and `[::1]`, both on this port, so that nobody else can take the other one. With port 0, IPv6 takes
    /// the port that IPv4 was given.
    Both(u16),
    /// The address of a container, allowed by `container_bind`.
    Container(SocketAddr),
    /// One other loopback address, such as `127.0.0.2`.
    One(Loopback),
}

impl Listen {
    /// The addresses to bind, all of them or none.
    pub fn addresses(self) -> Vec<SocketAddr> {
        match self {
            Self::Both(port) => vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            ],
            Self::Container(address) | Self::One(Loopback(address)) => vec![address],
        }
    }

    /// The port; 0 is any free one.
    pub fn port(self) -> u16 {
        match self {
            Self::Both(port) => port,
            Self::Container(address) | Self::One(Loopback(address)) => address.port(),
        }
    }
}

/// `127.0.0.1:PORT`, `[::1]:PORT` and `localhost:PORT` mean both loopbacks; no name is ever looked up.
fn listen(value: &Value) -> Result<Listen, Bad> {
    let Loopback(address) = loopback(value)?;
    let ip = address.ip();
    if ip == IpAddr::V4(Ipv4Addr::LOCALHOST) || ip == IpAddr::V6(Ipv6Addr::LOCALHOST) {
        return Ok(Listen::Both(address.port()));
    }
    Ok(Listen::One(Loopback(address)))
}

/// One address as a text, or several as a list.
pub(super) fn listens(value: &Value) -> Result<Vec<Listen>, Bad> {
    if value.is_str() {
        return listen(value).map(|one| vec![one]).map_err(|bad| {
            let list = Form::List { entry: Box::new(bad.form.clone()), least: 1, most: MOST_ENTRIES };
            let either = Form::Either(vec![bad.form.clone(), list]);
            bad.form(either)
        });
    }
    let mut all = list(value, listen)?;
    if all.is_empty() {
        return Err(Bad::new(
            "there is nothing to listen on",
            "allowed: at least one address, such as \"127.0.0.1:7682\"",
        ));
    }
    all.sort();
    all.dedup_by(|a, b| a == b && a.port() != 0);
    Ok(all)
}

/// A loopback address with a port.
pub(super) fn loopback(value: &Value) -> Result<Loopback, Bad> {
    let allowed =
        "allowed: a loopback address and a port, such as \"127.0.0.1:7682\" (port 0 takes a free one)";
    let written = text(value)?;
    let address = match written.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => written.to_owned(),
    };
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Loopback::new(address).ok_or_else(|| Bad {
            code: Code::NonLoopbackBind,
            ..Bad::new(
                format!("{} can be reached from other machines", shown(value)),
                format!("{allowed}; for a container see `container_bind`"),
            )
        });
    }
    let Some((host, port)) = written.rsplit_once(':') else {
        let what = format!("{} is not an address with a port", shown(value));
        return Err(Bad::new(what, allowed).form(Form::Text(":[0-9]+$")));
    };
    if port.parse::<u16>().is_err() || host.parse::<IpAddr>().is_ok() || host.contains([':', '[']) {
        return Err(Bad::new(format!("{} is not an address with a port", shown(value)), allowed));
    }
    Err(Bad {
        code: Code::NonLoopbackBind,
        ..Bad::new(format!("{} is a name, which may mean any address", shown(value)), allowed)
    })
}

/// An address with a port, or the empty text for none.
pub(super) fn any_address(value: &Value) -> Result<Option<SocketAddr>, Bad> {
    let written = text(value)?;
    if written.is_empty() {
        return Ok(None);
    }
    written.parse().map(Some).map_err(|_| {
        Bad::new(
            format!("{} is not an address with a port", shown(value)),
            "allowed: an address and a port, such as \"0.0.0.0:7682\"",
        )
        .form(Form::Text("^$|:[0-9]+$"))
    })
}

/// Where rota runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surroundings {
    /// In a container.
    Container,
    /// On a machine.
    #[default]
    Host,
}

/// Whether the user has said that other machines may reach the proxy: `ROTA_ALLOW_NON_LOOPBACK=1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Given,
    NotGiven,
}

/// Whom the proxy serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrants {
    /// Whoever reaches it.
    Anybody,
    /// Whoever has a key.
    Keyed,
}

/// A listener beyond loopback, if both consents are there: rota runs in a container (or the user said so), and clients
/// must send a key.
pub(super) fn container(
    address: SocketAddr,
    surroundings: Surroundings,
    consent: Consent,
    entrants: Entrants,
) -> Result<Listen, Bad> {
    let refused =
        |what: String, allowed: &str| Bad { code: Code::NonLoopbackBind, ..Bad::new(what, allowed) };
    if surroundings == Surroundings::Host && consent == Consent::NotGiven {
        return Err(refused(
            format!("\"{address}\" can be reached from other machines, and this is not a container"),
            "use `listen`; or set ROTA_ALLOW_NON_LOOPBACK=1 in the environment if this is meant",
        ));
    }
    if entrants == Entrants::Anybody {
        return Err(refused(
            format!("\"{address}\" can be reached from other machines, and clients need no key"),
            "set `client_keys`, or ROTA_CLIENT_KEYS_FILE to a file with one key a line; or `require_client_key`, and make \
             them with `rota keys add`",
        ));
    }
    Ok(Listen::Container(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Listen>, Code> {
        listens(&Value::from(text)).map_err(|bad| bad.code)
    }

    fn one(text: &str) -> Listen {
        Listen::One(Loopback::new(text.parse().unwrap()).unwrap())
    }

    /// PRX-3 I12
    #[test]
    fn it_listens_on_loopback_or_not_at_all() {
        let cases = [
            ("127.0.0.1:7682", Ok(vec![Listen::Both(7682)])),
            ("[::1]:7682", Ok(vec![Listen::Both(7682)])),
            ("localhost:7682", Ok(vec![Listen::Both(7682)])),
            ("127.0.0.1:0", Ok(vec![Listen::Both(0)])),
            ("127.0.0.2:80", Ok(vec![one("127.0.0.2:80")])),
            ("0.0.0.0:7682", Err(Code::NonLoopbackBind)),
            ("[::]:7682", Err(Code::NonLoopbackBind)),
            ("192.168.1.7:7682", Err(Code::NonLoopbackBind)),
            ("[::ffff:127.0.0.1]:7682", Err(Code::NonLoopbackBind)),
            ("rota.example:7682", Err(Code::NonLoopbackBind)),
            ("localhost.:7682", Err(Code::NonLoopbackBind)),
            ("localhost.evil:7682", Err(Code::NonLoopbackBind)),
            ("2130706433:7682", Err(Code::NonLoopbackBind)),
            ("7682", Err(Code::InvalidConfig)),
            ("127.0.0.1", Err(Code::InvalidConfig)),
            ("127.0.0.1:", Err(Code::InvalidConfig)),
            ("127.0.0.1:70000", Err(Code::InvalidConfig)),
            ("::1:7682", Err(Code::InvalidConfig)),
            ("", Err(Code::InvalidConfig)),
        ];
        for (text, listens) in cases {
            assert_eq!(read(text), listens, "{text:?}");
        }
    }

    #[test]
    fn several_addresses_are_a_list_without_doubles() {
        let value = Value::try_from(["[::1]:1", "127.0.0.2:2", "127.0.0.1:1"]).unwrap();
        assert_eq!(listens(&value), Ok(vec![Listen::Both(1), one("127.0.0.2:2")]));
        assert!(listens(&Value::Array(vec![])).is_err());
        assert_eq!(Listen::Both(1).addresses(), ["127.0.0.1:1".parse().unwrap(), "[::1]:1".parse().unwrap()]);
    }

    /// PRX-3
    #[test]
    fn a_container_needs_both_consents() {
        let address = "0.0.0.0:7682".parse().unwrap();
        let table = [
            (Surroundings::Host, Consent::NotGiven, Entrants::Keyed, false),
            (Surroundings::Host, Consent::Given, Entrants::Keyed, true),
            (Surroundings::Host, Consent::Given, Entrants::Anybody, false),
            (Surroundings::Container, Consent::NotGiven, Entrants::Keyed, true),
            (Surroundings::Container, Consent::NotGiven, Entrants::Anybody, false),
            (Surroundings::Container, Consent::Given, Entrants::Anybody, false),
        ];
        for (surroundings, consent, entrants, allowed) in table {
            let listen = container(address, surroundings, consent, entrants);
            match listen {
                Ok(listen) => assert!(allowed && listen == Listen::Container(address)),
                Err(bad) => assert!(!allowed && bad.code == Code::NonLoopbackBind),
            }
        }
    }
}
