//! Signals that reach `rota run` and are meant for its program.
use rustix::process::{Signal as Number, getpgrp};
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

/// A terminal sends Ctrl-C and Ctrl-\ to the program, too, for both are in its foreground; a program that got it twice would
/// take the second for impatience. What else a terminal sends (its size, a stop) needs nobody in between.
pub(super) fn is_ours_to_pass_on(signal: Number) -> bool {
    !matches!(signal, Number::INT | Number::QUIT) || !is_in_foreground()
}

fn is_in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}
