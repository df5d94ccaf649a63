use super::{AccountId, Actor, Time};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How rotation chooses among equals (SEL-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Drain one account, then the next.
    FillFirst,
    /// The account with the most quota left.
    LeastUsed,
    /// Any, by a seeded hash of the turn.
    Random,
    /// The account whose quota resets soonest.
    ResetFirst,
    /// One after the other.
    #[default]
    RoundRobin,
    /// One after the other, in shares.
    WeightedRoundRobin,
}

impl Strategy {
    /// Every strategy, for tables and tests.
    pub const ALL: [Self; 6] = [
        Self::FillFirst,
        Self::LeastUsed,
        Self::Random,
        Self::ResetFirst,
        Self::RoundRobin,
        Self::WeightedRoundRobin,
    ];

    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FillFirst => "fill-first",
            Self::LeastUsed => "least-used",
            Self::Random => "random",
            Self::ResetFirst => "reset-first",
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
        }
    }
}

/// Whether a session keeps its account (SEL-3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Affinity {
    /// Every request rotates.
    None,
    /// A request that names a session stays with that session's account while it can serve.
    #[default]
    Session,
}

/// Remaining percent at which an account steps back (SEL-5): `0 <= critical < low <= 100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    critical: u8,
    low: u8,
}

impl Thresholds {
    /// None unless `critical < low <= 100`.
    pub fn new(critical: u8, low: u8) -> Option<Self> {
        (critical < low && low <= 100).then_some(Self { critical, low })
    }

    /// At or below: serves nothing but its hard-owned sessions and a force.
    pub fn critical(self) -> u8 {
        self.critical
    }

    /// At or below: takes no new sessions while another account is eligible.
    pub fn low(self) -> u8 {
        self.low
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { critical: 10, low: 30 }
    }
}

/// How hard a model is asked to think, in the words of the Responses API (`reasoning.effort`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// A little: what a probe asks for unless it is told otherwise.
    #[default]
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// As much as it can.
    Xhigh,
}

impl Effort {
    /// Every effort, least first.
    pub const ALL: [Self; 6] = [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::Xhigh];

    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
        }
    }
}

/// Whether rota may spend quota to learn how much is left (LIM-5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelProbes {
    /// A small request, where nothing else tells the limits.
    Allowed,
    /// Never.
    #[default]
    Never,
}

/// How rota learns the limits besides reading replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// Limits that were seen longer ago are asked for; none is only when a person asks.
    pub every: Option<Duration>,
    /// Whether that may cost quota.
    pub models: ModelProbes,
    /// How hard the model of such a probe thinks.
    pub effort: Effort,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            every: Some(Duration::from_secs(15 * 60)),
            models: ModelProbes::default(),
            effort: Effort::default(),
        }
    }
}

/// What the engine is told to do. Part of the snapshot: a change holds from the next request on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How rotation chooses.
    pub strategy: Strategy,
    /// Whether sessions stick.
    pub affinity: Affinity,
    /// When an account steps back.
    pub thresholds: Thresholds,
    /// Accounts taken for one request, at most (FLO-1); 1 to [`Settings::MOST_ATTEMPTS`].
    pub max_attempts: u8,
    /// No attempt starts later than this after the request came (FLO-1).
    pub patience: Duration,
    /// Requests in flight per account, at most (SEL-11); none is no cap.
    pub in_flight_cap: Option<u32>,
    /// How long a request is held for a person to sign in (FLO-6); zero is not at all, at most
    /// [`Settings::LONGEST_HOLD`].
    pub reauth_wait: Duration,
    /// How limits are learnt.
    pub probing: Probing,
}

/// Thresholds by name (SEL-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Accounts leave early.
    Aggressive,
    /// The defaults, and equal weights.
    Balanced,
    /// Accounts stay longest.
    Conservative,
}

impl Preset {
    /// Every preset, for tables and tests.
    pub const ALL: [Self; 3] = [Self::Balanced, Self::Conservative, Self::Aggressive];

    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aggressive => "aggressive",
            Self::Balanced => "balanced",
            Self::Conservative => "conservative",
        }
    }

    /// When an account steps back.
    pub fn thresholds(self) -> Thresholds {
        match self {
            Self::Aggressive => Thresholds { critical: 20, low: 40 },
            Self::Balanced => Thresholds { critical: 10, low: 30 },
            Self::Conservative => Thresholds { critical: 5, low: 20 },
        }
    }

    /// Whether every account gets the same share.
    pub fn equal_weights(self) -> bool {
        self == Self::Balanced
    }
}

impl Settings {
    /// More attempts than this would be a storm.
    pub const MOST_ATTEMPTS: u8 = 16;
    /// Clients give up at 300 s; a request that was held must still be answered before.
    pub const LONGEST_HOLD: Duration = Duration::from_secs(240);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            affinity: Affinity::default(),
            thresholds: Thresholds::default(),
            max_attempts: 3,
            patience: Duration::from_secs(60),
            in_flight_cap: None,
            reauth_wait: Duration::ZERO,
            probing: Probing::default(),
        }
    }
}

/// One account pinned for a while (FRC). An overlay: the strategy beneath never changes, so nothing is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Force {
    /// Which one.
    pub account: AccountId,
    /// Since when.
    pub since: Time,
    /// Until when: 24 h after the first activation.
    pub until: Time,
    /// By whom.
    pub by: Actor,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEL-5
    #[test]
    fn thresholds_are_ordered_percents() {
        for (critical, low, fits) in [
            (10, 30, true),
            (0, 1, true),
            (99, 100, true),
            (30, 30, false),
            (40, 30, false),
            (10, 101, false),
        ] {
            assert_eq!(Thresholds::new(critical, low).is_some(), fits, "{critical} {low}");
        }
    }
}
