use crate::proxy::Guests;
use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// After a failed `accept` for want of descriptors or memory: long enough for some to be given back.
const BREATH: Duration = Duration::from_millis(50);

/// The admin API's door: whoever is not among the guests is closed out before a byte of theirs is read.
pub(super) struct Doorkeeper {
    pub(super) listener: TcpListener,
    pub(super) guests: Guests,
}

impl Listener for Doorkeeper {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, client)) if self.admits(client) => return (stream, client),
                Ok(_) => {}
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Doorkeeper {
    fn admits(&self, client: SocketAddr) -> bool {
        self.listener.local_addr().is_ok_and(|server| self.guests.admits(client, server))
    }
}
