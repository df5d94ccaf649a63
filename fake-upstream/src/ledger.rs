//! What the token endpoint has done with every refresh token.

use std::collections::BTreeMap;

use serde::Serialize;

/// Most tokens that are counted one by one.
const MAX_TOKENS: usize = 100_000;

/// Counts of the token endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Exchanges that minted tokens.
    pub exchanges: u64,
    /// Spent tokens that came again after their grace.
    pub reuses: u64,
    /// Spent tokens that came again within their grace.
    pub graces: u64,
    /// Tokens that nobody minted.
    pub unknown: u64,
    /// The same by token. Out of process the keys are fingerprints.
    pub by_token: BTreeMap<String, TokenUse>,
}

/// What happened to one refresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenUse {
    /// Exchanges that minted tokens.
    pub exchanges: u64,
    /// Times it came after it was spent.
    pub reuses: u64,
    /// Times it came again within its grace.
    pub graces: u64,
}

impl Ledger {
    pub(crate) fn exchanged(&mut self, token: &str) {
        self.exchanges += 1;
        self.note(token, |used| used.exchanges += 1);
    }

    pub(crate) fn reused(&mut self, token: &str) {
        self.reuses += 1;
        self.note(token, |used| used.reuses += 1);
    }

    pub(crate) fn graced(&mut self, token: &str) {
        self.graces += 1;
        self.note(token, |used| used.graces += 1);
    }

    fn note(&mut self, token: &str, change: impl FnOnce(&mut TokenUse)) {
        if self.by_token.len() < MAX_TOKENS || self.by_token.contains_key(token) {
            change(self.by_token.entry(token.to_owned()).or_default());
        }
    }
}
