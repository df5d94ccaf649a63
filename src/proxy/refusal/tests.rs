use super::*;
use crate::engine::WhyNot;
use crate::model::{Alias, ProviderId, Reason};

/// FLO-8
#[test]
fn a_spent_pool_is_told_so_that_a_responses_client_asks_once_and_shows_the_time() {
    let (status, body) = word(&spent(), Dialect::Responses, NOW);
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let expected = json!({"error": {
        "type": "usage_limit_reached",
        "code": "ALL_ACCOUNTS_EXHAUSTED",
        "message": "No account of example can serve right now: home (cooling), work (quota-exhausted). \
                    The first is back at 2026-11-20T10:54:00Z (in 12 min).",
        "provider": "example",
        "attempted": ["work"],
        "reasons": {
            "home": {"reason": "cooling", "until": 1_795_172_040, "in_seconds": 720},
            "work": {"reason": "quota-exhausted", "until": 1_795_190_000, "in_seconds": 18_680},
        },
        "last_status": 429,
        "resets_at": 1_795_172_040,
        "resets_in_seconds": 720,
    }});
    assert_eq!(body, expected);
}

/// FLO-8
#[test]
fn every_dialect_says_the_same_in_its_own_form() {
    let kinds = [Dialect::Messages, Dialect::Responses, Dialect::GenerateContent];
    let told = kinds.map(|dialect| word(&spent(), dialect, NOW));
    let messages: Vec<_> = told.iter().map(|(_, body)| &body["error"]["message"]).collect();
    assert!(messages.windows(2).all(|pair| pair[0] == pair[1]));
    let [(_, messages), _, (_, generate)] = &told;
    assert_eq!(messages["type"], "error");
    assert_eq!(messages["error"]["type"], "rate_limit_error");
    assert_eq!(generate["error"]["code"], 429);
    assert_eq!(generate["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(generate["error"]["reason"], "ALL_ACCOUNTS_EXHAUSTED");
}

/// FLO-8: the answer that stops each client, by what would mend the pool.
#[test]
fn a_pool_state_is_never_a_401_and_never_a_5xx() {
    let (human, absent, down) = (dead(), nobody(), outage());
    let cases = [
        (&human, Dialect::Responses, 400, "invalid_request_error"),
        (&human, Dialect::Messages, 429, "rate_limit_error"),
        (&absent, Dialect::Responses, 404, "invalid_request_error"),
        (&absent, Dialect::Messages, 404, "not_found_error"),
        (&down, Dialect::Responses, 429, "upstream_unavailable"),
        (&down, Dialect::Messages, 429, "rate_limit_error"),
    ];
    for (refusal, dialect, status, kind) in cases {
        let (seen, body) = word(refusal, dialect, NOW);
        assert_eq!((seen.as_u16(), &body["error"]["type"]), (status, &kind.into()), "{dialect:?}");
    }
    let generate = [&human, &absent, &down].map(|refusal| {
        let (_, body) = word(refusal, Dialect::GenerateContent, NOW);
        body["error"]["status"].clone()
    });
    assert_eq!(generate, ["FAILED_PRECONDITION", "NOT_FOUND", "RESOURCE_EXHAUSTED"]);
}

/// FLO-8
#[test]
fn each_message_says_what_to_do() {
    let cases = [
        (
            dead(),
            "No account of example can serve until somebody acts: home (disabled), work (reauth-failed). See: rota status",
        ),
        (nobody(), "rota has no account of example. Add one: rota accounts add NAME --provider example"),
        (
            outage(),
            "example does not answer, so rota asks it less often for now. It is asked again at 2026-11-20T10:42:30Z (in 30 s).",
        ),
        (
            Refusal { sign_in: Some(alias("work")), ..dead() },
            "No account of example can serve until somebody acts: home (disabled), work (reauth-failed). See: rota status. \
             To sign in, run: rota login work",
        ),
        (
            cut_off(),
            "Two logins of example were refused for good within ten minutes, so rota shows it no other for now: home \
             (cooling), work (reauth-failed). The first is back at 2026-11-20T10:52:00Z (in 10 min). To sign in, run: \
             rota login work",
        ),
        (
            Refusal { code: RefusalCode::UpstreamUnavailable, cut_off: Some(later()), ..dead() },
            "No account of example can serve until somebody acts: home (disabled), work (reauth-failed). See: rota status",
        ),
    ];
    for (refusal, expected) in cases {
        let (_, body) = word(&refusal, Dialect::Responses, NOW);
        assert_eq!(body["error"]["message"], expected);
    }
}

/// FLO-8
#[test]
fn a_crowd_of_accounts_is_counted_in_the_message_and_listed_in_the_body() {
    let reasons = (0..9).map(|n| (format!("a{n}"), WhyNot { reason: Reason::Cooling, until: None }));
    let refusal = Refusal { reasons: reasons.map(|(name, why)| (alias(&name), why)).collect(), ..spent() };
    let (_, body) = word(&refusal, Dialect::Responses, NOW);
    let message = body["error"]["message"].as_str().expect("a text");
    assert!(message.contains("a4 (cooling), and 4 more."), "{message}");
    assert_eq!(body["error"]["reasons"].as_object().expect("an object").len(), 9);
}

#[test]
fn a_wait_is_told_in_the_unit_a_person_thinks_in() {
    let cases = [
        (0, "in 0 s"),
        (1, "in 1 s"),
        (119, "in 119 s"),
        (120, "in 2 min"),
        (7_199, "in 120 min"),
        (7_200, "in 2 h"),
        (172_799, "in 48 h"),
        (172_800, "in 2 days"),
    ];
    for (seconds, expected) in cases {
        let at = NOW.after(std::time::Duration::from_secs(seconds));
        assert!(when(NOW, at).ends_with(&format!("({expected})")), "{}", when(NOW, at));
    }
}

/// 2026-11-20T10:42:00Z
const NOW: Time = Time::from_secs(1_795_171_320);

fn spent() -> Refusal {
    Refusal {
        code: RefusalCode::AllAccountsExhausted,
        provider: ProviderId::try_from("example").expect("a provider id"),
        tried: vec![alias("work")],
        reasons: [
            (alias("work"), why(Reason::QuotaExhausted, Some(1_795_190_000))),
            (alias("home"), why(Reason::Cooling, Some(1_795_172_040))),
        ]
        .into(),
        last_status: Some(429),
        soonest: Some(Time::from_secs(1_795_172_040)),
        cut_off: None,
        sign_in: None,
    }
}

fn dead() -> Refusal {
    Refusal {
        code: RefusalCode::NoEligibleAccounts,
        tried: Vec::new(),
        reasons: [
            (alias("work"), why(Reason::ReauthFailed, None)),
            (alias("home"), why(Reason::Disabled, None)),
        ]
        .into(),
        last_status: None,
        soonest: None,
        ..spent()
    }
}

fn nobody() -> Refusal {
    Refusal { reasons: Default::default(), ..dead() }
}

fn outage() -> Refusal {
    Refusal {
        code: RefusalCode::UpstreamUnavailable,
        soonest: Some(Time::from_secs(1_795_171_350)),
        ..spent()
    }
}

/// Two logins were refused for good, and a third rests.
fn cut_off() -> Refusal {
    Refusal {
        code: RefusalCode::UpstreamUnavailable,
        reasons: [
            (alias("work"), why(Reason::ReauthFailed, None)),
            (alias("home"), why(Reason::Cooling, Some(later().as_secs()))),
        ]
        .into(),
        soonest: Some(later()),
        cut_off: Some(later()),
        sign_in: Some(alias("work")),
        ..spent()
    }
}

fn later() -> Time {
    NOW.after(std::time::Duration::from_secs(600))
}

fn why(reason: Reason, until: Option<u64>) -> WhyNot {
    WhyNot { reason, until: until.map(Time::from_secs) }
}

fn alias(text: &str) -> Alias {
    Alias::try_from(text).expect("an alias")
}
