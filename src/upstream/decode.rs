use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest window a zstd body may ask for, as a power of two: 8 MiB, the most a server may use (RFC 9659 §3).
const ZSTD_WINDOW: u32 = 23;

/// The first `most` decoded bytes of a body that begins with `raw`; `raw` itself where nothing can be decoded. What is
/// cut off in the middle counts as far as it goes, and a bomb is read no further than `most`.
pub(super) async fn beginning(coding: &HeaderValue, raw: Bytes, most: usize) -> Bytes {
    let coding = coding.as_bytes().trim_ascii().to_ascii_lowercase();
    let input = raw.as_ref();
    let decoded = match coding.as_slice() {
        b"br" => read(BrotliDecoder::new(input), most).await,
        b"deflate" => read(ZlibDecoder::new(input), most).await,
        b"gzip" | b"x-gzip" => read(GzipDecoder::new(input), most).await,
        b"zstd" => {
            let window = [DParameter::window_log_max(ZSTD_WINDOW)];
            read(ZstdDecoder::with_params(input, &window), most).await
        }
        _ => return raw,
    };
    if decoded.is_empty() { raw } else { decoded }
}

async fn read(decoder: impl AsyncRead + Unpin, most: usize) -> Bytes {
    let mut decoded = Vec::new();
    let mut bounded = decoder.take(most as u64);
    // An error is where the beginning ends.
    let _ = bounded.read_to_end(&mut decoded).await;
    decoded.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};

    const TEXT: &[u8] = br#"{"error":{"code":"usage_limit_reached"}}"#;
    const MOST: usize = 64 * 1024;

    /// U11
    #[tokio::test]
    async fn every_coding_shows_its_text() {
        for coding in ["gzip", "x-gzip", "GZIP", "deflate", "br", "zstd"] {
            let body = encode(coding, TEXT).await;
            assert_eq!(decoded(coding, &body).await, TEXT, "{coding}");
        }
    }

    /// PRX-4, U11
    #[tokio::test]
    async fn a_bomb_shows_its_beginning_only() {
        let zeros = vec![b'0'; 8 << 20];
        for coding in ["gzip", "deflate", "br", "zstd"] {
            let body = encode(coding, &zeros).await;
            assert!(body.len() < MOST, "{coding} is not a bomb");
            assert_eq!(decoded(coding, &body).await, &zeros[..MOST], "{coding}");
        }
    }

    #[tokio::test]
    async fn what_is_cut_shows_as_far_as_it_goes_and_what_is_not_encoded_as_it_is() {
        let whole = encode("gzip", &TEXT.repeat(1000)).await;
        let half = decoded("gzip", &whole[..whole.len() - 8]).await;
        assert_eq!(half, TEXT.repeat(1000), "only the checksum is missing");
        assert_eq!(decoded("gzip", TEXT).await, TEXT, "a lying upstream");
        assert_eq!(decoded("gzip, br", TEXT).await, TEXT, "two codings at once");
        assert_eq!(decoded("identity", TEXT).await, TEXT);
    }

    async fn decoded(coding: &str, body: &[u8]) -> Bytes {
        let coding = HeaderValue::from_str(coding).unwrap();
        beginning(&coding, Bytes::copy_from_slice(body), MOST).await
    }

    async fn encode(coding: &str, text: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        let done = match coding.to_ascii_lowercase().as_str() {
            "br" => BrotliEncoder::new(text).read_to_end(&mut body).await,
            "deflate" => ZlibEncoder::new(text).read_to_end(&mut body).await,
            "zstd" => ZstdEncoder::new(text).read_to_end(&mut body).await,
            _ => GzipEncoder::new(text).read_to_end(&mut body).await,
        };
        done.unwrap();
        body
    }
}
