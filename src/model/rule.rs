use super::{FaultClass, ResetFormat, Scope};
use http::HeaderName;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::time::Duration;

/// One line of a provider's failure table: *what* it matches (all of status, codes, headers and body that are named)
/// and what that means. The first rule that matches speaks; a reply that matches none belongs to the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// For the log and `rota why`.
    pub name: Arc<str>,
    /// Which statuses.
    pub status: StatusSet,
    /// Any of these is among the reply's error codes, whatever the case. A `*` at the beginning or the end stands for
    /// any text. None named: any reply.
    pub codes: Vec<Arc<str>>,
    /// All of these hold.
    pub headers: Vec<HeaderMatch>,
    /// Any of these, in lower case, is part of the reply's message. None named: any reply.
    pub body: Vec<Arc<str>>,
    /// What went wrong.
    pub class: FaultClass,
    /// Who is to blame.
    pub scope: Scope,
    /// Where the cooldown's end is read, in order; the first that parses holds.
    pub cooldown: Vec<CooldownSource>,
    /// The wait when none parses; without it the wait grows with every strike.
    pub otherwise: Option<Duration>,
    /// Bounds of whatever was read.
    pub clamp: Clamp,
}

/// The shortest and longest cooldown a rule allows, whatever the upstream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// At least.
    pub least: Duration,
    /// At most.
    pub most: Duration,
}

/// Inclusive ranges of statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(pub Vec<(u16, u16)>);

impl StatusSet {
    /// True when `status` is in one of the ranges.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// A condition on reply headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The header's name in lower case; where `prefix` is set, the beginning of it.
    pub name: Arc<str>,
    /// Whether any header whose name begins with `name` will do.
    pub prefix: PrefixMatch,
    /// What must hold.
    pub test: HeaderTest,
}

/// Whether a header's name is given whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixMatch {
    /// The whole name.
    Exact,
    /// The beginning of it.
    Prefix,
}

/// What must hold of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderTest {
    /// There is none.
    Absent,
    /// One of its values contains this, whatever the case.
    Contains(Arc<str>),
    /// One of its values is one of these, whatever the case.
    OneOf(Vec<Arc<str>>),
    /// There is one.
    Present,
}

/// Where the end of a cooldown is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CooldownSource {
    /// A value of the JSON body, by JSON pointer (RFC 6901), written so.
    Body {
        /// Where. A segment `*` stands for every element of an array; the first that parses holds.
        pointer: Arc<str>,
        /// How it is written.
        format: ResetFormat,
    },
    /// The next midnight in this time zone: quotas per day.
    DayEnd(TimeZone),
    /// A header's value, written so.
    Header {
        /// Which.
        name: HeaderName,
        /// How it is written.
        format: ResetFormat,
    },
    /// The latest reset among the limit windows that the reply's headers call spent.
    LimitWindows,
    /// "try again in 11.054s" in the message.
    MessageWait,
    /// The first of next month, 00:00 UTC: monthly spend limits.
    MonthEnd,
    /// `Retry-After`: seconds or an HTTP date (RFC 9110 §10.2.3), and `retry-after-ms` before it.
    RetryAfter,
}
