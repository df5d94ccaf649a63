//! Power cuts and errors at every operation of a simulated file system: what was acknowledged is there afterwards, and
//! what was not is there as a whole or not at all. Three planted wrong protocols show that the harness would notice.
use crate::sim::{Defect, Fault, SimFs};
use rota::model::{AccountId, Time};
use rota::store::{Backend, FileBackend, Found, Key, Store, StoreError};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/rota";
const KEYS: [Key; 3] = [Key::State, Key::Credential(AccountId(1)), Key::Runtime(AccountId(1))];
const ERRORS: [Errno; 7] =
    [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::DQUOT, Errno::INTR, Errno::MFILE, Errno::ACCESS];
/// Writes of one life.
const WRITES: u64 = 8;
/// No life has more operations.
const OPERATIONS: u64 = 140;

/// STO-4 STO-7
#[test]
fn no_power_cut_loses_what_was_acknowledged() {
    let seeds = if crate::full() { 10_000 } else { 1_500 };
    for seed in 0..seeds {
        let lost = lives(Defect::None, seed, true);
        assert_eq!(lost, Vec::<String>::new(), "seed {seed}");
    }
}

/// STO-4
#[test]
fn every_wrong_protocol_is_noticed() {
    for defect in [Defect::NoFileSync, Defect::NoDirSync, Defect::InPlace] {
        let lost = (0..300).filter(|seed| !lives(defect, *seed, false).is_empty()).count();
        assert!(lost >= 30, "{defect:?} was noticed in {lost} of 300 seeds only");
    }
}

/// STO-4
#[test]
fn the_power_may_go_at_each_operation_of_a_write() {
    for fault in [Fault::CutBefore, Fault::CutAfter] {
        for nth in 1.. {
            let mut life = Life::begin(SimFs::new(Defect::None, nth));
            life.write(Key::State);
            life.write(Key::State);
            life.fs.plan(nth, fault);
            life.write(Key::State);
            if !life.fs.is_dead() {
                assert!(nth > 10, "a write has that many operations");
                break;
            }
            life.fs.reboot();
            assert_eq!(life.judge(), Vec::<String>::new(), "{fault:?} at operation {nth}");
        }
    }
}

/// STO-4
#[test]
fn every_error_at_every_operation_is_told_and_leaves_the_old_generation() {
    for error in ERRORS {
        for nth in 1.. {
            let mut life = Life::begin(SimFs::new(Defect::None, nth));
            life.write(Key::State);
            life.write(Key::State);
            life.fs.plan(nth, Fault::Error(error.raw_os_error()));
            let before = life.fs.operations();
            life.write(Key::State);
            if life.fs.operations() < before + nth {
                assert!(nth > 10, "a write has that many operations");
                break;
            }
            assert_eq!(life.judge(), Vec::<String>::new(), "{error} at operation {nth}");
            life.write(Key::State);
            assert_eq!(life.last_error, None, "{error} at operation {nth}: the next write succeeds");
            life.fs.reboot();
            assert_eq!(life.judge(), Vec::<String>::new(), "{error} at operation {nth}, then a power cut");
        }
    }
}

/// STO-4
#[test]
fn a_file_whose_sync_failed_is_never_synced_again() {
    let mut noticed = 0;
    for nth in 1..20 {
        let life = Life::begin(SimFs::new(Defect::None, 1));
        assert_eq!(life.backend.put(Key::State, 0, b"{}"), Ok(1));
        life.fs.plan(nth, Fault::Error(Errno::IO.raw_os_error()));
        let put = life.backend.put(Key::State, 1, b"{\"n\":1}");
        assert_eq!(life.fs.resyncs(), 0);
        let version = life.backend.read(Key::State).unwrap().record().unwrap().version;
        match put {
            Ok(3) => noticed += 1,
            Ok(version) => assert_eq!(version, 2, "operation {nth}"),
            Err(error) => assert_eq!((error.code(), version), ("STORE_IO", 1), "operation {nth}"),
        }
        life.fs.reboot();
        let there = life.backend.read(Key::State).unwrap().record().unwrap().version;
        assert_eq!(there, version, "operation {nth}");
    }
    assert_eq!(noticed, 2, "the file's sync and the directory's were each answered by a further generation");
}

/// STO-4
#[test]
fn a_disk_that_stops_confirming_makes_an_unsure_write_and_never_a_success() {
    let mut unsure = 0;
    for nth in 1..40 {
        let life = Life::begin(SimFs::new(Defect::None, nth));
        life.backend.put(Key::State, 0, b"{}").unwrap();
        (nth..nth + 60).for_each(|at| life.fs.plan(at, Fault::Error(Errno::IO.raw_os_error())));
        let before = life.fs.operations();
        let put = life.backend.put(Key::State, 1, b"{\"n\":1}");
        let whole = life.fs.operations() < before + nth;
        life.fs.heal();
        let version = life.backend.read(Key::State).unwrap().record().unwrap().version;
        match put {
            Ok(version) => assert!(whole && version == 2, "operation {nth}"),
            Err(StoreError::Unsure { .. }) => unsure += 1,
            Err(error) => assert_eq!(version, 1, "operation {nth}: {error}"),
        }
    }
    assert_eq!(unsure, 1, "only the directory's sync leaves a doubt");
}

/// ADM-5 STO-4: whichever operations the disk fails, settings that are told to be kept are those that are shown and that
/// a start finds, and where they are told not to be, the old ones are; also where a write ended in doubt that is in place.
#[test]
fn settings_are_told_shown_and_found_alike_whatever_the_disk_says() {
    let table = |text: &str| -> toml::Table { text.parse().unwrap() };
    let (old, new) = (table("[rotation]\nlow = 40"), table("[rotation]\nlow = 20"));
    let mut in_doubt = 0;
    for (nth, failures) in (1..16).flat_map(|nth| (1..40).map(move |failures| (nth, failures))) {
        let life = Life::begin(SimFs::new(Defect::None, nth));
        let open = |life: &Life| {
            let backend = Arc::new(Life::begin_on(life.fs.clone()));
            Store::open(backend, &BTreeSet::new(), Time::from_secs(1)).unwrap()
        };
        let store = open(&life).store;
        store.set_settings(&old).unwrap();
        let met = life.fs.errors();
        (nth..nth + failures).for_each(|at| life.fs.plan(at, Fault::Error(Errno::IO.raw_os_error())));
        let kept = store.set_settings(&new);
        life.fs.heal();
        let said = format!("{failures} failures from operation {nth}: {kept:?}");
        let expected = if kept.is_ok() { &new } else { &old };
        assert_eq!(store.settings(), *expected, "{said}");
        // A disk that can neither confirm nor be read leaves the doubt.
        if !matches!(kept, Err(StoreError::Unsure { .. })) {
            assert_eq!(open(&life).settings, *expected, "{said}");
        }
        // Each of the three writes of a change was left unconfirmed.
        in_doubt += u32::from(kept.is_ok() && life.fs.errors() - met >= 3);
    }
    assert!(in_doubt > 0, "no write ended in doubt, in place");
}

/// Two lives on one disk, each with a cut, some with an error and a misread before it.
fn lives(defect: Defect, seed: u64, with_errors: bool) -> Vec<String> {
    let fs = SimFs::new(defect, seed);
    let mut life = Life::begin(fs.clone());
    let mut lost = Vec::new();
    for _ in 0..2 {
        if with_errors && fs.chance(3) == 0 {
            let error = ERRORS[fs.chance(ERRORS.len() as u64) as usize];
            fs.plan(1 + fs.chance(OPERATIONS), Fault::Error(error.raw_os_error()));
        }
        if with_errors && fs.chance(3) == 0 {
            fs.plan(1 + fs.chance(OPERATIONS), Fault::Misread);
        }
        let cut = [Fault::CutBefore, Fault::CutAfter][fs.chance(2) as usize];
        fs.plan(1 + fs.chance(OPERATIONS), cut);
        for _ in 0..WRITES {
            let key = KEYS[fs.chance(3) as usize];
            life.write(key);
        }
        fs.reboot();
        lost.extend(life.judge());
        life.backend = Life::begin_on(fs.clone());
    }
    let left = KEYS.len() * 3 + 8;
    let names = [DIR, "/rota/credentials", "/rota/runtime"].map(|dir| fs.names(dir).len());
    if names.iter().sum::<usize>() > left {
        lost.push(format!("files pile up: {names:?}"));
    }
    lost
}

struct Life {
    fs: SimFs,
    backend: FileBackend,
    written: u64,
    promised: BTreeMap<Key, Promise>,
    last_error: Option<StoreError>,
}

/// What a record may be: what was acknowledged last, or what was tried since.
#[derive(Default)]
struct Promise {
    acknowledged: Option<Vec<u8>>,
    tried: Vec<Vec<u8>>,
}

impl Life {
    fn begin(fs: SimFs) -> Self {
        let backend = Self::begin_on(fs.clone());
        Self { fs, backend, written: 0, promised: BTreeMap::new(), last_error: None }
    }

    fn begin_on(fs: SimFs) -> FileBackend {
        let backend = FileBackend::create_on(Arc::new(fs), Path::new(DIR)).unwrap();
        drop(backend.own().unwrap());
        backend
    }

    fn write(&mut self, key: Key) {
        self.written += 1;
        // Longer than a sector, so that it can tear.
        let padding = "x".repeat(300 + 97 * (self.written as usize % 9));
        let body = format!("{{\"n\":{},\"padding\":\"{padding}\"}}", self.written).into_bytes();
        let promise = self.promised.entry(key).or_default();
        let put = self.backend.read(key).and_then(|found| {
            let version = found.record().map_or(0, |record| record.version);
            self.backend.put(key, version, &body)
        });
        let is_dead = self.fs.is_dead();
        match &put {
            Ok(_) => {
                promise.acknowledged = Some(body);
                promise.tried.clear();
            }
            // Told apart: the old generation is intact, unless the store itself is unsure or the power went.
            Err(StoreError::Unsure { .. }) => promise.tried.push(body),
            Err(_) if is_dead => promise.tried.push(body),
            Err(_) => {}
        }
        self.last_error = put.err();
    }

    /// What is broken of the promises.
    fn judge(&mut self) -> Vec<String> {
        let backend = Self::begin_on(self.fs.clone());
        let mut broken = Vec::new();
        for (key, promise) in &mut self.promised {
            let body = match backend.read(*key) {
                Ok(Found::Good(record)) => Some(record.body),
                Ok(Found::Absent) => None,
                other => {
                    broken.push(format!("{key}: {other:?}"));
                    continue;
                }
            };
            let tried = body.as_ref().is_some_and(|body| promise.tried.contains(body));
            if body != promise.acknowledged && !tried {
                broken.push(format!("{key}: what is there was not acknowledged last"));
            }
            // What was found after a reboot is there to stay.
            promise.acknowledged = body;
            promise.tried.clear();
        }
        broken
    }
}
