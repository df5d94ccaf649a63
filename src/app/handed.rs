//! Listening sockets that a service manager has opened for rota (sd_listen_fds(3)): they stay open while rota restarts, so
//! that a client which comes meanwhile waits and is not refused. rota serves on them only where it would have listened itself.
use super::StartError;
use std::net::{SocketAddr, TcpListener};

/// Those that were handed over and are not in use yet.
#[derive(Debug, Default)]
pub struct Handed(Vec<TcpListener>);

impl Handed {
    /// These.
    pub fn new(sockets: Vec<TcpListener>) -> Self {
        Self(sockets)
    }

    /// The one that listens on `address`.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let at = self.0.iter().position(|socket| socket.local_addr().is_ok_and(|own| own == address))?;
        Some(self.0.swap_remove(at))
    }

    /// All must have been taken: on one that is left clients would wait for ever, and it may be open to other machines.
    pub(super) fn check_all_taken(&self) -> Result<(), StartError> {
        match self.0.first() {
            None => Ok(()),
            Some(left) => {
                let address = left.local_addr().map_err(StartError::io("a handed socket has no address"))?;
                Err(StartError::Handed { address })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_taken_by_its_address_and_none_may_be_left() {
        let socket = || TcpListener::bind("127.0.0.1:0").expect("a socket");
        let (one, other) = (socket(), socket());
        let [first, second] = [&one, &other].map(|socket| socket.local_addr().expect("an address"));
        let mut handed = Handed::new(vec![one, other]);
        assert!(handed.take("127.0.0.1:1".parse().expect("an address")).is_none());
        assert_eq!(handed.take(second).and_then(|socket| socket.local_addr().ok()), Some(second));
        let left = handed.check_all_taken().expect_err("one is left").to_string();
        assert!(left.contains(&first.to_string()) && left.contains("rota service install"), "{left}");
        assert!(handed.take(first).is_some() && handed.check_all_taken().is_ok());
    }
}
