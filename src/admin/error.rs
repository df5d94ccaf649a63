use super::BODY;
use super::reply::{ErrorBody, ErrorView};
use crate::auth::import::{ImportError, Unread};
use crate::auth::{LoginError, NotGranted};
use crate::config::Untunable;
use crate::engine::Rejection;
use crate::model::Alias;
use crate::proxy::Turned;
use crate::runs::MOST_RUNS;
use crate::state::CommitError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};

/// What the admin API answers instead of a view: a stable code, a sentence that says what to do, and details for
/// programs (ADM-2).
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    code: Code,
    pub(super) message: String,
    details: Option<Value>,
}

/// The stable codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    AccountDisabled,
    AccountNotFound,
    AccountUnable,
    AliasTaken,
    AlreadyInState,
    BodyTooLarge,
    BodyUnread,
    DecisionNotFound,
    ImportUnreadable,
    Internal,
    InvalidRequest,
    KeyNotFound,
    LastEnabled,
    LimitsNotTold,
    Login(&'static str, StatusCode),
    MethodNotAllowed,
    NeedsReauth,
    NoForceActive,
    NotFound,
    NotRunning,
    PassphraseNeeded,
    PassphraseWrong,
    NotRenewable,
    RenewalFailed,
    RunNotFound,
    RunTaken,
    SessionNotFound,
    SettingLocked,
    Stopping,
    StoreUnavailable,
    TicketUnknown,
    TokenNotGranted,
    TooManyReaders,
    TooManyRuns,
    Turned(&'static str, StatusCode),
    Unauthorized,
    UnknownProvider,
    UpdateInProgress,
}

impl Code {
    fn wire(self) -> (&'static str, StatusCode) {
        match self {
            Self::AccountDisabled => ("ACCOUNT_DISABLED", StatusCode::CONFLICT),
            Self::AccountNotFound => ("ACCOUNT_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::AccountUnable => ("ACCOUNT_UNABLE", StatusCode::CONFLICT),
            Self::AliasTaken => ("ALIAS_TAKEN", StatusCode::CONFLICT),
            Self::AlreadyInState => ("ALREADY_IN_STATE", StatusCode::CONFLICT),
            Self::BodyTooLarge => ("BODY_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE),
            Self::BodyUnread => ("BODY_UNREAD", StatusCode::BAD_REQUEST),
            Self::DecisionNotFound => ("DECISION_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::ImportUnreadable => ("IMPORT_UNREADABLE", StatusCode::BAD_REQUEST),
            Self::Internal => ("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR),
            Self::InvalidRequest => ("INVALID_REQUEST", StatusCode::BAD_REQUEST),
            Self::KeyNotFound => ("KEY_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::LastEnabled => ("LAST_ENABLED", StatusCode::CONFLICT),
            Self::LimitsNotTold => ("LIMITS_NOT_TOLD", StatusCode::CONFLICT),
            Self::Login(code, status) => (code, status),
            Self::MethodNotAllowed => ("METHOD_NOT_ALLOWED", StatusCode::METHOD_NOT_ALLOWED),
            Self::NeedsReauth => ("NEEDS_REAUTH", StatusCode::CONFLICT),
            Self::NoForceActive => ("NO_FORCE_ACTIVE", StatusCode::CONFLICT),
            Self::NotFound => ("NOT_FOUND", StatusCode::NOT_FOUND),
            Self::NotRunning => ("NOT_RUNNING", StatusCode::CONFLICT),
            Self::PassphraseNeeded => ("PASSPHRASE_NEEDED", StatusCode::BAD_REQUEST),
            Self::PassphraseWrong => ("PASSPHRASE_WRONG", StatusCode::BAD_REQUEST),
            Self::NotRenewable => ("NOT_RENEWABLE", StatusCode::CONFLICT),
            Self::RenewalFailed => ("RENEWAL_FAILED", StatusCode::SERVICE_UNAVAILABLE),
            Self::RunNotFound => ("RUN_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::RunTaken => ("RUN_TAKEN", StatusCode::CONFLICT),
            Self::SessionNotFound => ("SESSION_NOT_FOUND", StatusCode::NOT_FOUND),
            Self::SettingLocked => ("SETTING_LOCKED", StatusCode::CONFLICT),
            Self::Stopping => ("STOPPING", StatusCode::SERVICE_UNAVAILABLE),
            Self::StoreUnavailable => ("STORE_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE),
            Self::TicketUnknown => ("TICKET_UNKNOWN", StatusCode::FORBIDDEN),
            Self::TokenNotGranted => ("TOKEN_NOT_GRANTED", StatusCode::BAD_GATEWAY),
            Self::TooManyReaders => ("TOO_MANY_READERS", StatusCode::TOO_MANY_REQUESTS),
            Self::TooManyRuns => ("TOO_MANY_RUNS", StatusCode::TOO_MANY_REQUESTS),
            Self::Turned(code, status) => (code, status),
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::UnknownProvider => ("UNKNOWN_PROVIDER", StatusCode::BAD_REQUEST),
            Self::UpdateInProgress => ("UPDATE_IN_PROGRESS", StatusCode::CONFLICT),
        }
    }
}

impl ApiError {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: None }
    }

    /// A field of the request is not what it must be: names the field and the constraint.
    pub fn invalid(field: &str, constraint: impl std::fmt::Display) -> Self {
        let details = json!({"field": field, "constraint": constraint.to_string()});
        Self { details: Some(details), ..Self::new(Code::InvalidRequest, format!("{field}: {constraint}")) }
    }

    /// There is no such account; names the ones there are, and the nearest.
    pub fn no_account(alias: &str, known: &[&str]) -> Self {
        let near = known.iter().copied().max_by(|a, b| {
            let score = |name: &str| strsim::jaro_winkler(alias, name);
            score(a).total_cmp(&score(b))
        });
        let near = near.filter(|name| strsim::jaro_winkler(alias, name) > 0.8);
        let hint = near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
        let there = if known.is_empty() {
            "there are none".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        Self {
            details: Some(json!({"alias": alias, "known": known, "didYouMean": near})),
            ..Self::new(Code::AccountNotFound, format!("there is no account {alias:?}{hint} ({there})"))
        }
    }

    /// Somebody else's change of the account is not durable yet.
    pub fn in_progress(alias: &Alias) -> Self {
        let message =
            format!("another change of account \"{alias}\" is under way; look at it, then try again");
        Self { details: Some(json!({"alias": alias.as_str()})), ..Self::new(Code::UpdateInProgress, message) }
    }

    /// Somebody else's change of settings is not durable yet.
    pub fn settings_in_progress() -> Self {
        let message = "another change of settings is under way; look at them, then try again";
        Self::new(Code::UpdateInProgress, message)
    }

    /// The settings could not be kept, and none has changed.
    pub(super) fn not_kept(error: &impl std::fmt::Display) -> Self {
        Self::new(Code::StoreUnavailable, format!("no setting was changed: {error}"))
    }

    /// There is no such decision any more.
    pub fn no_decision(id: &str) -> Self {
        Self::new(
            Code::DecisionNotFound,
            format!("no decision {id:?} is kept; `rota why` shows the latest, the log has all"),
        )
    }

    /// No session has this key, or not any more.
    pub fn no_session(key: &str) -> Self {
        Self::new(
            Code::SessionNotFound,
            format!("no session {key:?} has an account; `rota sessions` shows those that have one"),
        )
    }

    /// No command has this id, or not any more.
    pub fn no_run() -> Self {
        Self::new(Code::RunNotFound, "no command of this id runs; `rota run -- CMD` starts one")
    }

    /// A command has this id already.
    pub fn run_taken() -> Self {
        Self::new(Code::RunTaken, "a command of this id runs already; take another")
    }

    /// No command is taken in any more.
    pub fn stopping() -> Self {
        Self::new(Code::Stopping, "rota is stopping; ask again once the next one runs")
    }

    /// There are as many commands as there may be.
    pub fn too_many_runs() -> Self {
        Self::new(Code::TooManyRuns, format!("{MOST_RUNS} commands run already; end one of them"))
    }

    /// The body could not be read; `status` is what reading it came to.
    pub fn unread(status: StatusCode) -> Self {
        match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(Code::BodyTooLarge, format!("the body is larger than {} KiB", BODY / 1024))
            }
            _ => Self::new(Code::BodyUnread, "the body could not be read to its end; nothing was changed"),
        }
    }

    /// Only a human can give the account a new credential; `detail` is why.
    pub fn needs_reauth(alias: &Alias, detail: &str) -> Self {
        let message = format!("account \"{alias}\" must sign in again ({detail}); `rota login {alias}`");
        Self { details: Some(json!({"alias": alias.as_str()})), ..Self::new(Code::NeedsReauth, message) }
    }

    /// Nobody can be asked for the account's limits; `why` is a sentence.
    pub fn limits_not_told(alias: &Alias, why: impl std::fmt::Display) -> Self {
        Self::new(
            Code::LimitsNotTold,
            format!("the limits of account \"{alias}\" cannot be asked for: {why}"),
        )
    }

    /// The account's credential is a key, or a token that nothing renews.
    pub fn not_renewable(alias: &Alias) -> Self {
        let message =
            format!("account \"{alias}\" has nothing to renew: its credential is good until it is refused");
        Self::new(Code::NotRenewable, message)
    }

    /// The renewal was tried, and gave nothing new.
    pub fn not_renewed(alias: &Alias) -> Self {
        let message = format!(
            "the credential of account \"{alias}\" was not renewed, and the old one stays in force; the log says why"
        );
        Self::new(Code::RenewalFailed, message)
    }

    /// A mistake of rota's own.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "rota made a mistake with this request; others are not touched. The log says where; please report it",
        )
    }

    /// The request did not pass the gate.
    pub fn gate(turned: &Turned) -> Self {
        Self::new(Code::Turned(turned.code(), turned.status()), turned.to_string())
    }

    /// There is no daemon, and only one has a page.
    pub fn no_daemon() -> Self {
        Self::new(
            Code::NotRunning,
            "rota is not running, and its page is served by a running one: `rota serve`",
        )
    }

    /// Only a page of ours trades a ticket in, and browsers name the page that asks.
    pub fn no_page() -> Self {
        let turned = Turned::OriginForeign;
        let message = "only rota's own page may trade a ticket in; it names itself in Origin";
        Self::new(Code::Turned(turned.code(), turned.status()), message)
    }

    /// The ticket is not good, or not any more.
    pub fn no_ticket() -> Self {
        Self::new(
            Code::TicketUnknown,
            "the ticket was used or is older than a minute; run `rota dashboard` again",
        )
    }

    /// All places for readers of events are taken.
    pub fn too_many_readers() -> Self {
        Self::new(Code::TooManyReaders, "too many pages and programs read events already; close one of them")
    }

    /// The admin token is missing or wrong.
    pub fn unauthorized() -> Self {
        Self::new(
            Code::Unauthorized,
            "send the admin token as `Authorization: Bearer …`; it is in the file admin-token of the state directory \
             (`rota config path` prints where)",
        )
    }
}

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        let code = match &rejection {
            Rejection::AccountDisabled(_) => Code::AccountDisabled,
            Rejection::AccountUnable(_) => Code::AccountUnable,
            Rejection::AliasTaken(_) | Rejection::KeyNameTaken(_) => Code::AliasTaken,
            Rejection::AlreadyInState(_) | Rejection::Outdated => Code::AlreadyInState,
            Rejection::KindNotAccepted(_) | Rejection::TooManyAccounts | Rejection::TooManyKeys => {
                Code::InvalidRequest
            }
            Rejection::LastEnabled(_) => Code::LastEnabled,
            Rejection::NoForceActive => Code::NoForceActive,
            Rejection::UnknownAccount => Code::AccountNotFound,
            Rejection::UnknownKey(_) => Code::KeyNotFound,
            Rejection::UnknownProvider(_) => Code::UnknownProvider,
        };
        let advice = match &rejection {
            Rejection::AliasTaken(alias) => {
                format!("; choose another name, or `rota accounts rm {alias}` first")
            }
            Rejection::LastEnabled(_) => "; send \"force\": true (`--force`) if you mean it".to_owned(),
            Rejection::AccountDisabled(alias) => format!("; `rota enable {alias}` first"),
            Rejection::AccountUnable(_)
            | Rejection::AlreadyInState(_)
            | Rejection::KeyNameTaken(_)
            | Rejection::KindNotAccepted(_)
            | Rejection::NoForceActive
            | Rejection::Outdated
            | Rejection::TooManyAccounts
            | Rejection::TooManyKeys
            | Rejection::UnknownAccount
            | Rejection::UnknownKey(_)
            | Rejection::UnknownProvider(_) => String::new(),
        };
        Self::new(code, format!("{rejection}{advice}"))
    }
}

impl From<Untunable> for ApiError {
    fn from(error: Untunable) -> Self {
        let message = error.to_string();
        match error {
            Untunable::Invalid { key, value, constraint } => Self {
                details: Some(json!({"field": key, "value": value, "constraint": constraint})),
                ..Self::new(Code::InvalidRequest, message)
            },
            Untunable::Locked { key, by } => Self {
                details: Some(json!({"field": key, "lockedBy": by})),
                ..Self::new(Code::SettingLocked, message)
            },
            Untunable::Unknown { key, near } => Self {
                details: Some(json!({"field": key, "constraint": message, "didYouMean": near})),
                ..Self::new(Code::InvalidRequest, message)
            },
        }
    }
}

impl From<Unread> for ApiError {
    fn from(unread: Unread) -> Self {
        let code = match &unread {
            Unread::Content { error: ImportError::Sealed(_), .. } => Code::PassphraseNeeded,
            Unread::Content { error: ImportError::WrongKey(_), .. } => Code::PassphraseWrong,
            Unread::Content { .. }
            | Unread::Io { .. }
            | Unread::Missing { .. }
            | Unread::NotAFile { .. }
            | Unread::TooLarge { .. }
            | Unread::TooMany { .. } => Code::ImportUnreadable,
        };
        Self::new(code, unread.to_string())
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        let message = error.to_string();
        let status = match &error {
            LoginError::NotAnAnswer => return Self::invalid("url", message),
            LoginError::ProviderMismatch { .. }
            | LoginError::ProviderNeeded(_)
            | LoginError::UnknownProvider { .. } => return Self::invalid("provider", message),
            LoginError::InProgress { id, .. } => {
                let code = Code::Login(error.code(), StatusCode::CONFLICT);
                return Self { details: Some(json!({"id": id})), ..Self::new(code, message) };
            }
            LoginError::Denied
            | LoginError::FlowUnavailable { .. }
            | LoginError::NoLogin(_)
            | LoginError::StateMismatch => StatusCode::BAD_REQUEST,
            LoginError::AccountGone | LoginError::UnknownJob => StatusCode::NOT_FOUND,
            LoginError::AliasTaken(_)
            | LoginError::Disabled(_)
            | LoginError::Expired
            | LoginError::IdentityMismatch(_)
            | LoginError::KeyAccount(_)
            | LoginError::NotWaiting
            | LoginError::PortBusy { .. }
            | LoginError::Rejected(_) => StatusCode::CONFLICT,
            LoginError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            LoginError::Internal | LoginError::NoRandomness => StatusCode::INTERNAL_SERVER_ERROR,
            LoginError::DeviceUnavailable(_) | LoginError::ExchangeFailed(_) | LoginError::Refused(_) => {
                StatusCode::BAD_GATEWAY
            }
            LoginError::Stopping | LoginError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(Code::Login(error.code(), status), message)
    }
}

impl From<CommitError> for ApiError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotDurable => Self::new(
                Code::StoreUnavailable,
                format!("{error}; is the disk full or read-only? `rota status` shows what the store says"),
            ),
            CommitError::Rejected(rejection) => rejection.into(),
        }
    }
}

impl From<NotGranted> for ApiError {
    fn from(error: NotGranted) -> Self {
        Self::new(Code::TokenNotGranted, format!("no token was granted, and nothing was added: {error}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, status) = self.code.wire();
        let error = ErrorBody { code, message: self.message, details: self.details };
        (status, Json(ErrorView { error })).into_response()
    }
}

/// The answer to a path that is no endpoint.
pub(super) async fn no_endpoint(uri: Uri) -> ApiError {
    ApiError::new(
        Code::NotFound,
        format!("there is no endpoint {}; docs/ADMIN_API.md lists them", uri.path()),
    )
}

/// The answer to a method that an endpoint does not have.
pub(super) async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(Code::MethodNotAllowed, format!("{} does not take {method}", uri.path()))
}
