//! When a fault is over: the rule's sources in order, the first that parses holds, within the rule's clamp.
use super::body::Told;
use super::wait;
use crate::engine::observe::spent_until;
use crate::model::{CooldownSource, CoolingSource, Provider, ResetFormat, Rule, Time};
use http::HeaderMap;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The reply as the sources see it.
pub(super) struct Heard<'a> {
    /// Whose reply it is.
    pub(super) provider: &'a Provider,
    /// Its headers.
    pub(super) headers: &'a HeaderMap,
    /// Its body.
    pub(super) told: &'a Told,
}

/// When the fault that `rule` found is over, and who said so; none where neither the reply nor the rule says.
pub(super) fn resets(rule: &Rule, heard: &Heard<'_>, now: Time) -> Option<(Time, CoolingSource)> {
    let (until, source) = rule
        .cooldown
        .iter()
        .find_map(|source| read(source, heard, now))
        .or_else(|| Some((now.after(rule.otherwise?), CoolingSource::Fixed)))?;
    let wait = now.until(until).max(rule.clamp.least).min(rule.clamp.most);
    Some((now.after(wait), source))
}

fn read(source: &CooldownSource, heard: &Heard<'_>, now: Time) -> Option<(Time, CoolingSource)> {
    let (until, by) = match source {
        CooldownSource::Body { pointer, format } => {
            let values = heard.told.at(pointer);
            let until = values.iter().find_map(|text| wait::read(text, *format, now));
            (until, CoolingSource::Body)
        }
        CooldownSource::DayEnd(zone) => (day_end(zone, now), CoolingSource::Fixed),
        CooldownSource::Header { name, format } => {
            let until = values(heard.headers, name.as_str()).find_map(|text| wait::read(text, *format, now));
            (until, CoolingSource::LimitHeader)
        }
        CooldownSource::LimitWindows => {
            (spent_until(heard.provider, heard.headers, now), CoolingSource::LimitHeader)
        }
        CooldownSource::MessageWait => {
            (wait::in_message(&heard.told.message).map(|wait| now.after(wait)), CoolingSource::Body)
        }
        CooldownSource::MonthEnd => (month_end(now), CoolingSource::Fixed),
        CooldownSource::RetryAfter => (retry_after(heard.headers, now), CoolingSource::RetryAfter),
    };
    until.map(|until| (until, by))
}

fn retry_after(headers: &HeaderMap, now: Time) -> Option<Time> {
    let millis =
        values(headers, "retry-after-ms").find_map(|text| wait::read(text, ResetFormat::Millis, now));
    millis.or_else(|| values(headers, "retry-after").find_map(|text| wait::retry_after(text, now)))
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

/// The next midnight in `zone`.
fn day_end(zone: &TimeZone, now: Time) -> Option<Time> {
    let today = stamp(now)?.to_zoned(zone.clone()).date();
    let midnight = today.tomorrow().ok()?.to_zoned(zone.clone()).ok()?;
    Some(time(midnight.timestamp()))
}

/// The first of next month, 00:00 UTC.
fn month_end(now: Time) -> Option<Time> {
    let today = stamp(now)?.to_zoned(TimeZone::UTC).date();
    let first = today.first_of_month().checked_add(1.month()).ok()?;
    Some(time(first.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

fn stamp(now: Time) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(now.as_millis()).ok()?).ok()
}

fn time(stamp: Timestamp) -> Time {
    Time::from_millis(u64::try_from(stamp.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FLO-4
    #[test]
    fn a_day_ends_at_midnight_where_the_provider_lives_also_when_its_clocks_change() {
        let pacific = TimeZone::posix("PST8PDT,M3.2.0,M11.1.0").expect("a zone");
        let cases = [
            ("2026-04-20T03:04:12Z", "2026-04-20T07:00:00Z"),
            ("2026-01-20T08:00:00Z", "2026-01-21T08:00:00Z"),
            ("2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"),
        ];
        for (now, end) in cases {
            assert_eq!(day_end(&pacific, at(now)), Some(at(end)), "{now}");
        }
    }

    /// FLO-4
    #[test]
    fn a_month_ends_on_the_first_of_the_next() {
        let cases = [
            ("2026-04-20T03:04:12Z", "2026-05-01T00:00:00Z"),
            ("2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"),
        ];
        for (now, end) in cases {
            assert_eq!(month_end(at(now)), Some(at(end)), "{now}");
        }
    }

    #[test]
    fn the_end_of_time_has_no_calendar() {
        assert_eq!(month_end(Time::from_millis(u64::MAX)), None);
        assert_eq!(day_end(&TimeZone::UTC, Time::from_millis(u64::MAX)), None);
    }

    fn at(text: &str) -> Time {
        time(text.parse().expect("a date"))
    }
}
