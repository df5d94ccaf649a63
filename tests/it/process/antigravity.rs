//! A feature that is off: nothing of it is there. On, it shows a file and changes nothing.
use super::place::{Daemon, Fake, Place};
use super::talk::{Reply, Talk};
use serde_json::{Value, json};

const PATH: &str = "/api/antigravity";
const FILE: &str = "config/opencode/antigravity-accounts.json";
/// All its accounts rest for years.
const ACCOUNTS: &str = r#"{"version":4,"activeIndex":0,"accounts":[{"email":"a@example.com","refreshToken":"rt-canary",
  "addedAt":1,"lastUsed":1800000000000,"coolingDownUntil":4000000000000,"cooldownReason":"auth-failure",
  "rateLimitResetTimes":{"model-x":4000000000000}}]}"#;

/// ADM-6: off, its path is answered as a path that nobody knows, whatever the method, with a token or without; no
/// document, metric or log line has it, and its file is not read.
#[test]
fn while_it_is_off_nothing_of_it_is_there() {
    let (_fake, mut place) = place();
    place.set("ROTA_LOG__LEVEL", "debug");
    let daemon = place.serve();
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"] {
        for with_token in [true, false] {
            let ask = |path: &str| {
                let talk = Talk::to(daemon.admin(), method, path);
                let token = format!("Bearer {}", place.token());
                if with_token { talk.header("authorization", &token).send() } else { talk.send() }
            };
            let told = |reply: Reply, path: &str| (reply.status, reply.body.replace(path, "PATH"));
            let unknown = "/api/no-such-thing";
            assert_eq!(told(ask(PATH), PATH), told(ask(unknown), unknown), "{method} {with_token}");
        }
    }
    // The flag itself is described, or nobody could set it.
    let document = place.admin(&daemon, "GET", "/openapi.json").send().body;
    assert!(!document.contains(PATH) && !document.contains("plugin"), "{document}");
    let everywhere = ["/metrics", "/api/status", "/api/accounts", "/api/doctor", "/"];
    for path in everywhere {
        let page = place.admin(&daemon, "GET", path).send();
        assert!(!page.body.to_lowercase().contains("antigravity"), "{path} has it");
    }
    assert_eq!(daemon.ask("/openai/v1/responses").status, 200);
    let log = daemon.stop();
    // The paths that were asked for above are in no line either.
    assert!(!log.to_lowercase().contains("antigravity") && !log.contains("canary"), "{log}");
}

/// ADM-6: on, the file is shown without its tokens, and nobody is chosen otherwise than before.
#[test]
fn while_it_is_on_it_shows_the_file_and_influences_nobody() {
    let (_fake, mut place) = place();
    let chosen = |place: &Place, daemon: &Daemon| {
        let next = place.admin(daemon, "GET", "/api/decisions/next?provider=openai").send().json();
        let served =
            (0..4).map(|_| daemon.ask("/openai/v1/responses").header("x-rota-account").map(str::to_owned));
        (next["decision"].clone(), served.collect::<Vec<_>>())
    };
    let off = place.serve();
    let before = chosen(&place, &off);
    off.stop();
    place.set("ROTA_FEATURES__ANTIGRAVITY", "true");
    let on = place.serve();
    assert_eq!(chosen(&place, &on), before);
    let panel = place.admin(&on, "GET", PATH).send();
    assert_eq!(panel.status, 200, "{panel:?}");
    assert!(!panel.body.contains("canary"), "{}", panel.body);
    let panel = panel.json();
    let expected = json!([{
        "email": "a@example.com", "enabled": true, "active": true, "needsVerification": false,
        "lastUsedAt": "2027-01-15T08:00:00Z", "coolingUntil": "2096-10-02T07:06:40Z",
        "coolingReason": "auth-failure", "spentUntil": {"model-x": "2096-10-02T07:06:40Z"},
    }]);
    assert_eq!((&panel["accounts"], &panel["problem"]), (&expected, &Value::Null));
    let without = Talk::to(on.admin(), "GET", PATH).send();
    assert_eq!((without.status, without.code().as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(place.admin(&on, "PUT", PATH).send().status, 405);
    let aliases = place.json(&["status"])["accounts"].as_array().map(Vec::len);
    assert_eq!(aliases, Some(2), "none of its accounts is one of rota's");
    std::fs::remove_file(place.path(FILE)).expect("it was there");
    let gone = place.admin(&on, "GET", PATH).send().json();
    assert!(gone["problem"].as_str().is_some_and(|problem| problem.contains("does not exist")), "{gone}");
}

/// ADM-6: it is switched in a running rota, and a request under way is not disturbed.
#[test]
fn it_comes_and_goes_with_the_configuration_and_disturbs_nothing() {
    let (fake, place) = place();
    let daemon = place.serve();
    fake.upstream.set_fault(fake_upstream::Fault::none().stall_after(2, "middle").once());
    let under_way = daemon.call("POST", "/openai/v1/responses").json(super::place::STREAM).open();
    fake.wait(fake.upstream.gate("middle").arrived(1));
    for (turn, (text, status)) in [("true", 200), ("false", 404)].into_iter().enumerate() {
        place.config(&format!("{}[features]\nantigravity = {text}\n", fake.config()));
        daemon.signal("HUP");
        daemon.wrote_what(|log| log.matches("the configuration was reloaded").count() > turn);
        assert_eq!(place.admin(&daemon, "GET", PATH).send().status, status);
    }
    fake.upstream.gate("middle").release();
    let reply = Reply::read(under_way);
    assert!(reply.status == 200 && !reply.cut && reply.body.contains("response.completed"), "{reply:?}");
}

fn place() -> (Fake, Place) {
    let fake = Fake::keys(&["a", "b"]);
    let place = Place::before(&fake);
    place.add("work", "openai", "sk-a");
    place.add("home", "openai", "sk-b");
    place.file(FILE, 0o600, ACCOUNTS);
    (fake, place)
}
