use super::catalogue::{CATALOGUE, Metric, MetricKind};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The metrics page as it is made: what is set, in the text format that Prometheus reads (version 0.0.4).
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Ready lines, by metric.
    lines: BTreeMap<&'static str, String>,
}

impl Page {
    /// One value. Labels as they are to be shown, in order.
    pub(super) fn set(&mut self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        let lines = self.lines.entry(name).or_default();
        line(lines, (name, ""), labels, None, value);
    }

    /// A histogram's buckets, sum and count.
    pub(super) fn spread(&mut self, name: &'static str, labels: &[(&str, &str)], spread: &Histogram) {
        let lines = self.lines.entry(name).or_default();
        let mut below = 0;
        for (bound, count) in spread.bounds.iter().zip(&spread.counts) {
            below += count;
            line(lines, (name, "_bucket"), labels, Some(&bound.to_string()), below as f64);
        }
        line(lines, (name, "_bucket"), labels, Some("+Inf"), spread.count as f64);
        line(lines, (name, "_sum"), labels, None, spread.sum);
        line(lines, (name, "_count"), labels, None, spread.count as f64);
    }

    /// The text, in the catalogue's order. What was never set is absent.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for Metric { name, kind, help, .. } in CATALOGUE {
            let Some(lines) = self.lines.get(name) else { continue };
            let kind = match kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            // A String takes whatever is written to it.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            text.push_str(lines);
            text.push('\n');
        }
        text
    }
}

fn line(to: &mut String, name: (&str, &str), labels: &[(&str, &str)], le: Option<&str>, value: f64) {
    let _ = write!(to, "{}{}", name.0, name.1);
    let le = le.map(|bound| ("le", bound));
    let mut mark = '{';
    for (label, value) in labels.iter().copied().chain(le) {
        let _ = write!(to, "{mark}{label}=\"");
        for c in value.chars() {
            match c {
                '"' | '\\' => to.extend(['\\', c]),
                '\n' => to.push_str("\\n"),
                c => to.push(c),
            }
        }
        to.push('"');
        mark = ',';
    }
    if mark == ',' {
        to.push('}');
    }
    let _ = writeln!(to, " {value}");
}

/// Observations by size, in fixed memory.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// The one of the catalogue with this name; one without bounds where there is none.
    pub(super) fn of(name: &str) -> Self {
        let bounds = CATALOGUE.iter().find(|metric| metric.name == name).map_or(&[][..], |it| it.buckets);
        Self { bounds, counts: vec![0; bounds.len()], count: 0, sum: 0.0 }
    }

    pub(super) fn record(&mut self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.count += 1;
        self.sum += value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalogue as names;

    /// OBS-2
    #[test]
    fn the_page_is_what_prometheus_reads() {
        let mut page = Page::default();
        page.set(names::WEBSOCKETS, &[], 2.0);
        page.set(names::PINS, &[("provider", "a\"\\\nb")], 0.5);
        page.set(names::PINS, &[("provider", "c"), ("more", "d")], 1e9);
        let expected = "# HELP rota_pins Sessions that have an account.\n# TYPE rota_pins gauge\n\
                        rota_pins{provider=\"a\\\"\\\\\\nb\"} 0.5\nrota_pins{provider=\"c\",more=\"d\"} 1000000000\n\n\
                        # HELP rota_websockets WebSockets that are open.\n# TYPE rota_websockets gauge\n\
                        rota_websockets 2\n\n";
        assert_eq!(page.render(), expected);
    }

    #[test]
    fn a_histogram_counts_each_observation_in_every_bucket_it_fits() {
        let mut spread = Histogram::of(names::OVERHEAD_SECONDS);
        for value in [0.000_05, 0.000_07, 0.3] {
            spread.record(value);
        }
        let mut page = Page::default();
        page.spread(names::OVERHEAD_SECONDS, &[("provider", "p")], &spread);
        let text = page.render();
        for line in [
            "rota_overhead_seconds_bucket{provider=\"p\",le=\"0.00005\"} 1\n",
            "rota_overhead_seconds_bucket{provider=\"p\",le=\"0.0001\"} 2\n",
            "rota_overhead_seconds_bucket{provider=\"p\",le=\"0.25\"} 2\n",
            "rota_overhead_seconds_bucket{provider=\"p\",le=\"+Inf\"} 3\n",
            "rota_overhead_seconds_count{provider=\"p\"} 3\n",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
