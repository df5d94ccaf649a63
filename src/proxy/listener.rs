//! Accepts connections and serves HTTP/1.1 on them: who may connect at all, how many at once, how long a head may take,
//! and how everything ends when rota stops.
use super::gate::Gate;
use super::handler::{Heard, handle};
use super::lane::Lanes;
use super::peer::{Guests, PeerError, Users};
use super::talk::{Answer, Asked, Hearing, Reader, Said, Then, refused};
use super::websocket::Takeover;
use crate::app::App;
use crate::upstream::Upstream;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// After a failed `accept` for want of descriptors or memory: long enough for some to be given back.
const BREATH: Duration = Duration::from_millis(50);
/// No configuration makes it serve more clients at once than this.
const MOST_CONNECTIONS: u32 = 1 << 20;
/// A client that still sends when it has been answered reads the answer within this time; a connection closed before
/// would take the answer with it.
const LINGER: Duration = Duration::from_secs(2);
/// What such a client may still send.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// An open door.
#[derive(Debug)]
pub struct Entrance {
    /// Bound already.
    pub listener: TcpListener,
    /// Who may come in.
    pub users: Users,
}

/// Serves until `stop` turns true or its sender is gone; then accepts no more, lets requests under way end within the
/// drain time, and returns.
///
/// # Errors
/// The kernel cannot be asked who connects: nothing was served.
pub async fn serve(
    app: Arc<App>,
    entrances: Vec<Entrance>,
    lanes: Lanes,
    stop: watch::Receiver<bool>,
) -> Result<(), PeerError> {
    let (limits, grace) = {
        let config = app.config.load();
        (config.limits, config.timeouts.drain)
    };
    let most = u32::try_from(limits.connections).unwrap_or(MOST_CONNECTIONS).min(MOST_CONNECTIONS);
    let places = Arc::new(Semaphore::new(most as usize));
    let doors: Result<Vec<Door>, PeerError> = (entrances.into_iter())
        .map(|entrance| Door::open(app.clone(), entrance, lanes.clone(), places.clone()))
        .collect();
    let mut accepting = JoinSet::new();
    for door in doors? {
        accepting.spawn(door.accept(stop.clone()));
    }
    while accepting.join_next().await.is_some() {}
    // Whoever is not done by then is cut: the process ends.
    let _ = tokio::time::timeout(grace, places.acquire_many(most)).await;
    Ok(())
}

struct Door {
    app: Arc<App>,
    listener: TcpListener,
    server: SocketAddr,
    gate: Arc<Gate>,
    guests: Guests,
    lanes: Lanes,
    places: Arc<Semaphore>,
}

impl Door {
    fn open(
        app: Arc<App>,
        entrance: Entrance,
        lanes: Lanes,
        places: Arc<Semaphore>,
    ) -> Result<Self, PeerError> {
        let Entrance { listener, users } = entrance;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = listener.local_addr().unwrap_or(nowhere);
        let gate = Gate::new(server.port());
        let gate = Arc::new(if users == Users::Anybody { gate.with_keys_only() } else { gate });
        let guests = Guests::open(users)?;
        Ok(Self { app, listener, server, gate, guests, lanes, places })
    }

    /// Whoever comes when all places are taken waits: the first of them here, the others in the kernel's queue.
    async fn accept(self, stop: watch::Receiver<bool>) {
        let mut stopped = pin!(stopped(stop.clone()));
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stopped => return,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, client)) if self.guests.admits(client, self.server) => stream,
                Ok(_) => continue,
                Err(error) if is_the_clients(&error) => continue,
                Err(_) => {
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let place = tokio::select! {
                biased;
                () = &mut stopped => return,
                place = self.places.clone().acquire_owned() => place,
            };
            // Nobody closes the semaphore.
            let Ok(place) = place else { return };
            self.welcome(stream, place, stop.clone());
        }
    }

    fn welcome(&self, stream: TcpStream, place: OwnedSemaphorePermit, stop: watch::Receiver<bool>) {
        let (app, gate) = (self.app.clone(), self.gate.clone());
        self.lanes.serve(stream, move |stream, berth| async move {
            converse(app, gate, &berth.upstream, stream, stop).await;
            drop(place);
        });
    }
}

/// The connection that failed was one client's; the next may do.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

/// Returns when `stop` turns true, or nobody can turn it any more.
async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// One connection, from its first byte to its last.
async fn converse(
    app: Arc<App>,
    gate: Arc<Gate>,
    upstream: &Upstream,
    stream: TcpStream,
    stop: watch::Receiver<bool>,
) {
    // Small writes go at once; a socket that cannot be told so is gone already.
    let _ = stream.set_nodelay(true);
    let (most, patience) = {
        let config = app.config.load();
        (config.limits.head_bytes, config.timeouts.header_read)
    };
    let (mut hearing, mut to) = Hearing::new(stream, most, patience);
    let takeover = Arc::new(Takeover::default());
    let mut stopped = pin!(stopped(stop.clone()));
    loop {
        let (reply, mut reader) = match hearing.next(stopped.as_mut()).await {
            Said::End => break,
            Said::Bad(why) => (refused(&why), Reader::of_nobody()),
            Said::Request(asked) => {
                let reader = Reader::of(&asked);
                let Asked { request, framing, .. } = asked;
                let heard =
                    Heard { app: app.clone(), gate: gate.clone(), framing, takeover: takeover.clone() };
                let Some(reply) = while_there(&hearing, handle(heard, upstream, request)).await else {
                    break;
                };
                (reply, reader)
            }
        };
        reader.before = hearing.answered();
        reader.last |= *stop.borrow() || hearing.is_last();
        let mut answer = Answer::new(reply, &reader, app.clock.now());
        let then = poll_fn(|cx| match answer.poll(&mut to, cx) {
            Poll::Ready(then) => Poll::Ready(then),
            Poll::Pending => hearing.poll_gone(cx).map(|()| Then::Close),
        });
        if then.await != Then::GoOn || !hearing.goes_on() {
            break;
        }
    }
    let Some((stream, early)) = hearing.over(to) else {
        return;
    };
    match takeover.take() {
        // Nearly as large as all that a connection holds, and most never need it.
        Some(tunnel) => Box::pin(tunnel.run(stream, early, stop)).await,
        None => linger(stream).await,
    }
}

/// What `serving` comes to, as long as the client wants it.
async fn while_there<T>(hearing: &Hearing, mut serving: Pin<Box<impl Future<Output = T>>>) -> Option<T> {
    poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(reply) => Poll::Ready(Some(reply)),
        Poll::Pending => hearing.poll_gone(cx).map(|()| None),
    })
    .await
}

/// Takes what a client still sends after its answer, so that closing does not tear the answer up on its way (RFC 9112
/// §9.6). A client that has closed, or listens, ends this at once.
async fn linger(mut stream: TcpStream) {
    // Where a reply was cut, nobody has closed our side yet: the client is to see it now.
    let _ = stream.shutdown().await;
    let draining = async {
        let mut scrap = vec![0; 16 * 1024];
        let mut taken = 0;
        while taken < LINGER_BYTES
            && let Ok(more @ 1..) = stream.read(&mut scrap).await
        {
            taken += more;
        }
    };
    let _ = tokio::time::timeout(LINGER, draining).await;
}
