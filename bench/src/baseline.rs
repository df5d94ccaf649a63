//! What a request, an event, a failover may cost: a committed file, and the comparison with it.
use crate::callgrind::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

/// How much more something may cost than it did.
pub const MARGIN: f64 = 0.03;

/// Instructions that come and go between two runs of the same program, where so few are counted that 3 % are fewer.
const GRAIN: f64 = 3.0;

/// Allocations that come and go: growing tables, once in a while.
const ALLOCATION_GRAIN: f64 = 0.1;

/// How much more the other threads may cost than they did. Part of what they do goes by the clock, so that a slower machine
/// counts more of it for each request.
pub const BESIDE_MARGIN: f64 = 0.5;

/// The same of few instructions.
const BESIDE_GRAIN: f64 = 500.0;

const HEAD: &str = "# What one request, event or failover costs rota, and one call of the engine: counted by `make perf-gate`, which fails\n\
     # where something costs 3 % more than here (50 %, of the threads beside the one that serves). Written by\n\
     # `make perf-baseline`; say in the commit why it moved.\n";

/// What one costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Instructions outside the kernel, of the thread that serves.
    pub instructions: f64,
    /// Its calls that take memory.
    pub allocations: f64,
    /// Instructions of the other threads: records, the log, the store, the scheduler.
    #[serde(default)]
    pub beside: f64,
}

impl Cost {
    /// What was counted, to whole instructions and hundredths of an allocation.
    pub fn of(profile: &Profile) -> Self {
        Self {
            instructions: profile.total.round(),
            allocations: (profile.allocations * 100.0).round() / 100.0,
            // The sum of no numbers has a sign.
            beside: profile.beside.iter().sum::<f64>().round() + 0.0,
        }
    }

    /// Whether it is more than `before` and the margin.
    pub fn against(self, before: Option<Self>) -> Verdict {
        let Some(before) = before else {
            return Verdict::New;
        };
        let more = |now: f64, then: f64, grain: f64| now > then * (1.0 + MARGIN) + grain;
        let share =
            if before.instructions > 0.0 { self.instructions / before.instructions - 1.0 } else { 0.0 };
        if more(self.instructions, before.instructions, GRAIN)
            || more(self.allocations, before.allocations, ALLOCATION_GRAIN)
            || self.beside > before.beside * (1.0 + BESIDE_MARGIN) + BESIDE_GRAIN
        {
            Verdict::Costlier { share, before }
        } else if more(before.instructions, self.instructions, GRAIN)
            || more(before.allocations, self.allocations, ALLOCATION_GRAIN)
        {
            Verdict::Cheaper { share }
        } else {
            Verdict::Same { share }
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instructions, allocations, beside } = self;
        write!(f, "{instructions:>10.0} instructions {allocations:>8.2} allocations {beside:>8.0} beside")
    }
}

/// What comes of a comparison; shares are of the instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// By more than the margin: the baseline should follow.
    Cheaper {
        /// How much.
        share: f64,
    },
    /// Beyond the margin.
    Costlier {
        /// How much.
        share: f64,
        /// What it was.
        before: Cost,
    },
    /// There is nothing to compare with.
    New,
    /// Within the margin.
    Same {
        /// How much.
        share: f64,
    },
}

impl Verdict {
    /// True where the gate closes.
    pub fn is_costlier(self) -> bool {
        matches!(self, Self::Costlier { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cheaper { share } => {
                write!(f, "{:+.1} %, cheaper: keep it by `make perf-baseline`", share * 100.0)
            }
            Self::Costlier { share, before } => {
                write!(f, "{:+.1} %, COSTLIER than{before}", share * 100.0)
            }
            Self::New => write!(f, "(no baseline)"),
            Self::Same { share } => write!(f, "{:+.1} %", share * 100.0),
        }
    }
}

/// What each costs, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Baseline(BTreeMap<String, Cost>);

/// Why there is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// It is none.
    #[error("{0}: {1}")]
    Unreadable(PathBuf, toml::de::Error),
}

impl Baseline {
    /// The one in `file`.
    pub fn read(file: &Path) -> Result<Self, BaselineError> {
        let text =
            std::fs::read_to_string(file).map_err(|error| BaselineError::Io(file.to_owned(), error))?;
        toml::from_str(&text).map_err(|error| BaselineError::Unreadable(file.to_owned(), error))
    }

    /// Writes it to `file`; what `file` has and this has not, stays.
    pub fn write(&self, file: &Path) -> Result<(), BaselineError> {
        let mut all = if file.exists() { Self::read(file)? } else { Self::default() };
        all.0.extend(self.0.clone());
        std::fs::write(file, all.text()).map_err(|error| BaselineError::Io(file.to_owned(), error))
    }

    /// What `name` costs.
    pub fn cost(&self, name: &str) -> Option<Cost> {
        self.0.get(name).copied()
    }

    /// Notes what `name` costs.
    pub fn note(&mut self, name: &str, cost: Cost) {
        self.0.insert(name.to_owned(), cost);
    }

    fn text(&self) -> String {
        self.0.iter().fold(HEAD.to_owned(), |mut text, (name, cost)| {
            let Cost { instructions, allocations, beside } = cost;
            let _ = write!(
                text,
                "\n[{name}]\ninstructions = {instructions:?}\nallocations = {allocations:?}\nbeside = {beside:?}\n"
            );
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_percent_more_is_too_much_and_three_percent_less_is_news() {
        let cost = |instructions, allocations| Cost { instructions, allocations, beside: 8000.0 };
        let before = cost(10_000.0, 50.0);
        for (now, expected) in [
            (cost(10_300.0, 50.0), Verdict::Same { share: 0.03 }),
            (cost(10_400.0, 50.0), Verdict::Costlier { share: 0.04, before }),
            (cost(10_000.0, 52.0), Verdict::Costlier { share: 0.0, before }),
            (Cost { beside: 12_000.0, ..before }, Verdict::Same { share: 0.0 }),
            (Cost { beside: 13_000.0, ..before }, Verdict::Costlier { share: 0.0, before }),
            (cost(9_000.0, 50.0), Verdict::Cheaper { share: -0.1 }),
            (cost(10_000.0, 40.0), Verdict::Cheaper { share: 0.0 }),
        ] {
            let (verdict, expected) = (now.against(Some(before)), expected.to_string());
            assert_eq!(verdict.to_string(), expected, "{now}");
        }
        assert_eq!(before.against(None), Verdict::New);
        let free = cost(0.0, 0.0);
        assert_eq!(free.against(Some(free)), Verdict::Same { share: 0.0 });
    }

    #[test]
    fn what_is_written_is_read_and_what_was_not_counted_stays() {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("baseline.toml");
        let (mut first, mut second) = (Baseline::default(), Baseline::default());
        first.note("event", Cost { instructions: 900.0, allocations: 1.5, beside: 0.0 });
        first.note("request", Cost { instructions: 40_000.0, allocations: 60.0, beside: 9_000.0 });
        second.note("request", Cost { instructions: 30_000.0, allocations: 20.25, beside: 8_000.0 });
        first.write(&file).expect("written");
        second.write(&file).expect("written");
        let read = Baseline::read(&file).expect("a baseline");
        assert_eq!(read.cost("event"), first.cost("event"));
        assert_eq!(read.cost("request"), second.cost("request"));
        let error = Baseline::read(&home.path().join("none")).expect_err("no file");
        assert!(error.to_string().contains("none"), "{error}");
    }
}
