//! The store as a whole, on the file backend: what was saved is there again, what is damaged is named, what is unknown
//! survives, and nothing that was not changed is touched.
use super::fixture::{Dir, NOW, account, full_account, key, login, reopened, world};
use super::*;
use crate::model::{
    Account, AccountId, Actor, AuditAction, AuditTrail, ClientKey, CredentialState, Force, KeyDigest,
    KeyName, KeyScope, Note, Snapshot, Switch, Time, Weight,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// STO-2 LIM-6
#[test]
fn what_was_saved_is_there_again_field_by_field() {
    let dir = Dir::new();
    let mut world = world(vec![account(1), full_account(3)]);
    world.force = Some(force(3));
    dir.open().store.save(&world, None).unwrap();
    let opened = dir.open();
    assert_eq!(opened.findings, []);
    assert_eq!(reopened(&world, &opened), world);
}

/// STO-1
#[test]
fn an_empty_directory_becomes_a_store_of_nothing_once() {
    let dir = Dir::new();
    let opened = dir.open();
    assert_eq!((opened.accounts, opened.next_account), (Vec::new(), AccountId(1)));
    let files = dir.files();
    dir.open();
    assert_eq!(dir.files(), files);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// STO-2
    #[test]
    fn any_accounts_survive_any_order_of_saves(steps in prop::collection::vec((1..6u32, 0..6u8), 1..12)) {
        let dir = Dir::new();
        let store = dir.open().store;
        let mut now: Snapshot = world(Vec::new());
        let mut saved = None;
        for (step, (id, what)) in steps.into_iter().enumerate() {
            let next = changed(&now, id, what, step as u64 + 2);
            store.save(&next, saved.as_ref()).unwrap();
            saved = Some(next.clone());
            now = next;
        }
        let opened = dir.open();
        prop_assert_eq!(&opened.findings, &Vec::new());
        prop_assert_eq!(&reopened(&now, &opened).accounts, &now.accounts);
        prop_assert!(opened.next_account >= now.next_account);
        let owned = fs::read_dir(dir.path.join("credentials")).unwrap();
        for entry in owned {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let id: u32 = name.split('.').next().unwrap().parse().unwrap();
            prop_assert!(now.account(AccountId(id)).is_some(), "{} belongs to nobody", name);
        }
    }
}

/// STO-2
#[test]
fn fields_that_this_rota_does_not_know_survive_its_rewrites() {
    let dir = Dir::new();
    let first = world(vec![account(1)]);
    dir.open().store.save(&first, None).unwrap();
    for key in [Key::State, Key::Credential(AccountId(1)), Key::Runtime(AccountId(1))] {
        edit(&dir, key, |body| body["later"] = json!({"deep": [1, {"x": null}]}));
    }
    edit(&dir, Key::State, |body| body["accounts"][0]["colour"] = "blue".into());
    let mut next = account(1);
    next.notes = "changed".to_owned();
    next.health.strikes = 1;
    next.credential = CredentialState::Usable(Arc::new(key(2)));
    dir.open().store.save(&world(vec![next]), None).unwrap();
    for key in [Key::State, Key::Credential(AccountId(1)), Key::Runtime(AccountId(1))] {
        assert_eq!(body(&dir, key)["later"], json!({"deep": [1, {"x": null}]}), "{key}");
    }
    let state = body(&dir, Key::State);
    assert_eq!(state["accounts"][0]["colour"], "blue");
    assert_eq!(state["accounts"][0]["notes"], "changed");
}

/// STO-5
#[test]
fn an_account_that_cannot_be_used_is_kept_as_it_is_and_shown() {
    let wrong = [
        ("alias", json!("No Spaces!"), "alias: must be 1 to 64 of a-z 0-9 . _ -"),
        ("alias", json!("a1"), "alias: \"a1\" is taken"),
        ("id", json!(1), "id: 1 is taken"),
        ("id", json!("two"), "id: must be a whole number of 1 or more"),
        ("provider", json!("gone"), "provider: there is no provider \"gone\""),
        ("weight", json!(7.5), "weight: is 7.5; it must be above 0 and at most 1"),
        ("enabled", json!("yes"), "enabled: must be true or false"),
    ];
    for (field, value, problem) in wrong {
        let dir = Dir::new();
        let both = world(vec![account(1), account(2)]);
        dir.open().store.save(&both, None).unwrap();
        edit(&dir, Key::State, |body| body["accounts"][1][field] = value.clone());
        let bad = body(&dir, Key::State)["accounts"][1].clone();
        let opened = dir.open();
        assert_eq!(opened.accounts, [account(1)], "{field}");
        assert!(opened.next_account > AccountId(2));
        let found = opened.findings.iter().any(|finding| matches!(finding, Finding::Quarantined { problem: shown, .. } if shown.starts_with(problem)));
        assert!(found, "{field}: {:?}", opened.findings);
        let mut next = reopened(&both, &opened);
        Arc::make_mut(&mut next.accounts[0]).notes = "rewritten".to_owned();
        opened.store.save(&next, None).unwrap();
        let state = body(&dir, Key::State);
        assert_eq!(state["accounts"][1], bad, "{field}");
        assert_eq!(state["accounts"][0]["notes"], "rewritten");
        assert!(dir.files().contains_key("credentials/2.json"), "its credential stays");
    }
}

/// STO-5
#[test]
fn an_account_whose_provider_comes_back_is_back() {
    let dir = Dir::new();
    let one = world(vec![account(1)]);
    dir.open().store.save(&one, None).unwrap();
    assert_eq!(dir.open_with(&["other"]).accounts, []);
    assert_eq!(dir.open().accounts, [account(1)]);
}

/// STO-5
#[test]
fn an_account_without_a_readable_credential_is_shown_without_one() {
    for damage in [None, Some("{}"), Some("")] {
        let dir = Dir::new();
        dir.open().store.save(&world(vec![account(1), account(2)]), None).unwrap();
        let file = dir.path.join("credentials/1.json");
        match damage {
            None => fs::remove_file(file).unwrap(),
            Some(text) => fs::write(file, text).unwrap(),
        }
        let opened = dir.open();
        let CredentialState::Missing { detail } = &opened.accounts[0].credential else {
            panic!("{:?}", opened.accounts[0].credential);
        };
        let (alias, problem) = (opened.accounts[0].alias.clone(), detail.clone());
        assert_eq!(opened.findings, [Finding::CredentialLost { alias, problem }]);
        assert_eq!(opened.accounts[1], account(2));
        opened.store.save_credential(AccountId(1), &key(5)).unwrap();
        assert_eq!(dir.open().accounts[0].credential, CredentialState::Usable(Arc::new(key(5))));
    }
}

/// STO-5
#[test]
fn a_credential_without_an_account_is_reported_and_its_number_not_given_again() {
    let dir = Dir::new();
    dir.open().store.save_credential(AccountId(9), &key(1)).unwrap();
    let opened = dir.open();
    let orphan = Finding::Orphaned { key: Key::Credential(AccountId(9)) };
    assert_eq!(opened.findings, [orphan]);
    assert_eq!(opened.next_account, AccountId(10));
}

/// STO-5
#[test]
fn a_damaged_state_is_replaced_by_its_copy_loudly_and_kept_aside() {
    for damage in ["", "{}", "not a record"] {
        let dir = Dir::new();
        let store = dir.open().store;
        store.save(&world(vec![account(1)]), None).unwrap();
        store.save(&world(vec![account(1), account(2)]), None).unwrap();
        fs::write(dir.path.join("state.json"), damage).unwrap();
        let opened = dir.open();
        assert_eq!(opened.accounts, [account(1)]);
        assert!(matches!(&opened.findings[0], Finding::Restored { key: Key::State, .. }));
        assert!(matches!(&opened.findings[1], Finding::Orphaned { .. }), "the lost account's credential");
        assert_eq!(opened.next_account, AccountId(3));
        assert_eq!(opened.store.health().restores, 1);
        assert_eq!(dir.files()["state.json.corrupt-1"], damage.as_bytes());
        let again = dir.open();
        assert_eq!((again.accounts.len(), again.findings.len()), (1, 1), "the next start is a quiet one");
    }
}

/// STO-5
#[test]
fn a_state_damaged_with_its_copy_refuses_to_start_and_nothing_is_overwritten() {
    let dir = Dir::new();
    let store = dir.open().store;
    store.save(&world(vec![account(1)]), None).unwrap();
    for file in ["state.json", "state.json.lkg"] {
        fs::write(dir.path.join(file), "{").unwrap();
    }
    let files = dir.files();
    for _ in 0..2 {
        let refused = Store::open(dir.backend(), &Default::default(), NOW).err().unwrap();
        assert_eq!(refused.code(), "STORE_UNRECOVERABLE");
        assert!(refused.to_string().contains("rota store restore"), "{refused}");
    }
    let report = verify(dir.backend().as_ref(), &Sealer::Clear).unwrap();
    assert!(!report.intact());
    let keys: Vec<_> = report.lines.iter().map(|line| line.key.to_string()).collect();
    assert_eq!(keys, ["state", "credential/1", "runtime/1"]);
    assert_eq!(dir.files(), files);
}

/// STO-5
#[test]
fn records_of_accounts_without_a_state_are_no_empty_store() {
    let dir = Dir::new();
    dir.open().store.save(&world(vec![account(1)]), None).unwrap();
    for file in ["state.json", "state.json.lkg"] {
        fs::remove_file(dir.path.join(file)).unwrap();
    }
    let refused = Store::open(dir.backend(), &Default::default(), NOW).err().unwrap();
    assert_eq!(refused.code(), "STORE_UNRECOVERABLE");
    let document = br#"{"accounts":{}}"#;
    assert!(import(dir.backend().as_ref(), document, &Sealer::Clear).is_err());
    assert!(!dir.files().contains_key("state.json"));
}

/// ADM-4
#[test]
fn a_change_of_one_account_touches_no_byte_of_anothers_records() {
    let dir = Dir::new();
    let store = dir.open().store;
    let mut now = world((1..6).map(full_account).collect());
    store.save(&now, None).unwrap();
    let untouched = |dir: &Dir| {
        let mut files = dir.files();
        files.retain(|name, _| !name.starts_with("state") && !name.contains("/3.json"));
        files
    };
    let before = untouched(&dir);
    for round in 0..100u64 {
        let next = changed(&now, 3, (round % 6) as u8, 10 + round);
        let since = now.account(AccountId(3)).is_some().then_some(&now);
        store.save(&next, since).unwrap();
        assert_eq!(untouched(&dir), before, "round {round}");
        now = next;
    }
}

#[test]
fn saving_what_is_saved_writes_nothing() {
    let dir = Dir::new();
    let now = world(vec![account(1), full_account(2)]);
    dir.open().store.save(&now, None).unwrap();
    let files = dir.files();
    let opened = dir.open();
    opened.store.save(&now, None).unwrap();
    assert_eq!(dir.files(), files, "also after a restart");
}

/// ADM-5 STO-7: a change and its entry are one write of one record; the trail has its own, written now and then.
#[test]
fn a_change_is_one_record_and_the_trail_is_whole_after_every_restart() {
    let dir = Dir::new();
    let mut now = world(vec![account(1)]);
    dir.open().store.save(&now, None).unwrap();
    let mut store = dir.open().store;
    let mut moved = 0;
    for change in 1..=70 {
        let before = dir.files();
        let trail = Arc::make_mut(&mut now.audit);
        trail.push(Note::new(AuditAction::AccountTags, format!("a{change}")), Actor::Cli, NOW);
        store.save(&now, None).unwrap();
        let after = dir.files();
        let written: Vec<&str> = after
            .iter()
            .filter(|(name, bytes)| name.ends_with(".json") && before.get(*name) != Some(*bytes))
            .map(|(name, _)| name.as_str())
            .collect();
        match written[..] {
            ["state.json"] => {}
            ["audit.json", "state.json"] => moved += 1,
            _ => panic!("change {change} wrote {written:?}"),
        }
        if change % 9 == 0 {
            let opened = dir.open();
            assert_eq!(opened.audit, *now.audit, "after change {change}");
            store = opened.store;
        }
    }
    assert_eq!(moved, 2);
}

/// ADM-5
#[test]
fn of_a_trail_that_is_damaged_the_newest_changes_are_left_and_the_next_one_makes_it_whole() {
    let dir = Dir::new();
    let mut now = world(vec![account(1)]);
    let change = |now: &mut Snapshot, count: u64| {
        let trail = Arc::make_mut(&mut now.audit);
        (0..count).for_each(|_| trail.push(Note::new(AuditAction::AccountTags, "a1"), Actor::Cli, NOW));
    };
    let store = dir.open().store;
    for count in [40, 3] {
        change(&mut now, count);
        store.save(&now, None).unwrap();
    }
    fs::write(dir.path.join("audit.json"), "{").unwrap();
    let opened = dir.open();
    assert!(matches!(opened.findings[..], [Finding::AuditLost { .. }]), "{:?}", opened.findings);
    let numbers = |trail: &AuditTrail| trail.entries().map(|entry| entry.seq).collect::<Vec<u64>>();
    assert_eq!(numbers(&opened.audit), [41, 42, 43]);
    let mut now = Snapshot { audit: Arc::new(opened.audit), ..now };
    change(&mut now, 1);
    opened.store.save(&now, None).unwrap();
    let again = dir.open();
    assert_eq!((again.findings, numbers(&again.audit)), (vec![], vec![41, 42, 43, 44]));
}

/// ADM-5 STO-8: what was done since a backup was made is not undone by bringing it back, nor is that it was done.
#[test]
fn a_restore_leaves_the_trail_and_an_export_does_not_name_it() {
    let dir = Dir::new();
    let mut now = world(vec![account(1)]);
    let store = dir.open().store;
    let mut change = || {
        let trail = Arc::make_mut(&mut now.audit);
        trail.push(Note::new(AuditAction::AccountTags, "a1"), Actor::Cli, NOW);
        store.save(&now, None).unwrap();
        now.audit.clone()
    };
    change();
    let to = dir.path.join("../backup");
    store.backup(&to).unwrap();
    let trail = change();
    restore(dir.backend().as_ref(), &to, &Sealer::Clear).unwrap();
    let opened = dir.open();
    assert_eq!(opened.audit, *trail);
    let exported = opened.store.export(Secrets::Omit).unwrap();
    assert_eq!(exported.get("recentChanges"), None);
}

/// REN-2
#[test]
fn a_stale_credential_never_replaces_a_newer_one() {
    let dir = Dir::new();
    let store = dir.open().store;
    let id = AccountId(1);
    store.save(&world(vec![account(1)]), None).unwrap();
    store.save_credential(id, &login(5)).unwrap();
    store.save_credential(id, &login(5)).unwrap();
    let conflict = |expected, found| StoreError::Conflict { key: Key::Credential(id), expected, found };
    assert_eq!(store.save_credential(id, &login(4)), Err(conflict(4, 5)));
    assert_eq!(store.save_credential(id, &key(5)), Err(conflict(5, 5)));
    let mut late = account(1);
    late.notes = "the snapshot is behind the refresher".to_owned();
    store.save(&world(vec![late]), None).unwrap();
    assert_eq!(store.credential(id), Ok(Some(login(5))));
    assert_eq!(dir.open().store.credential(id), Ok(Some(login(5))));
}

/// REN-3
#[test]
fn that_a_human_must_sign_in_again_survives_a_restart_but_not_a_newer_credential() {
    let dir = Dir::new();
    let dead = full_account(1);
    let store = dir.open().store;
    store.save(&world(vec![dead.clone()]), None).unwrap();
    assert_eq!(dir.open().accounts[0].credential, dead.credential);
    store.save_credential(AccountId(1), &login(5)).unwrap();
    assert_eq!(dir.open().accounts[0].credential, CredentialState::Usable(Arc::new(login(5))));
}

/// FRC-3 STO-3
#[test]
fn a_force_is_kept_under_its_names_and_ends_with_its_time_or_its_account() {
    let dir = Dir::new();
    let mut now = world(vec![account(1), account(2)]);
    now.force = Some(force(2));
    dir.open().store.save(&now, None).unwrap();
    let state = body(&dir, Key::State);
    let names = ["forcedAlias", "forcedUntil", "forcedBy", "previousRotationStrategy"];
    let shown = names.map(|name| state[name].clone());
    let until = NOW.after(Duration::from_secs(60)).as_millis();
    assert_eq!(shown, [json!("a2"), json!(until), json!("admin"), json!("round-robin")]);
    assert_eq!(dir.open().force, Some(force(2)));
    let later = NOW.after(Duration::from_secs(60));
    let providers = ["p".try_into().unwrap()].into();
    assert_eq!(Store::open(dir.backend(), &providers, later).unwrap().force, None);
    edit(&dir, Key::State, |body| body["forcedAlias"] = "gone".into());
    let opened = dir.open();
    assert_eq!((opened.force, opened.findings.len()), (None, 1));
}

/// ADM-5
#[test]
fn settings_changed_by_hand_survive_saves_and_restarts() {
    let dir = Dir::new();
    let store = dir.open().store;
    let settings: toml::Table = "[rotation]\nstrategy = \"random\"\nlow = 40".parse().unwrap();
    store.save(&world(vec![account(1)]), None).unwrap();
    store.set_settings(&settings).unwrap();
    assert_eq!(store.settings(), settings);
    store.save(&world(vec![account(1), account(2)]), None).unwrap();
    let opened = dir.open();
    assert_eq!((opened.settings, opened.accounts.len()), (settings, 2));
}

/// STO-7
#[test]
fn sixty_four_writers_at_once_lose_no_update() {
    const SHARED: AccountId = AccountId(1);
    let dir = Dir::new();
    let store = dir.open().store;
    let mut now = world((1..=65).map(account).collect());
    store.save(&now, None).unwrap();
    let writer = |id: u32| {
        let store = store.clone();
        move || {
            for round in 0..6u64 {
                match (u64::from(id) + round) % 3 {
                    0 => {
                        let table: toml::Table = format!("w{id} = {round}").parse().unwrap();
                        store.set_settings(&table).unwrap();
                    }
                    1 => {
                        let _lock = store.lock(SHARED).unwrap();
                        let there = store.credential(SHARED).unwrap().unwrap();
                        store.save_credential(SHARED, &key(there.version + 1)).unwrap();
                    }
                    _ => store.save_credential(AccountId(id), &key(2 + round)).unwrap(),
                }
            }
        }
    };
    std::thread::scope(|threads| {
        (2..=65).for_each(|id| drop(threads.spawn(writer(id))));
        for round in 0..20 {
            Arc::make_mut(&mut now.accounts[0]).notes = format!("{round}");
            Arc::make_mut(&mut now.accounts[7]).health.strikes = round;
            store.save(&now, None).unwrap();
        }
    });
    let opened = dir.open();
    assert_eq!(opened.findings, []);
    assert_eq!(opened.settings, store.settings(), "memory is disk");
    assert_eq!((opened.accounts[0].notes.as_str(), opened.accounts[7].health.strikes), ("19", 19));
    let did = |id: u32, what: u64| (0..6u64).filter(move |round| (u64::from(id) + round) % 3 == what);
    let rises: u64 = (2..=65).map(|id| did(id, 1).count() as u64).sum();
    assert_eq!(opened.accounts[0].credential.version(), 1 + rises, "every rise counts once");
    for account in &opened.accounts[1..] {
        let last = did(account.id.0, 2).max().unwrap();
        assert_eq!(account.credential.version(), 2 + last, "{}", account.alias);
    }
}

/// STO-8 OBS-3
#[test]
fn an_export_holds_everything_and_secrets_only_when_asked_for() {
    let dir = Dir::new();
    let mut now = world(vec![account(1), full_account(2)]);
    now.force = Some(force(2));
    let store = dir.open().store;
    store.save(&now, None).unwrap();
    edit(&dir, Key::Credential(AccountId(2)), |body| body["sessionToken"] = "canary-unknown".into());
    let shown = store.export(Secrets::Omit).unwrap();
    assert!(!shown.to_string().contains("canary"), "{shown}");
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["force"]["forcedAlias"], "a2");
    assert_eq!(shown["accounts"]["a2"]["disableReason"], "holiday");
    assert_eq!(shown["accounts"]["a2"]["rateLimits"]["windows"][0]["remaining"], 62.5);

    let whole = store.export(Secrets::Include).unwrap().to_string();
    let other = Dir::new();
    let report = import(other.backend().as_ref(), whole.as_bytes(), &Sealer::Clear).unwrap();
    assert_eq!((report.added.len(), report.flawed.len()), (2, 0));
    let opened = other.open();
    assert_eq!(opened.findings, []);
    assert_eq!(reopened(&now, &opened), now);
    let again = import(other.backend().as_ref(), whole.as_bytes(), &Sealer::Clear).unwrap();
    assert_eq!((again.added.len(), again.skipped.len()), (0, 2), "what is there is not changed");
    assert_eq!(reopened(&now, &other.open()), now);
}

/// STO-8
#[test]
fn a_document_that_is_none_changes_nothing() {
    let dir = Dir::new();
    dir.open().store.save(&world(vec![account(1)]), None).unwrap();
    let files = dir.files();
    let bad = [
        ("", "text: is no JSON text"),
        ("[]", "record: must be an object"),
        ("{}", "accounts: is missing"),
        (r#"{"accounts":[]}"#, "accounts: must be an object"),
        (r#"{"accounts":{},"accounts":{}}"#, "text: has a key twice"),
        (r#"{"version":3,"accounts":{}}"#, "version: is 3, but this rota knows 2"),
        (r#"{"encrypted":true,"data":""}"#, "encrypted: the document is encrypted"),
    ];
    for (text, problem) in bad {
        let refused = import(dir.backend().as_ref(), text.as_bytes(), &Sealer::Clear).unwrap_err();
        assert_eq!(refused.code(), "STORE_BAD_DOCUMENT");
        assert!(refused.to_string().contains(problem), "{refused}");
    }
    assert_eq!(dir.files(), files);
}

/// STO-8
#[test]
fn a_backup_brings_back_what_it_holds_and_takes_nothing_that_came_later() {
    let dir = Dir::new();
    let store = dir.open().store;
    let before = world(vec![account(1), full_account(2)]);
    store.save(&before, None).unwrap();
    let to = dir.path.join("../backup");
    assert_eq!(store.backup(&to).unwrap().records, 5);
    assert!(store.backup(&to).is_err(), "a backup is never written over");

    let mut after = before.clone();
    after.accounts.push(Arc::new(account(3)));
    after.next_account = AccountId(4);
    Arc::make_mut(&mut after.accounts[0]).weight = Weight::new(0.5).unwrap();
    store.save(&after, None).unwrap();
    store.save_credential(AccountId(1), &key(7)).unwrap();
    let report = restore(dir.backend().as_ref(), &to, &Sealer::Clear).unwrap();
    let opened = dir.open();
    assert_eq!(opened.findings, []);
    assert_eq!(opened.accounts[0].weight, Weight::FULL, "as in the backup");
    assert_eq!(opened.accounts[0].credential.version(), 7, "the only token that still works");
    assert_eq!(opened.accounts[1], full_account(2));
    assert_eq!(opened.accounts[2], account(3), "it came later");
    let restored: Vec<_> = report.restored.iter().map(ToString::to_string).collect();
    let kept: Vec<_> = report.kept_credentials.iter().map(ToString::to_string).collect();
    assert_eq!((restored, kept), (vec!["a1".to_owned(), "a2".to_owned()], vec!["a1".to_owned()]));
    assert_eq!(report.kept_accounts, ["a3"]);
}

/// STO-8, PRX-3
#[test]
fn a_backup_opens_no_door_that_was_shut_since_and_shuts_none_that_is_open() {
    let dir = Dir::new();
    let store = dir.open().store;
    let mut before = world(vec![account(1)]);
    before.keys = [client_key("shut-since", 1)].map(Arc::new).into();
    store.save(&before, None).unwrap();
    let to = dir.path.join("../backup");
    store.backup(&to).unwrap();
    let mut after = before.clone();
    after.keys = [client_key("made-since", 2)].map(Arc::new).into();
    store.save(&after, None).unwrap();
    restore(dir.backend().as_ref(), &to, &Sealer::Clear).unwrap();
    assert_eq!(dir.open().keys, [client_key("made-since", 2)]);
    // Where there is no state to tell, the backup's are better than none.
    fs::remove_file(dir.path.join("state.json")).unwrap();
    fs::remove_file(dir.path.join("state.json.lkg")).unwrap();
    restore(dir.backend().as_ref(), &to, &Sealer::Clear).unwrap();
    assert_eq!(dir.open().keys, [client_key("shut-since", 1)]);
}

fn client_key(name: &str, byte: u8) -> ClientKey {
    ClientKey {
        name: KeyName::try_from(name).unwrap(),
        digest: KeyDigest::new([byte; 32]),
        scope: KeyScope::default(),
        made: NOW,
    }
}

/// STO-5 STO-8
#[test]
fn a_backup_brings_back_a_store_that_does_not_open() {
    let dir = Dir::new();
    let store = dir.open().store;
    let before = world(vec![account(1), full_account(2)]);
    store.save(&before, None).unwrap();
    let to = dir.path.join("../backup");
    store.backup(&to).unwrap();
    for file in dir.files().keys() {
        fs::write(dir.path.join(file), "gone").unwrap();
    }
    assert!(Store::open(dir.backend(), &Default::default(), NOW).is_err());
    restore(dir.backend().as_ref(), &to, &Sealer::Clear).unwrap();
    let opened = dir.open();
    assert_eq!((reopened(&before, &opened), opened.findings), (before, Vec::new()));
    assert_eq!(dir.files()["state.json.corrupt-1"], b"gone");
}

fn force(id: u32) -> Force {
    Force { account: AccountId(id), since: NOW, until: NOW.after(Duration::from_secs(60)), by: Actor::Admin }
}

/// `now` with one thing about account `id` changed, or the account added or removed.
fn changed(now: &Snapshot, id: u32, what: u8, seed: u64) -> Snapshot {
    let mut next = now.clone();
    let id = AccountId(id);
    let Ok(at) = next.accounts.binary_search_by_key(&id, |account| account.id) else {
        let at = next.accounts.partition_point(|account| account.id < id);
        let mut added = account(id.0);
        added.credential = CredentialState::Usable(Arc::new(key(seed)));
        next.accounts.insert(at, Arc::new(added));
        next.next_account = next.next_account.max(AccountId(id.0 + 1));
        return next;
    };
    let account: &mut Account = Arc::make_mut(&mut next.accounts[at]);
    match what {
        0 => account.credential = CredentialState::Usable(Arc::new(login(seed))),
        1 => account.health.strikes += 1,
        2 => account.notes = format!("note {seed}"),
        3 => account.switch = Switch::Off { at: Time::from_millis(seed), by: Actor::Admin, reason: None },
        4 => account.limits.error = Some(format!("error {seed}")),
        _ => {
            next.accounts.remove(at);
        }
    }
    next
}

fn body(dir: &Dir, key: Key) -> Value {
    let found = dir.backend().read(key).unwrap();
    serde_json::from_slice(&found.record().unwrap().body).unwrap()
}

fn edit(dir: &Dir, key: Key, change: impl FnOnce(&mut Value)) {
    let backend = dir.backend();
    let found = backend.read(key).unwrap();
    let record = found.record().unwrap();
    let mut body = serde_json::from_slice(&record.body).unwrap();
    change(&mut body);
    backend.put(key, record.version, body.to_string().as_bytes()).unwrap();
}

/// STO-8 REN-2: what was noted of a token is no news of the one that a backup brings back.
#[test]
fn a_restored_credential_starts_with_an_empty_journal_and_one_that_stays_keeps_its_own() {
    for changed in [false, true] {
        let dir = Dir::new();
        let store = dir.open().store;
        let id = AccountId(1);
        let old = Account { credential: CredentialState::Usable(Arc::new(login(4))), ..account(1) };
        store.save(&world(vec![old]), None).unwrap();
        let to = dir.path.join("../backup");
        backup(dir.backend().as_ref(), &to).unwrap();
        assert_eq!(fs::read_dir(to.join("journal")).unwrap().count(), 0);
        let rotation = store.rotation(id).unwrap().unwrap();
        rotation.intent(Round::First, &login(4), NOW).unwrap();
        drop(rotation);
        if changed {
            store.remove_credential(id).unwrap();
            store.save_credential(id, &login(3)).unwrap();
            store.rotation(id).unwrap().unwrap().intent(Round::First, &login(4), NOW).unwrap();
        }
        restore(dir.backend().as_ref(), &to, &Sealer::Clear).unwrap();
        assert_eq!(store.credential(id), Ok(Some(login(4))));
        assert_eq!(store.has_noted(id), Ok(!changed), "changed: {changed}");
    }
}

/// REN-3: a token of unknown fate is shown until somebody signed in again.
#[test]
fn what_cannot_be_said_of_a_renewal_is_a_finding_and_a_problem() {
    let dir = Dir::new();
    let store = dir.open().store;
    let id = AccountId(1);
    let held = Account { credential: CredentialState::Usable(Arc::new(login(4))), ..account(1) };
    store.save(&world(vec![held.clone()]), None).unwrap();
    let rotation = store.rotation(id).unwrap().unwrap();
    rotation.intent(Round::First, &login(4), NOW).unwrap();
    assert_eq!(dir.open().findings, [], "the next renewal settles it");
    rotation.intent(Round::Recovery, &login(4), NOW).unwrap();
    let opened = dir.open();
    assert_eq!(opened.accounts, [held], "it serves");
    let shown = opened.findings[0].to_string();
    assert!(shown.contains("\"a1\"") && shown.contains("indeterminate"), "{shown}");
    let lines = verify(dir.backend().as_ref(), &Sealer::Clear).unwrap().lines;
    let problem = lines.iter().find(|line| line.key == Key::Credential(id)).unwrap().problem.clone();
    assert!(problem.is_some_and(|problem| problem.starts_with("indeterminate")));
    store.save_credential(id, &login(5)).unwrap();
    assert_eq!(dir.open().findings, []);
}
