//! One set of words for why an account did not serve (FLO-7).
use crate::engine::Command;
use crate::model::{Credential, CredentialState, FaultClass, Reason, Secret};
use crate::sim::{Renews, Say, Signs, Sim};
use crate::world::{
    LIFE, START, alias, edit, key, new_account, oauth, request, set, subscription, switch_off, with_login,
    world_of,
};
use std::time::Duration;

/// The words that the specification lists.
const WORDS: [Reason; 13] = [
    Reason::QuotaExhausted,
    Reason::RateLimited,
    Reason::ExpiredRefreshFailed,
    Reason::ReauthFailed,
    Reason::ReauthTimeout,
    Reason::NoToken,
    Reason::MalformedToken,
    Reason::Forbidden,
    Reason::PaymentRequired,
    Reason::ModelUnsupported,
    Reason::Disabled,
    Reason::Cooling,
    Reason::Skipped,
];

/// FLO-7
#[test]
fn every_word_is_what_a_client_reads_for_the_trouble_it_names() {
    let hour = Some(3600);
    let fault = |class| Say::Fault(class, hour);
    // What is done besides, and what the upstream says; the word is that of the newest account.
    type Change = fn(&mut Sim);
    let table: [(Reason, Change, Say); 13] = [
        (Reason::QuotaExhausted, |_| {}, fault(FaultClass::QuotaWindow)),
        (Reason::RateLimited, |_| {}, fault(FaultClass::RateShort)),
        (Reason::ExpiredRefreshFailed, unrenewable, Say::Ok),
        (Reason::ReauthFailed, |_| {}, fault(FaultClass::AuthDead)),
        (Reason::ReauthTimeout, held, fault(FaultClass::AuthDead)),
        (Reason::NoToken, missing, Say::Ok),
        (Reason::MalformedToken, malformed, Say::Ok),
        (Reason::Forbidden, |_| {}, fault(FaultClass::Forbidden)),
        (Reason::PaymentRequired, |_| {}, fault(FaultClass::Payment)),
        (Reason::ModelUnsupported, refused_model, Say::Ok),
        (Reason::Disabled, |sim| sim.world = switch_off(&sim.world, 1), Say::Ok),
        (Reason::Cooling, guessed, Say::Ok),
        (Reason::Skipped, one_attempt, fault(FaultClass::Forbidden)),
    ];
    assert_eq!(table.map(|(word, _, _)| word), WORDS);
    for (word, change, says) in table {
        let mut sim = Sim::new(world_of(with_login(subscription()), 1, |_| oauth(1, START)));
        change(&mut sim);
        let done = sim.run(request(), |_| says);
        let newest = alias(sim.world.next_account.0 - 1);
        assert_eq!(done.refusal().reasons.get(&newest).map(|why| why.reason), Some(word), "{says:?}");
    }
}

/// REN-4: what no header can hold is renewed before it is used.
#[test]
fn a_malformed_token_that_can_be_renewed_is() {
    let malformed = |_| Credential { access: Secret::new("two\nlines"), ..oauth(1, START) };
    let mut sim = Sim::new(world_of(subscription(), 1, malformed));
    let done = sim.run(request(), |_| Say::Ok);
    assert_eq!((done.refreshes, done.sent[0].version), (1, 2));
}

fn held(sim: &mut Sim) {
    set(&mut sim.world, |settings| settings.reauth_wait = Duration::from_secs(60));
    sim.signs = Signs::Never;
}

fn unrenewable(sim: &mut Sim) {
    sim.renews = Renews::Fails;
    sim.now = START.after(LIFE);
}

fn missing(sim: &mut Sim) {
    edit(&mut sim.world, 1, |account| {
        account.credential = CredentialState::Missing { detail: "its record is gone".to_owned() };
    });
}

fn malformed(sim: &mut Sim) {
    let odd = Credential { access: Secret::new("two\nlines"), ..key() };
    edit(&mut sim.world, 1, |account| account.credential = CredentialState::Usable(odd.into()));
}

/// The one reply that says so is the client's; the next request is refused.
fn refused_model(sim: &mut Sim) {
    sim.run(request(), |_| Say::Fault(FaultClass::ModelUnentitled, Some(3600)));
}

/// There is a second account, and no attempt left for it.
fn one_attempt(sim: &mut Sim) {
    sim.apply(Command::AccountAdded(Box::new(new_account(2, oauth(1, START)))));
    set(&mut sim.world, |settings| settings.max_attempts = 1);
}

/// Rests for a rate limit without an end, and its one place is taken.
fn guessed(sim: &mut Sim) {
    sim.run(request(), |_| Say::Fault(FaultClass::RateShort, None));
    sim.start(request()).flying();
    sim.apply(Command::TimePassed);
}
