use super::world::{NOW, World, named};
use crate::auth::login::{JobReport, LoginError, LoginFlow, Progress};
use crate::model::{JobState, Time};
use serde_json::{Value, json};
use std::time::Duration;

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// REN-5: 403 and 404 mean wait, and the grant is a code with its own verifier.
#[tokio::test]
async fn a_code_typed_elsewhere_signs_in() {
    let world = World::start().await;
    world.idp.script(
        "/usercode",
        [(200, json!({ "device_auth_id": "canary-id", "usercode": "AB-12", "interval": "7" }))],
    );
    let granted = json!({ "authorization_code": "c", "code_verifier": "v", "code_challenge": "x" });
    let waits = [(403, json!({})), (404, json!({ "error": { "code": "pending" } })), (503, json!({}))];
    world.idp.script("/poll", waits);
    world.idp.script("/poll", [(200, granted)]);
    world.idp.script("authorization_code", [(200, json!({ "access_token": "at", "refresh_token": "rt" }))]);
    let job = world.begin("work", "web", LoginFlow::Device).await.unwrap();
    assert_eq!((job.state, job.progress), (JobState::Running, Progress::WaitingForCodeEntry));
    assert_eq!(job.offer.verification_url.as_deref(), Some("https://id.example.com/device"));
    assert_eq!(job.offer.user_code.as_ref().unwrap().as_str(), "AB-12");
    assert_eq!(job.started.until(job.expires), Duration::from_secs(900));
    assert!(!format!("{job:?}").contains("AB-12"));
    // The third answer was no answer, so that the fourth question comes later.
    let polls = poll_at(&world, [7, 14, 21, 33]).await;
    assert_eq!(world.over(&job).await.state, JobState::Succeeded);
    let requests = world.idp.requests();
    assert_eq!(requests[0].fields, [("client_id".to_owned(), "app".to_owned())].into());
    for (at, poll) in polls.iter().zip(&requests[1..5]) {
        let told = (poll.path.as_str(), poll.at, poll.is_json, poll.fields["device_auth_id"].as_str());
        assert_eq!(told, ("/poll", *at, true, "canary-id"));
        assert_eq!(poll.fields["user_code"], "AB-12");
    }
    let trade = &requests[5].fields;
    let told = ["code", "code_verifier", "redirect_uri"].map(|name| trade[name].as_str());
    assert_eq!(told, ["c", "v", "https://id.example.com/device/callback"]);
    assert!(!requests[5].is_json);
}

/// REN-5: RFC 8628, with an endpoint that answers 200 while it waits, and one that wants to be asked less.
#[tokio::test]
async fn a_standard_device_code_signs_in_at_the_pace_it_is_told() {
    let world = World::start().await;
    let begun = json!({
        "device_code": "canary-dc", "user_code": "CD-34", "verification_uri": "https://id.example.com/d",
        "verification_uri_complete": "https://id.example.com/d?c=CD-34", "expires_in": 600,
    });
    world.idp.script("/device", [(200, begun)]);
    let pending = json!({ "error": "authorization_pending" });
    let slow = json!({ "error": "slow_down" });
    world.idp.script(
        DEVICE,
        [(400, pending.clone()), (200, pending), (400, slow.clone()), (200, slow), (200, json!({}))],
    );
    let job = world.begin("work", "device", LoginFlow::Device).await.unwrap();
    let offer = &job.offer;
    assert_eq!(offer.verification_url.as_deref(), Some("https://id.example.com/d"));
    let complete = offer.verification_url_complete.as_ref().unwrap().as_str();
    assert_eq!(complete, "https://id.example.com/d?c=CD-34");
    assert_eq!(job.started.until(job.expires), Duration::from_secs(600));
    let polls = poll_at(&world, [5, 10, 15, 25, 40, 55]).await;
    assert_eq!(world.over(&job).await.state, JobState::Succeeded);
    let requests = world.idp.requests();
    let asked = &requests[0].fields;
    let told = ["client_id", "scope", "audience", "code_challenge_method"].map(|name| asked[name].as_str());
    assert_eq!(told, ["app", "all", "api", "S256"]);
    let at: Vec<Time> = requests[1..].iter().map(|request| request.at).collect();
    assert_eq!(at, polls);
    let poll = &requests[1].fields;
    assert_eq!((poll["device_code"].as_str(), poll["code_verifier"].len()), ("canary-dc", 86));
    assert_eq!(world.credential("work").identity.user.as_deref(), Some("device-person"));
}

/// REN-5
#[tokio::test]
async fn a_device_code_that_ends_otherwise_says_how() {
    let world = World::start().await;
    let start =
        json!({ "device_code": "dc", "user_code": "C", "verification_url": "https://id.example.com/d" });
    for (status, error, code) in [
        (400, "expired_token", "LOGIN_EXPIRED"),
        (400, "access_denied", "LOGIN_DENIED"),
        (403, "access_denied", "LOGIN_DENIED"),
        (401, "invalid_client", "LOGIN_REFUSED"),
        (200, "expired_token", "LOGIN_EXPIRED"),
    ] {
        world.idp.script("/device", [(200, start.clone())]);
        world.idp.script(DEVICE, [(status, json!({ "error": error }))]);
        let job = world.begin("work", "device", LoginFlow::Device).await.unwrap();
        world.clock.advance(Duration::from_secs(5));
        assert_eq!(world.over(&job).await.error.unwrap().code, code, "{status} {error}");
    }
    world.idp.script("/usercode", [(200, own_kind())]);
    world.idp.script("/poll", [(403, json!({ "error": "access_denied" }))]);
    let job = world.begin("work", "web", LoginFlow::Device).await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.over(&job).await.error.unwrap().code, "LOGIN_DENIED");
    assert!(world.account("work").is_none());
}

/// REN-5
#[tokio::test]
async fn a_code_that_nobody_types_is_given_up() {
    let world = World::start().await;
    world.idp.script("/usercode", [(200, own_kind())]);
    let job = world.begin("work", "web", LoginFlow::Device).await.unwrap();
    world.clock.set(job.expires);
    assert_eq!(world.over(&job).await.error.unwrap().code, "LOGIN_EXPIRED");
    assert_eq!(world.idp.requests().len(), 1, "it was too late to ask");
}

/// REN-5: a provider that gives no code, or an odd one, is told at once.
#[tokio::test]
async fn a_provider_that_gives_no_code_is_told_at_once() {
    let world = World::start().await;
    for (status, body, code) in [
        (404, json!({}), "LOGIN_DEVICE_UNAVAILABLE"),
        (400, json!({ "error": "invalid_scope" }), "LOGIN_REFUSED"),
        (500, json!({}), "LOGIN_REFUSED"),
        (200, json!({}), "LOGIN_REFUSED"),
        (200, json!({ "device_auth_id": "i", "user_code": "\u{1b}]0;x" }), "LOGIN_REFUSED"),
        (200, json!({ "device_auth_id": "i", "user_code": 7 }), "LOGIN_REFUSED"),
        (200, Value::Null, "LOGIN_REFUSED"),
    ] {
        world.idp.script("/usercode", [(status, body.clone())]);
        let refused: Result<JobReport, LoginError> = world.begin("work", "web", LoginFlow::Device).await;
        assert_eq!(refused.unwrap_err().code(), code, "{status} {body}");
    }
    assert_eq!(world.logins.latest_of(&named("work")).unwrap().state, JobState::Failed);
}

fn own_kind() -> Value {
    json!({ "device_auth_id": "i", "user_code": "C", "interval": "5" })
}

/// Lets the time come to each of these seconds, one after the other: a question too early would be recorded as such, one
/// too late waited for in vain.
async fn poll_at<const N: usize>(world: &World, seconds: [u64; N]) -> Vec<Time> {
    let begun = world.idp.requests().len();
    let times = seconds.map(|second| NOW.after(Duration::from_secs(second)));
    for (poll, time) in times.iter().enumerate() {
        world.clock.set(time.before(Duration::from_millis(1)));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        world.clock.set(*time);
        world.idp.asked(begun + poll + 1).await;
    }
    times.into()
}
