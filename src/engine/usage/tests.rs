use super::*;
use crate::model::{CredentialKind, ResetFormat};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const NOW: Time = Time::from_secs(1_800_000_000);

/// LIM-1 LIM-6: a complete answer is one observation with its source.
#[test]
fn a_complete_answer_tells_every_window_that_it_has() {
    let reset = NOW.as_secs() + 60;
    let body = json!({
        "limit": {
            "first": {"used": 37.5, "seconds": 18_000, "at": reset},
            "second": {"used": 88, "seconds": 604_800, "at": null},
        },
        "list": [{"kind": "other", "used": 1.0}, {"kind": "tokens", "used": "20"}],
    });
    let window = |name: &str, remaining: f64, resets: Option<u64>| LimitWindow {
        name: name.into(),
        remaining,
        resets: resets.map(Time::from_secs),
    };
    assert_eq!(
        usage(&endpoint(), body.to_string().as_bytes(), NOW),
        Ok(LimitSample {
            at: NOW,
            source: LimitSource::Usage { endpoint: Some("/usage".to_owned()) },
            windows: vec![
                window("5h", 62.5, Some(reset)),
                window("weekly", 12.0, None),
                window("tokens", 80.0, None)
            ],
        })
    );
}

/// LIM-1: one fault, and there are no values at all, whatever else the answer says.
#[test]
fn an_answer_that_is_wrong_in_one_place_tells_nothing() {
    let wrong = |field: &str, must| Err(UsageFault::Misshapen { field: field.to_owned(), must });
    let (number, time) = ("a number of 0 or more", "a time that can be");
    let fine = r#""second":{"used":1,"seconds":604800}"#;
    let cases = [
        (String::new(), Err(UsageFault::NotJson)),
        ("<html>sign in</html>".to_owned(), Err(UsageFault::NotJson)),
        (format!(r#"{{"limit":{{{fine},"#), Err(UsageFault::NotJson)),
        ("{}".to_owned(), Err(UsageFault::NoWindows)),
        ("[]".to_owned(), Err(UsageFault::NoWindows)),
        ("null".to_owned(), Err(UsageFault::NoWindows)),
        (r#"{"limit":null,"list":null}"#.to_owned(), Err(UsageFault::NoWindows)),
        (r#"{"limit":{"first":null,"second":{"used":null}}}"#.to_owned(), Err(UsageFault::NoWindows)),
        (
            r#"{"usage":{"input_tokens":12,"output_tokens":9},"error":{"type":"x"}}"#.to_owned(),
            Err(UsageFault::NoWindows),
        ),
        (
            format!(r#"{{"limit":{{"first":"5h",{fine}}}}}"#),
            wrong("/limit/first", "an object or a list of objects"),
        ),
        (format!(r#"{{"limit":{{"first":{{"used":"a lot"}},{fine}}}}}"#), wrong("/limit/first/used", number)),
        (format!(r#"{{"limit":{{"first":{{"used":-1}},{fine}}}}}"#), wrong("/limit/first/used", number)),
        (format!(r#"{{"limit":{{"first":{{"used":[]}},{fine}}}}}"#), wrong("/limit/first/used", number)),
        (format!(r#"{{"limit":{{"first":{{"used":"inf"}},{fine}}}}}"#), wrong("/limit/first/used", number)),
        (
            format!(r#"{{"limit":{{"first":{{"used":1,"seconds":true}},{fine}}}}}"#),
            wrong("/limit/first/seconds", number),
        ),
        (format!(r#"{{"limit":{{"first":{{"used":1,"at":{{}}}},{fine}}}}}"#), wrong("/limit/first/at", time)),
        (
            format!(r#"{{"limit":{{"first":{{"used":1,"at":"soon"}},{fine}}}}}"#),
            wrong("/limit/first/at", time),
        ),
        (
            format!(r#"{{"limit":{{"first":{{"used":1,"at":99999999999999}},{fine}}}}}"#),
            wrong("/limit/first/at", time),
        ),
        (format!(r#"{{"limit":{{{fine}}},"list":[1]}}"#), wrong("/list", "a list of objects")),
    ];
    for (body, expected) in cases {
        assert_eq!(usage(&endpoint(), body.as_bytes(), NOW), expected, "{body}");
    }
}

/// LIM-3: a window without length, use and reset is no data; of two with one name the scarcer speaks.
#[test]
fn what_is_no_window_is_not_shown_and_the_scarcer_of_two_speaks() {
    let seen = |body: &serde_json::Value| {
        let sample = usage(&endpoint(), body.to_string().as_bytes(), NOW);
        let windows = sample.map(|sample| sample.windows).unwrap_or_default();
        windows.iter().map(|window| format!("{} {}", window.name, window.remaining)).collect::<Vec<_>>()
    };
    let second = json!({"used": 50, "seconds": 18_000});
    for (first, told) in [
        (json!({"used": 0, "seconds": 0}), vec!["5h 50"]),
        (json!({"used": 0}), vec!["5h 50"]),
        (json!({"used": 3}), vec!["first 97", "5h 50"]),
        (json!({"used": 140, "seconds": 18_000}), vec!["5h 0"]),
        (json!({"used": 10, "seconds": 18_000}), vec!["5h 50"]),
        (json!({"used": 90, "seconds": 18_000}), vec!["5h 10"]),
    ] {
        assert_eq!(seen(&json!({"limit": {"first": first, "second": second}})), told, "{first}");
    }
}

/// LIM-1: an answer has as many windows as are kept, or it is no answer.
#[test]
fn more_windows_than_an_account_can_have_are_none() {
    let told = |windows: u64| {
        let list: Vec<_> = (1..=windows)
            .map(|hours| json!({"kind": "tokens", "used": 1, "seconds": hours * 3600}))
            .collect();
        let lengths = UsageWindow { seconds: Some("seconds".into()), ..described("w", "/list", None) };
        let endpoint = UsageEndpoint { windows: vec![lengths], ..endpoint() };
        let body = json!({"list": list}).to_string();
        usage(&endpoint, body.as_bytes(), NOW).map(|sample| sample.windows.len())
    };
    assert_eq!(told(16), Ok(16));
    assert_eq!(told(17), Err(UsageFault::TooManyWindows));
}

#[test]
fn what_is_left_can_be_told_as_counts_and_as_a_ratio() {
    let measured = |measure: UsageMeasure, object: serde_json::Value| {
        let endpoint = UsageEndpoint {
            windows: vec![UsageWindow { measure, ..described("w", "/w", None) }],
            ..endpoint()
        };
        let sample = usage(&endpoint, json!({"w": object}).to_string().as_bytes(), NOW);
        sample.map(|sample| sample.windows[0].remaining)
    };
    let counts = || UsageMeasure::Remaining { remaining: "left".into(), limit: "all".into() };
    assert_eq!(measured(counts(), json!({"left": 1, "all": 4})), Ok(25.0));
    assert_eq!(measured(counts(), json!({"left": 9, "all": 4})), Ok(100.0));
    assert_eq!(measured(counts(), json!({"left": 9})), Err(UsageFault::NoWindows));
    assert!(measured(counts(), json!({"left": 1, "all": 0})).is_err());
    assert_eq!(measured(UsageMeasure::UsedRatio("used".into()), json!({"used": 0.88})), Ok(12.0));
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (-1e12f64..1e12).prop_map(serde_json::Value::from),
        "[0-9a-z.:-]{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop_oneof![
            Just("limit"),
            Just("first"),
            Just("second"),
            Just("list"),
            Just("used"),
            Just("seconds"),
            Just("at"),
            Just("kind"),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((name, inner), 0..5).prop_map(|fields| {
                let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                serde_json::Value::Object(fields.collect())
            }),
        ]
    })
}

proptest! {
    /// LIM-1 LIM-3: any JSON is an observation in bounds, or nothing; and its beginnings are nothing.
    #[test]
    fn any_answer_is_an_observation_in_bounds_or_a_fault(body in json_value(), cut in 0.0f64..1.0) {
        let text = body.to_string();
        if let Ok(sample) = usage(&endpoint(), text.as_bytes(), NOW) {
            prop_assert!(!sample.windows.is_empty());
            let names: std::collections::BTreeSet<_> = sample.windows.iter().map(|window| &window.name).collect();
            prop_assert_eq!(names.len(), sample.windows.len(), "each name once");
            for window in &sample.windows {
                prop_assert!((0.0..=100.0).contains(&window.remaining));
                prop_assert!(window.resets.is_none_or(|resets| NOW.until(resets) <= FARTHEST));
            }
            let at = (text.len() as f64 * cut) as usize;
            prop_assert_eq!(usage(&endpoint(), &text.as_bytes()[..at], NOW), Err(UsageFault::NotJson));
        }
    }

    /// LIM-1
    #[test]
    fn any_bytes_are_read_without_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = usage(&endpoint(), &body, NOW);
    }

    #[test]
    fn what_was_used_is_what_is_not_left(used in 0.0f64..=100.0, wait in 1u64..1_000_000) {
        let at = NOW.after(Duration::from_secs(wait));
        let body = json!({"limit": {"first": {"used": used, "seconds": 18_000, "at": at.as_secs()}}});
        let sample = usage(&endpoint(), body.to_string().as_bytes(), NOW).expect("an observation");
        prop_assert!((sample.windows[0].remaining + used - 100.0).abs() < 1e-9);
        prop_assert_eq!(sample.windows[0].resets, Some(at));
    }
}

fn described(name: &str, at: &str, seconds: Option<&str>) -> UsageWindow {
    UsageWindow {
        name: name.into(),
        at: at.into(),
        only: Vec::new(),
        seconds: seconds.map(Arc::from),
        measure: UsageMeasure::UsedPercent("used".into()),
        resets: Some(("at".into(), ResetFormat::EpochSeconds)),
    }
}

/// Two windows as objects, one in a list.
fn endpoint() -> UsageEndpoint {
    UsageEndpoint {
        path: "/usage".to_owned(),
        kinds: vec![CredentialKind::Oauth],
        least: Duration::from_secs(60),
        headers: Vec::new(),
        windows: vec![
            described("first", "/limit/first", Some("seconds")),
            described("second", "/limit/second", Some("seconds")),
            UsageWindow {
                only: vec![("kind".into(), "tokens".into())],
                ..described("tokens", "/list", None)
            },
        ],
    }
}
