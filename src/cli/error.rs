use crate::app::{KeyError, StartError};
use crate::config::ConfigError;
use crate::store::StoreError;
use rustix::process::Signal;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a command ends, as scripts see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The configuration was refused (sysexits.h EX_CONFIG).
    Config,
    /// Another daemon owns the store (EX_TEMPFAIL).
    Locked,
    /// It did what it was asked.
    Done,
    /// It did not.
    Failed,
    /// No daemon is running.
    NotRunning,
    /// No account could serve.
    NoAccount,
    /// The program that `rota run` has run ended with this code.
    Program(u8),
    /// An account needs a human to sign in.
    SignIn,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Config => 78,
            Self::Locked => 75,
            Self::Done => 0,
            Self::Failed => 1,
            Self::NotRunning => 3,
            Self::NoAccount => 4,
            Self::Program(code) => code,
            Self::SignIn => 5,
        }
    }

    /// As shells tell the end of a program: its code, or 128 and the signal that ended it.
    pub(super) fn of_program(status: ExitStatus) -> Self {
        let signal = status.signal().map(|signal| 128 + signal);
        let code = status.code().or(signal).and_then(|code| u8::try_from(code).ok());
        code.map_or(Self::Failed, Self::Program)
    }

    /// The same where the signal came before there was a program.
    pub(super) fn signalled(signal: Signal) -> Self {
        u8::try_from(128 + signal.as_raw()).map_or(Self::Failed, Self::Program)
    }
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
            | StartError::Handed { .. }
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
