//! One request's accounting, from its arrival until the last byte of its reply is gone or the client is. It is a guard:
//! whatever way a request ends, dropping this gives the lease back and tells the decision record, exactly once.
use super::error::Turned;
use super::upload::Upload;
use crate::affinity::{GRAIN, Mark};
use crate::app::App;
use crate::clock::Stopwatch;
use crate::engine::{
    self, Attempt, Command, Failover, Fault, Glimpse, Late, Refusal, Travelled, Verdict, Why, late,
    worth_keeping,
};
use crate::lease::Lease;
use crate::model::{
    AccountId, Alias, ClientKey, Few, KeyDigest, LostReply, Provider, ProviderId, Reason, RequestId,
    SessionKey, Time,
};
use crate::runs::{self, Run};
use crate::telemetry::{AttemptRecord, DecisionRecord, InBandRecord, Outcome, SignInRecord, SkipRecord};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const X_ROTA_ACCOUNT: HeaderName = HeaderName::from_static("x-rota-account");
const X_ROTA_ATTEMPTS: HeaderName = HeaderName::from_static("x-rota-attempts");
const X_ROTA_FORCE: HeaderName = HeaderName::from_static("x-rota-force");
const X_ROTA_REQUEST_ID: HeaderName = HeaderName::from_static("x-rota-request-id");
const X_ROTA_SANITIZED: HeaderName = HeaderName::from_static("x-rota-sanitized");
const X_ROTA_WHY: HeaderName = HeaderName::from_static("x-rota-why");

/// One, two, three attempts: how many a request may have unless that was set otherwise.
static USUAL_ATTEMPTS: [HeaderValue; 3] =
    [HeaderValue::from_static("1"), HeaderValue::from_static("2"), HeaderValue::from_static("3")];

/// What stands for the method of a message that came over a WebSocket.
const MESSAGE: &[u8] = b"WS";

/// See the module.
pub(super) struct Flight {
    pub(super) app: Arc<App>,
    pub(super) id: RequestId,
    /// Whose key it named, where that is a client's own.
    pub(super) client: Option<Arc<ClientKey>>,
    /// Whom its path means, once that is known.
    pub(super) provider: Option<ProviderId>,
    pub(super) way: Option<Failover>,
    pub(super) upload: Option<Upload>,
    pub(super) lease: Option<Lease>,
    /// Time spent waiting for others: upstreams, renewals, a resting account.
    pub(super) waited: Duration,
    /// What the reply's headers told of the account's quota; kept only if the reply completes (LIM-1).
    pub(super) sample: Option<(AccountId, Glimpse)>,
    /// Items that were left out of the body because only another account could read them.
    pub(super) sanitized: usize,
    /// What the client is told in place of a refusal, where the account that holds its conversation is lost.
    pub(super) lost: Option<LostReply>,
    /// What the refusal meant that passes inside a successful reply: such a reply has served nobody.
    pub(super) in_band: Option<Verdict>,
    /// The command it comes from, where its path says one that runs.
    run: Option<Arc<Run>>,
    /// When it came.
    pub(super) came: Time,
    /// When its session's account was last told that it is in use.
    touched: Time,
    watch: Stopwatch,
    method: Method,
    uri: Uri,
    status: Option<StatusCode>,
    first_byte: Option<Duration>,
    overhead: Option<Duration>,
    /// Bytes of the message, where it is one.
    message: u64,
    bytes_out: u64,
    refusal: Option<&'static str>,
    pub(super) reasons: BTreeMap<Alias, SkipRecord>,
    outcome: Outcome,
}

/// How a reply's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All of it went to the client.
    Complete,
    /// The upstream broke off.
    Cut,
}

/// Tells the owner of the machine that a conversation goes on without some of its reasoning.
pub(super) fn left_out(account: AccountId, items: usize) {
    tracing::info!(account = account.0, items, "reasoning that only another account can read was left out");
}

impl Flight {
    /// A request has come.
    pub(super) fn new<B>(app: Arc<App>, request: &Request<B>) -> Self {
        let came = app.clock.now();
        let run = runs::split(request.uri().path()).and_then(|(id, _)| app.runs.find(id, came));
        Self {
            run,
            id: app.ids.next(),
            came,
            touched: came,
            watch: Stopwatch::start(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            app,
            client: None,
            provider: None,
            way: None,
            upload: None,
            lease: None,
            waited: Duration::ZERO,
            sample: None,
            sanitized: 0,
            lost: None,
            in_band: None,
            status: None,
            first_byte: None,
            overhead: None,
            message: 0,
            bytes_out: 0,
            refusal: None,
            reasons: BTreeMap::new(),
            outcome: Outcome::Abandoned,
        }
    }

    /// A message has come that asks for an answer, over a connection whose handshake was for `uri`.
    pub(super) fn of_message(app: Arc<App>, uri: &Uri, bytes: usize) -> Self {
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(MESSAGE).unwrap_or(Method::GET);
        request.uri_mut().clone_from(uri);
        let mut flight = Self::new(app, &request);
        flight.message = bytes as u64;
        flight
    }

    /// What opens the path of the command it comes from.
    pub(super) fn run_key(&self) -> Option<KeyDigest> {
        self.run.as_ref()?.key()
    }

    /// A path that says a command must say one that runs, which is in use now.
    ///
    /// # Errors
    /// The command has ended, or rota was started anew without it.
    pub(super) fn belongs(&self) -> Result<(), Turned> {
        match (&self.run, runs::split(self.uri.path())) {
            (Some(run), _) => run.touch(self.came),
            (None, Some(_)) => return Err(Turned::RunEnded),
            (None, None) => {}
        }
        Ok(())
    }

    /// The account that was chosen for the command: it serves what is asked of its own provider.
    pub(super) fn only(&self) -> Option<AccountId> {
        let chosen = self.run.as_ref()?.account()?;
        let world = self.app.state.snapshot();
        let elsewhere = world.account(chosen).is_some_and(|it| Some(&it.provider) != self.provider.as_ref());
        (!elsewhere).then_some(chosen)
    }

    /// Says in the reply's headers who served and why, unless that is switched off.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        if !self.app.config.load().decision_headers {
            return;
        }
        let trail = self.trail();
        if let Ok(id) = HeaderValue::from_bytes(&self.id.digits()) {
            headers.insert(X_ROTA_REQUEST_ID, id);
        }
        if self.sanitized > 0 {
            headers.insert(X_ROTA_SANITIZED, HeaderValue::from_static("reasoning"));
        }
        let usual = trail.len().checked_sub(1).and_then(|at| USUAL_ATTEMPTS.get(at));
        headers.insert(X_ROTA_ATTEMPTS, usual.cloned().unwrap_or_else(|| HeaderValue::from(trail.len())));
        if let Some(last) = trail.last() {
            insert(headers, X_ROTA_ACCOUNT, last.alias.as_str());
            let why = HeaderValue::from_static(last.decision.why.as_str());
            headers.insert(X_ROTA_WHY, why);
        }
        self.sign_force(headers);
    }

    /// The account that a force pins, where it is one of the request's provider; `ended` where the force went while the
    /// request was under way (FRC-2).
    fn sign_force(&self, headers: &mut HeaderMap) {
        let world = self.app.state.peek();
        let forced = world.force.as_ref().and_then(|_| world.forced(self.app.clock.now()));
        let forced = forced.and_then(|id| world.account(id));
        let permitted = self.client.as_ref().and_then(|client| client.scope.accounts.as_ref());
        let told = |id: &AccountId| permitted.is_none_or(|permitted| permitted.contains(id));
        let forced = forced.filter(|account| told(&account.id));
        match forced.filter(|account| Some(&account.provider) == self.provider.as_ref()) {
            Some(account) => insert(headers, X_ROTA_FORCE, account.alias.as_str()),
            None if self.trail().iter().any(|attempt| attempt.decision.why == Why::Forced) => {
                headers.insert(X_ROTA_FORCE, HeaderValue::from_static("ended"));
            }
            None => {}
        }
    }

    /// A reply goes on for long: what is kept of the request's head is copied, for it lies in the buffer that the head was
    /// read into.
    pub(super) fn settle(&mut self) {
        if let Ok(uri) = Uri::try_from(self.uri.to_string()) {
            self.uri = uri;
        }
    }

    /// The reply's head is about to go.
    pub(super) fn head_sent(&mut self, status: StatusCode) {
        let elapsed = self.watch.elapsed();
        self.status = Some(status);
        self.first_byte = Some(elapsed);
        self.overhead = Some(elapsed.saturating_sub(self.waited));
    }

    /// Who watches a reply with this status, and how long a client may hear nothing: only of a reply that serves, for
    /// what a refusal says in passing is nobody's.
    pub(super) fn watched(&self, status: StatusCode) -> Option<(Arc<Provider>, Option<Duration>)> {
        if !status.is_success() || self.in_band.is_some() || self.method == Method::HEAD {
            return None;
        }
        let provider = self.app.state.peek().provider(self.provider.as_ref()?)?.clone();
        Some((provider, self.app.config.load().timeouts.keep_alive))
    }

    /// So many bytes of the reply's body went on: also a sign that its session is in use (PRX-5).
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
        if let Some(run) = &self.run {
            run.touch(self.app.clock.now());
        }
        let serves = self.in_band.is_none() && self.status.is_some_and(|status| status.is_success());
        if !serves {
            return;
        }
        let now = self.app.clock.now();
        if self.touched.until(now) < GRAIN {
            return;
        }
        self.touched = now;
        let request = self.way.as_ref().map(Failover::request);
        if let Some(request) = request
            && let Some(session) = &request.session
        {
            self.app.affinity.touch(&request.provider, session, now);
        }
    }

    /// The reply holds something that only its account can read.
    pub(super) fn learnt(&self, mark: Mark) {
        if let Some(last) = self.trail().last() {
            self.app.owners.learn(mark, last.decision.account, self.app.clock.now());
        }
    }

    /// The upstream turns the request down in the middle of its reply, in this event's data. It passes, as all does; the
    /// account pays for it at once, so that the next request goes elsewhere (FLO-9). Told once a reply.
    pub(super) fn refused_late(&mut self, headers: &HeaderMap, event: &[u8]) {
        let (None, Some(way)) = (&self.in_band, &self.way) else {
            return;
        };
        let Some(last) = way.trail().last() else {
            return;
        };
        let (world, now) = (self.app.state.snapshot(), self.app.clock.now());
        let outcome = engine::Outcome::InBand { headers, event };
        let Late { verdict, command } = late(last.decision, way.request(), &outcome, &world, now);
        self.in_band = Some(verdict);
        if let Some(command) = command {
            // Turned down where the account is gone or renewed since: then it is nobody's fault any more.
            let _ = self.app.state.apply(command);
        }
    }

    /// The upstream's reply ended. Only one that completed, and refused nothing in its body, may teach the limits.
    pub(super) fn end(&mut self, ending: Ending) {
        let success = self.in_band.is_none() && self.status.is_some_and(|status| status.is_success());
        self.outcome = match (ending, success) {
            (Ending::Complete, true) => Outcome::Served,
            (Ending::Complete, false) | (Ending::Cut, _) => Outcome::Passed,
        };
        let sample = self.sample.take();
        if let (Outcome::Served, Some((account, sample))) = (self.outcome, sample) {
            self.learn(account, sample);
        }
    }

    /// The upstream's answer ended, if that was not told yet.
    pub(super) fn end_once(&mut self) {
        if self.outcome == Outcome::Abandoned {
            self.end(Ending::Complete);
        }
    }

    /// The upstream has left HTTP, as it was asked to.
    pub(super) fn switched(&mut self) {
        self.head_sent(StatusCode::SWITCHING_PROTOCOLS);
        self.outcome = Outcome::Served;
        if let Some((account, sample)) = self.sample.take() {
            self.learn(account, sample);
        }
    }

    /// rota answered itself.
    pub(super) fn turned(&mut self, code: &'static str) {
        self.outcome = Outcome::Refused;
        self.refusal = Some(code);
    }

    /// Rotation found nobody.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::Refused;
        self.refusal = Some(refusal.code.as_str());
        let reasons = refusal.reasons.iter();
        self.reasons = reasons.map(|(alias, why)| (alias.clone(), SkipRecord::from(why))).collect();
    }

    /// The accounts that its client may use, where they are not all.
    pub(super) fn permitted(&self) -> Option<Arc<[AccountId]>> {
        self.client.as_ref()?.scope.accounts.clone()
    }

    fn learn(&self, account: AccountId, glimpse: Glimpse) {
        let sample = glimpse.completed();
        let world = self.app.state.peek();
        let now = self.app.clock.now();
        let news = (world.account(account)).is_some_and(|it| worth_keeping(&it.limits, &sample, now));
        if news {
            // The account may be gone by now; then there is nothing to learn.
            let _ = self.app.state.apply(Command::LimitsSeen { account, sample });
        }
    }

    /// What was wrong with the reply that is about to pass, if a rule found fault with it.
    pub(super) fn last_fault(&self) -> Option<&Fault> {
        match &self.trail().last()?.verdict {
            Verdict::Fault(fault) => Some(fault),
            Verdict::Pass => None,
        }
    }

    fn trail(&self) -> &[Attempt] {
        self.way.as_ref().map_or(&[], Failover::trail)
    }

    /// The request is over: its parts become its record.
    fn record(&mut self) -> DecisionRecord {
        let world = self.app.state.peek();
        let way = self.way.take().map(Failover::end);
        let (request, trail, sign_in) = match way {
            Some(Travelled { request, trail, sign_in }) => (Some(request), trail, sign_in),
            None => (None, Few::None, None),
        };
        let (model, session) = request.map_or((None, None), |request| (request.model, request.session));
        let provider = self.provider.take();
        let enabled = provider.as_ref().map_or((0, 0), |provider| world.census_of(provider));
        let last = trail.last();
        let elapsed = self.watch.elapsed();
        let overhead = (self.overhead).unwrap_or_else(|| elapsed.saturating_sub(self.waited));
        let forced = world.force.as_ref().and_then(|_| world.forced(self.app.clock.now()));
        DecisionRecord {
            request_id: self.id,
            at: self.came,
            method: std::mem::take(&mut self.method),
            path: self.uri.path().into(),
            client: self.client.as_ref().map(|client| client.name.clone()),
            provider,
            model,
            strategy: world.settings.strategy,
            session: session.map(SessionKey::into_kind),
            selected_alias: last.map(|attempt| attempt.alias.clone()),
            why: last.map(|attempt| attempt.decision.why),
            fallback_reason: trail.split_last().and_then(|(_, before)| reason(before.first()?)),
            force_state: forced.and_then(|id| Some(world.account(id)?.alias.clone())),
            enabled_state: enabled,
            attempts: trail.map(AttemptRecord::from),
            sign_in: sign_in.as_ref().map(SignInRecord::from),
            in_band: self.in_band.as_ref().map(InBandRecord::from),
            outcome: self.outcome,
            status: self.status.map(|status| status.as_u16()),
            refusal: self.refusal,
            reasons: std::mem::take(&mut self.reasons),
            first_byte_ms: self.first_byte.map(millis),
            duration_ms: millis(elapsed),
            overhead_ms: millis(overhead),
            bytes_in: self.upload.as_ref().map_or(self.message, Upload::received),
            bytes_out: self.bytes_out,
        }
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

fn reason(attempt: &Attempt) -> Option<Reason> {
    match &attempt.verdict {
        Verdict::Fault(fault) => Some(Reason::from(fault.class)),
        Verdict::Pass => None,
    }
}

fn millis(span: Duration) -> f64 {
    // Divided, not multiplied with a fraction: no digits of a rounding come behind the nanoseconds.
    span.as_secs() as f64 * 1e3 + f64::from(span.subsec_nanos()) / 1e6
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.lease = None;
        let record = self.record();
        self.app.telemetry.record(record);
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flight({})", self.id)
    }
}
