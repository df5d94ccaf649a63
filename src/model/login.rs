use super::{Origin, TokenFormat};

/// How a person signs in to a provider: at least one way. The codes that a login yields are traded at the provider's
/// token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFlows {
    /// By a browser that can reach this machine, or by an address pasted from one that cannot.
    pub browser: Option<BrowserFlow>,
    /// By a code typed in on another device.
    pub device: Option<DeviceFlow>,
}

/// Authorization code with PKCE S256 and a `state` (RFC 6749 §4.1, RFC 7636).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowserFlow {
    /// The page that the person opens.
    pub authorize: Endpoint,
    /// `scope`; empty sends none.
    pub scope: String,
    /// Parameters of that page beyond those of RFC 6749 and RFC 7636.
    pub params: Vec<(String, String)>,
    /// Where the browser comes back to on this machine.
    pub loopback: Option<Loopback>,
    /// A page of the provider's that shows the code, for where the browser cannot come back: its address is the
    /// `redirect_uri` then, and what it shows is `code#state`. Without one the address of the failed page is pasted.
    pub paste: Option<String>,
    /// Whether the token request repeats the `state`.
    pub state_in_exchange: bool,
}

/// The callback listener (RFC 8252 §7.3). It binds loopback only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loopback {
    /// The host in `redirect_uri`: `localhost` or `127.0.0.1`, as the provider has it registered.
    pub host: String,
    /// Ports in the order they are tried; none means any free one.
    pub ports: Vec<u16>,
    /// The path of `redirect_uri`.
    pub path: String,
}

/// A code for another device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceFlow {
    /// The grant comes as an authorization code with its own verifier, polled for as JSON; 403 and 404 mean that the
    /// person has not finished.
    Code {
        /// Gives the code to type.
        start: Endpoint,
        /// Where it is asked whether the person is done.
        poll: Endpoint,
        /// Where the person types it, for people.
        page: String,
        /// The `redirect_uri` of the exchange.
        redirect: String,
    },
    /// RFC 8628.
    Standard {
        /// The device authorization endpoint.
        start: Endpoint,
        /// `scope`; empty sends none.
        scope: String,
        /// How that request is written.
        format: TokenFormat,
        /// Whether a PKCE challenge goes with it.
        pkce: bool,
        /// Its parameters beyond `client_id` and `scope`.
        params: Vec<(String, String)>,
    },
}

/// A URL of a preset's, taken apart: `https`, or `http` on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host, port.
    pub origin: Origin,
    /// Starts with `/`; may have a query.
    pub path: String,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}
