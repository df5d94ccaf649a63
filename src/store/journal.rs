//! Renewals as the refresher sees them: the account's lock, and under it what was sent and what came back. What the
//! entries mean is decided here, by [`resolve`], from the entries and the credential alone.
use super::backend::{Backend, Guard, Key, Noted, Round};
use super::error::StoreError;
use super::handle::Store;
use super::schema::credential::fingerprint;
use super::schema::rotation::{self, Intent, tag};
use super::seal::Sealer;
use crate::model::{AccountId, Credential, Time};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// A token endpoint's answer, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body: new tokens, if all went well. At most a little less than
    /// [`RESULT_BYTES`](super::RESULT_BYTES) can be noted.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

/// What a journal says of one credential's refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It was not sent, or what was noted is of another credential.
    Nothing,
    /// It was sent, and this came back last.
    Answered(Round, Answer),
    /// It may have been sent. What came back, if anything, is lost.
    Unanswered(Round),
}

/// What an answer is noted under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket(String);

/// The account's lock, held, and its journal. Dropping it gives the lock back.
pub struct Rotation {
    backend: Arc<dyn Backend>,
    sealer: Sealer,
    account: AccountId,
    guard: Box<dyn Guard>,
}

impl Store {
    /// Takes the account's lock for a renewal; none while somebody else holds it, here or in another process.
    pub fn rotation(&self, account: AccountId) -> Result<Option<Rotation>, StoreError> {
        let guard = self.backend.try_lock(account)?;
        let (backend, sealer) = (Arc::clone(&self.backend), self.sealer.clone());
        Ok(guard.map(|guard| Rotation { backend, sealer, account, guard }))
    }

    /// True where the account's journal holds anything. Looks without the lock: good for deciding whether to take it.
    pub fn has_noted(&self, account: AccountId) -> Result<bool, StoreError> {
        Ok(self.backend.journal(account).read()? != Noted::default())
    }
}

impl Rotation {
    /// What is known of the credential's refresh token.
    pub fn pending(&self, credential: &Credential) -> Result<Pending, StoreError> {
        settle(self.noted()?, &self.sealer, self.account, credential)
    }

    /// Notes that the credential's refresh token is about to be sent, durably. After an error it must not be sent: it
    /// could not be noted, or the lock is no longer ours ([`StoreError::LockLost`]).
    pub fn intent(&self, round: Round, credential: &Credential, now: Time) -> Result<Ticket, StoreError> {
        self.guard.holds()?;
        let after = match round {
            Round::First => None,
            Round::Recovery => self.noted()?.first.as_deref().map(tag),
        };
        let version = credential.version;
        let token = fingerprint(credential).unwrap_or_default();
        let entry = Intent { version, token, at: now, nonce: nonce()?, after }.encode();
        self.backend.journal(self.account).intent(round, &entry)?;
        // Where another process has a lock of its own now, the journal is its, too: nothing is wiped.
        self.guard.holds()?;
        Ok(Ticket(tag(&entry)))
    }

    /// Notes what came back, durably.
    pub fn result(&self, ticket: &Ticket, answer: &Answer) -> Result<(), StoreError> {
        let entry = Zeroizing::new(rotation::encode(&ticket.0, answer));
        self.backend.journal(self.account).result(&self.sealer.dress_entry(self.account, &entry)?)
    }

    /// Wipes what was noted of this round and later ones: it was not sent, or provably not spent, or its successor is
    /// stored.
    pub fn clear(&self, from: Round) -> Result<(), StoreError> {
        self.backend.journal(self.account).clear(from)
    }

    fn noted(&self) -> Result<Noted, StoreError> {
        self.backend.journal(self.account).read()
    }
}

/// What the entries prove, once the answer is opened. One that does not open is an error and never none, if it is news
/// of this credential.
fn settle(
    noted: Noted,
    sealer: &Sealer,
    account: AccountId,
    credential: &Credential,
) -> Result<Pending, StoreError> {
    let Noted { result, .. } = noted;
    let noted = Noted { result: None, ..noted };
    let unanswered = resolve(&noted, credential);
    let Some(result) = result.filter(|_| unanswered != Pending::Nothing) else {
        return Ok(unanswered);
    };
    let opened = sealer.open_entry(account, &result).map_err(|why| {
        let problem = format!("what was noted of its renewal: {why}");
        StoreError::Sealed { key: Key::Credential(account), problem }
    })?;
    Ok(resolve(&Noted { result: Some(opened.to_vec()), ..noted }, credential))
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |entry: &Option<Vec<u8>>| entry.as_ref().map(Vec::len);
        f.debug_struct("Noted")
            .field("first", &bytes(&self.first))
            .field("recovery", &bytes(&self.recovery))
            .field("result", &bytes(&self.result))
            .field("torn", &self.torn)
            .finish()
    }
}

/// What the entries prove. An intent counts for the very credential it names; a recovery counts after the intent it
/// names; an answer counts for the intent it names. What is torn proves nothing: an intent that was cut off was never
/// confirmed, so nothing was sent for it.
pub(super) fn resolve(noted: &Noted, credential: &Credential) -> Pending {
    let token = fingerprint(credential);
    let of_this = |entry: &&[u8]| {
        let intent = Intent::decode(entry).ok();
        intent.filter(|intent| intent.version == credential.version && Some(&intent.token) == token.as_ref())
    };
    let Some(first) = noted.first.as_deref().filter(|entry| of_this(entry).is_some()) else {
        return Pending::Nothing;
    };
    let follows = |entry: &&[u8]| of_this(entry).is_some_and(|intent| intent.after == Some(tag(first)));
    let (round, intent) = match noted.recovery.as_deref().filter(follows) {
        Some(recovery) => (Round::Recovery, recovery),
        None => (Round::First, first),
    };
    let answer = noted.result.as_deref().and_then(rotation::decode);
    match answer.filter(|(answered, _)| *answered == tag(intent)) {
        Some((_, answer)) => Pending::Answered(round, answer),
        None => Pending::Unanswered(round),
    }
}

/// Two intents of one millisecond must not be taken for one: an answer would count for both.
/// What a human must know of the credential's journal: that it cannot be read, or that a token of unknown fate is left
/// alone. What the next renewal settles by itself is no problem.
pub(super) fn problem(
    backend: &dyn Backend,
    sealer: &Sealer,
    account: AccountId,
    credential: &Credential,
) -> Option<String> {
    fingerprint(credential)?;
    let read = backend.journal(account).read();
    match read.and_then(|noted| settle(noted, sealer, account, credential)) {
        Ok(pending) => match pending {
            Pending::Unanswered(Round::Recovery) => Some(
                "indeterminate: its refresh token was sent twice and no answer is known; it is not sent again, so sign in again before its access token ends".to_owned(),
            ),
            Pending::Nothing | Pending::Answered(..) | Pending::Unanswered(Round::First) => None,
        },
        Err(error) => Some(format!("{error}; until that is put right its token is not renewed")),
    }
}

fn nonce() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| {
        let error = io::Error::other("the system has no randomness");
        StoreError::io("draw from", Path::new("/dev/urandom"), &error)
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixture::{Dir, NOW, login};
    use proptest::prelude::*;

    const ID: AccountId = AccountId(1);

    /// REN-2: every class there is, and what each is told by.
    #[test]
    fn entries_are_told_apart_by_credential_round_and_intent() {
        let (this, other) = (login(4), login(5));
        let first = intent(&this, "a", None);
        let again = intent(&this, "b", None);
        let recovery = intent(&this, "c", Some(tag(&first)));
        let answer = Answer { status: 200, body: b"new tokens".to_vec() };
        let answered = |intent: &[u8]| Some(rotation::encode(&tag(intent), &answer));
        let come = |round| Pending::Answered(round, answer.clone());
        let lost = Pending::Unanswered;
        let (f, r) = (Some(&first), Some(&recovery));
        let table = [
            (None, None, None, Pending::Nothing),
            (f, None, None, lost(Round::First)),
            (f, None, answered(&first), come(Round::First)),
            (f, None, answered(&again), lost(Round::First)),
            (f, None, answered(&recovery), lost(Round::First)),
            (f, r, None, lost(Round::Recovery)),
            (f, r, answered(&recovery), come(Round::Recovery)),
            (f, r, answered(&first), lost(Round::Recovery)),
            (None, r, answered(&recovery), Pending::Nothing),
            (Some(&again), r, answered(&again), come(Round::First)),
            (f, None, Some(b"no result".to_vec()), lost(Round::First)),
        ];
        for (first, recovery, result, expected) in table {
            let noted = Noted { first: first.cloned(), recovery: recovery.cloned(), result, torn: false };
            assert_eq!(resolve(&noted, &this), expected, "{noted:?}");
            assert_eq!(resolve(&noted, &other), Pending::Nothing, "of another version");
            let same_version = Credential { version: 4, ..login(5) };
            assert_eq!(resolve(&noted, &same_version), Pending::Nothing, "of another token");
        }
    }

    proptest! {
        #[test]
        fn no_entries_are_too_odd_to_be_judged(
            first in prop::option::of(prop::collection::vec(any::<u8>(), 0..100)),
            recovery in prop::option::of(prop::collection::vec(any::<u8>(), 0..100)),
            result in prop::option::of(prop::collection::vec(any::<u8>(), 0..100)),
        ) {
            let noted = Noted { first, recovery, result, torn: true };
            prop_assert_eq!(resolve(&noted, &login(1)), Pending::Nothing);
        }
    }

    /// REN-2: one lock at a time, and an intent without any secret.
    #[test]
    fn a_rotation_is_one_processs_at_a_time_and_its_intent_tells_no_secret() {
        let dir = Dir::new();
        let store = dir.open().store;
        let rotation = store.rotation(ID).unwrap().unwrap();
        assert!(dir.open().store.rotation(ID).unwrap().is_none());
        assert_eq!(store.has_noted(ID), Ok(false));
        let ticket = rotation.intent(Round::First, &login(4), NOW).unwrap();
        assert_eq!(store.has_noted(ID), Ok(true));
        let text = std::fs::read(dir.path.join("journal/1")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("canary"));
        let answer = Answer { status: 200, body: vec![0, 255, 10, 13] };
        rotation.result(&ticket, &answer).unwrap();
        assert_eq!(rotation.pending(&login(4)), Ok(Pending::Answered(Round::First, answer.clone())));
        assert_eq!(format!("{answer:?}"), "Answer { status: 200, bytes: 4 }");
        rotation.clear(Round::First).unwrap();
        assert_eq!(rotation.pending(&login(4)), Ok(Pending::Nothing));
        drop(rotation);
        assert!(store.rotation(ID).unwrap().is_some());
    }

    /// T6
    #[test]
    fn an_intent_is_not_noted_under_a_lock_that_is_gone() {
        let dir = Dir::new();
        let store = dir.open().store;
        let rotation = store.rotation(ID).unwrap().unwrap();
        std::fs::remove_file(dir.path.join("locks/1.lock")).unwrap();
        let lost = rotation.intent(Round::First, &login(4), NOW).unwrap_err();
        assert_eq!(lost.code(), "STORE_LOCK_LOST");
        let _theirs = dir.open().store.rotation(ID).unwrap().unwrap();
        assert_eq!(rotation.intent(Round::First, &login(4), NOW), Err(lost));
        assert_eq!(store.has_noted(ID), Ok(false));
    }

    fn intent(credential: &Credential, nonce: &str, after: Option<String>) -> Vec<u8> {
        let token = fingerprint(credential).unwrap();
        let (version, nonce) = (credential.version, nonce.to_owned());
        Intent { version, token, at: NOW, nonce, after }.encode()
    }
}
