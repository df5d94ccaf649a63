//! What the journal is for: processes that end in the middle of a renewal, and those that come after them.
use super::*;
use crate::store::{Answer, Noted, Pending, Rotation, Round};

/// T8 T9 REN-2: whatever the last process noted, the next one ends in one of three classes, and the token is never
/// shown a third time.
#[tokio::test]
async fn every_state_that_a_killed_process_leaves_has_one_class() {
    for left in Left::ALL {
        let world = World::start().await;
        left.leave(&world);
        let next = world.another();
        next.refresher.recover().await;
        let (finished, asked) = (next.version(A), next.authority.asked_so_far());
        next.refresher.refresh(A, finished).await;
        let ends = (finished, asked, next.authority.asked_so_far(), next.authority.reuses());
        assert_eq!(ends, left.ends(), "{left:?}: version after recovery, asked by it, asked in all, reuses");
        match left {
            Left::SpentOnce | Left::SpentTwice => {
                let CredentialState::NeedsReauth { detail, .. } = next.credential(A) else {
                    panic!("{left:?}: {:?}", next.credential(A));
                };
                let expected = if left == Left::SpentOnce { "invalid_grant, after" } else { "indeterminate" };
                assert!(detail.starts_with(expected), "{left:?}: {detail}");
            }
            Left::Answered | Left::AnsweredLate => {
                assert_eq!(next.records.read(A).unwrap().refresh, Some(Secret::new("1.3")), "{left:?}");
            }
            Left::Nothing | Left::Unsent | Left::TurnedAway => {
                assert_eq!(next.records.read(A).unwrap().refresh, Some(Secret::new("1.2")), "{left:?}");
            }
        }
    }
}

/// REN-2: the refused are refused for good, also where the process ended before anybody heard of it.
#[tokio::test]
async fn a_refusal_that_was_noted_is_not_asked_for_again() {
    let world = World::start().await;
    let refused = Answer { status: 400, body: br#"{"error":"invalid_grant"}"#.to_vec() };
    note(&world, Round::First, Some(refused));
    world.refresher.recover().await;
    assert!(matches!(world.credential(A), CredentialState::NeedsReauth { .. }));
    assert_eq!(world.authority.asked_so_far(), 0);
}

/// T10 REN-3: what was sent twice without an answer is never sent again, and serves until it ends.
#[tokio::test]
async fn a_token_of_unknown_fate_serves_until_it_ends_and_then_asks_for_a_human() {
    for act in [Act::CommitThenDrop, Act::CommitThenFlood] {
        let world = World::start().await;
        let c = world.lasting();
        world.authority.script([act.clone(), act.clone()]);
        for _ in 0..3 {
            world.refresher.refresh(c, 1).await;
            assert!(matches!(world.credential(c), CredentialState::Usable(_)), "{act:?}");
        }
        assert_eq!(world.authority.asked_so_far(), 2, "{act:?}");
        world.clock.advance(Duration::from_secs(3600));
        world.refresher.refresh(c, 1).await;
        let CredentialState::NeedsReauth { detail, .. } = world.credential(c) else {
            panic!("{:?}", world.credential(c));
        };
        assert!(detail.starts_with("indeterminate"), "{detail}");
        assert_eq!(world.authority.asked_so_far(), 2, "{act:?}");
    }
}

/// REN-3: errors of the endpoint's own cost no login: once the access token has ended, nothing is left to lose.
#[tokio::test]
async fn a_token_that_was_turned_away_twice_is_sent_anew_when_its_access_token_has_ended() {
    let world = World::start().await;
    let c = world.lasting();
    world.authority.script([(); 2].map(|()| Act::Answer(503, json!("busy"), "")));
    for _ in 0..3 {
        world.refresher.refresh(c, 1).await;
    }
    assert_eq!((world.version(c), world.authority.asked_so_far()), (1, 2));
    world.clock.advance(Duration::from_secs(3600));
    world.refresher.refresh(c, 1).await;
    assert_eq!((world.version(c), world.authority.asked_so_far(), world.authority.reuses()), (2, 3, 0));
}

/// REN-2: a token that was provably not spent leaves no note behind.
#[tokio::test]
async fn what_was_not_spent_is_sent_later_as_if_for_the_first_time() {
    let world = World::start().await;
    world.authority.script([Act::Answer(403, json!("<html>"), "")]);
    world.refresher.refresh(A, 1).await;
    assert_eq!(world.records.noted(A), Noted::default());
    world.refresher.refresh(A, 1).await;
    assert_eq!(
        (world.version(A), world.records.noted(A)),
        (2, Noted::default()),
        "what is stored is not kept twice"
    );
}

/// REN-2: a recovery that did not reach anybody was none.
#[tokio::test]
async fn a_recovery_that_was_turned_down_is_made_again() {
    let world = World::start().await;
    note(&world, Round::First, None);
    world.authority.script([Act::Answer(429, json!({}), "60")]);
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.version(A), world.authority.asked_so_far()), (1, 1));
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.version(A), world.authority.asked_so_far()), (2, 2));
}

/// T6
#[tokio::test]
async fn a_lock_file_that_somebody_removed_or_replaced_keeps_the_token_at_home() {
    for replaced in [false, true] {
        let world = World::start().await;
        let lock = world.records.file("locks/1.lock");
        let path = lock.clone();
        world.records.before_intent(move || {
            std::fs::remove_file(&path).unwrap();
            if replaced {
                std::fs::write(&path, "").unwrap();
            }
        });
        world.refresher.refresh(A, 1).await;
        assert_eq!((world.authority.asked_so_far(), world.failures(A)), (0, 1), "replaced: {replaced}");
        assert_eq!(world.credential(A), CredentialState::Usable(Arc::new(first(A))));
        world.records.before_intent(|| {});
        world.refresher.refresh(A, 1).await;
        assert_eq!((world.version(A), world.authority.reuses()), (2, 0), "replaced: {replaced}");
    }
}

/// T7 REN-2: no room for the journal, or none of it is to be had.
#[tokio::test]
async fn a_journal_that_cannot_be_written_keeps_the_token_at_home() {
    let world = World::start().await;
    let dir = world.records.file("journal");
    std::fs::remove_dir_all(&dir).unwrap();
    world.refresher.refresh(A, 1).await;
    std::fs::write(&dir, "").unwrap();
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.authority.asked_so_far(), world.failures(A)), (0, 2));
    assert_eq!(world.credential(A), CredentialState::Usable(Arc::new(first(A))));
}

/// T11: the answer is in the journal, whose room was taken beforehand; a process that dies now loses nothing.
#[tokio::test]
async fn a_renewal_the_store_never_took_is_finished_by_the_next_process() {
    let world = World::start().await;
    let hold = world.authority.hold();
    let refresher = world.refresher.clone();
    let renewing = tokio::spawn(async move { refresher.refresh(A, 1).await });
    world.authority.asked(1).await;
    world.records.fill_up();
    drop(hold);
    renewing.await.unwrap();
    assert_eq!((world.version(A), world.records.read(A).unwrap().version), (2, 1));
    // As if the process had ended: nobody holds its lock any more.
    std::fs::remove_file(world.records.file("locks/1.lock")).unwrap();
    let next = world.another();
    next.refresher.recover().await;
    assert_eq!((next.version(A), next.authority.asked_so_far()), (2, 1));
    assert_eq!(next.records.read(A), world.credential(A).usable().map(|held| (**held).clone()));
    assert_eq!(next.records.noted(A), Noted::default());
}

/// REN-2: a journal of a credential that was replaced says nothing of the one that took its place.
#[tokio::test]
async fn a_note_of_an_older_credential_is_ignored_and_wiped() {
    let world = World::start().await;
    note(&world, Round::First, Some(granted("stale")));
    world.records.write(A, &Credential { version: 2, refresh: Some(Secret::new("1.1")), ..first(A) });
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.version(A), world.authority.asked_so_far()), (2, 0), "adopted");
    world.refresher.recover().await;
    assert_eq!(world.records.noted(A), Noted::default());
    world.refresher.refresh(A, 2).await;
    assert_eq!((world.version(A), world.authority.asked_so_far(), world.authority.reuses()), (3, 1, 0));
}

/// REN-2: who waited for the lock in vain does not come to hold it later.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_gave_up_waiting_for_the_lock_never_takes_it() {
    let world = World::start().await;
    let held = world.rotation();
    world.refresher.refresh(A, 1).await;
    assert_eq!((world.authority.asked_so_far(), world.failures(A)), (0, 1));
    drop(held);
    world.refresher.idle().await;
    drop(world.rotation());
    assert_eq!(world.version(A), 1);
}

/// REN-2: while somebody alive holds the lock, it is theirs to finish.
#[tokio::test]
async fn a_renewal_under_way_in_another_process_is_left_to_it() {
    let world = World::start().await;
    note(&world, Round::First, Some(granted("theirs")));
    let held = world.rotation();
    world.refresher.recover().await;
    assert_eq!(world.version(A), 1);
    drop(held);
    world.refresher.recover().await;
    assert_eq!(world.version(A), 2);
}

/// What a process that was killed in the middle of a renewal of A leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    /// The intent, but it was killed before it sent anything.
    Unsent,
    /// The intent; the token is spent.
    SpentOnce,
    /// Both intents; the token is spent.
    SpentTwice,
    /// The answer.
    Answered,
    /// The answer to the recovery.
    AnsweredLate,
    /// An answer that spent nothing.
    TurnedAway,
}

impl Left {
    const ALL: [Self; 7] = [
        Self::Nothing,
        Self::Unsent,
        Self::SpentOnce,
        Self::SpentTwice,
        Self::Answered,
        Self::AnsweredLate,
        Self::TurnedAway,
    ];

    fn leave(self, world: &World) {
        match self {
            Self::Nothing => {}
            Self::Unsent => note(world, Round::First, None),
            Self::SpentOnce => {
                world.authority.spend("1.1");
                note(world, Round::First, None);
            }
            Self::SpentTwice => {
                world.authority.spend("1.1");
                note(world, Round::First, None);
                note(world, Round::Recovery, None);
            }
            Self::Answered => {
                world.authority.spend("1.1");
                note(world, Round::First, Some(granted("1.2")));
            }
            Self::AnsweredLate => {
                world.authority.spend("1.1");
                note(world, Round::First, Some(Answer { status: 502, body: Vec::new() }));
                note(world, Round::Recovery, Some(granted("1.2")));
            }
            Self::TurnedAway => note(world, Round::First, Some(Answer { status: 429, body: Vec::new() })),
        }
    }

    /// The version after recovery, how often that asked, how often was asked in all, and reuses.
    fn ends(self) -> (u64, usize, usize, usize) {
        match self {
            Self::Nothing | Self::Unsent | Self::TurnedAway => (1, 0, 1, 0),
            Self::SpentOnce => (1, 0, 1, 1),
            Self::SpentTwice => (1, 0, 0, 0),
            Self::Answered | Self::AnsweredLate => (2, 0, 1, 0),
        }
    }
}

fn granted(refresh: &str) -> Answer {
    let body = json!({ "access_token": "noted", "refresh_token": refresh, "expires_in": 3600 });
    Answer { status: 200, body: body.to_string().into_bytes() }
}

/// Notes what a process would that sends A's first token.
fn note(world: &World, round: Round, answer: Option<Answer>) {
    let rotation = world.rotation();
    let ticket = rotation.intent(round, &first(A), NOW).unwrap();
    match answer {
        Some(answer) => {
            rotation.result(&ticket, &answer).unwrap();
            assert_eq!(rotation.pending(&first(A)), Ok(Pending::Answered(round, answer)));
        }
        None => assert_eq!(rotation.pending(&first(A)), Ok(Pending::Unanswered(round))),
    }
}

impl World {
    fn rotation(&self) -> Rotation {
        self.records.store.rotation(A).unwrap().unwrap()
    }

    /// A further account, whose access token lasts for half an hour.
    fn lasting(&self) -> AccountId {
        let id = self.state.snapshot().next_account;
        self.add_with("json", Credential { expires: Some(NOW.after(Duration::from_secs(1800))), ..first(id) })
    }
}
