//! What both ends of HTTP/1.1 (RFC 9112) have in common: lines of a head, bodies in chunks or of a length, and messages on
//! their way into a connection. Pure, but for the one write. What two readers could read in two ways is refused. Who
//! talks to whom is `proxy::talk`'s matter and `upstream::http1`'s.
mod chunks;
mod decoder;
mod lines;
mod outgoing;

pub(crate) use decoder::{Decoder, Flaw, Length};
pub(crate) use lines::{LINES, Names, Told, copy, headers, number, part, write_lines};
pub(crate) use outgoing::{Framing, Outgoing, Progress, Stuck};

/// Bytes of the largest head that anybody in the field sends, and of other things of that kind.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;
