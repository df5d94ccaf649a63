use super::backend::Key;
use crate::model::Alias;
use std::fmt;

/// Something that was not as it should be and did not keep the store from opening. Shown until it is put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// What was changed before, and by whom, cannot be read; the trail begins anew.
    AuditLost {
        /// Why.
        problem: String,
    },
    /// The credential of an account cannot be used; the account is shown without one.
    CredentialLost {
        /// Whose.
        alias: Alias,
        /// Why.
        problem: String,
    },
    /// The credential of an account is sealed and does not open; the account is shown without one.
    CredentialSealed {
        /// Whose.
        alias: Alias,
        /// Why, and what to do.
        problem: String,
    },
    /// A force names an account that is not there; it was ended.
    ForceEnded {
        /// Whom it named.
        alias: Alias,
    },
    /// A credential record could not be sealed, because its content means nothing; it lies there in the clear.
    InTheClear {
        /// Which.
        key: Key,
        /// What is wrong with it.
        problem: String,
    },
    /// A single document lies beside records; it was not taken in.
    LegacyIgnored {
        /// Its file's name.
        name: String,
    },
    /// A single document of an earlier version was taken in and kept under another name.
    Migrated {
        /// Its file's name.
        name: String,
        /// Accounts taken in.
        accounts: usize,
    },
    /// Encryption was turned off: credential records that were sealed are in the clear.
    Opened {
        /// How many.
        records: usize,
    },
    /// A credential record belongs to no account.
    Orphaned {
        /// Which.
        key: Key,
    },
    /// An account of the state record cannot be used; it is kept as it is.
    Quarantined {
        /// What stands where its alias should.
        name: String,
        /// Why.
        problem: String,
    },
    /// What became of an account's last renewal cannot be said.
    Unsettled {
        /// Whose.
        alias: Alias,
        /// Why.
        problem: String,
    },
    /// A record was damaged and its last-known-good copy took its place; the damaged file is kept beside it.
    Restored {
        /// Which.
        key: Key,
        /// What was wrong.
        problem: String,
    },
    /// Encryption was turned on: credential records that were in the clear are sealed.
    Sealed {
        /// How many.
        records: usize,
        /// Older files that were removed, because they held tokens in the clear or may have.
        removed: usize,
    },
    /// What was known of an account's limits and health cannot be read; it starts as unknown.
    RuntimeLost {
        /// Whose.
        alias: Alias,
        /// Why.
        problem: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuditLost { problem } => {
                write!(
                    f,
                    "the audit trail cannot be read ({problem}); it begins anew, accounts are not touched"
                )
            }
            Self::CredentialLost { alias, problem } => {
                write!(f, "account \"{alias}\" has no usable credential: {problem}; sign in again")
            }
            Self::CredentialSealed { alias, problem } => {
                write!(f, "account \"{alias}\" has no usable credential: {problem}")
            }
            Self::ForceEnded { alias } => {
                write!(f, "the force named account \"{alias}\", which is not there; it was ended")
            }
            Self::InTheClear { key, problem } => write!(
                f,
                "record {key} is not sealed, for it is no credential ({problem}); sign in again, or remove the account"
            ),
            Self::LegacyIgnored { name } => write!(
                f,
                "{name} lies in the state directory and was not read; take it in with `rota store import`, or move it away"
            ),
            Self::Migrated { name, accounts } => {
                write!(f, "{accounts} accounts were taken in from {name}, which is now {name}.migrated")
            }
            Self::Opened { records } => {
                write!(f, "encryption is off: {records} credential records were unsealed and need no key now")
            }
            Self::Orphaned { key } => {
                write!(f, "record {key} belongs to no account; if the account is missed, restore a backup")
            }
            Self::Quarantined { name, problem } => {
                write!(f, "account \"{name}\" is kept but cannot be used: {problem}")
            }
            Self::Restored { key, problem } => write!(
                f,
                "record {key} was damaged ({problem}); its last-known-good copy is in force, and changes after that copy are lost"
            ),
            Self::Sealed { records, removed } => write!(
                f,
                "encryption is on: {records} credential records were sealed, {removed} older files with tokens in the clear were removed"
            ),
            Self::RuntimeLost { alias, problem } => write!(
                f,
                "limits and health of account \"{alias}\" cannot be read ({problem}); they start as unknown"
            ),
            Self::Unsettled { alias, problem } => {
                write!(f, "the last renewal of account \"{alias}\": {problem}")
            }
        }
    }
}
