/// Bytes of chunk extensions and trailers that one body may bring: nobody reads them.
const BESIDE: usize = 16 * 1024;
/// Digits of a chunk's size: 64 bits.
const DIGITS: u8 = 16;

/// Takes the framing off a body in chunks (RFC 9112 §7.1), piece by piece. Extensions and trailers are dropped. Lines end in
/// CR LF and in nothing else: where two readers see two ends, smuggling begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunks {
    at: At,
    /// Of the chunk's size, its digits so far; of its data, what is still to come.
    left: u64,
    /// Bytes of extensions and trailers so far.
    beside: usize,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A size with so many digits so far.
    Size(u8),
    /// White space behind a size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a trailer, or of the last line.
    Start,
    Trailer,
    TrailerLf,
    EndLf,
    Over,
}

/// The framing is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotChunks;

impl Default for Chunks {
    fn default() -> Self {
        Self { at: At::Size(0), left: 0, beside: 0 }
    }
}

impl Chunks {
    /// Reads on, and shows `data` each run of a chunk's bytes. Returns how many bytes belong to the body: all, unless it
    /// ended before.
    pub(crate) fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        mut data: impl FnMut(&'a [u8]),
    ) -> Result<usize, NotChunks> {
        let mut used = 0;
        while used < bytes.len() && self.at != At::Over {
            if self.at == At::Data {
                let here = bytes.len() - used;
                let run = usize::try_from(self.left).map_or(here, |left| left.min(here));
                data(&bytes[used..used + run]);
                used += run;
                self.left -= run as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.at = self.step(bytes[used])?;
                used += 1;
            }
        }
        Ok(used)
    }

    /// True once its last line has come.
    pub(crate) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// What follows a byte of the framing.
    fn step(&mut self, byte: u8) -> Result<At, NotChunks> {
        match (self.at, byte) {
            (At::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < DIGITS => {
                let digit = (byte as char).to_digit(16).ok_or(NotChunks)?;
                self.left = self.left << 4 | u64::from(digit);
                Ok(At::Size(digits + 1))
            }
            (At::Size(1..) | At::Space | At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Size(1..) | At::Space, b';') => self.aside(At::Extension),
            (At::Size(1..) | At::Space, b' ' | b'\t') => self.aside(At::Space),
            (At::SizeLf, b'\n') => Ok(if self.left == 0 { At::Start } else { At::Data }),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size(0)),
            (At::Start, b'\r') => Ok(At::EndLf),
            (At::Trailer, b'\r') => Ok(At::TrailerLf),
            (At::TrailerLf, b'\n') => Ok(At::Start),
            (At::EndLf, b'\n') => Ok(At::Over),
            (At::Extension | At::Start | At::Trailer, b'\n' | 0) => Err(NotChunks),
            (At::Extension, _) => self.aside(At::Extension),
            (At::Start | At::Trailer, _) => self.aside(At::Trailer),
            (
                At::Size(_)
                | At::Space
                | At::SizeLf
                | At::Data
                | At::DataCr
                | At::DataLf
                | At::TrailerLf
                | At::EndLf
                | At::Over,
                _,
            ) => Err(NotChunks),
        }
    }

    /// Counts a byte that nobody reads.
    fn aside(&mut self, next: At) -> Result<At, NotChunks> {
        self.beside += 1;
        if self.beside > BESIDE { Err(NotChunks) } else { Ok(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// U2 U3 U6: what ends is whole, what is no chunk is refused, and what follows the end is not the body's.
    #[test]
    fn a_body_in_chunks_is_read_to_its_end_and_no_further() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(BESIDE - 1));
        let longer = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(BESIDE));
        let trailers = format!("0\r\nx: {}\r\n\r\n", "t".repeat(BESIDE));
        let table: [(&str, Result<_, _>); _] = [
            ("5\r\nhello\r\n0\r\n\r\n", Ok(("hello", Some(15)))),
            ("5\r\nhello\r\n0\r\n\r\nHTTP/1.1", Ok(("hello", Some(15)))),
            ("005\r\nhello\r\n000\r\n\r\n", Ok(("hello", Some(19)))),
            ("A\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", Some(20)))),
            ("2 \t;n=\"v\"\r\nok\r\n0;x\r\n\r\n", Ok(("ok", Some(22)))),
            ("2\r\nok\r\n0\r\nx: y\r\nz: \r\n\r\n", Ok(("ok", Some(23)))),
            ("0\r\n\r\n", Ok(("", Some(5)))),
            (&long, Ok(("x", Some(long.len())))),
            ("5\r\nhel", Ok(("hel", None))),
            ("5\r\nhello\r\n0\r\n", Ok(("hello", None))),
            ("ffffffffffffffff\r\nall", Ok(("all", None))),
            ("10000000000000000\r\n", Err(NotChunks)),
            (&longer, Err(NotChunks)),
            (&trailers, Err(NotChunks)),
            ("\r\n", Err(NotChunks)),
            ("zz\r\n", Err(NotChunks)),
            ("-1\r\n", Err(NotChunks)),
            ("0x5\r\n", Err(NotChunks)),
            (" 5\r\nhello\r\n", Err(NotChunks)),
            ("5 5\r\nhello\r\n", Err(NotChunks)),
            ("5\nhello\r\n", Err(NotChunks)),
            ("5\r hello", Err(NotChunks)),
            ("5;a\nhello", Err(NotChunks)),
            ("5\r\nhello!\r\n", Err(NotChunks)),
            ("5\r\nhello\n0\r\n\r\n", Err(NotChunks)),
            ("0\r\nx: y\n\r\n", Err(NotChunks)),
            ("0\r\n\n", Err(NotChunks)),
            ("0\r\n\rx", Err(NotChunks)),
        ];
        for (framed, expected) in table {
            let expected = expected.map(|(data, end): (&str, _)| (data.as_bytes().to_vec(), end));
            assert_eq!(read([framed.as_bytes()]), expected, "{framed:.60?}");
        }
    }

    proptest! {
        /// U2 U3: the network cuts where it likes.
        #[test]
        fn wherever_it_is_cut_the_same_body_comes_out(
            chunks in vec(vec(any::<u8>(), 1..40), 0..12),
            cuts in vec(0usize..600, 0..30),
            behind in vec(any::<u8>(), 0..9),
        ) {
            let mut framed = Vec::new();
            for chunk in &chunks {
                framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                framed.extend_from_slice(chunk);
                framed.extend_from_slice(b"\r\n");
            }
            framed.extend_from_slice(b"0\r\n\r\n");
            let end = framed.len();
            framed.extend_from_slice(&behind);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(framed.len())).collect();
            cuts.extend([0, framed.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &framed[cut[0]..cut[1]]);
            prop_assert_eq!(read(pieces), Ok((chunks.concat(), Some(end))));
        }

        /// U6: no bytes make it panic, show more than came, or go on after its end.
        #[test]
        fn bytes_of_any_kind_are_read_or_refused(bytes in "[0-9a-fx;: \\r\\n\\x00]{0,60}") {
            let Ok((data, end)) = read([bytes.as_bytes()]) else { return Ok(()) };
            prop_assert!(data.len() <= bytes.len());
            prop_assert!(end.is_none_or(|end| bytes.as_bytes()[..end].ends_with(b"\r\n")));
        }
    }

    /// The data, and where the body ended.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(Vec<u8>, Option<usize>), NotChunks> {
        let (mut chunks, mut data, mut used) = (Chunks::default(), Vec::new(), 0);
        for piece in pieces {
            used += chunks.read(piece, |run| data.extend_from_slice(run))?;
        }
        Ok((data, chunks.is_over().then_some(used)))
    }
}
