use super::Time;

/// A circuit breaker as a value (FLO-10). `engine::breaker` moves it; this is its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// Closed, open, or waiting for its one probe.
    pub state: BreakerState,
    /// Failures in a row while closed.
    pub failures: u32,
    /// How often it has opened without closing in between: the step of the doubling wait.
    pub opened: u32,
}

/// Where a breaker stands. Half-open is `Open` whose time has come: one probe may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    #[default]
    Closed,
    /// Too much failed. At most one request at a time passes until one succeeds: before `until` because inference may
    /// leave no request without an account (SEL-9), and its failure changes nothing; from `until` on as the probe whose
    /// failure opens the breaker again, for twice as long.
    Open {
        /// When a probe may pass.
        until: Time,
    },
}
