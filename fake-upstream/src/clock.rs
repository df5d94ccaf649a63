//! The fake's clock: the wall clock plus an offset, or a clock that stands
//! still until it is moved. The only place that reads the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A clock that tests can move. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    mode: Arc<Mutex<Mode>>,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Wall { offset_ms: i64 },
    Still { at_ms: i64 },
}

impl Clock {
    pub(crate) fn new(still_at_ms: Option<i64>) -> Self {
        let mode = still_at_ms.map_or(Mode::Wall { offset_ms: 0 }, |at_ms| Mode::Still { at_ms });
        Self { mode: Arc::new(Mutex::new(mode)) }
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        match *self.mode() {
            Mode::Wall { offset_ms } => wall_ms().saturating_add(offset_ms),
            Mode::Still { at_ms } => at_ms,
        }
    }

    /// Seconds since the epoch.
    pub fn now(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// Moves the clock by `ms`, back when it is negative.
    pub fn advance_ms(&self, ms: i64) {
        let mut mode = self.mode();
        *mode = match *mode {
            Mode::Wall { offset_ms } => Mode::Wall { offset_ms: offset_ms.saturating_add(ms) },
            Mode::Still { at_ms } => Mode::Still { at_ms: at_ms.saturating_add(ms) },
        };
    }

    /// Stops the clock at `ms` since the epoch.
    pub fn freeze_at_ms(&self, ms: i64) {
        *self.mode() = Mode::Still { at_ms: ms };
    }

    fn mode(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the fake reads the time")]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
