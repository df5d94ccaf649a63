use super::super::connect::Stream;
use super::super::outbound::OutboundBody;
use super::super::{Failure, fault};
use super::asked::asked;
use super::head::{self, After, BadHead};
use crate::engine::Phase;
use crate::http1::{Decoder, Names, Outgoing, Progress, Stuck};
use bytes::Bytes;
use http::header::HeaderValue;
use http::{Method, Request, response};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf};
use tokio::task::AbortHandle;

/// Bytes read at a time.
const READ: usize = 64 * 1024;

thread_local! {
    /// What was read is looked at here: a connection that waits keeps no buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
    static NAMES: RefCell<Names> = RefCell::default();
}

/// An HTTP/1.1 connection. It is large, and changes hands with every request.
pub(in crate::upstream) struct Line(Box<Ends>);

struct Ends {
    wire: Wire,
    outgoing: Outgoing<OutboundBody>,
    after: After,
}

enum Wire {
    Whole(Stream),
    /// The other half has a task of its own.
    Half {
        from: ReadHalf<Stream>,
        _sending: Pump,
    },
    /// Neither, for a moment.
    Gone,
}

/// Sends what is left of a request for as long as somebody wants the reply.
struct Pump(AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A reply: its head, and of its body what came with it.
pub(in crate::upstream) struct Begun {
    pub(in crate::upstream) parts: response::Parts,
    pub(super) decoder: Decoder,
    pub(super) ready: Bytes,
}

impl Line {
    /// HTTP/1.1 over `stream`.
    pub(in crate::upstream) fn new(stream: Stream) -> Self {
        let (wire, outgoing) = (Wire::Whole(stream), Outgoing::default());
        Self(Box::new(Ends { wire, outgoing, after: After::Stays }))
    }

    /// Sends `request` and returns the reply's head. Dropping the future leaves half an exchange: the line must go, too.
    pub(in crate::upstream) async fn exchange(
        &mut self,
        request: Request<OutboundBody>,
        host: &HeaderValue,
    ) -> Result<Begun, Failure> {
        let method = request.method().clone();
        self.0.outgoing = asked(request, host);
        let mut asking = Asking { ends: &mut self.0, method, begun: Vec::new(), broken: None };
        poll_fn(|cx| asking.poll(cx)).await
    }

    /// True where it takes another request once the reply is over.
    pub(super) fn stays(&self) -> bool {
        self.0.after == After::Stays && self.0.outgoing.progress() == Progress::All
    }

    /// It takes no further request.
    pub(super) fn spoil(&mut self) {
        self.0.after = After::Closes;
    }

    /// A look at an idle line: true where the upstream has neither closed it nor said anything unasked. `cx` is woken by what
    /// it does next.
    pub(in crate::upstream) fn is_still_free(&mut self, cx: &mut Context<'_>) -> bool {
        let mut one = [0];
        self.0.wire.poll_fill(cx, &mut ReadBuf::new(&mut one)).is_pending()
    }

    /// What has come, if anything has; no bytes at the connection's end.
    pub(super) fn poll_read<R>(
        &mut self,
        cx: &mut Context<'_>,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Poll<io::Result<R>> {
        self.0.wire.poll_read(cx, look)
    }

    /// Lets the request go on by itself where it is still being sent: it must not wait for whoever reads the reply.
    pub(super) fn go_on(&mut self) {
        if self.0.outgoing.progress() == Progress::All {
            return;
        }
        self.spoil();
        self.0.wire = match std::mem::replace(&mut self.0.wire, Wire::Gone) {
            Wire::Whole(stream) => {
                let (from, mut to) = tokio::io::split(stream);
                let mut outgoing = std::mem::take(&mut self.0.outgoing);
                let sending = tokio::spawn(async move {
                    // What goes wrong shows in the reply's body.
                    let _ = poll_fn(|cx| outgoing.poll(&mut to, cx)).await;
                });
                Wire::Half { from, _sending: Pump(sending.abort_handle()) }
            }
            shared @ (Wire::Half { .. } | Wire::Gone) => shared,
        };
    }
}

impl Wire {
    fn poll_read<R>(&mut self, cx: &mut Context<'_>, look: impl FnOnce(&[u8]) -> R) -> Poll<io::Result<R>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut scratch = ReadBuf::new(scratch);
            ready!(self.poll_fill(cx, &mut scratch))?;
            Poll::Ready(Ok(look(scratch.filled())))
        })
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Whole(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Half { from, .. } => Pin::new(from).poll_read(cx, into),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

/// An exchange until the reply's head.
struct Asking<'a> {
    ends: &'a mut Ends,
    method: Method,
    /// A head that has not come whole.
    begun: Vec<u8>,
    /// Why nothing more can be sent. The reply may have come before.
    broken: Option<&'static str>,
}

impl Asking<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Begun, Failure>> {
        if let Err(failure) = self.send(cx) {
            return Poll::Ready(Err(failure));
        }
        loop {
            let Self { ends: Ends { wire, .. }, begun, method, .. } = self;
            let come = ready!(wire.poll_read(cx, |bytes| Come::new(begun, bytes, method)));
            let failure = match come {
                Ok(Come::Head(begun, after)) => {
                    self.ends.after = after;
                    return Poll::Ready(Ok(begun));
                }
                Ok(Come::Part) => continue,
                Ok(Come::Nothing) => self.cut("the connection closed before the reply's head was complete"),
                Ok(Come::Bad(bad)) => Failure::Lost(bad.to_string()),
                Err(error) => self.cut(fault::explain(&error)),
            };
            return Poll::Ready(Err(failure));
        }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        let Wire::Whole(stream) = &mut self.ends.wire else {
            return Ok(());
        };
        if self.broken.is_some() {
            return Ok(());
        }
        match self.ends.outgoing.poll(stream, cx) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(Stuck::Connection(error))) => {
                self.broken = Some(fault::explain(&error));
                Ok(())
            }
            Poll::Ready(Err(Stuck::Body)) => {
                Err(Failure::Lost("the request's body ended before its end".to_owned()))
            }
        }
    }

    /// The connection has ended. Only a kernel that took no byte proves that none was sent: TLS has buffers of its own.
    fn cut(&self, why: &'static str) -> Failure {
        let plain = matches!(&self.ends.wire, Wire::Whole(Stream::Plain(_)));
        if plain && self.ends.outgoing.progress() == Progress::Nothing {
            let why = "the connection closed before anything was written";
            return Failure::NotSent(Phase::Request, why.to_owned());
        }
        Failure::Lost(self.broken.unwrap_or(why).to_owned())
    }
}

/// What came where a head is awaited.
enum Come {
    Bad(BadHead),
    Head(Begun, After),
    Nothing,
    Part,
}

impl Come {
    /// `bytes` go on where `begun` ends, and are kept there if they are not all.
    fn new(begun: &mut Vec<u8>, bytes: &[u8], method: &Method) -> Self {
        if bytes.is_empty() {
            return Self::Nothing;
        }
        if begun.is_empty() {
            return Self::read(begun, bytes, method);
        }
        begun.extend_from_slice(bytes);
        // A line that is not at its end is not read again for each byte of it.
        if begun.len() <= READ && !bytes.contains(&b'\n') {
            return Self::Part;
        }
        let all = std::mem::take(begun);
        Self::read(begun, &all, method)
    }

    fn read(begun: &mut Vec<u8>, bytes: &[u8], method: &Method) -> Self {
        let (used, head) = match NAMES.with_borrow_mut(|names| head::read(bytes, method, names)) {
            Ok(read) => read,
            Err(bad) => return Self::Bad(bad),
        };
        let Some(head) = head else {
            begun.extend_from_slice(&bytes[used..]);
            return Self::Part;
        };
        let mut decoder = Decoder::new(head.body);
        let behind = &bytes[used..];
        let (taken, ready) = match head.short {
            Some(short) => {
                decoder.passed(short.len());
                (short.len(), short)
            }
            None if behind.is_empty() => (0, Bytes::new()),
            None => decoder.read(behind),
        };
        // What follows a reply answers nothing: who knows what the next one would be.
        let after = if taken < behind.len() { After::Closes } else { head.after };
        Self::Head(Begun { parts: head.parts, decoder, ready }, after)
    }
}
