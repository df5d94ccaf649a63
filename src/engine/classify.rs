//! What a reply means: the first of the provider's rules that matches it. No rule, no fault. Rules are data, and come in
//! the order in which they are asked: what is the request's own fault first, the bare statuses last.
mod body;
mod cooldown;
pub(super) mod wait;

use crate::model::{
    CoolingSource, FaultClass, HeaderMatch, HeaderTest, PrefixMatch, Provider, Rule, Scope, Time,
};
use body::Told;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Looking up the name and opening the connection.
    Connect,
    /// The TLS handshake: no byte of the request was sent.
    Tls,
    /// Writing the request.
    Request,
    /// Waiting for the reply's head.
    Head,
}

/// What came of one attempt, as far as the engine may look.
#[derive(Clone, Debug)]
pub enum Outcome<'a> {
    /// A complete head, and the first bytes of the body where a rule may want them (decoded, at most 64 KiB).
    Replied {
        /// Its status.
        status: StatusCode,
        /// Its headers.
        headers: &'a HeaderMap,
        /// The body's beginning; empty where nobody asked.
        peek: &'a [u8],
    },
    /// A complete head that promised success, and a stream that begins with a refusal: nothing of an answer came.
    InBand {
        /// The head's headers.
        headers: &'a HeaderMap,
        /// The refusing event's data.
        event: &'a [u8],
    },
    /// Nothing of the request was written.
    NotSent(Phase),
    /// HTTP/2 proved that the request was not processed: REFUSED_STREAM, or a GOAWAY below our stream
    /// (RFC 9113 §8.7, §6.8).
    Unprocessed,
    /// Something was written and no complete head came: it may have been processed.
    Lost(Phase),
}

/// A fault, with who is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub class: FaultClass,
    /// Who is to blame.
    pub scope: Scope,
    /// Which rule said so; none for transport faults.
    pub rule: Option<Arc<str>>,
    /// When it is over, and who said so; none where our own growing wait decides.
    pub resets: Option<(Time, CoolingSource)>,
}

/// What an outcome means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something is wrong, and somebody is to blame.
    Fault(Fault),
    /// The client's to read, whatever it says.
    Pass,
}

/// The first of the provider's rules that matches speaks. No rule, no fault: an unknown reply belongs to the client
/// (I6), and so does every reply that is no error.
pub fn classify(provider: &Provider, outcome: &Outcome<'_>, now: Time) -> Verdict {
    let (status, headers, peek) = match outcome {
        Outcome::InBand { headers, event } => return in_band(provider, headers, event, now),
        Outcome::Replied { status, headers, peek } => (*status, *headers, *peek),
        Outcome::NotSent(_) | Outcome::Unprocessed => return transport(FaultClass::Unreachable),
        Outcome::Lost(_) => return transport(FaultClass::UpstreamLost),
    };
    if !status.is_client_error() && !status.is_server_error() {
        return Verdict::Pass;
    }
    let told = Told::read(peek);
    let rule = provider
        .rules
        .iter()
        .find(|rule| rule.status.contains(status.as_u16()) && matches(rule, headers, &told));
    rule.map_or(Verdict::Pass, |rule| fault(rule, provider, headers, &told, now))
}

/// A refusal inside a stream has no status of its own. Where it tells one, or its kind implies one, it is judged as a
/// reply with that status; else only by rules that name what it says.
fn in_band(provider: &Provider, headers: &HeaderMap, event: &[u8], now: Time) -> Verdict {
    let told = Told::in_band(event);
    let implied = || {
        let statuses = provider.conversation.events.statuses.iter();
        statuses.filter(|(code, _)| told.names(code)).map(|(_, status)| *status).next()
    };
    let status = told.status().or_else(implied);
    let rule = provider.rules.iter().find(|rule| {
        let fits = match status {
            Some(status) => rule.status.contains(status),
            None => !rule.codes.is_empty() || !rule.body.is_empty(),
        };
        fits && matches(rule, headers, &told)
    });
    rule.map_or(Verdict::Pass, |rule| fault(rule, provider, headers, &told, now))
}

/// When a reply that asks to be left alone wants to be asked again, by its `Retry-After`.
pub fn retry_after(headers: &HeaderMap, now: Time) -> Option<Time> {
    wait::retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

fn fault(rule: &Rule, provider: &Provider, headers: &HeaderMap, told: &Told, now: Time) -> Verdict {
    let heard = cooldown::Heard { provider, headers, told };
    Verdict::Fault(Fault {
        class: rule.class,
        scope: rule.scope,
        rule: Some(Arc::clone(&rule.name)),
        resets: cooldown::resets(rule, &heard, now),
    })
}

fn transport(class: FaultClass) -> Verdict {
    Verdict::Fault(Fault { class, scope: Scope::Network, rule: None, resets: None })
}

/// True when all holds that a rule names beside the status.
fn matches(rule: &Rule, headers: &HeaderMap, told: &Told) -> bool {
    let said = |part: &Arc<str>| told.message.contains(part.as_ref());
    (rule.codes.is_empty() || rule.codes.iter().any(|code| told.names(code)))
        && rule.headers.iter().all(|test| holds(test, headers))
        && (rule.body.is_empty() || rule.body.iter().any(said))
}

fn holds(test: &HeaderMatch, headers: &HeaderMap) -> bool {
    let named = |name: &str| match test.prefix {
        PrefixMatch::Exact => name == test.name.as_ref(),
        PrefixMatch::Prefix => name.starts_with(test.name.as_ref()),
    };
    let mut values = headers
        .iter()
        .filter(|(name, _)| named(name.as_str()))
        .map(|(_, value)| String::from_utf8_lossy(value.as_bytes()));
    match &test.test {
        HeaderTest::Absent => values.next().is_none(),
        HeaderTest::Contains(part) => {
            let part = part.to_ascii_lowercase();
            values.any(|value| value.to_ascii_lowercase().contains(&part))
        }
        HeaderTest::OneOf(wanted) => {
            values.any(|value| wanted.iter().any(|one| value.trim().eq_ignore_ascii_case(one)))
        }
        HeaderTest::Present => values.next().is_some(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Clamp, Dialect, Origin, StatusSet};
    use http::HeaderValue;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const NOW: Time = Time::from_secs(1_776_654_252);

    /// FLO-3
    #[test]
    fn what_happens_on_the_way_blames_no_account() {
        let provider = provider(Vec::new());
        let cases = [
            (Outcome::NotSent(Phase::Connect), FaultClass::Unreachable),
            (Outcome::NotSent(Phase::Tls), FaultClass::Unreachable),
            (Outcome::Unprocessed, FaultClass::Unreachable),
            (Outcome::Lost(Phase::Request), FaultClass::UpstreamLost),
            (Outcome::Lost(Phase::Head), FaultClass::UpstreamLost),
        ];
        for (outcome, class) in cases {
            assert_eq!(classify(&provider, &outcome, NOW), transport(class), "{outcome:?}");
        }
    }

    /// FLO-9
    #[test]
    fn a_refusal_inside_a_stream_is_judged_as_the_reply_it_should_have_been() {
        let coded = |name: &str, status, codes: &[&str]| Rule {
            codes: codes.iter().map(|code| Arc::from(*code)).collect(),
            ..rule(name, status)
        };
        let rules = vec![
            coded("limit", 429, &["used_up"]),
            rule("any 429", 429),
            coded("gone", 404, &["lost"]),
            rule("any 529", 529),
        ];
        let mut provider = provider(rules);
        let statuses = vec![("busy_error".into(), 529), ("limit_error".into(), 429)];
        let events = crate::model::EventRules { statuses, ..Default::default() };
        provider.conversation = Arc::new(crate::model::Conversation { events, ..Default::default() });
        for (event, expected) in [
            (r#"{"type":"error","status":429,"error":{"code":"used_up"}}"#, Some("limit")),
            (r#"{"type":"error","status_code":429,"error":{"code":"other"}}"#, Some("any 429")),
            (r#"{"type":"response.failed","response":{"error":{"code":"lost"}}}"#, Some("gone")),
            (r#"{"type":"response.failed","response":{"error":{"code":"used_up"}}}"#, Some("limit")),
            (r#"{"type":"error","error":{"type":"limit_error"}}"#, Some("any 429")),
            (r#"{"type":"error","error":{"type":"busy_error"}}"#, Some("any 529")),
            (r#"{"type":"error","error":{"type":"something_new"}}"#, None),
            (r#"{"type":"error","status":200,"error":{}}"#, None),
            ("{\"type\":\"error\",", None),
            ("429", None),
        ] {
            let headers = headers(&[]);
            let outcome = Outcome::InBand { headers: &headers, event: event.as_bytes() };
            let rule = match classify(&provider, &outcome, NOW) {
                Verdict::Fault(fault) => fault.rule,
                Verdict::Pass => None,
            };
            assert_eq!(rule.as_deref(), expected, "{event}");
        }
    }

    /// FLO-2
    #[test]
    fn all_that_a_rule_names_must_hold() {
        let header = |name: &str, prefix, test| HeaderMatch { name: name.into(), prefix, test };
        let days = HeaderTest::OneOf(vec!["day".into(), "week".into()]);
        let quota = HeaderTest::Contains("Quota".into());
        let provider = provider(vec![Rule {
            status: StatusSet(vec![(418, 418), (420, 421)]),
            codes: vec!["spent".into(), "used-*".into()],
            headers: vec![
                header("x-kind", PrefixMatch::Exact, days),
                header("x-note", PrefixMatch::Exact, quota),
                header("x-other-", PrefixMatch::Prefix, HeaderTest::Absent),
                header("x-any-", PrefixMatch::Prefix, HeaderTest::Present),
            ],
            body: vec!["come back".into(), "go away".into()],
            ..rule("own", 418)
        }]);
        let whole = [("x-kind", "WEEK"), ("x-note", "the quota is"), ("x-any-1", "")];
        let with = |name: &'static str, value: &'static str| {
            let mut list = whole.to_vec();
            list.retain(|(other, _)| *other != name);
            list.push((name, value));
            list
        };
        let spent = r#"{"code":"Spent","message":"Come Back later"}"#;
        let cases = [
            (418, whole.to_vec(), spent, true),
            (421, whole.to_vec(), r#"{"code":"USED-UP","message":"go away"}"#, true),
            (419, whole.to_vec(), spent, false),
            (418, with("x-kind", "month"), spent, false),
            (418, with("x-note", "nothing"), spent, false),
            (418, with("x-other-1", ""), spent, false),
            (418, whole[..2].to_vec(), spent, false),
            (418, whole.to_vec(), r#"{"code":"Spent","message":"wait"}"#, false),
            (418, whole.to_vec(), r#"{"code":"other","message":"come back"}"#, false),
        ];
        for (status, list, body, hit) in cases {
            let verdict = classify(&provider, &reply(status, &headers(&list), body), NOW);
            let hits = verdict != Verdict::Pass;
            assert_eq!(hits, hit, "{status} {list:?} {body}");
        }
    }

    /// FLO-2, I6
    #[test]
    fn the_first_rule_that_matches_speaks_and_what_none_matches_passes() {
        let world = provider(vec![
            Rule { codes: vec!["a".into()], ..rule("first", 429) },
            rule("second", 429),
            rule("third", 429),
        ]);
        let cases = [
            (429, r#"{"code":"a"}"#, Some("first")),
            (429, "", Some("second")),
            (428, r#"{"code":"a"}"#, None),
            (200, r#"{"code":"a"}"#, None),
        ];
        for (status, body, name) in cases {
            let verdict = classify(&world, &reply(status, &HeaderMap::new(), body), NOW);
            let expected = name.map_or(Verdict::Pass, |name| {
                Verdict::Fault(Fault {
                    class: FaultClass::RateShort,
                    scope: Scope::Account,
                    rule: Some(name.into()),
                    resets: None,
                })
            });
            assert_eq!(verdict, expected, "{status} {body}");
        }
    }

    #[test]
    fn a_header_that_is_no_text_matches_nothing_and_breaks_nothing() {
        let provider = provider(vec![Rule {
            headers: vec![HeaderMatch {
                name: "x-kind".into(),
                prefix: PrefixMatch::Exact,
                test: HeaderTest::OneOf(vec!["day".into()]),
            }],
            ..rule("own", 429)
        }]);
        let mut headers = HeaderMap::new();
        let strange = HeaderValue::from_bytes(b"\xff\xfe").expect("obs-text");
        headers.insert("x-kind", strange);
        let verdict = classify(&provider, &reply(429, &headers, ""), NOW);
        assert_eq!(verdict, Verdict::Pass);
    }

    fn reply<'a>(status: u16, headers: &'a HeaderMap, body: &'a str) -> Outcome<'a> {
        Outcome::Replied {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            peek: body.as_bytes(),
        }
    }

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn rule(name: &str, status: u16) -> Rule {
        Rule {
            name: name.into(),
            status: StatusSet(vec![(status, status)]),
            codes: Vec::new(),
            headers: Vec::new(),
            body: Vec::new(),
            class: FaultClass::RateShort,
            scope: Scope::Account,
            cooldown: Vec::new(),
            otherwise: None,
            clamp: Clamp { least: Duration::ZERO, most: Duration::from_secs(60) },
        }
    }

    /// A provider with these rules and nothing else.
    pub(in crate::engine) fn provider(rules: Vec<Rule>) -> Provider {
        Provider {
            id: "x".parse().expect("an id"),
            name: "X".to_owned(),
            origin: Origin::parse("https://x.example").expect("an origin"),
            base: String::new(),
            maps: Vec::new(),
            routes: Vec::new(),
            dialect: Dialect::Responses,
            subscription: false,
            session_headers: Vec::new(),
            replay_safe: Vec::new(),
            strip: Vec::new(),
            strip_query: Vec::new(),
            inject: BTreeMap::new(),
            token: None,
            login: None,
            conversation: Arc::default(),
            rules,
            limits: Vec::new(),
            usage: None,
            probe: None,
        }
    }
}
