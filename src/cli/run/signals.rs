//! Signals that reach `rota run` and are meant for its program.
use rustix::process::{Pid, Signal as Number, WaitId, WaitIdOptions, getpgrp, getpid, kill_process, waitid};
use rustix::termios::tcgetpgrp;
use std::fs::File;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Those that are listened to; from then on they end nothing by themselves.
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    user: [Signal; 2],
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// The next one that comes.
    pub(super) async fn next(&mut self) -> Number {
        let [first, second] = &mut self.user;
        tokio::select! {
            _ = self.hangup.recv() => Number::HUP,
            _ = self.interrupt.recv() => Number::INT,
            _ = self.quit.recv() => Number::QUIT,
            _ = self.terminate.recv() => Number::TERM,
            _ = first.recv() => Number::USR1,
            _ = second.recv() => Number::USR2,
        }
    }
}

/// Stops of the program. It may stop by itself (many do so at Ctrl-Z, which a terminal that they have taken over does not
/// turn into a signal), and a shell that waits for `rota run` would then wait for ever.
pub(super) struct Stops {
    child: Signal,
    stop: Signal,
}

/// What may be a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Something happened to the program.
    Child,
    /// Somebody wants us to stop.
    Asked,
}

impl Stops {
    pub(super) fn listen() -> io::Result<Self> {
        let (child, stop) = (SignalKind::child(), SignalKind::from_raw(Number::TSTP.as_raw()));
        Ok(Self { child: signal(child)?, stop: signal(stop)? })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.child.recv() => Stop::Child,
            _ = self.stop.recv() => Stop::Asked,
        }
    }
}

/// Does as the program does. Where no terminal is, nobody waits for a stop, and nobody would continue us.
pub(super) fn follow(stop: Stop, program: Pid) {
    let in_foreground = is_in_foreground();
    match stop {
        Stop::Child if !in_foreground || !has_stopped(program) => return,
        // The terminal has told the program, too; it says whether it stops.
        Stop::Asked if in_foreground => return,
        Stop::Asked => send(program, Number::TSTP),
        Stop::Child => {}
    }
    send(getpid(), Number::STOP);
    // Whoever has continued us means the program.
    send(program, Number::CONT);
}

fn has_stopped(program: Pid) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    matches!(waitid(WaitId::Pid(program), options), Ok(Some(status)) if status.stopped())
}

/// It may end at this moment, which is no error.
pub(super) fn send(process: Pid, signal: Number) {
    let _ = kill_process(process, signal);
}

/// A terminal sends Ctrl-C and Ctrl-\ to the program, too, for both are in its foreground; a program that got it twice would
/// take the second for impatience. What else a terminal sends (its size, a stop) needs nobody in between.
pub(super) fn is_ours_to_pass_on(signal: Number) -> bool {
    !matches!(signal, Number::INT | Number::QUIT) || !is_in_foreground()
}

fn is_in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}
