use super::{Actor, Time};
use std::collections::VecDeque;
use std::sync::Arc;

/// What was done. One word for each, in the API, in the record and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuditAction {
    /// An account was added.
    AccountAdded,
    /// It was taken out of rotation.
    AccountDisabled,
    /// It was put back.
    AccountEnabled,
    /// Its credential was refused for good: a person must sign in.
    AccountLost,
    /// Its note was changed; what it says is nobody's business here.
    AccountNotes,
    /// It belongs to another quota group, or to none.
    AccountQuotaGroup,
    /// It was removed, its credential with it.
    AccountRemoved,
    /// It has another name.
    AccountRenamed,
    /// A person signed in to it.
    AccountSignedIn,
    /// Its labels were changed.
    AccountTags,
    /// Its share was changed.
    AccountWeight,
    /// The configuration was read again.
    ConfigReloaded,
    /// A person took a force back.
    ForceCleared,
    /// A force ended because its account cannot serve.
    ForceEnded,
    /// A force ran out.
    ForceExpired,
    /// An account was pinned.
    ForceSet,
    /// A client's key was made.
    KeyAdded,
    /// A client's key was removed.
    KeyRemoved,
    /// A setting that is kept was changed.
    SettingChanged,
}

impl AuditAction {
    /// Every action, for tables and tests.
    pub const ALL: [Self; 19] = [
        Self::AccountAdded,
        Self::AccountDisabled,
        Self::AccountEnabled,
        Self::AccountLost,
        Self::AccountNotes,
        Self::AccountQuotaGroup,
        Self::AccountRemoved,
        Self::AccountRenamed,
        Self::AccountSignedIn,
        Self::AccountTags,
        Self::AccountWeight,
        Self::ConfigReloaded,
        Self::ForceCleared,
        Self::ForceEnded,
        Self::ForceExpired,
        Self::ForceSet,
        Self::KeyAdded,
        Self::KeyRemoved,
        Self::SettingChanged,
    ];

    /// The wire string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountAdded => "account.added",
            Self::AccountDisabled => "account.disabled",
            Self::AccountEnabled => "account.enabled",
            Self::AccountLost => "account.needs-reauth",
            Self::AccountNotes => "account.notes",
            Self::AccountQuotaGroup => "account.quota-group",
            Self::AccountRemoved => "account.removed",
            Self::AccountRenamed => "account.renamed",
            Self::AccountSignedIn => "account.signed-in",
            Self::AccountTags => "account.tags",
            Self::AccountWeight => "account.weight",
            Self::ConfigReloaded => "config.reloaded",
            Self::ForceCleared => "force.cleared",
            Self::ForceEnded => "force.ended",
            Self::ForceExpired => "force.expired",
            Self::ForceSet => "force.set",
            Self::KeyAdded => "key.added",
            Self::KeyRemoved => "key.removed",
            Self::SettingChanged => "setting.changed",
        }
    }
}

/// One change: what was so before, what is so now, and who asked. It never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place in the order of changes; never given twice by one store.
    pub seq: u64,
    /// When.
    pub at: Time,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: AuditAction,
    /// To what: an alias, the key of a setting, or `config`.
    pub target: String,
    /// What was so before, where there was something.
    pub before: Option<String>,
    /// What is so now, where there is something.
    pub after: Option<String>,
    /// Why, in the actor's words or in those of FLO-7.
    pub reason: Option<String>,
}

/// What happened, before it has its place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub action: AuditAction,
    /// To what.
    pub target: String,
    /// What was so before.
    pub before: Option<String>,
    /// What is so now.
    pub after: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Note {
    /// `action` was done to `target`.
    pub fn new(action: AuditAction, target: impl Into<String>) -> Self {
        Self { action, target: target.into(), before: None, after: None, reason: None }
    }

    /// With what was so before and what is so now.
    #[must_use]
    pub fn between(self, before: Option<String>, after: Option<String>) -> Self {
        Self { before, after, ..self }
    }

    /// With a reason.
    #[must_use]
    pub fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}

/// The latest changes, oldest first: at most [`AuditTrail::ENTRIES`], and [`AuditTrail::BYTES`] of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditTrail {
    entries: VecDeque<Arc<AuditEntry>>,
    bytes: usize,
    last: u64,
}

impl AuditTrail {
    /// Entries at most; the oldest goes first.
    pub const ENTRIES: usize = 1000;
    /// Bytes of text at most, in all entries together.
    pub const BYTES: usize = 128 * 1024;
    /// Bytes of one text of an entry; what is longer is cut.
    pub const TEXT: usize = 256;

    /// A trail that was kept; `entries` are in order.
    pub fn of(entries: impl IntoIterator<Item = AuditEntry>) -> Self {
        let mut trail = Self::default();
        for entry in entries {
            trail.last = trail.last.max(entry.seq);
            trail.take(entry);
        }
        trail
    }

    /// With those of `later`, which are in order, that came after its newest.
    #[must_use]
    pub fn followed_by(mut self, later: impl IntoIterator<Item = AuditEntry>) -> Self {
        for entry in later {
            if entry.seq > self.last {
                self.last = entry.seq;
                self.take(entry);
            }
        }
        self
    }

    /// One more.
    pub fn push(&mut self, note: Note, actor: Actor, now: Time) {
        self.last += 1;
        let Note { action, target, before, after, reason } = note;
        let (before, after, reason) = (before.map(cut), after.map(cut), reason.map(cut));
        self.take(AuditEntry {
            seq: self.last,
            at: now,
            actor,
            action,
            target: cut(target),
            before,
            after,
            reason,
        });
    }

    fn take(&mut self, entry: AuditEntry) {
        self.bytes += size(&entry);
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > Self::ENTRIES || self.bytes > Self::BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.bytes -= size(&oldest);
        }
    }

    /// From the oldest to the newest.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Arc<AuditEntry>> {
        self.entries.iter()
    }

    /// The place of the newest in the order of changes; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Those that came after the one with this place, oldest first.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Arc<AuditEntry>> {
        let from = self.entries.partition_point(|entry| entry.seq <= seq);
        self.entries.range(from..)
    }
}

/// The text, no longer than an entry may hold, cut between two characters.
fn cut(mut text: String) -> String {
    if text.len() > AuditTrail::TEXT {
        let end = (0..=AuditTrail::TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

fn size(entry: &AuditEntry) -> usize {
    let texts = [&entry.before, &entry.after, &entry.reason];
    entry.target.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_action_has_a_word_of_its_own() {
        let words: BTreeSet<&str> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
        assert_eq!(words.len(), AuditAction::ALL.len());
    }

    #[test]
    fn what_came_after_a_place_is_told_in_order() {
        let trail = (1..=5).fold(AuditTrail::default(), |mut trail, at| {
            trail.push(Note::new(AuditAction::ForceSet, format!("a{at}")), Actor::Admin, Time::from_secs(at));
            trail
        });
        let names = |seq| trail.since(seq).map(|entry| entry.target.clone()).collect::<Vec<_>>();
        assert_eq!(names(3), ["a4", "a5"]);
        assert_eq!((names(0).len(), names(5).len(), trail.last()), (5, 0, 5));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// ADM-5
        #[test]
        fn a_trail_is_bounded_and_keeps_the_newest(texts in prop::collection::vec(0usize..400, 1..1500)) {
            let mut trail = AuditTrail::default();
            for length in &texts {
                let note = Note::new(AuditAction::AccountNotes, "a").because(Some("aé".repeat(*length)));
                trail.push(note, Actor::Cli, Time::from_secs(1));
            }
            let kept: Vec<_> = trail.entries().collect();
            prop_assert!(kept.len() <= AuditTrail::ENTRIES);
            prop_assert!(kept.iter().map(|entry| size(entry)).sum::<usize>() <= AuditTrail::BYTES);
            prop_assert!(kept.windows(2).all(|two| two[0].seq + 1 == two[1].seq));
            prop_assert_eq!(kept.last().map(|entry| entry.seq), Some(texts.len() as u64));
            let again = AuditTrail::of(kept.into_iter().map(|entry| entry.as_ref().clone()));
            prop_assert_eq!(again, trail);
        }
    }
}
