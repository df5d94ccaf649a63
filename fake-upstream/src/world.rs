//! The running state: accounts, faults, counts and what went against the rules.
//! Plain data behind one lock in [`crate::hub`]; nothing here waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::account::Account;
use crate::assertions::{Assertions, Rule, Watch};
use crate::authorize::Codes;
use crate::device::Devices;
use crate::fault_table::FaultTable;
use crate::ledger::Ledger;
use crate::script::{Script, credentials};
use crate::seal::fingerprint;

/// Most ids of responses, messages and files remembered with whose they are.
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
    pub(crate) watch: Watch,
    known: BTreeMap<String, usize>,
    mints: BTreeMap<String, Mint>,
    mint_order: VecDeque<String>,
    serial: u64,
}

/// Whose an id is, and where it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mint {
    pub(crate) account: String,
    pub(crate) org: String,
    /// Good wherever the organisation asks, not only where it was given out.
    pub(crate) kept: bool,
    /// The WebSocket over which it was given out.
    pub(crate) socket: Option<u64>,
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
            watch: Watch::new(&script.canaries),
            script,
            faults: FaultTable::default(),
            ledger: Ledger::default(),
            codes: Codes::default(),
            devices: Devices::default(),
            cascade: Cascade::default(),
            known: BTreeMap::new(),
            mints: BTreeMap::new(),
            mint_order: VecDeque::new(),
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
    pub(crate) fn violation(&mut self, rule: Rule, account: &str, words: String) {
        self.watch.report(rule, account, words);
    }

    pub(crate) fn assertions(&self) -> &Assertions {
        &self.watch.seen
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.watch.seen.violations.iter().map(|violation| violation.words.clone()).collect()
    }

    /// Remembers whose an id is.
    pub(crate) fn mint(&mut self, id: &str, mint: Mint) {
        if self.mints.insert(id.to_owned(), mint).is_none() {
            self.mint_order.push_back(id.to_owned());
        }
        if self.mint_order.len() > MAX_IDS
            && let Some(oldest) = self.mint_order.pop_front()
        {
            self.mints.remove(&oldest);
        }
    }

    /// Forgets whose an id is.
    pub(crate) fn forget(&mut self, id: &str) {
        self.mints.remove(id);
    }

    /// Whether the id is good wherever this organisation asks.
    pub(crate) fn owns(&self, id: &str, org: &str) -> bool {
        self.minted(id).is_some_and(|mint| mint.kept && mint.org == org)
    }

    /// Whose an id is.
    pub(crate) fn minted(&self, id: &str) -> Option<&Mint> {
        self.mints.get(id)
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
        let mint = |kept| Mint { account: "a".into(), org: "org-a".into(), kept, socket: None };
        world.mint("resp_1", mint(true));
        world.mint("resp_2", mint(false));
        let owns = |id, org| world.owns(id, org);
        assert_eq!(
            [
                owns("resp_1", "org-a"),
                owns("resp_1", "org-b"),
                owns("resp_2", "org-a"),
                owns("resp_3", "org-a")
            ],
            [true, false, false, false]
        );
        assert_eq!(world.minted("resp_2"), Some(&mint(false)));
    }
}
