//! The messages of a WebSocket, both ways, until one end or rota has had enough. One task, two ends, one message in each
//! direction at a time.
use super::frame::Frame;
use super::side::{Event, Pace, Room, Side};
use super::turn::{Begin, Bound, Heard};
use crate::app::App;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

/// How long the first message is waited for, where its answer is known already.
const FIRST_WORD: Duration = Duration::from_secs(10);

/// What a connection goes on as, once its 101 is written.
#[derive(Default)]
pub(in super::super) struct Takeover(Mutex<Option<Tunnel>>);

impl Takeover {
    pub(super) fn put(&self, tunnel: Tunnel) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    }

    /// None where the connection has only ever spoken HTTP.
    pub(in super::super) fn take(&self) -> Option<Tunnel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A client's WebSocket after its handshake.
pub(in super::super) enum Tunnel {
    /// To an upstream.
    Open(Box<Bound>, TokioIo<Upgraded>),
    /// To nobody: the first message is answered with this one.
    Told(Arc<App>, String),
}

impl Tunnel {
    /// Serves it to its end. `early` was read of the client already; `stopped` is ready when rota stops.
    pub(in super::super) async fn run(
        self,
        client: TcpStream,
        early: Bytes,
        mut stop: watch::Receiver<bool>,
    ) {
        match self {
            Self::Open(bound, upstream) => {
                let app = bound.app.clone();
                let _counted = app.sockets.enter();
                let pace = pace(&app);
                let client = Side::new(client, early, Role::Server, pace).await;
                let upstream = Side::new(upstream, Bytes::new(), Role::Client, pace).await;
                Pump { bound, client, upstream, stopping: false }.run(&mut stop).await;
            }
            Self::Told(app, text) => {
                let _counted = app.sockets.enter();
                let client = Side::new(client, early, Role::Server, pace(&app)).await;
                tell(client, text).await;
            }
        }
    }
}

fn pace(app: &App) -> Pace {
    let timeouts = app.config.load().timeouts;
    Pace { ping: timeouts.websocket_ping, pong: timeouts.websocket_pong, stall: timeouts.stream_idle }
}

/// Answers the first message, and closes. An answer that came before the question would be read as the next one's.
async fn tell(mut client: Side<TcpStream>, text: String) {
    let first = async {
        loop {
            match client.next(Room::Free).await {
                Event::Written => {}
                Event::Closed(_) | Event::Lost | Event::Message(_) | Event::TooLong => return,
            }
        }
    };
    let _ = tokio::time::timeout(FIRST_WORD, first).await;
    client.say(Message::text(text));
    client.close(CloseCode::Again, "no account can serve");
    client.part().await;
}

struct Pump {
    bound: Box<Bound>,
    client: Side<TcpStream>,
    upstream: Side<TokioIo<Upgraded>>,
    stopping: bool,
}

/// Why it ends.
enum End {
    /// The client said goodbye.
    ClientClosed(Option<CloseFrame>),
    ClientGone,
    /// The client must connect again; nothing is said of why.
    Dropped,
    /// The client is told to connect again.
    Reconnect,
    /// A message was longer than may be; whose is all the same to either.
    TooLong,
    /// The upstream said goodbye.
    UpstreamClosed(Option<CloseFrame>),
    UpstreamGone,
}

impl Pump {
    async fn run(mut self, stop: &mut watch::Receiver<bool>) {
        let end = self.pump(stop).await;
        let Self { mut bound, mut client, mut upstream, .. } = self;
        match end {
            End::ClientClosed(frame) => upstream.say(Message::Close(frame)),
            End::ClientGone => return,
            End::Dropped => {
                client.close(CloseCode::Error, "connect again");
                upstream.close(CloseCode::Normal, "");
            }
            End::Reconnect => {
                if let Some(frame) = &bound.provider.conversation.reconnect {
                    client.say(Message::text(&**frame));
                }
                client.close(CloseCode::Restart, "connect again");
                upstream.close(CloseCode::Normal, "");
            }
            End::TooLong => {
                client.close(CloseCode::Size, "the message is too long");
                upstream.close(CloseCode::Size, "the message is too long");
            }
            End::UpstreamClosed(frame) => {
                bound.lost();
                client.say(Message::Close(frame));
            }
            End::UpstreamGone => {
                bound.lost();
                // A cut is shown as a cut: no goodbye.
                return;
            }
        }
        // What the turn holds is given back now, whatever the goodbyes take.
        drop(bound);
        tokio::join!(client.part(), upstream.part());
    }

    async fn pump(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let mut stopped = pin!(async {
            let _ = stop.wait_for(|stop| *stop).await;
        });
        loop {
            if self.stopping && self.bound.is_idle() {
                return End::Reconnect;
            }
            let down = Room::at(&self.client);
            let up = if self.client.takes_answers() { Room::at(&self.upstream) } else { Room::None };
            let end = tokio::select! {
                () = &mut stopped, if !self.stopping => {
                    self.stopping = true;
                    None
                }
                event = self.client.next(up) => self.client_said(event).await,
                event = self.upstream.next(down) => self.upstream_said(event).await,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn client_said(&mut self, event: Event) -> Option<End> {
        let message = match event {
            Event::Closed(frame) => return Some(End::ClientClosed(frame)),
            Event::Lost => return Some(End::ClientGone),
            Event::TooLong => return Some(End::TooLong),
            Event::Written => return None,
            Event::Message(message) => message,
        };
        if let Message::Text(text) = &message {
            let frame = Frame::read(text);
            if frame.asks(&self.bound.provider.conversation.events) {
                match self.bound.begin(&frame, text).await {
                    Begin::Pass => {}
                    Begin::PassAs(text) => {
                        self.upstream.say(Message::text(text));
                        return None;
                    }
                    Begin::Reconnect => return Some(End::Reconnect),
                    Begin::Answer(text) => {
                        self.client.say(Message::text(text));
                        return None;
                    }
                }
            }
        }
        self.upstream.say(message);
        None
    }

    async fn upstream_said(&mut self, event: Event) -> Option<End> {
        let message = match event {
            Event::Closed(frame) => return Some(End::UpstreamClosed(frame)),
            Event::Lost => return Some(End::UpstreamGone),
            Event::TooLong => return Some(End::TooLong),
            Event::Written => return None,
            Event::Message(message) => message,
        };
        let heard = match &message {
            Message::Text(text) => self.bound.hear(text).await,
            Message::Binary(_)
            | Message::Close(_)
            | Message::Frame(_)
            | Message::Ping(_)
            | Message::Pong(_) => Heard::Pass,
        };
        match heard {
            Heard::Pass => self.client.say(message),
            Heard::Drop => return Some(End::Dropped),
            Heard::Answer(text) => self.client.say(Message::text(text)),
        }
        None
    }
}
