use super::ApiError;
use super::extract::Asked;
use super::shape::Span;
use super::view::Stamp;
use crate::app::App;
use crate::engine::{Outlook, outlook};
use crate::model::{Alias, Time};
use crate::telemetry::{BUCKET_SECONDS, MOST_BUCKETS, Quantiles, Report};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A day.
const WINDOW: &str = "24h";
/// The same in hours.
const DAY: usize = 24;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    #[schemars(with = "Option<Span>")]
    window: Option<String>,
}

/// `GET /api/stats`: what came of the requests of a while, and what is left.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsView {
    window: String,
    from: Stamp,
    to: Stamp,
    bucket_seconds: u64,
    requests: u64,
    answered: u64,
    /// From 0 to 1, of those whose client waited; null before the first.
    answered_share: Option<f64>,
    saved: u64,
    refused: u64,
    passed: u64,
    abandoned: u64,
    overhead_ms: QuantilesView,
    first_byte_ms: QuantilesView,
    by_account: Vec<ShareView>,
    series: Vec<BucketView>,
    capacity: CapacityView,
}

#[derive(Serialize, JsonSchema)]
struct QuantilesView {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

/// What came of the requests of the last 24 hours, counted since rota started.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayView {
    requests: u64,
    answered: u64,
    saved: u64,
    by_account: Vec<ShareView>,
}

/// An account's part of what was served.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct ShareView {
    alias: String,
    requests: u64,
    /// From 0 to 1.
    share: f64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct BucketView {
    at: Stamp,
    by_account: BTreeMap<String, u64>,
}

/// How much is left in all, and who runs dry first at the pace of the last hour.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityView {
    remaining_percent: Option<f64>,
    empties_first: Option<EmptiesView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
struct EmptiesView {
    alias: String,
    at: Stamp,
}

/// `GET /api/stats?window=24h`
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Asked(query): Asked<Window>,
) -> Result<Json<StatsView>, ApiError> {
    let window = query.window.unwrap_or_else(|| WINDOW.to_owned());
    let hours = hours(&window)?;
    let now = app.clock.now();
    let outlook = outlook(&app.state.snapshot(), now);
    Ok(Json(StatsView::of(window, app.telemetry.stats(hours, now), outlook, now.into())))
}

/// `1h` to `168h`, or `1d` to `7d`.
fn hours(window: &str) -> Result<usize, ApiError> {
    let read = |end: char, each: usize| {
        window.strip_suffix(end).and_then(|n| n.parse::<usize>().ok()).map(|n| n.saturating_mul(each))
    };
    let hours = read('h', 1).or_else(|| read('d', 24));
    hours.filter(|hours| (1..=MOST_BUCKETS).contains(hours)).ok_or_else(|| {
        ApiError::invalid("window", format!("must be 1h to {MOST_BUCKETS}h, or 1d to {}d", MOST_BUCKETS / 24))
    })
}

impl DayView {
    /// At `now`.
    pub(super) fn of(app: &App, now: Time) -> Self {
        let Report { sums, by_account, .. } = app.telemetry.stats(DAY, now);
        Self {
            requests: sums.requests,
            answered: sums.answered,
            saved: sums.saved,
            by_account: shares(by_account),
        }
    }
}

fn shares(by_account: Vec<(Alias, u64)>) -> Vec<ShareView> {
    let all: u64 = by_account.iter().map(|(_, requests)| requests).sum();
    let share = |(alias, requests): (Alias, u64)| ShareView {
        alias: alias.to_string(),
        requests,
        share: requests as f64 / all.max(1) as f64,
    };
    by_account.into_iter().map(share).collect()
}

impl From<Outlook> for CapacityView {
    fn from(outlook: Outlook) -> Self {
        let empties = |(alias, at): (Alias, Time)| EmptiesView { alias: alias.to_string(), at: at.into() };
        Self { remaining_percent: outlook.remaining, empties_first: outlook.empties_first.map(empties) }
    }
}

impl StatsView {
    fn of(window: String, report: Report, outlook: Outlook, to: Stamp) -> Self {
        let sums = report.sums;
        Self {
            window,
            from: report.from.into(),
            to,
            bucket_seconds: BUCKET_SECONDS,
            requests: sums.requests,
            answered: sums.answered,
            answered_share: sums.answered_share(),
            saved: sums.saved,
            refused: sums.refused,
            passed: sums.passed,
            abandoned: sums.abandoned,
            overhead_ms: report.overhead.into(),
            first_byte_ms: report.first_byte.into(),
            by_account: shares(report.by_account),
            series: (report.series.into_iter())
                .map(|(at, counts)| BucketView {
                    at: at.into(),
                    by_account: counts.into_iter().map(|(alias, count)| (alias.to_string(), count)).collect(),
                })
                .collect(),
            capacity: outlook.into(),
        }
    }
}

impl From<Quantiles> for QuantilesView {
    fn from(of: Quantiles) -> Self {
        Self { p50: of.p50, p95: of.p95, p99: of.p99 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Sums;
    use serde_json::json;

    #[test]
    fn a_window_is_hours_or_days_up_to_a_week() {
        for (window, expected) in
            [("1h", Some(1)), ("24h", Some(24)), ("7d", Some(168)), ("168h", Some(168)), ("1d", Some(24))]
        {
            assert_eq!(hours(window).ok(), expected, "{window}");
        }
        for window in ["", "h", "0h", "169h", "8d", "1", "-1h", "1.5h", "1w", "99999999999999999999d"] {
            assert!(hours(window).is_err(), "{window}");
        }
    }

    #[test]
    fn a_report_is_shown_with_shares_and_what_is_unknown_is_null() {
        let alias = |text: &str| Alias::try_from(text).expect("an alias");
        let at = Time::from_secs(1_800_000_000);
        let report = Report {
            from: at,
            sums: Sums { requests: 5, answered: 3, saved: 1, refused: 1, passed: 0, abandoned: 1 },
            by_account: vec![(alias("a"), 3), (alias("b"), 1)],
            overhead: Quantiles { p50: Some(0.2), p95: Some(0.9), p99: Some(1.2) },
            first_byte: Quantiles::default(),
            series: vec![(at, BTreeMap::from([(alias("a"), 3), (alias("b"), 1)]))],
        };
        let outlook = Outlook { remaining: None, empties_first: Some((alias("a"), at)) };
        let shown = serde_json::to_value(StatsView::of("1h".to_owned(), report, outlook, at.into()));
        let when = "2027-01-15T08:00:00Z";
        let expected = json!({
            "window": "1h", "from": when, "to": when, "bucketSeconds": 3600,
            "requests": 5, "answered": 3, "answeredShare": 0.75, "saved": 1, "refused": 1, "passed": 0, "abandoned": 1,
            "overheadMs": {"p50": 0.2, "p95": 0.9, "p99": 1.2},
            "firstByteMs": {"p50": null, "p95": null, "p99": null},
            "byAccount": [{"alias": "a", "requests": 3, "share": 0.75}, {"alias": "b", "requests": 1, "share": 0.25}],
            "series": [{"at": when, "byAccount": {"a": 3, "b": 1}}],
            "capacity": {"remainingPercent": null, "emptiesFirst": {"alias": "a", "at": when}},
        });
        assert_eq!(shown.expect("JSON"), expected);
    }
}
