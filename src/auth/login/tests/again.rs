use super::world::{NOW, World, key, named};
use crate::auth::login::{JobKind, JobReport, LoginFlow};
use crate::engine::{Command, LastEnabled, RenewalFailure};
use crate::model::{Account, AccountId, Credential, CredentialState, JobState, Renewal, Secret};
use std::sync::Arc;
use std::time::Duration;

/// REN-6
#[tokio::test]
async fn an_account_that_signs_in_again_is_revived_and_nobody_else_is_touched() {
    let world = World::start().await;
    let (id, other) = (world.add("work", "page", "ann").await, world.add("other", "page", "bob").await);
    let failure = RenewalFailure::Permanent { detail: "invalid_grant".to_owned() };
    world.state.commit(Command::RenewalFailed { account: id, version: 1, failure }).await.unwrap();
    assert!(matches!(world.account("work").unwrap().credential, CredentialState::NeedsReauth { .. }));
    let before = (world.account("other"), world.records(other));
    let job = sign_in(&world, "work", "ann").await;
    assert_eq!((job.kind, job.account, job.state), (JobKind::Reauth, Some(id), JobState::Succeeded));
    let now = world.account("work").unwrap();
    let credential = now.credential.usable().expect("usable").as_ref().clone();
    assert_eq!((credential.version, now.renewal), (2, Renewal::default()));
    assert_eq!(credential.refresh, Some(Secret::new("canary-rt-ann-2")));
    assert_eq!(world.store.credential(id).unwrap(), Some(credential));
    assert_eq!((world.account("other"), world.records(other)), before);
    world.refresher.refresh(id, 2).await;
    assert_eq!((world.credential("work").version, world.idp.reuses()), (3, 0), "the new family is in use");
}

/// REN-6: all or nothing; whatever goes wrong, the old credential stays, in force and on disk.
#[tokio::test]
async fn a_sign_in_that_fails_leaves_the_account_byte_for_byte_as_it_was() {
    let world = World::start().await;
    let id = world.add("work", "page", "ann").await;
    let before = (world.account("work"), world.records(id));
    let job = sign_in(&world, "work", "eve").await;
    let failure = job.error.unwrap();
    assert_eq!((job.state, failure.code), (JobState::Failed, "IDENTITY_MISMATCH"));
    assert!(
        !failure.message.contains("eve") && failure.message.contains("another account"),
        "{}",
        failure.message
    );
    assert_eq!((world.account("work"), world.records(id)), before);
    world.idp.script("authorization_code", [(400, serde_json::json!({ "error": "invalid_grant" }))]);
    assert_eq!(sign_in(&world, "work", "ann").await.error.unwrap().code, "LOGIN_EXCHANGE_FAILED");
    assert_eq!((world.account("work"), world.records(id)), before);
    let locks = world.dir.path().join("store/locks");
    std::fs::rename(&locks, world.dir.path().join("aside")).unwrap();
    std::fs::write(&locks, "in the way").unwrap();
    assert_eq!(sign_in(&world, "work", "ann").await.error.unwrap().code, "STORE_UNAVAILABLE");
    assert_eq!((world.account("work"), world.records(id)), before);
}

/// REN-6: what happens to the account while its person takes their time.
#[tokio::test]
async fn an_account_that_changes_meanwhile_is_looked_at_again_before_anything_is_stored() {
    let world = World::start().await;
    let id = world.add("work", "page", "ann").await;
    let (job, address) = visited(&world, "work", "ann").await;
    world.switch_off("work");
    let before = (world.account("work"), world.records(id));
    world.logins.complete(&job.id, &address).unwrap();
    assert_eq!(world.over(&job).await.error.unwrap().code, "ACCOUNT_DISABLED");
    assert_eq!((world.account("work"), world.records(id)), before);

    let id = world.add("gone", "page", "ann").await;
    let (job, address) = visited(&world, "gone", "ann").await;
    let removed = Command::AccountRemoved { alias: named("gone"), last: LastEnabled::Override };
    world.state.commit(removed).await.unwrap();
    world.logins.complete(&job.id, &address).unwrap();
    assert_eq!(world.over(&job).await.error.unwrap().code, "ACCOUNT_NOT_FOUND");
    assert_eq!(world.records(id), Vec::new());

    let job = world.begin("new", "page", LoginFlow::Paste).await.unwrap();
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), "ann");
    world.add_with("new", "page", key()).await;
    let before = world.account("new");
    world.logins.complete(&job.id, &address).unwrap();
    assert_eq!(world.over(&job).await.error.unwrap().code, "ALIAS_TAKEN");
    assert_eq!(world.account("new"), before);
}

/// REN-6: a record that cannot be read is one to sign in over.
#[tokio::test]
async fn an_account_without_a_credential_gets_one() {
    let world = World::start().await;
    let id = world.add("work", "page", "ann").await;
    for (path, _) in world.records(id) {
        std::fs::write(path, "torn").unwrap();
    }
    assert_eq!(sign_in(&world, "work", "ann").await.state, JobState::Succeeded);
    assert_eq!(world.store.credential(id).unwrap(), Some(world.credential("work")));
}

/// T18, REN-6, REN-2: it waits for the renewal that is under way, and then replaces what that gave.
#[tokio::test]
async fn a_sign_in_during_a_renewal_ends_with_its_own_family() {
    let world = World::start().await;
    let (x, y) = (world.add("x", "page", "ann").await, world.add("y", "page", "bob").await);
    world.refresher.refresh(y, 1).await;
    let before = (world.account("y"), world.records(y));
    let hold = world.idp.hold_renewals();
    let renewing = renew(&world, x, 1);
    world.idp.asked(2).await;
    let (job, address) = visited(&world, "x", "ann").await;
    world.logins.complete(&job.id, &address).unwrap();
    world.idp.asked(3).await;
    drop(hold);
    renewing.await.unwrap();
    assert_eq!(world.over(&job).await.state, JobState::Succeeded);
    let credential = world.credential("x");
    assert_eq!(credential.version, 3, "after the renewal's");
    let granted = world.idp.requests()[2].fields["code"].clone();
    assert!(granted.starts_with("canary-code"), "the third request was the sign-in's");
    assert_eq!(world.store.credential(x).unwrap(), Some(credential));
    assert_eq!((world.account("y"), world.records(y)), before);
    world.refresher.refresh(x, 3).await;
    assert_eq!((world.credential("x").version, world.idp.reuses()), (4, 0));
}

/// T18, REN-6: while somebody else's renewal is under way, neither waits for the other nor touches it.
#[tokio::test]
async fn a_sign_in_during_anothers_renewal_is_none_of_its_business() {
    let world = World::start().await;
    let (_, y) = (world.add("x", "page", "ann").await, world.add("y", "page", "bob").await);
    let hold = world.idp.hold_renewals();
    let renewing = renew(&world, y, 1);
    world.idp.asked(1).await;
    let before = (world.account("y"), world.records(y));
    assert_eq!(sign_in(&world, "x", "ann").await.state, JobState::Succeeded);
    assert_eq!((world.credential("x").version, (world.account("y"), world.records(y))), (2, before));
    drop(hold);
    renewing.await.unwrap();
    let expected = Credential {
        version: 2,
        access: world.credential("y").access,
        refresh: world.credential("y").refresh,
        expires: Some(NOW.after(Duration::from_secs(3600))),
        ..Credential::clone(usable(&world.account("y").unwrap()))
    };
    assert_eq!((world.credential("y"), world.idp.reuses()), (expected, 0));
}

/// T18, REN-2: a renewal that waits for the lock finds what the sign-in stored, and spends nothing.
#[tokio::test]
async fn a_renewal_that_waited_for_a_sign_in_adopts_it() {
    let world = World::start().await;
    let x = world.add("x", "page", "ann").await;
    let lock = world.store.lock(x).unwrap();
    let (job, address) = visited(&world, "x", "ann").await;
    world.logins.complete(&job.id, &address).unwrap();
    world.idp.asked(1).await;
    let renewing = renew(&world, x, 1);
    drop(lock);
    assert_eq!(world.over(&job).await.state, JobState::Succeeded);
    renewing.await.unwrap();
    let credential = world.credential("x");
    assert_eq!(world.store.credential(x).unwrap().as_ref(), Some(&credential));
    assert!(credential.version >= 2 && world.idp.reuses() == 0, "{}", credential.version);
    world.refresher.refresh(x, credential.version).await;
    assert_eq!((world.credential("x").version, world.idp.reuses()), (credential.version + 1, 0));
}

fn renew(world: &World, id: AccountId, version: u64) -> tokio::task::JoinHandle<()> {
    let refresher = world.refresher.clone();
    tokio::spawn(async move { refresher.refresh(id, version).await })
}

fn usable(account: &Account) -> &Arc<Credential> {
    account.credential.usable().expect("usable")
}

async fn visited(world: &World, alias: &str, person: &str) -> (JobReport, String) {
    let job = world.begin(alias, "page", LoginFlow::Paste).await.unwrap();
    let address = world.idp.visit(job.offer.authorize_url.as_ref().unwrap().as_str(), person);
    (job, address)
}

async fn sign_in(world: &World, alias: &str, person: &str) -> JobReport {
    let (job, address) = visited(world, alias, person).await;
    world.logins.complete(&job.id, &address).unwrap();
    world.over(&job).await
}
