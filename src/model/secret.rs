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
