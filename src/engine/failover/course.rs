use crate::model::FaultClass;

/// What the same request does next after a complete reply. Who cools is decided elsewhere, by the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// The next account; refused when there is none.
    Next,
    /// The next account; the reply is the client's when there is none, because it tells the client something.
    NextOrPass,
    /// One other account, in all; then the reply is the client's.
    OneOther,
    /// The reply is the client's.
    Pass,
    /// The same account with a renewed token, then the next.
    Renew,
    /// The same account once more: nothing was processed.
    SameAgain,
}

/// See [`Course`].
pub(super) fn course(class: FaultClass) -> Course {
    match class {
        FaultClass::AffinityFault
        | FaultClass::EdgeBlock
        | FaultClass::PolicyBlock
        | FaultClass::RequestFault
        | FaultClass::Unreachable
        | FaultClass::UpstreamLost => Course::Pass,
        FaultClass::AuthDead
        | FaultClass::Forbidden
        | FaultClass::Payment
        | FaultClass::QuotaWindow
        | FaultClass::RateShort => Course::Next,
        FaultClass::AuthExpired => Course::Renew,
        FaultClass::ModelCapacity | FaultClass::UpstreamError => Course::OneOther,
        FaultClass::ModelUnentitled | FaultClass::RateBare => Course::NextOrPass,
    }
}
