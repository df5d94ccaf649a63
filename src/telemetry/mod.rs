//! What happened, told once: a request's decision record becomes the log line, the counters and the entry behind
//! `rota why`. The data comes from the failover's trail and the snapshot; nothing here decides anything, and nothing
//! here can hold a secret.
mod catalogue;
mod gauges;
mod log;
mod process;
mod record;
mod ring;
mod series;
mod stats;

pub use catalogue::{CATALOGUE, Metric, MetricKind};
pub use gauges::{Probes, Renewals, Scrape, StoreFigures};
pub use log::{LogFormat, LogSink, log_panics, subscribe};
pub use record::{AttemptRecord, DecisionRecord, InBandRecord, Outcome, SignInRecord, SkipRecord};
pub use ring::Ring;
pub use series::SessionEvent;
pub use stats::{BUCKET_SECONDS, MOST_BUCKETS, Quantiles, Report, Stats, Sums};

use crate::model::{ProviderId, Snapshot, Time};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use series::Series;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Records that a listener may be late for.
const NEWS: usize = 256;

/// The three sinks of decision records, and the metrics page.
pub struct Telemetry {
    log: LogSink,
    ring: Ring,
    series: Series,
    news: broadcast::Sender<Arc<DecisionRecord>>,
    stats: Mutex<Stats>,
    page: PrometheusHandle,
}

impl Telemetry {
    /// `decisions` records are kept for `rota why`; lines go to `log`.
    pub fn new(decisions: usize, log: LogSink) -> Result<Self, BuildError> {
        let recorder = recorder()?;
        let page = recorder.handle();
        Ok(Self {
            log,
            ring: Ring::new(decisions),
            series: Series::new(recorder),
            news: broadcast::Sender::new(NEWS),
            stats: Mutex::default(),
            page,
        })
    }

    /// Takes a finished request's record: once per request, at its end.
    pub fn record(&self, record: DecisionRecord) {
        self.series.count(&record);
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).observe(&record);
        let record = Arc::new(record);
        self.log.decision(&record);
        self.ring.push(Arc::clone(&record));
        // Nobody may be listening.
        let _ = self.news.send(record);
    }

    /// What the last `hours` were like.
    pub fn stats(&self, hours: usize, now: Time) -> Report {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).report(hours, now)
    }

    /// Counts what happened to a session.
    pub fn session(&self, event: SessionEvent, provider: &ProviderId) {
        self.series.session(event, provider);
    }

    /// Counts a force that ended before its time; `reason` is one of the words of FLO-7, or `removed`.
    pub fn force_ended(&self, reason: &str) {
        self.series.force_ended(reason);
    }

    /// Every record from now on. Who is late by more than [`NEWS`] is told how many it has missed; nobody waits for it.
    pub fn follow(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        self.news.subscribe()
    }

    /// The latest decisions.
    pub fn decisions(&self) -> &Ring {
        &self.ring
    }

    /// The page that Prometheus reads: counters and histograms as they grew, gauges as the snapshot is now. What is
    /// unknown is absent, never 0 (OBS-2).
    pub fn page(&self, world: &Snapshot, scrape: &Scrape, now: Time) -> Result<String, BuildError> {
        let moment = recorder()?;
        let gauges = moment.handle();
        metrics::with_local_recorder(&moment, || {
            catalogue::describe(MetricKind::Counter);
            catalogue::describe(MetricKind::Gauge);
            gauges::set(world, scrape, now);
            gauges::of_log(&self.log);
            process::set();
        });
        Ok(of_today(&self.page.render(), world) + &gauges.render())
    }
}

/// The counters without those of aliases that nobody has any more: a renamed or removed account's series end.
fn of_today(page: &str, world: &Snapshot) -> String {
    let aliases: BTreeSet<&str> = world.accounts.iter().map(|account| account.alias.as_str()).collect();
    let is_there = |line: &&str| {
        let alias = line.split_once("account=\"").and_then(|(_, rest)| rest.split_once('"'));
        line.starts_with('#') || alias.is_none_or(|(alias, _)| aliases.contains(alias))
    };
    let mut kept = String::with_capacity(page.len());
    for line in page.lines().filter(is_there) {
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in CATALOGUE.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), metric.buckets)?;
    }
    Ok(builder.build_recorder())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Alias, FaultClass, ProviderId, Reason, Strategy};
    use std::io::Write;
    use std::sync::Mutex;

    /// OBS-2
    #[test]
    fn every_series_on_the_page_is_in_the_catalogue_with_a_help_text() {
        let (telemetry, _) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        let page = telemetry.page(&world(), &Scrape::default(), Time::from_secs(9)).expect("a page");
        let known: BTreeSet<&str> = CATALOGUE.iter().map(|metric| metric.name).collect();
        for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let series = line.split(['{', ' ']).next().unwrap_or_default();
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| series.strip_suffix(end))
                .unwrap_or(series);
            assert!(known.contains(name), "{name} is not in the catalogue");
            assert!(page.contains(&format!("# HELP {name} ")), "{name} has no help text");
            assert!(page.contains(&format!("# TYPE {name} ")), "{name} has no type");
        }
    }

    /// OBS-1 FLO-7
    #[test]
    fn a_failover_counts_both_attempts_and_the_move() {
        let (telemetry, _) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        let page = telemetry.page(&world(), &Scrape::default(), Time::from_secs(9)).expect("a page");
        for series in [
            r#"rota_requests_total{provider="p",outcome="served"} 1"#,
            r#"rota_attempts_total{provider="p",account="a",reason="quota-exhausted"} 1"#,
            r#"rota_attempts_total{provider="p",account="b",reason="none"} 1"#,
            r#"rota_failovers_total{provider="p",reason="quota-exhausted"} 1"#,
            r#"rota_decisions_total{provider="p",account="b",why="rotated"} 1"#,
        ] {
            assert!(page.contains(series), "{series} is missing in\n{page}");
        }
    }

    /// OBS-2: a renamed account's series go on under its new name only.
    #[test]
    fn the_series_of_a_name_end_with_it() {
        let (telemetry, _) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        let mut renamed = world();
        crate::engine::world::edit(&mut renamed, 1, |account| account.alias = alias("new"));
        let page = telemetry.page(&renamed, &Scrape::default(), Time::from_secs(9)).expect("a page");
        assert!(!page.contains("account=\"a\"") && page.contains("account=\"b\""), "{page}");
        assert!(page.contains("account=\"new\""), "{page}");
    }

    /// OBS-1
    #[test]
    fn the_log_line_is_the_record_itself() {
        let (telemetry, lines) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        telemetry.log.flush();
        let line = lines.text();
        let mut value: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        let fields = value.as_object_mut().expect("an object");
        assert_eq!(fields.remove("target"), Some("rota::decision".into()));
        fields.remove("level");
        assert_eq!(value, serde_json::to_value(failed_over()).expect("JSON"));
        assert_eq!(telemetry.decisions().find("00ff").as_deref(), Some(&failed_over()));
    }

    /// C9: one event, one line.
    #[test]
    fn a_hostile_path_cannot_forge_a_second_line() {
        let (telemetry, lines) = telemetry(LogFormat::Text);
        telemetry.record(DecisionRecord { path: "/a\nINFO forged\u{1b}[2J".to_owned(), ..failed_over() });
        telemetry.log.flush();
        let text = lines.text();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
    }

    /// OBS-1
    #[test]
    fn the_ring_keeps_the_newest() {
        let ring = Ring::new(2);
        for id in ["1", "2", "3"] {
            ring.push(Arc::new(DecisionRecord { request_id: id.to_owned(), ..failed_over() }));
        }
        let ids: Vec<String> = ring.latest(9).iter().map(|record| record.request_id.clone()).collect();
        assert_eq!(ids, ["3", "2"]);
        assert!(ring.find("1").is_none());
    }

    #[test]
    fn a_reader_that_stops_reading_costs_lines_and_nothing_else() {
        let stuck = Stuck::default();
        let held = stuck.0.lock().expect("the lock");
        let sink = LogSink::start(LogFormat::Text, stuck.clone()).expect("a thread");
        let ring = Telemetry::new(1, sink).expect("telemetry");
        for _ in 0..6000 {
            ring.record(failed_over());
        }
        assert!(ring.log.dropped() >= 6000 - 4096 - 1, "{} dropped", ring.log.dropped());
        drop(held);
    }

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("the lock").clone()).expect("text")
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("the lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Stuck(Arc<Mutex<()>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            drop(self.0.lock().expect("the lock"));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn telemetry(format: LogFormat) -> (Telemetry, Lines) {
        let lines = Lines::default();
        let sink = LogSink::start(format, lines.clone()).expect("a thread");
        (Telemetry::new(10, sink).expect("telemetry"), lines)
    }

    fn world() -> Snapshot {
        let mut world = crate::engine::world::world(2);
        for (id, name) in [(1, "a"), (2, "b")] {
            crate::engine::world::edit(&mut world, id, |account| account.alias = alias(name));
        }
        world
    }

    fn alias(text: &str) -> Alias {
        Alias::try_from(text).expect("an alias")
    }

    fn failed_over() -> DecisionRecord {
        let attempt = |name: &str, reason: Option<Reason>| AttemptRecord {
            alias: alias(name),
            why: crate::engine::Why::Rotated,
            verdict: reason.map_or("pass", |_| FaultClass::QuotaWindow.as_str()),
            scope: reason.map(|_| "account"),
            rule: reason.map(|_| "usage-limit".to_owned()),
            reason,
            status: Some(if reason.is_some() { 429 } else { 200 }),
            ms: 12,
        };
        DecisionRecord {
            request_id: "00ff00ff00ff00ff".to_owned(),
            at: Time::from_secs(1_700_000_000),
            method: "POST".to_owned(),
            path: "/v1/responses".to_owned(),
            provider: ProviderId::try_from("p").ok(),
            model: None,
            strategy: Strategy::RoundRobin,
            session: None,
            selected_alias: Some(alias("b")),
            why: Some(crate::engine::Why::Rotated),
            fallback_reason: Some(Reason::QuotaExhausted),
            force_state: None,
            enabled_state: (2, 2),
            attempts: vec![attempt("a", Some(Reason::QuotaExhausted)), attempt("b", None)],
            sign_in: None,
            in_band: None,
            outcome: Outcome::Served,
            status: Some(200),
            refusal: None,
            reasons: std::collections::BTreeMap::new(),
            first_byte_ms: Some(30.0),
            duration_ms: 40.0,
            overhead_ms: 0.2,
            bytes_in: 10,
            bytes_out: 20,
        }
    }
}
