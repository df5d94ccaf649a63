//! Content codings of bodies: decoding what clients send, coding what faults ask.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_compression::tokio::{bufread, write};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// `br`
    #[cfg_attr(not(feature = "encoders"), serde(skip_deserializing))]
    Brotli,
    /// `deflate`, in its zlib wrapping.
    Deflate,
    /// `gzip`
    Gzip,
    /// `zstd`
    #[cfg_attr(not(feature = "encoders"), serde(skip_deserializing))]
    Zstd,
}

impl Coding {
    /// The word used in `content-encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Brotli, Self::Deflate, Self::Gzip, Self::Zstd]
            .into_iter()
            .find(|coding| coding.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Codes `pieces`, flushed after each, so that each can be decoded when it
    /// has arrived.
    pub(crate) async fn encode(self, pieces: &[Bytes]) -> io::Result<Vec<Bytes>> {
        let sink = Sink::default();
        let mut encoder: Pin<Box<dyn AsyncWrite + Send>> = match self {
            #[cfg(feature = "encoders")]
            Self::Brotli => Box::pin(write::BrotliEncoder::new(sink.clone())),
            #[cfg(feature = "encoders")]
            Self::Zstd => Box::pin(write::ZstdEncoder::new(sink.clone())),
            // No script can ask for them then.
            #[cfg(not(feature = "encoders"))]
            Self::Brotli | Self::Zstd => return Err(io::ErrorKind::Unsupported.into()),
            Self::Deflate => Box::pin(write::ZlibEncoder::new(sink.clone())),
            Self::Gzip => Box::pin(write::GzipEncoder::new(sink.clone())),
        };
        let mut out = Vec::with_capacity(pieces.len() + 1);
        for piece in pieces {
            encoder.write_all(piece).await?;
            encoder.flush().await?;
            out.push(sink.take());
        }
        encoder.shutdown().await?;
        out.push(sink.take());
        Ok(out)
    }

    /// Decodes at most `limit` bytes.
    ///
    /// # Errors
    /// The body is not of this coding.
    pub(crate) async fn decode(self, body: &[u8], limit: u64) -> io::Result<Bytes> {
        let mut decoder: Pin<Box<dyn AsyncRead + Send + '_>> = match self {
            Self::Brotli => Box::pin(bufread::BrotliDecoder::new(body)),
            Self::Deflate => Box::pin(bufread::ZlibDecoder::new(body)),
            Self::Gzip => Box::pin(bufread::GzipDecoder::new(body)),
            Self::Zstd => Box::pin(bufread::ZstdDecoder::new(body)),
        };
        let mut out = Vec::new();
        (&mut decoder).take(limit).read_to_end(&mut out).await?;
        Ok(Bytes::from(out))
    }
}

/// Memory that an encoder writes into and that is emptied between flushes.
#[derive(Clone, Debug, Default)]
struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Sink {
    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_coding_gives_back_what_it_was_given_and_flushes_each_piece() {
        let pieces = [Bytes::from_static(b"data: 1\n\n"), Bytes::from_static(b"data: 2\n\n")];
        for coding in [Coding::Brotli, Coding::Deflate, Coding::Gzip, Coding::Zstd] {
            let coded = coding.encode(&pieces).await.expect("encode");
            assert!(coded.iter().take(2).all(|piece| !piece.is_empty()), "{coding:?}");
            let decoded = coding.decode(&coded.concat(), 1_000).await.expect("decode");
            assert_eq!(decoded, pieces.concat(), "{coding:?}");
            assert_eq!(coding.decode(&coded.concat(), 4).await.expect("decode"), "data", "{coding:?}");
            assert_eq!(Coding::named(coding.name()), Some(coding));
            assert!(coding.decode(b"\xff\xff\xff\xff\xff not coded", 1_000).await.is_err(), "{coding:?}");
        }
    }
}
