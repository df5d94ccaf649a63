use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is to blame for a fault. Mandatory in every verdict: what is not the account's fault never touches it (FLO-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// This credential is bad or spent.
    Account,
    /// This credential may not use this model, or has used it up.
    AccountModel,
    /// The request belongs to another account's state.
    Affinity,
    /// Between us and the upstream: nobody's account.
    Network,
    /// How the traffic looks to the provider.
    Policy,
    /// Everybody gets it.
    Provider,
    /// Every account of this organisation.
    QuotaGroup,
    /// The request itself is bad.
    Request,
}

/// What went wrong, as the failure rules name it. The class decides what the same request does next; the scope decides
/// who cools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// The request is tied to state that another account holds.
    AffinityFault,
    /// The credential is dead: a human must act.
    AuthDead,
    /// The token ran out: refresh it once and resend.
    AuthExpired,
    /// The edge in front of the provider refused us (a challenge page, a blocked region): no rotation.
    EdgeBlock,
    /// The account may not do this at all.
    Forbidden,
    /// The model, or the provider, is at capacity: benches nobody.
    ModelCapacity,
    /// The plan lacks the model.
    ModelUnentitled,
    /// Money is missing, or a spend limit was met.
    Payment,
    /// The provider refuses this kind of traffic: pass through, never rotate.
    PolicyBlock,
    /// A quota window is spent.
    QuotaWindow,
    /// A 429 that says nothing: fail over, bench nobody.
    RateBare,
    /// A short rate limit.
    RateShort,
    /// The request is at fault: pass through.
    RequestFault,
    /// The upstream could not be reached; nothing was sent.
    Unreachable,
    /// A complete 5xx head.
    UpstreamError,
    /// Sent, and then the answer was lost: it may have been processed, so it is never sent again.
    UpstreamLost,
}

impl FaultClass {
    /// Every class, for tables and tests.
    pub const ALL: [Self; 16] = [
        Self::AffinityFault,
        Self::AuthDead,
        Self::AuthExpired,
        Self::EdgeBlock,
        Self::Forbidden,
        Self::ModelCapacity,
        Self::ModelUnentitled,
        Self::Payment,
        Self::PolicyBlock,
        Self::QuotaWindow,
        Self::RateBare,
        Self::RateShort,
        Self::RequestFault,
        Self::Unreachable,
        Self::UpstreamError,
        Self::UpstreamLost,
    ];

    /// The wire string, as in presets, records, logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AffinityFault => "affinity-fault",
            Self::AuthDead => "auth-dead",
            Self::AuthExpired => "auth-expired",
            Self::EdgeBlock => "edge-block",
            Self::Forbidden => "forbidden",
            Self::ModelCapacity => "model-capacity",
            Self::ModelUnentitled => "model-unentitled",
            Self::Payment => "payment",
            Self::PolicyBlock => "policy-block",
            Self::QuotaWindow => "quota-window",
            Self::RateBare => "rate-bare",
            Self::RateShort => "rate-short",
            Self::RequestFault => "request-fault",
            Self::Unreachable => "unreachable",
            Self::UpstreamError => "upstream-error",
            Self::UpstreamLost => "upstream-lost",
        }
    }
}

impl Scope {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::AccountModel => "account-model",
            Self::Affinity => "affinity",
            Self::Network => "network",
            Self::Policy => "policy",
            Self::Provider => "provider",
            Self::QuotaGroup => "quota-group",
            Self::Request => "request",
        }
    }
}

/// Why an account did not serve: one set of words in log, metric labels, refusal bodies and views (FLO-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Its in-flight cap, or its one probation slot, is taken.
    Busy,
    /// Resting until a time.
    Cooling,
    /// Its quota left is at or below the critical threshold.
    Critical,
    /// Switched off.
    Disabled,
    /// The token ran out and could not be renewed.
    ExpiredRefreshFailed,
    /// Refused what was asked.
    Forbidden,
    /// The token is not of a usable shape.
    MalformedToken,
    /// Its plan lacks the model.
    ModelUnsupported,
    /// There is no token.
    NoToken,
    /// The client's key is not for this account.
    NotPermitted,
    /// Money is missing.
    PaymentRequired,
    /// A quota window is spent.
    QuotaExhausted,
    /// A rate limit.
    RateLimited,
    /// A human must sign in again.
    ReauthFailed,
    /// A human did not sign in again in time.
    ReauthTimeout,
    /// Already tried for this request.
    Skipped,
    /// The provider failed, or could not be reached; nobody's account.
    Upstream,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 17] = [
        Self::Busy,
        Self::Cooling,
        Self::Critical,
        Self::Disabled,
        Self::ExpiredRefreshFailed,
        Self::Forbidden,
        Self::MalformedToken,
        Self::ModelUnsupported,
        Self::NoToken,
        Self::NotPermitted,
        Self::PaymentRequired,
        Self::QuotaExhausted,
        Self::RateLimited,
        Self::ReauthFailed,
        Self::ReauthTimeout,
        Self::Skipped,
        Self::Upstream,
    ];

    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Cooling => "cooling",
            Self::Critical => "critical",
            Self::Disabled => "disabled",
            Self::ExpiredRefreshFailed => "expired-refresh-failed",
            Self::Forbidden => "forbidden",
            Self::MalformedToken => "malformed-token",
            Self::ModelUnsupported => "model-unsupported",
            Self::NoToken => "no-token",
            Self::NotPermitted => "not-permitted",
            Self::PaymentRequired => "payment-required",
            Self::QuotaExhausted => "quota-exhausted",
            Self::RateLimited => "rate-limited",
            Self::ReauthFailed => "reauth-failed",
            Self::ReauthTimeout => "reauth-timeout",
            Self::Skipped => "skipped",
            Self::Upstream => "upstream",
        }
    }
}

impl From<FaultClass> for Reason {
    /// The word for an account that this went wrong with (FLO-7).
    fn from(class: FaultClass) -> Self {
        match class {
            FaultClass::AffinityFault | FaultClass::PolicyBlock | FaultClass::RequestFault => Self::Skipped,
            FaultClass::AuthDead => Self::ReauthFailed,
            FaultClass::AuthExpired => Self::ExpiredRefreshFailed,
            FaultClass::EdgeBlock
            | FaultClass::ModelCapacity
            | FaultClass::Unreachable
            | FaultClass::UpstreamError
            | FaultClass::UpstreamLost => Self::Upstream,
            FaultClass::Forbidden => Self::Forbidden,
            FaultClass::ModelUnentitled => Self::ModelUnsupported,
            FaultClass::Payment => Self::PaymentRequired,
            FaultClass::QuotaWindow => Self::QuotaExhausted,
            FaultClass::RateBare | FaultClass::RateShort => Self::RateLimited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FLO-7
    #[test]
    fn a_reason_has_one_word_whoever_writes_it() {
        for reason in Reason::ALL {
            let written = serde_json::to_value(reason).expect("JSON");
            assert_eq!(written, reason.as_str());
        }
    }

    /// FLO-7
    #[test]
    fn every_class_has_a_word_and_no_two_classes_that_differ_for_a_person_share_one() {
        let words: Vec<&str> =
            FaultClass::ALL.into_iter().map(|class| Reason::from(class).as_str()).collect();
        assert_eq!(
            words,
            [
                "skipped",
                "reauth-failed",
                "expired-refresh-failed",
                "upstream",
                "forbidden",
                "upstream",
                "model-unsupported",
                "payment-required",
                "skipped",
                "quota-exhausted",
                "rate-limited",
                "rate-limited",
                "skipped",
                "upstream",
                "upstream",
                "upstream",
            ]
        );
    }
}
