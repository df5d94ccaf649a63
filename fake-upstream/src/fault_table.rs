//! The faults that are set, and which of them a request meets.

use crate::fault::{Action, Fault, When};

/// Most faults set at a time; the oldest go first.
const MAX_FAULTS: usize = 1_000;

/// What is known of a request when its fault is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// The account, when its credential has passed the check.
    pub(crate) account: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) path: &'a str,
    pub(crate) method: &'a str,
}

/// How far the request has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Only the head.
    Head,
    /// All of it.
    Whole,
}

/// The faults in the order in which they are tried.
#[derive(Debug, Default)]
pub(crate) struct FaultTable {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    seen: u64,
    acted: u64,
}

impl FaultTable {
    pub(crate) fn set(&mut self, fault: Fault) {
        if self.rules.len() >= MAX_FAULTS {
            self.rules.remove(0);
        }
        self.rules.push(Rule { fault, seen: 0, acted: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The first fault that meets the request, counted as having acted.
    pub(crate) fn choose(&mut self, phase: Phase, target: Target<'_>) -> Option<Fault> {
        self.rules
            .iter_mut()
            .filter(|rule| rule.phase() == phase && meets(&rule.fault.when, target))
            .find_map(Rule::take)
    }
}

impl Rule {
    fn phase(&self) -> Phase {
        let early = self.fault.actions.iter().any(|action| matches!(action, Action::Early { .. }));
        if early { Phase::Head } else { Phase::Whole }
    }

    fn take(&mut self) -> Option<Fault> {
        let when = &self.fault.when;
        if when.times.is_some_and(|times| self.acted >= times) {
            return None;
        }
        let place = self.seen;
        self.seen += 1;
        let after_skip = place.checked_sub(when.skip)?;
        if !(after_skip + 1).is_multiple_of(when.every.max(1)) {
            return None;
        }
        self.acted += 1;
        Some(self.fault.clone())
    }
}

fn meets(when: &When, target: Target<'_>) -> bool {
    let path = |wanted: &String| match wanted.strip_suffix('*') {
        Some(start) => target.path.starts_with(start),
        None => target.path == wanted,
    };
    when.account.as_deref().is_none_or(|id| target.account == Some(id))
        && when.model.as_deref().is_none_or(|model| target.model == model)
        && when.method.as_deref().is_none_or(|method| target.method.eq_ignore_ascii_case(method))
        && when.path.as_ref().is_none_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_acts_on_the_requests_it_names_and_as_often_as_it_says() {
        let mut table = FaultTable::default();
        table.set(Fault::reply(500, "").account("a").path("/v1/*").skip(1).every(2).times(2));
        let ask = |table: &mut FaultTable, account, path| {
            table.choose(Phase::Whole, Target { account, model: "", path, method: "POST" }).is_some()
        };
        assert!(!ask(&mut table, Some("b"), "/v1/x"));
        assert!(!ask(&mut table, None, "/v1/x"));
        assert!(!ask(&mut table, Some("a"), "/other"));
        let acted: Vec<bool> = (0..7).map(|_| ask(&mut table, Some("a"), "/v1/x")).collect();
        assert_eq!(acted, [false, false, true, false, true, false, false]);
    }

    #[test]
    fn a_used_up_fault_makes_way_for_the_next() {
        let mut table = FaultTable::default();
        table.set(Fault::reply(500, "").once());
        table.set(Fault::reply(429, ""));
        table.set(Fault::early(413, ""));
        let target = Target { account: None, model: "m", path: "/", method: "GET" };
        let first = |table: &mut FaultTable, phase| table.choose(phase, target).map(|fault| fault.actions);
        assert_eq!(first(&mut table, Phase::Whole), Some(Fault::reply(500, "").actions));
        assert_eq!(first(&mut table, Phase::Whole), Some(Fault::reply(429, "").actions));
        assert_eq!(first(&mut table, Phase::Head), Some(Fault::early(413, "").actions));
        table.clear();
        assert_eq!(first(&mut table, Phase::Whole), None);
    }
}
