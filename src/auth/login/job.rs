use super::error::LoginError;
use super::inbox::Inbox;
use super::pkce;
use crate::model::{AccountId, Actor, Alias, JobState, ProviderId, Time};
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::{broadcast, watch};

/// How a person signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFlow {
    /// A browser on this machine, which comes back by itself.
    Browser,
    /// A code that is typed in on any device.
    Device,
    /// A browser anywhere; what it ends at is pasted.
    Paste,
}

impl LoginFlow {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::Device => "device",
            Self::Paste => "paste",
        }
    }
}

/// What a sign-in is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// A new account.
    Login,
    /// An account there is (REN-6).
    Reauth,
}

impl JobKind {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Reauth => "reauth",
        }
    }
}

/// What a sign-in is at, in the order it gets there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// The provider is asked for a code, or a port is taken.
    Starting,
    /// The person is in the browser; a pasted answer is taken, too.
    WaitingForBrowser,
    /// The person is in a browser somewhere.
    WaitingForPaste,
    /// The person types the code in somewhere.
    WaitingForCodeEntry,
    /// What came back is traded for tokens.
    Exchanging,
    /// They are made durable; not called off any more.
    Saving,
    /// It is over.
    Done,
}

impl Progress {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::WaitingForBrowser => "waiting-for-browser",
            Self::WaitingForPaste => "waiting-for-paste",
            Self::WaitingForCodeEntry => "waiting-for-code-entry",
            Self::Exchanging => "exchanging",
            Self::Saving => "saving",
            Self::Done => "done",
        }
    }
}

/// A text that whoever signs in must see, and that no log may: an address with a `state` in it, a code to type.
#[derive(Clone, PartialEq, Eq)]
pub struct OwnersEyes(String);

impl OwnersEyes {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the admin API and the owner's own notification.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for OwnersEyes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[for the owner]")
    }
}

/// How a sign-in failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFailure {
    /// The stable code.
    pub code: &'static str,
    /// A sentence that says what to do.
    pub message: String,
}

impl From<&LoginError> for LoginFailure {
    fn from(error: &LoginError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// A sign-in as it is now. No token, code or verifier is in it; what a person needs to go on is, until it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// Its id: 32 hex digits that nobody guesses.
    pub id: String,
    /// Of which account.
    pub alias: Alias,
    /// The account's number; none for a new one.
    pub account: Option<AccountId>,
    /// At which provider.
    pub provider: ProviderId,
    /// How.
    pub flow: LoginFlow,
    /// What for.
    pub kind: JobKind,
    /// Who asked for it: a human, or rota itself because an account needs one (FLO-6).
    pub by: Actor,
    /// How far it is.
    pub state: JobState,
    /// What it is at.
    pub progress: Progress,
    /// Since when.
    pub started: Time,
    /// It waits for nobody after this.
    pub expires: Time,
    /// Where to go, and what to type there.
    pub offer: Offer,
    /// Why it failed.
    pub error: Option<LoginFailure>,
}

/// What a person needs to sign in; by flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The page to open. It holds the `state` and the challenge: for the owner only.
    pub authorize_url: Option<OwnersEyes>,
    /// Where that page sends the browser.
    pub redirect_uri: Option<String>,
    /// Where the code is typed.
    pub verification_url: Option<String>,
    /// The same with the code in it.
    pub verification_url_complete: Option<OwnersEyes>,
    /// The code to type.
    pub user_code: Option<OwnersEyes>,
}

/// A sign-in under way, or just over.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) alias: Alias,
    pub(super) account: Option<AccountId>,
    pub(super) provider: ProviderId,
    pub(super) flow: LoginFlow,
    pub(super) by: Actor,
    started: Time,
    status: watch::Sender<Status>,
    inbox: OnceLock<Arc<Inbox>>,
    called_off: watch::Sender<bool>,
    news: broadcast::Sender<JobReport>,
}

#[derive(Clone, Debug)]
struct Status {
    state: JobState,
    progress: Progress,
    expires: Time,
    offer: Offer,
    /// Somebody was told what to do.
    shown: bool,
    error: Option<LoginError>,
    ended: Option<Time>,
}

/// What a job is made of.
pub(super) struct NewJob {
    pub(super) alias: Alias,
    pub(super) account: Option<AccountId>,
    pub(super) provider: ProviderId,
    pub(super) flow: LoginFlow,
    pub(super) by: Actor,
    pub(super) news: broadcast::Sender<JobReport>,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Failed(LoginError),
    Cancelled,
}

impl Job {
    pub(super) fn new(new: NewJob, now: Time) -> Result<Self, LoginError> {
        let status = Status {
            state: JobState::Pending,
            progress: Progress::Starting,
            expires: now,
            offer: Offer::default(),
            shown: false,
            error: None,
            ended: None,
        };
        Ok(Self {
            id: pkce::id()?,
            alias: new.alias,
            account: new.account,
            provider: new.provider,
            flow: new.flow,
            by: new.by,
            started: now,
            status: watch::Sender::new(status),
            inbox: OnceLock::new(),
            called_off: watch::Sender::new(false),
            news: new.news,
        })
    }

    pub(super) fn report(&self) -> JobReport {
        let status = self.status.borrow().clone();
        JobReport {
            id: self.id.clone(),
            alias: self.alias.clone(),
            account: self.account,
            provider: self.provider.clone(),
            flow: self.flow,
            kind: if self.account.is_some() { JobKind::Reauth } else { JobKind::Login },
            by: self.by,
            state: status.state,
            progress: status.progress,
            started: self.started,
            expires: status.expires,
            offer: status.offer,
            error: status.error.as_ref().map(LoginFailure::from),
        }
    }

    pub(super) fn state(&self) -> JobState {
        self.status.borrow().state
    }

    /// Why it failed, if it did before anybody was told what to do.
    pub(super) fn false_start(&self) -> Option<LoginError> {
        let status = self.status.borrow();
        status.error.clone().filter(|_| !status.shown)
    }

    /// When it ended.
    pub(super) fn ended(&self) -> Option<Time> {
        self.status.borrow().ended
    }

    /// Where its answer is delivered; none where it waits for none.
    pub(super) fn inbox(&self) -> Option<&Arc<Inbox>> {
        self.inbox.get()
    }

    /// From now on an answer may come.
    pub(super) fn open(&self, inbox: Arc<Inbox>) {
        // Each flow opens one, once.
        let _ = self.inbox.set(inbox);
    }

    /// Tells what a person has to do, and until when.
    pub(super) fn show(&self, offer: Offer, progress: Progress, expires: Time) {
        self.status.send_modify(|status| {
            status.state = JobState::Running;
            status.progress = progress;
            status.offer = offer;
            status.shown = true;
            status.expires = expires;
        });
        self.tell();
    }

    /// Never goes back.
    pub(super) fn advance(&self, progress: Progress) {
        self.status.send_if_modified(|status| {
            let moves = status.progress < progress;
            if moves {
                status.progress = progress;
            }
            moves
        });
    }

    /// Ends it, once: a second end is none.
    pub(super) fn end(&self, end: End, now: Time) {
        let ended = self.status.send_if_modified(|status| {
            if status.state.is_terminal() {
                return false;
            }
            (status.state, status.error) = match &end {
                End::Succeeded => (JobState::Succeeded, None),
                End::Failed(error) => (JobState::Failed, Some(error.clone())),
                End::Cancelled => (JobState::Cancelled, None),
            };
            status.progress = Progress::Done;
            status.offer = Offer::default();
            status.ended = Some(now);
            true
        });
        if ended {
            self.tell();
        }
    }

    /// Calls it off, if that is still possible.
    pub(super) fn call_off(&self) {
        self.called_off.send_replace(true);
    }

    /// Returns once it is called off.
    pub(super) async fn called_off(&self) {
        let mut called_off = self.called_off.subscribe();
        // It lives as long as the sender, which is ours.
        let _ = called_off.wait_for(|called_off| *called_off).await;
    }

    /// Returns once there is something to show, or it is over.
    pub(super) async fn begun(&self) {
        self.until(|state| state != JobState::Pending).await;
    }

    /// Returns once it is over.
    pub(super) async fn over(&self) {
        self.until(JobState::is_terminal).await;
    }

    async fn until(&self, fits: impl Fn(JobState) -> bool) {
        let mut status = self.status.subscribe();
        let _ = status.wait_for(|status| fits(status.state)).await;
    }

    fn tell(&self) {
        // Nobody has to listen.
        let _ = self.news.send(self.report());
    }
}
