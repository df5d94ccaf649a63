//! Replies that the HTTP library cannot or will not send: cut anywhere, reset,
//! raw bytes, false lengths. The connection is taken away from the library and
//! written by hand.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::fault::Ending;
use crate::handshake::Opening;
use crate::recorder::{Entry, Outcome};
use crate::reply::flood_chunk;
use crate::shape::{Cut, Pace, Play, Step, WireFault};

/// How a handler asks for the connection it is served on.
#[derive(Debug, Default)]
pub(crate) struct Link {
    wanted: Mutex<Option<Takeover>>,
    ready: Notify,
}

/// Why a connection is taken from the HTTP library.
#[derive(Debug)]
pub(crate) enum Takeover {
    Reply(Box<Spoilt>),
    Socket(Box<Opening>),
}

/// A reply to be written by hand.
#[derive(Debug)]
pub(crate) struct Spoilt {
    pub(crate) play: Play,
    pub(crate) fault: WireFault,
    pub(crate) entry: Entry,
}

impl Link {
    pub(crate) fn give(&self, takeover: Takeover) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(takeover);
        self.ready.notify_one();
    }

    /// Waits until a handler wants the connection.
    pub(crate) async fn taken(&self) -> Takeover {
        loop {
            self.ready.notified().await;
            if let Some(takeover) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return takeover;
            }
        }
    }
}

/// What is to be done with a connection that was written by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    Drop,
    Reset,
}

/// Writes the reply and ends the connection as the fault says, or earlier when
/// the client leaves.
pub(crate) async fn perform<IO>(io: IO, mut takeover: Spoilt) -> (IO, Farewell)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut reader, mut writer) = tokio::io::split(io);
    let left = {
        let written = write(&mut writer, &mut takeover);
        tokio::select! {
            written = written => written.is_err(),
            () = gone(&mut reader) => true,
        }
    };
    if left {
        takeover.entry.end(Outcome::ClientLeft);
        return (reader.unsplit(writer), Farewell::Drop);
    }
    let whole = takeover.fault.cut.is_none() && takeover.fault.raw.is_none();
    takeover.entry.end(if whole { Outcome::Done } else { Outcome::Broken });
    let mut io = reader.unsplit(writer);
    let farewell = end(&mut io, takeover.fault.ending).await;
    (io, farewell)
}

/// Ends a connection as a fault says; what is left to do with it is given back.
pub(crate) async fn end<IO: AsyncRead + AsyncWrite + Unpin>(io: &mut IO, ending: Ending) -> Farewell {
    match ending {
        Ending::Close => {
            // The client may have left already, which is as good.
            let _shut = io.shutdown().await;
            gone(io).await;
            Farewell::Drop
        }
        Ending::Hang => {
            gone(io).await;
            Farewell::Drop
        }
        Ending::Reset => Farewell::Reset,
    }
}

/// Reads and throws away until the client has left.
async fn gone(reader: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 16 * 1024];
    while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, takeover: &mut Spoilt) -> std::io::Result<()> {
    let play = &mut takeover.play;
    let (reply_left, body_left) = match takeover.fault.cut {
        None => (None, None),
        Some(Cut::Reply(bytes)) => (Some(bytes), None),
        Some(Cut::Body(bytes)) => (None, Some(bytes)),
    };
    let mut pen = Pen { writer, entry: &takeover.entry, pace: play.pace, reply_left, body_left };
    if let Some(raw) = &takeover.fault.raw {
        return pen.put(raw).await;
    }
    let chunked = pen.head(play).await?;
    let chunk = flood_chunk();
    while let Some(step) = play.steps.pop_front() {
        if pen.is_over() {
            break;
        }
        match step {
            Step::Bytes(bytes) => pen.piece(&bytes, chunked).await?,
            Step::Endless => {
                pen.piece(&chunk, chunked).await?;
                play.steps.push_front(Step::Endless);
            }
            Step::Flood(0) => {}
            Step::Flood(bytes) => {
                let piece = chunk.slice(..usize::try_from(bytes).unwrap_or(usize::MAX).min(chunk.len()));
                pen.piece(&piece, chunked).await?;
                play.steps.push_front(Step::Flood(bytes - piece.len() as u64));
            }
            Step::Gate(gate) => {
                pen.writer.flush().await?;
                gate.pass().await;
            }
            Step::Hold => {
                pen.writer.flush().await?;
                std::future::pending().await
            }
        }
    }
    if chunked == Chunked::Yes && !pen.is_over() {
        pen.put(b"0\r\n\r\n").await?;
    }
    pen.writer.flush().await
}

/// Whether the body is written in chunks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    No,
    Yes,
}

/// Writes until a limit and counts.
pub(crate) struct Pen<'a, W> {
    pub(crate) writer: &'a mut W,
    pub(crate) entry: &'a Entry,
    pub(crate) pace: Pace,
    pub(crate) reply_left: Option<u64>,
    pub(crate) body_left: Option<u64>,
}

impl<W: AsyncWrite + Unpin> Pen<'_, W> {
    fn is_over(&self) -> bool {
        self.reply_left == Some(0) || self.body_left == Some(0)
    }

    pub(crate) async fn head(&mut self, play: &Play) -> std::io::Result<Chunked> {
        let reason = play.status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", play.status.as_u16()).into_bytes();
        for (name, value) in &play.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        let announced =
            play.headers.contains_key(CONTENT_LENGTH) || play.headers.contains_key(TRANSFER_ENCODING);
        let chunked = match (announced, play.length) {
            _ if play.status.is_informational() => Chunked::No,
            (true, _) => Chunked::No,
            (false, Some(length)) => {
                head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
                Chunked::No
            }
            (false, None) => {
                head.extend_from_slice(b"transfer-encoding: chunked\r\n");
                Chunked::Yes
            }
        };
        head.extend_from_slice(b"\r\n");
        self.put(&head).await?;
        Ok(chunked)
    }

    /// One piece of the body. A chunk says its whole length even when the cut
    /// falls into it.
    pub(crate) async fn piece(&mut self, bytes: &Bytes, chunked: Chunked) -> std::io::Result<()> {
        if chunked == Chunked::Yes {
            self.put(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
        }
        let allowed = self
            .body_left
            .map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let sent = bytes.slice(..allowed);
        if let Some(left) = &mut self.body_left {
            *left -= allowed as u64;
        }
        self.put(&sent).await?;
        if chunked == Chunked::Yes && allowed == bytes.len() && !self.is_over() {
            self.put(b"\r\n").await?;
        }
        Ok(())
    }

    pub(crate) async fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let allowed = self
            .reply_left
            .map_or(bytes.len(), |left| bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let bytes = bytes.get(..allowed).unwrap_or_default();
        if let Some(left) = &mut self.reply_left {
            *left -= allowed as u64;
        }
        match self.pace {
            Pace::Whole => self.writer.write_all(bytes).await?,
            Pace::ByteByByte => {
                for byte in bytes {
                    self.writer.write_all(&[*byte]).await?;
                    self.writer.flush().await?;
                }
            }
        }
        self.entry.quiet_update(|recorded| recorded.sent += bytes.len() as u64);
        Ok(())
    }
}
