//! Which session is on which account (SEL-3): a soft memory of conversations, so that a provider's prompt cache is met
//! again. It advises; `engine::select` decides. Nothing here reads a clock, and nothing depends on the order of a hash
//! table: the oldest entry is known by an ordered index.
use crate::model::{AccountId, ProviderId, SessionKey, Time};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A use is written down again only after this long, so that a busy session writes next to nothing.
const GRAIN: Duration = Duration::from_secs(10);

/// How long an entry lasts, and how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffinityBounds {
    /// Without use, to within ten seconds.
    pub idle: Duration,
    /// Since it was made, however much it is used.
    pub lifetime: Duration,
    /// Entries at most; the one unused longest makes room.
    pub sessions: usize,
}

/// Session to account, bounded.
#[derive(Debug)]
pub struct Affinity {
    bounds: AffinityBounds,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<Key, Entry>,
    by_use: BTreeMap<(Time, u64), Key>,
    written: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    provider: ProviderId,
    session: SessionKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    account: AccountId,
    since: Time,
    place: (Time, u64),
}

impl Affinity {
    /// Nobody is anywhere yet.
    pub fn new(bounds: AffinityBounds) -> Self {
        Self { bounds, book: Mutex::default() }
    }

    /// The account `session` is on at `provider`, while the entry lasts.
    pub fn find(&self, provider: &ProviderId, session: &SessionKey, now: Time) -> Option<AccountId> {
        let key = Key::new(provider, session);
        let book = self.book();
        book.entries.get(&key).filter(|entry| self.lasts(entry, now)).map(|entry| entry.account)
    }

    /// `account` has served `session`. Written only where that is news, or the last use is ten seconds old.
    pub fn keep(&self, provider: &ProviderId, session: &SessionKey, account: AccountId, now: Time) {
        let key = Key::new(provider, session);
        let mut book = self.book();
        let known = book.entries.get(&key).copied();
        let since = match known {
            Some(entry) if entry.account == account && self.lasts(&entry, now) => {
                if entry.place.0.until(now) < GRAIN {
                    return;
                }
                entry.since
            }
            Some(_) | None => now,
        };
        book.put(key, account, since, now);
        while book.entries.len() > self.bounds.sessions {
            book.drop_oldest();
        }
    }

    /// `account` could not serve `session`: the entry goes if it still names that account.
    pub fn leave(&self, provider: &ProviderId, session: &SessionKey, account: AccountId) {
        let key = Key::new(provider, session);
        let mut book = self.book();
        let Some(entry) = book.entries.get(&key).copied() else {
            return;
        };
        if entry.account == account {
            book.entries.remove(&key);
            book.by_use.remove(&entry.place);
        }
    }

    /// `account` is gone: so are its sessions.
    pub fn clear(&self, account: AccountId) {
        let mut book = self.book();
        let Book { entries, by_use, .. } = &mut *book;
        by_use.retain(|_, key| {
            let stays = entries.get(key).is_some_and(|e| e.account != account);
            if !stays {
                entries.remove(key);
            }
            stays
        });
    }

    /// Sessions by provider, also those whose time is up but that nobody asked for since.
    pub fn counts(&self) -> BTreeMap<ProviderId, usize> {
        let mut counts = BTreeMap::new();
        for key in self.book().by_use.values() {
            *counts.entry(key.provider.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.book().entries.len()
    }

    /// True when no session is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lasts(&self, entry: &Entry, now: Time) -> bool {
        entry.place.0.until(now) < self.bounds.idle && entry.since.until(now) < self.bounds.lifetime
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn put(&mut self, key: Key, account: AccountId, since: Time, now: Time) {
        self.written += 1;
        let place = (now, self.written);
        let entry = Entry { account, since, place };
        if let Some(old) = self.entries.insert(key.clone(), entry) {
            self.by_use.remove(&old.place);
        }
        self.by_use.insert(place, key);
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.by_use.pop_first() {
            self.entries.remove(&key);
        }
    }
}

impl Key {
    fn new(provider: &ProviderId, session: &SessionKey) -> Self {
        Self { provider: provider.clone(), session: session.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    const A: AccountId = AccountId(1);
    const B: AccountId = AccountId(2);

    /// SEL-3
    #[test]
    fn a_session_stays_where_it_was_served_until_it_is_idle_for_too_long() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        assert_eq!(found(&affinity, "s", 3599), Some(A));
        assert_eq!(found(&affinity, "s", 3600), None);
    }

    /// SEL-3
    #[test]
    fn a_session_in_use_lives_for_a_day_and_no_longer() {
        let affinity = Affinity::new(bounds(10));
        for turn in 0..25 {
            affinity.keep(&provider("p"), &session("s"), A, at(turn * 3500));
        }
        assert_eq!(found(&affinity, "s", 86_399), Some(A));
        assert_eq!(found(&affinity, "s", 86_400), None);
        affinity.keep(&provider("p"), &session("s"), A, at(86_401));
        assert_eq!(found(&affinity, "s", 86_402), Some(A));
    }

    /// PRX-4
    #[test]
    fn the_session_unused_longest_makes_room() {
        let affinity = Affinity::new(bounds(2));
        affinity.keep(&provider("p"), &session("one"), A, at(0));
        affinity.keep(&provider("p"), &session("two"), A, at(1));
        affinity.keep(&provider("p"), &session("one"), A, at(20));
        affinity.keep(&provider("p"), &session("three"), B, at(21));
        assert_eq!(["one", "two", "three"].map(|name| found(&affinity, name, 22)), [Some(A), None, Some(B)]);
        assert_eq!(affinity.len(), 2);
    }

    /// SEL-3
    #[test]
    fn an_entry_is_dropped_only_by_the_account_it_names() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), B, at(0));
        affinity.leave(&provider("p"), &session("s"), A);
        assert_eq!(found(&affinity, "s", 1), Some(B));
        affinity.leave(&provider("p"), &session("s"), B);
        assert_eq!(found(&affinity, "s", 1), None);
        assert!(affinity.is_empty());
    }

    #[test]
    fn a_removed_account_leaves_no_session_behind() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("a"), A, at(0));
        affinity.keep(&provider("p"), &session("b"), B, at(0));
        affinity.clear(A);
        assert_eq!(["a", "b"].map(|name| found(&affinity, name, 1)), [None, Some(B)]);
        assert_eq!(affinity.book().by_use.len(), 1);
    }

    /// SEL-3
    #[test]
    fn equal_ids_of_two_kinds_or_two_providers_never_meet() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        let other = SessionKey::new(HeaderName::from_static("session-id"), "s").expect("a key");
        assert_eq!(affinity.find(&provider("p"), &other, at(1)), None);
        assert_eq!(affinity.find(&provider("q"), &session("s"), at(1)), None);
    }

    /// I4
    #[test]
    fn a_busy_session_is_written_once_in_ten_seconds() {
        let affinity = Affinity::new(bounds(10));
        for second in 0..30 {
            affinity.keep(&provider("p"), &session("s"), A, at(second));
        }
        assert_eq!(affinity.book().written, 3);
    }

    fn found(affinity: &Affinity, name: &str, secs: u64) -> Option<AccountId> {
        affinity.find(&provider("p"), &session(name), at(secs))
    }

    fn bounds(sessions: usize) -> AffinityBounds {
        AffinityBounds { idle: Duration::from_secs(3600), lifetime: Duration::from_secs(86_400), sessions }
    }

    fn at(secs: u64) -> Time {
        Time::from_secs(1_000_000 + secs)
    }

    fn provider(id: &str) -> ProviderId {
        ProviderId::try_from(id).expect("a provider id")
    }

    fn session(value: &str) -> SessionKey {
        SessionKey::new(HeaderName::from_static("x-rota-session"), value).expect("a session key")
    }
}
