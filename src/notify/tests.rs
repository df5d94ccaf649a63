use super::command;
use super::event::{Event, Invitation, Kind};
use super::logins;
use super::news::Known;
use super::once::Once;
use super::webhook::WebhookClient;
use crate::auth::{JobKind, JobReport, LoginFlow, Offer, Progress};
use crate::config::{Config, Sources, Webhook};
use crate::engine::world::{
    LIFE, START, account, alias, edit, key, oauth, provider, subscription, switch_off, with_login, world_of,
};
use crate::model::{Actor, Credential, CredentialState, JobState, Reason, Snapshot};
use crate::upstream::{ProxyValues, Trust, Upstream, UpstreamConfig};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// FLO-6: what a person must act on, once, and that it is over.
#[test]
fn an_account_that_needs_a_person_is_news_until_it_does_not() {
    let mut world = world_of(with_login(provider()), 3, |_| oauth(1, START));
    kill(&mut world, 3);
    let mut known = Known::of(&world, START);
    assert_eq!(kinds(&mut known, &world), [], "what was so when rota started was told then");
    kill(&mut world, 1);
    edit(&mut world, 2, |a| a.credential = CredentialState::Missing { detail: "x".to_owned() });
    let told = known.hear(&world, START);
    let needed = |id, reason| Event {
        reason: Some(reason),
        command: Some(format!("rota login a{id}")),
        ..Event::of_account(Kind::SignInNeeded, account(&world, id), START)
    };
    assert_eq!(told, [needed(1, Reason::ReauthFailed), needed(2, Reason::NoToken)]);
    assert_eq!(kinds(&mut known, &world), []);
    edit(&mut world, 1, |a| a.credential = CredentialState::Usable(oauth(2, START).into()));
    let world = switch_off(&world, 2);
    assert_eq!(kinds(&mut known, &world), [Kind::SignInDone], "switching an account off mends nothing");
}

/// A key has no login: it is replaced.
#[test]
fn a_dead_key_is_told_with_what_to_do_about_a_key() {
    let mut world = world_of(with_login(provider()), 1, |_| key());
    let mut known = Known::of(&world, START);
    kill(&mut world, 1);
    let told = known.hear(&world, START);
    let command = told[0].command.as_deref();
    let expected = "rota accounts rm a1, then add it again: rota accounts add a1 --provider p";
    assert_eq!(command, Some(expected));
}

/// A token without a way to renew it runs out without a change of the state.
#[test]
fn a_token_that_runs_out_for_good_is_news_when_it_does() {
    let world = world_of(with_login(provider()), 1, |_| Credential { refresh: None, ..oauth(1, START) });
    let mut known = Known::of(&world, START);
    let wake = known.wake(START);
    assert_eq!(wake, START.after(LIFE));
    assert_eq!(known.hear(&world, wake)[0].reason, Some(Reason::ExpiredRefreshFailed));
}

/// FLO-5
#[test]
fn a_provider_that_is_cut_off_is_news_once_and_again_when_it_happens_again() {
    let mut world = world_of(subscription(), 1, |_| oauth(1, START));
    let mut known = Known::of(&world, START);
    let id = world.providers[0].id.clone();
    world.deaths.insert(id.clone(), vec![START]);
    assert_eq!(kinds(&mut known, &world), []);
    world.deaths.insert(id.clone(), vec![START, START]);
    let told = known.hear(&world, START);
    assert_eq!((told[0].kind, told[0].until), (Kind::ProviderCutOff, Some(START.after(minutes(10)))));
    assert_eq!(kinds(&mut known, &world), []);
    world.deaths.remove(&id);
    assert_eq!(kinds(&mut known, &world), []);
    world.deaths.insert(id, vec![START, START]);
    assert_eq!(kinds(&mut known, &world), [Kind::ProviderCutOff]);
}

#[test]
fn an_account_is_told_of_once_an_hour_for_each_kind_of_event() {
    let world = world_of(provider(), 2, |_| oauth(1, START));
    let event = |kind, id, minute| Event::of_account(kind, account(&world, id), START.after(minutes(minute)));
    let mut once = Once::default();
    for (kind, id, minute, news) in [
        (Kind::SignInNeeded, 1, 0, true),
        (Kind::SignInNeeded, 1, 59, false),
        (Kind::SignInNeeded, 2, 59, true),
        (Kind::SignInDone, 1, 59, true),
        (Kind::SignInNeeded, 1, 60, true),
        (Kind::SignInNeeded, 1, 61, false),
    ] {
        let event = event(kind, id, minute);
        assert_eq!(once.is_news(&event, event.at), news, "{kind:?} of {id} at minute {minute}");
    }
}

/// OBS-3: nothing of a credential or an e-mail address can be in it.
#[test]
fn an_event_is_flat_json_that_says_what_to_do() {
    assert_eq!(
        read(&begun()),
        json!({
            "event": "sign-in-begun", "at": "2027-01-15T08:00:00Z", "provider": "p", "account": "a1",
            "message": "a1 (p) needs a sign-in: open https://p.test/device and enter AB-12 before 2027-01-15T08:15:00Z.",
            "command": "rota login a1",
            "verificationUrl": "https://p.test/device", "userCode": "AB-12", "until": "2027-01-15T08:15:00Z",
        })
    );
    let mut world = world_of(subscription(), 1, |_| oauth(1, START));
    kill(&mut world, 1);
    assert_eq!(
        read(&super::needed(account(&world, 1), &world, START)),
        json!({
            "event": "sign-in-needed", "at": "2027-01-15T08:00:00Z", "provider": "p", "account": "a1",
            "reason": "reauth-failed",
            "message": "a1 (p) serves no more until a person acts (reauth-failed). Run: rota accounts rm a1, then \
                        add it again: rota accounts add a1 --provider p",
            "command": "rota accounts rm a1, then add it again: rota accounts add a1 --provider p",
        })
    );
}

/// REN-7
#[test]
fn only_logins_that_rota_began_on_its_own_are_told_and_a_good_end_is_told_by_the_state() {
    let kind = |by, state| logins::event(&report(by, state), START).map(|event| event.kind);
    for (by, state, expected) in [
        (Actor::Engine, JobState::Pending, None),
        (Actor::Engine, JobState::Running, Some(Kind::SignInBegun)),
        (Actor::Engine, JobState::Failed, Some(Kind::SignInFailed)),
        (Actor::Engine, JobState::Cancelled, None),
        (Actor::Engine, JobState::Succeeded, None),
        (Actor::Admin, JobState::Running, None),
        (Actor::Admin, JobState::Failed, None),
    ] {
        assert_eq!(kind(by, state), expected, "{by:?} {state:?}");
    }
}

/// The program gets the event and nothing of rota's own environment.
#[tokio::test]
async fn a_program_reads_the_event_and_sees_no_other_environment() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let script = format!("cat > {0}; env >> {0}", out.display());
    let argv = ["/bin/sh", "-c", &script].map(str::to_owned);
    let env = BTreeMap::from([("PATH", "/usr/bin:/bin".to_owned())]);
    let event = begun();
    command::run(&argv, &env, &event, &event.json()).await.expect("it runs");
    let text = std::fs::read_to_string(&out).expect("its output");
    let (json, seen) = text.split_once("}").expect("JSON first");
    assert_eq!(serde_json::from_str::<Value>(&format!("{json}}}")).expect("JSON"), read(&event));
    let names: Vec<&str> =
        seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let shells_own = ["PWD", "SHLVL", "_", "OLDPWD"];
    let mut names: Vec<&str> = names.into_iter().filter(|name| !shells_own.contains(name)).collect();
    names.sort_unstable();
    assert_eq!(names, ["PATH", "ROTA_ACCOUNT", "ROTA_EVENT", "ROTA_PROVIDER"]);
    assert!(seen.contains("ROTA_EVENT=sign-in-begun") && seen.contains("ROTA_ACCOUNT=a1"), "{seen}");
}

#[tokio::test]
async fn a_program_that_fails_or_is_not_there_is_told_apart() {
    for (argv, expected) in [
        (["/bin/sh", "-c", "exit 3"], "/bin/sh ended with exit status: 3"),
        (
            ["/nowhere/at-all", "", ""],
            "/nowhere/at-all cannot be run: No such file or directory (os error 2)",
        ),
    ] {
        assert_eq!(ran(argv).await, Err(expected.to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_takes_too_long_is_ended() {
    let expected = "/bin/sh took longer than 30 s and was ended";
    assert_eq!(ran(["/bin/sh", "-c", "sleep 600"]).await, Err(expected.to_owned()));
}

async fn ran(argv: [&str; 3]) -> Result<(), String> {
    let event = begun();
    command::run(&argv.map(str::to_owned), &BTreeMap::new(), &event, &event.json()).await
}

/// I13, OBS-3
#[tokio::test]
async fn a_webhook_is_posted_to_once_and_nothing_that_it_answers_leads_elsewhere() {
    for (reply, expected) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", Ok(())),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            Err("answered 302"),
        ),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", Err("answered 500")),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut seen = Vec::new();
            while !seen.ends_with(b"}") {
                stream.read_buf(&mut seen).await.expect("bytes");
            }
            stream.write_all(reply.as_bytes()).await.expect("written");
            String::from_utf8(seen).expect("text")
        });
        let webhook = webhook(&format!("http://{address}/canary-7f3a?key=canary"));
        let event = begun();
        let posted = client().post(&webhook, event.json()).await;
        let expected = expected.map_err(|what| format!("http://{address} {what}"));
        assert_eq!(posted, expected);
        let seen = served.await.expect("a server");
        assert!(seen.starts_with("POST /canary-7f3a?key=canary HTTP/1.1\r\n"), "{seen}");
        assert!(
            seen.contains("content-type: application/json\r\n") && seen.ends_with(&event.json()),
            "{seen}"
        );
    }
}

fn kinds(known: &mut Known, world: &Snapshot) -> Vec<Kind> {
    known.hear(world, START).into_iter().map(|event| event.kind).collect()
}

fn kill(world: &mut Snapshot, id: u32) {
    edit(world, id, |account| {
        let refused = account.credential.credential().expect("a credential").clone();
        let detail = "invalid_grant for me@example.com".to_owned();
        account.credential = CredentialState::NeedsReauth { since: START, detail, refused };
    });
}

fn begun() -> Event {
    let world = world_of(provider(), 1, |_| oauth(1, START));
    let until = START.after(minutes(15));
    Event {
        command: Some("rota login a1".to_owned()),
        invitation: Some(Invitation {
            url: "https://p.test/device".to_owned(),
            code: "AB-12".to_owned(),
            until,
        }),
        ..Event::of_account(Kind::SignInBegun, account(&world, 1), START)
    }
}

fn report(by: Actor, state: JobState) -> JobReport {
    JobReport {
        id: "0".repeat(32),
        alias: alias(1),
        account: None,
        provider: provider().id,
        flow: LoginFlow::Device,
        kind: JobKind::Reauth,
        by,
        state,
        progress: Progress::Starting,
        started: START,
        expires: START,
        offer: Offer::default(),
        error: None,
    }
}

fn read(event: &Event) -> Value {
    serde_json::from_str(&event.json()).expect("JSON")
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn webhook(url: &str) -> Webhook {
    let env = BTreeMap::from([
        ("HOME".to_owned(), "/nowhere".to_owned()),
        ("ROTA_NOTIFY__WEBHOOKS".to_owned(), url.to_owned()),
    ]);
    let config = Config::load(&Sources { env, ..Sources::default() }).expect("a configuration").config;
    config.notify.webhooks[0].clone()
}

fn client() -> WebhookClient {
    let upstream = Upstream::new(&UpstreamConfig {
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(5),
        stream_idle: Duration::from_secs(5),
        trust: Trust::default(),
        proxies: ProxyValues::default(),
    });
    WebhookClient::like(&upstream.expect("a way to providers"))
}
