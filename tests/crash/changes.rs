//! Changes by hand while the power is cut, or the disk fails, at every operation: a change and its entry in the trail of
//! changes are there together or not at all, also where the trail goes from the state record to its own.
use crate::sim::{Defect, Fault, SimFs};
use rota::clock::{Clock, ManualClock};
use rota::engine::{Command, LastEnabled};
use rota::model::{Actor, Settings, Snapshot, Switch, Time};
use rota::state::SharedState;
use rota::store::{FileBackend, Opened, Sealer, Store, import, writer};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Builder;
use tokio::sync::watch;

const DOCUMENT: &str =
    r#"{"accounts":{"first":{"accessToken":"t","refreshToken":"r","expiresAt":1,"provider":"codex"}}}"#;
const NOW: Time = Time::from_secs(1_800_000_000);
/// Enough for the trail to be written to its own record.
const CHANGES: u64 = 36;

/// ADM-5 STO-4 STO-7
#[test]
fn a_change_and_its_entry_survive_together_whenever_the_power_goes_or_the_disk_fails() {
    let io = Fault::Error(Errno::IO.raw_os_error());
    for fault in [Fault::CutBefore, Fault::CutAfter, io] {
        let (mut moved, mut lost) = (0, 0);
        for nth in (1..).step_by(if crate::full() { 1 } else { 3 }) {
            let fs = SimFs::new(Defect::None, nth);
            prepare(&fs);
            fs.plan(nth, fault);
            let (before, case) = (fs.operations(), format!("{fault:?} at operation {nth}"));
            let acknowledged = change(&fs, CHANGES);
            let was_met = fs.operations() >= before + nth;
            fs.heal();
            fs.reboot();
            let there = judge(&fs, &case);
            assert!((acknowledged..=acknowledged + 1).contains(&there), "{case}: {acknowledged}, {there}");
            moved += u64::from(fs.names("/rota").iter().any(|name| name == "audit.json"));
            lost += u64::from(acknowledged < CHANGES);
            let later = change(&fs, 2);
            assert_eq!(judge(&fs, &case), there + later, "{case}: the next life goes on from there");
            assert_eq!(later, 2, "{case}: the next life goes on from there");
            if !was_met {
                break;
            }
        }
        assert!(moved > 1, "{fault:?}: the trail was never moved");
        assert!(lost > 0, "{fault:?}: nothing was ever met");
    }
}

/// A store with one account.
fn prepare(fs: &SimFs) {
    import(&backend(fs), DOCUMENT.as_bytes(), &Sealer::Clear).unwrap();
}

fn backend(fs: &SimFs) -> FileBackend {
    FileBackend::create_on(Arc::new(fs.clone()), Path::new("/rota")).unwrap()
}

fn open(fs: &SimFs) -> Option<Opened> {
    let backend = FileBackend::create_on(Arc::new(fs.clone()), Path::new("/rota")).ok()?;
    let providers = BTreeSet::from(["codex".try_into().unwrap()]);
    Store::open(Arc::new(backend), &providers, NOW).ok()
}

/// Switches the account off and on, so many times or until one is not acknowledged. How many were.
fn change(fs: &SimFs, times: u64) -> u64 {
    let Some(opened) = open(fs) else {
        return 0;
    };
    let world = Snapshot {
        accounts: opened.accounts.into_iter().map(Arc::new).collect(),
        next_account: opened.next_account,
        audit: Arc::new(opened.audit),
        ..Snapshot::empty(Settings::default(), Vec::new())
    };
    // Time passes only where nobody does anything: a change that is not confirmed costs no wait.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let clock = Clock::Manual(ManualClock::new(NOW));
        let (confirmed, durable) = watch::channel(world.generation);
        let state = Arc::new(SharedState::new(world, clock.clone(), durable));
        let stop = std::future::pending();
        let writing = tokio::spawn(writer::run(opened.store, Arc::clone(&state), clock, confirmed, stop));
        let mut acknowledged = 0;
        for _ in 0..times {
            let to = match state.snapshot().accounts[0].switch {
                Switch::On => Switch::Off { at: NOW, by: Actor::Admin, reason: None },
                Switch::Off { .. } => Switch::On,
            };
            let command =
                Command::Switched { alias: "first".try_into().unwrap(), to, last: LastEnabled::Override };
            if state.commit(command).await.is_err() {
                break;
            }
            acknowledged += 1;
        }
        writing.abort();
        acknowledged
    })
}

/// How many changes there are. The account is as the newest of them says, and none of those before it is missing.
fn judge(fs: &SimFs, case: &str) -> u64 {
    let opened = open(fs).unwrap();
    assert_eq!(opened.findings, [], "{case}");
    let told: Vec<u64> = opened.audit.entries().map(|entry| entry.seq).collect();
    let last = opened.audit.last();
    assert_eq!(told, (1..=last).collect::<Vec<u64>>(), "{case}");
    assert_eq!(opened.accounts[0].switch == Switch::On, last.is_multiple_of(2), "{case}: {last} changes");
    last
}
