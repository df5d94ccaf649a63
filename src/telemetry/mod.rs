//! What happened, told once: a request's decision record becomes the log line, the counters and the entry behind
//! `rota why`. The data comes from the failover's trail and the snapshot; nothing here decides anything, and nothing
//! here can hold a secret.
mod brief;
mod catalogue;
mod desk;
mod gauges;
mod line;
mod log;
mod page;
mod process;
mod record;
mod ring;
mod series;
mod stats;

pub use brief::Brief;
pub use catalogue::{CATALOGUE, Metric, MetricKind};
pub use gauges::{Probes, Renewals, Scrape, StoreFigures};
pub use log::{LogFormat, LogSink, log_panics, subscribe};
pub use record::{AttemptRecord, DecisionRecord, InBandRecord, Outcome, SignInRecord, SkipRecord};
pub use ring::Ring;
pub use series::SessionEvent;
pub use stats::{BUCKET_SECONDS, MOST_BUCKETS, Quantiles, Report, Stats, Sums};

use crate::model::{ProviderId, Snapshot, Time};
use desk::Desk;
use page::Page;
use std::io;
use std::sync::Arc;
use tokio::sync::broadcast;

/// The three sinks of decision records, and the metrics page.
pub struct Telemetry {
    desk: Desk,
    log: LogSink,
}

impl Telemetry {
    /// `decisions` records are kept for `rota why`; lines go to `log`. The error is why no thread could be started.
    pub fn new(decisions: usize, log: LogSink) -> io::Result<Self> {
        Ok(Self { desk: Desk::open(decisions, log.clone())?, log })
    }

    /// Takes a finished request's record: once per request, at its end. It is told shortly after, or as soon as somebody
    /// asks.
    pub fn record(&self, record: DecisionRecord) {
        self.desk.take(record);
    }

    /// What the last `hours` were like.
    pub fn stats(&self, hours: usize, now: Time) -> Report {
        self.desk.report(hours, now)
    }

    /// Counts what happened to a session.
    pub fn session(&self, event: SessionEvent, provider: &ProviderId) {
        self.desk.count_session(event, provider);
    }

    /// Counts a force that ended before its time; `reason` is one of the words of FLO-7, or `removed`.
    pub fn force_ended(&self, reason: &str) {
        self.desk.count_force(reason);
    }

    /// Every record from now on. Who is late by more than a few hundred is told how many it has missed; nobody waits for it.
    pub fn follow(&self) -> broadcast::Receiver<Arc<DecisionRecord>> {
        self.desk.follow()
    }

    /// The latest decisions.
    pub fn decisions(&self) -> &Ring {
        self.desk.tell();
        self.desk.ring()
    }

    /// Returns once every record taken before has been told to the log.
    pub fn flush(&self) {
        self.desk.tell();
    }

    /// The page that Prometheus reads: counters and histograms as they grew, gauges as the snapshot is now. What is
    /// unknown is absent, never 0 (OBS-2).
    pub fn page(&self, world: &Snapshot, scrape: &Scrape, now: Time) -> String {
        let mut page = Page::default();
        self.desk.show(&mut page, world);
        gauges::set(&mut page, world, scrape, now);
        gauges::of_log(&mut page, &self.log);
        process::set(&mut page);
        page.render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Alias, FaultClass, ProviderId, Reason, RequestId, Strategy};
    use std::collections::BTreeSet;
    use std::io::Write;
    use std::sync::Mutex;

    /// OBS-2
    #[test]
    fn every_series_on_the_page_is_in_the_catalogue_with_a_help_text() {
        let (telemetry, _) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        let page = telemetry.page(&world(), &Scrape::default(), Time::from_secs(9));
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
        let page = telemetry.page(&world(), &Scrape::default(), Time::from_secs(9));
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
        let page = telemetry.page(&renamed, &Scrape::default(), Time::from_secs(9));
        assert!(!page.contains("account=\"a\"") && page.contains("account=\"b\""), "{page}");
        assert!(page.contains("account=\"new\""), "{page}");
        let page = telemetry.page(&world(), &Scrape::default(), Time::from_secs(9));
        let counted = r#"rota_attempts_total{provider="p",account="a""#;
        assert!(!page.contains(counted), "it was freed, and does not come back with the name: {page}");
        assert!(page.contains(r#"rota_attempts_total{provider="p",account="b""#), "{page}");
    }

    /// OBS-2
    #[test]
    fn the_series_of_a_provider_end_with_it() {
        let (telemetry, _) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        telemetry.record(DecisionRecord { provider: None, ..failed_over() });
        let gone = Snapshot { providers: Vec::new().into(), ..world() };
        telemetry.page(&gone, &Scrape::default(), Time::from_secs(9));
        let page = telemetry.page(&world(), &Scrape::default(), Time::from_secs(9));
        assert!(!page.contains(r#"rota_requests_total{provider="p""#), "{page}");
        assert!(
            page.contains(r#"rota_requests_total{provider="none""#),
            "what means no provider stays: {page}"
        );
    }

    /// OBS-1
    #[test]
    fn the_log_line_is_the_record_itself() {
        let (telemetry, lines) = telemetry(LogFormat::Json);
        telemetry.record(failed_over());
        telemetry.flush();
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
        telemetry.record(DecisionRecord { path: "/a\nINFO forged\u{1b}[2J".into(), ..failed_over() });
        telemetry.flush();
        telemetry.log.flush();
        let text = lines.text();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
    }

    /// OBS-1
    #[test]
    fn the_ring_keeps_the_newest() {
        let ring = Ring::new(2);
        for id in [0x1a, 0x2a, 0x3a] {
            let request_id = RequestId(id << 56);
            ring.push(Arc::new(DecisionRecord { request_id, ..failed_over() }));
        }
        let ids: Vec<u64> = ring.latest(9).iter().map(|record| record.request_id.0 >> 56).collect();
        assert_eq!(ids, [0x3a, 0x2a]);
        assert!(ring.find("1").is_none() && ring.find("2a00").is_some());
    }

    #[test]
    fn a_reader_that_stops_reading_costs_lines_and_nothing_else() {
        let stuck = Stuck::default();
        let held = stuck.0.lock().expect("the lock");
        let sink = LogSink::start(LogFormat::Text, stuck.clone()).expect("a thread");
        let ring = Telemetry::new(1, sink).expect("telemetry");
        for _ in 0..20_000 {
            ring.record(failed_over());
        }
        ring.flush();
        // What waits, and what the writer has in its hands.
        assert!(ring.log.dropped() >= 20_000 - 2 * 4096, "{} dropped", ring.log.dropped());
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
            rule: reason.map(|_| "usage-limit".into()),
            reason,
            status: Some(if reason.is_some() { 429 } else { 200 }),
            ms: 12,
        };
        DecisionRecord {
            request_id: RequestId(0x00ff_00ff_00ff_00ff),
            at: Time::from_secs(1_700_000_000),
            method: http::Method::POST,
            path: "/v1/responses".into(),
            client: None,
            provider: ProviderId::try_from("p").ok(),
            model: None,
            strategy: Strategy::RoundRobin,
            session: None,
            selected_alias: Some(alias("b")),
            why: Some(crate::engine::Why::Rotated),
            fallback_reason: Some(Reason::QuotaExhausted),
            force_state: None,
            enabled_state: (2, 2),
            attempts: [attempt("a", Some(Reason::QuotaExhausted)), attempt("b", None)].into_iter().collect(),
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
