//! The last week by the hour, in memory: what the dashboard's figures are made of. It is fed the same records as log and
//! metrics, forgets what is older, and survives no restart. Pure: the caller holds the lock and knows the time.
use super::{DecisionRecord, Outcome};
use crate::model::{Alias, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// Seconds that one bucket spans.
pub const BUCKET_SECONDS: u64 = 3600;
/// Buckets kept: a week.
pub const MOST_BUCKETS: usize = 7 * 24;
/// Accounts told apart in one bucket; requests of further ones count in the sums only.
const MOST_ACCOUNTS: usize = 1000;

/// Requests by the hour.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By the number of hours since the epoch.
    buckets: BTreeMap<u64, Bucket>,
}

#[derive(Clone, Debug, Default)]
struct Bucket {
    sums: Sums,
    by_account: BTreeMap<Alias, u64>,
    overhead: Spans,
    first_byte: Spans,
}

/// How requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All that meant a provider.
    pub requests: u64,
    /// An account's success.
    pub answered: u64,
    /// The same, after another account had failed: what would have been an error without a second account.
    pub saved: u64,
    /// Nobody could serve.
    pub refused: u64,
    /// An upstream's own error, handed on.
    pub passed: u64,
    /// The client went away first.
    pub abandoned: u64,
}

/// What [`Stats::report`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The beginning of the first bucket.
    pub from: Time,
    /// How requests ended.
    pub sums: Sums,
    /// Requests that an account served or failed last, the busiest first.
    pub by_account: Vec<(Alias, u64)>,
    /// Time spent in rota.
    pub overhead: Quantiles,
    /// From a request's arrival to its reply's head.
    pub first_byte: Quantiles,
    /// Every bucket of the window, oldest first, also those in which nothing came.
    pub series: Vec<(Time, BTreeMap<Alias, u64>)>,
}

/// In milliseconds, to about a tenth of their value; none where nothing was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantiles {
    /// Half are faster.
    pub p50: Option<f64>,
    /// 95 of 100 are faster.
    pub p95: Option<f64>,
    /// 99 of 100 are faster.
    pub p99: Option<f64>,
}

impl Stats {
    /// Takes a finished request's record. What meant no provider (a bad host, an unknown path) is not counted.
    pub fn observe(&mut self, record: &DecisionRecord) {
        if record.provider.is_none() {
            return;
        }
        let bucket = self.buckets.entry(hour(record.at)).or_default();
        bucket.sums.observe(record);
        if let Some(alias) = &record.selected_alias {
            let room = bucket.by_account.len() < MOST_ACCOUNTS;
            match bucket.by_account.get_mut(alias) {
                Some(count) => *count += 1,
                None if room => {
                    bucket.by_account.insert(alias.clone(), 1);
                }
                None => {}
            }
        }
        bucket.overhead.observe(record.overhead_ms);
        if let Some(ms) = record.first_byte_ms {
            bucket.first_byte.observe(ms);
        }
        while self.buckets.len() > MOST_BUCKETS {
            self.buckets.pop_first();
        }
    }

    /// The last `hours`, the one that `now` is in included; at most [`MOST_BUCKETS`].
    pub fn report(&self, hours: usize, now: Time) -> Report {
        let last = hour(now);
        let hours = hours.clamp(1, MOST_BUCKETS) as u64;
        let first = last.saturating_sub(hours - 1);
        let mut sums = Sums::default();
        let (mut overhead, mut first_byte) = (Spans::default(), Spans::default());
        let mut by_account: BTreeMap<Alias, u64> = BTreeMap::new();
        let mut series: Vec<(Time, BTreeMap<Alias, u64>)> =
            (first..=last).map(|hour| (start(hour), BTreeMap::new())).collect();
        for (hour, bucket) in self.buckets.range(first..=last) {
            sums.add(&bucket.sums);
            overhead.add(&bucket.overhead);
            first_byte.add(&bucket.first_byte);
            for (alias, count) in &bucket.by_account {
                *by_account.entry(alias.clone()).or_default() += count;
            }
            let place = usize::try_from(hour - first).ok().and_then(|place| series.get_mut(place));
            if let Some((_, counts)) = place {
                counts.clone_from(&bucket.by_account);
            }
        }
        let mut by_account: Vec<(Alias, u64)> = by_account.into_iter().collect();
        by_account.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        Report {
            from: start(first),
            sums,
            by_account,
            overhead: overhead.quantiles(),
            first_byte: first_byte.quantiles(),
            series,
        }
    }
}

impl Sums {
    fn observe(&mut self, record: &DecisionRecord) {
        self.requests += 1;
        match record.outcome {
            Outcome::Abandoned => self.abandoned += 1,
            Outcome::Passed => self.passed += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Served => {
                self.answered += 1;
                let moved = record
                    .attempts
                    .first()
                    .is_some_and(|first| Some(&first.alias) != record.selected_alias.as_ref());
                self.saved += u64::from(moved);
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.answered += other.answered;
        self.saved += other.saved;
        self.refused += other.refused;
        self.passed += other.passed;
        self.abandoned += other.abandoned;
    }

    /// The share of those that waited for their answer which got an account's success; none where nobody did.
    pub fn answered_share(&self) -> Option<f64> {
        let waited = self.requests - self.abandoned;
        (waited > 0).then(|| self.answered as f64 / waited as f64)
    }
}

/// Cells of [`Spans`]: from a hundredth of a millisecond to about eleven minutes.
const CELLS: usize = 104;
/// What the first cell ends at, in milliseconds.
const SHORTEST: f64 = 0.01;
/// Cells for each doubling.
const PER_DOUBLING: f64 = 4.0;

/// How often a span of time was about so long: each cell is 19 % wider than the one before.
#[derive(Clone, Debug)]
struct Spans {
    cells: Box<[u32; CELLS]>,
}

impl Default for Spans {
    fn default() -> Self {
        Self { cells: Box::new([0; CELLS]) }
    }
}

impl Spans {
    fn observe(&mut self, ms: f64) {
        let doublings = (ms.max(SHORTEST) / SHORTEST).log2();
        // Saturating: what is not a number counts as short, what is longer than the last cell counts there.
        let cell = ((doublings * PER_DOUBLING).ceil() as usize).min(CELLS - 1);
        if let Some(count) = self.cells.get_mut(cell) {
            *count = count.saturating_add(1);
        }
    }

    fn add(&mut self, other: &Self) {
        for (own, more) in self.cells.iter_mut().zip(other.cells.iter()) {
            *own = own.saturating_add(*more);
        }
    }

    fn quantiles(&self) -> Quantiles {
        Quantiles { p50: self.quantile(0.50), p95: self.quantile(0.95), p99: self.quantile(0.99) }
    }

    /// The middle of the cell in which the quantile lies.
    fn quantile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.cells.iter().map(|count| u64::from(*count)).sum();
        if all == 0 {
            return None;
        }
        let rank = (all as f64 * part).ceil() as u64;
        let mut seen = 0;
        let cell = self.cells.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        })?;
        let middle = SHORTEST * ((cell as f64 - 0.5) / PER_DOUBLING).exp2();
        Some((middle * 1000.0).round() / 1000.0)
    }
}

fn hour(at: Time) -> u64 {
    at.as_millis() / 1000 / BUCKET_SECONDS
}

fn start(hour: u64) -> Time {
    Time::default().after(Duration::from_secs(hour.saturating_mul(BUCKET_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Why;
    use crate::model::{Few, ProviderId, RequestId, Strategy};
    use crate::telemetry::AttemptRecord;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;

    #[test]
    fn a_window_adds_up_its_hours_and_shows_the_empty_ones() {
        let mut stats = Stats::default();
        for record in [
            served("a", 10 * HOUR),
            served("b", 10 * HOUR + 59),
            served("a", 12 * HOUR),
            moved("a", "b", 12 * HOUR + 1),
            ended(Outcome::Refused, 12 * HOUR + 2),
            ended(Outcome::Abandoned, 12 * HOUR + 3),
            ended(Outcome::Passed, 12 * HOUR + 4),
            served("old", HOUR),
        ] {
            stats.observe(&record);
        }
        let report = stats.report(3, Time::from_secs(12 * HOUR + 1800));
        assert_eq!(report.from, Time::from_secs(10 * HOUR));
        let sums = Sums { requests: 7, answered: 4, saved: 1, refused: 1, passed: 1, abandoned: 1 };
        assert_eq!(report.sums, sums);
        assert_eq!(report.sums.answered_share(), Some(4.0 / 6.0));
        assert_eq!(report.by_account, [(alias("a"), 2), (alias("b"), 2)]);
        assert_eq!(
            report.series,
            [
                (Time::from_secs(10 * HOUR), BTreeMap::from([(alias("a"), 1), (alias("b"), 1)])),
                (Time::from_secs(11 * HOUR), BTreeMap::new()),
                (Time::from_secs(12 * HOUR), BTreeMap::from([(alias("a"), 1), (alias("b"), 1)])),
            ]
        );
    }

    #[test]
    fn what_was_never_seen_is_none_and_not_zero() {
        let report = Stats::default().report(24, Time::from_secs(1_800_000_000));
        assert_eq!((report.sums.answered_share(), report.overhead), (None, Quantiles::default()));
        assert_eq!((report.series.len(), report.by_account.len()), (24, 0));
    }

    #[test]
    fn what_means_no_provider_is_not_a_request() {
        let mut stats = Stats::default();
        stats.observe(&DecisionRecord { provider: None, ..ended(Outcome::Refused, 5) });
        assert_eq!(stats.report(1, Time::from_secs(5)).sums, Sums::default());
    }

    #[test]
    fn a_week_and_a_thousand_accounts_are_the_most_there_is() {
        let mut stats = Stats::default();
        for number in 0..2 * MOST_BUCKETS as u64 {
            stats.observe(&served("a", number * HOUR));
        }
        for number in 0..MOST_ACCOUNTS + 5 {
            stats.observe(&served(&format!("n{number}"), 0));
        }
        assert!(stats.buckets.len() <= MOST_BUCKETS);
        assert!(stats.buckets.values().all(|bucket| bucket.by_account.len() <= MOST_ACCOUNTS));
        let report = stats.report(usize::MAX, Time::from_secs(2 * MOST_BUCKETS as u64 * HOUR));
        assert_eq!(report.series.len(), MOST_BUCKETS);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_cell_of_the_truth(spans in proptest::collection::vec(0.02f64..500_000.0, 1..200)) {
            let mut seen = Spans::default();
            spans.iter().for_each(|ms| seen.observe(*ms));
            let mut sorted = spans.clone();
            sorted.sort_by(f64::total_cmp);
            for (part, told) in [(0.5, seen.quantile(0.5)), (0.99, seen.quantile(0.99))] {
                let truth = sorted[(sorted.len() as f64 * part).ceil() as usize - 1];
                let told = told.expect("something was seen");
                prop_assert!((told / truth - 1.0).abs() < 0.11, "{told} where {truth} is right");
            }
        }

        #[test]
        fn any_span_has_a_cell(ms in proptest::num::f64::ANY) {
            let mut seen = Spans::default();
            seen.observe(ms);
            prop_assert!(seen.quantile(0.5).is_some());
        }
    }

    fn alias(text: &str) -> Alias {
        Alias::try_from(text).expect("an alias")
    }

    fn attempt(name: &str) -> AttemptRecord {
        AttemptRecord {
            alias: alias(name),
            why: Why::Rotated,
            verdict: "pass",
            scope: None,
            rule: None,
            reason: None,
            status: Some(200),
            ms: 12,
        }
    }

    fn served(name: &str, seconds: u64) -> DecisionRecord {
        moved(name, name, seconds)
    }

    fn moved(first: &str, then: &str, seconds: u64) -> DecisionRecord {
        DecisionRecord {
            selected_alias: Some(alias(then)),
            attempts: [attempt(first), attempt(then)].into_iter().collect(),
            ..ended(Outcome::Served, seconds)
        }
    }

    fn ended(outcome: Outcome, seconds: u64) -> DecisionRecord {
        DecisionRecord {
            request_id: RequestId(0x00ff_00ff_00ff_00ff),
            at: Time::from_secs(seconds),
            method: http::Method::POST,
            path: "/v1/responses".into(),
            client: None,
            provider: ProviderId::try_from("p").ok(),
            model: None,
            strategy: Strategy::RoundRobin,
            session: None,
            selected_alias: None,
            why: None,
            fallback_reason: None,
            force_state: None,
            enabled_state: (2, 2),
            attempts: Few::None,
            sign_in: None,
            in_band: None,
            outcome,
            status: Some(200),
            refusal: None,
            reasons: BTreeMap::new(),
            first_byte_ms: Some(30.0),
            duration_ms: 40.0,
            overhead_ms: 0.2,
            bytes_in: 10,
            bytes_out: 20,
        }
    }
}
