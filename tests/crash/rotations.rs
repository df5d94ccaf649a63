//! Power cuts and errors at every operation of a simulated file system while a token is renewed, again and again, at an
//! identity provider that counts: nothing is sent that is not noted durably, nothing that came back is lost but in the
//! moment before it is noted, and what is lost is found out.
use crate::renewal::{Authority, Class, ID, Process, prepare};
use crate::sim::{Defect, Fault, SimFs};
use rota::model::CredentialState;
use rota::store::{FileBackend, Pending, StoreError};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

const DIR: &str = "/rota";
const ERRORS: [Errno; 5] = [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::DQUOT, Errno::ACCESS];
/// Renewals of one life.
const RENEWALS: u64 = 3;
/// No life has more operations.
const OPERATIONS: u64 = 190;
/// Lives on one disk.
const LIVES: u64 = 3;

/// T9 REN-2 REN-3
#[test]
fn a_power_cut_during_renewals_leaves_one_of_the_known_classes() {
    let seeds = if crate::full() { 1_500 } else { 100 };
    let (_serving, authority) = authority();
    let mut classes = BTreeMap::new();
    let mut reuses = 0;
    for seed in 0..seeds {
        let fs = fresh(Defect::None, seed, &authority);
        let mut acknowledged = 1;
        for life in 0..LIVES {
            if fs.chance(3) == 0 {
                let error = ERRORS[fs.chance(ERRORS.len() as u64) as usize];
                fs.plan(1 + fs.chance(OPERATIONS), Fault::Error(error.raw_os_error()));
            }
            if fs.chance(3) == 0 {
                fs.plan(1 + fs.chance(OPERATIONS), Fault::Misread);
            }
            fs.plan(1 + fs.chance(OPERATIONS), [Fault::CutBefore, Fault::CutAfter][fs.chance(2) as usize]);
            let lived = live(&fs, &authority, &mut acknowledged, &mut classes);
            assert_eq!(lived, Ok(()), "seed {seed}, life {life}");
            fs.reboot();
        }
        // Undisturbed, everything comes to a good end.
        let lived = live(&fs, &authority, &mut acknowledged, &mut classes);
        assert_eq!(lived, Ok(()), "seed {seed}, the last life");
        let ledger = authority.ledger();
        assert!(ledger.by_token.values().all(|used| used.reuses <= 1), "seed {seed}: {ledger:?}");
        reuses += ledger.reuses;
    }
    let of = |class: Class| classes.get(&class).copied().unwrap_or(0);
    assert!(of(Class::NotSent) > 0 && of(Class::Durable) > 0, "{classes:?}");
    assert!(of(Class::RecoveredUnspent) > 0 && of(Class::RecoveredSpent) > 0, "{classes:?}");
    // One more where the disk died between the recovery and the note of its refusal.
    let told = of(Class::RecoveredSpent) + of(Class::LeftAlone);
    assert!(reuses <= told, "{reuses} reuses, {classes:?}");
}

/// T9: the control. Notes that are not synced are forgotten now and then, and the judge says so.
#[test]
fn a_journal_that_is_not_synced_is_found_out() {
    let (_serving, authority) = authority();
    let mut noticed = 0;
    for seed in 0..120 {
        let fs = fresh(Defect::NoInPlaceSync, seed, &authority);
        let mut acknowledged = 1;
        for _ in 0..2 {
            fs.plan(1 + fs.chance(OPERATIONS), Fault::CutBefore);
            let lived = live(&fs, &authority, &mut acknowledged, &mut BTreeMap::new());
            fs.reboot();
            if lived.is_err() {
                noticed += 1;
                break;
            }
        }
    }
    assert!(noticed >= 6, "noticed in {noticed} of 120 seeds only");
}

/// T7 REN-2: whatever fails, for once or for good: what is sent was noted durably before.
#[test]
fn an_error_at_any_operation_keeps_the_token_at_home_or_comes_after_a_durable_note() {
    let (_serving, authority) = authority();
    let errors = if crate::full() { &ERRORS[..] } else { &ERRORS[..2] };
    for error in errors {
        for lasting in [false, true] {
            let (mut sent, mut kept) = (0, 0);
            for nth in 1.. {
                let fs = fresh(Defect::None, nth, &authority);
                let end = if lasting { nth + 200 } else { nth + 1 };
                let operations = run(async {
                    let process = open(&fs, &authority).unwrap();
                    (nth..end).for_each(|at| fs.plan(at, Fault::Error(error.raw_os_error())));
                    let before = fs.operations();
                    process.refresher.refresh(ID, 1).await;
                    fs.operations() - before
                });
                if operations < nth {
                    assert!(nth > 20, "a renewal has that many operations");
                    break;
                }
                fs.reboot();
                let exchanges = authority.ledger().exchanges;
                run(async {
                    let process = open(&fs, &authority).unwrap();
                    let credential = process.store.credential(ID).unwrap().unwrap();
                    let rotation = process.store.rotation(ID).unwrap().unwrap();
                    let pending = rotation.pending(&credential).unwrap();
                    drop(rotation);
                    let is_noted = credential.version == 2 || pending != Pending::Nothing;
                    assert!(exchanges == 0 || is_noted, "{error} at {nth}: sent without a note");
                    let class = process.deal(&authority, || false).await;
                    assert!(matches!(class, Ok(Some(_))), "{error} at {nth}: {class:?}");
                });
                match exchanges {
                    0 => kept += 1,
                    _ => sent += 1,
                }
            }
            assert!(kept >= 15 && sent >= 10, "{error}, lasting: {lasting}: {kept} kept, {sent} sent");
        }
    }
}

/// One process after the last one: deals with what it finds and renews, until the power goes.
fn live(
    fs: &SimFs,
    authority: &Authority,
    acknowledged: &mut u64,
    classes: &mut BTreeMap<Class, u64>,
) -> Result<(), String> {
    run(async {
        let mut opened = open(fs, authority);
        if opened.is_err() && !fs.is_dead() {
            // An error that was planned; the next start meets none.
            opened = open(fs, authority);
        }
        let process = match opened {
            Ok(process) => process,
            Err(_) if fs.is_dead() => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        let version = process.version();
        if version < *acknowledged {
            return Err(format!("version {version} is in force, {acknowledged} was acknowledged"));
        }
        let errors = fs.errors();
        for _ in 0..RENEWALS {
            // What an error of the disk's did is judged by what comes after, too.
            let dealt = process.deal(authority, || fs.is_dead() || fs.errors() > errors).await?;
            let Some(class) = dealt else {
                return Ok(());
            };
            *classes.entry(class).or_default() += 1;
            *acknowledged = process.version();
            if let CredentialState::NeedsReauth { .. } = process.credential() {
                if process.sign_in(authority).is_ok() {
                    *acknowledged += 1;
                }
                return Ok(());
            }
        }
        Ok(())
    })
}

fn open(fs: &SimFs, authority: &Authority) -> Result<Process, StoreError> {
    let backend = FileBackend::create_on(Arc::new(fs.clone()), Path::new(DIR))?;
    Process::open(Arc::new(backend), &authority.origin())
}

fn fresh(defect: Defect, seed: u64, authority: &Authority) -> SimFs {
    authority.reset();
    let fs = SimFs::new(defect, seed);
    prepare(&FileBackend::create_on(Arc::new(fs.clone()), Path::new(DIR)).unwrap());
    fs
}

/// Runs one process's life. What it left running ends with it.
fn run<T>(life: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(life)
}

/// The identity provider, on a thread of its own.
fn authority() -> (Runtime, Authority) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let authority = runtime.block_on(Authority::start());
    (runtime, authority)
}
