//! Single documents of earlier versions, brought up to version 2: a chain of pure functions, one a version, that give
//! the same text for the same text. Version 1 has no `version` and is
//! `{accounts: {alias: account}, activeAlias, rotationIndex, …}`; version 2 adds `version`, `settings` and the force.
//! Accounts of other programs that write the same versions differ in shapes that [`settle`] evens out; what it does
//! not know it leaves alone.
use super::schema::fields::{BadField, Field, Fields, Object};
use crate::model::{Actor, Alias, FaultClass, LimitStatus, ModelName, Strategy, Time};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What tells our documents from those of others that share the versions.
pub(super) const GENERATOR: &str = "rota";
/// The provider of accounts that name none: the only one there was.
const FIRST_PROVIDER: &str = "codex";

/// `document` in version 2. Idempotent: a document in version 2 is given back as it is.
pub(super) fn upgrade(document: Value) -> Result<Value, BadField> {
    let mut fields = Fields::of(document)?;
    if fields.get("encrypted")?.unwrap_or(false) {
        let problem = "the document is encrypted; let the program that wrote it export it in the clear";
        return Err(BadField::new("encrypted", problem));
    }
    let version: u64 = fields.get("version")?.unwrap_or(1);
    let document = match version {
        1 => one_to_two(fields.rest())?,
        2 => fields.rest(),
        _ => {
            let problem = format!("is {version}, but this rota knows 2; install the newer rota");
            return Err(BadField::new("version", problem));
        }
    };
    settle(document)
}

/// Version 1 knew no settings and no force; both are at their defaults.
fn one_to_two(mut document: Map<String, Value>) -> Result<Map<String, Value>, BadField> {
    document.entry("settings").or_insert_with(|| Map::new().into());
    document.entry("force").or_insert(Value::Null);
    Ok(document)
}

fn settle(document: Map<String, Value>) -> Result<Value, BadField> {
    let mut fields = Fields::of(document.into())?;
    let given: Map<String, Value> = fields.need("accounts")?;
    let mut accounts = Map::new();
    let mut renamed = Map::new();
    // Names that fit are kept; the others make way for them.
    let fits = |(name, _): &(String, Value)| Alias::try_from(name.as_str()).is_ok();
    let (fitting, others): (Vec<_>, Vec<_>) = given.into_iter().partition(fits);
    for (name, account) in fitting.into_iter().chain(others) {
        let alias = String::from(Alias::near(&name, |alias| accounts.contains_key(alias)));
        let account = match account {
            Value::Object(account) => settle_account(&name, &alias, account).into(),
            // Not ours to judge: it is taken in, quarantined and shown.
            other
            @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
        };
        renamed.insert(name, alias.as_str().into());
        accounts.insert(alias, account);
    }
    let force = settle_force(&mut fields, &renamed)?;
    let settings = settle_settings(&mut fields, &force)?;
    let object = Object::over(&fields.rest())
        .set("version", super::SCHEMA)
        .set("generator", GENERATOR)
        .set("accounts", accounts)
        .set("settings", settings.known)
        .put("importedSettings", (!settings.unknown.is_empty()).then_some(settings.unknown))
        .set("force", force);
    Ok(object.into())
}

struct Settings {
    known: Map<String, Value>,
    unknown: Map<String, Value>,
}

/// `rotationStrategy` becomes `rotation.strategy`, or the one that a force is to give back; sections are ours, and any
/// other plain value is another program's.
fn settle_settings(fields: &mut Fields, force: &Value) -> Result<Settings, BadField> {
    let given: Map<String, Value> = fields.get("settings")?.unwrap_or_default();
    let mut unknown: Map<String, Value> = fields.get("importedSettings")?.unwrap_or_default();
    let ours = fields.get::<String>("generator")?.as_deref() == Some(GENERATOR);
    let mut known = Map::new();
    let mut strategy = None;
    for (name, value) in given {
        if name == "rotationStrategy" {
            strategy = Strategy::of(value);
        } else if ours || value.is_object() {
            known.insert(name, value);
        } else {
            unknown.insert(name, value);
        }
    }
    let given_back = force.get("previousRotationStrategy").cloned();
    if let Some(strategy) = given_back.and_then(Strategy::of).or(strategy)
        && let Some(rotation) = known.entry("rotation").or_insert_with(|| Map::new().into()).as_object_mut()
    {
        rotation.entry("strategy").or_insert_with(|| strategy.as_str().into());
    }
    Ok(Settings { known, unknown })
}

/// The force stands in an object of its own or at the top; afterwards in the object.
fn settle_force(fields: &mut Fields, renamed: &Map<String, Value>) -> Result<Value, BadField> {
    let outer: Map<String, Value> = fields.get("force")?.unwrap_or_default();
    let mut inner = Fields::of(outer.into())?;
    let mut either = |name: &str| -> Result<Option<Value>, BadField> {
        let (inner, outer) = (inner.get(name)?, fields.get(name)?);
        Ok(inner.or(outer))
    };
    let (alias, until) = (either("forcedAlias")?, either("forcedUntil")?);
    let (since, by) = (either("forcedAt")?, either("forcedBy")?);
    let strategy = either("previousRotationStrategy")?;
    let (Some(alias), Some(until)) = (alias, until) else {
        return Ok(Value::Null);
    };
    let alias = alias.as_str().and_then(|alias| renamed.get(alias)).unwrap_or(&alias).clone();
    Ok(Object::default()
        .set("forcedAlias", alias)
        .put("forcedAt", since)
        .set("forcedUntil", until)
        .set("forcedBy", by.and_then(Actor::of).unwrap_or(Actor::Admin).as_str())
        .put("previousRotationStrategy", strategy.and_then(Strategy::of).map(Strategy::as_str))
        .into())
}

fn settle_account(name: &str, alias: &str, mut account: Map<String, Value>) -> Map<String, Value> {
    account.insert("alias".to_owned(), alias.into());
    if name != alias {
        account.insert("importedAlias".to_owned(), name.into());
    }
    account.entry("provider").or_insert_with(|| FIRST_PROVIDER.into());
    account.entry("kind").or_insert_with(|| "oauth".into());
    let issued = take_time(&mut account, "lastRefresh");
    if let Some(issued) = issued {
        account.entry("issuedAt").or_insert_with(|| issued.as_millis().into());
    }
    replace(&mut account, "disabledBy", |by| Some(Actor::of(by).unwrap_or(Actor::Admin).as_str().into()));
    replace(&mut account, "limitStatus", |status| {
        Some(LimitStatus::of(status).unwrap_or_default().as_str().into())
    });
    settle_rests(&mut account);
    settle_limits(&mut account);
    account
}

/// Rests written as flat fields become cooldowns.
fn settle_rests(account: &mut Map<String, Value>) {
    let rest = |until: Time, since: Option<Time>, class: FaultClass| {
        Object::default()
            .time("until", Some(until))
            .set("reason", class.as_str())
            .set("source", "default")
            .time("since", Some(since.unwrap_or(until).min(until)))
            .map()
    };
    let deactivated = take_time(account, "workspaceDeactivatedUntil");
    let since = take_time(account, "workspaceDeactivatedAt");
    if let Some(until) = deactivated {
        let cooldown = rest(until, since, FaultClass::Forbidden);
        account.entry("cooldown").or_insert_with(|| cooldown.into());
    }
    if let Some(until) = take_time(account, "rateLimitedUntil") {
        let cooldown = rest(until, None, FaultClass::RateShort);
        account.entry("cooldown").or_insert_with(|| cooldown.into());
    }
    let (until, since) =
        (take_time(account, "modelUnsupportedUntil"), take_time(account, "modelUnsupportedAt"));
    let model = account.get("modelUnsupportedModel").cloned().and_then(ModelName::of);
    if let (Some(until), Some(model)) = (until, model) {
        account.remove("modelUnsupportedModel");
        let cooldown = rest(until, since, FaultClass::ModelUnentitled);
        let models = Map::from_iter([(model.as_str().to_owned(), cooldown.into())]);
        account.entry("modelCooldowns").or_insert_with(|| models.into());
    }
}

/// Limits written as one object a window become one observation; a history of another shape is kept under another name.
fn settle_limits(account: &mut Map<String, Value>) {
    replace(account, "rateLimits", |limits| {
        let Value::Object(limits) = limits else {
            return None;
        };
        match limits.contains_key("windows") {
            true => Some(limits.into()),
            false => observation(&limits),
        }
    });
    let history = account.get("rateLimitHistory").and_then(Value::as_array);
    let ours = |sample: &Value| sample.get("windows").is_some();
    if history.is_some_and(|history| !history.iter().all(ours))
        && let Some(history) = account.remove("rateLimitHistory")
    {
        account.insert("importedRateLimitHistory".to_owned(), history);
    }
}

fn observation(limits: &Map<String, Value>) -> Option<Value> {
    let mut seen = BTreeSet::new();
    let windows = limits.iter().filter_map(|(name, window)| {
        let mut window = Fields::of(window.clone()).ok()?;
        let remaining: f64 = window.get("remaining").ok()??;
        let limit: f64 = window.get("limit").ok()?.unwrap_or(100.0);
        let share = remaining / limit * 100.0;
        seen.extend(window.get::<Time>("updatedAt").ok()?);
        let name = if name == "fiveHour" { "5h" } else { name };
        (0.0..=100.0).contains(&share).then(|| {
            Object::default()
                .set("name", name)
                .set("remaining", share)
                .time("resetAt", window.get("resetAt").ok().flatten())
                .into()
        })
    });
    let windows: Vec<Value> = windows.collect();
    let at = *seen.last()?;
    let sample =
        Object::default().time("at", Some(at)).set("source", "usage").set("windows", windows.clone());
    (!windows.is_empty()).then(|| sample.into())
}

/// Removes a field that holds a time; one that does not is left alone.
fn take_time(account: &mut Map<String, Value>, name: &str) -> Option<Time> {
    let time = account.get(name).cloned().and_then(Time::of)?;
    account.remove(name);
    Some(time)
}

fn replace(account: &mut Map<String, Value>, name: &str, with: impl FnOnce(Value) -> Option<Value>) {
    let Some(old) = account.remove(name).filter(|old| !old.is_null()) else {
        return;
    };
    if let Some(new) = with(old) {
        account.insert(name.to_owned(), new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccountId, Strategy};
    use crate::store::fixture::{Dir, NOW};
    use crate::store::{Finding, Sealer, Store, import};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    const V1: &str = include_str!("../../tests/fixtures/store/v1.json");
    const OTHER: &str = include_str!("../../tests/fixtures/store/v2-other.json");

    /// STO-1
    #[test]
    fn every_golden_document_becomes_exactly_its_golden_successor() {
        let golden = [
            (V1, include_str!("../../tests/fixtures/store/v1.v2.json")),
            (OTHER, include_str!("../../tests/fixtures/store/v2-other.v2.json")),
        ];
        for (before, after) in golden {
            let upgraded = upgrade(json(before)).unwrap();
            assert_eq!(format!("{upgraded:#}\n"), after);
            assert_eq!(upgrade(upgraded.clone()), Ok(upgraded), "once is enough");
        }
    }

    /// STO-1
    #[test]
    fn a_document_in_the_state_directory_becomes_a_store_and_is_kept() {
        for name in ["accounts.json", "store.json"] {
            let dir = Dir::new();
            place(&dir, name, V1);
            let opened = dir.open();
            let name = name.to_owned();
            assert_eq!(opened.findings, [Finding::Migrated { name: name.clone(), accounts: 3 }]);
            let aliases: Vec<_> = opened.accounts.iter().map(|account| account.alias.as_str()).collect();
            assert_eq!(aliases, ["dead", "work-example.com", "work-example.com-2"]);
            assert_eq!(dir.files()[&format!("{name}.migrated")], V1.as_bytes());
            let work = opened.accounts[2].credential.usable().unwrap();
            assert_eq!(work.refresh.as_ref().unwrap().expose(), "canary-refresh-work");
            assert_eq!(opened.accounts[0].credential.usable(), None, "a human must sign in again");
            let (files, again) = (dir.files(), dir.open());
            assert_eq!((again.accounts, again.findings), (opened.accounts, Vec::new()));
            assert_eq!(dir.files(), files, "twice is once");
        }
    }

    /// STO-1
    #[test]
    fn a_migration_that_was_cut_off_anywhere_comes_to_the_same() {
        let whole = Dir::new();
        place(&whole, "accounts.json", V1);
        whole.open();
        let files = whole.files();
        let made: Vec<_> = files.keys().filter(|name| !name.ends_with("migrated")).collect();
        // Records come in this order: credentials and runtimes, then the state; any of them may be the last.
        for last in 0..=made.len() {
            let dir = Dir::new();
            place(&dir, "accounts.json", V1);
            dir.backend();
            for name in made.iter().filter(|name| **name != "state.json").take(last) {
                place(&dir, name, std::str::from_utf8(&files[name.as_str()]).unwrap());
            }
            if last == made.len() {
                place(&dir, "state.json", std::str::from_utf8(&files["state.json"]).unwrap());
            }
            dir.open();
            assert_eq!(dir.files(), files, "after {last} records");
        }
    }

    /// STO-1
    #[test]
    fn a_document_beside_a_store_is_reported_and_left_alone() {
        let dir = Dir::new();
        dir.open();
        place(&dir, "accounts.json", V1);
        let opened = dir.open();
        let name = "accounts.json".to_owned();
        assert_eq!((opened.accounts.len(), opened.findings), (0, vec![Finding::LegacyIgnored { name }]));
        assert_eq!(dir.files()["accounts.json"], V1.as_bytes());
    }

    /// STO-1, STO-5
    #[test]
    fn a_document_that_is_damaged_or_newer_keeps_the_store_from_starting_untouched() {
        for text in ["", "{", "[]", r#"{"accounts":{},"version":3}"#] {
            let dir = Dir::new();
            place(&dir, "accounts.json", text);
            let refused = Store::open(dir.backend(), &["codex".try_into().unwrap()].into(), NOW);
            let refused = refused.err().unwrap();
            assert!(refused.to_string().contains("accounts.json"), "{refused}");
            assert_eq!(dir.files().len(), 1, "nothing was initialised");
        }
    }

    /// STO-5
    #[test]
    fn an_account_that_means_nothing_is_taken_in_and_shown_without_its_tokens() {
        let dir = Dir::new();
        let text = r#"{"accounts":{"a":7,"b":{"accessToken":"canary-b","weight":"heavy"},"c":{"notes":"no token"}}}"#;
        let report = import(dir.backend().as_ref(), text.as_bytes(), &Sealer::Clear).unwrap();
        assert_eq!(report.flawed.len(), 3, "{report:?}");
        let opened = dir.open();
        assert_eq!(opened.findings.len(), 3, "{:?}", opened.findings);
        assert_eq!(opened.accounts.len(), 1);
        let state = String::from_utf8(dir.files().remove("state.json").unwrap()).unwrap();
        assert!(!state.contains("canary"), "{state}");
        let b = opened.store.credential(AccountId(2)).unwrap().unwrap();
        assert_eq!(b.access.expose(), "canary-b");
    }

    /// STO-3
    #[test]
    fn force_and_strategy_of_a_document_are_taken_by_an_empty_store() {
        let dir = Dir::new();
        import(dir.backend().as_ref(), OTHER.as_bytes(), &Sealer::Clear).unwrap();
        let opened = dir.open();
        assert_eq!(opened.force.map(|force| force.account), Some(AccountId(2)));
        let strategy = opened.settings["rotation"]["strategy"].as_str();
        assert_eq!(strategy, Some(Strategy::WeightedRoundRobin.as_str()));
    }

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn place(dir: &Dir, name: &str, text: &str) {
        dir.backend();
        let path = dir.path.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
