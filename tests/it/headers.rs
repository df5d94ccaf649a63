use crate::harness::{key, rota};
use fake_upstream::{Account, FakeUpstream, Fault, Script};

const ASK: &str = r#"{"model":"gpt-5","input":"hello"}"#;

/// PRX-2, C2: nothing a client sends for an account goes upstream.
#[tokio::test]
async fn no_credential_of_the_client_goes_upstream_and_none_of_ours_comes_back() {
    let script = Script::new().account(Account::new("a").api_key("sk-pool-secret")).cookies();
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("work", "openai", key("sk-pool-secret")).start().await;
    let mut call = rota.call("POST", "/openai/v1/responses?api_key=kept");
    let slots = [
        "Authorization",
        "authorization",
        "X-Api-Key",
        "api-key",
        "x-goog-api-key",
        "Cookie",
        "cookie2",
        "Proxy-Authorization",
        "Forwarded",
        "X-Forwarded-For",
        "Via",
        "X-Real-Ip",
        "CF-Connecting-IP",
        "X-Rota-Key",
        "x-rota-session",
        "OpenAI-Organization",
        "openai-project",
        "x-named",
    ];
    for slot in slots {
        call = call.header(slot, "canary-1").header(slot, "canary-2");
    }
    let answer =
        call.header("connection", "x-named, authorization").header("x-kept", "yes").json(ASK).send().await;
    assert_eq!(answer.status, 200);
    assert!(!fake.saw("canary"), "{:?}", fake.requests()[0].headers);
    let seen = &fake.requests()[0];
    assert_eq!(seen.account.as_deref(), Some("a"), "the injected credential is there");
    assert_eq!(seen.path, "/v1/responses?api_key=kept");
    let value = |name: &str| {
        let found = seen.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(value("x-kept"), Some("yes"));
    assert_eq!(value("host"), Some(fake.addr().to_string().as_str()));
    assert_eq!(value("content-length"), Some(ASK.len().to_string().as_str()));
    let back = format!("{:?} {}", answer.headers, answer.text());
    assert!(!back.contains("sk-pool-secret"));
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

/// PRX-3, L6
#[tokio::test]
async fn an_upstream_cannot_open_rota_to_web_pages() {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    fake.set_fault(
        Fault::none()
            .header("access-control-allow-origin", "*")
            .header("strict-transport-security", "max-age=1")
            .header("alt-svc", "h3=\":443\"")
            .header("x-rota-account", "somebody")
            .header("x-vendor", "kept"),
    );
    let rota = rota(fake.origin()).account("work", "openai", key("sk-a")).start().await;
    let answer = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    let names = ["access-control-allow-origin", "strict-transport-security", "alt-svc"];
    assert_eq!(names.map(|name| answer.header(name)), [None; 3]);
    assert_eq!(answer.header("x-rota-account"), Some("work"));
    assert_eq!(answer.header("x-vendor"), Some("kept"));
}

/// OBS-1
#[tokio::test]
async fn decision_headers_can_be_switched_off() {
    let script = Script::new().account(Account::new("a").api_key("sk-a"));
    let fake = FakeUpstream::start(script).await.expect("a fake upstream");
    let builder = rota(fake.origin()).account("work", "openai", key("sk-a"));
    let rota = builder.set("HEADERS__DECISION", "false").start().await;
    let answer = rota.call("POST", "/openai/v1/responses").json(ASK).send().await;
    let own = answer.headers.keys().filter(|name| name.as_str().starts_with("x-rota-"));
    assert_eq!(own.count(), 0);
    assert_eq!(answer.status, 200);
}
