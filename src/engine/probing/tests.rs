use super::*;
use crate::engine::due;
use crate::engine::world::{
    LIFE, START, alias, done, edit, key, left, oauth, provider, provider_id, subscription, switch_off,
    world_of,
};
use crate::engine::{Command, RenewalFailure};
use crate::model::{Credential, LimitSample, Probing, Settings};
use proptest::prelude::*;
use std::collections::BTreeSet;

const EVERY: Duration = Duration::from_secs(900);
const LEAST: Duration = Duration::from_secs(600);

/// LIM-4 SEL-2: who is asked about, and who never is.
#[test]
fn only_limits_that_can_be_asked_for_are_due() {
    let later = START.after(SOON);
    let told = asked_provider();
    let fresh = world_of(told.clone(), 1, |_| oauth(1, START));
    let cases: Vec<(&str, Snapshot, bool)> = vec![
        ("never seen", fresh.clone(), true),
        ("off", switch_off(&fresh, 1), false),
        ("a kind that the endpoint does not serve", world_of(told.clone(), 1, |_| key()), false),
        ("no endpoint", world_of(provider(), 1, |_| oauth(1, START)), false),
        ("never in the background", with(&fresh, |probing| probing.every = None), false),
        ("a token that has ended and cannot be renewed", ended(&fresh), false),
        ("a login that is gone", dead(&fresh), false),
        ("seen a moment ago", seen(&fresh, START), false),
        ("seen long ago", seen(&fresh, START.before(EVERY * 2)), true),
        ("failed a moment ago", failed(&fresh, START), false),
        ("failed long ago", failed(&fresh, START.before(EVERY * 2)), true),
        ("noted by a clock that ran ahead", seen(&fresh, START.after(EVERY * 100)), true),
    ];
    for (name, world, expected) in cases {
        let due = due(&world, later).probe;
        assert_eq!(due, if expected { vec![AccountId(1)] } else { vec![] }, "{name}");
    }
}

/// LIM-3 LIM-4: a clock that is put back costs one question.
#[test]
fn limits_noted_by_a_clock_that_ran_ahead_are_asked_for_once() {
    let ahead = seen(&world_of(asked_provider(), 1, |_| oauth(1, START)), START.after(EVERY * 100));
    let now = START.after(SOON);
    assert_eq!(due(&ahead, now).probe, [AccountId(1)]);
    let learnt = Command::LimitsSeen { account: AccountId(1), sample: sample(now) };
    let told = done(&ahead, learnt, now);
    assert_eq!(told.accounts[0].limits.latest, Some(sample(now)));
    assert_eq!(due(&told, now).probe, []);
}

/// LIM-5: a probe that costs quota is made for those who allow it only.
#[test]
fn a_model_is_asked_only_where_that_is_allowed_and_nothing_else_tells() {
    let costly = Provider { usage: None, probe: Some(model_probe()), ..provider() };
    let world = world_of(costly.clone(), 1, |_| oauth(1, START));
    assert_eq!(due(&world, START.after(SOON)).probe, []);
    let allowed = with(&world, |probing| probing.models = ModelProbes::Allowed);
    assert_eq!(due(&allowed, START.after(SOON)).probe, [AccountId(1)]);
    let both = Provider { usage: asked_provider().usage, ..costly.clone() };
    let kind = CredentialKind::Oauth;
    assert!(matches!(inquiry(&both, kind, ModelProbes::Allowed), Some(Inquiry::Usage(_))));
    assert!(matches!(inquiry(&costly, kind, ModelProbes::Allowed), Some(Inquiry::Model(_))));
    assert_eq!(inquiry(&costly, kind, ModelProbes::Never), None);
    assert_eq!(inquiry(&both, CredentialKind::ApiKey, ModelProbes::Allowed), None);
}

/// FLO-5 FLO-10: a provider that is left alone is not asked about limits either.
#[test]
fn a_provider_that_is_left_alone_is_asked_nothing() {
    let told = Provider { usage: asked_provider().usage, ..subscription() };
    let world = world_of(told, 3, |_| oauth(1, START));
    let mut cut = world.clone();
    for id in [1, 2] {
        let failure = RenewalFailure::Permanent { detail: "invalid_grant".to_owned() };
        let command = Command::RenewalFailed { account: AccountId(id), version: 1, failure };
        cut = done(&cut, command, START);
    }
    let before = due(&cut, START.after(SOON * 2));
    assert_eq!(before.probe, []);
    assert_eq!(due(&cut, START.after(breaker::DEATH_WINDOW)).probe, [AccountId(3)]);
    let mut open = world;
    open.breakers.insert(
        provider_id(),
        (0..breaker::FAILURES).fold(Default::default(), |b, _| breaker::failed(&b, START)),
    );
    assert_eq!(due(&open, START.after(Duration::from_secs(29))).probe, []);
    assert_eq!(due(&open, START.after(breaker::OPEN_FIRST)).probe.len(), 3);
}

/// LIM-4: the preset's interval holds, however impatient the settings are.
#[test]
fn a_preset_may_ask_for_more_rest_than_the_settings() {
    let world = seen(&world_of(asked_provider(), 1, |_| oauth(1, START)), START);
    let world = with(&world, |probing| probing.every = Some(GAP));
    assert_eq!(due(&world, START.after(LEAST)).probe, []);
    assert_eq!(due(&world, START.after(LEAST + LEAST / 4)).probe, [AccountId(1)]);
}

proptest! {
    /// LIM-4: whoever is asked about, in whatever order time passes, no provider is asked twice within a minute, and
    /// everybody is asked about within the interval, its jitter and a turn each.
    #[test]
    fn a_pool_is_asked_one_by_one_and_everybody_in_time(
        accounts in 1u32..12, step in 1u64..120, outcomes in prop::collection::vec(any::<bool>(), 1..8),
    ) {
        let mut world = world_of(asked_provider(), accounts, |_| oauth(1, START));
        edit_all(&mut world, accounts);
        let mut asked: Vec<(Time, AccountId)> = Vec::new();
        let mut now = START;
        let end = START.after(EVERY * 5 / 4 + (GAP * 2 + Duration::from_secs(step)) * accounts);
        while now < end {
            if let Some(account) = due(&world, now).probe.first() {
                asked.push((now, *account));
                let command = match outcomes[asked.len() % outcomes.len()] {
                    true => Command::LimitsSeen { account: *account, sample: sample(now) },
                    false => Command::ProbeFailed { account: *account, error: "no".to_owned() },
                };
                world = done(&world, command, now);
            }
            now = now.after(Duration::from_secs(step));
        }
        for pair in asked.windows(2) {
            prop_assert!(pair[0].0.until(pair[1].0) >= GAP, "{asked:?}");
        }
        let all: BTreeSet<_> = asked.iter().map(|(_, account)| account.0).collect();
        prop_assert_eq!(all.len(), accounts as usize);
        for id in 1..=accounts {
            let of: Vec<Time> = asked.iter().filter(|(_, account)| account.0 == id).map(|(at, _)| *at).collect();
            prop_assert!(of.windows(2).all(|pair| pair[0].until(pair[1]) >= EVERY));
        }
    }

    /// LIM-4 I2: when something is due is told beforehand, and it is due then.
    #[test]
    fn the_moment_that_is_told_is_the_moment(accounts in 1u32..6, ages in prop::collection::vec(0u64..2000, 6)) {
        let mut world = world_of(asked_provider(), accounts, |_| oauth(1, START));
        for id in 1..=accounts {
            let age = Duration::from_secs(ages[id as usize - 1]);
            edit(&mut world, id, |account| account.limits.latest = Some(sample(START.before(age))));
        }
        let due_now = due(&world, START);
        if due_now.probe.is_empty() {
            let (none, wake) = probing(&world, START);
            let wake = wake.expect("somebody is due some time");
            prop_assert_eq!(none, vec![]);
            prop_assert!(wake > START && due_now.wake.is_some_and(|told| told <= wake));
            prop_assert!(probing(&world, wake.before(Duration::from_millis(1))).0.is_empty());
            prop_assert!(!probing(&world, wake).0.is_empty());
        }
    }

    /// LIM-2: a failed probe changes three fields of one account and nothing else.
    #[test]
    fn a_failed_probe_leaves_everything_else_as_it_was(
        accounts in 1u32..6, whose in 1u32..6, remaining in 0.0f64..100.0, history in 0usize..4, text in "\\PC{0,40}",
    ) {
        let whose = whose.min(accounts);
        let mut world = world_of(asked_provider(), accounts, |_| oauth(1, START));
        for step in 0..history {
            let at = START.before(Duration::from_secs(100 - step as u64));
            let seen = LimitSample { at, ..left(remaining, at, None) };
            world = done(&world, Command::LimitsSeen { account: AccountId(whose), sample: seen }, at);
        }
        let command = Command::ProbeFailed { account: AccountId(whose), error: text.clone() };
        let mut after = done(&world, command, START);
        let limits = &after.accounts[whose as usize - 1].limits;
        prop_assert_eq!((limits.status, limits.error.as_deref(), limits.failed), (LimitStatus::Error, Some(text.as_str()), Some(START)));
        let before = world.accounts[whose as usize - 1].limits.clone();
        edit(&mut after, whose, |account| {
            account.limits.status = before.status;
            account.limits.error.clone_from(&before.error);
            account.limits.failed = before.failed;
        });
        after.generation = world.generation;
        prop_assert_eq!(after, world);
    }
}

/// A provider that tells logins their use, at most every ten minutes.
fn asked_provider() -> Provider {
    let usage = UsageEndpoint {
        path: "/usage".to_owned(),
        kinds: vec![CredentialKind::Oauth],
        least: LEAST,
        headers: Vec::new(),
        windows: Vec::new(),
    };
    Provider { usage: Some(usage), ..provider() }
}

fn model_probe() -> ModelProbe {
    ModelProbe {
        path: "/ask".to_owned(),
        kinds: vec![CredentialKind::Oauth],
        models: vec!["m".parse().expect("a model")],
        body: "{}".into(),
        headers: Vec::new(),
        effort_refused: Vec::new(),
    }
}

fn with(world: &Snapshot, change: impl FnOnce(&mut Probing)) -> Snapshot {
    let mut settings = Settings::clone(&world.settings);
    change(&mut settings.probing);
    Snapshot { settings: Arc::new(settings), ..world.clone() }
}

fn seen(world: &Snapshot, at: Time) -> Snapshot {
    edited(world, |account| account.limits.latest = Some(sample(at)))
}

fn failed(world: &Snapshot, at: Time) -> Snapshot {
    edited(world, |account| {
        account.limits.failed = Some(at);
        account.limits.status = LimitStatus::Error;
    })
}

fn ended(world: &Snapshot) -> Snapshot {
    edited(world, |account| {
        let credential = Credential { refresh: None, expires: Some(START), ..oauth(1, START.before(LIFE)) };
        account.credential = crate::model::CredentialState::Usable(Arc::new(credential));
    })
}

fn dead(world: &Snapshot) -> Snapshot {
    let failure = RenewalFailure::Permanent { detail: "invalid_grant".to_owned() };
    done(world, Command::RenewalFailed { account: AccountId(1), version: 1, failure }, START)
}

fn edited(world: &Snapshot, change: impl FnOnce(&mut Account)) -> Snapshot {
    let mut world = world.clone();
    edit(&mut world, 1, change);
    world
}

/// Tokens that outlive the test.
fn edit_all(world: &mut Snapshot, accounts: u32) {
    for id in 1..=accounts {
        edit(world, id, |account| {
            let credential = Credential { expires: None, ..oauth(1, START) };
            account.credential = crate::model::CredentialState::Usable(Arc::new(credential));
        });
        assert_eq!(world.accounts[id as usize - 1].alias, alias(id));
    }
}

fn sample(at: Time) -> LimitSample {
    left(50.0, at, None)
}
