//! What a reply's headers tell about an account's quota. The windows are named by the preset; whether the reply is one
//! to learn from is the caller's to know: only a successful reply that completed counts (LIM-1).
use super::classify::wait;
use crate::model::{
    LimitHeaders, LimitSample, LimitSource, LimitWindow, Limits, Measure, ModelName, Provider, Time,
};
use http::{HeaderMap, HeaderName};
use std::sync::Arc;
use std::time::Duration;

/// Headers in which a reply tells its id.
static RESPONSE_IDS: [HeaderName; 3] = [
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("request-id"),
    HeaderName::from_static("x-oai-request-id"),
];
/// A longer one is none.
const LONGEST_ID: usize = 128;
/// A reset further off than this is no reset of a quota window.
pub(super) const FARTHEST: Duration = Duration::from_secs(366 * 86_400);
/// Resets that move by less than this are the provider's jitter, not another window.
const JITTER: Duration = Duration::from_secs(60);
/// An observation this much younger is news whatever it says: it shows that the limits are fresh.
const NEWS: Duration = Duration::from_secs(60);
/// A change in percent that is worth a new snapshot.
const CHANGE: f64 = 1.0;

/// What the headers of a reply said that is still under way. It is nothing to show: only a reply that completes, and
/// refuses nothing in its body, makes an observation of it (LIM-1).
#[derive(Clone, Debug, PartialEq)]
pub struct Glimpse(LimitSample);

impl Glimpse {
    /// The reply has completed successfully.
    pub fn completed(self) -> LimitSample {
        self.0
    }

    /// The same, of a request that was made to learn it.
    pub fn completed_probe(self, model: &ModelName) -> LimitSample {
        let response = self.0.source.response().map(str::to_owned);
        let source = LimitSource::Probe { model: model.as_str().to_owned(), response };
        LimitSample { source, ..self.0 }
    }
}

/// What a successful reply's headers tell about the account's quota; none where they tell nothing (a window without
/// length, use and reset is no data, not 0 %).
pub fn observe(
    provider: &Provider,
    headers: &HeaderMap,
    model: Option<&ModelName>,
    now: Time,
) -> Option<Glimpse> {
    let windows = windows(provider, headers, now);
    let model = model.map(|model| model.as_str().to_owned());
    let source = || LimitSource::Headers { model, response: response_id(headers) };
    (!windows.is_empty()).then(|| Glimpse(LimitSample { at: now, source: source(), windows }))
}

/// What [`observe`] tells, unless it is what is `known` already: most replies of a busy account say nothing new, and
/// for them nothing is written down.
pub fn news(
    provider: &Provider,
    headers: &HeaderMap,
    model: Option<&ModelName>,
    known: &Limits,
    now: Time,
) -> Option<Glimpse> {
    let fresh = known.latest.as_ref().filter(|latest| is_fresh(latest, now));
    let nothing_new = fresh.is_some_and(|latest| {
        let mut seen = provider.limits.iter().filter_map(|source| window(source, headers, now));
        seen.all(|window| says(latest, &window))
    });
    if nothing_new { None } else { observe(provider, headers, model, now) }
}

/// The id by which the provider's support would find the reply.
fn response_id(headers: &HeaderMap) -> Option<String> {
    let id = RESPONSE_IDS.iter().find_map(|name| text(headers, name))?;
    (1..=LONGEST_ID).contains(&id.len()).then(|| id.to_owned())
}

/// True when `sample` says something that the snapshot should learn: a change of a whole percent, another window, or
/// news after a minute; or what is known lies in the future, and so was noted by a clock that ran ahead. Everything else
/// is dropped, so that a successful request writes nothing shared (I4).
pub fn worth_keeping(known: &Limits, sample: &LimitSample, now: Time) -> bool {
    let Some(latest) = &known.latest else {
        return true;
    };
    latest.at > now
        || latest.at.until(sample.at) >= NEWS
        || !sample.windows.iter().all(|window| says(latest, window))
}

/// True for an observation that stands for one that is made `now`, where both say the same.
fn is_fresh(latest: &LimitSample, now: Time) -> bool {
    latest.at <= now && latest.at.until(now) < NEWS
}

/// True where `latest` says of the window what was seen of it.
fn says(latest: &LimitSample, seen: &LimitWindow) -> bool {
    let known = latest.windows.iter().find(|known| known.name == seen.name);
    known.is_some_and(|known| !differs(known, seen))
}

fn differs(known: &LimitWindow, seen: &LimitWindow) -> bool {
    let moved = match (known.resets, seen.resets) {
        (Some(before), Some(after)) => before.until(after).max(after.until(before)) >= JITTER,
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
    };
    moved || (known.remaining - seen.remaining).abs() >= CHANGE
}

/// The latest reset among the windows that these headers call spent.
pub(super) fn spent_until(provider: &Provider, headers: &HeaderMap, now: Time) -> Option<Time> {
    windows(provider, headers, now)
        .into_iter()
        .filter(|window| window.remaining <= 0.0)
        .filter_map(|window| window.resets)
        .max()
}

/// Every window that the headers tell of, each name once: of two with one name, the one with less left.
fn windows(provider: &Provider, headers: &HeaderMap, now: Time) -> Vec<LimitWindow> {
    let mut windows: Vec<LimitWindow> = Vec::new();
    for source in &provider.limits {
        let Some(seen) = window(source, headers, now) else {
            continue;
        };
        match windows.iter_mut().find(|known| known.name == seen.name) {
            Some(known) if known.remaining <= seen.remaining => {}
            Some(known) => *known = seen,
            None => windows.push(seen),
        }
    }
    windows
}

fn window(source: &LimitHeaders, headers: &HeaderMap, now: Time) -> Option<LimitWindow> {
    let spent = source.spent.as_ref().is_some_and(|(name, value)| {
        text(headers, name).is_some_and(|told| told.eq_ignore_ascii_case(value))
    });
    let remaining = match measured(&source.measure, headers) {
        _ if spent => 0.0,
        Some(remaining) => remaining,
        None => return None,
    };
    let resets = source.resets.as_ref().and_then(|(name, format)| {
        wait::read(text(headers, name)?, *format, now).filter(|resets| now.until(*resets) <= FARTHEST)
    });
    let minutes = source.minutes.as_ref();
    let length = minutes.and_then(|name| text(headers, name)?.parse::<u32>().ok().filter(|n| *n > 0));
    if minutes.is_some() && length.is_none() && resets.is_none() && remaining >= 100.0 {
        return None;
    }
    Some(LimitWindow { name: length.map_or_else(|| Arc::clone(&source.window), name_of), remaining, resets })
}

/// Left, in percent.
fn measured(measure: &Measure, headers: &HeaderMap) -> Option<f64> {
    let remaining = match measure {
        Measure::Remaining { remaining, limit } => {
            let whole = number(headers, limit).filter(|whole| *whole > 0.0)?;
            100.0 * number(headers, remaining)? / whole
        }
        Measure::UsedPercent(name) => 100.0 - number(headers, name)?,
        Measure::UsedRatio(name) => 100.0 - 100.0 * number(headers, name)?,
    };
    Some(remaining.clamp(0.0, 100.0))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<f64> {
    wait::number(text(headers, name)?).filter(|number| number.is_finite())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    Some(headers.get(name)?.to_str().ok()?.trim())
}

/// The usual name of a window of `minutes`: `5h`, `weekly`.
pub(super) fn name_of(minutes: u32) -> Arc<str> {
    const HOUR: u32 = 60;
    const DAY: u32 = 24 * HOUR;
    match minutes {
        10_080 => "weekly".into(),
        n if n % DAY == 0 => format!("{}d", n / DAY).into(),
        n if n % HOUR == 0 => format!("{}h", n / HOUR).into(),
        n => format!("{n}m").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::classify::tests::provider;
    use crate::model::{LimitStatus, ResetFormat};
    use proptest::prelude::*;

    const NOW: Time = Time::from_secs(1_776_654_252);

    /// LIM-6
    #[test]
    fn a_reply_tells_the_windows_that_its_headers_name() {
        let reset = (NOW.as_secs() + 7200).to_string();
        let headers = headers(&[
            ("x-1-used", "37.5"),
            ("x-1-minutes", "300"),
            ("x-1-reset", &reset),
            ("x-2-used", "0.88"),
            ("x-2-minutes", "10080"),
            ("x-3-left", "3"),
            ("x-3-whole", "4"),
            ("x-request-id", "req-1"),
        ]);
        let model = ModelName::try_from("gpt-5").expect("a model");
        assert_eq!(
            observe(&three_windows(), &headers, Some(&model), NOW).map(Glimpse::completed),
            Some(LimitSample {
                at: NOW,
                source: LimitSource::Headers {
                    model: Some("gpt-5".to_owned()),
                    response: Some("req-1".to_owned())
                },
                windows: vec![
                    window("5h", 62.5, Some(7200)),
                    window("weekly", 12.0, None),
                    window("third", 75.0, None),
                ],
            })
        );
    }

    /// LIM-3
    #[test]
    fn a_window_without_length_use_and_reset_is_no_data() {
        let cases = [
            (vec![("x-1-used", "0"), ("x-1-minutes", "0"), ("x-1-reset", "")], vec![]),
            (vec![("x-1-used", "0")], vec![]),
            (vec![("x-1-used", "3")], vec![window("first", 97.0, None)]),
            (vec![("x-1-used", "0"), ("x-1-minutes", "300")], vec![window("5h", 100.0, None)]),
            (vec![("x-1-used", "140"), ("x-1-minutes", "2880")], vec![window("2d", 0.0, None)]),
            (
                vec![("x-1-used", "20"), ("x-1-minutes", "90"), ("x-1-reset", "99999999999999")],
                vec![window("90m", 80.0, None)],
            ),
            (vec![("x-1-used", "NaN"), ("x-2-used", "a lot")], vec![]),
            (vec![("x-3-left", "0"), ("x-3-whole", "0")], vec![]),
            (vec![("x-3-left", "0"), ("x-3-whole", "")], vec![]),
        ];
        for (list, expected) in cases {
            let seen = observe(&three_windows(), &headers(&list), None, NOW);
            let seen = seen.map(|glimpse| glimpse.completed().windows).unwrap_or_default();
            assert_eq!(seen, expected, "{list:?}");
        }
    }

    #[test]
    fn a_window_that_is_called_spent_is_spent_whatever_else_is_said() {
        for used in [&[("x-2-state", "Spent")][..], &[("x-2-state", "spent"), ("x-2-used", "0.1")]] {
            let seen = windows(&three_windows(), &headers(used), NOW);
            assert_eq!(seen, [window("second", 0.0, None)]);
        }
    }

    /// FLO-4
    #[test]
    fn the_account_rests_until_the_last_of_its_spent_windows_fills_up() {
        let at = |wait: u64| (NOW.as_secs() + wait).to_string();
        let (soon, late, later) = (at(60), at(120), at(180));
        let headers = headers(&[
            ("x-1-used", "100"),
            ("x-1-reset", &late),
            ("x-2-state", "spent"),
            ("x-2-reset", &soon),
            ("x-3-left", "1"),
            ("x-3-whole", "4"),
            ("x-3-reset", &later),
        ]);
        let until = spent_until(&three_windows(), &headers, NOW);
        assert_eq!(until, Some(NOW.after(Duration::from_secs(120))));
    }

    /// I4
    #[test]
    fn only_news_is_worth_a_new_snapshot() {
        let known = limits(Some(sample(0, vec![window("5h", 50.0, Some(7200))])));
        let cases = [
            (limits(None), sample(0, vec![window("5h", 50.0, None)]), true),
            (known.clone(), sample(59, vec![window("5h", 50.9, Some(7201))]), false),
            (known.clone(), sample(59, vec![window("5h", 49.0, Some(7200))]), true),
            (known.clone(), sample(59, vec![window("5h", 50.0, Some(7260))]), true),
            (known.clone(), sample(59, vec![window("5h", 50.0, None)]), true),
            (known.clone(), sample(1, vec![window("weekly", 50.0, None)]), true),
            (known.clone(), sample(60, vec![window("5h", 50.0, Some(7200))]), true),
            (known, sample(1, vec![]), false),
        ];
        for (known, sample, keep) in cases {
            assert_eq!(worth_keeping(&known, &sample, sample.at), keep, "{sample:?}");
        }
        let ahead = limits(Some(sample(30, vec![window("5h", 50.0, Some(7200))])));
        let same = sample(0, vec![window("5h", 50.0, Some(7200))]);
        for (passed, keep) in [(0, true), (29, true), (30, false), (31, false)] {
            let now = NOW.after(Duration::from_secs(passed));
            assert_eq!(worth_keeping(&ahead, &same, now), keep, "{passed} s later");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_headers_say_what_is_left_is_a_percentage(
            used in "[-+0-9.eE]{0,12}|NaN|inf|-inf", minutes in "[-0-9]{0,12}", reset in "[-0-9.]{0,24}",
        ) {
            let headers = headers(&[
                ("x-1-used", &used),
                ("x-1-minutes", &minutes),
                ("x-1-reset", &reset),
                ("x-3-left", &used),
                ("x-3-whole", &minutes),
                ("x-3-reset", &reset),
            ]);
            let seen = observe(&three_windows(), &headers, None, NOW);
            for window in seen.into_iter().flat_map(|glimpse| glimpse.completed().windows) {
                prop_assert!((0.0..=100.0).contains(&window.remaining));
                let far = window.resets.map(|resets| NOW.until(resets));
                prop_assert!(far.is_none_or(|far| far <= FARTHEST));
            }
        }
    }

    /// LIM-1 I4: what is not written down is what would not have been kept.
    #[test]
    fn a_reply_that_says_what_is_known_is_no_news() {
        let told = |used: &str, later: u64| {
            let headers =
                headers(&[("x-1-used", used), ("x-1-minutes", "300"), ("x-3-left", "3"), ("x-3-whole", "4")]);
            (headers, NOW.after(Duration::from_secs(later)))
        };
        let (headers, now) = told("50", 0);
        let known = limits(observe(&three_windows(), &headers, None, now).map(Glimpse::completed));
        for (known, used, later, new) in [
            (&Limits::default(), "50", 0, true),
            (&known, "50", 0, false),
            (&known, "50.5", 59, false),
            (&known, "51", 1, true),
            (&known, "50", 60, true),
        ] {
            let (headers, now) = told(used, later);
            let seen = observe(&three_windows(), &headers, None, now);
            let news = news(&three_windows(), &headers, None, known, now);
            assert_eq!(news, seen.filter(|_| new), "{used} after {later} s");
        }
    }

    proptest! {
        /// LIM-1 I4
        #[test]
        fn whatever_is_worth_keeping_is_news(
            known in prop::option::of(prop::array::uniform2(0u8..4)),
            seen in prop::array::uniform2(0u8..4),
            since in -70i64..70,
        ) {
            // Both windows have one name where both are of one length.
            let told = |[one, two]: [u8; 2]| {
                let (one, two) = (format!("{}", 50 + one % 2), format!("0.5{}", two % 2));
                headers(&[("x-1-used", &one), ("x-1-minutes", "300"), ("x-2-used", &two), ("x-2-minutes", "300")])
            };
            let now = Time::from_secs(NOW.as_secs().saturating_add_signed(since));
            let known = known.and_then(|known| observe(&three_windows(), &told(known), None, NOW));
            let known = limits(known.map(Glimpse::completed));
            let seen = told(seen);
            let all = observe(&three_windows(), &seen, None, now);
            let news = news(&three_windows(), &seen, None, &known, now);
            prop_assert!(news.is_none() || news == all);
            if all.as_ref().is_some_and(|all| worth_keeping(&known, &all.0, now)) {
                prop_assert_eq!(news, all);
            }
        }
    }

    /// Windows measured in each of the three ways.
    fn three_windows() -> Provider {
        let name = |text: &str| -> HeaderName { text.parse().expect("a name") };
        let limit = |number: u8, window: &str, measure| LimitHeaders {
            window: window.into(),
            minutes: (number < 3).then(|| name(&format!("x-{number}-minutes"))),
            measure,
            resets: Some((name(&format!("x-{number}-reset")), ResetFormat::EpochSeconds)),
            spent: (number == 2).then(|| (name("x-2-state"), "spent".to_owned())),
        };
        let left = Measure::Remaining { remaining: name("x-3-left"), limit: name("x-3-whole") };
        Provider {
            limits: vec![
                limit(1, "first", Measure::UsedPercent(name("x-1-used"))),
                limit(2, "second", Measure::UsedRatio(name("x-2-used"))),
                limit(3, "third", left),
            ],
            ..provider(Vec::new())
        }
    }

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, value.parse().expect("a value"))
        };
        list.iter().map(pair).collect()
    }

    fn window(name: &str, remaining: f64, resets: Option<u64>) -> LimitWindow {
        LimitWindow {
            name: name.into(),
            remaining,
            resets: resets.map(|wait| NOW.after(Duration::from_secs(wait))),
        }
    }

    fn sample(later: u64, windows: Vec<LimitWindow>) -> LimitSample {
        LimitSample {
            at: NOW.after(Duration::from_secs(later)),
            source: LimitSource::Headers { model: None, response: None },
            windows,
        }
    }

    fn limits(latest: Option<LimitSample>) -> Limits {
        Limits { latest, status: LimitStatus::Success, ..Limits::default() }
    }
}
