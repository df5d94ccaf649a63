//! When a command that `rota run` watches over is warned, and when it is ended (PRX-5). Pure: what happened and `now` in,
//! a phase out. Nothing has to be put back when it is used again, because nothing but times is kept.
use crate::model::Time;
use std::time::Duration;

/// How long before its end a command is warned; half of the bound where that is shorter.
pub const WARNING: Duration = Duration::from_secs(30);

/// What a command is bounded by; none is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Silence: no request of it, and no piece of a reply.
    pub idle: Option<Duration>,
    /// Its whole session.
    pub lifetime: Option<Duration>,
    /// The command itself, from its start.
    pub command: Option<Duration>,
}

/// Which bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Of the command itself.
    Command,
    /// Of silence.
    Idle,
    /// Of the session.
    Lifetime,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// rota knows of it.
    Created,
    /// Its command has been started.
    Ready,
    /// A request of it has come.
    Running,
    /// It ends soon by this bound.
    Warned(Bound),
    /// It has ended by this bound: its requests are refused.
    Ended(Bound),
}

/// One session's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    bounds: Bounds,
    created: Time,
    ready: Option<Time>,
    used: Option<Time>,
}

impl Bound {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
        }
    }
}

impl Phase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Warned(Bound::Command) => "command-warned",
            Self::Warned(Bound::Idle) => "idle-warned",
            Self::Warned(Bound::Lifetime) => "lifetime-warned",
            Self::Ended(_) => "ended",
        }
    }
}

impl Lease {
    /// A session begins.
    pub fn new(bounds: Bounds, now: Time) -> Self {
        Self { bounds, created: now, ready: None, used: None }
    }

    /// Its command has been started.
    pub fn start(&mut self, now: Time) {
        self.ready = self.ready.or(Some(now));
    }

    /// A request of it has come, or a piece of a reply has gone.
    pub fn touch(&mut self, now: Time) {
        self.used = self.used.max(Some(now));
    }

    /// When it ends unless it is used, and by which bound.
    pub fn ends(&self) -> Option<(Time, Bound)> {
        self.dues().map(|(due, _, bound)| (due, bound)).min_by_key(|(due, _)| *due)
    }

    /// Where it stands.
    pub fn phase(&self, now: Time) -> Phase {
        if let Some((due, bound)) = self.ends()
            && due <= now
        {
            return Phase::Ended(bound);
        }
        let soonest = self.dues().filter(|(due, span, _)| now.after(notice(*span)) >= *due);
        if let Some((_, _, bound)) = soonest.min_by_key(|(due, ..)| *due) {
            return Phase::Warned(bound);
        }
        match (self.used, self.ready) {
            (Some(_), _) => Phase::Running,
            (None, Some(_)) => Phase::Ready,
            (None, None) => Phase::Created,
        }
    }

    /// When the phase changes next by itself.
    pub fn wake(&self, now: Time) -> Option<Time> {
        let moments = self.dues().flat_map(|(due, span, _)| [due.before(notice(span)), due]);
        moments.filter(|moment| *moment > now).min()
    }

    fn dues(&self) -> impl Iterator<Item = (Time, Duration, Bound)> {
        let Bounds { idle, lifetime, command } = self.bounds;
        let last = self.used.max(self.ready).unwrap_or(self.created).max(self.created);
        let due = |from: Option<Time>, span: Option<Duration>, bound| {
            let (from, span) = (from?, span?);
            Some((from.after(span), span, bound))
        };
        [
            due(self.ready, command, Bound::Command),
            due(Some(last), idle, Bound::Idle),
            due(Some(self.created), lifetime, Bound::Lifetime),
        ]
        .into_iter()
        .flatten()
    }
}

fn notice(span: Duration) -> Duration {
    WARNING.min(span / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Time = Time::from_secs(1_000_000);
    const BOUNDS: Bounds = Bounds {
        idle: Some(Duration::from_secs(300)),
        lifetime: Some(Duration::from_secs(3600)),
        command: None,
    };

    fn at(secs: u64) -> Time {
        T0.after(Duration::from_secs(secs))
    }

    /// PRX-5
    #[test]
    fn a_session_is_created_ready_running_warned_and_ended() {
        let mut lease = Lease::new(BOUNDS, T0);
        assert_eq!(lease.phase(at(1)), Phase::Created);
        lease.start(at(2));
        assert_eq!(lease.phase(at(3)), Phase::Ready);
        lease.touch(at(10));
        assert_eq!(lease.phase(at(10)), Phase::Running);
        assert_eq!(lease.wake(at(10)), Some(at(280)));
        assert_eq!(lease.phase(at(279)), Phase::Running);
        assert_eq!(lease.phase(at(280)), Phase::Warned(Bound::Idle));
        assert_eq!(lease.wake(at(280)), Some(at(310)));
        assert_eq!(lease.phase(at(310)), Phase::Ended(Bound::Idle));
    }

    /// PRX-5: activity puts off the end and takes the warning back.
    #[test]
    fn activity_resets_the_expiry_and_the_warning() {
        let mut lease = Lease::new(BOUNDS, T0);
        lease.touch(at(0));
        assert_eq!(lease.phase(at(290)), Phase::Warned(Bound::Idle));
        lease.touch(at(290));
        assert_eq!(lease.phase(at(290)), Phase::Running);
        assert_eq!(lease.ends(), Some((at(590), Bound::Idle)));
    }

    /// PRX-5: but not the end of its lifetime, nor that of the command.
    #[test]
    fn a_session_that_never_rests_ends_with_its_lifetime() {
        let mut lease = Lease::new(BOUNDS, T0);
        for secs in (0..3600).step_by(100) {
            lease.touch(at(secs));
        }
        lease.touch(at(3580));
        assert_eq!(lease.phase(at(3580)), Phase::Warned(Bound::Lifetime));
        assert_eq!(lease.phase(at(3600)), Phase::Ended(Bound::Lifetime));
        let mut lease =
            Lease::new(Bounds { command: Some(Duration::from_secs(300)), ..Bounds::default() }, T0);
        assert_eq!(lease.ends(), None, "it counts from the command's start");
        lease.start(at(50));
        lease.touch(at(349));
        assert_eq!(lease.phase(at(349)), Phase::Warned(Bound::Command));
        assert_eq!(lease.phase(at(350)), Phase::Ended(Bound::Command));
    }

    #[test]
    fn a_session_without_bounds_never_ends() {
        let mut lease = Lease::new(Bounds::default(), T0);
        lease.start(T0);
        lease.touch(T0);
        assert_eq!((lease.phase(at(u32::MAX.into())), lease.wake(T0)), (Phase::Running, None));
    }

    proptest! {
        /// Between two moments that it names, the phase does not change by itself.
        #[test]
        fn the_phase_changes_only_when_it_says(
            idle in proptest::option::of(1_u64..400),
            lifetime in proptest::option::of(1_u64..400),
            command in proptest::option::of(1_u64..400),
            start in 0_u64..50,
            touch in 0_u64..200,
        ) {
            let secs = |span: Option<u64>| span.map(Duration::from_secs);
            let bounds = Bounds { idle: secs(idle), lifetime: secs(lifetime), command: secs(command) };
            let mut lease = Lease::new(bounds, T0);
            lease.start(at(start));
            lease.touch(at(touch));
            let mut now = at(touch);
            while let Some(wake) = lease.wake(now) {
                prop_assert_eq!(lease.phase(wake.before(Duration::from_millis(1)).max(now)), lease.phase(now));
                now = wake;
            }
            let ended = matches!(lease.phase(now), Phase::Ended(_));
            prop_assert_eq!(ended, bounds != Bounds::default());
        }
    }
}
