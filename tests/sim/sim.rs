//! The simulator: what `proxy::handler` does with a `Failover`, without a network.
use crate::engine::{
    Admission, After, Attempt, Command, Decision, Eligibility, Failover, Held, Live, Outcome, Phase, Refusal,
    RenewalFailure, RoutingRequest, Ruling, SignIn, Step, Turn, apply, eligibility,
};
use crate::model::{AccountId, FaultClass, ProviderId, Snapshot, Time};
use crate::world::{START, oauth, status_of};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::collections::BTreeMap;
use std::time::Duration;

/// No request takes more steps than this; one that would is a loop.
const STEPS: usize = 1000;

/// What the upstream says to one send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// A fault of this class, by the provider's own rule, with a `Retry-After` of so many seconds.
    Fault(FaultClass, Option<u64>),
    /// The answer never came.
    Lost,
    /// The connection could not be opened.
    NotSent,
    /// 200.
    Ok,
    /// Any other status.
    Status(u16),
    /// HTTP/2 refused the stream.
    Unprocessed,
}

/// What comes of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renews {
    Dies,
    Fails,
    Works,
}

/// What people do when they are asked to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signs {
    /// They sign in after so long.
    After(Duration),
    /// They say no after so long.
    Denies(Duration),
    /// Nothing.
    Never,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client got the reply to the last send.
    Passed(Say),
    /// The client got a refusal.
    Refused(Refusal),
}

/// A request that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) end: End,
    pub(crate) sent: Vec<Decision>,
    pub(crate) trail: Vec<Attempt>,
    pub(crate) refreshes: usize,
    /// It was sent once more without what its account could not read.
    pub(crate) stripped: bool,
    /// Who was asked to sign in.
    pub(crate) asked: Option<SignIn>,
}

impl Done {
    pub(crate) fn accounts(&self) -> Vec<u32> {
        self.sent.iter().map(|decision| decision.account.0).collect()
    }

    pub(crate) fn refusal(&self) -> &Refusal {
        match &self.end {
            End::Refused(refusal) => refusal,
            End::Passed(say) => panic!("passed {say:?} instead of refusing"),
        }
    }
}

/// A request that waits for the upstream.
#[derive(Debug)]
pub(crate) struct Flight {
    failover: Box<Failover>,
    pub(crate) decision: Decision,
    sent: Vec<Decision>,
    refreshes: usize,
}

/// Where a request stands.
#[derive(Debug)]
pub(crate) enum Now {
    Done(Done),
    Flying(Flight),
}

impl Now {
    pub(crate) fn flying(self) -> Flight {
        match self {
            Self::Flying(flight) => flight,
            Self::Done(done) => panic!("over already: {:?}", done.end),
        }
    }

    pub(crate) fn done(self) -> Done {
        match self {
            Self::Done(done) => done,
            Self::Flying(flight) => panic!("still out on {:?}", flight.decision),
        }
    }
}

/// The world, the time, and who is at work.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    pub(crate) world: Snapshot,
    pub(crate) now: Time,
    pub(crate) renews: Renews,
    pub(crate) signs: Signs,
    pub(crate) held: Held,
    pub(crate) live: Places,
}

/// The simulator's leases and cursor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) turns: u64,
    on: BTreeMap<AccountId, u32>,
    probing: bool,
}

impl Live for Places {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        self.turns += 1;
        Turn(self.turns - 1)
    }
    fn in_flight(&self, account: AccountId) -> u32 {
        self.on.get(&account).copied().unwrap_or(0)
    }
}

impl Places {
    fn take(&mut self, decision: Decision) -> bool {
        let on = self.in_flight(decision.account);
        let free = match decision.admission {
            Admission::Cap(most) => on < most,
            Admission::Free => true,
            Admission::ProviderProbe => !self.probing,
        };
        if free {
            self.on.insert(decision.account, on + 1);
            self.probing |= decision.admission == Admission::ProviderProbe;
        }
        free
    }

    fn give_back(&mut self, decision: Decision) {
        let on = self.in_flight(decision.account);
        self.on.insert(decision.account, on - 1);
        if decision.admission == Admission::ProviderProbe {
            self.probing = false;
        }
    }
}

impl Sim {
    pub(crate) fn new(world: Snapshot) -> Self {
        let (renews, signs) = (Renews::Works, Signs::Never);
        Self { world, now: START, renews, signs, held: Held::Whole, live: Places::default() }
    }

    /// A whole request; `upstream` answers each send.
    pub(crate) fn run(&mut self, request: RoutingRequest, mut upstream: impl FnMut(Decision) -> Say) -> Done {
        let mut now = self.start(request);
        loop {
            match now {
                Now::Done(done) => return done,
                Now::Flying(flight) => {
                    let say = upstream(flight.decision);
                    now = self.land(flight, say);
                }
            }
        }
    }

    /// A request up to its first send.
    pub(crate) fn start(&mut self, request: RoutingRequest) -> Now {
        let failover = Failover::open(request, &self.world, self.now);
        self.go(Box::new(failover), Vec::new(), 0)
    }

    /// The upstream answers, and the request goes on to its next send or its end.
    pub(crate) fn land(&mut self, flight: Flight, say: Say) -> Now {
        let Flight { mut failover, decision, sent, refreshes } = flight;
        self.live.give_back(decision);
        let Ruling { command, after } = self.report(&mut failover, decision, say);
        if let Some(command) = command {
            self.apply(command);
        }
        match after {
            After::Again => self.go(failover, sent, refreshes),
            After::Pass => over(&failover, End::Passed(say), sent, refreshes),
        }
    }

    /// The client hangs up: the lease goes back, and nobody is told anything.
    pub(crate) fn hang_up(&mut self, flight: Flight) {
        self.live.give_back(flight.decision);
    }

    /// Applies what is not turned down, and holds I9.
    pub(crate) fn apply(&mut self, command: Command) {
        if let Ok(applied) = apply(&self.world, command, self.now) {
            self.world = applied.snapshot;
        }
        if let Some(force) = &self.world.force {
            let account = self.world.account(force.account).expect("I9: it exists");
            assert!(self.now < force.until, "I9: it has not run out");
            assert!(account.is_on(), "I9: it is enabled");
            assert!(account.credential.usable().is_some(), "I9: it is usable");
        }
    }

    fn report(&self, failover: &mut Failover, decision: Decision, say: Say) -> Ruling {
        let mut headers = HeaderMap::new();
        let status = match say {
            Say::Fault(class, wait) => {
                if let Some(secs) = wait {
                    headers.insert(http::header::RETRY_AFTER, HeaderValue::from(secs));
                }
                status_of(class)
            }
            Say::Status(status) => status,
            Say::Lost | Say::NotSent | Say::Ok | Say::Unprocessed => 200,
        };
        let outcome = match say {
            Say::Lost => Outcome::Lost(Phase::Head),
            Say::NotSent => Outcome::NotSent(Phase::Connect),
            Say::Unprocessed => Outcome::Unprocessed,
            Say::Fault(..) | Say::Ok | Say::Status(_) => Outcome::Replied {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: &headers,
                peek: b"",
            },
        };
        failover.on_outcome(decision, &outcome, self.held, &self.world, self.now)
    }

    fn go(&mut self, mut failover: Box<Failover>, mut sent: Vec<Decision>, mut refreshes: usize) -> Now {
        let mut asked = failover.sign_in().is_some();
        for _ in 0..STEPS {
            match failover.next(&self.world, &mut self.live, self.now) {
                Step::Refresh { account, version } => {
                    refreshes += 1;
                    self.renew(account, version);
                }
                Step::Refuse(refusal) => {
                    return over(&failover, End::Refused(refusal), sent, refreshes);
                }
                Step::Send(decision) if self.live.take(decision) => {
                    sent.push(decision);
                    return Now::Flying(Flight { failover, decision, sent, refreshes });
                }
                Step::Send(decision) => failover.on_busy(decision),
                Step::SignIn { account, until } => {
                    assert!(!std::mem::replace(&mut asked, true), "FLO-6: once");
                    self.ask(account, until);
                }
                Step::Wait(until) => {
                    assert!(until > self.now, "a wait moves on");
                    self.now = until;
                }
            }
        }
        panic!("a request without end: {failover:?}");
    }

    /// What a login does: nothing to wait for where the request is not held.
    fn ask(&mut self, account: AccountId, until: Option<Time>) {
        let asked = self.world.account(account).expect("FLO-6: an account");
        assert!(asked.is_on(), "FLO-6: never one that is switched off");
        let state = eligibility(asked, None, &self.world.settings, self.now);
        assert_eq!(state, Eligibility::NeedsReauth, "FLO-6: only where it mends something");
        let version = asked.credential.version();
        let Some(until) = until else {
            return;
        };
        let (Signs::After(wait) | Signs::Denies(wait)) = self.signs else {
            self.now = until;
            return;
        };
        let done = self.now.after(wait);
        self.now = done.min(until);
        if done <= until && matches!(self.signs, Signs::After(_)) {
            let credential = oauth(version + 1, self.now);
            self.apply(Command::Reauthenticated { account, credential });
        }
    }

    /// What the refresher does: nothing if the version was replaced already.
    pub(crate) fn renew(&mut self, account: AccountId, version: u64) {
        let current = self.world.account(account).map(|a| a.credential.version());
        if current != Some(version) {
            return;
        }
        let failure = match self.renews {
            Renews::Works => {
                let credential = oauth(version + 1, self.now);
                return self.apply(Command::Refreshed { account, version, credential });
            }
            Renews::Dies => RenewalFailure::Permanent { detail: "invalid_grant".to_owned() },
            Renews::Fails => RenewalFailure::Transient { detail: "no answer".to_owned() },
        };
        self.apply(Command::RenewalFailed { account, version, failure });
    }
}

fn over(failover: &Failover, end: End, sent: Vec<Decision>, refreshes: usize) -> Now {
    let asked = failover.sign_in().cloned();
    Now::Done(Done {
        end,
        sent,
        trail: failover.trail().to_vec(),
        refreshes,
        stripped: failover.strips(),
        asked,
    })
}
