use crate::harness::{Answer, Call, Rota, login, rota};
use fake_upstream::{Account, FakeUpstream, Script};
use rota::app::token_file;
use rota::engine::Command;
use rota::model::{BrowserFlow, Endpoint, LoginFlows, Loopback, Origin, Provider};
use serde_json::{Value, json};
use std::sync::Arc;

/// REN-5, REN-6, ADM-1: a whole sign-in over the admin API, and the one after it.
#[tokio::test]
async fn a_person_signs_in_over_the_admin_api_and_again() {
    let (fake, rota) = stage().await;
    let asked = json!({"alias": "work", "provider": "codex"});
    let job = admin(&rota, "POST", "/api/login", Some(&asked)).await;
    assert_eq!(job.status, 202, "{}", job.text());
    let job = job.json();
    let told = ["flow", "kind", "by", "state", "shown", "progress"].map(|name| job[name].as_str().unwrap());
    assert_eq!(told, ["browser", "login", "admin", "running", "in-progress", "waiting-for-browser"]);
    let path = format!("/api/login/{}", job["id"].as_str().unwrap());
    let twice = admin(&rota, "POST", "/api/login", Some(&asked)).await;
    assert_eq!((twice.status.as_u16(), &twice.json()["error"]["code"]), (409, &json!("LOGIN_IN_PROGRESS")));
    assert_eq!(twice.json()["error"]["details"]["id"], job["id"]);
    let address = agree(&fake, &job).await;
    let wrong = json!({"url": format!("{address}x")});
    let refused = admin(&rota, "POST", &format!("{path}/complete"), Some(&wrong)).await;
    assert_eq!((refused.status.as_u16(), code(&refused)), (400, "LOGIN_STATE_MISMATCH".to_owned()));
    assert_eq!(browse(&address).await.status, 200);
    let done = over(&rota, &path).await;
    assert_eq!(
        (&done["state"], &done["shown"], &done["progress"]),
        (&json!("succeeded"), &json!("success"), &json!("done"))
    );
    assert!(done.get("authorizeUrl").is_none() && done.get("error").is_none(), "{done}");
    assert_eq!(rota.account("work").credential.version(), 1);
    let reply = rota.call("POST", "/codex/responses").json(TURN).send().await;
    assert_eq!(reply.status, 200, "it serves: {}", reply.text());

    let idle = admin(&rota, "GET", "/api/accounts/other/reauth", None).await;
    assert_eq!(idle.json(), json!({"state": "idle", "shown": "idle"}));
    let again = admin(&rota, "POST", "/api/accounts/work/reauth", Some(&json!({"flow": "paste"}))).await;
    assert_eq!((again.status.as_u16(), &again.json()["kind"]), (202, &json!("reauth")));
    let path = format!("/api/login/{}", again.json()["id"].as_str().unwrap());
    let pasted = json!({"url": agree(&fake, &again.json()).await});
    let taken = admin(&rota, "POST", &format!("{path}/complete"), Some(&pasted)).await;
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(over(&rota, &path).await["state"], "succeeded");
    assert_eq!(rota.account("work").credential.version(), 2);
    let latest = admin(&rota, "GET", "/api/accounts/work/reauth", None).await.json();
    assert_eq!((&latest["state"], &latest["kind"]), (&json!("succeeded"), &json!("reauth")));
    let list = admin(&rota, "GET", "/api/accounts", None).await.json();
    let shown =
        list["accounts"].as_array().unwrap().iter().find(|account| account["alias"] == "work").unwrap();
    assert_eq!((&shown["reauth"], shown["credential"]["version"].as_u64()), (&latest, Some(2)));
    assert_eq!(fake.violations(), Vec::<String>::new());
    rota.stop().await;
}

/// REN-6, ADM-2: what cannot be begun, and what is not there.
#[tokio::test]
async fn what_is_not_a_sign_in_is_refused_with_its_code() {
    let (_fake, rota) = stage().await;
    let off = json!({"enabled": false, "force": true});
    assert_eq!(admin(&rota, "PUT", "/api/accounts/other/enabled", Some(&off)).await.status, 200);
    for (method, path, body, status, expected) in [
        ("POST", "/api/accounts/nobody/reauth", None, 404, "ACCOUNT_NOT_FOUND"),
        ("GET", "/api/accounts/nobody/reauth", None, 404, "ACCOUNT_NOT_FOUND"),
        ("POST", "/api/accounts/other/reauth", None, 409, "ACCOUNT_DISABLED"),
        ("POST", "/api/accounts/other/refresh", None, 409, "ACCOUNT_DISABLED"),
        ("GET", "/api/login/0123", None, 404, "JOB_NOT_FOUND"),
        ("DELETE", "/api/login/0123", None, 404, "JOB_NOT_FOUND"),
        ("POST", "/api/login/0123/complete", Some(json!({"url": "c#s"})), 404, "JOB_NOT_FOUND"),
        ("POST", "/api/login", Some(json!({"alias": "new"})), 400, "INVALID_REQUEST"),
        ("POST", "/api/login", Some(json!({"alias": "New"})), 400, "INVALID_REQUEST"),
        ("POST", "/api/login", Some(json!({"alias": "new", "provider": "nobody"})), 400, "INVALID_REQUEST"),
        ("POST", "/api/login", Some(json!({"alias": "new", "flow": "magic"})), 400, "INVALID_REQUEST"),
        (
            "POST",
            "/api/login",
            Some(json!({"alias": "new", "provider": "openrouter"})),
            400,
            "LOGIN_UNAVAILABLE",
        ),
        (
            "POST",
            "/api/login",
            Some(json!({"alias": "new", "provider": "codex", "flow": "device"})),
            400,
            "LOGIN_FLOW_UNAVAILABLE",
        ),
    ] {
        let answer = admin(&rota, method, path, body.as_ref()).await;
        assert_eq!(
            (answer.status.as_u16(), code(&answer)),
            (status, expected.to_owned()),
            "{method} {path} {body:?}"
        );
    }
    let anybody = Call::new(rota.app.addresses().admin.unwrap(), "GET", "/api/login/0123").send().await;
    assert_eq!(anybody.status, 401);
    rota.stop().await;
}

/// ADM-1, REN-1: a human asks for a new token, and is told when only signing in helps.
#[tokio::test]
async fn a_token_is_renewed_when_a_human_says_so() {
    let (fake, rota) = stage().await;
    let renewed = admin(&rota, "POST", "/api/accounts/other/refresh", None).await;
    assert_eq!(
        (renewed.status.as_u16(), &renewed.json()["credential"]["version"]),
        (200, &json!(2)),
        "{}",
        renewed.text()
    );
    assert_eq!(fake.ledger().exchanges, 1);
    fake.account("a", |account| account.refresh_tokens.clear());
    for _ in 0..2 {
        let dead = admin(&rota, "POST", "/api/accounts/other/refresh", None).await;
        assert_eq!((dead.status.as_u16(), code(&dead)), (409, "NEEDS_REAUTH".to_owned()));
    }
    let key = json!({"alias": "key", "provider": "openai", "secret": "sk-1"});
    assert_eq!(admin(&rota, "POST", "/api/accounts", Some(&key)).await.status, 201);
    let key = admin(&rota, "POST", "/api/accounts/key/refresh", None).await;
    assert_eq!((key.status.as_u16(), code(&key)), (409, "NOT_RENEWABLE".to_owned()));
    rota.stop().await;
}

/// REN-7: when rota stops, nobody is waited for.
#[tokio::test]
async fn stopping_calls_sign_ins_off_and_closes_their_listeners() {
    let (fake, rota) = stage().await;
    let asked = json!({"alias": "work", "provider": "codex"});
    let job = admin(&rota, "POST", "/api/login", Some(&asked)).await.json();
    let address = agree(&fake, &job).await;
    let app = Arc::clone(&rota.app);
    rota.stop().await;
    let state = app.logins.get(job["id"].as_str().unwrap()).unwrap().state;
    assert_eq!(state.as_str(), "cancelled");
    let place = address.strip_prefix("http://").unwrap().split('/').next().unwrap();
    assert!(tokio::net::TcpStream::connect(place).await.is_err(), "{place}");
}

const TURN: &str = r#"{"model":"gpt-5","instructions":"be brief","input":[],"store":false,"stream":true}"#;

async fn stage() -> (FakeUpstream, Rota) {
    let account = Account::new("a").access_token("at-1").refresh_token("rt-1");
    let fake = FakeUpstream::start(Script::new().account(account)).await.expect("a fake upstream");
    let rota = rota(fake.origin()).account("other", "codex", login("at-1", "rt-1", "org-a")).start().await;
    let world = rota.app.state.snapshot();
    let providers = world.providers.iter().map(|preset| match preset.id.as_str() {
        "codex" => Arc::new(Provider { login: Some(flows(&fake)), ..Provider::clone(preset) }),
        _ => preset.clone(),
    });
    let settings = world.settings.as_ref().clone();
    rota.app
        .state
        .apply(Command::Reconfigured { settings, providers: providers.collect() })
        .expect("applied");
    (fake, rota)
}

fn flows(fake: &FakeUpstream) -> LoginFlows {
    let origin = Origin::parse(&fake.origin()).expect("an origin");
    let loopback =
        Loopback { host: "127.0.0.1".to_owned(), ports: Vec::new(), path: "/auth/callback".to_owned() };
    let browser = BrowserFlow {
        authorize: Endpoint { origin, path: "/oauth/authorize".to_owned() },
        scope: "openid".to_owned(),
        params: Vec::new(),
        loopback: Some(loopback),
        paste: None,
        state_in_exchange: false,
    };
    LoginFlows { browser: Some(browser), device: None }
}

async fn admin(rota: &Rota, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let token = std::fs::read_to_string(token_file(&rota.app.config.load().state_dir)).expect("a token");
    let address = rota.app.addresses().admin.expect("an address");
    let call = Call::new(address, method, path).header("authorization", &format!("Bearer {}", token.trim()));
    match body {
        Some(body) => call.json(&body.to_string()).send().await,
        None => call.send().await,
    }
}

fn code(answer: &Answer) -> String {
    answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// The person opens the page and agrees: where the browser is sent.
async fn agree(fake: &FakeUpstream, job: &Value) -> String {
    let url = job["authorizeUrl"].as_str().expect("a page");
    let path = url.strip_prefix(fake.origin().as_str()).expect("the fake's");
    let address = fake.origin().strip_prefix("http://").expect("http").parse().expect("an address");
    let answer = Call::new(address, "GET", path).send().await;
    answer.header("location").expect("a redirection").to_owned()
}

async fn browse(address: &str) -> Answer {
    let (place, path) = address.strip_prefix("http://").expect("http").split_once('/').expect("a path");
    Call::new(place.parse().expect("an address"), "GET", &format!("/{path}")).send().await
}

async fn over(rota: &Rota, path: &str) -> Value {
    loop {
        let job = admin(rota, "GET", path, None).await.json();
        if job["progress"] == "done" {
            return job;
        }
    }
}
