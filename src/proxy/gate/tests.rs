use super::*;
use crate::model::Secret;
use http::Request;

const PORT: u16 = 7682;

/// L1: only the exact names, whatever the case.
const HOSTS: [(&str, bool); 44] = [
    ("127.0.0.1:7682", true),
    ("localhost:7682", true),
    ("LOCALHOST:7682", true),
    ("LocalHost:7682", true),
    ("[::1]:7682", true),
    ("box.internal", true),
    ("BOX.internal", true),
    ("box.internal:7682", true),
    ("fixed.internal:99", true),
    ("fixed.internal", false),
    ("fixed.internal:7682", false),
    ("box.internal:80", false),
    ("box.internal.evil", false),
    ("evilbox.internal", false),
    ("", false),
    ("127.0.0.1", false),
    ("localhost", false),
    ("[::1]", false),
    ("::1", false),
    ("::1:7682", false),
    ("127.0.0.1:80", false),
    ("127.0.0.1:7683", false),
    ("127.0.0.1:07682", false),
    ("127.0.0.1:7682:7682", false),
    ("127.0.0.1:", false),
    ("127.0.0.1.:7682", false),
    ("127.0.0.1.evil:7682", false),
    ("127.0.0.1.evil.com", false),
    ("localhost.:7682", false),
    ("localhost.evil:7682", false),
    ("evil:7682", false),
    ("evil.com", false),
    ("user@127.0.0.1:7682", false),
    ("127.0.0.1:7682@evil", false),
    ("127.1:7682", false),
    ("2130706433:7682", false),
    ("0x7f000001:7682", false),
    ("0.0.0.0:7682", false),
    ("[::]:7682", false),
    ("[::ffff:127.0.0.1]:7682", false),
    ("[0:0:0:0:0:0:0:1]:7682", false),
    ("127.0.0.1:7682, evil", false),
    ("a b/c?d#e", false),
    ("127.0.0.2:7682", false),
];

/// PRX-3
#[test]
fn only_the_exact_names_are_answered_to() {
    for (host, allowed) in HOSTS {
        let expected = match allowed {
            true => Ok(Target::Path),
            false => Err(Turned::HostForeign),
        };
        assert_eq!(verdict("GET", "/p/x", &[("host", host)]), expected, "{host:?}");
    }
}

/// PRX-3
#[test]
fn a_request_names_its_host_once() {
    assert_eq!(verdict("GET", "/p/x", &[]), Err(Turned::HostCount));
    let twice = [("host", "localhost:7682"), ("host", "localhost:7682")];
    assert_eq!(verdict("GET", "/p/x", &twice), Err(Turned::HostCount));
}

/// PRX-3
#[test]
fn the_ports_own_number_may_be_left_out_only_on_port_80() {
    let head = head("GET", "/", &[("host", "localhost")]);
    assert_eq!(Gate::new(80).admit(&head, &extra(&[])).map(|admitted| admitted.target), Ok(Target::Path));
}

const ORIGINS: [(&str, bool); 12] = [
    ("", true),
    ("http://127.0.0.1:7682", true),
    ("http://localhost:7682", true),
    ("http://[::1]:7682", true),
    ("https://page.internal", true),
    ("null", false),
    ("http://evil.com", false),
    ("https://127.0.0.1:7682", false),
    ("http://127.0.0.1:7683", false),
    ("http://127.0.0.1:7682.evil.com", false),
    ("http://127.0.0.1:7682, http://127.0.0.1:7682", false),
    ("chrome-extension://abcdefghijklmnop", false),
];
const SITES: [(&str, bool); 6] = [
    ("", true),
    ("same-origin", true),
    ("none", true),
    ("same-site", false),
    ("cross-site", false),
    ("Same-Origin", false),
];
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "OPTIONS"];
const CONTENT_TYPES: [&str; 2] = ["text/plain", "application/json"];

/// PRX-3, L2: 720 combinations, of which only our own pages and programs pass.
#[test]
fn no_page_of_another_site_passes_whatever_it_sends() {
    for (origin, own) in ORIGINS {
        for (site, same) in SITES {
            for method in METHODS {
                for content in CONTENT_TYPES {
                    let mut headers = vec![("host", "127.0.0.1:7682"), ("content-type", content)];
                    headers.extend((!origin.is_empty()).then_some(("origin", origin)));
                    headers.extend((!site.is_empty()).then_some(("sec-fetch-site", site)));
                    let expected = match (own, same) {
                        (true, true) => Ok(Target::Path),
                        (false, _) => Err(Turned::OriginForeign),
                        (true, false) => Err(Turned::CrossSite),
                    };
                    let seen = verdict(method, "/p/x", &headers);
                    assert_eq!(seen, expected, "{origin} {site} {method} {content}");
                }
            }
        }
    }
}

/// PRX-3
#[test]
fn two_origins_or_two_sites_are_none_of_ours() {
    let own = ("origin", "http://127.0.0.1:7682");
    let host = ("host", "127.0.0.1:7682");
    assert_eq!(verdict("GET", "/", &[host, own, own]), Err(Turned::OriginForeign));
    let site = ("sec-fetch-site", "none");
    assert_eq!(verdict("GET", "/", &[host, site, site]), Err(Turned::CrossSite));
}

/// PRX-3
#[test]
fn a_preflight_is_refused_even_from_our_own_page() {
    let headers = [
        ("host", "127.0.0.1:7682"),
        ("origin", "http://127.0.0.1:7682"),
        ("access-control-request-method", "POST"),
    ];
    assert_eq!(verdict("OPTIONS", "/p/x", &headers), Err(Turned::Preflight));
}

/// PRX-3
#[test]
fn a_page_learns_nothing_but_that_it_is_refused() {
    let headers = [
        ("host", "127.0.0.1:7682"),
        ("origin", "http://evil.com"),
        ("transfer-encoding", "gzip, chunked"),
        ("upgrade", "websocket"),
    ];
    assert_eq!(verdict("BREW", "/../x", &headers), Err(Turned::OriginForeign));
}

#[test]
fn only_the_common_methods_pass() {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    for method in known {
        assert_eq!(verdict(method, "/p", &[OWN]), Ok(Target::Path), "{method}");
    }
    for method in ["TRACE", "get", "Post", "PROPFIND", "PRI", "BREW"] {
        assert_eq!(verdict(method, "/p", &[OWN]), Err(Turned::Method), "{method}");
    }
}

/// PRX-7
#[test]
fn a_tunnel_is_refused_with_a_hint_and_a_url_target_passes_with_its_own_host() {
    let connect = head("CONNECT", "api.example.com:443", &[("host", "api.example.com:443")]);
    let gate = Gate::new(PORT);
    assert_eq!(gate.admit(&connect, &extra(&[])), Err(Turned::Connect));
    assert!(Turned::Connect.to_string().contains("base URL"));
    let url = "http://api.example.com/v1/x";
    let repeated = verdict("GET", url, &[("host", "api.example.com")]);
    let authority = Authority::from_static("api.example.com");
    assert_eq!(repeated, Ok(Target::Url(authority.clone())));
    assert_eq!(verdict("GET", url, &[OWN]), Ok(Target::Url(authority)));
    let other = verdict("GET", url, &[("host", "evil.com")]);
    assert_eq!(other, Err(Turned::HostForeign));
    for target in ["http://user:pass@api.example.com/", "ftp://api.example.com/x"] {
        assert_eq!(verdict("GET", target, &[OWN]), Err(Turned::Target), "{target}");
    }
    assert_eq!(verdict("OPTIONS", "*", &[OWN]), Err(Turned::Target));
}

const TWO_READINGS: &[&str] = &[
    "/..",
    "/../",
    "/../x",
    "/p/..",
    "/p/../q",
    "/p/../../etc/passwd",
    "/p/..;/q",
    "/p/..%2fq",
    "/p/%2e%2e/q",
    "/p/%2E%2E/q",
    "/p/.%2e/q",
    "/p/%2e./q",
    "/p/%2e",
    "/p/x%2ejs",
    "/p/%2fq",
    "/p%2Fq",
    "/%2fp",
    "/p/%2F%2F",
    "//",
    "//evil.com/x",
    "//p/x",
    "/p//x",
    "/p/x//",
    "///",
    "/p/\\x",
    "/\\evil",
    "/p\\..\\q",
    "/p/%5cx",
    "/p/%5C..",
    "/p/%00",
    "/%00/p",
    "/p/x%00.json",
    "/./p",
    "/p/./x",
    "/p/.",
    "/.",
    "/p/x/./y",
    "/p/x/..",
    "/..p",
    "/p..",
    "/p/a..b",
    "/p/%2e%2e%2f%2e%2e%2fadmin",
    "/p/..%5c..",
    "/p/%2e%2e\\x",
    "/api/../p",
    "/p/../api/accounts",
    "/openai/../anthropic/x",
    "/openai//v1/x",
    "/openai/%2e%2e/anthropic",
];

/// ROU-4, H7: what two programs could read as two paths is refused.
#[test]
fn a_path_with_two_readings_is_refused() {
    for path in TWO_READINGS {
        assert_eq!(verdict("GET", path, &[OWN]), Err(Turned::Path), "{path}");
    }
    let good = [
        "/",
        "/p",
        "/p/",
        "/p/x",
        "/p/.well-known/x",
        "/p/x.json",
        "/p/x%20y",
        "/p/a%2Bb",
        "/p/;x",
        "/p/models/m-1.5:generate",
        "/p/x?y=../..//%2e",
        "/p/~x",
        "/p/@x",
        "/p/x;v=1",
    ];
    for path in good {
        assert_eq!(verdict("GET", path, &[OWN]), Ok(Target::Path), "{path}");
    }
    assert!(TWO_READINGS.len() + good.len() >= 60);
}

#[test]
fn bytes_beyond_ascii_are_refused_in_targets_and_values() {
    let uri = http::Uri::from_maybe_shared(&b"/p/\xc3\xa9"[..]).expect("http lets it pass");
    let mut request = head("GET", "/", &[OWN]);
    request.uri = uri;
    assert_eq!(Gate::new(PORT).admit(&request, &extra(&[])), Err(Turned::Path));
    let mut request = head("GET", "/", &[OWN]);
    let value = HeaderValue::from_bytes(b"caf\xe9").expect("http lets it pass");
    request.headers.insert("x-name", value);
    let name = HeaderName::from_static("x-name");
    let seen = Gate::new(PORT).admit(&request, &extra(&[]));
    assert_eq!(seen, Err(Turned::HeaderValue(name)));
}

/// PRX-4
#[test]
fn a_target_of_eight_kib_passes_and_one_more_byte_does_not() {
    let fits = format!("/{}", "x".repeat(LONGEST_TARGET - 1));
    assert_eq!(verdict("GET", &fits, &[OWN]), Ok(Target::Path));
    let long = format!("{fits}x");
    assert_eq!(verdict("GET", &long, &[OWN]), Err(Turned::TargetTooLong));
    let query = format!("/p?{}", "x".repeat(LONGEST_TARGET));
    assert_eq!(verdict("GET", &query, &[OWN]), Err(Turned::TargetTooLong));
}

/// PRX-2, H4
#[test]
fn a_body_is_framed_in_one_way_or_refused() {
    for coding in ["chunked", "CHUNKED", "Chunked"] {
        let seen = verdict("POST", "/p", &[OWN, ("transfer-encoding", coding)]);
        assert_eq!(seen, Ok(Target::Path), "{coding}");
    }
    for coding in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "\"chunked\"", ""] {
        let seen = verdict("POST", "/p", &[OWN, ("transfer-encoding", coding)]);
        assert_eq!(seen, Err(Turned::TransferCoding), "{coding}");
    }
    let two = [OWN, ("transfer-encoding", "identity"), ("transfer-encoding", "chunked")];
    assert_eq!(verdict("POST", "/p", &two), Err(Turned::TransferCoding));
}

#[test]
fn an_expectation_nobody_defined_is_refused() {
    let continues = [OWN, ("expect", "100-Continue")];
    assert_eq!(verdict("POST", "/p", &continues), Ok(Target::Path));
    let other = [OWN, ("expect", "200-ok")];
    assert_eq!(verdict("POST", "/p", &other), Err(Turned::Expectation));
}

/// PRX-3, L5: the gate comes before the upgrade.
#[test]
fn an_upgrade_passes_the_same_gate_as_every_request() {
    for upgrade in ["WebSocket", "h2c, websocket", "h2c"] {
        let own = [OWN, ("upgrade", upgrade), ("connection", "upgrade")];
        assert_eq!(verdict("GET", "/p", &own), Ok(Target::Path));
        let foreign = [OWN, ("upgrade", upgrade), ("origin", "http://evil.com")];
        assert_eq!(verdict("GET", "/p", &foreign), Err(Turned::OriginForeign));
        let elsewhere = [("host", "evil.com"), ("upgrade", upgrade)];
        assert_eq!(verdict("GET", "/p", &elsewhere), Err(Turned::HostForeign));
    }
}

/// PRX-3
#[test]
fn a_client_key_opens_from_any_of_its_places_and_nothing_else_does() {
    let keys = [Secret::new("first-key"), Secret::new("second-key")];
    let cases = [
        (None, false),
        (Some(("x-rota-key", "second-key")), true),
        (Some(("x-api-key", "first-key")), true),
        (Some(("api-key", "first-key")), true),
        (Some(("x-goog-api-key", "first-key")), true),
        (Some(("authorization", "Bearer first-key")), true),
        (Some(("authorization", "bearer second-key")), true),
        (Some(("authorization", "Basic first-key")), false),
        (Some(("authorization", "first-key")), false),
        (Some(("authorization", "Bearer first-keyx")), false),
        (Some(("x-rota-key", "first-ke")), false),
        (Some(("x-rota-key", "")), false),
        (Some(("cookie", "first-key")), false),
    ];
    for (sent, opens) in cases {
        let headers: Vec<_> = [OWN].into_iter().chain(sent).collect();
        let head = head("GET", "/p", &headers);
        let expected = match opens {
            true => Ok(Target::Path),
            false => Err(Turned::ClientKey),
        };
        let admitted = Gate::new(PORT).admit(&head, &extra(&keys));
        assert_eq!(admitted.map(|admitted| admitted.target), expected, "{sent:?}");
    }
}

/// PRX-3: a reload that takes the keys away does not open a listener that everybody reaches.
#[test]
fn where_keys_alone_decide_one_is_asked_for_also_where_there_is_none() {
    let gate = Gate::new(PORT).with_keys_only();
    let bare = head("GET", "/p", &[OWN]);
    assert_eq!(gate.admit(&bare, &extra(&[])).err(), Some(Turned::ClientKey));
    let keys = [Secret::new("key")];
    let shown = head("GET", "/p", &[OWN, ("x-rota-key", "key")]);
    assert!(gate.admit(&shown, &extra(&keys)).is_ok());
    assert!(Gate::new(PORT).admit(&bare, &extra(&[])).is_ok());
}

const OWN: (&str, &str) = ("host", "127.0.0.1:7682");

fn verdict(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Target, Turned> {
    let admitted = Gate::new(PORT).admit(&head(method, target, headers), &extra(&[]));
    admitted.map(|admitted| admitted.target)
}

fn extra(keys: &[Secret]) -> Extra<'_> {
    static NAMES: std::sync::LazyLock<[Vec<String>; 2]> = std::sync::LazyLock::new(|| {
        [
            vec!["box.internal".to_owned(), "fixed.internal:99".to_owned()],
            vec!["https://page.internal".to_owned()],
        ]
    });
    let [hosts, origins] = &*NAMES;
    Extra { hosts, origins, keys: Keys { plain: keys, ..Keys::NONE } }
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request").into_parts().0
}
