//! Rotation journals: one file an account, three pages at fixed places, written where they are. The file is made whole,
//! zeros and all, before anything is sent for the first time; from then on an entry needs no room and no name, only its
//! own bytes confirmed. Each page is a frame of its own: an entry that was cut off is told from one that is whole.
use super::FileBackend;
use super::commit::Setback;
use super::place::Place;
use super::scan::Bytes;
use crate::model::AccountId;
use crate::store::backend::{INTENT_BYTES, Journal, Key, Noted, RESULT_BYTES, Round};
use crate::store::error::StoreError;
use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use std::io;
use std::ops::Range;
use zeroize::Zeroizing;

const MAGIC: &[u8; 4] = b"rota";
/// What stands before an entry: the magic, its length, its checksum.
const HEAD: usize = MAGIC.len() + 4 + SHA256_OUTPUT_LEN;
/// Pages lie on blocks of their own, so that no disk rewrites one for another's sake.
const BLOCK: usize = 4 << 10;
const FILE: usize = Page::Result.at() + BLOCK + RESULT_BYTES;

/// A place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    First,
    Recovery,
    Result,
}

impl Page {
    const ALL: [Self; 3] = [Self::First, Self::Recovery, Self::Result];

    const fn at(self) -> usize {
        match self {
            Self::First => 0,
            Self::Recovery => BLOCK,
            Self::Result => 2 * BLOCK,
        }
    }

    /// The longest entry.
    const fn most(self) -> usize {
        match self {
            Self::First | Self::Recovery => INTENT_BYTES,
            Self::Result => RESULT_BYTES,
        }
    }

    const fn range(self) -> Range<usize> {
        self.at()..self.at() + HEAD + self.most()
    }

    fn of(round: Round) -> Self {
        match round {
            Round::First => Self::First,
            Round::Recovery => Self::Recovery,
        }
    }
}

/// What stands on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Blank,
    Torn,
    Whole(Vec<u8>),
}

/// One account's journal.
pub(super) struct FileJournal<'a> {
    pub(super) backend: &'a FileBackend,
    pub(super) account: AccountId,
}

impl Journal for FileJournal<'_> {
    fn read(&self) -> Result<Noted, StoreError> {
        match self.look()? {
            // Damage is believed when it is seen twice.
            noted if noted.torn => self.look(),
            noted => Ok(noted),
        }
    }

    fn intent(&self, round: Round, entry: &[u8]) -> Result<(), StoreError> {
        self.make_room()?;
        let page = Page::of(round);
        let written = self.write(page, entry);
        if written.is_err() {
            // It may be seen although it was not confirmed; nothing was sent for it.
            let _ = self.wipe(page.range());
        }
        written
    }

    fn result(&self, entry: &[u8]) -> Result<(), StoreError> {
        self.write(Page::Result, entry)
    }

    fn clear(&self, from: Round) -> Result<(), StoreError> {
        let path = self.place().main();
        let length = match self.backend.bytes(&path)? {
            Bytes::Absent => return Ok(()),
            Bytes::Damaged(problem) => return Err(self.damaged(&problem)),
            Bytes::Read(bytes, _) => Zeroizing::new(bytes).len(),
        };
        // In one write from the first page on: an entry that an intent belongs to never outlives it.
        self.wipe(Page::of(from).at()..length.min(FILE))
    }

    fn rewrite(&self, noted: &Noted) -> Result<(), StoreError> {
        let entries = [&noted.first, &noted.recovery, &noted.result];
        let mut whole = Zeroizing::new(vec![0; FILE]);
        for (page, entry) in Page::ALL.into_iter().zip(entries) {
            let Some(entry) = entry else { continue };
            self.fits(page, entry)?;
            let frame = Zeroizing::new(seal(self.account, page, entry));
            if let Some(room) = whole.get_mut(page.at()..page.at() + frame.len()) {
                room.copy_from_slice(&frame);
            }
        }
        self.replace(&whole)
    }
}

impl FileJournal<'_> {
    fn place(&self) -> Place {
        Place::journal(&self.backend.dir, self.account)
    }

    fn look(&self) -> Result<Noted, StoreError> {
        let bytes = match self.backend.bytes(&self.place().main())? {
            Bytes::Absent => return Ok(Noted::default()),
            Bytes::Damaged(problem) => return Err(self.damaged(&problem)),
            Bytes::Read(bytes, _) => Zeroizing::new(bytes),
        };
        let [first, recovery, result] = Page::ALL.map(|page| open(self.account, page, &bytes));
        let torn = [&first, &recovery, &result].contains(&&Entry::Torn);
        Ok(Noted { first: first.whole(), recovery: recovery.whole(), result: result.whole(), torn })
    }

    fn damaged(&self, problem: &str) -> StoreError {
        let path = self.place().main();
        let problem =
            format!("its journal {}: {problem}; if it stays so, move that file away", path.display());
        StoreError::Damaged { key: Key::Credential(self.account), problem }
    }

    /// Makes the file, if it is not there in its full length.
    fn make_room(&self) -> Result<(), StoreError> {
        let path = self.place().main();
        let mut whole = match self.backend.bytes(&path)? {
            Bytes::Absent => Zeroizing::default(),
            Bytes::Damaged(problem) => return Err(self.damaged(&problem)),
            Bytes::Read(bytes, _) => Zeroizing::new(bytes),
        };
        if whole.len() == FILE {
            return Ok(());
        }
        whole.resize(FILE, 0);
        self.replace(&whole)
    }

    /// Puts a file of these bytes in the journal's place.
    fn replace(&self, whole: &[u8]) -> Result<(), StoreError> {
        let place = self.place();
        let path = place.main();
        let key = Key::Credential(self.account);
        let made = self.backend.write_new(&place, whole, &mut self.backend.commits());
        let tmp = made.map_err(|setback: Setback| setback.into_error(key))?;
        let fs = &self.backend.fs;
        let named = fs.rename(&tmp, &path).map_err(|error| {
            let _ = fs.remove(&tmp);
            StoreError::io("create", &path, &error)
        });
        named?;
        fs.sync_dir(&place.dir).map_err(|error| StoreError::io("sync", &place.dir, &error))
    }

    fn write(&self, page: Page, entry: &[u8]) -> Result<(), StoreError> {
        self.fits(page, entry)?;
        self.put(page.at(), &Zeroizing::new(seal(self.account, page, entry)))
    }

    fn fits(&self, page: Page, entry: &[u8]) -> Result<(), StoreError> {
        if entry.len() <= page.most() {
            return Ok(());
        }
        let problem = io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than a journal's page");
        Err(StoreError::io("note an entry in", &self.place().main(), &problem))
    }

    fn wipe(&self, range: Range<usize>) -> Result<(), StoreError> {
        self.put(range.start, &vec![0; range.len()])
    }

    fn put(&self, at: usize, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.place().main();
        let mut file = self.backend.fs.open(&path).map_err(|error| StoreError::io("open", &path, &error))?;
        let written = file.write_at(at as u64, bytes).and_then(|()| file.sync());
        written.map_err(|error| StoreError::io("write", &path, &error))
    }
}

impl FileBackend {
    /// Removes the account's journal, durably.
    pub(super) fn remove_journal(&self, account: AccountId) -> Result<(), StoreError> {
        let place = Place::journal(&self.dir, account);
        let path = place.main();
        match self.fs.remove(&path) {
            Ok(()) => {
                self.fs.sync_dir(&place.dir).map_err(|error| StoreError::io("sync", &place.dir, &error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StoreError::io("remove", &path, &error)),
        }
    }
}

impl Entry {
    fn whole(self) -> Option<Vec<u8>> {
        match self {
            Self::Blank | Self::Torn => None,
            Self::Whole(entry) => Some(entry),
        }
    }
}

/// The page's bytes for `entry`.
fn seal(account: AccountId, page: Page, entry: &[u8]) -> Vec<u8> {
    let length = u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes();
    [MAGIC, &length[..], &checksum(account, page, entry), entry].concat()
}

/// What stands on `page` of a file of these bytes, which may be too few.
fn open(account: AccountId, page: Page, bytes: &[u8]) -> Entry {
    let range = page.range();
    let end = range.end.min(bytes.len());
    let Some(frame) = bytes.get(range.start..end).filter(|frame| !frame.is_empty()) else {
        return Entry::Blank;
    };
    match whole(account, page, frame) {
        Some(entry) => Entry::Whole(entry.to_vec()),
        None if frame.iter().take(HEAD).all(|byte| *byte == 0) => Entry::Blank,
        None => Entry::Torn,
    }
}

fn whole(account: AccountId, page: Page, frame: &[u8]) -> Option<&[u8]> {
    let frame = frame.strip_prefix(MAGIC)?;
    let (length, frame) = frame.split_first_chunk()?;
    let (sum, frame) = frame.split_first_chunk::<SHA256_OUTPUT_LEN>()?;
    let entry = frame.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    (checksum(account, page, entry) == sum).then_some(entry)
}

/// Covers the account and the page as well: an entry in another's place is none.
fn checksum(account: AccountId, page: Page, entry: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(format!("rota journal {account} {} {}\n", page.at(), entry.len()).as_bytes());
    context.update(entry);
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::backend::Backend;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use tempfile::TempDir;

    const ID: AccountId = AccountId(7);

    /// REN-2
    #[test]
    fn what_is_noted_is_read_back_and_what_is_cleared_is_gone() {
        let (_dir, store) = store();
        let journal = store.journal(ID);
        assert_eq!(journal.read(), Ok(Noted::default()));
        assert_eq!(journal.clear(Round::First), Ok(()), "what is not there is clear");
        journal.intent(Round::First, b"one").unwrap();
        journal.intent(Round::Recovery, b"two").unwrap();
        journal.result(b"secret three").unwrap();
        let whole = Noted {
            first: Some(b"one".to_vec()),
            recovery: Some(b"two".to_vec()),
            result: Some(b"secret three".to_vec()),
            torn: false,
        };
        assert_eq!(journal.read(), Ok(whole.clone()));
        journal.clear(Round::Recovery).unwrap();
        assert_eq!(journal.read(), Ok(Noted { first: whole.first, ..Noted::default() }));
        journal.clear(Round::First).unwrap();
        assert_eq!(journal.read(), Ok(Noted::default()));
        let bytes = fs::read(path(&store)).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "no trace of the secret is left");
    }

    /// REN-2: room is taken once; from then on no entry makes the file longer, or another one.
    #[test]
    fn entries_are_written_where_the_room_for_them_is() {
        let (_dir, store) = store();
        let journal = store.journal(ID);
        journal.intent(Round::First, b"one").unwrap();
        let made = fs::metadata(path(&store)).unwrap();
        assert_eq!(made.len(), FILE as u64);
        assert!(made.blocks() * 512 >= FILE as u64, "zeros that were written, no hole");
        for _ in 0..3 {
            journal.intent(Round::First, &[1; INTENT_BYTES]).unwrap();
            journal.intent(Round::Recovery, &[2; INTENT_BYTES]).unwrap();
            journal.result(&[3; RESULT_BYTES]).unwrap();
            journal.clear(Round::First).unwrap();
        }
        let after = fs::metadata(path(&store)).unwrap();
        assert_eq!((after.ino(), after.len()), (made.ino(), made.len()));
        assert_eq!(store.list(&store.dir().join("journal")).unwrap(), ["7"]);
    }

    #[test]
    fn an_entry_that_is_too_long_is_refused_and_changes_nothing() {
        let (_dir, store) = store();
        let journal = store.journal(ID);
        journal.intent(Round::First, b"one").unwrap();
        let refused = journal.result(&[0; RESULT_BYTES + 1]).unwrap_err();
        assert!(refused.to_string().contains("larger than a journal's page"), "{refused}");
        assert_eq!(journal.read().unwrap().result, None);
    }

    /// REN-2: whatever is cut off or flipped, an entry is the one that was written or none.
    #[test]
    fn no_truncation_and_no_flipped_bit_makes_another_entry() {
        let entry = br#"{"version": 7, "token": "00112233445566778899aabbccddeeff"}"#;
        for page in Page::ALL {
            let mut file = vec![0; FILE];
            let frame = seal(ID, page, entry);
            file[page.at()..page.at() + frame.len()].copy_from_slice(&frame);
            let whole = Entry::Whole(entry.to_vec());
            assert_eq!(open(ID, page, &file), whole);
            for at in page.at()..page.at() + frame.len() {
                for bit in 0..8 {
                    let mut bad = file.clone();
                    bad[at] ^= 1 << bit;
                    assert_eq!(open(ID, page, &bad), Entry::Torn, "byte {at} bit {bit}");
                }
                let cut = open(ID, page, &file[..at]);
                assert_eq!(cut, if at == page.at() { Entry::Blank } else { Entry::Torn }, "cut at {at}");
                let mut half = vec![0; FILE];
                half[page.at()..at].copy_from_slice(&file[page.at()..at]);
                assert_ne!(open(ID, page, &half), whole, "zeros from {at}");
            }
            for other in Page::ALL.into_iter().filter(|other| *other != page) {
                let mut moved = vec![0; FILE];
                moved[other.at()..other.at() + frame.len()].copy_from_slice(&frame);
                assert_eq!(open(ID, other, &moved), Entry::Torn, "of another page");
            }
            assert_eq!(open(AccountId(8), page, &file), Entry::Torn, "of another account");
        }
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..20_000)) {
            for page in Page::ALL {
                prop_assert!(!matches!(open(ID, page, &bytes), Entry::Whole(_)));
            }
        }
    }

    /// REN-2
    #[test]
    fn a_journal_that_was_shortened_is_made_whole_again_with_what_it_held() {
        let (_dir, store) = store();
        let journal = store.journal(ID);
        journal.intent(Round::First, b"one").unwrap();
        fs::File::options().write(true).open(path(&store)).unwrap().set_len(BLOCK as u64).unwrap();
        assert_eq!(journal.read().unwrap().first, Some(b"one".to_vec()));
        journal.intent(Round::Recovery, b"two").unwrap();
        let noted = journal.read().unwrap();
        assert_eq!((noted.first, noted.recovery), (Some(b"one".to_vec()), Some(b"two".to_vec())));
        assert_eq!(fs::metadata(path(&store)).unwrap().len(), FILE as u64);
    }

    /// STO-4
    #[test]
    fn a_journal_that_others_may_read_is_refused() {
        let (_dir, store) = store();
        let journal = store.journal(ID);
        journal.intent(Round::First, b"one").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(path(&store), mode).unwrap();
        assert_eq!(journal.read().unwrap_err().code(), "STORE_INSECURE");
        assert_eq!(journal.intent(Round::First, b"two").unwrap_err().code(), "STORE_INSECURE");
    }

    #[test]
    fn a_removed_credential_takes_its_journal_along() {
        let (_dir, store) = store();
        let key = Key::Credential(ID);
        store.put(key, 0, b"{}").unwrap();
        store.journal(ID).intent(Round::First, b"one").unwrap();
        assert!(store.remove(key, 9).is_err());
        assert!(path(&store).exists(), "a record that stays keeps it");
        store.remove(key, 1).unwrap();
        assert!(!path(&store).exists());
        store.journal(ID).intent(Round::First, b"one").unwrap();
        store.remove(key, 0).unwrap();
        assert!(!path(&store).exists(), "also where there is no record");
    }

    fn store() -> (TempDir, FileBackend) {
        let dir = tempfile::tempdir().unwrap();
        let store = FileBackend::create(&dir.path().join("rota")).unwrap();
        (dir, store)
    }

    fn path(store: &FileBackend) -> std::path::PathBuf {
        store.dir().join("journal/7")
    }
}
