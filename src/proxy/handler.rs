//! The life of a request. Everything it decides, it asks `engine::Failover`; everything it does, it does here.
use super::bonds;
use super::error::Turned;
use super::flight::Flight;
use super::gate::{Admitted, Extra, Gate, Target};
use super::hold::{Begun, hold, streams};
use super::intake::{Intake, Outbound};
use super::keys::{Asked, Keys};
use super::refusal;
use super::reply::{self, ReplyStream};
use super::route::{self, Routed};
use super::sign_in;
use super::talk::ClientBody;
use super::upload::UploadBounds;
use super::websocket::{self, Offer, Takeover};
use crate::app::App;
use crate::clock::Stopwatch;
use crate::engine::{
    After, Command, Decision, Failover, Glimpse, Outcome, Phase, Refusal, RoutingRequest, Step, Verdict, Why,
    news, why_left,
};
use crate::lease::Lease;
use crate::model::{AccountId, Alias, Credential, SessionKey, Snapshot, Time};
use crate::runs;
use crate::telemetry::SkipRecord;
use crate::upstream::{Reply, Sent, Upstream};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an error's body that the rules may look at.
const PEEK: usize = 64 * 1024;

/// Who answers it, if anybody.
#[expect(clippy::large_enum_variant, reason = "nearly all are replies; a box would be an allocation each")]
enum Answer {
    Passed(Reply),
    Refused(Refusal),
}

/// What a connection has for each of its requests.
pub(super) struct Heard {
    pub(super) app: Arc<App>,
    pub(super) gate: Arc<Gate>,
    pub(super) framing: Framing,
    pub(super) takeover: Arc<Takeover>,
}

/// Serves one request. What can be done at once is done before the future is made, so that it need not hold it; and a
/// future is pinned where it is made: to await one as it comes moves it twice.
pub(super) fn handle(
    heard: Heard,
    upstream: &Upstream,
    request: Request<ClientBody>,
) -> Pin<Box<impl Future<Output = Response<ReplyStream>>>> {
    let Heard { app, gate, framing, takeover } = heard;
    let mut flight = Flight::new(app, &request);
    let (head, body) = request.into_parts();
    let admitted = admit(&mut flight, &gate, framing, &head);
    // In a box that goes with the head: a connection keeps room for what it waits for as long as it lasts. The box comes
    // first, so that what is mostly empty is not moved into it.
    let room = Box::new_uninit();
    let serving = async move {
        let answer = match admitted {
            Ok((routed, None)) => pin!(serve(&mut flight, upstream, routed, head, body)).await,
            Ok((routed, Some(offer))) => {
                // Larger than all the rest of a request.
                return Box::pin(websocket::open(flight, routed, head, offer, &takeover)).await;
            }
            Err(why) => Err(why),
        };
        match answer {
            Ok(Answer::Passed(reply)) => reply::pass(reply, flight),
            Ok(Answer::Refused(refusal)) => refusal::answer(&refusal, flight),
            Err(why) => reply::turned(&why, flight),
        }
    };
    Box::into_pin(Box::write(room, serving))
}

/// How the request's length was told. Of a body whose length is not clear nothing is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Clear,
    /// By a coding that is not understood.
    Coding,
    /// Twice.
    TwoLengths,
}

/// The gate and the route: pure checks, before anything is read of the body.
fn admit(
    flight: &mut Flight,
    gate: &Gate,
    framing: Framing,
    head: &Parts,
) -> Result<(Routed, Option<Offer>), Turned> {
    match framing {
        Framing::Clear => {}
        Framing::Coding => return Err(Turned::TransferCoding),
        Framing::TwoLengths => return Err(Turned::AmbiguousLength),
    }
    let app = flight.app.clone();
    let (config, world) = (app.config.load(), app.state.peek());
    let asked = if config.require_client_key { Asked::Always } else { Asked::OnceThereIsOne };
    let keys = Keys { plain: &config.client_keys, named: &world.keys, run: flight.run_key(), asked };
    let extra = Extra { hosts: &config.allowed_hosts, origins: &config.allowed_origins, keys };
    let admitted = gate.admit(head, &extra);
    if admitted == Err(Turned::ClientKey) {
        // So that the client reads it in its own dialect.
        let routed = route::route(&world, &Target::Path, &head.uri, &head.headers);
        flight.provider = routed.ok().map(|routed| routed.provider.id.clone());
    }
    let Admitted { target, client } = admitted?;
    flight.belongs()?;
    flight.client = client.cloned();
    let routed = route::route(&world, &target, &head.uri, &head.headers);
    if let (Some(client), Ok(routed)) = (client, &routed) {
        let provider = &routed.provider.id;
        let path = runs::split(head.uri.path()).map_or(head.uri.path(), |(_, path)| path);
        if let Err(beyond) = client.scope.permits(provider, &head.method, path) {
            flight.provider = Some(provider.clone());
            return Err(Turned::ClientKeyScope { client: client.name.clone(), beyond });
        }
    }
    if !websocket::offered(&head.headers) {
        return Ok((routed?, None));
    }
    // Clients that are told so go on over HTTP, and learn there what else is wrong.
    let routed = routed.ok().filter(|routed| routed.websocket).ok_or(Turned::Upgrade)?;
    Ok((routed, Some(Offer::read(head)?)))
}

/// Ask, do, report, until a ruling passes or a step refuses.
fn serve<'a>(
    flight: &'a mut Flight,
    upstream: &'a Upstream,
    routed: Routed,
    head: Parts,
    body: ClientBody,
) -> impl Future<Output = Result<Answer, Turned>> + 'a {
    let app = flight.app.clone();
    let (mut intake, session) = taken(flight, routed, head, body);
    async move {
        let (request, mut now) = pin!(asked(flight, &mut intake, session)).await?;
        let (waited, lease, sanitized) = (&mut flight.waited, &mut flight.lease, &mut flight.sanitized);
        let reasons = &mut flight.reasons;
        let way = flight.way.insert(Failover::open(request, &app.state.peek(), now));
        loop {
            let world = app.state.snapshot();
            let step = way.next(&world, &mut app.state.live(), now);
            if let Some(span) = pin!(awaited(&app, &step)).await {
                *waited += span;
                now = app.clock.now();
                continue;
            }
            let decision = match step {
                Step::Send(decision) => decision,
                Step::Refuse(refusal) => {
                    flight.lost = intake.lost();
                    return Ok(Answer::Refused(refusal));
                }
                Step::Refresh { .. } | Step::SignIn { .. } | Step::Wait(_) => continue,
            };
            let Some((place, credential)) = admission(&app, &world, decision, now) else {
                way.on_busy(decision);
                continue;
            };
            *lease = Some(place);
            if way.trail().is_empty() {
                reasons.extend(left(&app, &world, way.request(), decision, now));
            }
            drop(world);
            let watch = Stopwatch::start();
            let Outbound { request, left_out } = intake.outbound(decision.account, way, &app, now);
            *sanitized = left_out;
            let mut sent = pin!(upstream.send(&intake.provider, &credential, request)).await;
            let looked = pin!(look(&intake, &mut sent)).await;
            *waited += watch.elapsed();
            let outcome = outcome(&sent, &looked, &intake)?;
            now = app.clock.now();
            let world = app.state.peek();
            let ruling = way.on_outcome(decision, &outcome, intake.held(), &world, now);
            tell(&app, ruling.command);
            match ruling.after {
                After::Again => {
                    *lease = None;
                    moved_on(&app, way.request(), decision);
                }
                After::Pass => {
                    let reply = passed(sent)?;
                    match looked {
                        Looked::Answer(_) => {
                            flight.sample = served(&app, way, decision, &reply, &intake, now);
                        }
                        Looked::Refusal(_) => flight.in_band = last_verdict(way),
                    }
                    intake.upload.let_go();
                    return Ok(Answer::Passed(reply));
                }
            }
        }
    }
}

/// The request as it can be sent, and the session that its headers name.
fn taken(flight: &mut Flight, routed: Routed, head: Parts, body: ClientBody) -> (Intake, Option<SessionKey>) {
    flight.provider = Some(routed.provider.id.clone());
    let (intake, session) = Intake::take(head, body, routed, bounds(&flight.app));
    flight.upload = Some(intake.upload.clone());
    (intake, session)
}

/// What is asked of the engine, and when, once the body has told which model and whose state it is about.
async fn asked(
    flight: &mut Flight,
    intake: &mut Intake,
    session: Option<SessionKey>,
) -> Result<(RoutingRequest, Time), Turned> {
    let app = flight.app.clone();
    let watch = Stopwatch::start();
    let model = pin!(intake.model()).await?;
    pin!(intake.bonds(session.as_ref())).await?;
    flight.waited += watch.elapsed();
    let now = app.clock.now();
    let request = intake.routing(model, session, &app, now);
    Ok((RoutingRequest { permitted: flight.permitted(), only: flight.only(), ..request }, now))
}

/// What the state should learn. It is turned down where the account is gone or renewed since: then it is nobody's fault
/// any more.
fn tell(app: &App, command: Option<Command>) {
    if let Some(command) = command {
        let _ = app.state.apply(command);
    }
}

/// Does what a step asks for before anything can be sent, and tells how long it took. None for a step that asks for
/// nothing but to be taken.
async fn awaited(app: &App, step: &Step) -> Option<Duration> {
    if matches!(step, Step::Refuse(_) | Step::Send(_)) {
        return None;
    }
    let watch = Stopwatch::start();
    match step {
        Step::Refresh { account, version } => app.refresher.refresh(*account, *version).await,
        Step::SignIn { account, until } => Box::pin(sign_in::ask(app, *account, *until)).await,
        Step::Wait(until) => app.clock.sleep_until(*until).await,
        Step::Refuse(_) | Step::Send(_) => {}
    }
    Some(watch.elapsed())
}

fn bounds(app: &App) -> UploadBounds {
    let config = app.config.load();
    UploadBounds {
        held: config.limits.replay_bytes,
        idle: config.timeouts.body_idle,
        budget: app.replay.clone(),
    }
}

/// The account that the conversation was with, and why it is not sent there.
fn left(
    app: &App,
    world: &Snapshot,
    request: &RoutingRequest,
    decision: Decision,
    now: Time,
) -> Option<(Alias, SkipRecord)> {
    if matches!(decision.why, Why::Owner | Why::Session) {
        return None;
    }
    let (alias, why) = why_left(world, request, &app.state.dry(), now)?;
    (world.account(decision.account)?.alias != alias).then(|| (alias, SkipRecord::from(&why)))
}

/// A place on the account, and the credential the decision means.
pub(super) fn admission(
    app: &App,
    world: &Snapshot,
    decision: Decision,
    now: Time,
) -> Option<(Lease, Arc<Credential>)> {
    let account = world.account(decision.account)?;
    let credential = account.credential.usable()?.clone();
    let leases = app.state.leases();
    let place = leases.take(decision.account, &account.provider, decision.admission, now)?;
    Some((place, credential))
}

/// What the beginning of a reply's body says.
enum Looked {
    /// Whatever it is: of an error, the beginning, where a rule asks for that status.
    Answer(Bytes),
    /// A success whose stream begins with this event, which refuses.
    Refusal(Bytes),
}

/// Looks into an error that a rule asks for, and into the stream of a provider whose events mean something.
async fn look(intake: &Intake, sent: &mut Sent) -> Looked {
    let events = &intake.provider.conversation.events;
    match sent {
        Sent::Replied(reply) if streams(reply) && !events.is_empty() => match hold(reply, events).await {
            Begun::Answer => Looked::Answer(Bytes::new()),
            Begun::Refusal(event) => Looked::Refusal(event),
        },
        Sent::Replied(reply)
            if !reply.head.status.is_success() && intake.provider.judges(reply.head.status.as_u16()) =>
        {
            Looked::Answer(reply.peek(PEEK).await)
        }
        Sent::BodyBroke | Sent::Lost(..) | Sent::NotSent(..) | Sent::Replied(_) | Sent::Unprocessed(_) => {
            Looked::Answer(Bytes::new())
        }
    }
}

/// What the engine is told. A body that broke in the client's hands is told to nobody but the client.
fn outcome<'a>(sent: &'a Sent, looked: &'a Looked, intake: &Intake) -> Result<Outcome<'a>, Turned> {
    match sent {
        Sent::BodyBroke => Err(intake.upload.fault().unwrap_or(Turned::BodyMalformed)),
        Sent::Lost(phase, _) => Ok(Outcome::Lost(*phase)),
        Sent::NotSent(phase, _) => Ok(Outcome::NotSent(*phase)),
        Sent::Replied(reply) => {
            let headers = &reply.head.headers;
            Ok(match looked {
                Looked::Answer(peek) => Outcome::Replied { status: reply.head.status, headers, peek },
                Looked::Refusal(event) => Outcome::InBand { headers, event },
            })
        }
        Sent::Unprocessed(_) => Ok(Outcome::Unprocessed),
    }
}

fn last_verdict(way: &Failover) -> Option<Verdict> {
    way.trail().last().map(|last| last.verdict.clone())
}

/// The reply that is the client's, or why there is none.
pub(super) fn passed(sent: Sent) -> Result<Reply, Turned> {
    match sent {
        Sent::BodyBroke => Err(Turned::BodyMalformed),
        Sent::Lost(phase, detail) => Err(Turned::UpstreamLost { phase, detail }),
        Sent::NotSent(phase, detail) => Err(Turned::UpstreamUnreachable { phase, detail }),
        Sent::Replied(reply) if reply.is_redirect() => Err(Turned::UpstreamRedirect),
        Sent::Replied(reply) => Ok(reply),
        Sent::Unprocessed(detail) => Err(Turned::UpstreamUnreachable { phase: Phase::Request, detail }),
    }
}

/// The account could not serve: a session that was there is free to go on elsewhere.
fn moved_on(app: &App, request: &RoutingRequest, decision: Decision) {
    if let Some(session) = &request.session {
        app.affinity.leave(&request.provider, session, decision.account);
    }
}

/// The account has served: the session stays there, unless its own account was only crowded, and the reply's headers tell of its quota. What they tell is worth
/// something only once the reply has completed.
fn served(
    app: &App,
    way: &Failover,
    decision: Decision,
    reply: &Reply,
    intake: &Intake,
    now: Time,
) -> Option<(AccountId, Glimpse)> {
    if !reply.head.status.is_success() {
        return None;
    }
    bonds::learn_turn(&reply.head.headers, &intake.provider.conversation, decision.account, app);
    let RoutingRequest { provider, session, model, .. } = way.request();
    match session {
        Some(session) if way.spilled_to(decision.account) => app.affinity.touch(provider, session, now),
        Some(session) => app.affinity.keep(provider, session, decision.account, now),
        None => {}
    }
    let headers = &reply.head.headers;
    let world = app.state.peek();
    let known = &world.account(decision.account)?.limits;
    let sample = news(&intake.provider, headers, model.as_ref(), known, now)?;
    Some((decision.account, sample))
}
