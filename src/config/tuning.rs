//! Settings that may change while rota runs: what each layer says of them, and what a change of the kept layer comes to.
//! A change is checked with all layers in force, so that what is kept can always be read again. Nothing here keeps
//! anything: the store does.
use super::Features;
use super::layers::Layers;
use super::problem::{ConfigError, Place, Problem};
use super::setting::Described;
use super::table::ALL;
use crate::model::Settings;
use std::fmt;
use std::path::PathBuf;
use toml::{Table, Value};

/// The settings that may be kept and changed while rota runs. All others are fixed at the start, or are the file's.
pub(super) const AT_RUN_TIME: [&str; 12] = [
    "rotation.strategy",
    "rotation.affinity",
    "rotation.low",
    "rotation.critical",
    "rotation.max_attempts",
    "rotation.patience",
    "rotation.in_flight_cap",
    "probe.every",
    "probe.model",
    "probe.effort",
    "reauth.wait",
    "features.antigravity",
];

/// What stands beside the readers' own words, for two settings that depend on each other.
const ORDERED: &str = "`critical` must be below `low`";

/// The layers, as they were read last. It may hold client keys, and has no `Debug`.
pub struct Tuning {
    layers: Layers,
    antigravity_file: Option<PathBuf>,
}

/// Which layer a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A variable, or an option of the command that started rota.
    Environment,
    /// rota.toml.
    File,
    /// What is kept.
    Settings,
}

impl Origin {
    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Settings => "settings",
        }
    }
}

/// One setting, with what every layer says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tunable {
    /// Its name in rota.toml, with its section.
    pub key: &'static str,
    /// What is in force.
    pub value: Value,
    /// Which layer that is from.
    pub origin: Origin,
    /// The variable, option or file that fixes it, where one does.
    pub locked_by: Option<String>,
    /// What nobody has to set.
    pub default: Value,
    /// What is kept.
    pub settings: Option<Value>,
    /// What the file says.
    pub file: Option<Value>,
    /// What the environment says.
    pub environment: Option<Value>,
    /// What it may be.
    pub constraint: String,
    /// What it does.
    pub description: &'static str,
}

/// What becomes of one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingChange {
    /// Which.
    pub key: &'static str,
    /// What was in force.
    pub before: Value,
    /// What is in force then.
    pub after: Value,
}

/// What a change comes to, all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// What is to be kept; settings that this version does not know are still in it.
    pub kept: Table,
    /// What is in force then, for the engine.
    pub settings: Settings,
    /// What is on then, beside it.
    pub features: Features,
    /// How that differs from what is in force now.
    pub changes: Vec<SettingChange>,
}

impl Tuned {
    /// Those of `warnings` that still hold: what is kept no more is no more to be warned of.
    pub fn remaining(&self, warnings: &[Problem]) -> Vec<Problem> {
        let is_kept = |key: &str| match key.split_once('.') {
            Some((section, name)) => self.kept.get(section).is_some_and(|inner| inner.get(name).is_some()),
            None => self.kept.contains_key(key),
        };
        let holds = |warning: &&Problem| warning.place != Place::Saved || is_kept(&warning.key);
        warnings.iter().filter(holds).cloned().collect()
    }
}

/// Why a change was turned down; nothing has changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Untunable {
    /// The value is not what it must be, by itself or beside the others.
    Invalid {
        /// Which setting.
        key: String,
        /// What was given.
        value: Option<Value>,
        /// What it may be.
        constraint: String,
    },
    /// The file or the environment decides.
    Locked {
        /// Which setting.
        key: &'static str,
        /// The variable, option or file.
        by: String,
    },
    /// No setting of this name may change while rota runs.
    Unknown {
        /// What was given.
        key: String,
        /// What may have been meant.
        near: Option<&'static str>,
    },
}

impl fmt::Display for Untunable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { key, constraint, .. } => write!(f, "{key}: {constraint}"),
            Self::Locked { key, by } => write!(f, "{key} is fixed by {by}; change it there"),
            Self::Unknown { key, near } => {
                write!(f, "no setting {key:?} may change while rota runs")?;
                match near {
                    Some(near) => write!(f, "; did you mean {near:?}?"),
                    None => f.write_str("; `rota settings` lists those that may"),
                }
            }
        }
    }
}

impl Tuning {
    pub(super) fn of(layers: Layers, antigravity_file: Option<PathBuf>) -> Self {
        Self { layers, antigravity_file }
    }

    /// What each setting is, and why, with `kept` for the kept layer.
    pub fn view(&self, kept: &Table) -> Vec<Tunable> {
        let layers = self.layers.keeping(&self.usable(kept));
        settings().map(|setting| tunable(setting, &layers)).collect()
    }

    /// What keeping `changes` on top of `kept` comes to; a change to nothing takes a setting away, and what is kept and
    /// cannot be used goes with any change. All or nothing.
    pub fn change(&self, kept: &Table, changes: &[(String, Option<Value>)]) -> Result<Tuned, Untunable> {
        let mut wanted = self.usable(kept);
        for (name, value) in changes {
            let setting = named(name)?;
            let key = setting.about().key;
            if let Some(by) = locked_by(&self.layers, key) {
                return Err(Untunable::Locked { key, by });
            }
            if let Some(value) = value
                && setting.check(value).is_err()
            {
                let (key, value) = (key.to_owned(), Some(value.clone()));
                return Err(Untunable::Invalid { key, value, constraint: constraint(setting) });
            }
            put(&mut wanted, key, value.clone());
        }
        self.tuned(kept, wanted, changes)
    }

    /// What keeping none of the settings there are comes to. What this version does not know stays, and so does what is
    /// hidden beneath the file or the environment.
    pub fn reset(&self, kept: &Table) -> Result<Tuned, Untunable> {
        let open = AT_RUN_TIME.iter().filter(|key| locked_by(&self.layers, key).is_none());
        let changes: Vec<(String, Option<Value>)> = open.map(|key| ((*key).to_owned(), None)).collect();
        self.change(kept, &changes)
    }

    /// `kept` without what an upper layer contradicts and what no reader takes: it was left out when it was read, too.
    fn usable(&self, kept: &Table) -> Table {
        let all = self.layers.keeping(kept);
        let mut settled = all.clone();
        settled.settle(&mut Vec::new());
        let mut usable = kept.clone();
        for key in all.saved.keys().filter(|key| !settled.saved.contains_key(*key)) {
            put(&mut usable, key, None);
        }
        usable
    }

    fn tuned(
        &self,
        kept: &Table,
        wanted: Table,
        asked: &[(String, Option<Value>)],
    ) -> Result<Tuned, Untunable> {
        let (before, after) = (self.layers.keeping(&self.usable(kept)), self.layers.keeping(&wanted));
        let settings = super::settings(&after).map_err(|error| contradiction(&error, asked))?;
        let pairs =
            self::settings().map(|setting| (setting, tunable(setting, &before), tunable(setting, &after)));
        let changes =
            pairs.filter(|(_, before, after)| before.value != after.value).map(|(setting, before, after)| {
                SettingChange { key: setting.about().key, before: before.value, after: after.value }
            });
        let features = super::features(&after, self.antigravity_file.clone());
        let features = features.map_err(|error| contradiction(&error, asked))?;
        Ok(Tuned { changes: changes.collect(), kept: wanted, settings, features })
    }
}

fn settings() -> impl Iterator<Item = &'static dyn Described> {
    ALL.iter().copied().filter(|setting| AT_RUN_TIME.contains(&setting.about().key))
}

/// The setting of this key, or of this name alone: no two have the same.
fn named(name: &str) -> Result<&'static dyn Described, Untunable> {
    let is_it = |setting: &&dyn Described| [setting.about().key, setting.about().name()].contains(&name);
    settings().find(is_it).ok_or_else(|| {
        let last = |key: &'static str| key.rsplit_once('.').map_or(key, |(_, last)| last);
        let alike = super::value::nearest(name.rsplit('.').next().unwrap_or(name), AT_RUN_TIME.map(last));
        let near = alike.and_then(|alike| AT_RUN_TIME.into_iter().find(|key| last(key) == alike));
        Untunable::Unknown { key: name.to_owned(), near }
    })
}

fn tunable(setting: &dyn Described, layers: &Layers) -> Tunable {
    let about = setting.about();
    let environment = layers.env.get(about.key).map(|found| found.value.clone());
    let file = layers.file.leaves.get(about.key).map(|leaf| leaf.value.clone());
    let settings = layers.saved.get(about.key).cloned();
    let default = about.default_value();
    let (origin, value) = match (&environment, &file, &settings) {
        (Some(value), _, _) => (Origin::Environment, value),
        (None, Some(value), _) => (Origin::File, value),
        (None, None, Some(value)) => (Origin::Settings, value),
        (None, None, None) => (Origin::Default, &default),
    };
    Tunable {
        key: about.key,
        value: value.clone(),
        origin,
        locked_by: locked_by(layers, about.key),
        settings,
        file,
        environment,
        constraint: constraint(setting),
        description: about.doc,
        default,
    }
}

/// What fixes a setting, where something does.
fn locked_by(layers: &Layers, key: &str) -> Option<String> {
    if let Some(found) = layers.env.get(key) {
        return Some(match &found.place {
            Place::Option(name) | Place::Variable(name) => name.clone(),
            Place::File(_) | Place::Line(_) | Place::Nowhere | Place::Saved => "the environment".to_owned(),
        });
    }
    layers.file.leaves.contains_key(key).then(|| layers.file.path.display().to_string())
}

/// What it may be, in its reader's own words.
fn constraint(setting: &dyn Described) -> String {
    let allowed = setting.refusal().map(|bad| bad.allowed).unwrap_or_default();
    let words = allowed.trim_start_matches("allowed: ").replace(" (without quotes)", "");
    match setting.about().name() {
        "low" | "critical" => format!("{words}; {ORDERED}"),
        _ => words,
    }
}

/// The settings contradict each other: named is one that was to be changed, if it was.
fn contradiction(error: &ConfigError, changes: &[(String, Option<Value>)]) -> Untunable {
    let problem = error.problems().first();
    let ordered = ["rotation.critical", "rotation.low"];
    let changed = changes.iter().find_map(|(name, value)| {
        let key = named(name).ok()?.about().key;
        ordered.contains(&key).then(|| (key.to_owned(), value.clone()))
    });
    let (key, value) =
        changed.unwrap_or_else(|| (problem.map_or_else(String::new, |bad| bad.key.clone()), None));
    let what = problem.map_or_else(String::new, |problem| format!(" ({})", problem.what));
    Untunable::Invalid { key, value, constraint: format!("{ORDERED}{what}") }
}

/// Sets or takes away one entry, leaving all others as they are.
fn put(table: &mut Table, key: &str, value: Option<Value>) {
    let Some((section, name)) = key.split_once('.') else {
        return;
    };
    let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if !inner.is_table() {
        *inner = Value::Table(Table::new());
    }
    if let Some(inner) = inner.as_table_mut() {
        match value {
            Some(value) => inner.insert(name.to_owned(), value),
            None => inner.remove(name),
        };
    }
    if table.get(section).and_then(Value::as_table).is_some_and(Table::is_empty) {
        table.remove(section);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use crate::model::{Preset, Strategy, Thresholds};
    use proptest::prelude::*;

    /// ADM-5: each value with its origin; what the file or the environment fixes is locked by its name.
    #[test]
    fn every_setting_tells_its_layers_and_what_fixes_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let tuning = tuning(dir.path(), "[rotation]\nlow = 40\n", &[("ROTA_ROTATION__STRATEGY", "random")]);
        let kept = table("[rotation]\nstrategy = \"fill-first\"\nlow = 50\ncritical = 5");
        let told: Vec<(&str, String, &str, bool)> = tuning
            .view(&kept)
            .into_iter()
            .map(|one| (one.key, one.value.to_string(), one.origin.as_str(), one.locked_by.is_some()))
            .collect();
        let expected = [
            ("rotation.strategy", "\"random\"", "environment", true),
            ("rotation.affinity", "\"session\"", "default", false),
            ("rotation.low", "40", "file", true),
            ("rotation.critical", "5", "settings", false),
            ("rotation.max_attempts", "3", "default", false),
            ("rotation.patience", "\"60s\"", "default", false),
            ("rotation.in_flight_cap", "0", "default", false),
            ("probe.every", "\"15m\"", "default", false),
            ("probe.model", "false", "default", false),
            ("probe.effort", "\"low\"", "default", false),
            ("reauth.wait", "\"0s\"", "default", false),
            ("features.antigravity", "false", "default", false),
        ];
        assert_eq!(
            told,
            expected.map(|(key, value, origin, locked)| (key, value.to_owned(), origin, locked))
        );
        let view = tuning.view(&kept);
        let strategy = &view[0];
        assert_eq!(strategy.locked_by.as_deref(), Some("ROTA_ROTATION__STRATEGY"));
        assert_eq!(strategy.settings, Some("fill-first".into()), "what is hidden is shown, too");
        let file = dir.path().join("rota.toml").display().to_string();
        assert_eq!(view[2].locked_by.as_deref(), Some(file.as_str()));
        for one in &view {
            assert!(!one.constraint.is_empty() && !one.description.is_empty(), "{one:?}");
        }
    }

    /// ADM-5: all or nothing, with the field and the constraint, across the layers.
    #[test]
    fn a_change_is_whole_or_not_at_all() {
        let dir = tempfile::tempdir().expect("a directory");
        let tuning =
            tuning(dir.path(), "[rotation]\npatience = \"30s\"\n", &[("ROTA_ROTATION__CRITICAL", "25")]);
        let kept = table("[rotation]\nstrategy = \"random\"\nnovelty = 1\n[dreams]\nlucid = true");
        let set = |changes: &[(&str, Value)]| {
            let changes: Vec<_> =
                changes.iter().map(|(key, value)| ((*key).to_owned(), Some(value.clone()))).collect();
            tuning.change(&kept, &changes)
        };
        let ordered = "`critical` must be below `low` (`critical` is 25 and `low` is 20)";
        let invalid = |key: &str, value: Value, constraint: &str| Untunable::Invalid {
            key: key.to_owned(),
            value: Some(value),
            constraint: constraint.to_owned(),
        };
        let file = dir.path().join("rota.toml").display().to_string();
        for (changes, expected) in [
            (vec![("rotation.low", 20.into())], invalid("rotation.low", 20.into(), ordered)),
            (
                vec![("strategy", "fill-first".into()), ("low", 120.into())],
                invalid("rotation.low", 120.into(), &format!("0 to 100; {ORDERED}")),
            ),
            (
                vec![("rotation.critical", 5.into())],
                Untunable::Locked { key: "rotation.critical", by: "ROTA_ROTATION__CRITICAL".to_owned() },
            ),
            (vec![("patience", "1s".into())], Untunable::Locked { key: "rotation.patience", by: file }),
            (
                vec![("stratergy", "random".into())],
                Untunable::Unknown { key: "stratergy".to_owned(), near: Some("rotation.strategy") },
            ),
            (
                vec![("listen", "127.0.0.1:1".into())],
                Untunable::Unknown { key: "listen".to_owned(), near: None },
            ),
        ] {
            assert_eq!(set(&changes), Err(expected), "{changes:?}");
        }
        let tuned = set(&[("low", 40.into()), ("rotation.strategy", "fill-first".into())]).expect("it fits");
        assert_eq!(tuned.settings.strategy, Strategy::FillFirst);
        assert_eq!(Some(tuned.settings.thresholds), Thresholds::new(25, 40));
        assert_eq!(
            tuned.kept,
            table("[rotation]\nstrategy = \"fill-first\"\nlow = 40\nnovelty = 1\n[dreams]\nlucid = true")
        );
        let changes: Vec<String> =
            tuned.changes.iter().map(|one| format!("{} {} {}", one.key, one.before, one.after)).collect();
        assert_eq!(changes, ["rotation.strategy \"random\" \"fill-first\"", "rotation.low 30 40"]);
        let kept = tuning.reset(&tuned.kept).expect("30 is above 25").kept;
        assert_eq!(kept, table("[rotation]\nnovelty = 1\n[dreams]\nlucid = true"), "what is not known stays");
    }

    /// SEL-7: the lower the thresholds, the longer an account stays.
    #[test]
    fn presets_change_the_thresholds_in_the_direction_of_their_names() {
        let [leaves_early, middle, stays_longest] =
            [Preset::Aggressive, Preset::Balanced, Preset::Conservative].map(Preset::thresholds);
        assert_eq!(Some(middle), Thresholds::new(10, 30));
        assert_eq!(middle, Thresholds::default());
        assert_eq!(
            (Some(stays_longest), Some(leaves_early)),
            (Thresholds::new(5, 20), Thresholds::new(20, 40))
        );
    }

    /// ADM-5: what is kept yields to the file and the environment, each value by itself, with a warning; it is gone with
    /// the next change, and what fits stays.
    #[test]
    fn what_is_kept_and_cannot_be_used_is_left_out_and_goes_with_any_change() {
        let (critical, low) = ("rotation.critical", "rotation.low");
        for (file, env, kept, left_out, thresholds, remains) in [
            ("low = 20", "", "critical = 25", vec![critical], (10, 20), ""),
            ("", "20", "critical = 25\nmax_attempts = 2", vec![critical], (10, 20), "max_attempts = 2"),
            ("low = 20", "", "critical = 25\nlow = 40", vec![critical], (10, 20), "low = 40"),
            ("critical = 25", "", "low = 25", vec![low], (25, 30), ""),
            ("", "", "critical = 50\nlow = 40", vec![critical, low], (10, 30), ""),
            ("", "", "strategy = \"novel\"\nlow = 40", vec!["rotation.strategy"], (10, 40), "low = 40"),
            ("strategy = \"random\"", "", "strategy = 3", vec!["rotation.strategy"], (10, 30), ""),
            ("", "", "low = \"many\"\ncritical = 29", vec![low], (29, 30), "critical = 29"),
            ("low = 20", "", "critical = 5", vec![], (5, 20), "critical = 5"),
        ] {
            let dir = tempfile::tempdir().expect("a directory");
            let env: &[_] = if env.is_empty() { &[] } else { &[("ROTA_ROTATION__LOW", env)] };
            let sources = sources(dir.path(), &format!("[rotation]\n{file}\n"), env);
            let rotation = |text: &str| {
                if text.is_empty() { Table::new() } else { table(&format!("[rotation]\n{text}")) }
            };
            let table = rotation(kept);
            let loaded = Config::load(&sources.with_persisted(table.clone())).expect("it starts");
            let warned: Vec<&str> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
            assert_eq!(warned, left_out, "{kept}");
            for warning in &loaded.warnings {
                assert!(warning.to_string().contains("`rota settings reset"), "{warning}");
            }
            let (least, most) = thresholds;
            assert_eq!(Some(loaded.config.settings.thresholds), Thresholds::new(least, most), "{kept}");
            let tuning = loaded.tuning();
            let view = tuning.view(&table);
            let shown = |key: &str| view.iter().find(|one| one.key == key).map(|one| one.value.clone());
            assert_eq!((shown(critical), shown(low)), (Some(least.into()), Some(most.into())), "{kept}");
            let changed =
                tuning.change(&table, &[("patience".to_owned(), Some("9s".into()))]).expect("it fits");
            assert_eq!(changed.changes.len(), 1, "{kept}: {:?}", changed.changes);
            assert_eq!(changed.remaining(&loaded.warnings), [], "{kept}");
            let mut expected = rotation(remains);
            put(&mut expected, "rotation.patience", Some("9s".into()));
            assert_eq!(changed.kept, expected, "{kept}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// ADM-5: whatever is kept by accepted changes can be read again as a configuration, with the same settings.
        #[test]
        fn what_a_change_keeps_can_be_read_again(
            changes in prop::collection::vec((0usize..AT_RUN_TIME.len(), 0i64..110, any::<bool>()), 1..20),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let sources = sources(dir.path(), "", &[]);
            let tuning = Config::load(&sources).expect("defaults").tuning();
            let mut kept = Table::new();
            let mut settings = Settings::default();
            for (at, number, text) in changes {
                let value = if text { Value::String(format!("{number}s")) } else { Value::Integer(number) };
                if let Ok(tuned) = tuning.change(&kept, &[(AT_RUN_TIME[at].to_owned(), Some(value))]) {
                    kept = tuned.kept;
                    settings = tuned.settings;
                }
            }
            let again = Config::load(&sources.with_persisted(kept)).expect("it can be read");
            prop_assert_eq!(again.config.settings, settings);
        }
    }

    fn tuning(dir: &std::path::Path, file: &str, env: &[(&str, &str)]) -> Tuning {
        Config::load(&sources(dir, file, env)).expect("a configuration").tuning()
    }

    fn sources(dir: &std::path::Path, file: &str, env: &[(&str, &str)]) -> Sources {
        let path = dir.join("rota.toml");
        std::fs::write(&path, file).expect("written");
        let mut env: std::collections::BTreeMap<String, String> =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        env.insert("HOME".to_owned(), dir.display().to_string());
        env.insert("ROTA_CONFIG".to_owned(), path.display().to_string());
        Sources { env, ..Sources::default() }
    }

    fn table(text: &str) -> Table {
        text.parse().expect("TOML")
    }
}
