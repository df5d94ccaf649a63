use super::{CredentialKind, ModelName, ResetFormat};
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use std::time::Duration;

/// Where a provider tells how much of its limits an account has used, and how to read that. Asking costs no quota.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageEndpoint {
    /// Its path at the provider's origin; the preset's `base` is not put before it.
    pub path: String,
    /// The kinds of credential it answers to.
    pub kinds: Vec<CredentialKind>,
    /// It is asked at most this often for one account, unless a person asks.
    pub least: Duration,
    /// Headers it wants beside the credential's.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The windows it tells of.
    pub windows: Vec<UsageWindow>,
}

impl UsageEndpoint {
    /// Windows at most.
    pub const WINDOWS: usize = 16;
}

/// One window in a usage endpoint's answer. Field names are those of the object that `at` leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageWindow {
    /// Its name where no field tells its length.
    pub name: Arc<str>,
    /// Where it is, as a JSON pointer (RFC 6901): an object, or a list of objects of which `only` chooses.
    pub at: Arc<str>,
    /// Fields and the texts they must have; an object that has others is another window.
    pub only: Vec<(Arc<str>, Arc<str>)>,
    /// How long it lasts, in seconds; 18000 is named `5h`, 604800 `weekly`.
    pub seconds: Option<Arc<str>>,
    /// What is left, in one of three ways.
    pub measure: UsageMeasure,
    /// When it fills up.
    pub resets: Option<(Arc<str>, ResetFormat)>,
}

/// How a usage endpoint tells what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageMeasure {
    /// Left and the whole, as counts.
    Remaining {
        /// Left.
        remaining: Arc<str>,
        /// The whole.
        limit: Arc<str>,
    },
    /// Used, 0 to 100.
    UsedPercent(Arc<str>),
    /// Used, 0 to 1.
    UsedRatio(Arc<str>),
}

/// A small request to a model, whose reply's headers tell the limits. It costs quota, so that a person must allow it
/// (LIM-5).
#[derive(Clone, Debug, PartialEq)]
pub struct ModelProbe {
    /// Its path, mapped; the preset's `base` is put before it.
    pub path: String,
    /// The kinds of credential it works with.
    pub kinds: Vec<CredentialKind>,
    /// The models that are tried, in order: at least one, at most [`ModelProbe::MODELS`].
    pub models: Vec<ModelName>,
    /// The body: JSON in which the texts `"{model}"` and `"{effort}"` stand for what is asked.
    pub body: Arc<str>,
    /// Headers beside the credential's.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Words of an error, in lower case, that turn down the effort and not the request.
    pub effort_refused: Vec<Arc<str>>,
}

impl ModelProbe {
    /// Models at most: with two efforts each, the bound of one probe.
    pub const MODELS: usize = 8;
}
