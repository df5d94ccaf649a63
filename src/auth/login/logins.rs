use super::browser;
use super::callback::{Answer, Callback};
use super::device;
use super::error::LoginError;
use super::inbox::Undelivered;
use super::job::{End, Job, JobReport, LoginFailure, LoginFlow, NewJob, Progress};
use super::plan::{Plan, Wanted, Way, plan};
use super::save::save;
use super::table::Table;
use crate::auth::grant::Grant;
use crate::auth::token::TokenClient;
use crate::clock::Clock;
use crate::model::{AccountId, Actor, Alias, JobState, ProviderId, Time};
use crate::state::SharedState;
use crate::store::Store;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::broadcast;

/// What happened to jobs that a listener may be late for.
const NEWS: usize = 256;
/// How long whoever asks for a sign-in waits for the page or the code to show: a provider is asked meanwhile.
const FIRST_WORD: Duration = Duration::from_secs(10);
/// How long whoever calls one off waits for its end: only one that is being stored takes any time.
const LAST_WORD: Duration = Duration::from_secs(10);

/// The sign-ins there are. Each runs in a task of its own: whoever asked for it may leave. Clones share them.
#[derive(Clone)]
pub struct Logins {
    inner: Arc<Inner>,
}

struct Inner {
    work: Work,
    runtime: Handle,
    table: Mutex<Table>,
    news: broadcast::Sender<JobReport>,
}

/// What a sign-in works with.
pub(super) struct Work {
    pub(super) state: Arc<SharedState>,
    pub(super) store: Arc<Store>,
    pub(super) tokens: TokenClient,
    /// Of one request to a provider.
    pub(super) deadline: Duration,
    pub(super) clock: Clock,
}

/// What sign-ins are made of.
pub struct LoginsParts {
    /// Where accounts are.
    pub state: Arc<SharedState>,
    /// Where credentials are kept.
    pub store: Arc<Store>,
    /// How codes are traded.
    pub tokens: TokenClient,
    /// How long one request to a provider may take.
    pub deadline: Duration,
    /// The time.
    pub clock: Clock,
    /// Where jobs run.
    pub runtime: Handle,
}

/// A sign-in as a human asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// The account's name: a new one, or one that signs in again.
    pub alias: Alias,
    /// Its provider; may be left out for an account there is, and must be its own.
    pub provider: Option<ProviderId>,
    /// How; none is the first that the provider has of browser, paste, device.
    pub flow: Option<LoginFlow>,
}

/// How an account's sign-in ended, as far as it was waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The account has a new credential.
    Succeeded,
    /// It has not.
    Failed(LoginFailure),
    /// Somebody called it off.
    Cancelled,
    /// It is still under way.
    NotYet,
    /// There is none.
    NoJob,
}

impl Logins {
    /// No sign-ins yet.
    pub fn new(parts: LoginsParts) -> Self {
        let work = Work {
            state: parts.state,
            store: parts.store,
            tokens: parts.tokens,
            deadline: parts.deadline,
            clock: parts.clock,
        };
        let (table, news) = (Mutex::default(), broadcast::Sender::new(NEWS));
        Self { inner: Arc::new(Inner { work, runtime: parts.runtime, table, news }) }
    }

    /// Begins a sign-in, and returns once there is a page to open or a code to type, or it has failed. A port that is
    /// taken is an error here; so is another sign-in of the same account.
    pub async fn start(&self, request: LoginRequest) -> Result<JobReport, LoginError> {
        let wanted = Wanted {
            alias: &request.alias,
            provider: request.provider.as_ref(),
            flow: request.flow,
            by: Actor::Admin,
        };
        let job = self.begin(&wanted)?;
        // It goes on by itself if this takes longer.
        let _ = tokio::time::timeout(FIRST_WORD, job.begun()).await;
        match job.false_start() {
            Some(error) => Err(error),
            None => Ok(job.report()),
        }
    }

    /// Begins the sign-in of an account that needs a human, or joins the one under way (FLO-6). Returns at once: what the
    /// person needs comes as [`news`](Self::news). None where there is nothing to sign in to, and for a quarter of an hour
    /// after one that was begun so has come to nothing.
    ///
    /// The order is device, paste, browser: nobody is known to sit at this machine, so a listener on it would likely wait
    /// in vain, and hold a port that a human's own sign-in needs.
    pub fn raise(&self, account: AccountId) -> Option<JobReport> {
        let now = self.inner.work.clock.now();
        let world = self.inner.work.state.snapshot();
        let alias = &world.account(account)?.alias;
        {
            let table = self.inner.table();
            if let Some(job) = table.latest_of(alias, now).filter(|job| job.state().is_active()) {
                return Some(job.report());
            }
            if table.is_tired_of(account, now) {
                return None;
            }
        }
        let wanted = Wanted { alias, provider: None, flow: None, by: Actor::Engine };
        match self.begin(&wanted) {
            Ok(job) => Some(job.report()),
            // Somebody else was faster.
            Err(LoginError::InProgress { id, .. }) => self.get(&id).ok(),
            Err(error) => {
                tracing::warn!(account = account.0, %error, "nobody can be asked to sign in");
                None
            }
        }
    }

    /// Returns when the account's latest sign-in has ended, and how; or at `until`.
    pub async fn ended(&self, account: AccountId, until: Time) -> Ended {
        let clock = &self.inner.work.clock;
        let Some(job) = self.inner.table().latest_for(account, clock.now()) else {
            return Ended::NoJob;
        };
        tokio::select! {
            biased;
            () = job.over() => {}
            () = clock.sleep_until(until) => {}
        }
        let JobReport { state, error, .. } = job.report();
        match (state, error) {
            (JobState::Succeeded, _) => Ended::Succeeded,
            (JobState::Cancelled, _) => Ended::Cancelled,
            (_, Some(failure)) => Ended::Failed(failure),
            (JobState::Failed | JobState::Pending | JobState::Running, None) => Ended::NotYet,
        }
    }

    /// Tells of every job twice: when it waits for a human, and when it is over.
    pub fn news(&self) -> broadcast::Receiver<JobReport> {
        self.inner.news.subscribe()
    }

    /// The job of that id, if it is under way or was until a moment ago.
    pub fn get(&self, id: &str) -> Result<JobReport, LoginError> {
        self.find(id).map(|job| job.report())
    }

    /// The latest sign-in of that name.
    pub fn latest_of(&self, alias: &Alias) -> Option<JobReport> {
        let now = self.inner.work.clock.now();
        self.inner.table().latest_of(alias, now).map(|job| job.report())
    }

    /// Calls a job off, and returns it once it is over. One that is being stored already is not called off any more; one
    /// that is over stays as it is.
    pub async fn cancel(&self, id: &str) -> Result<JobReport, LoginError> {
        let job = self.find(id)?;
        job.call_off();
        let _ = tokio::time::timeout(LAST_WORD, job.over()).await;
        Ok(job.report())
    }

    /// Takes what a person pasted for the answer: the whole address at which the browser ended, `code#state` or
    /// `code&state`. Without the right `state` it is nobody's answer, and changes nothing.
    pub fn complete(&self, id: &str, pasted: &str) -> Result<JobReport, LoginError> {
        let job = self.find(id)?;
        let inbox = job.inbox().filter(|_| job.state().is_active()).ok_or(LoginError::NotWaiting)?;
        let callback = Callback::of_paste(pasted).ok_or(LoginError::NotAnAnswer)?;
        let refusal = match &callback.answer {
            Answer::Code(_) => None,
            Answer::Refused(error) if error == Answer::DENIED => Some(LoginError::Denied),
            Answer::Refused(error) => Some(LoginError::Refused(error.clone())),
        };
        inbox.deliver(callback).map_err(|undelivered| match undelivered {
            Undelivered::Over => LoginError::NotWaiting,
            Undelivered::WrongState => LoginError::StateMismatch,
        })?;
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        job.advance(Progress::Exchanging);
        Ok(job.report())
    }

    /// Calls every job off and returns once all are over: their listeners are closed, and what was being stored is. No
    /// other can begin.
    pub async fn stop(&self) {
        let jobs = self.inner.table().close();
        jobs.iter().for_each(|job| job.call_off());
        for job in jobs {
            job.over().await;
        }
    }

    fn begin(&self, wanted: &Wanted<'_>) -> Result<Arc<Job>, LoginError> {
        let inner = &self.inner;
        let plan = plan(&inner.work.state.snapshot(), wanted)?;
        let new = NewJob {
            alias: plan.alias.clone(),
            account: plan.account,
            provider: plan.provider.clone(),
            flow: plan.way.flow(),
            by: wanted.by,
            news: inner.news.clone(),
        };
        let now = inner.work.clock.now();
        let job = Arc::new(Job::new(new, now)?);
        inner.table().insert(job.clone(), now)?;
        let (alias, provider) = (job.alias.as_str(), job.provider.as_str());
        tracing::info!(alias, provider, flow = job.flow.as_str(), by = job.by.as_str(), "a sign-in began");
        let driver = Driver { inner: inner.clone(), job: job.clone() };
        inner.runtime.spawn(async move { driver.run(&plan).await });
        Ok(job)
    }

    fn find(&self, id: &str) -> Result<Arc<Job>, LoginError> {
        let now = self.inner.work.clock.now();
        self.inner.table().get(id, now)
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's task. Torn down, it calls its job off: no account waits for a job that nobody drives.
struct Driver {
    inner: Arc<Inner>,
    job: Arc<Job>,
}

impl Driver {
    async fn run(&self, plan: &Plan) {
        let obtained = tokio::select! {
            biased;
            () = self.job.called_off() => Err(End::Cancelled),
            obtained = self.obtain(plan) => obtained.map_err(End::Failed),
        };
        let end = match obtained {
            Ok(grant) => self.save(grant).await,
            Err(end) => end,
        };
        self.end(end);
    }

    async fn obtain(&self, plan: &Plan) -> Result<Grant, LoginError> {
        let (work, job, endpoint) = (&self.inner.work, &*self.job, &plan.endpoint);
        match &plan.way {
            Way::Browser(flow, loopback) => browser::by_callback(work, job, (flow, loopback), endpoint).await,
            Way::Paste(flow, redirect) => browser::by_paste(work, job, (flow, redirect), endpoint).await,
            Way::Device(flow) => device::by_code(work, job, flow, endpoint).await,
        }
    }

    async fn save(&self, grant: Grant) -> End {
        self.job.advance(Progress::Saving);
        match save(&self.inner.work, &self.job, grant).await {
            Ok(()) => End::Succeeded,
            Err(error) => End::Failed(error),
        }
    }

    fn end(&self, end: End) {
        let (alias, provider) = (self.job.alias.as_str(), self.job.provider.as_str());
        match &end {
            End::Succeeded => tracing::info!(alias, provider, "a sign-in succeeded"),
            End::Failed(error) => {
                tracing::warn!(alias, provider, code = error.code(), %error, "a sign-in failed");
            }
            End::Cancelled => tracing::info!(alias, provider, "a sign-in was called off"),
        }
        self.job.end(end, self.inner.work.clock.now());
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let end = if std::thread::panicking() { End::Failed(LoginError::Internal) } else { End::Cancelled };
        self.job.end(end, self.inner.work.clock.now());
    }
}
