//! Verbs: who may serve, who serves, what a reply means, what happens next. Every function is pure: a snapshot, an
//! event and `now` in, a value out. No async, no I/O, no clock, no randomness, no logging, no metrics, no lock.
mod apply;
mod backoff;
pub mod breaker;
mod classify;
mod confidence;
mod due;
mod eligibility;
mod failover;
mod index;
mod observe;
mod outlook;
mod probe;
mod probing;
mod select;
mod strategy;
mod usage;

pub use apply::{
    Applied, Command, Durability, Edit, LastEnabled, NewAccount, Rejection, RenewalFailure, Weights, apply,
    apply_by,
};
pub use backoff::spread;
pub use classify::{Fault, Outcome, Phase, Verdict, classify, retry_after};
pub use confidence::{Confidence, confidence};
pub use due::{Due, due};
pub use eligibility::{Eligibility, eligibility, signs_in};
pub use failover::{
    After, Attempt, Failover, Held, Late, Refusal, RefusalCode, Ruling, SignIn, SignInEnd, Step, Travelled,
    WhyNot, late,
};
pub use index::index;
pub use observe::{Glimpse, news, observe, worth_keeping};
pub use outlook::{Outlook, outlook};
pub use probe::{ProbeAsk, ProbePlan, ProbeRefusal, probe_body, probe_refusal};
pub use probing::{Inquiry, can_be_asked, inquiry, model_inquiry};
pub use select::{
    Admission, Bond, Decision, Live, RoutingRequest, Selection, Turn, Why, reason_to_sign_in, select,
    why_left,
};
pub use usage::{UsageFault, usage};

/// Small worlds for tests; the simulator builds the same ones.
#[cfg(test)]
#[path = "../../tests/sim/world.rs"]
pub(crate) mod world;
