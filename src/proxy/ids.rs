use crate::model::{RequestId, Time};
use std::sync::atomic::{AtomicU32, Ordering};

/// Hands out request ids.
#[derive(Debug)]
pub struct RequestIds {
    boot: u64,
    next: AtomicU32,
}

impl RequestIds {
    /// Ids of a run that began at `now`. Two runs that begin in different milliseconds share no id for 49 days.
    pub fn new(now: Time) -> Self {
        Self { boot: now.as_millis() << 32, next: AtomicU32::new(0) }
    }

    /// The next id; after four thousand million the count begins again.
    pub fn next(&self) -> RequestId {
        RequestId(self.boot | u64::from(self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_sixteen_hex_digits_and_tell_two_runs_apart() {
        let first = RequestIds::new(Time::from_millis(0x1_2345_6789));
        let shown: Vec<String> = (0..2).map(|_| first.next().to_string()).collect();
        assert_eq!(shown, ["2345678900000000", "2345678900000001"]);
        let second = RequestIds::new(Time::from_millis(0x1_2345_678a));
        let last = second.next();
        assert_eq!(last.to_string(), "2345678a00000000");
        assert_eq!(&last.digits(), last.to_string().as_bytes());
    }
}
