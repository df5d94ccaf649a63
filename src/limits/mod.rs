//! Asks providers how much of an account's quota is left: by usage endpoints, and, where a person allows it, by a small
//! request to a model. An answer is a [`LimitSample`](crate::model::LimitSample) or a [`ProbeFailure`], and a failure has
//! no room for a value: nothing is shown that was not told whole (LIM-1). What replies to clients tell is read where they
//! pass; when to ask is the engine's to say.
mod ask;
mod failure;
mod jobs;
mod lane;
mod pauses;
mod prober;

pub use failure::ProbeFailure;
pub use jobs::ProbeReport;
pub use prober::{ProbeTally, Prober, ProberParts};
