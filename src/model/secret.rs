use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// Token material. It has no `Display` and no `Serialize`, its `Debug` says `[REDACTED]`, and its bytes are wiped when
/// the last copy goes. [`expose`](Self::expose) is called in three places: header injection, the token endpoint, the
/// credential record; a test counts them.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes the text in. The caller's own copy is the caller's to wipe.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The token itself, for the three places that may send or store it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    /// Looks at every byte whatever differs, so that timing tells nothing about how much of a guess was right.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
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

    #[test]
    fn equal_means_every_byte() {
        let secret = Secret::new("abc");
        assert_eq!(secret, Secret::new("abc"));
        for other in ["", "ab", "abd", "abcd", "xbc"] {
            assert_ne!(secret, Secret::new(other), "{other:?}");
        }
    }
}
