//! A WebSocket from its handshake to its end: who reads, who writes, and how it
//! is broken. What the messages say is decided in [`crate::socket_turn`].

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::event::Carrier;
use crate::fault::Ending;
use crate::frames;
use crate::gate::Gate;
use crate::handler::{note_body, open_entry};
use crate::handshake::{Opening, Session};
use crate::hub::Hub;
use crate::recorder::{Entry, Outcome, Traffic};
use crate::routes::{Api, Route};
use crate::seal::sha256_hex;
use crate::shape::{self, Cut, Pace, Play, Step};
use crate::socket_turn::{Memory, answer, head, request};
use crate::wire::{self, Chunked, Farewell, Pen};

/// Most messages that wait for the one that is being answered.
const MAX_WAITING: usize = 16;
/// What a close frame without a code stands for (RFC 6455 §7.4.1).
const NO_CODE: u16 = 1005;

/// Why a connection ends.
enum End {
    /// The client went without a word.
    Left,
    /// The client said goodbye.
    Closed,
    /// The fake says goodbye.
    Close(CloseCode, &'static str),
    /// A fault breaks it.
    Fault(Ending),
}

struct Connection<IO> {
    hub: Arc<Hub>,
    ws: WebSocketStream<IO>,
    session: Session,
    /// Record of the handshake.
    entry: Entry,
    memory: Memory,
    inbox: VecDeque<Bytes>,
    client_closed: bool,
}

/// Answers the handshake and serves the connection until it ends. `early` is
/// what was read of the connection already.
pub(crate) async fn serve<IO>(hub: Arc<Hub>, mut io: IO, early: Bytes, opening: Opening) -> (IO, Farewell)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let Opening { play, entry, session } = opening;
    let mut pen = Pen { writer: &mut io, entry: &entry, pace: play.pace, reply_left: None, body_left: None };
    if pen.head(&play).await.is_err() || io.flush().await.is_err() {
        return (io, Farewell::Drop);
    }
    let largest = Some(hub.world().script.kept_body_bytes);
    let config = WebSocketConfig::default().max_message_size(largest).max_frame_size(largest);
    let ws = WebSocketStream::from_partially_read(io, early.to_vec(), Role::Server, Some(config)).await;
    let (memory, inbox) = (Memory::default(), VecDeque::new());
    let mut connection = Connection { hub, ws, session, entry, memory, inbox, client_closed: false };
    let end = connection.run().await;
    connection.end(end).await
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Connection<IO> {
    async fn run(&mut self) -> End {
        let hub = Arc::clone(&self.hub);
        let stopping = async move { hub.stopping().await };
        let mut stopping = std::pin::pin!(stopping);
        loop {
            let text = tokio::select! {
                text = self.next_text() => text,
                () = &mut stopping => Err(End::Close(CloseCode::Away, "the fake is told to stop")),
            };
            let done = match text {
                Ok(text) => self.turn(text).await,
                Err(end) => Err(end),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn end(mut self, end: End) -> (IO, Farewell) {
        let ending = match end {
            End::Left => {
                self.entry.end(Outcome::ClientLeft);
                return (self.ws.into_inner(), Farewell::Drop);
            }
            End::Closed => {
                self.entry.end(Outcome::Done);
                Ending::Close
            }
            End::Close(code, reason) => {
                self.entry.end(Outcome::Done);
                // The client may have left already, which is as good.
                let _sent = self.ws.close(Some(CloseFrame { code, reason: reason.into() })).await;
                while let Some(Ok(message)) = self.ws.next().await {
                    self.note_close(&message);
                }
                Ending::Close
            }
            End::Fault(ending) => {
                self.entry.end(Outcome::Broken);
                ending
            }
        };
        let mut io = self.ws.into_inner();
        let farewell = wire::end(&mut io, ending).await;
        (io, farewell)
    }

    async fn next_text(&mut self) -> Result<Bytes, End> {
        loop {
            if let Some(text) = self.inbox.pop_front() {
                return Ok(text);
            }
            self.hear().await?;
        }
    }

    /// Takes one message from the client. Safe to drop at any moment.
    async fn hear(&mut self) -> Result<(), End> {
        match self.ws.next().await {
            Some(Ok(Message::Text(_))) if self.inbox.len() >= MAX_WAITING => {
                Err(End::Close(CloseCode::Policy, "too many messages at a time"))
            }
            Some(Ok(Message::Text(text))) => {
                self.inbox.push_back(text.into());
                Ok(())
            }
            Some(Ok(Message::Binary(_))) => Err(End::Close(CloseCode::Unsupported, "text messages only")),
            Some(Ok(Message::Ping(_))) => self.count(|traffic| traffic.pings += 1),
            Some(Ok(Message::Pong(_))) => self.count(|traffic| traffic.pongs += 1),
            Some(Ok(message @ (Message::Close(_) | Message::Frame(_)))) => {
                self.note_close(&message);
                Ok(())
            }
            Some(Err(Error::Capacity(_))) => Err(End::Close(CloseCode::Size, "the message is too big")),
            Some(Err(_)) | None if self.client_closed => Err(End::Closed),
            Some(Err(_)) | None => Err(End::Left),
        }
    }

    fn count(&self, change: impl FnOnce(&mut Traffic)) -> Result<(), End> {
        self.entry.update(|recorded| change(recorded.socket.get_or_insert_default()));
        Ok(())
    }

    fn note_close(&mut self, message: &Message) {
        let Message::Close(frame) = message else {
            return;
        };
        let code = frame.as_ref().map_or(NO_CODE, |frame| frame.code.into());
        self.client_closed = true;
        self.entry.update(|recorded| recorded.socket.get_or_insert_default().closed = Some(code));
    }

    async fn turn(&mut self, text: Bytes) -> Result<(), End> {
        let mut entry = open_entry(&self.hub, &head(&self.session));
        entry.keep(text.clone());
        let (length, digest) = (text.len() as u64, sha256_hex(&text));
        let ask = request(&self.session, &self.memory, text);
        note_body(&self.hub, &entry, &ask, &Route::Api(Api::Responses(self.session.provider)));
        let answered = answer(&self.hub, &self.session, &mut self.memory, &ask);
        let fault = answered.fault.as_ref();
        let play = shape::play(answered.reply, fault, &self.hub.gates, Carrier::Socket).await;
        entry.update(|recorded| {
            recorded.body_len = length;
            recorded.body_sha256 = Some(digest);
            recorded.on_socket = Some(self.session.id);
            recorded.status = Some(play.status.as_u16());
            recorded.faulted = fault.is_some();
        });
        self.count(|traffic| traffic.messages += 1)?;
        let done = self.perform(play, &entry).await;
        entry.end(match &done {
            Ok(()) | Err(End::Close(..)) => Outcome::Done,
            Err(End::Closed | End::Left) => Outcome::ClientLeft,
            Err(End::Fault(_)) => Outcome::Broken,
        });
        match done {
            Ok(()) if answered.last => Err(End::Close(CloseCode::Normal, "connection limit reached")),
            done => done,
        }
    }

    async fn perform(&mut self, mut play: Play, entry: &Entry) -> Result<(), End> {
        if let Some(gate) = play.head_gate.take() {
            self.wait_at(gate).await?;
        }
        let (fault, mut left) = (play.wire.take(), None);
        if let Some(fault) = &fault {
            left = fault.cut.map(|cut| match cut {
                Cut::Body(bytes) | Cut::Reply(bytes) => bytes,
            });
            if let Some(raw) = &fault.raw {
                play.steps = [Step::Bytes(raw.clone())].into();
            }
        }
        let flood = frames::flood();
        while let Some(step) = play.steps.pop_front() {
            if left == Some(0) {
                break;
            }
            match step {
                Step::Bytes(bytes) => self.write(&bytes, entry, play.pace, &mut left).await?,
                Step::Endless => {
                    self.write(&flood, entry, play.pace, &mut left).await?;
                    play.steps.push_front(Step::Endless);
                }
                Step::Flood(0) => {}
                Step::Flood(bytes) => {
                    self.write(&flood, entry, play.pace, &mut left).await?;
                    play.steps.push_front(Step::Flood(bytes.saturating_sub(flood.len() as u64)));
                }
                Step::Gate(gate) => self.wait_at(gate).await?,
                Step::Hold => return Err(End::Fault(Ending::Hang)),
            }
        }
        fault.map_or(Ok(()), |fault| Err(End::Fault(fault.ending)))
    }

    /// Waits until the gate is open, and answers pings meanwhile.
    async fn wait_at(&mut self, gate: Gate) -> Result<(), End> {
        let mut open = std::pin::pin!(gate.pass());
        loop {
            tokio::select! {
                () = &mut open => return Ok(()),
                heard = self.hear() => heard?,
            }
        }
    }

    async fn write(
        &mut self,
        bytes: &Bytes,
        entry: &Entry,
        pace: Pace,
        left: &mut Option<u64>,
    ) -> Result<(), End> {
        // A pong that is under way goes out whole before the next frame.
        self.ws.flush().await.map_err(|_| End::Left)?;
        let writer = self.ws.get_mut();
        let mut pen = Pen { writer, entry, pace, reply_left: None, body_left: *left };
        let written = pen.piece(bytes, Chunked::No).await;
        *left = pen.body_left;
        written.map_err(|_| End::Left)?;
        self.ws.get_mut().flush().await.map_err(|_| End::Left)
    }
}
