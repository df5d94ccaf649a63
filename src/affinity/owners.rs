//! Which account can read what (SEL-4): marks of ciphertexts, signatures and ids that came with replies, each with the
//! account whose reply it was. Bounded, with an age; it holds no value, only marks of values.
use crate::model::{AccountId, Time};
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Sixteen bytes that stand for a value and do not tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(super) [u8; 16]);

/// Of half of it: as even as all of it, for it is of a digest.
impl Hash for Mark {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl Mark {
    /// Of a value in parts. What the parts mean together is the caller's business.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Context::new(&SHA256);
        for part in parts {
            hash.update(part);
        }
        let mut mark = [0; 16];
        mark.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(mark)
    }
}

/// How long a mark is remembered without being met again, and how many are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerBounds {
    /// Since it was last met.
    pub age: Duration,
    /// At most; the one met longest ago makes room.
    pub marks: usize,
}

/// Mark to account, bounded.
#[derive(Debug)]
pub struct Owners {
    bounds: OwnerBounds,
    book: Mutex<Book>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Book {
    entries: HashMap<Mark, Entry>,
    /// In the order they were written; one that was written again since is out of date here.
    order: VecDeque<(Mark, u64)>,
    written: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    account: AccountId,
    met: Time,
    written: u64,
}

/// One mark as it is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Of what.
    pub mark: Mark,
    /// Whose.
    pub account: AccountId,
    /// When it was last met.
    pub met: Time,
}

/// What is known of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// How many marks are its own.
    pub marks: usize,
    /// When the last of them is forgotten, if none is met before.
    pub until: Time,
}

impl Owners {
    /// Nothing is known yet.
    pub fn new(bounds: OwnerBounds) -> Self {
        Self { bounds, book: Mutex::default(), news: Notify::new() }
    }

    /// `account`'s reply held what `mark` stands for. True where that is news.
    pub fn learn(&self, mark: Mark, account: AccountId, now: Time) -> bool {
        let mut book = self.book();
        let news =
            book.entries.get(&mark).is_none_or(|entry| entry.account != account || self.stale(entry, now));
        if news {
            book.put(mark, account, now);
            book.make_room(self.bounds.marks);
            self.news.notify_one();
        }
        news
    }

    /// Whose it is, while that is remembered. A mark that is met lives on.
    pub fn owner(&self, mark: Mark, now: Time) -> Option<AccountId> {
        let mut book = self.book();
        let entry = *book.entries.get(&mark)?;
        if entry.met.until(now) >= self.bounds.age {
            return None;
        }
        if self.stale(&entry, now) {
            book.put(mark, entry.account, now);
            self.news.notify_one();
        }
        Some(entry.account)
    }

    /// How many marks are remembered.
    pub fn len(&self) -> usize {
        self.book().entries.len()
    }

    /// True when nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything that is known, the oldest first.
    #[expect(clippy::disallowed_methods, reason = "what comes in no order is put in one at once")]
    pub fn all(&self) -> Vec<Owned> {
        let copied = |(mark, entry): (&Mark, &Entry)| {
            (entry.written, Owned { mark: *mark, account: entry.account, met: entry.met })
        };
        // Put in order after the lock was given back: requests wait for it.
        let mut all: Vec<(u64, Owned)> = self.book().entries.iter().map(copied).collect();
        all.sort_unstable_by_key(|(written, _)| *written);
        all.into_iter().map(|(_, owned)| owned).collect()
    }

    /// Who holds how much that nobody else can read.
    #[expect(clippy::disallowed_methods, reason = "sums and ends are the same in any order")]
    pub fn holdings(&self, now: Time) -> BTreeMap<AccountId, Holding> {
        let age = self.bounds.age;
        let mut held = BTreeMap::new();
        for entry in self.book().entries.values().filter(|entry| entry.met.until(now) < age) {
            let one = held.entry(entry.account).or_insert(Holding { marks: 0, until: entry.met.after(age) });
            one.marks += 1;
            one.until = one.until.max(entry.met.after(age));
        }
        held
    }

    /// Takes in what was kept, the oldest first; what is too old is left out. A clock that was put back makes nothing
    /// last longer than from now on.
    pub fn restore(&self, kept: impl IntoIterator<Item = Owned>, now: Time) {
        let mut book = self.book();
        for owned in kept {
            let met = owned.met.min(now);
            if met.until(now) < self.bounds.age {
                book.put(owned.mark, owned.account, met);
                book.make_room(self.bounds.marks);
            }
        }
    }

    /// How often anything was written: what keeps it elsewhere sees by this whether there is news.
    pub fn writes(&self) -> u64 {
        self.book().written
    }

    /// Returns once anything was written since this was last waited for. For one who waits.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Written again only after an eighth of its time, so that a busy conversation writes next to nothing.
    fn stale(&self, entry: &Entry, now: Time) -> bool {
        entry.met.until(now) >= self.bounds.age / 8
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn put(&mut self, mark: Mark, account: AccountId, met: Time) {
        self.written += 1;
        self.entries.insert(mark, Entry { account, met, written: self.written });
        self.order.push_back((mark, self.written));
    }

    /// Drops the oldest beyond `most`, and what is out of date at the front, so that the order is never longer than
    /// twice what it orders.
    fn make_room(&mut self, most: usize) {
        while self.entries.len() > most || self.order.len() > 2 * most.max(1) {
            let Some((mark, written)) = self.order.pop_front() else {
                return;
            };
            if self.entries.get(&mark).is_none_or(|entry| entry.written != written) {
                continue;
            }
            if self.entries.len() > most {
                self.entries.remove(&mark);
            } else {
                // In force still: it goes on at the back.
                self.order.push_back((mark, written));
                self.order.retain(|(mark, written)| {
                    self.entries.get(mark).is_some_and(|entry| entry.written == *written)
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: AccountId = AccountId(1);
    const B: AccountId = AccountId(2);
    const WEEK: u64 = 7 * 24 * 3600;

    /// SEL-4
    #[test]
    fn what_an_account_said_is_its_own_for_a_week_and_longer_if_it_is_met_again() {
        let owners = owners(10);
        assert!(owners.learn(mark(1), A, at(0)));
        assert!(!owners.learn(mark(1), A, at(10)), "known");
        assert_eq!(owners.owner(mark(1), at(WEEK - 1)), Some(A));
        assert_eq!(owners.owner(mark(1), at(2 * WEEK - 2)), Some(A), "met a week ago");
        assert_eq!(owners.owner(mark(1), at(3 * WEEK - 2)), None);
        assert_eq!(owners.owner(mark(2), at(0)), None);
        assert!(owners.learn(mark(1), B, at(4 * WEEK)), "another one said it since");
        assert_eq!(owners.owner(mark(1), at(4 * WEEK)), Some(B));
    }

    /// PRX-4
    #[test]
    fn the_mark_met_longest_ago_makes_room() {
        let owners = owners(3);
        for n in 0..3 {
            owners.learn(mark(n), A, at(u64::from(n)));
        }
        owners.owner(mark(0), at(WEEK / 2));
        owners.learn(mark(3), B, at(WEEK / 2 + 1));
        let known = [0, 1, 2, 3].map(|n| owners.owner(mark(n), at(WEEK / 2 + 2)));
        assert_eq!(known, [Some(A), None, Some(A), Some(B)]);
    }

    /// SEL-4
    #[test]
    fn who_holds_how_much_and_until_when_is_told_and_what_is_forgotten_is_not() {
        let owners = owners(10);
        assert_eq!(owners.holdings(at(0)), BTreeMap::new());
        for (n, account, met) in [(1, A, 0), (2, A, 100), (3, B, 50)] {
            owners.learn(mark(n), account, at(met));
        }
        let held = |marks, until| Holding { marks, until: at(until) };
        let both = BTreeMap::from([(A, held(2, WEEK + 100)), (B, held(1, WEEK + 50))]);
        assert_eq!(owners.holdings(at(100)), both);
        assert_eq!(owners.holdings(at(WEEK + 60)), BTreeMap::from([(A, held(1, WEEK + 100))]));
    }

    proptest! {
        /// SEL-4, PRX-4
        #[test]
        fn whatever_is_learnt_it_stays_within_its_bounds_and_survives_being_kept(
            steps in prop::collection::vec((0u8..12, 1u32..4, 0u64..WEEK), 0..200),
        ) {
            let owners = owners(5);
            let mut now = 0;
            for (value, account, step) in steps {
                now += step;
                owners.learn(mark(value), AccountId(account), at(now));
                prop_assert_eq!(owners.owner(mark(value), at(now)), Some(AccountId(account)));
                let book = owners.book();
                prop_assert!(book.entries.len() <= 5 && book.order.len() <= 10);
            }
            let again = self::owners(5);
            again.restore(owners.all(), at(now));
            let mut lasting = owners.all();
            lasting.retain(|owned| owned.met.until(at(now)) < Duration::from_secs(WEEK));
            prop_assert_eq!(again.all(), lasting);
        }
    }

    fn owners(marks: usize) -> Owners {
        Owners::new(OwnerBounds { age: Duration::from_secs(WEEK), marks })
    }

    fn mark(n: u8) -> Mark {
        Mark::of(&[&[n]])
    }

    fn at(secs: u64) -> Time {
        Time::from_secs(1_000_000 + secs)
    }
}
