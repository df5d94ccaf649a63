//! What a service manager is told (sd_notify(3)): that rota listens, that it stops, that it is alive. Without one, nothing.
use crate::clock::Clock;
use crate::config::Sources;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells a service manager.
#[derive(Debug)]
pub(super) struct Supervisor {
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that rota is alive.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// By `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`. One that cannot be reached is told nothing.
    pub(super) fn of(sources: &Sources) -> Self {
        let to = sources.variable("NOTIFY_SOCKET").and_then(|name| {
            let reached = address(name).and_then(|address| Ok((UnixDatagram::unbound()?, address)));
            reached.inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told")).ok()
        });
        let own = std::process::id().to_string();
        let for_us = sources.variable("WATCHDOG_PID").is_none_or(|pid| pid == own);
        let micros = sources.variable("WATCHDOG_USEC").and_then(|micros| micros.parse().ok());
        let watchdog = micros.filter(|micros| *micros > 0 && for_us).map(Duration::from_micros);
        Self { to, watchdog }
    }

    /// rota listens.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving");
    }

    /// rota stops.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=requests under way may end");
    }

    /// Says that rota is alive, for ever, twice as often as it is asked for. It runs where requests run: what stalls them
    /// stalls this.
    pub(super) async fn alive(&self) {
        let Some(period) = self.watchdog.filter(|_| self.to.is_some()) else {
            return std::future::pending().await;
        };
        loop {
            self.tell("WATCHDOG=1");
            Clock::System.sleep_until(Clock::System.now().after(period / 2)).await;
        }
    }

    fn tell(&self, what: &str) {
        if let Some((socket, to)) = &self.to
            && let Err(error) = socket.send_to_addr(what.as_bytes(), to)
        {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

/// A path, or a name in the abstract namespace where it begins with `@`.
#[cfg(target_os = "linux")]
fn address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(name: &str) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor(env: &[(&str, String)]) -> Supervisor {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Supervisor::of(&Sources { env: env.collect(), ..Sources::default() })
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_service_manager_hears_ready_alive_and_stopping() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let own = std::process::id().to_string();
        let told = supervisor(&[
            ("NOTIFY_SOCKET", path.display().to_string()),
            ("WATCHDOG_USEC", "10000000".to_owned()),
            ("WATCHDOG_PID", own),
        ]);
        told.ready();
        assert_eq!(heard(&socket), "READY=1\nSTATUS=serving");
        let mut alive = Box::pin(told.alive());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::future::Future::poll(alive.as_mut(), &mut context).is_pending());
        assert_eq!(heard(&socket), "WATCHDOG=1");
        told.stopping();
        assert!(heard(&socket).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn without_a_service_manager_nothing_is_told() {
        for env in [
            &[][..],
            &[("NOTIFY_SOCKET", "/nowhere/at/all".to_owned()), ("WATCHDOG_USEC", "0".to_owned())],
            &[("WATCHDOG_USEC", "5".to_owned()), ("WATCHDOG_PID", "1".to_owned())],
        ] {
            let nobody = supervisor(env);
            assert_eq!(nobody.watchdog, None);
            nobody.ready();
        }
    }
}
