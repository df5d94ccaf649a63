use super::*;

/// PRX-2: what an upstream sends, and whether the client sees it.
const HEADERS: [(&str, bool); 34] = [
    ("content-type", true),
    ("content-length", true),
    ("content-encoding", true),
    ("cache-control", true),
    ("etag", true),
    ("date", true),
    ("server", true),
    ("x-request-id", true),
    ("request-id", true),
    ("retry-after", true),
    ("x-ratelimit-remaining-requests", true),
    ("x-should-retry", true),
    ("vary", true),
    ("connection", false),
    ("keep-alive", false),
    ("te", false),
    ("trailer", false),
    ("transfer-encoding", false),
    ("upgrade", false),
    ("proxy-authenticate", false),
    ("proxy-connection", false),
    ("set-cookie", false),
    ("set-cookie2", false),
    ("alt-svc", false),
    ("strict-transport-security", false),
    ("report-to", false),
    ("reporting-endpoints", false),
    ("nel", false),
    ("clear-site-data", false),
    ("www-authenticate", false),
    ("access-control-allow-origin", false),
    ("access-control-allow-credentials", false),
    ("x-rota-account", false),
    ("x-named-by-connection", false),
];

/// PRX-2, L6
#[test]
fn nothing_that_binds_a_client_to_an_account_or_an_origin_comes_back() {
    let mut headers = HeaderMap::new();
    for (name, _) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.append(&name, HeaderValue::from_static("one"));
        headers.append(&name, HeaderValue::from_static("two"));
    }
    headers.insert("connection", HeaderValue::from_static("x-named-by-connection"));
    strip(&mut headers);
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    let mut expected: Vec<&str> = HEADERS.iter().filter(|(_, stays)| *stays).map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

/// FLO-8
#[test]
fn a_wait_that_was_meant_for_rota_is_not_the_clients() {
    for (scope, waits, left) in [
        (Scope::Provider, "2", true),
        (Scope::Provider, "120", true),
        (Scope::Provider, "121", false),
        (Scope::Provider, "900", false),
        (Scope::Request, "Wed, 21 Oct 2099 07:28:00 GMT", false),
        (Scope::Request, "-1", false),
        (Scope::Account, "2", false),
        (Scope::AccountModel, "2", false),
        (Scope::QuotaGroup, "2", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(waits));
        headers.insert(RETRY_AFTER_MS, HeaderValue::from_static("1500"));
        shorten(&mut headers, scope);
        assert_eq!(headers.contains_key(RETRY_AFTER), left, "{scope:?} {waits}");
        let one_accounts = scope != Scope::Provider && scope != Scope::Request;
        assert_eq!(headers.contains_key(&RETRY_AFTER_MS), !one_accounts, "{scope:?}");
    }
}

#[test]
fn an_answer_of_ours_is_json_of_known_length() {
    let body = json!({"error": {"code": "BAD_PATH"}});
    let answer = ours(StatusCode::BAD_REQUEST, &body);
    assert_eq!(answer.headers().get(CONTENT_TYPE), Some(&JSON));
    assert_eq!(answer.body().text(), body.to_string());
    assert_eq!(answer.body().size_hint().exact(), Some(answer.body().text().len() as u64));
}
