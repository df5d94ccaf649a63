//! Signing in: browsers, devices, and grants that need no person.

use bytes::Bytes;
use fake_upstream::{Account, DevicePolicy, FakeUpstream, Script, fingerprint};
use http::Request;
use serde_json::{Value, json};

use crate::client::{Got, bearer, send, turn, with};

const NOON: i64 = 1_800_000_000_000;
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "http://localhost:1/cb";

#[tokio::test]
async fn a_device_login_waits_for_the_user_and_ends_in_tokens() {
    let fake = start().await;
    let (ask, poll) = codex_device(&fake).await;
    assert_eq!((&ask["interval"], send(&fake, poll.clone()).await.status.as_u16()), (&json!("5"), 403));
    assert!(fake.approve_device(text(&ask, "user_code"), "a"));
    let granted = send(&fake, poll.clone()).await.json();
    let exchange = json!({
        "grant_type": "authorization_code", "client_id": "c", "code": granted["authorization_code"],
        "code_verifier": granted["code_verifier"], "redirect_uri": format!("{}/deviceauth/callback", fake.origin()),
    });
    let tokens = send(&fake, with("/oauth/token", &[], &exchange)).await;
    assert_eq!(tokens.header("cache-control"), "no-store");
    let tokens = tokens.json();
    assert_eq!(
        send(&fake, bearer("/v1/responses", text(&tokens, "access_token"), &turn())).await.status,
        200
    );
    assert_eq!(send(&fake, with("/oauth/token", &[], &exchange)).await.status, 400, "a code is used once");
    assert_eq!(send(&fake, poll).await.status, 404);
}

#[tokio::test]
async fn a_device_login_can_be_denied_and_ends_by_itself() {
    let fake = start().await;
    let (ask, poll) = codex_device(&fake).await;
    assert!(fake.deny_device(text(&ask, "user_code")) && !fake.deny_device("FAKE-99999"));
    let denied = send(&fake, poll).await;
    assert_eq!(
        (denied.status.as_u16(), denied.json()["error"]["code"].clone()),
        (400, json!("access_denied"))
    );
    let (_, late) = codex_device(&fake).await;
    fake.clock().advance_ms(900_000);
    assert_eq!(send(&fake, late).await.json()["error"]["code"], "deviceauth_expired");
}

#[tokio::test]
async fn a_standard_device_login_goes_through_its_states() {
    let fake = start().await;
    let begun = send(&fake, form("/oauth/device/code", &[("client_id", "c"), ("scope", "s")])).await.json();
    let (user_code, page) = (text(&begun, "user_code").to_owned(), format!("{}/device", fake.origin()));
    let expected = json!({
        "device_code": begun["device_code"], "user_code": user_code, "expires_in": 900, "interval": 5,
        "verification_uri": page, "verification_uri_complete": format!("{page}?user_code={user_code}"),
    });
    assert_eq!(begun, expected);
    let poll = device_poll(text(&begun, "device_code"), &[]);
    assert_eq!(error(&send(&fake, poll.clone()).await), (400, "authorization_pending".to_owned()));
    assert_eq!(error(&send(&fake, poll.clone()).await), (400, "slow_down".to_owned()));
    fake.clock().advance_ms(5_000);
    assert_eq!(
        error(&send(&fake, poll.clone()).await).1,
        "slow_down",
        "the interval has grown by five seconds"
    );
    fake.clock().advance_ms(15_000);
    assert_eq!(error(&send(&fake, poll.clone()).await).1, "authorization_pending");
    assert!(fake.approve_device(&user_code, "b"));
    fake.clock().advance_ms(15_000);
    let tokens = send(&fake, poll.clone()).await;
    assert_eq!((tokens.status.as_u16(), tokens.header("cache-control")), (200, "no-store"));
    let tokens = tokens.json();
    assert_eq!(
        send(&fake, bearer("/v1/responses", text(&tokens, "access_token"), &turn())).await.status,
        200
    );
    assert_eq!(error(&send(&fake, poll).await).1, "invalid_grant", "a device code is used once");
    let request = fake.requests().into_iter().rfind(|request| request.path == "/v1/responses");
    assert_eq!(request.and_then(|request| request.account).as_deref(), Some("b"));
}

#[tokio::test]
async fn a_standard_device_login_is_denied_expires_and_checks_its_verifier() {
    let fake = start().await;
    let begin = |extra: &[(&str, &str)]| form("/oauth/device/code", &[&[("client_id", "c")], extra].concat());
    let denied = send(&fake, begin(&[])).await.json();
    assert!(fake.deny_device(text(&denied, "user_code")));
    let poll = device_poll(text(&denied, "device_code"), &[]);
    assert_eq!(error(&send(&fake, poll).await).1, "access_denied");

    let foreign = send(&fake, begin(&[])).await.json();
    let poll = form(
        "/token",
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("client_id", "somebody-else"),
            ("device_code", text(&foreign, "device_code")),
        ],
    );
    assert_eq!(error(&send(&fake, poll).await).1, "invalid_client");

    let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    for (verifier, status) in [(VERIFIER, 200), ("another", 400)] {
        let begun = send(&fake, begin(&pkce)).await.json();
        assert!(fake.approve_device(text(&begun, "user_code"), "a"));
        let poll = device_poll(text(&begun, "device_code"), &[("code_verifier", verifier)]);
        assert_eq!(send(&fake, poll).await.status, status, "{verifier}");
    }
    assert_eq!(error(&send(&fake, begin(&pkce[..1])).await).1, "invalid_request");
    assert_eq!(error(&send(&fake, form("/oauth/device/code", &[])).await).1, "invalid_request");

    let late = send(&fake, begin(&[])).await.json();
    fake.clock().advance_ms(900_000);
    assert_eq!(error(&send(&fake, device_poll(text(&late, "device_code"), &[])).await).1, "expired_token");
}

#[tokio::test]
async fn the_device_policy_is_the_scripts() {
    let policy = DevicePolicy { interval: 1, send_interval: false, expires_in: 7 };
    let fake = FakeUpstream::start(Script::new().device(policy)).await.expect("start");
    let begun = send(&fake, form("/oauth/device/code", &[("client_id", "c")])).await.json();
    assert_eq!((&begun["interval"], &begun["expires_in"]), (&Value::Null, &json!(7)));
    let (codex, _) = codex_device(&fake).await;
    assert_eq!(codex["interval"], "1");
}

#[tokio::test]
async fn a_browser_login_is_held_to_all_that_it_began_with() {
    let fake = start().await;
    let right = [
        ("grant_type", "authorization_code"),
        ("client_id", "c"),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
        ("state", "s t"),
    ];
    let rows = [
        ("/oauth/token", "", "", 200),
        ("/token", "", "", 200),
        ("/v1/oauth/token", "", "", 200),
        ("/oauth/token", "code_verifier", "another", 400),
        ("/oauth/token", "redirect_uri", "http://localhost:2/cb", 400),
        ("/oauth/token", "client_id", "another", 400),
        ("/oauth/token", "state", "another", 200),
        ("/v1/oauth/token", "state", "another", 400),
    ];
    for (path, changed, to, status) in rows {
        let code = code_of(&authorize(&fake, "a").await);
        let mut fields = vec![("code", code.as_str())];
        fields.extend(right.map(|(name, value)| (name, if name == changed { to } else { value })));
        let got = send(&fake, form(path, &fields)).await;
        assert_eq!(got.status, status, "{path} with another {changed:?}");
        if status == 400 {
            let again = send(&fake, form(path, &[&[("code", code.as_str())][..], &right].concat())).await;
            assert_eq!(again.status, 400, "a code that was shown wrongly is spent");
        }
    }
    let code = code_of(&authorize(&fake, "a").await);
    fake.clock().advance_ms(600_000);
    let late = send(&fake, form("/oauth/token", &[&[("code", code.as_str())][..], &right].concat())).await;
    assert_eq!(error(&late), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn the_authorization_page_sends_back_an_error_or_shows_one() {
    let fake = start().await;
    let page = |change: (&str, &str)| {
        let fields = page_fields("a");
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, if *name == change.0 { change.1 } else { value }))
            .collect();
        with(&format!("/oauth/authorize?{}", encoded(&fields)), &[], &Value::Null)
    };
    let rows = [
        (("response_type", "token"), "unsupported_response_type"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("login_hint", "c"), "access_denied"),
    ];
    for (change, expected) in rows {
        let got = send(&fake, page(change)).await;
        let location = got.header("location");
        let begins = format!("{CALLBACK}?error={expected}&error_description=");
        assert!(
            location.starts_with(&begins) && location.ends_with("&state=s%20t"),
            "{change:?}: {location}"
        );
    }
    for change in [("client_id", ""), ("redirect_uri", "javascript:alert(1)")] {
        let got = send(&fake, page(change)).await;
        assert_eq!((got.status.as_u16(), got.header("location")), (400, ""), "{change:?}");
    }
    let agreed = authorize(&fake, "nobody of that name").await;
    assert!(
        agreed.header("location").starts_with(&format!("{CALLBACK}?code=ac_")),
        "the first account signs in"
    );
}

#[tokio::test]
async fn the_paste_page_shows_the_code_with_its_state() {
    let fake = start().await;
    let shown = send(&fake, with("/oauth/code/callback?code=ac_1&state=s%3C", &[], &Value::Null)).await;
    assert!(String::from_utf8_lossy(&shown.body).contains("<code>ac_1#s&lt;</code>"), "{:?}", shown.body);
    let refused = with("/oauth/code/callback?error=access_denied&error_description=No.", &[], &Value::Null);
    let refused = send(&fake, refused).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("<code>access_denied: No.</code>"));
}

#[tokio::test]
async fn grants_without_a_person_want_their_parameters_and_give_no_refresh_token() {
    let fake = start().await;
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let jwt = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let kind = ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt");
    let (id, secret) = (("client_id", "c"), |secret| ("client_secret", secret));
    let rows = [
        ("client_credentials", vec![id, secret("sk-b")], (200, "")),
        ("client_credentials", vec![id], (400, "invalid_request")),
        ("client_credentials", vec![id, secret("wrong")], (401, "invalid_client")),
        (exchange, vec![("subject_token", "sk-b"), kind], (200, "")),
        (exchange, vec![("subject_token", "sk-b")], (400, "invalid_request")),
        (exchange, vec![("subject_token", "rt-0"), kind], (400, "invalid_request")),
        (jwt, vec![("assertion", "sk-b")], (200, "")),
        (jwt, vec![], (400, "invalid_request")),
        (jwt, vec![("assertion", "wrong")], (400, "invalid_grant")),
    ];
    for (grant, fields, expected) in rows {
        let fields = [vec![("grant_type", grant)], fields].concat();
        let got = send(&fake, form("/token", &fields)).await;
        assert_eq!(error(&got), (expected.0, expected.1.to_owned()), "{fields:?}");
        if expected.0 == 200 {
            let tokens = got.json();
            assert_eq!(tokens["refresh_token"], Value::Null);
            assert_eq!(tokens["issued_token_type"].is_string(), grant == exchange);
            let served = send(&fake, bearer("/v1/responses", text(&tokens, "access_token"), &turn())).await;
            assert_eq!(served.status, 200);
        }
        assert_eq!(error(&send(&fake, form("/v1/oauth/token", &fields)).await).1, "unsupported_grant_type");
    }
    let first = fake.requests().into_iter().next().expect("a request");
    let shown: Vec<_> =
        first.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let secret = fingerprint("sk-b");
    let expected =
        [("client_id", "c"), ("client_secret", secret.as_str()), ("grant_type", "client_credentials")];
    assert_eq!((shown, first.account.as_deref()), (expected.to_vec(), Some("b")));
}

#[tokio::test]
async fn a_device_code_is_judged_over_http_too() {
    let fake = start().await;
    for (answer, expected) in [
        (json!({"user_code": null, "account": "a"}), json!({"approved": true})),
        (json!({"user_code": null}), json!({"denied": true})),
    ] {
        let (ask, _) = codex_device(&fake).await;
        let mut answer = answer;
        answer["user_code"] = ask["user_code"].clone();
        assert_eq!(send(&fake, with("/__fake/device", &[], &answer)).await.json(), expected);
    }
}

/// Accounts `a` and `b`, and `c` whose owner refuses to sign in.
async fn start() -> FakeUpstream {
    let script = Script::new()
        .account(Account::new("a").refresh_token("rt-0"))
        .account(Account::new("b").api_key("sk-b"))
        .account(Account::new("c").denying_logins())
        .clock_at(NOON);
    FakeUpstream::start(script).await.expect("start")
}

async fn codex_device(fake: &FakeUpstream) -> (Value, Request<Bytes>) {
    let ask = with("/api/accounts/deviceauth/usercode", &[], &json!({"client_id": "c"}));
    let ask = send(fake, ask).await.json();
    let poll = json!({"device_auth_id": ask["device_auth_id"], "user_code": ask["user_code"]});
    (ask, with("/api/accounts/deviceauth/token", &[], &poll))
}

fn device_poll(device_code: &str, extra: &[(&str, &str)]) -> Request<Bytes> {
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    form("/token", &[&[grant, ("client_id", "c"), ("device_code", device_code)], extra].concat())
}

fn page_fields(account: &str) -> [(&'static str, &str); 8] {
    [
        ("code", "true"),
        ("response_type", "code"),
        ("client_id", "c"),
        ("redirect_uri", CALLBACK),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "s t"),
        ("login_hint", account),
    ]
}

async fn authorize(fake: &FakeUpstream, account: &str) -> Got {
    let page = format!("/oauth/authorize?{}", encoded(&page_fields(account)));
    send(fake, with(&page, &[], &Value::Null)).await
}

fn code_of(redirect: &Got) -> String {
    redirect.header("location").split(['=', '&']).nth(1).expect("a code").to_owned()
}

fn form(path: &str, fields: &[(&str, &str)]) -> Request<Bytes> {
    let request = Request::post(path).header("host", "fake");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    request.body(encoded(fields).into()).expect("request")
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join("&")
}

/// The status, and the `error` of RFC 6749 or of the OpenAI envelope.
fn error(got: &Got) -> (u16, String) {
    let body = got.json();
    let code = body["error"].as_str().or(body["error"]["code"].as_str()).unwrap_or_default();
    (got.status.as_u16(), code.to_owned())
}

fn text<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("no {field} in {body}"))
}
