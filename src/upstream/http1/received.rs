use super::super::fault;
use super::super::pool::Pool;
use super::line::{Begun, Line};
use crate::http1::{Decoder, Flaw};
use crate::model::Origin;
use bytes::Bytes;
use http::response;
use hyper::body::{Frame, SizeHint};
use std::mem;
use std::task::{Context, Poll, ready};

/// A reply's body, and the line it comes over, which goes back to its pool at the end. What comes together is handed on
/// together, 64 KiB at most. Trailers are dropped. Dropping it before its end closes the connection.
pub(in crate::upstream) struct Received {
    /// Gone where it is not needed any more.
    line: Option<Line>,
    pool: Pool,
    origin: Origin,
    decoder: Decoder,
    /// Was read and not yet taken.
    ready: Bytes,
    /// What broke the connection.
    broken: Option<&'static str>,
}

impl Received {
    /// A reply that has begun over `line`.
    pub(in crate::upstream) fn new(
        begun: Begun,
        line: Line,
        pool: Pool,
        origin: Origin,
    ) -> (response::Parts, Self) {
        let Begun { parts, decoder, ready } = begun;
        let mut received = Self { line: Some(line), pool, origin, decoder, ready, broken: None };
        received.settle();
        (parts, received)
    }

    /// The request goes on though its reply has come.
    pub(in crate::upstream) fn go_on(&mut self) {
        if let Some(line) = &mut self.line {
            line.go_on();
        }
    }

    /// What has come; on an error, a word on what cut it.
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.ready)))));
            }
            let line = match (&self.decoder, &mut self.line) {
                (Decoder::Broken(flaw), _) => {
                    return Poll::Ready(Some(Err(self.broken.unwrap_or(told(*flaw)))));
                }
                (Decoder::Over, _) | (_, None) => return Poll::Ready(None),
                (_, Some(line)) => line,
            };
            let decoder = &mut self.decoder;
            let read = ready!(line.poll_read(cx, |bytes| (bytes.len(), decoder.read(bytes))));
            match read {
                Ok((come, (taken, data))) => {
                    self.ready = data;
                    if taken < come || come == 0 {
                        line.spoil();
                    }
                }
                Err(error) => {
                    self.broken = Some(fault::explain(&error));
                    self.decoder = Decoder::Broken(Flaw::Cut);
                }
            }
            self.settle();
        }
    }

    /// Once all has come, the line serves others, or goes.
    fn settle(&mut self) {
        if matches!(self.decoder, Decoder::Over | Decoder::Broken(_))
            && let Some(line) = self.line.take()
            && self.decoder == Decoder::Over
            && line.stays()
        {
            self.pool.give(self.origin.clone(), line);
        }
    }

    pub(in crate::upstream) fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.decoder == Decoder::Over
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        self.decoder.size_hint(self.ready.len() as u64)
    }
}

fn told(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Cut => "the upstream closed the connection",
        Flaw::Invalid => "the reply is not valid HTTP",
    }
}
