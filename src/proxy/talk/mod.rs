//! HTTP/1.1 with a client (RFC 9112), one request after the other over its connection: `head` reads what a request is,
//! `hearing` what comes of it and when the client is gone, `body` what a request holds, `answer` writes the reply. All of it runs in the connection's
//! one task; what waits keeps no buffer. Heads are parsed by `httparse`; what two readers could read in two ways is
//! refused, and ends the connection.
mod answer;
mod body;
mod head;
mod hearing;

pub(super) use answer::{Answer, Reader, Then, refused};
pub(super) use body::ClientBody;
pub(super) use hearing::{Asked, Hearing, Said};

#[cfg(test)]
mod tests;
