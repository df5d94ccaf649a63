use super::HEAD_BYTES;
use bytes::Bytes;
use hyper::body::Body;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// A request body of this many bytes is written from where it lies, with a list of its pieces.
const HEAVY: u64 = 32 * 1024;
/// Bytes of a heavy body that wait to be written at most, and one piece more: each write wakes the other end.
const HEAVY_ROOM: usize = 4 * HEAD_BYTES;
/// The same of others, which are copied behind the head, so that both go in one write.
const LIGHT_ROOM: usize = HEAD_BYTES;
/// Pieces of one write.
const PIECES: usize = 64;

thread_local! {
    /// A buffer that no request has at the moment.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A message on its way into a connection.
pub(crate) struct Outgoing<B> {
    /// The head, and what is copied behind it.
    text: Vec<u8>,
    /// Of `text`.
    written: usize,
    /// Behind `text`.
    pieces: VecDeque<Bytes>,
    /// Bytes in `pieces`.
    held: usize,
    /// What is still to be asked for.
    body: Option<B>,
    framing: Framing,
    progress: Progress,
}

/// How the body is framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    Chunked,
    /// The connection's end is the body's.
    Close,
    /// So many bytes are to come, which are written from where they lie.
    Heavy(u64),
    /// So many bytes are to come.
    Light(u64),
    #[default]
    None,
}

/// What the connection has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not a byte.
    #[default]
    Nothing,
    /// Maybe a part.
    Some,
    /// All of it.
    All,
}

/// Why it does not get further.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// Its own body broke, or is not as long as it said.
    Body,
    Connection(io::Error),
}

impl From<io::Error> for Stuck {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// Nothing, of which all is written.
impl<B> Default for Outgoing<B> {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            written: 0,
            pieces: VecDeque::new(),
            held: 0,
            body: None,
            framing: Framing::None,
            progress: Progress::Nothing,
        }
    }
}

impl Framing {
    /// How `body` is framed.
    pub(crate) fn of(body: &impl Body) -> Self {
        match body.size_hint().exact() {
            _ if body.is_end_stream() => Self::None,
            None => Self::Chunked,
            Some(length) if length >= HEAVY => Self::Heavy(length),
            Some(length) => Self::Light(length),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B> {
    /// A message whose first line and headers `head` writes; what frames the body is written behind them.
    pub(crate) fn new(body: B, framing: Framing, head: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut text = SPARE.take();
        head(&mut text);
        let framed = match framing {
            Framing::Chunked => text.write_all(b"transfer-encoding: chunked\r\n\r\n"),
            Framing::Heavy(length) | Framing::Light(length) => {
                write!(text, "content-length: {length}\r\n\r\n")
            }
            Framing::Close | Framing::None => text.write_all(b"\r\n"),
        };
        debug_assert!(framed.is_ok(), "memory takes all");
        let body = (framing != Framing::None).then_some(body);
        Self { text, framing, body, ..Self::default() }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Writes what the connection takes, and asks the body for more; ready once all is written.
    pub(crate) fn poll(
        &mut self,
        wire: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Stuck>> {
        if self.progress == Progress::All {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.fill(cx)?;
            if self.waiting() == 0 {
                // TLS keeps what the socket did not take.
                let flushed = Pin::new(&mut *wire).poll_flush(cx)?;
                if self.body.is_some() {
                    return Poll::Pending;
                }
                ready!(flushed);
                self.progress = Progress::All;
                return Poll::Ready(Ok(()));
            }
            ready!(self.write(wire, cx))?;
        }
    }

    /// Writes what the body has given before it broke; ready once that is written.
    pub(crate) fn poll_rest(
        &mut self,
        wire: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.waiting() > 0 {
            ready!(self.write(wire, cx))?;
        }
        Pin::new(wire).poll_flush(cx)
    }

    fn waiting(&self) -> usize {
        self.text.len() - self.written + self.held
    }

    /// Asks the body for as much as there is room for.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), Stuck> {
        let room = if let Framing::Heavy(_) = self.framing { HEAVY_ROOM } else { LIGHT_ROOM };
        while self.waiting() < room
            && let Some(body) = &mut self.body
        {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
                return Ok(());
            };
            let data = frame.transpose().map_err(|_| Stuck::Body)?.and_then(|frame| frame.into_data().ok());
            let ended = data.is_none() || body.is_end_stream();
            if let Some(data) = data {
                self.add(data)?;
            }
            if ended {
                self.end()?;
            }
        }
        Ok(())
    }

    fn add(&mut self, data: Bytes) -> Result<(), Stuck> {
        match &mut self.framing {
            Framing::Chunked if data.is_empty() => {}
            Framing::Chunked => {
                let text = self.room();
                write!(text, "{:x}\r\n", data.len())?;
                text.extend_from_slice(&data);
                text.extend_from_slice(b"\r\n");
            }
            Framing::Heavy(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Stuck::Body)?;
                self.held += data.len();
                self.pieces.push_back(data);
            }
            Framing::Light(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Stuck::Body)?;
                self.room().extend_from_slice(&data);
            }
            Framing::Close => self.room().extend_from_slice(&data),
            Framing::None => return Err(Stuck::Body),
        }
        Ok(())
    }

    /// Where more may be written behind what waits. A reader that is always a little behind never lets it run empty: what it
    /// has taken goes all the same.
    fn room(&mut self) -> &mut Vec<u8> {
        if self.text.capacity() == 0 {
            self.text = SPARE.take();
        }
        if self.written >= LIGHT_ROOM {
            self.text.drain(..self.written);
            self.written = 0;
        }
        &mut self.text
    }

    /// The body has ended.
    fn end(&mut self) -> Result<(), Stuck> {
        self.body = None;
        match self.framing {
            Framing::Chunked => self.room().extend_from_slice(b"0\r\n\r\n"),
            Framing::Close | Framing::Heavy(0) | Framing::Light(0) | Framing::None => {}
            Framing::Heavy(_) | Framing::Light(_) => return Err(Stuck::Body),
        }
        Ok(())
    }

    /// One write.
    fn write(&mut self, wire: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let text = &self.text[self.written..];
        let polled = if self.pieces.is_empty() {
            Pin::new(wire).poll_write(cx, text)
        } else {
            let mut list = [IoSlice::new(&[]); PIECES];
            let whole = std::iter::once(text).chain(self.pieces.iter().map(|piece| &piece[..]));
            let mut count = 0;
            for (place, piece) in list.iter_mut().zip(whole.filter(|piece| !piece.is_empty())) {
                *place = IoSlice::new(piece);
                count += 1;
            }
            Pin::new(wire).poll_write_vectored(cx, &list[..count])
        };
        let taken = ready!(polled)?;
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.progress = Progress::Some;
        self.advance(taken);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut taken: usize) {
        let of_text = taken.min(self.text.len() - self.written);
        self.written += of_text;
        taken -= of_text;
        if self.written == self.text.len() {
            self.recycle();
        }
        self.held -= taken;
        while let Some(piece) = self.pieces.front_mut()
            && taken > 0
        {
            let of_piece = taken.min(piece.len());
            taken -= of_piece;
            // Dropped here and now: what is kept for another attempt is not kept twice.
            drop(piece.split_to(of_piece));
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// All of `text` is written: another request may have the buffer.
    fn recycle(&mut self) {
        self.written = 0;
        let mut text = std::mem::take(&mut self.text);
        if text.capacity() <= LIGHT_ROOM {
            text.clear();
            SPARE.set(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write_lines;
    use super::*;
    use http::header::{self, HeaderMap, HeaderName, HeaderValue};
    use hyper::body::{Frame, SizeHint};
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;
    use tokio::io::{AsyncReadExt, duplex};

    /// PRX-1: the other side may take a few bytes at a time, in whatever way the body is written.
    #[tokio::test]
    async fn however_little_is_taken_at_a_time_all_arrives_and_in_order() {
        for (length, piece, room) in [(5000, 700, 3), (40_000, 700, 97), (40_000, 40_000, 1000), (0, 1, 5)] {
            for hint in [SizeHint::with_exact(length), SizeHint::new()] {
                let body = Body::of(length, piece, hint);
                let (mut ours, theirs) = duplex(room);
                let mut outgoing = post(&body);
                let sending = async move { poll_fn(|cx| outgoing.poll(&mut ours, cx)).await };
                let reading = async move {
                    let mut arrived = Vec::new();
                    theirs.take(2 * (length + 1000)).read_to_end(&mut arrived).await.map(|_| arrived)
                };
                let (sent, arrived) = tokio::join!(sending, reading);
                sent.unwrap();
                let arrived = arrived.unwrap();
                let expected = match hint.exact() {
                    Some(_) => [head(&format!("content-length: {length}")), body.text()].concat(),
                    None => [head("transfer-encoding: chunked"), body.chunks()].concat(),
                };
                assert!(arrived == expected, "{length} by {piece}, {room} at a time, {hint:?}");
            }
        }
    }

    /// PRX-4: a body is asked for no more than there is room for while nothing is taken, and a large buffer is not kept.
    #[test]
    fn what_waits_to_be_written_has_a_bound() {
        const PIECE: usize = 10_000;
        for (hint, room) in [(SizeHint::with_exact(1 << 30), HEAVY_ROOM), (SizeHint::new(), LIGHT_ROOM)] {
            let body = Body::of(1 << 30, PIECE, hint);
            let (mut ours, _theirs) = duplex(1);
            let mut outgoing = post(&body);
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..3 {
                assert!(outgoing.poll(&mut ours, &mut cx).is_pending());
            }
            let asked = body.asked.load(Ordering::Relaxed);
            assert!((room - PIECE..room + PIECE).contains(&asked), "{asked} bytes of {room}");
        }
        let mut large = Outgoing { text: vec![0; LIGHT_ROOM + 1], ..Outgoing::<Body>::default() };
        SPARE.take();
        large.advance(LIGHT_ROOM + 1);
        assert_eq!((large.waiting(), SPARE.take().capacity()), (0, 0));
    }

    /// PRX-4: of what a reader has taken nothing is kept, though it is always behind.
    #[test]
    fn who_reads_slower_than_a_body_comes_makes_nothing_grow() {
        const PIECE: usize = 10_000;
        const LENGTH: usize = 4 << 20;
        let body = Body::of(LENGTH as u64, PIECE, SizeHint::new());
        let mut outgoing = post(&body);
        let mut slow = Slow::default();
        let mut cx = Context::from_waker(Waker::noop());
        while outgoing.poll(&mut slow, &mut cx).is_pending() {
            assert!(outgoing.text.len() < 2 * LIGHT_ROOM + 2 * PIECE, "{} bytes", outgoing.text.len());
            slow.waits = false;
        }
        let expected = [head("transfer-encoding: chunked"), body.chunks()].concat();
        assert!(slow.taken == expected, "{} of {} bytes", slow.taken.len(), expected.len());
    }

    /// Takes some bytes, and then none before it is told to.
    #[derive(Default)]
    struct Slow {
        taken: Vec<u8>,
        waits: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let this = self.get_mut();
            if std::mem::replace(&mut this.waits, true) {
                return Poll::Pending;
            }
            let more = bytes.len().min(3000);
            this.taken.extend_from_slice(&bytes[..more]);
            Poll::Ready(Ok(more))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn head(framing: &str) -> Vec<u8> {
        format!("POST /v1 HTTP/1.1\r\nx: y\r\n{framing}\r\n\r\n").into()
    }

    fn post(body: &Body) -> Outgoing<Body> {
        let headers = HeaderMap::from_iter([
            (header::HOST, HeaderValue::from_static("elsewhere")),
            (HeaderName::from_static("x"), HeaderValue::from_static("y")),
        ]);
        Outgoing::new(body.clone(), Framing::of(body), |text| {
            text.extend_from_slice(b"POST /v1 HTTP/1.1\r\n");
            write_lines(text, &headers);
        })
    }

    /// `length` bytes, `piece` at a time.
    #[derive(Clone)]
    struct Body {
        length: u64,
        piece: usize,
        hint: SizeHint,
        asked: Arc<AtomicUsize>,
    }

    impl Body {
        fn of(length: u64, piece: usize, hint: SizeHint) -> Self {
            Self { length, piece, hint, asked: Arc::default() }
        }

        /// Of the piece that begins behind `asked` bytes.
        fn after(&self, asked: usize) -> Vec<u8> {
            let end = usize::try_from(self.length).unwrap().min(asked + self.piece);
            (asked..end).map(|at| (at * 7) as u8).collect()
        }

        fn text(&self) -> Vec<u8> {
            (0..self.length).step_by(self.piece).flat_map(|at| self.after(at as usize)).collect()
        }

        fn chunks(&self) -> Vec<u8> {
            let chunk = |at: u64| {
                let data = self.after(at as usize);
                [format!("{:x}\r\n", data.len()).as_bytes(), &data, b"\r\n"].concat()
            };
            let chunks = (0..self.length).step_by(self.piece).flat_map(chunk);
            chunks.chain(*b"0\r\n\r\n").collect()
        }
    }

    impl hyper::body::Body for Body {
        type Data = Bytes;
        type Error = io::Error;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            let data = self.after(self.asked.load(Ordering::Relaxed));
            self.asked.fetch_add(data.len(), Ordering::Relaxed);
            Poll::Ready((!data.is_empty()).then(|| Ok(Frame::data(data.into()))))
        }
        fn size_hint(&self) -> SizeHint {
            self.hint
        }
    }
}
