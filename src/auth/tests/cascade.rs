use super::*;

/// FLO-5: renewals that wait for their place when two logins have been refused are not sent. With two at a time, a third
/// may be out already.
#[tokio::test]
async fn a_cascade_of_refusals_stops_the_renewals_that_wait() {
    let world = World::start().await;
    let ids: Vec<AccountId> = (0..20).map(|_| world.add("json")).collect();
    world.authority.script((0..20).map(|_| Act::Answer(400, json!({ "error": "invalid_grant" }), "")));
    let hold = world.authority.hold();
    let mut callers = tokio::task::JoinSet::new();
    for id in ids.clone() {
        let refresher = world.refresher.clone();
        callers.spawn(async move { refresher.refresh(id, 1).await });
    }
    world.authority.asked(2).await;
    drop(hold);
    callers.join_all().await;
    let dead = |id: &&AccountId| matches!(world.credential(**id), CredentialState::NeedsReauth { .. });
    let lost = ids.iter().filter(dead).count();
    assert_eq!(world.authority.asked_so_far(), lost);
    assert!((2..=3).contains(&lost), "{lost} were lost");
}
