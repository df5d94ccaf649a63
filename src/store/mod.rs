//! Bytes that survive: records, how they are written so that no crash loses one, how they are read so that damage is
//! never taken for emptiness, and the writer that keeps them up with the state. No decision about accounts is made
//! here, and nothing outside this room knows what a record looks like.
mod backend;
mod digest;
mod document;
mod error;
mod file;
mod finding;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod force_tests;
mod fs;
mod handle;
mod journal;
mod migrate;
mod open;
mod plan;
mod rescue;
mod reseal;
mod save;
mod schema;
mod seal;
#[cfg(test)]
mod sealed_tests;
#[cfg(test)]
mod tests;
pub mod writer;

pub use backend::{
    Backend, Found, Guard, INTENT_BYTES, Journal, Key, Legacy, Noted, RESULT_BYTES, Record, Remnant, Round,
};
pub use document::{ImportReport, Secrets, export, import, keeps_client_keys, kept_settings};
pub use error::StoreError;
pub use file::FileBackend;
pub use finding::Finding;
pub use fs::{InPlace, Kind, LockFile, Meta, NewFile, OsFs, Patience, StoreFs};
pub use handle::{Store, StoreHealth};
pub use journal::{Answer, Pending, Rotation, Ticket};
pub use open::Opened;
pub use rescue::{BackupReport, Report, ReportLine, RestoreReport, backup, restore, verify};
pub use seal::{Sealer, StoreKey};

/// The schema of the records that this rota writes (STO-1). 1 was a single document.
pub const SCHEMA: u32 = 2;
