//! Logins that other programs keep: one reader a program, pure over a file's bytes, and `files`, which finds and reads
//! the files and never writes one. What becomes of a login that was found is not decided here.
mod claude_code;
mod cliproxyapi;
mod codex;
mod codex_multi_auth;
mod fields;
mod files;
mod gemini_cli;
mod home;
mod llxprt;
mod opencode;
mod opencode_multi_auth;
mod seal;
#[cfg(test)]
mod tests;

pub use files::{Gathered, Unread, gather};
pub use home::Home;
pub use seal::Passphrase;

use crate::model::{Credential, Time};
use seal::Keys;
use std::fmt;

/// A program whose logins can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// router-for-me's CLIProxyAPI: a directory of logins.
    CliProxyApi,
    /// OpenAI's Codex CLI.
    Codex,
    /// ndycode's codex-multi-auth.
    CodexMultiAuth,
    /// Google's Gemini CLI.
    GeminiCli,
    /// vybestack's llxprt-code: a directory of logins.
    Llxprt,
    /// OpenCode.
    OpenCode,
    /// guard22's opencode-multi-auth.
    OpenCodeMultiAuth,
}

impl Client {
    /// Every one, by the names that people type.
    pub const ALL: [Self; 8] = [
        Self::ClaudeCode,
        Self::CliProxyApi,
        Self::Codex,
        Self::CodexMultiAuth,
        Self::GeminiCli,
        Self::Llxprt,
        Self::OpenCode,
        Self::OpenCodeMultiAuth,
    ];

    /// The name that people type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude",
            Self::CliProxyApi => "cliproxyapi",
            Self::Codex => "codex",
            Self::CodexMultiAuth => "codex-multi-auth",
            Self::GeminiCli => "gemini",
            Self::Llxprt => "llxprt",
            Self::OpenCode => "opencode",
            Self::OpenCodeMultiAuth => "opencode-multi-auth",
        }
    }

    /// The program's own name.
    pub fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::CliProxyApi => "CLIProxyAPI",
            Self::Codex => "Codex CLI",
            Self::CodexMultiAuth => "codex-multi-auth",
            Self::GeminiCli => "Gemini CLI",
            Self::Llxprt => "llxprt-code",
            Self::OpenCode => "OpenCode",
            Self::OpenCodeMultiAuth => "opencode-multi-auth",
        }
    }

    /// The program called `name`, if logins of it can be read.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.as_str() == name)
    }

    /// How the names of its files end, where it keeps a directory of them.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::CliProxyApi => &[".json"],
            Self::Llxprt => &[".enc", ".json"],
            Self::ClaudeCode
            | Self::Codex
            | Self::CodexMultiAuth
            | Self::GeminiCli
            | Self::OpenCode
            | Self::OpenCodeMultiAuth => &[],
        }
    }

    fn read(self, file: &File<'_>, keys: &Keys, now: Time) -> Result<Reading, ImportError> {
        match self {
            Self::ClaudeCode => claude_code::read(file.bytes, now),
            Self::CliProxyApi => cliproxyapi::read(file, now),
            Self::Codex => codex::read(file.bytes, now),
            Self::CodexMultiAuth => codex_multi_auth::read(file.bytes, now),
            Self::GeminiCli => gemini_cli::read(file.bytes, now),
            Self::Llxprt => llxprt::read(file, keys, now),
            Self::OpenCode => opencode::read(file.bytes, now),
            Self::OpenCodeMultiAuth => opencode_multi_auth::read(file.bytes, keys, now),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// A file as it was read; some programs tell by its name whose login it is.
struct File<'a> {
    /// Without its directory.
    name: &'a str,
    bytes: &'a [u8],
}

/// A login that can become an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// rota's name of the provider; where rota has none, the program's own.
    pub provider: String,
    /// What the program calls it.
    pub name: Option<String>,
    /// Its tokens; version 1.
    pub credential: Credential,
    /// Why the program does not use it, if it does not.
    pub off: Option<String>,
}

/// A login that is there and cannot become an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What the program calls it, or its file.
    pub name: String,
    /// Why, and what to do.
    pub why: String,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Logins.
    pub found: Vec<Found>,
    /// And those that are of no use.
    pub left: Vec<Left>,
}

impl Reading {
    fn of(found: Found) -> Self {
        Self { found: vec![found], left: Vec::new() }
    }

    /// Adds one login of several: a bad one does not keep the others out.
    fn add(&mut self, name: &str, entry: Result<Found, ImportError>) {
        match entry {
            Ok(found) => self.found.push(found),
            Err(error) => self.left.push(Left { name: name.to_owned(), why: error.to_string() }),
        }
    }
}

/// Why a file, or a login in it, is of no use: what is wrong and what to do, never a value. Its `Display` follows the
/// file's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Cut off, being written, or something else.
    #[error("is not JSON (line {line}, column {column}); is it the right file?")]
    NotJson {
        /// From 1; 0 where it is empty.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A field is missing or not what it must be.
    #[error("`{field}` {problem}")]
    Field {
        /// Where, from the file's top.
        field: String,
        /// What is wrong, without the value.
        problem: String,
    },
    /// It is in order and holds nothing to take.
    #[error("{0}")]
    Nothing(&'static str),
    /// It is encrypted and the key is not there.
    #[error("is encrypted; {0}")]
    Sealed(&'static str),
    /// It is encrypted, and not with this key.
    #[error("cannot be decrypted: {0}, or the file is damaged")]
    WrongKey(&'static str),
    /// A version that this rota does not know.
    #[error("is of version {found}, but this rota knows {known}; install the newer rota, or sign in anew")]
    Version {
        /// What it says.
        found: u64,
        /// What is known.
        known: &'static str,
    },
}

impl ImportError {
    fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), problem: problem.into() }
    }
}
