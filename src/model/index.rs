use super::{ProviderId, Time};

/// Which accounts may be taken, found out beforehand: as long as the snapshot it stands in is in force and no time that
/// matters has passed. It knows nothing that a look at every account would not tell; without it, every account is
/// looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// It holds from here on,
    pub from: Time,
    /// and no longer when this comes.
    pub until: Time,
    /// One for each account, in their order.
    pub standings: Vec<Standing>,
    /// By provider, ascending.
    pub rosters: Vec<(ProviderId, Roster)>,
    /// Accounts that are switched on, and all there are, by provider, ascending.
    pub census: Vec<(ProviderId, (usize, usize))>,
}

/// What is known of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it may be taken.
    pub may: May,
    /// As long as this has not come.
    pub until: Time,
}

/// Whether an account may be taken by rotation, in the first tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// By any request.
    Always,
    /// It depends on the request, or on those under way.
    Ask,
    /// By none.
    Never,
}

/// One provider's accounts. Numbers are places in [`Snapshot::accounts`](super::Snapshot::accounts), ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Those that may always be taken.
    pub always: Vec<u32>,
    /// Those to be asked.
    pub ask: Vec<u32>,
    /// Of those that may always be taken, the ones that the strategy prefers to the others; all, where it prefers none.
    pub best: Vec<u32>,
    /// The running sums of the weights of `always`; empty where all are equal, or do not matter.
    pub sums: Vec<u64>,
}

impl Index {
    /// True where it tells of `now`.
    pub fn covers(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }

    /// What it knows of a provider's accounts.
    pub fn roster(&self, provider: &ProviderId, now: Time) -> Option<&Roster> {
        if !self.covers(now) {
            return None;
        }
        let at = self.rosters.binary_search_by(|(known, _)| known.cmp(provider)).ok()?;
        self.rosters.get(at).map(|(_, roster)| roster)
    }
}
