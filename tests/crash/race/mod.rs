//! Several processes renew one account's token on one state directory, while they are paused and killed at random: no
//! refresh token is presented twice, but where a kill took the answer and that is said aloud.
pub(crate) mod chance;
mod daemon;
mod door;
pub(crate) mod driver;
pub(crate) mod ledger;
mod stops;
pub(crate) mod victim;
pub(crate) mod world;

use chance::{Bell, Chance};
use daemon::Daemon;
use driver::Lock;
use ledger::{Ledger, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use victim::{Dead, Record, Victim, pause};
use world::World;

/// Races without the lock, at most, until one finds a reuse.
const CONTROLS: u64 = 6;

/// Drivers beside the daemon.
const DRIVERS: u64 = 3;
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(50);
/// One action in so many is a kill.
const KILL_IN: u64 = 4;
/// These pauses of each driver are the longest, in the long form.
const LONGEST: [u64; 2] = [30, 90];
/// The longest wait between two actions on one driver, in milliseconds.
const PACE: u64 = 250;

/// How long a race is.
#[derive(Clone, Copy, Debug)]
struct Form {
    rotations: u64,
    pauses: u64,
    kills: u64,
    seed: u64,
    /// Whether some pauses are longer than anything waits.
    is_full: bool,
}

/// What came of it.
struct Race {
    verdict: Verdict,
    /// How the authority itself counts.
    counted: fake_upstream::Ledger,
    sign_ins: u64,
    exchanges_of_daemon: usize,
    record: Arc<Record>,
    daemon: Arc<Daemon>,
}

/// T3 REN-2 I7
#[test]
fn paused_and_killed_at_random_three_drivers_and_a_daemon_spend_no_refresh_token_twice() {
    let form = Form::asked();
    let race = race(form, Lock::Held);
    race.tell("with the account's lock", form);
    let trouble = race.record.trouble();
    assert_eq!(race.verdict.reuses, Vec::<String>::new(), "{trouble}");
    assert_eq!(race.counted.unknown, 0, "{trouble}");
    assert!(race.counted.reuses <= race.verdict.recoveries, "{:?}", race.counted.reuses);
}

/// The control of T3: without the account's lock the same race finds reuses. One short race may happen to be fair, so it
/// is run until one is not, a few times at most.
#[test]
fn without_the_account_s_lock_the_same_race_finds_reuses() {
    let asked = Form::asked();
    let found = (asked.seed..asked.seed + CONTROLS).any(|seed| {
        let form = Form { is_full: false, rotations: 20, pauses: 10, kills: 4, seed };
        let race = race(form, Lock::Out);
        race.tell("without it", form);
        !race.verdict.reuses.is_empty() && race.counted.reuses > race.verdict.recoveries
    });
    assert!(found, "the race would not notice a reuse");
}

impl Form {
    #[expect(clippy::disallowed_methods, reason = "a switch of the harness, not of the program")]
    fn asked() -> Self {
        let seed = std::env::var("ROTA_RACE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
        match crate::full() {
            true => Self { rotations: 2000, pauses: 500, kills: 200, seed, is_full: true },
            false => Self { rotations: 60, pauses: 15, kills: 8, seed, is_full: false },
        }
    }

    /// How often it is looked at before it has failed: for half an hour, or six minutes.
    fn looks(self) -> u64 {
        if self.is_full { 36_000 } else { 7_200 }
    }
}

impl Race {
    fn tell(&self, what: &str, form: Form) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (record, daemon) = (&self.record, &self.daemon);
        println!(
            "race {what} (seed {}): {} rotations, {} pauses ({} longer than an exchange may take), {} kills; {} \
             recovery attempts after a kill, {} rotations lost in the window, {} sign-ins; {} reuses beside them; the \
             daemon: {} starts, {} exchanges, {} requests answered, {} commands",
            form.seed,
            self.verdict.rotations,
            count(&record.pauses),
            count(&record.long_pauses),
            count(&record.kills),
            self.verdict.recoveries,
            self.counted.reuses,
            self.sign_ins,
            self.verdict.reuses.len(),
            count(&daemon.starts),
            self.exchanges_of_daemon,
            count(&daemon.answered),
            count(&daemon.commands),
        );
    }
}

/// Three drivers, a daemon with its users, and somebody who signs in where that is needed, until there was enough of
/// everything.
fn race(form: Form, lock: Lock) -> Race {
    let world = World::start();
    let (dead, deaths) = channel();
    let record = Record::new(dead, world.fake.recorder());
    let daemon = Daemon::of(&world);
    let (bell, person) = (Bell::default(), Bell::default());
    let (world, stop, patient) = (&world, &bell, &person);
    let mut chance = Chance::new(form.seed);
    let mut seeds = std::iter::repeat_with(|| Chance::new(chance.below(u64::MAX)));
    let sign_ins = std::thread::scope(|scope| {
        let signing_in = scope.spawn(move || sign_in(world, &deaths, lock, patient));
        let drivers: Vec<_> = (0..DRIVERS)
            .zip(&mut seeds)
            .map(|(number, chance)| {
                let orders = world.orders(&format!("driver{number}"), lock, None);
                let (record, bell) = (record.clone(), bell.clone());
                scope.spawn(move || {
                    torment(Victim::start(orders, record.clone()), form, chance, &record, &bell)
                })
            })
            .collect();
        let chance = seeds.next().unwrap_or(Chance::new(0));
        let users = [
            scope.spawn(|| daemon.torment(chance, &record, &bell)),
            scope.spawn(|| daemon.use_it(&bell)),
            scope.spawn(|| daemon.command_it(&bell)),
        ];
        let enough =
            (0..form.looks()).any(|_| stop.rings_within(LOOK) || is_enough(world, &record, &daemon, form));
        bell.ring();
        drivers.into_iter().for_each(|driver| driver.join().unwrap().end());
        users.into_iter().for_each(|user| user.join().unwrap());
        person.ring();
        assert!(enough, "not enough came to pass: {}", record.trouble());
        signing_in.join().unwrap()
    });
    let presented = world.presented();
    let verdict = Ledger::of(&presented).judge(&record.witness());
    let exchanges_of_daemon = presented.iter().filter(|one| one.sender.starts_with("daemon")).count();
    Race { verdict, counted: world.fake.ledger(), sign_ins, exchanges_of_daemon, record, daemon }
}

fn is_enough(world: &World, record: &Record, daemon: &Daemon, form: Form) -> bool {
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    world.fake.ledger().exchanges >= form.rotations
        && count(&record.pauses) >= form.pauses
        && count(&record.kills) >= form.kills
        && [&daemon.answered, &daemon.commands].into_iter().all(|used| count(used) > 0)
        && count(&daemon.starts) > 1
}

/// Pauses and kills one driver until the bell rings; it is left running.
fn torment(mut victim: Victim, form: Form, mut chance: Chance, record: &Record, bell: &Bell) -> Victim {
    let mut pauses = 0;
    while !bell.rings_within(chance.span(0, PACE)) {
        let is_killed = chance.below(KILL_IN) == 0;
        // Some are killed while they are paused, so that they die where a pause has put them.
        if !is_killed || chance.below(3) == 0 {
            pauses += 1;
            let is_longest = form.is_full && LONGEST.contains(&pauses);
            let span = pause(&mut chance, is_longest);
            record.pause(victim.process(), span, bell);
        }
        if is_killed {
            victim.kill();
        }
    }
    victim
}

/// Signs in for every version that died, until the bell has rung and nobody died since.
fn sign_in(world: &World, deaths: &Receiver<Dead>, drivers: Lock, bell: &Bell) -> u64 {
    let mut done = 0;
    loop {
        match deaths.recv_timeout(LOOK) {
            Ok(dead) => done += u64::from(world::sign_in(&world.fake, &world.state(), dead, drivers)),
            Err(_) if bell.rings_within(Duration::ZERO) => return done,
            Err(_) => {}
        }
    }
}
