use super::*;
use crate::engine::world::{
    LIFE, START, account, alias, done, edit, key, oauth, provider, subscription, switch_off, world_of,
};
use crate::engine::{Command, RenewalFailure};
use crate::model::{Actor, Renewal};
use proptest::prelude::*;

/// REN-1
#[test]
fn only_what_can_and_should_be_renewed_ahead_is_due() {
    let late = START.after(LIFE).before(Duration::from_secs(1));
    let fresh = world_of(provider(), 1, |_| oauth(1, START));
    let cases: Vec<(&str, Snapshot, bool)> = vec![
        ("a token near its end", fresh.clone(), true),
        ("a key", world_of(provider(), 1, |_| key()), false),
        ("an account that is off", switch_off(&fresh, 1), false),
        ("no refresh token", edited(&fresh, |c| c.refresh = None), false),
        ("no expiry", edited(&fresh, |c| c.expires = None), false),
        (
            "a life under five minutes",
            edited(&fresh, |c| c.issued = START.after(LIFE).before(Duration::from_secs(299))),
            false,
        ),
        ("three failures", failed(&fresh, 3, START), false),
        ("two failures, waited", failed(&fresh, 2, late), true),
        ("two failures, waiting", failed(&fresh, 2, late.after(LIFE / 2)), false),
        (
            "no token endpoint",
            world_of(Provider { token: None, ..provider() }, 1, |_| oauth(1, START)),
            false,
        ),
    ];
    for (name, world, expected) in cases {
        let renew = due(&world, late).renew;
        assert_eq!(renew, if expected { vec![(AccountId(1), 1)] } else { vec![] }, "{name}");
    }
    assert_eq!(due(&fresh, START.after(LIFE)).renew, [], "an ended token waits for a request");
}

/// FLO-5
#[test]
fn a_provider_that_is_cut_off_is_not_asked_for_tokens_either() {
    let mut world = world_of(subscription(), 3, |_| oauth(1, START));
    let ripe = START.after(Duration::from_secs(2700));
    for id in [1, 2] {
        let failure = RenewalFailure::Permanent { detail: "invalid_grant".to_owned() };
        let command = Command::RenewalFailed { account: AccountId(id), version: 1, failure };
        world = done(&world, command, ripe);
    }
    let cut = due(&world, ripe.after(Duration::from_secs(300)));
    assert_eq!(cut.renew, []);
    assert_eq!(cut.wake, Some(ripe.after(breaker::DEATH_WINDOW)));
    let again = due(&world, ripe.after(breaker::DEATH_WINDOW));
    assert_eq!(again.renew, [(AccountId(3), 1)]);
}

/// FRC-3
#[test]
fn a_force_is_due_to_go_when_it_has_run_out() {
    let world = world_of(provider(), 1, |_| key());
    let pin = Command::Forced { alias: alias(1), by: Actor::Admin };
    let world = done(&world, pin, START);
    let end = START.after(Duration::from_secs(24 * 3600));
    let before = due(&world, START);
    assert_eq!((before.expire, before.wake), (false, Some(end)));
    let after = due(&world, end);
    assert_eq!((after.expire, after.wake), (true, None));
}

proptest! {
    /// REN-1
    #[test]
    fn a_token_is_renewed_exactly_in_its_window(life in 300u64..1_000_000, version in 1u64..50) {
        let lifetime = Duration::from_secs(life);
        let world = world_of(provider(), 1, |_| Credential {
            expires: Some(START.after(lifetime)),
            ..oauth(1, START)
        });
        let mut world = world;
        edit(&mut world, 1, |account| {
            let mut credential = account.credential.usable().expect("usable").as_ref().clone();
            credential.version = version;
            account.credential = crate::model::CredentialState::Usable(credential.into());
        });
        let lead = Duration::from_secs(300).max(lifetime / 5).min(lifetime / 2);
        let jitter = Duration::from_secs(60).min(lifetime / 10);
        let latest = START.after(lifetime).before(lead);
        let earliest = latest.before(jitter);
        prop_assert_eq!(due(&world, latest).renew, [(AccountId(1), version)]);
        let early = due(&world, earliest.before(Duration::from_millis(1)));
        prop_assert_eq!(early.renew, []);
        let wake = early.wake.expect("a time");
        prop_assert!(earliest <= wake && wake <= latest, "always earlier, never later");
        prop_assert_eq!(due(&world, wake).renew, [(AccountId(1), version)], "what wakes is due");
    }

    /// REN-1
    #[test]
    fn renewals_of_tokens_that_end_together_are_spread(count in 20u32..60) {
        let world = world_of(provider(), count, |_| oauth(1, START));
        let wakes: std::collections::BTreeSet<Time> = world
            .accounts
            .iter()
            .filter_map(|a| Some(ahead(a.id, a.credential.usable()?)?.0))
            .collect();
        prop_assert!(wakes.len() > count as usize * 9 / 10);
        let span = wakes.first().zip(wakes.last()).map(|(first, last)| first.until(*last));
        prop_assert!(span > Some(Duration::from_secs(30)));
    }

    /// REN-1
    #[test]
    fn the_wake_is_always_later_than_now(secs in 0u64..8000, failures in 0u32..4) {
        let now = START.after(Duration::from_secs(secs));
        let world = failed(&world_of(provider(), 3, |_| oauth(1, START)), failures, now);
        prop_assert!(due(&world, now).wake.is_none_or(|wake| wake > now));
    }
}

fn edited(world: &Snapshot, change: impl Fn(&mut Credential)) -> Snapshot {
    let mut world = world.clone();
    let mut credential = account(&world, 1).credential.usable().expect("usable").as_ref().clone();
    change(&mut credential);
    edit(&mut world, 1, |account| {
        account.credential = crate::model::CredentialState::Usable(credential.into());
    });
    world
}

fn failed(world: &Snapshot, failures: u32, not_before: Time) -> Snapshot {
    let mut world = world.clone();
    edit(&mut world, 1, |account| {
        account.renewal = Renewal { failures, not_before: Some(not_before) };
    });
    world
}
