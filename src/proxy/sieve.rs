//! Leaves of a text what may hold one of a few things that are sought in it, by two bytes of each: most of a body is passed
//! over at the speed of wide vectors. It may leave more than there is, and never less.
use crate::model::RarePair;
use crate::sys::{Wide, widely};
use std::ops::Range;

/// Bytes that are looked at together: more of them cost less each, and more where they do hold something.
const BLOCK: usize = 128;

/// A text that is shorter is left as it is: to look at it here would cost more than to search it.
const SHORT: usize = 4 * BLOCK;

/// Where something may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// Where the first byte of a pair may stand.
    pub(super) places: Range<usize>,
    /// Bit by bit, which pairs.
    pairs: u32,
}

impl Left {
    /// Whether the pair with this number may stand there.
    pub(super) fn may_hold(&self, pair: usize) -> bool {
        let bits = u32::try_from(pair).ok().and_then(|pair| self.pairs.checked_shr(pair));
        bits.is_none_or(|bits| bits & 1 == 1)
    }
}

/// What is left of `text` from `from` on: the next block in which one of `pairs` stands. None where there is none any
/// more.
pub(super) fn next(text: &[u8], from: usize, pairs: &[RarePair]) -> Option<Left> {
    let text = text.get(from..).filter(|rest| !rest.is_empty())?;
    let reach = pairs.iter().map(|pair| pair.apart).max()?;
    let all = |places| Some(Left { places, pairs: u32::MAX });
    let Some(whole) = text.len().checked_sub(reach).filter(|whole| *whole >= SHORT) else {
        return all(from..from + text.len());
    };
    if let Some((block, pairs)) = widely(Sieve { text, whole, pairs }) {
        return Some(Left { places: from + block..from + block + BLOCK, pairs });
    }
    // Pairs whose bytes are less far apart may stand behind the last block.
    let holds = |pair: &RarePair, at: usize| {
        text[at] == pair.bytes[0] && text.get(at + pair.apart) == Some(&pair.bytes[1])
    };
    let is_left = (whole..text.len()).any(|at| pairs.iter().any(|pair| holds(pair, at)));
    if is_left { all(from + whole..from + text.len()) } else { None }
}

/// The search of the first such block among `whole` bytes of `text`, one block at least, and of which pairs it holds.
/// Behind them stand as many more bytes as a pair is apart.
#[derive(Clone, Copy)]
struct Sieve<'a> {
    text: &'a [u8],
    whole: usize,
    pairs: &'a [RarePair],
}

impl Wide for Sieve<'_> {
    type Told = Option<(usize, u32)>;

    /// For few pairs the loop over them is no loop: all they need is in the processor's registers then.
    #[inline(always)]
    fn run(self) -> Option<(usize, u32)> {
        match *self.pairs {
            [a] => self.first([a]),
            [a, b] => self.first([a, b]),
            [a, b, c] => self.first([a, b, c]),
            [a, b, c, d] => self.first([a, b, c, d]),
            _ => self.first_of_many(),
        }
    }
}

impl Sieve<'_> {
    #[inline(always)]
    fn first<const N: usize>(self, pairs: [RarePair; N]) -> Option<(usize, u32)> {
        let firsts = &self.text[..self.whole];
        let seconds = pairs.map(|pair| &self.text[pair.apart..][..self.whole]);
        let last = self.whole - BLOCK;
        let mut block = 0;
        while block < last {
            let both = Both::at(block, firsts, seconds)?;
            if both.holds(pairs) {
                return Some((block, both.which(pairs)));
            }
            block += BLOCK;
        }
        // The last one ends where the text does, whatever of it was seen before.
        let both = Both::at(last, firsts, seconds)?;
        both.holds(pairs).then(|| (last, both.which(pairs)))
    }

    /// The same for any number of them.
    fn first_of_many(self) -> Option<(usize, u32)> {
        let last = self.whole - BLOCK;
        let holds = |block: &usize| {
            let one = Self { text: &self.text[*block..], whole: BLOCK, ..self };
            self.pairs.iter().any(|pair| one.first([*pair]).is_some())
        };
        (0..last).step_by(BLOCK).chain([last]).find(holds).map(|block| (block, u32::MAX))
    }
}

/// One block, and for each pair the bytes where its second would stand.
struct Both<'a, const N: usize> {
    first: &'a [u8; BLOCK],
    second: [&'a [u8; BLOCK]; N],
}

#[expect(clippy::needless_range_loop, reason = "of these loops the compiler makes wide vectors")]
impl<'a, const N: usize> Both<'a, N> {
    /// None where that is no whole block.
    #[inline(always)]
    fn at(block: usize, firsts: &'a [u8], seconds: [&'a [u8]; N]) -> Option<Self> {
        let first: &[u8; BLOCK] = firsts[block..].first_chunk()?;
        let mut second = [first; N];
        for pair in 0..N {
            second[pair] = seconds[pair][block..].first_chunk()?;
        }
        Some(Self { first, second })
    }

    #[inline(always)]
    fn holds(&self, pairs: [RarePair; N]) -> bool {
        let mut any = false;
        for at in 0..BLOCK {
            for pair in 0..N {
                any |= (self.first[at] == pairs[pair].bytes[0])
                    & (self.second[pair][at] == pairs[pair].bytes[1]);
            }
        }
        any
    }

    #[inline(always)]
    fn which(&self, pairs: [RarePair; N]) -> u32 {
        let mut which = 0;
        for pair in 0..N {
            let one = Both { first: self.first, second: [self.second[pair]] };
            which |= u32::from(one.holds([pairs[pair]])) << pair;
        }
        which
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_pair_is_lost_and_most_of_what_holds_none_is_passed_over(
            text in prop::collection::vec(prop::sample::select(b"abcdefghbcdefghbcdefghbcdefgh".to_vec()), 0..1500),
            pairs in prop::collection::vec((prop::sample::select(b"axyz".to_vec()), 1..48_usize, any::<u8>()), 1..7),
            from in 0..200_usize,
        ) {
            let pairs: Vec<RarePair> = pairs
                .into_iter()
                .map(|(first, apart, second)| RarePair { at: 0, apart, bytes: [first, b'a' + second % 8] })
                .collect();
            let holds = |at: usize| {
                let held = pairs.iter().enumerate().filter(|(_, pair)| {
                    text[at] == pair.bytes[0] && text.get(at + pair.apart) == Some(&pair.bytes[1])
                });
                held.map(|(index, _)| index).collect::<Vec<_>>().into_iter()
            };
            let mut read = from;
            while let Some(left) = next(&text, read, &pairs) {
                let places = left.places.clone();
                prop_assert!(places.start >= read && places.end > places.start && places.end <= text.len());
                prop_assert!(!(read..places.start).any(|at| holds(at).next().is_some()), "passed over: {left:?}");
                let held: Vec<usize> = places.clone().flat_map(holds).collect();
                prop_assert!(held.iter().all(|pair| left.may_hold(*pair)), "{held:?} are not all in {left:?}");
                prop_assert!(places.end == text.len() || !held.is_empty(), "left for nothing: {left:?}");
                read = places.end;
            }
            prop_assert!(!(read..text.len()).any(|at| holds(at).next().is_some()), "passed over from {read} on");
        }
    }
}
