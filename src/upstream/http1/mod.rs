//! HTTP/1.1 towards an upstream (RFC 9112), over a connection that is driven by whoever has it: it has no task of its own. So
//! a chunk of a reply costs no hand-over between tasks, all that has come is read in one go, what waits keeps no buffer, and
//! to drop a request is to close its connection. Heads are parsed by `httparse`; what two readers could read in two ways is
//! refused.
mod asked;
mod head;
mod line;
mod received;

pub(super) use line::Line;
pub(super) use received::Received;
