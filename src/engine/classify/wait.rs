//! How providers write a time or a wait: Go durations, plain numbers, epochs, dates, and "try again in 11.054s". What
//! is absurd saturates, what is garbage is nothing; nothing here panics.
use crate::model::{ResetFormat, Time};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::time::Duration;

/// What "never" saturates to: a hundred years, so that sums of times cannot overflow.
const AGES: Duration = Duration::from_secs(100 * 366 * 86_400);

/// Words that announce a wait in a message, in lower case.
const MARKERS: [&str; 4] = ["try again in ", "retry in ", "try again after ", "retry after "];

/// The time that `text`, written as `format`, names. A negative wait ends now. Zero as an epoch is no data: that is how
/// an absent window is written.
pub(in crate::engine) fn read(text: &str, format: ResetFormat, now: Time) -> Option<Time> {
    let text = text.trim();
    match format {
        ResetFormat::Duration => written(text).or_else(|| seconds(text)).map(|wait| now.after(wait)),
        ResetFormat::EpochMillis => number(text)
            .filter(|epoch| *epoch != 0.0)
            .map(|epoch| Time::from_millis(0).after(span(epoch / 1000.0))),
        ResetFormat::EpochSeconds => {
            number(text).filter(|epoch| *epoch != 0.0).map(|epoch| Time::from_millis(0).after(span(epoch)))
        }
        ResetFormat::Millis => number(text).map(|wait| now.after(span(wait / 1000.0))),
        ResetFormat::Rfc3339 => text.parse::<Timestamp>().ok().map(time),
        ResetFormat::Seconds => seconds(text).map(|wait| now.after(wait)),
    }
}

/// `Retry-After` in all its dialects: seconds, a duration, or a date (RFC 9110 §10.2.3, §5.6.7).
pub(super) fn retry_after(text: &str, now: Time) -> Option<Time> {
    read(text, ResetFormat::Duration, now)
        .or_else(|| http_date(text.trim()))
        .or_else(|| read(text, ResetFormat::Rfc3339, now))
}

/// The wait that a message, in lower case, announces in words.
pub(super) fn in_message(message: &str) -> Option<Duration> {
    MARKERS.iter().find_map(|marker| {
        message
            .match_indices(marker)
            .find_map(|(at, _)| leading(&message[at + marker.len()..]))
            .map(|(wait, _)| wait)
    })
}

/// A duration and nothing else: `6m0s`, `1h2m3s`, `34.07s`, `250ms`, with a sign where somebody computed one.
fn written(text: &str) -> Option<Duration> {
    let lower = match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    };
    let (digits, negative) = match lower.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (lower.strip_prefix('+').unwrap_or(&lower), false),
    };
    let (wait, rest) = leading(digits)?;
    rest.trim().is_empty().then_some(if negative { Duration::ZERO } else { wait })
}

/// The duration that `text`, in lower case, begins with, and what follows it.
fn leading(text: &str) -> Option<(Duration, &str)> {
    let mut rest = text;
    let mut total: Option<Duration> = None;
    while let Some((part, after)) = component(rest) {
        total = Some(total.unwrap_or_default().saturating_add(part).min(AGES));
        rest = after;
    }
    total.map(|total| (total, rest))
}

/// One number and its unit.
fn component(text: &str) -> Option<(Duration, &str)> {
    let text = text.trim_start();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number = number(&text[..digits])?;
    let rest = text[digits..].trim_start_matches(' ');
    let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
    let unit = match &rest[..letters] {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" | "millisecond" | "milliseconds" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    Some((span(number * unit), &rest[letters..]))
}

fn seconds(text: &str) -> Option<Duration> {
    number(text).map(span)
}

/// A decimal number. `NaN` is not one; what is beyond all bounds is infinite.
pub(in crate::engine) fn number(text: &str) -> Option<f64> {
    // Most are whole and short, and need no rounding.
    let whole = |sum: u32, byte: u8| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0'));
    if (1..10).contains(&text.len())
        && let Some(number) = text.bytes().try_fold(0, whole)
    {
        return Some(f64::from(number));
    }
    text.parse::<f64>().ok().filter(|number| !number.is_nan())
}

/// Seconds as a span: never negative, at most [`AGES`].
fn span(seconds: f64) -> Duration {
    let bounded = seconds.clamp(0.0, AGES.as_secs_f64());
    Duration::try_from_secs_f64(bounded).unwrap_or(AGES)
}

/// The three forms of RFC 9110 §5.6.7. The name of the day is not believed: only the date counts.
fn http_date(text: &str) -> Option<Time> {
    let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
    if let Ok(stamp) = parser.parse_timestamp(text) {
        return Some(time(stamp));
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| DateTime::strptime(form, text).ok())
        .and_then(|civil| TimeZone::UTC.to_timestamp(civil).ok())
        .map(time)
}

fn time(stamp: Timestamp) -> Time {
    Time::from_millis(u64::try_from(stamp.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Time = Time::from_secs(1_776_654_252);

    /// FLO-4
    #[test]
    fn every_dialect_of_a_wait_is_read() {
        use ResetFormat::{Duration as Written, EpochMillis, EpochSeconds, Millis, Rfc3339, Seconds};
        let cases = [
            ("6m0s", Written, Some(360_000)),
            ("1h2m3s", Written, Some(3_723_000)),
            ("20ms", Written, Some(20)),
            ("34.07s", Written, Some(34_070)),
            ("1d", Written, Some(86_400_000)),
            ("1h 2m", Written, Some(3_720_000)),
            ("-5s", Written, Some(0)),
            ("30", Written, Some(30_000)),
            ("", Written, None),
            ("soon", Written, None),
            ("5 parsecs", Written, None),
            ("6m0s!", Written, None),
            ("1.2.3s", Written, None),
            ("2.5", Seconds, Some(2500)),
            ("-1", Seconds, Some(0)),
            ("NaN", Seconds, None),
            ("1e400", Seconds, Some(AGES.as_millis())),
            ("250", Millis, Some(250)),
            ("1776654262", EpochSeconds, Some(10_000)),
            ("1776654262500", EpochMillis, Some(10_500)),
            ("0", EpochSeconds, None),
            ("-3", EpochSeconds, Some(0)),
            ("2026-04-20T03:04:22Z", Rfc3339, Some(10_000)),
            ("2026-04-20T05:04:22+02:00", Rfc3339, Some(10_000)),
            ("1926-04-20T03:04:22Z", Rfc3339, Some(0)),
            ("next week", Rfc3339, None),
        ];
        for (text, format, wait) in cases {
            let told = read(text, format, NOW).map(|time| NOW.until(time).as_millis());
            assert_eq!(told, wait, "{text:?} as {format:?}");
        }
    }

    /// FLO-4
    #[test]
    fn retry_after_is_seconds_a_duration_or_any_date_of_http() {
        let cases = [
            ("120", Some(120_000)),
            (" 1.5 ", Some(1500)),
            ("6m0s", Some(360_000)),
            ("Mon, 20 Apr 2026 03:05:12 GMT", Some(60_000)),
            ("Fri, 20 Apr 2026 03:05:12 GMT", Some(60_000)),
            ("Monday, 20-Apr-26 03:05:12 GMT", Some(60_000)),
            ("Mon Apr 20 03:05:12 2026", Some(60_000)),
            ("2026-04-20T03:05:12Z", Some(60_000)),
            ("Mon, 20 Apr 1926 03:05:12 GMT", Some(0)),
            ("1000000000000", Some(AGES.as_millis())),
            ("-7", Some(0)),
            ("later", None),
            ("", None),
        ];
        for (text, wait) in cases {
            let told = retry_after(text, NOW).map(|time| NOW.until(time).as_millis());
            assert_eq!(told, wait, "{text:?}");
        }
    }

    /// FLO-4
    #[test]
    fn a_wait_in_words_is_found_wherever_it_stands() {
        let cases = [
            ("rate limit reached. please try again in 11.054s. visit", Some(11_054)),
            ("please retry in 34.07s.", Some(34_070)),
            ("try again in 2 minutes 3 seconds", Some(123_000)),
            ("try again in 6m0s", Some(360_000)),
            ("try again in 20ms", Some(20)),
            ("try again in a while, or try again in 1 hour", Some(3_600_000)),
            ("retry after 5 seconds", Some(5000)),
            ("try again in 5", None),
            ("try again in ", None),
            ("try again later", None),
        ];
        for (message, wait) in cases {
            let told = in_message(message).map(|wait| wait.as_millis());
            assert_eq!(told, wait, "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn a_whole_number_is_read_as_any_other(text in "[0-9]{1,12}|[-+]?[0-9]{0,3}[.]?[0-9]{0,9}e?[0-9]{0,2}| [0-9]") {
            prop_assert_eq!(number(&text), text.parse::<f64>().ok());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reading_panic(text in "\\PC{0,60}", digits in "[-+0-9.eE]{0,40}(ms|s|m|h|d| µs|)") {
            for text in [&text, &digits] {
                for format in [ResetFormat::Duration, ResetFormat::EpochMillis, ResetFormat::EpochSeconds,
                    ResetFormat::Millis, ResetFormat::Rfc3339, ResetFormat::Seconds] {
                    let _ = read(text, format, NOW);
                }
                let _ = retry_after(text, NOW);
                let _ = in_message(&format!("try again in {text}"));
            }
        }
    }
}
