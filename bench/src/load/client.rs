use super::{Plan, Seen};
use crate::clock::Moment;
use crate::upstream::{STAMP, STAMPED, Steps};
use crate::wire::Link;
use std::io;
use tokio::net::TcpStream;

/// One connection, and what it has seen.
#[derive(Debug)]
pub struct Client {
    link: Link,
    request: Vec<u8>,
    event: Option<usize>,
    pub(super) seen: Seen,
}

/// One request and its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The reply's status.
    pub status: u16,
    /// From the request to the first byte of the reply's body, in nanoseconds.
    pub first: u64,
    /// Whole events among the reply's body.
    pub events: u64,
}

impl Client {
    /// A connection with the request it will send.
    pub async fn connect(plan: &Plan, number: usize) -> io::Result<Self> {
        let link = Link::new(TcpStream::connect(plan.to).await?)?;
        Ok(Self { link, request: plan.request(number), event: plan.event, seen: Seen::default() })
    }

    /// Sends `request` once and forgets what was measured.
    pub async fn warm(&mut self, request: &[u8]) -> io::Result<Exchange> {
        let (mine, event) = (std::mem::replace(&mut self.request, request.to_vec()), self.event.take());
        let exchange = self.exchange(None).await;
        (self.request, self.event, self.seen) = (mine, event, Seen::default());
        exchange
    }

    /// Sends its request and reads the whole reply. Tells `steps` of each event that came.
    pub async fn exchange(&mut self, steps: Option<&Steps>) -> io::Result<Exchange> {
        let start = Moment::now();
        self.link.send(&self.request).await?;
        let (status, mut body) = self.reply().await?;
        let mut exchange = Exchange { status, ..Exchange::default() };
        let mut stamps = Stamps::new(self.event);
        while let Some(payload) = self.link.payload(&mut body).await? {
            let now = Moment::now();
            if exchange.first == 0 {
                exchange.first = now.since(start);
            }
            let events = stamps.read(payload, now, &mut self.seen.added);
            exchange.events += events;
            (0..events).for_each(|_| steps.into_iter().for_each(Steps::go_on));
        }
        Ok(exchange)
    }

    /// [`Client::exchange`], noted.
    pub(super) async fn noted(&mut self, steps: Option<&Steps>) -> io::Result<()> {
        let start = Moment::now();
        let exchange = self.exchange(steps).await?;
        self.seen.note(&exchange, Moment::now().since(start));
        Ok(())
    }

    /// Sends its request and reads no further than the first byte of the reply's body.
    pub(super) async fn begin(&mut self) -> io::Result<()> {
        self.link.send(&self.request).await?;
        let (_, mut body) = self.reply().await?;
        self.link.payload(&mut body).await?;
        Ok(())
    }

    async fn reply(&mut self) -> io::Result<(u16, crate::wire::Body)> {
        let head = self.link.head(|head| head.word(1).parse().unwrap_or(0)).await?;
        head.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Finds events in a stream where each has the same length, and the stamps in them, however the stream is cut.
struct Stamps {
    event: Option<usize>,
    at: usize,
    digits: u64,
}

impl Stamps {
    fn new(event: Option<usize>) -> Self {
        Self { event, at: 0, digits: 0 }
    }

    /// How many events end in `payload`, which came at `now`; the age of each stamp that ends in it goes to `added`. The
    /// last event of a stream begins otherwise and has none.
    fn read(&mut self, payload: &[u8], now: Moment, added: &mut Vec<u64>) -> u64 {
        let Some(event) = self.event else {
            return 0;
        };
        let (mut events, mut used) = (0, 0);
        while used < payload.len() {
            let within = self.at % event;
            let (start, end) = (STAMPED.len(), STAMPED.len() + STAMP);
            let left = payload.len() - used;
            let step = if within < start {
                left.min(start - within)
            } else if within < end {
                self.digit(payload[used], within - start);
                if within + 1 == end && self.digits > 0 {
                    added.push(now.since(Moment(self.digits)));
                }
                1
            } else {
                left.min(event - within)
            };
            self.at += step;
            used += step;
            events += u64::from(self.at.is_multiple_of(event));
        }
        events
    }

    fn digit(&mut self, byte: u8, place: usize) {
        let before = if place == 0 { 0 } else { self.digits };
        self.digits = match char::from(byte).to_digit(10) {
            Some(digit) => before.saturating_mul(10).saturating_add(u64::from(digit)),
            None => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_counted_and_every_stamp_read_however_the_stream_is_cut() {
        let event = |sent: u64| format!("{STAMPED}{sent:020}\"}}\n\n");
        let stream = format!("{}{}", event(1_000), event(4_000));
        for cut in 1..=stream.len() {
            let (mut stamps, mut added) = (Stamps::new(Some(stream.len() / 2)), Vec::new());
            let parts = stream.as_bytes().chunks(cut);
            let events: u64 = parts.map(|part| stamps.read(part, Moment(5_000), &mut added)).sum();
            assert_eq!((events, added), (2, vec![4_000, 1_000]), "{cut}");
        }
    }

    #[test]
    fn what_is_no_stream_has_no_events() {
        assert_eq!(Stamps::new(None).read(b"anything", Moment(1), &mut Vec::new()), 0);
    }
}
