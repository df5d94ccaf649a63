//! The third pass: nobody can serve until a person signs in (FLO-6), and the breaker that stops a cascade of dead
//! logins (FLO-5).
use crate::engine::{RefusalCode, SignInEnd, Why};
use crate::model::{AccountId, CredentialState, FaultClass, Provider, Reason};
use crate::sim::{Done, End, Now, Renews, Say, Signs, Sim};
use crate::world::{
    LIFE, START, edit, key, oauth, provider, request, set, subscription, switch_off, with_login, world_of,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// FLO-6
#[test]
fn nobody_is_asked_while_an_account_serves_or_is_back_within_a_minute() {
    for (says, asked) in [
        (Say::Ok, None),
        (Say::Fault(FaultClass::QuotaWindow, Some(60)), None),
        (Say::Fault(FaultClass::QuotaWindow, Some(61)), Some(1)),
        (Say::Fault(FaultClass::Forbidden, Some(7200)), Some(1)),
        (Say::Fault(FaultClass::RateBare, None), None),
    ] {
        let mut sim = pool(with_login(provider()), 2);
        kill(&mut sim, 1);
        let done = sim.run(request(), |_| says);
        assert_eq!(done.accounts(), [2]);
        assert_eq!(done.asked.map(|asked| asked.account.0), asked, "{says:?}");
    }
}

/// FLO-6: the first in order, the one that failed in this request included.
#[test]
fn the_first_account_that_a_sign_in_would_mend_is_asked_for() {
    let first = |change: fn(&mut Sim)| {
        let mut sim = pool(with_login(provider()), 3);
        (1..=3).for_each(|id| kill(&mut sim, id));
        change(&mut sim);
        sim.run(request(), |_| Say::Ok).asked.map(|asked| asked.account.0)
    };
    assert_eq!(first(|_| {}), Some(1));
    assert_eq!(first(|sim| sim.world = switch_off(&sim.world, 1)), Some(2), "never one that is switched off");
    assert_eq!(
        first(|sim| edit(&mut sim.world, 1, |a| a.credential = missing())),
        Some(1),
        "no token at all"
    );
    assert_eq!(first(|sim| lapse(sim, 1)), Some(1), "a token that ran out and cannot be renewed");
    assert_eq!(first(|sim| dead_key(sim, 1)), Some(2), "nobody signs in to a key");

    let mut sim = pool(with_login(provider()), 1);
    let done = sim.run(request(), |_| Say::Fault(FaultClass::AuthDead, None));
    assert_eq!(done.accounts(), [1]);
    assert_eq!(done.asked.map(|asked| asked.account.0), Some(1), "the one that failed");
}

/// FLO-6
#[test]
fn a_provider_without_a_login_asks_nobody() {
    let mut sim = pool(provider(), 1);
    kill(&mut sim, 1);
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!((done.asked.is_none(), done.refusal().needs_human()), (true, true));
}

/// FLO-6, FLO-8
#[test]
fn without_a_wait_the_sign_in_is_asked_for_and_the_refusal_goes_out_at_once() {
    let mut sim = pool(with_login(subscription()), 2);
    (1..=2).for_each(|id| kill(&mut sim, id));
    let done = sim.run(request(), |_| Say::Ok);
    let refusal = done.refusal();
    assert_eq!((sim.now, ended(&done)), (START, Some(SignInEnd::Raised)));
    assert_eq!(refusal.sign_in.as_ref().map(ToString::to_string).as_deref(), Some("a1"));
    assert!(refusal.needs_human());
}

/// FLO-6
#[test]
fn a_request_that_is_held_goes_to_the_account_that_was_signed_in_to() {
    let mut sim = pool(with_login(subscription()), 2);
    (1..=2).for_each(|id| kill(&mut sim, id));
    hold(&mut sim, 240, Signs::After(3 * MINUTE));
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!(done.end, End::Passed(Say::Ok));
    assert_eq!((done.accounts(), done.sent[0].why, done.sent[0].version), (vec![1], Why::SignedIn, 2));
    assert_eq!((START.until(sim.now), ended(&done)), (3 * MINUTE, Some(SignInEnd::SignedIn)));
    assert!(3 * MINUTE > sim.world.settings.patience, "the patience is for machines");
}

/// FLO-6, FLO-7
#[test]
fn a_sign_in_that_comes_to_nothing_has_a_word_of_its_own() {
    for (signs, word, end, after) in [
        (Signs::Never, Reason::ReauthTimeout, SignInEnd::TimedOut, 120),
        (Signs::After(2 * MINUTE + MINUTE / 60), Reason::ReauthTimeout, SignInEnd::TimedOut, 120),
        (Signs::Denies(MINUTE), Reason::ReauthFailed, SignInEnd::Failed, 60),
    ] {
        let mut sim = pool(with_login(subscription()), 2);
        (1..=2).for_each(|id| kill(&mut sim, id));
        edit(&mut sim.world, 1, |account| account.credential = missing());
        hold(&mut sim, 120, signs);
        let done = sim.run(request(), |_| Say::Ok);
        let words: Vec<Reason> = done.refusal().reasons.values().map(|why| why.reason).collect();
        assert_eq!((words, ended(&done)), (vec![word, Reason::ReauthFailed], Some(end)));
        assert_eq!(START.until(sim.now).as_secs(), after);
    }
}

/// FLO-6: whoever came back while the request was held serves it, even if nobody signs in.
#[test]
fn an_account_that_comes_back_meanwhile_serves_the_request_that_was_held() {
    let mut sim = pool(with_login(provider()), 2);
    kill(&mut sim, 1);
    hold(&mut sim, 240, Signs::Never);
    sim.run(request(), |_| Say::Fault(FaultClass::QuotaWindow, Some(240 + 100)));
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!((done.accounts(), done.end), (vec![2], End::Passed(Say::Ok)));
}

/// FLO-6, I5
#[test]
fn what_was_sent_to_twice_is_mended_for_the_next_request() {
    let mut sim = pool(with_login(subscription()), 1);
    hold(&mut sim, 240, Signs::After(MINUTE));
    let mut says = [FaultClass::AuthExpired, FaultClass::AuthDead].into_iter();
    let done = sim.run(request(), |_| says.next().map_or(Say::Ok, |class| Say::Fault(class, None)));
    assert_eq!((done.sent.len(), ended(&done)), (2, Some(SignInEnd::Raised)));
}

/// FLO-6
#[test]
fn a_request_bound_to_one_account_asks_for_no_other() {
    let owned = |owner| crate::engine::RoutingRequest { owner: Some(AccountId(owner)), ..request() };
    let mut sim = pool(with_login(provider()), 3);
    (1..=2).for_each(|id| kill(&mut sim, id));
    let asked = |done: Done| done.asked.map(|asked| asked.account.0);
    assert_eq!(asked(sim.run(owned(2), |_| Say::Ok)), Some(2));
    let spent = sim.run(owned(3), |_| Say::Fault(FaultClass::QuotaWindow, Some(900)));
    assert_eq!(asked(spent), None);
}

/// FLO-5, FLO-6: the provider is left alone, and a person's own sign-in ends that.
#[test]
fn after_a_cascade_one_person_is_asked_and_their_sign_in_ends_the_silence() {
    let mut sim = pool(with_login(subscription()), 8);
    hold(&mut sim, 240, Signs::After(MINUTE));
    let mut dead = 0;
    let done = sim.run(request(), |decision| {
        if decision.why == Why::SignedIn {
            return Say::Ok;
        }
        dead += 1;
        Say::Fault(FaultClass::AuthDead, None)
    });
    assert_eq!((dead, done.accounts(), &done.end), (2, vec![1, 3, 1], &End::Passed(Say::Ok)));
    assert!(sim.world.deaths.is_empty());
    assert_eq!(sim.run(request(), |_| Say::Ok).end, End::Passed(Say::Ok));
}

/// FLO-5: two refresh tokens refused stop the renewals of the others, too, those of requests under way included.
#[test]
fn a_cascade_of_refused_renewals_loses_two_accounts_and_renews_no_third() {
    let mut sim = pool(with_login(subscription()), 8);
    sim.renews = Renews::Dies;
    let flights: Vec<_> = (0..8).map(|_| sim.start(request()).flying()).collect();
    let mut refreshes = 0;
    for flight in flights {
        let mut landed = Now::Flying(flight);
        while let Now::Flying(flight) = landed {
            landed = sim.land(flight, Say::Fault(FaultClass::AuthExpired, None));
        }
        refreshes += landed.done().refreshes;
    }
    let lost = sim.world.accounts.iter().filter(|account| account.credential.usable().is_none()).count();
    assert_eq!((refreshes, lost), (2, 2));
    sim.now = START.after(LIFE);
    sim.world.deaths.values_mut().for_each(|deaths| deaths.iter_mut().for_each(|at| *at = sim.now));
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!((done.refreshes, done.refusal().code), (0, RefusalCode::UpstreamUnavailable));
}

fn pool(preset: Provider, count: u32) -> Sim {
    Sim::new(world_of(preset, count, |_| oauth(1, START)))
}

fn hold(sim: &mut Sim, secs: u64, signs: Signs) {
    set(&mut sim.world, |settings| settings.reauth_wait = Duration::from_secs(secs));
    sim.signs = signs;
}

fn kill(sim: &mut Sim, id: u32) {
    let dead = |refused| CredentialState::NeedsReauth { since: START, detail: "x".to_owned(), refused };
    edit(&mut sim.world, id, |account| {
        let refused = account.credential.credential().expect("a credential").clone();
        account.credential = dead(refused);
    });
}

fn dead_key(sim: &mut Sim, id: u32) {
    edit(&mut sim.world, id, |account| account.credential = CredentialState::Usable(key().into()));
    kill(sim, id);
}

fn lapse(sim: &mut Sim, id: u32) {
    let ended = crate::model::Credential { refresh: None, expires: Some(START), ..oauth(1, START) };
    edit(&mut sim.world, id, |account| account.credential = CredentialState::Usable(ended.into()));
}

fn missing() -> CredentialState {
    CredentialState::Missing { detail: "x".to_owned() }
}

fn ended(done: &Done) -> Option<SignInEnd> {
    done.asked.as_ref()?.end
}
