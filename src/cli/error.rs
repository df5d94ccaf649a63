use crate::app::{KeyError, StartError};
use crate::config::ConfigError;
use crate::store::StoreError;
use std::fmt;

/// How a command ends, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The configuration was refused (sysexits.h EX_CONFIG).
    Config = 78,
    /// Another daemon owns the store (EX_TEMPFAIL).
    Locked = 75,
    /// It did what it was asked.
    Done = 0,
    /// It did not.
    Failed = 1,
    /// No daemon is running.
    NotRunning = 3,
    /// No account could serve.
    NoAccount = 4,
    /// An account needs a human to sign in.
    SignIn = 5,
}

/// Why a command did not do what it was asked: what happened, why, and what to do, in `message`.
#[derive(Debug)]
pub struct CliError {
    /// The exit code.
    pub exit: Exit,
    /// For people; never a secret, never a type's name.
    pub message: String,
}

impl CliError {
    /// An error that is a whole report of its own.
    pub(super) fn told(exit: Exit, report: &dyn fmt::Display) -> Self {
        let report = report.to_string();
        Self { exit, message: report.strip_prefix("error: ").unwrap_or(&report).to_owned() }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }

    /// The message `what`, and the operating system's reason.
    pub(super) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self::failed(format!("{what}: {error}"))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::told(Exit::Config, &error)
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let exit = match error {
            StoreError::Locked { .. } => Exit::Locked,
            StoreError::KeyMissing { .. } => Exit::Config,
            StoreError::BadDocument(_)
            | StoreError::Conflict { .. }
            | StoreError::Damaged { .. }
            | StoreError::Insecure { .. }
            | StoreError::Io { .. }
            | StoreError::LockLost { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::Sealed { .. }
            | StoreError::Unrecoverable(_)
            | StoreError::Unsure { .. } => Exit::Failed,
        };
        Self { exit, message: format!("{error} [{}]", error.code()) }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Store(error) => error.into(),
            StartError::Key(error) => error.into(),
            StartError::AddressInUse { .. }
            | StartError::Socket(_)
            | StartError::Io { .. }
            | StartError::Peers(_)
            | StartError::Upstream(_) => Self::failed(error.to_string()),
        }
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self { exit: Exit::Config, message: error.to_string() }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}
