//! Which session is on which account (SEL-3): a soft memory of conversations, so that a provider's prompt cache is met
//! again. It advises; `engine::select` decides. Nothing here reads a clock, and nothing depends on the order of a hash
//! table: the oldest entry is known by an ordered index.
mod owners;

pub use owners::{Mark, Owned, OwnerBounds, Owners};

use crate::model::{AccountId, ProviderId, SessionKey, Time};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A use is written down again only after this long, so that a busy session writes next to nothing.
const GRAIN: Duration = Duration::from_secs(10);
/// How long before a session loses its account this is told (PRX-5).
pub const WARNING: Duration = Duration::from_secs(30);

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
    /// By the time and order of their making.
    by_age: BTreeMap<(Time, u64), Key>,
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
    made: (Time, u64),
    place: (Time, u64),
    /// Its end was told, and nobody has used it since.
    warned: bool,
}

/// One session and its account, as views show it and as it is kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The provider.
    pub provider: ProviderId,
    /// The session.
    pub session: SessionKey,
    /// Its account.
    pub account: AccountId,
    /// Since when it is there.
    pub since: Time,
    /// When it was last used, to within ten seconds.
    pub used: Time,
    /// When it ends unless it is used.
    pub until: Time,
}

/// What [`Affinity::tend`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Sessions that lose their account within [`WARNING`] unless they are used; each is told once.
    pub warned: Vec<Pin>,
    /// Sessions that have lost it.
    pub ended: Vec<Pin>,
    /// When to look again; none where nothing is remembered.
    pub wake: Option<Time>,
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
        let made = match known {
            Some(entry) if entry.account == account && self.lasts(&entry, now) => {
                if entry.place.0.until(now) < GRAIN && !entry.warned {
                    return;
                }
                Some(entry.made)
            }
            Some(_) | None => None,
        };
        // A session that is too old goes, however much it is used: that was told, and is not told again.
        let old = |made: (Time, u64)| made.0.after(self.bounds.lifetime) <= now.after(WARNING);
        let warned = known.is_some_and(|entry| entry.warned) && made.is_some_and(old);
        book.put(key, account, made, now, warned);
        while book.entries.len() > self.bounds.sessions {
            book.drop_oldest();
        }
    }

    /// Bytes of `account`'s reply to `session` still pass: that is use, too. Nothing is begun by it: who was moved or
    /// forgotten meanwhile stays so.
    pub fn touch(&self, provider: &ProviderId, session: &SessionKey, account: AccountId, now: Time) {
        if self.find(provider, session, now) == Some(account) {
            self.keep(provider, session, account, now);
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
            book.remove(&key);
        }
    }

    /// A human takes the session from its account. False where it has none.
    pub fn forget(&self, provider: &ProviderId, session: &SessionKey) -> bool {
        self.book().remove(&Key::new(provider, session)).is_some()
    }

    /// The provider's sessions all go: whatever comes next decides anew where they are.
    pub fn clear_provider(&self, provider: &ProviderId) {
        self.book().remove_where(|key, _| key.provider == *provider);
    }

    /// Tells what ends soon, and drops what has ended.
    pub fn tend(&self, now: Time) -> Tended {
        let mut book = self.book();
        let AffinityBounds { idle, lifetime, .. } = self.bounds;
        let soon = now.after(WARNING);
        let by_use = book.by_use.iter().take_while(|((used, _), _)| used.after(idle) <= soon);
        let by_age = book.by_age.iter().take_while(|((made, _), _)| made.after(lifetime) <= soon);
        let due: Vec<Key> = by_use.chain(by_age).map(|(_, key)| key.clone()).collect();
        let mut tended = Tended::default();
        for key in due {
            let Some(entry) = book.entries.get_mut(&key) else {
                continue;
            };
            let pin = pin(&key, entry, &self.bounds);
            if pin.until <= now {
                book.remove(&key);
                tended.ended.push(pin);
            } else if !std::mem::replace(&mut entry.warned, true) {
                tended.warned.push(pin);
            }
        }
        let unwarned = book.entries.values().map(|entry| {
            let until = ends(entry, &self.bounds);
            if entry.warned { until } else { until.before(WARNING) }
        });
        tended.wake = unwarned.min();
        tended
    }

    /// Every session that lasts, the one unused longest first.
    pub fn pins(&self, now: Time) -> Vec<Pin> {
        let book = self.book();
        let entries = book.by_use.values().filter_map(|key| Some((key, book.entries.get(key)?)));
        entries
            .filter(|(_, entry)| self.lasts(entry, now))
            .map(|(key, entry)| pin(key, entry, &self.bounds))
            .collect()
    }

    /// Takes in what was kept, the one unused longest first.
    pub fn restore(&self, pins: impl IntoIterator<Item = Pin>) {
        let mut book = self.book();
        for pin in pins {
            let made = book.written + 1;
            let key = Key { provider: pin.provider, session: pin.session };
            book.put(key, pin.account, Some((pin.since, made)), pin.used, false);
            if book.entries.len() > self.bounds.sessions {
                book.drop_oldest();
            }
        }
    }

    /// How often anything was written: what keeps it elsewhere sees by this whether there is news.
    pub fn writes(&self) -> u64 {
        self.book().written
    }

    /// `account` is gone or out of rotation: so are its sessions.
    pub fn clear(&self, account: AccountId) {
        self.book().remove_where(|_, entry| entry.account == account);
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
        now < ends(entry, &self.bounds)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn put(&mut self, key: Key, account: AccountId, made: Option<(Time, u64)>, now: Time, warned: bool) {
        self.remove(&key);
        self.written += 1;
        let place = (now, self.written);
        let entry = Entry { account, made: made.unwrap_or(place), place, warned };
        self.by_use.insert(entry.place, key.clone());
        self.by_age.insert(entry.made, key.clone());
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.by_use.remove(&entry.place);
        self.by_age.remove(&entry.made);
        self.written += 1;
        Some(entry)
    }

    fn remove_where(&mut self, goes: impl Fn(&Key, &Entry) -> bool) {
        let all = self.entries.iter().filter(|(key, entry)| goes(key, entry));
        let gone: Vec<Key> = all.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.by_use.first_key_value() {
            let key = key.clone();
            self.remove(&key);
        }
    }
}

fn ends(entry: &Entry, bounds: &AffinityBounds) -> Time {
    entry.place.0.after(bounds.idle).min(entry.made.0.after(bounds.lifetime))
}

fn pin(key: &Key, entry: &Entry, bounds: &AffinityBounds) -> Pin {
    Pin {
        provider: key.provider.clone(),
        session: key.session.clone(),
        account: entry.account,
        since: entry.made.0,
        used: entry.place.0,
        until: ends(entry, bounds),
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

    /// PRX-5
    #[test]
    fn bytes_that_pass_prolong_a_session_and_never_bring_one_back() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        affinity.touch(&provider("p"), &session("s"), A, at(3000));
        assert_eq!(found(&affinity, "s", 6599), Some(A));
        affinity.touch(&provider("p"), &session("s"), B, at(6000));
        assert_eq!(found(&affinity, "s", 6599), Some(A), "not by another account's reply");
        affinity.forget(&provider("p"), &session("s"));
        affinity.touch(&provider("p"), &session("s"), A, at(6001));
        assert_eq!(found(&affinity, "s", 6002), None);
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
        assert_eq!(affinity.book().entries.values().next().map(|entry| entry.place.0), Some(at(20)));
        assert_eq!(affinity.writes(), 5, "one, and two moves");
    }

    /// PRX-5
    #[test]
    fn the_end_of_a_session_is_told_half_a_minute_before_and_use_puts_both_off() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        assert_eq!(affinity.tend(at(0)).wake, Some(at(3570)));
        let told = |secs: u64| {
            let Tended { warned, ended, .. } = affinity.tend(at(secs));
            (warned.len(), ended.len())
        };
        assert_eq!(told(3569), (0, 0));
        assert_eq!(told(3570), (1, 0));
        assert_eq!(told(3580), (0, 0), "once");
        affinity.keep(&provider("p"), &session("s"), A, at(3581));
        assert_eq!(told(3600), (0, 0));
        assert_eq!(told(7160), (1, 0), "again, for it was used");
        assert_eq!(told(7181), (0, 1));
        assert!(affinity.is_empty());
        assert_eq!(affinity.tend(at(7181)).wake, None);
    }

    /// PRX-5
    #[test]
    fn an_old_session_ends_however_busy_and_is_told_so_once() {
        let affinity = Affinity::new(bounds(10));
        let mut told = Vec::new();
        for second in (0..86_420).step_by(15) {
            affinity.keep(&provider("p"), &session("s"), A, at(second));
            let Tended { warned, ended, .. } = affinity.tend(at(second));
            told.extend(warned.iter().map(|_| ("warned", second)));
            told.extend(ended.iter().map(|_| ("ended", second)));
        }
        assert_eq!(told, [("warned", 86_370)], "the next use begins anew");
        assert_eq!(affinity.pins(at(86_415)).first().map(|pin| pin.since), Some(at(86_400)));
    }

    /// SEL-3
    #[test]
    fn what_is_kept_comes_back_as_it_was() {
        let affinity = Affinity::new(bounds(10));
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            affinity.keep(&provider("p"), &session(name), A, at(n as u64 * 20));
        }
        affinity.keep(&provider("p"), &session("a"), A, at(100));
        let again = Affinity::new(bounds(2));
        again.restore(affinity.pins(at(100)));
        let pins = affinity.pins(at(100));
        assert_eq!(again.pins(at(100)), pins[1..], "the one unused longest makes room");
        assert!(again.forget(&provider("p"), &session("a")) && !again.forget(&provider("p"), &session("a")));
        again.clear_provider(&provider("p"));
        assert!(again.is_empty() && again.book().by_age.is_empty() && again.book().by_use.is_empty());
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
