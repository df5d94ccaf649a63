//! What arrived and how its reply went. Credentials of the scripted accounts
//! are shown as fingerprints; everything else is shown as it came, so that a
//! test sees a client's secret that leaked. Bounded in entries and in bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;

/// Most requests kept; the oldest go first, and only the count remembers them.
const MAX_ENTRIES: usize = 20_000;
/// Most bytes of heads and bodies kept for [`Recorder::saw`], over all requests.
const MAX_RAW_BYTES: usize = 128 * 1024 * 1024;

/// One request and the fate of its reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recorded {
    /// Place in the order of arrival, from 0.
    pub seq: u64,
    /// The fake's clock when the head arrived, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Account whose credential it carried; for token endpoints, whom the request is about.
    pub account: Option<String>,
    /// Where the credential was.
    pub slot: Option<Slot>,
    /// Model named by the body or the path; empty when none is.
    pub model: String,
    /// Headers in their order, credentials of accounts as fingerprints.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body that have arrived.
    pub body_len: u64,
    /// SHA-256 of the body as it came, in hexadecimal. `None` until it is whole.
    pub body_sha256: Option<String>,
    /// Session and conversation values from headers and body, by their names.
    pub affinity: BTreeMap<String, String>,
    /// Parameters of a token request or a device authorization; secrets,
    /// codes and states as [`fingerprint`](crate::fingerprint)s.
    pub parameters: BTreeMap<String, String>,
    /// Status answered. `None` until the reply begins.
    pub status: Option<u16>,
    /// Bytes of the reply's body handed to the connection; with a cut at a byte
    /// of the whole reply, bytes of the whole reply.
    pub sent: u64,
    /// A fault shaped the reply.
    pub faulted: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Of the handshake of a WebSocket: what has come over it.
    pub socket: Option<Traffic>,
    /// Of a message over a WebSocket (its method is `WS`): `seq` of the handshake.
    pub on_socket: Option<u64>,
}

/// What a client has sent over a WebSocket so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages that were answered.
    pub messages: u64,
    /// Pings.
    pub pings: u64,
    /// Pongs.
    pub pongs: u64,
    /// Code of the close frame that the client sent; 1005 is one without a code.
    pub closed: Option<u16>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A fault ended it on purpose.
    Broken,
    /// The connection went away before the reply ended.
    ClientLeft,
    /// The whole reply was handed to the connection.
    Done,
    /// Still going on.
    Open,
}

/// Where a credential was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// `Authorization: Bearer`
    Authorization,
    /// A parameter of the body (token endpoints).
    Body,
    /// `?key=`
    Query,
    /// `x-api-key`
    XApiKey,
    /// `x-goog-api-key`
    XGoogApiKey,
}

/// The record of everything that arrived. Clones read the same record.
#[derive(Clone, Debug)]
pub struct Recorder {
    log: Arc<Mutex<Log>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Kept>,
    /// Sequence number of the first entry kept.
    first: u64,
    raw_bytes: usize,
}

#[derive(Debug)]
struct Kept {
    recorded: Recorded,
    raw: Vec<Bytes>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self { log: Arc::new(Mutex::new(Log::default())), changes: Arc::new(watch::Sender::new(0)) }
    }

    /// The requests kept, in order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.log().entries.iter().map(|kept| kept.recorded.clone()).collect()
    }

    /// Requests that have arrived since the start or the last reset, kept or not.
    pub fn total(&self) -> u64 {
        let log = self.log();
        log.first + log.entries.len() as u64
    }

    /// Whether `needle` was in any head or body kept, coded bodies also decoded.
    pub fn saw(&self, needle: &str) -> bool {
        let log = self.log();
        !needle.is_empty()
            && log.entries.iter().any(|kept| kept.raw.iter().any(|raw| contains(raw, needle.as_bytes())))
    }

    /// Waits until `enough` holds of the requests kept.
    pub async fn wait_until(&self, mut enough: impl FnMut(&[Recorded]) -> bool) -> Vec<Recorded> {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let requests = self.requests();
            if enough(&requests) || changes.changed().await.is_err() {
                return requests;
            }
        }
    }

    /// Waits until `count` requests have arrived.
    pub async fn wait_for(&self, count: u64) {
        let mut changes = self.changes.subscribe();
        // The sender lives in `self`, so waiting ends only when it is true.
        let _reached = changes.wait_for(|_| self.total() >= count).await;
    }

    /// Forgets everything. Requests under way are not recorded any more.
    pub fn clear(&self) {
        let mut log = self.log();
        log.first += log.entries.len() as u64;
        log.entries.clear();
        log.raw_bytes = 0;
        drop(log);
        self.changed();
    }

    /// Opens an entry; `recorded.seq` is filled in here.
    pub(crate) fn open(&self, mut recorded: Recorded, head: Bytes) -> Entry {
        let mut log = self.log();
        let seq = log.first + log.entries.len() as u64;
        recorded.seq = seq;
        log.entries.push_back(Kept { recorded, raw: Vec::new() });
        if log.entries.len() > MAX_ENTRIES
            && let Some(oldest) = log.entries.pop_front()
        {
            log.first += 1;
            log.raw_bytes -= oldest.raw.iter().map(Bytes::len).sum::<usize>();
        }
        drop(log);
        self.changed();
        let entry = Entry { recorder: self.clone(), seq, ended: false };
        entry.keep(head);
        entry
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// The open entry of one request. Dropped before [`Entry::end`], it says that
/// the client left.
#[derive(Debug)]
pub(crate) struct Entry {
    recorder: Recorder,
    seq: u64,
    ended: bool,
}

impl Entry {
    /// Changes the record; nothing happens when it has been dropped for age.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Recorded)) {
        self.quiet_update(change);
        self.recorder.changed();
    }

    /// The same without waking those who wait, for counts that change often.
    pub(crate) fn quiet_update(&self, change: impl FnOnce(&mut Recorded)) {
        let mut log = self.recorder.log();
        let place = self.seq.checked_sub(log.first).and_then(|place| usize::try_from(place).ok());
        if let Some(kept) = place.and_then(|place| log.entries.get_mut(place)) {
            change(&mut kept.recorded);
        }
    }

    /// Keeps bytes for the search, and drops the oldest kept ones beyond the cap.
    pub(crate) fn keep(&self, raw: Bytes) {
        let mut log = self.recorder.log();
        let place = self.seq.checked_sub(log.first).and_then(|place| usize::try_from(place).ok());
        let len = raw.len();
        let Some(kept) = place.and_then(|place| log.entries.get_mut(place)) else {
            return;
        };
        kept.raw.push(raw);
        log.raw_bytes += len;
        let mut oldest = 0;
        while log.raw_bytes > MAX_RAW_BYTES {
            let Some(kept) = log.entries.get_mut(oldest) else {
                return;
            };
            let freed = std::mem::take(&mut kept.raw).iter().map(Bytes::len).sum::<usize>();
            log.raw_bytes -= freed;
            oldest += 1;
        }
    }

    /// Place in the order of arrival.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    /// The same entry for a second holder, which will not end it.
    pub(crate) fn observer(&self) -> Self {
        Self { recorder: self.recorder.clone(), seq: self.seq, ended: true }
    }

    pub(crate) fn end(&mut self, outcome: Outcome) {
        if !self.ended {
            self.ended = true;
            self.update(|recorded| recorded.outcome = outcome);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.end(Outcome::ClientLeft);
    }
}

/// Whether `needle` is somewhere in `haystack`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_bounded_and_counts_what_it_dropped() {
        let recorder = Recorder::new();
        for _ in 0..MAX_ENTRIES + 5 {
            recorder.open(blank(), Bytes::from_static(b"GET / x-canary: 1")).end(Outcome::Done);
        }
        let requests = recorder.requests();
        assert_eq!((requests.len(), recorder.total()), (MAX_ENTRIES, MAX_ENTRIES as u64 + 5));
        assert_eq!(requests.first().map(|first| first.seq), Some(5));
        assert!(recorder.saw("x-canary") && !recorder.saw("x-other") && !recorder.saw(""));
        recorder.clear();
        assert!(!recorder.saw("x-canary"));
        assert_eq!(recorder.total(), MAX_ENTRIES as u64 + 5);
    }

    #[test]
    fn raw_bytes_are_dropped_from_the_oldest_and_the_entry_stays() {
        let recorder = Recorder::new();
        let first = recorder.open(blank(), Bytes::from_static(b"first"));
        let second = recorder.open(blank(), Bytes::from_static(b"second"));
        second.keep(Bytes::from(vec![b'x'; MAX_RAW_BYTES]));
        assert!(!recorder.saw("first"));
        drop((first, second));
        assert_eq!(
            recorder.requests().iter().map(|one| one.outcome).collect::<Vec<_>>(),
            [Outcome::ClientLeft; 2]
        );
    }

    fn blank() -> Recorded {
        Recorded {
            seq: 0,
            at_ms: 0,
            method: "GET".into(),
            path: "/".into(),
            account: None,
            slot: None,
            model: String::new(),
            headers: Vec::new(),
            body_len: 0,
            body_sha256: None,
            affinity: BTreeMap::new(),
            parameters: BTreeMap::new(),
            status: None,
            sent: 0,
            faulted: false,
            outcome: Outcome::Open,
            socket: None,
            on_socket: None,
        }
    }
}
