//! Tokens without a login: what a program prints, and what an endpoint grants for its own parameters.
use super::*;
use crate::model::TokenCommand;

/// REN-2: one program at a time and account, whoever asks, and its token is kept before it is in force.
#[tokio::test]
async fn a_program_is_asked_once_by_many_and_its_token_is_kept() {
    let world = World::start().await;
    let c = world.add_granted("program", 10);
    world.prints(c, "printed");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let refresher = world.refresher.clone();
        callers.spawn(async move { refresher.refresh(c, 1).await });
    }
    callers.join_all().await;
    let expected = Credential {
        version: 2,
        access: Secret::new("printed"),
        issued: NOW,
        expires: Some(NOW.after(Duration::from_secs(600))),
        ..granted(c, 10)
    };
    assert_eq!(world.credential(c), CredentialState::Usable(Arc::new(expected.clone())));
    assert_eq!(world.records.read(c), Some(expected));
    assert_eq!((world.printed(), world.authority.asked_so_far()), (1, 0));
}

/// REN-3: nothing is lost by a program that fails, so that nobody is called; it is asked again later.
#[tokio::test]
async fn a_program_that_fails_is_asked_again_later() {
    let world = World::start().await;
    let c = world.add_granted("program", 10);
    for failures in 1..=2 {
        world.refresher.refresh(c, 1).await;
        assert_eq!((world.version(c), world.failures(c)), (1, failures));
    }
    world.prints(c, "two words");
    world.refresher.refresh(c, 1).await;
    assert_eq!(world.credential(c), CredentialState::Usable(Arc::new(granted(c, 10))));
    world.prints(c, "printed");
    world.refresher.refresh(c, 1).await;
    assert_eq!((world.version(c), world.failures(c)), (2, 0));
}

/// REN-1: a program that keeps its token until it ends is asked less and less; one that only says longer is heard.
#[tokio::test]
async fn the_same_token_again_is_no_renewal_unless_it_lasts_longer() {
    let world = World::start().await;
    let c = world.add_granted("program", 30);
    let same = |seconds: u64| json!({ "token": format!("access-{c}"), "expires_in": seconds }).to_string();
    world.prints(c, &same(30));
    world.refresher.refresh(c, 1).await;
    assert_eq!((world.version(c), world.failures(c)), (1, 1));
    world.prints(c, &same(31));
    world.refresher.refresh(c, 1).await;
    assert_eq!((world.version(c), world.failures(c)), (2, 0));
}

/// REN-2
#[tokio::test]
async fn what_another_process_had_printed_is_adopted() {
    let world = World::start().await;
    let c = world.add_granted("program", 10);
    let newer = Credential { version: 3, access: Secret::new("theirs"), ..granted(c, 10) };
    world.records.write(c, &newer);
    world.refresher.refresh(c, 1).await;
    assert_eq!(world.credential(c), CredentialState::Usable(Arc::new(newer)));
    assert_eq!(world.printed(), 0);
}

/// REN-4
#[tokio::test]
async fn a_token_of_somebody_else_is_refused_wherever_it_comes_from() {
    let world = World::start().await;
    let mine = Credential { access: Secret::new(jwt("me")), ..granted(AccountId(3), 10) };
    let c = world.add_with("program", mine.clone());
    world.prints(c, &jwt("you"));
    world.refresher.refresh(c, 1).await;
    assert_eq!(world.credential(c), CredentialState::Usable(Arc::new(mine)));
    assert_eq!(world.failures(c), 1);
}

#[tokio::test]
async fn what_an_endpoint_grants_for_its_parameters_is_granted_again_by_them() {
    let world = World::start().await;
    let c = world.add_granted("client", 10);
    let reply = json!({ "access_token": "at-2", "expires_in": 60, "refresh_token": "not-wanted" });
    world.authority.script([Act::Answer(200, reply, "")]);
    world.refresher.refresh(c, 1).await;
    let expected = Credential {
        version: 2,
        access: Secret::new("at-2"),
        issued: NOW,
        expires: Some(NOW.after(Duration::from_secs(60))),
        ..granted(c, 10)
    };
    assert_eq!(world.credential(c), CredentialState::Usable(Arc::new(expected)));
    let asked = world.authority.requests();
    let (_, body) = asked[0].split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("grant_type=client_credentials&client_id=app&client_secret=of+a{c}"));
}

/// REN-3: what costs nothing to ask for again is no reason to call a human.
#[tokio::test]
async fn an_endpoint_that_refuses_to_grant_is_asked_again_later() {
    let world = World::start().await;
    let c = world.add_granted("client", 10);
    world.authority.script([Act::Answer(400, json!({ "error": "invalid_grant" }), "")]);
    world.refresher.refresh(c, 1).await;
    assert_eq!(world.credential(c), CredentialState::Usable(Arc::new(granted(c, 10))));
    assert_eq!(world.failures(c), 1);
}

#[tokio::test]
async fn the_first_token_comes_from_the_program_or_the_endpoint() {
    let world = World::start().await;
    let first = |access: &str, seconds: u64| Credential {
        version: 1,
        access: Secret::new(access),
        issued: NOW,
        expires: Some(NOW.after(Duration::from_secs(seconds))),
        ..granted(C, 0)
    };
    world.prints(C, &json!({ "token": "printed", "expires_in": 90 }).to_string());
    assert_eq!(world.first("program").await, Ok(first("printed", 90)));
    world.authority.script([Act::Answer(200, json!({ "access_token": "at", "expires_in": 60 }), "")]);
    assert_eq!(world.first("client").await, Ok(first("at", 60)));
    assert!(world.records.read(C).is_none(), "it is kept by whoever asked for it");
}

/// OBS-3
#[tokio::test]
async fn where_there_is_no_first_token_it_is_said_why_and_not_what_was_printed() {
    let world = World::start().await;
    let program = world.first("program").await.unwrap_err();
    assert_eq!(program, "the program \"sh\" ended with status 1; run it by hand to see why");
    world.prints(C, "canary canary");
    let program = world.first("program").await.unwrap_err();
    assert_eq!(
        program,
        "the program \"sh\" printed what cannot be a token: one line without blanks, or JSON"
    );
    world.authority.script([
        Act::Answer(400, json!({ "error": "invalid_scope", "error_description": "canary" }), ""),
        Act::Answer(401, json!({ "error": "invalid_grant" }), ""),
        Act::Answer(503, json!("canary"), ""),
    ]);
    for said in [
        "granted nothing: it answered 400, invalid_scope",
        "refused: invalid_grant",
        "granted nothing: it answered 503",
    ] {
        assert_eq!(world.first("client").await, Err(format!("the token endpoint {said}")));
    }
    assert_eq!(
        world.first("json").await,
        Err("provider json grants no token without a secret or a login".to_owned())
    );
}

/// T13 P9: ten minutes without an authority cost nobody an account, and the authority is not run over.
#[tokio::test]
async fn an_authority_that_is_down_for_ten_minutes_costs_no_account() {
    let acts: [fn() -> Act; 4] = [
        || Act::Answer(500, json!({}), ""),
        || Act::Answer(429, json!({}), "3600"),
        || Act::Answer(200, json!("<html>"), ""),
        || Act::Answer(403, json!("<html>"), ""),
    ];
    for act in acts {
        let world = World::start().await;
        let ripe =
            |id| Credential { issued: NOW.before(HOUR), expires: Some(NOW.after(HOUR / 4)), ..first(id) };
        let ids: Vec<AccountId> = (3..23).map(|id| world.add_with("json", ripe(AccountId(id)))).collect();
        world.authority.script((0..200).map(|_| act()));
        let end = NOW.after(HOUR / 6);
        while world.clock.now() < end {
            let snapshot = world.state.snapshot();
            for (id, version) in crate::engine::due(&snapshot, world.clock.now()).renew {
                world.refresher.refresh(id, version).await;
            }
            world.clock.advance(Duration::from_secs(5));
        }
        for id in ids {
            assert_eq!(world.credential(id), CredentialState::Usable(Arc::new(ripe(id))), "{:?}", act());
            assert_eq!(world.failures(id), 3, "{:?}", act());
        }
        assert!(
            world.authority.asked_so_far() < 200,
            "{} times: {:?}",
            world.authority.asked_so_far(),
            act()
        );
        assert_eq!(world.authority.reuses(), 0);
    }
}

const C: AccountId = AccountId(3);
const HOUR: Duration = Duration::from_secs(3600);

impl World {
    /// An account whose token nobody signed in for ends in so many seconds.
    fn add_granted(&self, provider: &str, seconds: u64) -> AccountId {
        let id = self.state.snapshot().next_account;
        self.add_with(provider, granted(id, seconds))
    }

    /// From now on the program prints `text` for the account.
    fn prints(&self, id: AccountId, text: &str) {
        std::fs::write(self.records.path(&format!("prints-a{id}")), text).unwrap();
    }

    /// How often the program ran to its end.
    fn printed(&self) -> usize {
        std::fs::read_to_string(self.records.path("printed")).unwrap_or_default().lines().count()
    }

    async fn first(&self, provider: &str) -> Result<Credential, String> {
        let id = ProviderId::try_from(provider).unwrap();
        let preset = self.state.snapshot().provider(&id).unwrap().clone();
        let alias = Alias::try_from(format!("a{C}")).unwrap();
        self.refresher.first(&preset, &alias).await.map_err(|error| error.to_string())
    }
}

/// A token of account `id` that was granted without a login and ends in so many seconds.
fn granted(id: AccountId, seconds: u64) -> Credential {
    Credential {
        version: 1,
        kind: CredentialKind::Oauth,
        access: Secret::new(format!("access-{id}")),
        refresh: None,
        self_granted: true,
        id_token: None,
        identity: Identity::default(),
        issued: NOW,
        expires: Some(NOW.after(Duration::from_secs(seconds))),
    }
}

fn jwt(subject: &str) -> String {
    let now = NOW.as_secs() + 3600;
    crate::auth::claims::tests::jwt(&json!({ "sub": subject, "exp": now }))
}

/// Prints what the account's file holds, and notes that it did.
pub(super) fn program(authority: &Authority, records: &Records) -> Provider {
    let (prints, printed) = (records.path("prints-"), records.path("printed"));
    let script = format!("cat {}\"$0\" && echo >> {}", prints.display(), printed.display());
    let argv = ["sh", "-c", &script, "{alias}"].map(AliasText::new).to_vec();
    let lifetime = Duration::from_secs(600);
    let command = TokenCommand { argv, timeout: Duration::from_secs(60), lifetime };
    Provider {
        token: Some(TokenSource::Command(command)),
        ..provider("program", authority, TokenFormat::Form)
    }
}

/// Grants tokens to the client itself.
pub(super) fn client(authority: &Authority) -> Provider {
    let mut preset = provider("client", authority, TokenFormat::Form);
    if let Some(TokenSource::Endpoint(endpoint)) = &mut preset.token {
        endpoint.grant = Grant::ClientCredentials;
        endpoint.params = vec![("client_secret".to_owned(), Param::Text(AliasText::new("of {alias}")))];
    }
    preset
}
