//! One turn over a WebSocket: a message that asks for an answer, and the messages that answer it. The connection's account
//! serves it or nobody does; where that account may not, or fails before the first word, the client is made to connect
//! again, and rotation chooses anew.
use super::super::bonds::Bonds;
use super::super::flight::{self, Ending, Flight};
use super::super::keys::Entry;
use super::super::markers::{self, Markers};
use super::super::meaning::Meaning;
use super::super::sanitize::{sanitize, without_texts};
use super::super::sign_in;
use super::frame::{self, Frame};
use crate::app::App;
use crate::engine::{
    After, Bond, Command, Decision, Failover, Held, Outcome, Phase, Refusal, RoutingRequest, Ruling,
    Selection, Step, observe, select, why_left,
};
use crate::model::{AccountId, Affinity, ModelName, OnOwnerLost, Provider, SessionKey};
use crate::telemetry::SkipRecord;
use http::{HeaderMap, StatusCode, Uri};
use std::sync::Arc;

/// The record's word for a client that was told to connect again.
const RECONNECT: &str = "RECONNECT";

/// What a connection is bound to, and the turn that is under way on it.
pub(in super::super) struct Bound {
    pub(super) app: Arc<App>,
    pub(super) provider: Arc<Provider>,
    pub(super) session: Option<SessionKey>,
    /// By what the handshake was let in.
    pub(super) entry: Entry,
    pub(super) account: AccountId,
    pub(super) uri: Uri,
    pub(super) replay_safe: bool,
    pub(super) turn: Option<Turn>,
}

pub(in super::super) struct Turn {
    flight: Flight,
    decision: Decision,
    /// Messages that ask and are not answered yet.
    asked: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client has nothing of the answer.
    Before,
    Answering,
}

/// What becomes of a message that asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It goes upstream.
    Pass,
    /// This one goes upstream in its place: what only another account can read is left out.
    PassAs(String),
    /// The client must connect again.
    Reconnect,
    /// It is answered with this message.
    Answer(String),
}

/// What becomes of a message that answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It goes to the client.
    Pass,
    /// The client does not see it, and must connect again.
    Drop,
    /// The client sees this one instead.
    Answer(String),
}

enum Chosen {
    Here(Decision),
    Elsewhere,
    Nobody(Refusal),
}

impl Bound {
    /// True between two turns.
    pub(super) fn is_idle(&self) -> bool {
        self.turn.is_none()
    }

    /// A message that asks has come. It joins a turn that is under way.
    pub(super) async fn begin(&mut self, frame: &Frame<'_>, text: &str) -> Begin {
        self.app.sockets.turn();
        if !self.entry.holds(&self.app) {
            // The next handshake is told why.
            return Begin::Reconnect;
        }
        if let Some(turn) = &mut self.turn {
            turn.asked += 1;
            return self.readable(text).map_or(Begin::Pass, Begin::PassAs);
        }
        let mut flight = Flight::of_message(self.app.clone(), &self.uri, text.len());
        flight.client = self.entry.client();
        flight.provider = Some(self.provider.id.clone());
        let request = RoutingRequest { only: flight.only(), ..self.request(frame.model()) };
        if flight.belongs().is_err() || self.leads_to_reader(&request, text) {
            flight.turned(RECONNECT);
            return Begin::Reconnect;
        }
        match self.choose(&mut flight, request.clone()).await {
            Chosen::Here(decision) => {
                self.turn = Some(Turn { flight, decision, asked: 1, stage: Stage::Before });
                self.readable(text).map_or(Begin::Pass, Begin::PassAs)
            }
            Chosen::Elsewhere => {
                let (world, now) = (self.app.state.snapshot(), self.app.clock.now());
                let left = why_left(&world, &request, &self.app.state.dry(), now);
                flight.reasons.extend(left.map(|(alias, why)| (alias, SkipRecord::from(&why))));
                self.leave();
                flight.turned(RECONNECT);
                Begin::Reconnect
            }
            Chosen::Nobody(refusal) => Begin::Answer(self.refuse(flight, &refusal)),
        }
    }

    /// Asks rotation as a request of this conversation would. A look ahead draws no turn: where it finds another account,
    /// the client's next handshake does.
    async fn choose(&self, flight: &mut Flight, request: RoutingRequest) -> Chosen {
        let app = &self.app;
        let way = flight.way.insert(Failover::open(request, &app.state.snapshot(), app.clock.now()));
        loop {
            let world = app.state.snapshot();
            match way.next(&world, &mut app.state.dry(), app.clock.now()) {
                Step::Send(decision) if decision.account == self.account => {
                    let (leases, now) = (app.state.leases(), app.clock.now());
                    flight.lease = leases.take(decision.account, &self.provider.id, decision.admission, now);
                    if flight.lease.is_some() {
                        return Chosen::Here(decision);
                    }
                    way.on_busy(decision);
                }
                Step::Refresh { account, version } if account == self.account => {
                    app.refresher.refresh(account, version).await;
                }
                Step::Refresh { .. } | Step::Send(_) => return Chosen::Elsewhere,
                Step::Refuse(refusal) => return self.unbound(way.request(), refusal),
                Step::SignIn { account, until } => sign_in::ask(app, account, until).await,
                Step::Wait(until) => app.clock.sleep_until(until).await,
            }
        }
    }

    /// Whether another account can read what the message holds, and would serve its session now: a fork's or a resumed
    /// one's. The next handshake goes there.
    fn leads_to_reader(&self, request: &RoutingRequest, text: &str) -> bool {
        let (app, now) = (&self.app, self.app.clock.now());
        let Some(session) = &request.session else {
            return false;
        };
        let bonds = Bonds::of_message(text, &self.provider.conversation);
        let Some(reader) = bonds.reader(&app.owners, now).filter(|reader| *reader != self.account) else {
            return false;
        };
        let there = RoutingRequest { pinned: Some(reader), ..request.clone() };
        let serves = match select(&app.state.snapshot(), &there, &[], &mut app.state.dry(), now) {
            Selection::Take(decision) => decision.account == reader,
            Selection::Nobody { .. } | Selection::Wait { .. } => false,
        };
        if serves {
            app.affinity.keep(&request.provider, session, reader, now);
        }
        serves
    }

    /// The message without what only another account can read: its reasoning, where the provider's preset allows that, and
    /// the routing token of its turn, always. None where it may stay as it is.
    fn readable(&self, text: &str) -> Option<String> {
        let (conversation, now) = (&self.provider.conversation, self.app.clock.now());
        let owner = |value: &str| self.app.owners.owner(markers::mark(value.as_bytes()), now);
        let keeps = |ciphertext: &str| owner(ciphertext).is_none_or(|owner| owner == self.account);
        let sanitizes = conversation.on_owner_lost == OnOwnerLost::Sanitize;
        let reasoned = sanitizes.then(|| sanitize(text.as_bytes(), keeps)).flatten();
        if let Some(sanitized) = &reasoned {
            flight::left_out(self.account, sanitized.dropped);
        }
        let is_turn = |name: &str| conversation.turn_headers.iter().any(|turn| turn.as_str() == name);
        let foreign = |name: &str, value: &str| is_turn(name) && owner(value) != Some(self.account);
        let body = reasoned.map(|sanitized| sanitized.body);
        let routed = conversation
            .turn_headers
            .iter()
            .any(|turn| text.contains(turn.as_str()))
            .then(|| without_texts(body.as_deref().unwrap_or(text.as_bytes()), foreign));
        String::from_utf8(routed.flatten().or(body)?).ok()
    }

    /// What only this account can read, as it gives it out.
    fn remember(&self, text: &str) {
        let now = self.app.clock.now();
        Markers::of(self.provider.conversation.markers.clone()).read(text.as_bytes(), |found| {
            self.app.owners.learn(found.mark, self.account, now);
        });
    }

    /// A message of the upstream's.
    pub(super) async fn hear(&mut self, text: &str) -> Heard {
        self.remember(text);
        let Some(turn) = &mut self.turn else {
            return Heard::Pass;
        };
        let provider = self.provider.clone();
        let rules = &provider.conversation.events;
        let frame = Frame::read(text);
        if let Some(event) = rules.limits.as_ref().filter(|_| frame.tells_limits(rules)) {
            let model = turn.flight.way.as_ref().and_then(|way| way.request().model.clone());
            let headers = frame::limits(text, event);
            let sample = observe(&provider, &headers, model.as_ref(), self.app.clock.now());
            turn.flight.sample = sample.map(|sample| (self.account, sample));
        }
        match (turn.stage, frame.meaning(rules)) {
            (Stage::Before, Meaning::Content | Meaning::Last) => self.answering(),
            (Stage::Before, Meaning::Refusal) => return self.refused(text).await,
            (Stage::Answering, Meaning::Refusal) => self.failed(text),
            (Stage::Before, Meaning::Handshake | Meaning::Silent) | (Stage::Answering, _) => {}
        }
        if let Some(turn) = &mut self.turn {
            turn.flight.sent(text.len());
            if frame.ends(rules) {
                self.end();
            }
        }
        Heard::Pass
    }

    /// The first word has come: the account serves.
    fn answering(&mut self) {
        let served = Outcome::Replied { status: StatusCode::OK, headers: &HeaderMap::new(), peek: &[] };
        self.report(&served, Held::Whole);
        if let Some(turn) = &mut self.turn {
            turn.stage = Stage::Answering;
            turn.flight.head_sent(StatusCode::OK);
        }
        self.keep();
    }

    /// A refusal before the first word: another account may be able to.
    async fn refused(&mut self, text: &str) -> Heard {
        let (headers, status) = frame::told(text);
        let outcome = Outcome::InBand { headers: &headers, event: text.as_bytes() };
        let after = self.report(&outcome, Held::Whole);
        let Some(mut turn) = self.turn.take() else {
            return Heard::Pass;
        };
        // What is told of limits counts only with an answer.
        turn.flight.sample = None;
        if after == After::Pass {
            turn.flight.sent(text.len());
            turn.flight.head_sent(status.unwrap_or(StatusCode::BAD_GATEWAY));
            turn.flight.end(Ending::Complete);
            return Heard::Pass;
        }
        turn.flight.lease = None;
        match self.next(&mut turn).await {
            Chosen::Here(_) => {}
            Chosen::Elsewhere => self.leave(),
            Chosen::Nobody(refusal) => return Heard::Answer(self.refuse(turn.flight, &refusal)),
        }
        turn.flight.turned(RECONNECT);
        Heard::Drop
    }

    /// Who would serve the same again, once the client has connected anew.
    async fn next(&self, turn: &mut Turn) -> Chosen {
        let app = &self.app;
        let Some(way) = &mut turn.flight.way else {
            return Chosen::Elsewhere;
        };
        loop {
            let world = app.state.snapshot();
            match way.next(&world, &mut app.state.dry(), app.clock.now()) {
                Step::Send(decision) if decision.account == self.account => return Chosen::Here(decision),
                Step::Refresh { account, version } if account == self.account => {
                    app.refresher.refresh(account, version).await;
                }
                Step::Refresh { .. } | Step::Send(_) | Step::SignIn { .. } | Step::Wait(_) => {
                    return Chosen::Elsewhere;
                }
                Step::Refuse(refusal) => return self.unbound(way.request(), refusal),
            }
        }
    }

    /// The connection's account is where the conversation is; where conversations have none, it is still the only one
    /// that this connection leads to.
    fn request(&self, model: Option<ModelName>) -> RoutingRequest {
        let (pinned, owner) = match self.app.state.snapshot().settings.affinity {
            Affinity::None => (None, Some(self.account)),
            Affinity::Session => (Some(self.account), None),
        };
        let session = self.session.clone().filter(|_| pinned.is_some());
        let (provider, replay_safe) = (self.provider.id.clone(), self.replay_safe);
        let permitted = self.entry.client().and_then(|client| client.scope.accounts.clone());
        let (bond, only) = (Bond::Fast, None);
        RoutingRequest { provider, model, session, pinned, owner, bond, only, permitted, replay_safe }
    }

    /// Nobody serves what `request` asks for. If that is so for this connection only, the next leads elsewhere.
    fn unbound(&self, request: &RoutingRequest, refusal: Refusal) -> Chosen {
        if request.owner.is_none() {
            return Chosen::Nobody(refusal);
        }
        let request = RoutingRequest { owner: None, ..request.clone() };
        let (world, now) = (self.app.state.snapshot(), self.app.clock.now());
        match Failover::open(request, &world, now).next(&world, &mut self.app.state.dry(), now) {
            Step::Refuse(refusal) => Chosen::Nobody(refusal),
            Step::Refresh { .. } | Step::Send(_) | Step::SignIn { .. } | Step::Wait(_) => Chosen::Elsewhere,
        }
    }

    /// A refusal after the first word is the client's; the account learns of it for what comes next.
    fn failed(&mut self, text: &str) {
        let (headers, _) = frame::told(text);
        self.report(&Outcome::InBand { headers: &headers, event: text.as_bytes() }, Held::Gone);
        if let Some(turn) = &mut self.turn {
            turn.flight.end(Ending::Cut);
        }
    }

    /// The upstream is gone in the middle of a turn.
    pub(super) fn lost(&mut self) {
        if self.turn.as_ref().is_some_and(|turn| turn.stage == Stage::Before) {
            self.report(&Outcome::Lost(Phase::Head), Held::Whole);
        }
        if let Some(mut turn) = self.turn.take() {
            turn.flight.end(Ending::Cut);
        }
    }

    /// Tells the engine, and the state what the engine makes of it.
    fn report(&mut self, outcome: &Outcome<'_>, held: Held) -> After {
        let (world, now) = (self.app.state.snapshot(), self.app.clock.now());
        let Some(Turn { flight, decision, .. }) = &mut self.turn else {
            return After::Pass;
        };
        let Some(way) = &mut flight.way else {
            return After::Pass;
        };
        let Ruling { command, after } = way.on_outcome(*decision, outcome, held, &world, now);
        if let Some(command) = command {
            self.learn(command);
        }
        after
    }

    /// Turned down where the account is gone or renewed since: then it is nobody's fault any more.
    fn learn(&self, command: Command) {
        let _ = self.app.state.apply(command);
    }

    fn end(&mut self) {
        let Some(turn) = &mut self.turn else {
            return;
        };
        turn.asked -= 1;
        if turn.asked > 0 {
            return;
        }
        if let Some(mut turn) = self.turn.take() {
            turn.flight.end_once();
        }
        self.keep();
    }

    fn refuse(&self, mut flight: Flight, refusal: &Refusal) -> String {
        let now = self.app.clock.now();
        flight.refused(refusal);
        frame::refused(refusal, self.provider.dialect, now)
    }

    fn keep(&self) {
        if let Some(session) = &self.session {
            self.app.affinity.keep(&self.provider.id, session, self.account, self.app.clock.now());
        }
    }

    fn leave(&self) {
        if let Some(session) = &self.session {
            self.app.affinity.leave(&self.provider.id, session, self.account);
        }
    }
}
