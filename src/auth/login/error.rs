use crate::engine::Rejection;
use crate::model::{Alias, ProviderId};

/// Why there is no sign-in, or why it came to nothing. In every case the account is as it was. A message is a sentence
/// for the user that says what to do; none holds a token, a code or a `state`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The account went away while the person signed in.
    #[error("the account was removed while you signed in; `rota login` with a new name adds one")]
    AccountGone,
    /// The name was taken while the person signed in.
    #[error("another account was named \"{0}\" while you signed in; sign in again with another name")]
    AliasTaken(Alias),
    /// The person said no.
    #[error("the sign-in was turned down in the browser; nothing was changed")]
    Denied,
    /// The provider gives no device codes to this login.
    #[error(
        "provider {0} gives no device codes, or not to this organization; sign in with a browser (`rota login` without --device)"
    )]
    DeviceUnavailable(ProviderId),
    /// A disabled account stays as it is.
    #[error("account \"{0}\" is disabled; `rota enable {0}` first")]
    Disabled(Alias),
    /// The token endpoint did not grant anything for the code.
    #[error("the provider's token endpoint did not finish the sign-in: {0}; begin again")]
    ExchangeFailed(String),
    /// Nobody signed in in time.
    #[error("nobody finished the sign-in in time; begin again")]
    Expired,
    /// The provider lacks that flow.
    #[error("provider {provider} has no {flow} sign-in; it has {}", there.join(" and "))]
    FlowUnavailable {
        /// Which provider.
        provider: ProviderId,
        /// What was asked for.
        flow: &'static str,
        /// What there is.
        there: Vec<&'static str>,
    },
    /// Somebody else signed in.
    #[error(
        "the browser is signed in to another account than the one \"{0}\" belongs to; nothing was changed. Sign out there or \
         use a private window, or give the other account a name of its own with `rota login`"
    )]
    IdentityMismatch(Alias),
    /// One sign-in of an account at a time.
    #[error("a sign-in of \"{alias}\" is under way already; finish it, or cancel it first")]
    InProgress {
        /// Whose.
        alias: Alias,
        /// The job.
        id: String,
    },
    /// A mistake of rota's own.
    #[error(
        "rota made a mistake with this sign-in; nothing was changed. The log says where; please report it"
    )]
    Internal,
    /// A key is replaced, not signed in to.
    #[error("account \"{0}\" has a key and no sign-in; replace the key, or use another name")]
    KeyAccount(Alias),
    /// The provider cannot be signed in to.
    #[error("provider {0} has no sign-in; `rota accounts add` takes its key or token")]
    NoLogin(ProviderId),
    /// The system has no randomness.
    #[error("the system has no randomness, so that no sign-in is safe")]
    NoRandomness,
    /// The pasted text holds no answer; its value is not repeated.
    #[error(
        "there is no code in it; paste the whole address at which the browser ended, or the code that the page shows"
    )]
    NotAnAnswer,
    /// The job takes no pasted answer, or not any more.
    #[error("this sign-in waits for no pasted answer; `rota login` begins another")]
    NotWaiting,
    /// None of the ports that the provider knows is free.
    #[error(
        "the browser must come back to port {}, and there it cannot be waited for ({problem}). Is another sign-in under way? \
         End it, or use `--device` or `--no-browser`",
        listed(ports)
    )]
    PortBusy {
        /// The ports that were tried.
        ports: Vec<u16>,
        /// What the system said of the last one.
        problem: String,
    },
    /// An account stays with its provider.
    #[error("account \"{alias}\" belongs to provider {provider}")]
    ProviderMismatch {
        /// Which account.
        alias: Alias,
        /// Its provider.
        provider: ProviderId,
    },
    /// A new account needs one.
    #[error("there is no account \"{0}\" yet; say which provider it belongs to")]
    ProviderNeeded(Alias),
    /// The provider ended it, with a code of its own.
    #[error("the provider refused the sign-in: {0}")]
    Refused(String),
    /// The engine turned it down.
    #[error("{0}")]
    Rejected(Rejection),
    /// The answer's `state` is missing or belongs to another sign-in.
    #[error(
        "this is not the answer to this sign-in: its state is missing or another's. Copy the whole address, from the page \
         that this sign-in opened"
    )]
    StateMismatch,
    /// rota stops.
    #[error("rota is stopping; sign in once it runs again")]
    Stopping,
    /// The store did not take it.
    #[error("the sign-in could not be stored, and was dropped: {0}")]
    Store(String),
    /// Enough is enough.
    #[error("there are {0} sign-ins under way, the most there can be; finish or cancel some")]
    TooMany(usize),
    /// There is no such job, or not any more.
    #[error("there is no such sign-in; finished ones are kept for a quarter of an hour")]
    UnknownJob,
    /// There is no such provider.
    #[error("there is no provider \"{given}\"; there are {}", known.join(", "))]
    UnknownProvider {
        /// What was asked for.
        given: ProviderId,
        /// What there is.
        known: Vec<String>,
    },
}

impl LoginError {
    /// The stable code: the admin API's own, and what a job that failed shows.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AccountGone => "ACCOUNT_NOT_FOUND",
            Self::AliasTaken(_) => "ALIAS_TAKEN",
            Self::Denied => "LOGIN_DENIED",
            Self::DeviceUnavailable(_) => "LOGIN_DEVICE_UNAVAILABLE",
            Self::Disabled(_) => "ACCOUNT_DISABLED",
            Self::ExchangeFailed(_) => "LOGIN_EXCHANGE_FAILED",
            Self::Expired => "LOGIN_EXPIRED",
            Self::FlowUnavailable { .. } => "LOGIN_FLOW_UNAVAILABLE",
            Self::IdentityMismatch(_) => "IDENTITY_MISMATCH",
            Self::InProgress { .. } => "LOGIN_IN_PROGRESS",
            Self::Internal | Self::NoRandomness => "INTERNAL",
            Self::KeyAccount(_) | Self::NoLogin(_) => "LOGIN_UNAVAILABLE",
            Self::NotAnAnswer
            | Self::ProviderMismatch { .. }
            | Self::ProviderNeeded(_)
            | Self::UnknownProvider { .. } => "INVALID_REQUEST",
            Self::NotWaiting => "LOGIN_NOT_WAITING",
            Self::PortBusy { .. } => "LOGIN_PORT_BUSY",
            Self::Refused(_) | Self::Rejected(_) => "LOGIN_REFUSED",
            Self::StateMismatch => "LOGIN_STATE_MISMATCH",
            Self::Stopping => "STOPPING",
            Self::Store(_) => "STORE_UNAVAILABLE",
            Self::TooMany(_) => "TOO_MANY_LOGINS",
            Self::UnknownJob => "JOB_NOT_FOUND",
        }
    }
}

fn listed(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    if ports.is_empty() { "of its own".to_owned() } else { ports.join(" or ") }
}
