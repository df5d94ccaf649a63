//! Which session is on which account (SEL-3): a soft memory of conversations, so that a provider's prompt cache is met
//! again. It advises; `engine::select` decides. Nothing here reads a clock, and nothing depends on the order of a hash
//! table: the oldest entry is known by an ordered index.
mod book;
mod kept;
mod owners;

pub use kept::Unkept;
pub use owners::{Holding, Mark, Owned, OwnerBounds, Owners};

use crate::model::{AccountId, ProviderId, SessionKey, Time};
use aws_lc_rs::digest::{SHA256, digest};
use book::{Book, Key};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// A use is written down again only after this long, so that a busy session writes next to nothing.
pub const GRAIN: Duration = Duration::from_secs(10);
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
    book: Mutex<Book>,
    news: Notify,
    sooner: Notify,
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

impl Pin {
    /// A short name for the session: 16 hex digits, the same for the same provider, kind and id. What is logged and
    /// asked for instead of the client's own id.
    pub fn key(&self) -> String {
        let (kind, value) = (self.session.kind(), self.session.value());
        let hash = digest(&SHA256, format!("{}\n{kind}\n{value}", self.provider).as_bytes());
        hash.as_ref()[..8].iter().fold(String::with_capacity(16), |mut key, byte| {
            let _ = write!(key, "{byte:02x}");
            key
        })
    }
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
        Self { book: Mutex::new(Book::new(bounds)), news: Notify::new(), sooner: Notify::new() }
    }

    /// The account `session` is on at `provider`, while the entry lasts.
    pub fn find(&self, provider: &ProviderId, session: &SessionKey, now: Time) -> Option<AccountId> {
        let book = self.book();
        let entry = book.get(&Key::new(provider, session))?;
        book.lasts(&entry, now).then_some(entry.account)
    }

    /// `account` has served `session`. Written only where that is news, or the last use is ten seconds old.
    pub fn keep(&self, provider: &ProviderId, session: &SessionKey, account: AccountId, now: Time) {
        let key = Key::new(provider, session);
        self.change(|book| match book.get(&key) {
            Some(entry) if entry.account == account && book.lasts(&entry, now) => {
                book.used(key, entry, now);
            }
            Some(_) | None => book.put(key, account, now, now),
        });
    }

    /// `session` is in use, wherever it is: its time begins anew. Changes nothing where it is nowhere.
    pub fn touch(&self, provider: &ProviderId, session: &SessionKey, now: Time) {
        let key = Key::new(provider, session);
        self.change(|book| {
            if let Some(entry) = book.get(&key).filter(|entry| book.lasts(entry, now)) {
                book.used(key, entry, now);
            }
        });
    }

    /// `account` could not serve `session`: the entry goes if it still names that account.
    pub fn leave(&self, provider: &ProviderId, session: &SessionKey, account: AccountId) {
        let key = Key::new(provider, session);
        self.change(|book| {
            if book.get(&key).is_some_and(|entry| entry.account == account) {
                book.remove(&key);
            }
        });
    }

    /// A human takes the session from its account. False where it has none.
    pub fn forget(&self, provider: &ProviderId, session: &SessionKey) -> bool {
        let key = Key::new(provider, session);
        self.change(|book| book.remove(&key).is_some())
    }

    /// The provider's sessions all go: whatever comes next decides anew where they are.
    pub fn clear_provider(&self, provider: &ProviderId) {
        self.change(|book| book.remove_where(|key, _| key.provider == *provider));
    }

    /// `account` is gone or out of rotation: so are its sessions.
    pub fn clear(&self, account: AccountId) {
        self.change(|book| book.remove_where(|_, entry| entry.account == account));
    }

    /// Tells what ends soon, and drops what has ended. Looks at nothing that is not due.
    pub fn tend(&self, now: Time) -> Tended {
        self.change(|book| {
            let mut tended = Tended::default();
            while let Some((key, entry)) = book.due(now) {
                let pin = book.pin(&key, &entry);
                if pin.until <= now {
                    book.remove(&key);
                    tended.ended.push(pin);
                } else {
                    book.warn(&key);
                    tended.warned.push(pin);
                }
            }
            tended.wake = book.wake();
            tended
        })
    }

    /// Every session that lasts, the one unused longest first.
    pub fn pins(&self, now: Time) -> Vec<Pin> {
        let book = self.book();
        let lasting = book.in_order().filter(|(_, entry)| book.lasts(entry, now));
        lasting.map(|(key, entry)| book.pin(key, entry)).collect()
    }

    /// Takes in what was kept, the one unused longest first; what has ended since is left out. A clock that was put
    /// back makes nothing last longer than from now on.
    pub fn restore(&self, pins: impl IntoIterator<Item = Pin>, now: Time) {
        self.change(|book| {
            for pin in pins {
                let key = Key { provider: pin.provider, session: pin.session };
                book.put(key.clone(), pin.account, pin.since.min(now), pin.used.min(now));
                if book.get(&key).is_some_and(|entry| !book.lasts(&entry, now)) {
                    book.remove(&key);
                }
            }
        });
    }

    /// How often anything was written: what keeps it elsewhere sees by this whether there is news.
    pub fn writes(&self) -> u64 {
        self.book().written
    }

    /// Returns once anything was written since this was last waited for. For one who waits.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Returns once there may be something to tell sooner than [`tend`](Self::tend) said. For one who waits.
    pub async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Sessions by provider, also those whose time is up but that nobody asked for since.
    pub fn counts(&self) -> BTreeMap<ProviderId, usize> {
        let mut counts = BTreeMap::new();
        for (key, _) in self.book().in_order() {
            *counts.entry(key.provider.clone()).or_insert(0) += 1;
        }
        counts
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.book().len()
    }

    /// True when no session is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn change<T>(&self, how: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.book();
        let (written, wake) = (book.written, book.wake());
        let done = how(&mut book);
        if book.written != written {
            self.news.notify_one();
        }
        if book.wake().is_some_and(|next| wake.is_none_or(|wake| next < wake)) {
            self.sooner.notify_one();
        }
        done
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(affinity.len(), 1);
    }

    /// SEL-3
    #[test]
    fn equal_ids_of_two_kinds_or_two_providers_never_meet() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        let other = SessionKey::new(HeaderName::from_static("session-id"), "s").expect("a key");
        let places = [(provider("p"), session("s")), (provider("p"), other), (provider("q"), session("s"))];
        let found = || places.each_ref().map(|(provider, session)| affinity.find(provider, session, at(1)));
        assert_eq!(found(), [Some(A), None, None]);
        affinity.keep(&places[1].0, &places[1].1, B, at(0));
        affinity.keep(&places[2].0, &places[2].1, AccountId(3), at(0));
        assert_eq!(found(), [Some(A), Some(B), Some(AccountId(3))]);
        affinity.leave(&places[0].0, &places[0].1, A);
        assert_eq!(found(), [None, Some(B), Some(AccountId(3))]);
    }

    /// I4
    #[test]
    fn a_busy_session_is_written_once_in_ten_seconds() {
        let affinity = Affinity::new(bounds(10));
        for second in 0..30 {
            affinity.keep(&provider("p"), &session("s"), A, at(second));
        }
        assert_eq!(affinity.pins(at(29)).first().map(|pin| pin.used), Some(at(20)));
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
        again.restore(affinity.pins(at(100)), at(100));
        let pins = affinity.pins(at(100));
        assert_eq!(again.pins(at(100)), pins[1..], "the one unused longest makes room");
        assert!(again.forget(&provider("p"), &session("a")) && !again.forget(&provider("p"), &session("a")));
        again.clear_provider(&provider("p"));
        assert!(again.book().is_clean());
    }

    /// SEL-11, PRX-5
    #[test]
    fn a_touch_is_use_where_the_session_is_and_puts_it_nowhere() {
        let affinity = Affinity::new(bounds(10));
        affinity.touch(&provider("p"), &session("s"), at(0));
        assert!(affinity.is_empty());
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        affinity.touch(&provider("p"), &session("s"), at(3000));
        assert_eq!((found(&affinity, "s", 6599), found(&affinity, "s", 6600)), (Some(A), None));
        affinity.touch(&provider("p"), &session("s"), at(6600));
        assert_eq!(found(&affinity, "s", 6600), None, "what has ended does not begin again");
    }

    /// PRX-5, PRX-4: what was opened and has ended is nowhere any more, however it ended.
    #[test]
    fn ten_thousand_sessions_that_ended_leave_nothing_behind() {
        let affinity = Affinity::new(bounds(10_000));
        let name = |n: u64| session(&format!("s-{n}"));
        for n in 0..10_000 {
            affinity.keep(&provider("p"), &name(n), if n % 2 == 0 { A } else { B }, at(n));
        }
        let mut told = (0, 0);
        for n in 0..5000 {
            affinity.leave(&provider("p"), &name(2 * n), A);
        }
        while let Some(wake) = affinity.tend(at(0)).wake {
            let Tended { warned, ended, .. } = affinity.tend(wake);
            told = (told.0 + warned.len(), told.1 + ended.len());
        }
        assert_eq!(told, (5000, 5000));
        assert!(affinity.book().is_clean());
    }

    /// SEL-3: what ended while nobody was there does not come back, and a clock that was put back keeps nothing alive.
    #[test]
    fn what_is_restored_is_no_younger_than_it_was_and_no_older_than_now() {
        let affinity = Affinity::new(bounds(10));
        for (name, used) in [("ended", 0), ("lasts", 2000), ("ahead", 900_000)] {
            affinity.keep(&provider("p"), &session(name), A, at(used));
        }
        let again = Affinity::new(bounds(10));
        let all = ["ended", "lasts", "ahead"].map(session);
        let pins =
            affinity.book().in_order().map(|(key, entry)| affinity_pin(key, entry)).collect::<Vec<_>>();
        again.restore(pins, at(4000));
        let until: Vec<(bool, Time)> =
            again.pins(at(4000)).iter().map(|pin| (all.contains(&pin.session), pin.until)).collect();
        assert_eq!(until, [(true, at(5600)), (true, at(7600))]);
    }

    /// PRX-5: whoever sleeps until the next end is woken by an earlier one, and by nothing else.
    #[tokio::test(start_paused = true)]
    async fn an_end_that_comes_sooner_is_told_to_whoever_waits() {
        let affinity = Affinity::new(bounds(10));
        affinity.keep(&provider("p"), &session("s"), A, at(0));
        affinity.sooner().await;
        affinity.news().await;
        affinity.keep(&provider("p"), &session("t"), A, at(1));
        affinity.news().await;
        let woken = tokio::time::timeout(Duration::from_secs(1), affinity.sooner()).await;
        assert!(woken.is_err(), "it ends later");
    }

    fn affinity_pin(key: &Key, entry: &book::Entry) -> Pin {
        let (since, used) = (entry.made, entry.place.0);
        let Key { provider, session } = key.clone();
        Pin { provider, session, account: entry.account, since, used, until: used }
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
