use super::Time;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;

/// How much of one quota window is left.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitWindow {
    /// The preset's word for it: `5h`, `weekly`, `requests`, `tokens`.
    pub name: Arc<str>,
    /// Left, in percent: 0 to 100.
    pub remaining: f64,
    /// When it fills up again, if the provider said.
    pub resets: Option<Time>,
}

/// What an observation is worth and where it came from (LIM-6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// Headers of a reply that completed.
    Headers {
        /// The model that was asked for, if known.
        model: Option<String>,
        /// The reply's own id, if it told one.
        response: Option<String>,
    },
    /// A request that rota made to learn the limits, and that was answered to its end (LIM-5).
    Probe {
        /// The model that answered.
        model: String,
        /// The reply's own id, if it told one.
        response: Option<String>,
    },
    /// A usage endpoint's complete answer.
    Usage {
        /// The endpoint's path at its provider; none where an older rota noted it.
        endpoint: Option<String>,
    },
}

impl LimitSource {
    /// The wire string of its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Headers { .. } => "headers",
            Self::Probe { .. } => "probe",
            Self::Usage { .. } => "usage",
        }
    }

    /// The model that was asked, if one was and it is known.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Headers { model, .. } => model.as_deref(),
            Self::Probe { model, .. } => Some(model),
            Self::Usage { .. } => None,
        }
    }

    /// The endpoint that was asked, if it was one for limits.
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::Headers { .. } | Self::Probe { .. } => None,
            Self::Usage { endpoint } => endpoint.as_deref(),
        }
    }

    /// The reply's own id, if it told one.
    pub fn response(&self) -> Option<&str> {
        match self {
            Self::Headers { response, .. } | Self::Probe { response, .. } => response.as_deref(),
            Self::Usage { .. } => None,
        }
    }
}

/// One complete observation, kept in the history (LIM-4).
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSample {
    /// When it was made.
    pub at: Time,
    /// Where it came from.
    pub source: LimitSource,
    /// All windows it told of.
    pub windows: Vec<LimitWindow>,
}

/// How the last attempt to learn the limits went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitStatus {
    /// The last probe failed; what is shown is older.
    Error,
    /// Nothing is under way.
    #[default]
    Idle,
    /// The last observation succeeded.
    Success,
}

impl LimitStatus {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Idle => "idle",
            Self::Success => "success",
        }
    }
}

/// What is known of an account's quota. Values change by an authoritative observation only (LIM-1); a failed probe
/// touches `status`, `error` and `failed` (LIM-2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// The newest complete observation; none is *unknown*, never 0 %.
    pub latest: Option<LimitSample>,
    /// Older ones, oldest first; at most [`Limits::HISTORY`].
    pub history: VecDeque<LimitSample>,
    /// How the last attempt to learn them went.
    pub status: LimitStatus,
    /// What the last failed attempt said.
    pub error: Option<String>,
    /// When an attempt last failed.
    pub failed: Option<Time>,
}

impl Limits {
    /// Observations kept per account (LIM-4).
    pub const HISTORY: usize = 100;

    /// The least that is left of any window whose reset has not passed; none while unknown.
    pub fn remaining(&self, now: Time) -> Option<f64> {
        let windows = self.latest.iter().flat_map(|sample| &sample.windows);
        windows
            .filter(|window| window.resets.is_none_or(|resets| resets > now))
            .map(|window| window.remaining)
            .min_by(f64::total_cmp)
    }

    /// When the next window fills up, for `reset-first`.
    pub fn next_reset(&self, now: Time) -> Option<Time> {
        let windows = self.latest.iter().flat_map(|sample| &sample.windows);
        windows.filter_map(|window| window.resets).filter(|resets| *resets > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIM-3
    #[test]
    fn what_was_never_seen_is_unknown_and_not_zero() {
        assert_eq!(Limits::default().remaining(Time::from_secs(1)), None);
        assert_eq!(Limits::default().next_reset(Time::from_secs(1)), None);
    }

    /// SEL-5
    #[test]
    fn the_scarcest_window_speaks_until_it_fills_up_again() {
        let limits = seen(&[("5h", 3.0, Some(100)), ("weekly", 40.0, Some(900)), ("tokens", 60.0, None)]);
        for (now, remaining, reset) in
            [(99, Some(3.0), Some(100)), (100, Some(40.0), Some(900)), (900, Some(60.0), None)]
        {
            let now = Time::from_secs(now);
            assert_eq!(
                (limits.remaining(now), limits.next_reset(now)),
                (remaining, reset.map(Time::from_secs))
            );
        }
    }

    fn seen(windows: &[(&str, f64, Option<u64>)]) -> Limits {
        let window = |(name, remaining, resets): &(&str, f64, Option<u64>)| LimitWindow {
            name: Arc::from(*name),
            remaining: *remaining,
            resets: resets.map(Time::from_secs),
        };
        let windows = windows.iter().map(window).collect();
        let latest =
            LimitSample { at: Time::default(), source: LimitSource::Usage { endpoint: None }, windows };
        Limits { latest: Some(latest), ..Limits::default() }
    }
}
