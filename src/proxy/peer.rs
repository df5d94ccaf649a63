//! Who is at the other end of a loopback connection: the kernel knows the user that owns the client's socket. Asked once
//! per connection, by an exact look-up (`sock_diag(7)`), which needs no privilege and takes a few microseconds.
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of linux/netlink.h.
const REQUEST: u16 = 1;
const TCP: u8 = 6;
const INET: u8 = 2;
const INET6: u8 = 10;
/// proc(5): the kernel's own lists of connections.
const TABLE: &str = "/proc/net/tcp";
const TABLE_IPV6: &str = "/proc/net/tcp6";
/// `nlmsghdr` and `inet_diag_req_v2`.
const ASKED: usize = 16 + 56;
/// Where `idiag_state`, `idiag_uid` and `idiag_inode` of `inet_diag_msg` stand, after `nlmsghdr`.
const STATE_AT: usize = 16 + 1;
const UID_AT: usize = 16 + 64;
const INODE_AT: usize = 16 + 68;
/// `TCP_LISTEN`: what the look-up falls back to where no connection fits.
const LISTENS: u8 = 10;

/// Why the kernel cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "the kernel does not tell who connects ({TABLE}: {0}), so nobody may; listen on a container's address with client_keys"
)]
pub struct PeerError(std::io::Error);

/// Who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// Whoever reaches the address: a container's, where client keys decide.
    Anybody,
    /// These users' processes, by the kernel's word; rota's own is always among them.
    Known(Vec<u32>),
}

/// Whom one listener lets in. One per accepting task, so that no lock is needed.
#[derive(Debug)]
pub struct Guests(Known);

#[derive(Debug)]
enum Known {
    Everybody,
    These(Peers, Vec<u32>),
}

impl Guests {
    /// Readies the question to the kernel. rota's own user is always let in.
    pub fn open(users: Users) -> Result<Self, PeerError> {
        match users {
            Users::Anybody => Ok(Self(Known::Everybody)),
            Users::Known(mut users) => {
                users.push(rustix::process::geteuid().as_raw());
                Ok(Self(Known::These(Peers::open()?, users)))
            }
        }
    }

    /// Whether the process that connected from `client` to `server` may come in.
    pub fn admits(&self, client: SocketAddr, server: SocketAddr) -> bool {
        match &self.0 {
            Known::Everybody => true,
            Known::These(peers, users) => {
                peers.user(client, server).is_some_and(|user| users.contains(&user))
            }
        }
    }
}

/// Asks the kernel.
#[derive(Debug)]
enum Peers {
    /// An exact look-up.
    Diagnosis(OwnedFd),
    /// Where there is no such look-up: a walk through the kernel's table of connections, whose cost grows with it.
    Table,
}

impl Peers {
    fn open() -> Result<Self, PeerError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::SOCK_DIAG);
        match net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol) {
            Ok(socket) => Ok(Self::Diagnosis(socket)),
            Err(_) => std::fs::metadata(TABLE).map(|_| Self::Table).map_err(PeerError),
        }
    }

    /// The user whose socket is connected from `client` to `server`; none where the kernel finds no such socket (it is
    /// closed already, or belongs to another network namespace).
    fn user(&self, client: SocketAddr, server: SocketAddr) -> Option<u32> {
        match self {
            Self::Diagnosis(socket) => diagnose(socket, client, server),
            Self::Table => look_up(client, server),
        }
    }
}

fn diagnose(socket: &OwnedFd, client: SocketAddr, server: SocketAddr) -> Option<u32> {
    net::send(socket, &question(client, server), SendFlags::empty()).ok()?;
    let mut answer = [0_u8; 512];
    // The kernel has answered by the time `send` returns.
    let (length, _) = net::recv(socket, &mut answer[..], RecvFlags::empty()).ok()?;
    uid(answer.get(..length)?)
}

fn look_up(client: SocketAddr, server: SocketAddr) -> Option<u32> {
    let table = if client.is_ipv4() { TABLE } else { TABLE_IPV6 };
    let text = std::fs::read_to_string(table).ok()?;
    let pair = format!("{} {}", cell(client), cell(server));
    let line = text.lines().find(|line| line.contains(&pair))?;
    // sl local remote state queues timer retransmits uid timeout inode
    let mut fields = line.split_whitespace().skip(7);
    let uid = fields.next()?.parse().ok()?;
    let inode = fields.nth(1)?;
    (inode != "0").then_some(uid)
}

/// An address as proc(5) writes it: its words in the machine's order, in hex.
fn cell(address: SocketAddr) -> String {
    let words = words(address.ip());
    let long = if address.is_ipv4() { 4 } else { 16 };
    let words = words.chunks_exact(4).take(long / 4);
    let hex: String = words
        .filter_map(|word| Some(u32::from_ne_bytes(word.try_into().ok()?)))
        .map(|word| format!("{word:08X}"))
        .collect();
    format!("{hex}:{:04X}", address.port())
}

fn question(client: SocketAddr, server: SocketAddr) -> [u8; ASKED] {
    let mut bytes = [0_u8; ASKED];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + part.len()) {
            place.copy_from_slice(part);
        }
        at += part.len();
    };
    put(&(ASKED as u32).to_ne_bytes());
    put(&BY_FAMILY.to_ne_bytes());
    put(&REQUEST.to_ne_bytes());
    // Sequence and port id: one question at a time on a socket of our own.
    put(&[0; 8]);
    let family = if client.is_ipv4() { INET } else { INET6 };
    put(&[family, TCP, 0, 0]);
    // Any state.
    put(&u32::MAX.to_ne_bytes());
    put(&client.port().to_be_bytes());
    put(&server.port().to_be_bytes());
    put(&words(client.ip()));
    put(&words(server.ip()));
    // Any interface; no cookie.
    put(&[0; 4]);
    put(&[0xff; 8]);
    bytes
}

fn words(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// A socket that its process has closed has no inode, and the kernel calls it root's: it is nobody's.
fn uid(answer: &[u8]) -> Option<u32> {
    let kind = answer.get(4..6)?;
    let listens = *answer.get(STATE_AT)? == LISTENS;
    let word = |at: usize| answer.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let open = word(INODE_AT)? != 0;
    let uid = word(UID_AT)?;
    (kind == BY_FAMILY.to_ne_bytes() && !listens && open).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    /// PRX-3, L9, as far as one user can see.
    #[test]
    fn the_kernel_names_the_user_of_a_loopback_connection() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).expect("a loopback listener");
            let server = listener.local_addr().expect("an address");
            let client = TcpStream::connect(server).expect("a connection");
            let from = client.local_addr().expect("an address");
            let own = rustix::process::geteuid().as_raw();
            for peers in [Peers::open().expect("a socket"), Peers::Table] {
                assert_eq!(peers.user(from, server), Some(own), "{address} {peers:?}");
            }
        }
    }

    /// PRX-3
    #[test]
    fn a_connection_that_does_not_exist_has_no_user() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback listener");
        let server = listener.local_addr().expect("an address");
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        for peers in [Peers::open().expect("a socket"), Peers::Table] {
            assert_eq!(peers.user(nobody, server), None);
            assert_eq!(peers.user(server, nobody), None);
        }
    }

    /// PRX-3
    #[test]
    fn a_client_that_has_closed_already_is_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback listener");
        let server = listener.local_addr().expect("an address");
        let client = TcpStream::connect(server).expect("a connection");
        let from = client.local_addr().expect("an address");
        drop(client);
        for peers in [Peers::open().expect("a socket"), Peers::Table] {
            assert_eq!(peers.user(from, server), None, "{peers:?}");
        }
    }

    /// PRX-3
    #[test]
    fn an_answer_that_is_no_answer_names_nobody() {
        for answer in [&[][..], &[0; 20], &[0; 200]] {
            assert_eq!(uid(answer), None);
        }
    }
}
