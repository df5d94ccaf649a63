//! The way from a client's handshake to an account's: the loop of every request, with an upgrade for its attempt. The
//! client's own answer waits for it, so a handshake fails over unseen.
use super::super::bonds;
use super::super::error::Turned;
use super::super::flight::Flight;
use super::super::handler::admission;
use super::super::intake;
use super::super::keys::Entry;
use super::super::reply::{self, ReplyStream};
use super::super::route::Routed;
use super::super::sign_in;
use super::frame;
use super::handshake::{Ask, Offer};
use super::pump::{Takeover, Tunnel};
use super::turn::Bound;
use crate::app::App;
use crate::clock::Stopwatch;
use crate::engine::{
    After, Bond, Decision, Failover, Held, Outcome, Phase, Refusal, RoutingRequest, Step, observe,
};
use crate::model::{Affinity, Credential, SessionKey};
use crate::upstream::{OutboundBody, OutboundRequest, Reply, Sent, Upgrade};
use bytes::Bytes;
use http::header::HeaderMap;
use http::request::Parts;
use http::{Method, Response, StatusCode, response};
use http_body_util::Empty;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::sync::Arc;

/// Bytes of a refusal's body that the rules may look at.
const PEEK: usize = 64 * 1024;

/// How it goes on.
enum Answer {
    Open(Box<Bound>, response::Parts, TokioIo<Upgraded>),
    Passed(Reply),
    Refused(Refusal),
}

/// What is asked of whichever account is taken.
struct Wanted {
    routed: Routed,
    headers: HeaderMap,
    session: Option<SessionKey>,
    entry: Entry,
}

/// Answers a handshake that passed the gate. What the connection goes on as is put into `takeover`.
pub(in super::super) async fn open(
    mut flight: Flight,
    routed: Routed,
    head: Parts,
    offer: Offer,
    takeover: &Takeover,
) -> Response<ReplyStream> {
    let app = flight.app.clone();
    let dialect = routed.provider.dialect;
    flight.provider = Some(routed.provider.id.clone());
    let mut headers = head.headers;
    let session = intake::session_key(&headers, &routed.provider);
    let entry = Entry::of(&app, flight.client.as_ref(), &headers);
    intake::strip(&mut headers, &routed.provider);
    let wanted = Wanted { routed, headers, session, entry };
    match negotiate(&mut flight, wanted, head.uri).await {
        Ok(Answer::Open(bound, head, upstream)) => {
            let mut response = reply::bare(StatusCode::SWITCHING_PROTOCOLS);
            let headers = response.headers_mut();
            *headers = head.headers;
            reply::strip(headers);
            offer.grant(headers);
            flight.sign(headers);
            flight.switched();
            takeover.put(Tunnel::Open(bound, upstream));
            response
        }
        Ok(Answer::Refused(refusal)) => {
            let text = frame::refused(&refusal, dialect, app.clock.now());
            flight.refused(&refusal);
            told(flight, offer, takeover, text)
        }
        Ok(Answer::Passed(mut reply)) if reply.head.status == StatusCode::TOO_MANY_REQUESTS => {
            let body = reply.peek(PEEK).await;
            let body = serde_json::from_slice(&body)
                .unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
            let text = frame::worded(reply.head.status, &body);
            told(flight, offer, takeover, text)
        }
        Ok(Answer::Passed(reply)) => reply::pass(reply, flight),
        Err(why) => reply::turned(&why, flight),
    }
}

/// A 429 to a handshake ends a client's turn for good; as a message it is read as what it is. So the handshake succeeds.
fn told(mut flight: Flight, offer: Offer, takeover: &Takeover, text: String) -> Response<ReplyStream> {
    let mut response = reply::bare(StatusCode::SWITCHING_PROTOCOLS);
    offer.grant(response.headers_mut());
    flight.sign(response.headers_mut());
    flight.head_sent(StatusCode::SWITCHING_PROTOCOLS);
    takeover.put(Tunnel::Told(flight.app.clone(), text));
    response
}

/// Ask, do, report, until a ruling passes or a step refuses.
async fn negotiate(flight: &mut Flight, wanted: Wanted, uri: http::Uri) -> Result<Answer, Turned> {
    let app = flight.app.clone();
    let now = app.clock.now();
    let only = flight.only();
    let request = RoutingRequest { only, ..wanted.routing(&app) };
    let (waited, lease) = (&mut flight.waited, &mut flight.lease);
    let way = flight.way.insert(Failover::open(request, &app.state.snapshot(), now));
    loop {
        let world = app.state.snapshot();
        let watch = Stopwatch::start();
        let decision = match way.next(&world, &mut app.state.live(), app.clock.now()) {
            Step::Send(decision) => decision,
            Step::Refuse(refusal) => return Ok(Answer::Refused(refusal)),
            Step::Refresh { account, version } => {
                app.refresher.refresh(account, version).await;
                *waited += watch.elapsed();
                continue;
            }
            Step::SignIn { account, until } => {
                sign_in::ask(&app, account, until).await;
                *waited += watch.elapsed();
                continue;
            }
            Step::Wait(until) => {
                app.clock.sleep_until(until).await;
                *waited += watch.elapsed();
                continue;
            }
        };
        let Some((place, credential)) = admission(&app, &world, decision, app.clock.now()) else {
            way.on_busy(decision);
            continue;
        };
        *lease = Some(place);
        let mut tried = wanted.send(&app, &credential, decision).await?;
        let peek = tried.look(&wanted).await;
        *waited += watch.elapsed();
        let (world, now) = (app.state.snapshot(), app.clock.now());
        let ruling = way.on_outcome(decision, &tried.outcome(&peek), Held::Whole, &world, now);
        if let Some(command) = ruling.command {
            // Turned down where the account is gone or renewed since: then it is nobody's fault any more.
            let _ = app.state.apply(command);
        }
        match ruling.after {
            After::Again => {
                *lease = None;
                if let Some(session) = &wanted.session {
                    app.affinity.leave(&wanted.routed.provider.id, session, decision.account);
                }
            }
            After::Pass => {
                if let Upgrade::Done(head, _) = &tried.0 {
                    let conversation = &wanted.routed.provider.conversation;
                    bonds::learn_turn(&head.headers, conversation, decision.account, &app);
                    let sample = observe(&wanted.routed.provider, &head.headers, None, now);
                    flight.sample = sample.map(|sample| (decision.account, sample));
                }
                return wanted.answer(tried, decision, app, uri);
            }
        }
    }
}

impl Wanted {
    fn routing(&self, app: &App) -> RoutingRequest {
        let session = match app.state.snapshot().settings.affinity {
            Affinity::None => None,
            Affinity::Session => self.session.clone(),
        };
        let provider = self.routed.provider.id.clone();
        let pinned = (session.as_ref()).and_then(|it| app.affinity.find(&provider, it, app.clock.now()));
        let replay_safe = self.routed.replay_safe;
        let permitted = self.entry.client().and_then(|client| client.scope.accounts.clone());
        let (model, owner, only, bond) = (None, None, None, Bond::Fast);
        RoutingRequest { provider, model, session, pinned, owner, bond, only, permitted, replay_safe }
    }

    async fn send(&self, app: &App, credential: &Credential, decision: Decision) -> Result<Tried, Turned> {
        let provider = &self.routed.provider;
        let mut headers = self.headers.clone();
        bonds::keep_turn(&mut headers, &provider.conversation, decision.account, app, app.clock.now());
        let ask = Ask::put(&mut headers, &provider.strip)?;
        let request = OutboundRequest {
            method: Method::GET,
            path_and_query: self.routed.path_and_query.clone(),
            headers,
            body: OutboundBody::new(Empty::<Bytes>::new()),
        };
        Ok(Tried(match app.upstream.upgrade(provider, credential, request).await {
            Upgrade::Done(head, connection) => match ask.fault(&head.headers) {
                Some(fault) => Upgrade::Not(Sent::Lost(Phase::Head, fault.to_owned())),
                None => Upgrade::Done(head, connection),
            },
            Upgrade::Not(sent) => Upgrade::Not(sent),
        }))
    }

    fn answer(
        self,
        tried: Tried,
        decision: Decision,
        app: Arc<App>,
        uri: http::Uri,
    ) -> Result<Answer, Turned> {
        let (head, connection) = match tried.0 {
            Upgrade::Done(head, connection) => (head, connection),
            Upgrade::Not(sent) => return super::super::handler::passed(sent).map(Answer::Passed),
        };
        let bound = Bound {
            app,
            provider: self.routed.provider,
            session: self.session,
            entry: self.entry,
            account: decision.account,
            uri,
            replay_safe: self.routed.replay_safe,
            turn: None,
        };
        Ok(Answer::Open(Box::new(bound), head, connection))
    }
}

/// An attempt that came back.
struct Tried(Upgrade);

impl Tried {
    /// The beginning of an error's body, if a rule asks for that status.
    async fn look(&mut self, wanted: &Wanted) -> Bytes {
        match &mut self.0 {
            Upgrade::Not(Sent::Replied(reply))
                if wanted.routed.provider.judges(reply.head.status.as_u16()) =>
            {
                reply.peek(PEEK).await
            }
            Upgrade::Done(..) | Upgrade::Not(_) => Bytes::new(),
        }
    }

    fn outcome<'a>(&'a self, peek: &'a [u8]) -> Outcome<'a> {
        match &self.0 {
            Upgrade::Done(head, _) => Outcome::Replied { status: head.status, headers: &head.headers, peek },
            Upgrade::Not(Sent::Replied(reply)) => {
                Outcome::Replied { status: reply.head.status, headers: &reply.head.headers, peek }
            }
            Upgrade::Not(Sent::Lost(phase, _)) => Outcome::Lost(*phase),
            Upgrade::Not(Sent::NotSent(phase, _)) => Outcome::NotSent(*phase),
            Upgrade::Not(Sent::Unprocessed(_)) => Outcome::Unprocessed,
            // There is no body to break.
            Upgrade::Not(Sent::BodyBroke) => Outcome::Lost(Phase::Request),
        }
    }
}
