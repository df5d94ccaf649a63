//! The sessions themselves, and the two orders in which they are asked for. Nothing here waits or locks.
use super::{AffinityBounds, GRAIN, Pin, WARNING};
use crate::model::{AccountId, ProviderId, SessionKey, Time};
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};

#[derive(Debug)]
pub(super) struct Book {
    bounds: AffinityBounds,
    entries: HashMap<Key, Entry>,
    by_use: BTreeMap<(Time, u64), Key>,
    /// By when something is to be told of it.
    by_wake: BTreeMap<(Time, u64), Key>,
    pub(super) written: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) provider: ProviderId,
    pub(super) session: SessionKey,
}

/// Of the session only: a client names it to one provider, and there are few of those.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.session.hash(state);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) account: AccountId,
    pub(super) made: Time,
    /// Its last use, and its number among all that were written.
    pub(super) place: (Time, u64),
    /// Its end was told, and nobody has used it since.
    pub(super) warned: bool,
}

impl Book {
    pub(super) fn new(bounds: AffinityBounds) -> Self {
        Self {
            bounds,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            by_wake: BTreeMap::new(),
            written: 0,
        }
    }

    pub(super) fn get(&self, key: &Key) -> Option<Entry> {
        self.entries.get(key).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the first of all is to be looked at.
    pub(super) fn wake(&self) -> Option<Time> {
        self.by_wake.first_key_value().map(|((wake, _), _)| *wake)
    }

    /// The first that is to be looked at by `now`.
    pub(super) fn due(&self, now: Time) -> Option<(Key, Entry)> {
        let ((wake, _), key) = self.by_wake.first_key_value()?;
        if *wake > now {
            return None;
        }
        Some((key.clone(), self.get(key)?))
    }

    /// All, the one unused longest first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.by_use.values().filter_map(|key| self.entries.get_key_value(key))
    }

    pub(super) fn ends(&self, entry: &Entry) -> Time {
        let AffinityBounds { idle, lifetime, .. } = self.bounds;
        entry.place.0.after(idle).min(entry.made.after(lifetime))
    }

    pub(super) fn lasts(&self, entry: &Entry, now: Time) -> bool {
        now < self.ends(entry)
    }

    /// True where only its age ends it, and soon: use does not put that off.
    pub(super) fn is_old(&self, entry: &Entry, now: Time) -> bool {
        entry.made.after(self.bounds.lifetime) <= now.after(WARNING)
    }

    pub(super) fn pin(&self, key: &Key, entry: &Entry) -> Pin {
        Pin {
            provider: key.provider.clone(),
            session: key.session.clone(),
            account: entry.account,
            since: entry.made,
            used: entry.place.0,
            until: self.ends(entry),
        }
    }

    /// `account` is where the session is, used at `used`, since `made`.
    pub(super) fn put(&mut self, key: Key, account: AccountId, made: Time, used: Time) {
        self.insert(key, Entry { account, made, place: (used, 0), warned: false });
        while self.entries.len() > self.bounds.sessions {
            let Some((_, oldest)) = self.by_use.first_key_value() else {
                return;
            };
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    /// The session was used: written only where that was not just written. That it is too old was told, and is not told
    /// again.
    pub(super) fn used(&mut self, key: Key, entry: Entry, now: Time) {
        if !entry.warned && entry.place.0.until(now) < GRAIN {
            return;
        }
        let warned = entry.warned && self.is_old(&entry, now);
        self.insert(key, Entry { place: (now, 0), warned, ..entry });
    }

    /// The session's end was told.
    pub(super) fn warn(&mut self, key: &Key) {
        let Some(entry) = self.get(key) else {
            return;
        };
        self.by_wake.remove(&self.wakes(&entry));
        let warned = Entry { warned: true, ..entry };
        self.by_wake.insert(self.wakes(&warned), key.clone());
        self.entries.insert(key.clone(), warned);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.by_use.remove(&entry.place);
        self.by_wake.remove(&self.wakes(&entry));
        self.written += 1;
        Some(entry)
    }

    pub(super) fn remove_where(&mut self, goes: impl Fn(&Key, &Entry) -> bool) {
        let all = self.in_order().filter(|(key, entry)| goes(key, entry));
        let gone: Vec<Key> = all.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    fn insert(&mut self, key: Key, entry: Entry) {
        self.remove(&key);
        self.written += 1;
        let entry = Entry { place: (entry.place.0, self.written), ..entry };
        self.by_use.insert(entry.place, key.clone());
        self.by_wake.insert(self.wakes(&entry), key.clone());
        self.entries.insert(key, entry);
    }

    fn wakes(&self, entry: &Entry) -> (Time, u64) {
        let until = self.ends(entry);
        let wake = if entry.warned { until } else { until.before(WARNING) };
        (wake, entry.place.1)
    }

    #[cfg(test)]
    pub(super) fn is_clean(&self) -> bool {
        self.entries.is_empty() && self.by_use.is_empty() && self.by_wake.is_empty()
    }
}

impl Key {
    pub(super) fn new(provider: &ProviderId, session: &SessionKey) -> Self {
        Self { provider: provider.clone(), session: session.clone() }
    }
}
