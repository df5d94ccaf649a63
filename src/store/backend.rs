//! Where records live, as a contract. It asks for no more than a directory of files and a PostgreSQL table can both
//! give: one row (or file) a record with a version column; `put` is `UPDATE … WHERE version = $expected`; `lock` is a
//! session advisory lock on the account's number; `own` is exclusive for a directory and shared for a database that
//! many machines use. Nothing here needs a transaction across records, a lease with a time-out (a paused holder would
//! lose it and a refresh token would be spent twice), or an order of records beyond "this call returned before that
//! one began".
use super::error::StoreError;
use crate::model::AccountId;
use std::collections::BTreeMap;
use std::fmt;

/// The name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// What was changed lately, and by whom: for people.
    Audit,
    /// Accounts, switches, force, settings: changed by humans, atomic together.
    State,
    /// One account's token material; written by the refresher and by re-auth only.
    Credential(AccountId),
    /// One account's limits, history and health; debounced.
    Runtime(AccountId),
}

impl Key {
    /// Whose record it is; none for those that are everybody's.
    pub fn account(self) -> Option<AccountId> {
        match self {
            Self::Audit | Self::State => None,
            Self::Credential(id) | Self::Runtime(id) => Some(id),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit => f.write_str("audit"),
            Self::State => f.write_str("state"),
            Self::Credential(id) => write!(f, "credential/{id}"),
            Self::Runtime(id) => write!(f, "runtime/{id}"),
        }
    }
}

/// Where records live. Calls block until done; async callers use `spawn_blocking`. Bodies are JSON texts.
pub trait Backend: Send + Sync {
    /// Every record there is, each as it was last made durable, with what was found damaged. Changes nothing.
    fn load(&self) -> Result<BTreeMap<Key, Found>, StoreError>;

    /// One record, fresh from where it lives. Changes nothing.
    fn read(&self, key: Key) -> Result<Found, StoreError>;

    /// Replaces a record that is at version `expected` (0: there is none) and returns its new version, once it would
    /// survive a power cut. A record at another version is left as it is: [`StoreError::Conflict`]. After any other
    /// error the record is the old one; after [`StoreError::Unsure`] it is the old or the new one, whole.
    fn put(&self, key: Key, expected: u64, body: &[u8]) -> Result<u64, StoreError>;

    /// Removes a record that is at version `expected` or damaged, with every copy of it, durably; with a credential
    /// goes its journal. One that is not there is removed already.
    fn remove(&self, key: Key, expected: u64) -> Result<(), StoreError>;

    /// Removes, durably, what is left of earlier generations of credential records where `keep` says no, and returns how
    /// much that was. The records themselves stay. Only the store's owner may ask.
    fn prune(&self, keep: &dyn Fn(Key, Remnant<'_>) -> bool) -> Result<usize, StoreError>;

    /// Becomes the store's owner until the guard is dropped, or says who is: [`StoreError::Locked`]. Clears away what
    /// an owner that was killed left half-written.
    fn own(&self) -> Result<Box<dyn Guard>, StoreError>;

    /// Waits for the account's lock, across threads and processes. A paused holder keeps it, a dead one loses it.
    /// Dropping the guard gives it back.
    fn lock(&self, account: AccountId) -> Result<Box<dyn Guard>, StoreError>;

    /// The account's lock if nobody holds it, else none.
    fn try_lock(&self, account: AccountId) -> Result<Option<Box<dyn Guard>>, StoreError>;

    /// The account's rotation journal. Only who holds the account's lock may write to it.
    fn journal(&self, account: AccountId) -> Box<dyn Journal + '_>;

    /// Proves that a record could be made durable now, before something is done that must be recorded.
    fn preflight(&self, account: AccountId) -> Result<(), StoreError>;

    /// A single-document store of an earlier version that lies where the records go, if there is one.
    fn legacy(&self) -> Result<Option<Legacy>, StoreError>;

    /// Puts that document aside, so that it is not taken in again. It is kept.
    fn retire(&self, legacy: &Legacy) -> Result<(), StoreError>;
}

/// A held lock.
pub trait Guard: Send + Sync {
    /// Tells those who find the lock taken where its holder listens: one address a line.
    fn announce(&self, addresses: &str) -> Result<(), StoreError>;

    /// Asks whether the lock is still what others would meet: [`StoreError::LockLost`] where its file was removed or
    /// replaced, or the session that held it is gone.
    fn holds(&self) -> Result<(), StoreError>;
}

/// One account's rotation journal: what is about to be sent, and what came back, each durable before the call returns.
/// Entries are opaque here, and small ([`INTENT_BYTES`], [`RESULT_BYTES`]). Room for them is taken beforehand: writing
/// one must not fail for want of space where that can be avoided. A database gives it as one row an account with three
/// columns of bytes; every call is one committed `UPDATE`. An entry that was cut off while it was written is none.
pub trait Journal {
    /// What is noted. Changes nothing.
    fn read(&self) -> Result<Noted, StoreError>;

    /// Notes what is about to be sent, in place of an earlier entry of the same round. After an error nothing may be
    /// sent.
    fn intent(&self, round: Round, entry: &[u8]) -> Result<(), StoreError>;

    /// Notes what came back, in place of an earlier answer.
    fn result(&self, entry: &[u8]) -> Result<(), StoreError>;

    /// Wipes what was noted of this round and of those after it, and the answer.
    fn clear(&self, from: Round) -> Result<(), StoreError>;

    /// Replaces all of it at once by `noted`: at no moment, nor after a power cut, is there less than one of the two.
    /// Nothing else is left of what was there.
    fn rewrite(&self, noted: &Noted) -> Result<(), StoreError>;
}

/// What an intent may hold.
pub const INTENT_BYTES: usize = 1 << 10;
/// What an answer may hold.
pub const RESULT_BYTES: usize = 64 << 10;

/// Which sending of one refresh token it is. There is no third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Round {
    /// The one that should do.
    First,
    /// The one after an answer was lost.
    Recovery,
}

/// What a journal holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// The intent of the first round.
    pub first: Option<Vec<u8>>,
    /// The intent of the recovery.
    pub recovery: Option<Vec<u8>>,
    /// The last answer.
    pub result: Option<Vec<u8>>,
    /// True where something stands that is no whole entry: cut off, or damaged.
    pub torn: bool,
}

/// A record and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Raised by every write; never 0.
    pub version: u64,
    /// The schema it was written in; [`SCHEMA`](super::SCHEMA) or older.
    pub schema: u32,
    /// What was written: a JSON text.
    pub body: Vec<u8>,
}

/// What lies under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, not even a copy.
    Absent,
    /// Something, but neither it nor its copy can be read. Corrupt is never empty.
    Damaged {
        /// What is wrong, for the user.
        problem: String,
    },
    /// A whole record.
    Good(Record),
    /// The record is damaged or gone; this is its last-known-good copy.
    Restored {
        /// The copy.
        record: Record,
        /// What is wrong with the record itself.
        problem: String,
    },
}

impl Found {
    /// The record, from wherever it could be read.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Good(record) | Self::Restored { record, .. } => Some(record),
            Self::Absent | Self::Damaged { .. } => None,
        }
    }
}

/// What may be left of earlier generations of a credential record besides the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remnant<'a> {
    /// Its last-known-good copy, a whole record: the body.
    Copy(&'a [u8]),
    /// Bytes that are no record any more.
    Damaged(&'a [u8]),
    /// A single document of an earlier version that was taken in, under the key of the state.
    Document,
}

/// A single-document store of an earlier version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Legacy {
    /// Its file's name.
    pub name: String,
    /// Its text.
    pub bytes: Vec<u8>,
}
