use super::*;
use crate::engine::select::SHORT_REST;
use crate::engine::world::{
    START, account, alias, applied, done, durability, edit, health, key, left, model, new_account, oauth,
    provider, scope_of, subscription, switch_off, world, world_of,
};
use crate::engine::{Confidence, confidence, due};
use crate::model::{
    AuditAction, Cooling, CoolingSource, CredentialKind, CredentialState, FaultClass, Health, Limits,
    Renewal, Scope,
};
use proptest::prelude::*;
use std::time::Duration;

const OUTAGES: [FaultClass; 4] =
    [FaultClass::EdgeBlock, FaultClass::Unreachable, FaultClass::UpstreamError, FaultClass::UpstreamLost];

/// ADM-2, FRC-3
#[test]
fn what_cannot_be_done_is_turned_down_with_its_own_code() {
    let two = world(2);
    let off = switch_off(&two, 1);
    let unknown: Alias = "nobody".parse().expect("an alias");
    let elsewhere: ProviderId = "q".parse().expect("a provider id");
    let cases = [
        (&two, add(new_account(1, key())), Rejection::AliasTaken(alias(1))),
        (
            &two,
            add(NewAccount { provider: elsewhere.clone(), ..new_account(3, key()) }),
            Rejection::UnknownProvider(elsewhere),
        ),
        (&two, remove(unknown.clone()), Rejection::UnknownAccount),
        (&two, edited(9, Edit::default()), Rejection::UnknownAccount),
        (&two, edited(1, Edit { alias: Some(alias(2)), ..Edit::default() }), Rejection::AliasTaken(alias(2))),
        (
            &two,
            edited(1, Edit { alias: Some(alias(1)), ..Edit::default() }),
            Rejection::AlreadyInState(alias(1)),
        ),
        (&off, remove(alias(2)), Rejection::LastEnabled(alias(2))),
        (&off, switch(2, off_by_admin()), Rejection::LastEnabled(alias(2))),
        (&off, switch(1, off_by_admin()), Rejection::AlreadyInState(alias(1))),
        (&two, switch(1, Switch::On), Rejection::AlreadyInState(alias(1))),
        (&off, force(1), Rejection::AccountDisabled(alias(1))),
        (&two, Command::Forced { alias: unknown, by: Actor::Admin }, Rejection::UnknownAccount),
        (&two, Command::ForceCleared, Rejection::NoForceActive),
        (&two, fault(9, FaultClass::QuotaWindow, None), Rejection::UnknownAccount),
        (&two, stale_death(), Rejection::Outdated),
    ];
    for (world, command, expected) in cases {
        let said = format!("{command:?}");
        assert_eq!(apply(world, command, START), Err(expected), "{said}");
    }
}

/// ADM-2
#[test]
fn a_credential_of_a_kind_that_the_preset_does_not_inject_is_refused() {
    let mut preset = provider();
    preset.inject.remove(&CredentialKind::ApiKey);
    let world = world_of(preset, 0, |_| key());
    let refused = apply(&world, add(new_account(1, key())), START);
    assert_eq!(refused, Err(Rejection::KindNotAccepted(provider().id)));
}

#[test]
fn ids_are_never_given_twice() {
    let world = done(&world(2), remove(alias(2)), START);
    let world = done(&world, add(new_account(2, key())), START);
    assert_eq!(world.by_alias(&alias(2)).map(|a| a.id), Some(AccountId(3)));
    let ids: Vec<u32> = world.accounts.iter().map(|a| a.id.0).collect();
    assert_eq!(ids, [1, 3]);
}

/// SEL-7, ADM-4: equal weights are the whole for each, told of those that change; the others stay shared.
#[test]
fn equal_weights_touch_the_accounts_that_have_others() {
    let mut world = world(3);
    edit(&mut world, 2, |account| account.weight = Weight::new(0.5).expect("a weight"));
    let kept = done(&world, tuned(Weights::Keep), START);
    assert_eq!(kept.accounts, world.accounts);
    let equal = done(&world, tuned(Weights::Equal), START);
    assert!(equal.accounts.iter().all(|account| account.weight == Weight::FULL));
    assert!([0, 2].into_iter().all(|at: usize| Arc::ptr_eq(&equal.accounts[at], &world.accounts[at])));
    let told: Vec<&str> = equal.audit.entries().rev().take(2).map(|entry| entry.target.as_str()).collect();
    assert_eq!(told, ["rotation.low", "a2"]);
}

/// STO-7
#[test]
fn what_a_human_did_is_durable_before_it_is_acknowledged_and_counters_are_not_waited_for() {
    let two = world_of(provider(), 2, |_| oauth(1, START));
    let cooled = done(&two, fault(1, FaultClass::RateShort, Some(60)), START);
    let later = START.after(Duration::from_secs(60));
    for (world, command, now, expected) in [
        (&two, add(new_account(3, key())), START, Durability::Required),
        (&two, remove(alias(1)), START, Durability::Required),
        (&two, switch(1, off_by_admin()), START, Durability::Required),
        (&two, force(1), START, Durability::Required),
        (
            &two,
            edited(1, Edit { notes: Some("n".to_owned()), ..Edit::default() }),
            START,
            Durability::Required,
        ),
        (&two, tuned(Weights::Keep), START, Durability::Required),
        (&two, renewed(1, 2), START, Durability::Required),
        (&two, signed_in(1, 2), START, Durability::Required),
        (&two, fault(1, FaultClass::AuthDead, None), START, Durability::Required),
        (&two, renewal_failed(permanent()), START, Durability::Required),
        (&two, renewal_failed(transient()), START, Durability::Debounced),
        (&two, fault(1, FaultClass::QuotaWindow, None), START, Durability::Debounced),
        (&two, limits(50.0), START, Durability::Debounced),
        (&cooled, served(1), later, Durability::Debounced),
        (&two, fault(1, FaultClass::UpstreamError, None), START, Durability::None),
        (&two, fault(1, FaultClass::RequestFault, None), START, Durability::None),
        (&two, served(1), START, Durability::None),
        (&two, Command::TimePassed, START, Durability::None),
    ] {
        let said = format!("{command:?}");
        assert_eq!(durability(world, command, now), expected, "{said}");
    }
}

/// I9, FRC-2, STO-7
#[test]
fn a_force_goes_with_what_makes_its_account_durably_unable_and_that_is_stored_at_once() {
    let pinned = done(&world_of(provider(), 2, |_| oauth(1, START)), force(1), START);
    for (command, stands) in [
        (switch(1, off_by_admin()), false),
        (remove(alias(1)), false),
        (fault(1, FaultClass::AuthDead, None), false),
        (fault(1, FaultClass::Payment, Some(30)), false),
        (fault(1, FaultClass::QuotaWindow, Some(60)), false),
        (fault(1, FaultClass::RateShort, Some(61)), false),
        (renewal_failed(permanent()), false),
        (limits(0.0), false),
        (fault(1, FaultClass::RateShort, Some(60)), true),
        (fault(1, FaultClass::ModelUnentitled, Some(9000)), true),
        (fault(1, FaultClass::UpstreamError, None), true),
        (fault(2, FaultClass::QuotaWindow, Some(9000)), true),
        (limits(1.0), true),
    ] {
        let said = format!("{command:?}");
        let next = applied(&pinned, command, START);
        assert_eq!(next.snapshot.force.is_some(), stands, "{said}");
        if !stands {
            assert_eq!(next.durability, Durability::Required, "{said}");
        }
    }
}

/// FRC-2: a window that fills up within a minute is a short rest, whoever tells of it.
#[test]
fn a_spent_window_ends_a_force_unless_it_fills_up_within_a_minute() {
    let pinned = done(&world_of(provider(), 2, |_| oauth(1, START)), force(1), START);
    for (resets, stands) in [(Some(30), true), (Some(60), true), (Some(61), false), (None, false)] {
        let at = resets.map(|wait| START.after(Duration::from_secs(wait)));
        let next = done(&pinned, seen(left(0.0, START, at)), START);
        assert_eq!(next.force.is_some(), stands, "resets in {resets:?} s");
    }
}

/// FRC-1 I9: a force that was set by a clock more than a day ahead goes; a clock put back by less ends none early.
#[test]
fn no_force_outlives_a_clock_that_ran_ahead() {
    let day = Duration::from_secs(24 * 3600);
    for (ahead, stands) in [(Duration::from_millis(5), true), (day, true), (day * 400, false)] {
        let pinned = done(&world(2), force(1), START.after(ahead));
        assert_eq!(due(&pinned, START).expire, !stands, "{ahead:?}");
        let next = done(&pinned, Command::TimePassed, START);
        assert_eq!(next.force.is_some(), stands, "{ahead:?}");
    }
}

/// FRC-3
#[test]
fn a_force_that_would_end_at_once_is_refused_instead() {
    let spent = done(&world(2), fault(1, FaultClass::QuotaWindow, Some(9000)), START);
    let refused = apply(&spent, force(1), START);
    assert_eq!(refused, Err(Rejection::AccountUnable(alias(1))));
}

/// FLO-3
#[test]
fn a_fault_touches_whom_its_scope_and_class_name_and_nobody_else() {
    let mut grouped = world(4);
    for id in [1, 2] {
        edit(&mut grouped, id, |account| account.quota_group = Some("org".into()));
    }
    let resting = |world: &Snapshot| -> Vec<u32> {
        let cools = |id: &u32| health(world, *id).cools_until(START).is_some();
        (1..=4).filter(cools).collect()
    };
    for (class, scope, expected) in [
        (FaultClass::QuotaWindow, Scope::Account, vec![1]),
        (FaultClass::QuotaWindow, Scope::QuotaGroup, vec![1, 2]),
        (FaultClass::Payment, Scope::QuotaGroup, vec![1, 2]),
        (FaultClass::QuotaWindow, Scope::AccountModel, vec![]),
        (FaultClass::QuotaWindow, Scope::Provider, vec![]),
        (FaultClass::QuotaWindow, Scope::Request, vec![]),
        (FaultClass::ModelCapacity, Scope::Account, vec![]),
        (FaultClass::RateBare, Scope::Account, vec![]),
        (FaultClass::UpstreamError, Scope::Account, vec![]),
        (FaultClass::PolicyBlock, Scope::Account, vec![]),
    ] {
        let command = fault_of(1, class, scope, Some(600));
        let next = done(&grouped, command, START);
        assert_eq!(resting(&next), expected, "{class:?} {scope:?}");
        let strikes: u32 = (2..=4).map(|id| health(&next, id).strikes).sum();
        assert_eq!(strikes, 0, "only the one that was told is struck");
        let counted = OUTAGES.contains(&class);
        assert_eq!(!next.breakers.is_empty(), counted, "{class:?} {scope:?}");
    }
}

/// FLO-11
#[test]
fn a_refused_model_rests_alone_and_the_memory_of_models_is_bounded() {
    let mut world = world(1);
    for at in 0..200u64 {
        let command = Command::Faulted {
            account: AccountId(1),
            version: 1,
            model: Some(format!("m-{at}").parse().expect("a model")),
            fault: Fault {
                class: FaultClass::ModelUnentitled,
                scope: Scope::AccountModel,
                rule: None,
                resets: Some((START.after(Duration::from_secs(100 + at)), CoolingSource::Fixed)),
            },
        };
        world = done(&world, command, START);
    }
    let health = health(&world, 1);
    assert_eq!((health.models.len(), health.cooling), (Health::MODELS, None));
    let newest = "m-199".parse().expect("a model");
    assert!(health.model_cooling(&newest, START).is_some());
}

/// FLO-4
#[test]
fn a_model_rest_without_a_word_from_the_upstream_doubles_while_it_recurs() {
    let mut world = world(1);
    let mut now = START;
    let mut waits = Vec::new();
    for _ in 0..5 {
        let command = fault_of(1, FaultClass::RateShort, Scope::AccountModel, None);
        world = done(&world, command, now);
        let rest = *health(&world, 1).models.get(&model()).expect("a rest");
        waits.push(now.until(rest.until).as_secs());
        now = rest.until;
    }
    assert!(waits.windows(2).all(|two| two[1] >= two[0]), "{waits:?}");
    assert_eq!(waits.last(), Some(&300));
}

/// REN-3, FLO-5
#[test]
fn a_dead_credential_is_found_dead_once_and_only_if_it_is_still_the_one() {
    let fresh = world_of(subscription(), 2, |_| oauth(1, START));
    let dead = done(&fresh, fault(1, FaultClass::AuthDead, None), START);
    assert!(matches!(account(&dead, 1).credential, CredentialState::NeedsReauth { .. }));
    assert_eq!(dead.deaths.values().flatten().count(), 1);
    let again = apply(&dead, fault(1, FaultClass::AuthDead, None), START);
    assert_eq!(again, Err(Rejection::Outdated), "the burst's other 401s");

    let renewed = done(&fresh, renewed(1, 2), START);
    let late = apply(&renewed, fault(1, FaultClass::AuthDead, None), START);
    assert_eq!(late, Err(Rejection::Outdated), "a refusal of the old token");
    let late = apply(&renewed, renewal_failed(permanent()), START);
    assert_eq!(late, Err(Rejection::Outdated));
}

/// I7
#[test]
fn a_renewal_replaces_only_the_version_it_names_and_revives_what_died_meanwhile() {
    let fresh = world_of(provider(), 1, |_| oauth(1, START));
    for (version, new) in [(2, 3), (1, 1), (0, 1)] {
        let refused = apply(&fresh, renewed(version, new), START);
        assert_eq!(refused, Err(Rejection::Outdated), "{version} -> {new}");
    }
    let dead = done(&fresh, fault(1, FaultClass::AuthDead, None), START);
    let alive = done(&dead, renewed(1, 2), START);
    assert_eq!(account(&alive, 1).credential.usable().map(|c| c.version), Some(2));
}

/// REN-1
#[test]
fn a_renewal_that_does_not_move_the_expiry_backs_off_like_a_failure() {
    let fresh = world_of(provider(), 1, |_| oauth(1, START));
    let command = Command::Refreshed { account: AccountId(1), version: 1, credential: oauth(2, START) };
    let stuck = done(&fresh, command, START);
    let wait = Renewal { failures: 1, not_before: Some(START.after(Duration::from_secs(60))) };
    assert_eq!(account(&stuck, 1).renewal, wait);
}

/// REN-6, FLO-5: what was held against the old login goes with it, and nothing else does.
#[test]
fn a_human_who_signs_in_again_revives_the_account_and_its_provider() {
    let fresh = world_of(subscription(), 3, |_| oauth(1, START));
    let dead = [1, 2].into_iter().fold(fresh, |world, id| {
        done(&world, fault_of(id, FaultClass::AuthDead, Scope::Account, None), START)
    });
    assert_eq!(dead.deaths.values().flatten().count(), 2);
    let alive = done(&dead, signed_in(1, 2), START);
    let credential = CredentialState::Usable(Arc::new(oauth(2, START)));
    let expected = Account { credential, ..account(&dead, 1).clone() };
    assert_eq!((account(&alive, 1), alive.deaths.values().flatten().count()), (&expected, 0));
    assert!(matches!(account(&alive, 2).credential, CredentialState::NeedsReauth { .. }), "not its own");
    let late = apply(&alive, fault(1, FaultClass::AuthDead, None), START);
    assert_eq!(late, Err(Rejection::Outdated), "a refusal of the old token");
    for (id, version, refused) in [(1, 2, Rejection::Outdated), (9, 5, Rejection::UnknownAccount)] {
        assert_eq!(apply(&alive, signed_in(id, version), START), Err(refused));
    }
    for (class, rests) in [(FaultClass::AuthExpired, false), (FaultClass::QuotaWindow, true)] {
        let world = world_of(provider(), 1, |_| oauth(1, START));
        let tired = done(&done(&world, renewal_failed(transient()), START), fault(1, class, Some(60)), START);
        let now = done(&tired, signed_in(1, 2), START);
        let told = (account(&now, 1).renewal, health(&now, 1).cooling.is_some());
        assert_eq!(told, (Renewal::default(), rests), "{class:?}");
    }
}

/// LIM-4
#[test]
fn limits_keep_a_bounded_history_and_a_late_observation_changes_nothing() {
    let mut world = world(1);
    for at in 0..150u64 {
        let now = START.after(Duration::from_secs(at));
        world = done(&world, seen(left(50.0, now, None)), now);
    }
    let late = done(&world, seen(left(10.0, START, None)), START.after(Duration::from_secs(150)));
    let limits = &account(&late, 1).limits;
    assert_eq!(limits.history.len(), Limits::HISTORY);
    assert_eq!(limits.remaining(START), Some(50.0));
    assert_eq!(limits.history.back().map(|s| s.at), Some(START.after(Duration::from_secs(148))));
}

/// LIM-3: what was noted by a clock that ran ahead is older than what is seen once it has been put back.
#[test]
fn an_observation_takes_the_place_of_everything_that_lies_in_the_future() {
    let ahead = START.after(Duration::from_secs(90_000));
    let mut known = done(&world(1), seen(left(60.0, START.before(Duration::from_secs(60)), None)), START);
    for at in [ahead, ahead.after(Duration::from_secs(1))] {
        known = done(&known, seen(left(10.0, at, None)), at);
    }
    known = done(&known, Command::ProbeFailed { account: AccountId(1), error: "no".to_owned() }, ahead);
    let next = done(&known, seen(left(50.0, START, None)), START);
    let limits = &account(&next, 1).limits;
    let noted: Vec<Time> = limits.history.iter().chain(&limits.latest).map(|sample| sample.at).collect();
    assert_eq!(noted, [START.before(Duration::from_secs(60)), START]);
    assert_eq!((limits.remaining(START), limits.failed), (Some(50.0), None));
    assert_eq!(confidence(limits, START), Confidence::Fresh);
}

#[test]
fn a_new_configuration_keeps_every_account_and_forgets_breakers_of_presets_that_are_gone() {
    let failing = done(&world(2), fault(1, FaultClass::UpstreamError, None), START);
    let command = Command::Reconfigured { settings: Settings::default(), providers: Vec::new() };
    let next = done(&failing, command, START);
    assert_eq!(next.accounts, failing.accounts);
    assert!(next.breakers.is_empty() && next.providers.is_empty());
    let same = Command::Reconfigured { settings: Settings::default(), providers: failing.providers.to_vec() };
    let next = done(&failing, same, START);
    assert!(Arc::ptr_eq(&next.providers, &failing.providers));
}

proptest! {
    /// FLO-4
    #[test]
    fn a_rest_is_never_shortened_and_a_burst_is_one_strike(
        first in prop::option::of(1u64..10_000),
        more in prop::collection::vec((prop::option::of(1u64..10_000), 0u64..100), 1..32),
    ) {
        let mut world = done(&world(1), fault(1, FaultClass::RateShort, first), START);
        let ends = health(&world, 1).cooling.expect("a rest").until;
        let mut last = ends;
        let mut now = START;
        for (wait, step) in more {
            now = now.after(Duration::from_millis(step));
            world = done(&world, fault_at(1, FaultClass::QuotaWindow, scope_of(FaultClass::QuotaWindow), wait, now), now);
            let rest = health(&world, 1).cooling.expect("a rest");
            prop_assert!(rest.until >= last);
            prop_assert_eq!(rest.since, START);
            last = rest.until;
        }
        prop_assert_eq!(health(&world, 1).strikes, 1);
    }

    /// ADM-4, I8
    #[test]
    fn a_command_shares_every_other_account_with_the_snapshot_before(
        id in 1u32..6,
        class in prop::sample::select(FaultClass::ALL.to_vec()),
        kind in 0u8..8,
    ) {
        let before = world_of(provider(), 5, |_| oauth(1, START));
        let command = match kind {
            0 => switch(id, off_by_admin()),
            1 => force(id),
            2 => remove(alias(id)),
            3 => signed_in(id, 2),
            5 => tuned(Weights::Keep),
            4 => edited(id, Edit { alias: Some(alias(90 + id)), notes: Some("n".to_owned()), ..Edit::default() }),
            _ => fault(id, class, Some(600)),
        };
        let after = done(&before, command, START);
        prop_assert_eq!(after.generation, before.generation + 1);
        let told = after.audit.entries().skip(before.audit.entries().count());
        prop_assert!(told.into_iter().all(|entry| entry.target == alias(id).as_str() || [4, 5].contains(&kind)));
        for was in before.accounts.iter().filter(|account| account.id.0 != id) {
            let is = after.account(was.id).expect("still there");
            prop_assert!(Arc::ptr_eq(was, is));
        }
    }

    /// I7
    #[test]
    fn only_the_current_version_can_be_replaced_and_only_by_a_newer_one(named in 0u64..6, new in 0u64..8) {
        let fresh = done(&world_of(provider(), 1, |_| oauth(1, START)), renewed(1, 3), START);
        let accepted = apply(&fresh, renewed(named, new), START).is_ok();
        prop_assert_eq!(accepted, named == 3 && new > 3);
    }

    /// I9
    #[test]
    fn no_published_force_is_void_whatever_happens(
        events in prop::collection::vec((0u8..7, 1u32..4, prop::option::of(1u64..4000), 0u64..50_000), 1..40),
    ) {
        let mut world = world_of(subscription(), 3, |_| oauth(1, START));
        let mut now = START;
        for (kind, id, wait, step) in events {
            now = now.after(Duration::from_secs(step));
            let command = match kind {
                0 | 1 => force(id),
                2 => switch(id, if account(&world, id).is_on() { off_by_admin() } else { Switch::On }),
                3 => fault_at(id, FaultClass::RateShort, Scope::Account, wait, now),
                4 => fault_at(id, FaultClass::QuotaWindow, Scope::QuotaGroup, wait, now),
                5 => Command::TimePassed,
                _ => seen_of(id, left(f64::from(id % 2), now, None)),
            };
            if let Ok(next) = apply(&world, command, now) {
                world = next.snapshot;
                if let Some(force) = &world.force {
                    let account = world.account(force.account).expect("it exists");
                    prop_assert!(now < force.until && account.is_on());
                    prop_assert!(account.limits.remaining(now.after(SHORT_REST)) != Some(0.0));
                    let rest = account.health.cooling.filter(|rest| rest.until > now);
                    prop_assert!(rest.is_none_or(|rest: Cooling| rest.class == FaultClass::RateShort
                        && now.until(rest.until) <= Duration::from_secs(60)));
                }
            }
        }
    }
}

fn add(new: NewAccount) -> Command {
    Command::AccountAdded(Box::new(new))
}

fn edited(id: u32, edit: Edit) -> Command {
    Command::AccountEdited { alias: alias(id), edit: Box::new(edit) }
}

fn tuned(weights: Weights) -> Command {
    let told = vec![Note::new(AuditAction::SettingChanged, "rotation.low")];
    Command::Tuned { settings: Settings::default(), told, weights }
}

fn remove(alias: Alias) -> Command {
    Command::AccountRemoved { alias, last: LastEnabled::Keep }
}

fn switch(id: u32, to: Switch) -> Command {
    Command::Switched { alias: alias(id), to, last: LastEnabled::Keep }
}

fn off_by_admin() -> Switch {
    Switch::Off { at: START, by: Actor::Admin, reason: None }
}

fn force(id: u32) -> Command {
    Command::Forced { alias: alias(id), by: Actor::Admin }
}

fn fault(id: u32, class: FaultClass, wait: Option<u64>) -> Command {
    fault_of(id, class, scope_of(class), wait)
}

fn fault_of(id: u32, class: FaultClass, scope: Scope, wait: Option<u64>) -> Command {
    fault_at(id, class, scope, wait, START)
}

fn fault_at(id: u32, class: FaultClass, scope: Scope, wait: Option<u64>, now: Time) -> Command {
    Command::Faulted {
        account: AccountId(id),
        version: 1,
        model: Some(model()),
        fault: Fault {
            class,
            scope,
            rule: None,
            resets: wait.map(|secs| (now.after(Duration::from_secs(secs)), CoolingSource::RetryAfter)),
        },
    }
}

fn stale_death() -> Command {
    Command::Faulted {
        account: AccountId(1),
        version: 7,
        model: None,
        fault: Fault { class: FaultClass::AuthDead, scope: Scope::Account, rule: None, resets: None },
    }
}

fn renewed(version: u64, new: u64) -> Command {
    Command::Refreshed {
        account: AccountId(1),
        version,
        credential: oauth(new, START.after(Duration::from_secs(1))),
    }
}

fn signed_in(id: u32, version: u64) -> Command {
    Command::Reauthenticated { account: AccountId(id), credential: oauth(version, START) }
}

fn renewal_failed(failure: RenewalFailure) -> Command {
    Command::RenewalFailed { account: AccountId(1), version: 1, failure }
}

fn permanent() -> RenewalFailure {
    RenewalFailure::Permanent { detail: "invalid_grant".to_owned() }
}

fn transient() -> RenewalFailure {
    RenewalFailure::Transient { detail: "no answer".to_owned() }
}

fn served(id: u32) -> Command {
    Command::Served { account: AccountId(id) }
}

fn limits(percent: f64) -> Command {
    seen(left(percent, START, None))
}

fn seen(sample: LimitSample) -> Command {
    seen_of(1, sample)
}

fn seen_of(id: u32, sample: LimitSample) -> Command {
    Command::LimitsSeen { account: AccountId(id), sample }
}
