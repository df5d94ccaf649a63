//! The store with encryption: on and off again without a token left in the clear, and what happens to records that were
//! swapped, changed or sealed with another key.
use super::fixture::{Dir, NOW, account, full_account, key, login, reopened, world};
use super::*;
use crate::model::{Account, AccountId, CredentialState};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

const V1: &str = include_str!("../../tests/fixtures/store/v1.json");
const FIRST: Key = Key::Credential(AccountId(1));
const SECOND: Key = Key::Credential(AccountId(2));

/// STO-4, P15
#[test]
fn turning_encryption_on_leaves_no_token_in_the_clear_in_any_file() {
    let dir = lived_in();
    assert!(clear(&dir).len() > 8, "{:?}", clear(&dir));
    let before = dir.open();
    let on = open(&dir, &seals(1)).unwrap();
    let [quarantined, orphaned] = [0, 1].map(|at| before.findings[at].clone());
    // Two damaged files and the document; the copies were written anew.
    let sealed = Finding::Sealed { records: 4, removed: 3 };
    assert_eq!(on.findings, [quarantined, sealed, orphaned]);
    assert_eq!(on.accounts, before.accounts);
    assert_eq!(clear(&dir), Vec::<String>::new());
    let files = dir.files();
    let again = open(&dir, &seals(1)).unwrap();
    assert_eq!((&again.findings, again.accounts), (&before.findings, before.accounts));
    assert_eq!(dir.files(), files, "it is done once");
    for id in 1..=2 {
        fs::write(dir.path.join(format!("credentials/{id}.json")), "damaged").unwrap();
    }
    let restored = open(&dir, &seals(1)).unwrap();
    assert!(
        restored.accounts.iter().all(|account| account.credential.credential().is_some()),
        "from sealed copies"
    );
}

/// STO-4
#[test]
fn turning_encryption_off_leaves_a_store_that_needs_no_key() {
    let dir = lived_in();
    let before = dir.open();
    let on = open(&dir, &seals(1)).unwrap();
    let mut next = reopened(&world(Vec::new()), &on);
    Arc::make_mut(&mut next.accounts[0]).credential = CredentialState::Usable(Arc::new(login(50)));
    on.store.save(&next, None).unwrap();
    let off = open(&dir, &Sealer::Opens(StoreKey::new([1; 32]))).unwrap();
    let [quarantined, orphaned] = [0, 1].map(|at| before.findings[at].clone());
    assert_eq!(off.findings, [quarantined, Finding::Opened { records: 4 }, orphaned]);
    let sealed = |(name, bytes): (String, Vec<u8>)| has(&bytes, "\"sealed\"").then_some(name);
    assert_eq!(dir.files().into_iter().filter_map(sealed).collect::<Vec<_>>(), Vec::<String>::new());
    let plain = dir.open();
    assert_eq!(plain.findings, before.findings);
    assert_eq!(reopened(&next, &plain), next);
    for id in 1..=2 {
        fs::write(dir.path.join(format!("credentials/{id}.json")), "damaged").unwrap();
    }
    let restored = dir.open();
    assert!(
        restored.accounts.iter().all(|account| account.credential.credential().is_some()),
        "from clear copies"
    );
}

/// STO-4
#[test]
fn whatever_is_saved_under_encryption_is_sealed_and_is_there_again() {
    let dir = Dir::new();
    let store = open(&dir, &seals(1)).unwrap().store;
    let now = world(vec![account(1), full_account(3)]);
    store.save(&now, None).unwrap();
    assert_eq!(clear(&dir), Vec::<String>::new());
    assert_eq!(reopened(&now, &open(&dir, &seals(1)).unwrap()), now);
    assert_eq!(store.credential(AccountId(1)), Ok(Some(key(1))));
    assert_eq!(store.save_credential(AccountId(1), &login(2)), Ok(()));
    assert_eq!(store.save_credential(AccountId(1), &login(2)), Ok(()), "it is there already");
    let conflict = store.save_credential(AccountId(1), &key(2)).unwrap_err();
    assert_eq!(conflict.code(), "STORE_CONFLICT");
    assert_eq!(store.credential(AccountId(1)), Ok(Some(login(2))));
    assert_eq!(clear(&dir), Vec::<String>::new());
}

/// STO-1, STO-4
#[test]
fn a_document_of_an_earlier_version_is_taken_in_sealed_and_goes() {
    let dir = Dir::new();
    dir.backend();
    let path = dir.path.join("accounts.json");
    fs::write(&path, V1).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let opened = open(&dir, &seals(1)).unwrap();
    let migrated = Finding::Migrated { name: "accounts.json".to_owned(), accounts: 3 };
    assert_eq!(opened.findings, [migrated, Finding::Sealed { records: 0, removed: 1 }]);
    assert_eq!(clear(&dir), Vec::<String>::new());
    let work = opened.accounts[2].credential.usable().unwrap();
    assert_eq!(work.refresh.as_ref().unwrap().expose(), "canary-refresh-work");
}

/// STO-2
#[test]
fn unknown_fields_survive_sealing_renewing_and_unsealing() {
    let dir = Dir::new();
    dir.open().store.save(&world(vec![account(1)]), None).unwrap();
    edit(&dir, FIRST, |body| body["later"] = json!({"deep": [1, null]}));
    let store = open(&dir, &seals(1)).unwrap().store;
    edit(&dir, FIRST, |body| body["beside"] = json!("x"));
    store.save_credential(AccountId(1), &login(2)).unwrap();
    open(&dir, &Sealer::Opens(StoreKey::new([1; 32]))).unwrap();
    let body = body(&dir, FIRST);
    assert_eq!((&body["later"], &body["beside"]), (&json!({"deep": [1, null]}), &json!("x")));
    assert_eq!(body["accessToken"], "canary-access-2");
}

/// STO-5
#[test]
fn a_sealed_store_without_a_key_does_not_open_and_is_left_as_it_is() {
    let dir = sealed();
    let files = dir.files();
    let refused = open(&dir, &Sealer::Clear).err().unwrap();
    let sealed_with = StoreKey::new([1; 32]).name().to_owned();
    assert_eq!(refused, StoreError::KeyMissing { records: 2, sealed_with });
    assert!(refused.to_string().contains("`encryption.key_file`"), "{refused}");
    assert_eq!(dir.files(), files);
}

/// STO-5
#[test]
fn a_record_of_another_key_costs_its_account_only_and_waits_for_its_key() {
    let dir = sealed();
    let foreign = open(&dir, &seals(1)).unwrap().store;
    let here = open(&dir, &seals(2)).unwrap();
    let mut now = reopened(&world(Vec::new()), &here);
    now.accounts.push(Arc::new(account(3)));
    here.store.save(&now, None).unwrap();
    let files = dir.files();
    for sealer in [seals(2), Sealer::Opens(StoreKey::new([2; 32]))] {
        let opened = open(&dir, &sealer).unwrap();
        for at in 0..2 {
            let CredentialState::Missing { detail } = &opened.accounts[at].credential else {
                panic!("{:?}", opened.accounts[at].credential);
            };
            let (alias, problem) = (opened.accounts[at].alias.clone(), detail.clone());
            assert!(opened.findings.contains(&Finding::CredentialSealed { alias, problem }));
            assert!(detail.contains(StoreKey::new([1; 32]).name()), "{detail}");
        }
        assert_eq!(opened.accounts[2], account(3));
        assert_eq!(foreign.credential(AccountId(1)), Ok(Some(key(1))), "the record is as it was");
        assert_eq!(opened.store.credential(AccountId(1)).unwrap_err().code(), "STORE_SEALED");
        open(&dir, &seals(2)).unwrap();
    }
    for name in ["credentials/1.json", "credentials/2.json"] {
        assert_eq!(dir.files()[name], files[name], "{name}");
    }
    let back = open(&dir, &seals(1)).unwrap();
    assert_eq!(back.accounts[..2], [account(1), account(2)]);
}

/// STO-5
#[test]
fn records_that_were_swapped_are_found_out() {
    let dir = sealed();
    let bodies = [FIRST, SECOND].map(|key| body(&dir, key));
    // With frames of their own, as one would make them who knows how records are written.
    edit(&dir, FIRST, |body| *body = bodies[1].clone());
    edit(&dir, SECOND, |body| *body = bodies[0].clone());
    let files = dir.files();
    let opened = open(&dir, &seals(1)).unwrap();
    assert_eq!(opened.findings.len(), 2);
    for (account, finding) in opened.accounts.iter().zip(&opened.findings) {
        assert!(matches!(account.credential, CredentialState::Missing { .. }));
        let text = finding.to_string();
        assert!(text.contains(account.alias.as_str()) && text.contains("sign in again"), "{text}");
    }
    assert_eq!(dir.files(), files, "what does not open is left as it is");
}

/// STO-5
#[test]
fn an_older_credential_does_not_pass_for_a_newer_one() {
    let dir = sealed();
    let old = body(&dir, FIRST);
    open(&dir, &seals(1)).unwrap().store.save_credential(AccountId(1), &key(9)).unwrap();
    edit(&dir, FIRST, |body| {
        *body = old.clone();
        body["credentialVersion"] = 10.into();
    });
    let opened = open(&dir, &seals(1)).unwrap();
    assert!(matches!(opened.accounts[0].credential, CredentialState::Missing { .. }));
}

/// STO-5: what binds a record is its account's number and provider. The state record is not sealed: whoever may write
/// it may name accounts as they like, but a token still goes to nobody but its own provider.
#[test]
fn numbers_swapped_in_the_state_send_no_token_to_another_provider() {
    let dir = Dir::new();
    let mut accounts = vec![account(1), account(2), account(3)];
    accounts[2].provider = "codex".try_into().unwrap();
    open(&dir, &seals(1)).unwrap().store.save(&world(accounts.clone()), None).unwrap();
    let swap = |one: usize, other: usize| {
        edit(&dir, Key::State, |body| {
            let ids = [one, other].map(|at| body["accounts"][at]["id"].clone());
            body["accounts"][one]["id"] = ids[1].clone();
            body["accounts"][other]["id"] = ids[0].clone();
        });
    };
    swap(0, 1);
    let opened = open(&dir, &seals(1)).unwrap();
    assert_eq!(opened.findings, []);
    let mut renamed = accounts.clone();
    renamed[0].alias = accounts[1].alias.clone();
    renamed[1].alias = accounts[0].alias.clone();
    assert_eq!(opened.accounts, renamed, "two names were exchanged, which a rename can do");
    swap(0, 1);
    swap(0, 2);
    let opened = open(&dir, &seals(1)).unwrap();
    assert_eq!(opened.accounts[1], accounts[1]);
    for account in [&opened.accounts[0], &opened.accounts[2]] {
        let CredentialState::Missing { detail } = &account.credential else {
            panic!("{:?}", account.credential);
        };
        assert!(detail.contains("it was sealed for provider"), "{detail}");
    }
}

/// STO-5
#[test]
fn a_sealed_record_that_does_not_open_is_replaced_by_a_sign_in_and_by_nothing_else() {
    let dir = sealed();
    let store = open(&dir, &seals(1)).unwrap().store;
    edit(&dir, FIRST, |body| body["credentialVersion"] = 5.into());
    let files = dir.files();
    let refused = store.save_credential(AccountId(1), &key(6)).unwrap_err();
    assert_eq!(refused.code(), "STORE_SEALED");
    assert_eq!(store.credential(AccountId(1)).unwrap_err().code(), "STORE_SEALED", "it is not none");
    assert_eq!(dir.files(), files);
    let opened = open(&dir, &seals(1)).unwrap();
    assert!(matches!(opened.accounts[0].credential, CredentialState::Missing { .. }));
    opened.store.save_credential(AccountId(1), &login(1)).unwrap();
    let signed_in = open(&dir, &seals(1)).unwrap();
    assert_eq!(signed_in.accounts[0].credential, CredentialState::Usable(Arc::new(login(1))));
    assert_eq!(clear(&dir), Vec::<String>::new());
}

/// STO-8
#[test]
fn a_sealed_store_is_verified_and_copied_without_its_key_and_brought_back() {
    let dir = sealed();
    let backend = dir.backend();
    let report = verify(backend.as_ref(), &Sealer::Clear).unwrap();
    let name = StoreKey::new([1; 32]).name().to_owned();
    let sealed_with =
        |key: Key| report.lines.iter().find(|line| line.key == key).unwrap().sealed_with.clone();
    assert!(report.intact());
    assert_eq!((sealed_with(FIRST), sealed_with(Key::State)), (Some(name), None));
    let to = dir.path.join("../backup");
    assert_eq!(backup(backend.as_ref(), &to).unwrap().records, 5);
    assert_eq!(clear_below(&to), Vec::<String>::new());
    edit(&dir, FIRST, |body| body["sealed"]["data"] = json!("AAAA"));
    assert!(verify(backend.as_ref(), &Sealer::Clear).unwrap().intact(), "the frame is whole");
    assert!(!verify(backend.as_ref(), &seals(1)).unwrap().intact(), "but it does not open");
    restore(backend.as_ref(), &to, &Sealer::Clear).unwrap();
    let opened = open(&dir, &seals(1)).unwrap();
    assert_eq!((opened.accounts, opened.findings), (vec![account(1), account(2)], Vec::new()));
}

/// STO-8
#[test]
fn a_backup_in_the_clear_is_sealed_where_encryption_is_on() {
    let dir = Dir::new();
    dir.open().store.save(&world(vec![account(1), account(2)]), None).unwrap();
    let to = dir.path.join("../backup");
    backup(dir.backend().as_ref(), &to).unwrap();
    let store = open(&dir, &seals(1)).unwrap().store;
    store.remove_credential(AccountId(1)).unwrap();
    restore(dir.backend().as_ref(), &to, &seals(1)).unwrap();
    assert_eq!(clear(&dir), Vec::<String>::new());
    assert_eq!(open(&dir, &seals(1)).unwrap().accounts, [account(1), account(2)]);
}

/// STO-8
#[test]
fn an_export_of_secrets_wants_the_key_and_an_import_seals() {
    let dir = sealed();
    let backend = dir.backend();
    let refused = export(backend.as_ref(), Secrets::Include, &Sealer::Clear).unwrap_err();
    assert_eq!(refused.code(), "STORE_SEALED");
    let shown = export(backend.as_ref(), Secrets::Omit, &Sealer::Clear).unwrap();
    assert_eq!(shown["accounts"]["a1"]["credentialVersion"], 1);
    assert!(!shown.to_string().contains("sealed") && !shown.to_string().contains("canary"), "{shown}");
    let whole = export(backend.as_ref(), Secrets::Include, &seals(1)).unwrap().to_string();
    let other = Dir::new();
    import(other.backend().as_ref(), whole.as_bytes(), &seals(2)).unwrap();
    assert_eq!(clear(&other), Vec::<String>::new());
    let opened = open(&other, &seals(2)).unwrap();
    assert_eq!((opened.accounts, opened.findings), (vec![account(1), account(2)], Vec::new()));
}

/// REN-2, STO-4
#[test]
fn an_answer_that_waits_in_a_journal_is_sealed_and_unsealed_with_the_records() {
    let dir = Dir::new();
    let store = dir.open().store;
    let mut one = account(1);
    one.credential = CredentialState::Usable(Arc::new(login(4)));
    store.save(&world(vec![one]), None).unwrap();
    let answer = Answer { status: 200, body: b"{\"access_token\":\"canary-new\"}".to_vec() };
    let note = |store: &Store| {
        let rotation = store.rotation(AccountId(1)).unwrap().unwrap();
        let ticket = rotation.intent(Round::First, &login(4), NOW).unwrap();
        rotation.result(&ticket, &answer).unwrap();
    };
    let pending = |store: &Store| store.rotation(AccountId(1)).unwrap().unwrap().pending(&login(4));
    note(&store);
    assert!(clear(&dir).contains(&"journal/1".to_owned()));
    let on = open(&dir, &seals(1)).unwrap().store;
    assert_eq!(clear(&dir), Vec::<String>::new());
    assert_eq!(pending(&on), Ok(Pending::Answered(Round::First, answer.clone())));
    note(&on);
    assert_eq!(clear(&dir), Vec::<String>::new(), "a new one, too");
    assert_eq!(pending(&on), Ok(Pending::Answered(Round::First, answer.clone())));
    assert_eq!(pending(&store).unwrap_err().code(), "STORE_SEALED", "without the key it is not none");
    assert!(verify(dir.backend().as_ref(), &Sealer::Clear).unwrap().intact());
    let other = open(&dir, &seals(2)).unwrap().store;
    other.save_credential(AccountId(1), &login(5)).unwrap();
    let signed_in = other.rotation(AccountId(1)).unwrap().unwrap();
    assert_eq!(signed_in.pending(&login(5)), Ok(Pending::Nothing), "it is of another credential");
    drop(signed_in);
    let off = open(&dir, &Sealer::Opens(StoreKey::new([1; 32]))).unwrap().store;
    assert_eq!(pending(&off), Ok(Pending::Answered(Round::First, answer)));
    assert!(clear(&dir).contains(&"journal/1".to_owned()));
}

/// P15
#[test]
fn what_is_torn_in_a_journal_does_not_stay_under_encryption() {
    let dir = Dir::new();
    let store = dir.open().store;
    store.save(&world(vec![account(1)]), None).unwrap();
    let rotation = store.rotation(AccountId(1)).unwrap().unwrap();
    let ticket = rotation.intent(Round::First, &login(4), NOW).unwrap();
    rotation.result(&ticket, &Answer { status: 200, body: b"canary-new".to_vec() }).unwrap();
    drop(rotation);
    let path = dir.path.join("journal/1");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|part| part == b"canary").unwrap();
    bytes[at + 6] ^= 1;
    fs::write(&path, bytes).unwrap();
    let on = open(&dir, &seals(1)).unwrap().store;
    assert_eq!(clear(&dir), Vec::<String>::new());
    let pending = on.rotation(AccountId(1)).unwrap().unwrap().pending(&login(4));
    assert_eq!(pending, Ok(Pending::Unanswered(Round::First)), "as it was before");
}

/// STO-8
#[test]
fn a_backup_in_another_form_is_the_same_credential_and_wipes_no_journal() {
    let dir = Dir::new();
    let store = dir.open().store;
    let mut one = account(1);
    one.credential = CredentialState::Usable(Arc::new(login(4)));
    store.save(&world(vec![one]), None).unwrap();
    let to = dir.path.join("../backup");
    store.backup(&to).unwrap();
    let store = open(&dir, &seals(1)).unwrap().store;
    let rotation = store.rotation(AccountId(1)).unwrap().unwrap();
    rotation.intent(Round::First, &login(4), NOW).unwrap();
    drop(rotation);
    restore(dir.backend().as_ref(), &to, &seals(1)).unwrap();
    assert_eq!(store.has_noted(AccountId(1)), Ok(true));
    assert_eq!(clear(&dir), Vec::<String>::new());
}

/// STO-5
#[test]
fn a_record_that_is_no_credential_is_named_and_does_not_keep_the_others_in_the_clear() {
    let dir = Dir::new();
    dir.open().store.save(&world(vec![account(1), account(2)]), None).unwrap();
    edit(&dir, FIRST, |body| *body = json!(["canary-list"]));
    let opened = open(&dir, &seals(1)).unwrap();
    let named = |finding: &Finding| matches!(finding, Finding::InTheClear { key: FIRST, .. });
    assert!(opened.findings.iter().any(named), "{:?}", opened.findings);
    assert_eq!(opened.accounts[1], account(2));
    assert!(clear(&dir).iter().all(|name| name.starts_with("credentials/1.json")));
}

/// A store with a history: copies, damaged files, a document that was taken in, a removed provider's account and a
/// credential without an account.
fn lived_in() -> Dir {
    let dir = Dir::new();
    dir.backend();
    let store = dir.open().store;
    let mut gone: Account = full_account(3);
    gone.provider = "gone".try_into().unwrap();
    store.save(&world(vec![account(1), full_account(2), gone]), None).unwrap();
    for version in 5..7 {
        store.save_credential(AccountId(1), &login(version)).unwrap();
        store.save_credential(AccountId(3), &login(version)).unwrap();
    }
    fs::write(dir.path.join("credentials/1.json"), "{\"accessToken\":\"canary-torn").unwrap();
    store.save_credential(AccountId(1), &login(7)).unwrap();
    write_private(&dir.path.join("credentials/2.json.corrupt-1"), b"{\"canary-x");
    write_private(&dir.path.join("accounts.json.migrated"), V1.as_bytes());
    store.save_credential(AccountId(5), &key(1)).unwrap();
    store.save_credential(AccountId(5), &key(2)).unwrap();
    dir
}

/// Two accounts, sealed with the first key.
fn sealed() -> Dir {
    let dir = Dir::new();
    open(&dir, &seals(1)).unwrap().store.save(&world(vec![account(1), account(2)]), None).unwrap();
    dir
}

fn seals(byte: u8) -> Sealer {
    Sealer::Seals(StoreKey::new([byte; 32]))
}

fn open(dir: &Dir, sealer: &Sealer) -> Result<Opened, StoreError> {
    let providers = ["p", "codex"].map(|id| id.try_into().unwrap()).into();
    Store::open_sealed(dir.backend(), &providers, sealer, NOW)
}

/// The files below the store's directory in which the beginning of a token can be read.
fn clear(dir: &Dir) -> Vec<String> {
    clear_below(&dir.path)
}

fn clear_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().display().to_string();
            found.extend(clear_below(&path).iter().map(|below| format!("{name}/{below}")));
        } else if has(&fs::read(&path).unwrap(), "canary") {
            found.push(path.file_name().unwrap().display().to_string());
        }
    }
    found
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
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
