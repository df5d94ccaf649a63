//! The layers a value comes from, lowest first: default, what the store keeps, file, environment. Each value in force
//! knows its place, so that an error shows it and `rota config explain` can tell.
use super::env::{self, FromEnv};
use super::file::{FileLayer, file_name, read_text, show};
use super::problem::{ConfigError, Place, Problem};
use super::setting::{Described, Setting};
use super::sources::Sources;
use super::table::{ALL, CRITICAL, LOW};
use super::tuning::AT_RUN_TIME;
use super::value::Bad;
use crate::model::Thresholds;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// All layers above the defaults. It may hold client keys, and has no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Layers {
    pub(super) saved: BTreeMap<String, Value>,
    pub(super) file: FileLayer,
    pub(super) env: BTreeMap<String, FromEnv>,
}

impl Layers {
    /// Reads the file and the environment. Errors and warnings go to `problems`.
    pub(super) fn read(sources: &Sources, problems: &mut Vec<Problem>) -> Self {
        let path = sources.config_file();
        let text = match read_text(&path) {
            Ok(None) if sources.named_file().is_some() => Err(Bad::new(
                "there is no such file",
                "`rota config path` shows where it would be found without being named",
            )),
            Ok(text) => Ok(text.unwrap_or_default()),
            Err(bad) => Err(bad),
        };
        let text = text.unwrap_or_else(|bad| {
            let place = Place::File(path.clone());
            problems.push(Problem::error(&file_name(&path), bad, place));
            String::new()
        });
        Self {
            saved: saved(sources.persisted.as_ref(), problems),
            file: FileLayer::parse(&path, text, problems),
            env: env::read(sources, problems),
        }
    }

    /// The same with other settings kept.
    pub(super) fn keeping(&self, kept: &Table) -> Self {
        // What is wrong with them was told when they were read.
        Self { saved: saved(Some(kept), &mut Vec::new()), ..self.clone() }
    }

    /// Leaves out what is kept and cannot be used: what its reader does not take, and what contradicts the file or the
    /// environment, which decide (ADM-5). Each is warned of. With the upper layers alone rota starts, so it starts with
    /// what remains.
    pub(super) fn settle(&mut self, problems: &mut Vec<Problem>) {
        for setting in ALL {
            let key = setting.about().key;
            if let Some(Err(bad)) = self.saved.get(key).map(|value| setting.check(value)) {
                problems.push(self.left_out(key, bad));
            }
        }
        // What is wrong with an upper layer by itself is told by its reader.
        let (Ok(critical), Ok(low)) = (self.get(&CRITICAL), self.get(&LOW)) else {
            return;
        };
        if Thresholds::new(critical, low).is_some() {
            return;
        }
        for key in [CRITICAL.about.key, LOW.about.key] {
            if self.saved.contains_key(key) && !self.is_fixed(key) {
                let what = format!("`critical` is {critical} and `low` is {low}");
                problems.push(self.left_out(key, Bad::new(what, "`critical` must be below `low`")));
            }
        }
    }

    fn left_out(&mut self, key: &str, bad: Bad) -> Problem {
        self.saved.remove(key);
        let mut problem = Problem::warning(key, bad, Place::Saved);
        // What is fixed cannot be reset by name.
        let which = if self.is_fixed(key) { "" } else { key };
        problem
            .help
            .push(format!("it is left out until `rota settings reset {which}").trim_end().to_owned() + "`");
        problem
    }

    /// True where the file or the environment decides.
    fn is_fixed(&self, key: &str) -> bool {
        self.env.contains_key(key) || self.file.leaves.contains_key(key)
    }

    /// The value in force of `key`, unless it is the default.
    pub(super) fn in_force(&self, key: &str) -> Option<&Value> {
        let env = self.env.get(key).map(|found| &found.value);
        let file = || self.file.leaves.get(key).map(|leaf| &leaf.value);
        env.or_else(file).or_else(|| self.saved.get(key))
    }

    /// Where the value in force of `key` was written.
    pub(super) fn place(&self, key: &str) -> Place {
        if let Some(found) = self.env.get(key) {
            return found.place.clone();
        }
        if let Some(leaf) = self.file.leaves.get(key) {
            let setting = ALL.iter().find(|setting| setting.about().key == key);
            let shape = setting.map_or(super::setting::Shape::Text, |found| found.about().shape);
            return self.file.place(&leaf.span, show(shape));
        }
        if self.saved.contains_key(key) {
            return Place::Saved;
        }
        Place::Nowhere
    }

    /// The value in force of a setting.
    pub(super) fn get<T>(&self, setting: &Setting<T>) -> Result<T, ConfigError> {
        let key = setting.about.key;
        let read = match self.in_force(key) {
            Some(value) => (setting.read)(value),
            None => (setting.read)(&setting.about.default_value()),
        };
        read.map_err(|bad| ConfigError::from(self.error(key, bad)))
    }

    /// What is wrong with the value in force of a setting, if anything.
    pub(super) fn check(&self, setting: &dyn Described) -> Option<Problem> {
        let key = setting.about().key;
        let checked = setting.check(self.in_force(key)?);
        checked.err().map(|bad| self.error(key, bad))
    }

    pub(super) fn error(&self, key: &str, bad: Bad) -> Problem {
        Problem::error(key, bad, self.place(key))
    }

    pub(super) fn warning(&self, key: &str, bad: Bad) -> Problem {
        Problem::warning(key, bad, self.place(key))
    }
}

/// The store's settings, flat. One that is not known here is left out with a warning: another version may have kept it.
fn saved(table: Option<&Table>, problems: &mut Vec<Problem>) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (section, value) in table.into_iter().flatten() {
        let Some(inner) = value.as_table() else {
            problems.push(ignored(section));
            continue;
        };
        for (name, value) in inner {
            let key = format!("{section}.{name}");
            if AT_RUN_TIME.contains(&key.as_str()) {
                flat.insert(key, value.clone());
            } else {
                problems.push(ignored(&key));
            }
        }
    }
    flat
}

fn ignored(key: &str) -> Problem {
    let bad = Bad::new("the store keeps a setting that does not exist", "it is ignored");
    Problem::warning(key, bad, Place::Saved)
}
