use super::*;
use crate::config::presets;
use http::HeaderValue;
use proptest::prelude::*;

/// PRX-2: what a client sends, and whether it goes on.
const HEADERS: [(&str, bool); 48] = [
    ("accept", true),
    ("accept-encoding", true),
    ("content-type", true),
    ("content-encoding", true),
    ("user-agent", true),
    ("originator", true),
    ("session-id", true),
    ("x-client-request-id", true),
    ("x-stainless-lang", true),
    ("idempotency-key", true),
    ("if-none-match", true),
    ("connection", false),
    ("keep-alive", false),
    ("proxy-connection", false),
    ("proxy-authorization", false),
    ("proxy-authenticate", false),
    ("te", false),
    ("trailer", false),
    ("transfer-encoding", false),
    ("upgrade", false),
    ("http2-settings", false),
    ("host", false),
    ("content-length", false),
    ("expect", false),
    ("authorization", false),
    ("x-api-key", false),
    ("api-key", false),
    ("x-goog-api-key", false),
    ("cookie", false),
    ("cookie2", false),
    ("forwarded", false),
    ("x-forwarded-for", false),
    ("x-forwarded-host", false),
    ("x-forwarded-proto", false),
    ("x-forwarded-anything", false),
    ("via", false),
    ("x-real-ip", false),
    ("true-client-ip", false),
    ("cdn-loop", false),
    ("cf-connecting-ip", false),
    ("cf-ray", false),
    ("x-rota-key", false),
    ("x-rota-session", false),
    ("x-rota-anything", false),
    ("x-named-by-connection", false),
    ("x-also-named", false),
    ("x-names-an-account", false),
    ("x-forward", true),
];

/// PRX-2
#[test]
fn only_what_is_the_providers_to_read_goes_on() {
    let mut headers = HeaderMap::new();
    for (name, _) in HEADERS {
        let name = HeaderName::from_static(name);
        headers.append(&name, HeaderValue::from_static("canary-1"));
        headers.append(&name, HeaderValue::from_static("canary-2"));
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close, X-Named-By-Connection"));
    headers.append(CONNECTION, HeaderValue::from_static(" x-also-named ,,"));
    strip(&mut headers, &provider());
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    let mut expected: Vec<&str> = HEADERS.iter().filter(|(_, stays)| *stays).map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
    let both = headers.get_all("accept").iter().map(HeaderValue::as_bytes);
    assert_eq!(both.collect::<Vec<_>>(), [b"canary-1", b"canary-2"]);
}

/// PRX-2, C2
#[test]
fn no_spelling_of_a_credential_header_goes_on() {
    for name in
        ["Authorization", "AUTHORIZATION", "X-Api-Key", "x-API-key", "Cookie", "Api-Key", "X-Goog-Api-Key"]
    {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        headers.append(name.clone(), HeaderValue::from_static("canary"));
        headers.append(name, HeaderValue::from_static("canary"));
        strip(&mut headers, &provider());
        assert!(headers.is_empty());
    }
}

proptest! {
    /// PRX-2: nothing else is lost, whatever else is there.
    #[test]
    fn a_header_nobody_knows_goes_on_untouched(name in "x-[a-e]{1,12}", value in "[ -~]{0,40}") {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        let value = HeaderValue::from_str(value.trim()).expect("a value");
        headers.insert(name.clone(), value.clone());
        headers.insert("authorization", HeaderValue::from_static("canary"));
        strip(&mut headers, &provider());
        prop_assert_eq!(headers.len(), 1);
        prop_assert_eq!(headers.get(&name), Some(&value));
    }
}

/// SEL-3
#[test]
fn rotas_own_session_header_goes_before_the_providers_in_their_order() {
    let cases = [
        (vec![], None),
        (vec![("session-id", "a")], Some("session-id=a")),
        (vec![("x-session-affinity", "b"), ("session-id", "a")], Some("session-id=a")),
        (vec![("x-rota-session", "c"), ("session-id", "a")], Some("x-rota-session=c")),
        (vec![("session-id", ""), ("x-session-affinity", "b")], Some("x-session-affinity=b")),
        (vec![("session-id", "with blank")], None),
    ];
    for (headers, expected) in cases {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let key = session_key(&headers.collect(), &provider());
        assert_eq!(key.map(|key| format!("{key:?}")).as_deref(), expected);
    }
}

fn provider() -> Provider {
    let text = r#"
        id = "example"
        name = "Example"
        origin = "https://api.example.com"
        extends = "openai-compatible"
        session_headers = ["session-id", "x-session-affinity"]
        strip = ["x-names-an-account"]
    "#;
    presets::parse("example.toml", text).expect("a preset")
}
