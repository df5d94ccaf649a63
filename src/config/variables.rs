//! The environment as it was when rota started, for presets that take a value from it.
use super::Sources;
use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// Variables by name. They are kept from the start on, because the process forgets its own; `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Zeroizing<String>>);

impl Variables {
    /// Those of `sources` that are not empty.
    pub fn of(sources: &Sources) -> Self {
        let kept = sources.env.iter().filter(|(_, value)| !value.is_empty());
        Self(kept.map(|(name, value)| (name.clone(), Zeroizing::new(value.clone()))).collect())
    }

    /// A variable's value. It may be a secret: it goes into a token request or a program's environment, nowhere else.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OBS-3
    #[test]
    fn a_variable_can_be_asked_for_and_is_not_shown() {
        let env = [("KEY", "canary"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = Variables::of(&Sources { env: env.into(), ..Sources::default() });
        assert_eq!(
            [variables.get("KEY"), variables.get("EMPTY"), variables.get("NONE")],
            [Some("canary"), None, None]
        );
        assert_eq!(format!("{variables:?}"), "[\"KEY\"]");
    }
}
