use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Parts a patience is cut into: it ends at most one part late, and a byte that moves costs no timer.
const PARTS: u32 = 16;

/// Runs out once nothing has moved for as long as it was told.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    part: Duration,
    quiet: u32,
}

impl Patience {
    pub(super) fn new(patience: Duration) -> Self {
        Self { part: patience / PARTS, quiet: 0 }
    }

    /// What rings first.
    pub(super) fn tick(self) -> Sleep {
        tokio::time::sleep(self.part)
    }

    /// Ready when it has run out. `moved` tells whether anything moved since it was last asked.
    pub(super) fn poll(
        &mut self,
        mut tick: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
        mut moved: impl FnMut() -> bool,
    ) -> Poll<()> {
        loop {
            ready!(tick.as_mut().poll(cx));
            self.quiet = if moved() { 0 } else { self.quiet + 1 };
            if self.quiet >= PARTS {
                return Poll::Ready(());
            }
            tick.set(self.tick());
        }
    }
}

/// Patience with something that may be there at once: it takes no timer before it is first asked.
pub(crate) struct Stall {
    patience: Patience,
    tick: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience: Patience::new(patience), tick: None }
    }

    /// Starts over.
    pub(crate) fn restart(&mut self, patience: Duration) {
        self.patience = Patience::new(patience);
        if let Some(tick) = &mut self.tick {
            tick.set(self.patience.tick());
        }
    }

    /// As [`Patience::poll`].
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, moved: impl FnMut() -> bool) -> Poll<()> {
        let Self { patience, tick } = self;
        let tick = tick.get_or_insert_with(|| Box::pin(patience.tick()));
        patience.poll(tick.as_mut(), cx, moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;

    /// PRX-5
    #[tokio::test(start_paused = true)]
    async fn patience_runs_out_only_where_nothing_moves() {
        let left = Cell::new(40);
        let asked = Cell::new(0);
        let mut stall = Stall::new(Duration::from_secs(16));
        poll_fn(|cx| {
            stall.poll(cx, || {
                asked.set(asked.get() + 1);
                left.set(i32::max(left.get() - 1, 0));
                left.get() > 0
            })
        })
        .await;
        assert_eq!(asked.get(), 39 + 16, "39 parts in which something moved, then 16 quiet ones");
    }
}
