//! What is around rota: its ports and who holds them, the way to an upstream, the machine's clock, and whether the caller's
//! programs are pointed here. Nothing needs the network: an upstream that cannot be reached is a warning.
use super::{Check, Mark};
use crate::app::{Addresses, App};
use crate::clients::{Client, base, clients};
use crate::config::TlsRoots;
use crate::model::{Origin, Time};
use jiff::fmt::rfc2822::DateTimeParser;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A clock that differs by more makes limits and expiries look other than they are.
const SKEW: Duration = Duration::from_secs(30);
/// No program's configuration is larger.
const LARGEST: u64 = 4 * 1024 * 1024;

/// A program's own file, as the caller knows it.
pub(super) struct SetUp {
    pub(super) client: Client,
    pub(super) file: PathBuf,
}

impl SetUp {
    /// `ID:PATH`, for a program that has such a file.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let (id, path) = value.split_once(':')?;
        let client = clients().ok()?.into_iter().find(|client| client.id == id && client.config.is_some())?;
        let file = PathBuf::from(path);
        file.is_absolute().then_some(Self { client, file })
    }
}

/// Where it listens; where it does not run, whether it could.
pub(super) fn ports(app: &App) -> Vec<Check> {
    let Addresses { proxy, admin } = app.addresses();
    if !proxy.is_empty() {
        let shown: Vec<String> = proxy.iter().map(|address| format!("{address} (proxy)")).collect();
        let admin = admin.map_or_else(String::new, |address| format!(", {address} (admin)"));
        let outside = proxy.iter().any(|address| !address.ip().is_loopback());
        let reach =
            if outside { "the container's network reaches it" } else { "not reachable from other machines" };
        return vec![Check::new("listening", Mark::Ok, format!("{}{admin}; {reach}", shown.join(", ")))];
    }
    let config = app.config.load();
    let wanted = config.listen.iter().flat_map(|listen| listen.addresses().into_iter().take(1));
    let wanted: Vec<SocketAddr> = wanted.chain([config.admin_listen.address()]).collect();
    let taken: Vec<Check> = wanted.iter().filter_map(|address| taken(*address)).collect();
    if taken.is_empty() {
        let message = "rota does not run; its ports are free";
        return vec![Check::new("listening", Mark::Ok, message).fix("rota serve")];
    }
    taken
}

fn taken(address: SocketAddr) -> Option<Check> {
    let error = TcpListener::bind(address).err()?;
    if error.kind() != io::ErrorKind::AddrInUse {
        let message = format!("{address} cannot be listened on: {error}");
        return Some(Check::new("listening", Mark::Bad, message).fix("rota config explain listen"));
    }
    let holder = holder(address)
        .map_or_else(|| "another program".to_owned(), |(pid, name)| format!("{name} (process {pid})"));
    let message = format!("{address} is taken by {holder}; rota cannot listen there");
    Some(Check::new("listening", Mark::Bad, message).fix("rota config explain listen"))
}

/// The process that listens on `address`, as far as /proc shows it to this user.
fn holder(address: SocketAddr) -> Option<(u32, String)> {
    let table = match address.ip() {
        IpAddr::V4(_) => "/proc/net/tcp",
        IpAddr::V6(_) => "/proc/net/tcp6",
    };
    let inode = listener(&fs::read_to_string(table).ok()?, address.port())?;
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let descriptors = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        if descriptors.into_iter().any(|it| fs::read_link(it.path()).is_ok_and(|to| to == socket)) {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// The inode of the socket that listens on `port` (proc(5): the fourth field is the state, 0A is LISTEN).
fn listener(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = fields.get(1)?.rsplit_once(':')?.1;
        let listens = *fields.get(3)? == "0A" && u16::from_str_radix(local, 16).ok()? == port;
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// Whom TLS believes. Without one root rota does not start.
pub(super) async fn roots(app: &App) -> Check {
    let from = match &app.config.load().tls_roots {
        TlsRoots::Auto => "of the system, or else the bundled ones".to_owned(),
        TlsRoots::Bundled => "bundled".to_owned(),
        TlsRoots::File(file) => format!("of {}", file.display()),
        TlsRoots::System => "of the system".to_owned(),
    };
    Check::new("TLS", Mark::Ok, format!("{} roots, {from}", app.upstream.roots().await))
}

/// Whether an upstream of an account's can be reached over verified TLS, and what its clock says.
pub(super) async fn upstream(app: &App) -> Vec<Check> {
    let world = app.state.snapshot();
    let used = |it: &&std::sync::Arc<crate::model::Provider>| world.accounts_of(&it.id).next().is_some();
    let Some(provider) = world.providers.iter().find(used) else {
        return Vec::new();
    };
    let origin = &provider.origin;
    match app.upstream.date(origin).await {
        Err(why) => {
            let message = format!("{origin} cannot be reached: {why}");
            vec![Check::new("upstream", Mark::Warn, message).fix("rota config explain tls.roots")]
        }
        Ok(date) => {
            let mut checks = vec![Check::new("upstream", Mark::Ok, reached(origin))];
            checks.extend(date.and_then(|date| clock(&date, app.clock.now())));
            checks
        }
    }
}

fn reached(origin: &Origin) -> String {
    match origin.to_string().starts_with("https://") {
        true => format!("{origin} answers, and its certificate is good"),
        false => format!("{origin} answers"),
    }
}

/// What the upstream's `Date` says of this machine's clock (RFC 9110 §6.6.1); nothing if it is no date.
fn clock(date: &str, now: Time) -> Option<Check> {
    let theirs = DateTimeParser::new().parse_timestamp(date.replace("GMT", "+0000")).ok()?;
    let theirs = Time::from_millis(u64::try_from(theirs.as_millisecond()).ok()?);
    let (behind, ahead) = (now.until(theirs), theirs.until(now));
    let skew = behind.max(ahead);
    if skew <= SKEW {
        return Some(Check::new("clock", Mark::Ok, "agrees with the upstream's"));
    }
    let way = if behind > ahead { "behind" } else { "ahead of" };
    let message = format!(
        "this machine's clock is {} s {way} the upstream's; limits and expiries look wrong",
        skew.as_secs()
    );
    Some(Check::new("clock", Mark::Warn, message).fix("timedatectl set-ntp true"))
}

/// Whether a program is pointed at this rota, or at one that listened elsewhere. One that is not is nothing to tell.
pub(super) fn set_up(app: &App, set_up: &SetUp) -> Option<Check> {
    let SetUp { client, file } = set_up;
    let config = client.config.as_ref()?;
    let text = read(file)?;
    let id = client.id.as_str();
    let name = format!("{id} set-up");
    let place = file.display();
    let running = app.addresses().proxy.first().copied();
    let configured =
        || app.config.load().listen.first().and_then(|listen| listen.addresses().first().copied());
    let here = base(running.or_else(configured)?);
    match (config.is_connected(&text), config.points_at(&text, &here)) {
        (Err(wrong), _) | (_, Err(wrong)) => {
            Some(Check::new(&name, Mark::Warn, format!("{place} cannot be read: {wrong}")))
        }
        (Ok(false), _) => None,
        (Ok(true), Ok(true)) => Some(Check::new(&name, Mark::Ok, format!("{place} points at {here}"))),
        (Ok(true), Ok(false)) => {
            let message = format!("{place} points at a rota, but not as it should at {here}");
            Some(Check::new(&name, Mark::Warn, message).fix(format!("rota connect {id} --write")))
        }
    }
}

fn read(file: &Path) -> Option<String> {
    let about = fs::metadata(file).ok().filter(|about| about.is_file() && about.len() <= LARGEST)?;
    (about.len() > 0).then(|| fs::read_to_string(file).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_differs_is_told_with_its_way_and_its_cure() {
        let now = Time::from_secs(784_111_777);
        let at = |secs: i64| Time::from_secs(now.as_secs().saturating_add_signed(secs));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let told = |secs| clock(date, at(secs)).expect("a date");
        assert_eq!(told(0).state, Mark::Ok);
        assert_eq!(told(30).state, Mark::Ok);
        assert!(told(-94).message.contains("94 s behind"), "{:?}", told(-94));
        assert!(told(94).message.contains("94 s ahead of"), "{:?}", told(94));
        assert_eq!(told(94).fix.as_deref(), Some("timedatectl set-ntp true"));
        assert_eq!(clock("yesterday", now), None);
    }

    #[test]
    fn the_socket_that_listens_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:1E02 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 77 1\n\
                     1: 0100007F:1E02 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n";
        assert_eq!((listener(table, 7682), listener(table, 7683)), (Some(4711), None));
    }
}
