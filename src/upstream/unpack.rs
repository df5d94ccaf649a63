//! A coded body's text, piece by piece as it passes: a copy for those who watch. The body itself stays as it is.
use async_compression::tokio::write::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use http::HeaderValue;
use std::borrow::Cow;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWrite;

/// The largest window a zstd body may ask for, as a power of two (RFC 9659 §3).
const ZSTD_WINDOW: u32 = 23;
/// Text that one piece may become: a bomb is watched no further.
const MOST: usize = 4 << 20;

/// See the module.
pub struct Unpack {
    coding: Coding,
    /// Bytes of text that may still be shown.
    left: usize,
}

enum Coding {
    Br(BrotliDecoder<Sink>),
    Deflate(ZlibDecoder<Sink>),
    Gzip(GzipDecoder<Sink>),
    Plain,
    /// Not a coding that is known, or not one that it claims to be: nothing more is seen.
    Unreadable,
    Zstd(ZstdDecoder<Sink>),
}

impl Unpack {
    /// By the value of `Content-Encoding`, if there is one; of a body that passes, however long it is.
    pub fn by(coding: Option<&HeaderValue>) -> Self {
        Self::at_most(usize::MAX, coding)
    }

    /// The same, of a body whose text is kept or searched: what follows its first `most` bytes is not shown.
    pub fn at_most(most: usize, coding: Option<&HeaderValue>) -> Self {
        Self { coding: Coding::by(coding), left: most }
    }

    /// True for a body whose bytes are its text.
    pub fn is_plain(&self) -> bool {
        matches!(self.coding, Coding::Plain)
    }

    /// False once nothing more of it will be seen.
    pub fn is_readable(&self) -> bool {
        !matches!(self.coding, Coding::Unreadable)
    }

    /// Shows `seen` the text that `piece` adds.
    pub fn read(&mut self, piece: &[u8], seen: impl FnOnce(&[u8])) {
        let text = match &mut self.coding {
            Coding::Plain => Ok(Cow::Borrowed(piece)),
            Coding::Unreadable => return,
            Coding::Br(decoder) => push(&mut *decoder, piece).map(|()| decoder.get_mut().take().into()),
            Coding::Deflate(decoder) => push(&mut *decoder, piece).map(|()| decoder.get_mut().take().into()),
            Coding::Gzip(decoder) => push(&mut *decoder, piece).map(|()| decoder.get_mut().take().into()),
            Coding::Zstd(decoder) => push(&mut *decoder, piece).map(|()| decoder.get_mut().take().into()),
        };
        match text {
            Ok(text) if text.len() <= self.left => {
                self.left -= text.len();
                seen(&text);
            }
            Ok(text) => {
                seen(&text[..self.left]);
                self.coding = Coding::Unreadable;
            }
            Err(_) => self.coding = Coding::Unreadable,
        }
    }
}

impl Coding {
    fn by(coding: Option<&HeaderValue>) -> Self {
        let coding = coding.map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase());
        match coding.as_deref() {
            None | Some(b"" | b"identity") => Self::Plain,
            Some(b"br") => Self::Br(BrotliDecoder::new(Sink::default())),
            Some(b"deflate") => Self::Deflate(ZlibDecoder::new(Sink::default())),
            Some(b"gzip" | b"x-gzip") => Self::Gzip(GzipDecoder::new(Sink::default())),
            Some(b"zstd") => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW)];
                Self::Zstd(ZstdDecoder::with_params(Sink::default(), &window))
            }
            Some(_) => Self::Unreadable,
        }
    }
}

fn push(mut decoder: impl AsyncWrite + Unpin, mut piece: &[u8]) -> io::Result<()> {
    let mut cx = Context::from_waker(Waker::noop());
    while !piece.is_empty() {
        match Pin::new(&mut decoder).poll_write(&mut cx, piece)? {
            Poll::Ready(0) => break,
            Poll::Ready(taken) => piece = &piece[taken..],
            // The sink is always ready.
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
    }
    match Pin::new(&mut decoder).poll_flush(&mut cx) {
        Poll::Ready(flushed) => flushed,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Where decoded text is gathered until it is taken.
#[derive(Debug, Default)]
struct Sink(Vec<u8>);

impl Sink {
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, text: &[u8]) -> Poll<io::Result<usize>> {
        let sink = &mut self.get_mut().0;
        if sink.len() + text.len() > MOST {
            return Poll::Ready(Err(io::ErrorKind::FileTooLarge.into()));
        }
        sink.extend_from_slice(text);
        Poll::Ready(Ok(text.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Unpack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpack")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
    use tokio::io::AsyncWriteExt;

    const EVENTS: [&str; 3] = ["event: a\ndata: 1\n\n", "event: b\ndata: 2\n\n", "data: the end\n\n"];

    /// U11
    #[tokio::test]
    async fn every_event_is_seen_as_soon_as_its_bytes_are_here_in_any_coding() {
        for coding in ["gzip", "x-gzip", "deflate", "br", "zstd", "identity"] {
            let mut unpack = Unpack::by(Some(&HeaderValue::from_static(coding)));
            for (piece, event) in encoded(coding).await.iter().zip(EVENTS) {
                let mut text = Vec::new();
                for byte in piece {
                    unpack.read(&[*byte], |seen| text.extend_from_slice(seen));
                }
                assert_eq!(String::from_utf8(text).unwrap(), event, "{coding}");
            }
        }
    }

    /// PRX-4
    #[tokio::test]
    async fn a_bomb_and_what_is_no_coding_are_not_watched() {
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(&vec![0; 64 << 20]).await.unwrap();
        encoder.shutdown().await.unwrap();
        for (coding, body) in
            [("gzip", encoder.into_inner()), ("gzip", b"plain".to_vec()), ("rot13", b"x".to_vec())]
        {
            let mut unpack = Unpack::by(Some(&HeaderValue::from_static(coding)));
            let mut seen = 0;
            unpack.read(&body, |text| seen += text.len());
            assert!(seen <= MOST, "{coding}");
            unpack.read(b"more", |text| assert!(text.is_empty()));
        }
    }

    /// PRX-4
    #[tokio::test]
    async fn text_that_is_kept_has_a_bound_in_any_coding() {
        for coding in ["gzip", "deflate", "br", "zstd", "identity"] {
            let whole = EVENTS.concat();
            let mut unpack = Unpack::at_most(20, Some(&HeaderValue::from_static(coding)));
            let mut text = Vec::new();
            for piece in encoded(coding).await {
                unpack.read(&piece, |seen| text.extend_from_slice(seen));
            }
            assert_eq!(text, &whole.as_bytes()[..20], "{coding}");
            assert!(!unpack.is_readable());
        }
    }

    /// Each event flushed, as a server that streams does.
    async fn encoded(coding: &str) -> Vec<Vec<u8>> {
        macro_rules! encode {
            ($encoder:ident) => {{
                let mut encoder = $encoder::new(Vec::new());
                let mut pieces = Vec::new();
                for event in EVENTS {
                    encoder.write_all(event.as_bytes()).await.unwrap();
                    encoder.flush().await.unwrap();
                    pieces.push(std::mem::take(encoder.get_mut()));
                }
                pieces
            }};
        }
        match coding {
            "br" => encode!(BrotliEncoder),
            "deflate" => encode!(ZlibEncoder),
            "zstd" => encode!(ZstdEncoder),
            "identity" => EVENTS.map(|event| event.as_bytes().to_vec()).into(),
            _ => encode!(GzipEncoder),
        }
    }
}
