//! The running state: accounts, faults, counts and what went against the rules.
//! Plain data behind one lock in [`crate::hub`]; nothing here waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::account::Account;
use crate::authorize::Codes;
use crate::device::Devices;
use crate::fault_table::FaultTable;
use crate::ledger::Ledger;
use crate::script::{Script, credentials};
use crate::seal::fingerprint;

/// Most violations kept; later ones are only missed by a test that failed long ago.
const MAX_VIOLATIONS: usize = 1_000;
/// Most ids of responses and messages remembered with their organisation.
const MAX_IDS: usize = 100_000;

/// Everything that changes while the fake runs.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) accounts: Vec<Account>,
    pub(crate) faults: FaultTable,
    pub(crate) ledger: Ledger,
    pub(crate) codes: Codes,
    pub(crate) devices: Devices,
    pub(crate) cascade: Cascade,
    known: BTreeMap<String, usize>,
    violations: Vec<String>,
    owners: BTreeMap<String, String>,
    owner_order: VecDeque<String>,
    serial: u64,
}

/// Tokens tried since one was answered as invalidated.
#[derive(Debug, Default)]
pub(crate) struct Cascade {
    pub(crate) since_ms: Option<i64>,
    pub(crate) tried: BTreeSet<String>,
}

impl World {
    pub(crate) fn new(script: Script, now: i64) -> Self {
        let mut world = Self {
            accounts: script.accounts.clone(),
            script,
            faults: FaultTable::default(),
            ledger: Ledger::default(),
            codes: Codes::default(),
            devices: Devices::default(),
            cascade: Cascade::default(),
            known: BTreeMap::new(),
            violations: Vec::new(),
            owners: BTreeMap::new(),
            owner_order: VecDeque::new(),
            serial: 0,
        };
        world.settle(now);
        world
    }

    /// Brings everything derived from the accounts up to date after a change.
    pub(crate) fn settle(&mut self, now: i64) {
        for account in &mut self.accounts {
            account.settle(now);
        }
        self.known = BTreeMap::new();
        for (place, account) in self.accounts.iter().enumerate() {
            for credential in credentials(account) {
                self.known.insert(credential.to_owned(), place);
            }
        }
    }

    /// Notes a credential minted for the account at `place`.
    pub(crate) fn know(&mut self, credential: &str, place: usize) {
        self.known.insert(credential.to_owned(), place);
    }

    /// Place of the account that has this credential, of whatever kind.
    pub(crate) fn place_of_credential(&self, credential: &str) -> Option<usize> {
        self.known.get(credential).copied()
    }

    pub(crate) fn place_of(&self, id: &str) -> Option<usize> {
        self.accounts.iter().position(|account| account.id == id)
    }

    /// Adds the account, or replaces the one of its id.
    pub(crate) fn put(&mut self, account: Account, now: i64) {
        match self.place_of(&account.id) {
            Some(place) => {
                if let Some(old) = self.accounts.get_mut(place) {
                    *old = account;
                }
            }
            None => self.accounts.push(account),
        }
        self.settle(now);
    }

    /// A number that no other call gets.
    pub(crate) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Notes that the proxy did what it must never do.
    pub(crate) fn violation(&mut self, words: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(words);
        }
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.violations.clone()
    }

    /// Remembers which organisation an id belongs to.
    pub(crate) fn own(&mut self, id: &str, org: &str) {
        if self.owners.insert(id.to_owned(), org.to_owned()).is_none() {
            self.owner_order.push_back(id.to_owned());
        }
        if self.owner_order.len() > MAX_IDS
            && let Some(oldest) = self.owner_order.pop_front()
        {
            self.owners.remove(&oldest);
        }
    }

    /// Forgets whose an id is.
    pub(crate) fn disown(&mut self, id: &str) {
        self.owners.remove(id);
    }

    /// Whether the id was minted for this organisation.
    pub(crate) fn owns(&self, id: &str, org: &str) -> bool {
        self.owners.get(id).is_some_and(|owner| owner == org)
    }

    /// Replaces every known credential in a header's value by its fingerprint.
    pub(crate) fn masked(&self, value: &str) -> String {
        if self.known.contains_key(value) {
            return fingerprint(value);
        }
        let mut out = String::with_capacity(value.len());
        for word in value.split_inclusive([' ', ',', ';', '=', '"', '&']) {
            let end = word
                .char_indices()
                .last()
                .filter(|(_, last)| " ,;=\"&".contains(*last))
                .map_or(word.len(), |(at, _)| at);
            let (bare, delimiter) = word.split_at(end);
            match self.known.contains_key(bare) {
                true => out.push_str(&fingerprint(bare)),
                false => out.push_str(bare),
            }
            out.push_str(delimiter);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_credential_is_masked_wherever_it_stands_and_nothing_else_is() {
        let world = World::new(Script::new().account(Account::new("a").api_key("sk-a")), 0);
        let shown = fingerprint("sk-a");
        assert_eq!(world.masked("Bearer sk-a"), format!("Bearer {shown}"));
        assert_eq!(world.masked("/x?key=sk-a&y=sk-ab"), format!("/x?key={shown}&y=sk-ab"));
        assert_eq!(world.masked("Bearer sk-client, ä"), "Bearer sk-client, ä");
        assert_eq!(world.masked(""), "");
    }

    #[test]
    fn an_id_belongs_to_the_organisation_it_was_minted_for() {
        let mut world = World::new(Script::new(), 0);
        world.own("resp_1", "org-a");
        assert!(
            world.owns("resp_1", "org-a") && !world.owns("resp_1", "org-b") && !world.owns("resp_2", "org-a")
        );
    }
}
