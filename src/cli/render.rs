//! Words and columns for people. What is unknown is called so; a time is absolute and relative.
use super::Setup;
use crate::clock::Clock;
use jiff::{SignedDuration, Timestamp};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// A table with aligned columns; a column is as wide as its widest cell.
pub(super) fn table(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!(" {cell:<width$} "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A path for people: from the home directory on.
pub(super) fn shown_path(setup: &Setup, path: &Path) -> String {
    let home = setup.sources.variable("HOME").filter(|home| !home.is_empty() && *home != "/");
    match home.and_then(|home| path.strip_prefix(home).ok()) {
        Some(below) => format!("~/{}", below.display()),
        None => path.display().to_string(),
    }
}

/// This machine's time.
pub(super) fn now() -> Timestamp {
    let millis = i64::try_from(Clock::System.now().as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

/// True where standard output is a terminal that can be written over: not `TERM=dumb`, and not what somebody reads later.
pub(super) fn is_terminal(setup: &Setup) -> bool {
    let dumb = setup.sources.variable("TERM").is_none_or(|term| term == "dumb");
    !dumb && io::stdout().is_terminal()
}

/// `in 6 min`, `in 1 h 12 min`, `3 d ago`.
pub(super) fn relative(at: Timestamp, now: Timestamp) -> String {
    let span = at.duration_since(now);
    let words = span_words(span.abs());
    if span.is_negative() { format!("{words} ago") } else { format!("in {words}") }
}

/// `6 min`, `1 h 12 min`, `3 d 2 h`: from one time to the other.
pub(super) fn span(one: Timestamp, other: Timestamp) -> String {
    span_words(one.duration_since(other).abs())
}

/// The same in its largest unit: `6 min`, `1 h`, `3 d`.
pub(super) fn about(one: Timestamp, other: Timestamp) -> String {
    let words = span(one, other);
    words.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `in 1 h 12 min`, but in whole days from a day on: `in 3 d`.
pub(super) fn soon(at: Timestamp, now: Timestamp) -> String {
    match at.duration_since(now).as_hours() {
        ..24 => relative(at, now),
        _ => format!("in {}", about(at, now)),
    }
}

/// `14:31` where it is today, `Sun 09:00` within six days, else `18 Nov 09:00`.
pub(super) fn hour(at: Timestamp, now: Timestamp) -> String {
    let zone = jiff::tz::TimeZone::system();
    let (there, here) = (at.to_zoned(zone.clone()), now.to_zoned(zone));
    let form = match at.duration_since(now).as_hours() {
        _ if there.date() == here.date() => "%H:%M",
        0..144 => "%a %H:%M",
        _ => "%-d %b %H:%M",
    };
    there.strftime(form).to_string()
}

/// `14:31:05` where it is today, else `18 Nov 14:31:05`.
pub(super) fn clock(text: &str, now: Timestamp) -> String {
    let Ok(at) = text.parse::<Timestamp>() else {
        return text.to_owned();
    };
    let zone = jiff::tz::TimeZone::system();
    let (there, here) = (at.to_zoned(zone.clone()), now.to_zoned(zone));
    let form = if there.date() == here.date() { "%H:%M:%S" } else { "%-d %b %H:%M:%S" };
    there.strftime(form).to_string()
}

/// `310 ms`, `1.31 s`.
pub(super) fn took(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0} ms") } else { format!("{:.2} s", ms / 1000.0) }
}

/// `14:31` where it is today, else `18 Nov`.
pub(super) fn day(at: Timestamp, now: Timestamp) -> String {
    let zone = jiff::tz::TimeZone::system();
    let (there, here) = (at.to_zoned(zone.clone()), now.to_zoned(zone));
    let form = if there.date() == here.date() { "%H:%M" } else { "%-d %b" };
    there.strftime(form).to_string()
}

/// `14:31 (in 22 min)`, with the date where it is not today.
pub(super) fn moment(text: &str, now: Timestamp) -> String {
    let Ok(at) = text.parse::<Timestamp>() else {
        return text.to_owned();
    };
    let zone = jiff::tz::TimeZone::system();
    let (there, here) = (at.to_zoned(zone.clone()), now.to_zoned(zone));
    let form = if there.date() == here.date() { "%H:%M" } else { "%a %d %b %H:%M" };
    format!("{} ({})", there.strftime(form), relative(at, now))
}

fn span_words(span: SignedDuration) -> String {
    let minutes = span.as_mins();
    match (span.as_secs(), minutes) {
        (secs, _) if secs < 60 => format!("{secs} s"),
        (_, mins) if mins < 60 => format!("{mins} min"),
        (_, mins) if mins < 24 * 60 => format!("{} h {:02} min", mins / 60, mins % 60),
        (_, mins) => format!("{} d {} h", mins / (24 * 60), mins / 60 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_units_people_use() {
        let now = Timestamp::UNIX_EPOCH;
        for (secs, words) in [
            (42, "in 42 s"),
            (6 * 60, "in 6 min"),
            (72 * 60, "in 1 h 12 min"),
            (3 * 86_400 + 7_200, "in 3 d 2 h"),
            (-90, "1 min ago"),
        ] {
            let at = now + SignedDuration::from_secs(secs);
            assert_eq!(relative(at, now), words);
        }
        for (secs, large, when) in
            [(42, "42 s", "in 42 s"), (4_380, "1 h", "in 1 h 13 min"), (6 * 86_400 + 7_200, "6 d", "in 6 d")]
        {
            let at = now + SignedDuration::from_secs(secs);
            assert_eq!((about(at, now).as_str(), soon(at, now).as_str()), (large, when));
        }
    }

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let mut out = Vec::new();
        let rows = [vec!["a".to_owned(), "x".to_owned()], vec!["longer".to_owned(), "y".to_owned()]];
        table(&mut out, &["ALIAS", "STATE"], &rows).expect("written");
        assert_eq!(String::from_utf8_lossy(&out), "  ALIAS   STATE\n  a       x\n  longer  y\n");
    }
}
