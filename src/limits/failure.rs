use crate::engine::UsageFault;
use crate::model::Time;

/// Why nothing was learnt. There is no field for what is left of anything; texts of the provider's are not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeFailure {
    /// The answer is compressed.
    #[error("the answer is compressed, which was not asked for")]
    Coded,
    /// The answer broke off.
    #[error("the answer broke off before its end")]
    Cut,
    /// Two logins of the provider were refused for good lately (FLO-5).
    #[error("two logins of the provider were refused for good, and it is left alone for now")]
    CutOff,
    /// The model's answer refuses, or has no end.
    #[error("the model was asked, and did not answer to the end")]
    InBand,
    /// Something was sent and no complete reply came.
    #[error("no reply came: {0}")]
    Lost(String),
    /// No model of the preset could be asked.
    #[error("no model that the preset names can be asked with this account")]
    ModelsRefused,
    /// Nobody was reached.
    #[error("the provider could not be reached: {0}")]
    NotSent(String),
    /// The provider tells limits in its replies only.
    #[error(
        "this provider tells an account's limits in replies only, or by a probe that costs quota (`probe.model`)"
    )]
    NotTold,
    /// Another status than success.
    #[error("the provider answered {0}")]
    Refused(u16),
    /// The reply was successful and told nothing.
    #[error("the reply told no limits")]
    Silent,
    /// A person has to sign in first, or the account is gone.
    #[error("the account has no credential that works; `rota status` says what to do")]
    SignIn,
    /// More than an answer can be.
    #[error("the answer is larger than any such answer is")]
    TooLarge,
    /// It asked to be left alone.
    #[error("the provider answered 429 and is left alone for a while")]
    TooOften {
        /// Until then.
        until: Time,
    },
    /// No complete answer in time.
    #[error("no complete answer came in time (`timeouts.probe`)")]
    TooSlow,
    /// The endpoint does not serve this account.
    #[error("the usage endpoint does not serve this account: it answered {0}")]
    TurnedAway(u16),
    /// The token was refused, and renewing it did not help.
    #[error("the account's token was refused (401)")]
    Unauthorized,
    /// The usage endpoint's answer is not what it must be.
    #[error("the usage endpoint was asked, and {0}")]
    Unreadable(#[from] UsageFault),
}
