//! What is remembered as bytes, to be kept over a restart. A magic with the version, a digest of the rest, and the rest:
//! what is torn, damaged or somebody else's is told apart from what is whole. Numbers are little-endian.
use super::{Mark, Owned, Pin};
use crate::model::{AccountId, ProviderId, SessionKey, Time};
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderName;

const SESSIONS: &[u8; 8] = b"rota-s01";
const MARKS: &[u8; 8] = b"rota-m01";
const DIGEST: usize = 32;
/// A mark, an account, and when it was met.
const MARK: usize = 16 + 4 + 8;

/// Why bytes are not what was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unkept {
    /// It was cut off while it was written, or changed since.
    #[error("it is damaged")]
    Damaged,
    /// Another program's, or another version's.
    #[error("it is not in the form that this version writes")]
    Foreign,
}

impl Pin {
    /// `pins` as bytes.
    pub fn pack(pins: &[Self]) -> Vec<u8> {
        let mut body = Vec::with_capacity(pins.len() * 128);
        for pin in pins {
            body.extend(pin.account.0.to_le_bytes());
            for at in [pin.since, pin.used, pin.until] {
                body.extend(at.as_millis().to_le_bytes());
            }
            for text in [pin.provider.as_str(), pin.session.kind(), pin.session.value()] {
                // Longer than any of the three can be is not kept whole, and so reads as damaged.
                body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
                body.extend(text.as_bytes());
            }
        }
        sealed(SESSIONS, &body)
    }

    /// What [`pack`](Self::pack) made.
    ///
    /// # Errors
    /// They are no such bytes.
    pub fn unpack(bytes: &[u8]) -> Result<Vec<Self>, Unkept> {
        let mut rest = opened(SESSIONS, bytes)?;
        let mut pins = Vec::new();
        while !rest.is_empty() {
            pins.push(pin(&mut rest).ok_or(Unkept::Damaged)?);
        }
        Ok(pins)
    }
}

impl Owned {
    /// `marks` as bytes, 28 for each.
    pub fn pack(marks: &[Self]) -> Vec<u8> {
        let mut body = Vec::with_capacity(marks.len() * MARK);
        for owned in marks {
            body.extend(owned.mark.0);
            body.extend(owned.account.0.to_le_bytes());
            body.extend(owned.met.as_millis().to_le_bytes());
        }
        sealed(MARKS, &body)
    }

    /// What [`pack`](Self::pack) made.
    ///
    /// # Errors
    /// They are no such bytes.
    pub fn unpack(bytes: &[u8]) -> Result<Vec<Self>, Unkept> {
        let mut rest = opened(MARKS, bytes)?;
        let mut marks = Vec::with_capacity(rest.len() / MARK);
        while !rest.is_empty() {
            marks.push(owned(&mut rest).ok_or(Unkept::Damaged)?);
        }
        Ok(marks)
    }
}

fn pin(rest: &mut &[u8]) -> Option<Pin> {
    let account = AccountId(u32::from_le_bytes(array(rest)?));
    let [since, used, until] = [time(rest)?, time(rest)?, time(rest)?];
    let provider = ProviderId::try_from(text(rest)?).ok()?;
    let kind = HeaderName::from_bytes(text(rest)?.as_bytes()).ok()?;
    let session = SessionKey::new(kind, text(rest)?)?;
    Some(Pin { provider, session, account, since, used, until })
}

fn owned(rest: &mut &[u8]) -> Option<Owned> {
    let mark = Mark(array(rest)?);
    let account = AccountId(u32::from_le_bytes(array(rest)?));
    Some(Owned { mark, account, met: time(rest)? })
}

fn time(rest: &mut &[u8]) -> Option<Time> {
    array(rest).map(|bytes| Time::from_millis(u64::from_le_bytes(bytes)))
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(u16::from_le_bytes(array(rest)?));
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

fn sealed(magic: &[u8], body: &[u8]) -> Vec<u8> {
    [magic, digest(&SHA256, body).as_ref(), body].concat()
}

fn opened<'a>(magic: &[u8], bytes: &'a [u8]) -> Result<&'a [u8], Unkept> {
    let rest = bytes.strip_prefix(magic).ok_or(Unkept::Foreign)?;
    let (hash, body) = rest.split_at_checked(DIGEST).ok_or(Unkept::Damaged)?;
    if digest(&SHA256, body).as_ref() != hash {
        return Err(Unkept::Damaged);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// SEL-3
    #[test]
    fn what_is_kept_is_read_as_it_was() {
        let pins = [some_pin("s-1", 7), some_pin(&"x".repeat(SessionKey::LONGEST), u32::MAX)];
        assert_eq!(Pin::unpack(&Pin::pack(&pins)), Ok(pins.to_vec()));
        assert_eq!(Pin::unpack(&Pin::pack(&[])), Ok(Vec::new()));
        let marks = [1, 2].map(some_mark);
        assert_eq!(Owned::unpack(&Owned::pack(&marks)), Ok(marks.to_vec()));
    }

    /// SEL-3, SEL-4: whatever a crash, a bad disk or another program leaves there is told apart from what is whole.
    #[test]
    fn what_is_cut_off_or_changed_anywhere_is_never_taken_for_whole() {
        let whole = [Pin::pack(&[some_pin("s-1", 7)]), Owned::pack(&[some_mark(1)])];
        for bytes in whole {
            let read = |bytes: &[u8]| Pin::unpack(bytes).is_ok() || Owned::unpack(bytes).is_ok();
            assert!(read(&bytes));
            for at in 0..bytes.len() {
                assert!(!read(&bytes[..at]), "cut at {at}");
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert!(!read(&changed), "changed at {at}");
            }
        }
        assert_eq!(Pin::unpack(&Owned::pack(&[some_mark(1)])), Err(Unkept::Foreign));
        assert_eq!(Pin::unpack(b""), Err(Unkept::Foreign));
    }

    proptest! {
        #[test]
        fn no_file_is_too_odd(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (Pin::unpack(&sealed(SESSIONS, &body)), Owned::unpack(&sealed(MARKS, &body)));
        }
    }

    fn some_pin(value: &str, account: u32) -> Pin {
        let [since, used, until] = [1, 2, 3].map(Time::from_secs);
        let session = SessionKey::new(HeaderName::from_static("session-id"), value).expect("a key");
        let provider = ProviderId::try_from("p").expect("a provider id");
        Pin { provider, session, account: AccountId(account), since, used, until }
    }

    fn some_mark(n: u8) -> Owned {
        Owned { mark: Mark::of(&[&[n]]), account: AccountId(u32::from(n)), met: Time::from_millis(9) }
    }
}
