use super::{FaultClass, ModelName, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a cooldown's end came from (FLO-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CoolingSource {
    /// The reply's body named a time or a wait.
    Body,
    /// Nothing was said: our own wait, which grows with every strike.
    Default,
    /// The rule fixes it.
    Fixed,
    /// A reset header of a spent window.
    LimitHeader,
    /// A `Retry-After` header, in any of its dialects.
    RetryAfter,
}

impl CoolingSource {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Default => "default",
            Self::Fixed => "fixed",
            Self::LimitHeader => "limit-header",
            Self::RetryAfter => "retry-after",
        }
    }
}

/// A rest: until when, why, and who said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooling {
    /// Serves again from this time on.
    pub until: Time,
    /// What the account was refused for.
    pub class: FaultClass,
    /// Where `until` came from.
    pub source: CoolingSource,
    /// When it began.
    pub since: Time,
}

/// How an account has served lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Consecutive faults of the account's own; the step of the growing default wait.
    pub strikes: u32,
    /// Consecutive successes since the last fault.
    pub streak: u32,
    /// The account's rest, also after its end until the account is clean again: then the account is on probation.
    pub cooling: Option<Cooling>,
    /// Rests that hold for one model only (FLO-11); bounded by [`Health::MODELS`].
    pub models: BTreeMap<ModelName, Cooling>,
}

impl Health {
    /// Models remembered per account; the one that ends first makes room.
    pub const MODELS: usize = 64;

    /// When the account-wide rest ends, if it is still on.
    pub fn cools_until(&self, now: Time) -> Option<Time> {
        self.cooling.map(|cooling| cooling.until).filter(|until| *until > now)
    }

    /// The rest from `model` that is still on.
    pub fn model_cooling(&self, model: &ModelName, now: Time) -> Option<&Cooling> {
        self.models.get(model).filter(|cooling| cooling.until > now)
    }

    /// True when nothing is held against the account.
    pub fn is_clean(&self) -> bool {
        self.strikes == 0 && self.cooling.is_none()
    }
}
