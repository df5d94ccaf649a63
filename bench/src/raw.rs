//! The raw forwarder: wait, read, write, and nothing else; what a proxy could cost at least on this kernel. Each client's
//! connection has one of its own to the upstream, so that replies pass unread. Requests are read as far as it takes to
//! know where the next head begins, and their authorization header is replaced. Not a parser to trust: both ends are ours.
use crate::wire::{Body, Head};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};
use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;
/// Events taken at once.
const EVENTS: usize = 256;
/// The listener's; pair N has the tokens 2N + 2 and 2N + 3.
const LISTENER: Token = Token(0);

/// Passes on what comes to `listener`, for ever.
pub fn serve(listener: std::net::TcpListener, to: SocketAddr, bearer: &str) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let field = format!("authorization: Bearer {bearer}\r\n").into_bytes();
    let mut pairs = Pairs { to, field, buffer: vec![0; BUFFER], there: Vec::new(), free: Vec::new() };
    let mut events = Events::with_capacity(EVENTS);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                pairs.accept(&listener, poll.registry())?;
            } else {
                pairs.pass(event);
            }
        }
    }
}

struct Pairs {
    to: SocketAddr,
    /// What stands in each request, with its line end.
    field: Vec<u8>,
    /// What is read goes here and is written from here.
    buffer: Vec<u8>,
    there: Vec<Option<Pair>>,
    free: Vec<usize>,
}

/// A client's connection and its own to the upstream. Dropping it closes both.
struct Pair {
    client: TcpStream,
    upstream: TcpStream,
    asking: Asking,
    /// Read from the client, and not taken by the upstream yet.
    asked: Vec<u8>,
    /// The other way.
    answered: Vec<u8>,
    /// The end is among what is to be read, and nothing will tell of it again: of the client's side.
    client_ends: bool,
    /// The same of the upstream's.
    upstream_ends: bool,
}

/// Where in a request the client is.
enum Asking {
    /// So much of a head has come.
    Head(Vec<u8>),
    /// So much of a body is to come.
    Body(Body),
}

/// One end has closed.
struct Closed;

impl Pairs {
    fn accept(&mut self, listener: &TcpListener, registry: &Registry) -> io::Result<()> {
        loop {
            let mut client = match listener.accept() {
                Ok((client, _)) => client,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let upstream = std::net::TcpStream::connect(self.to)?;
            upstream.set_nonblocking(true)?;
            let mut upstream = TcpStream::from_std(upstream);
            let number = self.free.pop().unwrap_or(self.there.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            for (stream, token) in [(&mut client, 2 * number + 2), (&mut upstream, 2 * number + 3)] {
                stream.set_nodelay(true)?;
                registry.register(stream, Token(token), both)?;
            }
            let (asked, answered) = (Vec::new(), Vec::new());
            let asking = Asking::Head(Vec::new());
            let (client_ends, upstream_ends) = (false, false);
            let pair = Pair { client, upstream, asking, asked, answered, client_ends, upstream_ends };
            match self.there.get_mut(number) {
                Some(place) => *place = Some(pair),
                None => self.there.push(Some(pair)),
            }
        }
    }

    fn pass(&mut self, event: &Event) {
        let number = event.token().0 / 2 - 1;
        let Some(place) = self.there.get_mut(number) else {
            return;
        };
        let Some(pair) = place else {
            return;
        };
        let (read, write, ends) = (event.is_readable(), event.is_writable(), event.is_read_closed());
        let client = event.token().0.is_multiple_of(2);
        pair.client_ends |= client && ends;
        pair.upstream_ends |= !client && ends;
        let ask = if client { read } else { write && !pair.asked.is_empty() };
        let answer = if client { write && !pair.answered.is_empty() } else { read };
        let asked = if ask { pair.ask(&self.field, &mut self.buffer) } else { Ok(()) };
        let answered = if answer { pair.answer(&mut self.buffer) } else { Ok(()) };
        if asked.and(answered).is_err() {
            *place = None;
            self.free.push(number);
        }
    }
}

impl Pair {
    /// From the client to the upstream, until one of them is to be waited for.
    fn ask(&mut self, field: &[u8], buffer: &mut [u8]) -> Result<(), Closed> {
        while write(&mut self.upstream, &mut self.asked)? {
            let Some(read) = read(&mut self.client, buffer)? else {
                return Ok(());
            };
            let taken = &buffer[..read];
            if self.asking.skip(read as u64) {
                pass(&mut self.upstream, taken, &mut self.asked)?;
            } else {
                self.asking.take(taken, field, &mut self.asked);
            }
            if read < buffer.len() && !self.client_ends && write(&mut self.upstream, &mut self.asked)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// From the upstream to the client, as it is.
    fn answer(&mut self, buffer: &mut [u8]) -> Result<(), Closed> {
        while write(&mut self.client, &mut self.answered)? {
            let Some(read) = read(&mut self.upstream, buffer)? else {
                return Ok(());
            };
            pass(&mut self.client, &buffer[..read], &mut self.answered)?;
            // It would be told if there were more: what comes later is an event of its own.
            if read < buffer.len() && !self.upstream_ends {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Asking {
    /// Passes over the next `length` bytes where all of them are of a body whose length is known.
    fn skip(&mut self, length: u64) -> bool {
        let Self::Body(Body::Left(left)) = self else {
            return false;
        };
        match left.checked_sub(length) {
            None => return false,
            Some(0) => *self = Self::Head(Vec::new()),
            Some(rest) => *left = rest,
        }
        true
    }

    /// Reads `input`; `out` gets what goes to the upstream in its place.
    fn take(&mut self, mut input: &[u8], field: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            let used = match self {
                Self::Head(part) => {
                    let before = part.len();
                    part.extend_from_slice(input);
                    let Some((head, length)) = Head::find(part) else {
                        return;
                    };
                    let body = head.body();
                    replace(&part[..length], field, out);
                    *self = Self::Body(body);
                    length - before
                }
                Self::Body(body) => {
                    let (used, _) = body.feed(input);
                    out.extend_from_slice(&input[..used]);
                    used
                }
            };
            input = &input[used..];
            if matches!(self, Self::Body(body) if body.is_done()) {
                *self = Self::Head(Vec::new());
            }
        }
    }
}

/// The head with `field` in place of its authorization.
fn replace(head: &[u8], field: &[u8], out: &mut Vec<u8>) {
    const NAME: &[u8] = b"authorization:";
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if line == b"\r\n" {
            out.extend_from_slice(field);
        }
        let is_it = line.get(..NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME));
        if !is_it {
            out.extend_from_slice(line);
        }
    }
}

/// How many bytes came; none where it is to be waited for.
fn read(from: &mut TcpStream, buffer: &mut [u8]) -> Result<Option<usize>, Closed> {
    match from.read(buffer) {
        Ok(0) => Err(Closed),
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(_) => Err(Closed),
    }
}

/// Writes what is kept. True where nothing is left of it.
fn write(to: &mut TcpStream, kept: &mut Vec<u8>) -> Result<bool, Closed> {
    if kept.is_empty() {
        return Ok(true);
    }
    match to.write(kept) {
        Ok(written) => drop(kept.drain(..written)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(_) => return Err(Closed),
    }
    Ok(kept.is_empty())
}

/// Writes `bytes`, and keeps what is not taken.
fn pass(to: &mut TcpStream, bytes: &[u8], kept: &mut Vec<u8>) -> Result<(), Closed> {
    let written = match to.write(bytes) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(_) => return Err(Closed),
    };
    kept.extend_from_slice(&bytes[written..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_through_with_one_authorization_however_they_are_cut() {
        let request =
            |field: &str| format!("POST /a HTTP/1.1\r\n{field}content-length: 5\r\n\r\nhello").into_bytes();
        let asked = [request("Authorization: Bearer client\r\n"), request("")].concat();
        let plain = "POST /a HTTP/1.1\r\ncontent-length: 5\r\nauthorization: Bearer ours\r\n\r\nhello";
        for cut in 1..=asked.len() {
            let (mut asking, mut out) = (Asking::Head(Vec::new()), Vec::new());
            for part in asked.chunks(cut) {
                asking.take(part, b"authorization: Bearer ours\r\n", &mut out);
            }
            assert_eq!(String::from_utf8(out).as_deref(), Ok(plain.repeat(2).as_str()), "{cut}");
        }
    }
}
