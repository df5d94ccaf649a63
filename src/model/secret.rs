use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// Token material. It has no `Display` and no `Serialize`, its `Debug` says `[REDACTED]`, and its bytes are wiped when
/// the last copy goes. [`expose`](Self::expose) is called in three places: header injection, the token endpoint, the
/// credential record; a test counts them.
#[derive(Clone)]
pub struct Secret {
    text: Arc<Zeroizing<String>>,
    sendable: bool,
}

/// Why a text is not a token. It never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// There is nothing.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`Secret::LONGEST_TOKEN`].
    #[error("must not be longer than {} bytes", Secret::LONGEST_TOKEN)]
    TooLong,
    /// A header could not carry it.
    #[error("must be printable ASCII without blanks; is it the right file?")]
    Unprintable,
}

impl Secret {
    /// The longest token there is, in bytes: long ones are a few KiB.
    pub const LONGEST_TOKEN: usize = 64 * 1024;

    /// `text` without blanks around it, as a token that a header can carry.
    pub fn token(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadToken::Empty);
        }
        if text.len() > Self::LONGEST_TOKEN {
            return Err(BadToken::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(BadToken::Unprintable);
        }
        Ok(Self::new(text))
    }

    /// Takes the text in. The caller's own copy is the caller's to wipe.
    pub fn new(text: impl Into<String>) -> Self {
        let text = Zeroizing::new(text.into());
        let sendable = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        Self { text: Arc::new(text), sendable }
    }

    /// The token itself, for the three places that may send or store it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// True for what can stand in a header (RFC 9110 §5.5): printable ASCII, and some of it. Told without looking at the
    /// text again.
    pub fn is_sendable(&self) -> bool {
        self.sendable
    }
}

impl PartialEq for Secret {
    /// Looks at every byte whatever differs, so that timing tells nothing about how much of a guess was right.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.text.as_bytes(), other.text.as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I10, OBS-3
    #[test]
    fn a_secret_does_not_show_itself_alone_or_inside_of_something() {
        let secret = Secret::new("canary-7f3a");
        for shown in
            [format!("{secret:?}"), format!("{:?}", Some(vec![secret.clone()])), format!("{secret:#?}")]
        {
            assert!(shown.contains("[REDACTED]") && !shown.contains("canary"), "{shown}");
        }
        assert_eq!(secret.expose(), "canary-7f3a");
    }

    /// REN-4
    #[test]
    fn what_no_header_can_hold_is_not_sendable() {
        for (text, fits) in
            [("sk-1", true), ("a b", true), ("", false), ("a\n", false), ("a\u{7f}", false), ("é", false)]
        {
            assert_eq!(Secret::new(text).is_sendable(), fits, "{text:?}");
        }
    }

    #[test]
    fn a_token_is_what_a_header_can_carry() {
        let long = "x".repeat(Secret::LONGEST_TOKEN + 1);
        for (text, token) in [
            (" abc\n", Ok(Secret::new("abc"))),
            ("", Err(BadToken::Empty)),
            (" \t", Err(BadToken::Empty)),
            ("a b", Err(BadToken::Unprintable)),
            ("caf\u{e9}", Err(BadToken::Unprintable)),
            (&long[1..], Ok(Secret::new(&long[1..]))),
            (&long, Err(BadToken::TooLong)),
        ] {
            assert_eq!(Secret::token(text), token, "{} bytes", text.len());
        }
    }

    #[test]
    fn equal_means_every_byte() {
        let secret = Secret::new("abc");
        assert_eq!(secret, Secret::new("abc"));
        for other in ["", "ab", "abd", "abcd", "xbc"] {
            assert_ne!(secret, Secret::new(other), "{other:?}");
        }
    }
}
