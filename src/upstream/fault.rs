use super::connect::{ConnectError, find};
use crate::engine::Phase;
use std::error::Error;
use std::io;

/// What an error proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing: it may have been processed.
    Lost(String),
    /// No byte of the request was written.
    NotSent(Phase, String),
    /// The upstream said that it did not look at the request.
    Unprocessed(String),
}

/// Only what is proof counts. The same reset comes back whether the upstream saw the request or not, so an error that
/// says no more than that is [`Failure::Lost`].
pub(crate) fn failure(error: &hyper_util::client::legacy::Error) -> Failure {
    if let Some(refused) = find::<ConnectError>(error) {
        return Failure::NotSent(refused.phase, refused.detail.clone());
    }
    if error.is_connect() {
        return Failure::NotSent(Phase::Connect, "no connection".to_owned());
    }
    let Some(cause) = find::<hyper::Error>(error) else {
        return Failure::NotSent(Phase::Request, "the request was not accepted for sending".to_owned());
    };
    of_exchange(cause)
}

/// The same of what a connection itself says.
pub(super) fn of_exchange(cause: &hyper::Error) -> Failure {
    // hyper calls it canceled only where it gives the request back whole.
    if cause.is_canceled() {
        let why = "the connection closed before anything was written";
        return Failure::NotSent(Phase::Request, why.to_owned());
    }
    if let Some(h2) = find::<h2::Error>(cause)
        && let Some(why) = unprocessed(h2)
    {
        return Failure::Unprocessed(why.to_owned());
    }
    Failure::Lost(lost(cause))
}

impl From<ConnectError> for Failure {
    fn from(refused: ConnectError) -> Self {
        Self::NotSent(refused.phase, refused.detail)
    }
}

/// A GOAWAY ends only those streams with its error that are above its last stream id (RFC 9113 §6.8).
fn unprocessed(error: &h2::Error) -> Option<&'static str> {
    if !error.is_remote() {
        return None;
    }
    if error.is_go_away() {
        return Some("the upstream is closing the connection and did not look at the request");
    }
    let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
    refused.then_some("the upstream refused the stream")
}

fn lost(cause: &hyper::Error) -> String {
    if cause.is_parse_too_large() {
        return "the reply's head is too large".to_owned();
    }
    if cause.is_parse() {
        return "the reply is not valid HTTP".to_owned();
    }
    if cause.is_incomplete_message() {
        return "the connection closed before the reply's head was complete".to_owned();
    }
    explain(cause).to_owned()
}

/// A word on what broke a connection, also in the middle of a reply's body.
pub(super) fn explain(error: &(dyn Error + 'static)) -> &'static str {
    if find::<h2::Error>(error).is_some_and(|h2| h2.get_io().is_none()) {
        return "the upstream ended the stream with an error";
    }
    let Some(io) = find::<io::Error>(error) else {
        return "the upstream broke the connection off";
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "std may add kinds")]
    match io.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "the upstream closed the connection",
        io::ErrorKind::ConnectionReset => "the upstream reset the connection",
        _ => "the connection to the upstream broke",
    }
}
