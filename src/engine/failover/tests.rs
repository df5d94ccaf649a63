use super::*;
use crate::engine::classify::{Fault, Outcome};
use crate::engine::select::Turn;
use crate::engine::world::{START, alias, edit, oauth, provider, request, set, status_of, world, world_of};
use crate::model::{FaultClass, ProviderId, Reason, Scope};
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// FLO-2
#[test]
fn every_class_has_its_course_with_another_account_left_and_without() {
    for (class, with_another, alone) in [
        (FaultClass::AffinityFault, After::Pass, After::Pass),
        (FaultClass::AuthDead, After::Again, After::Again),
        (FaultClass::AuthExpired, After::Again, After::Again),
        (FaultClass::EdgeBlock, After::Pass, After::Pass),
        (FaultClass::Forbidden, After::Again, After::Again),
        (FaultClass::ModelCapacity, After::Again, After::Pass),
        (FaultClass::ModelUnentitled, After::Again, After::Pass),
        (FaultClass::Payment, After::Again, After::Again),
        (FaultClass::PolicyBlock, After::Pass, After::Pass),
        (FaultClass::QuotaWindow, After::Again, After::Again),
        (FaultClass::RateBare, After::Again, After::Pass),
        (FaultClass::RateShort, After::Again, After::Again),
        (FaultClass::RequestFault, After::Pass, After::Pass),
        (FaultClass::Unreachable, After::Pass, After::Pass),
        (FaultClass::UpstreamError, After::Again, After::Pass),
        (FaultClass::UpstreamLost, After::Pass, After::Pass),
    ] {
        for (count, expected) in [(2, with_another), (1, alone)] {
            let world = world(count);
            let (_, ruling) = first(&world, status_of(class), Held::Whole);
            assert_eq!(ruling.after, expected, "{class:?} of {count}");
            let (_, ruling) = first(&world, status_of(class), Held::Gone);
            assert_eq!(ruling.after, After::Pass, "{class:?}, single attempt");
        }
    }
}

/// FLO-8
#[test]
fn a_refusal_tells_whom_it_tried_why_each_did_not_serve_and_what_was_said_last() {
    let world = world(2);
    let (mut failover, ruling) = first(&world, status_of(FaultClass::Forbidden), Held::Whole);
    let command = ruling.command.expect("a fault");
    let world = crate::engine::world::done(&world, command, START);
    failover.left = 0;
    let Step::Refuse(refusal) = failover.next(&world, &mut Still, START) else {
        panic!("not refused");
    };
    let until = world.accounts[0].health.cooling.map(|rest| rest.until);
    let why = |reason, until| WhyNot { reason, until };
    assert_eq!(
        refusal,
        Refusal {
            code: RefusalCode::AllAccountsExhausted,
            provider: request().provider,
            tried: vec![alias(1)],
            reasons: BTreeMap::from([
                (alias(1), why(Reason::Forbidden, until)),
                (alias(2), why(Reason::Skipped, Some(START))),
            ]),
            last_status: Some(status_of(FaultClass::Forbidden)),
            soonest: Some(START),
            cut_off: None,
            sign_in: None,
        }
    );
}

/// FLO-8
#[test]
fn only_a_pool_that_no_waiting_mends_needs_a_human() {
    let refusal = |reasons: &[(Reason, Option<Time>)]| {
        let reasons: BTreeMap<Alias, WhyNot> = (1u32..)
            .zip(reasons)
            .map(|(id, (reason, until))| (alias(id), WhyNot { reason: *reason, until: *until }))
            .collect();
        Refusal {
            code: RefusalCode::NoEligibleAccounts,
            provider: request().provider,
            tried: Vec::new(),
            soonest: reasons.values().filter_map(|why| why.until).min(),
            reasons,
            last_status: None,
            cut_off: None,
            sign_in: None,
        }
    };
    for (reasons, expected) in [
        (vec![], false),
        (vec![(Reason::ReauthFailed, None), (Reason::Disabled, None)], true),
        (vec![(Reason::ReauthFailed, None), (Reason::RateLimited, Some(START))], false),
        (vec![(Reason::ReauthFailed, None), (Reason::Busy, None)], false),
    ] {
        assert_eq!(refusal(&reasons).needs_human(), expected, "{reasons:?}");
    }
}

/// FLO-1
#[test]
fn no_attempt_starts_after_the_patience_is_over() {
    let world = world(3);
    let deadline = START.after(world.settings.patience);
    for (now, sends) in [(deadline, true), (deadline.after(Duration::from_millis(1)), false)] {
        let (mut failover, _) = first(&world, status_of(FaultClass::RateBare), Held::Whole);
        let step = failover.next(&world, &mut Still, now);
        assert_eq!(matches!(step, Step::Send(_)), sends, "{step:?}");
    }
}

/// SEL-11: somebody else took the last place a moment ago.
#[test]
fn a_request_whose_place_was_taken_spills_and_says_so_also_after_a_renewal() {
    let mut world = world_of(provider(), 2, |_| oauth(1, START));
    set(&mut world, |settings| settings.in_flight_cap = Some(1));
    let asked = RoutingRequest { pinned: Some(AccountId(1)), ..request() };
    let mut failover = Failover::open(asked, &world, START);
    let Step::Send(home) = failover.next(&world, &mut Still, START) else {
        panic!("it is free");
    };
    assert_eq!((home.account, home.why), (AccountId(1), Why::Session));
    failover.on_busy(home);
    let Step::Send(away) = failover.next(&world, &mut Still, START) else {
        panic!("the other one is");
    };
    assert_eq!((away.account, away.why), (AccountId(2), Why::Spilled));
    let outcome =
        Outcome::Replied { status: StatusCode::UNAUTHORIZED, headers: &HeaderMap::new(), peek: b"" };
    failover.on_outcome(away, &outcome, Held::Whole, &world, START);
    assert!(failover.spilled_to(AccountId(2)) && !failover.spilled_to(AccountId(1)));
}

/// R15: what was switched off between the refusal and the second send is not sent to.
#[test]
fn an_account_that_is_switched_off_during_its_renewal_is_not_sent_to_again() {
    let world = world_of(provider(), 2, |_| oauth(1, START));
    let (mut failover, _) = first(&world, status_of(FaultClass::AuthExpired), Held::Whole);
    let refresh = failover.next(&world, &mut Still, START);
    assert_eq!(refresh, Step::Refresh { account: AccountId(1), version: 1 });
    let mut renewed = crate::engine::world::switch_off(&world, 1);
    edit(&mut renewed, 1, |account| {
        account.credential = crate::model::CredentialState::Usable(oauth(2, START).into());
    });
    let Step::Send(decision) = failover.next(&renewed, &mut Still, START) else {
        panic!("not sent");
    };
    assert_eq!(decision.account, AccountId(2));
}

/// SEL-11
#[test]
fn a_place_that_somebody_else_took_costs_no_attempt() {
    let mut world = world(3);
    set(&mut world, |settings| settings.max_attempts = 1);
    let mut failover = Failover::open(request(), &world, START);
    for _ in 0..3 {
        let Step::Send(decision) = failover.next(&world, &mut Still, START) else {
            panic!("not sent");
        };
        failover.on_busy(decision);
    }
    let Step::Wait(until) = failover.next(&world, &mut Still, START) else {
        panic!("all places were taken a moment ago: ask again");
    };
    assert!(matches!(failover.next(&world, &mut Still, until), Step::Send(_)));
    assert!(failover.trail().is_empty());
}

proptest! {
    /// FLO-1
    #[test]
    fn a_request_whose_leases_all_fail_ends(count in 1u32..9, cap in prop::option::of(1u32..3)) {
        let mut world = world(count);
        set(&mut world, |settings| settings.in_flight_cap = cap);
        let mut failover = Failover::open(request(), &world, START);
        let mut now = START;
        for _ in 0..100_000 {
            match failover.next(&world, &mut Still, now) {
                Step::Send(decision) => failover.on_busy(decision),
                Step::Wait(until) => {
                    prop_assert!(until > now);
                    now = until;
                }
                Step::Refuse(refusal) => {
                    prop_assert_eq!(refusal.code, RefusalCode::NoEligibleAccounts);
                    prop_assert!(START.until(now) <= world.settings.patience);
                    return Ok(());
                }
                Step::Refresh { .. } | Step::SignIn { .. } => {
                    prop_assert!(false, "keys are neither renewed nor signed in to")
                }
            }
        }
        prop_assert!(false, "no end");
    }

    /// FLO-3, I6
    #[test]
    fn a_reply_that_no_rule_matches_is_the_clients_and_changes_nothing(status in 100u16..430) {
        let (_, ruling) = first(&world(3), status, Held::Whole);
        prop_assert_eq!(ruling, Ruling { command: None, after: After::Pass });
    }

    /// FLO-3
    #[test]
    fn the_trail_says_what_the_command_says(class in prop::sample::select(FaultClass::ALL.to_vec())) {
        let world = world_of(provider(), 2, |_| oauth(1, START));
        let (failover, ruling) = first(&world, status_of(class), Held::Whole);
        let [attempt] = failover.trail() else { panic!("one attempt") };
        let Verdict::Fault(fault) = &attempt.verdict else { panic!("a fault") };
        prop_assert_eq!(fault.class, class);
        if let Some(Command::Faulted { fault: told, account, .. }) = ruling.command {
            prop_assert_eq!(&told, fault);
            prop_assert_eq!(account, attempt.decision.account);
        }
    }
}

/// A key that is refused is dead: nobody can renew it.
///
/// FLO-2
#[test]
fn a_refused_key_needs_a_human() {
    let (failover, ruling) = first(&world(2), status_of(FaultClass::AuthExpired), Held::Whole);
    let dead = Fault {
        class: FaultClass::AuthDead,
        scope: Scope::Account,
        rule: Some("auth-expired".into()),
        resets: None,
    };
    assert_eq!(failover.trail()[0].verdict, Verdict::Fault(dead.clone()));
    let told = matches!(ruling.command, Some(Command::Faulted { fault, .. }) if fault == dead);
    assert!(told);
}

/// FLO-9, FLO-3
#[test]
fn a_late_refusal_costs_whom_the_same_refusal_would_have_cost_by_its_status() {
    for class in FaultClass::ALL {
        let world = world(2);
        let event = format!("{{\"error\":{{\"code\":{}}}}}", status_of(class));
        let headers = HeaderMap::new();
        let mut failover = Failover::open(request(), &world, START);
        let Step::Send(decision) = failover.next(&world, &mut Still, START) else {
            panic!("not sent");
        };
        let outcome = Outcome::InBand { headers: &headers, event: event.as_bytes() };
        let late = late(decision, failover.request(), &outcome, &world, START);
        let ruling = failover.on_outcome(decision, &outcome, Held::Gone, &world, START);
        assert_eq!(late.command, ruling.command, "{class:?}");
        assert_eq!(Some(&late.verdict), failover.trail().last().map(|last| &last.verdict), "{class:?}");
    }
}

/// A request after its first send to `a1` was answered so.
fn first(world: &Snapshot, status: u16, held: Held) -> (Failover, Ruling) {
    let mut failover = Failover::open(request(), world, START);
    let Step::Send(decision) = failover.next(world, &mut Still, START) else {
        panic!("not sent");
    };
    let outcome = Outcome::Replied {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: &HeaderMap::new(),
        peek: b"",
    };
    let ruling = failover.on_outcome(decision, &outcome, held, world, START);
    (failover, ruling)
}

/// A turn that does not move, and nobody at work.
struct Still;

impl Live for Still {
    fn turn(&mut self, _: &ProviderId) -> Turn {
        Turn(0)
    }
    fn in_flight(&self, _: AccountId) -> u32 {
        0
    }
}
