//! A request's way from the client to an account and back: the gate, the route, what may go upstream, the loop that does
//! what `engine::Failover` says, and what the client reads. Nothing here decides who serves or what a reply means.
mod bonds;
mod error;
mod events;
mod flight;
mod gate;
mod handler;
mod hold;
mod ids;
mod intake;
mod keys;
mod lane;
mod listener;
mod markers;
mod meaning;
mod model;
mod passed;
mod peer;
mod refusal;
mod reply;
mod route;
mod sanitize;
mod session;
mod sieve;
mod sign_in;
mod talk;
mod upload;
mod watch;
mod websocket;

pub use error::Turned;
pub use gate::{Admitted, Extra, Gate, Target};
pub use ids::RequestIds;
pub use keys::{Asked, Keys, digest_of};
pub use lane::{Lane, Lanes};
pub use listener::{Entrance, serve};
pub use peer::{Guests, PeerError, Users};
pub use reply::ReplyStream;
pub use upload::ReplayBudget;
pub use websocket::SocketCounts;

pub(crate) use watch::{Seen, Watch};
