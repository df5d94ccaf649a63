use super::{AccountId, Alias, CredentialState, Health, Limits, ProviderId, Renewal, Time};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The Enabled switch: the only way to take an account out of rotation by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// In rotation.
    On,
    /// Out of rotation: never selected, probed or renewed (SEL-2).
    Off {
        /// Since when.
        at: Time,
        /// By whom.
        by: Actor,
        /// Why, in the actor's words.
        reason: Option<String>,
    },
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// A program through the admin API.
    Admin,
    /// A human through the command line.
    Cli,
    /// A configuration file.
    Config,
    /// A human through the page.
    Dashboard,
    /// rota itself.
    Engine,
}

impl Actor {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Cli => "cli",
            Self::Config => "config",
            Self::Dashboard => "dashboard",
            Self::Engine => "engine",
        }
    }
}

/// A share of the traffic under the weighted strategy, in [0.01, 1] (SEL-6). Kept in millionths, so that shares are
/// exact and equal weights compare equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// The weight of an account that was given none.
    pub const FULL: Self = Self(1_000_000);
    const LEAST: u32 = 10_000;

    /// `share` as a weight; none unless it is in (0, 1]. Below 0.01 it counts as 0.01.
    pub fn new(share: f64) -> Option<Self> {
        (share > 0.0 && share <= 1.0).then(|| Self(((share * 1e6).round() as u32).max(Self::LEAST)))
    }

    /// Millionths.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// As a share in [0.01, 1].
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// One credential with an alias, and all that a routing decision needs to know of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its name.
    pub alias: Alias,
    /// The preset it belongs to.
    pub provider: ProviderId,
    /// Free labels of the user's.
    pub tags: Vec<String>,
    /// Free text of the user's.
    pub notes: String,
    /// The Enabled switch.
    pub switch: Switch,
    /// Its share under the weighted strategy.
    pub weight: Weight,
    /// Accounts that share one organisation's limits: a spend limit cools them all.
    pub quota_group: Option<Arc<str>>,
    /// What it authenticates with.
    pub credential: CredentialState,
    /// How renewing goes.
    pub renewal: Renewal,
    /// What is known of its quota.
    pub limits: Limits,
    /// How it has served lately.
    pub health: Health,
}

impl Account {
    /// True when the Enabled switch is on.
    pub fn is_on(&self) -> bool {
        self.switch == Switch::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEL-6
    #[test]
    fn a_weight_is_above_zero_at_most_one_and_never_below_a_hundredth() {
        for (share, millionths) in [
            (1.0, Some(1_000_000)),
            (0.5, Some(500_000)),
            (0.01, Some(10_000)),
            (0.000_1, Some(10_000)),
            (0.0, None),
            (-0.5, None),
            (1.000_001, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(Weight::new(share).map(Weight::millionths), millionths, "{share}");
        }
    }
}
