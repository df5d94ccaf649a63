//! Sign-ins over a real store, real sockets and an identity provider that grants every code once.
mod again;
mod device;
mod idp;
mod world;

use super::{Ended, JobKind, LoginError, LoginFlow, LoginRequest, Progress};
use crate::model::{AccountId, Actor, Credential, CredentialKind, Identity, JobState, Secret};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use world::{NOW, World, browse, key, named};

/// REN-5: authorization code, PKCE and state, by a browser that comes back.
#[tokio::test]
async fn a_browser_that_comes_back_makes_an_account() {
    let world = World::start().await;
    let job = world.begin("work", "web", LoginFlow::Browser).await.unwrap();
    let told = (job.state, job.progress, job.kind, job.flow, job.by, job.account);
    let waits = Progress::WaitingForBrowser;
    assert_eq!(told, (JobState::Running, waits, JobKind::Login, LoginFlow::Browser, Actor::Admin, None));
    assert_eq!(job.started.until(job.expires), Duration::from_secs(300));
    let url = job.offer.authorize_url.as_ref().unwrap().as_str();
    assert!(url.contains("&scope=openid&") && url.ends_with("&originator=rota"), "{url}");
    let address = world.idp.visit(url, "ann");
    assert!(address.starts_with("http://localhost:") && address.contains("/auth/callback?"), "{address}");
    assert_eq!(browse(&address).await.unwrap().0, 200);
    let job = world.over(&job).await;
    assert_eq!((job.state, job.progress, job.error), (JobState::Succeeded, Progress::Done, None));
    assert_eq!(job.offer, super::Offer::default(), "nobody needs it any more");
    let expected = Credential {
        kind: CredentialKind::Oauth,
        access: Secret::new("canary-at-ann-2"),
        refresh: Some(Secret::new("canary-rt-ann-2")),
        identity: Identity {
            user: Some("ann".to_owned()),
            email: Some("ann@example.com".to_owned()),
            ..Identity::default()
        },
        expires: Some(NOW.after(Duration::from_secs(3600))),
        ..key()
    };
    assert_eq!(world.credential("work"), expected);
    let id = world.account("work").unwrap().id;
    assert_eq!(world.store.credential(id).unwrap(), Some(expected));
    assert_eq!(browse(&address).await, None, "a late answer finds nobody");
}

/// REN-5
#[tokio::test]
async fn a_missing_or_wrong_state_is_refused_and_ends_nothing() {
    let world = World::start().await;
    let job = world.begin("work", "web", LoginFlow::Browser).await.unwrap();
    let right = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    let (place, _) = right.split_once('?').unwrap();
    for wrong in [
        format!("{place}?code=evil"),
        format!("{place}?code=evil&state="),
        format!("{right}x"),
        format!("{place}?code=evil&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        format!("{place}?error=access_denied"),
        format!("{right}&code=evil"),
    ] {
        assert_eq!(browse(&wrong).await.unwrap().0, 400, "{wrong}");
        assert_eq!(world.logins.get(&job.id).unwrap().state, JobState::Running, "{wrong}");
    }
    assert!(world.idp.requests().is_empty(), "no code of theirs was traded");
    assert_eq!(browse(&right).await.unwrap().0, 200);
    assert_eq!(world.over(&job).await.state, JobState::Succeeded);
}

/// REN-5
#[tokio::test]
async fn a_person_who_says_no_is_believed_if_it_is_the_same_person() {
    for (error, code) in [("access_denied", "LOGIN_DENIED"), ("server_error", "LOGIN_REFUSED")] {
        let world = World::start().await;
        let job = world.begin("work", "web", LoginFlow::Browser).await.unwrap();
        let right = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
        let (place, asked) = right.split_once('?').unwrap();
        let (_, state) = asked.split_once("&state=").unwrap();
        assert_eq!(browse(&format!("{place}?error={error}&state={state}")).await.unwrap().0, 200);
        let job = world.over(&job).await;
        assert_eq!((job.state, job.error.unwrap().code), (JobState::Failed, code));
        assert!(world.account("work").is_none());
    }
}

/// REN-5: the whole address, or what the page shows; by hand, from anywhere.
#[tokio::test]
async fn what_is_pasted_is_as_good_as_a_browser_that_comes_back() {
    for (provider, flow, waits) in [
        ("web", LoginFlow::Browser, Progress::WaitingForBrowser),
        ("web", LoginFlow::Paste, Progress::WaitingForPaste),
        ("page", LoginFlow::Paste, Progress::WaitingForPaste),
    ] {
        for form in ["address", "code#state", "code&state"] {
            let world = World::start().await;
            let job = world.begin("work", provider, flow).await.unwrap();
            assert_eq!(job.progress, waits);
            let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
            let (_, asked) = address.split_once("?code=").unwrap();
            let (code, state) = asked.split_once("&state=").unwrap();
            let paste = |text: &str| world.logins.complete(&job.id, text).map(|job| job.state);
            assert_eq!(paste(code), Err(LoginError::StateMismatch));
            assert_eq!(paste(&format!("{code}#{state}x")), Err(LoginError::StateMismatch));
            assert_eq!(paste("https://id.example.com/"), Err(LoginError::NotAnAnswer));
            let text = form.replace("address", &address).replace("code", code).replace("state", state);
            let text = if form == "address" { &address } else { &text };
            assert_eq!(paste(text), Ok(JobState::Running), "{form}");
            assert_eq!(paste(text), Err(LoginError::NotWaiting), "once");
            assert_eq!(world.over(&job).await.state, JobState::Succeeded, "{provider} {form}");
            let asked = &world.idp.requests()[0];
            let repeated = asked.fields.get("state").map(String::as_str);
            assert_eq!((repeated == Some(state), asked.is_json), (provider == "page", provider == "page"));
        }
    }
    let world = World::start().await;
    let job = world.begin("work", "page", LoginFlow::Paste).await.unwrap();
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    let state = address.rsplit('=').next().unwrap();
    let no = format!("https://id.example.com/?error=access_denied&state={state}");
    assert_eq!(world.logins.complete(&job.id, &no), Err(LoginError::Denied));
    assert_eq!(world.over(&job).await.error.unwrap().code, "LOGIN_DENIED");
    assert_eq!(world.logins.complete("0000", &no), Err(LoginError::UnknownJob));
}

/// REN-5: two at once, answers to the wrong one first, in any order: none is ever taken for another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sign_ins_at_once_never_cross() {
    let world = World::start().await;
    for round in 0..50u32 {
        let names = [format!("a{round}"), format!("b{round}")];
        let one = world.begin(&names[0], "web", LoginFlow::Browser).await.unwrap();
        let two = world.begin(&names[1], "web", LoginFlow::Browser).await.unwrap();
        let url = |job: &super::JobReport| job.offer.authorize_url.as_ref().unwrap().as_str().to_owned();
        let (ann, bob) = (world.idp.visit(&url(&one), &names[0]), world.idp.visit(&url(&two), &names[1]));
        let asked = |address: &str| address.split_once('?').unwrap().1.to_owned();
        let place = |address: &str| address.split_once('?').unwrap().0.to_owned();
        let crossed =
            [format!("{}?{}", place(&ann), asked(&bob)), format!("{}?{}", place(&bob), asked(&ann))];
        for address in &crossed {
            assert_eq!(browse(address).await.unwrap().0, 400);
        }
        assert_eq!(world.logins.complete(&one.id, &bob), Err(LoginError::StateMismatch));
        let in_order = if round % 2 == 0 { [&ann, &bob] } else { [&bob, &ann] };
        let (first, second) = tokio::join!(browse(in_order[0]), browse(in_order[1]));
        assert_eq!([first.unwrap().0, second.unwrap().0], [200, 200]);
        for (job, name) in [(&one, &names[0]), (&two, &names[1])] {
            assert_eq!(world.over(job).await.state, JobState::Succeeded);
            assert_eq!(world.credential(name).identity.user.as_ref(), Some(name), "round {round}");
        }
    }
}

/// REN-5: the preset's ports in order, and a word on what to do when all are taken.
#[tokio::test]
async fn a_port_that_is_taken_makes_room_for_the_next_and_none_is_an_error() {
    let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = squatter.local_addr().unwrap().port();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = World::with(vec![taken, free]).await;
    let first = world.begin("one", "web", LoginFlow::Browser).await.unwrap();
    let redirect = format!("http://localhost:{free}/auth/callback");
    assert_eq!(first.offer.redirect_uri.as_deref(), Some(redirect.as_str()));
    let second = world.begin("two", "web", LoginFlow::Browser).await.unwrap_err();
    let told = second.to_string();
    assert_eq!(second.code(), "LOGIN_PORT_BUSY");
    for part in [&*taken.to_string(), &*free.to_string(), "--device", "--no-browser"] {
        assert!(told.contains(part), "{told}");
    }
    world.begin("two", "web", LoginFlow::Paste).await.unwrap();
    world.logins.cancel(&first.id).await.unwrap();
    world.begin("three", "web", LoginFlow::Browser).await.unwrap();
    drop(squatter);
}

/// REN-5: nobody is waited for longer than that.
#[tokio::test]
async fn after_five_minutes_nothing_listens_any_more() {
    let world = World::start().await;
    let job = world.begin("work", "web", LoginFlow::Browser).await.unwrap();
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    world.clock.advance(Duration::from_secs(300));
    let job = world.over(&job).await;
    assert_eq!((job.state, job.error.unwrap().code), (JobState::Failed, "LOGIN_EXPIRED"));
    assert_eq!(browse(&address).await, None);
    assert_eq!(world.logins.complete(&job.id, &address), Err(LoginError::NotWaiting));
    world.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(world.logins.get(&job.id), Err(LoginError::UnknownJob));
}

/// REN-7
#[tokio::test]
async fn what_is_called_off_changes_nothing_and_stopping_calls_all_off() {
    let world = World::start().await;
    let job = world.begin("work", "web", LoginFlow::Browser).await.unwrap();
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    let again = world.begin("work", "web", LoginFlow::Paste).await;
    assert_eq!(again, Err(LoginError::InProgress { alias: named("work"), id: job.id.clone() }));
    assert_eq!(world.logins.cancel(&job.id).await.unwrap().state, JobState::Cancelled);
    assert_eq!(world.logins.cancel(&job.id).await.unwrap().state, JobState::Cancelled, "it stays as it is");
    assert_eq!(browse(&address).await, None);
    let other = world.begin("work", "web", LoginFlow::Browser).await.unwrap();
    let address = world.idp.visit(other.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    world.logins.stop().await;
    assert_eq!(world.logins.get(&other.id).unwrap().state, JobState::Cancelled);
    assert_eq!(browse(&address).await, None);
    assert_eq!(world.begin("work", "web", LoginFlow::Browser).await, Err(LoginError::Stopping));
    assert!(world.account("work").is_none() && world.idp.requests().is_empty());
}

/// REN-5: whoever asked may leave, before there is anything to show and after.
#[tokio::test]
async fn a_sign_in_goes_on_without_the_client_that_asked_for_it() {
    let world = Arc::new(World::start().await);
    let logins = world.logins.clone();
    let provider = Some(world.state.snapshot().providers[0].id.clone());
    let request = LoginRequest { alias: named("work"), provider, flow: Some(LoginFlow::Browser) };
    let mut news = world.logins.news();
    let client = tokio::spawn(async move { logins.start(request).await });
    let job = loop {
        if let Some(job) = world.logins.latest_of(&named("work")) {
            break job;
        }
        tokio::task::yield_now().await;
    };
    client.abort();
    let job = if job.state == JobState::Pending { news.recv().await.unwrap() } else { job };
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    assert_eq!(browse(&address).await.unwrap().0, 200);
    assert_eq!(world.over(&job).await.state, JobState::Succeeded);
}

/// REN-5: an endpoint that is away for a moment is asked again; a code is never shown twice after an unclear end.
#[tokio::test]
async fn a_code_is_traded_once_unless_it_provably_was_not() {
    let busy = (429, serde_json::json!({}));
    let world = World::start().await;
    world.idp.script("authorization_code", [busy.clone()]);
    let job = world.begin("work", "page", LoginFlow::Paste).await.unwrap();
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    world.logins.complete(&job.id, &address).unwrap();
    assert_eq!(world.over_in_time(&job).await.state, JobState::Succeeded);
    for (answer, told) in [
        ((503, serde_json::json!({})), "it answered 503"),
        ((400, serde_json::json!({ "error": "invalid_grant" })), "invalid_grant"),
        ((200, serde_json::json!({ "token_type": "Bearer" })), "no usable access token"),
    ] {
        let before = world.idp.requests().len();
        world.idp.script("authorization_code", [answer]);
        let job = world.begin("other", "page", LoginFlow::Paste).await.unwrap();
        let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
        world.logins.complete(&job.id, &address).unwrap();
        let failure = world.over(&job).await.error.unwrap();
        assert_eq!(failure.code, "LOGIN_EXCHANGE_FAILED");
        assert!(failure.message.contains(told), "{}", failure.message);
        assert_eq!(world.idp.requests().len(), before + 1);
    }
}

/// REN-5: what cannot be begun says so at once, and leaves no job.
#[tokio::test]
async fn what_cannot_be_begun_is_refused_with_its_own_code() {
    let world = World::start().await;
    world.add("there", "web", "ann").await;
    world.add("off", "web", "ann").await;
    world.switch_off("off");
    world.add_with("key", "web", key()).await;
    for (alias, provider, flow, code) in [
        ("new", "keys", LoginFlow::Browser, "LOGIN_UNAVAILABLE"),
        ("new", "nobody", LoginFlow::Browser, "INVALID_REQUEST"),
        ("new", "page", LoginFlow::Browser, "LOGIN_FLOW_UNAVAILABLE"),
        ("new", "device", LoginFlow::Paste, "LOGIN_FLOW_UNAVAILABLE"),
        ("there", "page", LoginFlow::Paste, "INVALID_REQUEST"),
        ("off", "web", LoginFlow::Browser, "ACCOUNT_DISABLED"),
        ("key", "web", LoginFlow::Browser, "LOGIN_UNAVAILABLE"),
    ] {
        let refused = world.begin(alias, provider, flow).await.unwrap_err();
        assert_eq!(refused.code(), code, "{alias} {provider} {flow:?}: {refused}");
        assert_eq!(world.logins.latest_of(&named(alias)), None);
    }
    let nowhere = LoginRequest { alias: named("new"), provider: None, flow: None };
    assert_eq!(world.logins.start(nowhere).await.unwrap_err().code(), "INVALID_REQUEST");
    for (alias, provider, flow) in [("a", "web", "browser"), ("b", "page", "paste")] {
        let provider = Some(provider.try_into().unwrap());
        let request = LoginRequest { alias: named(alias), provider, flow: None };
        assert_eq!(world.logins.start(request).await.unwrap().flow.as_str(), flow);
    }
}

/// FLO-6: rota begins by itself what needs no human at this machine, once, and tells whoever listens.
#[tokio::test]
async fn an_account_that_needs_a_human_gets_one_job_and_its_end_is_told() {
    let world = World::start().await;
    let id = world.add("work", "page", "ann").await;
    let mut news = world.logins.news();
    assert_eq!(world.logins.ended(id, NOW).await, Ended::NoJob);
    let job = world.logins.raise(id).unwrap();
    assert_eq!(world.logins.raise(id).unwrap().id, job.id, "it is joined");
    assert_eq!(world.logins.ended(id, NOW).await, Ended::NotYet);
    let waits = news.recv().await.unwrap();
    assert_eq!((&waits.id, waits.by, waits.kind), (&job.id, Actor::Engine, JobKind::Reauth));
    assert_eq!(waits.progress, Progress::WaitingForPaste);
    let logins = world.logins.clone();
    let held = tokio::spawn(async move { logins.ended(id, NOW.after(Duration::from_secs(240))).await });
    let address = world.idp.visit(waits.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    world.logins.complete(&job.id, &address).unwrap();
    assert_eq!(held.await.unwrap(), Ended::Succeeded);
    assert_eq!(news.recv().await.unwrap().state, JobState::Succeeded);
    assert_eq!(world.logins.raise(AccountId(99)), None);
    let next = world.logins.raise(id).unwrap();
    world.logins.cancel(&next.id).await.unwrap();
    assert_eq!(world.logins.ended(id, NOW).await, Ended::Cancelled);
    assert_eq!(world.logins.raise(id), None, "nobody came, and asking at every request is noise");
    world.clock.advance(Duration::from_secs(15 * 60));
    assert!(world.logins.raise(id).is_some());
}

/// OBS-3: whatever happens, nothing of it is in a log line, and no token or code in a report.
#[tokio::test]
async fn no_log_line_and_no_report_holds_what_is_secret() {
    let lines = Lines::default();
    let _guard = lines.catch();
    let world = World::start().await;
    let mut seen = Vec::new();
    for (alias, person) in [("work", "ann"), ("work", "eve"), ("work", "ann")] {
        let job = world.begin(alias, "web", LoginFlow::Browser).await.unwrap();
        let url = job.offer.authorize_url.as_ref().unwrap().as_str().to_owned();
        let address = world.idp.visit(&url, person);
        let _ = world.logins.complete(&job.id, &format!("{address}x"));
        let (_, page) = browse(&address).await.unwrap();
        let over = world.over(&job).await;
        let state = address.rsplit('=').next().unwrap().to_owned();
        seen.push(format!("{job:?} {over:?} {page} {:?}", world.logins.complete(&job.id, &address)));
        assert!(!seen.iter().any(|text| text.contains(&state)) && !lines.text().contains(&state));
    }
    let told = seen.join("\n") + &lines.text();
    let verifiers = world.idp.requests().into_iter().map(|asked| asked.fields["code_verifier"].clone());
    let secrets = ["canary".to_owned()].into_iter().chain(verifiers);
    for secret in secrets {
        assert!(!told.contains(&secret), "{secret} in {told}");
    }
    assert!(lines.text().contains("a sign-in succeeded"), "the lines were caught: {}", lines.text());
    assert!(lines.text().contains("IDENTITY_MISMATCH"));
}

/// Log lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// While only one subscriber is known, `tracing` asks the thread that comes first whether a line is wanted, and
    /// believes it for all: another test's thread, which wants none. A second subscriber makes it ask both.
    fn catch(&self) -> (tracing::subscriber::DefaultGuard, tracing::Dispatch) {
        let subscriber = || {
            let lines = self.clone();
            let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
            subscriber.with_writer(move || lines.clone()).finish()
        };
        let second = tracing::Dispatch::new(subscriber());
        (tracing::subscriber::set_default(subscriber()), second)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
