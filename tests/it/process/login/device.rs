use super::*;
use fake_upstream::Fault;

/// REN-5: a code for another device, as Codex has it and as RFC 8628 has it, with and without a daemon.
#[test]
fn a_device_login_adds_an_account_that_serves() {
    for (id, page, path) in
        [("chat", "/codex/device", "/chat/responses"), ("acme", "/device", "/acme/v1/responses")]
    {
        for daemon in [false, true] {
            let fake = provider();
            let place = home(&fake);
            let running = daemon.then(|| place.serve());
            let signing = Signing::start(&place, &["team", "--provider", id, "--device"]);
            let shown = signing.address(page);
            assert_eq!(shown, format!("{}{page}", fake.upstream.origin()));
            assert!(fake.upstream.approve_device(&signing.code(), "b"));
            let ran = signing.ended();
            assert_eq!((ran.code, ran.out.contains("✔ team ")), (Some(0), true), "{id}: {ran:?}");
            let running = running.unwrap_or_else(|| place.serve());
            served(&fake, &running, path, &["b"]);
        }
    }
}

/// RFC 8628: the address that has the code in it is shown where the provider gives one.
#[test]
fn the_address_with_the_code_is_shown_too() {
    let fake = provider();
    let place = home(&fake);
    let signing = Signing::start(&place, &["team", "--provider", "acme", "--device"]);
    let code = signing.code();
    assert_eq!(signing.address("user_code="), format!("{}/device?user_code={code}", fake.upstream.origin()));
}

/// RFC 8628 §3.5: who polls too fast is told so, and slows down.
#[test]
fn a_device_login_polls_as_slowly_as_it_is_told() {
    let fake = provider();
    let place = home(&fake);
    fake.upstream.set_fault(Fault::reply(400, r#"{"error":"slow_down"}"#).path("/token").once());
    let signing = Signing::start(&place, &["team", "--provider", "acme", "--device"]);
    let code = signing.code();
    let polls = |requests: &[fake_upstream::Recorded]| -> Vec<i64> {
        requests.iter().filter(|request| request.path == "/token").map(|request| request.at_ms).collect()
    };
    let seen = fake.wait(fake.upstream.recorder().wait_until(|requests| polls(requests).len() >= 2));
    let times = polls(&seen);
    // One second and five more; the fake's clock is read when a request's head is, so a few milliseconds may be lost.
    assert!(times[1] - times[0] >= 5_900, "{times:?}");
    assert!(fake.upstream.approve_device(&code, "a"));
    assert_eq!(signing.ended().code, Some(0));
    let requests = fake.upstream.requests();
    let too_fast = requests.iter().filter(|request| request.path == "/token" && !request.faulted);
    assert!(too_fast.into_iter().all(|request| request.status != Some(429)), "{requests:?}");
}

/// REN-5, REN-6: somebody says no, nobody comes, or the provider has no such login.
#[test]
fn a_device_login_that_fails_says_why() {
    for id in ["chat", "acme"] {
        let fake = provider();
        let place = home(&fake);
        let signing = Signing::start(&place, &["team", "--provider", id, "--device"]);
        assert!(fake.upstream.deny_device(&signing.code()));
        let ran = signing.ended();
        assert_eq!(
            (ran.code, ran.err.contains("no account was added [LOGIN_")),
            (Some(5), true),
            "{id}: {ran:?}"
        );
        assert_eq!(aliases(&place), Vec::<String>::new());
    }
    let brief = DevicePolicy { interval: 1, expires_in: 1, ..DevicePolicy::default() };
    let fake = Fake::start(script().device(brief));
    let place = home(&fake);
    let late = place.rota(&["login", "team", "--provider", "acme", "--device"]);
    assert_eq!((late.code, late.err.contains("[LOGIN_EXPIRED]")), (Some(5), true), "{late:?}");
    fake.upstream.set_fault(Fault::reply(404, "").path("/api/accounts/deviceauth/usercode"));
    let none = place.rota(&["login", "team", "--provider", "chat", "--device"]);
    assert!(none.err.contains("[LOGIN_DEVICE_UNAVAILABLE]"), "{none:?}");
    let lacking = place.rota(&["login", "team", "--provider", "claude", "--device"]);
    assert!(lacking.err.contains("[LOGIN_FLOW_UNAVAILABLE]"), "{lacking:?}");
}
